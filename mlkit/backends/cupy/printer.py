"""CUDA kernels printed from the op rules: an elementwise rule, read with symbols for arrays, is one expression.

The same ``forward`` and ``vjp`` that compute on arrays are called with a :class:`Printer` for ``m`` and :class:`Term` for
tensors; what they do is written down as C and compiled once per op, dtypes and layout. float16 and bfloat16 are read and
written as they are and computed in float32, so a rule costs one pass over memory and is rounded once. A rule that does
more than arithmetic on elements raises :class:`Unprintable` and runs on CuPy's own functions.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from mlkit.backends.cupy import source
from mlkit.backends.cupy.launch import Launch
from mlkit.ops import REGISTRY
from mlkit.ops.registry import Elementwise

#: layouts of arguments that one kernel remembers
KEPT = 1024


class Unprintable(Exception):
    """The rule needs more than one element at a time."""


class Lines(list):
    """The statements of a kernel, and the dtype that its real numbers are computed in."""

    dtype: np.dtype = np.dtype(np.float32)


class Term:
    """A value in the kernel: its C name, and whether it is a real number ("f") or a truth ("b")."""

    __slots__ = ("code", "kind", "lines")

    def __init__(self, code: str, kind: str, lines: Lines) -> None:
        self.code, self.kind, self.lines = code, kind, lines

    @property
    def dtype(self):
        return np.dtype(bool) if self.kind == "b" else self.lines.dtype

    shape: tuple = ()
    ndim = 0

    def _new(self, expression: str, kind: str = "f") -> Term:
        name = f"t{len(self.lines)}"
        self.lines.append(f"const {'R' if kind == 'f' else 'bool'} {name} = {expression};")
        return Term(name, kind, self.lines)

    def _two(self, sign: str, other: Any, swapped: bool = False, kind: str = "f") -> Term:
        a, b = real(self), real(other)
        return self._new(f"{b} {sign} {a}" if swapped else f"{a} {sign} {b}", kind)

    def __add__(self, other):
        return self._two("+", other)

    def __radd__(self, other):
        return self._two("+", other, True)

    def __sub__(self, other):
        return self._two("-", other)

    def __rsub__(self, other):
        return self._two("-", other, True)

    def __mul__(self, other):
        return self._two("*", other)

    def __rmul__(self, other):
        return self._two("*", other, True)

    def __truediv__(self, other):
        return self._two("/", other)

    def __rtruediv__(self, other):
        return self._two("/", other, True)

    def __pow__(self, other):
        if other == 2:
            return self * self
        return self._new(f"pow({real(self)}, (R){real(other)})")

    def __neg__(self):
        return self._new(f"-{real(self)}")

    def __lt__(self, other):
        return self._two("<", other, kind="b")

    def __le__(self, other):
        return self._two("<=", other, kind="b")

    def __gt__(self, other):
        return self._two(">", other, kind="b")

    def __ge__(self, other):
        return self._two(">=", other, kind="b")

    def __eq__(self, other):  # type: ignore[override]
        return self._two("==", other, kind="b")

    def __ne__(self, other):  # type: ignore[override]
        return self._two("!=", other, kind="b")

    __hash__ = None  # type: ignore[assignment]

    def _truths(self, sign: str, other: Term) -> Term:
        if self.kind != "b" or not isinstance(other, Term) or other.kind != "b":
            raise Unprintable(sign)
        return self._new(f"{self.code} {sign} {other.code}", "b")

    def __and__(self, other):
        return self._truths("&&", other)

    def __or__(self, other):
        return self._truths("||", other)

    def __invert__(self):
        if self.kind != "b":
            raise Unprintable("~")
        return self._new(f"!{self.code}", "b")

    def __bool__(self):
        raise Unprintable("a branch on data")

    def astype(self, dtype, copy: bool = True):
        return self


def real(x: Any) -> str:
    """A term or a Python number as C of the computing type R."""
    if isinstance(x, Term):
        return x.code if x.kind == "f" else f"(R){x.code}"
    if isinstance(x, (bool, int, float, np.integer, np.floating)):
        x = float(x)
        if math.isnan(x):
            return "(R)NAN"
        if math.isinf(x):
            return "(R)INFINITY" if x > 0 else "(-(R)INFINITY)"
        return f"(R)({x!r})"
    raise Unprintable(f"{type(x).__name__} as a number")


#: functions with one argument, by the names of ops and of NumPy's ufuncs
_CALLS = {
    "abs": "fabs", "absolute": "fabs", "exp": "exp", "exp2": "exp2", "expm1": "expm1", "log": "log", "log2": "log2",
    "log10": "log10", "log1p": "log1p", "sqrt": "sqrt", "rsqrt": "rsqrt", "sin": "sin", "cos": "cos", "tan": "tan",
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh",
    "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh", "floor": "floor", "ceil": "ceil", "trunc": "trunc",
    "rint": "rint", "erf": "erf", "erfc": "erfc", "erf_": "erf", "erfc_": "erfc",
}  # fmt: skip
_SIGNS = {
    "add": "+", "subtract": "-", "sub": "-", "multiply": "*", "mul": "*", "divide": "/", "true_divide": "/", "div": "/",
}  # fmt: skip
_COMPARE = {
    "equal": "==", "eq": "==", "not_equal": "!=", "ne": "!=", "less": "<", "lt": "<", "less_equal": "<=", "le": "<=",
    "greater": ">", "gt": ">", "greater_equal": ">=", "ge": ">=",
}  # fmt: skip


class Printer:
    """The reader for symbols; ``xp`` is itself, since rules may use either."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.xp = self

    def term(self, x: Any) -> Term:
        if isinstance(x, Term):
            return x
        return Term(real(x), "f", self.lines)

    def __getattr__(self, name: str) -> Callable:
        if name in _CALLS:
            return lambda x: self.term(x)._new(f"{_CALLS[name]}({real(x)})")
        if name in _SIGNS:
            return lambda a, b: self.term(a)._two(_SIGNS[name], b)
        if name in _COMPARE:
            return lambda a, b: self.term(a)._two(_COMPARE[name], b, kind="b")
        op = REGISTRY.get(name)
        if op is None or not isinstance(op, Elementwise):
            raise Unprintable(name)
        if op.ufunc:
            if op.ufunc == name:
                raise Unprintable(name)
            return getattr(self, op.ufunc)
        return lambda *tensors, **attributes: op.forward(self, *tensors, **attributes)

    def neg(self, x):
        return -self.term(x)

    negative = neg

    def square(self, x):
        return x * x

    def reciprocal(self, x):
        return 1 / self.term(x)

    def copy(self, x):
        return x

    positive = contiguous = clone = real = copy

    def conj(self, x):
        return x

    def is_complex(self, x) -> bool:
        return False

    def maximum(self, a, b):
        a, b = self.term(a), self.term(b)
        return a._new(f"{real(a)} > {real(b)} || {real(a)} != {real(a)} ? {real(a)} : {real(b)}")

    def minimum(self, a, b):
        a, b = self.term(a), self.term(b)
        return a._new(f"{real(a)} < {real(b)} || {real(a)} != {real(a)} ? {real(a)} : {real(b)}")

    def where(self, condition, a, b):
        if not isinstance(condition, Term):
            raise Unprintable("where of a number")
        chosen = condition.code if condition.kind == "b" else f"({condition.code} != 0)"
        return condition._new(f"{chosen} ? {real(a)} : {real(b)}")

    where_ = where

    def power_(self, x, exponent):
        return self.term(x)._new(f"pow({real(x)}, {real(exponent)})")

    def sign(self, x):
        c = real(x)
        return x._new(f"{c} != {c} ? {c} : (R)(({c} > 0) - ({c} < 0))")

    def sigmoid_(self, x):
        return x._new(f"(R)1 / ((R)1 + exp(-{real(x)}))")

    def sigmoid(self, x):
        return self.sigmoid_(x)

    inf = float("inf")
    nan = float("nan")

    def errstate(self):
        return contextlib.nullcontext()

    def clip(self, x, low, high):
        if low is not None:
            x = self.maximum(x, low)
        return x if high is None else self.minimum(x, high)

    def full_like(self, x, fill):
        return self.term(fill)

    def isnan(self, x):
        return x._new(f"isnan({real(x)})", "b")

    def isinf(self, x):
        return x._new(f"isinf({real(x)})", "b")

    def isfinite(self, x):
        return x._new(f"isfinite({real(x)})", "b")

    def logical_and(self, a, b):
        return a & b

    def logical_or(self, a, b):
        return a | b

    def logical_not(self, a):
        return ~a

    def zeros_like(self, x):
        return Term("(R)0", "f", self.lines)

    def ones_like(self, x):
        return Term("(R)1", "f", self.lines)

    def cast_like(self, x, like):
        return x

    def astype(self, x, dtype):
        return x


