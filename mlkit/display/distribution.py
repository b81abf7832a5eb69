"""A probability distribution as HTML: its parameters, its shapes, and a curve of its density or probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlkit.display import svg
from mlkit.display.dataset import _unchanged
from mlkit.display.markup import card, escape, number, scroll, shape_text, table
from mlkit.display.picture import picture
from mlkit.display.sample import dtype_name, numbers, raw, to_numpy

CURVES = 4
POINTS = 200
DRAWS = 2000


def html(distribution: Any) -> str:
    """A card. Densities come from ``log_prob``; the random state is as it was."""
    kind = type(distribution).__name__
    batch, event = tuple(distribution.batch_shape), tuple(distribution.event_shape)
    words = [f"batch {shape_text(batch)}" if batch else "", f"event {shape_text(event)}" if event else ""]
    shapes = ", ".join(word for word in words if word) or "of one number"
    parts = [f'<p class="head"><b>{escape(kind, 60)}</b> {shapes}</p>', _parameters(distribution)]
    if all(raw(p) is not None for p in _given(distribution).values()):
        try:
            parts.append(_unchanged(lambda: _drawing(distribution, batch, event)))
        except Exception as error:  # a density that is not known is no reason to show nothing
            parts.append(f'<p class="note">no curve: {escape(f"{type(error).__name__}: {error}", 200)}</p>')
    return card("distribution", *parts)


def _given(distribution: Any) -> dict[str, Any]:
    names = getattr(distribution, "arg_constraints", {})
    found = {name: vars(distribution).get(name) for name in names}
    return {name: value for name, value in found.items() if hasattr(value, "_array")}


def _parameters(distribution: Any) -> str:
    rows = []
    for name, value in _given(distribution).items():
        array = raw(value)
        values = (
            "on the meta device"
            if array is None
            else ", ".join(number(float(v)) for v in numbers(to_numpy(array.reshape(-1)[:6])))
        )
        more = ", …" if array is not None and array.size > 6 else ""
        rows.append((escape(name, 40), f"{dtype_name(value)} {shape_text(value.shape)}", values + more))
    return scroll(table(rows, ("parameter", "shape", "values")), "parameters") if rows else ""


def _drawing(distribution: Any, batch: tuple, event: tuple) -> str:
    import mlkit

    with mlkit.no_grad():
        if event:
            draws = numbers(to_numpy(raw(distribution.sample((64,)))))
            draws = draws.T if draws.ndim == 2 else draws  # a column for each draw
            return f'<p class="note">64 draws</p><div class="figures">{picture(draws, 8_000, "draws")}</div>'
        draws = numbers(to_numpy(raw(distribution.sample((DRAWS,))))).reshape(DRAWS, -1)[:, :CURVES]
        finite = draws[np.isfinite(draws)]
        if not finite.size:
            return '<p class="note">no finite draw</p>'
        low, high = (float(v) for v in np.quantile(finite, (0.005, 0.995)))
        discrete = bool(getattr(getattr(distribution, "support", None), "is_discrete", False))
        if discrete:
            low, high = np.floor(low), max(np.ceil(high), np.floor(low) + 1)
            at = np.arange(low, high + 1, max(1, (high - low) // POINTS))
        else:
            reach = (high - low) * 0.15 or max(abs(low) * 0.1, 0.5)
            at = np.linspace(low - reach, high + reach, POINTS)
        density = _density(distribution, at, batch)
        if density is None:
            counts, edges = np.histogram(finite, 36)
            chart = svg.histogram(counts.tolist(), float(edges[0]), float(edges[-1]), width=420, height=90)
            return f"<figure>{svg.embed(chart, f'histogram of {DRAWS} draws', 420, 90)}<figcaption>{number(DRAWS)} draws</figcaption></figure>"
        total = int(np.prod(batch, dtype=np.int64)) if batch else 1
        names = (
            ["probability" if discrete else "density"]
            if total == 1
            else [f"[{', '.join(map(str, np.unravel_index(k, batch)))}]" for k in range(density.shape[1])]
        )
        drawn = [
            svg.Series(names[k], at, density[:, k], dashed=k % 2 == 1, stems=discrete and len(at) <= 60)
            for k in range(density.shape[1])
        ]
        title = "probability" if discrete else "density"
        chart = svg.lines(drawn, title=title, xlabel="value", width=420, height=190, log=False, legend=total > 1)
        note = f"<figcaption>the first {CURVES} of {number(total)}</figcaption>" if total > CURVES else ""
        alt = f"{title} of {type(distribution).__name__} from {number(float(at[0]))} to {number(float(at[-1]))}"
        return f"<figure>{svg.embed(chart, alt, 420, 190)}{note}</figure>"


def _density(distribution: Any, at: np.ndarray, batch: tuple) -> np.ndarray | None:
    """float64 [points, curves], NaN outside the support; None where there is no log_prob."""
    import mlkit

    given = next(iter(_given(distribution).values()), None)
    like = given.dtype if given is not None and given.dtype.is_floating_point else mlkit.get_default_dtype()
    values = mlkit.tensor(at.tolist()).to(like).reshape(len(at), *(1,) * len(batch)).expand(len(at), *batch)
    support = getattr(distribution, "support", None)
    inside = np.ones((len(at), 1), bool)
    if support is not None and hasattr(support, "check"):
        inside = to_numpy(raw(support.check(values))).reshape(len(at), -1)
    middle = to_numpy(raw(distribution.sample()))  # in the support, for the points that are not
    safe = np.where(inside.reshape(values.shape) if batch else inside[:, 0], to_numpy(raw(values)), middle)
    try:
        found = distribution.log_prob(mlkit.from_numpy(np.ascontiguousarray(safe)).to(like))
    except NotImplementedError:
        return None
    out = np.exp(numbers(to_numpy(raw(found)))).reshape(len(at), -1)
    out = np.where(inside, out, 0.0)
    return out[:, :CURVES]
