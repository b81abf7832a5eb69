"""The table of operations: what PyTorch has in six namespaces, what of it is here, agrees, or says why it is not.

``python -m tests.oracle.table_torch [--limit N] [--names]`` needs what ``sweep_torch`` needs. "Compared" are the
operations that PyTorch's own database has samples for: the first N of each are run in both libraries in float64, forward,
gradient and second gradient, and "same" are those that agree in all of them.
"""

from __future__ import annotations

import argparse
import inspect
import sys
import warnings

import torch
from torch.testing._internal.common_methods_invocations import op_db

import mlkit
from mlkit.core.absent import not_now
from tests.oracle.sweep_torch import Skip, one, resolve, without_dropout

SPACES = {
    "torch.*": ("", torch, mlkit),
    "Tensor.*": ("Tensor", torch.Tensor, mlkit.Tensor),
    "nn.functional.*": ("nn.functional", torch.nn.functional, mlkit.nn.functional),
    "linalg.*": ("linalg", torch.linalg, mlkit.linalg),
    "fft.*": ("fft", torch.fft, mlkit.fft),
    "special.*": ("special", torch.special, mlkit.special),
}

#: what PyTorch's modules import for their own use
HELPERS = frozenset(
    "assert_int_or_pair handle_torch_function has_torch_function has_torch_function_unary has_torch_function_variadic".split()
)


def operations(space) -> list[str]:
    """The public functions of a namespace: no classes, modules, or what was imported for its own use."""
    found = []
    for name in dir(space):
        value = getattr(space, name, None)
        if (
            name.startswith("_")
            or name in HELPERS
            or not callable(value)
            or inspect.isclass(value)
            or inspect.ismodule(value)
        ):
            continue
        home = getattr(value, "__module__", None) or "torch"
        if isinstance(value, torch.dtype) or not home.startswith("torch") or home.startswith("torch._jit_internal"):
            continue
        found.append(name)
    return found


def agrees(op, limit: int) -> bool | None:
    """Whether the first samples of an entry of the database agree; None when there are none to run."""
    fn, found = resolve(op), []
    if fn is None or torch.float64 not in op.supported_dtypes("cpu"):
        return None
    gradients = op.supports_autograd and torch.float64 in op.supported_backward_dtypes("cpu")
    torch.manual_seed(0)
    try:
        samples = list(op.sample_inputs("cpu", torch.float64, requires_grad=gradients))[:limit]
    except Exception:  # a sample that this build of PyTorch cannot make
        return None
    for sample in samples:
        try:
            one(op, fn, without_dropout(op, sample), lambda kind, text: found.append(kind), gradients)
        except Skip:
            continue
        except Exception:
            found.append("sweep")
    return all(kind in ("ok", "errors ok") for kind in found) if found else None


def compared(limit: int) -> dict[str, bool]:
    """By the operation's name in the database, whether all of its entries agree."""
    results: dict[str, bool] = {}
    for op in op_db:
        result = agrees(op, limit)
        if result is not None:
            results[op.name] = results.get(op.name, True) and result
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=2, help="samples of each entry of the database")
    parser.add_argument("--names", action="store_true", help="also the names that are missing, refused or differ")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    results = compared(options.limit) if options.limit else {}
    print(f"| Namespace | in PyTorch {torch.__version__} | here | compared | same | say why not | missing |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    listed = []
    for title, (prefix, theirs, ours) in SPACES.items():
        names = operations(theirs)
        here = [n for n in names if hasattr(ours, n)]
        refused = [n for n in names if n not in here and not_now(n)]
        missing = [n for n in names if n not in here and n not in refused]
        place = prefix + "." if prefix not in ("", "Tensor") else ""
        tried = [n for n in here if place + n in results]
        differ = [n for n in tried if not results[place + n]]
        row = (len(names), len(here), len(tried), len(tried) - len(differ), len(refused), len(missing))
        print(f"| {title} | " + " | ".join(f"{n:,}" for n in row) + " |")
        listed += [f"{title} {kind}: {' '.join(found)}" for kind, found in
                   (("missing", missing), ("say why not", refused), ("differ", differ)) if found]  # fmt: skip
    if options.names:
        print(*listed, sep="\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