#: how a kernel reads and writes a stored type, and what it computes in
_STORED = {
    "float32": ("float", "float", "{0}", "{0}"),
    "float64": ("double", "double", "{0}", "{0}"),
    "float16": ("unsigned short", "float", "half_to_float({0})", "float_to_half({0})"),
    "bfloat16": ("unsigned short", "float", "__uint_as_float((unsigned int)({0}) << 16)", "float_to_bfloat({0})"),
    "bool": ("unsigned char", "bool", "(({0}) != 0)", "(unsigned char)({0})"),
}
_HEAD = r"""
typedef %(real)s R;
#define INFINITY __int_as_float(0x7f800000)
#define NAN __int_as_float(0x7fffffff)
__device__ __forceinline__ float half_to_float(unsigned short h) {
    float f; asm("{ cvt.f32.f16 %%0, %%1; }" : "=f"(f) : "h"(h)); return f;
}
__device__ __forceinline__ unsigned short float_to_half(float f) {
    unsigned short h; asm("{ cvt.rn.f16.f32 %%0, %%1; }" : "=h"(h) : "f"(f)); return h;
}
__device__ __forceinline__ unsigned short float_to_bfloat(float f) {
    unsigned int u = __float_as_uint(f);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (unsigned short)((u >> 16) | 64);
    return (unsigned short)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}
template <typename T, int N> struct __align__(sizeof(T) * N) Pack { T v[N]; };
"""


