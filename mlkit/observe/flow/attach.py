"""GradientFlow: look at a model while it trains, now and then, without touching its loop.

It notices ``optimizer.step()`` by the hooks that every optimizer has. In the few steps that it looks at, it also listens
to the modules and activations of the forward pass. In all other steps it costs two function calls.
"""

from __future__ import annotations

import atexit
import math
import sys
import threading
import time
import warnings
import weakref
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from mlkit import nn
from mlkit.core import events
from mlkit.core.dispatch import state
from mlkit.core.errors import DataError
from mlkit.core.value import Value
from mlkit.observe import format as layout
from mlkit.observe.flow import measure
from mlkit.observe.flow.flow import Flow
from mlkit.observe.flow.layers import ACTIVATIONS, FUNCTIONS, RECTIFIERS, SATURATING, Layers
from mlkit.observe.flow.measure import Sheet
from mlkit.observe.flow.purse import ADVANCE, Purse, clock
from mlkit.observe.flow.recording import PER_ROW, Recording
from mlkit.observe.recorder import Recorder
from mlkit.observe.running import recorder_of
from mlkit.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

__all__ = ["GradientFlow"]

ENOUGH = 64
"""Values of a unit that must have been seen before it is called dead; small batches are looked at together."""

CHANNELS_FIRST = ("Conv", "BatchNorm", "InstanceNorm", "GroupNorm", "PReLU")


