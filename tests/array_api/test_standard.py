"""The Array API standard: names, signatures, types, shapes and refusals by its strict reference library, values by NumPy.

What the reference library says is kept in ``tests/oracle/array_api.*`` beside the script that asked it.
"""

import inspect
import json
import operator
import warnings
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.array_api import make_strategies_namespace

import mlkit
import mlkit.array_api as xp
from tests.array_api import expressions

ORACLE = Path(__file__).parents[1] / "oracle"
KEPT = json.loads((ORACLE / "array_api.json").read_text())
#: Where mlkit differs from the reference library on purpose.
UNORDERED = ("less", "less_equal", "greater", "greater_equal", "maximum", "minimum", " < ", " <= ", " > ", " >= ")


def on_purpose(text: str, got: str, wanted: str) -> bool:
    if got == "error":
        return (
            ("2j" in text and any(op in text for op in UNORDERED))  # it orders real numbers and a complex one
            or text == "xp.roll(g, (1, 2), axis=(0,))"  # the standard: tuples of the same length
            or text == "xp.meshgrid(v, f)"  # the standard: arrays with one axis
            or text == "xp.linalg.qr(g, mode='r')"  # the standard has no such mode
        )
    if wanted == "error":
        # axes may be left out of an index; isin is of 2025; complex transforms take real numbers too;
        # a running product of one number is as good as its sum; bounds may cross; complex numbers are zero or not
        lenient = ("g[", "f[n", "v[", "xp.isin", "xp.fft.", "xp.cumulative_prod(s)", "xp.clip(f, v[:4], s)")
        return text.startswith(lenient) or ("complex" in text and text.endswith("xp.bool)"))
    return False


@cache
def run(namespace) -> dict:
    names = expressions.inputs(namespace)
    out = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for text in expressions.expressions():
            try:
                out[text] = eval(text, dict(names))
            except Exception as error:
                out[text] = error
    return out


@cache
def reference() -> dict:
    with np.load(ORACLE / "array_api.npz") as kept:
        texts = expressions.expressions()
        assert zlib.crc32("\n".join(texts).encode()) == kept["texts"], "run python -m tests.oracle.make_array_api"
        return dict(zip(texts, kept["outcomes"].tolist(), strict=True))


def outcome(found) -> str:
    return "error" if isinstance(found, Exception) else expressions.describe(found)


def test_types_shapes_and_refusals_are_the_reference_librarys():
    ours = run(xp)
    different = {}
    for text, wanted in reference().items():
        got = outcome(ours[text])
        if got != wanted and not on_purpose(text, got, wanted):
            different[text] = (got, wanted)
    assert not different


def test_no_worse_than_numpy_where_the_standard_gives_an_answer():
    ours, numpys = run(xp), run(np)
    answered = {
        text: wanted
        for text, wanted in reference().items()
        if wanted != "error" and not on_purpose(text, "error", wanted)
    }
    right = sum(outcome(ours[text]) == wanted for text, wanted in answered.items())
    numpys_right = sum(outcome(numpys[text]) == wanted for text, wanted in answered.items())
    print(f"of {len(answered)}: mlkit {right}, NumPy {numpys_right}")
    assert right >= numpys_right


def flat(found) -> list:
    return [part for piece in found for part in flat(piece)] if isinstance(found, (tuple, list)) else [found]


def test_values_are_numpys():
    ours, numpys = run(xp), run(np)
    count = 0
    for text, found in ours.items():
        if isinstance(found, Exception) or isinstance(numpys[text], Exception):
            continue
        for a, b in zip(flat(found), flat(numpys[text]), strict=True):
            if isinstance(a, mlkit.Tensor):
                a = a.numpy()
                b = np.sort(b) if "unique_values" in text else b
                rtol = 1e-5 if a.dtype in (np.float32, np.complex64) else 1e-12
                np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-13, err_msg=text)
                count += 1
    assert count > 4000


