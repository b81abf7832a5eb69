"""The picture that suits an array's shape: values, heat map, image strip, facets, a line.

Large arrays are thinned by taking every k-th row and column, and the caption says so.
"""

from __future__ import annotations

import base64
import re
from typing import Any

import numpy as np

from mlkit.display import colors, png, svg
from mlkit.display.markup import escape, image, number, scroll, shape_text
from mlkit.display.sample import is_float, numbers, to_numpy

NAN, GAP = 254, 255  # palette entries after the map's 254 colours
NAN_COLOUR = (224, 0, 138)


def picture(array: Any, budget: int = 20_000, name: str = "values") -> str:
    """HTML with a picture of ``array`` (NumPy or CuPy, any shape and dtype) of at most about ``budget`` encoded bytes."""
    shape, rank = array.shape, array.ndim
    if 0 in shape:
        return '<p class="note">empty: no values</p>'
    if _fits_a_table(shape):
        return _values(to_numpy(array))
    images = as_images(array)
    if images is not None:
        return _images(images, budget, name)
    if rank == 1:
        return _line(array, name)
    if rank == 2:
        return _heat_map(array, budget, name)
    return _facets(array, budget, name)


# -- values ---------------------------------------------------------------------------------------------------------


def _fits_a_table(shape: tuple[int, ...]) -> bool:
    if len(shape) == 0:
        return True
    if len(shape) == 1:
        return shape[0] <= 12
    rows, columns = shape[-2:]
    tables = int(np.prod(shape[:-2]))
    return columns <= 10 and rows <= 10 and tables <= 4 and rows * columns * tables <= 80


def _ink(rgb: np.ndarray) -> str:
    """Black or white text, whichever stands out more: always at least 4.5:1."""
    linear = np.where(rgb <= 10.3, rgb / 3294.6, ((rgb / 255 + 0.055) / 1.055) ** 2.4)
    return "#000" if float(linear @ (0.2126, 0.7152, 0.0722)) > 0.179 else "#fff"


def _cell(value: Any, index: int, palette: np.ndarray) -> str:
    item = value.item() if hasattr(value, "item") else value
    if isinstance(item, (float, complex, np.floating)) or type(item).__module__ == "ml_dtypes":
        item = complex(item) if isinstance(item, complex) else float(item)
    text = escape(number(item, 3))
    if index == NAN:
        return f'<td class="warn">{text}</td>'
    rgb = palette[index]
    return f'<td style="background:#{bytes(rgb.tolist()).hex()};color:{_ink(rgb)}">{text}</td>'


def _values(array: np.ndarray) -> str:
    if array.ndim == 0:
        item = array[()]
        return f'<table class="values"><tbody><tr>{_cell(item, NAN, colors.grey()) if _bad(item) else _plain(item)}</tr></tbody></table>'
    index, palette, _ = _indices(numbers(array), array.dtype.kind)
    blocks = []
    leading = array.shape[:-2] if array.ndim > 2 else ()
    for at in np.ndindex(*leading):
        values, shades = np.atleast_2d(array[at]), np.atleast_2d(index[at])
        rows = "".join(
            "<tr>" + "".join(_cell(v, int(i), palette) for v, i in zip(row, shade, strict=True)) + "</tr>"
            for row, shade in zip(values, shades, strict=True)
        )
        title = f"<caption>[{', '.join(map(str, at))}]</caption>" if at else ""
        blocks.append(f'<table class="values">{title}<tbody>{rows}</tbody></table>')
    tables = f'<div class="row">{"".join(blocks)}</div>' if len(blocks) > 1 else blocks[0]
    return scroll(tables, "values") if array.shape[-1] > 5 else tables


def _bad(item: Any) -> bool:
    return not bool(np.isfinite(numbers(np.asarray(item))))


def _plain(item: Any) -> str:
    value = item.item() if hasattr(item, "item") else item
    return f"<td>{escape(number(value if isinstance(value, (bool, int, complex)) else float(value), 6))}</td>"


# -- colours ----------------------------------------------------------------------------------------------------------


