"""Convolutions over 1, 2 or 3 spatial dims, and their gradients as ops of their own.

Shapes: input (N, C, *spatial), weight (O, C/groups, *kernel), output (N, O, *out) with
out = (spatial + before + after - dilation * (kernel - 1) - 1) // stride + 1. Attributes are canonical: one number per
spatial dim for stride and dilation, one (before, after) pair for padding.
"""

from mlkit.core.errors import ShapeError
from mlkit.core.value import MetaArray
from mlkit.ops.registry import Op, op

AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}


def named(shape, names) -> str:
    return "(" + ", ".join(f"{name}={n}" for name, n in zip(names, shape, strict=True)) + ")"


def output_size(n, kernel, stride, padding, dilation):
    return (n + (padding[0] + padding[1]) - (dilation * (kernel - 1) + 1)) // stride + 1


class Convolution(Op):
    """Shared rules; ``n`` is the number of spatial dims."""

    n: int
    promotion = "equal"

    def prepare(self, input, weight, bias=None, *, stride=None, padding=None, dilation=None, groups=1):
        return canonical(self.n, stride, padding, dilation, groups)

    def infer(self, input, weight, bias=None, *, stride, padding, dilation, groups):
        name, axes = self.name, AXES[self.n]
        labels = ("batch", "channel", *axes)
        if input.ndim != self.n + 2 or weight.ndim != self.n + 2:
            hint = None
            if input.ndim == self.n + 1:
                hint = "The channel or batch axis is missing: input.unsqueeze(1) adds a channel axis."
            elif input.ndim == self.n:
                hint = "Both the batch and the channel axis are missing: input[None, None] adds them."
            elif input.ndim > self.n + 2:
                hint = "There is an axis too many: input.flatten(0, 1) makes one batch axis of the first two."
            raise ShapeError(
                f"{name}: expected input {named_axes(labels)} and weight with {self.n + 2} dims.",
                f"input:  {tuple(input.shape)}\nweight: {tuple(weight.shape)}",
                hint,
            )
        if input.shape[1] != weight.shape[1] * groups:
            hint = None
            if input.shape[-1] == weight.shape[1] * groups:
                order = (0, self.n + 1, *range(1, self.n + 1))
                hint = f"The channel axis comes last here: input.permute{order} moves it to the front."
            elif input.shape[1] == 1 and groups == 1:
                kept = ", ".join(["-1"] * self.n)
                hint = (
                    f"The input has one channel: give the layer in_channels=1, or repeat the channel: "
                    f"input.expand(-1, {weight.shape[1]}, {kept})."
                )
            raise ShapeError(
                f"{name}: the weight expects {weight.shape[1] * groups} input channels, input has {input.shape[1]}.",
                f"input:  {named(input.shape, labels)}\n"
                f"weight: {named(weight.shape, ('out', 'in', *axes))}" + (f", groups={groups}" if groups > 1 else ""),
                hint,
            )
        if weight.shape[0] % groups:
            raise ShapeError(f"{name}: groups={groups} does not divide the {weight.shape[0]} output channels.")
        if bias is not None and tuple(bias.shape) != (weight.shape[0],):
            raise ShapeError(f"{name}: bias needs shape ({weight.shape[0]},), got {tuple(bias.shape)}.")
        sizes = []
        for axis, n, k, s, p, d in zip(axes, input.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True):
            out = output_size(n, k, s, p, d)
            if out < 1:
                raise ShapeError(
                    f"{name}: the kernel does not fit: along {axis} it covers {d * (k - 1) + 1}, the padded input has "
                    f"{n + p[0] + p[1]}.",
                    f"input:  {named(input.shape, labels)}\nweight: {named(weight.shape, ('out', 'in', *axes))}",
                    "Use padding, a smaller kernel, or fewer pooling layers before it.",
                )
            sizes.append(out)
        return MetaArray((input.shape[0], weight.shape[0], *sizes), input.dtype)

    def forward(m, input, weight, bias=None, *, stride=None, padding=None, dilation=None, groups=1):
        return m.conv_(input, weight, bias, stride, padding, dilation, groups)


def named_axes(labels) -> str:
    return "(" + ", ".join(labels) + ")"


def canonical(n: int, stride, padding, dilation, groups) -> dict:
    if stride.__class__ is dilation.__class__ is padding.__class__ is tuple:
        for pair in padding:
            if pair.__class__ is not tuple:
                break
        else:  # as the functions and layers give it
            return {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}

    def each(value, default):
        return (default,) * n if value is None else (value,) * n if isinstance(value, int) else tuple(value)

    pairs = (0,) * n if padding is None else (padding,) * n if isinstance(padding, int) else tuple(padding)
    return {
        "stride": each(stride, 1),
        "padding": tuple((p, p) if isinstance(p, int) else tuple(p) for p in pairs),
        "dilation": each(dilation, 1),
        "groups": groups,
    }


