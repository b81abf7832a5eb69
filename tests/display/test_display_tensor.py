"""Tensors of every shape and kind as HTML."""

import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mlkit.display import tensor as display
from mlkit.display.picture import as_images
from mlkit.display.sample import EXACT, statistics

LIMIT = 60_000


def arrays():
    r = np.random.default_rng(0)
    f32 = np.float32
    yield "scalar", np.array(3.25, f32)
    yield "nan scalar", np.full((), np.nan)
    yield "empty", np.zeros((0, 3), f32)
    yield "bool scalar", np.array(True)
    yield "vector", np.array([1.0, -2.0], f32)
    yield "labels", r.integers(0, 10, 64)
    yield "long vector", r.normal(size=5000).astype(f32)
    yield "small matrix", r.normal(size=(4, 6)).astype(f32)
    yield "bool", r.random((20, 30)) > 0.5
    yield "complex", r.normal(size=(9, 9)) + 1j * r.normal(size=(9, 9))
    yield "half", (r.normal(size=(30, 30)) * 3000).astype(np.float16)
    yield "nan only", np.full((30, 30), np.nan, f32)
    yield "inf", np.array([[np.inf, -np.inf, 1.0]] * 20, f32)
    yield "huge", np.array([1e308, -1e308] * 20)
    yield "constant", np.zeros((40, 40), f32)
    yield "row", r.normal(size=(1, 3000)).astype(f32)
    yield "column", r.normal(size=(3000, 1)).astype(f32)
    yield "grey images", r.random((64, 1, 28, 28)).astype(f32)
    yield "colour images", r.random((64, 3, 32, 32)).astype(f32)
    yield "big photo", r.integers(0, 256, (3, 1000, 1400), dtype=np.uint8)
    yield "channels last", r.integers(0, 256, (5, 64, 48, 3), dtype=np.uint8)
    yield "digits", r.random((100, 8, 8)).astype(f32)
    yield "filters", r.normal(size=(16, 8, 3, 3)).astype(f32)
    yield "activations", r.normal(size=(8, 128, 768)).astype(f32)
    yield "five axes", r.normal(size=(2, 3, 4, 5, 6))
    yield "backwards", r.normal(size=(50, 40))[::-1, ::2]
    yield "broadcast", np.broadcast_to(np.arange(40.0), (500, 40))
    yield "int64 edge", np.array([np.iinfo(np.int64).min, 0, np.iinfo(np.int64).max] * 10)
    ml_dtypes = pytest.importorskip("ml_dtypes")
    yield "bfloat16", r.normal(size=(6, 40)).astype(ml_dtypes.bfloat16)


CASES = dict(arrays())


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_array_is_drawn_and_left_alone(name, parse):
    array = CASES[name]
    before = array.copy()
    page = parse(display.html(array))
    assert array.dtype.name in page.text and str(list(array.shape)) in page.text
    assert len(page.html) < LIMIT
    assert array.tobytes() == before.tobytes()


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float16, np.int8, np.uint8, np.bool_, np.complex64, np.int64]),
        hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=12),
    )
)
def test_no_array_breaks_the_display(parse, array):
    page = parse(display.html(array))
    assert len(page.html) < LIMIT


def test_statistics_are_numpys():
    values = np.random.default_rng(1).normal(3, 2, 10_000).astype(np.float32)
    values[:5], values[5:7], values[7:20] = np.nan, np.inf, 0.0
    found = statistics(values)
    finite = values[np.isfinite(values)].astype(float)
    assert (found.nan, found.inf, found.zeros) == (5, 2, 13)
    assert found.minimum == finite.min() and found.maximum == finite.max()
    assert found.mean == pytest.approx(finite.mean()) and found.std == pytest.approx(finite.std())
    assert sum(found.counts) == len(finite)


def test_nan_and_inf_are_in_the_warning_colour(parse):
    page = parse(display.html(np.array([np.nan, np.inf, 1.0] * 30)))
    assert len(page.all("span", "warn")) == 2 and "NaN 30" in page.text and "Inf 30" in page.text


def test_a_large_tensor_is_sampled_and_says_so(parse):
    array = np.random.default_rng(0).normal(5.0, 1.0, (2000, 1000)).astype(np.float32)
    assert array.size > EXACT
    page = parse(display.html(array))
    assert "sampled: 131,072 of 2,000,000 values" in page.text
    assert statistics(array).mean == pytest.approx(5.0, abs=0.05)


def test_sampling_leaves_the_global_random_state_alone():
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    statistics(np.zeros(EXACT + 1))
    assert np.array_equal(np.random.get_state()[1], before)


def test_a_gigabyte_is_displayed(parse):
    # 1 GiB that is never written: reading all of it would fault in every page.
    array = np.zeros((1 << 28,), np.float32).reshape(512, 1024, 512)
    started = time.perf_counter()
    html = display.html(array)
    print(f"1 GiB displayed in {1e3 * (time.perf_counter() - started):.0f} ms")
    page = parse(html)
    assert len(html) < LIMIT
    assert "of 268,435,456 values" in page.text


