"""``torch.backends``: switches of PyTorch's kernels."""

__all__: list[str] = []
