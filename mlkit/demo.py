"""`mlkit demo`: the first guide's training without a notebook, and a page to look at afterwards."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np

import mlkit
from mlkit import nn, optim
from mlkit.core.errors import DeviceError
from mlkit.data import DataLoader, LabelledImages, digits, handwritten_digits, mnist
from mlkit.display.report import write_report
from mlkit.display.summary import summary
from mlkit.train import Trainer

__all__ = ["network", "run"]

BATCH_SIZE = 64
#: Enough for 97 % and more of the held-out digits, in under a minute on two cores.
EPOCHS = {8: 20, 28: 3}


def network(size: int, classes: int = 10) -> nn.Module:
    """Two convolutions and one linear layer, for grey images of `size` x `size` pixels.

    Images [batch, 1, size, size] -> scores [batch, classes].

    >>> network(8)(mlkit.zeros(2, 1, 8, 8)).shape
    mlkit.Size([2, 10])
    """
    side = size // 4  # each pooling halves it
    return nn.Sequential(
        nn.Conv2d(1, 16, kernel_size=3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, kernel_size=3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * side * side, classes),
    )


def run(
    device: Literal["auto", "cpu", "cuda"] = "auto",
    data: Literal["auto", "digits", "mnist"] = "auto",
    epochs: int | None = None,
    seed: int = 0,
    out: str | os.PathLike[str] = "mlkit-demo.html",
) -> int:
    """Train, evaluate on held-out digits, write the report, print its path and, last, the test accuracy.

    Args:
        device: "auto" takes the GPU where there is one.
        data: "auto" is MNIST where its files are on disk or can be downloaded, else the shipped digits.
        epochs: Passes over the training data; None: 20 of the small digits, 3 of MNIST.
        seed: Of weights and order: the same seed gives the same network on the same machine.
        out: The report's file.

    Returns:
        0.
    """
    where = _device(device)
    mlkit.manual_seed(seed)
    train, test = _data(data)
    size = train.images.shape[-1]
    epochs = epochs or EPOCHS.get(size, 3)
    model = network(size)
    print(f"{train.name}: {len(train):,} images of {size}x{size} to train on, {len(test):,} held out; on {where}")

    batches = DataLoader(train, batch_size=BATCH_SIZE, shuffle=True)
    optimizer = optim.AdamW(model.parameters(), 2e-3)
    trainer = Trainer(
        model,
        loss=nn.CrossEntropyLoss(),
        optimizer=optimizer,
        scheduler=optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs * len(batches)),
        scheduler_every="step",
        metrics=("accuracy",),
        device=where,
        name="demo",
    )
    held_out = DataLoader(test, batch_size=256)
    started = time.perf_counter()
    history = trainer.fit(batches, held_out, epochs=epochs)
    seconds = time.perf_counter() - started

    scores = trainer.predict(held_out).cpu().detach().numpy()
    true, images = test.targets.numpy(), test.images.numpy()
    predicted = scores.argmax(axis=1)
    accuracy = float((predicted == true).mean())
    page = write_report(
        out,
        title=f"mlkit demo: {100 * accuracy:.1f} % of the held-out digits",
        history=history,
        model=model,
        summary=summary(model, mlkit.zeros(1, 1, size, size)),
        confusion=confusion_matrix(true, predicted, classes=10),
        wrong=_wrong(images, true, predicted, scores),
        classes=test.classes,
        info={
            "Settings": {
                "data": train.name,
                "training images": len(train),
                "held-out images": len(test),
                "epochs": epochs,
                "batch size": BATCH_SIZE,
                "optimizer": "AdamW, learning rate 0.002 falling to 0 along a cosine",
                "seed": seed,
            },
            "Machine": {
                "device": str(where),
                "training time": f"{seconds:.1f} s",
                "mlkit": mlkit.__version__,
                "NumPy": np.__version__,
            },
        },
    )
    print(f"report: {Path(page).absolute()}")
    print(f"test accuracy {100 * accuracy:.1f} %")
    return 0


def confusion_matrix(true: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """How often each class (row) was taken for each class (column): int64 [classes, classes].

    >>> confusion_matrix(np.array([0, 1, 1]), np.array([0, 1, 0]), classes=2)
    array([[1, 0],
           [1, 1]])
    """
    return np.bincount(true * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def _device(wanted: str) -> str:
    if wanted == "cpu":
        return "cpu"
    if mlkit.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise DeviceError(
            "--device cuda: no GPU can be used on this machine.",
            hint="`mlkit doctor` says why, and what to install; --device cpu trains without one.",
        )
    return "cpu"


def _data(wanted: str) -> tuple[LabelledImages, LabelledImages]:
    read = {"digits": digits, "mnist": mnist, "auto": handwritten_digits}[wanted]
    return read(train=True), read(train=False)


def _wrong(images: np.ndarray, true: np.ndarray, predicted: np.ndarray, scores: np.ndarray) -> list[dict[str, Any]]:
    """The mistakes, those made with most confidence first."""
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    mistakes = np.flatnonzero(predicted != true)
    mistakes = mistakes[np.argsort(-probabilities[mistakes, predicted[mistakes]], kind="stable")]
    return [
        {
            "image": images[i],
            "true": int(true[i]),
            "predicted": int(predicted[i]),
            "probability": float(probabilities[i, predicted[i]]),
        }
        for i in mistakes
    ]
