"""The Python half of the array format; the browser's half reads the same fixture (widgets/shared/codec.test.ts)."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mlkit_widgets._codec import pack, unpack

FIXTURE = Path(__file__).parents[2] / "widgets" / "shared" / "codec.fixture.json"


def test_the_shared_fixture_is_read_and_written_byte_for_byte() -> None:
    fixture = json.loads(FIXTURE.read_text("utf-8"))
    buffers = [base64.b64decode(text) for text in fixture["buffers"]]
    message = unpack(fixture["tree"], buffers)
    for name, expected in fixture["values"].items():
        read = message["arrays"][name].ravel().tolist()
        assert [float(value) for value in read] == [float(value) for value in expected], name
    assert pack(message) == (fixture["tree"], buffers)


@given(
    arrays.arrays(
        st.sampled_from(
            ["bool", "int8", "uint8", "int16", "int32", "int64", "uint64", "float16", "float32", "float64"]
        ),
        arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
    )
)
def test_every_array_comes_back_equal(array: np.ndarray) -> None:
    tree, buffers = pack({"a": array})
    tree = json.loads(json.dumps(tree))
    back = unpack(tree, buffers)["a"]
    assert back.shape == array.shape
    np.testing.assert_array_equal(back, array)
    if array.dtype.kind not in "iu" or array.dtype.itemsize < 8:
        assert back.dtype == array.dtype


def test_strides_and_byte_order_do_not_show() -> None:
    array = np.arange(12, dtype=">f4").reshape(3, 4)[::2, ::-1]
    np.testing.assert_array_equal(unpack(*pack(array)), array)


def test_what_json_lacks_becomes_null() -> None:
    assert pack([float("nan"), np.float64("inf"), np.float32("nan"), np.int64(3), np.bool_(True)])[0] == [
        None, None, None, 3, True,
    ]  # fmt: skip


@pytest.mark.parametrize("bad", [object(), {1, 2}, np.array(["text"]), np.array([1j])])
def test_what_cannot_travel_is_refused(bad: object) -> None:
    with pytest.raises(TypeError, match="cannot be sent to the browser"):
        pack({"x": bad})


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"$array": 0, "dtype": "float64", "shape": [3]}, "24 bytes; 8 came"),
        ({"$array": 1, "dtype": "float64", "shape": [1]}, "carries 1"),
        ({"$array": -1, "dtype": "float64", "shape": [1]}, "carries 1"),
        ({"$array": 0, "dtype": "object", "shape": [1]}, "'object'"),
    ],
)
def test_a_broken_message_is_refused(tree: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        unpack(tree, [b"12345678"])
