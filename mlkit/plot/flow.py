"""Figures of how gradients flow: over time, along the depth, and how values were spread."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlkit.display import colors
from mlkit.observe.flow import QUANTITIES, open_flow
from mlkit.observe.flow.measure import SPREADS
from mlkit.observe.flow.numbers import one_of, shared_edges, shares_in, values_of
from mlkit.plot import theme
from mlkit.plot.figures import _axes, _colormap, _plain

KINDS = ("lines", "bars", "heatmap", "ridge")
RIDGES = 12
"""Steps that a ridge plot shows."""
COLUMNS = 200
"""Steps that a heat map shows; more would not be seen."""


@theme.styled
def gradient_flow(
    flow: Any, quantity: str = "gradient", layer: str | int | None = None, *, kind: str | None = None, ax: Any = None
) -> Any:
    """Gradients, weights or activations of the layers of a model over its training.

    ``flow``: a GradientFlow, a watched model, or what `mlkit.observe.open_flow` takes. ``quantity``: "gradient", "weight"
    (norms), "ratio" (update / weight), "dead" or "activation". ``layer``: only this one (its name or its place).
    ``kind``: "lines" over time (the default; colours run from the first layer to the last), "bars" of the last values in
    forward order, or for one layer "heatmap" and "ridge" of how the values were spread. Returns the ``Axes``.

    >>> import matplotlib; matplotlib.use("agg")
    >>> import mlkit
    >>> model = mlkit.nn.Linear(2, 2)
    >>> flow = mlkit.observe.GradientFlow(model, run_dir=False)
    >>> gradient_flow(flow).get_ylabel()
    'gradient norm'
    >>> flow.detach()
    """
    flow = open_flow(flow)
    if quantity not in QUANTITIES:
        raise ValueError(f"gradient_flow: quantity must be {one_of(QUANTITIES)}, got {quantity!r}")
    if kind is not None and kind not in KINDS:
        raise ValueError(f"gradient_flow: kind must be {one_of(KINDS)}, got {kind!r}")
    kind = kind or "lines"
    if kind in ("heatmap", "ridge"):
        if layer is None:
            raise ValueError(f"gradient_flow: a {kind} shows one layer: give its name")
        if quantity not in SPREADS:
            raise ValueError(f"gradient_flow: a {kind} shows {one_of(SPREADS)}, got {quantity!r}")
        return (_heatmap if kind == "heatmap" else _ridge)(flow, quantity, layer, ax)
    layers = flow.layers
    samples = flow.samples()
    order = [row for row in flow.about().get("order", ()) if row < samples.numbers.shape[1]]
    values = values_of(samples, quantity)[:, order]
    names = [one.name for one in layers][: len(order)]
    if layer is not None:
        at = next((i for i, one in enumerate(layers) if one.name == layer), layer)
        if not isinstance(at, int) or not -len(layers) <= at < len(layers):
            raise KeyError(f"There is no layer {layer!r}. There are: {', '.join(one.name for one in layers)}.")
        values, names = values[:, [at]], [layers[at].name]
    kept = np.isfinite(values).any(axis=0)
    values, names = values[:, kept], [name for name, keep in zip(names, kept) if keep]
    ax = _axes(ax)
    tints = _tints(len(names))
    if kind == "bars":
        last = [values[np.isfinite(values[:, i]), i][-1] for i in range(len(names))]
        ax.bar(range(len(names)), last, color=tints)
        ax.set_xticks(range(len(names)), names, rotation=90, parse_math=False)
        ax.set(xlabel="layer, in forward order", ylabel=QUANTITIES[quantity])
    else:
        for i, name in enumerate(names):
            ax.plot(samples.steps, values[:, i], color=tints[i], linewidth=1.6, label=name)
        ax.set(xlabel="step", ylabel=QUANTITIES[quantity])
        if 0 < len(names) <= 12:
            for text in ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5)).get_texts():
                text.set_parse_math(False)
    if quantity == "dead":
        ax.set_ylim(-0.02, 1.02)
    elif (values > 0).any():
        ax.set_yscale("log")
    return _plain(ax)


def _tints(count: int) -> list[Any]:
    """From the first layer to the last along one scale, dark enough for white paper."""
    table = colors.sequential(256) / 255.0
    return [table[int(at)] for at in np.linspace(20, 190, max(count, 1))][:count]


def _spread(flow: Any, quantity: str, layer: str | int, most: int) -> tuple[np.ndarray, np.ndarray]:
    steps, kept = flow.spread(layer, quantity)
    whole = np.isfinite(kept).all(axis=1)
    steps, kept = steps[whole], kept[whole]
    if not len(steps):
        raise ValueError(f"gradient_flow: nothing has been recorded of the {quantity}s of layer {layer!r}")
    at = np.unique(np.linspace(0, len(steps) - 1, min(most, len(steps))).round().astype(int))
    return steps[at], kept[at]


def _title(flow: Any, quantity: str, layer: str | int) -> str:
    name = flow.layers[layer].label if isinstance(layer, int) else layer
    return f"{quantity}s of {name}"


def _heatmap(flow: Any, quantity: str, layer: str | int, ax: Any) -> Any:
    steps, kept = _spread(flow, quantity, layer, COLUMNS)
    log = quantity == "gradient"
    edges = shared_edges(kept, 48, log)
    shares = np.stack([shares_in(one, edges, log) for one in kept], axis=1)
    ax = _axes(ax)
    borders = np.concatenate([[steps[0] - 0.5], (steps[1:] + steps[:-1]) / 2, [steps[-1] + 0.5]])
    drawn = ax.pcolormesh(borders, edges, shares, cmap=_colormap(colors.sequential(256), "mlkit sequential"))
    ax.figure.colorbar(drawn, ax=ax, label="share of the values")
    ax.set(xlabel="step", ylabel="log10 of the size" if log else "value", title=_title(flow, quantity, layer))
    return ax


def _ridge(flow: Any, quantity: str, layer: str | int, ax: Any) -> Any:
    steps, kept = _spread(flow, quantity, layer, RIDGES)
    log = quantity == "gradient"
    edges = shared_edges(kept, 64, log)
    middles = (edges[1:] + edges[:-1]) / 2
    shares = np.stack([shares_in(one, edges, log) for one in kept])
    height = 1.8 / max(1e-12, float(shares.max()))
    ax = _axes(ax, 6.0, 4.4)
    for at, (share, tint) in enumerate(zip(shares, _tints(len(steps)))):
        base = -at
        ax.fill_between(middles, base, base + share * height, color=tint, alpha=0.75, linewidth=0, zorder=at)
        ax.plot(middles, base + share * height, color="white", linewidth=0.9, zorder=at)
    ax.set_yticks([-at for at in range(len(steps))], [f"{step:,}" for step in steps])
    ax.set(xlabel="log10 of the size" if log else "value", ylabel="step", title=_title(flow, quantity, layer))
    ax.spines[["top", "right", "left"]].set_visible(False)
    return ax
