"""PyTorch's ``torch.cuda``: is a GPU there, which, and how full is it."""

from __future__ import annotations

from mlkit.core import backend as backends
from mlkit.core.errors import DeviceError


def _library():
    return backends.load("cupy")


def is_available() -> bool:
    """Whether tensors can be put on "cuda"."""
    try:
        _library()
        return True
    except (DeviceError, ImportError):
        return False


def device_count() -> int:
    """How many GPUs there are (0 without CuPy)."""
    return _library().m.xp.cuda.runtime.getDeviceCount() if is_available() else 0


def current_device() -> int:
    """The number of the GPU in use."""
    return _library().m.xp.cuda.Device().id


def get_device_name(device=None) -> str:
    """The GPU's name."""
    number = current_device() if device is None else int(getattr(device, "index", device) or 0)
    return _library().m.xp.cuda.runtime.getDeviceProperties(number)["name"].decode()


def synchronize(device=None) -> None:
    """Wait until all work sent to the GPU is done."""
    _library().synchronize()


def memory_allocated(device=None) -> int:
    """Bytes of GPU memory in use by tensors."""
    return _library().memory()["allocated"]


def empty_cache() -> None:
    """Give cached GPU memory back to the driver."""
    _library().m.xp.get_default_memory_pool().free_all_blocks()


def manual_seed(seed: int) -> None:
    """Start the random stream (one for all devices)."""
    from mlkit.core.rng import default_generator

    default_generator.manual_seed(seed)


manual_seed_all = manual_seed


from mlkit.cuda import amp  # noqa: E402 - PyTorch's path: mlkit.cuda.amp.autocast
