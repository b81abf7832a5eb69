"""PyTorch's ``torch.nn.functional``: the content lives in mlkit/functional and mlkit/ops.

A loss of one's own is a function of tensors that returns a tensor, nothing more; the functions here are made the same
way:

>>> import mlkit
>>> from mlkit.nn import functional as F
>>> def log_cosh_loss(input, target):
...     difference = input - target
...     return (difference + F.softplus(-2 * difference) - 0.6931).mean()
>>> x = mlkit.tensor([1.0, 2.0], requires_grad=True)
>>> log_cosh_loss(x, mlkit.tensor([1.0, 4.0])).backward(); x.grad
tensor([ 0.0000, -0.4820])
"""

# ruff: noqa: F401 - a table of contents
from mlkit.functional.activation import (
    celu,
    celu_,
    elu,
    elu_,
    gelu,
    glu,
    gumbel_softmax,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    hardtanh_,
    leaky_relu,
    leaky_relu_,
    log_softmax,
    logsigmoid,
    mish,
    prelu,
    relu,
    relu6,
    relu_,
    rrelu,
    rrelu_,
    selu,
    selu_,
    sigmoid,
    silu,
    softmax,
    softmin,
    softplus,
    softshrink,
    softsign,
    tanh,
    tanhshrink,
    threshold,
    threshold_,
)  # fmt: skip
from mlkit.functional.attention import (
    apply_rotary,
    multi_head_attention_forward,
    rotary_angles,
    scaled_dot_product_attention,
    sinusoidal_positions,
)  # fmt: skip
from mlkit.functional.classification import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    dice_loss,
    focal_loss,
    linear_cross_entropy,
    nll_loss,
)
from mlkit.functional.convolution import (
    conv1d,
    conv2d,
    conv3d,
    conv_tbc,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    fold,
    unfold,
)  # fmt: skip
from mlkit.functional.ctc import ctc_loss
from mlkit.functional.distance import cosine_similarity, normalize, pairwise_distance, pdist
from mlkit.functional.dropout import (
    alpha_dropout,
    dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
)  # fmt: skip
from mlkit.functional.embedding import embedding, embedding_bag, one_hot
from mlkit.functional.linear import bilinear, linear
from mlkit.functional.loss import (
    gaussian_nll_loss,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    poisson_nll_loss,
    smooth_l1_loss,
)
from mlkit.functional.margins import (
    contrastive_loss,
    cosine_embedding_loss,
    hinge_embedding_loss,
    info_nce_loss,
    margin_ranking_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    soft_margin_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)  # fmt: skip
from mlkit.functional.normalization import (
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    local_response_norm,
    rms_norm,
)  # fmt: skip
from mlkit.functional.padding import pad
from mlkit.functional.pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool1d_with_indices,
    adaptive_max_pool2d,
    adaptive_max_pool2d_with_indices,
    adaptive_max_pool3d,
    adaptive_max_pool3d_with_indices,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    fractional_max_pool2d,
    fractional_max_pool2d_with_indices,
    fractional_max_pool3d,
    fractional_max_pool3d_with_indices,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    max_pool1d,
    max_pool1d_with_indices,
    max_pool2d,
    max_pool2d_with_indices,
    max_pool3d,
    max_pool3d_with_indices,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)  # fmt: skip
from mlkit.functional.resampling import (
    affine_grid,
    channel_shuffle,
    grid_sample,
    interpolate,
    native_channel_shuffle,
    pixel_shuffle,
    pixel_unshuffle,
    upsample,
    upsample_bilinear,
    upsample_nearest,
)  # fmt: skip

__all__ = sorted(name for name in globals() if not name.startswith("_"))

from mlkit.functional.checked import check_all as _check_all

_check_all(globals(), __all__, "mlkit.nn.functional")


def __getattr__(name: str):
    from mlkit.core.absent import missing_name

    raise missing_name("nn.functional", name) or AttributeError(f"module {__name__!r} has no attribute {name!r}")