class GradientFlow(Flow):
    """Watch the gradients, weights and activations of a model while it trains.

    One line is enough: the training loop stays as it is, whether it is a `Trainer`'s, one around `mlkit.live`, or any
    other. Per layer it records the norm of the gradient and of the weights, the update in proportion to the weights,
    the share of dead units, and how gradients, weights and activations are spread. `findings` says in words whether
    gradients vanish or explode or units die, and what to try; `table` and `plot` show the numbers; and
    `mlkit.widgets.GradientFlow` draws them live.

    Gradients are looked at as the optimizer gets them: summed up over accumulated batches, with the scale of mixed
    precision taken out, and clipped where the loop clips. A loop without an optimizer works too: its steps are then the
    backward passes.

    Steps are looked at so seldom that it takes less than two percent of the time. The samples are kept in memory
    and in the run directory of the training, where any other process can read them (`open_flow`); a loop that keeps
    none gets one of its own. A compiled model runs uncompiled in the steps that are looked at.

    Args:
        model: The model, compiled or not. One that is watched already is watched by the new one from now on.
        every: Look at each so many steps, at any cost; by default as often as `share` allows.
        share: The largest share of the training's time to spend.
        activations: Also look at what layers give in the forward pass, and at dead units.
        name: Of the recording; by default the model's class.
        run_dir: Folder for the run directory of a loop that keeps none itself (``$MLKIT_RUNS`` or ``./runs`` by
            default); False: memory only.

    Raises:
        DataError: `model` is no module, or has no parameters; an option is out of its range.

    >>> import mlkit
    >>> from mlkit import nn
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> flow = GradientFlow(model, every=1, run_dir=False)
    >>> optimizer = mlkit.optim.SGD(model.parameters(), lr=0.1)
    >>> for _ in range(3):
    ...     optimizer.zero_grad()
    ...     model(mlkit.ones(16, 4)).square().mean().backward()
    ...     optimizer.step()
    >>> [layer.name for layer in flow.layers], flow.steps.tolist()
    (['0', '1', '2'], [1, 2, 3])
    >>> flow.detach()
    """

    def __init__(
        self,
        model: Any,
        *,
        every: int | None = None,
        share: float = 0.008,
        activations: bool = True,
        name: str | None = None,
        run_dir: Any = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise DataError(
                f"GradientFlow: the model must be an nn.Module, got a {type(model).__qualname__}.",
                hint="For a run that was recorded before: mlkit.observe.open_flow(path).",
            )
        model = getattr(model, "_orig_mod", model)  # the one inside a compiled one
        if not any(True for _ in model.parameters()):
            raise DataError(f"{type(model).__name__} has no parameters to watch.")
        if every is not None and (isinstance(every, bool) or not isinstance(every, int) or every < 1):
            raise DataError(f"GradientFlow: every must be a number of steps of at least 1, got {every!r}.")
        if not isinstance(share, (int, float)) or not 0 < share < 1:
            raise DataError(f"GradientFlow: share must be between 0 and 1, got {share!r}.")
        self.name = name or type(model).__name__
        self._model = weakref.ref(model)
        self._run_dir = run_dir
        self.every = every
        self._activations = activations
        self._purse = Purse(share, every)
        self._layers = Layers(model)
        self._rows_of = self._rows_of_parameters(model)
        self._recorded = Recording(self.name)
        self._recorded.describe(self._about())
        self._described = -1
        self._run: Recorder | None = None  # of the training
        self._own: Recorder | None = None  # made here, for a loop that keeps none
        self._step = 0
        self._began = time.perf_counter()
        self._first: weakref.ref[Any] | None = None  # the optimizer whose steps are counted
        self._others: set[int] = set()  # optimizers that have stepped since the first one did
        self._depth = self._alone = 0
        self._order: list[int] = []
        self._mine: dict[int, tuple[weakref.ref[Any], tuple[int, int], list[tuple[Any, list[int]]]]] = {}
        self._sample: Sample | None = None
        self._listening: list[Any] = []
        self._masks: dict[int, deque[tuple[Any, float]]] = {}
        self._guard = threading.RLock()
        self._manual: _Manual | None = _Manual(self)
        self._hooks = [
            register_optimizer_step_pre_hook(self._before_step),
            register_optimizer_step_post_hook(self._after_step),
        ]
        self.attached = True
        earlier = _attached.get(id(model))
        if earlier is not None:
            earlier.detach()
        _attached[id(model)] = self
        self._finalizer = weakref.finalize(model, _forget, id(model))
        self._finalizer.atexit = False
        self._purse.opens(1)
        self._arm()

    # -- what is watched ------------------------------------------------------------------------------------------------

    @property
    def _recording(self) -> Recording:
        return self._recorded

    @property
    def directory(self) -> Path | None:
        """The run directory that the samples are written to; None while there is none."""
        folder = self._recorded.folder
        return None if folder is None else folder.parent

    @property
    def cost(self) -> float:
        """The share of the training's time that looking has taken lately, about; 0 while unknown: in the first hundred
        steps the first samples, which come at once, are most of it."""
        samples = self._recorded.read(max(0, self._recorded.count - 10))
        if len(samples) < 3 or not self._purse.usual or self._step < ADVANCE:
            return 0.0
        steps = max(self._step, samples.steps[-1]) - samples.steps[0]
        return float(np.median(samples.costs[1:]) * (len(samples) - 1) / max(1e-12, steps * self._purse.usual))

    def detach(self) -> None:
        """Stop watching; what was recorded stays. Calling it again does no harm."""
        with self._guard:
            if not self.attached:
                return
            self.attached = False
            for hook in self._hooks:
                hook.remove()
            self._stop_listening()
            self._sample = None
            if self._manual is not None:
                self._manual.stop()
                self._manual = None
            model = self._model()
            if model is not None and _attached.get(id(model)) is self:
                del _attached[id(model)]
            self._finalizer.detach()
            self._mine, self._masks = {}, {}
            self._recorded.flush()
            if self._own is not None:
                self._own.end("finished")

    def __enter__(self) -> GradientFlow:
        return self

    def __exit__(self, *error: Any) -> None:
        self.detach()

    def __deepcopy__(self, memo: dict[int, Any]) -> GradientFlow:
        return self  # a copy of something that holds it does not watch the model twice

    def _rows_of_parameters(self, model: Any) -> dict[int, list[int]]:
        rows: dict[int, list[int]] = {}
        for module in model.modules():
            row = self._layers.row_of.get(id(module))
            for one in module._parameters.values():
                if one is not None and row is not None:
                    rows.setdefault(id(one), []).append(row)
        return rows

    def _about(self) -> dict[str, Any]:
        return {"model": self.name, **self._layers.to_dict()}

    def _owned(self, optimizer: Any) -> list[tuple[Any, list[int]]]:
        """The model's parameters that an optimizer moves, each with its rows."""
        groups = optimizer.param_groups
        lengths = (len(groups), len(groups[-1]["params"]))
        known = self._mine.get(id(optimizer))
        if known is not None and known[0]() is optimizer and known[1] == lengths:
            return known[2]
        found = [
            (one, self._rows_of[id(one)])
            for group in optimizer.param_groups
            for one in group["params"]
            if id(one) in self._rows_of
        ]
        self._mine = {key: entry for key, entry in self._mine.items() if entry[0]() is not None}
        self._mine[id(optimizer)] = (weakref.ref(optimizer), lengths, found)
        return found

    # -- the optimizer's step ---------------------------------------------------------------------------------------------

    def _before_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        mine = self._owned(optimizer)
        if not mine:
            return
        with self._guard:
            self._depth += 1
            if self._depth > 1 or not self.attached:  # an optimizer inside another one
                return
            if self._manual is not None:
                self._manual.stop()
                self._manual = None
                if self._sample is not None:
                    self._sample.began = True
                    self._sample.forget_gradients()  # seen after the backward pass: now they are as the optimizer gets them
            first = self._first_among(optimizer, mine)
            sample = self._sample
            if sample is None:
                return
            if first is optimizer:
                if sample.moved:  # one of several optimizers did not step this time
                    self._safely(self._finish)
                    return
                sample.began = True
            if sample.began:
                self._safely(sample.remember, mine)

    def _first_among(self, optimizer: Any, mine: list[tuple[Any, list[int]]]) -> Any:
        """The optimizer whose steps are counted. Another takes its place when it moves the same parameters, or steps
        again while that one rests."""
        first = self._first() if self._first is not None else None
        if first is optimizer:
            self._others.clear()
            return first
        if first is not None and id(optimizer) not in self._others:
            self._others.add(id(optimizer))
            ours = {id(one) for one, _ in self._owned(first)}
            if all(id(one) not in ours for one, _ in mine):
                return first
        self._first = weakref.ref(optimizer)
        self._others.clear()
        return optimizer

    def _after_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        mine = self._owned(optimizer)
        if not mine:
            return
        with self._guard:
            self._depth = max(0, self._depth - 1)
            if self._depth or not self.attached:
                return
            counted = self._first is not None and self._first() is optimizer
            sample = self._sample
            if sample is not None and sample.began:
                self._safely(sample.look, mine, optimizer)
                if counted:
                    self._stop_listening()
                if not counted and sample.step and sample.complete():
                    self._safely(self._finish)
                    self._arm_if_due()
            if counted:
                self._step_done()

    def _arm_if_due(self) -> None:
        if self.attached and self._sample is None and self._purse.opens(self._step + 1):
            self._arm()

    def _step_done(self) -> None:
        """The step that was under way is over."""
        if not self.attached:
            return
        if not self._step % 16 or self._step < 16 or self._sample is not None or self._recorded.folder is None:
            self._safely(self._find_run)
        if self._run is not None and self._run.state == "ready":
            self._sample = None if self._sample is None else self._renewed()  # a trainer tries out learning rates
            self._purse.mark()
            return
        if self._run is not None:
            self._step = self._run.step + 1
        else:
            self._step += 1
        sample = self._sample
        if sample is None or not sample.began:
            self._purse.pay(self._step, False)
        elif sample.complete():
            self._safely(self._finish)
        else:
            sample.step = self._step
        if self._own is not None:
            self._own.record(self._step, {}, examples=0)
        self._arm_if_due()

    def _finish(self) -> None:
        """A sample is whole: keep it."""
        sample, self._sample = self._sample, None
        assert sample is not None
        begun = clock()
        step = sample.step or self._step
        if sample.order != self._order:
            self._order = sample.order
            self._layers.arrange(sample.order)
        self._layers.refresh(self._model())
        sample.sheet.grow(len(self._layers.rows))
        sample.settle()
        if self._layers.version != self._described or not self._recorded.about["layers"]:
            self._described = self._layers.version
            self._recorded.describe(self._about())
        if not self._purse.taken:
            self._purse.bound(len(self._layers.rows) * PER_ROW * 4)
        cost = self._purse.pay(step, True, sample.seconds + clock() - begun)
        seconds = time.perf_counter() - self._began if self._run is None else self._run.elapsed
        self._recorded.append(step, seconds, sample.rate, cost, sample.sheet.numbers, sample.sheet.spreads)
        if self._own is not None and math.isfinite(sample.loss):
            self._own.record(step, {"train/loss": sample.loss, "lr": sample.rate})
        self._recorded.flush()

    def _renewed(self) -> Sample:
        self._stop_listening()
        self._arm()
        assert self._sample is not None
        return self._sample

    def _safely(self, function: Any, *arguments: Any) -> None:
        """Whatever goes wrong in looking must not end the training: it is said, and looking ends."""
        try:
            function(*arguments)
        except Exception as error:
            self.detach()
            warnings.warn(
                f"GradientFlow has stopped watching {self.name}: {type(error).__name__}: {error}. "
                "The training goes on; what was recorded stays.",
                UserWarning,
                stacklevel=2,
            )

    # -- the forward pass -----------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        """The next step is to be looked at."""
        self._sample = sample = Sample(self)
        if self._activations or not self._recorded.count:
            self._listening = [
                events.subscribe("module_enter", lambda module, args, kwargs: self._heard(sample.enter, module)),
                events.subscribe("module_exit", lambda module, output: self._heard(sample.leave, module, output)),
            ]
            if self._activations:

                def saw(op: Any, tensors: Any, attributes: Any, output: Any) -> None:
                    if op.name in FUNCTIONS:  # asked here, for there are many operations and few activations
                        self._heard(sample.saw, op, output)

                self._listening.append(events.subscribe("op", saw))
        if self._run is None:
            self._listening.append(events.subscribe("backward_start", sample.saw_loss))

    def _heard(self, function: Any, *arguments: Any) -> None:
        if self.attached:
            self._safely(function, *arguments)

    def _stop_listening(self) -> None:
        for stop in self._listening:
            stop()
        self._listening = []

    # -- where it belongs -----------------------------------------------------------------------------------------------

    def _find_run(self) -> None:
        """The run of the training that goes on; at the second step of a loop that has none, one of its own."""
        if self._run is not None and self._run is not self._own and self._run.state in layout.ALIVE:
            if self._recorded.folder is None:
                self._recorded.keep_in(self._run.path)
            return
        found = recorder_of(self._rows_of)
        self._alone = 0 if found is not None else self._alone + 1
        if found is not None:
            if found is not self._run:
                self._take(found)
        elif self._run is None or self._run.state not in layout.ALIVE:
            if self._own is not None:
                if self._own.state not in layout.ALIVE:
                    self._own.begin("watched")
                if self._run is not self._own:
                    self._take(self._own)
            elif self._alone > 1:  # a loop may say only after its first step that it keeps a run
                self._make_own()

    def _take(self, run: Recorder) -> None:
        if self._run is not None:  # another training of the same model: a recording of its own
            self._recorded.flush()
            self._recorded = Recording(self.name)
            self._recorded.describe(self._about())
            self._masks = {}
        if self._own is not None and run is not self._own:
            self._own.end("finished")
            self._own = None
        self._run = run
        self._recorded.keep_in(run.path)

    def _make_own(self) -> None:
        if self._run_dir is False:
            return
        model = self._model()
        meta = {
            "kind": "watched",
            "model": type(model).__name__,
            "parameters": sum(one.numel() for one in model.parameters()) if model is not None else None,
        }
        own = Recorder(self.name, root=self._run_dir, meta=meta)
        own.update(step=self._step)
        own.begin("watched")
        self._take(own)
        self._own = own
        _to_close.add(self)
        _close_after_cell()

    def _rest(self) -> None:
        """At the end of a cell, or of the interpreter: a loop of one's own does not say when it is over."""
        with self._guard:
            self._recorded.flush()
            if self._own is not None and self._own.state in layout.ALIVE:
                self._own.end("finished")
            self._purse.mark()

    def __repr__(self) -> str:
        count = self._recorded.count
        watching = "watching" if self.attached else "detached,"
        return f"<GradientFlow {watching} {self.name}: {len(self._layers.rows)} layers, {count:,} samples>"


class Sample:
    """One step that is looked at: the forward pass as it happens, then the optimizer's step."""

    def __init__(self, flow: GradientFlow) -> None:
        self.flow = flow
        self.layers = flow._layers
        self.sheet = Sheet(len(self.layers.rows))
        self.seconds = 0.0
        self.step = 0
        self.rate = math.nan
        self.loss = math.nan
        self.began = False  # the forward pass has been seen, or the optimizer has come
        self.moved = False  # the first optimizer has stepped
        self.order: list[int] = []
        self._before: dict[int, Any] = {}
        self._looked: set[int] = set()
        self._squares: dict[tuple[int, int], Any] = {}
        self._largest: dict[tuple[int, int], Any] = {}
        self._bad: list[tuple[int, Any]] = []
        self._calls: dict[Any, int] = {}
        self._tops: set[int] = set()
        self._here = threading.local()

    # -- forward ----------------------------------------------------------------------------------------------------------

    def enter(self, module: Any) -> None:
        here = self._here.__dict__
        stack = here.setdefault("stack", [])
        known = id(module) in self.layers.modules
        if not stack and not known:
            return
        if not stack:  # one forward pass is looked at: not each of those whose gradients are summed up
            here["again"] = id(module) in self._tops
            if state.grad:
                self._tops.add(id(module))
        stack.append(module)
        if known and state.grad and not self.moved and not here["again"]:
            self.began = True
            row = self.layers.row_of.get(id(module))
            if row is not None and row not in self._calls:
                self._calls[row] = 0
                self.order.append(row)

    def leave(self, module: Any, output: Any) -> None:
        here = self._here.__dict__
        stack = here.get("stack")
        if not stack or stack[-1] is not module:
            return
        stack.pop()
        if not state.grad or self.moved or here["again"]:
            return
        row = self.layers.row_of.get(id(module))
        kind = type(module).__name__
        if row is not None:
            here["axis"] = 1 if any(word in kind for word in CHANNELS_FIRST) else -1
        if not self.flow._activations:
            return
        is_activation = isinstance(module, ACTIVATIONS)
        if is_activation:
            row = self._row(None, kind, id(module), self.layers.modules.get(id(module), kind))
        elif row is None or self._calls.get(row, 0):
            return
        else:
            self._calls[row] = 1
        if row is not None:
            self._spread(row, output, kind if is_activation else None, here.get("axis", -1))

    def saw(self, op: Any, output: Any) -> None:
        """An operation that may be an activation called as a function."""
        kind = FUNCTIONS.get(op.name)
        if kind is None or state.scopes or not state.grad or self.moved:
            return
        here = self._here.__dict__
        stack = here.get("stack")
        if not stack or here["again"] or isinstance(stack[-1], ACTIVATIONS) or _is_recurrent(stack[-1]):
            return
        known = self.layers.modules.get(id(stack[-1]))
        if known is None:
            return
        row = self._row(known, kind, None, known)
        if row is not None:
            self._spread(row, output, kind, here.get("axis", -1))

    def saw_loss(self, tensors: Any) -> None:
        one = tensors[0] if isinstance(tensors, (list, tuple)) else tensors
        if isinstance(one, Value) and one._array.size == 1 and measure.library(one._array) is np:
            self.loss = float(one._array.reshape(-1)[0])

    def _row(self, path: str | None, kind: str, module: int | None, name: str) -> int | None:
        counted = (path, kind, module)
        call = self._calls.get(counted, 0)
        self._calls[counted] = call + 1
        row = self.layers.activation_row(name, kind, module, call)
        if row is not None:
            self.sheet.grow(len(self.layers.rows))
            if row not in self._calls:
                self._calls[row] = 1
                self.order.append(row)
        return row

    def _spread(self, row: int, output: Any, kind: str | None, axis: int) -> None:
        begun = clock()
        tensor = _first_tensor(output)
        array = None if tensor is None else tensor._array
        xp = None if array is None else measure.library(array)
        if array is None or xp is None or array.size == 0 or array.dtype.kind in "biu":
            return
        part = measure.as_float32(measure.some(array, measure.SPREAD))
        sheet = self.sheet
        sheet.put_spread(row, 2, measure.quantiles(part, xp))
        with np.errstate(all="ignore"):
            mean = part.sum() / part.size
            around = part - mean
            spread = xp.sqrt(xp.dot(around, around) / part.size)
        sheet.put(row, measure.MEAN, mean)
        sheet.put(row, measure.STD, spread)
        if kind in RECTIFIERS:
            sheet.put(row, measure.DEAD, self._dead(row, array, axis, RECTIFIERS[kind], xp))
        elif kind in SATURATING:
            low, high = SATURATING[kind]
            edge = 0.02 * (high - low)
            sheet.put(row, measure.SATURATED, ((part < low + edge) | (part > high - edge)).mean(dtype=np.float32))
        self.seconds += clock() - begun

    def _dead(self, row: int, array: Any, axis: int, upper: float | None, xp: Any) -> Any:
        """The share of units that have been silent for at least ENOUGH values, over as few samples as that takes."""
        mask = measure.alive(array, axis if array.ndim > 2 else -1, upper, xp)
        kept = self.flow._masks.setdefault(row, deque(maxlen=ENOUGH))
        if kept and kept[-1][0].shape != mask.shape:
            kept.clear()
        kept.append((mask, array.size / max(1, mask.size)))
        seen, together = 0.0, None
        for one, values in reversed(kept):
            together = one if together is None else together | one
            seen += values
            if seen >= ENOUGH:
                return 1 - together.mean(dtype=np.float32)
        return math.nan

    # -- the optimizer's step -----------------------------------------------------------------------------------------------

    def remember(self, mine: list[tuple[Any, list[int]]]) -> None:
        """Keep some of the weights as they are before the step."""
        begun = clock()
        for one, _ in mine:
            if measure.library(one._array) is not None:
                self._before[id(one)] = measure.some(one._array, measure.MOVED).copy()
        self.seconds += clock() - begun

    def look(self, mine: list[tuple[Any, list[int]]], optimizer: Any = None) -> None:
        """Gradients, weights and what the step has done to them."""
        begun = clock()
        if optimizer is not None and (not self.moved or math.isnan(self.rate)):
            with_rate = optimizer.param_groups[0].get("lr", math.nan)
            self.rate = float(with_rate.item() if hasattr(with_rate, "item") else with_rate)
        self.moved = True
        for one, rows in mine:
            self._looked.add(id(one))
            self._look_at_weight(one, rows)
            if one._grad is not None:
                self._look_at_gradient(one, rows)
        self.seconds += clock() - begun

    def look_at_gradients(self, mine: list[tuple[Any, list[int]]]) -> None:
        for one, rows in mine:
            if one._grad is not None:
                self._look_at_gradient(one, rows)

    def _look_at_gradient(self, one: Any, rows: list[int]) -> None:
        array = one._grad._array
        xp = measure.library(array)
        if xp is None:
            return
        total = measure.squares(array, xp)
        for row in rows:
            self._add(row, measure.NORM, total)
            self._bad.append((row, array))
            self._keep_largest(row, 0, array)

    def _look_at_weight(self, one: Any, rows: list[int]) -> None:
        array = one._array
        xp = measure.library(array)
        if xp is None:
            return
        total = measure.squares(array, xp)
        before = self._before.get(id(one))
        moved = None
        if before is not None:
            now = measure.some(array, measure.MOVED)
            moved = measure.squares(measure.as_float32(now) - measure.as_float32(before), xp)
            moved = moved * (array.size / max(1, now.size))
        for row in rows:
            self._add(row, measure.WEIGHT, total)
            if moved is not None:
                self._add(row, measure.UPDATE, moved)
            self._keep_largest(row, 1, array)

    def _keep_largest(self, row: int, which: int, array: Any) -> None:
        """Of a layer's parameters the largest stands for the spread of all."""
        if (row, which) not in self._largest or self._largest[row, which].size <= array.size:
            self._largest[row, which] = array

    def _add(self, row: int, number: int, value: Any) -> None:
        key = (row, number)
        self._squares[key] = value if key not in self._squares else self._squares[key] + value

    def forget_gradients(self) -> None:
        """They are going to be looked at again."""
        self._squares, self._largest, self._bad = {}, {}, []

    def complete(self) -> bool:
        """Whether every parameter that has a gradient has been moved by an optimizer."""
        model = self.flow._model()
        if model is None:
            return True
        return all(id(one) in self._looked for one in model.parameters() if one._grad is not None)

    def settle(self) -> None:
        """Take the roots, the spreads, and bring everything to the host."""
        for (row, number), total in self._squares.items():
            if isinstance(total, (float, np.generic, np.ndarray)):
                self.sheet.put(row, number, math.sqrt(float(total)) if float(total) >= 0 else math.nan)
            else:
                self.sheet.put(row, number, measure.library(total).sqrt(total))
        for (row, which), array in self._largest.items():
            self.sheet.put_spread(row, which, measure.quantiles(array, measure.library(array)))
        self.sheet.settle()
        numbers = self.sheet.numbers
        numbers[~np.isnan(numbers[:, measure.NORM]), measure.NONFINITE] = 0.0
        bad: dict[int, tuple[float, int]] = {}
        for row, array in self._bad:
            if not math.isfinite(numbers[row, measure.NORM]):
                wrong, size = bad.get(row, (0.0, 0))
                wrong += float(array.size - measure.library(array).isfinite(array).sum())
                bad[row] = (wrong, size + array.size)
        for row, (wrong, size) in bad.items():
            numbers[row, measure.NONFINITE] = wrong / max(1, size)
        for row, own in enumerate(self.layers.rows):
            if own.parameters and math.isnan(numbers[row, measure.NORM]):
                numbers[row, measure.NONFINITE] = math.nan if not bad.get(row) else numbers[row, measure.NONFINITE]


class _Manual:
    """For a loop without an optimizer: its steps are the backward passes between which gradients are reset."""

    def __init__(self, flow: GradientFlow) -> None:
        self.flow = weakref.ref(flow)
        self.pending = False
        self._weights: list[Any] = []
        self._stops = [
            events.subscribe("backward_start", self._start),
            events.subscribe("backward_end", self._end),
        ]

    def stop(self) -> None:
        for stop in self._stops:
            stop()

    def _mine(self, flow: GradientFlow) -> list[tuple[Any, list[int]]]:
        model = flow._model()
        return [] if model is None else [(one, flow._rows_of[id(one)]) for one in model.parameters()]

    def _start(self, tensors: Any) -> None:
        flow = self.flow()
        if flow is None or not flow.attached or not self.pending:
            return
        with flow._guard:
            mine = self._mine(flow)
            if any(one._grad is not None and _any(one._grad._array) for one, _ in mine):
                return  # gradients are being summed up
            self.pending = False
            sample = flow._sample
            if not any(_any(_some(one) - old) for (one, _), old in zip(mine, self._weights)):
                if sample is not None:  # nothing has moved: no step, as when mixed precision leaves one out
                    sample.forget_gradients()
                return
            if sample is not None and sample.began:
                gradients = {key: value for key, value in sample._squares.items() if key[1] == measure.NORM}
                sample._squares = gradients
                flow._safely(sample.look, mine)
                flow._stop_listening()
            flow._step_done()

    def _end(self) -> None:
        flow = self.flow()
        if flow is None or not flow.attached:
            return
        with flow._guard:
            mine = self._mine(flow)
            if not any(one._grad is not None for one, _ in mine):
                return
            self.pending = True
            self._weights = [_some(one).copy() for one, _ in mine]
            sample = flow._sample
            if sample is not None:
                sample.began = True
                sample.forget_gradients()
                flow._safely(sample.remember, mine)
                flow._safely(sample.look_at_gradients, mine)
                # Gradients may be set to zero in place before the step is over.
                sample._largest = {key: array.copy() for key, array in sample._largest.items()}


def _some(one: Any) -> Any:
    return measure.some(one._array, 64)


def _any(array: Any) -> bool:
    xp = measure.library(array)
    return xp is not None and bool(array.any())


def _first_tensor(output: Any) -> Any:
    if isinstance(output, Value):
        return output
    if isinstance(output, dict):
        output = tuple(output.values())
    if isinstance(output, (tuple, list)):
        for one in output:
            found = _first_tensor(one)
            if found is not None:
                return found
    return None


def _is_recurrent(module: Any) -> bool:
    return isinstance(module, (nn.RNNBase, nn.RNNCellBase))


#: which model (by id) is watched by which flow
_attached: dict[int, GradientFlow] = {}
_to_close: weakref.WeakSet[GradientFlow] = weakref.WeakSet()


def _forget(key: int) -> None:
    flow = _attached.pop(key, None)
    if flow is not None:
        flow.detach()


def _close_all(*_: Any) -> None:
    for flow in list(_to_close):
        try:
            flow._rest()
        except Exception:
            pass  # the interpreter is going away


def _close_after_cell() -> None:
    shell = sys.modules.get("IPython")
    shell = shell.get_ipython() if shell is not None else None
    if shell is not None and not getattr(shell, "_mlkit_flow", False):
        shell._mlkit_flow = True
        shell.events.register("post_run_cell", _close_all)


def watching(obj: Any) -> GradientFlow | None:
    """The flow that watches a model, or the model of a trainer, run or loop; None where there is none."""
    for one in (obj, getattr(obj, "model", None), getattr(getattr(obj, "trainer", None), "model", None)):
        one = getattr(one, "_orig_mod", one)
        found = _attached.get(id(one))
        if found is not None and found._model() is one:
            return found
    return None


atexit.register(_close_all)
