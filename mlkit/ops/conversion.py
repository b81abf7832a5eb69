"""Other types, complex numbers and their parts, copies, other devices."""

import math

from mlkit.core import dtype as dtypes
from mlkit.core.value import MetaArray
from mlkit.ops.registry import ONE, PAIR, REQUIRED, Elementwise, Float, Op, Sample, op


@op(onnx="Cast", samples=[((3, 4), {"dtype": dtypes.float32}), ((2,), {"dtype": dtypes.float64})])
class cast(Op):
    """input as another element type; float to integer drops the fraction."""

    promotion = None

    def infer(input, *, dtype):
        return MetaArray(input.shape, dtype.numpy)

    def forward(m, input, *, dtype=REQUIRED):
        return m.astype(input, dtype.numpy)

    def vjp(m, g, input_dtype):
        return m.cast_real(g, input_dtype)

    def jvp(m, tangents, dtype):
        return m.cast(tangents[0], dtype=dtype)


@op(onnx="Identity", samples=ONE)
class clone(Elementwise):
    """A copy in memory of its own."""

    linear = True

    def forward(m, input):
        return m.copy(input)

    def vjp(m, g):
        return g


@op(samples=ONE)
class nan_to_num(Elementwise):
    """NaN and infinities replaced by numbers (by default 0 and the type's limits)."""

    def forward(m, input, *, nan=0.0, posinf=None, neginf=None):
        if input.dtype.kind not in "fc":
            return m.copy(input)
        return m.xp.nan_to_num(input, nan=nan or 0.0, posinf=posinf, neginf=neginf).astype(input.dtype, copy=False)

    def vjp(m, g, input):
        return m.where(m.isfinite(input), g, m.zeros_like(g))


@op(onnx="Identity")
class to_device(Op):
    """input copied to another device."""

    promotion = None
    linear = True

    def infer(input, *, device):
        return MetaArray(input.shape, input.dtype)

    def forward(m, input, *, device=REQUIRED):
        return m.to_device_(input, device)

    def vjp(m, g, input):
        return m.to_device(g, device=m.device_of(input))


# --- complex numbers --------------------------------------------------------------------------------------------------


@op(samples=ONE)
class conj(Elementwise):
    """The complex conjugate; real tensors are returned as they are."""

    def forward(m, input):
        return m.xp.conj(input) if input.dtype.kind == "c" else input

    def vjp(m, g):
        return m.conj(g)


@op(samples=ONE)
class real(Elementwise):
    """The real part; shares memory with input."""

    view = True

    def infer(input):
        return MetaArray(input.shape, dtypes.from_numpy_dtype(input.dtype).to_real().numpy)

    def forward(m, input):
        return input.real

    def vjp(m, g, input_dtype):
        return m.cast(g, dtype=input_dtype)


@op(samples=[(Sample((3,), "normal", "complex128"),)])
class imag(Elementwise):
    """The imaginary part; shares memory with input."""

    view = True

    def infer(input):
        return MetaArray(input.shape, dtypes.from_numpy_dtype(input.dtype).to_real().numpy)

    def forward(m, input):
        return input.imag

    def vjp(m, g, input_dtype):
        return m.cast(g, dtype=input_dtype) * 1j


@op(samples=PAIR)
class complex(Elementwise):  # noqa: A001
    """real + 1j * imag from two real tensors."""

    def infer(self, real, imag):
        both = Elementwise.infer(self, real, imag)
        return MetaArray(both.shape, dtypes.from_numpy_dtype(both.dtype).to_complex().numpy)

    def forward(m, real, imag):
        return m.complex_(real, imag)

    def vjp_real(m, g):
        return m.real(g)

    def vjp_imag(m, g):
        return m.imag(g)


@op(samples=ONE)
class angle(Float):
    """The angle of a complex number in radians; 0 or pi for real numbers."""

    def infer(input):
        return MetaArray(input.shape, dtypes.from_numpy_dtype(input.dtype).to_real().numpy)

    def forward(m, input):
        if input.dtype.kind != "f":
            return m.xp.angle(input)
        real = m.xp.where(input < 0, m.xp.full_like(input, math.pi), m.xp.zeros_like(input))  # -0.0 is not below 0
        return m.xp.where(m.xp.isnan(input), input, real)

    def vjp(m, g, input):
        if not m.is_complex(input):
            return m.zeros_like(g)
        size = m.square(m.abs(input))
        safe = m.where(m.eq(size, 0), m.ones_like(size), size)
        return m.where(m.eq(size, 0), m.zeros_like(input), m.complex(-m.imag(input) / safe, m.real(input) / safe) * g)