def _indices(values: np.ndarray, kind: str, grey: bool = False) -> tuple[np.ndarray, np.ndarray, str]:
    """(uint8 palette indices, palette (256, 3), words for the scale). NaN and Inf get a colour of their own."""
    good = np.isfinite(values)
    finite = values[good]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    clipped = ""
    if grey:
        table = colors.grey()
        words = f"black {number(low, 3)}, white {number(high, 3)}"
    elif low < 0 < high or (low < 0 and high <= 0):
        # Zero is in the middle. A few outliers must not wash everything else out: then the scale stops before them.
        reach = max(-low, high)
        if finite.size > 200:
            near = float(np.quantile(np.abs(finite), 0.995))
            if 0 < near * 4 < reach:
                reach, clipped = near, ", values beyond drawn at the ends"
        low, high = -reach, reach
        table = colors.diverging()
        words = f"blue {number(low, 3)}, white 0, orange {number(high, 3)}"
    else:
        table = colors.sequential()
        words = f"dark {number(low, 3)}, bright {number(high, 3)}"
    span = high - low
    scaled = (np.where(good, values, low) - low) * (253.0 / span) if span > 0 else np.full(values.shape, 126.0)
    index = np.clip(scaled.round(), 0, 253).astype(np.uint8)
    index[~good] = NAN
    palette = np.concatenate([table, np.array([NAN_COLOUR, (0, 0, 0)], np.uint8)])
    if not finite.size:
        words = "no finite value"
    elif not good.all():
        clipped += ", NaN and Inf pink"
    return index, palette, words + clipped


# -- one matrix -------------------------------------------------------------------------------------------------------


