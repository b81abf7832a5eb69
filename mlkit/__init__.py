"""mlkit: PyTorch you can see, on NumPy and CuPy.

This file is a table of contents in PyTorch's names. What it names below ``_LAZY`` is loaded on first use.
"""

import builtins as _builtins
import gc as _gc
import warnings as _warnings

# NumPy warns where PyTorch does not: log(0), 0/0 and overflow give inf and NaN silently.
_warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"mlkit\.")


class _Uncollected:
    """No search for garbage while this is there: the thousands of classes and functions made here all stay, and to look
    through them again and again takes a tenth of the time."""

    def __init__(self):
        self.on = _gc.isenabled()
        _gc.disable()

    def __del__(self):  # at the end of this file, or when an import in it has failed
        if self.on:
            _gc.enable()


_uncollected = _Uncollected()

from mlkit.core.dispatch import ops as _ops  # noqa: E402  # isort: skip
from mlkit.core.tensor import Tensor  # noqa: E402  # isort: skip
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
from mlkit.core.layout import (  # noqa: E402
    channels_last,
    channels_last_3d,
    contiguous_format,
    layout,
    memory_format,
    preserve_format,
    strided,
)
from mlkit.core.printing import get_printoptions  # noqa: E402
from mlkit.core.storage import TypedStorage, UntypedStorage  # noqa: E402
from mlkit.core.tensor import TypedConstructor as _TypedConstructor  # noqa: E402
from mlkit.functional.arithmetic import (  # noqa: E402
    add,
    addcdiv,
    addcmul,
    allclose,
    can_cast,
    clamp,
    clamp_max,
    clamp_min,
    complex,
    conj,
    conj_physical,
    deg2rad,
    div,
    equal,
    float_power,
    frexp,
    heaviside,
    imag,
    is_complex,
    is_floating_point,
    is_nonzero,
    is_same_size,
    is_signed,
    isclose,
    isneginf,
    isposinf,
    isreal,
    ldexp,
    lerp,
    logaddexp2,
    polar,
    positive,
    pow,
    rad2deg,
    resolve_conj,
    resolve_neg,
    result_type,
    round,
    rsub,
    square,
    sub,
    where,
)
from mlkit.functional.copies import COPIES as _COPIES  # noqa: E402
from mlkit.functional.conversion import from_numpy, scalar_tensor, tensor  # noqa: E402
from mlkit.functional.creation import (  # noqa: E402
    arange,
    empty,
    empty_like,
    empty_permuted,
    empty_strided,
    eye,
    from_file,
    full,
    full_like,
    linspace,
    logspace,
    ones,
    ones_like,
    tril_indices,
    triu_indices,
    zeros,
    zeros_like,
)
from mlkit.functional.interop import as_tensor  # noqa: E402
from mlkit.functional.placement import get_default_device, set_default_device  # noqa: E402
from mlkit.functional.random import (  # noqa: E402
    bernoulli,
    binomial,
    get_rng_state,
    initial_seed,
    manual_seed,
    multinomial,
    normal,
    poisson,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
    seed,
    set_rng_state,
)
from mlkit.functional.creation import range_ as range  # noqa: E402
from mlkit.functional.einsum import einsum  # noqa: E402
from mlkit.functional.indexing import (  # noqa: E402
    argwhere,
    as_strided_scatter,
    diagonal_scatter,
    gather,
    index_add,
    index_copy,
    index_fill,
    index_put,
    index_reduce,
    index_select,
    masked_fill,
    masked_scatter,
    masked_select,
    nonzero,
    nonzero_static,
    put,
    scatter,
    scatter_add,
    scatter_reduce,
    select_scatter,
    slice_scatter,
    take,
    take_along_dim,
)
from mlkit.functional.interop import asarray, from_dlpack, frombuffer  # noqa: E402
from mlkit.functional.products import (  # noqa: E402
    addbmm,
    addmm,
    addmv,
    addr,
    baddbmm,
    bmm,
    cdist,
    dist,
    dot,
    inner,
    kron,
    mm,
    mv,
    outer,
    tensordot,
    vdot,
)
from mlkit.functional.public import public as _public  # noqa: E402
from mlkit.functional.reductions import (  # noqa: E402
    aminmax,
    argsort,
    count_nonzero,
    cummax,
    cummin,
    cumprod,
    cumsum,
    kthvalue,
    logcumsumexp,
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
from mlkit.functional.settings import (  # noqa: E402
    are_deterministic_algorithms_enabled,
    get_deterministic_debug_mode,
    get_float32_matmul_precision,
    get_num_interop_threads,
    get_num_threads,
    is_deterministic_algorithms_warn_only_enabled,
    is_warn_always_enabled,
    set_default_tensor_type,
    set_deterministic_debug_mode,
    set_float32_matmul_precision,
    set_flush_denormal,
    set_num_interop_threads,
    set_num_threads,
    set_warn_always,
    typename,
    use_deterministic_algorithms,
)
from mlkit.functional.sets import (  # noqa: E402
    bucketize,
    cartesian_prod,
    combinations,
    isin,
    searchsorted,
    unique,
    unique_consecutive,
    unravel_index,
)
from mlkit.functional.shaping import (  # noqa: E402
    adjoint,
    as_strided,
    atleast_1d,
    atleast_2d,
    atleast_3d,
    block_diag,
    broadcast_shapes,
    broadcast_tensors,
    broadcast_to,
    cat,
    chunk,
    column_stack,
    diag,
    diag_embed,
    diagflat,
    diagonal,
    dsplit,
    dstack,
    flatten,
    flip,
    fliplr,
    flipud,
    hsplit,
    hstack,
    meshgrid,
    movedim,
    narrow,
    narrow_copy,
    numel,
    permute,
    ravel,
    repeat_interleave,
    reshape,
    roll,
    rot90,
    select,
    split,
    split_with_sizes,
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
    unsafe_chunk,
    unsafe_split,
    unsqueeze,
    view_as_complex,
    view_as_real,
    vsplit,
    vstack,
)
from mlkit.functional.statistics import (  # noqa: E402
    bincount,
    corrcoef,
    cov,
    cumulative_trapezoid,
    diff,
    gradient,
    histc,
    histogram,
    histogramdd,
    mode,
    msort,
    nanmedian,
    nanquantile,
    quantile,
    renorm,
    trapezoid,
    vander,
)
from mlkit.functional.windows import (  # noqa: E402
    bartlett_window,
    blackman_window,
    hamming_window,
    hann_window,
    kaiser_window,
)

__version__ = "0.1.0"

half, float, double = float16, float32, float64
short, int, long = int16, int32, int64
cfloat, cdouble = complex64, complex128
inf, nan, pi, e = (
    float64.numpy.type("inf").item(),
    float64.numpy.type("nan").item(),
    3.141592653589793,
    2.718281828459045,
)
newaxis = None

# Ops whose PyTorch signature is the op's own.
for _name in (
    "abs acos acosh all amax amin angle any argmax argmin asin asinh atan atan2 atanh bitwise_and bitwise_left_shift "
    "bitwise_not bitwise_or bitwise_right_shift bitwise_xor ceil clone copysign cos cosh eq erf erfc exp exp2 "
    "expm1 floor floor_divide fmax fmin fmod frac gcd ge gt hypot isfinite isinf isnan lcm le log log10 log1p "
    "log2 logaddexp logical_and logical_not logical_or logical_xor logsumexp lt matmul maximum minimum mul nan_to_num ne "
    "neg nextafter real reciprocal relu remainder rsqrt sgn sigmoid sign signbit sin sinc sinh sqrt tan tanh trunc"
).split():
    globals()[_name] = getattr(_ops, _name)
globals().update({name: _public(copied) for name, copied in _COPIES.items()})

# Functions that take ``out=`` and NumPy's argument names as well.
for _name in (
    "abs acos acosh add addbmm addcdiv addcmul addmm addmv addr all amax amin aminmax angle any argmax argmin argsort asin "
    "asinh atan atan2 atanh baddbmm bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor "
    "bmm bucketize cat ceil chain_matmul clamp clamp_max clamp_min column_stack complex conj_physical copysign cos cosh "
    "count_nonzero cross cummax cummin cumprod cumsum deg2rad diag diff div dot dstack eq erf erfc exp exp2 expm1 flip "
    "float_power floor floor_divide fmax fmin fmod frac frexp gather gcd ge gt heaviside histc histogram hstack hypot "
    "index_add index_copy index_reduce index_select inner isin isneginf isposinf kron kthvalue lcm ldexp le lerp log log10 "
    "log1p log2 logaddexp logaddexp2 logcumsumexp logical_and logical_not logical_or logical_xor logit logsumexp lt "
    "masked_select matmul max maximum mean median min minimum mm mode msort mul mv nan_to_num nanmean nanmedian "
    "nanquantile nansum ne neg nextafter narrow_copy nonzero nonzero_static norm outer polar pow prod quantile rad2deg reciprocal "
    "remainder renorm round rsqrt scatter scatter_add scatter_reduce searchsorted sgn sigmoid sign signbit sin sinc sinh "
    "sort sqrt square squeeze stack std slice_scatter std_mean sub sum take take_along_dim tan tanh tensordot topk tril triu trunc "
    "unsqueeze var var_mean vdot vstack where xlogy"
).split():
    if _name in globals():
        globals()[_name] = _public(globals()[_name])

isclose, allclose, equal = (_public(f, out=False) for f in (isclose, allclose, equal))
from mlkit.functional.checked import check_all as _check_all  # noqa: E402

_check_all(globals(), [_name for _name in globals() if not _name.startswith("_")], "mlkit")

# PyTorch's second names.
for _pair in (
    "concat=cat concatenate=cat clip=clamp fix=trunc moveaxis=movedim swapaxes=transpose swapdims=transpose multiply=mul "
    "divide=div true_divide=div subtract=sub negative=neg absolute=abs arcsin=asin arccos=acos arctan=atan arctan2=atan2 "
    "arcsinh=asinh arccosh=acosh arctanh=atanh greater=gt greater_equal=ge less=lt less_equal=le not_equal=ne "
    "row_stack=vstack ger=outer trapz=trapezoid unsafe_split_with_sizes=unsafe_split"
).split():
    _alias, _, _name = _pair.partition("=")
    globals()[_alias] = globals()[_name]

# In-place forms that PyTorch has as functions too.
for _name in (
    "abs acos acosh addmv arccos arccosh arcsin arcsinh arctan arctanh as_strided asin asinh atan atanh ceil clamp clamp_max "
    "clamp_min clip conj_physical cos cosh deg2rad detach erf erfc exp exp2 expm1 fill fix floor frac gcd i0 index_put lcm "
    "ldexp log log10 log1p log2 nan_to_num neg negative rad2deg reciprocal relu resize_as round rsqrt sigmoid sin sinc sinh "
    "sqrt square tan tanh trunc zero logit xlogy"
).split():
    globals()[_name + "_"] = getattr(Tensor, _name + "_")
detach = Tensor.detach


def fill(input, value):
    """A tensor like ``input`` with ``value`` everywhere."""
    return input.clone().fill_(value)


def is_distributed(input) -> _builtins.bool:
    """Whether the tensor lies on several machines: never here."""
    return False


is_conj, is_neg = Tensor.is_conj, Tensor.is_neg
is_inference = Tensor.is_inference
get_device = Tensor.get_device

# The older constructors.
for _d, _word in (
    (float16, "Half"),
    (bfloat16, "BFloat16"),
    (float32, "Float"),
    (float64, "Double"),
    (uint8, "Byte"),
    (int8, "Char"),
    (int16, "Short"),
    (int32, "Int"),
    (int64, "Long"),
    (bool, "Bool"),
):
    globals()[_word + "Tensor"] = _TypedConstructor(_d)
del _d, _word, _name, _alias, _pair

#: loaded on first use: name here -> module, and the attribute in it (None: the module itself)
_LAZY = {
    **{
        name: (f"mlkit.{name}", None)
        for name in "nn optim autograd data train observe display plot io utils testing".split()
    },
    **{name: (f"mlkit.{name}", None) for name in "cuda backends widgets compiler array_api func".split()},
    "compile": ("mlkit.compiler.compiled", "compile"),
    **{name: (f"mlkit.{name}", None) for name in "linalg fft special distributions".split()},
    **{
        name: ("mlkit.functional.decompositions", name)
        for name in "geqrf householder_product lu_unpack orgqr ormqr pca_lowrank svd_lowrank".split()
    },
    **{name: ("mlkit.functional.decompositions", f"old_{name}") for name in "cholesky lu qr svd".split()},
    **{
        name: ("mlkit.functional.solving", name)
        for name in "cholesky_inverse cholesky_solve det inverse logdet pinverse slogdet triangular_solve".split()
    },
    "lu_solve": ("mlkit.functional.solving", "old_lu_solve"),
    **{name: ("mlkit.functional.products", name) for name in "chain_matmul matrix_exp matrix_power".split()},
    "cross": ("mlkit.functional.products", "old_cross"),
    "trace": ("mlkit.functional.matrices", "trace"),
    **{
        name: ("mlkit.functional.special", name)
        for name in "digamma erfinv i0 igamma igammac lgamma logit mvlgamma polygamma xlogy".split()
    },
    "vmap": ("mlkit.func", "vmap"),
    "detect_anomaly": ("mlkit.autograd", "detect_anomaly"),
    **{
        name: ("mlkit.autograd.anomaly_mode", name)
        for name in "is_anomaly_enabled is_anomaly_check_nan_enabled".split()
    },
    "softmax": ("mlkit.functional.activation", "plain_softmax"),
    "log_softmax": ("mlkit.functional.activation", "plain_log_softmax"),
    "summary": ("mlkit.display.summary", "summary"),
    **{
        name: ("mlkit.nn.functional", name)
        for name in (
            "adaptive_avg_pool1d adaptive_max_pool1d alpha_dropout avg_pool1d bilinear celu channel_shuffle conv1d conv2d "
            "conv3d conv_transpose1d conv_transpose2d conv_transpose3d cosine_similarity feature_alpha_dropout group_norm "
            "hardshrink layer_norm max_pool1d max_pool2d max_pool3d pairwise_distance pdist pixel_shuffle pixel_unshuffle "
            "prelu relu6 rms_norm rrelu selu threshold"
        ).split()
    },
    **{
        name: ("mlkit.functional.signatures", name)
        for name in (
            "affine_grid_generator alpha_dropout_ batch_norm binary_cross_entropy_with_logits celu_ constant_pad_nd "
            "convolution cosine_embedding_loss ctc_loss dropout dropout_ embedding embedding_renorm_ feature_alpha_dropout_ "
            "feature_dropout feature_dropout_ frobenius_norm grid_sampler grid_sampler_2d grid_sampler_3d gru gru_cell "
            "hinge_embedding_loss instance_norm kl_div lstm lstm_cell margin_ranking_loss norm_except_dim "
            "native_batch_norm native_group_norm native_layer_norm nuclear_norm poisson_nll_loss rnn_relu rnn_relu_cell rnn_tanh rnn_tanh_cell rrelu_ segment_reduce selu_ "
            "threshold_ triplet_margin_loss"
        ).split()
    },
    **{name: ("mlkit.functional.removed", name) for name in "eig lstsq matrix_rank solve symeig".split()},
    **{name: ("mlkit.functional.short_time", name) for name in "stft istft".split()},
    "to_dlpack": ("mlkit.utils.dlpack", "to_dlpack"),
    "conv_tbc": ("mlkit.functional.convolution", "conv_tbc"),
    "max_pool1d_with_indices": ("mlkit.functional.pooling", "max_pool1d_with_indices"),
    "set_anomaly_enabled": ("mlkit.autograd.anomaly_mode", "set_anomaly_enabled"),
    "signal": ("mlkit.signal", None),
    "accelerator": ("mlkit.accelerator", None),
    "random": ("mlkit.random", None),
    "GradScaler": ("mlkit.amp", "GradScaler"),
    "Trainer": ("mlkit.train", "Trainer"),
    "ModelBuilder": ("mlkit.builder.model_builder", "ModelBuilder"),
    "builder": ("mlkit.builder", None),
    "metrics": ("mlkit.train.metrics", None),
    "lint": ("mlkit.linting.lint", "lint"),
    "inspection": ("mlkit.inspection", None),
    "inspect": ("mlkit.inspection.inspection", "inspect"),
    "load_ipython_extension": ("mlkit.display.magics", "load_ipython_extension"),
    "unload_ipython_extension": ("mlkit.display.magics", "unload_ipython_extension"),
    "live": ("mlkit.train.live", "live"),
    "align_tensors": ("mlkit.core.names", "align_tensors"),
    "amp": ("mlkit.amp", None),
    **{
        name: ("mlkit.amp.autocast_mode", name)
        for name in "autocast is_autocast_enabled set_autocast_enabled get_autocast_dtype set_autocast_dtype "
        "is_autocast_cache_enabled set_autocast_cache_enabled clear_autocast_cache".split()
    },
    "save": ("mlkit.io.torch_file", "save"),
    "load": ("mlkit.io.torch_file", "load"),
}


def _assert(condition, message: str) -> None:
    """``assert`` as a function, which public model code calls for the sake of PyTorch's compilers."""
    assert condition, message  # noqa: S101


def is_tensor(obj):
    """Whether ``obj`` is a tensor."""
    return isinstance(obj, Tensor)


def __getattr__(name: str):
    if name not in _LAZY:
        import difflib
        import importlib

        from mlkit.core.absent import missing_name

        known = missing_name("mlkit", name)
        if known is not None:
            raise known

        paths = importlib.import_module("mlkit.torch.paths")
        if f"torch.{name}" in paths.PLACES:
            raise AttributeError(
                f"mlkit has no {name!r} of its own. It is there beside PyTorch's other paths: "
                f"import mlkit.torch as torch, then torch.{name}."
            )
        reason = paths.why_not(f"torch.{name}")
        if reason is not None:
            raise AttributeError(f"mlkit.{name} is not in mlkit. {reason}")
        near = difflib.get_close_matches(name, [*globals(), *_LAZY], n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise AttributeError(f"module 'mlkit' has no attribute {name!r}.{hint}")
    import importlib

    module, attribute = _LAZY[name]
    found = importlib.import_module(module)
    found = found if attribute is None else getattr(found, attribute)
    globals()[name] = found
    if module.startswith("mlkit.functional."):
        _check_all(globals(), [name], "mlkit")
    return globals()[name]


def __dir__():
    return sorted({*(n for n in globals() if not n.startswith("_")), *_LAZY})


# In a notebook, errors of mlkit are shown as cards; outside IPython this does nothing.
from mlkit.core import rich as _rich  # noqa: E402

_rich.install_error_cards()

# einops works on tensors, whichever of the two is imported first.
from mlkit.core import einops_backend as _einops  # noqa: E402

_einops.watch()

del _uncollected
