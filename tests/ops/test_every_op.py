"""Every op of the registry, walked over its samples: a new op is tested by being there."""

from __future__ import annotations

import numpy as np
import pytest

import mlkit
from mlkit.core.backend import load
from mlkit.core.dispatch import ops
from mlkit.core.value import MetaArray, wrap
from mlkit.ops import REGISTRY
from tests.ops.make_inputs import arrays_for, cases, direction_for, split

#: ops without samples: why, and where they are tested instead
ELSEWHERE = {
    "uniform": "random draws: tests/core/test_random.py",
    "normal": "random draws: tests/core/test_random.py",
    "random_integers": "random draws: tests/core/test_random.py",
    "random_permutation": "random draws: tests/core/test_random.py",
    "poisson": "random draws: tests/core/test_random.py",
    "binomial": "random draws: tests/core/test_random.py",
    "view_write": "in-place changes: tests/core/test_inplace.py",
    "eig": "complex eigenvectors have a phase: tests/linalg/test_decompositions.py",
    "ldl_factor": "its layout: tests/linalg/test_decompositions.py",
    "to_device": "moves between devices: tests/core/test_devices.py",
}


def call(op, tensors, attributes):
    entry = getattr(ops, "conj_op" if op.name == "conj" else op.name)
    out = entry(list(tensors), **attributes) if op.variadic else entry(*tensors, **attributes)
    return out if isinstance(out, tuple) else (out,)


def test_every_op_has_samples_or_a_named_test():
    without = {name for name, op in REGISTRY.items() if not op.samples}
    assert without == set(ELSEWHERE)


def test_every_op_says_what_it_does():
    silent = [name for name, op in REGISTRY.items() if not (type(op).__doc__ or "").strip()]
    assert silent == []


@pytest.mark.parametrize("op, sample", cases())
def test_infer_agrees_with_forward(op, sample):
    arrays, attributes = arrays_for(op, sample)
    outs = call(op, [mlkit.from_numpy(a) for a in arrays], attributes)
    metas = call(op, [mlkit.core.value.wrap(MetaArray(a.shape, a.dtype)) for a in arrays], attributes)
    for real, meta in zip(outs, metas, strict=True):
        assert tuple(meta.shape) == tuple(real.shape)
        assert meta.dtype == real.dtype


@pytest.mark.parametrize("op, sample", cases())
def test_inputs_stay_and_memory_order_does_not_matter(op, sample):
    arrays, attributes = arrays_for(op, sample)
    before = [a.copy() for a in arrays]
    plain = call(op, [mlkit.from_numpy(a) for a in arrays], attributes)
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(a, b)
    if op.name in ("as_strided", "view_as_complex"):
        return  # reads raw memory: its order is the point
    strange = (
        np.asfortranarray,
        lambda a: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a,
        lambda a: np.flip(np.flip(a).copy()) if a.ndim else a,
    )
    for make in strange:
        turned = call(op, [wrap(make(a)) for a in arrays], attributes)
        for x, y in zip(plain, turned, strict=True):
            np.testing.assert_allclose(x.numpy(), y.numpy(), rtol=1e-12, atol=1e-12)


def smooth_inputs(op, arrays):
    return [i for i, a in enumerate(arrays) if a.dtype.kind in "fc"]


def differentiable(op, sample) -> bool:
    if sample and isinstance(sample[-1], dict) and "padding_idx" in sample[-1]:
        return False  # its gradient is masked on purpose: tests/nn
    return op.differentiable and op.rules is not None and op.name not in ("cast",)


def scalar_of(op, arrays, attributes, weights):
    """A number made of all smooth outputs, so that one derivative tests them all."""

    def f(tensors):
        total = None
        for out, w in zip(call(op, tensors, attributes), weights, strict=True):
            if w is None:
                continue
            term = (out * w).sum()
            term = term.real if term.is_complex() else term
            total = term if total is None else total + term
        return total

    return f


def directional(op, sample, seed=0):
    rng = np.random.default_rng(seed + 100)
    arrays, attributes = arrays_for(op, sample, seed)
    outs = call(op, [mlkit.from_numpy(a) for a in arrays], attributes)
    weights = []
    for o in outs:
        if not (o.is_floating_point() or o.is_complex()):
            weights.append(None)
            continue
        w = rng.normal(size=tuple(o.shape))
        weights.append(mlkit.from_numpy(np.asarray(w + 1j * rng.normal(size=tuple(o.shape)) if o.is_complex() else w)))
    smooth = smooth_inputs(op, arrays)
    specs, _ = split(op, sample)
    directions = {}
    for i in smooth:
        directions[i] = direction_for(specs[i], arrays[i], rng)
    return arrays, attributes, weights, smooth, directions


