"""A matplotlib figure that follows the notebook's theme.

Its PNG and every file saved from it are on white, as papers want them. In a notebook it also gives an SVG whose colours
change with the theme of the page, light or dark, with no script.
"""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mlkit.display import colors
from mlkit.display.markup import card, image
from mlkit.display.svg import uri

GROUND = "#fffffe"  # told apart from a white that is meant, such as the rim of a marker
MOST_BYTES = 400_000  # of an SVG; above that the PNG alone is shown


def pyplot() -> Any:
    """matplotlib's ``pyplot``, or an ImportError that says what to install."""
    try:
        import matplotlib.pyplot as found
    except ImportError as error:
        raise ImportError(
            f"mlkit.plot draws with matplotlib, which cannot be imported ({error}): pip install matplotlib"
        ) from error
    return found


def settings() -> dict[str, Any]:
    """matplotlib's settings (``rcParams``) for calm figures in the project's colours."""
    from cycler import cycler

    ink, soft, line = (colors.LIGHT[name] for name in ("ink", "soft", "line"))
    return {
        "figure.facecolor": GROUND,
        "savefig.facecolor": GROUND,
        "axes.facecolor": "none",
        "legend.facecolor": GROUND,
        "text.color": ink,
        "axes.labelcolor": ink,
        "axes.titlecolor": ink,
        "axes.edgecolor": soft,
        "xtick.color": soft,
        "ytick.color": soft,
        "xtick.labelcolor": ink,
        "ytick.labelcolor": ink,
        "grid.color": line,
        "legend.edgecolor": line,
        "axes.prop_cycle": cycler(color=colors.SERIES_LIGHT),
    }


@contextmanager
def _set(wanted: dict[str, Any]) -> Iterator[None]:
    """matplotlib's settings for a block. Unlike ``rc_context`` it puts back these alone: the first figure may load the
    notebook's backend, whose own settings must stay.
    """
    parameters = pyplot().rcParams
    before = {name: parameters[name] for name in wanted}
    parameters.update(wanted)
    try:
        yield
    finally:
        parameters.update(before)


@functools.cache
def _figure_class() -> Any:
    from matplotlib.figure import Figure

    class ThemedFigure(Figure):
        """A figure with an SVG that follows the page's theme beside its PNG."""

        def _repr_html_(self) -> str | None:
            return html(self)

    return ThemedFigure


def axes(width: float, height: float) -> Any:
    """New ``Axes`` on a figure of that size in inches."""
    return pyplot().subplots(figsize=(width, height), layout="constrained", FigureClass=_figure_class())[1]


def styled(draw: Callable[..., Any]) -> Callable[..., Any]:
    """A drawing function whose own figures have the project's look; on ``ax=`` of the user's it changes no setting."""

    @functools.wraps(draw)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("ax") is not None:
            return draw(*args, **kwargs)
        with _set(settings()):
            return draw(*args, **kwargs)

    return wrapped


def html(figure: Any) -> str | None:
    """The figure as an SVG in a card; None where that would be too large."""
    drawn = io.StringIO()
    with _set({"svg.fonttype": "none", "svg.hashsalt": "mlkit", "font.sans-serif": ["DejaVu Sans"]}):
        figure.savefig(drawn, format="svg", bbox_inches="tight", facecolor=GROUND, metadata={"Date": None})
    svg = drawn.getvalue()
    svg = svg[svg.index("<svg") :]
    if len(svg) > MOST_BYTES:
        return None
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.S)
    svg = re.sub(r"\s*\n\s*", " ", svg)
    # matplotlib's own font is rarely where the page is read.
    svg = svg.replace("'DejaVu Sans'", "'DejaVu Sans',Verdana,system-ui,sans-serif")
    pairs = {GROUND: ("ground", "#ffffff", colors.DARK["ground"])}
    for name in ("ink", "soft", "line"):
        pairs[colors.LIGHT[name]] = (name, colors.LIGHT[name], colors.DARK[name])
    for i, (light, dark) in enumerate(zip(colors.SERIES_LIGHT, colors.SERIES_DARK, strict=True)):
        pairs.setdefault(light, (f"s{i}", light, dark))
    used = {colour: names for colour, names in pairs.items() if colour in svg}
    for colour, (name, _, _) in used.items():
        svg = svg.replace(colour, f"var(--{name})")
    light = "".join(f"--{name}:{a};" for name, a, _ in used.values())
    dark = "".join(f"--{name}:{b};" for name, _, b in used.values())
    rules = f"<style>:root{{{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}</style>"
    opening = svg.index(">", svg.index("<svg")) + 1
    svg = svg[:opening] + rules + svg[opening:]
    size = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', svg)
    wide, tall = (round(float(n) * 4 / 3) for n in size.groups()) if size else (None, None)
    return card("figure", image(uri(svg), describe(figure), wide, tall))


def describe(figure: Any) -> str:
    """What a figure shows, in words: titles, axes and series."""
    parts = []
    for ax in figure.axes:
        words = ax.get_title() or ax.get_label().strip("<>")
        names = [n for n in (ax.get_ylabel(), ax.get_xlabel()) if n]
        across = " over ".join(names)
        series = [label for label in ax.get_legend_handles_labels()[1] if not label.startswith("_")]
        told = ", ".join(part for part in (words if words != "colorbar" else "", across) if part)
        parts.append(told + (f": {', '.join(series[:8])}" if series else ""))
    return "; ".join(part for part in parts if part) or "figure"
