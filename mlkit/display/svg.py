"""Small charts as SVG images: histogram, curve, class balance.

They are embedded as ``<img src="data:image/svg+xml...">``. Inside, ``prefers-color-scheme`` follows the ``color-scheme``
of the element around the image, so one picture serves light and dark, in a notebook's theme or the system's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

import numpy as np

from mlkit.display import colors
from mlkit.display.markup import escape, image, number

FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif"


def _rules(names: dict[str, str], series: Sequence[str]) -> str:
    return "".join(f"--{n}:{v};" for n, v in names.items()) + "".join(f"--s{i}:{v};" for i, v in enumerate(series))


_STYLE = (
    f":root{{{_rules(colors.LIGHT, colors.SERIES_LIGHT)}}}"
    f"@media(prefers-color-scheme:dark){{:root{{{_rules(colors.DARK, colors.SERIES_DARK)}}}}}"
    f"text{{font:11px {FONT};fill:var(--soft)}}.b{{fill:var(--ink);font-weight:600}}"
    ".e{text-anchor:end}.m{text-anchor:middle}.g{stroke:var(--line);stroke-width:1;fill:none}"
    ".l{fill:none;stroke-width:1.75;stroke-linejoin:round;stroke-linecap:round}"
)


def document(width: float, height: float, body: str, style: str = "") -> str:
    """A whole SVG document on an opaque ground (readable where the page's theme is not known)."""
    used = set(re.findall(r"var\(--(\w+)\)", body + style)) | {"ground", "soft", "ink", "line"}
    rules = re.sub(r"--(\w+):[^;]+;", lambda m: m[0] if m[1] in used else "", _STYLE)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}">'
        f'<style>{rules}{style}</style><rect width="100%" height="100%" style="fill:var(--ground)"/>{body}</svg>'
    )


def uri(document_: str) -> str:
    """The document as a data URI that is safe inside double quotes."""
    return "data:image/svg+xml," + quote(document_, safe=" /:=,;()'{}!*@$+.-_~?")


def embed(document_: str, alt: str, width: float, height: float) -> str:
    """The document as an ``<img>`` with ``alt`` for readers who do not see it."""
    return image(uri(document_), alt, round(width), round(height))


