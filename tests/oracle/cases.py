"""Programs that run under PyTorch and under mlkit, as text: the script beside this file keeps PyTorch's numbers.

Each case is an expression over ``T`` (the library), ``F`` (its nn.functional), ``nn`` and inputs made from the case's
name. Inputs: ``x`` (4, 5) normal, ``y`` (4, 5) normal, ``p`` (4, 5) positive, ``u`` (4, 5) in (-0.9, 0.9), ``v`` (5,),
``s`` 0-d, ``m`` (4, 5) bool, ``i`` (4, 5) int64 in 0..4, ``k`` (4, 5) int64 in -9..9 without 0, ``b`` (2, 3, 6, 6),
``w`` (4, 3, 3, 3), ``t`` (4,) class labels 0..4, ``a`` (3, 4, 5), ``z`` (4, 5) complex, ``f`` (4, 5) float32.
Gradients of everything smooth are kept too.
"""

from __future__ import annotations

import zlib

import numpy as np

UNARY = """abs acos acosh:p+1.1 asin asinh atan atanh ceil cos cosh erf erfc exp exp2 expm1 floor frac isfinite isinf isnan
log:p log10:p log1p:p log2:p neg reciprocal:p relu round rsqrt:p sgn sigmoid sign signbit sin sinc sinh sqrt:p square tan
tanh trunc logical_not bitwise_not:k bitwise_not:m""".split()
BINARY = """add sub mul div:x,p atan2 hypot logaddexp maximum minimum fmax fmin copysign eq ne lt le gt ge logical_and
logical_or logical_xor remainder:x,p fmod:x,p floor_divide:x.detach(),p.detach() pow:p,y bitwise_and:k,i bitwise_or:k,i bitwise_xor:k,i
gcd:k,i lcm:k,i""".split()
REDUCE = "sum mean prod amax amin var std logsumexp".split()


def _unary() -> dict[str, str]:
    out = {}
    for entry in UNARY:
        name, _, argument = entry.partition(":")
        default = "u" if name in ("acos", "asin", "atanh", "tan") else "x"
        out[f"{name}{'_' + argument[0] if argument in ('k', 'm') else ''}"] = f"T.{name}({argument or default})"
    return out


def _binary() -> dict[str, str]:
    out = {}
    for entry in BINARY:
        name, _, arguments = entry.partition(":")
        left, right = (arguments or "x,y").split(",")
        out[name] = f"T.{name}({left}, {right})"
    return out


def _reductions() -> dict[str, str]:
    out = {}
    for name in REDUCE:
        out[f"{name}_dim"] = f"T.{name}(a, dim=1)"
        if name != "prod":
            out[f"{name}_dims"] = f"T.{name}(a, dim=(0, -1), keepdim=True)"
        if name not in ("logsumexp", "amax", "amin"):
            out[f"{name}_all"] = f"T.{name}(a)"
    return out


