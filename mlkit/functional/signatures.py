"""Functions that PyTorch has twice: in ``nn.functional``, and directly under ``torch`` with the arguments of its C++ side.

There a reduction is a number (0 none, what PyTorch's binding has as default, 1 mean, 2 sum), padding modes are numbers, and ``train`` says whether dropout drops.
"""

from __future__ import annotations

import numpy as np

from mlkit.core.dispatch import ops
from mlkit.core.errors import RefusedError
from mlkit.functional import activation, classification, loss, margins, normalization, norms, recurrent, resampling
from mlkit.functional import convolution as convolving
from mlkit.functional import dropout as dropping
from mlkit.functional import embedding as looking
from mlkit.functional import padding as padded

REDUCTIONS = ("none", "mean", "sum")


def _reduction(number: int) -> str:
    if number not in (0, 1, 2):
        raise RefusedError(f"reduction must be 0 (none), 1 (mean) or 2 (sum), got {number}.")
    return REDUCTIONS[number]


# --- layers -------------------------------------------------------------------------------------------------------------


def batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled=True):
    """``nn.functional.batch_norm`` with weight and bias first."""
    return normalization.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def instance_norm(input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps, cudnn_enabled=True):
    """``nn.functional.instance_norm`` with weight and bias first."""
    return normalization.instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


def _spread(x, dims: tuple, eps: float, keepdim: bool = True):
    """The mean over ``dims`` and 1 / the standard deviation, as the norms use them."""
    middle = ops.mean(x, dim=dims, keepdim=True)
    rstd = ops.rsqrt(ops.add(ops.mean(ops.square(ops.sub(x, middle)), dim=dims, keepdim=True), eps))
    if keepdim:
        return middle, rstd
    shape = tuple(n for d, n in enumerate(x._array.shape) if d not in dims)
    return ops.reshape(middle, shape=shape), ops.reshape(rstd, shape=shape)


def native_layer_norm(input, normalized_shape, weight, bias, eps: float):
    """``nn.functional.layer_norm`` with the statistics it used: (output, mean, 1 / standard deviation)."""
    out = normalization.layer_norm(input, normalized_shape, weight, bias, eps)
    rank = input._array.ndim
    return out, *_spread(input.detach(), tuple(range(rank - len(normalized_shape), rank)), eps)


