"""Layers, losses and functional forms against PyTorch's numbers; and what has no numbers: hooks, reparametrisations,
lazy layers, containers, initial values."""

from __future__ import annotations

import copy
import inspect
import json
import math

import numpy as np
import pytest

import mlkit
from mlkit import nn
from mlkit.nn import functional as F
from tests.oracle import cases_layers, differences, exchange_live, expected, parity, programs_layers
from tests.oracle.signatures import found, text

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("name", programs_layers.LAYERS)
def test_layer(name):
    assert {column: lines for column, lines in parity.row(name).items() if lines} == {}


@pytest.mark.parametrize("name", cases_layers.CASES)
def test_function(name):
    got = cases_layers.run(name, cases_layers.CASES[name], mlkit, F)
    assert differences(got, expected(f"function/{name}")) == []


@pytest.mark.parametrize("number", range(len(cases_layers.BAD)))
def test_bad_argument(number):
    expression, kind = expected(f"bad/{number}")["kind"].tolist()
    assert expression == cases_layers.BAD[number], "run python -m tests.oracle.make_torch"
    with pytest.raises(getattr(__import__("builtins"), kind)):
        cases_layers.evaluate(expression, mlkit)


def test_every_class_of_pytorch_is_here_or_left_out_for_a_reason():
    missing = {name for name in programs_layers.TORCH_NN if not hasattr(nn, name)}
    assert missing == set(programs_layers.LEFT_OUT)
    assert all(len(why) > 20 for why in programs_layers.LEFT_OUT.values())


#: what is not here, and why; and signatures that differ on purpose
ELSEWHERE = {
    "nn.factory_kwargs": "a helper of PyTorch's own constructors",
    "nn.functional.assert_int_or_pair": "a helper of PyTorch's own functions",
    "nn.functional.boolean_dispatch": "a helper of PyTorch's own functions",
    "nn.functional.handle_torch_function": "PyTorch's override protocol",
    "nn.functional.grouped_mm": "products in 8-bit floats on one kind of GPU",
    "nn.functional.scaled_grouped_mm": "products in 8-bit floats on one kind of GPU",
    "nn.functional.scaled_mm": "products in 8-bit floats on one kind of GPU",
    "nn.utils.convert_conv2d_weight_memory_format": "channels-last weights: memory formats are not kept here",
    "nn.utils.convert_conv3d_weight_memory_format": "channels-last weights: memory formats are not kept here",
    "nn.utils.rnn.bind": "a helper of PyTorch's own functions",
    "nn.utils.rnn.copy_method_params": "a helper of PyTorch's own functions",
}


def test_signatures_are_pytorchs():
    wanted = {path: str(line) for path, line in expected("signature").items()}
    assert len(wanted) > 300
    missing, differ = [], {}
    for path, line in wanted.items():
        owner = path.removesuffix(".__init__").removesuffix(".forward")
        if found(mlkit, owner) is None:
            missing.append(owner)
            continue
        own = text(found(mlkit, path))
        if own not in (line, "args, kwargs") and not owner.endswith("_with_indices"):
            differ[path] = f"{own} is not {line}"
    assert set(missing) - {f"nn.{name}" for name in programs_layers.LEFT_OUT} == set(ELSEWHERE)
    assert differ == {}


def test_every_layer_has_a_program():
    covered = {name.split("_")[0] for name in programs_layers.LAYERS}
    own = {
        "ContrastiveLoss",
        "DiceLoss",
        "FocalLoss",
        "InfoNCELoss",
        "KVCache",
        "RotaryPositions",
        "SinusoidalPositions",
    }
    classes = {name for name in nn.__all__ if inspect.isclass(getattr(nn, name))}
    assert classes - covered - programs_layers.WITHOUT_NUMBERS == own  # tested below against their definitions


def test_every_public_layer_says_what_it_does():
    silent = [n for n in nn.__all__ if inspect.isclass(getattr(nn, n)) and not vars(getattr(nn, n)).get("__doc__")]
    assert silent == []


# --- losses and layers beyond PyTorch, from their definitions ---------------------------------------------------------------


