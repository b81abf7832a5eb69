"""Datasets from files: folders of images, arrays, lines of text, tables, and Hugging Face's tables."""

import gzip
import pickle

import numpy as np
import pytest

import mlkit
from mlkit.core.errors import ArgumentError, DataError, ShapeError
from mlkit.data import (
    ArrayFiles,
    CsvDataset,
    CsvStream,
    DataLoader,
    DatasetFolder,
    HuggingFaceDataset,
    ImageFolder,
    TextLines,
    TextStream,
    transforms,
)
from mlkit.data.folders import load_image

# --- images ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path):
    Image = pytest.importorskip("PIL.Image")
    draw = np.random.default_rng(0)
    for name, mode, ending in (("dog", "RGB", "jpg"), ("cat", "L", "png"), ("ant", "RGBA", "png")):
        (tmp_path / name / "more").mkdir(parents=True)
        for number in range(3):
            pixels = draw.integers(0, 256, (8, 10, {"RGB": 3, "RGBA": 4, "L": 1}[mode]), np.uint8)
            place = tmp_path / name / ("more" if number == 2 else ".") / f"{number}.{ending}"
            Image.fromarray(pixels[:, :, 0] if mode == "L" else pixels).save(place)
        (tmp_path / name / "notes.txt").write_text("not an image")
    return tmp_path


def test_a_folder_per_class(pictures):
    dataset = ImageFolder(pictures, transforms.ToTensor(), lambda target: -target)
    assert dataset.classes == ["ant", "cat", "dog"] and dataset.class_to_idx["dog"] == 2
    assert len(dataset) == 9 and dataset.targets == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert dataset.samples == sorted(dataset.samples) == dataset.imgs
    images, targets = next(iter(DataLoader(dataset, 9, num_workers=1)))
    assert tuple(images.shape) == (9, 3, 8, 10) and targets.tolist() == [0, 0, 0, -1, -1, -1, -2, -2, -2]
    assert "9 files in 3 classes" in repr(dataset)


def test_a_damaged_image_is_named(pictures):
    path = pictures / "dog" / "1.jpg"
    path.write_bytes(path.read_bytes()[:200])
    dataset = ImageFolder(pictures, transforms.ToTensor())
    for workers in (0, 1):
        with pytest.raises(DataError) as caught:
            list(DataLoader(dataset, 3, num_workers=workers))
        assert f"{path} is damaged" in str(caught.value) and "200 bytes" in str(caught.value)
        assert "Delete it or get it again" in str(caught.value)
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(DataError, match="no image"):
        load_image(path)
    path.unlink()
    with pytest.raises(DataError, match="no file"):
        dataset[7]


def test_folders_without_images_are_told(tmp_path):
    pytest.importorskip("PIL.Image")
    with pytest.raises(DataError, match="cannot be read"):
        ImageFolder(tmp_path / "missing")
    with pytest.raises(DataError, match="one folder per class"):
        ImageFolder(tmp_path)
    (tmp_path / "cat").mkdir()
    with pytest.raises(DataError, match="allow_empty=True"):
        ImageFolder(tmp_path)
    assert len(ImageFolder(tmp_path, allow_empty=True)) == 0


def test_files_of_any_kind(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "1.NPY", np.arange(3))
    dataset = DatasetFolder(tmp_path, np.load, extensions=(".npy",))
    assert dataset[1][0].tolist() == [0, 1, 2] and dataset[1][1] == 1
    with pytest.raises(ValueError, match="one of them"):
        DatasetFolder(tmp_path, np.load)


# --- arrays ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_in_npz(tmp_path, save):
    x, y = np.random.default_rng(0).random((20, 3, 2)), np.arange(20)
    fortran = np.asfortranarray(np.arange(40.0).reshape(20, 2))
    path = tmp_path / "data.npz"
    save(path, x=x, y=y, f=fortran, empty=np.zeros((20, 0)))
    dataset = ArrayFiles(path, keys=["x", "y", "f", "empty"])
    assert all(isinstance(a, np.memmap) for a in list(dataset.arrays.values())[:3]) == (save is np.savez)
    assert len(dataset) == 20
    loader = DataLoader(dataset, 8, num_workers=1)
    columns = [np.concatenate([batch[i].numpy() for batch in loader]) for i in range(4)]
    for found, expected in zip(columns, (x, y, fortran, np.zeros((20, 0)))):
        assert found.dtype == expected.dtype and (found == expected).all()
    assert dataset[-1][1].item() == 19
    with pytest.raises(IndexError):
        dataset[20]


