"""``mlkit.signal``: tools of signal processing, in ``torch.signal``'s names."""

from mlkit.signal import windows

__all__ = ["windows"]
