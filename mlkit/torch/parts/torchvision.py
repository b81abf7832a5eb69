"""``torchvision``: the parts that exist here."""

from mlkit.torch.parts.version import TorchVersion

__all__: list[str] = []
#: the version of torchvision whose names these are
__version__ = TorchVersion("0.28.0+mlkit")


def set_image_backend(backend: str) -> None:
    """Images are read with Pillow, whatever is named."""


def get_image_backend() -> str:
    """Images are read with Pillow."""
    return "PIL"
