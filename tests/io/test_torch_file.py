"""save and load: PyTorch's files both ways; what is damaged, hostile or something else is refused by name."""

import io
import json
import os
import pickle
import pickletools
import struct
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mlkit
from mlkit.core.errors import CheckpointError, DeviceError, MissingFeature
from tests.oracle import saved

FILES = Path(__file__).parents[1] / "oracle" / "files"


def through(obj, **how):
    file = io.BytesIO()
    mlkit.save(obj, file)
    file.seek(0)
    return mlkit.load(file, **how)


# --- PyTorch's files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["contents.pt", "contents_legacy.pt"])
def test_what_pytorch_wrote_is_read(name):
    found = mlkit.load(FILES / name, map_location={"cuda:1": "cpu"})
    wanted = saved.contents(mlkit)
    if "legacy" in name:
        del wanted["meta"]
        for d in ("uint16", "uint32", "uint64"):
            del wanted["dtypes"][d]
    saved.same(mlkit, found, wanted)
    saved.sharing(found)


@pytest.mark.parametrize("name", saved.OPTIMIZERS)
def test_training_goes_on_from_pytorchs_state(name):
    state = mlkit.load(FILES / f"{name}.pt")
    model = saved.network(mlkit)
    optimizer = saved.OPTIMIZERS[name](mlkit, model.parameters())
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    assert type(state["model"]) is OrderedDict and state["model"]._metadata["1"]["version"] == 2
    losses = [saved.step(mlkit, model, optimizer, saved.picture(mlkit)) for _ in range(3)]
    np.testing.assert_allclose(losses, state["next losses"], rtol=1e-5)


def test_what_mlkit_writes_stays_within_what_pytorch_reads():
    """The instructions and names that PyTorch's restricted reader knows (listed by the script beside the files)."""
    allowed = json.loads((FILES / "weights_only.json").read_text())
    known = {getattr(pickle, name)[0] for name in allowed["opcodes"]}
    file = io.BytesIO()
    mlkit.save({**saved.contents(mlkit), "many": [mlkit.ones(2) for _ in range(300)]}, file)
    with zipfile.ZipFile(file) as archive:
        assert archive.read("archive/version") == b"3\n" and archive.testzip() is None
        document = archive.read("archive/data.pkl")
        for info in archive.infolist():
            file.seek(info.header_offset + 26)
            start = info.header_offset + 30 + sum(struct.unpack("<HH", file.read(4)))
            assert info.compress_type == zipfile.ZIP_STORED and start % 64 == 0
    for opcode, argument, _ in pickletools.genops(document):
        assert ord(opcode.code) in known, opcode.name
        if opcode.name == "GLOBAL":
            assert argument.replace("__builtin__ ", "builtins ").replace(" ", ".") in allowed["globals"]


# --- there and back -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mapped", [False, True])
def test_everything_comes_back_as_it_was(tmp_path, mapped):
    mlkit.save(saved.contents(mlkit), tmp_path / "a.pt")
    before = (tmp_path / "a.pt").read_bytes()
    found = mlkit.load(tmp_path / "a.pt", map_location={"cuda:1": "cpu"}, mmap=mapped)
    saved.same(mlkit, found, saved.contents(mlkit))
    saved.sharing(found)
    assert (tmp_path / "a.pt").read_bytes() == before  # a mapped file is not changed


leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.binary(max_size=5)
    | st.complex_numbers(allow_nan=False)
)  # fmt: skip
keys = st.text(max_size=3) | st.integers() | st.booleans() | st.none() | st.tuples(st.integers(), st.text(max_size=2))
objects = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(keys, inner, max_size=3)
        | st.dictionaries(keys, inner, max_size=3).map(OrderedDict)
        | st.sets(st.integers() | st.text(max_size=3), max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(objects)
def test_any_plain_object_comes_back_as_it_was(obj):
    back = through(obj)
    saved.same(mlkit, back, obj)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_views_of_one_memory_stay_views_of_one_memory(data):
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    base = mlkit.arange(float(np.prod(shape))).reshape(shape)
    views = []
    for _ in range(data.draw(st.integers(1, 3))):
        index = tuple(
            data.draw(st.integers(0, n - 1) | st.builds(slice, st.integers(0, n - 1), st.none(), st.integers(1, 2)))
            for n in shape
        )
        view = base[index]
        views.append(view.T if data.draw(st.booleans()) and view.ndim == 2 else view)
    found = through([base, *views])
    for a, b in zip(found, [base, *views], strict=True):
        assert a.shape == b.shape and bool((a == b).all())
    found[0].zero_()
    assert all(not v.any() for v in found)


def test_only_the_memory_that_is_looked_at_is_written():
    large = mlkit.zeros(1000, 1000)
    file = io.BytesIO()
    mlkit.save(large[3], file)
    assert len(file.getvalue()) < 10_000


def test_memory_that_shares_is_one_for_in_place_changes():
    found = through({"a": (a := mlkit.ones(3)), "b": a[1:]})
    weight = mlkit.ones(2, requires_grad=True)
    out = (found["b"] * weight).sum()
    found["a"].add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.backward()


def test_containers_that_hold_themselves():
    loop: list = [1]
    loop.append(loop)
    back = through(loop)
    assert back[1] is back and back[0] == 1
    inside: list = []
    inside.append((inside,))
    with pytest.raises(CheckpointError, match="contains itself"):
        mlkit.save(inside[0], io.BytesIO())


def test_a_file_open_for_writing_and_reading(tmp_path):
    with open(tmp_path / "a", "wb") as file:
        mlkit.save(mlkit.ones(2), file)
    with open(tmp_path / "a", "rb") as file:
        assert mlkit.load(file).tolist() == [1, 1]
    with open(tmp_path / "t", "w") as file, pytest.raises(TypeError, match="open for bytes"):
        mlkit.save(mlkit.ones(2), file)


def test_where_tensors_go(tmp_path):
    path = tmp_path / "a.pt"
    mlkit.save({"w": mlkit.nn.Parameter(mlkit.ones(2)), "n": 1}, path)
    assert mlkit.load(path, map_location="meta")["w"].device.type == "meta"
    assert mlkit.load(path, map_location=mlkit.device("cpu"))["w"].tolist() == [1, 1]
    assert mlkit.load(path, map_location=lambda storage, place: storage)["w"].tolist() == [1, 1]
    seen = []
    mlkit.load(path, map_location=lambda storage, place: seen.append((storage.nbytes(), place)))
    assert seen == [(8, "cpu")]
    assert mlkit.load(path, map_location={"cpu": "meta"})["w"].device.type == "meta"
    assert mlkit.load(FILES / "contents_legacy.pt", map_location="meta")["parameter"].device.type == "meta"
    with pytest.raises(TypeError, match="map_location cannot be a int"):
        mlkit.load(path, map_location=3)
    if not mlkit.cuda.is_available():
        edited = path.read_bytes().replace(b"X\x03\x00\x00\x00cpu", b"X\x04\x00\x00\x00cuda")
        with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as old, zipfile.ZipFile(tmp_path / "b.pt", "w") as new:
            for name in old.namelist():
                content = old.read(name)
                new.writestr(name, content.replace(b"X\x03\x00\x00\x00cpu", b"X\x04\x00\x00\x00cuda"))
        assert edited != path.read_bytes()
        with pytest.raises(DeviceError, match="saved from the device 'cuda'") as caught:
            mlkit.load(tmp_path / "b.pt")
        assert "map_location='cpu'" in str(caught.value)
        assert mlkit.load(tmp_path / "b.pt", map_location="cpu")["w"].tolist() == [1, 1]


# --- what is refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value, hint",
    [
        (object(), "holds tensors"),
        (mlkit.nn.Linear(1, 1), "state_dict"),
        (np.ones(2), "from_numpy"),
        (defaultdict(list), "dict"),
        (frozenset([1]), "holds tensors"),
        (print, "holds tensors"),
    ],
)
def test_what_cannot_be_held_is_named_and_nothing_is_written(tmp_path, value, hint):
    (tmp_path / "a.pt").write_bytes(b"old")
    with pytest.raises(CheckpointError, match=hint) as caught:
        mlkit.save({"w": mlkit.ones(1), "deep": [1, {"here": value}]}, tmp_path / "a.pt")
    assert "['deep'][1]['here']" in str(caught.value) and type(value).__qualname__ in str(caught.value)
    assert [f.name for f in tmp_path.iterdir()] == ["a.pt"] and (tmp_path / "a.pt").read_bytes() == b"old"


