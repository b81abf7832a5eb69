"""Compute cases and programs with PyTorch and keep the numbers: ``python -m tests.oracle.make_torch`` (torch 2.13).

Writes ``torch.npz`` beside this file. The tests read it; PyTorch is not needed to run them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.oracle import cases, programs


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
    from tests.oracle import cases_fft, cases_linalg, cases_special, cases_tensor, deep, printing, promotion

    for module in (cases_linalg, cases_fft, cases_special, cases_tensor):
        path = deep.path_of(module)
        print(f"{path.name}: {deep.keep(module, torch, path)} arrays, {path.stat().st_size:,} bytes")
    promotion.keep(torch)
    printing.keep(torch)


if __name__ == "__main__":
    main()
