"""Special functions in PyTorch's signatures: what ``mlkit.special`` shows, and ``mlkit.lgamma`` and its like.

Integers become floats of the default dtype. Results are computed in float64 and given in the input's precision.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import ops
from mlkit.core.errors import ArgumentError, MissingFeature, ShapeError, UnsupportedDtype
from mlkit.core.value import MetaArray, Value, wrap
from mlkit.functional import arithmetic, conversion
from mlkit.functional.arithmetic import result_type
from mlkit.functional.results import takes_out


def _public(name: str, op_name: str, doc: str) -> Callable:
    """The function of an op with one tensor."""
    op = getattr(ops, op_name)

    def fn(input):
        if not isinstance(input, Value):
            raise ArgumentError(f"special_{name}(): argument 'input' must be Tensor, not {type(input).__name__}.")
        return op(input)

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = doc
    return takes_out(fn)


erf = _public("erf", "erf", "The error function.")
erfc = _public("erfc", "erfc", "1 - erf(input), exact in the tail.")
erfcx = _public("erfcx", "erfcx", "exp(input**2) * erfc(input), which does not underflow.")
erfinv = _public("erfinv", "erfinv", "The inverse of erf on [-1, 1].")
ndtr = _public("ndtr", "ndtr", "The normal distribution function.")
log_ndtr = _public("log_ndtr", "log_ndtr", "log of the normal distribution function, exact in the lower tail.")
ndtri = _public("ndtri", "ndtri", "The normal quantile: the inverse of ndtr.")
expit = _public("expit", "sigmoid", "1 / (1 + exp(-input)).")
exp2 = _public("exp2", "exp2", "2 ** input.")
expm1 = _public("expm1", "expm1", "exp(input) - 1, exact near 0.")
log1p = _public("log1p", "log1p", "log(1 + input), exact near 0.")
sinc = _public("sinc", "sinc", "sin(pi input) / (pi input).")
entr = _public("entr", "entr", "-input * log(input), 0 at 0, -inf below.")
gammaln = _public("gammaln", "lgamma", "log |gamma(input)|.")
lgamma = _public("lgamma", "lgamma", "log |gamma(input)|.")
digamma = _public("digamma", "digamma", "The derivative of gammaln.")
psi = _public("psi", "digamma", "The derivative of gammaln.")
i0 = _public("i0", "i0", "The modified Bessel function of the first kind of order 0.")
i0e = _public("i0e", "i0e", "exp(-|input|) * i0(input).")
i1 = _public("i1", "i1", "The modified Bessel function of the first kind of order 1.")
i1e = _public("i1e", "i1e", "exp(-|input|) * i1(input).")
modified_bessel_i0 = _public("modified_bessel_i0", "i0", "The modified Bessel function of the first kind of order 0.")
modified_bessel_i1 = _public("modified_bessel_i1", "i1", "The modified Bessel function of the first kind of order 1.")
modified_bessel_k0 = _public("modified_bessel_k0", "k0", "The modified Bessel function of the second kind of order 0.")
modified_bessel_k1 = _public("modified_bessel_k1", "k1", "The modified Bessel function of the second kind of order 1.")
scaled_modified_bessel_k0 = _public("scaled_modified_bessel_k0", "k0e", "exp(input) * modified_bessel_k0(input).")
scaled_modified_bessel_k1 = _public("scaled_modified_bessel_k1", "k1e", "exp(input) * modified_bessel_k1(input).")
bessel_j0 = _public("bessel_j0", "j0", "The Bessel function of the first kind of order 0.")
bessel_j1 = _public("bessel_j1", "j1", "The Bessel function of the first kind of order 1.")
bessel_y0 = _public("bessel_y0", "y0", "The Bessel function of the second kind of order 0.")
bessel_y1 = _public("bessel_y1", "y1", "The Bessel function of the second kind of order 1.")
spherical_bessel_j0 = _public("spherical_bessel_j0", "spherical_j0", "sin(input) / input, 1 at 0.")
airy_ai = _public("airy_ai", "airy_ai", "Airy's function Ai.")


@takes_out
def logit(input, eps: float | None = None):
    """log(input / (1 - input)); with ``eps`` the input is held in [eps, 1 - eps] first, else NaN outside [0, 1].

    >>> import mlkit
    >>> mlkit.special.logit(mlkit.tensor([0.5, 0.75]))
    tensor([0.0000, 1.0986])
    """
    return ops.logit(input, eps=None if eps is not None and eps != eps else eps)


def _not_whole(name: str, *tensors):
    """The tensors, unless all are of whole numbers."""
    if all(t._array.dtype.kind in "biu" for t in tensors):
        raise UnsupportedDtype(f"{name}: not implemented for {tensors[0].dtype}.", hint="Convert first: x.float().")
    return tensors


def _numbers(input, other):
    """Two operands of which at least one is a tensor."""
    if not isinstance(input, Value) and not isinstance(other, Value):
        raise ArgumentError("expected a Tensor as input or other.")
    if not isinstance(input, Value):
        input = wrap(_scalar(input, other)._array)
    elif not isinstance(other, Value):
        other = wrap(_scalar(other, input)._array)
    return input, other


def _tensors(name: str, input, other):
    for label, x in (("input", input), ("other", other)):
        if not isinstance(x, Value):
            raise ArgumentError(f"special_{name}(): argument '{label}' must be Tensor, not {type(x).__name__}.")
    return input, other


def _scalar(number, like):
    d = dtypes.from_numpy_dtype(like._array.dtype)
    d = dtypes.result_dtype(d, None, dtypes.scalar_category(number))
    return ops.cast(ops.zeros((), like=like), dtype=d) + number


@takes_out
def xlogy(input, other):
    """input * log(other), 0 where input is 0; either may be a number.

    >>> import mlkit
    >>> mlkit.special.xlogy(mlkit.tensor([0.0, 2.0]), mlkit.tensor([0.0, 1.0]))
    tensor([0., 0.])
    """
    return ops.xlogy(*_numbers(input, other))


@takes_out
def xlog1py(input, other):
    """input * log1p(other), 0 where input is 0; either may be a number."""
    return ops.xlog1py(*_numbers(input, other))


@takes_out
def zeta(input, other):
    """Hurwitz's zeta function: the sum over k >= 0 of (k + other) ** -input; differentiable in ``other``."""
    return ops.zeta(*_numbers(input, other))


