"""From a drawing to a prediction: centring as the data sets do it, a small network to train, and what its layers gave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import mlkit
from mlkit import nn, optim

INK = 56
"""A drawing has INK x INK dots of 0 (paper) to 255 (ink)."""

MOST_LAYERS, MOST_CHANNELS, MOST_CELLS = 12, 32, 128
QUIET_LAYERS = ("Flatten", "Unflatten", "Dropout", "Dropout1d", "Dropout2d", "Identity")


def digit_network() -> nn.Sequential:
    """The network that is trained when none is given: images float32 [batch, 1, 8, 8] -> scores [batch, 10]."""
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(96, 48),
        nn.ReLU(),
        nn.Linear(48, 10),
    )


def train_digits(
    epochs: int = 12, seed: int = 0, report: Callable[[float, float], bool] | None = None
) -> tuple[Any, float]:
    """A network trained on the shipped digits, each now and then moved by a dot, as hands do.

    Args:
        epochs: How often each of the 1,500 images is seen.
        seed: Decides first weights and order.
        report: Called after each step with the share that is done and the last loss; False stops.

    Returns:
        The network, and its accuracy on the 297 test images.
    """
    from mlkit.data import digits

    train, test = digits(train=True), digits(train=False)
    images, targets = train.images.numpy(), train.targets.numpy()
    draw, size = np.random.default_rng(seed), 50
    with mlkit.random.fork_rng():
        mlkit.manual_seed(seed)
        model = digit_network()
    steps = epochs * (len(images) // size)
    optimizer = optim.AdamW(model.parameters(), lr=4e-3)
    step = 0
    for _ in range(epochs):
        order = draw.permutation(len(images))
        for begin in range(0, len(order) - size + 1, size):
            batch = images[order[begin : begin + size]]
            if draw.random() < 0.3:
                batch = np.roll(batch, int(draw.integers(-1, 2)), axis=3)
            for group in optimizer.param_groups:
                group["lr"] = 4e-3 * (1 - 0.9 * step / steps)
            loss = nn.functional.cross_entropy(
                model(mlkit.as_tensor(np.ascontiguousarray(batch))),
                mlkit.as_tensor(targets[order[begin : begin + size]]),
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if report is not None and report(step / steps, loss.item()) is False:
                return model, float("nan")
    model.eval()
    with mlkit.no_grad():
        told = model(test.images).argmax(dim=1) == test.targets
    return model, told.float().mean().item()


def find_size(model: Any) -> int:
    """The side of the images that a network takes: the first of 8, 28, 32 and 16 that it runs with."""
    problems = []
    for size in (8, 28, 32, 16):
        try:
            run(model, np.zeros((size, size), np.float32))
            return size
        except Exception as error:
            problems.append(f"{size}x{size}: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
    raise ValueError(
        "The network takes none of the images that were tried, float32 [1, 1, size, size]:\n  "
        + "\n  ".join(problems)
        + "\n  Say which it takes: DigitPad(model, size=...)."
    )


def centre(ink: np.ndarray, size: int) -> np.ndarray:
    """A drawing as the data sets have theirs: cut out, scaled with its proportions kept, and put in the middle.

    As in MNIST the longer side becomes 20 of 28 dots, and the middle is the centre of mass. The 8x8 digits fill their
    square from top to bottom, so there the longer side becomes all of it, and the middle is that of the box.

    Args:
        ink: uint8 [rows, columns], 0 where nothing was drawn.
        size: Side of the result.

    Returns:
        float32 [size, size] in 0..1; zeros for an empty drawing.
    """
    rows, columns = np.flatnonzero(ink.max(axis=1) > 24), np.flatnonzero(ink.max(axis=0) > 24)
    if len(rows) == 0:
        return np.zeros((size, size), np.float32)
    part = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float64) / 255
    small = size < 16
    longer = size if small else size * 20 / 28
    scale = longer / max(part.shape)
    if small:
        middle = (np.array(part.shape) - 1) / 2
    else:
        total = part.sum()
        middle = np.array(
            [(part.sum(axis=1) * np.arange(part.shape[0])).sum(), (part.sum(axis=0) * np.arange(part.shape[1])).sum()]
        )
        middle = middle / total
    fine = 4  # each dot is the mean of 4 x 4 places, so that thin lines are not lost between them
    at = (np.arange(size * fine) + 0.5) / fine - size / 2
    y, x = at / scale + middle[0], at / scale + middle[1]
    values = _between(part, y, x).reshape(size, fine, size, fine).mean(axis=(1, 3))
    return values.clip(0, 1).astype(np.float32)


def _between(part: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Values of `part` at all (y, x), linear between dots and 0 outside."""
    padded = np.pad(part, 1)
    y, x = (y + 1).clip(0, padded.shape[0] - 1.001), (x + 1).clip(0, padded.shape[1] - 1.001)
    top, left = y.astype(int), x.astype(int)
    down, right = (y - top)[:, None], (x - left)[None, :]
    above = padded[top][:, left] * (1 - right) + padded[top][:, left + 1] * right
    below = padded[top + 1][:, left] * (1 - right) + padded[top + 1][:, left + 1] * right
    return above * (1 - down) + below * down


