"""Both loss curves of each training on one picture: ``python -m tests.oracle.draw_trainings trainings.png``.

Trains mlkit, takes PyTorch's curves from ``trainings.npz``, and says how far they come apart.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from tests.oracle import trainings


def main(path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    import mlkit

    theirs = np.load(Path(__file__).with_name("trainings.npz"))
    names = [name for name in theirs if name != "gpt_shakespeare" or trainings.shakespeare() is not None]
    figure, axes = plt.subplots(2, len(names), figsize=(4 * len(names), 6), height_ratios=(2, 1), sharex="col")
    for column, name in enumerate(names):
        ours, reference = trainings.train(name, mlkit), theirs[name]
        apart = np.abs(ours - reference)
        top, bottom = axes[0][column], axes[1][column]
        top.plot(reference, color="#d55e00", linewidth=4, alpha=0.45, label="PyTorch")
        top.plot(ours, color="#0072b2", linewidth=1.2, label="mlkit")
        top.set_title(f"{name}: {ours[0]:.2f} to {ours[-1]:.3f}")
        bottom.semilogy(np.maximum(apart, 1e-9), color="#333333", linewidth=1)
        bottom.set_xlabel("step")
        print(
            f"{name:16s} first 10 steps: {apart[:10].max():.1e}   all {len(ours)} steps: {apart.max():.1e}   "
            f"last loss: mlkit {ours[-1]:.4f}, PyTorch {reference[-1]:.4f}"
        )
    axes[0][0].set_ylabel("loss")
    axes[1][0].set_ylabel("difference")
    axes[0][0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "trainings.png")