@takes_out
def gammainc(input, other):
    """The regularized lower incomplete gamma function P(input, other), both not negative.

    >>> import mlkit
    >>> mlkit.special.gammainc(mlkit.tensor(1.0), mlkit.tensor(1.0))
    tensor(0.6321)
    """
    return ops.gammainc(*_not_whole("gammainc", *_tensors("gammainc", input, other)))


@takes_out
def gammaincc(input, other):
    """The regularized upper incomplete gamma function 1 - P(input, other), exact where P is near 1."""
    return ops.gammaincc(*_not_whole("gammaincc", *_tensors("gammaincc", input, other)))


igamma, igammac = gammainc, gammaincc


@takes_out
def polygamma(n: int, input):
    """The n-th derivative of digamma.

    >>> import mlkit
    >>> mlkit.special.polygamma(1, mlkit.tensor(1.0))
    tensor(1.6449)
    """
    if isinstance(n, Value) and not isinstance(input, Value):  # Tensor.polygamma(n)
        n, input = input, n
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise ArgumentError(f"polygamma(): argument 'n' must be int, not {type(n).__name__}.")
    if n < 0:
        raise ShapeError(f"polygamma(n, x) does not support negative n, got {n}.")
    return ops.digamma(input) if n == 0 else ops.polygamma(input, n=int(n))


@takes_out
def multigammaln(input, p: int):
    """log of the multivariate gamma function of dimension p."""
    if p < 1:
        raise ShapeError(f"p has to be greater than or equal to 1, got {p}.")
    d = dtypes.from_numpy_dtype(input._array.dtype)
    if d.category < 2:
        input = ops.cast(input, dtype=dtypes.get_default_dtype())
    out = None
    for j in range(p):
        term = ops.lgamma(input - 0.5 * j)
        out = term if out is None else out + term
    return out + 0.25 * p * (p - 1) * math.log(math.pi)  # type: ignore[operator]


mvlgamma = multigammaln


def softmax(input, dim: int, *, dtype=None):
    """exp(input) divided by its sum along ``dim``."""
    from mlkit.functional import activation

    return activation.softmax(input, dim, dtype=dtype)


def log_softmax(input, dim: int, *, dtype=None):
    """log of softmax, stable."""
    from mlkit.functional import activation

    return activation.log_softmax(input, dim, dtype=dtype)


@takes_out
def logsumexp(input, dim, keepdim: bool = False):
    """log of the sum of exp(input) over ``dim``, stable."""
    return ops.logsumexp(input, dim=dim, keepdim=keepdim)


@takes_out
def round(input, *, decimals: int = 0):  # noqa: A001
    """The nearest number with that many decimals; halves go to even."""
    return arithmetic.round(input, decimals=decimals)


# --- orthogonal polynomials --------------------------------------------------------------------------------------------------


