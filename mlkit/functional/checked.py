"""Arguments of the wrong kind at the public names: they raise TypeError and say which argument, as PyTorch's parser does.

The functions themselves trust what they are given. ``checked(fn)`` is ``fn`` with what its signature says about each
argument looked at: by class before the call, closely where the class is not a usual one or the call failed, so that a
call that works pays next to nothing.
"""

from __future__ import annotations

import functools
import inspect
import traceback
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np

from mlkit.core.dispatch import instead_of_tensor
from mlkit.core.errors import (
    ArgumentError,
    DtypeError,
    MlkitError,
    NotANumber,
    NotATensor,
    RankError,
    RefusedError,
    ShapeError,
    UnsupportedDtype,
    WrongMode,
    WrongWord,
)
from mlkit.core.value import Value, tensor_types

#: what a parameter is, by its name, where neither an annotation nor a default says otherwise
KINDS = {
    name: kind
    for kind, names in {
        "tensor": "input other weight bias target mask index indices src source tensor x y self A B LU pivots LD tau mat1 "
        "mat2 mat vec vec1 vec2 batch1 batch2 tensor1 tensor2 input1 input2 input3 x1 x2 anchor positive negative log_probs "
        "targets theta grid query key value running_mean running_var end sorted_sequence boundaries elements condition "
        "logits var per_sample_weights attn_mask pos_weight window L mat2 batch_sizes test_elements a b abs angle real imag "
        "aweights fweights append prepend sorter weights prob count data LU_data LU_pivots exponent values n min max "
        "w_ih w_hh b_ih b_hh v start",
        "number": "alpha beta fill_value threshold upper lower scalar negative_slope s step base",
        "float": "eps momentum margin maxnorm lambd std mean sigma median output_ratio rcond atol rtol nan posinf neginf",
        "int": "groups num_layers low high N blank dim0 dim1 storage_offset num_classes padding_idx split_size reduction",
        "bool": "training train transposed use_input_stats bidirectional batch_first has_biases keepdim retain_graph",
        "sizes": "dim dims size shape kernel_size stride dilation output_size normalized_shape repeats sizes shifts pad "
        "split_sizes output_padding physical_layout split_size_or_sections",
        "str": "interpolation rounding_mode",
        "tensors": "tensors",
    }.items()
    for name in names.split()
}
#: of the tensors, those that may be numbers in some functions
NUMBERS_TOO = frozenset(
    "test_elements other end value input condition x y elements self exponent n min max values start".split()
)
#: functions whose weights and statistics may be None though they have no default
MAY_LACK = frozenset(
    "batch_norm instance_norm convolution multi_head_attention_forward native_batch_norm native_group_norm "
    "native_layer_norm".split()
)
#: functions with parameters of another kind than their names or annotations say; "" for anything
OTHERWISE = {
    "moveaxis": {"source": "sizes", "destination": "sizes"},
    "movedim": {"source": "sizes", "destination": "sizes"},
    "lerp": {"weight": "tensor or number"},
    "as_tensor": {"data": ""},
    "tensor": {"data": ""},
    "new_tensor": {"data": ""},
    "asarray": {"obj": ""},
    "bernoulli": {"p": ""},
    "normal": {"mean": "tensor or number", "std": "tensor or number"},
    "normal_": {"mean": "float", "std": "float"},
    "binomial": {"count": "tensor"},
    "pinv": {"rcond": "", "atol": "", "rtol": ""},
    "matrix_rank": {"tol": "", "atol": "", "rtol": ""},
    "histc": {"min": "number", "max": "number"},
    "aminmax": {"dim": "int"},
    "arange": {"start": "number", "end": "number", "step": "number"},
    "range": {"start": "number", "end": "number", "step": "number"},
    "linspace": {"start": "tensor or number", "end": "tensor or number"},
    "logspace": {"start": "tensor or number", "end": "tensor or number"},
    "slice_scatter": {"start": "int", "end": "int"},
    "tensordot": {"dims": ""},
    "addcmul": {"value": "number"},
    "addcdiv": {"value": "number"},
    "constant_pad_nd": {"value": "number"},
    "pad": {"value": "number"},
    "threshold": {"value": "number"},
    "threshold_": {"value": "number"},
    "masked_fill": {"value": "tensor or number"},
    "index_fill": {"value": "tensor or number"},
    "normalize": {"p": "", "dim": ""},
    "embedding": {"padding_idx": ""},
    "embedding_bag": {"input": "tensor"},
    "unflatten": {"dim": "int"},
    "randint": {"high": ""},
    "index_put": {"indices": "tensors", "values": "tensor"},
    "heaviside": {"values": "tensor"},
    "frobenius_norm": {"dim": ""},
    "gradient": {"spacing": ""},
    "std": {"dim": ""},
    "var": {"dim": ""},
    "std_mean": {"dim": ""},
    "var_mean": {"dim": ""},
    "max": {"dim": ""},
    "min": {"dim": ""},
    "meshgrid": {"tensors": ""},
    "segment_reduce": {"data": "tensor"},
    "repeat_interleave": {"repeats": ""},
    "interpolate": {"size": ""},
    "upsample": {"size": ""},
    "upsample_nearest": {"size": ""},
    "upsample_bilinear": {"size": ""},
    "cosine_similarity": {"dim": "int"},
    "fractional_max_pool2d": {"output_ratio": ""},
    "fractional_max_pool3d": {"output_ratio": ""},
    "result_type": {"tensor1": "tensor or number", "tensor2": "tensor or number"},
    "gaussian_nll_loss": {"var": "tensor or number"},
    "polygamma": {"n": "", "input": ""},
    "scatter": {"src": "tensor or number", "value": "number"},
    "narrow": {"start": ""},
    "narrow_copy": {"start": ""},
    "randint_like": {"high": "", "low": ""},
    **{
        name: {"dim": "int"}
        for name in "argmax argmin median nanmedian quantile nanquantile prod take_along_dim unique_consecutive".split()
    },
    "cdist": {"compute_mode": ""},
    **{f"{name}{n}d": {"padding": "sizes"} for name in ("avg_pool", "max_pool", "conv_transpose") for n in (1, 2, 3)},
    **{name: {"padding": "sizes"} for name in ("unfold", "fold", "im2col", "col2im")},
    "as_strided_copy": {"size": "sizes", "stride": "sizes"},
    "scalar_tensor": {"s": "number"},
    **{f"{i}{kind}fft{n}": {"s": "sizes"} for i in ("", "i") for kind in ("", "r", "h") for n in ("2", "n")},
}
#: parameters that may be left out, but not given as None
NEVER_NONE = frozenset(
    "max.dim min.dim median.dim nanmedian.dim prod.dim trapz.x trapezoid.x max.other min.other where.input where.other".split()
)
#: with one of these beside it, the first tensor may be a number
PARTNERS = frozenset("other boundaries test_elements n exponent x y end".split())
#: but not in these, whose first argument is a tensor whatever comes
TENSOR_FIRST = frozenset("rsub dist isfinite isinf isnan conj".split())
#: kind -> the classes whose values need no closer look
USUAL: dict[str, tuple[type, ...]] = {
    "tensor": (),
    "tensor or number": (int, float),
    "number": (int, float, bool),
    "int": (int, bool),
    "float": (float, int),
    "bool": (bool, int),
    "str": (str,),
    "sizes": (int,),
    "tensors": (),
}


