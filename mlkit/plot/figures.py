"""The figures of ``mlkit.plot``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mlkit.display import colors, picture
from mlkit.display import history as _history
from mlkit.display.sample import numbers, raw, statistics, to_numpy
from mlkit.display.svg import smoothed
from mlkit.plot import theme


def _axes(ax: Any, width: float = 6.0, height: float = 3.6) -> Any:
    return ax if ax is not None else theme.axes(width, height)


def _colormap(table: np.ndarray, name: str) -> Any:
    from matplotlib.colors import ListedColormap

    return ListedColormap(table / 255.0, name=name)


def _array(value: Any, what: str) -> np.ndarray:
    array = raw(value) if hasattr(value, "_array") or isinstance(value, np.ndarray) else np.asarray(value)
    if array is None:
        raise ValueError(f"{what}: a tensor on the meta device holds no data to draw")
    return to_numpy(array)


@theme.styled
def curves(
    history: Any, names: Sequence[str] | None = None, *, ax: Any = None, smooth: bool = True, log: bool = False
) -> Any:
    """Training curves over steps: validation dashed with dots, noisy training values faint behind their average.

    ``history``: a History, a Source, or ``{name: values}``. ``names``: which series (default: those of the loss, or all
    where there is none). ``smooth``: average series of more than 40 points. ``log``: a logarithmic y axis.
    Returns the ``Axes``.

    >>> import matplotlib; matplotlib.use("agg")
    >>> curves({"train/loss": [2.0, 1.0, 0.5]}).get_xlabel()
    'step'
    """
    series = _history.series_of(history)
    grouped = _history.groups(series)
    if names is None:
        names = grouped.get("loss") or list(series)
    missing = [name for name in names if name not in series]
    if missing:
        raise KeyError(f"curves: no series {missing[0]!r}; there are {', '.join(map(repr, series)) or 'none'}")
    ax = _axes(ax)
    for i, name in enumerate(names):
        steps, values = series[name]
        colour = colors.SERIES_LIGHT[i % len(colors.SERIES_LIGHT)]
        valid = name.split("/")[0] in ("valid", "test")
        style = {
            "color": colour,
            "linestyle": "--" if valid else "-",
            "marker": "o" if valid else None,
            "markersize": 4,
        }
        if smooth and not valid and len(values) > 40:
            ax.plot(steps, values, color=colour, alpha=0.25, linewidth=0.8)
            ax.plot(steps, smoothed(values, max(5.0, len(values) / 25)), label=name, linewidth=1.8, **style)
        else:
            ax.plot(steps, values, label=name, linewidth=1.8, **style)
    if log:
        ax.set_yscale("log")
    parts = {name.rpartition("/")[2] for name in names}
    ax.set(xlabel="step", ylabel=parts.pop() if len(parts) == 1 else "")
    if names:
        ax.legend(frameon=False)
    return _plain(ax)


def _plain(ax: Any) -> Any:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(linewidth=0.8)
    ax.set_axisbelow(True)
    return ax


@theme.styled
def histogram(tensor: Any, bins: int = 50, *, ax: Any = None, label: str | None = None) -> Any:
    """How the finite values of a tensor are spread, with a line at the mean. Large tensors are sampled.

    ``tensor``: any shape, a Tensor or an array. Counts of NaN and Inf are in the title. Returns the ``Axes``.

    >>> import matplotlib; matplotlib.use("agg")
    >>> histogram(np.arange(100.0), bins=10).get_ylabel()
    'values'
    """
    array = raw(tensor) if hasattr(tensor, "_array") or isinstance(tensor, np.ndarray) else np.asarray(tensor)
    if array is None:
        raise ValueError("histogram: a tensor on the meta device holds no data to draw")
    found = statistics(array, bins=bins)
    ax = _axes(ax)
    counts = found.counts or ([found.looked_at - found.nan - found.inf] if found.minimum is not None else [])
    if counts:
        whole = len(counts) == found.high - found.low + 1 and found.kind in "iub"
        edges = (
            np.arange(len(counts) + 1) + found.low - 0.5
            if whole
            else np.linspace(found.low, found.high or 1.0, len(counts) + 1)
        )
        if found.low == found.high:
            edges = np.array([found.low - 0.5, found.high + 0.5])
        ax.stairs(counts, edges, fill=True, color=colors.SERIES_LIGHT[0], label=label)
        ax.axvline(
            found.mean, color=colors.SERIES_LIGHT[1], linestyle="--", linewidth=1.2, label=f"mean {found.mean:.4g}"
        )
        ax.legend(frameon=False)
    notes = [f"{n:,} {what}" for n, what in ((found.nan, "NaN"), (found.inf, "Inf")) if n]
    if not found.exact:
        notes.append(f"sampled: {found.looked_at:,} of {found.total:,} values")
    ax.set(xlabel="value", ylabel="values", title=", ".join(notes))
    return _plain(ax)


@theme.styled
def images(
    tensor: Any,
    labels: Any = None,
    *,
    ax: Any = None,
    columns: int = 8,
    most: int = 64,
    classes: Sequence[str] | None = None,
) -> Any:
    """Images in a grid on one ``Axes``, their labels below them.

    ``tensor``: (image, 1 or 3, height, width), (image, height, width, 1 or 3), (image, height, width), or one image.
    ``labels``: one for each image (numbers or words); ``classes``: names for numbers. Returns the ``Axes``.

    >>> import matplotlib; matplotlib.use("agg")
    >>> images(np.zeros((3, 1, 8, 8)), labels=[7, 2, 1]).axison
    False
    """
    array = _array(tensor, "images")
    names = None if labels is None else np.asarray(_array(labels, "images")).reshape(-1).tolist()
    if array.ndim == 2:
        array = array[None]
    if array.ndim == 3:  # three matrices are one colour image, unless there are three labels
        one = array.shape[0] in (1, 3) and array.shape[1] > 3 and (names is None or len(names) == 1)
        array = array[None] if one else array[..., None]
    if array.ndim == 4 and array.shape[1] in (1, 3):  # channels first, PyTorch's order, where both readings fit
        array = array.transpose(0, 2, 3, 1)
    if array.ndim != 4 or array.shape[-1] not in (1, 3) or 0 in array.shape:
        raise ValueError(
            f"images: expected (image, 1 or 3, height, width), (image, height, width) or one image, got {list(np.shape(_array(tensor, 'images')))}"
        )
    if names is not None and len(names) != len(array):
        raise ValueError(f"images: {len(names)} labels for {len(array)} images")
    array = array[:most]
    low, high, _ = picture.brightness(array)
    ready = picture.pixels(array, low, high)
    count, height, width, channels = ready.shape
    columns = max(1, min(columns, count))
    rows = -(-count // columns)
    gap, room = max(1, width // 10), (0 if names is None else max(3, height // 3))
    canvas = np.zeros((rows * (height + gap + room), columns * (width + gap), 4), np.uint8)
    ax = _axes(ax, 0.8 * columns + 0.2, (0.8 + (0.25 if names else 0)) * rows + 0.2)
    for i, one in enumerate(ready):
        y, x = (i // columns) * (height + gap + room), (i % columns) * (width + gap)
        canvas[y : y + height, x : x + width, :3] = one
        canvas[y : y + height, x : x + width, 3] = 255
        if names is not None:
            value = names[i]
            word = classes[value] if classes is not None and isinstance(value, int) else value
            ax.text(
                x + width / 2 - 0.5,
                y + height + room / 2,
                str(word),
                ha="center",
                va="center",
                fontsize=9,
                parse_math=False,
            )
    ax.imshow(canvas, interpolation="nearest")
    ax.set_axis_off()
    return ax


@theme.styled
def confusion(matrix: Any, classes: Sequence[str] | None = None, *, ax: Any = None, normalize: bool = False) -> Any:
    """A confusion matrix with its numbers. Returns the ``Axes``.

    ``matrix``: counts, shape (class true, class predicted). ``normalize``: shares of each true class in per cent.

    >>> import matplotlib; matplotlib.use("agg")
    >>> confusion([[9, 1], [0, 10]]).get_xlabel()
    'predicted'
    """
    counts = _array(matrix, "confusion")
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ValueError(f"confusion: expected counts of shape (class true, class predicted), got {list(counts.shape)}")
    if classes is not None and len(classes) != len(counts):
        raise ValueError(f"confusion: {len(classes)} class names for {len(counts)} classes")
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = max(3.6, 0.42 * len(counts) + 1.4)
    ax = _axes(ax, side + 0.8, side)
    drawn = ax.imshow(shares, cmap=_colormap(colors.sequential(256), "mlkit sequential"), vmin=0, vmax=1)
    ax.figure.colorbar(drawn, ax=ax, label="share of the true class", shrink=0.8)
    names = [str(i) for i in range(len(counts))] if classes is None else [str(c) for c in classes]
    ax.set_xticks(range(len(names)), names, rotation=90 if max(map(len, names), default=0) > 3 else 0, parse_math=False)
    ax.set_yticks(range(len(names)), names, parse_math=False)
    if len(counts) <= 25:
        for (i, j), value in np.ndenumerate(counts):
            if value:
                text = f"{100 * shares[i, j]:.0f}" if normalize else f"{value:g}"
                ax.text(
                    j, i, text, ha="center", va="center", fontsize=8, color="black" if shares[i, j] > 0.5 else "white"
                )
    ax.set(xlabel="predicted", ylabel="true")
    return ax


@theme.styled
def filters(weight: Any, *, ax: Any = None, columns: int = 8, most: int = 64) -> Any:
    """The first filters of a convolution in a grid: colours when it looks at 3 channels, otherwise its first channel.

    ``weight``: (out channel, in channel, height, width). Returns the ``Axes``.

    >>> import matplotlib; matplotlib.use("agg")
    >>> filters(np.random.default_rng(0).normal(size=(16, 3, 5, 5))).axison
    False
    """
    array = _array(weight, "filters")
    if array.ndim != 4:
        raise ValueError(f"filters: expected (out channel, in channel, height, width), got {list(array.shape)}")
    return images(array if array.shape[1] in (1, 3) else array[:, :1], ax=ax, columns=columns, most=most)


@theme.styled
def attention(
    weights: Any, queries: Sequence[str] | None = None, keys: Sequence[str] | None = None, *, ax: Any = None
) -> Any:
    """Attention weights as a heat map. Returns the ``Axes``.

    ``weights``: (query, key) in 0..1. ``queries`` and ``keys``: the tokens, for the axes.

    >>> import matplotlib; matplotlib.use("agg")
    >>> attention(np.eye(3), list("abc"), list("abc")).get_xlabel()
    'key'
    """
    array = _array(weights, "attention")
    if array.ndim != 2:
        raise ValueError(
            f"attention: expected (query, key), got {list(array.shape)}: choose one batch element and head"
        )
    ax = _axes(ax, 5.0, 4.2)
    drawn = ax.imshow(numbers(array), cmap=_colormap(colors.sequential(256), "mlkit sequential"), vmin=0, aspect="auto")
    ax.figure.colorbar(drawn, ax=ax, label="weight")
    if keys is not None:
        ax.set_xticks(
            range(len(keys)), keys, rotation=90 if max(map(len, keys), default=0) > 2 else 0, parse_math=False
        )
    if queries is not None:
        ax.set_yticks(range(len(queries)), queries, parse_math=False)
    ax.set(xlabel="key", ylabel="query")
    return ax


@theme.styled
def decision_boundary(
    predict: Callable[[np.ndarray], Any], points: Any, labels: Any = None, *, ax: Any = None, steps: int = 160
) -> Any:
    """Which class a model gives over a plane, with the data on it. Returns the ``Axes``.

    ``predict``: from float32 (point, 2) to class scores (point, class), or to class numbers (point). ``points``:
    (point, 2). ``labels``: (point) class numbers. Classes have markers of their own.

    >>> import matplotlib; matplotlib.use("agg")
    >>> points = np.array([[0.0, 0.0], [1.0, 1.0]])
    >>> decision_boundary(lambda x: x[:, 0] > 0.5, points, [0, 1]).get_xlabel()
    'feature 0'
    """
    at = _array(points, "decision_boundary")
    if at.ndim != 2 or at.shape[1] != 2 or not len(at):
        raise ValueError(f"decision_boundary: expected points of shape (point, 2), got {list(at.shape)}")
    (x0, y0), (x1, y1) = at.min(0), at.max(0)
    margin = 0.08 * max(x1 - x0, y1 - y0, 1e-9)
    xs, ys = np.linspace(x0 - margin, x1 + margin, steps), np.linspace(y0 - margin, y1 + margin, steps)
    grid = np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 2).astype(np.float32)
    scores = predict(grid)
    scores = _array(scores.detach() if hasattr(scores, "detach") else scores, "decision_boundary")
    found = (
        scores.argmax(1)
        if scores.ndim == 2 and scores.shape[1] > 1
        else (scores.reshape(-1) > 0.5 if scores.dtype.kind == "f" else scores.reshape(-1))
    )
    found = np.asarray(found, np.int64).reshape(steps, steps)
    ax = _axes(ax, 5.0, 4.4)
    given = None if labels is None else np.asarray(_array(labels, "decision_boundary")).reshape(-1).astype(int)
    most = int(max(found.max(), -1 if given is None else given.max())) + 1
    palette = [colors.SERIES_LIGHT[i % len(colors.SERIES_LIGHT)] for i in range(most)]
    from matplotlib.colors import ListedColormap

    ax.pcolormesh(
        xs,
        ys,
        found,
        cmap=ListedColormap(palette),
        vmin=0,
        vmax=max(most - 1, 1),
        alpha=0.3,
        shading="nearest",
        rasterized=True,
    )
    for k in [None] if given is None else np.unique(given).tolist():
        chosen = at if k is None else at[given == k]
        style = (
            {"color": colors.LIGHT["ink"]}
            if k is None
            else {"color": palette[k], "marker": "osD^vP"[k % 6], "label": f"class {k}"}
        )
        ax.scatter(chosen[:, 0], chosen[:, 1], s=22, edgecolor="white", linewidth=0.6, **style)
    if given is not None:
        ax.legend(frameon=True)
    ax.set(xlabel="feature 0", ylabel="feature 1")
    return ax
