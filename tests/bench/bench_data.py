"""Samples per second of the DataLoader: JPEG files with two workers, and arrays in memory.

``python -m tests.bench.bench_data --torch-python PATH`` runs mlkit and PyTorch in processes of their own, taking turns,
and prints both and their ratios. PATH is a Python with PyTorch and Pillow (``$MLKIT_BENCH_TORCH`` by default); with
torchvision its transforms are used, else the same few lines by hand. Without it mlkit is measured alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
IMAGES = 512
BATCH = 64


def make_files(folder: Path) -> None:
    """JPEGs of 224 x 224 pixels with something to decode in them."""
    import numpy as np
    from PIL import Image

    draw = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    for number in range(IMAGES):
        coarse = Image.fromarray(draw.integers(0, 256, (14, 14, 3), np.uint8)).resize((224, 224), Image.BICUBIC)
        noise = draw.integers(-12, 13, (224, 224, 3))
        pixels = np.clip(np.asarray(coarse, np.int16) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg", quality=90)


class Jpegs:
    """Decoded, flipped at random, as a normalised tensor [3, 224, 224]; `library` is "mlkit" or "torch"."""

    def __init__(self, folder: str, library: str) -> None:
        self.files = sorted(str(path) for path in Path(folder).glob("*.jpg"))
        self.library = library
        self.change: Any = None

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Any:
        if self.change is None:
            self.change = transforms_of(self.library)
        from PIL import Image

        with open(self.files[index], "rb") as file, Image.open(file) as image:
            return self.change(image.convert("RGB")), index % 10


def transforms_of(library: str) -> Any:
    if library == "mlkit":
        from mlkit.data import transforms
    else:
        try:
            from torchvision import transforms
        except ImportError:
            return by_hand
    steps = [transforms.RandomHorizontalFlip(), transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.25] * 3)]
    return transforms.Compose(steps)


def by_hand(image: Any) -> Any:
    """What torchvision does in these three steps."""
    import numpy as np
    import torch
    from PIL import Image

    if torch.rand(1) < 0.5:
        image = image.transpose(Image.FLIP_LEFT_RIGHT)
    tensor = torch.from_numpy(np.array(image)).permute((2, 0, 1)).contiguous().to(torch.float32).div(255)
    half, quarter = torch.tensor([0.5] * 3), torch.tensor([0.25] * 3)
    return tensor.sub_(half.view(-1, 1, 1)).div_(quarter.view(-1, 1, 1))


class Rows:
    """Arrays in memory as people write it: one row and its label."""

    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Any:
        return self.x[index], self.y[index]


def measure(library: str, folder: str, kind: str) -> float:
    """Samples per second, the best of a few epochs."""
    import numpy as np

    if library == "torch":
        import torch
        from torch.utils.data import DataLoader, TensorDataset

        torch.set_num_threads(1)
    else:
        from mlkit.data import DataLoader, TensorDataset
    if kind.startswith("jpeg"):
        dataset: Any = Jpegs(folder, library)
        options: dict[str, Any] = {"num_workers": 2, "persistent_workers": kind == "jpeg"}
        epochs = 4
    else:
        draw = np.random.default_rng(0)
        x, y = draw.random((60_000, 1, 28, 28), np.float32), draw.integers(0, 10, 60_000)
        if library == "torch":
            x, y = torch.from_numpy(x), torch.from_numpy(y)
        dataset = TensorDataset(x, y) if kind == "tensors" else Rows(x, y)
        options, epochs = {}, 4
    loader = DataLoader(dataset, batch_size=BATCH, shuffle=True, **options)
    best = 0.0
    for _ in range(epochs):
        start, seen = time.perf_counter(), 0
        for images, _labels in loader:
            seen += len(images)
        best = max(best, seen / (time.perf_counter() - start))
    return best


KINDS = {
    "jpeg": "224-pixel JPEGs, 2 workers that stay",
    "jpeg-fresh": "224-pixel JPEGs, 2 workers started each epoch",
    "tensors": "TensorDataset of 60,000 x 28 x 28 in memory",
    "rows": "a Dataset of rows of such an array",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch-python", default=os.environ.get("MLKIT_BENCH_TORCH"), help="a Python with PyTorch")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(*options.child)))
        return
    one = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    env = {**os.environ, **one, "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as folder:
        make_files(Path(folder))
        for kind in options.kinds:
            found: dict[str, list[float]] = {"mlkit": [], "torch": []}
            for _ in range(options.turns):
                for name, python in (("mlkit", sys.executable), ("torch", options.torch_python)):
                    if python:
                        command = [python, "-m", "tests.bench.bench_data", "--child", name, folder, kind]
                        done = subprocess.run(command, env=env, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
                        found[name].append(float(done.stdout))
            ours = max(found["mlkit"])
            line = f"{KINDS[kind]}: mlkit {ours:,.0f} samples/s"
            if found["torch"]:
                line += f", PyTorch {max(found['torch']):,.0f}, ratio {ours / max(found['torch']):.2f}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
