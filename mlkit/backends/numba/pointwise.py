"""Elementwise functions that NumPy computes slowly: exponentials, error functions, activations and their gradients.

float32 only; float64 and the low precisions stay with NumPy, and so do small arrays, where a call costs more than it
saves. Results agree with NumPy's to a few units in the last place.
"""

from __future__ import annotations

import numpy as np

from mlkit.backends.numba import gradient, override
from mlkit.backends.numba.flat import FLOAT32, binary, unary

#: elements from which a kernel is quicker than NumPy's chain of calls
CHEAP, COSTLY = 1 << 14, 1 << 11


def _register(op: str, minimum: int | None, gradient_minimum: int | None = None) -> None:
    """The override of a function of one array, and of its gradient (by the input or the output) where there is one."""

    def forward(kernels, input):
        return unary(getattr(kernels, op), input) if input.dtype is FLOAT32 else NotImplemented

    forward.__module__ = __name__
    if minimum is not None:
        override(op, minimum=minimum)(forward)
    if gradient_minimum is None:
        return

    def backward(kernels, g, kept):
        if g.dtype is not FLOAT32 or kept.dtype is not FLOAT32 or g.shape != kept.shape:
            return NotImplemented
        return binary(getattr(kernels, f"{op}_gradient"), g, kept)

    backward.__module__ = __name__
    gradient(op, minimum=gradient_minimum)(backward)


_register("exp", CHEAP)
_register("log", CHEAP)
_register("erf", COSTLY)
_register("erfc", COSTLY)
_register("tanh", None, CHEAP)  # NumPy's own tanh is vector code
_register("sigmoid", COSTLY, CHEAP)
_register("silu", COSTLY, COSTLY)


@override("relu", minimum=CHEAP)
def relu(kernels, input):
    return unary(kernels.relu, input) if input.dtype is FLOAT32 else NotImplemented


@override("relu_grad", minimum=COSTLY)
def relu_grad(kernels, g, out):
    if g.dtype is not FLOAT32 or getattr(out, "dtype", None) is not FLOAT32 or g.shape != out.shape:
        return NotImplemented
    return binary(kernels.relu_gradient, g, out)


def _plain(beta: float, threshold: float) -> bool:
    return beta == 1.0 and threshold == 20.0  # above 20 float32 rounds the sum to the input by itself


@override("softplus", minimum=COSTLY)
def softplus(kernels, input, *, beta, threshold):
    if input.dtype is not FLOAT32 or not _plain(beta, threshold):
        return NotImplemented
    return unary(kernels.softplus, input)


@gradient("softplus", minimum=COSTLY)
def softplus_gradient(kernels, g, input, beta, threshold):
    if g.dtype is not FLOAT32 or input.dtype is not FLOAT32 or g.shape != input.shape or not _plain(beta, threshold):
        return NotImplemented
    return binary(kernels.softplus_gradient, g, input)


@override("gelu", minimum=COSTLY)
def gelu(kernels, input, *, approximate):
    if input.dtype is not FLOAT32:
        return NotImplemented
    return unary(kernels.gelu_tanh if approximate == "tanh" else kernels.gelu, input)


@gradient("gelu", minimum=COSTLY)
def gelu_gradient(kernels, g, input, approximate):
    if g.dtype is not FLOAT32 or input.dtype is not FLOAT32 or g.shape != input.shape:
        return NotImplemented
    return binary(kernels.gelu_tanh_gradient if approximate == "tanh" else kernels.gelu_gradient, g, input)


@override("leaky_relu", minimum=COSTLY)
def leaky_relu(kernels, input, *, negative_slope):
    return unary(kernels.leaky_relu, input, np.float32(negative_slope)) if input.dtype is FLOAT32 else NotImplemented


@gradient("leaky_relu", minimum=COSTLY)
def leaky_relu_gradient(kernels, g, input, negative_slope):
    if g.dtype is not FLOAT32 or input.dtype is not FLOAT32 or g.shape != input.shape:
        return NotImplemented
    return binary(kernels.leaky_relu_gradient, g, input, np.float32(negative_slope))