CASES: dict[str, str] = {
    **_unary(),
    **_binary(),
    **_reductions(),
    # operators, scalars, promotion
    "operators": "(x + 1) * 2 - y / 3 + x ** 2 - 2 ** u",
    "reversed": "1 - x + 1 / p + 3 // p.detach() + 5 % p.detach()",
    "broadcast": "x * v + a[0, 0] - s",
    "int_plus_float": "k + x",
    "int_div_int": "k / (i + 1)",
    "int_scalar_float": "k * 1.5",
    "int_scalar_int": "k * 2 + 1",
    "bool_sum": "m.sum()",
    "bool_plus_int": "m + 1",
    "bool_times_float": "m * 1.5",
    "f32_plus_f64": "f + x",
    "f32_scalar": "f * 2.5 + 1",
    "f32_plus_int64": "f + k",
    "f32_zero_dim_f64": "f * s",
    "int_floor_divide": "k // 3",
    "int_remainder": "k % 4",
    "int_pow": "i ** 3",
    "comparison_scalar": "(x > 0) & ~(y < 0.5) | (x == y)",
    "clamp": "T.clamp(x, -0.5, 0.5)",
    "clamp_tensor": "T.clamp(x, min=y)",
    "where": "T.where(m, x, y)",
    "where_scalar": "T.where(m, x, 0.0)",
    "lerp": "T.lerp(x, y, 0.3)",
    "addcmul": "T.addcmul(x, y, p, value=0.5)",
    "addcdiv": "T.addcdiv(x, y, p, value=2)",
    "div_floor": "T.div(x, p, rounding_mode='floor')",
    "div_trunc": "T.div(x, p, rounding_mode='trunc')",
    "round_decimals": "T.round(x, decimals=2)",
    "nan_to_num": "T.nan_to_num(x / (x * 0))",
    "complex_mul": "z * z.conj() + z",
    "complex_abs": "z.abs()",
    "complex_exp": "z.exp().real",
    "complex_div": "1 / z",
    # shape
    "reshape": "a.reshape(5, -1)",
    "permute": "a.permute(2, 0, 1)",
    "transpose": "a.transpose(0, 2)",
    "flatten": "a.flatten(1)",
    "squeeze": "a.unsqueeze(1).squeeze(1)",
    "expand": "v.expand(3, 5)",
    "repeat": "x.repeat(2, 1, 3)",
    "tile": "x.tile((2,))",
    "repeat_interleave": "x.repeat_interleave(2, dim=1)",
    "cat": "T.cat([x, y, x], dim=1)",
    "stack": "T.stack([x, y], dim=1)",
    "split": "T.cat(T.split(a, 2, dim=2)[::-1], dim=2)",
    "chunk": "a.chunk(3, dim=1)[1]",
    "tensor_split": "T.tensor_split(a, (1, 3), dim=2)[1]",
    "unbind": "a.unbind(1)[2]",
    "flip": "a.flip(0, 2)",
    "roll": "a.roll((1, -2), (0, 2))",
    "roll_flat": "x.roll(3)",
    "rot90": "T.rot90(x, 1)",
    "tril": "a.tril(-1)",
    "triu": "a.triu(1)",
    "diagonal": "a.diagonal(1, 1, 2)",
    "diag": "T.diag(v, 1)",
    "diag_embed": "T.diag_embed(x)",
    "movedim": "a.movedim(0, -1)",
    "unfold": "a.unfold(2, 3, 2)",
    "meshgrid": "T.meshgrid(v, x[:, 0], indexing='ij')[1]",
    "unflatten": "a.unflatten(1, (2, 2))",
    "pad": "F.pad(a, (1, 2, 0, 1), value=3.0)",
    "pad_negative": "F.pad(a, (-1, 2))",
    # indexing
    "slice": "a[1:, ::2, -1]",
    "ellipsis": "a[..., None, 2]",
    "integer_array": "x[T.tensor([0, 2, 2, -1])]",
    "two_arrays": "a[T.tensor([0, 2]), :, T.tensor([1, 4])]",
    "array_and_int": "a[1, :, T.tensor([1, 4])]",
    "mask": "x[m]",
    "mask_rows": "a[:, m[:, 0]]",
    "gather": "T.gather(x, 1, i)",
    "scatter": "T.scatter(x, 1, i[:, :1], y[:, :1])",
    "scatter_add": "T.scatter_add(x, 1, i, y)",
    "index_select": "T.index_select(a, 1, t[:3] % 4)",
    "index_add": "T.index_add(x, 1, t, T.ones_like(x)[:, :4])",
    "masked_fill": "x.masked_fill(m, 2.0)",
    "masked_select": "T.masked_select(x, m)",
    "take": "T.take(x, i)",
    "take_along_dim": "T.take_along_dim(x, i[:, :1], dim=1)",
    "nonzero": "T.nonzero(m)",
    # order
    "max_dim": "T.max(x, dim=1).values",
    "max_indices": "T.max(x, dim=1).indices",
    "min_all": "T.min(x)",
    "argmax": "T.argmax(a, dim=1)",
    "argmin": "T.argmin(x)",
    "sort": "T.sort(a, dim=1).values",
    "sort_descending": "T.sort(x, dim=0, descending=True).indices",
    "topk": "T.topk(x, 3, dim=1).values",
    "topk_smallest": "T.topk(x, 2, dim=0, largest=False).indices",
    "median": "T.median(x)",
    "kthvalue": "T.kthvalue(x, 2, dim=1).values",
    "cumsum": "T.cumsum(a, 1)",
    "cumprod": "T.cumprod(a, 2)",
    "cummax": "T.cummax(x, 1).values",
    "any": "m.any(dim=1)",
    "all": "m.all()",
    "count_nonzero": "T.count_nonzero(m, dim=0)",
    "nansum": "T.nansum(x)",
    "norm": "T.norm(x)",
    "norm_1": "T.norm(x, p=1, dim=1)",
    "norm_3": "T.norm(x, p=3, dim=1)",
    # products
    "matmul": "x @ y.T",
    "matmul_batch": "a @ y.T",
    "matmul_broadcast": "a[:, None] @ y.T",
    "matmul_vector": "a @ v",
    "vector_matmul": "v @ y.T",
    "dot": "T.dot(v, v)",
    "bmm": "T.bmm(a, a.transpose(1, 2))",
    "linear": "F.linear(a, y, x[:, 0])",
    # functional
    "softmax": "F.softmax(a, dim=1)",
    "log_softmax": "F.log_softmax(x, dim=-1)",
    "gelu": "F.gelu(x)",
    "gelu_tanh": "F.gelu(x, approximate='tanh')",
    "silu": "F.silu(x)",
    "softplus": "F.softplus(x * 30, beta=2.0)",
    "leaky_relu": "F.leaky_relu(x, 0.1)",
    "elu": "F.elu(x, 0.7)",
    "logsigmoid": "F.logsigmoid(x * 10)",
    "conv2d": "F.conv2d(b, w, v[:4], padding=1)",
    "conv2d_stride": "F.conv2d(b, w, stride=2, padding=(0, 1), dilation=(1, 2))",
    "conv2d_same": "F.conv2d(b, w, padding='same')",
    "conv2d_groups": "F.conv2d(b, w[:3, :1], groups=3)",
    "conv1d": "F.conv1d(a, a[:2].transpose(1, 2)[:, :4, :2])",
    "max_pool2d": "F.max_pool2d(b, 2)",
    "max_pool2d_overlap": "F.max_pool2d(b, 3, stride=1, padding=1)",
    "max_pool2d_ceil": "F.max_pool2d(b, 4, stride=3, ceil_mode=True)",
    "max_pool2d_indices": "F.max_pool2d(b, 3, 2, return_indices=True)[1]",
    "avg_pool2d": "F.avg_pool2d(b, 3, stride=2, padding=1)",
    "avg_pool2d_exclude": "F.avg_pool2d(b, 3, stride=2, padding=1, count_include_pad=False)",
    "layer_norm": "F.layer_norm(a, (4, 5), x, y)",
    "batch_norm": "F.batch_norm(b, None, None, v[:3], v[1:4], training=True)",
    "embedding": "F.embedding(i[:, :2] % 4, x)",
    "embedding_padding": "F.embedding(i[:, :2] % 4, x, padding_idx=1)",
    "normalize": "F.normalize(x)",
    "one_hot": "F.one_hot(t, 5)",
    # losses
    "cross_entropy": "F.cross_entropy(x, t)",
    "cross_entropy_weight": "F.cross_entropy(x, t, weight=p[0].detach())",
    "cross_entropy_smooth": "F.cross_entropy(x, t, weight=p[0].detach(), label_smoothing=0.2)",
    "cross_entropy_ignore": "F.cross_entropy(x, t, ignore_index=int(t[0]), label_smoothing=0.1)",
    "cross_entropy_probabilities": "F.cross_entropy(x, F.softmax(y, 1), label_smoothing=0.1, reduction='sum')",
    "cross_entropy_images": "F.cross_entropy(b, (b[:, 0] > 0).long(), reduction='none')",
    "nll_loss": "F.nll_loss(x, t)",
    "mse_loss": "F.mse_loss(x, y)",
    "l1_loss": "F.l1_loss(x, y, reduction='sum')",
    "bce_with_logits": "F.binary_cross_entropy_with_logits(x, m.double(), pos_weight=p[0].detach().detach())",
}