def test_contrastive_loss():
    a, b = np.random.default_rng(0).normal(size=(2, 6, 3))
    same = np.array([1.0, 0, 1, 0, 0, 1])
    d = np.linalg.norm(a - b, axis=1)
    wanted = (same * d**2 + (1 - same) * np.maximum(0, 2.5 - d) ** 2) / 2
    got = nn.ContrastiveLoss(2.5, reduction="none")(*map(mlkit.tensor, (a, b, same)))
    np.testing.assert_allclose(got.numpy(), wanted)
    with pytest.raises(RuntimeError, match="one label per pair"):
        nn.ContrastiveLoss()(mlkit.zeros(2, 3), mlkit.zeros(2, 3), mlkit.zeros(3))


def test_info_nce_loss():
    q, k, other = np.random.default_rng(0).normal(size=(3, 4, 5))
    unit = lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True)  # noqa: E731
    scores = unit(q) @ unit(k).T / 0.2
    wanted = -np.mean(np.diag(scores) - np.log(np.exp(scores).sum(1)))
    assert nn.InfoNCELoss(0.2)(mlkit.tensor(q), mlkit.tensor(k)).item() == pytest.approx(wanted)
    scores = np.concatenate([(unit(q) * unit(k)).sum(1, keepdims=True), unit(q) @ unit(other).T], 1) / 0.2
    wanted = -np.mean(scores[:, 0] - np.log(np.exp(scores).sum(1)))
    given = [mlkit.tensor(x) for x in (q, k, other)]
    assert nn.InfoNCELoss(0.2)(*given).item() == pytest.approx(wanted)
    each = mlkit.tensor(np.broadcast_to(other, (4, 4, 5)).copy())
    assert nn.InfoNCELoss(0.2)(given[0], given[1], each).item() == pytest.approx(wanted)


def test_focal_loss():
    x = np.random.default_rng(0).normal(size=(5, 3))
    y = np.array([0, 2, 1, 1, 0])
    p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    p = p[np.arange(5), y]
    alpha = np.array([0.2, 0.5, 0.3])
    wanted = np.mean(-alpha[y] * (1 - p) ** 2 * np.log(p))
    assert nn.FocalLoss(mlkit.tensor(alpha))(mlkit.tensor(x), mlkit.tensor(y)).item() == pytest.approx(wanted)
    assert nn.FocalLoss(gamma=0)(mlkit.tensor(x), mlkit.tensor(y)).item() == pytest.approx(
        F.cross_entropy(mlkit.tensor(x), mlkit.tensor(y)).item()
    )
    z = (x > 0).astype(float)
    s = 1 / (1 + np.exp(-x))
    pt, at = np.where(z == 1, s, 1 - s), np.where(z == 1, 0.25, 0.75)
    wanted = np.mean(-at * (1 - pt) ** 2 * np.log(pt))
    assert nn.FocalLoss(0.25)(mlkit.tensor(x), mlkit.tensor(z)).item() == pytest.approx(wanted)


def test_dice_loss():
    p = np.random.default_rng(0).uniform(size=(2, 3, 4, 4))
    y = np.random.default_rng(1).integers(0, 3, (2, 4, 4))
    hot = np.moveaxis(np.eye(3)[y], -1, 1)
    wanted = 1 - (2 * (p * hot).sum((2, 3)) + 1) / ((p + hot).sum((2, 3)) + 1)
    for target in (y, hot):
        got = nn.DiceLoss(reduction="none")(mlkit.tensor(p), mlkit.tensor(target))
        np.testing.assert_allclose(got.numpy(), wanted)


def test_rotary_attention_depends_on_distances_only():
    mlkit.manual_seed(0)
    q, k = mlkit.randn(1, 8, dtype=mlkit.float64), mlkit.randn(1, 8, dtype=mlkit.float64)
    for interleaved in (False, True):
        turn = nn.RotaryPositions(8, interleaved=interleaved)
        near = (turn(q, start=7) * turn(k, start=3)).sum().item()
        far = (turn(q, start=107) * turn(k, start=103)).sum().item()
        other = (turn(q, start=107) * turn(k, start=100)).sum().item()
        assert near == pytest.approx(far) and near != pytest.approx(other)


def test_sinusoidal_positions():
    table = F.sinusoidal_positions(7, 6, dtype=mlkit.float64).numpy()
    for place, i in ((0, 0), (3, 2), (6, 4)):
        angle = place / 10000 ** (i / 6)
        assert table[place, i] == pytest.approx(math.sin(angle))
        assert table[place, i + 1] == pytest.approx(math.cos(angle))
    layer = nn.SinusoidalPositions(6, max_length=7)
    assert list(layer.state_dict()) == []
    with pytest.raises(RuntimeError, match="7 places"):
        layer(mlkit.zeros(1, 8, 6))


