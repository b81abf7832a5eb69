"""Compute cases and programs with PyTorch and keep the numbers: ``python -m tests.oracle.make_torch`` (torch 2.13).

Writes ``torch.npz`` beside this file. The tests read it; PyTorch is not needed to run them.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from tests.oracle import cases, cases_c1, programs, programs_c1, signatures_c1

#: a fixed date keeps the files the same each time
DATE = (2026, 1, 1, 0, 0, 0)


def main() -> None:
    import torch

    kept = {}
    for name, expression in cases.CASES.items():
        for key, array in cases.run(name, expression, torch, torch.nn.functional).items():
            kept[f"case/{name}/{key}"] = array
    for name in programs.PROGRAMS:
        for key, array in programs.run(name, torch).items():
            kept[f"program/{name}/{key}"] = array
    path = Path(__file__).with_name("torch.npz")
    np.savez_compressed(path, **{k: np.array(v, order="C") for k, v in kept.items()})
    print(
        f"{len(cases.CASES)} cases, {len(programs.PROGRAMS)} programs, {len(kept)} arrays, PyTorch {torch.__version__}"
    )
    make_layers(torch)


def make_layers(torch) -> None:
    """The layers and functional forms: ``torch_c1.npz`` and ``torch_c1_cases.npz``."""
    kept: dict = {}
    for name, expression in cases_c1.CASES.items():
        for key, array in cases_c1.run(name, expression, torch, torch.nn.functional).items():
            kept[f"case/{name}/{key}"] = array
    for number, expression in enumerate(cases_c1.BAD):
        kind = cases_c1.kind_of_failure(expression, torch)
        assert "no exception" not in kind, (expression, kind)
        kept[f"bad/{number}/kind"] = np.array([expression, kind])
    for path, line in signatures_c1.public(torch).items():
        kept[f"signature/{path}"] = np.array(line)
    save(Path(__file__).with_name("torch_c1_cases.npz"), kept)
    kept = {}
    for name in programs_c1.LAYERS:
        for key, array in programs_c1.run(name, torch).items():
            kept[f"layer/{name}/{key}"] = array
    save(Path(__file__).with_name("torch_c1.npz"), kept)
    print(f"{len(cases_c1.CASES)} functional cases, {len(programs_c1.LAYERS)} layers")


def save(path: Path, kept: dict) -> None:
    """An npz in which equal arrays (state before and after, output and evaluation) are kept once."""
    first: dict = {}
    arrays, same = {}, []
    for name, array in kept.items():
        array = np.array(array, order="C")
        content = (array.dtype.str, array.shape, array.tobytes())
        if content in first:
            same.append(f"{name}={first[content]}")
        else:
            first[content] = name
            arrays[name] = array
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        # one member for all bytes: a thousand small files would each have their own header
        data = b"".join(a.tobytes() for a in arrays.values())
        index, start = [], 0
        for name, a in arrays.items():
            index.append(f"{name}|{a.dtype.str}|{','.join(map(str, a.shape))}|{start}")
            start += a.nbytes
        archive.writestr(zipfile.ZipInfo("index.txt", DATE), "\n".join([*index, *same]), zipfile.ZIP_DEFLATED)
        archive.writestr(zipfile.ZipInfo("data.bin", DATE), data, zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    main()
