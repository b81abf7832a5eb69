"""An image transform as HTML: a test picture before, and what comes of it after each step.

The random state is as it was afterwards, and the picture is made here: no file, no network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mlkit.display import picture
from mlkit.display.dataset import _unchanged
from mlkit.display.markup import card, escape, image, scroll, shape_text, strip
from mlkit.display.sample import dtype_name, raw, to_numpy

DRAWS = 5  # of one random transform
STEPS = 12


def html(transform: Any) -> str:
    """A card: before and after, step by step for a Compose, several draws where chance takes part."""
    kind = type(transform).__name__
    head = f'<p class="head"><b>{escape(kind, 60)}</b> <span class="soft">transform</span></p>'
    settings = f"<pre>{escape(repr(transform), 1500)}</pre>"
    try:
        shown = _unchanged(lambda: strips(transform))
    except Exception as error:
        words = escape(f"{type(error).__name__}: {' '.join(str(error).split())}", 300)
        shown = f'<p class="note">no picture: it does not take a test image ({words})</p>'
    return card("transform", head, settings, shown)


def strips(transform: Any) -> str:
    """The rows of pictures. Raises what the transform raises on every kind of test image."""
    start, first = _first_that_works(transform)
    steps = _steps(transform)
    before = [("before", start)]
    rows = []
    if len(steps) > 1:
        at, shown = start, list(before)
        for step in steps[:STEPS]:
            at = step(at)
            shown.append((type(step).__name__ if not hasattr(step, "__name__") else step.__name__, at))
        rows.append(("step by step", shown))
    else:
        rows.append(("before and after", [*before, ("after", first)]))
    draws = [first] + [transform(start) for _ in range(DRAWS - 1)]
    if not all(_same(first, other) for other in draws[1:]):
        rows.append(("drawn again", [(f"draw {i + 1}", draw) for i, draw in enumerate(draws)]))
    return "".join(scroll(_row(title, shown), title) for title, shown in rows)


def _steps(transform: Any) -> list[Callable[[Any], Any]]:
    if type(transform).__name__ == "Compose":
        return list(transform.transforms)
    return [transform]


def _first_that_works(transform: Any) -> tuple[Any, Any]:
    """(test image, result) of the first kind of image that the transform takes."""
    failure: Exception | None = None
    for make in _KINDS:
        try:
            start = make()
            return start, transform(start)
        except Exception as error:  # the first kind's error is told: it is the usual kind
            failure = failure or error
    raise failure or ValueError("no test image")


def test_image(size: int = 96) -> np.ndarray:
    """uint8 [size, size, 3]: a picture in which turns, mirrors, crops and colours can be told.

    >>> test_image(16).shape
    (16, 16, 3)
    """
    y, x = np.mgrid[0:size, 0:size] / size
    out = np.stack([90 + 120 * x, 120 + 80 * y, 220 - 90 * x], -1)
    out[(x - 0.72) ** 2 + (y - 0.26) ** 2 < 0.022] = (250, 210, 70)  # a sun to the right
    out[y > 0.62 + 0.08 * np.sin(9 * x)] = (60, 120, 70)
    stem = (np.abs(x - 0.26) < 0.045) & (y > 0.28) & (y < 0.86)
    bars = (x > 0.22) & (((np.abs(y - 0.32) < 0.045) & (x < 0.54)) | ((np.abs(y - 0.53) < 0.04) & (x < 0.44)))
    out[stem | bars] = (250, 250, 250)  # an F: no mirror or turn of it is the same
    return out.round().astype(np.uint8)


test_image.__test__ = False  # type: ignore[attr-defined]  # no test, a picture


def _pillow(size: int, mode: str) -> Any:
    from PIL import Image

    return Image.fromarray(test_image(size)).convert(mode)


def _tensor(size: int, channels: int) -> Any:
    import mlkit

    planes = test_image(size).transpose(2, 0, 1).astype(np.float32) / 255
    return mlkit.from_numpy(np.ascontiguousarray(planes if channels == 3 else planes.mean(0, keepdims=True)))


_KINDS: tuple[Callable[[], Any], ...] = (
    lambda: _pillow(96, "RGB"),
    lambda: _pillow(256, "RGB"),
    lambda: _pillow(96, "L"),
    lambda: _tensor(96, 3),
    lambda: _tensor(96, 1),
    lambda: test_image(96),
)


def _row(title: str, shown: list[tuple[str, Any]]) -> str:
    figures = []
    for label, value in shown:
        many = value if isinstance(value, (tuple, list)) else (value,)
        for one in many[:6]:
            figures.append(_figure(label, one))
    return f"<h4>{escape(title)}</h4>{strip(figures, 5)}"


def _pixels(value: Any) -> tuple[np.ndarray | None, str]:
    """([H, W, 1 or 3] of an image of any kind, words for what it is)."""
    if hasattr(value, "getbands"):
        array = np.asarray(value.convert("L" if value.mode in ("L", "1", "I", "F") else "RGB"))
        return (array if array.ndim == 3 else array[..., None]), f"image {value.mode} {value.height} x {value.width}"
    if hasattr(value, "_array"):
        array = raw(value)
        words = f"{dtype_name(value)} {shape_text(value.shape)}"
        if array is None or array.ndim != 3:
            return None, words
        return to_numpy(array).transpose(1, 2, 0), words
    if isinstance(value, np.ndarray):
        words = f"array {value.dtype} {shape_text(value.shape)}"
        return (value[..., None] if value.ndim == 2 else value if value.ndim == 3 else None), words
    return None, type(value).__name__


def _figure(label: str, value: Any) -> str:
    array, words = _pixels(value)
    caption = f"<figcaption>{escape(label, 24)}<br>{escape(words, 60)}</figcaption>"
    if array is None or array.shape[-1] not in (1, 3):
        return f"<figure>{caption}</figure>"
    low, high, _ = picture.brightness(array)
    step = max(1, -(-max(array.shape[:2]) // 64))
    uri, width, height = picture.image_png(picture.pixels(array[::step, ::step], low, high), 96)
    return f"<figure>{image(uri, f'{label}: {words}', width, height, 'pixels')}{caption}</figure>"


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, (tuple, list)):
        return isinstance(b, (tuple, list)) and len(a) == len(b) and all(map(_same, a, b))
    first, second = _pixels(a)[0], _pixels(b)[0]
    if first is None or second is None:
        return True
    return first.shape == second.shape and bool(np.array_equal(first, second))
