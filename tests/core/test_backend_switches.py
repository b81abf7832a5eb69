"""PyTorch's torch.backends switches: names, defaults, and that they reach the settings they stand for."""

import pytest

import mlkit
from mlkit.core import config


def test_names_and_defaults():
    b = mlkit.backends
    assert b.cuda.matmul.allow_tf32 is False and b.cudnn.allow_tf32 is True and b.cudnn.enabled is True
    assert b.cudnn.benchmark is False and b.cudnn.deterministic is False
    assert not b.mps.is_available() and not b.mkl.is_available() and isinstance(b.cpu.get_cpu_capability(), str)


def test_switches_reach_the_settings(monkeypatch):
    monkeypatch.setattr(config, "cuda_matmul_tf32", False)
    mlkit.backends.cuda.matmul.allow_tf32 = True
    assert config.cuda_matmul_tf32
    mlkit.set_float32_matmul_precision("highest")
    assert not mlkit.backends.cuda.matmul.allow_tf32
    mlkit.set_float32_matmul_precision("high")
    assert mlkit.backends.cuda.matmul.allow_tf32
    mlkit.set_float32_matmul_precision("highest")


def test_flags_last_as_long_as_the_block():
    with mlkit.backends.cudnn.flags(enabled=False, deterministic=True, allow_tf32=False):
        assert not mlkit.backends.cudnn.enabled and mlkit.backends.cudnn.deterministic and not config.cudnn_tf32
    assert mlkit.backends.cudnn.enabled and not mlkit.backends.cudnn.deterministic and config.cudnn_tf32


@pytest.mark.skipif(mlkit.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_the_questions_have_answers():
    assert not mlkit.backends.cudnn.is_available() and mlkit.backends.cudnn.version() is None
    assert not mlkit.cuda.is_initialized() and not mlkit.cuda.is_bf16_supported()
    with pytest.raises(RuntimeError, match="pip install"):
        mlkit.cuda.init()
