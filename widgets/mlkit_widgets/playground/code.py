"""The playground's experiment as a script, for mlkit or for PyTorch."""

from __future__ import annotations

import inspect
import json
import textwrap
from typing import Any

import numpy as np

from mlkit_widgets.playground.engine import ACTIVATIONS, OPTIMIZERS, Engine
from mlkit_widgets.playground.points import OWN, REACH, RECIPES

__all__ = ["LIBRARIES", "write_script"]

LIBRARIES = ("mlkit", "torch")

EXPRESSIONS = {
    "x": "x",
    "y": "y",
    "x2": "x * x",
    "y2": "y * y",
    "xy": "x * y",
    "sin_x": "np.sin(x)",
    "sin_y": "np.sin(y)",
}


def write_script(engine: Engine, library: str = "mlkit", steps: int | None = None) -> str:
    """A program that trains the same network on the same kind of points.

    With mlkit it takes the very same steps as the playground, as long as no setting was changed on the way. PyTorch
    draws other random numbers, so there the points and first weights differ a little.

    Args:
        engine: The playground's engine.
        library: "mlkit" or "torch".
        steps: How many steps the script trains; by default as many as were made here, at least 1,000.
    """
    if library not in LIBRARIES:
        raise ValueError(f"library must be 'mlkit' or 'torch', got {library!r}.")
    s, points = engine.settings, engine.points
    steps = max(1000, engine.steps) if steps is None else steps
    multi = points.outputs > 1
    what = {"regression": "a value over the plane"}.get(points.kind, f"{len(points.classes)} classes of points")
    parts = [
        f'"""A small network learns {what}. Needs {"mlkit" if library == "mlkit" else "PyTorch"} and NumPy."""\n',
        "import numpy as np",
        f"import {library}",
        f"from {library} import nn, optim",
    ]
    if library == "mlkit" and s.dataset != OWN and s.dataset not in RECIPES:
        parts.append("from mlkit.data import datasets")
    dtype = '.astype("int64")' if multi else ""
    parts += [
        f"\nseed = {s.seed}",
        "",
        "# Points: xy float32 [points, 2], target [points].",
        _points_code(engine, library),
        "",
        "# Training and test points.",
        "draw = np.random.default_rng(seed)",
        "order = draw.permutation(len(xy))",
        f"train, test = order[:{int(engine.is_train.sum())}], order[{int(engine.is_train.sum())}:]",
        "x, y = xy[:, 0], xy[:, 1]",
        f'inputs = np.stack([{", ".join(EXPRESSIONS[name] for name in s.features)}], axis=1).astype("float32")',
        f"inputs, target = {library}.from_numpy(inputs), {library}.from_numpy(target{dtype})",
        "",
        f"{library}.manual_seed(seed)",
        "model = nn.Sequential(",
        *(f"    {line}," for line in _layers(engine)),
        ")",
        f"optimizer = optim.{OPTIMIZERS[s.optimizer][0]}(model.parameters(), lr={s.lr!r}{OPTIMIZERS[s.optimizer][1]})",
        f"loss_function = {_loss_code(points.kind, multi)}",
        "",
        "",
        "def loss_of(index):",
        f"    return loss_function(model(inputs[index]){'' if multi else '[:, 0]'}, target[index])",
        "",
        "",
        "batches = []",
        f"for step in range(1, {steps} + 1):",
        "    if not batches:",
        "        order = draw.permutation(train)",
        f"        batches = [order[i : i + {s.batch_size}] for i in range(0, len(order), {s.batch_size})]",
        "    loss = loss_of(batches.pop(0))",
    ]
    weights = "for name, weight in model.named_parameters() if name.endswith(\"weight\"))"  # fmt: skip
    if s.regularization == "l1":
        parts.append(f"    loss = loss + {s.regularization_rate!r} * sum(weight.abs().sum() {weights}")
    elif s.regularization == "l2":
        parts.append(f"    loss = loss + {s.regularization_rate!r} * sum((weight**2).sum() {weights}")
    parts += [
        "    optimizer.zero_grad()",
        "    loss.backward()",
        "    optimizer.step()",
        f"    if step % {max(1, steps // 10)} == 0:",
        f"        with {library}.no_grad():",
        '            print(f"step {step}: train loss {loss_of(train).item():.4f}, test loss {loss_of(test).item():.4f}")',
    ]
    if points.kind == "classification":
        told = "model(inputs[test]).argmax(dim=1)" if multi else "(model(inputs[test])[:, 0] > 0).float()"
        parts += [
            f"with {library}.no_grad():",
            f"    accuracy = ({told} == target[test]).float().mean().item()",
            'print(f"test accuracy {accuracy:.3f}")',
        ]
    return "\n".join(parts) + "\n"


def _layers(engine: Engine) -> list[str]:
    lines, before = [], len(engine.settings.features)
    for size in engine.settings.layers:
        lines += [f"nn.Linear({before}, {size})", f"nn.{ACTIVATIONS[engine.settings.activation]}()"]
        before = size
    return [*lines, f"nn.Linear({before}, {engine.points.outputs})"]