@pytest.mark.parametrize("max_length", [None, 6])
def test_kv_cache_gives_the_same_as_the_whole_sequence(max_length):
    mlkit.manual_seed(0)
    q, k, v = (mlkit.randn(1, 2, 6, 4) for _ in range(3))
    whole = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    cache = nn.KVCache(max_length)
    for t in range(6):
        keys, values = cache.update(k[:, :, t : t + 1], v[:, :, t : t + 1])
        step = F.scaled_dot_product_attention(q[:, :, t : t + 1], keys, values)
        assert mlkit.allclose(step, whole[:, :, t : t + 1], atol=1e-6)
    assert len(cache) == 6
    if max_length:
        with pytest.raises(RuntimeError, match="max_length=6"):
            cache.update(k[:, :, :1], v[:, :, :1])
    cache.reset()
    assert len(cache) == 0


# --- randomness ---------------------------------------------------------------------------------------------------------


def test_dropout_of_channels_and_alpha_dropout():
    mlkit.manual_seed(0)
    x = mlkit.ones(200, 6, 5)
    out = nn.Dropout1d(0.3)(x)
    flat = out.numpy()
    assert (flat.min(-1) == flat.max(-1)).all() and abs((flat == 0).mean() - 0.3) < 0.05
    assert set(np.unique(flat)) == {0.0, np.float32(1 / 0.7)}
    normal = mlkit.randn(100000)
    out = nn.AlphaDropout(0.2)(normal)
    assert abs(out.mean().item()) < 0.02 and abs(out.std().item() - 1) < 0.02
    out = nn.FeatureAlphaDropout(0.5)(mlkit.zeros(50, 8, 3)).numpy()
    assert (out.min(-1) == out.max(-1)).all() and len(np.unique(out)) == 2


def test_rrelu_slopes_lie_between_the_bounds():
    mlkit.manual_seed(0)
    x = mlkit.full((1000,), -1.0, requires_grad=True)
    out = nn.RReLU(0.1, 0.3)(x)
    out.sum().backward()
    assert mlkit.allclose(x.grad, -out.detach())
    assert 0.1 <= x.grad.min() and x.grad.max() <= 0.3 and x.grad.std() > 0.04


def test_gumbel_softmax():
    mlkit.manual_seed(0)
    logits = mlkit.tensor([math.log(0.1), math.log(0.6), math.log(0.3)]).expand(20000, 3).clone().requires_grad_()
    hard = F.gumbel_softmax(logits, hard=True)
    assert mlkit.allclose(hard.sum(1), mlkit.ones(20000))
    np.testing.assert_allclose(hard.detach().mean(0).numpy(), [0.1, 0.6, 0.3], atol=0.02)
    hard[:, 0].sum().backward()
    assert logits.grad.abs().sum() > 0


def test_rnn_dropout_between_layers():
    mlkit.manual_seed(0)
    layer = nn.LSTM(3, 4, 2, dropout=0.5)
    x = mlkit.randn(5, 2, 3)
    assert not mlkit.equal(layer(x)[0], layer(x)[0])
    layer.eval()
    assert mlkit.equal(layer(x)[0], layer(x)[0])


def test_fractional_pool_draws_its_own_places():
    mlkit.manual_seed(0)
    x = mlkit.arange(64.0).reshape(1, 1, 8, 8)
    seen = {tuple(nn.FractionalMaxPool2d(2, output_size=5)(x).reshape(-1).tolist()) for _ in range(40)}
    assert len(seen) > 1 and all(values[-1] == 63 for values in seen)


# --- packed sequences ---------------------------------------------------------------------------------------------------


def test_packed_equals_each_sequence_alone():
    mlkit.manual_seed(0)
    layer = nn.GRU(3, 4, 2, bidirectional=True).double()
    rows = [mlkit.randn(n, 3, dtype=mlkit.float64) for n in (2, 5, 3)]
    output, h = layer(nn.utils.rnn.pack_sequence(rows, enforce_sorted=False))
    for i, (row, got) in enumerate(zip(rows, nn.utils.rnn.unpack_sequence(output), strict=True)):
        alone, state = layer(row)
        assert mlkit.allclose(got, alone) and mlkit.allclose(h[:, i], state)


