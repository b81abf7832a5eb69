"""autocast and GradScaler: threads, nesting, keeping of casts, calls out of turn; low precisions on NumPy."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest

import mlkit
from mlkit import nn, optim
from mlkit.nn import functional as F
from tests.oracle import autocast_layers, programs_layers


def test_it_belongs_to_the_thread():
    x = mlkit.ones(2, 2)
    seen = []
    with mlkit.autocast("cpu"):
        worker = threading.Thread(target=lambda: seen.append((x @ x).dtype))
        worker.start()
        worker.join()
        assert (x @ x).dtype is mlkit.bfloat16
    assert seen == [mlkit.float32]


def test_it_ends_with_an_error_inside():
    with pytest.raises(ZeroDivisionError), mlkit.autocast("cpu"):
        1 / 0
    assert not mlkit.is_autocast_enabled("cpu")
    assert (mlkit.ones(1, 1) @ mlkit.ones(1, 1)).dtype is mlkit.float32


def test_one_region_can_be_entered_again_within_itself():
    region = mlkit.autocast("cpu")
    with region, region:
        assert mlkit.is_autocast_enabled("cpu")
    assert not mlkit.is_autocast_enabled("cpu")


def test_casts_of_parameters_are_kept_while_they_hold():
    layer, x = nn.Linear(3, 3), mlkit.ones(1, 3)
    casts = []
    stop = mlkit.core.events.subscribe("op", lambda op, i, a, o: casts.append(op.name) if op.name == "cast" else None)
    try:
        for enabled, count in ((True, 3), (False, 6)):
            casts.clear()
            with mlkit.autocast("cpu", cache_enabled=enabled):
                layer(x)
                layer(x)
            # the input (twice), weight and bias (once or twice)
            assert len(casts) == count + enabled
        casts.clear()
        with mlkit.autocast("cpu"):
            first = layer(x)
            with mlkit.no_grad():
                layer.weight.mul_(2.0)
                layer.bias.zero_()
            assert not mlkit.equal(first, layer(x))
            with mlkit.no_grad():
                assert not layer(x).requires_grad
            assert layer(x).requires_grad
    finally:
        stop()


def test_switching_by_hand():
    mlkit.set_autocast_dtype("cpu", mlkit.float16)
    mlkit.set_autocast_enabled("cpu", True)
    try:
        assert (mlkit.ones(2, 2) @ mlkit.ones(2, 2)).dtype is mlkit.float16
    finally:
        mlkit.set_autocast_enabled("cpu", False)
        mlkit.set_autocast_dtype("cpu", mlkit.bfloat16)
    assert (mlkit.ones(2, 2) @ mlkit.ones(2, 2)).dtype is mlkit.float32


def test_arguments_that_cannot_be():
    with pytest.raises(ValueError):
        mlkit.autocast(3)
    with pytest.raises(RuntimeError):
        mlkit.autocast("toaster")
    with pytest.raises(TypeError):
        mlkit.autocast("cpu")(3)
    with pytest.warns(UserWarning, match="not supported"), mlkit.autocast("cpu", dtype=mlkit.float64):
        assert not mlkit.is_autocast_enabled("cpu")
    assert mlkit.amp.is_autocast_available("cpu") and not mlkit.amp.is_autocast_available("toaster")


@pytest.mark.skipif(mlkit.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so_and_does_nothing():
    with pytest.warns(UserWarning, match="CUDA is not available"), mlkit.autocast("cuda"):
        assert (mlkit.ones(2, 2) @ mlkit.ones(2, 2)).dtype is mlkit.float32
    with pytest.warns(UserWarning, match="CUDA is not available"):
        scaler = mlkit.amp.GradScaler()
    assert not scaler.is_enabled() and scaler.get_scale() == 1.0 and scaler.state_dict() == {}
    with pytest.warns(FutureWarning):
        mlkit.cuda.amp.GradScaler(enabled=False)
    with pytest.warns(FutureWarning):
        mlkit.cuda.amp.autocast(enabled=False)


def test_attention_and_losses_within_composites():
    x = mlkit.randn(4, 5)
    with mlkit.autocast("cpu"):
        low = F.linear(x, mlkit.randn(3, 5))
        assert low.dtype is mlkit.bfloat16
        assert F.mse_loss(low, mlkit.zeros(4, 3)).dtype is mlkit.float32
        assert F.cross_entropy(low, mlkit.zeros(4, dtype=mlkit.int64), label_smoothing=0.1).dtype is mlkit.float32


def test_custom_functions():
    class Context:
        pass

    class Doubled:
        @staticmethod
        @mlkit.amp.custom_fwd(device_type="cpu", cast_inputs=mlkit.float32)
        def forward(ctx, x):
            assert not mlkit.is_autocast_enabled("cpu")
            return x * 2

        @staticmethod
        @mlkit.amp.custom_bwd(device_type="cpu")
        def backward(ctx, g):
            return mlkit.is_autocast_enabled("cpu")

    ctx = Context()
    with mlkit.autocast("cpu"):
        assert Doubled.forward(ctx, mlkit.ones(2).bfloat16()).dtype is mlkit.float32
    assert Doubled.backward(ctx, None) is False
    assert Doubled.forward(ctx, mlkit.ones(2).bfloat16()).dtype is mlkit.bfloat16


# --- GradScaler ----------------------------------------------------------------------------------------------------------------


def one(dtype=mlkit.float32):
    p = mlkit.ones(2, dtype=dtype).requires_grad_()
    return p, optim.SGD([p], lr=0.1), mlkit.amp.GradScaler("cpu", init_scale=4.0)


def test_scaler_calls_out_of_turn():
    p, opt, scaler = one()
    with pytest.raises(AssertionError):
        scaler.step(opt)
    with pytest.raises(AssertionError):
        scaler.update()
    scaler.scale((p * p).sum()).backward()
    with pytest.raises(AssertionError):
        scaler.update()
    scaler.unscale_(opt)
    with pytest.raises(RuntimeError, match="already been called"):
        scaler.unscale_(opt)
    scaler.step(opt)
    with pytest.raises(RuntimeError, match="already been called"):
        scaler.step(opt)
    with pytest.raises(RuntimeError, match="after step"):
        scaler.unscale_(opt)
    scaler.update()
    with pytest.raises(RuntimeError, match="Closure"):
        scaler.step(opt, closure=lambda: None)
    with pytest.raises(ValueError):
        scaler.scale(3.0)
    with pytest.raises(RuntimeError, match="empty"):
        scaler.load_state_dict({})


def test_scaler_settings_and_float16_gradients():
    with pytest.raises(AssertionError):
        mlkit.amp.GradScaler("cpu", growth_factor=1.0)
    with pytest.raises(AssertionError):
        mlkit.amp.GradScaler("cpu", backoff_factor=1.0)
    p, opt, scaler = one(mlkit.float16)
    scaler.scale((p * p).sum()).backward()
    with pytest.raises(ValueError, match="FP16"):
        scaler.unscale_(opt)


def test_scaler_with_an_optimizer_without_gradients():
    p, opt, scaler = one()
    scaler.scale((p * p).sum()).backward()
    other = optim.SGD([mlkit.ones(1).requires_grad_()])
    with pytest.raises(AssertionError, match="inf checks"):
        scaler.step(other)


def test_disabled_scaler_steps():
    p, opt, _ = one()
    scaler = mlkit.amp.GradScaler("cpu", enabled=False)
    scaler.scale((p * p).sum()).backward()
    scaler.unscale_(opt)
    scaler.step(opt)
    scaler.update()
    assert p.tolist() == pytest.approx([0.8, 0.8])


# --- low precisions on NumPy -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [mlkit.float16, mlkit.bfloat16])
def test_sums_are_taken_in_float32(dtype):
    x = mlkit.full((5000,), 0.1, dtype=mlkit.float32).to(dtype)
    exact = x.double().sum().item()
    assert x.sum().dtype is dtype
    assert x.sum().item() == pytest.approx(exact, rel=4e-3)
    assert (x @ x).item() == pytest.approx((x.double() @ x.double()).item(), rel=4e-3)
    assert x.mean().item() == pytest.approx(exact / 5000, rel=4e-3)


@pytest.mark.parametrize("dtype", [mlkit.float16, mlkit.bfloat16])
@pytest.mark.parametrize("name", ["gelu", "silu", "softplus", "sigmoid", "leaky_relu", "log_softmax", "elu"])
def test_functions_round_once_and_gradients_keep_the_dtype(name, dtype):
    x = mlkit.linspace(-4, 4, 33).to(dtype).requires_grad_()
    how = {"dim": 0} if "softmax" in name else {}
    y = getattr(F, name)(x, **how)
    y.sum().backward()
    assert y.dtype is dtype and x.grad.dtype is dtype
    exact = getattr(F, name)(x.detach().float(), **how).to(dtype)
    np.testing.assert_array_equal(y.float().detach().numpy(), exact.float().numpy())


def test_views_of_low_precision_share_memory():
    x = mlkit.zeros(2, 3, dtype=mlkit.bfloat16)
    x.t()[0] = 1.0
    assert x.float().tolist() == [[1, 0, 0], [1, 0, 0]]


def test_rules_follow_the_outermost_listed_composite():
    """What runs within a loss is decided by the loss; what is unsafe in float16 is refused on a GPU."""
    from mlkit.amp.autocast_mode import _rule

    assert _rule(("mse_loss", "matmul"), "cpu") == ("full", "mse_loss")
    assert _rule(("matmul",), "cpu") == ("low", "matmul")
    within = ("binary_cross_entropy", "mul")
    assert _rule(within, "cuda")[0] == "refused" and _rule(within, "cpu")[0] == "full"


#: dtypes that depend on which of PyTorch's CPU kernels a case ends in, and a layer that fails there
NOT_AS_THERE = {
    "LSTM_projection": "PyTorch leaves the cell in float32 where there are projections",
    "LSTM_packed": "PyTorch leaves the final states in float32 for packed sequences",
    "AdaptiveLogSoftmaxWithLoss": "fails in PyTorch: index_copy_ of two dtypes",
}


@pytest.mark.parametrize("name", [n for n in programs_layers.LAYERS if n not in NOT_AS_THERE])
def test_dtypes_of_every_layer(name):
    """Under autocast("cpu"): the dtypes of outputs and of all gradients are PyTorch's."""
    kept = json.loads(autocast_layers.KEPT.read_text())
    assert autocast_layers.dtypes_of(name, mlkit) == kept[name]
