"""Pieces of HTML that every display is made of: escaping, numbers, tables, the card with its stylesheet.

Notebook viewers differ in what they let through: JupyterLab drops ``<style>`` and ``<svg>`` from an untrusted notebook
and keeps ``<img>``, ``<details>`` and tables; GitHub drops ``style`` attributes too. So drawings are images (data URIs),
structure is in the elements themselves, and the stylesheet only makes them prettier.
"""

from __future__ import annotations

import functools
import html as _html
import math
import re
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any

from mlkit.display import colors

# HTML allows neither control characters nor lone surrogates nor noncharacters, however they are written.
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane + last) for plane in range(0, 0x110000, 0x10000) for last in (0xFFFE, 0xFFFF))
    + "]"
)


def escape(value: object, limit: int | None = None) -> str:
    """``value`` as HTML text, safe between tags and in a quoted attribute; longer than ``limit`` is cut with an ellipsis.

    >>> escape('<b>&"')
    '&lt;b&gt;&amp;&quot;'
    """
    text = str(value)
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    return _html.escape(_FORBIDDEN.sub("\ufffd", text), quote=True)


def number(value: Any, digits: int = 4) -> str:
    """A number for reading: few digits, no trailing zeros, a real minus sign left to the font.

    >>> number(0.00012345), number(1234567), number(2.50), number(float("nan")), number(True)
    ('1.234e-4', '1,234,567', '2.5', 'nan', 'True')
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < 10**15 else f"{value:.{digits - 1}e}"
    if isinstance(value, complex):
        sign = "-" if math.copysign(1.0, value.imag) < 0 else "+"
        return f"{number(value.real, digits)}{sign}{number(abs(value.imag), digits)}j"
    value = float(value)
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e5:
        text = f"{value:.{digits}g}"
        if "e" in text:
            text = f"{float(text):,.0f}"
        return text
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa}e{int(exponent)}"


def count(value: int) -> str:
    """A count, short: 980, 12.3 k, 1.20 M.

    >>> count(980), count(12_345), count(1_199_882)
    ('980', '12.3 k', '1.20 M')
    """
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size * 0.9995:
            scaled = value / size
            return f"{scaled:.{2 if scaled < 10 else 1 if scaled < 100 else 0}f} {unit}"
    return f"{value:,}"


def plural(value: int, noun: str) -> str:
    """``1 step``, ``2 epochs``, ``3 batches``.

    >>> plural(1, "step"), plural(2000, "batch")
    ('1 step', '2,000 batches')
    """
    ending = "" if value == 1 else "es" if noun.endswith(("s", "x", "tch")) else "s"
    return f"{value:,} {noun}{ending}"


def size_of(bytes_: int) -> str:
    """A size in memory, in powers of 1024.

    >>> size_of(512), size_of(200_704), size_of(1 << 30)
    ('512 B', '196 kB', '1.00 GB')
    """
    for size, unit in ((1 << 40, "TB"), (1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB")):
        if bytes_ >= size:
            scaled = bytes_ / size
            return f"{scaled:.{2 if scaled < 10 else 1 if scaled < 100 else 0}f} {unit}"
    return f"{bytes_} B"


def shape_text(shape: Iterable[Any], names: Sequence[str] | None = None) -> str:
    """``[64, 3, 32, 32]``, or ``[batch 64, channel 3, 32, 32]`` where axes have names ("" for none)."""
    parts = [str(size) for size in shape]
    if names:
        parts = [f"{name} {part}".strip() for name, part in zip(names, parts, strict=True)]
    return "[" + ", ".join(parts) + "]"


def image(uri: str, alt: str, width: int | None = None, height: int | None = None, css: str = "") -> str:
    """An ``<img>``; ``width`` and ``height`` in CSS pixels as attributes, which every viewer keeps."""
    sizes = "".join(f' {name}="{value}"' for name, value in (("width", width), ("height", height)) if value)
    class_ = f' class="{css}"' if css else ""
    return f'<img{class_} src="{uri}" alt="{escape(alt, 300)}"{sizes}>'


def table(
    rows: Iterable[Sequence[str]],
    head: Sequence[str] = (),
    css: str = "",
    numeric: Sequence[int] = (),
    caption: str = "",
) -> str:
    """A table of cells that are HTML already. ``numeric``: columns set right-aligned. The first column is the row's head."""
    align = [' class="n"' if i in numeric else "" for i in range(64)]
    parts = [f'<table class="{css}">' if css else "<table>"]
    if caption:
        parts.append(f"<caption>{caption}</caption>")
    if head:
        cells = "".join(f'<th scope="col"{align[i]}>{cell}</th>' for i, cell in enumerate(head))
        parts.append(f"<thead><tr>{cells}</tr></thead>")
    parts.append("<tbody>")
    for row in rows:
        cells = "".join(
            f'<th scope="row">{cell}</th>' if i == 0 else f"<td{align[i]}>{cell}</td>" for i, cell in enumerate(row)
        )
        parts.append(f"<tr>{cells}</tr>")
    parts.append("</tbody></table>")
    return "".join(parts)


def strip(figures: Sequence[str], columns: int = 6) -> str:
    """Small figures in rows; a table, so that they stay in rows where a viewer takes the stylesheet away."""
    rows = [figures[k : k + columns] for k in range(0, len(figures), columns)]
    cells = "".join(f"<tr>{''.join(f'<td>{figure}</td>' for figure in row)}</tr>" for row in rows)
    return f'<table class="strips" role="presentation"><tbody>{cells}</tbody></table>'


def scroll(content: str, label: str, css: str = "") -> str:
    """``content`` in a box that scrolls when it is too wide, by keyboard too."""
    return f'<div class="scroll{" " + css if css else ""}" tabindex="0" role="group" aria-label="{escape(label)}">{content}</div>'


@functools.cache
def stylesheet() -> str:
    """style.css with this project's colours, without comments and needless spaces."""
    text = resources.files("mlkit.display").joinpath("style.css").read_text("utf-8")
    names = "\n".join(f"--{name}: light-dark({colors.LIGHT[name]}, {colors.DARK[name]});" for name in colors.LIGHT)
    text = text.replace("/* colours */", names)
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    text = re.sub(r"\s+", " ", text)
    return re.sub(r"\s*([{};,>])\s*", r"\1", text).replace(": ", ":").strip()


def card(kind: str, *parts: str) -> str:
    """One whole display: a scoped root, its stylesheet, and ``parts`` (HTML already)."""
    return f'<div class="mlkit-display mlkit-{kind}"><style>{stylesheet()}</style>{"".join(parts)}</div>'
