"""Digits from the package, MNIST from its files: what is right, and every damage a file can have."""

import gzip
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlkit import data
from mlkit.core.errors import DataError
from mlkit.data import handwriting


def idx_bytes(array):
    kinds = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12, "float32": 13, "float64": 14}
    header = bytes([0, 0, kinds[array.dtype.name], array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture(autouse=True)
def own_places(tmp_path, monkeypatch):
    """No test finds files of this machine, or reaches the network."""
    monkeypatch.delenv("MLKIT_DATA", raising=False)
    monkeypatch.setenv("MLKIT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(handwriting, "MIRRORS", ("http://127.0.0.1:9/",))
    monkeypatch.setattr(handwriting, "_without_mnist", None)


def write_mnist(folder, part="t10k", count=100, compress=True):
    folder.mkdir(parents=True, exist_ok=True)
    images = np.random.default_rng(count).integers(0, 256, (count, 28, 28)).astype(np.uint8)
    labels = (np.arange(count) % 10).astype(np.uint8)
    for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
        if compress:
            (folder / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(array), mtime=0))
        else:
            (folder / name).write_bytes(idx_bytes(array))
    return images, labels


@given(st.sampled_from(["uint8", "int8", "int16", "int32", "float32", "float64"]),
       st.lists(st.integers(0, 4), min_size=1, max_size=4))  # fmt: skip
def test_idx_round_trip(tmp_path_factory, kind, shape):
    array = (np.arange(np.prod(shape)).reshape(shape) - 3).astype(kind)
    path = tmp_path_factory.mktemp("idx") / "a"
    path.write_bytes(idx_bytes(array))
    read = data.read_idx(path, axes=len(shape))
    assert read.dtype == array.dtype and read.shape == array.shape
    np.testing.assert_array_equal(read, array)


good = idx_bytes(np.zeros((3, 28, 28), np.uint8))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "first bytes are b''"),
        (b"<!DOCTYPE html><html>", "It looks like a web page"),
        (b"\x01" + good[1:], "an IDX file begins"),
        (good[:10], "a header of 16 bytes"),
        (good[:-1], "2,368 bytes for the shape [3, 28, 28]"),
        (good + b"x", "2,369 bytes"),
        (good[:4] + b"\xff" * 12, "expected"),
        (gzip.compress(good, mtime=0)[:-20], "ends too early"),
        (gzip.compress(good, mtime=0)[:12] + b"\xff\xff\xff" + gzip.compress(good, mtime=0)[15:], "a sound gzip file"),
        (idx_bytes(np.zeros(3, np.uint8)), "magic number 2051"),
    ],
)
def test_a_damaged_file_is_named_with_what_was_expected(tmp_path, content, message):
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        data.read_idx(path, axes=3)
    assert str(path) in str(caught.value) and message in str(caught.value), caught.value
    assert "expected:" in str(caught.value) and "found:" in str(caught.value)


def test_any_single_wrong_byte_of_a_gzip_is_found_or_harmless(tmp_path):
    content = gzip.compress(good, mtime=0)
    path = tmp_path / "images.gz"
    for position in range(len(content)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0x41]) + content[position + 1 :])
        try:
            read = data.read_idx(path, axes=3)
        except DataError:
            continue
        assert read.shape == (3, 28, 28) and not read.any()


def test_digits_are_those_of_scikit_learn():
    datasets = pytest.importorskip("sklearn.datasets")
    train, test = data.digits(train=True), data.digits(train=False)
    assert (len(train), len(test)) == (1500, 297)
    ours = np.concatenate([np.asarray(train.images), np.asarray(test.images)])[:, 0]
    theirs = (datasets.load_digits().images / 16).astype(np.float32)
    order = np.lexsort(ours.reshape(1797, -1).T), np.lexsort(theirs.reshape(1797, -1).T)
    np.testing.assert_array_equal(ours[order[0]], theirs[order[1]])


def test_samples_are_as_promised():
    train, test = data.digits(), data.digits(train=False)
    image, label = train[0]
    assert tuple(image.shape) == (1, 8, 8) and "float32" in str(image.dtype)
    assert tuple(label.shape) == () and "int64" in str(label.dtype)
    assert float(train.images.min()) == 0 and float(train.images.max()) == 1
    assert train.classes == [str(digit) for digit in range(10)]
    counts = np.bincount(np.asarray(test.targets))
    assert counts.min() >= 28 and counts.max() <= 31
    assert repr(test) == "digits (test): 297 images of 1x8x8, 10 classes"


def test_training_and_held_out_images_differ():
    train, test = (set(map(bytes, np.asarray(data.digits(part).images))) for part in (True, False))
    assert not train & test


def test_mnist_from_the_test_files_alone(tmp_path, monkeypatch):
    images, labels = write_mnist(tmp_path / "mnist")
    monkeypatch.setenv("MLKIT_DATA", str(tmp_path))
    train, test = data.mnist(train=True, held_out=20), data.mnist(train=False, held_out=20)
    assert (len(train), len(test)) == (80, 20)
    assert np.bincount(np.asarray(test.targets)).tolist() == [2] * 10
    both = np.concatenate([np.asarray(train.images), np.asarray(test.images)])
    assert {bytes(i) for i in both} == {bytes(i) for i in (images / np.float32(255)).astype(np.float32)}
    assert repr(train) == "MNIST (train): 80 images of 1x28x28, 10 classes"
    with pytest.raises(DataError, match="held_out must be between 1 and 99, got 100"):
        data.mnist(held_out=100)


@pytest.mark.parametrize("inside", [".", "raw", "MNIST/raw"])
@pytest.mark.parametrize("compress", [True, False])
def test_mnist_with_its_training_files(tmp_path, inside, compress):
    write_mnist(tmp_path / inside, "train", 60, compress)
    write_mnist(tmp_path / inside, "t10k", 30, compress)
    assert len(data.mnist(root=tmp_path)) == 60
    assert len(data.mnist(train=False, root=tmp_path)) == 30


def test_files_that_do_not_belong_together(tmp_path):
    write_mnist(tmp_path, count=30)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(np.zeros(29, np.uint8))))
    with pytest.raises(DataError, match="do not belong together"):
        data.mnist(root=tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(np.full(30, 10, np.uint8))))
    with pytest.raises(DataError, match="labels must be 0 to 9"):
        data.mnist(root=tmp_path, held_out=5)


def test_no_files_and_no_network(capsys):
    with pytest.raises(DataError, match="mlkit.data.digits"):
        data.mnist(download=False)
    with pytest.raises(DataError, match="could not be downloaded") as caught:
        data.mnist()
    assert "no connection" in str(caught.value)
    assert repr(data.handwritten_digits()).startswith("digits (train)")
    assert repr(data.handwritten_digits(train=False)).startswith("digits (test)")
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 1 and "8x8 digits shipped" in said[0] and "no connection" in said[0]


def test_handwritten_digits_prefers_mnist(tmp_path, monkeypatch):
    write_mnist(tmp_path / "mnist", count=2000)
    monkeypatch.setenv("MLKIT_DATA", str(tmp_path))
    assert repr(data.handwritten_digits(train=False)) == "MNIST (test): 1,000 images of 1x28x28, 10 classes"


@pytest.mark.skipif(not os.environ.get("MLKIT_DATA"), reason="MLKIT_DATA names no folder with MNIST files")
def test_the_real_mnist_files(monkeypatch):
    monkeypatch.undo()
    train, test = data.mnist(), data.mnist(train=False)
    assert (len(train), len(test)) in [(9000, 1000), (60000, 10000)]
    assert abs(float(train.images.mean()) - 0.13) < 0.01
