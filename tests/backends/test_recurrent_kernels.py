"""LSTM over sequences: what inference does in one go is what training computes, for every number of threads."""

from __future__ import annotations

import numpy as np
import pytest

import mlkit
from mlkit import nn
from mlkit.backends.numba import pool
from mlkit.core import events
from tests.backends.kernel_checks import needs_numba, numpy_alone

pytestmark = needs_numba

#: examples, steps, inputs, hidden size: inputs step by step and all at once, whole blocks and rests, several chunks
SIZES = [
    (64, 5, 128, 128), (1, 7, 128, 128), (7, 5, 32, 48), (8, 4, 32, 48), (70, 4, 16, 16), (150, 2, 16, 32), (13, 5, 20, 16),
    (9, 6, 208, 208), (3, 4, 16, 20),
]  # fmt: skip


def outputs(model, *given) -> list[np.ndarray]:
    out, (hidden, cell) = model(*given)
    return [t.detach().numpy() for t in (out, hidden, cell)]


def equal(found: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    for a, b in zip(found, wanted, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("how", [{}, {"batch_first": True, "num_layers": 2}, {"bidirectional": True, "bias": False}])
@pytest.mark.parametrize("size", SIZES)
def test_inference_is_what_training_computes(size, how):
    batch, steps, inputs, hidden = size
    mlkit.manual_seed(3)
    model = nn.LSTM(inputs, hidden, **how)
    x = mlkit.randn(*((batch, steps) if model.batch_first else (steps, batch)), inputs)
    start = [mlkit.randn(model.num_layers * (1 + model.bidirectional), batch, hidden) for _ in range(2)]
    for given in ((x,), (x, start)):
        kept = [t.numpy().copy() for t in (x, *start)]
        trained = outputs(model, *given)
        with mlkit.no_grad():
            equal(outputs(model, *given), trained)
            with numpy_alone():
                slow = outputs(model, *given)
        for a, b in zip(trained, slow, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)
        equal([t.numpy() for t in (x, *start)], kept)


def test_numbers_are_the_same_for_every_number_of_threads():
    mlkit.manual_seed(4)
    model = nn.LSTM(32, 48, batch_first=True)
    x = mlkit.randn(150, 6, 32)

    def training():
        model.zero_grad()
        out, _ = model(x)
        (out * out).sum().backward()
        return [out.detach().numpy(), *(p.grad.numpy().copy() for p in model.parameters())]

    def inference():
        with mlkit.no_grad():
            return outputs(model, x)

    before = pool.threads()
    try:
        found = []
        for count in (1, 2, 3):
            pool.set_threads(count)
            found.append([*training(), *inference()])
    finally:
        pool.set_threads(before)
    for other in found[1:]:
        equal(other, found[0])


def test_inputs_may_lie_anywhere_in_memory():
    mlkit.manual_seed(5)
    model = nn.LSTM(16, 32)
    plain = mlkit.randn(6, 24, 16)
    with mlkit.no_grad():
        wanted = outputs(model, plain)
        for x in (
            mlkit.from_numpy(np.repeat(plain.numpy(), 2, axis=0))[::2],
            mlkit.from_numpy(np.repeat(plain.numpy(), 3, axis=1))[:, ::3],
            mlkit.from_numpy(np.repeat(plain.numpy(), 2, axis=2))[:, :, ::2],
            plain.permute(2, 1, 0).contiguous().permute(2, 1, 0),
            plain.flip(0).contiguous().flip(0),
        ):
            equal(outputs(model, x), wanted)
        equal(outputs(model, plain[:1].expand(6, 24, 16)), outputs(model, plain[:1].expand(6, 24, 16).contiguous()))


def test_who_watches_sees_the_two_operations():
    model, seen = nn.LSTM(16, 16), []
    with mlkit.no_grad():
        alone = outputs(model, mlkit.ones(8, 8, 16))
        stop = events.subscribe("op", lambda op, *rest: seen.append(op.name))
        try:
            equal(outputs(model, mlkit.ones(8, 8, 16)), alone)
        finally:
            stop()
    assert "linear" in seen and "lstm_sequence" in seen and "lstm_states" not in seen


def test_a_compiled_model_gives_the_same():
    mlkit.manual_seed(6)
    model = nn.LSTM(32, 48, num_layers=2, batch_first=True)
    compiled = mlkit.compile(model)
    with mlkit.no_grad():
        for _ in range(3):
            x = mlkit.randn(12, 5, 32)
            equal(outputs(compiled, x), outputs(model, x))


def test_wrong_shapes_are_explained_as_ever():
    model = nn.LSTM(16, 32)
    with mlkit.no_grad(), pytest.raises(mlkit.core.errors.ShapeError, match="hidden"):
        model(mlkit.zeros(5, 3, 16), (mlkit.zeros(1, 3, 31), mlkit.zeros(1, 3, 32)))
