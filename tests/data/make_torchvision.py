"""Keep torchvision's numbers: ``python -m tests.data.make_torchvision`` with torch and torchvision 0.28 installed.

Writes ``torchvision.npz`` beside this file. The tests read it; torchvision is not needed to run them.
"""

from pathlib import Path

import numpy as np
import torch
import torchvision
from torchvision.transforms import InterpolationMode, functional

from tests.data import transform_cases


def main() -> None:
    kept = transform_cases.run(torch, functional, InterpolationMode)
    path = Path(__file__).with_name("torchvision.npz")
    np.savez_compressed(path, **kept)
    print(f"{len(kept)} results, torchvision {torchvision.__version__}, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