def test_places_that_cannot_be_written(tmp_path):
    with pytest.raises(OSError, match="does not exist"):
        mlkit.save(mlkit.ones(1), tmp_path / "no" / "a.pt")
    with pytest.raises(TypeError, match="a path or a file"):
        mlkit.save(mlkit.ones(1), 3)


class Evil:
    def __init__(self, call, *arguments):
        self.how = call, arguments

    def __reduce__(self):
        return self.how


MARK = "the code in the file was run"


def hostile():
    """Pickles that would run code or reach into Python, were they unpickled."""
    target = f"import builtins; builtins.marked = {MARK!r}"
    yield "exec", pickle.dumps(Evil(exec, target), 2), "builtins.exec"
    yield "system", pickle.dumps(Evil(os.system, "touch marked"), 2), "system"
    yield "protocol 4", pickle.dumps({"a": [Evil(eval, "1")]}, 4), "builtins.eval"
    yield "getattr", pickle.dumps(Evil(getattr, int, "real"), 2), "builtins.getattr"
    yield "whole model", b"\x80\x02ctorch.nn.modules.linear\nLinear\n)\x81.", "torch.nn.modules.linear.Linear"
    yield "numpy", pickle.dumps(np.ones(2), 2), "numpy"
    yield "mlkit's own", pickle.dumps(mlkit.ones(2), 2), "mlkit.core.tensor"
    yield "inner name", b"\x80\x04\x8c\x05torch\x8c\x10_utils.os.system\x93.", "torch._utils.os.system"
    yield "inst", b"(S'1'\nios\nsystem\n.", "instruction INST"
    yield "obj", b"(cos\nsystem\nS'1'\no.", "os.system"
    yield "extension", b"\x80\x02\x82\x01.", "instruction EXT1"
    yield "build on a name", b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x01\x00\x00\x00aK\x01sb.", "with a state"
    yield "attributes", b"\x80\x02ccollections\nOrderedDict\n)R}X\x05\x00\x00\x00itemsK\x01sb.", "with attributes"
    yield "a class from a name", b"\x80\x02cbuiltins\nset\n(K\x01K\x02t\x81.", "set called with"
    yield "call of data", b"\x80\x02K\x01)R.", "a call of a int"
    yield "text persistent", b"Pos\n.", "instruction PERSID"


@pytest.mark.parametrize("name, document, words", list(hostile()))
@pytest.mark.parametrize("legacy", [False, True])
def test_hostile_files_run_nothing(tmp_path, monkeypatch, name, document, words, legacy):
    import builtins

    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.pt"
    if legacy:
        pieces = [pickle.dumps(0x1950A86A20F9469CFC6C, 2), pickle.dumps(1001, 2), pickle.dumps({}, 2)]
        path.write_bytes(b"".join(pieces) + document + pickle.dumps([], 2))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", document)
            archive.writestr("archive/version", "3\n")
    for weights_only in (None, True, False):
        with pytest.raises(CheckpointError) as caught:
            mlkit.load(path, weights_only=weights_only)
        assert words in str(caught.value) and str(path) in str(caught.value)
        assert isinstance(caught.value, pickle.UnpicklingError)
    assert not hasattr(builtins, "marked") and [f.name for f in tmp_path.iterdir()] == ["evil.pt"]


