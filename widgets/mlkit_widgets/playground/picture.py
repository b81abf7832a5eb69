"""The playground as a still picture: what a saved notebook shows when there is no kernel."""

from __future__ import annotations

import numpy as np

from mlkit.display.png import data_uri, encode
from mlkit_widgets._svg import document, number, text
from mlkit_widgets.playground.engine import FEATURES, Engine
from mlkit_widgets.playground.points import EXTENT

WIDTH, HEIGHT = 900.0, 420.0
TOP, PLANE = 70.0, 280.0
BOX = 30.0

LOW, MIDDLE, HIGH = (214, 106, 28), (240, 242, 245), (38, 99, 205)
"""The first class or -1, nothing, and the second class or 1: as in view.css."""

CLASSES = ((214, 106, 28), (38, 99, 205), (31, 138, 90), (139, 75, 190), (200, 60, 90), (17, 138, 160), (150, 120, 20),
           (110, 110, 120))  # fmt: skip


def colours(values: np.ndarray) -> np.ndarray:
    """int8 [...] from -127 to 127 as RGB uint8 [..., 3]."""
    share = values.astype(np.float64)[..., None] / 127
    low, middle, high = (np.array(colour, np.float64) for colour in (LOW, MIDDLE, HIGH))
    mixed = np.where(share < 0, middle + (low - middle) * -share, middle + (high - middle) * share)
    return np.rint(np.clip(mixed, 0, 255)).astype(np.uint8)


def surface_colours(surface: np.ndarray) -> np.ndarray:
    """int8 [outputs, rows, columns] as RGB: one output by its value, several mixed by their shares."""
    if len(surface) == 1:
        return colours(np.rint(0.6 * surface[0]).astype(np.int8))
    share = surface.astype(np.float64) / 127
    sharp = share**2 / np.maximum((share**2).sum(axis=0), 1e-9)
    mixed = np.einsum("krc,kv->rcv", sharp, np.array(CLASSES[: len(surface)], np.float64))
    return np.rint(0.55 * mixed + 0.45 * 242).clip(0, 255).astype(np.uint8)


def css(colour: tuple[int, int, int]) -> str:
    return f"rgb({colour[0]},{colour[1]},{colour[2]})"


def draw(engine: Engine) -> str:
    """The network with every neuron's picture, the plane with its points, and the curves."""
    pictures, _, surface = engine.pictures()
    s, points, losses = engine.settings, engine.points, engine.losses()
    name = "your points" if s.dataset == "own" else s.dataset
    numbers = f"step {engine.steps:,} · train loss {number(losses['train'])} · test loss {number(losses['test'])}"
    if points.kind == "classification":
        numbers += f" · test accuracy {100 * engine.accuracies()['test']:.0f} %"
    how = f"{s.activation} · {s.optimizer}, learning rate {s.lr:g}, batches of {s.batch_size}"
    body = [
        text(20, 30, f"Playground: {name}", 15, font_weight="600"),
        text(20, 49, f"{numbers}   ·   {how}", 12, "var(--quiet)"),
    ]
    left = WIDTH - PLANE - 24
    body += _network(engine, pictures, 20.0, left - 30)
    body.append(_image(surface_colours(surface), left, TOP, PLANE))
    body += _dots(engine, left)
    body += _curves(engine.history, left, TOP + PLANE + 8)
    return document(WIDTH, HEIGHT, f"Playground on {name}: {numbers}", "".join(body))


def _image(pixels: np.ndarray, x: float, y: float, size: float) -> str:
    return (
        f'<image x="{x:.1f}" y="{y:.1f}" width="{size:g}" height="{size:g}" preserveAspectRatio="none" '
        f'href="{data_uri(encode(np.ascontiguousarray(pixels)))}"/>'
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{size:g}" height="{size:g}" fill="none" stroke="var(--line)"/>'
    )


def _network(engine: Engine, pictures: np.ndarray, left: float, right: float) -> list[str]:
    sizes = [len(engine.settings.features), *engine.settings.layers, engine.points.outputs]
    heads = ["inputs", *(f"{size} neuron{'s' if size != 1 else ''}" for size in engine.settings.layers), "output"]
    gap = (right - left - BOX - 40) / max(1, len(sizes) - 1)
    pitch = min(42.0, 320.0 / max(sizes))
    places: list[list[tuple[float, float]]] = []
    body, wires = [], []
    for column, (size, head) in enumerate(zip(sizes, heads)):
        x = left + 34 + column * gap
        top = TOP + 22 + (320 - pitch * size) / 2
        places.append([(x, top + pitch * row + (pitch - BOX) / 2) for row in range(size)])
        body.append(text(x + BOX / 2, TOP + 10, head, 11, "var(--quiet)", text_anchor="middle"))
    weights = engine.weights()
    largest = max(1e-9, *(float(np.abs(weight).max()) for weight, _ in weights))
    for column, (weight, _) in enumerate(weights):
        for row, (x2, y2) in enumerate(places[column + 1]):
            for source, (x1, y1) in enumerate(places[column]):
                value = float(weight[row, source])
                if not np.isfinite(value):
                    continue
                a, b, mid = x1 + BOX, x2, (x1 + BOX + x2) / 2
                wires.append(
                    f'<path d="M{a:.1f} {y1 + BOX / 2:.1f}C{mid:.1f} {y1 + BOX / 2:.1f} {mid:.1f} {y2 + BOX / 2:.1f} '
                    f'{b:.1f} {y2 + BOX / 2:.1f}" fill="none" stroke="{css(HIGH if value > 0 else LOW)}" '
                    f'stroke-opacity=".75" stroke-width="{0.4 + 4.5 * min(1, abs(value) / largest):.2f}"/>'
                )
    index = 0
    for column, column_places in enumerate(places):
        for row, (x, y) in enumerate(column_places):
            body.append(_image(colours(pictures[index][::2, ::2]), x, y, BOX))
            if column == 0:
                title = FEATURES[engine.settings.features[row]][0]
                body.append(text(x - 6, y + BOX / 2 + 4, title, 11, text_anchor="end"))
            index += 1
    return wires + body


def _dots(engine: Engine, left: float) -> list[str]:
    points, dots = engine.points, []
    for (x, y), target, train in zip(points.xy.tolist(), points.target.tolist(), engine.is_train.tolist()):
        if abs(x) > EXTENT or abs(y) > EXTENT or not train:
            continue
        if points.kind == "regression":
            fill = css(tuple(colours(np.array([round(127 * max(-1, min(1, target)))], np.int8))[0].tolist()))
        else:
            fill = css(CLASSES[int(target)])
        cx, cy = left + PLANE * (x + EXTENT) / (2 * EXTENT), TOP + PLANE * (EXTENT - y) / (2 * EXTENT)
        dots.append(f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="3" fill="{fill}" stroke="#fff" stroke-width="1"/>')
    return dots[:600]


def _curves(history: list[tuple[float, float, float]], left: float, top: float) -> list[str]:
    table = np.array(history, np.float64)
    table = table[np.isfinite(table).all(axis=1)]
    if len(table) < 2:
        return []
    height, high = 46.0, max(float(table[:, 1:].max()), 1e-9)
    x = left + PLANE * (table[:, 0] - table[0, 0]) / max(1.0, float(table[-1, 0] - table[0, 0]))
    body = []
    for column, colour in ((2, "var(--valid)"), (1, "var(--train)")):
        y = top + height - height * table[:, column] / high
        line = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y))
        body.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    return body