@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [
        ((64, 3, 32, 32), "f4", (64, 32, 32, 3)),
        ((64, 1, 28, 28), "f4", (64, 28, 28, 1)),
        ((5, 64, 48, 3), "u1", (5, 64, 48, 3)),
        ((3, 100, 140), "u1", (1, 100, 140, 3)),
        ((28, 28), "u1", (1, 28, 28, 1)),
        ((28, 28), "f4", None),
        ((16, 8, 3, 3), "f4", None),
        ((64, 3, 32, 32), "i8", None),
        ((2, 3), "c8", None),
    ],
)
def test_which_arrays_are_images(shape, dtype, expected):
    found = as_images(np.zeros(shape, dtype))
    assert (None if found is None else found.shape) == expected


class DeviceArray:
    """An array as CuPy has it: NumPy's ways, but its values are only here after ``get``."""

    moved = 0

    def __init__(self, values):
        self._values = values
        self.shape, self.dtype, self.ndim, self.size = values.shape, values.dtype, values.ndim, values.size

    def __getitem__(self, index):
        index = (
            tuple(i._values if isinstance(i, DeviceArray) else i for i in index) if isinstance(index, tuple) else index
        )
        return DeviceArray(self._values[index])

    def __lt__(self, other):
        return DeviceArray(self._values < other)

    def any(self):
        return DeviceArray(self._values.any()[None]) if self._values.ndim else self

    def __bool__(self):
        return bool(self._values.any())

    def transpose(self, *axes):
        return DeviceArray(self._values.transpose(*axes))

    def reshape(self, *shape):
        return DeviceArray(self._values.reshape(*shape))

    def get(self):
        DeviceArray.moved += self._values.nbytes
        return self._values

    def __array__(self, *args, **kwargs):
        raise TypeError("implicit conversion to a NumPy array is not allowed")


def asarray(values):
    return DeviceArray(np.asarray(values))


@pytest.mark.parametrize(
    "shape", [(3,), (4, 5), (64, 3, 32, 32), (2048, 2048), (16, 1, 3, 3), (64, 40, 400, 4), (3_000_000,)]
)
def test_of_an_array_on_a_device_only_a_sample_is_moved(shape, parse, monkeypatch):
    import types

    library = types.ModuleType("device_library")
    library.asarray = asarray
    monkeypatch.setitem(sys.modules, "device_library", library)
    monkeypatch.setattr(DeviceArray, "__module__", "device_library")
    monkeypatch.setattr(DeviceArray, "moved", 0)
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    tensor = types.SimpleNamespace(
        _array=DeviceArray(values), shape=shape, dtype="mlkit.float32", device="cuda:0", requires_grad=False
    )
    page = parse(display.html(tensor))
    assert "cuda:0" in page.text
    assert DeviceArray.moved <= 2 * min(values.nbytes, 4 * EXACT)
    assert f"{statistics(values).maximum:.3g}"[:3] in page.text


def test_pixels_have_a_picture_for_pdf_and_numbers_have_none():
    import base64
    import io

    import mlkit

    image = pytest.importorskip("PIL.Image")
    for tensor, size in (
        (mlkit.rand(20, 1, 28, 28), (8 * 60 - 4, 2 * 60 - 4)),
        (mlkit.rand(20, 3, 32, 32), None),
        (mlkit.randn(40, 60), None),
        (mlkit.randn(4, 8, 30, 30), None),
    ):
        bundle = tensor._repr_mimebundle_()
        picture = image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
        assert size is None or picture.size == size
        assert len(bundle["image/png"]) < 60_000
    for tensor in (
        mlkit.tensor(1.0),
        mlkit.rand(300),
        mlkit.zeros(3, 3),
        mlkit.zeros(0, 9),
        mlkit.zeros(9, 20, device="meta"),
    ):
        assert "image/png" not in tensor._repr_mimebundle_()


def test_token_ids_show_their_text(parse, hostile):
    import mlkit

    class Words:
        words = ["the", "cat", hostile]

        def decode(self, ids):
            return " ".join(self.words[i] for i in ids)

    ids = mlkit.display.attach_tokenizer(mlkit.tensor([[0, 1, 1], [0, 2, 5]]), Words())
    page = parse(ids._repr_html_())
    assert "the cat cat" in page.text and "IndexError" in page.text
    assert "decoded" not in parse(ids[0]._repr_html_()).text
    with pytest.raises(TypeError, match="decode"):
        mlkit.display.attach_tokenizer(ids, 3)
    with pytest.raises(ValueError, match="integers of shape"):
        mlkit.display.attach_tokenizer(mlkit.zeros(2), Words())


def test_axis_names_the_line_that_made_it_and_frozen_parameters(parse):
    import mlkit

    assert "[batch 4, in 6]" in parse(mlkit.zeros(4, 6).rename("batch", "in")._repr_html_()).text
    x = mlkit.randn(4, 6, requires_grad=True)
    with mlkit.autograd.detect_anomaly():
        y = x.exp() * 2  # the line
    assert "made by y = x.exp() * 2 # the line" in parse(y._repr_html_()).text
    frozen = mlkit.nn.Parameter(mlkit.zeros(3), requires_grad=False)
    assert "frozen" in parse(frozen._repr_html_()).text


def test_a_gigabyte_is_sampled_and_small():
    import mlkit

    tensor = mlkit.from_numpy(np.zeros((1,), np.float32)).expand(
        2**14, 2**14
    )  # the shape of 1 GB, the memory of nothing
    page = tensor._repr_html_()
    assert "sampled" in page and len(page.encode()) < LIMIT