class InputGrad(Op):
    """The gradient with respect to input (also the transposed convolution): g_ (N, O, *out) -> ``shape``."""

    n: int

    def prepare(self, g_, weight, *, shape, stride=None, padding=None, dilation=None, groups=1):
        return {"shape": tuple(shape), **canonical(self.n, stride, padding, dilation, groups)}

    def infer(self, g_, weight, *, shape, stride, padding, dilation, groups):
        return MetaArray(shape, g_.dtype)

    def forward(m, g_, weight, *, shape=None, stride=None, padding=None, dilation=None, groups=1):
        return m.conv_input_grad_(g_, weight, shape, stride, padding, dilation, groups)


class WeightGrad(Op):
    """The gradient with respect to weight: input (N, C, *spatial), g_ (N, O, *out) -> ``shape``."""

    n: int

    def prepare(self, input, g_, *, shape, stride=None, padding=None, dilation=None, groups=1):
        return {"shape": tuple(shape), **canonical(self.n, stride, padding, dilation, groups)}

    def infer(self, input, g_, *, shape, stride, padding, dilation, groups):
        return MetaArray(shape, input.dtype)

    def forward(m, input, g_, *, shape=None, stride=None, padding=None, dilation=None, groups=1):
        return m.conv_weight_grad_(input, g_, shape, stride, padding, dilation, groups)


def cropped(m, out, shape):
    """``out`` without the places at the ends that ``shape`` does not have.

    An output padding beyond a stride makes room for one more window than there were.
    """
    for dim in range(2, len(shape)):
        if out.shape[dim] > shape[dim]:
            out = m.narrow(out, dim=dim, start=0, length=shape[dim])
    return out


def _family(n: int, samples: list, onnx: str):
    """conv<n>d and its two gradients, which are each other's gradients."""
    forward_name, input_name, weight_name = f"conv{n}d", f"conv{n}d_input_grad", f"conv{n}d_weight_grad"
    spatial = tuple(range(2, n + 2))

    class Forward(Convolution):
        def vjp_input(m, g, weight, input_shape, stride, padding, dilation, groups):
            how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
            return getattr(m, input_name)(g, m.conj(weight), shape=tuple(input_shape), **how)

        def vjp_weight(m, g, input, weight_shape, stride, padding, dilation, groups):
            how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
            return getattr(m, weight_name)(m.conj(input), g, shape=tuple(weight_shape), **how)

        def vjp_bias(m, g):
            return m.sum(g, dim=(0, *spatial))

    class ForInput(InputGrad):
        def vjp_g_(m, g, weight, g__shape, stride, padding, dilation, groups):
            how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
            out = getattr(m, forward_name)(g, m.conj(weight), **how)
            return cropped(m, out, g__shape)

        def vjp_weight(m, g, g_, weight_shape, stride, padding, dilation, groups):
            how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
            return getattr(m, weight_name)(g, m.conj(g_), shape=tuple(weight_shape), **how)

    class ForWeight(WeightGrad):
        def vjp_input(m, g, g_, input_shape, stride, padding, dilation, groups):
            how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
            return getattr(m, input_name)(m.conj(g_), g, shape=tuple(input_shape), **how)

        def vjp_g_(m, g, input, g__shape, stride, padding, dilation, groups):
            how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
            return cropped(m, getattr(m, forward_name)(m.conj(input), g, **how), g__shape)

    Forward.n = ForInput.n = ForWeight.n = n
    Forward.__doc__ = f"Convolution (cross-correlation) over {n} spatial dim{'s' * (n > 1)}."
    ForInput.__doc__ = f"The gradient of {forward_name} with respect to its input; also the transposed convolution."
    ForWeight.__doc__ = f"The gradient of {forward_name} with respect to its weight."
    return (
        op(onnx=onnx, samples=[(x, w, (w[0],), how) for x, w, _, how in samples], name=forward_name)(Forward),
        op(samples=[(out, w, {"shape": x, **how}) for x, w, out, how in samples], name=input_name)(ForInput),
        op(samples=[(x, out, {"shape": w, **how}) for x, w, out, how in samples], name=weight_name)(ForWeight),
    )


conv1d, conv1d_input_grad, conv1d_weight_grad = _family(
    1,
    [
        ((2, 3, 7), (4, 3, 3), (2, 4, 7), {"padding": (1,)}),
        ((2, 4, 8), (4, 2, 3), (2, 4, 2), {"stride": (2,), "dilation": (2,), "groups": 2}),
    ],
    "Conv",
)
conv2d, conv2d_input_grad, conv2d_weight_grad = _family(
    2,
    [
        ((2, 3, 6, 5), (4, 3, 3, 3), (2, 4, 6, 5), {"padding": (1, 1)}),
        ((1, 2, 7, 6), (3, 2, 3, 2), (1, 3, 4, 3), {"stride": (2, 2), "padding": ((1, 1), (0, 0))}),
        ((2, 4, 6, 6), (4, 1, 3, 3), (2, 4, 2, 2), {"dilation": (2, 2), "groups": 4}),
    ],
    "Conv",
)
conv3d, conv3d_input_grad, conv3d_weight_grad = _family(
    3,
    [((1, 2, 4, 5, 4), (3, 2, 2, 3, 2), (1, 3, 3, 5, 3), {"padding": ((0, 0), (1, 1), (0, 0))})],
    "Conv",
)
