"""Normalisation: values brought to mean 0 and variance 1 over some dims, then scaled and shifted."""

import numpy as np

from mlkit.core.errors import BatchError, ShapeError, ValueRangeError
from mlkit.core.value import MetaArray
from mlkit.ops.registry import Op, Sample, op


def channel_shape(rank: int, channels) -> tuple:
    return (1, channels, *([1] * (rank - 2)))


@op(samples=[((4, 3, 2, 2), (3,), (3,)), ((5, 3), (3,), (3,))])
class batch_norm_train(Op):
    """Batch normalisation by the batch's own statistics (Ioffe & Szegedy 2015, arXiv:1502.03167).

    input (N, C, *), weight and bias (C) or None -> output, mean (C), biased variance (C), 1/std (C).
    """

    outputs = 4
    reads_outputs = (1, 3)
    promotion = None

    def infer(input, weight=None, bias=None, *, eps):
        check_channels("batch_norm", input, weight, bias)
        c = MetaArray((input.shape[1],), input.dtype)
        if isinstance(input.size, int) and input.shape[1] and input.size // input.shape[1] <= 1:
            raise ValueRangeError(
                "batch_norm: expected more than 1 value per channel when training, got input size "
                f"{list(input.shape)}.",
                hint="Use a larger batch, drop_last=True in the DataLoader, or model.eval().",
            )
        return MetaArray(input.shape, input.dtype), c, c, c

    def forward(m, input, weight=None, bias=None, *, eps=1e-5):
        return m.batch_norm_train_(input, weight, bias, eps)

    def vjp(m, g, input, weight, out, needs, eps):
        _, mean, _, inverse_std = out
        rank, channels = len(input.shape), input.shape[1]
        dims = (0, *range(2, rank))
        wide = channel_shape(rank, channels)
        n = 1
        for d in dims:
            n = n * input.shape[d]
        centred = input - m.reshape(mean, shape=wide)
        inverse = m.reshape(inverse_std, shape=wide)
        normal = centred * inverse
        grad_input = grad_weight = grad_bias = None
        if g[0] is not None:
            grad_weight = m.sum(g[0] * normal, dim=dims)
            grad_bias = m.sum(g[0], dim=dims)
            if needs[0]:
                scale = inverse if weight is None else inverse * m.reshape(weight, shape=wide)
                shared = m.reshape(grad_bias, shape=wide) / n + normal * (m.reshape(grad_weight, shape=wide) / n)
                grad_input = scale * (g[0] - shared)
        if needs[0]:  # the statistics may be used too
            extra = []
            if g[1] is not None:
                extra.append(m.reshape(g[1], shape=wide) / n)
            g_var = g[2]
            if g[3] is not None:
                through = g[3] * (-0.5) * inverse_std * inverse_std * inverse_std
                g_var = through if g_var is None else g_var + through
            if g_var is not None:
                extra.append(centred * (m.reshape(g_var, shape=wide) * (2 / n)))
            for part in extra:
                part = m.expand(part, shape=tuple(input.shape))
                grad_input = part if grad_input is None else grad_input + part
        return grad_input, grad_weight if needs[1] else None, grad_bias if needs[2] else None


def check_channels(name, input, weight, bias):
    if input.ndim < 2:
        raise ShapeError(f"{name}: expected input (batch, channel, ...), got {tuple(input.shape)}.")
    for label, t in (("weight", weight), ("bias", bias)):
        if t is not None and tuple(t.shape) != (input.shape[1],):
            raise ShapeError(
                f"{name}: {label} has one value per channel: {tuple(t.shape)} does not fit {input.shape[1]} channels.",
                f"input: {tuple(input.shape)}, the channel axis is 1",
            )


@op(
    onnx="BatchNormalization",
    samples=[((4, 3, 2, 2), (3,), Sample((3,), "positive"), (3,), (3,))],
)
class batch_norm_eval(Op):
    """Batch normalisation by given statistics: (input - mean) / sqrt(var + eps) * weight + bias."""

    promotion = None

    def infer(input, mean, var, weight=None, bias=None, *, eps):
        check_channels("batch_norm", input, weight, bias)
        check_channels("batch_norm (running statistics)", input, mean, var)
        return MetaArray(input.shape, input.dtype)

    def forward(m, input, mean, var, weight=None, bias=None, *, eps=1e-5):
        wide = channel_shape(input.ndim, input.shape[1])
        scale = 1 / m.xp.sqrt(var + eps)
        if weight is not None:
            scale = scale * weight
        shift = -mean * scale if bias is None else bias - mean * scale
        return input * scale.reshape(wide) + shift.reshape(wide)

    def vjp(m, g, input, mean, var, weight, needs, eps):
        rank = len(input.shape)
        dims = (0, *range(2, rank))
        wide = channel_shape(rank, input.shape[1])
        inverse = m.rsqrt(var + eps)
        scale = inverse if weight is None else inverse * weight
        grad_bias = m.sum(g, dim=dims)
        centred = input - m.reshape(mean, shape=wide)
        correlation = m.sum(g * centred, dim=dims)
        return (
            g * m.reshape(scale, shape=wide) if needs[0] else None,
            -grad_bias * scale if needs[1] else None,
            correlation * scale * inverse * inverse * -0.5 if needs[2] else None,
            correlation * inverse if needs[3] else None,
            grad_bias if needs[4] else None,
        )