@pytest.mark.parametrize("name", KEPT["signatures"])
def test_signature(name):
    """Every parameter of the standard's is there, and can be given the way the standard says."""
    found = operator.attrgetter(name)(xp)
    own = dict(inspect.signature(found).parameters)
    for parameter, kind in KEPT["signatures"][name]:
        if kind == "POSITIONAL_ONLY":
            assert list(own.values())[0].kind.name in ("POSITIONAL_ONLY", "POSITIONAL_OR_KEYWORD", "VAR_POSITIONAL")
            own.pop(next(iter(own)))
        elif kind == "VAR_POSITIONAL":
            assert any(p.kind.name == kind for p in own.values())
        else:
            assert own[parameter].kind.name in (kind, "POSITIONAL_OR_KEYWORD")


def test_methods_and_attributes():
    x = xp.asarray([[1.0, 2.0]])
    for name in [*KEPT["methods"], "T", "mT", "device", "dtype", "ndim", "shape", "size", "to_device"]:
        assert hasattr(x, name) or name in ("__buffer__", "__array__"), name
    assert x.size == 2 and x.size() == (1, 2) and x.size(1) == 2 and isinstance(x.size, int)
    for version in ("2021.12", "2024.12", None):
        assert x.__array_namespace__(api_version=version) is mlkit.array_api
    with pytest.raises(ValueError, match="no version"):
        x.__array_namespace__(api_version="1999.12")
    assert mlkit.ones(2).__array_namespace__() is mlkit.array_api


strategies = make_strategies_namespace(xp, api_version="2024.12")
NUMERIC = [getattr(xp, name) for name in expressions.DTYPES if name != "bool"]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_arithmetic_is_numpys_for_any_arrays(data):
    shapes = data.draw(strategies.mutually_broadcastable_shapes(2, max_dims=3, max_side=4)).input_shapes
    d = data.draw(st.sampled_from(NUMERIC))
    a, b = (data.draw(strategies.arrays(d, shape)) for shape in shapes)
    name = data.draw(st.sampled_from(["add", "subtract", "multiply", "equal", "not_equal"]))
    with np.errstate(all="ignore"):
        wanted = getattr(np, name)(a.numpy(), b.numpy())
    got = getattr(xp, name)(a, b).numpy()
    assert got.dtype == wanted.dtype and got.shape == wanted.shape
    np.testing.assert_array_equal(got, wanted)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_indexing_is_numpys_and_writes_where_it_reads(data):
    x = data.draw(strategies.arrays(xp.int64, strategies.array_shapes(max_dims=3, max_side=4, min_dims=0)))
    key = data.draw(strategies.indices(x.shape, allow_newaxis=True))
    array = x.numpy().copy()
    np.testing.assert_array_equal(x[key].numpy(), array[key])
    x[key] = 5
    array[key] = 5
    np.testing.assert_array_equal(x.numpy(), array)


SPECIAL = [
    float("nan"),
    float("inf"),
    -float("inf"),
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    2.0,
    -2.0,
    3.0,
    1e308,
    -1e308,
    5e-324,
]


@pytest.mark.parametrize("name", [*expressions.UNARY, *expressions.BINARY])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_special_numbers_are_numpys_bit_for_bit(name, dtype):
    numbers = [complex(a, b) for a in SPECIAL for b in SPECIAL] if dtype == "complex128" else SPECIAL
    a = np.array(numbers, dtype)
    arrays = [a] if name in expressions.UNARY else [a[:, None], a[None, :]]
    try:
        got = getattr(xp, name)(*(xp.asarray(x) for x in arrays))
    except TypeError:
        pytest.skip(f"{name} is not for {dtype}")
    with np.errstate(all="ignore"):
        wanted = getattr(np, name)(*arrays)
        if name == "floor_divide":  # where just one side is infinite: the standard prefers floor(x1 / x2)
            wanted = np.where(np.isinf(arrays[0]) != np.isinf(arrays[1]), arrays[0] / arrays[1], wanted)
    if name == "expm1" and dtype == "complex128":  # the standard's own answers, where NumPy's are NaN: tested below
        known = (a.imag != 0) & (np.isfinite(a.real) | np.isfinite(a.imag))
        got, wanted = got[xp.asarray(known)], wanted[known]
    assert got.numpy().dtype == wanted.dtype
    np.testing.assert_array_equal(got.numpy(), wanted)
    if wanted.dtype.kind == "f":
        known = ~np.isnan(wanted)
        np.testing.assert_array_equal(np.signbit(got.numpy())[known], np.signbit(wanted)[known])


INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ((-0.0, 0.0), (0.0, 0.0)),
        ((0.0, -0.0), (0.0, -0.0)),
        ((2.0, 0.0), (np.expm1(2.0), 0.0)),
        ((INF, 0.0), (INF, 0.0)),
        ((INF, -0.0), (INF, -0.0)),
        ((-INF, INF), (-1.0, 0.0)),
        ((-INF, NAN), (-1.0, 0.0)),
        ((INF, INF), (INF, NAN)),
        ((INF, NAN), (INF, NAN)),
        ((NAN, 0.0), (NAN, 0.0)),
        ((NAN, 1.0), (NAN, NAN)),
        ((-INF, 1.0), (-1.0, 0.0)),
    ],
)
def test_complex_expm1_on_the_real_axis_and_at_infinity(dtype, given, wanted):
    out = xp.expm1(xp.asarray([complex(*given)], dtype=getattr(xp, dtype)))
    found = out.numpy()
    assert found.dtype == dtype
    np.testing.assert_allclose([found.real[0], found.imag[0]], wanted, rtol=1e-6)
    for part, sign in zip((found.real[0], found.imag[0]), wanted, strict=True):
        assert part or np.signbit(part) == np.signbit(sign)


def test_floor_divide_keeps_infinity_with_a_gradient_as_without():
    for start in (
        xp.asarray([INF, -INF, 7.0, -7.0, 7.0, INF]),
        mlkit.tensor([INF, -INF, 7, -7, 7, INF]).requires_grad_(),
    ):
        x = xp.asarray(start)
        out = xp.floor_divide(x, xp.asarray([2.0, 2.0, -INF, INF, 2.0, INF], dtype=x.dtype)).detach().numpy()
        np.testing.assert_array_equal(out, [INF, -INF, -0.0, -0.0, 3.0, NAN])
        assert np.signbit(out[2:4]).all()
    assert (xp.asarray([INF]) // 2.0).tolist() == [INF] and (-3.0 // xp.asarray([INF])).tolist() == [0.0]


@pytest.mark.parametrize("number", [True, 3, 2.5, 1j])
def test_full_takes_an_array_without_axes(number):
    one = xp.asarray(number)
    for out in (xp.full((2,), one), xp.full((2,), one, dtype=one.dtype), xp.full_like(xp.stack([one, one]), one)):
        assert out.dtype is one.dtype and out.tolist() == [number, number]
    with pytest.raises(TypeError, match="without axes"):
        xp.full(2, xp.asarray([number]))


@pytest.mark.parametrize("number", [-0.0, complex(-0.0, 0.0)])
def test_full_keeps_the_sign_of_zero(number):
    for out in (xp.full((2,), number), xp.full(2, xp.asarray(number)), mlkit.full((2,), number)):
        assert np.signbit(out.numpy().real).all()


def test_in_place_operators_keep_memory_and_type():
    x = xp.asarray([1, 2, 3], dtype=xp.int16)
    view = x[1:]
    x += 2
    assert view.tolist() == [4, 5]
    x *= xp.asarray([1, 2, 3], dtype=xp.int8)
    assert x.dtype is xp.int16 and x.tolist() == [3, 8, 15]
    with pytest.raises(TypeError, match="does not fit"):
        x += xp.asarray(1, dtype=xp.int64)
    with pytest.raises(ValueError, match="cannot change the shape"):
        x += xp.ones((2, 3), dtype=xp.int16)
    with pytest.raises(TypeError):
        x += 1.5
    y = xp.asarray([[1.0, 2.0], [3.0, 4.0]])
    y @= y
    assert y.tolist() == [[7, 10], [15, 22]]


def test_nothing_else_is_converted():
    x = xp.asarray([1.0])
    for other in (np.ones(1), [1.0], np.float32(1), "a", None):
        with pytest.raises(TypeError):
            x + other
    assert (x == None) is False  # noqa: E711
    with pytest.raises(IndexError):
        x[1.0]
    with pytest.raises(TypeError):
        x[0] = 1j
    with pytest.raises(OverflowError):
        xp.asarray([1], dtype=xp.int8) + 300
    with pytest.raises(TypeError):
        bool(xp.asarray([True]))


def test_gradients_flow_through():
    w = mlkit.tensor([[0.5, -1.0], [2.0, 1.5]], requires_grad=True)
    p = w.__array_namespace__()
    out = p.sum(p.exp(p.matmul(w, p.permute_dims(w, (1, 0)))) * p.take(w, p.asarray([1, 0]), axis=0))
    out += p.mean(p.sort(w, axis=1)[..., ::1]) + p.std(w) + p.max(p.concat([w, w])) + p.cumulative_sum(w, axis=0)[-1, 0]
    out.backward()
    v = mlkit.tensor([[0.5, -1.0], [2.0, 1.5]], requires_grad=True)
    same = (
        ((v @ v.T).exp() * v[[1, 0]]).sum()
        + v.sort(dim=1).values.mean()
        + v.std(correction=0)
        + mlkit.cat([v, v]).max()
    )
    (same + v.cumsum(0)[-1, 0]).backward()
    np.testing.assert_allclose(w.grad.numpy(), v.grad.numpy(), rtol=1e-5)
    assert type(w) is mlkit.Tensor  # the caller's tensor stays what it was


@pytest.mark.parametrize(
    "text",
    """xp.linalg.det(x) | xp.linalg.inv(x) | xp.linalg.solve(x, x + 1.0) | xp.linalg.cholesky(x @ x.T) | xp.linalg.slogdet(x).logabsdet
    xp.linalg.svdvals(x) | xp.linalg.svd(x).S | xp.linalg.eigvalsh(x + x.T) | xp.linalg.eigh(x + x.T).eigenvalues | xp.linalg.pinv(x)
    xp.abs(xp.linalg.qr(x).R) | xp.linalg.matrix_norm(x, ord="nuc") | xp.linalg.vector_norm(x, ord=3) | xp.linalg.cross(x, x[::1, :] * x)
    xp.linalg.matrix_power(x, 3) | xp.linalg.trace(x) | xp.abs(xp.fft.rfft(x)) | xp.real(xp.fft.fftn(xp.astype(x, xp.complex128) * x[0, 0]))
    xp.fft.irfft(xp.fft.rfft(x) * 2.0) | xp.fft.fftshift(x) * x""".replace("\n", "|").split("|"),
)
def test_gradients_of_the_extensions(text):
    start = mlkit.tensor([[3.0, 1.0, 0.5], [0.25, 2.0, -1.0], [1.0, 0.5, 4.0]], dtype=mlkit.float64)

    def total(t):
        x = xp.asarray(t)
        return xp.sum(eval(text.strip(), {"xp": xp, "x": x}) * 1.5)

    x = start.clone().requires_grad_()
    total(x).backward()
    way = mlkit.tensor([[0.3, -0.2, 0.5], [0.1, 0.7, -0.4], [-0.6, 0.2, 0.9]], dtype=mlkit.float64)
    slope = (total(start + 1e-6 * way) - total(start - 1e-6 * way)) / 2e-6
    np.testing.assert_allclose((x.grad * way).sum().item(), slope.item(), rtol=1e-6)


def test_arrays_and_tensors_mix():
    x = xp.asarray([1.0, 2.0])
    assert isinstance(x + mlkit.ones(2), xp.Array) and isinstance(mlkit.ones(2) + x, xp.Array)
    t = mlkit.zeros(2)
    alias = xp.asarray(t)
    alias[0] = 3.0
    assert t.tolist() == [3, 0] and type(t) is mlkit.Tensor
    assert xp.asarray(alias) is alias
    assert str(xp.asarray([1, 2])) == "Array([1, 2])"


def test_shapes_without_data():
    x = xp.asarray(mlkit.zeros(2, 3, device="meta"))
    out = xp.sum(xp.exp(x) @ xp.permute_dims(x, (1, 0)), axis=0, keepdims=True)
    assert out.shape == (1, 2) and out.device.type == "meta"