def test_packed_round_trip():
    rows = [mlkit.randn(n, 2) for n in (4, 1, 3)]
    packed = nn.utils.rnn.pack_sequence(rows, enforce_sorted=False)
    data, sizes, order, back = packed
    assert sizes.tolist() == [3, 2, 2, 1] and order.tolist() == [0, 2, 1] and back.tolist() == [0, 2, 1]
    for a, b in zip(nn.utils.rnn.unpack_sequence(packed), rows, strict=True):
        assert mlkit.equal(a, b)
    assert packed.double().data.dtype == mlkit.float64


# --- lazy layers --------------------------------------------------------------------------------------------------------


def test_lazy_layers_learn_their_sizes_and_become_ordinary():
    model = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2))
    assert "UninitializedParameter" in repr(model[0].weight)
    with pytest.raises(RuntimeError, match="uninitialized"):
        model[0].weight.shape
    model(mlkit.randn(2, 3, 6, 6))
    assert [type(m) for m in model] == [nn.Conv2d, nn.BatchNorm2d, nn.Flatten, nn.Linear]
    assert model[3].in_features == 64 and type(model[3].weight) is nn.Parameter
    fresh = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2))
    fresh.load_state_dict(model.state_dict())
    x = mlkit.randn(2, 3, 6, 6)
    assert mlkit.allclose(fresh.eval()(x), model.eval()(x))


def test_lazy_parameters_go_to_the_optimizer_after_the_first_call():
    layer = copy.deepcopy(nn.LazyLinear(3))
    layer(mlkit.ones(2, 4))
    optimizer = mlkit.optim.SGD(layer.parameters(), lr=0.1)
    layer(mlkit.ones(2, 4)).sum().backward()
    before = layer.weight.detach().clone()
    optimizer.step()
    assert not mlkit.equal(before, layer.weight)


# --- reparametrisations ---------------------------------------------------------------------------------------------------


class Double(nn.Module):
    def forward(self, x):
        return x * 2

    def right_inverse(self, x):
        return x / 2


def test_parametrize_and_back():
    layer = nn.Linear(3, 2)
    weight, object_ = layer.weight.detach().clone(), layer.weight
    nn.utils.parametrize.register_parametrization(layer, "weight", Double())
    assert nn.utils.parametrize.is_parametrized(layer, "weight") and isinstance(layer, nn.Linear)
    assert mlkit.allclose(layer.weight, weight)  # right_inverse keeps the value
    assert list(layer.state_dict()) == ["bias", "parametrizations.weight.original"]
    assert layer.parametrizations.weight.original is object_  # optimizers still know it
    layer.weight = mlkit.ones(2, 3)
    assert mlkit.allclose(layer.parametrizations.weight.original, mlkit.full((2, 3), 0.5))
    layer(mlkit.ones(1, 3)).sum().backward()
    assert mlkit.allclose(layer.parametrizations.weight.original.grad, mlkit.full((2, 3), 2.0))
    twin = copy.deepcopy(layer)
    assert mlkit.equal(twin.weight, layer.weight) and twin.parametrizations.weight.original is not object_
    with nn.utils.parametrize.cached():
        assert layer.weight is layer.weight
    nn.utils.parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is nn.Linear and mlkit.allclose(layer.weight, mlkit.ones(2, 3))
    assert isinstance(layer.weight, nn.Parameter)
    assert type(nn.Linear(1, 1)) is nn.Linear  # other layers are untouched
    assert not nn.utils.parametrize.is_parametrized(nn.Linear(1, 1))


def test_a_chain_of_parametrizations():
    layer = nn.Linear(3, 2)
    before = layer.weight.detach().clone()
    for _ in range(2):
        nn.utils.parametrize.register_parametrization(layer, "weight", Double())
    assert len(layer.parametrizations.weight) == 2
    assert mlkit.allclose(layer.weight, before * 2)

    class Longer(nn.Module):
        def forward(self, x):
            return x.repeat(2, 1)

    with pytest.raises(ValueError, match="shape"):
        nn.utils.parametrize.register_parametrization(nn.Linear(3, 2), "weight", Longer())