def tensors_at(arrays, directions, step, requires_grad=False):
    out = []
    for i, a in enumerate(arrays):
        t = mlkit.from_numpy(np.asarray(a + step * directions[i] if i in directions else a))
        out.append(t.requires_grad_() if requires_grad and i in directions else t)
    return out


def slope(grads, directions, smooth):
    total = 0.0
    for g, i in zip(grads, smooth, strict=True):
        if g is None:
            continue
        d = mlkit.from_numpy(directions[i])
        product = (g * d.conj()).sum()
        total = total + (product.real if product.is_complex() else product)
    return total


@pytest.mark.parametrize("op, sample", [c for c in cases() if differentiable(*c.values)])
def test_gradient_along_a_random_direction(op, sample):
    arrays, attributes, weights, smooth, directions = directional(op, sample)
    if not smooth or all(w is None for w in weights):
        pytest.skip("no smooth input in this sample")
    f = scalar_of(op, arrays, attributes, weights)
    tensors = tensors_at(arrays, directions, 0.0, requires_grad=True)
    y = f(tensors)
    if not y.requires_grad:
        return
    got = float(slope(mlkit.autograd.grad(y, [tensors[i] for i in smooth], allow_unused=True), directions, smooth))
    h = 1e-6
    numeric = (float(f(tensors_at(arrays, directions, h))) - float(f(tensors_at(arrays, directions, -h)))) / (2 * h)
    assert got == pytest.approx(numeric, rel=2e-6, abs=2e-7)


@pytest.mark.parametrize("op, sample", [c for c in cases() if differentiable(*c.values)])
def test_second_gradient_along_a_random_direction(op, sample):
    arrays, attributes, weights, smooth, directions = directional(op, sample, seed=1)
    if not smooth or all(w is None for w in weights):
        pytest.skip("no smooth input in this sample")
    f = scalar_of(op, arrays, attributes, weights)

    def first(step, create_graph):
        tensors = tensors_at(arrays, directions, step, requires_grad=True)
        y = f(tensors)
        if not y.requires_grad:
            return None, tensors
        grads = mlkit.autograd.grad(y, [tensors[i] for i in smooth], create_graph=create_graph, allow_unused=True)
        return slope(grads, directions, smooth), tensors

    s, tensors = first(0.0, True)
    h = 1e-5
    up, down = first(h, False)[0], first(-h, False)[0]
    numeric = 0.0 if up is None else (float(up) - float(down)) / (2 * h)
    got = 0.0
    if isinstance(s, mlkit.Tensor) and s.requires_grad:
        got = float(slope(mlkit.autograd.grad(s, [tensors[i] for i in smooth], allow_unused=True), directions, smooth))
    assert got == pytest.approx(numeric, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("op, sample", cases())
def test_float32_stays_float32(op, sample):
    """No rule may let NumPy widen: results and gradients have the input's precision."""
    arrays, attributes = arrays_for(op, sample)
    if op.name == "cast":
        return
    narrow = [a.astype({"f": np.float32, "c": np.complex64}.get(a.dtype.kind, a.dtype)) for a in arrays]
    tensors = [mlkit.from_numpy(a) for a in narrow]
    smooth = smooth_inputs(op, narrow)
    for i in smooth:
        tensors[i].requires_grad_()
    outs = call(op, tensors, attributes)
    assert not [o.dtype for o in outs if o.dtype in (mlkit.float64, mlkit.complex128)]
    total = None
    for o in outs:
        if o.requires_grad:
            term = o.sum().real if o.is_complex() else o.sum()
            total = term if total is None else total + term
    if total is None:
        return
    total.backward()
    for i in smooth:
        g = tensors[i].grad
        if g is not None:
            assert g.dtype == tensors[i].dtype
            assert g.shape == tensors[i].shape


@pytest.mark.parametrize("op, sample", cases())
def test_numpy_backend_kernel_is_the_ops_own(op, sample):
    """The fast way and the full way give the same numbers."""
    arrays, attributes = arrays_for(op, sample)
    tensors = [mlkit.from_numpy(a) for a in arrays]
    fast = call(op, tensors, attributes)
    stop = mlkit.core.events.subscribe("op", lambda *args: None)
    try:
        full = call(op, tensors, attributes)
    finally:
        stop()
    for x, y in zip(fast, full, strict=True):
        np.testing.assert_array_equal(x.numpy(), y.numpy())
    assert load("numpy").kernel(op) is not None
