"""Checkpoints: what goes in comes out; what is damaged is refused by name."""

import json
import math
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlkit.core.errors import CheckpointError
from mlkit.io import load_checkpoint, read_arrays, save_checkpoint, write_arrays

leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
    | st.sampled_from(["float32", "float64", "int64", "uint8", "bool", "float16"]).map(lambda d: np.ones((2, 3), d))
)  # fmt: skip
states = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.tuples(inner, inner)
            | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=3)
        ),
        max_leaves=10,
    ),
    max_size=4,
)


def same(a, b):
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and (a == b).all()
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@settings(max_examples=80, deadline=None)
@given(states)
def test_any_state_comes_back_as_it_was(tmp_path_factory, state):
    path = save_checkpoint(state, tmp_path_factory.mktemp("c") / "deep" / "a.safetensors")
    assert same(load_checkpoint(path), state)


def test_shapes_orders_and_special_numbers(tmp_path):
    array = np.arange(12.0).reshape(3, 4)
    state = {"t": array.T, "step": array[:, ::2], "scalar": np.float32(2), "zero_d": np.array(5), "empty": array[:0],
             "inf": -math.inf, "nan": math.nan, 0: {1: array}, "0": {"1": array + 1}}  # fmt: skip
    back = load_checkpoint(save_checkpoint(state, tmp_path / "a"))
    for key in ("t", "step", "zero_d", "empty"):
        assert back[key].shape == state[key].shape and (back[key] == state[key]).all()
    assert back["inf"] == -math.inf and math.isnan(back["nan"]) and back["scalar"] == 2
    assert (back[0][1] == array).all() and (back["0"]["1"] == array + 1).all()


def test_other_readers_find_the_tensors_by_their_place(tmp_path):
    from safetensors.numpy import load_file

    save_checkpoint({"model": {"0.weight": np.ones(3, np.float32)}, "step": 1}, tmp_path / "a")
    assert list(load_file(tmp_path / "a")) == ["model.0.weight"]


def test_what_cannot_be_held_is_named_and_nothing_is_written(tmp_path):
    with pytest.raises(CheckpointError, match=r"optimizer\.groups\.0 of type builtins\.object"):
        save_checkpoint({"optimizer": {"groups": [object()]}}, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_every_truncation_is_refused(tmp_path):
    path = save_checkpoint({"w": np.arange(10.0), "step": 3}, tmp_path / "whole")
    content = path.read_bytes()
    cut = tmp_path / "cut"
    for length in range(len(content)):
        cut.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match="damaged, cut short") as caught:
            load_checkpoint(cut)
        assert str(cut) in str(caught.value)


def test_other_files_are_refused_with_the_reason(tmp_path):
    with pytest.raises(CheckpointError, match="There is no file"):
        load_checkpoint(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match="Cannot read|damaged"):
        load_checkpoint(tmp_path)
    write_arrays(tmp_path / "plain", {"w": np.ones(2)}, {})
    with pytest.raises(CheckpointError, match="no mlkit checkpoint") as caught:
        load_checkpoint(tmp_path / "plain")
    assert "tensors in it: w" in str(caught.value)
    assert read_arrays(tmp_path / "plain")[0]["w"].tolist() == [1, 1]
    write_arrays(tmp_path / "later", {}, {"mlkit.checkpoint": json.dumps({"version": 99, "state": {}})})
    with pytest.raises(CheckpointError, match="later mlkit"):
        load_checkpoint(tmp_path / "later")
    write_arrays(tmp_path / "odd", {}, {"mlkit.checkpoint": '{"version": 1, "state": {"w": {"$tensor": "w"}}}'})
    with pytest.raises(CheckpointError, match="does not fit its tensors"):
        load_checkpoint(tmp_path / "odd")


def test_a_full_disk_keeps_the_old_checkpoint(tmp_path):
    path = save_checkpoint({"step": 1}, tmp_path / "last.safetensors")
    code = """
        import resource, sys
        import numpy as np
        from mlkit.io import save_checkpoint
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        try:
            save_checkpoint({"w": np.zeros(100_000)}, sys.argv[1])
        except OSError as error:
            print(error)
        """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), path], capture_output=True, text=True, timeout=60, check=False
    )
    assert f"Cannot write {path}" in result.stdout, result.stderr
    assert load_checkpoint(path) == {"step": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["last.safetensors"]
