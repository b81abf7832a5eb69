"""Small pieces of SVG, and the colours that pictures share with the live views (`shared/theme.css`)."""

from __future__ import annotations

import math
from html import escape

FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif"

LIGHT = """--bg:#ffffff;--line:#d5dae1;--grid:#eceff3;--text:#1c2430;--quiet:#56616f;
--train:#1f5fd0;--valid:#b4490b;--other:#13795b;--mark:#7a3fb3;--module:#eef3fb;--op:#ffffff;--io:#e9f5ef;--bad:#b3261e;
--run-0:#1f5fd0;--run-1:#b4490b;--run-2:#13795b;--run-3:#7a3fb3;--run-4:#a8174f;--run-5:#0b7285;--run-6:#7a5c00;--run-7:#4a5260"""
DARK = """--bg:#15191f;--line:#39424e;--grid:#232a33;--text:#e8ecf1;--quiet:#a3aebb;
--train:#7fb0ff;--valid:#ffa066;--other:#5cc9a3;--mark:#c79bf2;--module:#1e2733;--op:#191f27;--io:#1a2b24;--bad:#ff8f85;
--run-0:#7fb0ff;--run-1:#ffa066;--run-2:#5cc9a3;--run-3:#c79bf2;--run-4:#ff8fb3;--run-5:#5fd0e0;--run-6:#dcc25a;--run-7:#b4bdc9"""


def style(theme: str | None = None) -> str:
    """The colours; those of the reader's own scheme, or of "light" or "dark"."""
    first = DARK if theme == "dark" else LIGHT
    other = "" if theme else f"@media (prefers-color-scheme:dark){{svg.mlkit{{{DARK}}}}}"
    return f"\nsvg.mlkit{{font-family:{FONT};{first}}}\n{other}\n"


def document(width: float, height: float, title: str, body: str, theme: str | None = None) -> str:
    """A whole SVG: a card with a background of its own, readable on any page."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="mlkit" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title)}" '
        f'style="max-width:100%;height:auto"><title>{escape(title)}</title><style>{style(theme)}</style>'
        f'<rect x=".5" y=".5" width="{width - 1:g}" height="{height - 1:g}" rx="8" '
        f'fill="var(--bg)" stroke="var(--line)"/>{body}</svg>'
    )


def text(x: float, y: float, words: str, size: float = 12, fill: str = "var(--text)", **more: str) -> str:
    """One line of text, escaped."""
    extra = "".join(f' {key.replace("_", "-")}="{escape(value)}"' for key, value in more.items())
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" fill="{fill}"{extra}>{escape(words)}</text>'


def shorten(words: str, length: int) -> str:
    """`words`, cut with an ellipsis when longer than `length` characters."""
    return words if len(words) <= length else words[: length - 1] + "…"


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` round numbers between `low` and `high`.

    >>> nice_ticks(0.0, 2.3)
    [0.0, 1.0, 2.0]
    """
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    first = math.ceil(low / step - 1e-9)
    ticks = []
    while first * step <= high + step * 1e-9:
        ticks.append(round(first * step, 12))
        first += 1
    return ticks


def number(value: float) -> str:
    """A number as short as it can be read.

    >>> number(0.00030), number(12345.6), number(0.25)
    ('3e-4', '12,346', '0.25')
    """
    size = abs(value)
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return str(value)
    if size >= 1e6 or size < 1e-3:
        mantissa, exponent = f"{value:.3g}".partition("e")[::2]
        if not exponent:
            mantissa, exponent = f"{value:.2e}".partition("e")[::2]
            mantissa = mantissa.rstrip("0").rstrip(".")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:,.0f}" if size >= 1000 else f"{value:.4g}"
