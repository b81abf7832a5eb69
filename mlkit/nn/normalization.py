"""Layers that normalise."""

from __future__ import annotations

import mlkit.core.dtype as dtypes
from mlkit.core.errors import ShapeError
from mlkit.functional import neural
from mlkit.functional.creation import ones, tensor, zeros
from mlkit.nn.module import Module
from mlkit.nn.parameter import Parameter


class _BatchNorm(Module):
    ranks: tuple[int, ...]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device=None,
        dtype=None,
    ):
        super().__init__()
        how = {"device": device, "dtype": dtype}
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        for name, start in (("weight", ones), ("bias", zeros)):
            self.register_parameter(name, Parameter(start(num_features, **how)) if affine else None)
        self.register_buffer("running_mean", zeros(num_features, **how) if track_running_stats else None)
        self.register_buffer("running_var", ones(num_features, **how) if track_running_stats else None)
        count = tensor(0, dtype=dtypes.int64, device=device) if track_running_stats else None
        self.register_buffer("num_batches_tracked", count)

    def reset_running_stats(self) -> None:
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        from mlkit.nn import init

        self.reset_running_stats()
        if self.affine:
            init.ones_(self.weight)
            init.zeros_(self.bias)

    def forward(self, input):
        if input.ndim not in self.ranks:
            wanted = " or ".join(f"{r}D" for r in self.ranks)
            raise ShapeError(
                f"{type(self).__name__}: expected {wanted} input (got {input.ndim}D input).",
                f"input: {tuple(input.shape)}",
            )
        if input.shape[1] != self.num_features:
            raise ShapeError(
                f"{type(self).__name__}: expected {self.num_features} channels, input has {input.shape[1]}.",
                f"input: (batch, channel, ...): {tuple(input.shape)}",
                f"Make it {type(self).__name__}({input.shape[1]}).",
            )
        use_batch = self.training or self.running_mean is None
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats and not input.is_meta:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:  # a plain average over all batches
                momentum = 1.0 / float(self.num_batches_tracked)
        update = self.training and self.track_running_stats
        mean, var = (self.running_mean, self.running_var) if update or not use_batch else (None, None)
        return neural.batch_norm(input, mean, var, self.weight, self.bias, use_batch, momentum, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalisation over (N, C) or (N, C, L)."""

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Each channel of (N, C, H, W) brought to mean 0 and variance 1 over the batch, then scaled and shifted.

    In training the batch's statistics are used and running averages kept; in evaluation the running averages are used
    (Ioffe & Szegedy 2015, arXiv:1502.03167).

    Args:
        num_features: channels C.
        eps: added to the variance.
        momentum: share of the new batch in the running averages; None averages over all batches.
        affine: learn weight and bias per channel.
        track_running_stats: keep running averages.

    >>> import mlkit
    >>> mlkit.nn.BatchNorm2d(3)(mlkit.randn(4, 3, 5, 5)).shape
    mlkit.Size([4, 3, 5, 5])
    """

    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation over (N, C, D, H, W)."""

    ranks = (5,)


class LayerNorm(Module):
    """The last dims of each example brought to mean 0 and variance 1, then scaled and shifted (Ba et al. 2016).

    >>> import mlkit
    >>> mlkit.nn.LayerNorm(8)(mlkit.randn(2, 5, 8)).shape
    mlkit.Size([2, 5, 8])
    """

    def __init__(
        self,
        normalized_shape,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device=None,
        dtype=None,
    ):
        super().__init__()
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        how = {"device": device, "dtype": dtype}
        self.normalized_shape = shape
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.register_parameter("weight", Parameter(ones(*shape, **how)) if elementwise_affine else None)
        self.register_parameter("bias", Parameter(zeros(*shape, **how)) if elementwise_affine and bias else None)

    def forward(self, input):
        return neural.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
