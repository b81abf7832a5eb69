"""Memory shared with other libraries: NumPy, DLPack, buffers; copies and pickles of tensors."""

import array
import copy
import multiprocessing
import pickle

import numpy as np
import pytest

import mlkit

NUMERIC = "uint8 int8 int16 int32 int64 uint16 uint32 uint64 float16 float32 float64 complex64 complex128 bool".split()


@pytest.mark.parametrize("name", NUMERIC)
def test_dlpack_both_ways_shares_memory(name):
    tensor = mlkit.tensor([[0, 1, 2], [3, 4, 5]]).to(getattr(mlkit, name))
    there = np.from_dlpack(tensor.T)
    assert there.shape == (3, 2) and np.shares_memory(there, tensor.numpy())
    back = mlkit.from_dlpack(there)
    assert back.dtype == tensor.dtype and back.shape == (3, 2) and np.shares_memory(back.numpy(), there)
    assert tensor.__dlpack_device__() == (1, 0)


def test_dlpack_wishes():
    numbers = np.arange(3.0)
    assert not np.shares_memory(mlkit.from_dlpack(numbers, copy=True).numpy(), numbers)
    assert np.shares_memory(mlkit.from_dlpack(numbers, copy=False, device="cpu").numpy(), numbers)
    capsule = mlkit.utils.dlpack.to_dlpack(mlkit.from_numpy(numbers))
    assert np.shares_memory(mlkit.from_dlpack(capsule).numpy(), numbers)
    x = mlkit.ones(2)
    assert mlkit.from_dlpack(x).data_ptr() == x.data_ptr()
    with pytest.raises(ValueError, match="needs a copy"):
        mlkit.from_dlpack(numbers, device="meta", copy=False)
    with pytest.raises(BufferError, match="detach"):
        mlkit.ones(2, requires_grad=True).__dlpack__()
    with pytest.raises(BufferError, match="meta"):
        mlkit.ones(2, device="meta").__dlpack_device__()
    with pytest.raises(TypeError, match="speaks DLPack"):
        mlkit.from_dlpack([1, 2])
    assert not hasattr(x, "__cuda_array_interface__")


def test_numpy_reads_tensors_as_arrays():
    x = mlkit.arange(4.0)
    assert np.shares_memory(np.asarray(x), x.numpy())
    assert not np.shares_memory(np.array(x), x.numpy())
    assert np.asarray(x, np.int32).dtype == np.int32
    with pytest.raises(ValueError, match="copy=False"):
        np.asarray(x, np.int32, copy=False)
    assert isinstance(np.sin(x), mlkit.Tensor) and isinstance(np.arange(4) + x, mlkit.Tensor)
    with pytest.raises(RuntimeError, match="detach"):
        np.asarray(mlkit.ones(2, requires_grad=True))


def test_from_numpy_takes_plain_arrays_of_known_types():
    matrix = np.matrix([[1.0, 2.0]])
    x = mlkit.from_numpy(matrix)
    assert type(x.numpy()) is np.ndarray and np.shares_memory(x.numpy(), matrix)
    fixed = np.ones(3)
    fixed.flags.writeable = False
    with pytest.raises(RuntimeError, match="read-only"):
        mlkit.from_numpy(fixed).add_(1)
    for bad in (np.array(["a"]), np.zeros(2, "f4,i4"), np.ones(2, np.longdouble)):
        with pytest.raises(TypeError, match="no element type"):
            mlkit.from_numpy(bad)
    backwards, unaligned = np.arange(6.0).reshape(2, 3)[:, ::-1], np.zeros(3, dtype=[("a", "i1"), ("b", "f4")])["b"]
    for bad, words in (
        (backwards, r"strides \(24, -8\)(.|\n)*array.copy\(\)"),
        (np.ones(1)[::-1], "negative"),
        (np.ones(2, ">f4"), "byte order"),
        (unaligned, "strides not a multiple"),
    ):
        for take in (mlkit.from_numpy, mlkit.tensor, mlkit.as_tensor, mlkit.asarray, mlkit.Tensor):
            with pytest.raises(ValueError, match=words):
                take(bad)
    assert mlkit.from_numpy(backwards.copy()).tolist() == [[2, 1, 0], [5, 4, 3]]
    assert mlkit.from_numpy(np.ones(0)[::-1]).shape == (0,)
    with pytest.raises(TypeError, match=r"numpy\.ndarray"):
        mlkit.from_numpy([1])


