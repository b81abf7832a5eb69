"""Expressions of nn.functional and nn.utils beyond the layers; same form as cases.py (names there)."""

from __future__ import annotations

import numpy as np

from tests.oracle import cases

GRID = "T.stack([u.reshape(2, 5, 2)[..., 0], u.reshape(2, 5, 2)[..., 1] * 1.3], -1).reshape(2, 1, 5, 2)"
HEADS = "(a.reshape(1, 3, 4, 5), a.reshape(1, 3, 4, 5) * 0.5, b.reshape(-1)[:48].reshape(1, 3, 4, 4))"

CASES = {
    # interpolation
    **{
        f"interpolate_{mode.replace('-', '_')}_{size if isinstance(size, str) else 'size'}": (
            f"F.interpolate(b, size=(4, 9), mode='{mode}')"
            if size == "size"
            else f"F.interpolate(b, scale_factor={size[1:]}, mode='{mode}')"
        )
        for mode in ("nearest", "nearest-exact", "bilinear", "bicubic", "area")
        for size in ("size", "x1.7", "x0.6")
    },
    "interpolate_aligned": "F.interpolate(b, size=(9, 4), mode='bicubic', align_corners=True)",
    "interpolate_recomputed": "F.interpolate(b, scale_factor=1.7, mode='bilinear', recompute_scale_factor=True)",
    "interpolate_antialias_bilinear": "F.interpolate(b, size=(3, 4), mode='bilinear', antialias=True)",
    "interpolate_antialias_bicubic": "F.interpolate(b, size=(2, 9), mode='bicubic', antialias=True)",
    "interpolate_linear": "F.interpolate(a, scale_factor=2, mode='linear')",
    "interpolate_linear_f32": "F.interpolate(f[None], size=13, mode='linear')",
    "interpolate_nearest_f32": "F.interpolate(f[None], size=13)",
    **{
        f"grid_sample_{mode}_{padding}_{corners}": (
            f"F.grid_sample(b, {GRID}, mode='{mode}', padding_mode='{padding}', align_corners={corners})"
        )
        for mode in ("bilinear", "nearest", "bicubic")
        for padding in ("zeros", "border", "reflection")
        for corners in (True, False)
    },
    "grid_sample_far": f"F.grid_sample(b, {GRID} * 3, padding_mode='reflection', align_corners=False)",
    "grid_sample_3d": "F.grid_sample(b[:, :, :, None], T.cat([u[:4, :3].reshape(2, 2, 1, 1, 3)] * 2, 2), align_corners=True)",
    "affine_grid": "F.affine_grid(x[:, :3].reshape(2, 2, 3), (2, 1, 3, 4), align_corners=False)",
    "affine_grid_corners": "F.affine_grid(a.reshape(-1)[:24].reshape(2, 3, 4), (2, 1, 3, 4, 2), align_corners=True)",
    # attention
    "attention": f"F.scaled_dot_product_attention(*{HEADS})",
    "attention_causal": f"F.scaled_dot_product_attention(*{HEADS}, is_causal=True)",
    "attention_bool": f"F.scaled_dot_product_attention(*{HEADS}, attn_mask=(m[:, :4] | T.eye(4, dtype=T.bool)))",
    "attention_bias": f"F.scaled_dot_product_attention(*{HEADS}, attn_mask=x[:, :4], scale=0.3)",
    "attention_dead_row": f"F.scaled_dot_product_attention(*{HEADS}, attn_mask=T.arange(4)[:, None] != 2)",
    "attention_gqa": "F.scaled_dot_product_attention(b, b[:, :1] * 2, b[:, 1:2], enable_gqa=True)",
    # the rest
    "bilinear": "F.bilinear(x, y, a[:, :, :1].expand(3, 4, 5).transpose(1, 2).matmul(x))",
    "conv_transpose2d": "F.conv_transpose2d(b, w.transpose(0, 1), v[:4], stride=2, padding=1, output_padding=1)",
    "conv_tbc": "F.conv_tbc(a, a[:2, :, :].reshape(2, 4, 5).transpose(1, 2), v[:4], pad=1)",
    "pad_reflect": "F.pad(b, (2, 1, 0, 3), mode='reflect')",
    "pad_circular": "F.pad(a, (5, 2), mode='circular')",
    "pad_replicate_cut": "F.pad(a, (-1, 3), mode='replicate')",
    "max_pool_indices_shape": "F.adaptive_max_pool2d(b, (4, 5), return_indices=True)[1]",
    "adaptive_avg_one": "F.adaptive_avg_pool2d(b, 1)",
    "lp_pool_negative": "F.lp_pool2d(b, 2, 3)",
    "group_norm": "F.group_norm(b, 3, v[:3], v[1:4])",
    "instance_norm": "F.instance_norm(b, weight=v[:3], bias=v[1:4])",
    "rms_norm": "F.rms_norm(a, (5,), v)",
    "local_response_norm": "F.local_response_norm(b, 2, alpha=0.3)",
    "normalize_p1": "F.normalize(x, p=1, dim=0)",
    "normalize_zero": "F.normalize(x * 0, dim=1)",
    "cosine_similarity": "F.cosine_similarity(x[:, None], y[None], dim=-1)",
    "pairwise_distance_inf": "F.pairwise_distance(x, y, p=float('inf'))",
    "pdist": "F.pdist(x)",
    "pdist_p3": "F.pdist(x, 3)",
    "glu": "F.glu(a, 1)",
    "softmin": "F.softmin(x, 1)",
    "hardtanh_integers": "F.hardtanh(k, -2, 3)",
    "one_hot_inferred": "F.one_hot(t)",
    "pixel_shuffle": "F.pixel_shuffle(b.reshape(1, 4, 9, 6)[:, :, :3], 2)",
    "channel_shuffle": "F.channel_shuffle(b, 3)",
    "fold": "F.fold(F.unfold(b, 3, padding=1), (6, 6), 3, padding=1)",
    "mse_weight": "F.mse_loss(x, y, weight=p)",
    "l1_weight": "F.l1_loss(x, y, weight=p, reduction='sum')",
    "huber_weight": "F.huber_loss(x, y, weight=p)",
    "smooth_l1_zero_beta": "F.smooth_l1_loss(x, y, beta=0.0)",
    "kl_none": "F.kl_div(x, F.softmax(y, 1), reduction='none')",
    "gaussian_number": "F.gaussian_nll_loss(x, y, 0.5)",
    "gaussian_small": "F.gaussian_nll_loss(x, y, p * 1e-9)",
    "multi_margin": "F.multi_margin_loss(x, t, reduction='none')",
    "triplet_p1": "F.triplet_margin_loss(x, y, p, p=1)",
    "soft_margin": "F.soft_margin_loss(x * 50, T.sign(y.detach()))",
    "cross_entropy_image_weight": "F.cross_entropy(b, (b[:, 0] > 0).long(), weight=p[0, :3].detach(), label_smoothing=0.2)",
    "embedding_norm": "F.embedding(i[:, :2] % 4, x.detach().clone(), max_norm=1.0)",
    "embedding_freq": "F.embedding(i % 4, x, scale_grad_by_freq=True)",
    "embedding_bag_mean": "F.embedding_bag(i.reshape(-1) % 4, x, t.sort()[0] * 0 + T.tensor([0, 3, 3, 9]))",
    "pad_sequence": "nn.utils.rnn.pad_sequence([x[0], x[1, :3], x[2, :4]], padding_value=2.0)",
    "pad_sequence_left": "nn.utils.rnn.pad_sequence([x[0], x[1, :3]], batch_first=True, padding_side='left')",
    "packed_data": "nn.utils.rnn.pack_padded_sequence(a, [2, 3, 1, 3], enforce_sorted=False).data",
    "packed_sizes": "nn.utils.rnn.pack_padded_sequence(a, [3, 2, 2, 1]).batch_sizes",
    "unpacked": (
        "nn.utils.rnn.pad_packed_sequence(nn.utils.rnn.pack_padded_sequence(a, [2, 3, 1, 3], enforce_sorted=False), "
        "padding_value=-1.0, total_length=5)[0]"
    ),
    "parameters_to_vector": "nn.utils.parameters_to_vector([x, v, a])",
    "total_norm": "nn.utils.get_total_norm([x.detach(), v.detach()], 3)",
}


