"""Memory of the GPU shared with CuPy and PyTorch, in files, under the Array API, and with axis names."""

import io

import numpy as np
import pytest

import mlkit

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not mlkit.cuda.is_available(), reason="needs an NVIDIA GPU"),
]


def test_cupy_shares_memory_both_ways():
    cupy = pytest.importorskip("cupy")
    x = mlkit.arange(6.0, device="cuda").reshape(2, 3)
    there = cupy.from_dlpack(x.T)
    there[0, 1] = 77
    assert x[1, 0].item() == 77 and x.__dlpack_device__() == (2, 0)
    assert cupy.asarray(x).data.ptr == x.data_ptr() == x.__cuda_array_interface__["data"][0]
    back = mlkit.from_dlpack(there)
    assert back.device.type == "cuda" and back.data_ptr() == x.data_ptr() and back.shape == (3, 2)
    assert mlkit.as_tensor(there).data_ptr() == x.data_ptr() == mlkit.asarray(there).data_ptr()
    with pytest.raises(RuntimeError, match="detach"):
        mlkit.ones(2, device="cuda", requires_grad=True).__cuda_array_interface__


def test_pytorch_shares_memory_both_ways():
    torch = pytest.importorskip("torch")
    theirs = torch.arange(4.0, device="cuda")
    ours = mlkit.from_dlpack(theirs)
    ours[0] = 5
    assert theirs[0].item() == 5 and torch.from_dlpack(ours).data_ptr() == theirs.data_ptr()


def test_files_keep_devices_views_and_sharing():
    base = mlkit.arange(12.0, device="cuda").reshape(3, 4)
    half = mlkit.ones(3, dtype=mlkit.float16, device="cuda")
    file = io.BytesIO()
    mlkit.save({"base": base, "rows": base[1:, ::2], "half": half, "p": mlkit.nn.Parameter(base[0])}, file)
    found = mlkit.load(io.BytesIO(file.getvalue()))
    assert found["base"].device.type == "cuda" and found["half"].dtype == mlkit.float16
    found["base"][1, 2] = 77
    assert found["rows"].cpu().tolist() == [[4, 77], [8, 10]]
    here = mlkit.load(io.BytesIO(file.getvalue()), map_location="cpu")
    assert here["rows"].tolist() == [[4, 6], [8, 10]] and here["p"].device.type == "cpu" and here["p"].requires_grad
    there = mlkit.load(io.BytesIO(file.getvalue()), map_location=lambda storage, place: storage.cuda(0))
    assert there["base"].device.type == "cuda"
    torch = pytest.importorskip("torch")
    theirs = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
    assert theirs["rows"].is_cuda and theirs["rows"].tolist() == [[4, 6], [8, 10]]
    assert theirs["rows"].untyped_storage().data_ptr() == theirs["base"].untyped_storage().data_ptr()
    again = io.BytesIO()
    torch.save(theirs, again)
    again.seek(0)
    assert mlkit.load(again)["p"].device.type == "cuda"


@pytest.mark.parametrize(
    "text",
    """xp.sum(x, axis=0) | xp.cumulative_sum(x, axis=1) | xp.sort(x, descending=True) | xp.argsort(x, axis=0) | x @ x.T | x[::-1, 1:]
    xp.unique_values(x).size | xp.std(x, axis=1, correction=1) | xp.concat([x, x], axis=1) | xp.linalg.svdvals(x) | xp.roll(x, 1, axis=1)
    xp.linalg.solve(x @ x.T + xp.eye(3, device=x.device), x) | xp.fft.rfft(x) | xp.where(x > 2, x, 0.0) | x[x > 3] | xp.tensordot(x, x) | xp.max(x)
    xp.take_along_axis(x, xp.argsort(x, axis=1), axis=1) | xp.astype(x, xp.int8) // 3 | xp.clip(x, 1, 5) | xp.searchsorted(x[0, :], x)""".replace(
        "\n", "|"
    ).split("|"),
)
def test_array_api_on_the_gpu(text):
    xp = mlkit.array_api
    numbers = np.arange(12.0).reshape(3, 4) * 0.75
    here, there = (eval(text.strip(), {"xp": xp, "x": xp.asarray(numbers, device=d)}) for d in ("cpu", "cuda"))
    if isinstance(here, int):
        assert here == there
        return
    assert there.device.type == "cuda" and there.dtype == here.dtype
    np.testing.assert_allclose(there.cpu().numpy(), here.numpy(), rtol=1e-6, atol=1e-9)


def test_axis_names_on_the_gpu():
    x = mlkit.rand(4, 3, device="cuda", names=("N", "C"))
    assert (x @ mlkit.rand(3, 2, device="cuda", names=("C", "D"))).softmax("D").sum("N").names == ("D",)
