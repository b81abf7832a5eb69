"""Every sample input of PyTorch's own operation database, run under PyTorch and under mlkit, number for number.

``python -m tests.oracle.sweep_torch [--only NAME ...] [--dtypes float64 ...] [--errors] [--show N]`` needs PyTorch 2.13,
``expecttest`` and mlkit in one interpreter. For every operation: forward (dtype, shape, values), gradient, gradient of
the gradient, and whether the database's bad arguments raise the same class. Prints one line per operation that differs.
"""

from __future__ import annotations

import argparse
import collections
import sys
import warnings

import numpy as np
import torch
from torch.testing._internal.common_methods_invocations import op_db

import mlkit

DTYPES = "float64 float32 int64 bool complex128".split()
FREE = (  # content is not determined: shape and dtype only
    "empty empty_like new_empty new_empty_strided empty_strided empty_permuted randn randn_like rand_like randint "
    "randint_like multinomial normal bernoulli cauchy exponential geometric log_normal uniform nn.functional.dropout "
    "nn.functional.dropout2d nn.functional.dropout3d nn.functional.alpha_dropout nn.functional.feature_alpha_dropout "
    "nn.functional.rrelu resize_ resize_as_ nn.functional.fractional_max_pool2d nn.functional.fractional_max_pool3d"
).split()

IN_PLACE = "cauchy exponential geometric log_normal uniform".split()

#: entries whose callable takes other arguments than the function of that name
REORDERED = {
    "nn.functional.embedding": lambda weight, index, **how: mlkit.nn.functional.embedding(index, weight, **how),
    "nn.functional.embedding_bag": lambda weight, index, **how: mlkit.nn.functional.embedding_bag(index, weight, **how),
    "svd_lowrank": lambda a, b, **how: mlkit.svd_lowrank(a @ b.mT, **how),
    "pca_lowrank": lambda a, b, **how: mlkit.pca_lowrank(a @ b.mT, **how),
    "zero_": lambda x: mlkit.zero_(x.clone()),
    "resize_": lambda x, shape: x.clone().resize_(shape),
    "resize_as_": lambda x, other: mlkit.resize_as_(x.clone(), other),
    "in_place": lambda x, *args, **how: mlkit.Tensor.normal_(x, *args, **how),
    "grad_oriented": lambda a, b, driver: mlkit.linalg.lstsq(a, b, driver=driver)[:2],
    "singular": lambda a, b: mlkit.linalg.pinv(a @ b.mT),
    **{n: (lambda x, *a, n=n, **how: getattr(mlkit.Tensor, n + "_")(x, *a, **how)) for n in IN_PLACE},
}


class Skip(Exception):
    """A sample that mlkit cannot be asked for in this form."""


def whole(x) -> bool:
    """Whether the tensor shows all of its memory."""
    return x.untyped_storage().nbytes() == x.numel() * x.element_size()


def without_dropout(op, sample):
    """The sample with the dropout of attention off: which values are dropped is not determined."""
    if op.name == "nn.functional.scaled_dot_product_attention" and "dropout_p" in sample.kwargs:
        sample.kwargs = {**sample.kwargs, "dropout_p": 0.0}
    if op.name == "nn.functional.multi_head_attention_forward":
        sample.args = (*sample.args[:9], 0.0, *sample.args[10:])
    return sample


#: memory that several of a call's tensors share: PyTorch's address -> NumPy's array
_shared: dict[tuple, np.ndarray] = {}


def anew(x):
    """``convert`` of a call that shares no memory with those before it."""
    _shared.clear()
    return convert(x)