def native_group_norm(input, weight, bias, N: int, C: int, HxW: int, group: int, eps: float):  # noqa: N803 - PyTorch's names
    """``nn.functional.group_norm`` with the statistics it used: (output, mean (N, group), 1 / standard deviation)."""
    out = normalization.group_norm(input, group, weight, bias, eps)
    rows = ops.reshape(input, shape=(N, group, C // group * HxW if group else 0))
    return out, *_spread(rows, (2,), eps, keepdim=False)


def native_batch_norm(input, weight, bias, running_mean, running_var, training: bool, momentum: float, eps: float):
    """``batch_norm`` with the statistics of the batch: (output, mean, 1 / standard deviation), empty when not training."""
    out = normalization.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    plain = input.detach()
    if not training:
        return out, ops.zeros((0,), like=plain), ops.zeros((0,), like=plain)
    dims = tuple(d for d in range(plain._array.ndim) if d != 1)
    return out, *_spread(plain, dims, eps, keepdim=False)


def convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups):
    """A convolution over as many dims as the weight has beyond two, or its transpose."""
    n = weight._array.ndim - 2
    if not 1 <= n <= 3:
        raise RefusedError(f"convolution: expected a weight with 3 to 5 dims, got {tuple(weight._array.shape)}.")
    if transposed:
        fn = getattr(convolving, f"conv_transpose{n}d")
        return fn(input, weight, bias, stride, padding, output_padding, groups, dilation)
    return getattr(convolving, f"conv{n}d")(input, weight, bias, stride, padding, dilation, groups)


def dropout(input, p: float, train: bool):
    """Values set to 0 at probability p and the others scaled by 1 / (1 - p), when ``train``."""
    return dropping.dropout(input, p, train)


def dropout_(input, p: float, train: bool):
    """``dropout`` in place."""
    return dropping.dropout(input, p, train, inplace=True)


def feature_dropout(input, p: float, train: bool):
    """Whole channels set to 0 at probability p: input (N, C, *)."""
    dropping.check_probability(p)
    shape = tuple(input._array.shape)
    if not train or p == 0:
        return input
    if len(shape) < 2:
        raise RefusedError("Feature dropout requires at least 2 dimensions in the input.")
    return dropping._dropped(input, p, (*shape[:2], *([1] * (len(shape) - 2))))


def feature_dropout_(input, p: float, train: bool):
    """``feature_dropout`` in place."""
    return input.copy_(feature_dropout(input, p, train)) if train and p else input


def alpha_dropout_(input, p: float, train: bool):
    """``alpha_dropout`` in place."""
    return dropping.alpha_dropout(input, p, train, inplace=True)


def feature_alpha_dropout_(input, p: float, train: bool):
    """``feature_alpha_dropout`` in place."""
    return dropping.feature_alpha_dropout(input, p, train, inplace=True)


def embedding(weight, indices, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False):
    """``nn.functional.embedding`` with the table first; padding_idx -1 for none."""
    padding = None if padding_idx == -1 else padding_idx
    return looking.embedding(indices, weight, padding, None, 2.0, scale_grad_by_freq, sparse)


def embedding_renorm_(input, indices, max_norm: float, norm_type: float):
    """Scale down, in place, the rows of a table that indices name and whose norm is above ``max_norm``."""
    looking._renormalise(input, indices, max_norm, norm_type)
    return input


def constant_pad_nd(input, pad, value=0):
    """Padding with a constant, the widths from the last dim backwards."""
    return padded.pad(input, pad, "constant", value)


def affine_grid_generator(theta, size, align_corners: bool):
    """``nn.functional.affine_grid``."""
    return resampling.affine_grid(theta, size, align_corners)


def grid_sampler(input, grid, interpolation_mode: int, padding_mode: int, align_corners: bool):
    """``nn.functional.grid_sample``; modes 0 bilinear, 1 nearest, 2 bicubic, and 0 zeros, 1 border, 2 reflection."""
    mode = ("bilinear", "nearest", "bicubic")[interpolation_mode]
    return resampling.grid_sample(input, grid, mode, ("zeros", "border", "reflection")[padding_mode], align_corners)


grid_sampler_2d = grid_sampler_3d = grid_sampler


# --- activations in place -------------------------------------------------------------------------------------------------


def celu_(input, alpha=1.0):
    """``celu`` in place."""
    return activation.celu(input, alpha, inplace=True)


def selu_(input):
    """``selu`` in place."""
    return activation.selu(input, inplace=True)


def rrelu_(input, lower=1.0 / 8, upper=1.0 / 3, training: bool = False, generator=None):
    """``rrelu`` in place."""
    return activation.rrelu(input, lower, upper, training, inplace=True)


def threshold_(input, threshold, value):
    """``threshold`` in place."""
    return activation.threshold(input, threshold, value, inplace=True)


# --- losses ---------------------------------------------------------------------------------------------------------------


def binary_cross_entropy_with_logits(input, target, weight=None, pos_weight=None, reduction: int = 0):
    """``nn.functional.binary_cross_entropy_with_logits``."""
    how = _reduction(reduction)
    return classification.binary_cross_entropy_with_logits(input, target, weight, reduction=how, pos_weight=pos_weight)


def cosine_embedding_loss(input1, input2, target, margin: float = 0.0, reduction: int = 0):
    """``nn.functional.cosine_embedding_loss``."""
    return margins.cosine_embedding_loss(input1, input2, target, margin, reduction=_reduction(reduction))


def hinge_embedding_loss(input, target, margin: float = 1.0, reduction: int = 0):
    """``nn.functional.hinge_embedding_loss``."""
    return margins.hinge_embedding_loss(input, target, margin, reduction=_reduction(reduction))


def kl_div(input, target, reduction: int = 0, *, log_target: bool = False):
    """``nn.functional.kl_div``."""
    return loss.kl_div(input, target, reduction=_reduction(reduction), log_target=log_target)


def margin_ranking_loss(input1, input2, target, margin: float = 0.0, reduction: int = 0):
    """``nn.functional.margin_ranking_loss``."""
    return margins.margin_ranking_loss(input1, input2, target, margin, reduction=_reduction(reduction))


def poisson_nll_loss(input, target, log_input: bool, full: bool, eps: float, reduction: int):
    """``nn.functional.poisson_nll_loss``."""
    return loss.poisson_nll_loss(input, target, log_input, full, eps=eps, reduction=_reduction(reduction))


def triplet_margin_loss(anchor, positive, negative, margin=1.0, p=2.0, eps=1e-6, swap=False, reduction: int = 0):
    """``nn.functional.triplet_margin_loss``."""
    return margins.triplet_margin_loss(
        anchor, positive, negative, margin, p, eps, swap, reduction=_reduction(reduction)
    )  # fmt: skip


def ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=0, reduction: int = 0, zero_infinity=False):
    """``nn.functional.ctc_loss``."""
    from mlkit.functional.ctc import ctc_loss

    return ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, _reduction(reduction), zero_infinity)