class Kernel:
    """One printed rule, compiled for some dtypes: called with arrays and numbers, gives a new array."""

    def __init__(self, xp, name: str, rule: Callable, dtypes: tuple, out_dtype: np.dtype) -> None:
        """``dtypes`` has a dtype per argument, None for a Python number (passed to the kernel, not compiled in)."""
        self.xp, self.out_dtype = xp, out_dtype
        floats = [d for d in dtypes if d is not None and d.kind != "b"]
        wide = any(d.itemsize == 8 for d in floats)
        lines = Lines()
        lines.dtype = np.dtype(np.float64 if wide else np.float32)
        terms = []
        for i, d in enumerate(dtypes):
            terms.append(Term(f"x{i}", "b" if d is not None and d.kind == "b" else "f", lines))
        result = rule(Printer(lines), *terms)
        if not isinstance(result, Term):
            result = Term(real(result), "f", lines)
        if any(result is t and out_dtype == d for t, d in zip(terms, dtypes, strict=True)):
            raise Unprintable("nothing to compute")  # the rule hands an argument on, which costs nothing
        if (out_dtype.kind == "b") != (result.kind == "b"):
            raise Unprintable("a result of another kind")
        self.arrays = [i for i, d in enumerate(dtypes) if d is not None]
        self.numbers = [i for i, d in enumerate(dtypes) if d is None]
        self._body = (name, lines, result, dtypes, "double" if wide else "float")
        widest = max(d.itemsize for d in (*floats, out_dtype))
        self.vector = max(1, 16 // widest)
        self._flat = self._compile(self.vector)
        self._single = None
        self._strided: dict[int, Any] = {}
        self._plans: dict[tuple, tuple | None] = {}  # by the arrays' shapes and strides

    def _source(self, read: Callable[[int, str], str], loop: str) -> str:
        name, lines, result, dtypes, _ = self._body
        stored, _, _, write = _STORED[self.out_dtype.name]
        loads = []
        for i in self.arrays:
            how = _STORED[dtypes[i].name]
            kind = "bool" if dtypes[i].kind == "b" else "R"
            loads.append(f"const {kind} x{i} = {how[2].format(read(i, how[0]))};")
        value = result.code if self.out_dtype.kind == "b" else result.code
        body = "\n        ".join([*loads, *lines])
        return loop.format(body=body, value=write.format(value), stored=stored)

    def _parameters(self) -> list[str]:
        dtypes = self._body[3]
        return [
            *(f"const {_STORED[dtypes[i].name][0]}* __restrict__ a{i}" for i in self.arrays),
            *(f"const double d{i}" for i in self.numbers),
            f"{_STORED[self.out_dtype.name][0]}* __restrict__ out",
            "const long long n",
        ]

    def _numbers(self) -> str:
        return "".join(f"const R x{i} = (R)d{i}; " for i in self.numbers)

    def _compile(self, vector: int):
        name = f"mlkit_{self._body[0]}"
        head = _HEAD % {"real": self._body[4]}
        parameters = ", ".join(self._parameters())
        dtypes = self._body[3]
        if vector > 1:
            packs = "".join(
                f"const Pack<{_STORED[dtypes[i].name][0]}, {vector}> p{i} = "
                f"((const Pack<{_STORED[dtypes[i].name][0]}, {vector}>*)a{i})[i];\n    "
                for i in self.arrays
            )
            loop = (
                f"const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;\n"
                f"    if (i * {vector} >= n) return;\n    {self._numbers()}\n    {packs}"
                f"Pack<{_STORED[self.out_dtype.name][0]}, {vector}> r;\n"
                f"    #pragma unroll\n    for (int k = 0; k < {vector}; k++) {{{{\n        {{body}}\n"
                f"        r.v[k] = {{value}};\n    }}}}\n"
                f"    ((Pack<{_STORED[self.out_dtype.name][0]}, {vector}>*)out)[i] = r;"
            )
            text = self._source(lambda i, _: f"p{i}.v[k]", loop)
        else:
            loop = (
                "const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;\n"
                f"    if (i >= n) return;\n    {self._numbers()}\n        {{body}}\n    out[i] = {{value}};"
            )
            text = self._source(lambda i, _: f"a{i}[i]", loop)
        source = f'{head}\nextern "C" __global__ void {name}({parameters}) {{\n    {text}\n}}'
        return self.xp.RawKernel(source, name, options=("--std=c++17",))

    def _compile_strided(self, ndim: int):
        """Any strides: element offsets follow from the place in the output, which has no gaps; axes are in its order."""
        name = f"mlkit_{self._body[0]}_strided{ndim}"
        count = len(self.arrays)
        steps = f"struct Steps {{ long long shape[{ndim}]; long long step[{count}][{ndim}]; }};"
        parameters = ", ".join([*self._parameters(), "const Steps s"])
        places = "".join(f"long long o{i} = 0; " for i in self.arrays)
        walk = "".join(f"o{i} += at * s.step[{k}][d]; " for k, i in enumerate(self.arrays))
        loop = (
            "const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;\n"
            f"    if (i >= n) return;\n    {self._numbers()}{places}\n    long long rest = i;\n"
            f"    #pragma unroll\n    for (int d = {ndim - 1}; d >= 0; d--) {{{{\n"
            f"        const long long at = rest % s.shape[d]; rest /= s.shape[d]; {walk}\n    }}}}\n"
            "        {body}\n    out[i] = {value};"
        )
        text = self._source(lambda i, _: f"a{i}[o{i}]", loop)
        head = _HEAD % {"real": self._body[4]}
        source = f'{head}\n{steps}\nextern "C" __global__ void {name}({parameters}) {{\n    {text}\n}}'
        return self.xp.RawKernel(source, name, options=("--std=c++17",))

    def _plan(self, arrays: list) -> tuple | None:
        """(shape, strides, bytes) of a result that lies as the arrays do, all without gaps and alike, with the launches
        that read in packs (None where there is no whole number of these) and one by one; None where they do not."""
        first = arrays[0]
        for x in arrays[1:]:
            if x.shape != first.shape or (
                x.strides != first.strides and not (x.flags.c_contiguous and first.flags.c_contiguous)
            ):
                return None
        if not source.dense(first):
            return None
        wide, own = self.out_dtype.itemsize, first.itemsize
        return (
            first.shape,
            tuple(s // own * wide for s in first.strides),
            first.size * wide,
            None if first.size % self.vector else self._launch(self._flat, first.size, self.vector),
            self._launch(self._single or self._one_by_one(), first.size, 1),
        )

    def _launch(self, kernel, count: int, vector: int) -> Launch:
        form = "P" * len(self.arrays) + "d" * len(self.numbers) + "P"
        return Launch(self.xp, kernel, ((count // vector + 255) // 256,), (256,), form, np.int64(count))

    def _like(self, shape: tuple, arrays: list) -> tuple[Any, list[int] | None]:
        """(an empty result, the order of its axes in memory, None for C's): it lies as the first array of that shape
        that has no gaps, so that what comes after it need not bring its own into another order."""
        xp = self.xp
        model = next((x for x in arrays if x.shape == shape and source.dense(x)), None)
        if model is None or model.flags.c_contiguous or not model.size:
            return xp.empty(shape, self.out_dtype), None
        wide = self.out_dtype.itemsize
        strides = tuple(s // model.itemsize * wide for s in model.strides)
        out = xp.ndarray(shape, self.out_dtype, xp.cuda.alloc(model.size * wide), strides)
        return out, sorted(range(len(shape)), key=lambda d: -strides[d])

    def _one_by_one(self):
        """The kernel for memory that cannot be read in packs."""
        self._single = self._compile(1)
        return self._single

    def __call__(self, *arguments):
        arrays = [arguments[i] for i in self.arrays]
        xp = self.xp
        key = tuple([(x.shape, x.strides) for x in arrays])
        try:
            plan = self._plans[key]
        except KeyError:
            plan = self._plan(arrays)
            if len(self._plans) < KEPT:
                self._plans[key] = plan
        if plan is not None:
            shape, strides, size, by_packs, one_by_one = plan
            out = xp.ndarray(shape, self.out_dtype, xp.cuda.alloc(size), strides)
            if size:
                places, together = [x.data.ptr for x in arrays], 0
                for place in places:
                    together |= place
                run = one_by_one if by_packs is None or together % 16 else by_packs
                run(*places, *[arguments[i] for i in self.numbers], out.data.ptr)
            return out
        numbers = [np.float64(arguments[i]) for i in self.numbers]
        shape = arrays[0].shape
        if len(arrays) > 1:
            shape = np.broadcast_shapes(*(x.shape for x in arrays))
        out, order = self._like(shape, arrays)
        if not out.size:
            return out
        ndim = max(1, len(shape))
        kernel = self._strided.get(ndim)
        if kernel is None:
            kernel = self._strided[ndim] = self._compile_strided(ndim)
        table = np.zeros((1 + len(arrays), ndim), np.int64)
        table[0] = shape or 1
        for row, x in zip(table[1:], arrays, strict=True):
            lead = ndim - x.ndim
            for d, (size, stride) in enumerate(zip(x.shape, x.strides, strict=True)):
                row[lead + d] = 0 if size == 1 else stride // x.itemsize
        if order is not None:
            table = table[:, order]
        kernel(
            ((out.size + 255) // 256,),
            (256,),
            (*arrays, *numbers, out, np.int64(out.size), struct(table)),
        )
        return out


def struct(table: np.ndarray) -> np.void:
    """A table of numbers as one value, passed to a kernel by copy."""
    return np.frombuffer(table.tobytes(), np.dtype([("numbers", np.int64, table.size)]))[0]


class Printed:
    """The kernels of one backend, made when first needed."""

    def __init__(self, xp) -> None:
        self.xp = xp
        self.kernels: dict[tuple, Kernel | None] = {}

    def get(self, key: tuple, name: str, rule: Callable, dtypes: tuple, out_dtype: np.dtype) -> Kernel | None:
        """The kernel under that key; None where the rule cannot be printed."""
        try:
            return self.kernels[key]
        except KeyError:
            pass
        try:
            kernel: Kernel | None = Kernel(self.xp, name, rule, dtypes, out_dtype)
        except (Unprintable, TypeError, AttributeError, RecursionError):  # it asks for more than symbols can do
            kernel = None
        self.kernels[key] = kernel
        return kernel


_NO = object()
_NUMBERS = (bool, int, float)


def _dtypes(arguments) -> tuple | None:
    """(per argument a dtype or None for a number, the floating dtype); None where a kernel is no use."""
    found: list = []
    common = None
    for x in arguments:
        d = getattr(x, "dtype", None)
        if d is None:
            if not isinstance(x, (bool, int, float)):
                return None
            found.append(None)
        elif source.name(d) not in _STORED or not hasattr(x, "data"):
            return None
        else:
            if d.kind != "b":
                if common is not None and d != common:
                    return None
                common = d
            found.append(d)
    return (tuple(found), common) if common is not None else None


def forward(printed: Printed, op, plain: Callable) -> Callable:
    """The op's forward as a printed kernel where its arguments allow it, ``plain`` elsewhere."""
    truth = op.result == "bool"
    rule, array = op.forward, printed.xp.ndarray
    known: dict[tuple, Kernel | None] = {}  # by the arguments' kinds: what was found for them before

    def run(*arguments, **attributes):
        kinds: list = []
        for x in arguments:
            if x.__class__ is array:
                kinds.append(x.dtype)
            elif x.__class__ in _NUMBERS:
                kinds.append(x.__class__)
            else:
                return look(arguments, attributes)[0]
        key = (*kinds, *attributes.values())
        kernel = known.get(key, _NO)
        if kernel is _NO:
            out, known[key] = look(arguments, attributes)
            return out
        return plain(*arguments, **attributes) if kernel is None else kernel(*arguments)

    def look(arguments: tuple, attributes: dict) -> tuple[Any, Kernel | None]:
        """(the result, the kernel that made it or None)."""
        found = _dtypes(arguments)
        if found is None:
            return plain(*arguments, **attributes), None
        dtypes, common = found
        key = (op.name, dtypes, *attributes.values())
        kernel: Any = printed.kernels.get(key, _NO)
        if kernel is _NO:
            out = np.dtype(bool) if truth else common
            read = lambda m, *terms: (  # noqa: E731
                getattr(m, op.ufunc)(*terms) if op.ufunc else rule(m, *terms, **attributes)
            )
            kernel = printed.get(key, op.name, read, dtypes, out)
        return plain(*arguments, **attributes) if kernel is None else kernel(*arguments), kernel

    return run


def gradient(printed: Printed, op_name: str, input_name: str | None) -> Callable:
    """The gradient rule (rule, m, g, *kept) of an elementwise op as a printed kernel where that is possible."""
    array = printed.xp.ndarray
    known: dict[tuple, Kernel] = {}  # by the kinds of the arrays and the other values

    def run(rule, m, g, *kept):
        if g.__class__ is array:
            tensors, kinds = [g], [g.dtype]
            for x in kept:
                if x.__class__ is array:
                    tensors.append(x)
                    kinds.append(x.dtype)
                else:
                    kinds.append((x.__class__, x))
            try:
                kernel = known.get(tuple(kinds))
            except TypeError:
                return rule(m, g, *kept)
            if kernel is not None:
                return kernel(*tensors)
            out, kernel = look(rule, m, g, kept)
            if kernel is not None:
                known[tuple(kinds)] = kernel
            return out
        return look(rule, m, g, kept)[0]

    def look(rule, m, g, kept: tuple) -> tuple[Any, Kernel | None]:
        """(the gradient, the kernel that made it or None)."""
        tensors, fixed = [g], []
        for x in kept:
            if hasattr(x, "dtype") and hasattr(x, "data") and hasattr(x, "strides"):
                tensors.append(x)
                fixed.append(_NO)
            else:
                fixed.append(x)
        found = _dtypes(tensors)
        if found is None:
            return rule(m, g, *kept), None
        dtypes, common = found
        try:
            key = (op_name, input_name, "gradient", dtypes, *(x if x is not _NO else i for i, x in enumerate(fixed)))
            kernel: Any = printed.kernels.get(key, _NO)
        except TypeError:
            return rule(m, g, *kept), None
        if kernel is _NO:

            def read(m, g, *terms):
                rest = iter(terms)
                return rule(m, g, *(next(rest) if x is _NO else x for x in fixed))

            kernel = printed.get(key, f"{op_name}_gradient", read, dtypes, common)
        return rule(m, g, *kept) if kernel is None else kernel(*tensors), kernel

    return run


def install(reader, kernels: dict[str, Callable], gradients: dict) -> Printed:
    """Put printed kernels in front of the reader's elementwise functions and gradient rules."""
    printed = Printed(reader.xp)
    skip = {"conj", "cast", "clone", "to_device", "where", "contiguous", "copy"}
    for name, op in list(REGISTRY.items()):
        if not isinstance(op, Elementwise) or op.view or op.outputs != 1 or op.random or name in skip or op.variadic:
            continue
        kernels[name] = forward(printed, op, getattr(reader, name))
        setattr(reader, name, kernels[name])
        rules = op.rules
        if rules is None or rules.joint is not None:
            continue
        for i, found in enumerate(rules.each):
            if found is not None:
                key = (name, op.inputs[i] if len(rules.each) > 1 else None)
                gradients[key] = gradient(printed, *key)
    return printed
