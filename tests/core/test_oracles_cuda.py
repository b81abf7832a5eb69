"""PyTorch's kept numbers again, with every tensor on the GPU: operations, linear algebra, layers, losses, optimizers."""

from __future__ import annotations

import pytest

import mlkit
from tests.oracle import (
    cases,
    cases_distributions,
    cases_fft,
    cases_layers,
    cases_linalg,
    cases_special,
    cases_tensor,
    deep,
    differences,
    expected,
    parity,
    programs_c2,
    programs_layers,
)

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not mlkit.cuda.is_available(), reason="needs an NVIDIA GPU and CuPy"),
    pytest.mark.filterwarnings("ignore"),
]
DEEP = {
    f"{module.__name__.rpartition('cases_')[2]}/{name}": (module, name)
    for module in (cases_linalg, cases_fft, cases_special, cases_distributions, cases_tensor)
    for name in module.CASES
    if name not in ("apply", "f16")  # only for the CPU; a sum of halves rounds by its order
}
#: autocast and Muon choose other types on a GPU than on a CPU, as in PyTorch
PROGRAMS = [name for name in programs_c2.PROGRAMS if not name.startswith(("autocast", "muon"))]


class OnGPU:
    """mlkit whose ``from_numpy`` gives tensors of the GPU; the default device does the rest."""

    def __getattr__(self, name):
        return getattr(mlkit, name)

    @staticmethod
    def from_numpy(array):
        return mlkit.from_numpy(array).to("cuda")


@pytest.fixture(autouse=True)
def gpu():
    mlkit.set_default_device("cuda")
    yield OnGPU()
    mlkit.set_default_device(None)


@pytest.mark.parametrize("name", cases.CASES)
def test_operation(name, gpu):
    got = cases.run(name, cases.CASES[name], gpu, mlkit.nn.functional)
    assert differences(got, expected(f"case/{name}"), loose=name.startswith("f32")) == []


@pytest.mark.parametrize("name", DEEP)
def test_case(name, gpu):
    module, case = DEEP[name]
    deep.compare(case, module, gpu, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", programs_layers.LAYERS)
def test_layer(name, gpu):
    got = programs_layers.run(name, gpu)
    assert differences(got, expected(f"layer/{name}"), name in parity.LOOSE) == []


@pytest.mark.parametrize("name", cases_layers.CASES)
def test_function(name, gpu):
    got = cases_layers.run(name, cases_layers.CASES[name], gpu, mlkit.nn.functional)
    assert differences(got, expected(f"function/{name}")) == []


@pytest.mark.parametrize("name", PROGRAMS)
def test_optimizer(name, gpu):
    got = programs_c2.run(name, gpu)
    assert differences(got, expected(f"program_c2/{name}"), loose=name.startswith("float32")) == []


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "uint8"])
@pytest.mark.parametrize("reduce", ["prod", "amax", "amin", "sum", "mean"])
def test_places_that_repeat_are_combined(reduce, dtype, gpu):
    mlkit.manual_seed(0)
    dtype = getattr(mlkit, dtype)
    source = mlkit.rand(5000, dtype=mlkit.float64, device="cpu") * 3
    if reduce == "prod" and dtype.is_floating_point:
        source = 0.9 + source / 15  # whichever is multiplied first, the products stay finite
    source = source.to(dtype)
    index = mlkit.randint(0, 7, (5000,), device="cpu")
    start = mlkit.ones(7, dtype=dtype, device="cpu")
    if reduce in ("prod", "sum", "mean") and dtype is mlkit.float16:
        source, index = source[:30], index[:30]
    for include in (True, False):
        wanted = start.scatter_reduce(0, index, source, reduce, include_self=include)
        got = start.cuda().scatter_reduce(0, index.cuda(), source.cuda(), reduce, include_self=include)
        assert got.dtype is dtype
        close = {"rtol": 2e-2, "atol": 1e-2} if dtype is mlkit.float16 else {"rtol": 1e-4, "atol": 1e-30}
        mlkit.testing.assert_close(got.cpu(), wanted, **close)
    if dtype.is_floating_point:
        source[3] = float("nan")
        got = start.cuda().scatter_reduce(0, index.cuda(), source.cuda(), "amax").cpu()
        assert got.isnan().tolist() == [i == index[3].item() for i in range(7)]


def test_a_number_on_the_cpu_goes_along_and_gets_its_gradient_there(gpu):
    scale = mlkit.tensor(3.0, device="cpu", requires_grad=True)
    x = mlkit.ones(4, device="cuda", requires_grad=True)
    for fixed in (mlkit.tensor(2.0, device="cpu"), mlkit.tensor(2, device="cpu")):
        (x * scale / fixed).sum().backward()
    assert scale.grad.device.type == "cpu" and scale.grad.item() == 4.0
    assert x.grad.device.type == "cuda" and x.grad.tolist() == [3.0] * 4


def test_memory_is_counted_and_a_full_gpu_says_who_holds_what(gpu):
    mlkit.cuda.reset_peak_memory_stats()
    before = mlkit.cuda.memory_allocated()
    x = mlkit.zeros(1 << 20)
    assert mlkit.cuda.memory_allocated() - before == 4 << 20
    del x
    assert mlkit.cuda.memory_allocated() == before
    assert mlkit.cuda.max_memory_allocated() - before >= 4 << 20 and mlkit.cuda.memory_reserved() > 0
    _, total = mlkit.cuda.mem_get_info()
    with pytest.raises(MemoryError, match="(?s)does not fit.*tensors here.*Use smaller batches"):
        mlkit.empty(total, dtype=mlkit.uint8)
    assert "tensors at most" in mlkit.cuda.memory_summary()


def test_streams_and_events(gpu):
    side = mlkit.cuda.Stream()
    start, end = (mlkit.cuda.Event(enable_timing=True) for _ in range(2))
    x = mlkit.ones(512, 512)
    side.wait_stream(mlkit.cuda.current_stream())
    with mlkit.cuda.stream(side):
        assert mlkit.cuda.current_stream() == side
        start.record()
        y = x @ x
        end.record()
    mlkit.cuda.current_stream().wait_stream(side)
    mlkit.cuda.synchronize()
    assert end.query() and start.elapsed_time(end) > 0 and y[0, 0].item() == 512.0


def test_what_the_gpu_is(gpu):
    found = mlkit.cuda.get_device_properties(0)
    assert found.total_memory > 1 << 30 and found.name == mlkit.cuda.get_device_name()
    assert mlkit.cuda.get_device_capability() == (found.major, found.minor)
    with mlkit.cuda.device(0):
        assert mlkit.cuda.current_device() == 0
    assert mlkit.cuda.is_initialized() and mlkit.cuda.is_bf16_supported()
