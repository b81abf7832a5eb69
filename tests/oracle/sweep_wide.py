# ruff: noqa: B023 - every call is made within the loop that binds it
"""PyTorch's operation database again, in the forms programs use: other dtypes, methods, in place, ``out=``, other memory.

``python -m tests.oracle.sweep_wide [--only NAME ...] [--forms dtypes method inplace out strided zero mixed] [--show N]``
needs what ``sweep_torch`` needs. Every call is made in both libraries: a result must agree in dtype, shape and values, and
an error in its class. Prints one line per operation that differs.
"""

from __future__ import annotations

import argparse
import collections
import functools
import json
import os
import sys
import warnings

import numpy as np
import torch
from torch.testing._internal.common_methods_invocations import op_db

import mlkit
from tests.oracle.bad_arguments import family, related
from tests.oracle.sweep_torch import (
    FREE,
    Skip,
    anew,
    differ,
    flat,
    leaves,
    resolve,
    short,
    weighted,
    without_dropout,
)

FORMS = "dtypes method inplace out strided zero mixed".split()
LOW = "float32 float16 bfloat16 complex64 int32 int16 int8 uint8 bool".split()


def loosely(got, want, op) -> str | None:
    """``differ`` with the precision of short numbers."""
    problem = differ(got, want, op.name in FREE)
    if problem is None or not problem.startswith("values") or not isinstance(want, torch.Tensor):
        return problem
    rtol = {"float16": 2e-3, "bfloat16": 2e-2, "float32": 2e-4, "complex64": 2e-4}.get(str(want.dtype)[6:])
    if rtol is None:
        return problem
    a, b = got.detach().to(mlkit.complex128).numpy(), want.detach().to(torch.complex128).numpy()
    size = np.abs(b[np.isfinite(b)]).max(initial=1.0)
    return None if np.allclose(a, b, rtol=rtol, atol=rtol * size, equal_nan=True) else problem


def both(op, ours, theirs, text, report, gradients=()) -> None:
    """Make a call in both libraries and compare; ``gradients`` are the leaves of theirs and ours."""
    want = got = error = refusal = None
    try:
        want = theirs()
    except Exception as caught:
        error = caught
    try:
        got = ours()
    except Skip:
        return
    except Exception as caught:
        refusal = caught

    def first(e):
        return str(e).splitlines()[0][:100] if str(e) else ""

    if error is not None and refusal is not None:
        if related(refusal, error):
            report("same", text)
        else:
            report("class", f"{text}: {type(refusal).__name__} for {family(error)}: {first(error)} | {first(refusal)}")
        return
    if error is not None:
        report("accepts", f"{text}: {family(error)}: {first(error)}")
        return
    if refusal is not None:
        report("refuses", f"{text}: {type(refusal).__name__}: {first(refusal)}")
        return
    wants, gots = flat(want), flat(got)
    problem = f"{len(gots)} outputs for {len(wants)}" if len(gots) != len(wants) else None
    for g, w in zip(gots, wants) if problem is None else ():
        problem = problem or loosely(g, w, op)
    report("values" if problem else "same", f"{text}: {problem}")
    if problem or not gradients or op.name in FREE:
        return
    total_t, total_m = weighted(wants, torch), weighted(gots, mlkit)
    if total_t is None:
        return
    try:
        first_t = torch.autograd.grad(total_t, gradients[0], allow_unused=True)
    except Exception:
        return
    try:
        first_m = mlkit.autograd.grad(total_m, gradients[1], allow_unused=True)
    except Exception as caught:
        report("gradient", f"{text}: {type(caught).__name__} {first(caught)}")
        return
    for g, w in zip(first_m, first_t, strict=True):
        if g is None or w is None:
            other = g if w is None else w
            problem = "None on one side" if other is not None and bool((other != 0).any()) else None
        else:
            problem = loosely(g, w, op)
        if problem:
            report("gradient", f"{text}: {problem}")
            return


def samples_of(op, name, limit, gradients=False):
    dtype = getattr(torch, name)
    torch.manual_seed(0)
    try:
        found = list(op.sample_inputs("cpu", dtype, requires_grad=gradients))[:limit]
    except Exception:
        return []
    return [without_dropout(op, s) for s in found]


