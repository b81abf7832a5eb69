"""Discrete Fourier transforms over several dims at once: complex to complex, real to half-spectrum, and back.

``norm`` says which direction carries the factor: "backward" the inverse 1/n, "ortho" both 1/sqrt(n), "forward" the
forward transform 1/n. Each transform is linear, and the transform of the gradient is the other direction with the
factor moved to the other side.
"""

import numpy as np

from mlkit.core import dtype as dtypes
from mlkit.core.errors import DtypeError
from mlkit.core.value import MetaArray
from mlkit.ops.registry import REQUIRED, Op, Sample, op

SWAPPED = {"backward": "forward", "forward": "backward", "ortho": "ortho"}


class Transform(Op):
    """``dims`` are non-negative, in order; the last one is the halved one."""

    promotion = None
    linear = True

    def prepare(self, input, **attributes):
        d = dtypes.from_numpy_dtype(input.dtype)
        if d.category < 2 or d.itemsize < 4:
            raise DtypeError(f"{self.name}: Unsupported dtype {d}.", hint="Convert first: x.float().")
        return attributes


def _complex(d) -> np.dtype:
    return dtypes.from_numpy_dtype(d).to_complex().numpy


@op(
    samples=[
        (Sample((3, 4), "normal", "complex128"), {"dims": (1,), "norm": "backward", "forward": True}),
        (Sample((3, 4), "normal", "complex128"), {"dims": (0, 1), "norm": "ortho", "forward": False}),
        (Sample((2, 3), "normal", "complex128"), {"dims": (0,), "norm": "forward", "forward": True}),
    ]
)
class fft_complex(Transform):
    """The transform (``forward``) or its inverse of a complex tensor; the shape stays."""

    def infer(input, *, dims, norm, forward):
        return MetaArray(input.shape, _complex(input.dtype))

    def forward(m, input, *, dims=REQUIRED, norm="backward", forward=True):
        return m.fourier_("fftn" if forward else "ifftn", input, dims, norm, None)

    def vjp(m, g, dims, norm, forward):
        return m.fft_complex(g, dims=dims, norm=SWAPPED[norm], forward=not forward)


@op(
    samples=[
        ((3, 4), {"dims": (1,), "norm": "backward"}),
        ((3, 5), {"dims": (0, 1), "norm": "ortho"}),
        ((2, 4, 3), {"dims": (2, 1), "norm": "forward"}),
    ]
)
class fft_real(Transform):
    """The forward transform of a real tensor: only the first n // 2 + 1 places of the last dim, the rest mirror them."""

    def infer(input, *, dims, norm):
        shape = list(input.shape)
        shape[dims[-1]] = shape[dims[-1]] // 2 + 1
        return MetaArray(tuple(shape), _complex(input.dtype))

    def forward(m, input, *, dims=REQUIRED, norm="backward"):
        return m.fourier_("rfftn", input, dims, norm, None)

    def vjp(m, g, input_shape, dims, norm):
        last = dims[-1]
        rest = input_shape[last] - g.shape[last]
        widths = tuple((0, rest if d == last else 0) for d in range(len(input_shape)))
        whole = m.constant_pad(g, widths=widths, value=0.0)
        return m.real(m.fft_complex(whole, dims=dims, norm=SWAPPED[norm], forward=False))


@op(
    samples=[
        (Sample((3, 3), "normal", "complex128"), {"dims": (1,), "norm": "backward", "size": 4}),
        (Sample((3, 3), "normal", "complex128"), {"dims": (0, 1), "norm": "ortho", "size": 5}),
    ]
)
class fft_real_inverse(Transform):
    """The inverse transform of a half-spectrum: a real tensor with ``size`` places in the last dim."""

    def infer(input, *, dims, norm, size):
        shape = list(input.shape)
        shape[dims[-1]] = size
        real = dtypes.from_numpy_dtype(input.dtype).to_real().numpy
        return MetaArray(tuple(shape), real)

    def forward(m, input, *, dims=REQUIRED, norm="backward", size=REQUIRED):
        return m.fourier_("irfftn", input, dims, norm, size)

    def vjp(m, g, input_shape, dims, norm, size):
        # every place of the half but those that mirror themselves counts twice
        last = dims[-1]
        half = m.fft_real(g, dims=dims, norm=SWAPPED[norm])
        twice = size - input_shape[last]
        if twice <= 0:
            return half
        first = m.narrow(half, dim=last, start=0, length=1)
        middle = m.narrow(half, dim=last, start=1, length=twice) * 2
        rest = input_shape[last] - 1 - twice
        parts = [first, middle]
        if rest:
            parts.append(m.narrow(half, dim=last, start=1 + twice, length=rest))
        return m.cat(parts, dim=last)