def convert(x):
    """PyTorch's arguments as mlkit's."""
    if isinstance(x, torch.Tensor):
        if x.layout is not torch.strided or x.is_quantized:
            raise Skip("layout")
        if x.dtype is torch.bfloat16 and (not x.numel() or x.is_contiguous() and whole(x)):
            out = mlkit.from_numpy(x.detach().float().numpy().copy()).to(mlkit.bfloat16)
        elif x.is_conj() or x.is_neg() or x.numel() == 0:
            out = mlkit.from_numpy(np.array(x.detach().resolve_conj().resolve_neg().numpy(), order="C"))
        else:
            memory = torch.empty(0, dtype=x.dtype).set_(x.detach().untyped_storage())
            key = (x.untyped_storage().data_ptr(), x.dtype)
            if key not in _shared:
                if x.dtype is torch.bfloat16:
                    _shared[key] = memory.float().numpy().astype(mlkit.bfloat16.numpy)
                else:
                    _shared[key] = memory.numpy().copy()
            flat = _shared[key]
            if whole(x) and x.is_contiguous():
                out = mlkit.from_numpy(flat.reshape(tuple(x.shape)))
            else:
                out = mlkit.as_strided(mlkit.from_numpy(flat), x.size(), x.stride(), x.storage_offset()).detach()
        return out.requires_grad_() if x.requires_grad else out
    if isinstance(x, torch.dtype):
        return getattr(mlkit, str(x).split(".")[1])
    if isinstance(x, torch.device):
        return mlkit.device(str(x))
    if isinstance(x, torch.memory_format):
        raise Skip("memory format")
    if isinstance(x, torch.layout):
        if x is not torch.strided:
            raise Skip("layout")
        return mlkit.strided
    if isinstance(x, torch.Size):
        return mlkit.Size(x)
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return type(x)(*map(convert, x))
    if isinstance(x, (list, tuple)):
        return type(x)(map(convert, x))
    if isinstance(x, dict):
        return {k: convert(v) for k, v in x.items()}
    if isinstance(x, torch.nn.Module):
        twin = getattr(mlkit.nn, type(x).__name__)()
        twin.__dict__.update({k: v for k, v in vars(x).items() if not k.startswith("_")})
        return twin
    if callable(x) and getattr(torch.nn.functional, getattr(x, "__name__", ""), None) is x:
        return getattr(mlkit.nn.functional, x.__name__)
    if callable(x) and getattr(torch, getattr(x, "__name__", ""), None) is x:
        return getattr(mlkit, x.__name__)
    return x


def resolve(op):
    """mlkit's callable for an entry of the database."""
    if op.name == "where":
        return lambda x, condition, other: mlkit.where(condition, x, other)
    if op.name == "einsum":
        return lambda tensors, equation: mlkit.einsum(equation, tensors)
    if op.name in REORDERED:
        return REORDERED[op.name]
    if op.variant_test_name in REORDERED:
        return REORDERED[op.variant_test_name]
    if op.name.startswith("_") and not op.name.startswith("__"):
        return None
    place = mlkit
    for part in op.name.split("."):
        try:
            place = getattr(place, part)
        except (AttributeError, ImportError):
            place = None
            break
    plain = torch
    for part in op.name.split("."):
        plain = getattr(plain, part, None)
    if place is not None and plain is not None and callable(place) and not isinstance(plain, torch.dtype):
        return place
    method = getattr(mlkit.Tensor, op.name, None)
    if method is None:
        return None
    if callable(method):  # called as PyTorch's entry is: the class's function
        return method
    return lambda x: getattr(x, op.name)


def leaves(x, kind) -> list:
    if isinstance(x, kind):
        return [x]
    if isinstance(x, (list, tuple)):
        return [t for part in x for t in leaves(part, kind)]
    if isinstance(x, dict):
        return [t for part in x.values() for t in leaves(part, kind)]
    return []


def flat(x) -> list:
    if isinstance(x, (list, tuple)):
        return [y for part in x for y in flat(part)]
    return [x]


def number(x):
    if isinstance(x, torch.Tensor):
        x = (
            x.detach().resolve_conj().resolve_neg() + 0
            if x._is_zerotensor()
            else x.detach().resolve_conj().resolve_neg()
        )
        return x.float().numpy() if x.dtype is torch.bfloat16 else x.numpy()
    if isinstance(x, mlkit.Tensor):
        a = x.numpy(force=True)
        return a.astype(np.float32) if x.dtype is mlkit.bfloat16 else a
    return x


