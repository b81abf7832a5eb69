"""A finished training in plotly, where hovering gives the numbers."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlkit.display import history as _history
from mlkit.display import plain
from mlkit.display.markup import card, escape
from mlkit.display.svg import smoothed

# One figure serves light and dark pages: its ground is clear, and all colours have a contrast of 3:1 or more with both.
INK, GRID = "#797979", "rgba(121,121,121,.3)"
SERIES = ("#1f7fc0", "#cc5f14", "#128a66", "#b05a98", "#85750c", "#767d86")


@functools.cache
def _figure_class() -> Any:
    from plotly import graph_objects

    class HistoryFigure(graph_objects.Figure):
        """A plotly figure that is a plain drawing where nothing runs scripts: an exported page, GitHub, a PDF."""

        def __init__(self, *args: Any, series: Any = None, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._series = series

        _ipython_display_ = None  # plotly's own would show nothing but scripts

        def _repr_mimebundle_(self, include: Any = None, exclude: Any = None, **_: Any) -> dict[str, Any]:
            # No PNG: JupyterLab's plotly would show that until it is touched.
            drawn = card("history", _history.body_of(self._series or {}))
            bundle = {
                "application/vnd.plotly.v1+json": json.loads(self.to_json()),
                "text/html": drawn,
                "text/plain": plain.of_html(drawn),
            }
            return bundle

    return HistoryFigure


def history_interactive(history: Any, names: Sequence[str] | None = None, *, smooth: bool = True) -> Any:
    """Training curves as a plotly ``Figure``: hover for the values at a step, drag to zoom, click the legend to hide one.

    Where nothing runs scripts (an exported page, GitHub, a PDF) the same curves are a plain drawing.

    ``history``: a History, Run or Source, or ``{name: values}``. ``names``: which series (default: all but a rate that
    never changed, a chart for each kind). ``smooth``: average training series of more than 40 points over faint raw values.

    >>> figure = history_interactive({"train/loss": [2.0, 1.0], "valid/loss": [1.5, 1.1]})
    >>> [trace.name for trace in figure.data]
    ['train/loss', 'valid/loss']
    """
    try:
        from plotly import graph_objects
        from plotly.subplots import make_subplots
    except ImportError as error:
        raise ImportError(
            f"history_interactive draws with plotly, which cannot be imported ({error}): pip install plotly"
        ) from error
    series = _history.series_of(history)
    missing = [name for name in names or () if name not in series]
    if missing:
        raise KeyError(
            f"history_interactive: no series {missing[0]!r}; there are {', '.join(map(repr, series)) or 'none'}"
        )
    chosen = {name: series[name] for name in (names or series)}
    if names is None and _history.constant_rate(series) is not None:
        del chosen["lr"]  # a level line says nothing
    groups = _history.groups(chosen)
    titles = [escape("learning rate" if title == "lr" else title) for title in groups]  # plotly reads tags in words
    figure = make_subplots(
        rows=max(len(groups), 1), cols=1, shared_xaxes=True, subplot_titles=titles or ["nothing recorded yet"],
        vertical_spacing=0.28 / max(len(groups), 2),
    )  # fmt: skip
    for row, members in enumerate(groups.values(), 1):
        for i, name in enumerate(members):
            steps, values = chosen[name]
            valid = name.split("/")[0] in ("valid", "test")
            colour = SERIES[i % len(SERIES)]
            label = escape(name, 60)
            noisy = smooth and not valid and len(values) > 40 and not name.endswith("lr")
            if noisy:
                figure.add_trace(
                    graph_objects.Scatter(
                        x=steps, y=values, mode="lines", line={"color": colour, "width": 1}, opacity=0.3, name=label,
                        legendgroup=name, showlegend=False, hoverinfo="skip",
                    ),
                    row=row, col=1,
                )  # fmt: skip
            figure.add_trace(
                graph_objects.Scatter(
                    x=steps,
                    y=smoothed(np.asarray(values), max(5.0, len(values) / 25)) if noisy else values,
                    customdata=values,
                    mode="lines+markers" if valid or len(values) == 1 else "lines",
                    line={"color": colour, "width": 2, "dash": "dash" if valid else "solid"},
                    name=label,
                    legendgroup=name,
                    hovertemplate="%{customdata:.4g}" + (" (average %{y:.4g})" if noisy else ""),
                ),
                row=row, col=1,
            )  # fmt: skip
    figure.update_layout(
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", font={"color": INK, "size": 13},
        height=120 + 210 * max(len(groups), 1), margin={"l": 60, "r": 20, "t": 50, "b": 50}, hovermode="x unified",
        hoverlabel={"bgcolor": "#ffffff", "font": {"color": "#1f2328"}}, legend={"orientation": "h", "y": 1.12},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": INK, "activecolor": INK},
    )  # fmt: skip
    figure.update_annotations(font={"color": INK, "size": 14})
    figure.update_xaxes(gridcolor=GRID, zerolinecolor=GRID, linecolor=INK)
    figure.update_yaxes(gridcolor=GRID, zerolinecolor=GRID)
    figure.update_xaxes(title_text="step", row=max(len(groups), 1), col=1)
    return _figure_class()(figure, series=chosen)
