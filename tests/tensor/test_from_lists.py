"""Lists with NumPy's scalars, arrays and tensors among them: each keeps its element type, Python's numbers the default one."""

import numpy as np
import pytest

import mlkit


@pytest.mark.parametrize(
    ("data", "want"),
    [
        ([1.0, 2], "float32"),
        ([np.float64(1)], "float64"),
        ([0.0, np.float64(1)], "float64"),
        ([1, np.float64(2)], "float64"),
        ([[np.float64(1), 2.0], [3.0, 4.0]], "float64"),
        ([np.float32(1), 1], "float32"),
        ([np.float32(1), np.float64(2)], "float64"),
        ((np.float16(1),), "float16"),
        ([np.int32(1)], "int32"),
        ([np.int32(1), 2], "int64"),
        ([np.int64(1), 1.5], "float32"),
        ([np.uint8(3), np.int8(4)], "int16"),
        ([np.bool_(True)], "bool"),
        ([np.complex128(1)], "complex128"),
        ([np.array([1.0, 2.0]), np.array([3.0, 4.0])], "float64"),
        ([np.array([1, 2], dtype=np.int32)], "int32"),
        (np.float64(2), "float64"),
        ([[], []], "float32"),
    ],
)
def test_element_type(data, want):
    """What PyTorch 2.13 makes of each."""
    for made in (mlkit.tensor(data), mlkit.as_tensor(data)):
        assert str(made.dtype) == f"mlkit.{want}"
        assert np.array_equal(made.numpy(), np.asarray(data))


def test_tensors_in_lists():
    assert mlkit.tensor([mlkit.tensor(1.0, dtype=mlkit.float64)]).dtype == mlkit.float64
    assert mlkit.tensor([mlkit.tensor(1), 2.5]).dtype == mlkit.float32
    assert mlkit.tensor([mlkit.tensor(2, dtype=mlkit.int32)]).dtype == mlkit.int32
    assert mlkit.tensor([mlkit.tensor(1.5), 2]).tolist() == [1.5, 2.0]


def test_the_state_of_a_generator():
    import copy
    import pickle

    g = mlkit.Generator().manual_seed(5)
    mlkit.rand(3, generator=g)
    state = g.get_state()
    assert state.dtype == mlkit.uint8
    twins = [g.clone_state(), copy.deepcopy(g), pickle.loads(pickle.dumps(g)), mlkit.Generator().set_state(state)]
    first = mlkit.randn(4, generator=g)
    assert all((mlkit.randn(4, generator=twin) == first).all() for twin in twins)
    assert g.set_state(state) is g and (mlkit.randn(4, generator=g) == first).all()
    for wrong in (3, mlkit.ones(16), mlkit.zeros(3, dtype=mlkit.uint8)):
        with pytest.raises(TypeError, match="set_state"):
            g.set_state(wrong)


@pytest.mark.parametrize(
    ("number", "dtype"),
    [(300, "uint8"), ([300, 1], "uint8"), (-256, "uint8"), ([128], "int8"), ([-129], "int8"), (2**31, "int32"),
     (1e10, "int32"), (float("nan"), "int32"), (float("inf"), "int64")],
)  # fmt: skip
def test_numbers_that_an_integer_type_does_not_hold(number, dtype):
    d = getattr(mlkit, dtype)
    with pytest.raises(RuntimeError, match="without overflow"):
        mlkit.tensor(number, dtype=d)
    if not isinstance(number, list):
        with pytest.raises(RuntimeError, match="without overflow"):
            mlkit.full((2,), number, dtype=d)


def test_numbers_that_are_held():
    assert mlkit.tensor([-1, -255, 255], dtype=mlkit.uint8).tolist() == [255, 1, 255]
    assert mlkit.full((2,), -1, dtype=mlkit.uint8).tolist() == [255, 255]
    assert mlkit.tensor(np.array([300]), dtype=mlkit.uint8).tolist() == [
        44
    ]  # an array's numbers are converted as NumPy does
    assert mlkit.tensor([2.7, -2.7], dtype=mlkit.int32).tolist() == [2, -2]
    assert mlkit.tensor(2**63, dtype=mlkit.float32).item() == 2.0**63
    with pytest.raises(ValueError, match="64 bits"):
        mlkit.tensor(2**63)


def test_arrays_beside_tensors():
    product = mlkit.ones(2, 3) @ np.ones(3)
    assert product.dtype == mlkit.float64 and product.tolist() == [3, 3]
    assert (np.ones((2, 3)) @ mlkit.ones(3)).tolist() == [3, 3]
    assert [t.item() for t in reversed(mlkit.arange(3))] == [2, 1, 0]
