"""The digit pad as a still picture: what a saved notebook shows when there is no kernel."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlkit.display.png import data_uri, encode
from mlkit_widgets._svg import document, shorten, text

WIDTH, HEIGHT = 900.0, 330.0


def draw(
    ink: np.ndarray, image: np.ndarray, odds: np.ndarray, names: list[str], layers: list[dict[str, Any]], words: str
) -> str:
    """The drawing, what the network got, its answer and its layers, as an SVG."""
    body = [
        text(20, 30, "Digit pad", 15, font_weight="600"),
        text(108, 30, shorten(words, 90), 13, "var(--quiet)"),
        _picture(255 - ink, 20, 50, 230),
        text(20, 297, "as it was drawn", 11, "var(--quiet)"),
        _picture(255 - np.rint(255 * image).astype(np.uint8), 272, 50, 88),
        text(272, 153, f"as the network gets it, {image.shape[0]}×{image.shape[1]}", 11, "var(--quiet)"),
    ]
    step = min(24.0, 240.0 / max(1, len(names)))
    for row, name in enumerate(names[:24]):
        y, value = 50 + row * step, float(odds[row]) if row < len(odds) else 0.0
        best = len(odds) > 0 and row == int(odds.argmax())
        body.append(text(452, y + step / 2 + 4, shorten(name, 10), 12, text_anchor="end",
                         font_weight="700" if best else "400"))  # fmt: skip
        body.append(f'<rect x="460" y="{y + 4:.1f}" width="120" height="{step - 8:.1f}" rx="3" fill="var(--grid)"/>')
        body.append(f'<rect x="460" y="{y + 4:.1f}" width="{120 * value:.1f}" height="{step - 8:.1f}" rx="3" '
                    f'fill="{"var(--train)" if best else "var(--quiet)"}"/>')  # fmt: skip
        if len(odds):
            body.append(text(624, y + step / 2 + 4, f"{100 * value:.0f} %", 11, "var(--quiet)", text_anchor="end"))
    y = 54.0
    for layer in layers:
        values = layer["values"]
        if values.shape[0] == 1 or y > 270:
            continue
        body.append(text(648, y + 8, f"{layer['title']} {'×'.join(map(str, layer['shape']))}", 11, "var(--quiet)"))
        shown = values[:12]
        for channel, one in enumerate(shown):
            body.append(_picture(one, 648 + 19.5 * channel, y + 14, 17.5))
        y += 42
    return document(WIDTH, HEIGHT, f"Digit pad: {words}", "".join(body))


def _picture(pixels: np.ndarray, x: float, y: float, size: float) -> str:
    return (
        f'<image x="{x:g}" y="{y:g}" width="{size:g}" height="{size:g}" style="image-rendering:pixelated" '
        f'href="{data_uri(encode(np.ascontiguousarray(pixels)))}"/>'
        f'<rect x="{x:g}" y="{y:g}" width="{size:g}" height="{size:g}" fill="none" stroke="var(--line)"/>'
    )