def text(x: float, y: float, content: object, css: str = "", extra: str = "") -> str:
    """One line of text at a point (baseline)."""
    class_ = f' class="{css}"' if css else ""
    return f'<text x="{x:.5g}" y="{y:.5g}"{class_}{extra}>{escape(content, 80)}</text>'


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values (1, 2, 2.5 or 5 times a power of ten) that lie in [low, high].

    >>> ticks(0.0, 1.0), ticks(3.0, 3.0)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [3.0])
    """
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    raw = (high - low) / max(1, about)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) + 0.0 for i in range(first, last + 1)]


def histogram(
    counts: Sequence[int], low: float, high: float, *, width: int = 216, height: int = 64, mean: float | None = None
) -> str:
    """Bars of ``counts`` over equal bins of [low, high], a line at zero and a mark at the mean, the ends written."""
    n, top, base = len(counts), 4, height - 16
    peak = max(max(counts), 1)
    left, inner = 1.0, width - 2.0
    step = inner / n
    # One path: bars of at least one pixel where anything is, so that rare values are seen.
    bars = []
    for i, c in enumerate(counts):
        if c:
            tall = max(1.0, (base - top) * c / peak)
            bars.append(f"M{left + i * step:.4g} {base}v{-tall:.3g}h{max(step - 0.6, 0.6):.3g}v{tall:.3g}z")
    span = high - low
    parts = [f'<path d="{"".join(bars)}" style="fill:var(--s0)"/>', f'<path class="g" d="M0 {base + 0.5}h{width}"/>']
    if span > 0 and low < 0 < high:
        x = left + inner * (0 - low) / span
        parts.append(f'<path d="M{x:.4g} {top}V{base + 3}" style="stroke:var(--ink);stroke-dasharray:2 2"/>')
        if 24 + 6 * len(number(low, 3)) < x < width - 24 - 6 * len(number(high, 3)):
            parts.append(text(x, height - 3, "0", "m"))
    if mean is not None and span > 0 and low <= mean <= high:
        x = left + inner * (mean - low) / span
        parts.append(f'<path d="M{x:.4g} {base + 1}l-3.5 5h7z" style="fill:var(--s1)"/>')
    parts += [text(left, height - 3, number(low, 3)), text(width - 1, height - 3, number(high, 3), "e")]
    return document(width, height, "".join(parts))


def bars(names: Sequence[str], counts: Sequence[int], *, width: int = 320, row: int = 18, limit: int = 20) -> str:
    """Horizontal bars with names and counts: class balance, how often each word comes."""
    shown = list(zip(names, counts, strict=True))[:limit]
    peak = max([c for _, c in shown], default=1) or 1
    room = min(130, 12 + 7 * max((min(len(str(n)), 18) for n, _ in shown), default=0))
    right = 10 + 7 * len(number(int(peak)))
    parts = []
    for i, (name, value) in enumerate(shown):
        y = i * row
        short = str(name) if len(str(name)) <= 18 else str(name)[:17] + "…"
        parts.append(text(room - 6, y + 13, short, "e"))
        long = (width - room - right) * value / peak
        parts.append(
            f'<rect x="{room}" y="{y + 3}" width="{max(long, 0.5):.4g}" height="{row - 6}" style="fill:var(--s0)"/>'
        )
        parts.append(text(room + long + 5, y + 13, number(int(value))))
    return document(width, max(row, len(shown) * row), "".join(parts))


@dataclass
class Series:
    """One line of a chart. ``dashed`` and ``dots`` tell lines apart without colour; ``smooth`` draws raw values faint;
    ``stems`` draws points on stalks from zero, for values between which there is nothing.
    """

    name: str
    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray
    dashed: bool = False
    dots: bool = False
    smooth: bool = False
    stems: bool = False


def _thin(x: np.ndarray, y: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """At most about ``limit`` points, keeping the lowest and the highest of every stretch."""
    if len(x) <= limit:
        return x, y
    edges = np.linspace(0, len(x), limit // 2 + 1).astype(int)
    keep: list[int] = []
    for a, b in zip(edges[:-1], edges[1:], strict=True):
        part = y[a:b]
        if b > a and np.isfinite(part).any():
            keep += sorted({a + int(np.nanargmin(part)), a + int(np.nanargmax(part))})
    return x[keep], y[keep]


def smoothed(y: np.ndarray, span: float) -> np.ndarray:
    """Exponential moving average over ``span`` points in both directions, so that it does not lag; NaN is skipped.

    >>> smoothed(np.array([1.0, np.nan, 1.0]), 2).tolist()
    [1.0, 1.0, 1.0]
    """
    forward, backward = _averages(y.tolist(), span), _averages(y[::-1].tolist(), span)[::-1]
    return np.nanmean([forward, backward], axis=0) if np.isfinite(y).any() else y


def _averages(values: list[float], span: float) -> np.ndarray:
    keep, total, weight, out = 1.0 - 2.0 / (span + 1.0), 0.0, 0.0, np.empty(len(values))
    for i, value in enumerate(values):
        if math.isfinite(value):
            total, weight = keep * total + value, keep * weight + 1.0
        out[i] = total / weight if weight else math.nan
    return out


def _path(px: np.ndarray, py: np.ndarray) -> str:
    """A polyline that breaks where a value is not finite."""
    parts, pen = [], "M"
    for x, y in zip(px.tolist(), py.tolist(), strict=True):
        if math.isfinite(y):
            # h0: a point between two gaps is still a dot (round line caps)
            parts.append(f"{pen}{x:.1f} {y:.1f}" + ("h0" if pen == "M" else ""))
            pen = "L"
        else:
            pen = "M"
    return "".join(parts)


def lines(
    series: Sequence[Series],
    *,
    title: str = "",
    xlabel: str = "step",
    width: int = 420,
    height: int = 220,
    log: bool | None = None,
    limit: int = 320,
    legend: bool = True,
) -> str:
    """A line chart with axes, grid and a legend; values that are not finite break the line and are marked at the top.

    ``log``: a logarithmic y axis; None chooses it when positive values span more than a factor of 300.
    """
    arrays = [(np.asarray(s.x, float), np.asarray(s.y, float)) for s in series]
    finite = np.concatenate([y[np.isfinite(y)] for _, y in arrays] or [np.zeros(0)])
    xs = np.concatenate([x[np.isfinite(x)] for x, _ in arrays] or [np.zeros(0)])
    parts = []
    left, right, top, bottom = 50.0, width - 12.0, 42.0 if legend else 28.0 if title else 8.0, height - 32.0
    if not len(finite) or not len(xs):
        parts.append(text(8, 16, title, "b"))
        parts.append(text(width / 2, height / 2, "no finite value" if len(xs) else "nothing recorded yet", "m"))
        return document(width, height, "".join(parts))
    low, high = float(finite.min()), float(finite.max())
    if not math.isfinite(high - low):
        parts.append(text(width / 2, height / 2, "values too far apart to draw", "m"))
        return document(width, height, "".join(parts))
    if log is None:
        log = low > 0 and high / low > 300
    if log:
        low, high = math.log10(max(low, 1e-300)), math.log10(max(high, 1e-300))
    if title:
        parts.append(text(8, 16, title + (" (logarithmic)" if log else ""), "b"))
    constant = high == low
    pad = (high - low) * 0.05 or abs(high) * 0.05 or 0.5
    low, high = low - pad, high + pad
    x0, x1 = float(xs.min()), float(xs.max())
    if x1 == x0:
        x0, x1 = x0 - 0.5, x1 + 0.5

    def place(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if log:
            with np.errstate(divide="ignore", invalid="ignore"):
                y = np.log10(y)
            y = np.where(np.isfinite(y), y, np.nan)
        return left + (x - x0) / (x1 - x0) * (right - left), bottom - (y - low) / (high - low) * (bottom - top)

    if log:
        marks = [float(t) for t in range(math.ceil(low), math.floor(high) + 1)]
        marks = marks[:: max(1, len(marks) // 6)] or [low]
        marks_text = [(m, number(10.0**m, 3)) for m in marks]
    else:
        marks_text = [(m, number(m)) for m in ([low + pad] if constant else ticks(low, high, 4))]
    grid = []
    for value, label in marks_text:
        down = bottom - (value - low) / (high - low) * (bottom - top)
        grid.append(f"M{left} {down:.1f}H{right}")
        parts.append(text(left - 6, down + 4, label, "e"))
    parts.insert(0, f'<path class="g" d="{"".join(grid)}"/>')
    for value in ticks(x0, x1, 5):
        if float(value).is_integer() or x1 - x0 < 5:
            across = left + (value - x0) / (x1 - x0) * (right - left)
            parts.append(text(across, bottom + 15, number(int(value) if float(value).is_integer() else value), "m"))
    parts.append(text(right, height - 3, xlabel, "e"))
    parts.append(f'<path d="M{left} {bottom:.1f}H{right}" style="stroke:var(--soft)"/>')
    at = left
    for i, (line, (x, y)) in enumerate(zip(series, arrays, strict=True)):
        colour = f"var(--s{i % len(colors.SERIES_LIGHT)})"
        dash = ";stroke-dasharray:6 4;stroke-linecap:butt" if line.dashed else ""
        raw = place(*_thin(x, y, limit))
        if line.stems:
            ground = min(max(float(place(x[:1], np.zeros(1))[1][0]), top), bottom)
            shift = (i - (len(series) - 1) / 2) * 4.0  # stalks of several series stand beside each other
            raw = (raw[0] + shift, raw[1])
            stalks = "".join(
                f"M{px:.1f} {ground:.1f}V{py:.1f}" for px, py in zip(*(a.tolist() for a in raw), strict=True)
            )
            parts.append(f'<path class="l" d="{stalks}" style="stroke:{colour}{dash}"/>')
        elif line.smooth and len(x) > 40:
            parts.append(f'<path class="l" d="{_path(*raw)}" style="stroke:{colour};opacity:.28;stroke-width:1"/>')
            stride = max(1, len(x) // limit)
            even = smoothed(y, max(5.0, len(x) / 25))
            parts.append(
                f'<path class="l" d="{_path(*place(x[::stride], even[::stride]))}" style="stroke:{colour}{dash}"/>'
            )
        else:
            parts.append(f'<path class="l" d="{_path(*raw)}" style="stroke:{colour}{dash}"/>')
        if line.dots or line.stems or len(x) == 1:
            for px, py in zip(*(a.tolist() for a in raw), strict=True):
                if math.isfinite(py) and len(raw[0]) <= 60:
                    parts.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="2.6" style="fill:{colour}"/>')
        bad = ~np.isfinite(y)
        if bad.any():
            for px in place(x[bad][:20], np.ones(min(20, int(bad.sum()))))[0].tolist():
                parts.append(
                    f'<path d="M{px - 3:.1f} {top}l6 6m0 -6l-6 6" style="stroke:var(--warn);stroke-width:1.5"/>'
                )
        if not legend:
            continue
        parts.append(
            f'<path class="l" d="M{at:.1f} 28h18" style="stroke:{colour}{dash}"/>' + text(at + 23, 32, line.name)
        )
        at += 40 + 6.2 * min(len(line.name), 40)
    return document(width, height, "".join(parts))
