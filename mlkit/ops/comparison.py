"""Comparisons, tests and logic; the larger of two; choosing by a condition."""

from mlkit.core import dtype as dtypes
from mlkit.core.value import MetaArray
from mlkit.ops.registry import ONE, PAIR, POSITIVE_PAIR, Elementwise, Op, Predicate, Sample, broadcast_or_explain, op

# --- tests ------------------------------------------------------------------------------------------------------------


def _predicate(name: str, ufunc: str, doc: str, samples: list, onnx: str | None = None, refuses: str = "") -> Op:
    class Test(Predicate):
        pass

    Test.refuses = refuses
    Test.ufunc = ufunc
    Test.__doc__ = doc
    return op(onnx=onnx, samples=samples, name=name)(Test)


eq = _predicate("eq", "equal", "input == other.", PAIR, "Equal")
ne = _predicate("ne", "not_equal", "input != other.", PAIR)
lt = _predicate("lt", "less", "input < other.", PAIR, "Less", "c")
le = _predicate("le", "less_equal", "input <= other.", PAIR, "LessOrEqual", "c")
gt = _predicate("gt", "greater", "input > other.", PAIR, "Greater", "c")
ge = _predicate("ge", "greater_equal", "input >= other.", PAIR, "GreaterOrEqual", "c")
logical_and = _predicate("logical_and", "logical_and", "Both true (non-zero counts as true).", PAIR, "And")
logical_or = _predicate("logical_or", "logical_or", "At least one true (non-zero counts as true).", PAIR, "Or")
logical_xor = _predicate("logical_xor", "logical_xor", "Exactly one true.", PAIR, "Xor")
logical_not = _predicate("logical_not", "logical_not", "True where input is zero.", ONE, "Not")
isnan = _predicate("isnan", "isnan", "True where input is NaN.", ONE, "IsNaN")
isinf = _predicate("isinf", "isinf", "True where input is infinite.", ONE, "IsInf")
isfinite = _predicate("isfinite", "isfinite", "True where input is neither NaN nor infinite.", ONE)
signbit = _predicate("signbit", "signbit", "True where the sign bit is set.", ONE)


# --- the larger, the smaller ------------------------------------------------------------------------------------------


@op(samples=PAIR + POSITIVE_PAIR)
class maximum(Elementwise):
    """The larger of the two; NaN wins. Where they are equal each gets half the gradient."""

    refuses = "c"

    ufunc = "maximum"

    def vjp(m, g, input, other, needs):
        return _split_with_ties(m, g, m.lt(input, other), m.gt(input, other), m.eq(input, other), needs)


@op(samples=PAIR)
class minimum(Elementwise):
    """The smaller of the two; NaN wins. Where they are equal each gets half the gradient."""

    refuses = "c"

    ufunc = "minimum"

    def vjp(m, g, input, other, needs):
        return _split_with_ties(m, g, m.gt(input, other), m.lt(input, other), m.eq(input, other), needs)


@op(samples=PAIR)
class fmax(Elementwise):
    """The larger of the two; a NaN loses against a number."""

    refuses = "c"

    ufunc = "fmax"

    def vjp(m, g, input, other, needs):
        first = m.logical_or(m.ge(input, other), m.isnan(other))
        return _split_by_order(m, g, first, needs)


@op(samples=PAIR)
class fmin(Elementwise):
    """The smaller of the two; a NaN loses against a number."""

    refuses = "c"

    ufunc = "fmin"

    def vjp(m, g, input, other, needs):
        first = m.logical_or(m.le(input, other), m.isnan(other))
        return _split_by_order(m, g, first, needs)


def _split_with_ties(m, g, lost, other_lost, tie, needs):
    """The gradient to the one that was taken, half to each of two equal ones; both get it where one is NaN."""
    zero, half = m.zeros_like(g), g * 0.5

    def part(beaten):
        return m.where(tie, half, m.where(beaten, zero, g))

    return part(lost) if needs[0] else None, part(other_lost) if needs[1] else None


def _split_by_order(m, g, first, needs):
    zero = m.zeros_like(g)
    return (
        m.where(first, g, zero) if needs[0] else None,
        m.where(m.logical_not(first), g, zero) if needs[1] else None,
    )


# --- choosing, bounding -----------------------------------------------------------------------------------------------


@op(onnx="Where", samples=[(Sample((3, 4), "bool", "bool"), (3, 4), (4,)), (Sample((3, 1), "bool", "bool"), (4,), ())])
class where(Elementwise):
    """input where condition, else other."""

    promotion = "after_first"

    def infer(self, condition, input, other):
        shape = broadcast_or_explain("where", condition, input, other, labels=("condition", "input", "other"))
        if not hasattr(input, "shape") and not hasattr(other, "shape"):  # two numbers
            kind = max(dtypes.scalar_category(x) for x in (input, other))
            return MetaArray(shape, dtypes.result_dtype(None, None, kind).numpy)
        return MetaArray(shape, Elementwise.infer(self, input, other).dtype)

    def forward(m, condition, input, other):
        return m.where_(condition, input, other)

    def vjp_input(m, g, condition):
        return m.where(condition, g, m.zeros_like(g))

    def vjp_other(m, g, condition):
        return m.where(condition, m.zeros_like(g), g)


@op(onnx="Clip", samples=[((3, 4), {"min": -0.5, "max": 0.5}), ((3, 4), {"min": None, "max": 0.3})])
class clamp(Elementwise):
    """input bounded below by min and above by max (Python numbers or None); NaN stays NaN."""

    refuses = "c"

    def forward(m, input, *, min=None, max=None):
        if min is not None:
            input = m.xp.maximum(input, min)
        return m.xp.minimum(input, max) if max is not None else (input if min is not None else m.copy(input))

    def vjp(m, g, input, min, max):
        # chosen, not multiplied: an infinite gradient outside the bounds is zero, not NaN
        if min is not None:
            g = m.where(m.ge(input, min), g, m.zeros_like(g))
        return m.where(m.le(input, max), g, m.zeros_like(g)) if max is not None else g
