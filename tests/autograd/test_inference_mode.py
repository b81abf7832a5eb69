"""Tensors made inside inference_mode: free to read anywhere, refused where backward or a version counter would need them."""

import copy
import threading

import pytest

import mlkit
from mlkit import nn


def made():
    with mlkit.inference_mode():
        return mlkit.ones(3)


def test_what_is_made_inside_is_marked_and_views_are_as_their_base():
    x = mlkit.ones(3, requires_grad=True)
    with mlkit.inference_mode():
        for t in (
            mlkit.ones(2),
            x * 2,
            x.exp(),
            x @ x,
            x.clone(),
            x[[0]],
            mlkit.tensor([1.0]),
            nn.functional.linear(x, x[None]),
        ):
            assert t.is_inference() and not t.requires_grad
        for t in (x, x.view(3), x[0], x[1:], x.detach(), x.data, x.expand(2, 3), x.unbind()[0]):
            assert not t.is_inference()
        with mlkit.inference_mode(False):
            assert not mlkit.ones(2).is_inference() and (x * 2).requires_grad
        assert mlkit.is_inference_mode_enabled()
    y = made()
    assert not mlkit.is_inference_mode_enabled() and mlkit.is_inference(y)
    assert all(t.is_inference() for t in (y.view(3), y[0], y.detach(), y.data))
    assert not any(t.is_inference() for t in (y + 1, y.clone(), y.exp(), copy.deepcopy(y), mlkit.from_numpy(y.numpy())))


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda y, x: y * x, "Inference tensors cannot be saved for backward"),
        (lambda y, x: mlkit.outer(y, x), "cannot be saved for backward"),
        (lambda y, x: y @ x.view(3, 1), "cannot be saved for backward"),
        (lambda y, x: nn.Linear(3, 2)(y), "cannot be saved for backward"),
        (lambda y, x: y.add_(1), "Inplace update to inference tensor outside InferenceMode"),
        (lambda y, x: y.__setitem__(0, 5.0), "Inplace update to inference tensor"),
        (lambda y, x: mlkit.no_grad()(y.zero_)(), "Inplace update to inference tensor"),
        (lambda y, x: mlkit.add(x.detach(), 1, out=y), "Inplace update to inference tensor"),
        (lambda y, x: y.requires_grad_(), "Setting requires_grad=True on inference tensor"),
        (lambda y, x: setattr(y, "requires_grad", True), "Setting requires_grad=True on inference tensor"),
        (lambda y, x: y._version, "do not track version counter"),
    ],
)
def test_what_is_refused_outside(use, words):
    y, x = made(), mlkit.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match=words):
        use(y, x)
    assert y.tolist() == [1, 1, 1]
    with pytest.raises(RuntimeError, match="clone"):
        y.mul_(2)


def test_what_is_allowed_outside():
    y, x = made(), mlkit.ones(3, requires_grad=True)
    (y + x).sum().backward()
    assert x.grad.tolist() == [1, 1, 1]
    (y.clone() * x).sum().backward()
    assert mlkit.where(y > 0, x, x).requires_grad and mlkit.cat([y, x]).requires_grad
    with mlkit.inference_mode():
        y.add_(1)
    assert y.tolist() == [2, 2, 2] and (y * 2).tolist() == [4, 4, 4]


def test_a_function_of_ones_own_cannot_save_it():
    class Scale(mlkit.autograd.Function):
        @staticmethod
        def forward(ctx, x, factor):
            ctx.save_for_backward(factor)
            return x * factor

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0], None

    with pytest.raises(RuntimeError, match="cannot be saved for backward"):
        Scale.apply(mlkit.ones(3, requires_grad=True), made())


def test_the_mode_is_the_threads():
    found = []
    with mlkit.inference_mode():
        thread = threading.Thread(target=lambda: found.append(mlkit.ones(2).is_inference()))
        thread.start()
        thread.join()
    assert found == [False]


def test_a_model_evaluated_in_it_trains_on():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 1))
    x = mlkit.randn(8, 4)
    with mlkit.inference_mode():
        model(x)
    model(x).mean().backward()
    assert all(p.grad is not None for p in model.parameters())
