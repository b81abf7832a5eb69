"""``torch.utils``: a table of contents."""

__all__: list[str] = []
