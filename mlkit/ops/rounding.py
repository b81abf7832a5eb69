"""Rounding, signs, and the next number."""

import numpy as np

from mlkit.ops.registry import ONE, PAIR, Elementwise, Float, Op, op


def _flat(name: str, ufunc: str, doc: str, onnx: str | None = None) -> Op:
    """A step function: its gradient is zero everywhere."""

    class Step(Elementwise):
        refuses = "bc"

        def forward(m, input):
            return getattr(m.xp, ufunc)(input) if input.dtype.kind in "fcV" else m.copy(input)

        def vjp(m, g):
            return m.zeros_like(g)

    Step.__doc__ = doc
    return op(onnx=onnx, samples=ONE, name=name)(Step)


floor = _flat("floor", "floor", "The largest integer not above input.", "Floor")
ceil = _flat("ceil", "ceil", "The smallest integer not below input.", "Ceil")
round = _flat("round", "round", "The nearest integer, halves to even.", "Round")  # noqa: A001
trunc = _flat("trunc", "trunc", "input without its fraction.")


def _sign(m, input):
    if input.dtype.kind == "b":
        return m.copy(input)
    out = m.xp.sign(input)
    return m.where(out == out, out, m.xp.zeros_like(out)) if input.dtype.kind in "fV" else out  # of NaN: 0


@op(onnx="Sign", samples=ONE)
class sign(Elementwise):
    """-1, 0 or 1."""

    refuses = "c"

    def forward(m, input):
        return _sign(m, input)

    def vjp(m, g):
        return m.zeros_like(g)


@op(samples=ONE)
class sgn(Elementwise):
    """sign for real numbers; input / |input| for complex ones, 0 at 0."""

    def forward(m, input):
        return _sign(m, input)

    def vjp(m, g, input, out):
        if not m.is_complex(input):
            return m.zeros_like(g)
        size = m.abs(input)
        safe = m.where(m.eq(size, 0), m.ones_like(size), size)
        return m.where(m.eq(size, 0), m.zeros_like(g), (g - m.real(g * m.conj(out)) * out) / safe)


@op(samples=ONE)
class frac(Elementwise):
    """The fraction of input, with its sign."""

    refuses = "biuc"

    def forward(m, input):
        return input - m.xp.trunc(input)

    def vjp(m, g):
        return g


@op(samples=PAIR)
class copysign(Float):
    """The magnitude of input with the sign of other."""

    refuses = "c"

    ufunc = "copysign"

    def vjp_input(m, g, input, out):
        with np.errstate(divide="ignore", invalid="ignore"):
            turned = out / input
        return g * m.where(m.eq(input, 0), m.zeros_like(g), turned)

    def vjp_other(m, g):
        return m.zeros_like(g)


@op(samples=PAIR)
class nextafter(Elementwise):
    """The next representable number after input in the direction of other."""

    refuses = "biuc"

    ufunc = "nextafter"

    def vjp_input(m, g, input, other):  # a step away from input, which is constant between powers of 2
        return m.where(m.eq(input, other), m.zeros_like(g), g)

    def vjp_other(m, g):
        return m.zeros_like(g)
