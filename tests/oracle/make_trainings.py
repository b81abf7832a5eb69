"""PyTorch's loss curves, kept in ``trainings.npz``: ``python -m tests.oracle.make_trainings`` (torch 2.13)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.oracle import trainings


def main() -> None:
    import torch

    torch.set_num_threads(1)
    path = Path(__file__).with_name("trainings.npz")
    kept = dict(np.load(path)) if path.exists() else {}
    for name in trainings.TRAININGS:
        if name == "gpt_shakespeare" and trainings.shakespeare() is None:
            print("gpt_shakespeare: left as it was (set MLKIT_DATA to the folder that holds tinyshakespeare)")
            continue
        kept[name] = trainings.train(name, torch)
        print(f"{name}: {kept[name][0]:.4f} -> {kept[name][-1]:.4f} in {len(kept[name])} steps")
    np.savez_compressed(path, **kept)


if __name__ == "__main__":
    main()