def forms_of(op, fn, options, report):
    limit = options.limit
    if "dtypes" in options.forms:
        for name in LOW:
            if getattr(torch, name) not in op.supported_dtypes("cpu"):
                continue
            smooth = name in ("float32", "complex64", "float16", "bfloat16") and op.supports_autograd
            smooth = smooth and getattr(torch, name) in op.supported_backward_dtypes("cpu")
            for i, sample in enumerate(samples_of(op, name, limit, smooth)):
                args = (sample.input, *sample.args)
                try:
                    m_args, m_kwargs = anew(args), anew(sample.kwargs)
                except Skip:
                    continue
                pair = (
                    [t for t in leaves((args, sample.kwargs), torch.Tensor) if t.requires_grad],
                    [t for t in leaves((m_args, m_kwargs), mlkit.Tensor) if t.requires_grad],
                )
                both(
                    op,
                    lambda m_args=m_args, m_kwargs=m_kwargs: fn(*m_args, **m_kwargs),
                    lambda args=args, sample=sample: op.op(*args, **sample.kwargs),
                    f"{name}[{i}] {short(m_args, m_kwargs)}"[:130],
                    report,
                    pair if smooth and pair[0] and name not in ("float16", "bfloat16") else (),
                )
    unsupported = [
        n
        for n in "float32 bfloat16 complex64 int64 bool".split()
        if getattr(torch, n) not in op.supported_dtypes("cpu")
    ]
    if "dtypes" in options.forms and op.supported_dtypes("cpu"):
        base = (
            "float64"
            if torch.float64 in op.supported_dtypes("cpu")
            else str(sorted(op.supported_dtypes("cpu"), key=str)[0])[6:]
        )
        for name in unsupported:
            for i, sample in enumerate(samples_of(op, base, 2)):
                to = getattr(torch, name)

                def cast(x, to=to):
                    if isinstance(x, torch.Tensor):
                        return x.detach().to(to) if x.is_floating_point() or x.is_complex() else x
                    return type(x)(map(cast, x)) if type(x) in (list, tuple) else x

                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    args, kwargs = cast((sample.input, *sample.args)), {k: cast(v) for k, v in sample.kwargs.items()}
                try:
                    m_args, m_kwargs = anew(args), anew(kwargs)
                except Skip:
                    continue
                both(
                    op,
                    lambda m_args=m_args, m_kwargs=m_kwargs: fn(*m_args, **m_kwargs),
                    lambda args=args, kwargs=kwargs: op.op(*args, **kwargs),
                    f"unsupported {name}[{i}] {short(m_args, m_kwargs)}"[:130],
                    report,
                )
    for name in ("float32", "int64", "bool"):
        if getattr(torch, name) not in op.supported_dtypes("cpu"):
            continue
        for i, sample in enumerate(samples_of(op, name, limit)):
            args, kwargs = (sample.input, *sample.args), sample.kwargs
            try:
                m_args, m_kwargs = anew(args), anew(kwargs)
            except Skip:
                continue
            text = f"{name}[{i}] {short(m_args, m_kwargs)}"[:130]
            tensor_first = isinstance(sample.input, torch.Tensor)
            method, inplace = op.method_variant, op.inplace_variant
            if "method" in options.forms and method is not None and tensor_first:
                ours = getattr(mlkit.Tensor, op.name if hasattr(torch.Tensor, op.name) else method.__name__, None)
                if ours is None:
                    report("method", f"no Tensor.{method.__name__}")
                else:
                    both(
                        op, lambda: ours(*m_args, **m_kwargs), lambda: method(*args, **kwargs), "method " + text, report
                    )
            if "inplace" in options.forms and inplace is not None and tensor_first:
                named = getattr(inplace, "__name__", "<lambda>")
                ours_in = getattr(mlkit.Tensor, named, None)
                if named == "<lambda>":  # a function of nn.functional that takes inplace=True
                    ours_in = functools.partial(fn, inplace=True)
                for to in (None, torch.int64, torch.bool, torch.float16, torch.complex64):
                    if to is sample.input.dtype:
                        continue
                    own = sample.input.clone() if to is None else sample.input.to(to)
                    m_own = anew(own)
                    if ours_in is None:
                        report("inplace", f"no Tensor.{named}")
                        break
                    label = f"inplace {'' if to is None else to} {text}"

                    def run_torch(own=own):
                        inplace(own, *sample.args, **kwargs)
                        return own

                    def run_mlkit(m_own=m_own):
                        ours_in(m_own, *m_args[1:], **m_kwargs)
                        return m_own

                    both(op, run_mlkit, run_torch, label, report)
            if "strided" in options.forms:
                try:
                    other = sample.noncontiguous()
                    s_args, s_kwargs = (other.input, *other.args), other.kwargs
                    ms_args, ms_kwargs = anew(s_args), anew(s_kwargs)
                except Exception:
                    s_args = None
                if s_args is not None:
                    both(
                        op,
                        lambda: fn(*ms_args, **ms_kwargs),
                        lambda: op.op(*s_args, **s_kwargs),
                        "strided " + text,
                        report,
                    )
            if "out" in options.forms and op.supports_out:
                try:
                    want = op.op(*args, **kwargs)
                except Exception:
                    continue
                outs = flat(want)
                if not outs or not all(isinstance(o, torch.Tensor) for o in outs):
                    continue
                kind = tuple if isinstance(want, (tuple, list)) else None
                makes = {
                    "right": lambda o: torch.zeros_like(o),
                    "empty": lambda o: torch.empty(0, dtype=o.dtype),
                    "larger": lambda o: torch.zeros((*o.shape, 2), dtype=o.dtype),
                    "strided": lambda o: torch.zeros((*o.shape, 2), dtype=o.dtype)[..., 0],
                    "float64": lambda o: torch.zeros(o.shape, dtype=torch.float64),
                    "int64": lambda o: torch.zeros(o.shape, dtype=torch.int64),
                    "complex64": lambda o: torch.zeros(o.shape, dtype=torch.complex64),
                    "bool": lambda o: torch.zeros(o.shape, dtype=torch.bool),
                }
                for label, make in makes.items():
                    t_out = [make(o) for o in outs]
                    m_out = [anew(make(o)) for o in outs]

                    def give(many, kind=kind):
                        return tuple(many) if kind else many[0]

                    def run_torch(t_out=t_out):
                        op.op(*args, **kwargs, out=give(t_out))
                        return t_out

                    def run_mlkit(m_out=m_out):
                        fn(*m_args, **m_kwargs, out=give(m_out))
                        return m_out

                    both(op, run_mlkit, run_torch, f"out {label} {text}", report)
            if "mixed" in options.forms and i < 3:
                for what, y_args in mixtures(args):
                    my_args = anew(y_args)
                    both(
                        op,
                        lambda my_args=my_args: fn(*my_args, **m_kwargs),
                        lambda y_args=y_args: op.op(*y_args, **kwargs),
                        f"mixed {what} {name}[{i}] {short(my_args, m_kwargs)}"[:150],
                        report,
                    )
            if "zero" in options.forms and i < 2:
                for what, y_args in shrunk(args):
                    my_args = anew(y_args)
                    both(
                        op,
                        lambda my_args=my_args: fn(*my_args, **m_kwargs),
                        lambda y_args=y_args: op.op(*y_args, **kwargs),
                        f"zero {what} {name}[{i}] {short(my_args, m_kwargs)}"[:150],
                        report,
                    )