def test_old_weight_norm_and_spectral_norm():
    mlkit.manual_seed(0)
    layer = nn.utils.weight_norm(nn.Linear(3, 2))
    assert list(layer.state_dict()) == ["bias", "weight_g", "weight_v"]
    layer(mlkit.ones(1, 3)).sum().backward()
    assert layer.weight_g.grad is not None and layer.weight_v.grad is not None
    value = layer.weight.detach().clone()
    assert isinstance(nn.utils.remove_weight_norm(layer).weight, nn.Parameter)
    assert mlkit.allclose(layer.weight, value)
    layer = nn.utils.spectral_norm(nn.Linear(6, 4), n_power_iterations=50)
    layer(mlkit.ones(1, 6))
    assert np.linalg.svd(layer.weight.detach().numpy())[1][0] == pytest.approx(1, abs=1e-3)
    assert "weight" in dict(nn.utils.remove_spectral_norm(layer).named_parameters())


def test_fusion():
    mlkit.manual_seed(0)
    conv, bn = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
    for _ in range(3):
        bn(conv(mlkit.randn(8, 3, 6, 6)))
    conv.eval(), bn.eval()
    x = mlkit.randn(2, 3, 6, 6)
    assert mlkit.allclose(nn.utils.fuse_conv_bn_eval(conv, bn)(x), bn(conv(x)), atol=1e-5)
    with pytest.raises(AssertionError):
        nn.utils.fuse_conv_bn_eval(conv.train(), bn)


def test_pruning():
    layer = nn.Linear(4, 3)
    nn.utils.prune.l1_unstructured(layer, "weight", amount=0.25)
    assert sorted(layer.state_dict()) == ["bias", "weight_mask", "weight_orig"]
    gone = layer.weight_mask == 0
    assert int(gone.sum()) == 3
    assert layer.weight_orig.abs()[gone].max() <= layer.weight_orig.abs()[~gone].min()
    nn.utils.prune.ln_structured(layer, "weight", amount=1, n=2, dim=0)
    assert int((layer.weight_mask.sum(1) == 0).sum()) == 1 and nn.utils.prune.is_pruned(layer)
    layer(mlkit.ones(1, 4)).sum().backward()
    assert layer.weight_orig.grad[layer.weight_mask == 0].abs().sum() == 0
    weight = layer.weight.detach().clone()
    nn.utils.prune.remove(layer, "weight")
    assert mlkit.equal(layer.weight, weight) and not nn.utils.prune.is_pruned(layer)
    pair = [(nn.Linear(2, 2), "weight"), (nn.Linear(2, 2), "weight")]
    nn.utils.prune.global_unstructured(pair, nn.utils.prune.L1Unstructured, amount=3)
    assert sum(int((m.weight_mask == 0).sum()) for m, _ in pair) == 3
    with pytest.raises(ValueError, match="amount"):
        nn.utils.prune.random_unstructured(nn.Linear(2, 2), "weight", amount=9)
    mlkit.manual_seed(1)
    for prune, count in ((lambda m: nn.utils.prune.random_unstructured(m, "weight", 0.25), 5),
                         (lambda m: nn.utils.prune.random_structured(m, "weight", 2, dim=1), 8)):  # fmt: skip
        layer = prune(nn.Linear(5, 4))
        assert int((layer.weight_mask == 0).sum()) == count
        prune(layer)  # again, among those left
        assert int((layer.weight_mask == 0).sum()) == {5: 9, 8: 16}[count]


def test_functional_call_leaves_the_module_alone():
    layer = nn.Linear(2, 1)
    before = layer.weight
    w = mlkit.ones(1, 2, requires_grad=True)
    out = nn.utils.stateless.functional_call(layer, {"weight": w}, mlkit.ones(1, 2))
    out.sum().backward()
    assert w.grad is not None and layer.weight is before and before.grad is None
    with pytest.raises(RuntimeError, match="unexpected"):
        nn.utils.stateless.functional_call(layer, {"weights": w}, mlkit.ones(1, 2), strict=True)


