"""``mlkit.linalg``: linear algebra over batches of matrices, with gradients, in ``torch.linalg``'s names."""

from mlkit.core.errors import LinAlgError
from mlkit.functional.checked import check_all as _check_all
from mlkit.functional.decompositions import (
    cholesky,
    cholesky_ex,
    eig,
    eigh,
    eigvals,
    eigvalsh,
    householder_product,
    ldl_factor,
    ldl_factor_ex,
    lu,
    lu_factor,
    lu_factor_ex,
    qr,
    svd,
    svdvals,
)
from mlkit.functional.matrices import diagonal, vander
from mlkit.functional.norms import cond, matrix_norm, matrix_rank, norm, vector_norm
from mlkit.functional.products import cross, matmul, matrix_exp, matrix_power, multi_dot, vecdot
from mlkit.functional.solving import (
    det,
    inv,
    inv_ex,
    ldl_solve,
    lstsq,
    lu_solve,
    pinv,
    slogdet,
    solve,
    solve_ex,
    solve_triangular,
    tensorinv,
    tensorsolve,
)

__all__ = [
    "LinAlgError", "cholesky", "cholesky_ex", "cond", "cross", "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh",
    "householder_product", "inv", "inv_ex", "ldl_factor", "ldl_factor_ex", "ldl_solve", "lstsq", "lu", "lu_factor",
    "lu_factor_ex", "lu_solve", "matmul", "matrix_exp", "matrix_norm", "matrix_power", "matrix_rank", "multi_dot", "norm",
    "pinv", "qr", "slogdet", "solve", "solve_ex", "solve_triangular", "svd", "svdvals", "tensorinv", "tensorsolve",
    "vander", "vecdot", "vector_norm",
]  # fmt: skip

_check_all(globals(), __all__, "mlkit.linalg")
