"""Short-time transforms, windows, complex convolutions, and PyTorch's functions with the arguments of its C++ side.

Inputs: ``x`` (2, 60), ``s`` (60,), ``w`` (16,) positive, ``v`` (12,) positive, ``z`` (2, 9, 16) complex, ``a`` (2, 4, 9)
complex, ``k`` (4, 2, 3) complex, ``p`` (2, 3, 4, 4), ``q`` (3, 2, 2, 2), ``m`` (4, 3), ``n`` (4, 3), ``i`` (4,) int64.
"""

from __future__ import annotations

import zlib

import numpy as np

CASES: dict[str, str] = {
    "stft": "T.stft(x, 16, window=w, return_complex=True)",
    "stft_vector": "T.stft(s, 16, 5, 12, v, return_complex=True)",
    "stft_pairs": "T.stft(x, 16, center=False, window=w, normalized=True, return_complex=False)",
    "stft_both_sides": "T.stft(x, 16, window=w, onesided=False, pad_mode='constant', return_complex=True)",
    "stft_aligned": "T.stft(x, 16, 3, 12, v, center=False, align_to_window=True, return_complex=True)",
    "stft_complex": "T.stft(T.complex(x, x.flip(0)), 16, window=w)",
    "stft_method": "x.stft(16, window=w, return_complex=True)",
    "istft": "T.istft(z, 16, window=w)",
    "istft_length": "T.istft(z, 16, window=w, length=50), T.istft(z, 16, window=w, normalized=True, length=40)",
    "istft_one": "T.istft(z[0], 16, window=w)",
    "windows": "[getattr(T.signal.windows, n)(M, sym=y, dtype=T.float64) for n in 'bartlett blackman cosine exponential "
    "gaussian general_hamming hamming hann kaiser nuttall'.split() for M in (0, 1, 2, 7, 8) for y in (True, False)]",
    "windows_float32": "T.signal.windows.hann(5), T.signal.windows.general_cosine(6, a=[0.3, 0.4, 0.2])",
    "conv1d_complex": "T.nn.functional.conv1d(a, k, padding=1, groups=2)",
    "conv1d_stride": "T.nn.functional.conv1d(a, k, stride=2, dilation=2, groups=2)",
    "conv_transpose1d_complex": "T.nn.functional.conv_transpose1d(a, k, stride=2, padding=1)",
    "conv_transpose2d_wide": "T.nn.functional.conv_transpose2d(p, q, stride=2, output_padding=2, dilation=3)",
    "pad_circular_cut": "T.nn.functional.pad(p[0], (-1, 3), mode='circular'), T.nn.functional.pad(p[0], (2, -1), mode='circular')",
    "pad_empty": "T.nn.functional.pad(p[:0, 0], (1, 1), mode='reflect'), T.nn.functional.pad(p[:0], (1, 1, 1, 0), "
    "mode='replicate')",
    "cosine_broadcast": "T.nn.functional.cosine_similarity(m.reshape(1, 4, 3), n.reshape(4, 1, 3), dim=-2)",
    "softsign_complex": "T.nn.functional.softsign(a)",
    "nextafter": "T.nextafter(m, n)",
    "top_embedding": "T.embedding(m, i), T.embedding(m, i, 1)",
    "top_losses": "T.kl_div(m, n.abs(), 1), T.binary_cross_entropy_with_logits(m, n.sigmoid(), None, None, 2), "
    "T.margin_ranking_loss(m, n, T.ones_like(m).detach(), 0.5, 0), T.triplet_margin_loss(m, n, m * n), "
    "T.cosine_embedding_loss(m, n, i * 0 + 1), T.hinge_embedding_loss(m, i[:, None].sign() * 2 + 1, 1.0, 1), "
    "T.poisson_nll_loss(m, n.abs(), True, False, 1e-8, 1)",
    "top_norms": "T.batch_norm(m, None, None, None, None, True, 0.1, 1e-5, False), "
    "T.instance_norm(p, None, None, None, None, True, 0.1, 1e-5, False), T.norm_except_dim(m, 2, 0), "
    "T.frobenius_norm(m, (0, 1)), T.nuclear_norm(m)",
    "top_convolution": "T.convolution(p, q.transpose(0, 1), None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1), "
    "T.convolution(p, q, None, [2, 2], [0, 0], [1, 1], True, [1, 1], 1), T.constant_pad_nd(p, (1, 2), 0.5)",
    "top_cells": "T.lstm_cell(m, (n, n), w[:3].outer(v).T.contiguous(), v.outer(v[:3])), "
    "T.gru_cell(m, n, v[:9].outer(v[:3]), w[:9].outer(v[:3])), T.rnn_tanh_cell(m, n, w[:3].outer(v[:3]), v[:3].outer(v[:3]))",
    "top_lstm": "T.lstm(m.reshape(4, 1, 3), [n[:2, None, :2].contiguous(), n[2:, None, :2].contiguous()], "
    "[v[:8].outer(w[:3]), v[:8].outer(w[:2]), v[:8].outer(w[:3]), w[:8].outer(w[:2])], False, 1, 0.0, True, True, False)",
    "top_gru": "T.gru(m.reshape(1, 4, 3), n[:1, None, :2].contiguous(), [v[:6].outer(w[:3]), v[:6].outer(w[:2]), v[:6], "
    "w[:6]], True, 1, 0.0, True, False, True)",
    "segments": "T.segment_reduce(m, 'sum', lengths=T.tensor([1, 0, 3])), T.segment_reduce(m, 'max', "
    "lengths=T.tensor([2, 2]), initial=0.5), T.segment_reduce(m, 'mean', lengths=T.tensor([3, 1])), "
    "T.segment_reduce(m, 'prod', lengths=T.tensor([3, 1]))",
}
FIRST_ONLY = (
    "top_losses",
    "top_lstm",
    "top_gru",
    "top_cells",
    "segments",
)  # PyTorch's kernels stop there, or it is long

