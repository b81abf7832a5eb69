"""mlkit: PyTorch you can see, on NumPy and CuPy.

This file is a table of contents in PyTorch's names. What it names below ``_LAZY`` is loaded on first use.
"""

import warnings as _warnings

# NumPy warns where PyTorch does not: log(0), 0/0 and overflow give inf and NaN silently.
_warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"mlkit\.")

from mlkit.core import config  # noqa: E402
from mlkit.core.device import device  # noqa: E402
from mlkit.core.dtype import (  # noqa: E402
    bfloat16,
    complex64,
    complex128,
    dtype,
    finfo,
    float16,
    float32,
    float64,
    get_default_dtype,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    promote_types,
    set_default_dtype,
    uint8,
    uint16,
    uint32,
    uint64,
)
from mlkit.core.dtype import bool_ as bool  # noqa: E402

from mlkit.core.dispatch import ops as _ops  # noqa: E402  # isort: skip
from mlkit.core.tensor import Tensor  # noqa: E402  # isort: skip
from mlkit.autograd.grad_mode import (  # noqa: E402
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from mlkit.core.printing import set_printoptions  # noqa: E402
from mlkit.core.rng import Generator, default_generator  # noqa: E402
from mlkit.core.size import Size  # noqa: E402
from mlkit.functional.arithmetic import (  # noqa: E402
    add,
    addcdiv,
    addcmul,
    allclose,
    clamp,
    clamp_max,
    clamp_min,
    deg2rad,
    div,
    equal,
    is_complex,
    is_floating_point,
    isclose,
    pow,
    rad2deg,
    result_type,
    round,
    rsub,
    square,
    sub,
    where,
)
from mlkit.functional.creation import (  # noqa: E402
    arange,
    as_tensor,
    bernoulli,
    empty,
    empty_like,
    eye,
    from_numpy,
    full,
    full_like,
    get_default_device,
    get_rng_state,
    initial_seed,
    linspace,
    logspace,
    manual_seed,
    multinomial,
    normal,
    ones,
    ones_like,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
    seed,
    set_default_device,
    set_rng_state,
    tensor,
    zeros,
    zeros_like,
)
from mlkit.functional.indexing import (  # noqa: E402
    gather,
    index_add,
    index_put,
    index_select,
    masked_fill,
    masked_select,
    nonzero,
    scatter,
    scatter_add,
    take,
    take_along_dim,
)
from mlkit.functional.reductions import (  # noqa: E402
    aminmax,
    argsort,
    count_nonzero,
    cummax,
    cummin,
    cumprod,
    cumsum,
    kthvalue,
    max,
    mean,
    median,
    min,
    nanmean,
    nansum,
    norm,
    prod,
    sort,
    std,
    std_mean,
    sum,
    topk,
    var,
    var_mean,
)
from mlkit.functional.shaping import (  # noqa: E402
    atleast_1d,
    atleast_2d,
    broadcast_shapes,
    broadcast_tensors,
    broadcast_to,
    cat,
    chunk,
    diag,
    diag_embed,
    diagonal,
    flatten,
    flip,
    hstack,
    meshgrid,
    movedim,
    narrow,
    numel,
    permute,
    repeat_interleave,
    reshape,
    roll,
    rot90,
    select,
    split,
    squeeze,
    stack,
    t,
    tensor_split,
    tile,
    transpose,
    tril,
    triu,
    unbind,
    unflatten,
    unsqueeze,
    vstack,
)

__version__ = "0.1.0"

half, float, double = float16, float32, float64
short, int, long = int16, int32, int64
cfloat, cdouble = complex64, complex128
concat = concatenate = cat
clip, fix, moveaxis, swapaxes, swapdims = clamp, _ops.trunc, movedim, transpose, transpose
multiply, divide, true_divide, subtract, negative, absolute = _ops.mul, div, div, sub, _ops.neg, _ops.abs
arcsin, arccos, arctan, arctan2 = _ops.asin, _ops.acos, _ops.atan, _ops.atan2
arcsinh, arccosh, arctanh = _ops.asinh, _ops.acosh, _ops.atanh
greater, greater_equal, less, less_equal, not_equal = _ops.gt, _ops.ge, _ops.lt, _ops.le, _ops.ne
inf, nan, pi, e = (
    float64.numpy.type("inf").item(),
    float64.numpy.type("nan").item(),
    3.141592653589793,
    2.718281828459045,
)
strided, contiguous_format, channels_last, preserve_format = "strided", "contiguous", "channels_last", "preserve"

# Ops whose PyTorch signature is the op's own.
for _name in (
    "abs acos acosh all amax amin angle any argmax argmin asin asinh atan atan2 atanh bitwise_and bitwise_left_shift "
    "bitwise_not bitwise_or bitwise_right_shift bitwise_xor ceil clone complex conj copysign cos cosh eq erf erfc exp exp2 "
    "expm1 floor floor_divide fmax fmin fmod frac gcd ge gt hypot imag isfinite isinf isnan lcm le lerp log log10 log1p "
    "log2 logaddexp logical_and logical_not logical_or logical_xor logsumexp lt matmul maximum minimum mul nan_to_num ne "
    "neg nextafter real reciprocal relu remainder rsqrt sgn sigmoid sign signbit sin sinc sinh sqrt tan tanh trunc"
).split():
    globals()[_name] = getattr(_ops, _name)
del _name
mm, bmm, mv, dot = Tensor.mm, Tensor.bmm, Tensor.mv, Tensor.dot

#: loaded on first use: name here -> module, and the attribute in it (None: the module itself)
_LAZY = {
    **{name: (f"mlkit.{name}", None) for name in "nn optim autograd data train observe display plot io utils".split()},
    **{name: (f"mlkit.{name}", None) for name in "cuda backends widgets compiler".split()},
    "softmax": ("mlkit.functional.activation", "softmax"),
    "log_softmax": ("mlkit.functional.activation", "log_softmax"),
    "dropout": ("mlkit.functional.dropout", "dropout"),
    "summary": ("mlkit.display.summary", "summary"),
    "Trainer": ("mlkit.train", "Trainer"),
}


def is_tensor(obj):
    """Whether ``obj`` is a tensor."""
    return isinstance(obj, Tensor)


def __getattr__(name: str):
    if name not in _LAZY:
        import difflib

        near = difflib.get_close_matches(name, [*globals(), *_LAZY], n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise AttributeError(f"module 'mlkit' has no attribute {name!r}.{hint}")
    import importlib

    module, attribute = _LAZY[name]
    found = importlib.import_module(module)
    found = found if attribute is None else getattr(found, attribute)
    globals()[name] = found
    return found


def __dir__():
    return sorted({*(n for n in globals() if not n.startswith("_")), *_LAZY})


# In a notebook, errors of mlkit are shown as cards; outside IPython this does nothing.
from mlkit.core import rich as _rich  # noqa: E402

_rich.install_error_cards()
