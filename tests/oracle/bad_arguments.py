"""Bad arguments for every operation of PyTorch's database: does mlkit raise where PyTorch does, and the same class?

``python -m tests.oracle.bad_arguments [--only NAME ...] [--show N]`` needs what ``sweep_torch`` needs. Each operation's
first samples are changed in one place at a time: another element type, another shape, a dim out of range, an argument
of the wrong kind, one left out, one too many.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import sys
import warnings

import torch
from torch.testing._internal.common_methods_invocations import op_db

from tests.oracle.sweep_torch import FREE, Skip, anew, differ, flat, resolve, short

CLASSES = (NotImplementedError, IndexError, TypeError, ValueError, RuntimeError)


def mutations(args: tuple, kwargs: dict):
    """(what was changed, args, kwargs) for each change."""
    for i, x in enumerate(args):
        for what, y in replacements(x, i):
            yield f"{i}: {what}", (*args[:i], y, *args[i + 1 :]), kwargs
    for k, x in kwargs.items():
        for what, y in replacements(x, 1):
            yield f"{k}: {what}", args, {**kwargs, k: y}
    if len(args) > 1:
        yield "last left out", args[:-1], kwargs
    yield "unknown keyword", args, {**kwargs, "no_such_argument": 1}
    yield "five more", (*args, 1, 1, 1, 1, 1, 1, 1, 1), kwargs


def replacements(x, place: int):
    if isinstance(x, torch.Tensor):
        x = x.detach()
        for d in (torch.int64, torch.bool, torch.float64, torch.complex64, torch.float16):
            if d is not x.dtype:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    yield str(d), x.to(d)
        yield "one more dim of 7", torch.ones((*x.shape, 7), dtype=x.dtype)
        yield "no dims", torch.ones((), dtype=x.dtype)
        yield "empty", torch.ones(0, dtype=x.dtype)
        if x.ndim:
            yield "longer by 2", torch.ones((*x.shape[:-1], x.shape[-1] + 2), dtype=x.dtype)
            yield "five dims", torch.ones((2,) * 5, dtype=x.dtype)
        yield "a number", 2.5
        yield "None", None
        yield "text", "text"
        yield "a list of it", [x]
    elif isinstance(x, bool):
        yield "text", "text"
        yield "a tensor", torch.ones(2)
    elif isinstance(x, int):
        for y in (100, -100, 0, -1, 1.5, "text", None, torch.ones(2), [1, 2, 3, 4, 5, 6]):
            yield repr(y) if not isinstance(y, torch.Tensor) else "a tensor", y
    elif isinstance(x, float):
        for y in (-1.0, float("nan"), "text", None, 1j, torch.ones(2)):
            yield repr(y) if not isinstance(y, torch.Tensor) else "a tensor", y
    elif isinstance(x, str):
        for y in ("no such word", 3, None):
            yield repr(y), y
    elif isinstance(x, (tuple, list)):
        if x and all(isinstance(v, int) for v in x):
            for y in (
                (),
                (*x, 1),
                x[:-1],
                (100,) * len(x),
                (-100,) * len(x),
                (-1,) * len(x),
                (0,) * len(x),
                "text",
                1.5,
            ):
                yield repr(y), y
            yield "floats", tuple(v + 0.5 for v in x)
        elif x and all(isinstance(v, torch.Tensor) for v in x):
            yield "none of them", type(x)()
            yield "one a number", type(x)([*x[:-1], 2.0])
            yield "the first alone", x[0]
            for what, y in replacements(x[0], 0):
                if isinstance(y, torch.Tensor):
                    yield f"first {what}", type(x)([y, *x[1:]])


def family(error) -> str:
    return next((k.__name__ for k in CLASSES if isinstance(error, k)), type(error).__name__)


def related(ours, theirs) -> bool:
    """Whether code that catches PyTorch's error catches ours."""
    return isinstance(ours, type(theirs)) or any(isinstance(ours, k) and isinstance(theirs, k) for k in CLASSES)


def one(op, fn, options) -> dict[str, int]:
    """Print how one operation differs; how many calls were alike and not."""
    found: dict = collections.defaultdict(list)
    torch.manual_seed(0)
    samples = list(op.sample_inputs("cpu", torch.float32, requires_grad=False))[: options.samples]
    seen = set()
    for sample in samples:
        given = (sample.input, *sample.args)
        for what, args, kwargs in mutations(given, sample.kwargs):
            try:
                m_args, m_kwargs = anew(args), anew(kwargs)
            except (Skip, Exception):
                continue
            key = (what, short(m_args, m_kwargs))
            if key in seen:
                continue
            seen.add(key)
            theirs = ours = want = got = None
            try:
                want = op.op(*args, **kwargs)
            except Exception as error:
                theirs = error
            try:
                got = fn(*m_args, **m_kwargs)
            except Exception as error:
                ours = error
            text = f"[{what}] {short(m_args, m_kwargs)}"[:150]
            if theirs is not None and ours is None:
                found["accepts"].append(
                    f"{text}\n            torch: {family(theirs)}: {str(theirs).splitlines()[0][:110]}"
                )
            elif theirs is None and ours is not None:
                found["refuses"].append(
                    f"{text}\n            mlkit: {type(ours).__name__}: {str(ours).splitlines()[0][:110] if str(ours) else ''}"
                )
            elif theirs is not None and not related(ours, theirs):
                found["class"].append(
                    f"{text}\n            {type(ours).__name__} for {family(theirs)}: {str(theirs).splitlines()[0][:90] if str(theirs) else ''} | {str(ours).splitlines()[0][:90] if str(ours) else ''}"
                )
            elif theirs is None:
                wants, gots = flat(want), flat(got)
                problem = f"{len(gots)} outputs for {len(wants)}" if len(wants) != len(gots) else None
                for g, w in zip(gots, wants) if problem is None else ():
                    problem = problem or differ(g, w, op.name in FREE)
                found["values" if problem else "same"].append(f"{text}: {problem}")
            else:
                found["same"].append(text)
    bad = [k for k in options.kinds if found.get(k)]
    if bad:
        print(f"{op.name}{'/' + op.variant_test_name if op.variant_test_name else ''}: {len(found['same'])} same")
        for kind in bad:
            print(f"    {kind} x{len(found[kind])}: " + "\n        ".join(found[kind][: options.show]), flush=True)
    return {kind: len(entries) for kind, entries in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=None)
    parser.add_argument("--show", type=int, default=3)
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--kinds", nargs="*", default=["accepts", "class", "refuses", "values"])
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), help="the i-th of n parts of the database")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    tally: collections.Counter = collections.Counter()
    for index, op in enumerate(op_db):
        if options.only and op.name not in options.only or index % options.part[1] != options.part[0]:
            continue
        fn = resolve(op)
        if fn is None or torch.float32 not in op.supported_dtypes("cpu"):
            continue
        # in a process of its own: some bad arguments corrupt PyTorch's memory
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.write(writer, json.dumps(one(op, fn, options)).encode())
            sys.stdout.flush()
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as said:
            text = said.read()
        os.waitpid(child, 0)
        tally.update(json.loads(text) if text else {"crashed": 1})
        if not text:
            print(f"{op.name}: PyTorch crashed")
    print(dict(tally))


if __name__ == "__main__":
    main()
