"""Functions that PyTorch took away: calling one says which stands in for it."""

from __future__ import annotations

from mlkit.core.errors import RefusedError


def _removed(name: str, instead: str):
    def call(*args, **kwargs):
        raise RefusedError(
            f"{name}: this function was deprecated since version 1.9 of PyTorch and is now removed.",
            hint=f"Use {instead}.",
        )

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"Removed from PyTorch: raises RuntimeError and names {instead}."
    return call


eig = _removed("eig", "mlkit.linalg.eig")
symeig = _removed("symeig", "mlkit.linalg.eigh")
lstsq = _removed("lstsq", "mlkit.linalg.lstsq")
matrix_rank = _removed("matrix_rank", "mlkit.linalg.matrix_rank")
solve = _removed("solve", "mlkit.linalg.solve")
