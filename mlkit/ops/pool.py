"""Pooling over 1, 2 or 3 spatial dims. Attributes are canonical tuples, one entry per spatial dim."""

import numpy as np

from mlkit.core.errors import ShapeError
from mlkit.core.value import MetaArray
from mlkit.ops.conv import AXES, named
from mlkit.ops.registry import Op, Sample, op


def pooled_size(n, kernel, stride, padding, dilation=1, ceil_mode=False):
    """How many windows fit; with ceil_mode a last partial one counts if it starts inside input or left padding."""
    reach = n + 2 * padding - dilation * (kernel - 1) - 1
    out = (reach + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (out - 1) * stride >= n + padding:
        out -= 1
    return out


def check_pool(name, n, input, kernel_size, stride, padding, dilation, ceil_mode):
    axes = AXES[n]
    if input.ndim != n + 2:
        raise ShapeError(
            f"{name}: expected input (batch, channel, {', '.join(axes)}), got {input.ndim} dims.",
            f"input: {tuple(input.shape)}",
        )
    sizes = []
    for axis, size, k, s, p, d in zip(axes, input.shape[2:], kernel_size, stride, padding, dilation, strict=True):
        if p > (d * (k - 1) + 1) // 2:
            raise ShapeError(f"{name}: padding {p} is more than half of kernel size {k} along {axis}.")
        out = pooled_size(size, k, s, p, d, ceil_mode)
        if out < 1:
            raise ShapeError(
                f"{name}: the window does not fit: along {axis} it covers {d * (k - 1) + 1}, input has {size}.",
                f"input: {named(input.shape, ('batch', 'channel', *axes))}",
                "Use fewer pooling layers or a smaller kernel_size.",
            )
        sizes.append(out)
    return tuple(sizes)


POOL_SAMPLES: dict = {
    1: [((2, 3, 8), {"kernel_size": (2,), "stride": (2,), "padding": (0,)})],
    2: [
        ((2, 3, 6, 6), {"kernel_size": (2, 2), "stride": (2, 2), "padding": (0, 0)}),
        ((1, 2, 5, 7), {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0)}),
        ((1, 1, 5, 5), {"kernel_size": (2, 2), "stride": (2, 2), "padding": (0, 0), "ceil_mode": True}),
    ],
    3: [((1, 2, 4, 4, 4), {"kernel_size": (2, 2, 2), "stride": (2, 2, 2), "padding": (0, 0, 0)})],
}


def _max_family(n: int):
    name, grad_name, pick_name = f"max_pool{n}d", f"max_pool{n}d_grad", f"max_pool{n}d_pick"
    ones = (1,) * n

    class MaxPool(Op):
        flat = True
        outputs = 2
        reads_outputs = (1,)
        promotion = None

        def prepare(input, *, kernel_size, stride, padding, dilation=ones, ceil_mode=False):
            how = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation}
            return {**how, "ceil_mode": ceil_mode}

        def infer(input, *, kernel_size, stride, padding, dilation, ceil_mode):
            sizes = check_pool(name, n, input, kernel_size, stride, padding, dilation, ceil_mode)
            shape = (*input.shape[:2], *sizes)
            return MetaArray(shape, input.dtype), MetaArray(shape, np.dtype(np.int64))

        def forward(m, input, *, kernel_size=None, stride=None, padding=None, dilation=ones, ceil_mode=False):
            sizes = check_pool(name, n, input, kernel_size, stride, padding, dilation, ceil_mode)
            return m.max_pool_(input, kernel_size, stride, padding, dilation, sizes)

        # the window is for backends that look through it instead of following indices
        def vjp(m, g, out, input_shape, kernel_size, stride, padding, dilation):
            if g[0] is None:
                return None
            return getattr(m, grad_name)(g[0], out[1], shape=tuple(input_shape))

    class MaxPoolGrad(Op):
        """Each gradient put where its maximum was: g_ and flat spatial indices (N, C, *out) -> ``shape``."""

        promotion = None

        def infer(g_, indices, *, shape):
            return MetaArray(shape, g_.dtype)

        def forward(m, g_, indices, *, shape=None):
            return m.max_pool_grad_(g_, indices, shape)

        def vjp_g_(m, g, indices):
            return getattr(m, pick_name)(g, indices)

    class MaxPoolPick(Op):
        """The values at flat spatial indices: (N, C, *spatial) -> (N, C, *out)."""

        promotion = None
        linear = True

        def infer(input, indices):
            return MetaArray(indices.shape, input.dtype)

        def forward(m, input, indices):
            lead = indices.shape[:2]
            flat = m.xp.take_along_axis(input.reshape((*lead, -1)), indices.reshape((*lead, -1)), axis=2)
            return flat.reshape(indices.shape)

        def vjp_input(m, g, indices, input_shape):
            return getattr(m, grad_name)(g, indices, shape=tuple(input_shape))

    MaxPool.__doc__ = f"The largest value in each window over {n} spatial dim{'s' * (n > 1)}, and its flat index."
    spatial = (4, 5, 6)[:n]
    total = int(np.prod(spatial))
    indices = Sample((2, 3, *(2,) * n), "index", "int64", total)
    distinct = [(Sample(x, "distinct"), how) for x, how in POOL_SAMPLES[n]]
    return (
        op(onnx="MaxPool", samples=distinct, name=name)(MaxPool),
        op(samples=[((2, 3, *(2,) * n), indices, {"shape": (2, 3, *spatial)})], name=grad_name)(MaxPoolGrad),
        op(samples=[((2, 3, *spatial), indices)], name=pick_name)(MaxPoolPick),
    )


