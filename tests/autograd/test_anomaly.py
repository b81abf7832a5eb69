"""detect_anomaly: the first NaN or Inf, where it came from, and module paths in errors."""

from __future__ import annotations

import pytest

import mlkit
from mlkit import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 2), nn.ReLU())

    def forward(self, x):
        return self.body(x).log()


def test_the_first_infinity_forward_names_op_line_module_and_numbers():
    net = Net()
    with mlkit.no_grad():
        net.body[0].weight.fill_(-1.0)
        net.body[0].bias.zero_()
    with pytest.raises(RuntimeError) as caught, mlkit.detect_anomaly():
        net(mlkit.ones(3, 2))
    text = str(caught.value)
    assert "log returned the first Inf" in text
    assert "test_anomaly.py" in text and "return self.body(x).log()" in text
    assert "module: Net" in text
    assert "input: (3, 2) float32, min 0, mean 0, max 0" in text
    assert "6 Inf" in text and "check_inf=False" in text


def test_the_module_path_goes_down():
    class Bad(nn.Module):
        def forward(self, x):
            return (x - x) / (x - x)

    model = nn.Sequential(nn.Identity() if hasattr(nn, "Identity") else nn.ReLU(), nn.Sequential(nn.ReLU(), Bad()))
    with pytest.raises(RuntimeError, match=r"(?s)div returned the first NaN.*module: 1\.1 \(Bad\) of Sequential"):
        with mlkit.detect_anomaly():
            model(mlkit.ones(2))


def test_backward_names_the_forward_line():
    x = mlkit.zeros(2, requires_grad=True)
    with pytest.raises(RuntimeError) as caught, mlkit.detect_anomaly():
        y = x.sqrt()  # here
        (y * 0).sum().backward()
    text = str(caught.value)
    assert "Function 'SqrtBackward0' returned nan values in its 0th output." in text
    assert "y = x.sqrt()  # here" in text


def test_what_was_there_before_is_not_blamed():
    x = mlkit.tensor([float("nan"), 1.0])
    with mlkit.detect_anomaly():
        y = x * 2
        z = mlkit.zeros(2).masked_fill(mlkit.tensor([True, False]), float("-inf"))
    assert y.isnan().any() and z.isinf().any()
    with mlkit.detect_anomaly(check_inf=False):
        assert mlkit.zeros(1).log().isinf().all()
    with mlkit.detect_anomaly(check_nan=False):
        assert (mlkit.zeros(1) / 0).isnan().all()


def test_it_ends_and_can_be_set():
    assert not mlkit.is_anomaly_enabled()
    with mlkit.detect_anomaly():
        assert mlkit.is_anomaly_enabled()
        with mlkit.autograd.set_detect_anomaly(False):
            assert not mlkit.is_anomaly_enabled()
        assert mlkit.is_anomaly_enabled()
    assert not mlkit.is_anomaly_enabled()
    mlkit.autograd.set_detect_anomaly(True)
    try:
        with pytest.raises(RuntimeError):
            mlkit.zeros(1).log()
    finally:
        mlkit.autograd.set_detect_anomaly(False)
    assert mlkit.zeros(1).log().isinf().all()


def test_errors_inside_modules_name_the_path_and_both_sides():
    model = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Linear(3, 2), nn.ReLU()))
    with pytest.raises(RuntimeError) as caught:
        model(mlkit.ones(1, 3).double())
    text = str(caught.value)
    assert "module: 1.0 (Linear) of Sequential" in text
    assert "float64" in text and "float32" in text
    with pytest.raises(RuntimeError, match=r"module: Linear\(in_features=3, out_features=2"):
        model[1][0](mlkit.ones(1, 4))
    hooked = nn.Sequential(nn.Linear(3, 2))
    hooked.register_forward_hook(lambda *args: None)
    with pytest.raises(RuntimeError, match=r"module: 0 \(Linear\) of Sequential"):
        hooked(mlkit.ones(1, 4))