def test_clipping():
    w = mlkit.tensor([3.0, -4.0], requires_grad=True)
    (w * w / 2).sum().backward()
    assert nn.utils.clip_grad_norm_([w], 1.0, norm_type=float("inf")).item() == 4
    assert mlkit.allclose(w.grad, mlkit.tensor([0.75, -1.0]))
    nn.utils.clip_grad_value_([w], 0.5)
    assert w.grad.tolist() == [0.5, -0.5]
    assert nn.utils.clip_grad_norm_([nn.Parameter(mlkit.ones(1))], 1.0).item() == 0
    w.grad = mlkit.tensor([float("inf"), 0.0])
    with pytest.raises(RuntimeError, match="non-finite"):
        nn.utils.clip_grad_norm_([w], 1.0, error_if_nonfinite=True)


def test_parameters_as_a_vector():
    model = nn.Linear(2, 3)
    vector = nn.utils.parameters_to_vector(model.parameters())
    nn.utils.vector_to_parameters(vector.detach() * 2, model.parameters())
    assert mlkit.allclose(nn.utils.parameters_to_vector(model.parameters()), vector.detach() * 2)


# --- Module -------------------------------------------------------------------------------------------------------------


def test_hooks_of_every_kind():
    layer, seen = nn.Linear(2, 2), []
    removers = [
        nn.modules.module.register_module_forward_pre_hook(lambda m, args: seen.append("all before")),
        nn.modules.module.register_module_forward_hook(lambda m, args, out: seen.append("all after")),
        nn.modules.module.register_module_full_backward_pre_hook(lambda m, g: seen.append("all backward before")),
        nn.modules.module.register_module_full_backward_hook(lambda m, a, b: seen.append("all backward")),
        layer.register_forward_pre_hook(lambda m, args, kwargs: seen.append("before"), with_kwargs=True),
        layer.register_forward_hook(lambda m, args, kwargs, out: seen.append("after"), with_kwargs=True),
        layer.register_full_backward_pre_hook(lambda m, g: seen.append("backward before")),
        layer.register_full_backward_hook(lambda m, a, b: seen.append("backward")),
    ]
    layer(input=mlkit.ones(1, 2)).sum().backward()
    assert seen == [
        "all before", "before", "all after", "after", "all backward before", "backward before", "all backward", "backward",
    ]  # fmt: skip
    for handle in removers:
        handle.remove()
    seen.clear()
    layer(mlkit.ones(1, 2)).sum().backward()
    assert seen == []


def test_always_called_hooks_run_after_an_error():
    layer, seen = nn.Linear(2, 2), []
    layer.register_forward_hook(lambda m, args, out: seen.append("only after success"))
    layer.register_forward_hook(lambda m, args, out: seen.append(out), always_call=True)
    with pytest.raises(RuntimeError):
        layer(mlkit.ones(1, 3))
    assert seen == [None]


def test_registration_hooks():
    seen = []
    handles = [
        nn.modules.module.register_module_parameter_registration_hook(lambda m, name, p: seen.append(name)),
        nn.modules.module.register_module_buffer_registration_hook(lambda m, name, b: seen.append(name)),
        nn.modules.module.register_module_module_registration_hook(lambda m, name, c: seen.append(name)),
    ]
    nn.Sequential(nn.BatchNorm1d(2))
    for handle in handles:
        handle.remove()
    assert seen == ["weight", "bias", "running_mean", "running_var", "num_batches_tracked", "0"]


def test_a_subclass_may_rename_keys_while_loading():
    class Renamed(nn.Linear):
        _version = 3

        def _load_from_state_dict(self, state_dict, prefix, local_metadata, *rest):
            if prefix + "kernel" in state_dict:
                state_dict[prefix + "weight"] = state_dict.pop(prefix + "kernel")
            super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)

    model = nn.Sequential(Renamed(2, 2, bias=False))
    old = {"0.kernel": mlkit.ones(2, 2)}
    model.load_state_dict(old)
    assert mlkit.equal(model[0].weight.detach(), mlkit.ones(2, 2)) and list(old) == ["0.kernel"]
    assert model.state_dict()._metadata["0"] == {"version": 3}
    with pytest.raises(RuntimeError, match="nothing was changed"):
        model.load_state_dict({"0.kernel": mlkit.zeros(3, 3)})
    assert mlkit.equal(model[0].weight.detach(), mlkit.ones(2, 2))


def test_batch_norm_loads_states_from_before_the_count():
    state = nn.BatchNorm1d(3).state_dict()
    del state["num_batches_tracked"]
    state._metadata[""]["version"] = 1
    nn.BatchNorm1d(3).load_state_dict(state)
    state._metadata[""]["version"] = 2
    with pytest.raises(RuntimeError, match="num_batches_tracked"):
        nn.BatchNorm1d(3).load_state_dict(state)


