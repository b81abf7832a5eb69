"""Module: registration, state, hooks, modes, errors."""

from __future__ import annotations

import copy
import pickle

import pytest

import mlkit
from mlkit import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 3)
        self.norm = nn.BatchNorm1d(3)
        self.scale = nn.Parameter(mlkit.ones(1))
        self.register_buffer("offset", mlkit.zeros(1))
        self.register_buffer("scratch", mlkit.zeros(1), persistent=False)
        self.last = nn.Sequential(nn.ReLU(), nn.Linear(3, 2, bias=False))

    def forward(self, x):
        return self.last(self.norm(self.first(x)) * self.scale + self.offset)


def test_names_in_pytorchs_order():
    net = Net()
    assert [n for n, _ in net.named_parameters()] == [
        "scale", "first.weight", "first.bias", "norm.weight", "norm.bias", "last.1.weight",
    ]  # fmt: skip
    assert list(net.state_dict()) == [
        "scale", "offset", "first.weight", "first.bias", "norm.weight", "norm.bias", "norm.running_mean",
        "norm.running_var", "norm.num_batches_tracked", "last.1.weight",
    ]  # fmt: skip
    assert [n for n, _ in net.named_modules()] == ["", "first", "norm", "last", "last.0", "last.1"]


def test_state_goes_round():
    a, b = Net(), Net()
    a(mlkit.randn(8, 4))
    b.load_state_dict(a.state_dict())
    x = mlkit.randn(5, 4)
    assert mlkit.equal(a.eval()(x), b.eval()(x))
    a.first.weight.detach().zero_()
    assert not mlkit.equal(a.first.weight, b.first.weight)


def test_loading_checks_all_before_it_changes_any():
    net = Net()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    wrong = {k: v + 1 for k, v in before.items()}
    wrong["last.1.weight"] = mlkit.zeros(5, 5)
    wrong["strange"] = mlkit.zeros(1)
    del wrong["scale"]
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(wrong)
    for words in ("size mismatch for last.1.weight", "(5, 5)", "'strange'", "'scale'", "nothing was changed"):
        assert words in str(caught.value)
    assert all(mlkit.equal(v, before[k]) for k, v in net.state_dict().items())
    del wrong["last.1.weight"]
    keys = net.load_state_dict(wrong, strict=False)
    assert keys.missing_keys == ["scale", "last.1.weight"] and keys.unexpected_keys == ["strange"]
    assert "matched" in repr(net.load_state_dict(before))


def test_train_and_eval():
    net = Net()
    mean = net.norm.running_mean.clone()
    net.eval()(mlkit.randn(8, 4))
    assert mlkit.equal(net.norm.running_mean, mean) and not net.last[0].training
    net.train()(mlkit.randn(8, 4))
    assert not mlkit.equal(net.norm.running_mean, mean)
    assert net.norm.num_batches_tracked.item() == 1


def test_to_keeps_parameters_known_to_the_optimizer():
    net = Net()
    w = net.first.weight
    net.double()
    assert net.first.weight is w and w.dtype == mlkit.float64
    assert net.norm.num_batches_tracked.dtype == mlkit.int64


def test_meta_then_real():
    net = nn.Linear(1000, 1000, device="meta")
    assert net.weight.is_meta
    net.to_empty(device="cpu")
    net.reset_parameters()
    assert tuple(net(mlkit.ones(2, 1000)).shape) == (2, 1000)


def test_forward_hooks():
    layer = nn.Linear(2, 2)
    seen = []
    one = layer.register_forward_pre_hook(lambda m, args: (args[0] * 0,))
    two = layer.register_forward_hook(lambda m, args, out: seen.append(tuple(out.shape)) or out + 1)
    out = layer(mlkit.ones(3, 2))
    assert seen == [(3, 2)]
    assert mlkit.allclose(out, (layer.bias + 1).expand(3, 2))
    one.remove()
    two.remove()
    layer(mlkit.ones(3, 2))
    assert len(seen) == 1


def test_backward_hooks():
    layer = nn.Linear(2, 2, bias=False)
    seen = []
    layer.register_full_backward_hook(lambda m, into, out: seen.append((into[0].clone(), out[0].clone())))
    x = mlkit.ones(1, 2, requires_grad=True)
    (layer(x) * 2).sum().backward()
    (into, out) = seen[0]
    assert out.tolist() == [[2.0, 2.0]]
    assert mlkit.allclose(into, mlkit.full((1, 2), 2.0) @ layer.weight.detach())


def test_attributes_move_between_kinds():
    net = nn.Module()
    net.x = 3
    net.x = nn.Parameter(mlkit.zeros(1))
    assert "x" in dict(net.named_parameters()) and "x" not in net.__dict__
    with pytest.raises(TypeError, match="Parameter or None"):
        net.x = 5
    net.x = None
    assert list(net.parameters()) == []
    del net.x
    with pytest.raises(AttributeError):
        net.x  # noqa: B018


