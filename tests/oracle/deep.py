"""Cases with several outputs and a second gradient, and calls that must fail: run under PyTorch and under mlkit.

A module of cases has ``CASES`` (name -> expression), ``ERRORS`` (name -> expression that raises) and ``inputs(name)``.
Expressions see ``T`` (the library) and the inputs by name.
"""

from __future__ import annotations

import builtins
from functools import cache
from pathlib import Path

import numpy as np

from tests.oracle import pack, unpack

KINDS = (NotImplementedError, IndexError, TypeError, ValueError, RuntimeError)


def tensors_of(arrays: dict, library) -> dict:
    out = {}
    for key, array in arrays.items():
        t = library.from_numpy(np.ascontiguousarray(array)).clone() if array.ndim else library.tensor(array[()])
        if array.dtype.kind in "fc":
            t.requires_grad_()
        out[key] = t
    return out


def flat(out) -> list:
    if isinstance(out, (tuple, list)):
        return [t for part in out for t in flat(part)]
    return [out]


def weighted(parts, library, rng):
    """A real number made of all smooth tensors with random weights."""
    total = None
    for t in parts:
        if t is None or not (t.is_floating_point() or t.is_complex()):
            continue
        w = rng.normal(size=tuple(t.shape))
        if t.is_complex():
            w = w + 1j * rng.normal(size=tuple(t.shape))
        if not t.requires_grad:
            continue
        term = (t * library.tensor(w).to(t.dtype)).sum()
        term = term.real if term.is_complex() else term
        total = term if total is None else total + term.to(total.dtype)
    return total


def run(name: str, cases, library) -> dict[str, np.ndarray]:
    """Outputs, gradients (``grad_x``) and second gradients (``grad2_x``) as arrays."""
    tensors = tensors_of(cases.inputs(name), library)
    outs = flat(eval(cases.CASES[name], {"T": library, "np": np, **tensors}))
    found = {f"out{i}": np.asarray(t.detach().numpy(force=True)) for i, t in enumerate(outs)}
    rng = np.random.default_rng(1)
    smooth = {k: t for k, t in tensors.items() if t.requires_grad}
    for order in ("grad", "grad2"):
        total = weighted(outs, library, rng)
        if total is None or not total.requires_grad:
            break
        once = order == "grad2" or name in getattr(cases, "FIRST_ONLY", ())
        grads = library.autograd.grad(total, list(smooth.values()), create_graph=not once, allow_unused=True)
        for key, g in zip(smooth, grads, strict=True):
            if g is not None:
                found[f"{order}_{key}"] = np.asarray(g.detach().numpy(force=True))
        if once:
            break
        outs = grads
    return found


def error_of(name: str, cases, library) -> Exception | None:
    """The error an expression raises, None when it raises none."""
    tensors = tensors_of(cases.inputs(name), library)
    try:
        eval(cases.ERRORS[name], {"T": library, "np": np, **tensors})
    except Exception as error:
        return error
    return None


def error_kind(name: str, cases, library) -> str:
    """The built-in class of the error an expression raises; "" when it raises none."""
    error = error_of(name, cases, library)
    return "" if error is None else next((k.__name__ for k in KINDS if isinstance(error, k)), type(error).__name__)


def keep(cases, library, path: Path) -> int:
    """Compute all cases of a module with PyTorch and write them."""
    kept = {}
    for name in cases.CASES:
        for key, array in run(name, cases, library).items():
            kept[f"{name}/{key}"] = np.array(array, order="C")
    for name in getattr(cases, "ERRORS", {}):
        kind = error_kind(name, cases, library)
        assert kind, f"{name} raises nothing under PyTorch"
        kept[f"error/{name}"] = np.array(kind)
    np.savez_compressed(path, **pack(kept))
    return len(kept)


@cache
def _kept(path: str) -> dict:
    with np.load(path) as kept:
        return unpack(kept) if "bytes" in kept else dict(kept)


def path_of(cases) -> Path:
    name = cases.__name__.rpartition(".")[2].removeprefix("cases_")
    return Path(__file__).with_name(f"torch_{name}.npz")


def compare(name: str, cases, library, rtol: float = 1e-8, atol: float = 1e-9) -> None:
    """Run a case with mlkit: the same outputs and gradients, dtypes and shapes as PyTorch's."""
    kept = _kept(str(path_of(cases)))
    wanted = {k[len(name) + 1 :]: v for k, v in kept.items() if k.startswith(name + "/")}
    assert wanted, f"no numbers kept for {name}: run python -m tests.oracle.make_torch"
    got = run(name, cases, library)
    for key, array in wanted.items():
        if key not in got:
            assert key.startswith("grad") and not array.any(), f"{key} is missing"
            continue
        assert got[key].dtype == array.dtype, f"{key}: {got[key].dtype}, not {array.dtype}"
        assert got[key].shape == array.shape, f"{key}: {got[key].shape}, not {array.shape}"
        narrow = array.dtype in (np.float32, np.complex64)
        near = {"rtol": 2e-4, "atol": 2e-5} if narrow else {"rtol": rtol, "atol": atol}
        np.testing.assert_allclose(got[key], array, err_msg=key, **near)
    for key in got:
        if key not in wanted:
            assert key.startswith("grad"), f"PyTorch has no {key}"


def expected_error(name: str, cases) -> type[Exception]:
    """The built-in class of the error that PyTorch raises."""
    return getattr(builtins, str(_kept(str(path_of(cases)))[f"error/{name}"]))


def compare_error(name: str, cases, library) -> None:
    """The case raises PyTorch's class (some errors here belong to two)."""
    error = error_of(name, cases, library)
    assert isinstance(error, expected_error(name, cases)), repr(error)
