"""From numbers to words: do gradients vanish or explode, are units dead; why, and what helps.

The thresholds are wide on purpose: a flag on a healthy training costs the reader's trust. They were set on trainings that
do fail and on ones that do not (``tests/observe/test_flow_findings.py``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlkit.observe.flow import measure
from mlkit.observe.flow.layers import Layer
from mlkit.observe.flow.numbers import middle
from mlkit.observe.flow.recording import Samples

RECENT = 8
"""Samples that say how it is now: their median is judged, so that one odd batch raises nothing."""
FEWEST = 3
"""Samples that must be there before anything but infinite numbers is judged."""

VANISHED = 1e-3
"""A layer's gradient below this share of that near the output has vanished (healthy: seldom below 1e-2)."""
NOTHING = 1e-12
"""Gradients smaller than this everywhere teach nothing."""
GROWN = 100.0
"""So many times as large as at the beginning: the gradient explodes (healthy: it shrinks; at most about 10)."""
UPWARDS = 1e4
"""A first layer's gradient so many times as large as the last one's (healthy: at most about 1e2)."""
LEAP = 0.3
"""Updates of this share of the weights in each step are leaps (healthy: about 1e-3; at the very beginning up to 0.1)."""
BURST = 1.0
"""A single step that changes weights by more than their size leaves nothing of what was learned."""
DEAD = 0.4
"""Share of a layer's units that never answer (healthy: seldom above a quarter)."""
ALL_DEAD = 0.95
SATURATED = 0.5
"""Share of values at the flat ends of a sigmoid or tanh, where hardly any gradient passes."""


@dataclass
class Finding:
    """Something that is wrong.

    Attributes:
        kind: "vanishing", "exploding" or "dead".
        layers: Names of the layers it is about, in forward order.
        sentence: What is seen, with numbers.
        cause: Why, most likely.
        advice: What to try, the best first.
        step: The step at which it was seen.
    """

    kind: str
    layers: list[str]
    sentence: str
    cause: str
    advice: list[str] = field(default_factory=list)
    step: int = 0

    def __str__(self) -> str:
        lines = [f"{TITLES[self.kind]}: {self.sentence}", f"  Likely cause: {self.cause}"]
        lines += [f"  Try: {self.advice[0]}"] if self.advice else []
        lines += [f"       {one}" for one in self.advice[1:]]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind, "layers": self.layers, "sentence": self.sentence, "cause": self.cause,
            "advice": self.advice, "step": self.step,
        }  # fmt: skip


TITLES = {
    "vanishing": "Vanishing gradients",
    "exploding": "Exploding gradients",
    "dead": "Dead units",
}


class Findings(list[Finding]):
    """What is wrong with a training, worst first; empty when nothing is. Printing it gives readable text.

    Attributes:
        looked: How many samples were judged.
        step: The last one's step; None where there was none.
    """

    def __init__(self, findings: list[Finding] | None = None, looked: int = 0, step: int | None = None) -> None:
        super().__init__(findings or [])
        self.looked, self.step = looked, step

    def __str__(self) -> str:
        if self:
            return "\n\n".join(str(one) for one in self)
        if not self.looked:
            return "Nothing has been recorded yet."
        if self.looked < FEWEST:
            return f"Too early to say: {self.looked} of at least {FEWEST} samples."
        return f"Nothing to complain of at step {self.step:,}: gradients reach every layer, and units answer."

    __repr__ = __str__

    def _repr_html_(self) -> str | None:
        from mlkit.core import rich

        return rich.repr_html(self)


def diagnose(layers: list[Layer], order: list[int], samples: Samples) -> Findings:
    """Judge the last samples.

    Args:
        layers: The rows of the samples' numbers.
        order: Those rows in forward order.
        samples: The last few hundred at most.
    """
    count = len(samples)
    if not count:
        return Findings()
    step = int(samples.steps[-1])
    case = _Case(layers, [row for row in order if row < samples.numbers.shape[1]], samples)
    found = case.not_finite()
    if not found and count >= FEWEST:
        found = case.exploding() + case.dead() + case.vanishing()
    for one in found:
        one.step = step
    return Findings(found, count, step)


