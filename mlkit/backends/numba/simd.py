"""Vectors of sixteen float32, and innermost loops written out by Python while they are compiled.

Numba compiles loops over scalars and LLVM vectorises what it can prove safe. Where a kernel lives from keeping a block of
results in registers, that is not enough. A function decorated with ``emitted`` says what to do with ``Lanes`` (sixteen
numbers) and ``Number`` (an address or a count). It runs once, when the kernel around it is compiled: its Python loops are
unrolled by being run, and every operation adds an instruction. LLVM maps sixteen lanes to one AVX-512 register, two of
AVX2 or four of NEON.

    @emitted
    def scale(e, source, target, count, factor):
        with e.loop(count) as i:
            e.store(target + i * 64, e.load(source + i * 64) * factor)

    @kernel()
    def scaled(x, y, size, factor):
        scale(x, y, size // 16, factor)

Addresses are plain integers in bytes (``scratch.address``), so a kernel has one signature whatever the arrays are like,
and its caller keeps them alive.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator

import llvmlite.binding
import llvmlite.ir as ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 16
BYTES = 4 * LANES
SCALAR = ir.FloatType()
VECTOR = ir.VectorType(SCALAR, LANES)
WORD = ir.IntType(64)
INDICES = ir.VectorType(ir.IntType(32), LANES)

try:
    FEATURES = llvmlite.binding.get_host_cpu_features()
except RuntimeError:  # not known on this system
    FEATURES = {}
WIDE = bool(FEATURES.get("avx512f"))

#: How many rows of results, and how many vectors in each, fit the registers of this CPU.
ROWS, PANELS = (12, 2) if WIDE else (6, 1)
PANEL = PANELS * LANES


class Number:
    """A 64-bit integer: an address or a count."""

    __slots__ = ("builder", "value")

    def __init__(self, builder, value):
        self.builder, self.value = builder, value

    def _other(self, x):
        return x.value if isinstance(x, Number) else ir.Constant(WORD, int(x))

    def __add__(self, x):
        return (
            self
            if x.__class__ is int and x == 0
            else Number(self.builder, self.builder.add(self.value, self._other(x)))
        )

    def __sub__(self, x):
        return Number(self.builder, self.builder.sub(self.value, self._other(x)))

    def __mul__(self, x):
        return (
            self
            if x.__class__ is int and x == 1
            else Number(self.builder, self.builder.mul(self.value, self._other(x)))
        )

    def __rmul__(self, x):
        return self * x

    def __floordiv__(self, x):
        return Number(self.builder, self.builder.sdiv(self.value, self._other(x)))


class Lanes:
    """Sixteen float32; a Python number beside it is meant for each of them."""

    __slots__ = ("builder", "value")

    def __init__(self, builder, value):
        self.builder, self.value = builder, value

    def _other(self, x):
        return x.value if isinstance(x, Lanes) else ir.Constant(VECTOR, [float(x)] * LANES)

    def __add__(self, x):
        return Lanes(self.builder, self.builder.fadd(self.value, self._other(x)))

    def __sub__(self, x):
        return Lanes(self.builder, self.builder.fsub(self.value, self._other(x)))

    def __mul__(self, x):
        return Lanes(self.builder, self.builder.fmul(self.value, self._other(x)))

    __radd__, __rmul__ = __add__, __mul__

    def times_plus(self, x, y):
        """self * x + y, rounded once where the CPU can."""
        kind = ir.FunctionType(VECTOR, [VECTOR] * 3)
        fused = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.fmuladd.v{LANES}f32")
        return Lanes(self.builder, self.builder.call(fused, [self.value, self._other(x), self._other(y)]))

    def __rsub__(self, x):
        return self.splatted(x) - self

    def root(self):
        """The square root."""
        kind = ir.FunctionType(VECTOR, [VECTOR])
        root = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.sqrt.v{LANES}f32")
        return Lanes(self.builder, self.builder.call(root, [self.value]))

    def __neg__(self):
        return Lanes(self.builder, self.builder.fneg(self.value))

    def __truediv__(self, x):
        return Lanes(self.builder, self.builder.fdiv(self.value, self._other(x)))

    def __rtruediv__(self, x):
        return self.splatted(x) / self

    def splatted(self, x) -> Lanes:
        return Lanes(self.builder, self._other(x))

    def larger(self, x):
        """The larger of two; x where self is NaN."""
        mask = self.builder.fcmp_ordered(">", self.value, self._other(x))
        return Lanes(self.builder, self.builder.select(mask, self.value, self._other(x)))

    def smaller(self, x):
        """The smaller of two; x where self is NaN."""
        mask = self.builder.fcmp_ordered("<", self.value, self._other(x))
        return Lanes(self.builder, self.builder.select(mask, self.value, self._other(x)))

    def kept_nan(self, x):
        """self, but NaN where x is."""
        mask = self.builder.fcmp_unordered("uno", x.value, x.value)
        return Lanes(self.builder, self.builder.select(mask, x.value, self.value))

    def signed_as(self, x):
        """The size of self with the sign of x, of zeros too."""
        kind = ir.FunctionType(VECTOR, [VECTOR] * 2)
        sign = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.copysign.v{LANES}f32")
        return Lanes(self.builder, self.builder.call(sign, [self.value, x.value]))

    def beats(self, x):
        """A mask for ``Emitter.choose``: where self > x, or self is NaN."""
        more = self.builder.fcmp_ordered(">", self.value, self._other(x))
        return self.builder.or_(more, self.builder.fcmp_unordered("uno", self.value, self.value))


class Whole:
    """Sixteen 32-bit integers."""

    __slots__ = ("builder", "value")

    def __init__(self, builder, value):
        self.builder, self.value = builder, value


class Emitter:
    """What an emitted function builds its instructions with."""

    def __init__(self, builder):
        self.builder = builder

    def number(self, x) -> Number:
        return x if isinstance(x, Number) else Number(self.builder, ir.Constant(WORD, int(x)))

    def splat(self, x) -> Lanes:
        """The same number in all lanes; ``x`` is a Python number or a scalar."""
        if isinstance(x, (int, float)):
            return Lanes(self.builder, ir.Constant(VECTOR, [float(x)] * LANES))
        one = self.builder.insert_element(ir.Constant(VECTOR, ir.Undefined), x, ir.Constant(ir.IntType(32), 0))
        nowhere = ir.Constant(INDICES, [0] * LANES)
        return Lanes(self.builder, self.builder.shuffle_vector(one, ir.Constant(VECTOR, ir.Undefined), nowhere))

    def _at(self, address: Number, kind):
        return self.builder.inttoptr(address.value, kind.as_pointer())

    def load(self, address: Number) -> Lanes:
        return Lanes(self.builder, self.builder.load(self._at(address, VECTOR), align=4))

    def store(self, address: Number, x: Lanes) -> None:
        self.builder.store(x.value, self._at(address, VECTOR), align=4)

    def broadcast(self, address: Number) -> Lanes:
        """One float32 from memory in all lanes."""
        return self.splat(self.builder.load(self._at(address, SCALAR), align=4))

    def whole(self, x: Number) -> Whole:
        """The same integer in all lanes."""
        narrow = self.builder.trunc(self.number(x).value, ir.IntType(32))
        one = self.builder.insert_element(ir.Constant(INDICES, ir.Undefined), narrow, ir.Constant(ir.IntType(32), 0))
        nowhere = ir.Constant(INDICES, [0] * LANES)
        return Whole(self.builder, self.builder.shuffle_vector(one, ir.Constant(INDICES, ir.Undefined), nowhere))

    def store_int64(self, address: Number, x: Whole) -> None:
        """Sixteen int64, 128 bytes."""
        kind = ir.VectorType(WORD, LANES)
        self.builder.store(self.builder.sext(x.value, kind), self._at(address, kind), align=8)

    def equal_int64(self, address: Number, x: Number):
        """A mask: where the sixteen int64 at an address are x."""
        kind = ir.VectorType(WORD, LANES)
        one = self.builder.insert_element(ir.Constant(kind, ir.Undefined), x.value, ir.Constant(ir.IntType(32), 0))
        wanted = self.builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), ir.Constant(INDICES, [0] * LANES))
        return self.builder.icmp_signed("==", self.builder.load(self._at(address, kind), align=8), wanted)

    def everywhere(self, x: Lanes, combine) -> Lanes:
        """All lanes combined with one another, in every lane: ``combine`` of two vectors is a sum or a maximum."""
        for distance in (8, 4, 2, 1):
            order = ir.Constant(INDICES, [(i + distance) % LANES for i in range(LANES)])
            x = combine(x, Lanes(self.builder, self.builder.shuffle_vector(x.value, x.value, order)))
        return x

    def choose(self, mask, a, b):
        """a where the mask is true, else b: both Lanes or both Whole."""
        return a.__class__(self.builder, self.builder.select(mask, a.value, b.value))

    def slot(self, x):
        """A variable that a loop changes: ``get()`` and ``set(x)``; LLVM keeps it in a register."""
        return Slot(self, x)

    @contextlib.contextmanager
    def loop(self, count) -> Iterator[Number]:
        """Repeat what follows for i = 0 .. count - 1."""
        with cgutils.for_range(self.builder, self.number(count).value, intp=WORD) as turn:
            yield Number(self.builder, turn.index)


class Slot:
    """A variable inside an emitted function."""

    def __init__(self, e: Emitter, x):
        self.e, self.kind = e, x.__class__
        self.place = cgutils.alloca_once(e.builder, x.value.type)
        self.set(x)

    def get(self):
        return self.kind(self.e.builder, self.e.builder.load(self.place))

    def set(self, x) -> None:
        self.e.builder.store(x.value, self.place)


def emitted(function):
    """Make ``function(e, ...)`` callable from kernels. Whole-number literals arrive as Python ints, other integers as
    Number, float32 as scalars for ``e.splat``; it returns nothing."""
    names = list(inspect.signature(function).parameters)[1:]

    def typed(typingctx, *arguments):
        fixed = [a.literal_value if isinstance(a, types.Literal) else None for a in arguments]

        def generate(context, builder, signature, values):
            given: list = []
            for literal, kind, value in zip(fixed, signature.args, values, strict=True):
                if literal is not None:
                    given.append(literal)
                elif isinstance(kind, types.Float):
                    given.append(context.cast(builder, value, kind, types.float32))
                else:
                    given.append(Number(builder, context.cast(builder, value, kind, types.int64)))
            function(Emitter(builder), *given)
            return context.get_dummy_value()

        return types.void(*arguments), generate

    parameters = [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in ("typingctx", *names)]
    typed.__signature__ = inspect.Signature(parameters)
    typed.__name__ = typed.__qualname__ = function.__name__
    typed.__doc__ = function.__doc__
    typed.__module__ = function.__module__
    return intrinsic(prefer_literal=True)(typed)


@intrinsic
def peek(typingctx, address):
    """The float32 at an address."""

    def generate(context, builder, signature, values):
        return builder.load(builder.inttoptr(values[0], SCALAR.as_pointer()), align=4)

    return types.float32(types.int64), generate


@intrinsic
def poke(typingctx, address, number):
    """Put a float32 at an address."""

    def generate(context, builder, signature, values):
        builder.store(values[1], builder.inttoptr(values[0], SCALAR.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.float32), generate


# --- functions of vectors, for emitted functions --------------------------------------------------------------------------


def exp(e: Emitter, x: Lanes) -> Lanes:
    """e ** x to about 1e-7; 0 below -104, infinity above 88.7."""
    builder = e.builder
    near = x.smaller(89.0).larger(-110.0)
    # to the nearest whole number by adding and taking away 1.5 * 2**23
    whole = near.times_plus(1.4426950408889634, 12582912.0) - 12582912.0
    rest = whole.times_plus(-0.693359375, near)
    rest = whole.times_plus(2.12194440e-4, rest)
    y = e.splat(1.9875691500e-4)
    for c in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        y = y.times_plus(rest, c)
    y = y.times_plus(rest * rest, rest) + 1.0
    # times 2**whole, in two steps, since 2**128 is no float
    number = builder.fptosi(whole.value, INDICES)
    half = builder.ashr(number, ir.Constant(INDICES, [1] * LANES))
    for power in (half, builder.sub(number, half)):
        bits = builder.shl(builder.add(power, ir.Constant(INDICES, [127] * LANES)), ir.Constant(INDICES, [23] * LANES))
        y = y * Lanes(builder, builder.bitcast(bits, VECTOR))
    return y.kept_nan(x)


ROUNDS = (
    12582912.0 + 127.0
)  # 1.5 * 2**23: adding it rounds, and leaves the exponent's bits of a power of two at the end


def _power(e: Emitter, x: Lanes, sign: int) -> tuple[Lanes, Lanes]:
    """e ** (sign * x) as s * (1 + p), s a power of two and p between -0.3 and 0.42 with all its digits near zero."""
    builder = e.builder
    whole = x.times_plus(sign * 1.4426950408889634, ROUNDS)
    bits = builder.shl(builder.bitcast(whole.value, INDICES), ir.Constant(INDICES, [23] * LANES))
    whole = whole - ROUNDS
    rest = whole.times_plus(sign * -0.693359375, x)  # that of x: the sign is in the polynomial
    rest = whole.times_plus(sign * 2.12194440e-4, rest)
    y = e.splat(1.394645535e-3)
    for c in (8.369157164e-3 * sign, 0.04166626301, 0.1666651594 * sign, 0.5000000081):
        y = y.times_plus(rest, c)
    p = (y * rest).times_plus(rest, rest if sign > 0 else -rest)
    return Lanes(builder, builder.bitcast(bits, VECTOR)), p


def sigmoid(e: Emitter, x: Lanes) -> Lanes:
    """1 / (1 + e ** -x); zero below -88.4."""
    near = e.splat(87.3).smaller(e.splat(-89.0).larger(x))
    scale, p = _power(e, near, -1)
    return 1.0 / (p + 1.0).times_plus(scale, 1.0)


def tanh(e: Emitter, x: Lanes) -> Lanes:
    """(e ** 2x - 1) / (e ** 2x + 1), where what is taken away cancels no digits: small numbers keep all theirs."""
    near = e.splat(10.0).smaller(e.splat(-10.0).larger(x))
    scale, p = _power(e, near + near, 1)
    return (scale.times_plus(p, scale - 1.0) / scale.times_plus(p, scale + 1.0)).signed_as(x)


@emitted
def transpose(e, source, row, target, target_row):
    """16x16 numbers, rows to columns."""
    x = [e.load(source + row * i) for i in range(LANES)]
    for distance in (8, 4, 2, 1):
        for i in range(LANES):
            if not i & distance:
                a, b = x[i].value, x[i + distance].value
                low = [j if not j & distance else LANES + j - distance for j in range(LANES)]
                high = [j + distance if not j & distance else LANES + j for j in range(LANES)]
                x[i] = Lanes(e.builder, e.builder.shuffle_vector(a, b, ir.Constant(INDICES, low)))
                x[i + distance] = Lanes(e.builder, e.builder.shuffle_vector(a, b, ir.Constant(INDICES, high)))
    for i in range(LANES):
        e.store(target + target_row * i, x[i])


# --- the block of products that convolutions and matrix products are made of ----------------------------------------------


@emitted
def block(
    e, rows, panels, across, a, a_row, a_step, count, runs, a_run, more, a_more, b, b_step, start, start_row, c, c_row
):
    """c[i] = start[i] + sum over k of a[i, k] * b[k], for ``rows`` rows of ``panels`` vectors, held in registers.

    k runs over ``more`` times ``runs`` times ``count`` steps: a goes on by a_step in each, by a_run and a_more from one
    run to the next, b by b_step in every step. With ``across`` the rows of a are neighbours (a_row is 4), else its steps
    are (a_step is 4). All strides are in bytes.
    """
    sums = [[e.slot(e.load(start + start_row * i + BYTES * v)) for v in range(panels)] for i in range(rows)]
    place = e.slot(b)
    with e.loop(more) as outer, e.loop(runs) as inner:
        first = a + outer * a_more + inner * a_run
        with e.loop(count) as k:
            here = place.get()
            line = [e.load(here + BYTES * v) for v in range(panels)]
            for i in range(rows):
                x = e.broadcast(first + k * a_step + 4 * i if across else first + a_row * i + k * 4)
                for v in range(panels):
                    sums[i][v].set(x.times_plus(line[v], sums[i][v].get()))
            place.set(here + b_step)
    for i in range(rows):
        for v in range(panels):
            e.store(c + c_row * i + BYTES * v, sums[i][v].get())


@emitted
def floor_at_zero(e, target, count):
    """Zero in place of what is below it, among ``count`` numbers (in sixteens)."""
    with e.loop(count // LANES) as i:
        x = e.load(target + i * BYTES)
        e.store(target + i * BYTES, x.larger(0.0).kept_nan(x))


@emitted
def dots(e, rows, x, count, weight, row, start, out, relu):
    """out[i] = start[i] + the sum over k of weight[i, k] * x[k], for ``rows`` rows of ``count`` numbers (in sixteens) side by
    side; with ``relu``, zero where that is below. The strides are in bytes."""
    builder, zero = e.builder, ir.Constant(SCALAR, 0.0)
    sums = [e.slot(e.splat(0.0)) for _ in range(rows)]
    with e.loop(count // LANES) as k:
        line = e.load(x + k * BYTES)
        for i in range(rows):
            sums[i].set(line.times_plus(e.load(weight + row * i + k * BYTES), sums[i].get()))
    for i in range(rows):
        total = e.everywhere(sums[i].get(), lambda a, b: a + b) + e.broadcast(start + 4 * i)
        one = builder.extract_element(total.value, ir.Constant(ir.IntType(32), 0))
        below = builder.and_(
            builder.fcmp_ordered("<", one, zero), builder.icmp_signed("!=", e.number(relu).value, ir.Constant(WORD, 0))
        )  # not NaN: that stays
        builder.store(builder.select(below, zero, one), e._at(out + 4 * i, SCALAR), align=4)


@emitted
def copy_bytes(e, source, target, count):
    """``count`` bytes from one address to another."""
    cgutils.raw_memcpy(e.builder, e._at(target, ir.IntType(8)), e._at(source, ir.IntType(8)), e.number(count).value, 1)


@emitted
def zero_bytes(e, target, count):
    """``count`` bytes set to zero."""
    cgutils.memset(e.builder, e._at(target, ir.IntType(8)), e.number(count).value, 0)
