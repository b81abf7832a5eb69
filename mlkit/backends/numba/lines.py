"""Lines of a compiled program that run without Python: the calls they are, and the table from which machine code makes them.

What a writer (see into.py) binds to its arrays may say by its ``calls`` which functions do the same: (a kernel, or where a function
is; the arguments, all whole numbers).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np

from mlkit.backends import numba
from mlkit.backends.numba.compiling import address_of
from mlkit.backends.numba.scratch import address
from mlkit.backends.numpy import blas

Call = tuple[Callable | int, tuple[int, ...]]


def done_by(run: Callable[[], None], calls: list[Call] | None) -> Callable[[], None]:
    """``run``, and the calls that do the same, where there are such."""
    run.calls = calls  # type: ignore[attr-defined]
    return run


class Table:
    """Calls one after another.

    Args:
        bound: Functions without arguments that have ``calls``. They keep their arrays alive.
        others: What stood, when they were bound, for arrays that are given anew in each run: these come to ``run``.
    """

    def __init__(self, bound: Sequence[Callable], others: Sequence[np.ndarray]):
        words: list[int] = []
        places: dict[int, list[int]] = {address(x): [] for x in others}
        self.lines = 0
        for run in bound:
            for function, arguments in run.calls:  # type: ignore[attr-defined]
                self.lines += 1
                words += function if isinstance(function, int) else address_of(function), len(arguments)
                for number in arguments:
                    if number in places:
                        places[number].append(len(words))
                    words.append(number)
        self.bound, self.others = (
            bound,
            [(x, x.strides, found) for x, found in zip(others, places.values(), strict=True)],
        )
        self.words = np.array(words, np.int64)
        self.play, self.where = _kernels().play, address(self.words)

    def run(self, *arrays: np.ndarray) -> None:
        words, alive = self.words, []
        for array, (stood, strides, places) in zip(arrays, self.others, strict=True):
            if array.strides != strides and not (array.flags.c_contiguous and stood.flags.c_contiguous):
                like = np.empty_like(stood)  # a gradient from before, say, that lies otherwise now
                like[...] = array
                alive.append(array := like)
            here = address(array)
            for i in places:
                words[i] = here
        self.play(self.where, self.lines)


def _kernels():
    return numba.kernels(f"{__package__}.lines")


def replaceable(run: Callable, others: Sequence[np.ndarray]) -> bool:
    """Whether other arrays can take the place of ``others`` in the calls of ``run``: these ask for their first element, and neither
    for another one nor for a copy."""
    numbers = {number for _, arguments in run.calls for number in arguments}  # type: ignore[attr-defined]
    inside = [range(address(x) + 1, address(x) + x.nbytes) for x in others]
    return all(address(x) in numbers for x in others) and not any(n in some for n in numbers for some in inside)


# --- products by BLAS -----------------------------------------------------------------------------------------------------

_LETTERS = np.array([b"N", b"T"])


@functools.cache
def _factors(dtype: np.dtype) -> np.ndarray:
    return np.array([0, 1], dtype)


#: products of at most so many multiplications, which OpenBLAS gives to one thread
SMALL = 1 << 18


def fits(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether NumPy has BLAS make the product of two such matrices as ``product`` does."""
    if a.ndim != 2 or b.ndim != 2 or a.dtype != b.dtype or not numba.usable() or not blas.product(a.dtype):
        return False
    if min(*a.shape, *b.shape) < 2 or a.size * b.shape[1] > SMALL:
        return False
    return all(x.flags.c_contiguous is not x.flags.f_contiguous or _one(x) for x in (a, b)) and address(a) != address(b)


def _one(x: np.ndarray) -> bool:
    """Whether all its elements are one number in memory, as in the gradient of a sum."""
    return not any(x.strides)


def product(a: np.ndarray, b: np.ndarray, out: np.ndarray, more: bool = False) -> tuple[tuple, list[Call]]:
    """What is to be kept alive, and the calls of ``out = a @ b``, with ``more`` of ``out += a @ b``, to the bits that NumPy gives."""
    calls: list[Call] = []
    spread = [np.empty(x.shape, x.dtype) if _one(x) else x for x in (a, b)]
    for x, whole in zip((a, b), spread, strict=True):
        if whole is not x:
            calls.append((_kernels().fill, (address(x), x.itemsize, whole.size, address(whole))))
    a, b = spread
    (rows, count), columns = a.shape, b.shape[1]
    # BLAS counts columns first, for which a row-major matrix is its transpose: out.T = b.T @ a.T
    turned = [int(x.flags.f_contiguous) for x in (a, b)]
    sizes = np.array([columns, rows, count, count if turned[1] else columns, rows if turned[0] else count], np.int64)
    at, one = address(sizes), address(_factors(a.dtype)) + a.itemsize
    letters = [address(_LETTERS) + t for t in turned]
    given = (letters[1], letters[0], at, at + 8, at + 16, one, address(b), at + 24, address(a), at + 32)
    # after the result BLAS may expect, as Fortran does, how long the letters are
    calls.append((blas.product(a.dtype), (*given, one if more else one - a.itemsize, address(out), at, 1, 1)))
    return (sizes, *spread), calls


def add_row(row: np.ndarray, target: np.ndarray) -> Call:
    """The call that adds a row of float32 to each row of a matrix."""
    return _kernels().add_row, (address(row), *target.shape, address(target))
