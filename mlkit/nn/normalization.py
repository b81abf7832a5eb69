"""Layers that normalise."""

from __future__ import annotations

import mlkit.core.dtype as dtypes
from mlkit.core.errors import ShapeError, ValueRangeError
from mlkit.functional import normalization
from mlkit.functional.conversion import tensor
from mlkit.functional.creation import ones, zeros
from mlkit.nn import init
from mlkit.nn.module import Module
from mlkit.nn.parameter import Parameter


class _NormBase(Module):
    """Weight, bias and running statistics per channel; ``ranks`` are the allowed numbers of dims."""

    ranks: tuple[int, ...]
    _version = 2

    def __init__(
        self, num_features: int, eps, momentum, affine: bool, track_running_stats: bool, device, dtype, bias: bool
    ):
        super().__init__()
        how = {"device": device, "dtype": dtype}
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        for name, start, there in (("weight", ones, affine), ("bias", zeros, affine and bias)):
            self.register_parameter(name, Parameter(start(num_features, **how)) if there else None)
        for name, start in (("running_mean", zeros), ("running_var", ones)):
            self.register_buffer(name, start(num_features, **how) if track_running_stats else None)
        count = tensor(0, dtype=dtypes.int64, device=device) if track_running_stats else None
        self.register_buffer("num_batches_tracked", count)

    def reset_running_stats(self) -> None:
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        self.reset_running_stats()
        if self.affine:
            init.ones_(self.weight)
            if self.bias is not None:
                init.zeros_(self.bias)

    def _check_input_dim(self, input) -> None:
        if input.ndim not in self.ranks:
            wanted = " or ".join(f"{r}D" for r in self.ranks)
            raise ValueRangeError(
                f"expected {wanted} input (got {input.ndim}D input)",
                f"input: {tuple(input.shape)}",
                "A single sample needs a batch axis in front: input.unsqueeze(0)."
                if f"{input.ndim + 1}D" in wanted and f"{input.ndim}D" not in wanted
                else (
                    f"For that many axes there is {type(self).__name__[:-2]}{max(input.ndim - 2, 1)}d."
                    if type(self).__name__[-2:] in ("1d", "2d", "3d") and 2 <= input.ndim <= 5
                    else None
                ),
            )

    def _check_channels(self, channels: int, input) -> None:
        if channels != self.num_features:
            raise ShapeError(
                f"{type(self).__name__}: expected {self.num_features} channels, input has {channels}.",
                f"input: (batch, channel, ...): {tuple(input.shape)}",
                f"Make it {type(self).__name__}({channels}).",
            )

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, strict, missing, unexpected, errors):
        version = local_metadata.get("version", None)
        key = prefix + "num_batches_tracked"
        if (version is None or version < 2) and self.track_running_stats and key not in state_dict:
            # written before the count was kept; not in the caller's own dictionary
            state_dict = {**state_dict, key: self.num_batches_tracked}
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing, unexpected, errors)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_NormBase):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device=None,
        dtype=None,
        bias: bool = True,
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, input):
        self._check_input_dim(input)
        self._check_channels(input.shape[1], input)
        own, kept = self._parameters, self._buffers
        if (
            self._as_registered
            and "weight" in own
            and "bias" in own
            and "running_mean" in kept
            and "running_var" in kept
        ):
            weight, bias, mean, var = own["weight"], own["bias"], kept["running_mean"], kept["running_var"]
        else:
            weight, bias, mean, var = self.weight, self.bias, self.running_mean, self.running_var
        use_batch = self.training or mean is None
        momentum = 0.0 if self.momentum is None else self.momentum
        batches = None
        if self.training and self.track_running_stats and not input.is_meta:
            batches = self.num_batches_tracked
            if self.momentum is None:  # a plain average over all batches
                normalization.count_batch(batches)
                momentum, batches = 1.0 / float(batches), None
        if use_batch and not (self.training and self.track_running_stats):
            mean = var = None
        return normalization.counting_batch_norm(input, mean, var, weight, bias, use_batch, momentum, self.eps, batches)


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


class SyncBatchNorm(_BatchNorm):
    """BatchNorm whose statistics are shared by all processes of a group; in a single process it is BatchNorm."""

    ranks = (2, 3, 4, 5, 6)

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group=None,
        device=None,
        dtype=None,
        bias: bool = True,
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)
        self.process_group = process_group

    def _check_input_dim(self, input) -> None:
        if input.ndim < 2:
            raise ValueRangeError(f"expected at least 2D input (got {input.ndim}D input)")

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group=None) -> Module:
        """``module`` with every BatchNorm in it replaced by a SyncBatchNorm of the same parameters."""
        out = module
        if isinstance(module, _BatchNorm) and not isinstance(module, cls):
            out = cls(
                module.num_features,
                module.eps,
                module.momentum,
                module.affine,
                module.track_running_stats,
                process_group,
            )
            out.training = module.training
            for table in ("_parameters", "_buffers"):
                getattr(out, table).update(getattr(module, table))
        for name, child in module.named_children():
            out._modules[name] = cls.convert_sync_batchnorm(child, process_group)
        return out