def differ(got, want, free=False) -> str | None:
    """How the two differ, in words; None when they agree."""
    if isinstance(want, torch.Tensor) != isinstance(got, mlkit.Tensor):
        return f"type {type(got).__name__} for {type(want).__name__}"
    if isinstance(want, torch.Tensor) and str(want.dtype).split(".")[1] != got.dtype.name:
        return f"dtype {got.dtype.name} for {str(want.dtype).split('.')[1]}"
    a, b = number(got), number(want)
    if not isinstance(b, np.ndarray):
        if isinstance(b, (torch.Size, torch.dtype)):
            return None if str(a).replace("mlkit", "torch") == str(b) or tuple(a) == tuple(b) else f"{a} for {b}"
        same = a == b or (isinstance(b, float) and abs(a - b) < 1e-6 * max(1, abs(b))) or (a != a and b != b)
        return None if same else f"{a!r} for {b!r}"
    if a.shape != b.shape:
        return f"shape {a.shape} for {b.shape}"
    if free:
        return None
    if b.dtype.kind in "fc":
        rtol = {2: 1e-2, 4: 2e-4, 8: 1e-7, 16: 1e-7}[b.dtype.itemsize]
        if b.dtype == np.complex64:
            rtol = 2e-4
        if np.allclose(a, b, rtol=rtol, atol=rtol, equal_nan=True):
            return None
    elif np.array_equal(a, b):
        return None
    with np.errstate(all="ignore"):
        bad = ~np.isclose(a.astype(complex), b.astype(complex), rtol=1e-5, atol=1e-5, equal_nan=True)
        return f"values: {a[bad][:3]} for {b[bad][:3]} ({int(bad.sum())} of {bad.size})"


def weighted(outs, library):
    """A number made of all smooth outputs."""
    rng = np.random.default_rng(3)
    total = None
    for o in outs:
        if not isinstance(o, (torch.Tensor, mlkit.Tensor)) or not o.requires_grad:
            continue
        w = rng.normal(size=tuple(o.shape))
        if o.is_complex():
            w = w + 1j * rng.normal(size=tuple(o.shape))
        w = library.tensor(w).to(o.dtype)
        term = (o * w).sum()
        term = term.real if term.is_complex() else term
        total = term if total is None else total + term
    return total


def one(op, fn, sample, report, gradients: bool):
    free = op.name in FREE
    reference = op.op
    _shared.clear()
    t_args = (sample.input, *sample.args)
    m_args, m_kwargs = convert(t_args), convert(sample.kwargs)
    smooth_t = [t for t in leaves((t_args, sample.kwargs), torch.Tensor) if t.requires_grad]
    smooth_m = [t for t in leaves((m_args, m_kwargs), mlkit.Tensor) if t.requires_grad]
    try:
        want = reference(*t_args, **sample.kwargs)
    except Exception:
        return
    try:
        got = fn(*m_args, **m_kwargs)
    except Skip:
        raise
    except Exception as error:
        report("raises", f"{type(error).__name__}: {str(error).splitlines()[0][:120]}")
        return
    process = sample.output_process_fn_grad
    wants, gots = flat(want), flat(got)
    if len(wants) != len(gots):
        report("forward", f"{len(gots)} outputs for {len(wants)}")
        return
    for g, w in zip(gots, wants):
        problem = differ(g, w, free)
        if problem:
            report("forward", problem)
            return
    report("ok", "")
    if not gradients or free:
        return
    try:
        wants, gots = flat(process(want)), flat(process(got))
    except Exception:
        return
    total_t, total_m = weighted(wants, torch), weighted(gots, mlkit)
    if total_t is None:
        if total_m is not None:
            report("gradient", "a gradient where PyTorch has none")
        return
    try:
        first_t = torch.autograd.grad(total_t, smooth_t, create_graph=True, allow_unused=True)
        for g in first_t:
            number(g)
    except Exception:
        return
    if total_m is None:
        if any(g is not None and bool((g != 0).any()) for g in first_t):
            report("gradient", "no gradient")
        return
    try:
        first_m = mlkit.autograd.grad(total_m, smooth_m, create_graph=True, allow_unused=True)
    except Exception as error:
        report("gradient", f"{type(error).__name__}: {str(error).splitlines()[0][:120]}")
        return
    for g, w in zip(first_m, first_t, strict=True):
        if w is None or g is None:
            a = g if w is None else w
            if a is not None and bool((a != 0).any()):
                report("gradient", "None on one side")
                return
            continue
        problem = differ(g, w)
        if problem:
            report("gradient", problem)
            return
    total_t = weighted([g for g in first_t if g is not None], torch)
    if total_t is None:
        return
    try:
        second_t = torch.autograd.grad(total_t, smooth_t, allow_unused=True)
    except Exception:
        return
    total_m = weighted([g for g in first_m if g is not None], mlkit)
    if total_m is None:
        if any(g is not None and bool((g.abs() > 1e-9).any()) for g in second_t):
            report("second", "no second gradient")
        return
    try:
        second_m = mlkit.autograd.grad(total_m, smooth_m, allow_unused=True)
    except Exception as error:
        report("second", f"{type(error).__name__}: {str(error).splitlines()[0][:120]}")
        return
    for g, w in zip(second_m, second_t, strict=True):
        g = mlkit.zeros(()) if g is None else g
        w = torch.zeros(()) if w is None else w
        a, b = number(g), number(w)
        if not np.allclose(a, b, rtol=1e-5, atol=1e-6, equal_nan=True):
            report("second", f"{np.ravel(a)[:3]} for {np.ravel(b)[:3]}")
            return