@op(onnx="LayerNormalization", samples=[((3, 4), (4,), (4,), {"dims": 1}), ((2, 3, 4), (3, 4), (3, 4), {"dims": 2})])
class layer_norm(Op):
    """Normalisation over the last ``dims`` dims of each example (Ba et al. 2016, arXiv:1607.06450)."""

    promotion = None

    def infer(input, weight=None, bias=None, *, dims, eps):
        tail = tuple(input.shape[input.ndim - dims :])
        for label, t in (("weight", weight), ("bias", bias)):
            if t is not None and tuple(t.shape) != tail:
                raise ShapeError(
                    f"layer_norm: {label} must have the normalised shape.",
                    f"input: {tuple(input.shape)}\n{label}: {tuple(t.shape)}, expected {tail}",
                )
        return MetaArray(input.shape, input.dtype)

    def forward(m, input, weight=None, bias=None, *, dims=1, eps=1e-5):
        return m.layer_norm_(input, weight, bias, dims, eps)

    def vjp(m, g, input, weight, needs, dims, eps):
        rank = len(input.shape)
        over = tuple(range(rank - dims, rank))
        lead = tuple(range(rank - dims))
        centred = input - m.mean(input, dim=over, keepdim=True)
        inverse = m.rsqrt(m.mean(centred * centred, dim=over, keepdim=True) + eps)
        normal = centred * inverse
        grad_input = None
        if needs[0]:
            weighted = g if weight is None else g * weight
            grad_input = inverse * (
                weighted
                - m.mean(weighted, dim=over, keepdim=True)
                - normal * m.mean(weighted * normal, dim=over, keepdim=True)
            )
        return (
            grad_input,
            (m.sum(g * normal, dim=lead) if lead else g * normal) if needs[1] else None,
            (m.sum(g, dim=lead) if lead else g) if needs[2] else None,
        )


@op(onnx="RMSNormalization", samples=[((3, 4), (4,), {"dims": 1}), ((2, 3, 4), (3, 4), {"dims": 2})])
class rms_norm(Op):
    """input / sqrt(mean of squares + eps) over the last ``dims`` dims (Zhang & Sennrich 2019, arXiv:1910.07467)."""

    promotion = None

    def infer(input, weight=None, *, dims, eps):
        return layer_norm.infer(input, weight, dims=dims, eps=eps)

    def forward(m, input, weight=None, *, dims=1, eps=1e-5):
        over = tuple(range(input.ndim - dims, input.ndim))
        out = input * (1 / m.xp.sqrt((input * input).mean(axis=over, keepdims=True) + eps))
        return out if weight is None else out * weight

    def vjp(m, g, input, weight, needs, dims, eps):
        rank = len(input.shape)
        over, lead = tuple(range(rank - dims, rank)), tuple(range(rank - dims))
        inverse = m.rsqrt(m.mean(input * input, dim=over, keepdim=True) + eps)
        normal = input * inverse
        weighted = g if weight is None else g * weight
        return (
            inverse * (weighted - normal * m.mean(weighted * normal, dim=over, keepdim=True)) if needs[0] else None,
            (m.sum(g * normal, dim=lead) if lead else g * normal) if needs[1] else None,
        )


@op(onnx="NegativeLogLikelihoodLoss", samples=[((4, 3), Sample((4,), "index", "int64", 3))])
class nll_pick(Op):
    """The value of each row at its label: input (N, C, *), target (N, *) -> (N, *); 0 where target is ignore_index."""

    promotion = None

    def infer(input, target, *, ignore_index):
        if (
            input.ndim < 1
            or (*input.shape[:1], *input.shape[2:])[: input.ndim - 1] != tuple(target.shape)
            and not (input.ndim == 1 and target.ndim == 0)
        ):
            hint = None
            if target.ndim == input.ndim and tuple(target.shape) == tuple(input.shape):
                hint = "One-hot labels must be floats (class probabilities); class numbers: target.argmax(1)."
            elif target.ndim == 2 and target.shape[1:] == (1,):
                hint = "Remove the extra axis: target.squeeze(1)."
            raise BatchError(
                "nll_loss: expected one label per row of input.",
                f"input:  (batch, class, ...): {tuple(input.shape)}\ntarget: (batch, ...): {tuple(target.shape)}",
                hint,
            )
        return MetaArray(target.shape, input.dtype)

    flat = True

    def forward(m, input, target, *, ignore_index=-100):
        return m.nll_pick_(input, target, ignore_index)

    def vjp_input(m, g, target, input_shape, ignore_index):
        return m.nll_place(g, target, shape=tuple(input_shape), ignore_index=ignore_index)


