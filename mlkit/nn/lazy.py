"""Layers that learn their input size from the first input."""

from __future__ import annotations

from mlkit.core.errors import ArgumentError, ShapeError
from mlkit.nn import convolution, linear, normalization
from mlkit.nn.module import Module
from mlkit.nn.parameter import UninitializedBuffer, UninitializedParameter, is_lazy


class LazyModuleMixin(Module):
    """Parameters without shape until the first call; then the module turns into ``cls_to_become``.

    A subclass defines ``initialize_parameters(input)``, which materializes them.
    """

    cls_to_become: type | None = None

    def _start_lazy(self) -> None:
        self.register_forward_pre_hook(type(self)._infer_parameters, with_kwargs=True)

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer still waits for its shape."""
        return any(is_lazy(t) for table in (self._parameters, self._buffers) for t in table.values())

    def initialize_parameters(self, *args, **kwargs) -> None:
        raise NotImplementedError(f"initialize_parameters is not implemented for {type(self).__name__}")

    def _infer_parameters(self, args, kwargs):
        self.initialize_parameters(*args, **kwargs)
        if self.has_uninitialized_params():
            raise ShapeError(f"module {self._get_name()} has not been fully initialized")
        hooks = self._forward_pre_hooks
        for key in [k for k, hook in hooks.items() if hook is LazyModuleMixin._infer_parameters]:
            del hooks[key]
        if self.cls_to_become is not None:
            self.__class__ = self.cls_to_become

    def _load_from_state_dict(self, state_dict, prefix, *rest) -> None:
        """Take shapes from a checkpoint."""
        for table in (self._parameters, self._buffers):
            for name, own in table.items():
                given = state_dict.get(prefix + name)
                if is_lazy(own) and given is not None and not is_lazy(given):
                    own.materialize(tuple(given.shape))
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _lazy_linear(self, input) -> None:
    if not self.in_features:  # a loaded layer has its weights already
        self.in_features = self.weight.shape[-1] if not is_lazy(self.weight) else input.shape[-1]
    if self.has_uninitialized_params():
        self.weight.materialize((self.out_features, self.in_features))
        if self.bias is not None:
            self.bias.materialize((self.out_features,))
        self.reset_parameters()


class LazyLinear(LazyModuleMixin, linear.Linear):
    """Linear whose in_features follow from the first input.

    >>> import mlkit
    >>> layer = mlkit.nn.LazyLinear(3)
    >>> layer(mlkit.ones(2, 5)).shape, layer
    (mlkit.Size([2, 3]), Linear(in_features=5, out_features=3, bias=True))
    """

    cls_to_become = linear.Linear

    def __init__(self, out_features: int, bias: bool = True, device=None, dtype=None):
        super().__init__(0, 0, False, device, dtype)
        self.out_features = out_features
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)
        self._start_lazy()

    def reset_parameters(self) -> None:
        if not self.has_uninitialized_params() and self.in_features:
            super().reset_parameters()  # type: ignore[misc]

    initialize_parameters = _lazy_linear


class _LazyConv(LazyModuleMixin):
    """The channel count of a convolution read off its first input."""

    def _lazy(self, out_channels, bias, device, dtype) -> None:
        self.out_channels = out_channels
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)
        self._start_lazy()

    def reset_parameters(self) -> None:
        if not self.has_uninitialized_params() and self.in_channels:
            super().reset_parameters()  # type: ignore[misc]

    def initialize_parameters(self, input, *args, **kwargs) -> None:
        if not self.has_uninitialized_params():
            if not self.in_channels:  # a loaded layer has its weights already
                self.in_channels = self.weight.shape[0] if self.transposed else self.weight.shape[1] * self.groups
            return
        if input.ndim not in (self.n + 1, self.n + 2):
            raise ShapeError(
                f"Expected {self.n + 1}D (unbatched) or {self.n + 2}D (batched) input to {type(self).__name__}, but got input "
                f"of size: {list(input.shape)}"
            )
        self.in_channels = input.shape[-self.n - 1]
        if self.in_channels % self.groups:
            raise ArgumentError("in_channels must be divisible by groups")
        ins, outs = self.in_channels, self.out_channels
        channels = (ins, outs // self.groups) if self.transposed else (outs, ins // self.groups)
        self.weight.materialize((*channels, *self.kernel_size))
        if self.bias is not None:
            self.bias.materialize((outs,))
        self.reset_parameters()


def _conv_start(
    self, out_channels: int, kernel_size, stride=1, padding=0, dilation=1, groups: int = 1, bias: bool = True,
    padding_mode: str = "zeros", device=None, dtype=None,
) -> None:  # fmt: skip
    how = (kernel_size, stride, padding, dilation, 1, False, padding_mode, device, dtype)
    self.cls_to_become.__init__(self, 0, 0, *how)
    self.groups = groups
    self._lazy(out_channels, bias, device, dtype)


def _transpose_start(
    self, out_channels: int, kernel_size, stride=1, padding=0, output_padding=0, groups: int = 1, bias: bool = True,
    dilation=1, padding_mode: str = "zeros", device=None, dtype=None,
) -> None:  # fmt: skip
    how = (kernel_size, stride, padding, output_padding, 1, False, dilation, padding_mode, device, dtype)
    self.cls_to_become.__init__(self, 0, 0, *how)
    self.groups = groups
    self._lazy(out_channels, bias, device, dtype)


class _LazyNorm(LazyModuleMixin):
    """The channel count of a normalisation read off its first input."""

    def _lazy(self, device, dtype) -> None:
        how = {"device": device, "dtype": dtype}
        if self.affine:
            self.weight = UninitializedParameter(**how)
            if self.bias is not None:
                self.bias = UninitializedParameter(**how)
        if self.track_running_stats:
            self._buffers["running_mean"] = UninitializedBuffer(**how)
            self._buffers["running_var"] = UninitializedBuffer(**how)
        self._start_lazy()

    def reset_parameters(self) -> None:
        if not self.has_uninitialized_params() and self.num_features:
            super().reset_parameters()  # type: ignore[misc]

    def initialize_parameters(self, input) -> None:
        if not self.has_uninitialized_params():
            if not self.num_features:  # a loaded layer has its values already
                own = self.weight if self.affine else self.running_mean
                self.num_features = input.shape[1] if own is None else own.shape[0]
            return
        single = isinstance(self, normalization._InstanceNorm) and input.ndim == min(self.ranks)
        self.num_features = input.shape[0 if single else 1]
        for table in (self._parameters, self._buffers):
            for t in table.values():
                if is_lazy(t):
                    t.materialize((self.num_features,))
        self.reset_parameters()


def _batch_norm_start(
    self, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True, track_running_stats: bool = True,
    device=None, dtype=None, bias: bool = True,
) -> None:  # fmt: skip
    self.cls_to_become.__init__(self, 0, eps, momentum, affine, track_running_stats, device, dtype, bias)
    self._lazy(device, dtype)


def _instance_norm_start(
    self, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True, track_running_stats: bool = True, device=None,
    dtype=None, bias: bool = True,
) -> None:  # fmt: skip
    self.cls_to_become.__init__(self, 0, eps, momentum, affine, track_running_stats, device, dtype, bias)
    self._lazy(device, dtype)


def _family(kind: type, base: type, start) -> type:
    """The lazy form of a layer."""
    body = {
        "cls_to_become": base,
        "__init__": start,
        "__doc__": f"{base.__name__} whose channels follow from the first input; then it is a {base.__name__}.",
        "__module__": __name__,
    }
    return type(f"Lazy{base.__name__}", (kind, base), body)


LazyConv1d = _family(_LazyConv, convolution.Conv1d, _conv_start)
LazyConv2d = _family(_LazyConv, convolution.Conv2d, _conv_start)
LazyConv3d = _family(_LazyConv, convolution.Conv3d, _conv_start)
LazyConvTranspose1d = _family(_LazyConv, convolution.ConvTranspose1d, _transpose_start)
LazyConvTranspose2d = _family(_LazyConv, convolution.ConvTranspose2d, _transpose_start)
LazyConvTranspose3d = _family(_LazyConv, convolution.ConvTranspose3d, _transpose_start)
LazyBatchNorm1d = _family(_LazyNorm, normalization.BatchNorm1d, _batch_norm_start)
LazyBatchNorm2d = _family(_LazyNorm, normalization.BatchNorm2d, _batch_norm_start)
LazyBatchNorm3d = _family(_LazyNorm, normalization.BatchNorm3d, _batch_norm_start)
LazyInstanceNorm1d = _family(_LazyNorm, normalization.InstanceNorm1d, _instance_norm_start)
LazyInstanceNorm2d = _family(_LazyNorm, normalization.InstanceNorm2d, _instance_norm_start)
LazyInstanceNorm3d = _family(_LazyNorm, normalization.InstanceNorm3d, _instance_norm_start)
