"""Devices: meta everywhere, and clear words where a GPU is missing."""

from __future__ import annotations

import pytest

import mlkit


def test_to_meta_and_back_is_refused():
    x = mlkit.ones(2, 3)
    shadow = x.to("meta")
    assert shadow.is_meta and tuple(shadow.shape) == (2, 3) and shadow.dtype == mlkit.float32
    with pytest.raises(RuntimeError, match="no data"):
        shadow.to("cpu")
    with pytest.raises(RuntimeError, match="no data"):
        shadow.numpy()
    assert "device='meta'" in repr(shadow)


def test_same_device_is_the_same_tensor():
    x = mlkit.ones(2)
    assert x.to("cpu") is x and x.cpu() is x


def test_gradient_passes_through_to():
    x = mlkit.ones(2, requires_grad=True)
    x.to(mlkit.float64).sum().backward()
    assert x.grad.dtype == mlkit.float32


@pytest.mark.skipif(mlkit.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_the_error_says_what_to_do():
    with pytest.raises(RuntimeError, match="(?s)cuda.*pip install"):
        mlkit.ones(2).to("cuda")
    with pytest.raises(RuntimeError, match="(?s)cuda"):
        mlkit.zeros(2, device="cuda")
    assert mlkit.cuda.device_count() == 0


def test_unknown_device():
    with pytest.raises(RuntimeError, match="'cpu', 'cuda'"):
        mlkit.zeros(2, device="tpu")


@pytest.mark.cuda
@pytest.mark.skipif(not mlkit.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_the_same_program_on_the_gpu():
    x = mlkit.arange(6.0).reshape(2, 3).to("cuda").requires_grad_()
    y = (x.exp() @ x.T).softmax(dim=1).sum()
    y.backward()
    z = mlkit.arange(6.0).reshape(2, 3).requires_grad_()
    (z.exp() @ z.T).softmax(dim=1).sum().backward()
    assert mlkit.allclose(x.grad.cpu(), z.grad, rtol=1e-4, atol=1e-4)
