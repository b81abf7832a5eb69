"""Readers of well-known data sets, on small files of their real formats, and downloads from a server on this machine."""

import gzip
import hashlib
import http.server
import io
import pickle
import struct
import tarfile
import threading

import numpy as np
import pytest

import mlkit
from mlkit.core.errors import DataError
from mlkit.data import DataLoader, datasets, transforms

pytest.importorskip("PIL.Image")

DRAW = np.random.default_rng(3)
IMAGES = DRAW.integers(0, 256, (12, 28, 28), np.uint8)
LABELS = np.arange(12, dtype=np.uint8) % 10


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def mnist_files(prefixes=("train", "t10k")):
    files = {}
    for prefix in prefixes:
        files[f"{prefix}-images-idx3-ubyte.gz"] = gzip.compress(idx(IMAGES))
        files[f"{prefix}-labels-idx1-ubyte.gz"] = gzip.compress(idx(LABELS))
    return files


@pytest.fixture
def server():
    """Serves ``server.files``; ``server.asked`` are the names that were asked for."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path[1:]
            self.server.asked.append(name)
            if name not in self.server.files:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.server.files[name])))
            self.end_headers()
            self.wfile.write(self.server.files[name])

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.files, running.asked = {}, []
        running.url = f"http://127.0.0.1:{running.server_address[1]}/"
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def at_this_server(kind, server, files):
    sums = tuple((name, hashlib.md5(content).hexdigest()) for name, content in files.items())
    return type(kind.__name__, (kind,), {"mirrors": (server.url,), "resources": sums})


@pytest.mark.parametrize("kind", [datasets.MNIST, datasets.FashionMNIST, datasets.KMNIST])
def test_mnist_is_downloaded_once_checked_and_read(kind, server, tmp_path, capsys):
    server.files = mnist_files()
    here = at_this_server(kind, server, server.files)
    with pytest.raises(DataError, match="download=True"):
        here(tmp_path)
    dataset = here(tmp_path, train=True, download=True)
    assert (tmp_path / kind.__name__ / "raw" / "train-images-idx3-ubyte.gz").is_file()
    assert "train-images-idx3-ubyte.gz" in capsys.readouterr().err  # the progress bar
    image, label = dataset[3]
    assert image.mode == "L" and image.size == (28, 28) and (np.asarray(image) == IMAGES[3]).all() and label == 3
    assert len(dataset) == 12 and dataset.data.dtype == mlkit.uint8 and dataset.targets.tolist() == LABELS.tolist()
    assert len(dataset.classes) == 10 and dataset.class_to_idx[dataset.classes[4]] == 4
    here(tmp_path, train=False, download=True)
    assert len(server.asked) == 4
    changed = here(tmp_path, transform=transforms.ToTensor(), target_transform=lambda label: label * 10)
    images, labels = next(iter(DataLoader(changed, 12, num_workers=1)))
    assert (images.numpy()[:, 0] == IMAGES.astype(np.float32) / 255).all() and labels[2].item() == 20
    assert "12 images of 28x28" in repr(changed) and "ToTensor" in repr(changed)


def test_a_wrong_file_is_refused(server, tmp_path):
    server.files = mnist_files()
    here = at_this_server(datasets.MNIST, server, server.files)
    server.files = {name: content[:-1] + b"x" for name, content in server.files.items()}
    with pytest.raises(DataError, match="wrong checksum, expected md5"):
        here(tmp_path, download=True)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_files_that_are_there_already(tmp_path):
    for name, content in mnist_files(("t10k",)).items():
        (tmp_path / name.removesuffix(".gz")).write_bytes(gzip.decompress(content))
    assert len(datasets.MNIST(tmp_path, train=False)) == 12
    with pytest.raises(DataError, match="train-images-idx3-ubyte.gz is not in"):
        datasets.MNIST(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(LABELS[:5]))
    with pytest.raises(DataError, match="do not belong together"):
        datasets.MNIST(tmp_path, train=False)


COLORS = DRAW.integers(0, 256, (6, 3, 32, 32), np.uint8)
KINDS = np.array([3, 0, 9, 1, 1, 2], np.uint8)


def binary(label_bytes):
    labels = np.stack([np.zeros(6, np.uint8)] * (label_bytes - 1) + [KINDS], axis=1)
    return np.concatenate([labels, COLORS.reshape(6, -1)], axis=1).tobytes()


def archive(kind):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as packed:
        for name in [*kind.binary_files[True], *kind.binary_files[False]]:
            data = binary(kind.label_bytes)
            entry = tarfile.TarInfo(f"{kind.binary_folder}/{name}")
            entry.size = len(data)
            packed.addfile(entry, io.BytesIO(data))
    return content.getvalue()


@pytest.mark.parametrize("kind", [datasets.CIFAR10, datasets.CIFAR100])
def test_cifar_is_downloaded_once_checked_and_read(kind, server, tmp_path):
    name = kind.urls[0].rpartition("/")[2]
    server.files = {name: archive(kind)}
    values = {"urls": (server.url + name,), "md5": hashlib.md5(server.files[name]).hexdigest()}
    here = type(kind.__name__, (kind,), values)
    with pytest.raises(DataError, match="download=True"):
        here(tmp_path)
    test = here(tmp_path, train=False, download=True)
    image, label = test[2]
    assert image.mode == "RGB" and (np.asarray(image) == COLORS[2].transpose(1, 2, 0)).all() and label == 9
    assert test.targets == KINDS.tolist() and test.data.shape == (6, 32, 32, 3)
    train = here(tmp_path, download=True, transform=transforms.ToTensor())
    assert len(train) == 6 * len(kind.binary_files[True]) and len(server.asked) == 1
    assert len(train.classes) == {"CIFAR10": 10, "CIFAR100": 100}[kind.__name__]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, kind.binary_folder])
    damaged = tmp_path / kind.binary_folder / kind.binary_files[False][0]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(DataError, match="is damaged"):
        here(tmp_path, train=False)


class Evil:
    def __reduce__(self):
        return (print, ("this must not run",))


def test_cifars_python_files_are_read_without_running_them(tmp_path, capsys):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    content = {b"data": COLORS.reshape(6, -1), b"labels": KINDS.tolist(), b"filenames": [b"a.png"] * 6}
    for protocol, name in enumerate(["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"]):
        (folder / name).write_bytes(pickle.dumps(content, protocol=min(protocol, 4)))
    dataset = datasets.CIFAR10(tmp_path)
    assert len(dataset) == 30 and (dataset.data[6] == COLORS[0].transpose(1, 2, 0)).all()
    assert len(datasets.CIFAR10(folder)) == 30  # the folder itself
    (folder / "data_batch_3").write_bytes(pickle.dumps({b"data": Evil(), b"labels": []}))
    with pytest.raises(DataError, match=r"it asks for builtins.print"):
        datasets.CIFAR10(tmp_path)
    assert "must not run" not in capsys.readouterr().out


def test_shipped_digits_stand_in_for_mnist():
    train, test = datasets.Digits(transform=transforms.ToTensor()), datasets.Digits(train=False)
    assert (len(train), len(test)) == (1500, 297)
    assert test[0][0].size == (8, 8) and tuple(train[0][0].shape) == (1, 8, 8)
    exact = datasets.digits(True).images.numpy()
    assert np.abs(np.stack([train[i][0].numpy() for i in range(50)]) - exact[:50]).max() <= 0.5 / 255 + 1e-6


def test_fake_data_are_the_same_each_time():
    one, other = datasets.FakeData(5, (1, 6, 7), 3), datasets.FakeData(5, (1, 6, 7), 3, random_offset=1)
    assert (np.asarray(one[2][0]) == np.asarray(one[2][0])).all()
    assert (np.asarray(one[3][0]) == np.asarray(other[2][0])).all()
    with pytest.raises(IndexError):
        one[5]


@pytest.mark.parametrize("make", [datasets.moons, datasets.circles, datasets.spirals, datasets.blobs])
def test_points_in_a_plane(make):
    seeded = [make(101, generator=mlkit.Generator().manual_seed(2)) for _ in range(2)]
    assert (seeded[0].points == seeded[1].points).all() and len(seeded[0]) == 101
    counts = np.bincount(seeded[0].targets.numpy())
    assert counts.max() - counts.min() <= 1 and len(counts) == len(seeded[0].classes)
    with pytest.raises(DataError, match="samples must be"):
        make(0)


def test_points_lie_where_they_should():
    circles = datasets.circles(200, noise=0.0, factor=0.3)
    radius = np.hypot(*circles.points.numpy().T)
    assert np.allclose(radius, np.where(circles.targets.numpy() == 0, 1, 0.3), atol=1e-6)
    blobs = datasets.blobs(3000, centers=[(0, 0), (9, -9)], spread=0.5)
    for number, middle in enumerate([(0, 0), (9, -9)]):
        cloud = blobs.points.numpy()[blobs.targets.numpy() == number]
        assert np.allclose(cloud.mean(0), middle, atol=0.1) and np.allclose(cloud.std(0), 0.5, atol=0.05)
    moons = datasets.moons(400, noise=0.0)
    points, targets = moons.points.numpy(), moons.targets.numpy()
    assert np.allclose(np.hypot(*points[targets == 0].T), 1, atol=1e-6)
    assert np.allclose(np.hypot(*(points[targets == 1] - [1, 0.5]).T), 1, atol=1e-6)
    spirals = datasets.spirals(300, noise=0.0, classes=2)
    assert np.hypot(*spirals.points.numpy().T).max() <= 1 + 1e-6
