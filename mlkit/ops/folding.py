"""Windows of an image as columns, and columns back as an image (im2col and col2im)."""

import itertools

from mlkit.core.errors import ShapeError
from mlkit.core.value import MetaArray
from mlkit.ops.conv import output_size
from mlkit.ops.registry import REQUIRED, Op, op


def columns(shape, kernel_size, dilation, padding, stride) -> tuple[int, ...]:
    """How many windows fit along height and width."""
    spatial = zip(shape, kernel_size, stride, padding, dilation, strict=True)
    found = tuple(output_size(n, k, s, (p, p), d) for n, k, s, p, d in spatial)
    if min(found) < 1:
        raise ShapeError(
            f"the windows do not fit: an image of {tuple(shape)} has {found} windows of {tuple(kernel_size)}.",
            f"kernel_size={tuple(kernel_size)}, dilation={tuple(dilation)}, padding={tuple(padding)}, "
            f"stride={tuple(stride)}",
        )
    return found


def places(kernel_size, dilation, stride, counts):
    """Each place of the window, with the slice of the padded image that it sees over all windows."""
    for place in itertools.product(*(range(k) for k in kernel_size)):
        spots = zip(place, dilation, stride, counts, strict=True)
        yield place, tuple(slice(k * d, k * d + (n - 1) * s + 1, s) for k, d, s, n in spots)


class Windows(Op):
    promotion = None
    linear = True


@op(samples=[((2, 3, 5, 6), {"kernel_size": (2, 3), "dilation": (2, 1), "padding": (1, 0), "stride": (1, 2)})])
class im2col(Windows):
    """input (N, C, H, W) -> (N, C * KH * KW, windows)."""

    def infer(input, *, kernel_size, dilation, padding, stride):
        rows, across = columns(input.shape[2:], kernel_size, dilation, padding, stride)
        n, c = input.shape[:2]
        return MetaArray((n, c * kernel_size[0] * kernel_size[1], rows * across), input.dtype)

    def forward(m, input, *, kernel_size=REQUIRED, dilation=(1, 1), padding=(0, 0), stride=(1, 1)):
        n, c, h, w = input.shape
        counts = columns((h, w), kernel_size, dilation, padding, stride)
        ph, pw = padding
        image = input
        if ph or pw:
            image = m.xp.zeros((n, c, h + 2 * ph, w + 2 * pw), input.dtype)
            image[:, :, ph : ph + h, pw : pw + w] = input
        out = m.xp.empty((n, c, *kernel_size, *counts), input.dtype)
        for place, cut in places(kernel_size, dilation, stride, counts):
            out[(slice(None), slice(None), *place)] = image[(slice(None), slice(None), *cut)]
        return out.reshape(n, c * kernel_size[0] * kernel_size[1], counts[0] * counts[1])

    def vjp(m, g, input_shape, kernel_size, dilation, padding, stride):
        how = {"kernel_size": kernel_size, "dilation": dilation, "padding": padding, "stride": stride}
        return m.col2im(g, size=tuple(input_shape[2:]), **how)


@op(samples=[((2, 12, 9), {"size": (4, 4), "kernel_size": (2, 2)})])
class col2im(Windows):
    """input (N, C * KH * KW, windows) -> (N, C, *size): values that windows share add up."""

    def infer(input, *, size, kernel_size, dilation, padding, stride):
        each = kernel_size[0] * kernel_size[1]
        counts = columns(size, kernel_size, dilation, padding, stride)
        if input.ndim != 3 or input.shape[1] % each:
            raise ShapeError(
                f"fold: expected input (batch, channel * {each}, windows), got {tuple(input.shape)}.",
                f"kernel_size={tuple(kernel_size)}",
            )
        if input.shape[2] != counts[0] * counts[1]:
            raise ShapeError(
                f"fold: output size {tuple(size)} has {counts[0]} x {counts[1]} = {counts[0] * counts[1]} windows, "
                f"input has {input.shape[2]}.",
                f"input: (batch, channel * kernel, windows): {tuple(input.shape)}",
            )
        return MetaArray((input.shape[0], input.shape[1] // each, *size), input.dtype)

    def forward(m, input, *, size=REQUIRED, kernel_size=REQUIRED, dilation=(1, 1), padding=(0, 0), stride=(1, 1)):
        found = col2im.infer(
            input, size=size, kernel_size=kernel_size, dilation=dilation, padding=padding, stride=stride
        )
        n, c, h, w = found.shape
        counts = columns(size, kernel_size, dilation, padding, stride)
        ph, pw = padding
        image = m.xp.zeros((n, c, h + 2 * ph, w + 2 * pw), input.dtype)
        windows = input.reshape(n, c, *kernel_size, *counts)
        for place, cut in places(kernel_size, dilation, stride, counts):
            image[(slice(None), slice(None), *cut)] += windows[(slice(None), slice(None), *place)]
        return image[:, :, ph : ph + h, pw : pw + w].copy()

    def vjp(m, g, kernel_size, dilation, padding, stride):
        return m.im2col(g, kernel_size=kernel_size, dilation=dilation, padding=padding, stride=stride)
