"""Figures of what a model's answer depends on: saliency, integrated gradients, Grad-CAM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlkit.display import colors, picture
from mlkit.display.sample import raw, to_numpy
from mlkit.plot import attribution, theme
from mlkit.plot.figures import _axes, _colormap, _plain


def _title(chosen: int, classes: Sequence[str] | None) -> str:
    return f"class {chosen}" if classes is None else str(classes[chosen])


def _image(input: Any) -> np.ndarray | None:
    """uint8 [height, width, 3] of one picture with its batch axis, None where the input is none."""
    array = to_numpy(raw(input.detach() if hasattr(input, "detach") else np.asarray(input)))
    if array.ndim != 4:
        return None
    one = array[0].transpose(1, 2, 0)
    one = one if one.shape[-1] in (1, 3) else one.mean(-1, keepdims=True)
    low, high, _ = picture.brightness(one)
    ready = picture.pixels(one, low, high)
    return np.repeat(ready, 3, -1) if ready.shape[-1] == 1 else ready


def _bars(values: np.ndarray, features: Sequence[str] | None, ax: Any, label: str, title: str) -> Any:
    if features is not None and len(features) != len(values):
        raise ValueError(f"{len(features)} names for {len(values)} features")
    ax = _axes(ax, 5.0, max(2.0, 0.24 * len(values) + 1.0))
    at = np.arange(len(values))
    ax.barh(at, values, color=[colors.SERIES_LIGHT[1] if v >= 0 else colors.SERIES_LIGHT[0] for v in values])
    names = [str(i) for i in at] if features is None else [str(f) for f in features]
    if len(values) <= 40:
        ax.set_yticks(at, names, parse_math=False)
    ax.invert_yaxis()
    ax.set(xlabel=label, ylabel="feature")
    ax.set_title(title, parse_math=False)
    return _plain(ax)


def _overlay(input: Any, heat: np.ndarray, ax: Any, label: str, title: str, signed: bool) -> Any:
    """The picture in grey with the heat on it: the more there is, the more it covers."""
    shown = _image(input)
    if shown is None:
        raise ValueError("expected a picture [1, channel, height, width]")
    height, width = shown.shape[:2]
    ax = _axes(ax, 4.6, 3.8 * min(max(height / width, 0.5), 2.0))
    grey = shown.mean(-1, keepdims=True).repeat(3, -1).astype(np.uint8)
    ax.imshow(grey, extent=(0, width, height, 0), interpolation="nearest")
    reach = float(np.abs(heat).max()) or 1.0
    table = colors.diverging(256) if signed else colors.sequential(256)
    drawn = ax.imshow(
        heat, cmap=_colormap(table, "mlkit heat"), vmin=-reach if signed else 0.0, vmax=reach,
        alpha=0.9 * np.clip(np.abs(heat) / reach, 0, 1) ** 0.7, extent=(0, width, height, 0),
        interpolation="nearest" if heat.shape == (height, width) else "bilinear",
    )  # fmt: skip
    bar = ax.figure.colorbar(drawn, ax=ax, label=label, shrink=0.85)
    bar.solids.set_alpha(1.0)
    ax.set_axis_off()
    ax.set_title(title, parse_math=False)
    return ax


@theme.styled
def saliency(
    model: Any, input: Any, target: int | None = None, *, ax: Any = None, classes: Sequence[str] | None = None,
    features: Sequence[str] | None = None,
) -> Any:  # fmt: skip
    """How strongly each pixel (or feature) moves a class's score: the size of its gradient. Returns the ``Axes``.

    ``input``: one sample with its batch axis, [1, channel, height, width] or [1, feature]; of a picture the largest
    channel counts. ``target``: the class, None: the one the model prefers. ``classes`` and ``features``: names for them.
    The numbers are in ``ax.images[-1].get_array()``; ``mlkit.plot.attribution.saliency`` gives them signed.

    >>> import matplotlib, mlkit; matplotlib.use("agg")
    >>> model = mlkit.nn.Sequential(mlkit.nn.Flatten(), mlkit.nn.Linear(64, 3))
    >>> saliency(model, mlkit.rand(1, 1, 8, 8), target=2).get_title()
    'class 2'
    """
    values, chosen = attribution.saliency(model, input, target)
    title = _title(chosen, classes)
    if values.ndim == 1:
        return _bars(values, features, ax, "gradient of the score", title)
    return _overlay(input, np.abs(values).max(0), ax, "size of the gradient", title, signed=False)


@theme.styled
def integrated_gradients(
    model: Any, input: Any, target: int | None = None, *, baseline: Any = 0.0, steps: int = 32, ax: Any = None,
    classes: Sequence[str] | None = None, features: Sequence[str] | None = None,
) -> Any:  # fmt: skip
    """What each pixel (or feature) adds to a class's score, compared with ``baseline``. Returns the ``Axes``.

    For and against are blue-orange around white: orange adds, blue takes away. ``baseline``: a number or a tensor of the
    input's shape; ``steps``: points on the way there. Other arguments as in ``saliency``.

    >>> import matplotlib, mlkit; matplotlib.use("agg")
    >>> integrated_gradients(mlkit.nn.Linear(3, 2), mlkit.ones(1, 3), features=["a", "b", "c"]).get_ylabel()
    'feature'
    """
    values, chosen = attribution.integrated_gradients(model, input, target, baseline=baseline, steps=steps)
    title = _title(chosen, classes)
    if values.ndim == 1:
        return _bars(values, features, ax, "added to the score", title)
    return _overlay(input, values.sum(0), ax, "added to the score", title, signed=True)


@theme.styled
def grad_cam(
    model: Any, input: Any, layer: Any = None, target: int | None = None, *, ax: Any = None,
    classes: Sequence[str] | None = None,
) -> Any:  # fmt: skip
    """Where a layer of a convolutional network sees the class, over the picture. Returns the ``Axes``.

    ``input``: [1, channel, height, width]. ``layer``: a module or its path, None: the last convolution. ``target``: the
    class, None: the one the model prefers.

    >>> import matplotlib, mlkit; matplotlib.use("agg")
    >>> nn = mlkit.nn
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    >>> len(grad_cam(model, mlkit.rand(1, 1, 8, 8), classes=["cat", "dog"]).images)
    2
    """
    heat, chosen = attribution.grad_cam(model, input, layer, target)
    return _overlay(input, heat, ax, "evidence", _title(chosen, classes), signed=False)