def inputs(name: str) -> dict[str, np.ndarray]:
    return cases.inputs(name)


def run(name: str, expression: str, library, functional) -> dict[str, np.ndarray]:
    return cases.run(name, expression, library, functional)


#: expressions that must fail, with the same kind of exception
BAD = [
    "nn.Linear(3, 2)(T.ones(2, 4))",
    "nn.Bilinear(0, 2, 3)",
    "nn.Bilinear(3, 4, 2)(T.ones(2, 3), T.ones(2, 5))",
    "nn.Conv2d(3, 4, 3, groups=2)",
    "nn.Conv2d(4, 4, 3, groups=0)",
    "nn.Conv2d(4, 4, 3, padding_mode='mirror')",
    "nn.Conv2d(4, 4, 3, padding='full')",
    "nn.Conv2d(4, 4, 3, stride=2, padding='same')",
    "nn.Conv2d(4, 4, 3)(T.ones(1, 3, 5, 5))",
    "nn.Conv2d(4, 4, 9)(T.ones(1, 4, 5, 5))",
    "nn.Conv2d(4, 4, 3, padding=5, padding_mode='reflect')(T.ones(1, 4, 5, 5))",
    "nn.ConvTranspose2d(4, 4, 3, padding_mode='reflect')",
    "nn.ConvTranspose2d(4, 4, 3, output_padding=1)(T.ones(1, 4, 5, 5))",
    "nn.ConvTranspose2d(4, 4, 3, stride=2)(T.ones(1, 4, 5, 5), output_size=(3, 3))",
    "nn.ConvTranspose2d(4, 4, 3)(T.ones(1, 3, 5, 5))",
    "nn.ConvTranspose2d(4, 4, 3)(T.ones(1, 4, 5, 5, dtype=T.float64))",
    "F.fold(T.ones(1, 12, 8), (4, 4), 2)",
    "F.fold(T.ones(1, 11, 9), (4, 4), 2)",
    "F.unfold(T.ones(1, 1, 2, 2), 3)",
    "F.pad(T.ones(2, 3), (1, 1, 1))",
    "F.pad(T.ones(2, 3), (3, 1), mode='reflect')",
    "F.pad(T.ones(2, 3), (4, 1), mode='circular')",
    "F.pad(T.ones(2, 3), (1, 1), mode='reflect', value=2.0)",
    "F.pad(T.ones(2, 3), (1, 1), mode='mirror')",
    "F.pad(T.ones(2, 3), (1, 1, 1, 1), mode='replicate')",
    "F.pad(T.ones(2, 3), (1, 1, 1, 1, 1, 1))",
    "F.interpolate(T.ones(1, 2, 3))",
    "F.interpolate(T.ones(1, 2, 3), size=4, scale_factor=2)",
    "F.interpolate(T.ones(1, 2, 3), size=4, mode='bilinear')",
    "F.interpolate(T.ones(1, 2, 3), size=4, mode='sharp')",
    "F.interpolate(T.ones(1, 2, 3), size=(4, 4))",
    "F.interpolate(T.ones(1, 2, 3), size=4, align_corners=True)",
    "F.interpolate(T.ones(1, 2, 3), size=4, mode='linear', antialias=True)",
    "F.interpolate(T.ones(2, 3), size=4)",
    "F.interpolate(T.ones(1, 2, 3), size=0)",
    "F.grid_sample(T.ones(1, 1, 3, 3), T.ones(1, 2, 2, 3), align_corners=True)",
    "F.grid_sample(T.ones(1, 1, 3, 3), T.ones(2, 2, 2, 2), align_corners=True)",
    "F.grid_sample(T.ones(1, 1, 3, 3), T.ones(1, 2, 2, 2), mode='cubic', align_corners=True)",
    "F.grid_sample(T.ones(1, 1, 3, 3), T.ones(1, 2, 2, 2), padding_mode='wrap', align_corners=True)",
    "F.affine_grid(T.ones(1, 2, 2), (1, 1, 3, 3), align_corners=True)",
    "F.affine_grid(T.ones(1, 2, 3), (1, 3, 3), align_corners=True)",
    "F.pixel_shuffle(T.ones(1, 3, 2, 2), 2)",
    "F.pixel_unshuffle(T.ones(1, 3, 3, 2), 2)",
    "F.channel_shuffle(T.ones(1, 3, 2, 2), 2)",
    "F.max_pool2d(T.ones(1, 1, 2, 2), 3)",
    "F.max_pool2d(T.ones(1, 1, 4, 4), 2, padding=2)",
    "F.adaptive_avg_pool2d(T.ones(2, 2), 2)",
    "F.max_unpool2d(T.ones(1, 1, 2, 2), T.full((1, 1, 2, 2), 99), 2)",
    "F.max_unpool2d(T.ones(1, 1, 2, 2), T.zeros(1, 1, 2, 2), 2)",
    "F.max_unpool2d(T.ones(1, 1, 2, 2), T.zeros(1, 1, 2, 2, dtype=T.int64), 2, output_size=(9, 9))",
    "nn.FractionalMaxPool2d(2)",
    "nn.FractionalMaxPool2d(2, output_size=2, output_ratio=0.5)",
    "nn.FractionalMaxPool2d(2, output_ratio=1.5)",
    "nn.FractionalMaxPool2d(3, output_size=5)(T.ones(1, 1, 5, 5))",
    "nn.Hardtanh(1, -1)",
    "F.hardtanh(T.ones(2), 1.0, -1.0)",
    "nn.PReLU(3)(T.ones(2, 4))",
    "F.softshrink(T.ones(2), -1.0)",
    "F.celu(T.ones(2), alpha=0.0)",
    "F.gelu(T.ones(2), approximate='fast')",
    "F.glu(T.ones(3))",
    "nn.Softmax2d()(T.ones(2, 2))",
    "F.softmax(T.ones(2), dim=3)",
    "nn.Dropout(1.5)",
    "F.dropout(T.ones(2), -0.1)",
    "F.dropout1d(T.ones(2))",
    "nn.BatchNorm2d(3)(T.ones(2, 3))",
    "nn.BatchNorm2d(3)(T.ones(2, 4, 2, 2))",
    "nn.BatchNorm1d(3)(T.ones(1, 3))",
    "nn.InstanceNorm2d(3)(T.ones(2, 3))",
    "nn.InstanceNorm2d(3)(T.ones(2, 3, 1, 1))",
    "nn.InstanceNorm2d(3, affine=True)(T.ones(2, 4, 2, 2))",
    "nn.GroupNorm(2, 3)",
    "F.group_norm(T.ones(2, 3), 2)",
    "F.layer_norm(T.ones(2, 3), (4,))",
    "F.rms_norm(T.ones(2, 3), (4,))",
    "F.local_response_norm(T.ones(2, 3), 2)",
    "nn.LSTM(4, 3, dropout=2.0)",
    "nn.LSTM(4, 0)",
    "nn.LSTM(4, 2.5)",
    "nn.LSTM(4, 3, proj_size=3)",
    "nn.GRU(4, 3, proj_size=2)",
    "nn.RNN(4, 3, nonlinearity='sigmoid')",
    "nn.LSTM(4, 3)(T.ones(2, 2, 5))",
    "nn.LSTM(4, 3)(T.ones(2, 2, 2, 4))",
    "nn.LSTM(4, 3)(T.ones(2, 2, 4), (T.ones(2, 2, 3), T.ones(1, 2, 3)))",
    "nn.GRU(4, 3)(T.ones(2, 2, 4), T.ones(2, 3))",
    "nn.LSTMCell(4, 3)(T.ones(2, 5))",
    "nn.GRUCell(4, 3)(T.ones(2, 4), T.ones(3, 3))",
    "nn.RNNCell(4, 3)(T.ones(2, 2, 4))",
    "nn.utils.rnn.pack_padded_sequence(T.ones(3, 2, 1), [1, 3])",
    "nn.utils.rnn.pack_padded_sequence(T.ones(3, 2, 1), [3, 0])",
    "nn.utils.rnn.pack_padded_sequence(T.ones(3, 2, 1), [3])",
    "nn.MultiheadAttention(5, 2)",
    "nn.MultiheadAttention(0, 2)",
    "nn.MultiheadAttention(4, 2)(T.ones(3, 1, 4), T.ones(3, 1, 5), T.ones(3, 1, 5))",
    "nn.MultiheadAttention(4, 2)(T.ones(3, 1, 4), T.ones(3, 1, 4), T.ones(3, 1, 4), attn_mask=T.ones(2, 2))",
    "nn.MultiheadAttention(4, 2)(T.ones(3, 1, 4), T.ones(3, 1, 4), T.ones(3, 1, 4), is_causal=True)",
    "nn.MultiheadAttention(4, 2)(T.ones(3, 1, 4), T.ones(3, 4), T.ones(3, 4))",
    "nn.TransformerEncoderLayer(4, 2, 8, activation='tanh')",
    "nn.Transformer(4, 2, 1, 1, 8)(T.ones(3, 1, 4), T.ones(3, 2, 4))",
    "nn.Transformer(4, 2, 1, 1, 8)(T.ones(3, 1, 5), T.ones(3, 1, 5))",
    "F.scaled_dot_product_attention(T.ones(2, 3), T.ones(2, 4), T.ones(2, 3))",
    "F.scaled_dot_product_attention(T.ones(3), T.ones(3), T.ones(3))",
    "F.scaled_dot_product_attention(T.ones(2, 3), T.ones(2, 3), T.ones(2, 3), T.ones(2, 2), 0.0, True)",
    "F.scaled_dot_product_attention(T.ones(2, 3), T.ones(2, 3).double(), T.ones(2, 3))",
    "nn.Embedding(4, 3, padding_idx=4)",
    "nn.Embedding(4, 3)(T.tensor([4]))",
    "nn.Embedding(4, 3)(T.tensor([1.0]))",
    "nn.Embedding.from_pretrained(T.ones(3))",
    "nn.EmbeddingBag(4, 3, mode='min')(T.tensor([[1]]))",
    "nn.EmbeddingBag(4, 3)(T.tensor([1]))",
    "nn.EmbeddingBag(4, 3)(T.tensor([[1]]), T.tensor([0]))",
    "nn.EmbeddingBag(4, 3)(T.tensor([1]), T.tensor([1]))",
    "nn.EmbeddingBag(4, 3)(T.tensor([[1]]), None, T.ones(1, 1))",
    "F.one_hot(T.ones(2))",
    "F.one_hot(T.tensor([0, 3]), 3)",
    "F.one_hot(T.tensor([0, -1]))",
    "nn.MSELoss(reduction='average')(T.ones(2), T.ones(2))",
    "nn.BCELoss()(T.ones(2), T.ones(3))",
    "nn.BCELoss()(T.ones(2) * 2, T.ones(2))",
    "nn.BCEWithLogitsLoss()(T.ones(2), T.ones(3))",
    "nn.NLLLoss()(T.ones(2, 3), T.tensor([0, 3]))",
    "nn.NLLLoss()(T.ones(2, 3), T.tensor([0, 1, 2]))",
    "nn.CrossEntropyLoss(label_smoothing=2.0)(T.ones(2, 3), T.tensor([0, 1]))",
    "nn.SmoothL1Loss(beta=-1.0)(T.ones(2), T.ones(2))",
    "nn.HuberLoss(delta=0)(T.ones(2), T.ones(2))",
    "nn.GaussianNLLLoss()(T.ones(2), T.ones(2), -T.ones(2))",
    "nn.GaussianNLLLoss()(T.ones(2, 3), T.ones(2, 3), T.ones(2, 2))",
    "nn.CosineEmbeddingLoss()(T.ones(2, 3), T.ones(2, 3), T.ones(2, 1))",
    "nn.MarginRankingLoss()(T.ones(2, 3), T.ones(2, 3), T.ones(2))",
    "nn.MultiMarginLoss(p=3)",
    "nn.MultiMarginLoss(weight=T.ones(2, 2))",
    "nn.TripletMarginLoss(margin=0)",
    "nn.TripletMarginLoss()(T.ones(2, 3), T.ones(2, 3), T.ones(3))",
    "nn.CTCLoss(reduction='best')(T.ones(3, 1, 2), T.ones(1, 1, dtype=T.int64), T.tensor([3]), T.tensor([1]))",
    "nn.CTCLoss()(T.ones(3, 1, 2), T.ones(1, 1, dtype=T.int64), T.tensor([4]), T.tensor([1]))",
    "nn.CTCLoss(blank=5)(T.ones(3, 1, 2), T.ones(1, 1, dtype=T.int64), T.tensor([3]), T.tensor([1]))",
    "nn.AdaptiveLogSoftmaxWithLoss(4, 6, [])",
    "nn.AdaptiveLogSoftmaxWithLoss(4, 6, [3, 2])",
    "nn.AdaptiveLogSoftmaxWithLoss(4, 6, [2])(T.ones(1, 4), T.tensor([6]))",
    "F.pdist(T.ones(3))",
    "nn.init.xavier_uniform_(T.ones(3))",
    "nn.init.eye_(T.ones(3))",
    "nn.init.dirac_(T.ones(3, 3))",
    "nn.init.calculate_gain('cube')",
    "nn.init.kaiming_normal_(T.ones(3, 3), mode='fan')",
    "nn.utils.parametrizations.weight_norm(nn.Linear(2, 2), 'scale')",
    "nn.utils.remove_weight_norm(nn.Linear(2, 2))",
    "nn.ModuleList([nn.ReLU()])[3]",
    "nn.ParameterList([T.ones(1)])[3]",
    "nn.ParameterList(T.ones(1))",
    "nn.ModuleDict()['a']",
    "nn.Module()(1)",
    "nn.Linear(2, 2).register_parameter('weight', 3)",
    "nn.Linear(2, 2).register_parameter('a.b', None)",
    "nn.Linear(2, 2).register_buffer('weight', T.ones(1))",
    "nn.Linear(2, 2).add_module('x', 3)",
    "nn.Linear(2, 2).get_parameter('scale')",
    "nn.Linear(2, 2).load_state_dict({})",
    "nn.Linear(2, 2).load_state_dict([])",
    "nn.Linear(2, 2).train('yes')",
    "nn.Unflatten(1, [2, 2.5])",
    "nn.LazyLinear(2).weight.shape",
]

KINDS = (NotImplementedError, KeyError, IndexError, ValueError, TypeError, AttributeError, AssertionError, RuntimeError)


def evaluate(expression: str, library):
    return eval(expression, {"T": library, "F": library.nn.functional, "nn": library.nn})


def kind_of_failure(expression: str, library) -> str:
    """The name of the exception's kind, or what the expression gave."""
    try:
        found = evaluate(expression, library)
    except Exception as error:
        return next((kind.__name__ for kind in KINDS if isinstance(error, kind)), type(error).__name__)
    return f"no exception: {found!r}"[:100]
