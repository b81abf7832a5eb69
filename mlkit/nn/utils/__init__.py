"""PyTorch's ``torch.nn.utils``: gradients kept short, parameters as one vector, reparametrisations, sequences."""

from mlkit.nn.utils import parametrizations, parametrize, prune, rnn, stateless
from mlkit.nn.utils.clip_grad import (
    clip_grad_norm, clip_grad_norm_, clip_grad_value_, clip_grads_with_norm_, get_total_norm,
)  # fmt: skip
from mlkit.nn.utils.convert_parameters import parameters_to_vector, vector_to_parameters
from mlkit.nn.utils.fusion import fuse_conv_bn_eval, fuse_conv_bn_weights, fuse_linear_bn_eval, fuse_linear_bn_weights
from mlkit.nn.utils.init import skip_init
from mlkit.nn.utils.spectral_norm import remove_spectral_norm, spectral_norm
from mlkit.nn.utils.weight_norm import remove_weight_norm, weight_norm

__all__ = [
    "clip_grad_norm",
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "fuse_conv_bn_eval",
    "fuse_conv_bn_weights",
    "fuse_linear_bn_eval",
    "fuse_linear_bn_weights",
    "get_total_norm",
    "parameters_to_vector",
    "parametrizations",
    "parametrize",
    "prune",
    "remove_spectral_norm",
    "remove_weight_norm",
    "rnn",
    "skip_init",
    "spectral_norm",
    "stateless",
    "vector_to_parameters",
    "weight_norm",
]