def _steps(shape: tuple[int, int], cells: int, side: int = 400) -> tuple[int, int]:
    """How many rows and columns to skip so that at most ``cells`` remain, none of the sides above ``side``."""
    rows, columns = max(1, -(-shape[0] // side)), max(1, -(-shape[1] // side))
    while -(-shape[0] // rows) * -(-shape[1] // columns) > cells:
        if shape[0] / rows >= shape[1] / columns:
            rows += 1
        else:
            columns += 1
    return rows, columns


def _enlarge(pixels: np.ndarray, scale: int) -> np.ndarray:
    # Viewers without our stylesheet blur what they enlarge, so small pictures are enlarged in the file: runs of three
    # and more cost almost nothing. Doubling would double the file; there the stylesheet's "pixelated" has to do.
    return np.repeat(np.repeat(pixels, scale, 0), scale, 1) if scale >= 3 else pixels


def _thinned(rows: int, columns: int) -> str:
    if rows == columns == 1:
        return ""
    which = [f"every {_nth(k)} {axis}" for k, axis in ((rows, "row"), (columns, "column")) if k > 1]
    return ", " + " and ".join(which)


def _nth(k: int) -> str:
    ending = "th" if 10 <= k % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(k % 10, "th")
    return f"{k:,}{ending}"


def _heat_map(array: Any, budget: int, name: str) -> str:
    shape = array.shape
    step = _steps(shape, min(budget, 20_000))
    values = numbers(to_numpy(array[:: step[0], :: step[1]]))
    grey = array.dtype.kind == "u" and array.dtype.itemsize == 1
    index, palette, words = _indices(values, array.dtype.kind, grey=grey)
    height, width = index.shape
    scale = max(1, min(14, 400 // width, 220 // height))
    if height * 24 < width or width * 24 < height:  # a few long rows: make them thick enough to see
        thick = max(1, 48 // min(height, width))
        index = np.repeat(index, thick, 0 if height < width else 1)
        height, width = index.shape
        scale = max(1, 320 // max(height, width))
    data = png.encode(_enlarge(index, scale), palette, GAP)
    alt = f"heat map of {name} {shape_text(shape)}: {words}"
    caption = f"{words}{_thinned(*step)}"
    return f"<figure>{image(png.data_uri(data), alt, width * scale, height * scale, 'pixels')}<figcaption>{escape(caption)}</figcaption></figure>"


def _line(array: Any, name: str) -> str:
    step = max(1, -(-int(array.size) // 600))
    values = numbers(to_numpy(array[::step]))
    first = ", ".join(number(_item(v), 3) for v in to_numpy(array[:8]))
    beginning = f"first values <code>{escape(first)}, …</code>"
    if not is_float(array):
        return f'<p class="note">{beginning}</p>'
    line = svg.Series(name, np.arange(len(values)) * step, values)
    chart = svg.lines([line], xlabel="index", width=320, height=130, log=False, limit=300, legend=False)
    every = f"every {_nth(step)} value" if step > 1 else "all values in order"
    drawn = svg.embed(chart, f"{name} in order", 320, 130)
    return f"<figure>{drawn}<figcaption>{every}<br>{beginning}</figcaption></figure>"


def _item(value: Any) -> Any:
    item = value.item() if hasattr(value, "item") else value
    return item if isinstance(item, (bool, int, complex)) else float(item)


# -- images -----------------------------------------------------------------------------------------------------------


def as_images(array: Any) -> Any | None:
    """The array seen as images (N, H, W, C), or None where it does not look like images."""
    shape, rank = array.shape, array.ndim
    byte = array.dtype.kind == "u" and array.dtype.itemsize == 1
    if array.dtype.kind == "c" or (array.dtype.kind in "ib" and not byte):
        return None

    def looks(height: int, width: int, least: int = 8) -> bool:
        return height >= least and width >= least and max(height, width) <= 4 * min(height, width)

    if rank == 4:
        if shape[1] in (1, 3) and looks(shape[2], shape[3], 5 if shape[1] == 3 else 8):
            return array.transpose(0, 2, 3, 1)
        if shape[3] in (1, 3) and looks(shape[1], shape[2]):
            return array
    if rank == 3:
        if shape[0] in (1, 3) and looks(shape[1], shape[2]):
            return array.transpose(1, 2, 0)[None]
        if shape[2] in (1, 3) and looks(shape[0], shape[1]):
            return array[None]
        if looks(shape[1], shape[2]) and max(shape[1:]) <= 2 * min(shape[1:]) and not bool((array[:16] < 0).any()):
            return array[..., None]
    if rank == 2 and byte and looks(*shape):
        return array[None, ..., None]
    return None


def pixels(images: np.ndarray, low: float, high: float) -> np.ndarray:
    """uint8 pixels of images whose values lie in [low, high]; NaN becomes black."""
    if images.dtype == np.uint8:
        return images
    span = (high - low) or 1.0
    return np.nan_to_num(np.clip((numbers(images) - low) * (255.0 / span), 0, 255)).round().astype(np.uint8)


def image_png(one: np.ndarray, size: int) -> tuple[str, int, int]:
    """(data URI, width, height in CSS pixels) of one uint8 image (H, W, 1 or 3) shown about ``size`` pixels large."""
    height, width = one.shape[:2]
    scale = max(1, round(size / max(height, width)))
    flat = one[..., 0] if one.shape[-1] == 1 else one
    return png.data_uri(png.encode(_enlarge(np.ascontiguousarray(flat), scale))), width * scale, height * scale


def _images(images: Any, budget: int, name: str) -> str:
    total, height, width, channels = images.shape
    most = 1 if total == 1 else 16
    step = max(1, -(-max(height, width) // (128 if total == 1 else 64)))
    while step < max(height, width) and (height // step) * (width // step) * channels > budget:
        step += 1
    shown = to_numpy(images[:most, ::step, ::step])
    low, high, words = brightness(shown)
    ready = pixels(shown, low, high)
    size = 160 if total == 1 else 56
    parts: list[str] = []
    used = 0
    for one in ready:
        uri, w, h = image_png(one, size)
        used += len(uri) * 3 // 4
        if parts and used > budget:
            break
        parts.append(image(uri, "", w, h, "pixels"))
    more = f"{len(parts)} of {total:,} images" if len(parts) < total else ""
    thin = f"every {_nth(step)} pixel" if step > 1 else ""
    caption = ", ".join(part for part in (more, words, thin) if part)
    label = f"{name} as {'an image' if total == 1 else 'images'}" + (f", {caption}" if caption else "")
    return (
        f'<figure><div class="strip" role="img" aria-label="{escape(label)}">{"".join(parts)}</div>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def still(array: Any, budget: int = 20_000) -> bytes | None:
    """PNG bytes of the picture that ``picture`` shows, for formats without HTML; None where it is numbers or a line."""
    if 0 in array.shape or _fits_a_table(array.shape) or array.ndim < 2:
        return None
    images = as_images(array)
    if images is None:
        found = re.search(r"data:image/png;base64,([A-Za-z0-9+/=]+)", picture(array, budget))
        return base64.b64decode(found[1]) if found else None
    step = max(1, -(-max(images.shape[1:3]) // (128 if len(images) == 1 else 64)))
    shown = to_numpy(images[:16, ::step, ::step])
    ready = pixels(shown, *brightness(shown)[:2])
    scale = max(1, round((160 if len(ready) == 1 else 56) / max(ready.shape[1:3])))
    tiles = [
        np.pad(one.repeat(scale, 0).repeat(scale, 1), ((0, 4), (0, 4), (0, 0)), constant_values=255) for one in ready
    ]
    while True:
        rows = [np.concatenate(tiles[k : k + 8], 1) for k in range(0, len(tiles), 8)]
        widest = max(row.shape[1] for row in rows)
        rows = [np.pad(row, ((0, 0), (0, widest - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
        canvas = np.concatenate(rows, 0)[:-4, :-4]
        data = png.encode(np.ascontiguousarray(canvas[..., 0] if canvas.shape[-1] == 1 else canvas))
        if len(data) <= 2 * budget or len(tiles) == 1:
            return data
        tiles = tiles[: len(tiles) // 2]  # noise does not shrink


def brightness(shown: np.ndarray) -> tuple[float, float, str]:
    """(value drawn black, value drawn white, words when that is not 0 and 1 or 0 and 255)."""
    if shown.dtype == np.uint8:
        return 0.0, 255.0, ""
    values = numbers(shown)
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0, "no finite value"
    low, high = float(finite.min()), float(finite.max())
    if 0 <= low and high <= 1 and high > 0.2:
        return 0.0, 1.0, ""
    return low, high, f"black {number(low, 3)}, white {number(high, 3)}"


# -- facets -----------------------------------------------------------------------------------------------------------


def _facets(array: Any, budget: int, name: str) -> str:
    """Heat maps of the last two axes in a grid: rows are the axis before them, or what comes before flattened."""
    shape = array.shape
    kept = [axis for axis in range(array.ndim - 2) if shape[axis] > 1]  # one input channel is no axis to spread out
    array = array.reshape(*([shape[axis] for axis in kept] or [1]), *shape[-2:])
    height, width = array.shape[-2:]
    leading = array.shape[:-2]
    grid_rows, grid_columns = (1, leading[0]) if len(leading) == 1 else (leading[-2], leading[-1])
    if len(leading) == 1:  # a row of facets may wrap
        grid_columns = min(leading[0], 8)
        grid_rows = -(-min(leading[0], 16) // grid_columns)
    shown_rows, shown_columns = min(grid_rows, 6), min(grid_columns, 8)
    step = _steps((height, width), max(64, min(budget, 20_000) // (shown_rows * shown_columns)), side=48)
    tiles = []
    for i in range(shown_rows):
        for j in range(shown_columns):
            if len(leading) == 1:
                at: tuple[int, ...] = (i * shown_columns + j,)
                if at[0] >= leading[0]:
                    break
            else:
                at = (0,) * (len(leading) - 2) + (i, j)
            tiles.append(to_numpy(array[(*at, slice(None, None, step[0]), slice(None, None, step[1]))]))
    values = numbers(np.stack(tiles))
    index, palette, words = _indices(values, array.dtype.kind)
    h, w = index.shape[1:]
    scale = max(1, min(10, 44 // max(h, w)))
    index = np.stack([_enlarge(tile, scale) for tile in index])
    inside = scale if scale >= 3 else 1
    h, w, gap = h * inside, w * inside, 2
    canvas = np.full((shown_rows * (h + gap) - gap, shown_columns * (w + gap) - gap), GAP, np.uint8)
    for k, tile in enumerate(index):
        y, x = (k // shown_columns) * (h + gap), (k % shown_columns) * (w + gap)
        canvas[y : y + h, x : x + w] = tile
    outside = scale // inside
    total = int(np.prod(leading))
    caption = words
    if len(tiles) < total:
        caption = f"{len(tiles)} of {total:,} maps, {words}"
    caption += _thinned(*step)
    alt = f"{name} {shape_text(shape)} as heat maps of the last two axes: {caption}"
    return f"<figure>{image(png.data_uri(png.encode(canvas, palette, GAP)), alt, canvas.shape[1] * outside, canvas.shape[0] * outside, 'pixels')}<figcaption>{escape(caption)}</figcaption></figure>"
