"""safetensors files both ways with the library's own NumPy reader."""

import numpy as np
import pytest
from safetensors import numpy as reference
from safetensors import safe_open

import mlkit
from mlkit.core.errors import CheckpointError, DtypeError
from mlkit.io import safetensors

DTYPES = "bool uint8 int8 int16 uint16 int32 uint32 int64 uint64 float16 bfloat16 float32 float64 complex64".split()


def test_there_and_back_with_every_dtype(tmp_path):
    tensors = {name: mlkit.tensor([[0, 1], [2, 3]]).to(getattr(mlkit, name)).T for name in DTYPES}
    tensors |= {"empty": mlkit.zeros(0, 3), "number": mlkit.tensor(2.5)}
    safetensors.save_file(tensors, tmp_path / "a", {"why": "a test"})
    back = safetensors.load_file(tmp_path / "a")
    assert set(back) == set(tensors) and safetensors.load_metadata(tmp_path / "a") == {"why": "a test"}
    for name, tensor in tensors.items():
        assert back[name].dtype == tensor.dtype and back[name].shape == tensor.shape
        assert bool((back[name] == tensor).all())
    back["float32"].add_(1)  # memory of its own


def test_the_library_reads_and_writes_the_same(tmp_path):
    safetensors.save_file({"w": mlkit.arange(6.0).reshape(2, 3)}, tmp_path / "a", {"k": "v"})
    with safe_open(tmp_path / "a", framework="numpy") as file:
        assert file.metadata() == {"k": "v"} and file.get_tensor("w").tolist() == [[0, 1, 2], [3, 4, 5]]
    reference.save_file({"w": np.arange(3)}, tmp_path / "b")
    assert safetensors.load_file(tmp_path / "b")["w"].tolist() == [0, 1, 2]
    assert safetensors.load(reference.save({"w": np.ones(2)}))["w"].dtype == mlkit.float64
    assert safetensors.load_metadata(tmp_path / "b") == {}


def test_a_model_with_tied_weights(tmp_path):
    class Tied(mlkit.nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = mlkit.nn.Linear(2, 2), mlkit.nn.Linear(2, 2)
            self.b.weight = self.a.weight

    model, other = Tied(), Tied()
    with pytest.raises(CheckpointError, match="share memory"):
        safetensors.save_file(model.state_dict(), tmp_path / "a")
    safetensors.save_model(model, tmp_path / "a")
    assert safetensors.load_model(other, tmp_path / "a") == ([], [])
    for x, y in zip(model.parameters(), other.parameters(), strict=True):
        assert bool((x == y).all())
    with pytest.raises(RuntimeError, match="Missing key"):
        safetensors.load_model(mlkit.nn.BatchNorm2d(2), tmp_path / "a")


def test_what_does_not_fit_is_named(tmp_path):
    w = mlkit.ones(4)
    for bad, words in [([w], "a dictionary"), ({"a": 1}, "'a'"), ({1: w}, "1")]:
        with pytest.raises(TypeError, match=words):
            safetensors.save_file(bad, tmp_path / "a")
    with pytest.raises(TypeError, match="Metadata is text"):
        safetensors.save_file({"a": w}, tmp_path / "a", {"epoch": 3})
    with pytest.raises(DtypeError, match="complex128"):
        safetensors.save({"a": w.to(mlkit.complex128)})
    with pytest.raises(CheckpointError, match="meta"):
        safetensors.save({"a": w.to("meta")})
    with pytest.raises(CheckpointError, match="'x' and 'y' share"):
        safetensors.save({"x": w, "y": w[1:]})
    safetensors.save({"x": w[:2], "y": w[2:]})  # neighbours in one memory are two tensors
    assert list(tmp_path.iterdir()) == []


def test_damaged_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file"):
        safetensors.load_file(tmp_path / "a")
    content = safetensors.save({"w": mlkit.arange(9.0)})
    for length in range(len(content)):
        (tmp_path / "a").write_bytes(content[:length])
        with pytest.raises(CheckpointError, match="damaged, cut short") as caught:
            safetensors.load_file(tmp_path / "a")
        assert str(tmp_path / "a") in str(caught.value)
    mlkit.save(mlkit.ones(1), tmp_path / "a")
    with pytest.raises(CheckpointError, match=r"mlkit\.load"):
        safetensors.load_file(tmp_path / "a")
