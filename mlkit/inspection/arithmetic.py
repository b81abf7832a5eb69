"""The arithmetic behind one number of an operation's result, written out from the recorded inputs.

A rule takes a `Scene` (the operation with its recorded operands) and an index, and gives terms and steps whose total is
worked out here, in float64, by other means than the operation's own kernel. Operations without a rule of their own are
explained by what they are: elementwise ones by their operands at one place, those that only move numbers by where the
number was, linear ones by their coefficients, and the rest by their slopes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from mlkit.autograd import engine
from mlkit.autograd.grad_mode import enable_grad, no_grad
from mlkit.compiler.graph import GraphNode, Ref
from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import apply
from mlkit.core.errors import DataError, MlkitError
from mlkit.core.value import wrap
from mlkit.inspection.explanation import Cell, Explanation, Step, Terms, number
from mlkit.inspection.formulas import formula
from mlkit.ops.registry import REGISTRY, Elementwise

Rule = Callable[["Scene", tuple[int, ...], int], dict[str, Any]]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    def add(fn: Rule) -> Rule:
        for name in names:
            RULES[name] = fn
        return fn

    return add


class Scene:
    """One recorded operation: its operands as they were recorded, their ids and labels. Parts are widened when used."""

    def __init__(self, inspection: Any, node: GraphNode):
        self.inspection, self.node = inspection, node
        self.op = REGISTRY[node.op]
        self.attributes = node.attributes
        self.ids: list[str | None] = []
        self.labels: list[str] = []
        self.arrays: list[Any] = []
        for place, argument in enumerate(node.arguments):
            own = (
                f"tensors[{place}]"
                if self.op.variadic
                else self.op.inputs[place]
                if place < len(self.op.inputs)
                else ""
            )
            if isinstance(argument, Ref):
                key = str(argument)
                array = inspection.array(key)
                if array is None:
                    raise DataError(
                        f"{inspection.label(key)}, an input of {node.op}, was not kept: its numbers are not known.",
                        hint="inspect(model, input) on a device with data keeps every tensor.",
                    )
                self.ids.append(key)
                self.labels.append(inspection.graph.values[key].name or own)
                self.arrays.append(array)
            else:
                self.ids.append(None)
                self.labels.append(own)
                self.arrays.append(argument)

    def has(self, place: int) -> bool:
        return place < len(self.arrays) and self.arrays[place] is not None

    def cell(self, place: int, index: tuple[int, ...]) -> Cell:
        array = self.arrays[place]
        if not isinstance(array, np.ndarray):
            return Cell(None, number(float(array)), (), float(array))
        return Cell(self.ids[place], self.labels[place], index, float(np.real(array[index])))

    def operand(self, place: int, indices: np.ndarray) -> tuple[str, str | None, np.ndarray, np.ndarray]:
        array = self.arrays[place]
        numbers = array[tuple(indices.T)] if indices.shape[1] else np.full(len(indices), float(array))
        return self.labels[place], self.ids[place], indices, np.asarray(wide(np.real(numbers)), np.float64)


def wide(array: np.ndarray) -> np.ndarray:
    """Floating numbers in float64; integers, bools and complex numbers as they are."""
    return array if array.dtype.kind in "iubc" else array.astype(np.float64)


def explain(inspection: Any, key: str, index: tuple[int, ...]) -> Explanation:
    """The explanation of ``value[index]``."""
    array = inspection.array(key)
    if array is None:
        raise DataError(f"the numbers of {inspection.label(key)} were not kept, so there is nothing to trace back.")
    recorded = array[index]
    value = float(np.real(recorded))
    place = f"[{', '.join(map(str, index))}]" if index else ""
    node = inspection.producer.get(key)
    if node is None:
        kind = {"input": "an input", "parameter": "a weight", "buffer": "a buffer"}.get(
            inspection.graph.values[key].kind, "a constant"
        )
        name = inspection.label(key)
        return Explanation(key, index, value, value, f"{name}{place}", note=f"{kind}: given, not computed.")
    scene = Scene(inspection, node)
    number_ = node.outputs.index(key)
    modules = {m.path: m.type for m in inspection.graph.modules}
    inside = f" in {node.module} ({modules.get(node.module, '')})" if node.module else ""
    output = f"output {number_}" if len(node.outputs) > 1 and number_ else "output"
    try:
        parts = RULES.get(node.op, other)(scene, index, number_)
    except NotCovered:
        parts = slopes(scene, index, number_)
    return Explanation(
        key,
        index,
        value,
        parts.pop("total", value),
        f"{node.op}{inside}: {output}{place}",
        parts.pop("formula", formula(node.op)),
        **parts,
    )


class NotCovered(Exception):
    """A rule meets a case that it does not write out."""


def grid(*axes: Any) -> np.ndarray:
    """All combinations of indices: axes are integers or ranges -> (n, axes)."""
    ranges = [np.atleast_1d(np.asarray(a, np.int64)) for a in axes]
    if not ranges:
        return np.zeros((1, 0), np.int64)
    return np.stack([m.reshape(-1) for m in np.meshgrid(*ranges, indexing="ij")], 1)


def products(scene: Scene, a: int, ia: np.ndarray, b: int, ib: np.ndarray) -> Terms:
    left, right = scene.operand(a, ia), scene.operand(b, ib)
    return Terms([left, right], left[3] * right[3], "{0} * {1}")


def with_bias(scene: Scene, terms: Terms, place: int, index: tuple[int, ...]) -> dict[str, Any]:
    total, after = terms.total, []
    if scene.has(place):
        bias = scene.cell(place, index)
        total += bias.number
        after.append(Step(f"+ {bias.name}", bias.number, [bias]))
    return {"terms": terms, "after": after, "total": total}


# --- products ---------------------------------------------------------------------------------------------------------


@rule("linear")
def _linear(scene: Scene, index: tuple[int, ...], output: int) -> dict[str, Any]:
    *lead, o = index
    k = np.arange(scene.arrays[1].shape[1])
    return with_bias(scene, products(scene, 0, grid(*lead, k), 1, grid(o, k)), 2, (o,))


@rule("matmul")
def _matmul(scene: Scene, index: tuple[int, ...], output: int) -> dict[str, Any]:
    a, b = scene.arrays[0], scene.arrays[1]
    if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)) or a.dtype.kind == "c" or b.dtype.kind == "c":
        raise NotCovered
    k = np.arange(a.shape[-1])
    rest = list(index)
    column = rest.pop() if b.ndim > 1 else None
    row = rest.pop() if a.ndim > 1 else None

    def lead(shape: tuple[int, ...]) -> list[int]:
        own = shape[:-2]
        return [0 if size == 1 else i for size, i in zip(own, rest[len(rest) - len(own) :])]

    ia = grid(*lead(a.shape), row, k) if row is not None else grid(k)
    ib = grid(*lead(b.shape), k, column) if column is not None else grid(k)
    terms = products(scene, 0, ia, 1, ib)
    return {"terms": terms, "total": terms.total}


@rule("conv1d", "conv2d", "conv3d")
def _conv(scene: Scene, index: tuple[int, ...], output: int) -> dict[str, Any]:
    at = scene.attributes
    x, w = scene.arrays[0], scene.arrays[1]
    n, o, *places = index
    per = w.shape[1]
    first = o // (w.shape[0] // at["groups"]) * per
    inside = []
    for p, size, k, s, (before, _), d in zip(
        places, x.shape[2:], w.shape[2:], at["stride"], at["padding"], at["dilation"]
    ):
        taps = np.arange(k)
        where = p * s - before + taps * d
        good = (where >= 0) & (where < size)
        inside.append((taps[good], where[good]))
    c = np.arange(per)
    iw = grid(o, c, *(taps for taps, _ in inside))
    ix = grid(n, first + c, *(where for _, where in inside))
    found = with_bias(scene, products(scene, 0, ix, 1, iw), 2, (o,))
    outside = per * int(np.prod(w.shape[2:])) - len(ix)
    if outside:
        found["note"] = f"{outside:,} weights lie over the padding and count 0."
    return found


@rule("conv1d_input_grad", "conv2d_input_grad", "conv3d_input_grad")
def _transposed(scene: Scene, index: tuple[int, ...], output: int) -> dict[str, Any]:
    at = scene.attributes
    g, w = scene.arrays[0], scene.arrays[1]
    n, c, *places = index
    per_in, per_out = w.shape[1], w.shape[0] // at["groups"]
    group = c // per_in
    inside = []
    for p, size, k, s, (before, _), d in zip(
        places, g.shape[2:], w.shape[2:], at["stride"], at["padding"], at["dilation"]
    ):
        taps = np.arange(k)
        where = p + before - taps * d
        good = (where % s == 0) & (where >= 0) & (where // s < size)
        inside.append((taps[good], where[good] // s))
    o = group * per_out + np.arange(per_out)
    ig = grid(n, o, *(where for _, where in inside))
    iw = grid(o, c - group * per_in, *(taps for taps, _ in inside))
    terms = products(scene, 0, ig, 1, iw)
    return {"terms": terms, "total": terms.total}


@rule("attention")
def _attention(scene: Scene, index: tuple[int, ...], output: int) -> dict[str, Any]:
    q, k, v = scene.arrays[:3]
    *lead, row = index[:-1] if output == 0 else index
    scale = scene.attributes["scale"]
    keys = np.arange(min(row + 1, k.shape[-2]) if scene.attributes["is_causal"] else k.shape[-2])
    query = wide(q[(*lead, row)])
    scores = wide(k[tuple(lead)][keys]) @ query * scale
    top = float(scores.max())
    powers = np.exp(scores - top)
    total = float(powers.sum())
    depth = q.shape[-1]
    before = []
    for j in np.argsort(-scores, kind="stable")[:3]:
        e = int(np.argmax(np.abs(query * k[(*lead, int(j))])))
        before.append(
            Step(
                f"score of key {int(j)}: query[{row}] . key[{int(j)}] * {number(scale)}, {depth} products",
                float(scores[j]),
                [scene.cell(0, (*lead, row, e)), scene.cell(1, (*lead, int(j), e))],
            )
        )
    if len(keys) > 3:
        before[-1].text += f" (the 3 largest of {len(keys):,} scores)"
    before.append(Step("sum of exp(score - largest score)", total))
    seen = (int(keys[0]), int(keys[-1]) + 1)
    box = [(i, i + 1) for i in lead]
    regions = {scene.ids[0]: [*box, (row, row + 1), (0, depth)], scene.ids[1]: [*box, seen, (0, depth)]}
    regions = {str(key): value for key, value in regions.items()} if len(set(scene.ids[:3])) == 3 else {}
    if output == 1:
        terms = Terms([("score", None, grid(keys), scores)], powers, "exp({0} - " + number(top) + ")")
        return {"before": before, "terms": terms, "total": top + math.log(terms.total), "regions": regions,
                "after": [Step("largest score + log of the sum", top + math.log(total))],
                "formula": "logsumexp over the keys of query . key * scale"}  # fmt: skip
    weights = powers / total
    values = scene.operand(2, grid(*lead, keys, index[-1]))
    terms = Terms([("weight", None, grid(keys), weights), values], weights * values[3], "{0} * {1}")
    return {"before": before, "terms": terms, "total": terms.total, "regions": regions}


# --- windows ----------------------------------------------------------------------------------------------------------


def window(scene: Scene, places: list[int], spatial: tuple[int, ...]) -> list[np.ndarray]:
    at = scene.attributes
    axes = []
    for axis, (p, size) in enumerate(zip(places, spatial)):
        k, s, before = at["kernel_size"][axis], at["stride"][axis], at["padding"][axis]
        before = before[0] if isinstance(before, (tuple, list)) else before
        d = at["dilation"][axis] if "dilation" in at else 1
        where = p * s - before + np.arange(k) * d
        axes.append(where[(where >= 0) & (where < size)])
    return axes


def largest(scene: Scene, indices: np.ndarray, output: int, flat: np.ndarray) -> dict[str, Any]:
    own = scene.operand(0, indices)
    terms = Terms([own], own[3], "{0}", "max")
    if output:
        best = int(flat[int(np.argmax(own[3]))])
        return {"terms": terms, "total": float(best), "after": [Step("where the largest is, counted row by row", best)]}
    return {"terms": terms, "total": terms.total}


@rule("max_pool1d", "max_pool2d", "max_pool3d")
def _max_pool(scene: Scene, index: tuple[int, ...], output: int) -> dict[str, Any]:
    n, c, *places = index
    spatial = scene.arrays[0].shape[2:]
    axes = window(scene, list(places), spatial)
    indices = grid(n, c, *axes)
    return largest(scene, indices, output, np.ravel_multi_index(tuple(indices[:, 2:].T), spatial))


@rule("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def _adaptive_max(scene: Scene, index: tuple[int, ...], output: int) -> dict[str, Any]:
    n, c, *places = index
    spatial = scene.arrays[0].shape[2:]
    axes = [np.arange(p * size // out, -(-(p + 1) * size // out))
            for p, size, out in zip(places, spatial, scene.attributes["sizes"])]  # fmt: skip
    indices = grid(n, c, *axes)
    return largest(scene, indices, output, np.ravel_multi_index(tuple(indices[:, 2:].T), spatial))


@rule("avg_pool1d", "avg_pool2d", "avg_pool3d")
def _avg_pool(scene: Scene, index: tuple[int, ...], output: int) -> dict[str, Any]:
    n, c, *places = index
    at = scene.attributes
    spatial = scene.arrays[0].shape[2:]
    own = scene.operand(0, grid(n, c, *window(scene, list(places), spatial)))
    terms = Terms([own], own[3], "{0}")
    divisor = at["divisor_override"]
    if not divisor:
        divisor = len(own[3])
        if at["count_include_pad"]:
            divisor = 1
            for axis, (p, size) in enumerate(zip(places, spatial)):
                before = at["padding"][axis]
                after = before[1] if isinstance(before, (tuple, list)) else before
                before = before[0] if isinstance(before, (tuple, list)) else before
                start = p * at["stride"][axis] - before
                divisor *= min(start + at["kernel_size"][axis], size + after) - start
    return {"terms": terms, "after": [Step(f"/ {divisor}", float(divisor))], "total": terms.total / divisor}


# --- normalisation ----------------------------------------------------------------------------------------------------


def normalised(scene: Scene, x: Cell, mean: float, var: float, eps: float, before: list[Step], weight: Cell | None,
               bias: Cell | None, regions: dict) -> dict[str, Any]:  # fmt: skip
    std = math.sqrt(var + eps)
    total = (x.number - mean) / std
    text = f"({number(x.number)} - {number(mean)}) / {number(std)}"
    after = [Step(text, total, [x])]
    if weight is not None:
        total *= weight.number
        after.append(Step(f"* {weight.name} = {number(weight.number)}", total, [weight]))
    if bias is not None:
        total += bias.number
        after.append(Step(f"+ {bias.name} = {number(bias.number)}", total, [bias]))
    before.append(Step(f"sqrt(variance + {number(eps)})", std))
    return {"before": before, "after": after, "total": total, "regions": regions}


@rule("batch_norm_eval")
def _batch_norm_eval(scene: Scene, index: tuple[int, ...], output: int) -> dict[str, Any]:
    c = (index[1],)
    x, mean, var = scene.cell(0, index), scene.cell(1, c), scene.cell(2, c)
    before = [Step(mean.name, mean.number, [mean]), Step(var.name, var.number, [var])]
    return normalised(scene, x, mean.number, var.number, scene.attributes["eps"], before,
                      scene.cell(3, c) if scene.has(3) else None, scene.cell(4, c) if scene.has(4) else None, {})  # fmt: skip


@rule("batch_norm_train")
def _batch_norm_train(scene: Scene, index: tuple[int, ...], output: int) -> dict[str, Any]:
    channel = index[1] if output == 0 else index[0]
    array = scene.arrays[0]
    part = wide(array[:, channel])
    mean, var = float(part.mean()), float(part.var())
    before = [
        Step(f"mean of the {part.size:,} numbers of channel {channel}", mean),
        Step(f"variance of the {part.size:,} numbers of channel {channel}", var),
    ]
    box = [(0, array.shape[0]), (channel, channel + 1), *((0, size) for size in array.shape[2:])]
    regions = {str(scene.ids[0]): box}
    eps = scene.attributes["eps"]
    if output:
        total = [mean, var, 1 / math.sqrt(var + eps)][output - 1]
        return {
            "before": before,
            "total": total,
            "regions": regions,
            "formula": ["the mean", "the variance", "1 / sqrt(variance + eps)"][output - 1],
        }
    c = (channel,)
    return normalised(scene, scene.cell(0, index), mean, var, eps, before, scene.cell(1, c) if scene.has(1) else None,
                      scene.cell(2, c) if scene.has(2) else None, regions)  # fmt: skip


@rule("layer_norm")
def _layer_norm(scene: Scene, index: tuple[int, ...], output: int) -> dict[str, Any]:
    dims = scene.attributes["dims"]
    array = scene.arrays[0]
    lead, tail = index[: array.ndim - dims], index[array.ndim - dims :]
    part = wide(array[lead])
    before = [
        Step(f"mean of the {part.size:,} numbers", float(part.mean())),
        Step(f"variance of the {part.size:,} numbers", float(part.var())),
    ]
    regions = {str(scene.ids[0]): [*((i, i + 1) for i in lead), *((0, s) for s in part.shape)]}
    return normalised(scene, scene.cell(0, index), float(part.mean()), float(part.var()), scene.attributes["eps"], before,
                      scene.cell(1, tail) if scene.has(1) else None, scene.cell(2, tail) if scene.has(2) else None, regions)  # fmt: skip


@rule("rms_norm")
def _rms_norm(scene: Scene, index: tuple[int, ...], output: int) -> dict[str, Any]:
    dims, eps = scene.attributes["dims"], scene.attributes["eps"]
    array = scene.arrays[0]
    lead, tail = index[: array.ndim - dims], index[array.ndim - dims :]
    part = wide(array[lead])
    square = float((part**2).mean())
    root = math.sqrt(square + eps)
    x = scene.cell(0, index)
    before = [Step(f"mean of the {part.size:,} squares", square), Step(f"sqrt(mean of squares + {number(eps)})", root)]
    total = x.number / root
    after = [Step(f"{number(x.number)} / {number(root)}", total, [x])]
    if scene.has(1):
        weight = scene.cell(1, tail)
        total *= weight.number
        after.append(Step(f"* {weight.name} = {number(weight.number)}", total, [weight]))
    regions = {str(scene.ids[0]): [*((i, i + 1) for i in lead), *((0, s) for s in part.shape)]}
    return {"before": before, "after": after, "total": total, "regions": regions}


# --- softmax and losses -----------------------------------------------------------------------------------------------


def exponentials(scene: Scene, indices: np.ndarray) -> tuple[Terms, float]:
    own = scene.operand(0, indices)
    top = float(own[3].max())
    if not math.isfinite(top):
        raise NotCovered
    return Terms([own], np.exp(own[3] - top), "exp({0} - " + number(top) + ")"), top


@rule("softmax", "log_softmax")
def _softmax(scene: Scene, index: tuple[int, ...], output: int) -> dict[str, Any]:
    array = scene.arrays[0]
    dim = scene.attributes["dim"] % max(1, array.ndim)
    axes: list[Any] = list(index)
    if array.ndim:
        axes[dim] = np.arange(array.shape[dim])
    terms, top = exponentials(scene, grid(*axes))
    x = scene.cell(0, index)
    summed = terms.total
    if scene.node.op == "softmax":
        total = math.exp(x.number - top) / summed
        text = f"exp({number(x.number)} - {number(top)}) / {number(summed)}"
    else:
        total = x.number - top - math.log(summed)
        text = f"{number(x.number)} - {number(top)} - log({number(summed)})"
    return {"before": [Step("the largest, taken off so that nothing overflows", top)], "terms": terms,
            "after": [Step(text, total, [x])], "total": total}  # fmt: skip


@rule("softmax_cross_entropy")
def _cross_entropy(scene: Scene, index: tuple[int, ...], output: int) -> dict[str, Any]:
    target = int(scene.arrays[1][index])
    label = scene.cell(1, index)
    if target == scene.attributes["ignore_index"]:
        return {"after": [Step(f"{label.name} = {target} is ignored", 0.0, [label])], "total": 0.0}
    n, *rest = index
    terms, top = exponentials(scene, grid(n, np.arange(scene.arrays[0].shape[1]), *rest))
    x = scene.cell(0, (n, target, *rest))
    total = top + math.log(terms.total) - x.number
    return {
        "before": [
            Step(f"the right class, {label.name}", float(target), [label]),
            Step("the largest, taken off so that nothing overflows", top),
        ],
        "terms": terms,
        "after": [Step(f"{number(top)} + log({number(terms.total)}) - {number(x.number)}", total, [x])],
        "total": total,
    }


@rule("nll_pick")
def _nll_pick(scene: Scene, index: tuple[int, ...], output: int) -> dict[str, Any]:
    target = int(scene.arrays[1][index])
    label = scene.cell(1, index)
    if target == scene.attributes["ignore_index"]:
        return {"after": [Step(f"{label.name} = {target} is ignored", 0.0, [label])], "total": 0.0}
    x = scene.cell(0, (index[0], target, *index[1:]))
    return {"after": [Step(f"picked by {label.name} = {target}: {x.name}", x.number, [x, label])], "total": x.number}


@rule("embedding")
def _embedding(scene: Scene, index: tuple[int, ...], output: int) -> dict[str, Any]:
    token = scene.cell(0, index[:-1])
    x = scene.cell(1, (int(token.number), index[-1]))
    text = f"row {int(token.number)}, named by {token.name}: {x.name}"
    return {"after": [Step(text, x.number, [x, token])], "total": x.number}


# --- reductions -------------------------------------------------------------------------------------------------------

REDUCTIONS = (
    "sum",
    "mean",
    "prod",
    "amax",
    "amin",
    "argmax",
    "argmin",
    "any",
    "all",
    "var",
    "logsumexp",
    "vector_norm",
)


def reduced(scene: Scene, index: tuple[int, ...]) -> np.ndarray:
    """The places that a reduction puts together for one place of its result."""
    shape = scene.arrays[0].shape
    dim = scene.attributes.get("dim")
    dims = range(len(shape)) if dim is None or dim == () else [dim] if isinstance(dim, int) else dim
    over = {d % len(shape) for d in dims} if shape else set()
    kept = list(index)
    axes: list[Any] = []
    for axis, size in enumerate(shape):
        if axis in over:
            if scene.attributes.get("keepdim"):
                kept.pop(0)
            axes.append(np.arange(size))
        else:
            axes.append(kept.pop(0))
    return grid(*axes)


@rule(*REDUCTIONS)
def _reduction(scene: Scene, index: tuple[int, ...], output: int) -> dict[str, Any]:
    if scene.arrays[0].dtype.kind == "c":
        raise NotCovered
    name = scene.node.op
    indices = reduced(scene, index)
    own = scene.operand(0, indices)
    x = own[3]
    if not len(x):
        raise NotCovered
    if name in ("sum", "mean", "prod", "amax", "amin"):
        combine = {"sum": "sum", "mean": "sum", "prod": "product", "amax": "max", "amin": "min"}[name]
        terms = Terms([own], x, "{0}", combine)
        if name != "mean":
            return {"terms": terms, "total": terms.total}
        return {"terms": terms, "after": [Step(f"/ {len(x):,}", float(len(x)))], "total": terms.total / len(x)}
    if name in ("argmax", "argmin"):
        best = int(np.argmax(x) if name == "argmax" else np.argmin(x))
        return {"terms": Terms([own], x, "{0}", "max" if name == "argmax" else "min"),
                "after": [Step("its place", float(best))], "total": float(best)}  # fmt: skip
    if name in ("any", "all"):
        true = int((x != 0).sum())
        total = float(true > 0 if name == "any" else true == len(x))
        return {"after": [Step(f"{true:,} of {len(x):,} are true", total)], "total": total,
                "terms": Terms([own], (x != 0).astype(float), "{0}")}  # fmt: skip
    if name == "var":
        mean, freedom = float(x.mean()), len(x) - scene.attributes["correction"]
        terms = Terms([own], (x - mean) ** 2, "({0} - " + number(mean) + ")^2")
        total = terms.total / freedom if freedom > 0 else math.nan
        return {"before": [Step(f"mean of the {len(x):,} numbers", mean)], "terms": terms,
                "after": [Step(f"/ {number(freedom)}", float(freedom))], "total": total}  # fmt: skip
    if name == "logsumexp":
        terms, top = exponentials(scene, indices)
        total = top + math.log(terms.total)
        return {"before": [Step("the largest, taken off so that nothing overflows", top)], "terms": terms,
                "after": [Step(f"{number(top)} + log({number(terms.total)})", total)], "total": total}  # fmt: skip
    order = scene.attributes["ord"]
    if order in (math.inf, -math.inf):
        terms = Terms([own], np.abs(x), "|{0}|", "max" if order > 0 else "min")
        return {"terms": terms, "total": terms.total}
    if order == 0:
        terms = Terms([own], (x != 0).astype(float), "{0} is not 0")
        return {"terms": terms, "total": terms.total}
    terms = Terms([own], np.abs(x) ** order, "|{0}|^" + number(order))
    total = terms.total ** (1 / order)
    return {"terms": terms, "after": [Step(f"{number(terms.total)} ^ (1 / {number(order)})", total)], "total": total}


@rule("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp")
def _scan(scene: Scene, index: tuple[int, ...], output: int) -> dict[str, Any]:
    array = scene.arrays[0]
    if array.dtype.kind == "c":
        raise NotCovered
    axes: list[Any] = list(index)
    if array.ndim:
        dim = scene.attributes["dim"] % array.ndim
        axes[dim] = np.arange(index[dim] + 1)
    indices = grid(*axes)
    own = scene.operand(0, indices)
    if scene.node.op == "logcumsumexp":
        terms, top = exponentials(scene, indices)
        return {"terms": terms, "total": top + math.log(terms.total)}
    combine = {"cumsum": "sum", "cumprod": "product", "cummax": "max", "cummin": "min"}[scene.node.op]
    terms = Terms([own], own[3], "{0}", combine)
    if not output:
        return {"terms": terms, "total": terms.total}
    best = own[3].max() if combine == "max" else own[3].min()
    last = float(np.flatnonzero(own[3] == best)[-1])
    return {"terms": terms, "after": [Step("its place", last)], "total": last}


# --- one place of each operand ----------------------------------------------------------------------------------------

SIGNS = {
    "add": "{0} + {1}", "sub": "{0} - {1}", "mul": "{0} * {1}", "div": "{0} / {1}", "pow": "{0} ^ {1}",
    "neg": "-({0})", "square": "{0} * {0}", "reciprocal": "1 / {0}", "relu": "max({0}, 0)", "clone": "{0}",
    "sigmoid": "1 / (1 + exp(-({0})))", "silu": "{0} * sigmoid({0})", "gelu": "{0} * Phi({0})", "eq": "{0} == {1}",
    "ne": "{0} != {1}", "lt": "{0} < {1}", "le": "{0} <= {1}", "gt": "{0} > {1}", "ge": "{0} >= {1}",
    "maximum": "max({0}, {1})", "minimum": "min({0}, {1})", "where": "{1} if {0} else {2}",
    "lerp": "{0} + {2} * ({1} - {0})", "abs": "|{0}|",
}  # fmt: skip


def elementwise(scene: Scene, index: tuple[int, ...], output: int) -> dict[str, Any]:
    """Operands at the place, and the operation done on those few numbers in float64."""
    cells, operands = [], []
    for place, array in enumerate(scene.arrays):
        if isinstance(array, np.ndarray):
            own = index[len(index) - array.ndim :] if array.ndim else ()
            where = tuple(0 if size == 1 else i for i, size in zip(own, array.shape))
            if array.dtype.kind == "c":
                raise NotCovered
            cells.append(scene.cell(place, where))
            operands.append(wrap(wide(np.asarray(array[where])).reshape(1)))
        else:
            operands.append(array)
            if array is not None:
                cells.append(Cell(None, number(float(array)), (), float(array)))
    if scene.op.random:
        raise NotCovered
    with no_grad():
        made = apply(scene.op, tuple(operands), scene.attributes)
    made = made[output] if isinstance(made, tuple) else made
    total = float(np.real(np.asarray(made._array).reshape(-1)[0]))
    shown = [number(cell.number) for cell in cells]
    if scene.node.op == "pow_scalar":
        text = f"{shown[0]} ^ {number(scene.attributes['exponent'])}"
    elif scene.node.op in SIGNS:
        text = SIGNS[scene.node.op].format(*shown)
    else:
        settings = [
            f"{k}={v}"
            for k, v in scene.attributes.items()
            if isinstance(v, (int, float, str)) and not isinstance(v, bool)
        ]
        text = f"{scene.node.op}({', '.join([*shown, *settings])})"
    names = ", ".join(cell.name for cell in cells if cell.value)
    return {"after": [Step(f"{text}   [{names}]" if names else text, total, cells)], "total": total}


@rule("cast", "to_device")
def _cast(scene: Scene, index: tuple[int, ...], output: int) -> dict[str, Any]:
    x = scene.cell(0, index)
    target = scene.attributes.get("dtype")
    d = target if isinstance(target, dtypes.dtype) else None
    total = x.number if d is None else float(np.asarray(x.number).astype(d.numpy).astype(np.float64))
    return {"after": [Step(f"{x.name} as {d.name if d else 'it is'}", total, [x])], "total": total}


@rule("dropout")
def _dropout(scene: Scene, index: tuple[int, ...], output: int) -> dict[str, Any]:
    x, p = scene.cell(0, index), scene.attributes["p"]
    kept = float(scene.inspection.array(scene.node.outputs[0])[index]) != 0 or x.number == 0
    total = x.number / (1 - p) if kept and p < 1 else 0.0
    text = f"{number(x.number)} / (1 - {number(p)}), kept" if kept else f"{number(x.number)}, dropped"
    return {"after": [Step(text, total, [x])], "total": total}


# --- numbers that only move -------------------------------------------------------------------------------------------

MOVES = {
    "reshape": (0,), "permute": (0,), "expand": (0,), "slice": (0,), "narrow": (0,), "diagonal": (0,), "unfold": (0,),
    "cat": (), "repeat": (0,), "repeat_interleave": (0,), "flip": (0,), "roll": (0,), "tril": (0,), "triu": (0,),
    "constant_pad": (0,), "gather": (0,), "index": (0,), "index_select": (0,), "masked_fill": (0,), "view_write": (0, 1),
    "scatter": (0, 2), "permute_rows": (0,), "max_pool1d_pick": (0,), "max_pool2d_pick": (0,), "max_pool3d_pick": (0,),
    "slice_grad": (0,), "diagonal_grad": (0,), "as_strided": (0,),
}  # fmt: skip


def moved(scene: Scene, index: tuple[int, ...], output: int) -> dict[str, Any]:
    """Where the number was: the operation done on tensors that hold places, counted from 1, instead of numbers."""
    which = range(len(scene.arrays)) if scene.op.variadic and scene.node.op == "cat" else MOVES[scene.node.op]
    operands: list[Any] = list(scene.inspection.operands(scene.node))
    starts: list[tuple[int, int]] = []
    begin = 1
    for place in which:
        array = scene.arrays[place]
        if not isinstance(array, np.ndarray) or scene.node.op == "as_strided" and not array.flags.c_contiguous:
            raise NotCovered
        operands[place] = wrap(np.arange(begin, begin + array.size, dtype=np.int64).reshape(array.shape))
        starts.append((begin, place))
        begin += array.size
    attributes = dict(scene.attributes)
    filled = attributes.get("value")
    if "value" in attributes:
        attributes["value"] = 0
    with no_grad():
        made = apply(scene.op, (operands,) if scene.op.variadic else tuple(operands), attributes)
    made = made[output] if isinstance(made, tuple) else made
    code = int(np.asarray(made._array)[index])
    if code == 0:
        total = float(filled) if filled is not None else 0.0
        return {"after": [Step(f"no input: filled with {number(total)}", total)], "total": total}
    start, place = next((s, p) for s, p in reversed(starts) if code >= s)
    where = tuple(int(i) for i in np.unravel_index(code - start, scene.arrays[place].shape))
    x = scene.cell(place, where)
    return {"after": [Step(f"moved from {x.name}", x.number, [x])], "total": x.number}


@rule("sort", "topk")
def _sorted(scene: Scene, index: tuple[int, ...], output: int) -> dict[str, Any]:
    array = scene.arrays[0]
    places = scene.inspection.array(scene.node.outputs[1])
    if places is None or not array.ndim:
        raise NotCovered
    dim = scene.attributes["dim"] % array.ndim
    at = int(places[index])
    where = (*index[:dim], at, *index[dim + 1 :])
    x = scene.cell(0, where)
    total = float(at) if output else x.number
    return {"after": [Step(f"place {index[dim]} in order: {x.name} = {number(x.number)}", total, [x])], "total": total}


# --- by derivative ----------------------------------------------------------------------------------------------------

LINEAR = {
    "interpolate", "interpolate_grad", "im2col", "col2im", "unfold_grad", "scatter_add", "index_add", "index_put",
    "embedding_grad", "nll_place", "max_pool1d_grad", "max_pool2d_grad", "max_pool3d_grad", "avg_pool1d_grad",
    "avg_pool2d_grad", "avg_pool3d_grad", "relu_grad",
}  # fmt: skip
"""Sums of their floating operands with coefficients that do not depend on them."""


def derivative(scene: Scene, index: tuple[int, ...], output: int) -> list[tuple[int, np.ndarray]]:
    """(operand, d output[index] / d operand) for every floating operand."""
    op = scene.op
    if op.rules is None or not op.differentiable or scene.node.op not in REGISTRY:
        return []
    operands = list(scene.inspection.operands(scene.node))
    leaves = []
    for place, array in enumerate(scene.arrays):
        if isinstance(array, np.ndarray) and array.dtype.kind in "fV":
            leaf = wrap(wide(array))
            leaf.requires_grad_()
            operands[place] = leaf
            leaves.append((place, leaf))
    if not leaves:
        return []
    with enable_grad():
        made = apply(op, (operands,) if op.variadic else tuple(operands), scene.attributes)
        made = made[output] if isinstance(made, tuple) else made
        if made._node is None or np.asarray(made._array).dtype.kind != "f":
            return []
        chosen = made[index] if index else made
        results = engine.grad([chosen], [leaf for _, leaf in leaves], allow_unused=True)
    return [(place, np.asarray(r._array)) for (place, _), r in zip(leaves, results) if r is not None]


def coefficients(scene: Scene, index: tuple[int, ...], output: int) -> dict[str, Any]:
    """Of a linear operation: coefficient times number, for every number that counts."""
    parts = []
    found = derivative(scene, index, output)
    if not found:
        raise NotCovered
    for place, slope in found:
        where = np.argwhere(slope != 0)
        if len(where) or slope.ndim == 0:
            indices = where if slope.ndim else np.zeros((1, 0), np.int64)
            parts.append((place, indices, slope[tuple(indices.T)] if slope.ndim else slope.reshape(1)))
    if not parts:
        return {"total": 0.0, "note": "No number of the inputs counts here."}
    # Operands with different numbers of axes cannot share one table of places: the largest makes the terms.
    parts.sort(key=lambda part: -len(part[1]))
    place, indices, slope = parts[0]
    own = scene.operand(place, indices)
    terms = Terms([("coefficient", None, indices, slope), own], slope * own[3], "{0} * {1}")
    total, after = terms.total, []
    for place, indices, slope in parts[1:]:
        for i, c in zip(indices[:6], slope[:6]):
            x = scene.cell(place, tuple(int(k) for k in i))
            after.append(Step(f"+ {number(float(c))} * {x.name}", float(c) * x.number, [x]))
        rest = scene.operand(place, indices)
        total += float((rest[3] * slope).sum())
        if len(indices) > 6:
            left = float((rest[3][6:] * slope[6:]).sum())
            after.append(Step(f"+ {len(indices) - 6:,} more of {scene.labels[place]}", left))
    return {"terms": terms, "after": after, "total": total}


def slopes(scene: Scene, index: tuple[int, ...], output: int) -> dict[str, Any]:
    """What the number depends on, and how strongly: for operations whose arithmetic is not written out."""
    try:
        found = derivative(scene, index, output)
    except MlkitError:  # it refuses these operands in float64 (a matrix that is singular now), or has no gradient here
        found = []
    found = [(place, slope) for place, slope in found if slope.any()]
    if not found:
        cells = []
        for place, array in enumerate(scene.arrays):
            if isinstance(array, np.ndarray) and array.shape == np.shape(
                scene.inspection.array(scene.node.outputs[output])
            ):
                cells.append(scene.cell(place, index))
        steps = [Step(cell.name, cell.number, [cell]) for cell in cells]
        return {"before": steps, "exact": False, "note": "The arithmetic of this operation is not written out."}
    place, slope = max(found, key=lambda pair: int((pair[1] != 0).sum()))
    indices = np.argwhere(slope != 0) if slope.ndim else np.zeros((1, 0), np.int64)
    own = scene.operand(place, indices)
    slope = slope[tuple(indices.T)] if slope.ndim else slope.reshape(1)
    terms = Terms([("slope", None, indices, slope), own], slope, "slope {0} at {1}")
    regions = {}
    for other_place, other_slope in found:
        if other_slope.ndim and scene.ids[other_place]:
            where = np.argwhere(other_slope != 0)
            regions[str(scene.ids[other_place])] = [(int(a), int(b) + 1) for a, b in zip(where.min(0), where.max(0))]
    return {"terms": terms, "regions": regions, "exact": False,
            "note": "The arithmetic of this operation is not written out: these are the numbers it depends on, and how "
                    "much the result moves with each."}  # fmt: skip


def other(scene: Scene, index: tuple[int, ...], output: int) -> dict[str, Any]:
    """An operation without a rule of its own, by what kind it is."""
    name = scene.node.op
    if name in MOVES:
        return moved(scene, index, output)
    if isinstance(scene.op, Elementwise):
        return elementwise(scene, index, output)
    if name in LINEAR:
        return coefficients(scene, index, output)
    return slopes(scene, index, output)