#: element types, as NumPy's kinds (V bfloat16; 2 both of two bytes), that functions have no meaning or no arithmetic for,
#: in any argument
REFUSED_TYPES = {
    name: kinds
    for kinds, names in {
        "c": "cummax cummin deg2rad rad2deg logaddexp2 mode unique unique_consecutive bucketize searchsorted xlogy xlog1py "
        "logit entr smooth_l1_loss mse_loss huber_loss multilabel_soft_margin_loss "
        "chebyshev_polynomial_t chebyshev_polynomial_u chebyshev_polynomial_v chebyshev_polynomial_w "
        "hermite_polynomial_h hermite_polynomial_he laguerre_polynomial_l legendre_polynomial_p "
        "shifted_chebyshev_polynomial_t shifted_chebyshev_polynomial_u shifted_chebyshev_polynomial_v "
        "shifted_chebyshev_polynomial_w local_response_norm randint_like cauchy_ exponential_ log_normal_",
        "2": "airy_ai bessel_j0 bessel_j1 bessel_y0 bessel_y1 modified_bessel_i0 modified_bessel_i1 modified_bessel_k0 "
        "modified_bessel_k1 scaled_modified_bessel_k0 scaled_modified_bessel_k1 spherical_bessel_j0 log_ndtr erfcx zeta "
        "ctc_loss multi_margin_loss multilabel_margin_loss ndtri avg_pool3d",
        "bc": "isin topk nanmedian geometric_ index_reduce",
        "b": "kthvalue mvlgamma multigammaln trace matrix_power",
        "iub": "rand_like randn_like logcumsumexp nanmean prelu fractional_max_pool2d fractional_max_pool3d",
        "2iub": "ormqr",
        "iubc": "kl_div pdist group_norm native_group_norm",
        "2iubc": "cdist histogram histogramdd",
        "iu": "histc",
    }.items()
    for name in names.split()
}