@op(samples=[((4,), Sample((4,), "index", "int64", 3), {"shape": (4, 3)})])
class nll_place(Op):
    """Zeros of ``shape`` with each value at its row's label: the gradient of nll_pick."""

    promotion = None

    def infer(g_, target, *, shape, ignore_index):
        return MetaArray(shape, g_.dtype)

    def forward(m, g_, target, *, shape=None, ignore_index=-100):
        return m.nll_place_(g_, target, shape, ignore_index)

    def vjp_g_(m, g, target, ignore_index):
        return m.nll_pick(g, target, ignore_index=ignore_index)


@op(onnx="SoftmaxCrossEntropyLoss", samples=[((4, 3), Sample((4,), "index", "int64", 3))])
class softmax_cross_entropy(Op):
    """Minus the logarithm of softmax(input) at each row's label: input (N, C), target (N) -> (N).

    0 where target is ignore_index. With ``full`` low-precision input is computed with, and the result given, in float32.
    """

    promotion = None

    def infer(input, target, *, ignore_index, full):
        found = nll_pick.infer(input, target, ignore_index=ignore_index)
        return MetaArray(found.shape, np.dtype(np.float32)) if full else found

    def forward(m, input, target, *, ignore_index=-100, full=False):
        if full:
            input = m.astype(input, np.float32)
        return -m.nll_pick(m.log_softmax(input, dim=1), target, ignore_index=ignore_index)

    def vjp_input(m, g, input, target, ignore_index, full):
        wide = m.cast_like(input, g) if full else input
        counted = g * m.cast_like(m.ne(target, ignore_index), g)
        place = m.nll_place(g, target, shape=tuple(input.shape), ignore_index=ignore_index)
        found = m.softmax(wide, dim=1) * m.unsqueeze(counted, 1) - place
        return m.cast_like(found, input) if full else found


@op(
    samples=[
        (Sample((4,), "index", "int64", 5), (5, 3)),
        (Sample((2, 3), "index", "int64", 5), (5, 3), {"padding_idx": 1}),
    ]
)
class embedding(Op):
    """Rows of weight (count, features) named by input (*): -> (*, features)."""

    promotion = None

    def infer(input, weight, *, padding_idx):
        if input.dtype.kind not in "iu":
            from mlkit.core.errors import DtypeError

            raise DtypeError(f"embedding: expected integer indices, got {input.dtype}.", hint="Use input.long().")
        if weight.ndim != 2:
            raise ShapeError(f"embedding: weight must be (count, features), got {tuple(weight.shape)}.")
        return MetaArray((*input.shape, weight.shape[1]), weight.dtype)

    def forward(m, input, weight, *, padding_idx=None):
        if input.dtype.kind not in "iu":
            raise TypeError("indices must be integers")
        m.check_index("embedding", input, weight.shape[0])
        return m.xp.take(weight, input, axis=0)

    def vjp_weight(m, g, input, weight_shape, padding_idx):
        return m.embedding_grad(g, input, shape=tuple(weight_shape), padding_idx=padding_idx)


@op(samples=[((4, 3), Sample((4,), "index", "int64", 5), {"shape": (5, 3)})])
class embedding_grad(Op):
    """Row gradients summed into ``shape`` where input names the rows; row padding_idx stays zero."""

    promotion = None

    def infer(g_, input, *, shape, padding_idx):
        return MetaArray(shape, g_.dtype)

    def forward(m, g_, input, *, shape=None, padding_idx=None):
        out = m.index_add_(m.xp.zeros(shape, g_.dtype), input.reshape(-1), g_.reshape((input.size, shape[1])), 0)
        if padding_idx is not None:
            out[padding_idx] = 0
        return out

    def vjp_g_(m, g, input, padding_idx):
        picked = m.embedding(input, g, padding_idx=None)
        if padding_idx is None:
            return picked
        keep = m.cast_like(m.ne(input, padding_idx), g)
        return picked * m.unsqueeze(keep, -1)
