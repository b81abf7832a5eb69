"""How a compiled kernel is compared with NumPy: the same op with kernels on and off."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

import mlkit
from mlkit.backends import numba
from mlkit.core.value import wrap

needs_numba = pytest.mark.skipif(not numba.usable(), reason="Numba is not there")


@contextmanager
def numpy_alone():
    """NumPy computes everything inside."""
    before = mlkit.config.numba
    mlkit.config.numba = False
    try:
        yield
    finally:
        mlkit.config.numba = before


@contextmanager
def kernels_for_all_sizes():
    """Kernels take arrays of any size, so that odd and small ones are tested too."""
    from mlkit.autograd import engine
    from mlkit.core import backend, dispatch

    library = backend.load("numpy")
    kernels, gradients = dict(library.kernels), dict(library.gradients)
    used: dict[str, int] = {}

    def counting(chosen, key):
        def call(*arguments, **attributes):
            out = chosen.function(numba.kernels(chosen.family), *arguments, **attributes)
            used[key] = used.get(key, 0) + (out is not NotImplemented)
            return out

        return call

    def forward(name, chosen):
        call = counting(chosen, name)

        def run(*arguments, **attributes):
            out = call(*arguments, **attributes) if mlkit.config.numba else NotImplemented
            return kernels[name](*arguments, **attributes) if out is NotImplemented else out

        return run

    def backward(key, chosen):
        call = counting(chosen, f"{key[0]} gradient")

        def run(rule, m, g, *kept):
            out = call(g, *kept) if mlkit.config.numba else NotImplemented
            return rule(m, g, *kept) if out is NotImplemented else out

        return run

    try:
        for name, chosen in numba.OVERRIDES.items():
            library.kernels[name] = forward(name, chosen)
            setattr(library.m, name, library.kernels[name])  # gradient rules read it there
        for key, chosen in numba.GRADIENTS.items():
            library.gradients[key] = backward(key, chosen)
        engine._array_runners.clear()
        dispatch._count_busy(+1)  # the full way looks the kernel up
        yield used
    finally:
        dispatch._count_busy(-1)
        library.kernels.update(kernels)
        for name in numba.OVERRIDES:
            setattr(library.m, name, kernels[name])
        library.gradients.update(gradients)
        engine._array_runners.clear()


def arrays(shape: tuple[int, ...], dtype=np.float32, seed: int = 0) -> dict[str, np.ndarray]:
    """Numbers of that shape in the memory orders that tensors come in."""
    rng = np.random.default_rng(seed)
    plain = np.asarray(rng.standard_normal(shape) * 3, dtype)
    found = {"contiguous": plain}
    if plain.ndim > 1:
        found["transposed"] = np.ascontiguousarray(plain.T).T
        found["sliced"] = np.repeat(plain, 2, axis=-1)[..., ::2]
        found["broadcast"] = np.broadcast_to(plain[:1], shape)
    if plain.ndim == 4:
        found["channels last"] = np.ascontiguousarray(plain.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    read_only = plain.copy()
    read_only.flags.writeable = False
    found["read-only"] = read_only
    return found


def run(fn, inputs: list[np.ndarray], weight_seed: int = 1, spoil: bool = False) -> list[np.ndarray]:
    """The outputs of ``fn`` and the gradients of its floating inputs; with ``spoil`` a NaN is in what backward starts from."""
    tensors = [wrap(x) if x.flags.writeable else mlkit.tensor(0.0) for x in inputs]
    for t, x in zip(tensors, inputs, strict=True):
        t._array = x
        if x.dtype.kind == "f":
            t.requires_grad_()
    out = fn(*tensors)
    first = out[0] if isinstance(out, tuple) else out
    if first.requires_grad:
        rng = np.random.default_rng(weight_seed)
        weights = np.asarray(rng.standard_normal(tuple(first.shape)), first.detach().numpy().dtype)
        if spoil and weights.size:
            weights.reshape(-1)[weights.size // 2] = np.nan
        first.backward(mlkit.from_numpy(weights))
    found = [t.detach().numpy() for t in (out if isinstance(out, tuple) else (out,))]
    return found + [t.grad.numpy() for t in tensors if t.grad is not None]


def same(fn, inputs: list[np.ndarray], tolerance: float = 2e-6, exact: bool = False) -> None:
    """Kernels and NumPy give the same: values, NaN and infinities, shapes, dtypes; inputs stay as they were."""
    before = [x.copy() for x in inputs]
    ours = run(fn, inputs)
    for x, old in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(x, old)
    with numpy_alone(), np.errstate(all="ignore"):
        theirs = run(fn, inputs)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        if exact:
            np.testing.assert_array_equal(a, b)
            continue
        finite = b[np.isfinite(b)]
        scale = max(1.0, float(np.abs(finite).max())) if finite.size else 1.0
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=tolerance * scale)
