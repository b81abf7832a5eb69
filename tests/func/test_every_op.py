"""Forward mode and vmap of every op in the registry, over all samples."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

import mlkit
from mlkit.autograd import forward_ad
from mlkit.func import vmap
from tests.ops.make_inputs import arrays_for, cases
from tests.ops.test_every_op import call, differentiable, directional, tensors_at

#: ops that must have a real rule: what networks are made of. The others may run example by example.
FAST = set(
    "add mul where softmax log_softmax sum mean var amax cumsum sort topk argmax reshape permute expand slice cat "
    "constant_pad gather scatter_add index index_select matmul linear conv1d conv2d conv3d conv2d_input_grad "
    "conv2d_weight_grad max_pool2d avg_pool2d max_pool2d_grad avg_pool2d_grad batch_norm_train batch_norm_eval layer_norm "
    "nll_pick nll_place".split()
)


def tensor(array):
    return mlkit.from_numpy(np.asarray(array))


def close(got: np.ndarray, wanted: np.ndarray) -> None:
    """Equal but for the order in which a batch is summed: a few roundings of the dtype."""
    loose = wanted.dtype in (np.float32, np.complex64)
    np.testing.assert_allclose(got, wanted, rtol=1e-6 if loose else 1e-10, atol=1e-7 if loose else 1e-12)


@pytest.mark.parametrize("op, sample", [c for c in cases() if differentiable(*c.values)])
def test_tangent_along_a_random_direction(op, sample):
    arrays, attributes, weights, smooth, directions = directional(op, sample)
    if not smooth or all(w is None for w in weights):
        pytest.skip("no smooth input in this sample")
    h = 1e-6
    up, down = (call(op, tensors_at(arrays, directions, step), attributes) for step in (h, -h))
    with forward_ad.dual_level():
        tensors = tensors_at(arrays, directions, 0.0)
        duals = [
            forward_ad.make_dual(t, tensor(directions[i])) if i in directions else t for i, t in enumerate(tensors)
        ]
        outs = call(op, duals, attributes)
        plain = call(op, tensors, attributes)
        for out, reference, a, b, weight in zip(outs, plain, up, down, weights, strict=True):
            primal, tangent = forward_ad.unpack_dual(out)
            np.testing.assert_array_equal(primal.numpy(), reference.numpy())
            if weight is None:
                continue
            numeric = (a.numpy() - b.numpy()) / (2 * h)
            got = np.zeros_like(numeric) if tangent is None else tangent.numpy()
            assert got.dtype == reference.numpy().dtype
            np.testing.assert_allclose(got, numeric, rtol=2e-6, atol=3e-7)


@pytest.mark.parametrize("op, sample", [c for c in cases() if differentiable(*c.values)])
def test_tangent_of_one_input_at_a_time_is_the_transpose_of_the_gradient(op, sample):
    """<w, J d> = <J* w, d> for each smooth input alone, which needs no step size."""
    arrays, attributes, weights, smooth, directions = directional(op, sample, seed=3)
    if all(w is None for w in weights):
        pytest.skip("no smooth output in this sample")
    for i in smooth:
        one = {i: directions[i]}
        tensors = tensors_at(arrays, one, 0.0, requires_grad=True)
        outs = call(op, tensors, attributes)
        pairs = [(o, w) for o, w in zip(outs, weights, strict=True) if w is not None and o.requires_grad]
        pulled = 0.0
        if pairs:
            grads = mlkit.autograd.grad([o for o, _ in pairs], tensors[i], [w for _, w in pairs], allow_unused=True)
            if grads[0] is not None:
                pulled = float(np.real(np.vdot(grads[0].numpy(), directions[i])))
        with forward_ad.dual_level():
            tensors = tensors_at(arrays, one, 0.0)
            tensors[i] = forward_ad.make_dual(tensors[i], tensor(directions[i]))
            pushed = 0.0
            for out, w in zip(call(op, tensors, attributes), weights, strict=True):
                tangent = forward_ad.unpack_dual(out).tangent
                if w is not None and tangent is not None:
                    pushed += float(np.real(np.vdot(w.numpy(), tangent.numpy())))
        assert pushed == pytest.approx(pulled, rel=1e-9, abs=1e-9)


def batches(op, sample, size=3):
    """Different numbers for each example, stacked."""
    each = [arrays_for(op, sample, seed)[0] for seed in range(size)]
    return [np.stack(arrays) for arrays in zip(*each, strict=True)], arrays_for(op, sample)[1]


@pytest.mark.parametrize("op, sample", [c for c in cases() if not c.values[0].random and c.values[1]])
def test_vmap_is_a_loop(op, sample):
    stacked, attributes = batches(op, sample)
    if not stacked:
        pytest.skip("no tensors")
    size = 3
    ways = set(itertools.product((0, None), repeat=min(len(stacked), 3))) - {(None,) * min(len(stacked), 3)}
    slow = False
    for way in sorted(ways, key=str):
        has = [*way, *[way[-1]] * (len(stacked) - len(way))]
        if any(h == 0 and a.dtype == bool for h, a in zip(has, stacked, strict=True)) and op.name in (
            "index",
            "index_put",
        ):
            continue
        inputs = [tensor(a if h == 0 else a[0]) for a, h in zip(stacked, has, strict=True)]
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            outs = vmap(lambda *t: call(op, list(t), attributes), in_dims=tuple(has))(*inputs)
        slow = slow or any("example by example" in str(w.message) for w in seen)
        for i in range(size):
            examples = [tensor((a[i] if h == 0 else a[0]).copy()) for a, h in zip(stacked, has, strict=True)]
            for got, wanted in zip(outs, call(op, examples, attributes), strict=True):
                assert got.dtype == wanted.dtype
                assert got.shape == (size, *wanted.shape)
                close(got[i].numpy(), wanted.numpy())
    assert not (slow and op.name in FAST)


@pytest.mark.parametrize("op, sample", [c for c in cases() if not c.values[0].random and c.values[1]])
def test_vmap_over_the_last_dim(op, sample):
    stacked, attributes = batches(op, sample)
    if not stacked or any(a.dtype == bool for a in stacked) and op.name in ("index", "index_put"):
        pytest.skip("masks cannot be batched")
    inputs = [tensor(np.moveaxis(a, 0, -1)) for a in stacked]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outs = vmap(lambda *t: call(op, list(t), attributes), in_dims=-1, out_dims=-1)(*inputs)
    for i in range(3):
        wanted = call(op, [tensor(a[i].copy()) for a in stacked], attributes)
        for got, each in zip(outs, wanted, strict=True):
            close(got[..., i].numpy(), each.numpy())