def test_forgotten_super_init():
    class Forgetful(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"super\(\).__init__\(\)"):
        Forgetful()


def test_deepcopy_and_pickle():
    net = Net()
    twin = copy.deepcopy(net)
    assert twin.first.weight is not net.first.weight
    assert mlkit.equal(twin.first.weight, net.first.weight) and twin.first.weight.requires_grad
    again = pickle.loads(pickle.dumps(net))
    assert mlkit.equal(again.first.weight, net.first.weight)
    assert isinstance(again.first.weight, nn.Parameter)


def test_text():
    assert repr(Net()) == (
        "Net(\n  (first): Linear(in_features=4, out_features=3, bias=True)\n"
        "  (norm): BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)\n"
        "  (last): Sequential(\n    (0): ReLU()\n    (1): Linear(in_features=3, out_features=2, bias=False)\n  )\n)"
    )


def test_containers():
    layers = nn.ModuleList([nn.Linear(1, 1) for _ in range(3)])
    layers.insert(1, nn.ReLU())
    assert [type(m).__name__ for m in layers] == ["Linear", "ReLU", "Linear", "Linear"]
    del layers[0]
    assert len(layers) == 3 and isinstance(layers[0], nn.ReLU) and len(layers[1:]) == 2
    model = nn.Sequential({"a": nn.Linear(2, 2), "b": nn.ReLU()})
    assert isinstance(model[:1], nn.Sequential) and model.a is model[0]
    with pytest.raises(IndexError):
        model[5]
    table = nn.ModuleDict({"x": nn.ReLU()})
    table["y"] = nn.Tanh()
    assert list(table) == ["x", "y"] and "x" in table


@pytest.mark.parametrize(
    "layer, shape, words",
    [
        (nn.Conv2d(3, 8, 3), (2, 8, 8, 3), "permute"),
        (nn.Conv2d(1, 8, 3), (28, 28), "dims"),
        (nn.Conv2d(1, 8, 9), (1, 1, 5, 5), "does not fit"),
        (nn.MaxPool2d(9), (1, 1, 5, 5), "does not fit"),
        (nn.BatchNorm2d(4), (2, 3, 5, 5), "4 channels"),
        (nn.LayerNorm(7), (2, 5), "normalized_shape"),
        (nn.Linear(5, 3), (2, 4), r"Linear\(4, 3\)"),
    ],
)
def test_wrong_shapes_say_what_fits(layer, shape, words):
    with pytest.raises(RuntimeError, match=words):
        layer(mlkit.zeros(*shape))


def test_different_dtypes_are_refused_by_name():
    with pytest.raises(RuntimeError, match="(?s)float64 and float32.*model.double"):
        nn.Linear(2, 2)(mlkit.zeros(1, 2, dtype=mlkit.float64))
    with pytest.raises(RuntimeError, match="int64 and float32"):
        nn.Conv2d(1, 1, 1)(mlkit.zeros(1, 1, 2, 2, dtype=mlkit.int64))


def test_losses_refuse_a_hidden_broadcast():
    with pytest.raises(RuntimeError, match=r"squeeze\(-1\)"):
        nn.MSELoss()(mlkit.zeros(4, 1), mlkit.zeros(4))
    mlkit.config.strict_broadcast = False
    try:
        with pytest.warns(UserWarning, match="Using a target size"):  # PyTorch's
            nn.MSELoss()(mlkit.zeros(4, 1), mlkit.zeros(4))
    finally:
        mlkit.config.strict_broadcast = True


def test_labels_out_of_range():
    with pytest.raises(IndexError, match="(?s)Target 7.*4 classes"):
        nn.CrossEntropyLoss()(mlkit.zeros(2, 4), mlkit.tensor([0, 7]))
    with pytest.raises(IndexError, match="(?s)Target -1.*ignore_index"):
        nn.CrossEntropyLoss()(mlkit.zeros(2, 4), mlkit.tensor([0, -1]))
    with pytest.raises(RuntimeError, match="target batch_size"):
        nn.CrossEntropyLoss()(mlkit.zeros(2, 4), mlkit.tensor([0, 1, 2]))
    with pytest.raises(RuntimeError, match="(?s)probabilities.*long"):
        nn.CrossEntropyLoss()(mlkit.zeros(2, 4), mlkit.tensor([0.0, 1.0]))


def test_a_property_stands_in_front_of_running_statistics():
    class Shifted(nn.BatchNorm1d):
        @property
        def running_mean(self):
            return self._buffers["running_mean"] + 1.0

    layer = nn.BatchNorm1d(2, eps=0.0).eval()
    layer.__class__ = Shifted  # as parametrizations do
    assert layer(mlkit.ones(3, 2)).tolist() == [[0.0, 0.0]] * 3