ERRORS: dict[str, str] = {
    "stft_says_complex": "T.stft(x, 16)",
    "stft_longer_than_input": "T.stft(x, 200, center=False, return_complex=True)",
    "stft_hop": "T.stft(x, 16, 0, return_complex=True)",
    "stft_window_size": "T.stft(x, 16, window=v, return_complex=True)",
    "stft_three_dims": "T.stft(p[0], 4, return_complex=True)",
    "istft_real": "T.istft(x, 16, window=w)",
    "istft_bins": "T.istft(z, 20, window=w)",
    "istft_gaps": "T.istft(z, 16, 16, window=w * 0)",
    "window_negative": "T.signal.windows.hann(-1)",
    "window_integers": "T.signal.windows.hann(4, dtype=T.int64)",
    "removed": "T.solve(m, n)",
    "word_for_a_tensor": "T.softmax('x', 0)",
    "number_for_a_tensor": "T.nn.functional.linear(m, 2.0)",
    "list_for_a_tensor": "T.nn.functional.relu([m])",
    "none_for_a_tensor": "T.gather(m, 0, None)",
    "word_for_a_number": "T.triu(m, 'x')",
    "fraction_for_a_dim": "T.narrow(m, 0, 1.5, 1)",
    "word_for_a_bool": "T.sum(m, 0, keepdim='x')",
    "number_among_tensors": "T.block_diag(m, 2.0)",
    "fraction_in_a_size": "T.reshape(m, (1.5, 8))",
    "no_such_device": "T.zeros(2, device='typewriter')",
    "index_is_float": "T.index_select(m, 0, m[0])",
    "scatter_other_dtype": "T.scatter(m, 0, T.zeros(1, 3).long(), T.ones(1, 3, dtype=T.float32))",
    "put_other_dtype": "T.index_put(m, (i * 0,), T.ones(4, 3, dtype=T.float32))",
    "norm_other_dtype": "T.nn.functional.layer_norm(m, (3,), T.ones(3, dtype=T.float32))",
    "batch_norm_other_dtype": "T.nn.functional.batch_norm(m, T.zeros(3), T.ones(3))",
    "nll_weight_dtype": "T.nn.functional.nll_loss(m, i * 0, T.ones(3))",
    "activation_of_integers": "T.nn.functional.gelu(i)",
    "activation_of_bools": "T.nn.functional.elu(i > 0)",
    "pool_of_integers": "T.nn.functional.adaptive_avg_pool1d(i.reshape(1, 1, 4), 2)",
    "cross_other_dtype": "T.linalg.cross(m, n.float())",
    "conv_groups": "T.nn.functional.conv2d(p, p[:, :, :2, :2], groups=-1)",
    "conv_dilation": "T.nn.functional.conv2d(p, p[:, :, :2, :2], dilation=0)",
    "conv_padding": "T.nn.functional.conv2d(p, p[:, :, :2, :2], padding=-1)",
    "pool_stride": "T.nn.functional.max_pool1d(p[0], 2, stride=0)",
    "pool_divisor": "T.nn.functional.avg_pool2d(p, 2, divisor_override=0)",
    "pool_input": "T.nn.functional.adaptive_avg_pool2d(m, (2, None))",
    "reduction": "T.nn.functional.multi_margin_loss(m, i * 0, reduction='abc')",
    "embedding_table": "T.nn.functional.embedding(i, p)",
    "uniform_range": "m.detach().uniform_(3, -1)",
    "normal_std": "m.detach().normal_(0, -1)",
    "exponential_rate": "m.detach().exponential_(0)",
    "fill_with_complex": "i.masked_fill(i > 0, T.tensor(1j))",
}


def inputs(name: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(zlib.crc32(name.encode()))

    def normal(*shape):
        return rng.normal(size=shape)

    return {
        "x": normal(2, 60),
        "s": normal(60),
        "w": rng.random(16) + 0.1,
        "v": rng.random(12) + 0.1,
        "z": normal(2, 9, 16) + 1j * normal(2, 9, 16),
        "a": normal(2, 4, 9) + 1j * normal(2, 4, 9),
        "k": normal(4, 2, 3) + 1j * normal(4, 2, 3),
        "p": normal(2, 3, 4, 4),
        "q": normal(3, 2, 2, 2),
        "m": normal(4, 3),
        "n": normal(4, 3),
        "i": rng.integers(0, 4, 4),
    }
