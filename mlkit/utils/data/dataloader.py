"""`torch.utils.data.dataloader` by mlkit's name."""

from mlkit.data import DataLoader, default_collate, default_convert, get_worker_info

__all__ = ["DataLoader", "default_collate", "default_convert", "get_worker_info"]