def test_arrays_in_npy_are_mapped_and_sent_by_name(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(400_000).reshape(100_000, 4))
    np.save(tmp_path / "y.npy", np.arange(100_000))
    dataset = ArrayFiles([tmp_path / "x.npy", tmp_path / "y.npy"], transform=lambda row: row.sum())
    assert isinstance(dataset.arrays["x"], np.memmap) and dataset[2] == (38, 2)
    plain = ArrayFiles(tmp_path / "x.npy")
    assert len(pickle.dumps(plain)) < 500
    assert pickle.loads(pickle.dumps(plain))[3].tolist() == [12, 13, 14, 15]
    one = plain[3]
    one += 1  # a copy: the file stays
    assert ArrayFiles(tmp_path / "x.npy")[3].tolist() == [12, 13, 14, 15]


def test_array_files_that_cannot_be_used(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros(3), y=np.zeros(4))
    with pytest.raises(ShapeError, match=r"y: \[4\]"):
        ArrayFiles(tmp_path / "a.npz")
    with pytest.raises(DataError, match="no array 'z'"):
        ArrayFiles(tmp_path / "a.npz", keys=["z"])
    np.save(tmp_path / "o.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(DataError, match="could run code"):
        ArrayFiles(tmp_path / "o.npy")
    (tmp_path / "t.npy").write_text("hello")
    with pytest.raises(DataError, match="no .npy or .npz"):
        ArrayFiles(tmp_path / "t.npy")
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cut.npz cannot be read"):
        ArrayFiles(tmp_path / "cut.npz")
    with pytest.raises(DataError, match="no file"):
        ArrayFiles(tmp_path / "missing.npy")


# --- lines -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\r\ntwo\r\nthree", ["one", "two", "three"]),
        (b"\n\nx\n\n\n", ["", "", "x"]),
        ("h\u00e9\n\u4f60\n".encode(), ["h\u00e9", "\u4f60"]),
        (b"a\n" * 1000 + b"end", ["a"] * 1000 + ["end"]),
    ],
)
def test_lines_by_number(tmp_path, content, expected, monkeypatch):
    monkeypatch.setattr("mlkit.data.text_lines.BLOCK", 5)  # lines and line ends across blocks
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    lines = TextLines(path)
    assert [lines[i] for i in range(len(lines))] == expected and lines[-1] == expected[-1]
    if expected[0]:
        assert list(TextStream(path)) == expected
    assert list(TextLines(path, skip_empty=True)) == [one for one in expected if one]


