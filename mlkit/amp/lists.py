"""Which ops run in which precision under autocast: PyTorch's lists, by the names of mlkit's ops and composites.

A name of a composite (a loss, attention) holds for everything within it, the outermost that is listed.
"""

from __future__ import annotations

#: products: quick in the low precision, and accumulated in float32 anyway
LOW = frozenset(
    """
    matmul linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d _transposed prelu
    addmm addmv addr addbmm baddbmm bmm mm mv chain_matmul multi_dot einsum vecdot scaled_dot_product_attention
    rnn_cell rnn_layer lstm_layer rnn_sequence lstm_sequence lstm_states
    """.split()
)

#: low on one kind of device alone
LOW_ON = {"cuda": frozenset(("lstm_cell", "gru_cell", "gru_layer", "gru_sequence")), "cpu": frozenset()}

_LOSSES = """
    mse_loss l1_loss smooth_l1_loss huber_loss nll_loss nll_pick cross_entropy softmax_cross_entropy kl_div poisson_nll_loss ctc_loss
    binary_cross_entropy_with_logits cosine_embedding_loss hinge_embedding_loss margin_ranking_loss soft_margin_loss
    multi_margin_loss multilabel_margin_loss triplet_margin_loss
""".split()

#: sums of many terms, or steep functions: float32 in and out
FULL = {
    "cuda": frozenset(
        _LOSSES
        + """
    acos asin cosh sinh tan exp expm1 log log10 log2 log1p reciprocal rsqrt pow pow_scalar square erfinv softplus
    softmax log_softmax logsumexp sum prod cumsum cumprod norm vector_norm dist cdist pdist renorm cosine_similarity
    layer_norm group_norm interpolate
    """.split()
    ),
    "cpu": frozenset(
        _LOSSES
        + """
    lstm_gates gru_gates gru_sequence binary_cross_entropy prod quantile nanquantile cdist trace polar stft grid_sample view_as_complex
    avg_pool3d max_pool3d adaptive_avg_pool3d adaptive_max_pool3d max_unpool2d max_unpool3d
    cholesky inverse solve slogdet det eigh eig svd qr lu_factor pinv matrix_exp geqrf ldl_factor
    """.split()
    ),
}

#: tensors of several precisions meet in the widest
WIDEST = frozenset("cat stack index_copy addcdiv addcmul atan2 bilinear cross dot vdot grid_sample index_put tensordot "
                   "scatter_add".split())  # fmt: skip

#: computed in float32 with float32 weights, with a result in the precision of the input
INSIDE = {
    "cpu": frozenset(
        "layer_norm group_norm instance_norm rms_norm batch_norm_train batch_norm_eval local_response_norm".split()
    ),
    "cuda": frozenset("batch_norm_train batch_norm_eval instance_norm rms_norm".split()),
}

#: what overflows in float16 however it is computed, and what to use instead
REFUSED = {
    "cuda": {
        "binary_cross_entropy": "binary_cross_entropy_with_logits (BCEWithLogitsLoss) and no sigmoid before it",
    },
    "cpu": {},
}