def test_buffers():
    memory = bytearray(np.arange(4, dtype=np.int16).tobytes())
    x = mlkit.frombuffer(memory, dtype=mlkit.int16, offset=2, count=2)
    assert x.tolist() == [1, 2]
    x[0] = 9
    assert memory[2] == 9
    assert mlkit.frombuffer(array.array("d", [1, 2]), dtype=mlkit.float64, requires_grad=True).requires_grad
    with pytest.raises(RuntimeError, match="read-only"):
        mlkit.frombuffer(b"\0\0", dtype=mlkit.int8).add_(1)
    for buffer, how in [
        (b"", {}),
        (b"abc", {}),
        (b"abcd", {"offset": 4}),
        (b"abcd", {"offset": -1}),
        (b"abcd", {"count": 3}),
        (b"abcd", {"count": 0}),
        (3, {}),
    ]:
        with pytest.raises(ValueError, match="frombuffer"):
            mlkit.frombuffer(buffer, dtype=mlkit.int16, **how)


def test_asarray_shares_where_it_can():
    numbers = np.arange(3.0)
    x = mlkit.asarray(numbers)
    assert np.shares_memory(x.numpy(), numbers) and mlkit.asarray(x) is x
    assert not np.shares_memory(mlkit.asarray(numbers, copy=True).numpy(), numbers)
    assert mlkit.asarray(numbers, dtype=mlkit.float32).dtype == mlkit.float32
    with pytest.raises(ValueError, match="copy=False"):
        mlkit.asarray(numbers, dtype=mlkit.float32, copy=False)
    with pytest.raises(ValueError, match="copy=False"):
        mlkit.asarray([1, 2], copy=False)
    assert mlkit.asarray([1, 2]).dtype == mlkit.int64 and mlkit.asarray(2.5).shape == ()
    assert mlkit.asarray(bytearray(8)).tolist() == [0.0, 0.0]
    assert mlkit.asarray(np.float32(2)).dtype == mlkit.float32
    leaf = mlkit.ones(2, requires_grad=True)
    assert not mlkit.asarray(leaf * 2).requires_grad and mlkit.asarray(leaf * 2, requires_grad=True).grad_fn is not None
    assert mlkit.asarray(numbers, requires_grad=True).is_leaf


def test_as_tensor_takes_what_speaks_dlpack():
    class Foreign:
        def __init__(self, held):
            self.held = held

        def __dlpack__(self, **wishes):
            return self.held.__dlpack__(**wishes)

        def __dlpack_device__(self):
            return self.held.__dlpack_device__()

    numbers = np.arange(3.0)
    assert np.shares_memory(mlkit.as_tensor(Foreign(numbers)).numpy(), numbers)
    assert mlkit.as_tensor(Foreign(numbers), dtype=mlkit.int32).tolist() == [0, 1, 2]


def test_deepcopy():
    x = mlkit.arange(6.0).reshape(2, 3).T.requires_grad_()
    x.sum().backward()
    y = copy.deepcopy(x)
    assert y.stride() == x.stride() and y.requires_grad and y.is_leaf and bool((y.grad == x.grad).all())
    assert not np.shares_memory(y.detach().numpy(), x.detach().numpy())
    pair = copy.deepcopy([x, x])
    assert pair[0] is pair[1]
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(x * 2)


def double(x):
    return x * 2


def test_tensors_travel_between_processes():
    x = mlkit.nn.Parameter(mlkit.arange(3.0))
    back = pickle.loads(pickle.dumps(x))
    assert type(back) is mlkit.nn.Parameter and back.requires_grad and bool((back == x).all())
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(double, (mlkit.ones(2),)).tolist() == [2, 2]