def test_lines_of_several_files_from_workers(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text("".join(f"{number}-{i}\n" for i in range(7)))
    files = [tmp_path / f"{number}.txt" for number in range(3)]
    expected = [f"{number}-{i}" for number in range(3) for i in range(7)]
    assert [one for batch in DataLoader(TextLines(files), 4, num_workers=2) for one in batch] == expected
    streamed = [one for batch in DataLoader(TextStream(files, str.upper), 4, num_workers=2) for one in batch]
    assert sorted(streamed) == sorted(expected)


def test_lines_that_cannot_be_read(tmp_path):
    (tmp_path / "latin.txt").write_bytes("gut\ngr\u00fcn\n".encode("latin-1"))
    with pytest.raises(DataError, match="Line 2 of .*latin.txt is not in utf-8"):
        TextLines(tmp_path / "latin.txt")[1]
    assert TextLines(tmp_path / "latin.txt", encoding="latin-1")[1] == "gr\u00fcn"
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(DataError, match="no lines"):
        TextLines(tmp_path / "empty.txt")
    with pytest.raises(DataError, match="cannot be read"):
        TextLines(tmp_path / "missing.txt")
    with pytest.raises(IndexError):
        TextLines(tmp_path / "latin.txt")[2]


# --- tables ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path):
    pytest.importorskip("pandas")
    path = tmp_path / "table.csv"
    rows = "".join(f"{i},{i / 2},{'yes' if i % 3 else 'no'}\n" for i in range(25))
    path.write_text("a,b,kind\n" + rows)
    return path


def test_a_table_in_memory(table):
    dataset = CsvDataset(table, target="kind")
    assert dataset.classes == ["no", "yes"] and len(dataset) == 25
    assert dataset[4][0].tolist() == [4, 2] and dataset[4][1].item() == 1
    features, targets = next(iter(DataLoader(dataset, 25)))
    assert features.dtype == mlkit.float32 and targets.dtype == mlkit.int64
    without = CsvDataset(table, columns=["b"])
    assert without[4].tolist() == [2] and next(iter(DataLoader(without, 5))).shape == (5, 1)
    assert CsvDataset(table, target="a", columns=["b"])[3][1].dtype == mlkit.int64
    with gzip.open(str(table) + ".gz", "wt") as file:
        file.write(table.read_text())
    assert len(CsvDataset(str(table) + ".gz", "kind")) == 25


def test_a_table_as_a_stream(table):
    expected = CsvDataset(table, target="kind")
    stream = CsvStream(table, target="kind", classes=["no", "yes"], chunk_rows=4)
    found = list(stream)
    assert [x.tolist() for x, _ in found] == expected.tensors[0].tolist()
    assert [y.item() for _, y in found] == expected.tensors[1].tolist()
    shared = [row for x, _ in DataLoader(stream, 3, num_workers=2) for row in x[:, 0].tolist()]
    assert sorted(shared) == list(range(25))
    mixed = CsvStream([table, table], columns=["a"], chunk_rows=10, shuffle_rows=True)
    loader = DataLoader(mixed, 50, generator=mlkit.Generator().manual_seed(3))
    once, twice = next(iter(loader)).flatten().tolist(), next(iter(loader)).flatten().tolist()
    assert sorted(once) == sorted([*range(25), *range(25)]) and once != twice
    with pytest.raises(DataError, match="classes="):
        CsvStream(table, target="kind")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a,b\n1,2\n3,4,5\n", {}, "different length"),
        ("a,b\n1,2,3\n4,5,6\n", {}, "different length"),
        ("a,b\n1,x\n", {}, "line 2: 'x'"),
        ("a,b\n1,\n", {}, "1 cells of the column 'b' are empty"),
        ("a,b\n1,2\n", {"target": "B"}, "no column 'B'"),
        ("width,height\n1,2\n", {"columns": ["widht"]}, "Do you mean 'width'"),
        ("a;b\n1;2\n", {"target": "b"}, "sep=';'"),
        ("a,b\n", {}, "has no rows"),
        ("", {}, "is empty"),
        ("a\n1\n", {"target": "a"}, "no column but the target"),
        ("a,b\n1,\n", {"target": "b"}, "target column 'b' are empty"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, text, options, message):
    pytest.importorskip("pandas")
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        CsvDataset(path, **options)
    assert message in str(caught.value) and str(path) in str(caught.value)


def test_a_stream_names_the_line(tmp_path):
    pytest.importorskip("pandas")
    path = tmp_path / "table.csv"
    path.write_text("a\n" + "1\n" * 10 + "oops\n")
    with pytest.raises(DataError, match="line 12: 'oops'"):
        list(CsvStream(path, chunk_rows=4, dtype=np.float64))
    path.write_text("a,b\n" + "1,2\n" * 10 + "1,2,3\n")
    with pytest.raises(DataError, match="different length"):
        list(CsvStream(path, chunk_rows=4))
    with pytest.raises(DataError, match="no file"):
        CsvStream(tmp_path / "missing.csv")


# --- Hugging Face ----------------------------------------------------------------------------------------------------


class ClassLabel:
    names = ["bad", "good"]


class Table:
    """What `datasets.Dataset` offers, as far as it is used here."""

    def __init__(self, rows, form="torch"):
        self.rows, self.form = rows, form
        self.column_names = list(rows[0])
        self.features = {name: ClassLabel() if name == "label" else object() for name in rows[0]}
        self.asked = 0

    def with_format(self, form):
        return Table(self.rows, form)

    def set_format(self, form):
        self.form = form

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        assert self.form is None
        return self.rows[index]

    def __getitems__(self, indices):
        self.asked += 1
        return [self[index] for index in indices]


def test_tables_of_hugging_face():
    rows = [{"text": f"t{i}", "vector": [[0.5, i], [1, 2]], "label": i % 2, "odd": [1, [2]]} for i in range(6)]
    dataset = HuggingFaceDataset(Table(rows), columns=["vector", "label"])
    assert dataset.classes == ["bad", "good"] and len(dataset) == 6
    vectors, labels = next(iter(DataLoader(dataset, 4)))
    assert vectors.dtype == mlkit.float32 and tuple(vectors.shape) == (4, 2, 2) and labels.tolist() == [0, 1, 0, 1]
    assert dataset.dataset.asked == 1
    whole = HuggingFaceDataset(Table(rows))[3]
    assert whole["text"] == "t3" and whole["odd"] == [1, [2]] and whole["vector"].shape == (2, 2)
    changed = HuggingFaceDataset(Table(rows), columns=["text", "label"], transform=len, target_transform=str)
    assert changed[1] == (2, "1")
    with pytest.raises(DataError, match="no column 'x'"):
        HuggingFaceDataset(Table(rows), columns=["x"])
    with pytest.raises(DataError, match=r"dataset\['train'\]"):
        HuggingFaceDataset({"train": Table(rows)})
    with pytest.raises(ArgumentError, match="got a int"):
        HuggingFaceDataset(3)


def test_the_real_library():
    datasets = pytest.importorskip("datasets")
    Image = pytest.importorskip("PIL.Image")
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["a", "b"]),
            "box": datasets.Sequence(datasets.Value("int64"), length=4),
        }
    )
    rows = {
        "image": [Image.new("RGB", (5, 4), (i, 0, 255)) for i in range(6)],
        "label": [0, 1] * 3,
        "box": [[i, 1, 2, 3] for i in range(6)],
    }
    table = datasets.Dataset.from_dict(rows, features=features)
    dataset = HuggingFaceDataset(table.with_format("numpy"), ["image", "label", "box"])
    images, labels, boxes = next(iter(DataLoader(dataset, 6, num_workers=1)))
    assert (
        tuple(images.shape) == (6, 3, 4, 5) and labels.tolist() == [0, 1] * 3 and boxes[:, 0].tolist() == list(range(6))
    )
    assert dataset.classes == ["a", "b"]
    assert [batch["label"].tolist() for batch in DataLoader(table.remove_columns("image"), 3)] == [[0, 1, 0], [1, 0, 1]]


