"""`torch.utils.data.distributed` by mlkit's name."""

from mlkit.data import DistributedSampler

__all__ = ["DistributedSampler"]
