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


def test_new_tensors_of_a_block_are_made_on_its_device():
    import threading

    elsewhere = []
    with mlkit.device("meta") as place:
        made = [mlkit.zeros(2), mlkit.rand(2), mlkit.tensor([1.0]), mlkit.nn.Linear(2, 2).weight, mlkit.arange(3)]
        with mlkit.device("cpu"):
            inner = mlkit.ones(1)
        thread = threading.Thread(target=lambda: elsewhere.append(mlkit.ones(1).device.type))
        thread.start()
        thread.join()
        for init in (mlkit.nn.init.trunc_normal_, mlkit.nn.init.orthogonal_, mlkit.nn.init.kaiming_normal_):
            init(mlkit.empty(3, 3))
    assert place == mlkit.device("meta") and {t.device.type for t in made} == {"meta"}
    assert inner.device.type == "cpu" and elsewhere == ["cpu"] and mlkit.zeros(1).device.type == "cpu"
    with pytest.raises(KeyError), mlkit.device("meta"):
        raise KeyError
    assert mlkit.get_default_device().type == "cpu"