def test_sync_batch_norm_conversion():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.BatchNorm2d(4)))
    weight = model[1][0].weight
    model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    assert isinstance(model[1][0], nn.SyncBatchNorm) and model[1][0].weight is weight
    assert isinstance(nn.SyncBatchNorm.convert_sync_batchnorm(nn.BatchNorm1d(2)), nn.SyncBatchNorm)


def test_set_submodule():
    model = nn.Sequential(nn.Sequential(nn.ReLU()))
    model.set_submodule("0.0", nn.Tanh())
    assert isinstance(model[0][0], nn.Tanh)
    with pytest.raises(AttributeError):
        model.set_submodule("0.5", nn.Tanh(), strict=True)


def test_parameter_containers():
    table = nn.ParameterDict({"a": mlkit.ones(2), "b": nn.Parameter(mlkit.zeros(3))})
    table["c"] = mlkit.ones(1)
    assert list(table) == ["a", "b", "c"] and [n for n, _ in table.named_parameters()] == ["a", "b", "c"]
    assert isinstance(table["a"], nn.Parameter) and "b" in table and table.pop("b").shape == (3,) and len(table) == 2
    assert repr(table) == (
        "ParameterDict(\n    (a): Parameter containing: [mlkit.FloatTensor of size 2]\n"
        "    (c): Parameter containing: [mlkit.FloatTensor of size 1]\n)"
    )
    rows = nn.ParameterList([mlkit.ones(2)])
    rows += [mlkit.zeros(1)]
    rows[0] = mlkit.zeros(4)
    assert len(rows) == 2 and rows[-1].shape == (1,) and list(rows.state_dict()) == ["0", "1"]
    assert len(rows[:1]) == 1 and rows[0].shape == (4,)


def test_equal_layers_of_a_list_are_one_line():
    layers = nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Tanh()])
    assert repr(layers) == "ModuleList(\n  (0-1): 2 x ReLU()\n  (2): Tanh()\n)"


def test_skip_init_and_meta():
    assert nn.utils.skip_init(nn.Conv2d, 2, 3, 3).weight.shape == (3, 2, 3, 3)
    for layer, shape in (
        (nn.LSTM(3, 4, device="meta"), (5, 2, 3)),
        (nn.TransformerEncoderLayer(4, 2, 8, device="meta"), (5, 2, 4)),
        (nn.ConvTranspose2d(3, 4, 3, device="meta"), (1, 3, 5, 5)),
        (nn.GroupNorm(3, 3, device="meta"), (1, 3, 5)),
    ):
        out = layer(mlkit.zeros(*shape, device="meta"))
        assert (out[0] if isinstance(out, tuple) else out).is_meta


# --- initial values -------------------------------------------------------------------------------------------------------


def test_default_starts_have_pytorchs_spread():
    """Bounds of the uniform starts, from PyTorch's definitions."""
    mlkit.manual_seed(0)
    for layer, name, bound in (
        (nn.Linear(50, 400), "weight", 1 / math.sqrt(50)),
        (nn.Conv2d(8, 64, 3), "bias", 1 / math.sqrt(72)),
        (nn.ConvTranspose2d(64, 8, 3), "weight", 1 / math.sqrt(72)),
        (nn.LSTM(30, 40), "weight_hh_l0", 1 / math.sqrt(40)),
        (nn.Bilinear(30, 20, 10), "weight", 1 / math.sqrt(30)),
        (nn.MultiheadAttention(32, 2), "in_proj_weight", math.sqrt(6 / (32 + 96))),
    ):
        values = getattr(layer, name).detach()
        assert values.abs().max() <= bound, layer
        assert values.abs().max() > 0.9 * bound and abs(values.std().item() / (bound / math.sqrt(3)) - 1) < 0.15, layer
    assert nn.MultiheadAttention(4, 2).in_proj_bias.abs().sum() == 0
    assert abs(nn.Embedding(200, 50).weight.std().item() - 1) < 0.03