def _polynomial(name: str, doc: str, first: Callable, step: Callable, shifted: bool = False) -> Callable:
    """Degree ``n`` (a number or a tensor, broadcast against input) by the recurrence
    p_{k+1} = step(k, x, p_k, p_{k-1}) from 1 and first(x); 0 for negative n. Differentiable in the input."""

    def fn(input, n):
        input, n = _numbers(input, n)
        degree_type = dtypes.from_numpy_dtype(n._array.dtype)
        target = result_type(input, n)
        target = target if target.category >= 2 else dtypes.get_default_dtype()
        if target.numpy.itemsize == 2:
            raise UnsupportedDtype(f"special.{name}: not implemented for {target}.", hint="Convert first: x.float().")
        if input._array.dtype != target.numpy:
            input = ops.cast(input, dtype=target)
        if n._node is not None:
            raise MissingFeature(f"the derivative for 'n' of special_{name} is not implemented.")
        degree = wrap(n._array) if degree_type.category < 2 else ops.trunc(wrap(n._array))
        x = 2 * input - 1 if shifted else input
        blank = x * 0 + ops.zeros_like(ops.cast(degree, dtype=target))
        if degree._array.__class__ is MetaArray or degree._array.size == 0:
            return blank
        highest = int(conversion.to_numpy_array(degree).max())
        out = blank
        before, now = ops.ones_like(x), first(x)
        for k in range(highest + 1):
            out = ops.where(ops.eq(degree, k), before, out)
            before, now = now, step(k + 1, x, now, before)
        return out

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = doc
    return takes_out(fn)


def _chebyshev(k, x, now, before):
    return 2 * x * now - before


_CHEBYSHEV = {
    "t": ("first", lambda x: x),
    "u": ("second", lambda x: 2 * x),
    "v": ("third", lambda x: 2 * x - 1),
    "w": ("fourth", lambda x: 2 * x + 1),
}
_made = {}
for _letter, (_which, _first) in _CHEBYSHEV.items():
    for _shifted in (False, True):
        _name = f"{'shifted_' if _shifted else ''}chebyshev_polynomial_{_letter}"
        _where = " at 2 * input - 1" if _shifted else ""
        _text = f"Chebyshev's polynomial of the {_which} kind and degree n{_where}."
        _made[_name] = _polynomial(_name, _text, _first, _chebyshev, _shifted)
chebyshev_polynomial_t = _made["chebyshev_polynomial_t"]
chebyshev_polynomial_u = _made["chebyshev_polynomial_u"]
chebyshev_polynomial_v = _made["chebyshev_polynomial_v"]
chebyshev_polynomial_w = _made["chebyshev_polynomial_w"]
shifted_chebyshev_polynomial_t = _made["shifted_chebyshev_polynomial_t"]
shifted_chebyshev_polynomial_u = _made["shifted_chebyshev_polynomial_u"]
shifted_chebyshev_polynomial_v = _made["shifted_chebyshev_polynomial_v"]
shifted_chebyshev_polynomial_w = _made["shifted_chebyshev_polynomial_w"]
hermite_polynomial_h = _polynomial(
    "hermite_polynomial_h",
    "The physicists' Hermite polynomial of degree n.",
    lambda x: 2 * x,
    lambda k, x, now, before: 2 * (x * now - k * before),
)
hermite_polynomial_he = _polynomial(
    "hermite_polynomial_he",
    "The probabilists' Hermite polynomial of degree n.",
    lambda x: x,
    lambda k, x, now, before: x * now - k * before,
)
laguerre_polynomial_l = _polynomial(
    "laguerre_polynomial_l",
    "Laguerre's polynomial of degree n.",
    lambda x: 1 - x,
    lambda k, x, now, before: ((2 * k + 1 - x) * now - k * before) / (k + 1),
)
legendre_polynomial_p = _polynomial(
    "legendre_polynomial_p",
    "Legendre's polynomial of degree n.",
    lambda x: x,
    lambda k, x, now, before: ((2 * k + 1) * x * now - k * before) / (k + 1),
)

__all__ = [
    "airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "chebyshev_polynomial_t", "chebyshev_polynomial_u",
    "chebyshev_polynomial_v", "chebyshev_polynomial_w", "digamma", "entr", "erf", "erfc", "erfcx", "erfinv", "exp2",
    "expit", "expm1", "gammainc", "gammaincc", "gammaln", "hermite_polynomial_h", "hermite_polynomial_he", "i0", "i0e",
    "i1", "i1e", "laguerre_polynomial_l", "legendre_polynomial_p", "log1p", "log_ndtr", "log_softmax", "logit",
    "logsumexp", "modified_bessel_i0", "modified_bessel_i1", "modified_bessel_k0", "modified_bessel_k1", "multigammaln",
    "ndtr", "ndtri", "polygamma", "psi", "round", "scaled_modified_bessel_k0", "scaled_modified_bessel_k1",
    "shifted_chebyshev_polynomial_t", "shifted_chebyshev_polynomial_u", "shifted_chebyshev_polynomial_v",
    "shifted_chebyshev_polynomial_w", "sinc", "softmax", "spherical_bessel_j0", "xlog1py", "xlogy", "zeta",
]  # fmt: skip