def _loss_code(kind: str, multi: bool) -> str:
    if kind == "regression":
        return "nn.MSELoss()"
    return "nn.CrossEntropyLoss()" if multi else "nn.BCEWithLogitsLoss()"


def _points_code(engine: Engine, library: str) -> str:
    s, points = engine.settings, engine.points
    if s.dataset == OWN:
        columns, target = points.own
        half = np.array(points.half)
        return "\n".join(
            [
                f"columns = np.array({_rows(columns)})  # {_comment(points.names)}",
                f"target = np.array({_rows(target)}, dtype=\"float32\")"
                + (f"  # {_comment(points.classes)}" if points.classes else "  # scaled to -1..1"),
                f"xy = ((columns - {list(points.middle)!r}) / {half.tolist()!r} * {REACH}).astype(\"float32\")",
            ]
        )  # fmt: skip
    if s.dataset in RECIPES:
        return "\n".join(
            [
                "",
                _recipe(RECIPES[s.dataset]),
                "",
                f"xy, target = {s.dataset}({s.samples}, {s.noise!r}, np.random.default_rng(seed))",
            ]
        )
    call = _datasets_call(s.dataset, s.samples, s.noise) if library == "mlkit" else NUMPY[s.dataset]
    scale, shift = {"circles": (2.3, (0, 0)), "moons": (1.6, (0.5, 0.25)), "spirals": (2.5, (0, 0)),
                    "blobs": (1.0, (0, 0))}[s.dataset]  # fmt: skip
    if library == "mlkit":
        place = f"(made.points.numpy() - np.float32({shift}))" if any(shift) else "made.points.numpy()"
        return "\n".join(
            [
                f"made = {call}",
                f"xy = {place} * np.float32({scale})",
                'target = made.targets.numpy().astype("float32")',
            ]
        )
    noise = {"circles": 0.3 * s.noise, "moons": 0.5 * s.noise, "spirals": 0.15 * s.noise, "blobs": 0.3 + s.noise}
    return "\n".join(
        [
            f"count = {s.samples}",
            "draw = np.random.default_rng(seed)",
            textwrap.dedent(call).strip(),
            f"xy = xy + draw.normal(0, {noise[s.dataset]:.6g}, xy.shape)",
            f'xy, target = ({f"(xy - {shift})" if any(shift) else "xy"} * {scale}).astype("float32"), target.astype("float32")',
        ]
    )


def _datasets_call(name: str, samples: int, noise: float) -> str:
    seeded = "generator=mlkit.Generator().manual_seed(seed)"
    return {
        "circles": f"datasets.circles({samples}, {0.3 * noise!r}, factor=0.45, {seeded})",
        "moons": f"datasets.moons({samples}, {0.5 * noise!r}, {seeded})",
        "spirals": f"datasets.spirals({samples}, {0.15 * noise!r}, classes=2, turns=1.0, {seeded})",
        "blobs": f"datasets.blobs({samples}, [(-1.3, -1.1), (1.4, -0.8), (0.0, 1.4)], {0.3 + noise!r}, {seeded})",
    }[name]


NUMPY = {
    "circles": """
        target = np.arange(count) % 2
        turn = draw.uniform(0, 2 * np.pi, count)
        xy = np.where(target == 1, 0.45, 1.0)[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    """,
    "moons": """
        target = np.arange(count) % 2
        turn = draw.uniform(0, np.pi, count)
        upper, lower = np.stack([np.cos(turn), np.sin(turn)], axis=1), np.stack([1 - np.cos(turn), 0.5 - np.sin(turn)], axis=1)
        xy = np.where(target[:, None] == 0, upper, lower)
    """,
    "spirals": """
        target = np.arange(count) % 2
        radius = draw.uniform(0.05, 1, count)
        turn = 2 * np.pi * (radius + target / 2)
        xy = radius[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    """,
    "blobs": """
        target = np.arange(count) % 3
        xy = np.array([(-1.3, -1.1), (1.4, -0.8), (0.0, 1.4)])[target]
    """,
}


def _recipe(function: Any) -> str:
    return inspect.getsource(function).replace("  # type: ignore[no-untyped-def]", "") + "\n"


def _rows(values: Any) -> str:
    """Numbers as a list that fits the page."""
    items = [json.dumps([float(f"{v:.8g}") for v in row]) if np.ndim(row) else f"{float(row):.8g}" for row in values]
    lines = textwrap.wrap(
        ", ".join(item.replace(", ", ",\N{NO-BREAK SPACE}") for item in items), 108, break_long_words=False
    )
    return "[\n" + "\n".join("    " + line.replace("\N{NO-BREAK SPACE}", " ") for line in lines) + "\n]"


def _comment(names: Any) -> str:
    """Texts from data, on one line whatever they hold."""
    return ", ".join(json.dumps(name, ensure_ascii=True) for name in names)