def enlarge(image: np.ndarray) -> np.ndarray:
    """An image float [size, size] in 0..1 as a drawing, uint8 [INK, INK]."""
    at = (np.arange(INK) + 0.5) * len(image) / INK - 0.5
    return np.rint(255 * _between(image.astype(np.float64), at, at)).clip(0, 255).astype(np.uint8)


def run(
    model: Any, image: np.ndarray, normalize: tuple[float, float] | None = None
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """What a network makes of one image float32 [size, size].

    Returns:
        The probabilities float32 [classes], and what each layer gave: {"title", "shape", "values"} with values uint8
        [channels, rows, columns], 255 the layer's largest.
    """
    if normalize is not None:
        image = ((image - normalize[0]) / normalize[1]).astype(np.float32)
    layers: list[dict[str, Any]] = []
    stops: list[Any] = []

    def keep(path: str, module: Any) -> Callable[..., None]:
        def hook(_: Any, __: Any, output: Any) -> None:
            if getattr(output, "ndim", 0) in (2, 3, 4) and output.shape[0] == 1:
                layers.append(_layer(path, type(module).__name__, output.detach().cpu().numpy()[0]))

        return hook

    training = getattr(model, "training", False)
    try:
        if hasattr(model, "named_modules"):
            model.eval()
            for path, module in model.named_modules():
                if next(iter(module.children()), None) is None and type(module).__name__ not in QUIET_LAYERS:
                    stops.append(module.register_forward_hook(keep(path, module)))
        with mlkit.no_grad():
            scores = model(mlkit.as_tensor(np.ascontiguousarray(image[None, None], np.float32)))
            if getattr(scores, "ndim", 0) != 2 or scores.shape[0] != 1 or scores.shape[1] < 2:
                shape = list(getattr(scores, "shape", []))
                raise ValueError(f"the network must give scores [1, classes] for one image; it gave {shape}")
            odds = scores.softmax(dim=1).detach().cpu().numpy()[0]
    finally:
        for stop in stops:
            stop.remove()
        if hasattr(model, "train"):
            model.train(training)
    return np.asarray(odds, np.float32), layers[:MOST_LAYERS]


def _layer(path: str, kind: str, values: np.ndarray) -> dict[str, Any]:
    shape = list(values.shape)
    if values.ndim == 3:
        values = values[:MOST_CHANNELS]
    else:
        values = values.reshape(-1)[:MOST_CELLS].reshape(1, 1, -1)
    values = np.nan_to_num(np.asarray(values, np.float64))
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    scaled = np.rint(255 * (values - low) / (high - low)) if high > low else np.zeros_like(values)
    return {"title": kind, "path": path, "shape": shape, "values": scaled.astype(np.uint8)}
