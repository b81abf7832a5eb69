"""Compute the cases with PyTorch and keep the numbers: ``python -m tests.oracle.make_torch`` (needs torch 2.13).

Writes ``torch.npz`` beside this file. The tests read it; PyTorch is not needed to run them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.oracle.cases import CASES, run


def main() -> None:
    import torch

    kept = {}
    for name, expression in CASES.items():
        for key, array in run(name, expression, torch, torch.nn.functional).items():
            kept[f"{name}/{key}"] = np.array(array, order="C")
    path = Path(__file__).with_name("torch.npz")
    np.savez_compressed(path, **kept)
    print(f"{len(CASES)} cases, {len(kept)} arrays, PyTorch {torch.__version__} -> {path.name}")


if __name__ == "__main__":
    main()