# --- anything --------------------------------------------------------------------------------------------------------


class Anything:
    def __len__(self):
        return 5

    def __getitem__(self, index):
        return {"x": index, "name": str(index)}


def test_anything_with_an_index_and_a_length():
    assert [b["x"].tolist() for b in DataLoader(Anything(), 3, num_workers=1)] == [[0, 1, 2], [3, 4]]
    assert [b.tolist() for b in DataLoader(range(4), 3)] == [[0, 1, 2], [3]]
    assert list(DataLoader("abc", 2)) == [["a", "b"], ["c"]]


def test_csv_with_gaps_and_words(tmp_path):
    pandas = pytest.importorskip("pandas")
    path = tmp_path / "people.csv"
    path.write_text("age,town,pays\n20,Ulm,1\n,Bern,0\n40,,1\n30,Ulm,0\n")
    with pytest.raises(DataError, match="(?s)'age' are empty.*line 3.*missing=\"mean\""):
        CsvDataset(path, target="pays", columns=["age"])
    with pytest.raises(DataError, match="(?s)'town'.*one-hot"):
        CsvDataset(path, target="pays", columns=["town"])
    full = CsvDataset(path, target="pays", missing="mean", texts="one-hot")
    assert full.columns == ["age", "town=Bern", "town=Ulm"]
    assert [row.tolist() for row, _ in full] == [[20, 0, 1], [30, 1, 0], [40, 0, 0], [30, 0, 1]]
    assert [label.item() for _, label in full] == [1, 0, 1, 0]
    assert CsvDataset(path, target="pays", columns=["age"], missing=-1)[1][0].tolist() == [-1]
    short = CsvDataset(path, target="pays", missing="drop", texts="one-hot")
    assert short.columns == ["age", "town=Ulm"] and len(short) == 2
    with pytest.raises(DataError, match="'town' are empty"):
        CsvDataset(path, target="pays", columns=["town"], texts="one-hot")
    for options in ({"missing": "guess"}, {"texts": "hash"}):
        with pytest.raises(DataError, match=next(iter(options))):
            CsvDataset(path, target="pays", **options)
    table = pandas.DataFrame({"a": [1.0, 2.0], "b": [0, 1]})
    assert CsvDataset(table, target="b")[1][0].tolist() == [2.0] and list(table) == ["a", "b"]
