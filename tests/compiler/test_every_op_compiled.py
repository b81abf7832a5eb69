"""Compiled equals eager on every op of the registry, with and without gradients, on new numbers each time."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import mlkit
from mlkit.compiler.compiled import compile as compiled_of
from tests.ops.make_inputs import arrays_for, cases
from tests.ops.test_every_op import call, differentiable

#: random ops take a key, which a caller draws from a Generator: tests/compiler/test_compile.py
KEYED = {"dropout", "standard_gamma", "von_mises"}


def numbers(outs):
    return [o.detach().numpy() for o in outs]


def same(found, wanted):
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("op, sample", [c for c in cases() if c.values[0].name not in KEYED])
def test_forward_is_bit_equal(op, sample):
    _, attributes = arrays_for(op, sample)

    def f(*tensors):
        return call(op, tensors, attributes)

    g = compiled_of(f, options={"fusion": False})
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing may fall back to eager
        for seed in (0, 1):
            arrays, _ = arrays_for(op, sample, seed)
            found = g(*[mlkit.from_numpy(a.copy()) for a in arrays])
            same(numbers(found), numbers(f(*[mlkit.from_numpy(a.copy()) for a in arrays])))
    assert g._compiled.recordings == 1


def smooth(tensors):
    return [t.requires_grad_() if t.is_floating_point() or t.is_complex() else t for t in tensors]


@pytest.mark.parametrize(
    "op, sample", [c for c in cases() if differentiable(*c.values) and c.values[0].name not in KEYED]
)
def test_gradients_are_eagers(op, sample):
    _, attributes = arrays_for(op, sample)

    def f(*tensors):
        outs = call(op, tensors, attributes)
        return tuple(o * 2 if o.is_floating_point() or o.is_complex() else o for o in outs)

    def gradients(fn, arrays):
        tensors = smooth([mlkit.from_numpy(a.copy()) for a in arrays])
        outs = [o for o in fn(*tensors) if o.requires_grad]
        if not outs:
            return []
        weights = [mlkit.ones_like(o) * (i + 0.5) for i, o in enumerate(outs)]
        mlkit.autograd.backward(outs, weights)
        return [t.grad.numpy() for t in tensors if t.grad is not None]

    g = compiled_of(f, options={"fusion": False})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in (0, 1):
            arrays, _ = arrays_for(op, sample, seed)
            with np.errstate(all="ignore"):
                found, wanted = gradients(g, arrays), gradients(f, arrays)
            assert len(found) == len(wanted)
            for a, b in zip(found, wanted, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    assert g._compiled.recordings == 1
