"""Arithmetic: sums, products, quotients, remainders."""

from mlkit.core import dtype as dtypes
from mlkit.core.value import MetaArray
from mlkit.ops.registry import ONE, PAIR, POSITIVE, POSITIVE_PAIR, Elementwise, Float, Sample, op


@op(onnx="Add", samples=PAIR)
class add(Elementwise):
    """input + other."""

    ufunc = "add"
    linear = True

    def vjp_input(m, g):
        return g

    def vjp_other(m, g):
        return g


@op(onnx="Sub", samples=PAIR)
class sub(Elementwise):
    """input - other."""

    refuses_any = "b"

    linear = True

    def forward(m, input, other):
        return m.xp.subtract(input, other)

    def vjp_input(m, g):
        return g

    def vjp_other(m, g):
        return -g


@op(onnx="Mul", samples=PAIR)
class mul(Elementwise):
    """input * other."""

    ufunc = "multiply"

    def vjp_input(m, g, other):
        return g * m.conj(other)

    def vjp_other(m, g, input):
        return g * m.conj(input)


@op(onnx="Div", samples=[((3, 4), Sample((4,), "positive")), (Sample((3, 1)), Sample((1, 2), "positive"))])
class div(Float):
    """input / other, true division."""

    ufunc = "divide"

    def vjp_input(m, g, other):
        return g / m.conj(other)

    def vjp_other(m, g, other, input):
        return -g * m.conj(input / other / other)


@op(onnx="Reciprocal", samples=POSITIVE)
class reciprocal(Float):
    """1 / input."""

    def forward(m, input):
        return 1 / input

    def vjp(m, g, out):
        return -g * m.conj(out * out)


@op(onnx="Neg", samples=ONE)
class neg(Elementwise):
    """-input."""

    ufunc = "negative"
    linear = True

    def vjp(m, g):
        return -g


@op(onnx="Abs", samples=ONE)
class abs(Elementwise):  # noqa: A001
    """|input|; for complex numbers the magnitude, a real tensor."""

    refuses = "b"

    ufunc = "absolute"

    def infer(input):
        return MetaArray(input.shape, dtypes.from_numpy_dtype(input.dtype).to_real().numpy)

    def vjp(m, g, input):
        return g * m.sgn(input)


@op(onnx="Mod", samples=POSITIVE_PAIR)
class remainder(Elementwise):
    """input modulo other, with the sign of other (Python's %)."""

    refuses = "bc"

    def forward(m, input, other):
        return m.remainder_(input, other)

    def vjp_input(m, g):
        return g

    def vjp_other(m, g, input, other):
        return -g * m.floor_divide(input, other)


@op(samples=POSITIVE_PAIR)
class fmod(Elementwise):
    """The remainder of the division, with the sign of input (C's fmod)."""

    refuses = "bc"

    def forward(m, input, other):
        return m.fmod_(input, other)

    def vjp_input(m, g):
        return g

    def vjp_other(m, g, input, other):
        return -g * m.trunc_divide(input, other)


@op(samples=POSITIVE_PAIR)
class floor_divide(Elementwise):
    """floor(input / other)."""

    refuses = "bc"

    def forward(m, input, other):
        return m.floor_divide_(input, other)

    def vjp_input(m, g):
        return m.zeros_like(g)

    def vjp_other(m, g):
        return m.zeros_like(g)


@op(samples=POSITIVE_PAIR)
class trunc_divide(Elementwise):
    """input / other rounded towards zero."""

    refuses = "bc"

    def forward(m, input, other):
        return m.trunc_divide_(input, other)

    def vjp_input(m, g):
        return m.zeros_like(g)

    def vjp_other(m, g):
        return m.zeros_like(g)


@op(samples=[((3, 4), (3, 4), ())])
class lerp(Elementwise):
    """input + weight * (end - input)."""

    refuses = "biu"

    def forward(m, input, end, weight):
        # from the nearer side, so that a weight of 1 gives end itself
        if isinstance(weight, (int, float)):
            near = -0.5 < weight < 0.5
            return input + weight * (end - input) if near else end - (end - input) * (1 - weight)
        return m.where(m.xp.abs(weight) < 0.5, input + weight * (end - input), end - (end - input) * (1 - weight))

    def vjp_input(m, g, weight):
        return g * m.conj(1 - weight)

    def vjp_end(m, g, weight):
        return g * m.conj(weight)

    def vjp_weight(m, g, input, end):
        return g * m.conj(end - input)