# --- recurrent layers -----------------------------------------------------------------------------------------------------


def _layers(kind: str, input, states, params, has_biases, num_layers, drop, train, bidirectional, batch_first):
    """All layers and directions: the output (T, N, D) and the last states, each (layers * directions, N, H)."""
    x = ops.permute(input, dims=(1, 0, 2)) if batch_first else input
    directions = 2 if bidirectional else 1
    per = 4 if has_biases else 2
    if len(params) == num_layers * directions * (per + 1) and kind == "lstm":
        per += 1  # a projection of the hidden state
    if len(params) != num_layers * directions * per:
        raise RefusedError(
            f"{kind}: expected {num_layers * directions * per} parameters for {num_layers} layers, got {len(params)}."
        )
    last: list = [[] for _ in states]
    for layer in range(num_layers):
        sides = []
        for side in range(directions):
            at = layer * directions + side
            weights = list(params[at * per : (at + 1) * per])
            w_ih, w_hh, *rest = weights
            b_ih, b_hh = rest[:2] if has_biases else (None, None)
            projection = rest[-1] if len(rest) % 2 else None
            start = [ops.slice(s, index=(at,)) for s in states]
            seen = ops.flip(x, dims=(0,)) if side else x
            if kind == "lstm":
                outs = recurrent.lstm_layer(seen, *start, w_ih, w_hh, b_ih, b_hh, projection)
            elif kind == "gru":
                outs = (recurrent.gru_layer(seen, *start, w_ih, w_hh, b_ih, b_hh),)
            else:
                outs = (recurrent.rnn_layer(seen, *start, w_ih, w_hh, b_ih, b_hh, nonlinearity=kind),)
            for found, out in zip(last, outs, strict=True):
                found.append(ops.slice(out, index=(-1,)))
            sides.append(ops.flip(outs[0], dims=(0,)) if side else outs[0])
        x = sides[0] if directions == 1 else ops.cat(sides, dim=2)
        if drop and train and layer + 1 < num_layers:
            x = dropping.dropout(x, drop, True)
    x = ops.permute(x, dims=(1, 0, 2)) if batch_first else x
    from mlkit.functional.shaping import stack

    return (x, *(stack(found) for found in last))


def lstm(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first):
    """Layers of LSTM: (output, hidden states, cells). ``params`` as ``nn.LSTM`` lists them, ``hx`` (hidden, cells)."""
    return _layers("lstm", input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first)


def gru(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first):
    """Layers of GRU: (output, hidden states)."""
    return _layers("gru", input, [hx], params, has_biases, num_layers, dropout, train, bidirectional, batch_first)


def rnn_tanh(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first):
    """Layers of plain recurrent cells with tanh: (output, hidden states)."""
    return _layers("tanh", input, [hx], params, has_biases, num_layers, dropout, train, bidirectional, batch_first)


def rnn_relu(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first):
    """Layers of plain recurrent cells with relu: (output, hidden states)."""
    return _layers("relu", input, [hx], params, has_biases, num_layers, dropout, train, bidirectional, batch_first)


def lstm_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """One step of an LSTM: (hidden, cell), from ``hx`` = (hidden, cell)."""
    return recurrent.lstm_cell(input, *hx, w_ih, w_hh, b_ih, b_hh)


def gru_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """One step of a GRU."""
    return recurrent.gru_cell(input, hx, w_ih, w_hh, b_ih, b_hh)


def rnn_tanh_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """One step of a plain recurrent cell with tanh."""
    return recurrent.rnn_cell(input, hx, w_ih, w_hh, b_ih, b_hh, "tanh")