max_pool1d, max_pool1d_grad, max_pool1d_pick = _max_family(1)
max_pool2d, max_pool2d_grad, max_pool2d_pick = _max_family(2)
max_pool3d, max_pool3d_grad, max_pool3d_pick = _max_family(3)


def _average_family(n: int):
    name, grad_name = f"avg_pool{n}d", f"avg_pool{n}d_grad"
    ones = (1,) * n

    class AvgPool(Op):
        flat = True
        promotion = None
        linear = True

        def infer(input, *, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override):
            sizes = check_pool(name, n, input, kernel_size, stride, padding, ones, ceil_mode)
            return MetaArray((*input.shape[:2], *sizes), input.dtype)

        def forward(
            m,
            input,
            *,
            kernel_size=None,
            stride=None,
            padding=None,
            ceil_mode=False,
            count_include_pad=True,
            divisor_override=None,
        ):
            sizes = check_pool(name, n, input, kernel_size, stride, padding, ones, ceil_mode)
            how = (kernel_size, stride, padding, sizes, count_include_pad, divisor_override)
            return m.avg_pool_(input, *how)

        def vjp(m, g, input_shape, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override):
            return getattr(m, grad_name)(
                g,
                shape=tuple(input_shape),
                kernel_size=kernel_size,
                stride=stride,
                padding=padding,
                ceil_mode=ceil_mode,
                count_include_pad=count_include_pad,
                divisor_override=divisor_override,
            )

    class AvgPoolGrad(Op):
        """Each gradient shared out over its window."""

        promotion = None
        linear = True

        def infer(g_, *, shape, **how):
            return MetaArray(shape, g_.dtype)

        def forward(
            m,
            g_,
            *,
            shape=None,
            kernel_size=None,
            stride=None,
            padding=None,
            ceil_mode=False,
            count_include_pad=True,
            divisor_override=None,
        ):
            return m.avg_pool_grad_(g_, shape, kernel_size, stride, padding, count_include_pad, divisor_override)

        def vjp(m, g, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override):
            return getattr(m, name)(
                g,
                kernel_size=kernel_size,
                stride=stride,
                padding=padding,
                ceil_mode=ceil_mode,
                count_include_pad=count_include_pad,
                divisor_override=divisor_override,
            )

    AvgPool.__doc__ = f"The mean of each window over {n} spatial dim{'s' * (n > 1)}."
    samples = POOL_SAMPLES[n]
    grads = []
    for x, how in samples:
        sizes = [
            pooled_size(size, k, s, p, 1, how.get("ceil_mode", False))
            for size, k, s, p in zip(x[2:], how["kernel_size"], how["stride"], how["padding"], strict=True)
        ]
        grads.append(((*x[:2], *sizes), {"shape": x, **how}))
    return (
        op(onnx="AveragePool", samples=samples, name=name)(AvgPool),
        op(samples=grads, name=grad_name)(AvgPoolGrad),
    )


avg_pool1d, avg_pool1d_grad = _average_family(1)
avg_pool2d, avg_pool2d_grad = _average_family(2)
avg_pool3d, avg_pool3d_grad = _average_family(3)


def adaptive_window(n: int, size: int):
    """Where each of ``size`` windows over n places starts and ends: they cover all and overlap where they must."""
    i = np.arange(size)
    return i * n // size, -((-(i + 1) * n) // size)


def _adaptive_max_family(n: int):
    name = f"adaptive_max_pool{n}d"

    class AdaptiveMaxPool(Op):
        flat = True
        outputs = 2
        reads_outputs = (1,)
        promotion = None

        def infer(input, *, sizes):
            if any(s < 1 for s in input.shape[2:]):
                raise ShapeError(f"{name}: spatial dims must not be empty.", f"input: {tuple(input.shape)}")
            shape = (*input.shape[:2], *sizes)
            return MetaArray(shape, input.dtype), MetaArray(shape, np.dtype(np.int64))

        def forward(m, input, *, sizes=None):
            return m.adaptive_max_pool_(input, sizes)

        def vjp(m, g, out, input_shape):
            if g[0] is None:
                return None
            return getattr(m, f"max_pool{n}d_grad")(g[0], out[1], shape=tuple(input_shape))

    AdaptiveMaxPool.__doc__ = (
        f"The largest value in each of ``sizes`` even windows over {n} spatial dim{'s' * (n > 1)}, and its flat index."
    )
    sample = (Sample((2, 3, *(5, 4, 3)[:n]), "distinct"), {"sizes": (2, 3, 2)[:n]})
    return op(samples=[sample], name=name)(AdaptiveMaxPool)


adaptive_max_pool1d = _adaptive_max_family(1)
adaptive_max_pool2d = _adaptive_max_family(2)
adaptive_max_pool3d = _adaptive_max_family(3)
