"""Special functions. Inputs: ``x`` (3, 4) normal, ``p`` (3, 4) in (0.2, 4), ``u`` (3, 4) in (0, 1), ``a`` (4,) in
(0.3, 6), ``f`` (5,) float32 positive, ``k`` (3, 4) int64 in 1..6, ``e`` the edges as float64."""

from __future__ import annotations

import zlib

import numpy as np

REAL = "erf erfc erfcx ndtr log_ndtr expit exp2 expm1 sinc i0 i0e i1 i1e modified_bessel_i0 modified_bessel_i1".split()
POSITIVE = (
    "gammaln digamma psi entr log1p modified_bessel_k0 scaled_modified_bessel_k0 scaled_modified_bessel_k1".split()
)
POSITIVE += "modified_bessel_k1 bessel_y0 bessel_y1".split()
#: PyTorch has no gradient for these
VALUES_ONLY = {"modified_bessel_i0", "modified_bessel_i1", "modified_bessel_k0", "modified_bessel_k1"}
VALUES_ONLY |= {
    "scaled_modified_bessel_k0",
    "scaled_modified_bessel_k1",
    "bessel_j0",
    "bessel_j1",
    "bessel_y0",
    "bessel_y1",
}
VALUES_ONLY |= {"airy_ai", "spherical_bessel_j0"}

CASES: dict[str, str] = {}


def _add(name: str, argument: str) -> None:
    d = ".detach()" if name in VALUES_ONLY else ""
    CASES[name] = f"T.special.{name}({argument}{d})"
    CASES[f"{name}_f32"] = f"T.special.{name}(f{d})" if name not in ("ndtri", "erfinv") else f"T.special.{name}(f / 7)"
    CASES[f"{name}_integer"] = f"T.special.{name}(k)"


for _name in REAL + ["bessel_j0", "bessel_j1", "airy_ai", "spherical_bessel_j0"]:
    _add(_name, "x")
for _name in POSITIVE:
    _add(_name, "p")
_add("erfinv", "u")
_add("ndtri", "u")
for _name in "erf erfc erfcx erfinv ndtr log_ndtr ndtri gammaln digamma entr i0 i0e i1 i1e logit expit sinc".split():
    CASES[f"{_name}_edges"] = f"T.special.{_name}(e.detach())"
for _name in "bessel_j0 bessel_j1 bessel_y0 bessel_y1 modified_bessel_k0 airy_ai".split():
    CASES[f"{_name}_wide"] = f"T.special.{_name}((p * 9).detach())"
for _name in ("i0", "i1"):  # PyTorch has NaN at infinity
    CASES[f"{_name}_edges"] = f"T.special.{_name}(e[:9].detach())"
CASES |= {
    "logit": "T.special.logit(u)",
    "logit_eps": "T.special.logit(u, eps=0.3), T.logit(u, 0.1), u.logit()",
    "xlogy": "T.special.xlogy(x, p), T.xlogy(x, 2.0), T.xlogy(3, p), x.xlogy(p)",
    "xlogy_zero": "T.special.xlogy(x * 0, p * 0), T.special.xlogy(k, p)",
    "xlog1py": "T.special.xlog1py(x, p), T.special.xlog1py(x, 2.0), T.special.xlog1py(2, p)",
    "zeta": "T.special.zeta(k + 1, p), T.special.zeta(3.0, p), T.special.zeta(k + 1.5, 2.0)",
    "gammainc": "T.special.gammainc(k, p), T.igamma(k * 1.0, p), T.special.gammainc(a.detach(), p.detach())",
    "gammaincc": "T.special.gammaincc(k, p), p.detach().igammac(p), T.special.gammaincc(a.detach(), p.detach())",
    "gammainc_edges": "T.special.gammainc(e[e >= 0].detach(), T.tensor(2.0).double()), T.igamma(T.tensor(2.0).double(), e[e >= 0].detach())",
    "gammainc_large": "T.igamma((a * 200).detach(), (a * 203).detach()), T.igammac((a * 20).detach(), (a * 23).detach())",
    "polygamma": "T.special.polygamma(0, p), T.special.polygamma(1, p), T.polygamma(2, p), p.polygamma(3)",
    "polygamma_negative": "T.special.polygamma(1, x), T.special.polygamma(0, x)",
    "gammaln_negative": "T.special.gammaln(x), T.lgamma(x), x.digamma()",
    "multigammaln": "T.special.multigammaln(p + 2, 3), T.mvlgamma(p + 1, 2), (p + 1).mvlgamma(1)",
    "softmax": "T.special.softmax(x, 0), T.special.log_softmax(x, dim=1), T.special.logsumexp(x, 1, keepdim=True)",
    "softmax_dtype": "T.special.softmax(f, 0, dtype=T.float64), T.special.log_softmax(f, 0, dtype=T.float64)",
    "round": "T.special.round(x), T.special.round(x, decimals=1)",
    "torch_names": "T.lgamma(p), T.digamma(p), T.erfinv(u), T.i0(x), T.erfc(x), T.expm1(x), T.log1p(p)",
    "in_place": "p.detach().clone().lgamma_(), u.detach().clone().erfinv_(), p.detach().clone().polygamma_(1)",
    "airy_left": "T.special.airy_ai((-p * 5).detach())",
}
for _name in "chebyshev_polynomial_t chebyshev_polynomial_u chebyshev_polynomial_v chebyshev_polynomial_w".split():
    CASES[_name] = (
        f"T.special.{_name}((2 * u - 1).detach(), k), T.special.{_name}(p.detach(), 3), T.special.{_name}(f.detach(), 2)"
    )
    CASES[f"shifted_{_name}"] = f"T.special.shifted_{_name}(u.detach(), k), T.special.shifted_{_name}(p.detach(), 3)"
for _name in "hermite_polynomial_h hermite_polynomial_he laguerre_polynomial_l legendre_polynomial_p".split():
    CASES[_name] = (
        f"T.special.{_name}((2 * u - 1).detach(), k), T.special.{_name}(u.detach(), 3), T.special.{_name}(0.5, k)"
    )

ERRORS: dict[str, str] = {
    "polygamma_n": "T.special.polygamma(-1, p)",
    "polygamma_order": "T.special.polygamma(p, 1.5)",
    "multigammaln_p": "T.special.multigammaln(p, 0)",
    "not_a_tensor": "T.special.gammaln(3.0)",
    "two_numbers": "T.special.xlogy(1.0, 2.0)",
    "softmax_dim": "T.special.softmax(x, 5)",
    "zeta_gradient": "T.special.zeta(p + 1, a).sum().backward()",
    "shapes": "T.special.xlogy(x, T.ones(3))",
    "out_gradient": "T.special.erf(x, out=T.zeros(3, 4).double())",
    "erf_complex": "T.special.gammaln(x * 1j)",
}


def inputs(name: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    return {
        "x": rng.normal(size=(3, 4)) * 1.5,
        "p": rng.uniform(0.2, 4, (3, 4)),
        "u": rng.uniform(0.02, 0.98, (3, 4)),
        "a": rng.uniform(0.3, 6, 4),
        "f": rng.uniform(0.2, 4, 5).astype(np.float32),
        "k": rng.integers(1, 7, (3, 4)),
        "e": np.array(
            [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -2.0, 30.0, -30.0, np.inf, -np.inf, np.nan, 1e-300, 1e300, -0.5]
        ),
    }
