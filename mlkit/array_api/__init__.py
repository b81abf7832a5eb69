"""The Array API standard, version 2024.12: mlkit's tensors for code written for any array library.

``xp = mlkit.array_api`` (or ``x.__array_namespace__()``). What its functions return are tensors with the standard's
operators, so gradients work; see ``Array`` for how strict they are. The extensions ``linalg`` and ``fft`` are here too.

>>> import mlkit.array_api as xp
>>> x = xp.asarray([3.0, 4.0])
>>> xp.linalg.vector_norm(x)
Array(5.)
"""

from math import e, inf, nan, pi

from mlkit.array_api import fft, linalg
from mlkit.array_api._array import Array, _operator
from mlkit.array_api._creation import (
    arange,
    asarray,
    empty,
    empty_like,
    eye,
    from_dlpack,
    full,
    full_like,
    linspace,
    meshgrid,
    ones,
    ones_like,
    tril,
    triu,
    zeros,
    zeros_like,
)
from mlkit.array_api._dtypes import (
    __array_namespace_info__,
    astype,
    bool,
    can_cast,
    complex64,
    complex128,
    finfo,
    float32,
    float64,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    isdtype,
    result_type,
    uint8,
    uint16,
    uint32,
    uint64,
)
from mlkit.array_api._elementwise import FUNCTIONS as _FUNCTIONS
from mlkit.array_api._elementwise import clip
from mlkit.array_api._manipulation import (
    broadcast_arrays,
    broadcast_shapes,
    broadcast_to,
    concat,
    expand_dims,
    flip,
    matrix_transpose,
    moveaxis,
    permute_dims,
    repeat,
    reshape,
    roll,
    squeeze,
    stack,
    take,
    take_along_axis,
    tile,
    unstack,
)
from mlkit.array_api._products import matmul, tensordot, vecdot
from mlkit.array_api._searching import (
    argmax,
    argmin,
    argsort,
    count_nonzero,
    isin,
    nonzero,
    searchsorted,
    sort,
    unique_all,
    unique_counts,
    unique_inverse,
    unique_values,
    where,
)
from mlkit.array_api._statistics import (
    all,
    any,
    cumulative_prod,
    cumulative_sum,
    diff,
    max,
    mean,
    min,
    prod,
    std,
    sum,
    var,
)

__array_api_version__ = "2024.12"
newaxis = None

globals().update(_FUNCTIONS)
Array.__matmul__, Array.__rmatmul__, Array.__imatmul__ = _operator(matmul)

__all__ = sorted(
    {
        *(name for name in globals() if not name.startswith("_") and name not in ("annotations",)),
        "__array_api_version__",
        "__array_namespace_info__",
    }
)


def __dir__():
    return __all__