class Arguments:
    """What a function's signature says: the kind of each parameter by position and by name."""

    def __init__(self, fn: Callable):
        self.kinds: dict[str, str] = {}
        self.names: list[str] = []
        self.optional: set[str] = set()
        self.rest = False  # whether any number of tensors may follow
        parameters = inspect.signature(fn).parameters
        own = OTHERWISE.get(fn.__name__) or OTHERWISE.get(fn.__name__.rstrip("_"), {})
        for name, p in parameters.items():
            if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
                self.rest = self.rest or name == "tensors" and own.get(name) != ""
                continue
            self.kinds[name] = kind = own[name] if name in own else _kind(name, p)
            if p.kind is not p.KEYWORD_ONLY:
                self.names.append(name)
            lacking = fn.__name__ in MAY_LACK and name in ("weight", "bias", "running_mean", "running_var", "attn_mask")
            if f"{fn.__name__}.{name}" in NEVER_NONE:
                continue
            if p.default is None or "None" in str(p.annotation) or kind == "" or lacking:
                self.optional.add(name)
        first = self.names[0] if self.names else ""
        tensor_first = self.kinds.get(first) == "tensor" and first not in self.optional
        number_first = first in NUMBERS_TOO and PARTNERS & set(parameters) and fn.__name__ not in TENSOR_FIRST
        self.first = first if tensor_first and not number_first else ""
        #: the classes of nearly all arguments, by name and by place: others are looked at closely
        self.usual: dict[str, Any] = {name: self._usual(name) for name in self.kinds}
        self.places = [self.usual[name] for name in self.names]

    def _usual(self, name: str):
        kind = self.kinds[name]
        if kind == "":
            return _Anything(name in self.optional)
        classes: set[type] = set(USUAL[kind])
        if kind in ("tensor", "tensor or number"):
            classes |= tensor_types
        if name in self.optional:
            classes.add(type(None))
        return classes

    def given(self, args: tuple, kwargs: dict):
        yield from zip(self.names, args, strict=False)
        yield from ((k, v) for k, v in kwargs.items() if k in self.kinds)

    def without_numpy(self, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        """The arguments with NumPy's scalars as Python's numbers: a bound of np.float64 makes no float32 tensor wider."""
        kinds = [*map(self.kinds.get, self.names), *[""] * len(args)]
        plain = tuple(x.item() if k and isinstance(x, np.generic) else x for x, k in zip(args, kinds, strict=False))
        return plain, {k: x.item() if self.kinds.get(k) and isinstance(x, np.generic) else x for k, x in kwargs.items()}

    def learn(self, args: tuple, kwargs: dict) -> None:
        """A class of tensors that was not there when the signature was read: usual from now on."""
        for name, x in self.given(args, kwargs):
            if x.__class__ in tensor_types and self.kinds[name] in ("tensor", "tensor or number"):
                self.usual[name].add(x.__class__)


class _Anything:
    """The classes that a parameter of no certain kind takes; None's only where it may lack."""

    def __init__(self, optional: bool):
        self.optional = optional

    def __contains__(self, kind) -> bool:
        return self.optional or kind is not type(None)


def _kind(name: str, p: inspect.Parameter) -> str:
    words = str(p.annotation).replace("| None", "").replace(" ", "")
    if words in ("int", "bool", "float", "str"):
        return words
    if p.annotation is not p.empty:
        return "tensor" if words == "Value" else ""
    if isinstance(p.default, bool):
        return "bool"
    kind = KINDS.get(name, "")
    if isinstance(p.default, (int, float)) and kind == "tensor":
        return "number"
    return kind


def _wrong(name: str, parameter: str, kind: str, x) -> ArgumentError:
    word = {
        "tensor": "Tensor",
        "tensor or number": "Tensor or a number",
        "number": "a number",
        "sizes": "int or tuple of ints",
        "tensors": "tuple of Tensors",
    }.get(kind, kind)
    error: type[ArgumentError] = NotATensor if kind == "tensor" else ArgumentError
    if kind in ("float", "bool", "int", "number") and isinstance(x, (Value, complex)):
        error = NotANumber
    elif kind == "str":
        error = WrongMode if name in ("interpolate", "upsample") else WrongWord
    return error(
        f"{name}(): argument '{parameter}' must be {word}, not {type(x).__name__}.",
        hint=(instead_of_tensor(x) or "Make one with mlkit.tensor(...).") if kind == "tensor" else None,
    )


def whole(x) -> bool:
    """Whether ``x`` can stand for an integer: Python's, NumPy's, or a tensor of one."""
    if isinstance(x, Value):
        return x._array.size == 1 and x._array.dtype.kind in "iub"
    return hasattr(x, "__index__") and not isinstance(x, (np.ndarray, str))


def number(x) -> bool:
    """Whether ``x`` can stand for a number."""
    if isinstance(x, Value):
        return not x._array.ndim
    return isinstance(x, (int, float, complex, np.generic)) and not isinstance(x, str)


def misfit(kind: str, x) -> bool:
    """Whether ``x`` cannot be an argument of that kind at all."""
    if kind == "int":
        return not whole(x)
    if kind == "bool":
        return isinstance(x, (str, float, complex, list, tuple)) or isinstance(x, Value) and x._array.size != 1
    if kind == "float":
        return isinstance(x, complex) or not number(x)
    if kind == "number":
        return not number(x)
    if kind == "tensor or number":
        return not is_tensor(x) and not number(x)
    if kind == "str":
        return not isinstance(x, str)
    if kind == "sizes":
        if isinstance(x, (tuple, list)):
            return any(v is not None and not whole(v) for v in x)
        return isinstance(x, (str, float, complex)) or isinstance(x, Value) and x._array.dtype.kind not in "iub"
    if kind == "tensors":
        return is_tensor(x) or isinstance(x, (str, int, float, complex))
    return False


def is_tensor(x) -> bool:
    return isinstance(x, (Value, np.ndarray)) or hasattr(x, "__mlkit_tensor__")


def real(x) -> bool:
    """Whether ``x`` is a tensor without imaginary parts."""
    return isinstance(x, Value) and x._array.dtype.kind != "c"


def refuse_types(name: str, kinds: str, args: tuple) -> None:
    """Raise UnsupportedDtype when a tensor among the arguments is of one of NumPy's ``kinds``."""
    for x in args:
        if isinstance(x, Value) and (
            x._array.dtype.kind in kinds
            or "2" in kinds
            and x._array.dtype.itemsize == 2
            and x._array.dtype.kind in "fV"
        ):
            raise UnsupportedDtype(
                f"{name}: not implemented for {x.dtype}.", hint="Convert first: x.float(), x.long()."
            )
        if isinstance(x, complex) and "c" in kinds and x.__class__ is complex:
            raise UnsupportedDtype(f"{name}: not implemented for complex numbers.")


def named(args: tuple) -> bool:
    """Whether a tensor among the arguments has axis names."""
    flat = [y for x in args for y in (x if isinstance(x, (list, tuple)) else (x,))]
    return any(isinstance(x, Value) and x._names is not None for x in flat)


def find_misfit(name: str, arguments: Arguments, args: tuple, kwargs: dict) -> MlkitError | None:
    """The first argument of the wrong kind; None when all could be right."""
    if arguments.rest:
        for x in args[0] if len(args) == 1 and isinstance(args[0], (list, tuple)) else args:
            if not is_tensor(x):
                return ArgumentError(f"{name}(): expected Tensors, but got {type(x).__name__}.")
    for parameter, x in arguments.given(args, kwargs):
        kind = arguments.kinds[parameter]
        if x is None:
            if parameter not in arguments.optional and (kind or f"{name}.{parameter}" in NEVER_NONE):
                return _wrong(name, parameter, kind, x)
            continue
        if kind == "tensor":
            if parameter == "indices" and isinstance(x, (list, tuple)):
                continue
            fits = parameter in NUMBERS_TOO and parameter != arguments.first
            if not is_tensor(x) and not (fits and number(x)):
                return _wrong(name, parameter, kind, x)
        elif kind in ("int", "sizes") and parameter.startswith("dim") and named(args) and _axis_names(x):
            continue
        elif kind and misfit(kind, x):
            return _wrong(name, parameter, kind, x)
        elif kind == "number" and isinstance(x, complex) and args and real(args[0]):
            return DtypeError(f"{name}: value cannot be converted to type {args[0].dtype.name} without overflow: {x}.")
        elif isinstance(x, (list, tuple)) and any(isinstance(v, Value) for v in x) and kind != "sizes":
            for v in x:
                if v is not None and not is_tensor(v):
                    return ArgumentError(
                        f"{name}(): expected Tensors in argument '{parameter}', but got {type(v).__name__}."
                    )
    return None


def _axis_names(x) -> bool:
    """Whether ``x`` names axes: a word, or several."""
    return isinstance(x, str) or isinstance(x, (tuple, list)) and any(isinstance(v, str) for v in x)


@functools.cache
def _both(kind: type) -> type:
    """The class of an error that is PyTorch's RuntimeError and also what the array library raised."""
    if issubclass(kind, RuntimeError):
        return RefusedError
    try:
        return type("RefusedError", (RefusedError, kind), {"__doc__": RefusedError.__doc__})
    except TypeError:  # a layout of its own
        return RefusedError


def _ours(error: BaseException) -> bool:
    """Whether the error came out of mlkit or the array library, not out of a function that the user handed in."""
    last = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        last = frame
    module = last.f_globals.get("__name__", "") if last is not None else ""
    return module.split(".")[0] in ("mlkit", "numpy", "cupy")


def better_error(name: str, arguments: Arguments, args: tuple, kwargs: dict, error: Exception) -> Exception:
    """``error`` itself, or what says more: the argument of the wrong kind, or mlkit's class for the library's error."""
    if isinstance(error, MlkitError) and isinstance(error, (TypeError, NotImplementedError)) or not _ours(error):
        return error
    found = find_misfit(name, arguments, args, kwargs)
    if found is not None:
        return found
    if type(error) is ShapeError and any(
        isinstance(x, Value) and not x._array.ndim for _, x in arguments.given(args, kwargs)
    ):
        return RankError(error.sentence, error.details, error.hint)
    if isinstance(error, MlkitError) or not isinstance(
        error, (ValueError, IndexError, TypeError, AttributeError, ArithmeticError)
    ):
        return error
    if isinstance(error, TypeError) and not isinstance(error, np.exceptions.DTypePromotionError):
        plain = type(error) is TypeError
        if plain and "argument" in str(error):  # Python's own: missing, unexpected or too many arguments
            return error
    if isinstance(error, AttributeError) and "_array" in str(error):
        what = str(error).partition("'")[2].partition("'")[0]
        return NotATensor(f"{name}(): expected a Tensor, got {what}.")
    kind = next(k for k in (IndexError, ValueError, TypeError, AttributeError, ArithmeticError) if isinstance(error, k))
    return _both(kind)(f"{name}: {error}")


#: ops without attributes that are looked at all the same: they take what they should not
LOOSE = frozenset("isnan isinf isfinite conj eq ne".split())


def _to_check(name: str, fn) -> bool:
    if not isinstance(fn, FunctionType) or name == "manual_seed":  # which takes whatever int() takes
        return False
    if fn.__module__.startswith("mlkit.functional.") or name in LOOSE:
        return True
    return bool(getattr(getattr(fn, "op", None), "attributes", None))


def check_all(namespace: dict, names, module: str) -> None:
    """Put the checked form of every function of mlkit.functional among ``names`` into a namespace."""
    for name in names:
        if _to_check(name, namespace[name]):
            namespace[name] = checked(namespace[name], module)


def check_methods(cls: type) -> None:
    """The same for the methods of a class; what has a short way of its own (``mul``, ``exp``) keeps it."""
    for name, fn in list(vars(cls).items()):
        if name.startswith("__") or not isinstance(fn, FunctionType) or name in ("requires_grad_", "backward"):
            continue
        under = getattr(fn, "__wrapped__", fn)
        if _to_check(name, under) or name.endswith("_") and not name.startswith("_"):
            method = checked(fn, name=name)
            method.__qualname__ = f"{cls.__name__}.{name}"
            setattr(cls, name, method)


def checked(fn: Callable, module: str | None = None, name: str | None = None) -> Callable:
    """``fn`` with arguments of the wrong kind refused by name; ``module`` is where pickle finds it."""
    name = name or fn.__name__
    arguments: Any = None  # read at the first call: most functions of a namespace are never called
    places: Any = None
    usual: Any = None

    refused = REFUSED_TYPES.get(name.rstrip("_"), "") or REFUSED_TYPES.get(name, "")

    def look(args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        wrong = find_misfit(name, arguments, args, kwargs)
        if wrong is not None:
            raise wrong
        arguments.learn(args, kwargs)
        return arguments.without_numpy(args, kwargs)

    def call(*args, **kwargs):
        nonlocal arguments, places, usual
        if arguments is None:
            found = Arguments(fn)
            places, usual, arguments = found.places, found.usual, found
        for x, classes in zip(args, places):  # noqa: B905 - the shorter one ends it
            if x.__class__ not in classes:
                args, kwargs = look(args, kwargs)
                break
        for parameter in kwargs:
            if parameter in usual and kwargs[parameter].__class__ not in usual[parameter]:
                args, kwargs = look(args, kwargs)
                break
        if refused:
            refuse_types(name, refused, args)
        try:
            return fn(*args, **kwargs)
        except Exception as error:
            better = better_error(name, arguments, args, kwargs, error)
            if better is error:
                raise
            cause = None if isinstance(better, (ArgumentError, RankError)) else error
        raise better from cause

    # what functools.wraps does, without its loops: hundreds of these are made when mlkit is imported
    call.__module__ = fn.__module__ if module is None else module
    call.__name__, call.__qualname__, call.__doc__ = fn.__name__, fn.__qualname__, fn.__doc__
    call.__annotations__ = fn.__annotations__
    call.__dict__.update(fn.__dict__)
    call.__wrapped__ = fn  # type: ignore[attr-defined]
    return call