def inputs(name: str) -> dict[str, np.ndarray]:
    """The arrays of a case, seeded by its name."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    k = rng.integers(-9, 9, (4, 5))
    k[k == 0] = 5
    return {
        "x": rng.normal(size=(4, 5)),
        "y": rng.normal(size=(4, 5)),
        "p": rng.uniform(0.5, 2.0, (4, 5)),
        "u": rng.uniform(-0.9, 0.9, (4, 5)),
        "v": rng.normal(size=5),
        "s": rng.normal(size=()) * np.ones(()),
        "m": rng.random((4, 5)) < 0.5,
        "i": rng.integers(0, 5, (4, 5)),
        "k": k,
        "b": rng.normal(size=(2, 3, 6, 6)),
        "w": rng.normal(size=(4, 3, 3, 3)),
        "t": rng.integers(0, 5, 4),
        "a": rng.normal(size=(3, 4, 5)),
        "z": rng.normal(size=(4, 5)) + 1j * rng.normal(size=(4, 5)),
        "f": rng.normal(size=(4, 5)).astype(np.float32),
    }


def run(name: str, expression: str, library, functional) -> dict[str, np.ndarray]:
    """Forward and gradients of a case under a library: arrays by key."""
    tensors = {}
    for key, array in inputs(name).items():
        t = library.from_numpy(np.ascontiguousarray(array)).clone() if array.ndim else library.tensor(array[()])
        if array.dtype.kind in "fc":
            t.requires_grad_()
        tensors[key] = t
    out = eval(expression, {"T": library, "F": functional, "nn": library.nn, **tensors})
    found = {"out": out.detach().numpy(force=True)}
    if out.requires_grad:
        rng = np.random.default_rng(1)
        weights = rng.normal(size=tuple(out.shape))
        if out.is_complex():
            weights = weights + 1j * rng.normal(size=tuple(out.shape))
        out.backward(library.tensor(weights).to(out.dtype))
        for key, t in tensors.items():
            if t.grad is not None:
                found[f"grad_{key}"] = t.grad.detach().numpy(force=True)
    return found