def test_orthogonal_dirac_sparse():
    mlkit.manual_seed(0)
    for shape in ((4, 6), (6, 4), (3, 2, 2)):
        w = nn.init.orthogonal_(mlkit.empty(*shape), gain=2.0).reshape(shape[0], -1).numpy()
        square = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
        np.testing.assert_allclose(square, 4 * np.eye(len(square)), atol=1e-5)
    conv = nn.Conv2d(4, 4, 3, padding=1, bias=False, groups=2)
    nn.init.dirac_(conv.weight, groups=2)
    x = mlkit.randn(1, 4, 5, 5)
    assert mlkit.allclose(conv(x), x)
    w = nn.init.sparse_(mlkit.ones(10, 4), sparsity=0.35)
    assert (w == 0).sum(0).tolist() == [4, 4, 4, 4]


def test_import_paths_of_pytorch():
    from mlkit.nn.modules.batchnorm import BatchNorm2d
    from mlkit.nn.modules.utils import _pair

    assert BatchNorm2d is nn.BatchNorm2d and nn.modules.conv.Conv2d is nn.Conv2d and _pair(3) == (3, 3)


@pytest.mark.parametrize(
    "layer",
    ["Conv2d(4, 4, 3)", "ConvTranspose2d(4, 4, 3)", "BatchNorm2d(4)", "BatchNorm2d(4).eval()", "GroupNorm(2, 4)",
     "InstanceNorm2d(4)", "LayerNorm(6)", "RMSNorm(6)", "Linear(6, 3)", "MaxPool2d(2)", "AdaptiveMaxPool2d(2)", "AvgPool2d(2)",
     "Dropout(0.0)", "Upsample(scale_factor=2)", "LocalResponseNorm(2)", "ReflectionPad2d(1)", "PixelShuffle(2)"],
)  # fmt: skip
@pytest.mark.parametrize("activation", ["ReLU", "LeakyReLU", "ReLU6", "SiLU", "Hardswish", "ELU"])
def test_activation_in_place_after(layer, activation):
    """``layer`` then ``activation(inplace=True)``, as in every ResNet: the gradients of the out-of-place form."""
    mlkit.manual_seed(0)
    first = eval(f"nn.{layer}", {"nn": mlkit.nn})
    found = []
    for inplace in (False, True):
        x = mlkit.linspace(-2, 2, 2 * 4 * 36).reshape(2, 4, 6, 6).requires_grad_()
        y = getattr(mlkit.nn, activation)(inplace=inplace)(first(x * 1))
        (y * y).sum().backward()
        found.append(x.grad.numpy())
    np.testing.assert_array_equal(*found)


def test_view_after_convolution():
    """The memory of a convolution's result can be looked at as rows, whatever order the convolution left it in."""
    conv = mlkit.nn.Conv2d(3, 4, 3)
    x = mlkit.randn(2, 3, 6, 6, requires_grad=True)
    y = mlkit.relu(conv(x))
    rows = y.view(2, -1)
    np.testing.assert_array_equal(rows.detach().numpy(), y.reshape(2, -1).detach().numpy())
    rows.sum().backward()
    assert bool((x.grad != 0).any())
    with mlkit.no_grad():
        y = conv(x)
        first, flat = y[0], y.view(-1)
        flat.zero_()  # all three share memory still
        assert not bool(y.any()) and not bool(first.any())
        y = conv(x)
        y[0].view(-1).fill_(1.0)
        assert bool((y[0] == 1).all()) and not bool((y[1] == 1).any())


def test_view_leaves_the_memory_of_others_as_it_lies():
    theirs = np.moveaxis(np.ones((2, 4, 5, 3)), -1, 1)
    with pytest.raises(RuntimeError, match="view"):
        mlkit.from_numpy(theirs).view(-1)
    with pytest.raises(RuntimeError, match="view"):
        mlkit.ones(2, 3, 4).transpose(1, 2).view(-1)


def test_new_is_the_old_form():
    weight = mlkit.ones(2, dtype=mlkit.float64)
    assert weight.new(2, 3).shape == (2, 3) and weight.new(2, 3).dtype == mlkit.float64
    assert weight.new([1, 2]).tolist() == [1.0, 2.0] and weight.new().shape == (0,)


def test_files_went_both_ways():
    """Every layer's state went through files to a running PyTorch and back without a difference (exchange_live.py)."""
    kept = json.loads(exchange_live.KEPT.read_text())["rows"]
    assert list(kept) == list(programs_layers.LAYERS)
    assert not {name: lines for name, lines in kept.items() if lines}