def test_tensors_that_reach_beyond_their_bytes_are_refused(tmp_path):
    file = io.BytesIO()
    mlkit.save(mlkit.arange(6.0), file)
    for old, new in [
        (b"K\x00K\x06\x85", b"K\x01K\x06\x85"),  # offset
        (b"K\x00K\x06\x85", b"K\x00K\x07\x85"),  # size
        (b"K\x06\x85K\x01\x85", b"K\x06\x85K\x02\x85"),  # stride
    ]:
        with zipfile.ZipFile(file) as archive, zipfile.ZipFile(tmp_path / "a", "w") as edited:
            for name in archive.namelist():
                content = archive.read(name)
                assert name != "archive/data.pkl" or old in content
                edited.writestr(name, content.replace(old, new) if name == "archive/data.pkl" else content)
        with pytest.raises(CheckpointError, match="does not fit its storage"):
            mlkit.load(tmp_path / "a")


@pytest.mark.parametrize("name", ["contents.pt", "contents_legacy.pt"])
def test_truncated_files_are_refused_by_name(tmp_path, name):
    content = (FILES / name).read_bytes()
    cut = tmp_path / "cut.pt"
    for length in [*range(0, 200, 7), *range(200, len(content), 131), len(content) - 1]:
        cut.write_bytes(content[:length])
        with pytest.raises(CheckpointError) as caught:
            mlkit.load(cut, map_location="cpu")
        assert str(cut) in str(caught.value) and "again" in str(caught.value), str(caught.value)


@pytest.mark.parametrize("seed", range(60))
def test_a_changed_byte_is_noticed_or_harmless(tmp_path, seed):
    """Every byte of the data is under a checksum; a change elsewhere gives the same object or an error with a name."""
    content = bytearray((FILES / "sgd.pt").read_bytes())
    generator = np.random.default_rng(seed)
    content[generator.integers(len(content))] ^= 1 << generator.integers(8)
    (tmp_path / "a").write_bytes(content)
    try:
        found = mlkit.load(tmp_path / "a")
    except (CheckpointError, MissingFeature) as error:
        assert str(tmp_path / "a") in str(error)
    else:
        saved.same(mlkit, found, mlkit.load(FILES / "sgd.pt"))


def test_other_files_are_refused_with_the_next_step(tmp_path):
    path = tmp_path / "a"
    with pytest.raises(FileNotFoundError, match="There is no file"):
        mlkit.load(path)
    path.write_bytes(b"")
    with pytest.raises(EOFError, match="empty"):
        mlkit.load(path)
    path.write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(CheckpointError, match="no file of tensors"):
        mlkit.load(path)
    np.savez(tmp_path / "b.npz", a=np.ones(2))
    with pytest.raises(CheckpointError, match=r"numpy\.load"):
        mlkit.load(tmp_path / "b.npz")
    path.write_bytes(pickle.dumps({"a": 1}, 2))
    with pytest.raises(CheckpointError, match=r"not one written by torch\.save"):
        mlkit.load(path)
    mlkit.io.safetensors.save_file({"w": mlkit.ones(2)}, path)
    with pytest.raises(CheckpointError, match="safetensors"):
        mlkit.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", b"\x80\x02N.")
        archive.writestr("m/constants.pkl", b"\x80\x02N.")
    with pytest.raises(MissingFeature, match="TorchScript"):
        mlkit.load(path)
    with pytest.raises(TypeError, match="a path or a file"):
        mlkit.load(3)
    with pytest.raises(NotImplementedError, match="never unpickles"):
        mlkit.load(path, pickle_module=pickle)
    with pytest.raises(ValueError, match="needs a path"):
        mlkit.load(io.BytesIO(b"PK"), mmap=True)
    with pytest.raises(OSError, match="directory|Permission"):
        mlkit.load(tmp_path)
