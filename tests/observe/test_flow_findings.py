"""Trainings that do fail are told apart from ones that do not: real ones, on the digits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mlkit
from mlkit import nn, optim
from mlkit.data import digits
from mlkit.observe import GradientFlow
from mlkit.observe.flow import Findings

F = nn.functional


@pytest.fixture(scope="module")
def data() -> tuple[Any, Any]:
    train = digits(train=True)
    pairs = [train[i] for i in range(640)]
    images = mlkit.stack([mlkit.as_tensor(x).float().reshape(-1) for x, _ in pairs])
    return images, mlkit.tensor([int(y) for _, y in pairs])


def mlp(activation: Any, depth: int, width: int = 64, norm: bool = False) -> Any:
    layers: list[Any] = []
    for _ in range(depth):
        layers += [nn.Linear(64 if not layers else width, width)]
        layers += [nn.BatchNorm1d(width)] if norm else []
        layers += [activation()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def train(
    model: Any,
    data: tuple[Any, Any],
    optimizer: Any,
    steps: int = 60,
    every: int = 2,
    shape: Any = None,
    clip: float = 0,
) -> GradientFlow:
    flow = GradientFlow(model, every=every, run_dir=False)
    images, labels = data
    for step in range(steps):
        at = step * 64 % 640
        x = images[at : at + 64]
        optimizer.zero_grad()
        F.cross_entropy(model(x if shape is None else x.reshape(64, *shape)), labels[at : at + 64]).backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
    flow.detach()
    return flow


def kinds(findings: Findings) -> list[str]:
    return [one.kind for one in findings]


@pytest.fixture(autouse=True)
def seed() -> None:
    mlkit.manual_seed(0)


def test_a_deep_sigmoid_network_vanishes(data: Any) -> None:
    model = mlp(nn.Sigmoid, 8)
    flow = train(model, data, optim.SGD(model.parameters(), lr=0.1))
    (finding,) = flow.findings()
    assert finding.kind == "vanishing" and finding.layers[0] == "0" and "16" not in finding.layers
    assert "8 Sigmoid activations in a row" in finding.cause and "0.25" in finding.cause
    assert "nn.ReLU or nn.GELU" in finding.advice[0]
    assert flow.table()["0"]["flags"] == ["vanishing"] and flow.table()["16"]["flags"] == []
    text = str(flow.findings())
    assert text.startswith("Vanishing gradients: layers 0 to") and "Likely cause:" in text and "Try:" in text


def test_its_repair_is_no_longer_flagged_and_learns(data: Any) -> None:
    model = mlp(nn.ReLU, 8, norm=True)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    flow = train(model, data, optimizer)
    assert flow.findings() == []
    images, labels = data
    assert (model(images).argmax(dim=1) == labels).float().mean().item() > 0.8


def test_weights_that_are_too_small_vanish(data: Any) -> None:
    model = mlp(nn.ReLU, 6)
    with mlkit.no_grad():
        for name, one in model.named_parameters():
            if name.endswith("weight"):
                one.mul_(0.1)
    flow = train(model, data, optim.SGD(model.parameters(), lr=0.01))
    (finding,) = [one for one in flow.findings() if one.kind == "vanishing"]
    assert "weights are too small" in finding.cause
    assert "kaiming_normal_" in finding.advice[0]


@pytest.mark.parametrize("lr", [30.0, 1e6])
def test_a_learning_rate_that_is_far_too_large_explodes(data: Any, lr: float) -> None:
    model = mlp(nn.ReLU, 3)
    flow = train(model, data, optim.SGD(model.parameters(), lr=lr), steps=30)
    assert "exploding" in kinds(flow.findings())
    finding = flow.findings()[0]
    assert f"{lr / 10:.2g}" in " ".join(finding.advice), "a smaller learning rate is named"
    assert "learning rate" in finding.cause or "growing" in finding.cause


def test_updates_as_large_as_the_weights_are_told_before_anything_is_nan(data: Any) -> None:
    model = mlp(nn.Tanh, 2)
    flow = train(model, data, optim.SGD(model.parameters(), lr=50.0), steps=20)
    (finding, *_) = flow.findings()
    assert finding.kind == "exploding" and "of their size" in finding.sentence
    assert np.isfinite(flow.history("0", "gradient")[1]).all()


def test_initial_weights_that_are_too_large_explode_on_the_way_back(data: Any) -> None:
    model = mlp(nn.ReLU, 8)
    with mlkit.no_grad():
        for name, one in model.named_parameters():
            if name.endswith("weight"):
                one.mul_(8.0)
    flow = train(model, data, optim.SGD(model.parameters(), lr=1e-30), steps=10)
    assert kinds(flow.findings())[:1] in (["exploding"], [])
    grown = flow.history("0", "gradient")[1][-1] / flow.history("16", "gradient")[1][-1]
    assert (kinds(flow.findings()) == ["exploding"]) == (grown > 1e4)


def test_a_recurrent_network_without_clipping_explodes() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.RNN(8, 32, nonlinearity="relu", batch_first=True)
            self.head = nn.Linear(32, 8)

        def forward(self, x: Any) -> Any:
            return self.head(self.body(x)[0][:, -1])

    model = Net()
    with mlkit.no_grad():
        model.body.weight_hh_l0.mul_(6.0)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    flow = GradientFlow(model, every=1, run_dir=False)
    for _ in range(12):
        optimizer.zero_grad()
        model(mlkit.randn(16, 60, 8)).square().mean().backward()
        optimizer.step()
    findings = flow.findings()
    flow.detach()
    assert kinds(findings)[:1] == ["exploding"]
    assert any("clip_grad_norm_" in advice for advice in findings[0].advice)


def test_a_large_negative_bias_kills_units(data: Any) -> None:
    model = mlp(nn.ReLU, 3)
    with mlkit.no_grad():
        model[2].bias.fill_(-10.0)
    flow = train(model, data, optim.SGD(model.parameters(), lr=0.1))
    (finding,) = flow.findings()
    assert finding.kind == "dead" and finding.layers == ["3"]
    assert "3 (100 %)" in finding.sentence and "no layer before it learns" in finding.sentence
    assert "2 gives almost only negative numbers" in finding.cause
    assert any("LeakyReLU" in advice for advice in finding.advice)
    assert model.get_submodule("2") is model[2], "the advice names it as one would write it"


def test_a_step_that_is_too_large_kills_units(data: Any) -> None:
    model = mlp(nn.ReLU, 2, width=256)
    optimizer = optim.SGD(model.parameters(), lr=3.0)
    flow = GradientFlow(model, every=1, run_dir=False)
    images, labels = data
    for step in range(40):
        optimizer.param_groups[0]["lr"] = 3.0 if step < 8 else 1e-3
        at = step * 64 % 640
        optimizer.zero_grad()
        F.cross_entropy(model(20 * images[at : at + 64]), labels[at : at + 64]).backward()
        optimizer.step()
    flow.detach()
    dead = [one for one in flow.findings() if one.kind == "dead"]
    assert dead and "learning rate" in dead[0].cause + " ".join(dead[0].advice)


def test_not_a_number_names_the_step_at_which_it_began(data: Any) -> None:
    model = mlp(nn.ReLU, 2)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    flow = GradientFlow(model, every=1, run_dir=False)
    images, labels = data
    for step in range(12):
        x = images[:64] * (float("nan") if step == 7 else 1.0)
        optimizer.zero_grad()
        F.cross_entropy(model(x), labels[:64]).backward()
        optimizer.step()
    flow.detach()
    (finding,) = flow.findings()
    assert finding.kind == "exploding" and "since step 8" in finding.sentence
    assert "inputs" in finding.cause and "begin again" in finding.advice[0]


def healthy(data: Any) -> dict[str, Any]:
    def conv() -> Any:
        return nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10),
        )  # fmt: skip

    class Transformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Linear(8, 32)
            layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, dropout=0.0)
            self.body = nn.TransformerEncoder(layer, 3)
            self.head = nn.Linear(32, 10)

        def forward(self, x: Any) -> Any:
            return self.head(self.body(self.embed(x)).mean(dim=1))

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.LSTM(8, 32, num_layers=2, batch_first=True)
            self.head = nn.Linear(32, 10)

        def forward(self, x: Any) -> Any:
            return self.head(self.body(x)[0][:, -1])

    return {
        "mlp, SGD": (mlp(nn.ReLU, 2), lambda p: optim.SGD(p, lr=0.1), None),
        "mlp, momentum": (mlp(nn.ReLU, 3), lambda p: optim.SGD(p, lr=0.05, momentum=0.9), None),
        "mlp, Adam": (mlp(nn.ReLU, 3), lambda p: optim.Adam(p, lr=1e-3), None),
        "mlp, lively Adam": (mlp(nn.ReLU, 2, 32), lambda p: optim.AdamW(p, lr=1e-2), None),
        "one sigmoid layer": (mlp(nn.Sigmoid, 1), lambda p: optim.SGD(p, lr=0.5), None),
        "tanh": (mlp(nn.Tanh, 4), lambda p: optim.SGD(p, lr=0.1), None),
        "deep with norm": (mlp(nn.ReLU, 10, norm=True), lambda p: optim.AdamW(p, lr=1e-3), None),
        "gelu": (mlp(nn.GELU, 6), lambda p: optim.AdamW(p, lr=1e-3), None),
        "cnn": (conv(), lambda p: optim.AdamW(p, lr=3e-3), (1, 8, 8)),
        "transformer": (Transformer(), lambda p: optim.AdamW(p, lr=1e-3), (8, 8)),
        "lstm": (Recurrent(), lambda p: optim.Adam(p, lr=3e-3), (8, 8)),
        "one layer": (nn.Linear(64, 10), lambda p: optim.SGD(p, lr=0.1), None),
    }


@pytest.mark.parametrize("which", sorted(healthy(None)))
def test_healthy_trainings_raise_no_flag(data: Any, which: str) -> None:
    mlkit.manual_seed(1)
    model, make, shape = healthy(data)[which]
    flow = train(model, data, make(model.parameters()), steps=120, every=2, shape=shape)
    findings = flow.findings()
    assert findings == [], f"{findings}\n{flow.table()}"
    assert "Nothing to complain of at step 119" in str(findings)
    # and neither at any time before: what a reader of the live view would have seen
    from mlkit.observe.flow.diagnose import diagnose
    from mlkit.observe.flow.recording import Samples

    about, samples = flow.about(), flow.samples()
    for count in range(1, len(samples), 3):
        part = Samples(0, *(getattr(samples, name)[:count] for name in ("steps", "times", "rates", "costs", "numbers")))
        early = diagnose(flow._layers.rows, about["order"], part)
        assert early == [], f"after {count} samples: {early}"


def test_three_samples_are_needed_before_anything_is_said(data: Any) -> None:
    model = mlp(nn.Sigmoid, 8)
    flow = train(model, data, optim.SGD(model.parameters(), lr=0.1), steps=2, every=1)
    assert flow.findings() == [] and "Too early to say" in str(flow.findings())
