"""Results with names, such as ``max(...).values``: tuples that print as PyTorch's do."""

from __future__ import annotations

from collections import namedtuple

from mlkit.core import config


def named_result(name: str, fields: tuple[str, ...]) -> type:
    """A tuple class with those fields.

    >>> from mlkit.functional.results import named_result
    >>> named_result("max", ("values", "indices"))(3, 0)
    mlkit.return_types.max(
    values=3,
    indices=0)
    """

    def text(self) -> str:
        return (
            f"{config.shown_name}.return_types.{name}(\n"
            + ",\n".join(f"{f}={getattr(self, f)!r}" for f in fields)
            + ")"
        )

    cls = namedtuple(name, fields)  # type: ignore[misc]
    cls.__repr__ = text  # type: ignore[method-assign]
    return cls