def short(args, kwargs) -> str:
    """Arguments in a few words."""

    def word(x):
        if isinstance(x, mlkit.Tensor):
            return f"{x.dtype.name}{list(x.shape)}"
        if isinstance(x, (list, tuple)):
            return "(" + ", ".join(map(word, x)) + ")"
        return repr(x)

    return "<- " + ", ".join([*map(word, args), *(f"{k}={word(v)}" for k, v in kwargs.items())])


def errors(op, fn, report):
    if op.error_inputs_func is None:
        return
    for e in op.error_inputs("cpu"):
        sample = e.sample_input
        _shared.clear()
        try:
            op.op(sample.input, *sample.args, **sample.kwargs)
            continue
        except Exception as error:
            wanted, said = type(error), str(error)
        try:
            args, kwargs = convert((sample.input, *sample.args)), convert(sample.kwargs)
        except (Skip, Exception):
            continue
        try:
            fn(*args, **kwargs)
        except wanted:
            report("errors ok", "")
        except Exception as error:
            report("errors", f"{type(error).__name__} for {wanted.__name__}: {said[:60]} {short(args, kwargs)}")
        else:
            report("errors", f"nothing raised for {wanted.__name__}: {said[:80]} {short(args, kwargs)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=None)
    parser.add_argument(
        "--prefix", default=None, help="only operations whose name starts so; '-' for those without a dot"
    )
    parser.add_argument("--dtypes", nargs="*", default=DTYPES)
    parser.add_argument("--errors", action="store_true")
    parser.add_argument("--show", type=int, default=2)
    parser.add_argument("--limit", type=int, default=60, help="samples per operation and dtype")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    tally: collections.Counter = collections.Counter()
    for op in op_db:
        if options.only and op.name not in options.only:
            continue
        if (
            options.prefix == "-"
            and "." in op.name
            or options.prefix not in (None, "-")
            and not op.name.startswith(options.prefix)
        ):
            continue
        label = op.name + (f"/{op.variant_test_name}" if op.variant_test_name else "")
        fn = resolve(op)
        if fn is None:
            print(f"{label}: not here")
            tally["operations not here"] += 1
            continue
        found: dict = collections.defaultdict(list)
        for name in options.dtypes:
            dtype = getattr(torch, name)
            if dtype not in op.supported_dtypes("cpu"):
                continue
            gradients = (
                name in ("float64", "complex128")
                and op.supports_autograd
                and dtype in op.supported_backward_dtypes("cpu")
            )
            torch.manual_seed(0)
            try:
                samples = list(op.sample_inputs("cpu", dtype, requires_grad=gradients))[: options.limit]
            except Exception as error:
                found["database"].append(repr(error)[:100])
                continue
            for number_, sample in enumerate(without_dropout(op, s) for s in samples):

                def report(kind, text, number_=number_, name=name, found=found):
                    found[kind].append(f"{name}[{number_}] {text}")

                try:
                    one(op, fn, sample, report, gradients)
                except Skip:
                    continue
                except Exception as error:
                    report("sweep", f"{type(error).__name__}: {str(error).splitlines()[:1]}")
        if options.errors:
            errors(op, fn, lambda kind, text, found=found: found[kind].append(text))
        bad = [k for k in found if k not in ("ok", "errors ok")]
        tally["operations same" if not bad else "operations that differ"] += 1
        for kind, entries in found.items():
            tally[f"samples {kind}"] += len(entries)
        if bad:
            print(f"{label}: {len(found['ok'])} ok")
            for kind in bad:
                print(f"    {kind} x{len(found[kind])}: " + "\n        ".join(found[kind][: options.show]))
        sys.stdout.flush()
    print(dict(tally))


if __name__ == "__main__":
    main()
