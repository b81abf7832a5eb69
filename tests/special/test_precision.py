"""Special functions against mpmath's values: near full float64 precision, and float32 within float32."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

import mlkit
from mlkit.core.dispatch import ops


@cache
def exact() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).parents[1] / "oracle" / "special_exact.npz") as kept:
        return dict(kept)


#: relative error allowed, in float64; the waves (Bessel, Airy) are measured against their amplitude
RELATIVE = dict.fromkeys(
    "erf erfc erfcx ndtr ndtri erfinv lgamma i0 i0e i1 i1e k0 k0e k1 k1e spherical_j0".split(), 2e-15
)
RELATIVE |= {"log_ndtr": 5e-15, "digamma": 5e-15, "digamma_negative": 3e-14}
RELATIVE |= {f"polygamma{n}": 1e-14 for n in (1, 2, 3, 5)}
ABSOLUTE = {"j0": 1e-15, "j1": 1e-15, "y0": 1e-15, "y1": 3e-15, "airy_ai": 2e-14}


def op_of(name):
    if name.startswith("polygamma"):
        return lambda x: ops.polygamma(x, n=int(name[-1]))
    return getattr(ops, name.removesuffix("_negative"))


@pytest.mark.parametrize("name", [*RELATIVE, *ABSOLUTE])
def test_float64(name):
    x, wanted = exact()[name].T
    got = op_of(name)(mlkit.from_numpy(x.copy())).numpy()
    error = np.abs(got - wanted)
    if name in RELATIVE:
        assert (error <= RELATIVE[name] * np.abs(wanted)).all(), (error / np.abs(wanted)).max()
    else:
        assert (error <= ABSOLUTE[name]).all(), error.max()


@pytest.mark.parametrize("name", [*RELATIVE, *ABSOLUTE])
def test_float32(name):
    x, _ = exact()[name].T
    narrow = x.astype(np.float32)
    got = op_of(name)(mlkit.from_numpy(narrow)).numpy()
    assert got.dtype == np.float32
    wide = op_of(name)(mlkit.from_numpy(narrow.astype(np.float64))).numpy()
    np.testing.assert_array_equal(got, wide.astype(np.float32))


@pytest.mark.parametrize("name", ["lgamma", "erfinv", "ndtri", "i0"])
@pytest.mark.parametrize("dtype", [mlkit.float16, mlkit.bfloat16])
def test_half_precisions_keep_their_type(name, dtype):
    x = mlkit.tensor([0.25, 0.5, 0.75])
    out = op_of(name)(x.to(dtype))
    assert out.dtype == dtype
    np.testing.assert_allclose(out.float().numpy(), op_of(name)(x).numpy(), rtol=1e-2, atol=1e-3)


def test_zeta():
    s, q, wanted = exact()["zeta"].T
    np.testing.assert_allclose(
        ops.zeta(mlkit.from_numpy(s.copy()), mlkit.from_numpy(q.copy())).numpy(), wanted, rtol=2e-14
    )


def test_incomplete_gamma():
    a, x, lower, upper, slope = (mlkit.from_numpy(c.copy()) for c in exact()["incomplete_gamma"].T)
    for got, wanted in ((ops.gammainc(a, x), lower), (ops.gammaincc(a, x), upper), (ops.gammainc_slope(a, x), slope)):
        seen = wanted.numpy()
        # far out in the tail of 1e4 degrees the conditioning itself costs digits
        np.testing.assert_allclose(got.numpy(), seen, rtol=3e-13, atol=1e-300)


def test_inverses():
    p = mlkit.linspace(1e-6, 1 - 1e-6, 101, dtype=mlkit.float64)
    np.testing.assert_allclose(mlkit.special.ndtr(mlkit.special.ndtri(p)).numpy(), p.numpy(), rtol=1e-14)
    y = 2 * p - 1
    np.testing.assert_allclose(mlkit.special.erf(mlkit.special.erfinv(y)).numpy(), y.numpy(), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(mlkit.special.expit(mlkit.special.logit(p)).numpy(), p.numpy(), rtol=1e-13)


def test_polynomials_differentiate():
    x = mlkit.linspace(-0.9, 0.9, 7, dtype=mlkit.float64).requires_grad_()
    n = mlkit.arange(7)
    mlkit.special.chebyshev_polynomial_t(x, n).sum().backward()
    k, t = np.arange(7), np.arccos(x.detach().numpy())
    np.testing.assert_allclose(x.grad.numpy(), k * np.sin(k * t) / np.sin(t), atol=1e-12)


def test_the_missing_derivative_is_named():
    a = mlkit.tensor(2.0, requires_grad=True)
    with pytest.raises(NotImplementedError, match="zeta"):
        mlkit.special.zeta(a, 2.0).backward()
    out = mlkit.special.gammainc(a, mlkit.tensor(1.5))
    (g,) = mlkit.autograd.grad(out, a, create_graph=True)
    with pytest.raises(NotImplementedError, match="gammainc"):
        g.backward()


def test_names_are_pytorchs():
    names = """airy_ai bessel_j0 bessel_j1 bessel_y0 bessel_y1 chebyshev_polynomial_t chebyshev_polynomial_u
    chebyshev_polynomial_v chebyshev_polynomial_w digamma entr erf erfc erfcx erfinv exp2 expit expm1 gammainc gammaincc
    gammaln hermite_polynomial_h hermite_polynomial_he i0 i0e i1 i1e laguerre_polynomial_l legendre_polynomial_p log1p
    log_ndtr log_softmax logit logsumexp modified_bessel_i0 modified_bessel_i1 modified_bessel_k0 modified_bessel_k1
    multigammaln ndtr ndtri polygamma psi round scaled_modified_bessel_k0 scaled_modified_bessel_k1
    shifted_chebyshev_polynomial_t shifted_chebyshev_polynomial_u shifted_chebyshev_polynomial_v
    shifted_chebyshev_polynomial_w sinc softmax spherical_bessel_j0 xlog1py xlogy zeta""".split()
    assert [n for n in names if not hasattr(mlkit.special, n)] == []


def test_sigmoid_keeps_its_left_tail():
    x = mlkit.tensor([-20.0, -50.0, -100.0, -1000.0])
    np.testing.assert_allclose(x[:2].sigmoid().numpy(), np.exp([-20.0, -50.0]), rtol=1e-6)
    np.testing.assert_allclose(x.double().sigmoid().numpy(), np.exp(x.double().numpy()), rtol=1e-8)
    assert mlkit.tensor(1000.0).sigmoid().item() == 1.0
