"""PyTorch's numbers of programs_c2, kept in ``torch_c2.npz``: ``python -m tests.oracle.make_torch_c2`` (torch 2.13)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.oracle import pack, programs_c2


def main() -> None:
    import torch

    kept = {}
    for name in programs_c2.PROGRAMS:
        for key, array in programs_c2.run(name, torch).items():
            kept[f"program_c2/{name}/{key}"] = array
    kept["signatures_c2/json"] = np.array(programs_c2.signatures(torch))
    path = Path(__file__).with_name("torch_c2.npz")
    np.savez_compressed(path, **pack(kept))
    print(f"{len(programs_c2.PROGRAMS)} programs, {len(kept)} arrays, {path.stat().st_size} bytes, {torch.__version__}")


if __name__ == "__main__":
    main()
