"""Function transforms: derivatives of functions, and functions of one example made functions of a batch.

They compose: per-example gradients are ``vmap(grad(loss), in_dims=(None, 0, 0))``, a Hessian is ``jacfwd(jacrev(f))``.

>>> import mlkit
>>> from mlkit.func import grad, vmap
>>> vmap(grad(lambda w, x: (w * x) ** 2), in_dims=(None, 0))(mlkit.tensor(1.0), mlkit.tensor([1.0, 2.0, 3.0]))
tensor([ 2.,  8., 18.])
"""

from mlkit.func.derivatives import (
    grad,
    grad_and_value,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    linearize,
    value_and_grad,
    vjp,
)
from mlkit.func.modules import functional_call, functionalize, replace_all_batch_norm_modules_, stack_module_state
from mlkit.func.vectorize import VmapError, vmap

__all__ = [
    "VmapError",
    "functional_call",
    "functionalize",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "replace_all_batch_norm_modules_",
    "stack_module_state",
    "value_and_grad",
    "vjp",
    "vmap",
]