class _Case:
    """The numbers of a training, as the questions want them."""

    def __init__(self, layers: list[Layer], order: list[int], samples: Samples) -> None:
        self.layers, self.order, self.samples = layers, order, samples
        numbers = samples.numbers.astype(np.float64)
        self.numbers = numbers
        recent = numbers[-RECENT:]
        with np.errstate(all="ignore"):
            self.now = middle(recent)
            ratios = recent[:, :, measure.UPDATE] / recent[:, :, measure.WEIGHT]
            # A layer that begins at zero has no size that an update could be compared with.
            ratios[~(recent[:, :, measure.WEIGHT] > 1e-6)] = np.nan
            self.ratio = middle(ratios)
        sizes = np.array([max(1, layer.parameters) for layer in layers], np.float64)
        self.rms = self.now[:, measure.NORM] / np.sqrt(sizes[: self.now.shape[0]])
        seen: set[str] = set()
        #: layers with weights that are trained, in forward order; a shared weight once
        self.matrices = []
        for row in order:
            layer = layers[row]
            if layer.matrix and not layer.frozen and layer.shared not in seen:
                self.matrices.append(row)
                seen.add(layer.name)
        self.trained = [row for row in self.matrices if not math.isnan(self.now[row, measure.NORM])]
        rates = samples.rates[np.isfinite(samples.rates)]
        self.rate = float(rates[-1]) if len(rates) else None

    def name(self, row: int) -> str:
        return self.layers[row].name

    def names(self, rows: list[int]) -> list[str]:
        return [self.name(row) for row in rows]

    def said(self, rows: list[int]) -> str:
        """The layers in words, short."""
        names = self.names(rows)
        if len(names) == 1:
            return f"layer {names[0]}"
        if len(names) <= 3:
            return f"layers {', '.join(names[:-1])} and {names[-1]}"
        return f"layers {names[0]} to {names[-1]} ({len(names)} of {len(self.matrices)})"

    # -- exploding --------------------------------------------------------------------------------------------------------

    def not_finite(self) -> list[Finding]:
        """Infinite or NaN: no median is asked for."""
        with np.errstate(invalid="ignore"):
            norms = self.numbers[:, :, measure.NORM]
            bad = (self.numbers[:, :, measure.NONFINITE] > 0) | np.isinf(norms)
            weights = self.numbers[:, :, measure.WEIGHT]
            # weights that were numbers once and are none now
            bad_weights = ~np.isfinite(weights) & np.isfinite(weights[:1])
        if not (bad[-1].any() or bad_weights[-1].any()):
            return []
        at = int((bad | bad_weights).any(axis=1).argmax())
        rows = [row for row in self.order if bad[-1, row] or bad_weights[-1, row]]
        first = [row for row in self.order if bad[at, row] or bad_weights[at, row]]
        what = "weights" if bad_weights[-1].any() and not bad[-1].any() else "gradients"
        since = f"since step {self.samples.steps[at]:,}" if at else "since the first step that was looked at"
        before = self.numbers[:at]
        return [
            Finding(
                "exploding",
                self.names(rows),
                f"{what} are infinite or NaN in {self.said(rows)} {since}"
                + (f", in {self.name(first[0])} first." if len(first) < len(rows) else "."),
                self._why_not_finite(before),
                self._calm("the weights are spoiled: begin again from before this step."),
            )
        ]

    def _why_not_finite(self, before: np.ndarray) -> str:
        if len(before):
            last = before[-3:]
            with np.errstate(all="ignore"):
                ratio = last[:, self.matrices, measure.UPDATE] / last[:, self.matrices, measure.WEIGHT]
            top = float(np.nanmax(ratio)) if np.isfinite(ratio).any() else 0.0
            if top > LEAP / 3:
                return f"the learning rate{self._rate()} is too large: just before, a step changed weights by {_share(top)}."
            norms = _total(before)
            if norms[-1] > 10 * np.median(norms[: max(1, len(norms) // 2)]):
                return "gradients had been growing before; nothing held them back."
        if any(self.layers[row].recurrent for row in self.matrices):
            return "a recurrent layer multiplies gradients once per time step, and nothing held them back."
        if len(before) < FEWEST and self._unnormalized():
            return f"the learning rate{self._rate()} is too large for a network without normalization."
        return (
            "inputs or targets that are NaN or very large, or a loss that divides by zero or takes the logarithm of 0."
        )

    def exploding(self) -> list[Finding]:
        if not self.trained:
            return []
        leaps = [row for row in self.trained if self.ratio[row] > LEAP and self.layers[row].parameters > 1]
        begun = int(self.samples.steps[0])
        if leaps and self.samples.steps[-1] - begun >= 3:
            worst = max(leaps, key=lambda row: self.ratio[row])
            return [
                Finding(
                    "exploding",
                    self.names(leaps),
                    f"each step changes the weights of {self.said(leaps)} by {_share(self.ratio[worst])} of their size "
                    "(usual is about 0.1 %).",
                    f"the learning rate{self._rate()} is too large"
                    + ("." if self._normalized() else ", and no normalization evens out the sizes."),
                    self._calm(),
                )
            ]
        burst = self._burst()
        if burst is not None:
            return [burst]
        totals = _total(self.numbers[:, self.trained])
        early = float(np.median(totals[: max(FEWEST, len(totals) // 4)]))
        now = float(np.median(totals[-RECENT:]))
        if len(totals) >= 2 * FEWEST and now > GROWN * early > 0:
            return [
                Finding(
                    "exploding",
                    self.names(self.trained),
                    f"the gradient's norm has grown from {_plain(early)} to {_plain(now)}.",
                    "a recurrent layer multiplies gradients once per time step."
                    if any(self.layers[row].recurrent for row in self.trained)
                    else f"the learning rate{self._rate()} is too large, so that the weights run away.",
                    self._calm(),
                )
            ]
        if len(self.trained) >= 4:
            third = max(1, len(self.trained) // 3)
            first, last = self.trained[:third], self.trained[-third:]
            low, high = _middle(self.rms[last]), _middle(self.rms[first])
            share = _middle(self.now[first, measure.NORM]) / max(1e-300, _middle(self.now[last, measure.NORM]))
            if low > 0 and high > UPWARDS * low and share > UPWARDS:
                return [
                    Finding(
                        "exploding",
                        self.names(first),
                        f"gradients grow on their way back: they are {_plain(share)} times as large in "
                        f"{self.said(first)} as in {self.said(last)}.",
                        "the initial weights are too large for this depth"
                        + ("." if self._normalized() else ", and no normalization holds them."),
                        [
                            "initialise with nn.init.kaiming_normal_ (ReLU) or nn.init.xavier_uniform_ (tanh).",
                            "put nn.LayerNorm or nn.BatchNorm between the layers.",
                            "clip: nn.utils.clip_grad_norm_(model.parameters(), 1.0), or Trainer(grad_clip=1.0).",
                        ],
                    )
                ]
        return []

    def _burst(self) -> Finding | None:
        """A step that threw the weights far away, and units that have been dead since."""
        if not (self.now[self.order, measure.DEAD] > DEAD).any():
            return None
        with np.errstate(all="ignore"):
            weights = self.numbers[:, self.trained, measure.WEIGHT]
            # of the weights before the step: those after it may be nothing but the step
            ratios = self.numbers[1:, self.trained, measure.UPDATE] / weights[:-1]
        if not len(ratios) or not np.isfinite(ratios).any() or np.nanmax(ratios) < BURST:
            return None
        at, which = np.unravel_index(np.nanargmax(ratios), ratios.shape)
        row = self.trained[int(which)]
        return Finding(
            "exploding",
            [self.name(row)],
            f"by step {self.samples.steps[at + 1]:,} the weights of {self.name(row)} had been changed by "
            f"{_share(ratios[at, which])} of their size in one step, and units have been dead since.",
            f"the learning rate{self._rate()} is too large.",
            self._calm("begin again: the weights do not find back by themselves."),
        )

    def _calm(self, before: str | None = None) -> list[str]:
        advice = [] if before is None else [before]
        lower = f"a learning rate of {_plain(self.rate / 10)} instead of {_plain(self.rate)}." if self.rate else None
        advice.append(lower or "a learning rate ten times lower.")
        advice.append("clip: nn.utils.clip_grad_norm_(model.parameters(), 1.0), or Trainer(grad_clip=1.0).")
        if self._unnormalized():
            advice.append("put nn.LayerNorm or nn.BatchNorm between the layers, and scale the inputs to about -1 to 1.")
        return advice

    # -- dead -----------------------------------------------------------------------------------------------------------

    def dead(self) -> list[Finding]:
        share = self.now[:, measure.DEAD]
        rows = []
        for row in self.order:
            if share[row] > DEAD:
                rows.append(row)
            if share[row] > ALL_DEAD:
                break  # what comes after it gets the same numbers for every input, whatever its units are like
        if not rows:
            return []
        worst = max(rows, key=lambda row: share[row])
        before = self._weights_before(worst)
        many = ", ".join(f"{self.name(row)} ({_share(share[row])})" for row in rows[:4]) + (
            ", ..." if len(rows) > 4 else ""
        )
        sentence = f"units whose output is zero for every input: {many}."
        if share[worst] > ALL_DEAD:
            sentence += f" Nothing passes {self.name(worst)}, so no layer before it learns."
        cause, advice = "", []
        if before is not None:
            mean, std = self.now[before, measure.MEAN], self.now[before, measure.STD]
            if mean < 0 and mean < -1.5 * std:
                cause = (
                    f"{self.name(before)} gives almost only negative numbers ({_plain(mean)} ± {_plain(std)}): its bias, or "
                    "weights that a large step has pushed there."
                )
                advice.append(
                    f"begin with a bias of zero: nn.init.zeros_(model.get_submodule({self.name(before)!r}).bias)."
                )
        with np.errstate(all="ignore"):
            ratios = self.numbers[:, self.trained, measure.UPDATE] / self.numbers[:, self.trained, measure.WEIGHT]
            largest = float(np.nanmax(ratios)) if np.isfinite(ratios).any() else 0.0
        if not cause and largest > 0.1:
            cause = (
                f"the learning rate{self._rate()} is too large: a step of {_share(largest)} of the weights has pushed units "
                "to where every input gives zero, and without a gradient they cannot come back."
            )
        lower = f"a learning rate of {_plain(self.rate / 10)} instead of {_plain(self.rate)}." if self.rate else None
        if lower and (largest > 0.01 or not cause):
            advice.append(lower)
        kind = self.layers[worst].kind
        advice.append(f"an activation that is never flat: nn.LeakyReLU or nn.GELU instead of {kind}.")
        if self._unnormalized():
            advice.append(
                "put nn.BatchNorm or nn.LayerNorm before the activation, and scale the inputs to about -1 to 1."
            )
        return [
            Finding(
                "dead",
                self.names(rows),
                sentence,
                cause
                or "weights or biases by which no input comes above zero, from the initialisation or a step too large.",
                advice,
            )
        ]

    def _weights_before(self, row: int) -> int | None:
        """The layer with weights whose output an activation gets."""
        place = self.order.index(row)
        for other in reversed(self.order[:place]):
            if self.layers[other].parameters and not math.isnan(self.now[other, measure.STD]):
                return other
        return None

    # -- vanishing ------------------------------------------------------------------------------------------------------

    def vanishing(self) -> list[Finding]:
        if len(self.trained) < 2:
            return []
        norms = self.now[:, measure.NORM]
        closed = [row for row in self.order if self.now[row, measure.DEAD] > ALL_DEAD]
        if closed:  # no gradient comes through there, which the dead units explain
            place = self.order.index(closed[-1])
            behind = set(self.order[place:])
            trained = [row for row in self.trained if row in behind]
            if len(trained) < 2:
                return []
        else:
            trained = self.trained
        top = max(norms[row] for row in trained)
        if top < NOTHING:
            return [
                Finding(
                    "vanishing",
                    self.names(trained),
                    f"no layer gets a gradient: the largest norm is {_plain(top)}.",
                    "the output is saturated, or the loss does not depend on the model (a detach(), or targets that do "
                    "not fit).",
                    [
                        "give the loss logits: nn.CrossEntropyLoss or nn.BCEWithLogitsLoss without a softmax or sigmoid before.",
                        "look for detach(), no_grad() and .data between the model and the loss.",
                    ],
                )
            ]
        third = max(1, len(trained) // 3)
        near = trained[-third:]
        norm, rms = _middle(norms[near]), _middle(self.rms[near])
        gone = [
            row for row in trained[: len(trained) - third]
            if norms[row] < VANISHED * norm and self.rms[row] < VANISHED * rms
        ]  # fmt: skip
        if not gone or trained[0] not in gone and len(gone) < 2:
            return []
        worst = min(gone, key=lambda row: norms[row])
        cause, advice = self._why_vanishing(gone, trained)
        share = norms[worst] / norm
        much = f"{_plain(share)} of that in {self.said(near)}" if share > 0 else "zero"
        return [
            Finding(
                "vanishing",
                self.names(gone),
                f"{self.said(gone)} {'get' if len(gone) > 1 else 'gets'} next to no gradient: in {self.name(worst)} its norm "
                f"is {much} (a healthy network stays above 0.01).",
                cause,
                advice,
            )
        ]

    def _why_vanishing(self, gone: list[int], trained: list[int]) -> tuple[str, list[str]]:
        after = self.order[self.order.index(gone[0]) :]
        bends = [row for row in after if self.layers[row].saturating]
        norm = "put nn.LayerNorm or nn.BatchNorm between the layers."
        skip = "add shortcuts around blocks of layers: x + block(x)."
        if any(self.layers[row].recurrent for row in gone):
            return (
                "a recurrent layer passes gradients through many time steps, each of which shrinks them.",
                [
                    "nn.LSTM or nn.GRU instead of nn.RNN.",
                    "shorter sequences, or a Transformer.",
                    "nn.LayerNorm after it.",
                ],
            )
        if bends and len(bends) >= 2:
            kind = self.layers[bends[0]].kind
            flat = [row for row in bends if self.now[row, measure.SATURATED] > SATURATED]
            slope = "at most 0.25" if kind.lower() == "sigmoid" else "less than 1"
            cause = f"{len(bends)} {kind} activations in a row: each multiplies the gradient by its slope, {slope}."
            if flat:
                cause += f" In {self.name(flat[0])} {_share(self.now[flat[0], measure.SATURATED])} of the values are at its flat ends."
            first = "nn.init.kaiming_normal_(layer.weight) with it."
            return cause, [f"nn.ReLU or nn.GELU instead of {kind}, and {first}", norm, skip]
        small = [row for row in trained if self._shrinks(row)]
        if small:
            row = small[0]
            rms = self.now[row, measure.WEIGHT] / math.sqrt(self.layers[row].parameters)
            fitting = math.sqrt(2 / (self.layers[row].fan_in or 1))
            return (
                f"the weights are too small for this depth: about {_plain(rms)} in {self.name(row)}, where "
                f"{_plain(fitting)} keeps the size of what passes.",
                ["nn.init.kaiming_normal_(layer.weight) for each layer.", norm, skip],
            )
        return (
            f"{len(trained)} layers with weights in a row"
            + ("." if self._normalized() else " without normalization or shortcuts."),
            [norm, skip, "fewer layers, or nn.init.kaiming_normal_(layer.weight) for each."],
        )

    def _shrinks(self, row: int) -> bool:
        layer = self.layers[row]
        if not layer.fan_in or layer.normalizing or layer.recurrent:
            return False
        rms = self.now[row, measure.WEIGHT] / math.sqrt(max(1, layer.parameters))
        return rms < 0.35 / math.sqrt(layer.fan_in)

    # -- what the network is like -------------------------------------------------------------------------------------------

    def _normalized(self) -> bool:
        return any(layer.normalizing for layer in self.layers)

    def _unnormalized(self) -> bool:
        return len(self.matrices) >= 3 and not self._normalized()

    def _rate(self) -> str:
        return f" ({_plain(self.rate)})" if self.rate else ""


def _middle(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else 0.0


def _total(numbers: np.ndarray) -> np.ndarray:
    """The norm of the gradients of all layers together; float64 [samples]."""
    with np.errstate(all="ignore"):
        return np.sqrt(np.nansum(np.square(numbers[:, :, measure.NORM]), axis=1))


def _share(value: float) -> str:
    percent = 100 * float(value)
    return f"{percent:.0f} %" if percent >= 1 else f"{percent:.2g} %"


def _plain(value: float) -> str:
    return f"{value:.2g}"