def mixtures(args):
    """Other operands of another dtype, 0-d, or Python numbers."""
    for i, x in enumerate(args):
        if not isinstance(x, torch.Tensor):
            continue
        x = x.detach()
        for d in (torch.int32, torch.float16, torch.bfloat16, torch.float64, torch.uint8):
            if d is not x.dtype and i:
                yield f"{i}:{d}", (*args[:i], x.to(d), *args[i + 1 :])
        if i and x.numel():
            one = x.reshape(-1)[0]
            for d in (None, torch.int64, torch.float64, torch.complex64):
                yield f"{i}: 0-d {d}", (*args[:i], one if d is None else one.to(d), *args[i + 1 :])
            for n in (2, 2.5, True, 1 + 2j):
                yield f"{i}: {n}", (*args[:i], n, *args[i + 1 :])
    if len(args) > 1 and all(isinstance(x, torch.Tensor) for x in args[:2]) and args[0].numel():
        for n in (2, 2.5, True):
            yield f"0: {n}", (n, *args[1:])
        yield "0: 0-d float64", (args[0].detach().reshape(-1)[0].double(), *args[1:])


def shrunk(args):
    """Every tensor that shares the first one's shape with one dim cut to nothing."""
    first = args[0]
    if not isinstance(first, torch.Tensor):
        return
    shape = tuple(first.shape)
    for d in range(len(shape)):

        def cut(x, d=d):
            if isinstance(x, torch.Tensor) and tuple(x.shape) == shape:
                return x.detach().narrow(d, 0, 0)
            return x

        yield f"dim {d}", tuple(map(cut, args))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=None)
    parser.add_argument("--forms", nargs="*", default=FORMS)
    parser.add_argument("--show", type=int, default=2)
    parser.add_argument("--limit", type=int, default=6, help="samples per operation and dtype")
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), help="the i-th of n parts of the database")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    tally: collections.Counter = collections.Counter()
    for index, op in enumerate(op_db):
        if options.only and op.name not in options.only or index % options.part[1] != options.part[0]:
            continue
        fn = resolve(op)
        if fn is None:
            continue
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            found: dict = collections.defaultdict(list)
            try:
                forms_of(op, fn, options, lambda kind, text: found[kind].append(text))
            except Exception as error:
                found["sweep"].append(f"{type(error).__name__}: {error}")
            if any(kind != "same" for kind in found):
                print(
                    f"{op.name}{'/' + op.variant_test_name if op.variant_test_name else ''}: {len(found['same'])} same"
                )
                for kind, entries in found.items():
                    if kind != "same":
                        print(f"    {kind} x{len(entries)}: " + "\n        ".join(entries[: options.show]))
            sys.stdout.flush()
            os.write(writer, json.dumps({k: len(v) for k, v in found.items()}).encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as said:
            text = said.read()
        os.waitpid(child, 0)
        tally.update(json.loads(text) if text else {"crashed": 1})
    print(dict(tally))


if __name__ == "__main__":
    main()