def rnn_relu_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """One step of a plain recurrent cell with relu."""
    return recurrent.rnn_cell(input, hx, w_ih, w_hh, b_ih, b_hh, "relu")


# --- norms ------------------------------------------------------------------------------------------------------------------


def frobenius_norm(input, dim=(), keepdim: bool = False):
    """The root of the sum of squares over ``dim`` (all dims for an empty one)."""
    dim = tuple(range(input._array.ndim)) if dim in ((), [], None) else dim
    return norms.vector_norm(input, 2, dim, keepdim)


def nuclear_norm(input, dim=None, keepdim: bool = False):
    """The sum of singular values of a matrix, or of the matrices along two dims."""
    if dim is None and input._array.ndim != 2:
        raise RefusedError(
            f"Expected a tensor with 2 dimensions, but got a tensor with {input._array.ndim} dimensions."
        )
    return norms.matrix_norm(input, "nuc", (-2, -1) if dim is None else dim, keepdim)


def norm_except_dim(v, pow: int = 2, dim: int = 0):
    """The norm over all dims but ``dim``, which keep size 1; over everything for -1."""
    rank = v._array.ndim
    if dim == -1:
        return norms.vector_norm(v, pow)
    return norms.vector_norm(v, pow, tuple(i for i in range(rank) if i != dim % rank), keepdim=True)


# --- segments -------------------------------------------------------------------------------------------------------------


def segment_reduce(data, reduce: str, *, lengths=None, indices=None, offsets=None, axis=0, unsafe=False, initial=None):
    """Runs of slices along ``axis`` reduced to one each by sum, mean, max, min or prod.

    ``lengths`` (or ``offsets``, one more) says how long the runs are, with a row per place of the dims before axis.
    An empty run gives ``initial``, else what the reduction starts from.

    >>> import mlkit
    >>> mlkit.segment_reduce(mlkit.tensor([1.0, 2.0, 3.0]), "sum", lengths=mlkit.tensor([1, 2]))
    tensor([1., 5.])
    """
    from mlkit.functional.conversion import to_numpy_array
    from mlkit.functional.shaping import stack

    starts = {"sum": 0.0, "mean": float("nan"), "max": -float("inf"), "min": float("inf"), "prod": 1.0}
    if reduce not in starts:
        raise RefusedError(f"segment_reduce: reduce must be one of {', '.join(starts)}, got {reduce!r}.")
    if lengths is None and offsets is None:
        raise RefusedError("segment_reduce: either lengths or offsets must be defined.")
    if indices is not None:
        raise RefusedError("segment_reduce: reduction by indices is not supported.")
    counts = np.diff(to_numpy_array(offsets), axis=-1) if lengths is None else to_numpy_array(lengths)
    axis = axis % data._array.ndim
    if counts.ndim != axis + 1:
        raise RefusedError(f"segment_reduce: expected {axis + 1} dims of lengths for axis {axis}, got {counts.ndim}.")
    if not unsafe and (counts.min(initial=0) < 0 or (counts.sum(-1) != data._array.shape[axis]).any()):
        raise RefusedError("segment_reduce: expected all rows of lengths along axis to sum to data.size(axis).")

    def one(x, own):
        results, at = [], 0
        for n in own.tolist():
            run = ops.narrow(x, dim=0, start=at, length=n)
            at += n
            if not n:
                shape = tuple(x._array.shape[1:])
                blank = ops.add(ops.zeros(shape, like=x), starts[reduce] if initial is None else float(initial))
                results.append(blank)
                continue
            out = getattr(ops, {"max": "amax", "min": "amin"}.get(reduce, reduce))(run, dim=(0,), keepdim=False)
            results.append(_joined(reduce, out, initial, n))
        return stack(results)

    def walk(x, own):
        if own.ndim == 1:
            return one(x, own)
        return stack([walk(ops.slice(x, index=(i,)), own[i]) for i in range(own.shape[0])])

    return walk(data, counts)


def _joined(reduce: str, out, initial, count: int):
    """The reduction of a run together with the value it starts from."""
    if initial is None:
        return out
    first = ops.add(ops.zeros(tuple(out._array.shape), like=out), float(initial))
    if reduce == "mean":
        return ops.add(out, float(initial) / count)
    return getattr(ops, {"sum": "add", "prod": "mul", "max": "maximum", "min": "minimum"}[reduce])(out, first)