class _InstanceNorm(_NormBase):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device=None,
        dtype=None,
        bias: bool = True,
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, input):
        self._check_input_dim(input)
        single = input.ndim == min(self.ranks)
        channels = input.shape[0 if single else 1]
        if self.affine:
            if channels != self.num_features:
                raise ValueRangeError(
                    f"expected input's size at dim={0 if single else 1} to match num_features ({self.num_features}), but got: "
                    f"{channels}."
                )
        elif channels != self.num_features:
            import warnings

            warnings.warn(
                f"input's size does not match num_features ({self.num_features}): {channels}. It is ignored, since "
                "affine is False.",
                stacklevel=2,
            )
        x = input.unsqueeze(0) if single else input
        batch = self.training or not self.track_running_stats
        how = (self.running_mean, self.running_var, self.weight, self.bias, batch)
        out = normalization.instance_norm(x, *how, 0.0 if self.momentum is None else self.momentum, self.eps)
        return out.squeeze(0) if single else out


class InstanceNorm1d(_InstanceNorm):
    """Each channel of each example brought to mean 0 and variance 1: (N, C, L) or (C, L).

    By default without learned weight and bias, and without running statistics (Ulyanov et al. 2016, arXiv:1607.08022).
    """

    ranks = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Each channel of each example brought to mean 0 and variance 1: (N, C, H, W) or (C, H, W)."""

    ranks = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Each channel of each example brought to mean 0 and variance 1: (N, C, D, H, W) or (C, D, H, W)."""

    ranks = (4, 5)


class GroupNorm(Module):
    """Groups of channels of each example brought to mean 0 and variance 1, then scaled and shifted: (N, C, *).

    Wu & He 2018, arXiv:1803.08494.

    >>> import mlkit
    >>> mlkit.nn.GroupNorm(3, 6)(mlkit.randn(2, 6, 10, 10)).shape
    mlkit.Size([2, 6, 10, 10])
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device=None,
        dtype=None,
        bias: bool = True,
    ):
        super().__init__()
        if num_channels % num_groups:
            raise ValueRangeError(f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})")
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        how = {"device": device, "dtype": dtype}
        self.register_parameter("weight", Parameter(ones(num_channels, **how)) if affine else None)
        self.register_parameter("bias", Parameter(zeros(num_channels, **how)) if affine and bias else None)

    def reset_parameters(self) -> None:
        if self.affine:
            init.ones_(self.weight)
            if self.bias is not None:
                init.zeros_(self.bias)

    def forward(self, input):
        return normalization.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, bias={self.bias is not None}"


def _shape(normalized_shape) -> tuple:
    return (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)


class LayerNorm(Module):
    """The last dims of each example brought to mean 0 and variance 1, then scaled and shifted.

    Ba et al. 2016, arXiv:1607.06450.

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
        self.normalized_shape = shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        how = {"device": device, "dtype": dtype}
        self.register_parameter("weight", Parameter(ones(*shape, **how)) if elementwise_affine else None)
        self.register_parameter("bias", Parameter(zeros(*shape, **how)) if elementwise_affine and bias else None)

    def reset_parameters(self) -> None:
        if self.elementwise_affine:
            init.ones_(self.weight)
            if self.bias is not None:
                init.zeros_(self.bias)

    def forward(self, input):
        own = self._parameters
        if self._as_registered and "weight" in own and "bias" in own:
            return normalization.layer_norm(input, self.normalized_shape, own["weight"], own["bias"], self.eps)
        return normalization.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """The last dims of each example divided by their root mean square, then scaled (arXiv:1910.07467).

    ``eps=None`` is the dtype's machine epsilon.

    >>> import mlkit
    >>> mlkit.nn.RMSNorm(2)(mlkit.tensor([3.0, 3.0]))
    tensor([1., 1.], grad_fn=<RmsNormBackward0>)
    """

    def __init__(
        self, normalized_shape, eps: float | None = None, elementwise_affine: bool = True, device=None, dtype=None
    ):
        super().__init__()
        self.normalized_shape = shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        weight = Parameter(ones(*shape, device=device, dtype=dtype)) if elementwise_affine else None
        self.register_parameter("weight", weight)

    def reset_parameters(self) -> None:
        if self.elementwise_affine:
            init.ones_(self.weight)

    def forward(self, x):
        return normalization.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class LocalResponseNorm(Module):
    """input / (k + alpha * mean of squares over ``size`` neighbouring channels) ** beta: (N, C, *)."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input):
        return normalization.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
