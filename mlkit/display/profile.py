"""Where the time of a piece of code goes: by line of the user's program and by operation, forward and backward."""

from __future__ import annotations

import linecache
import os
import time
from dataclasses import dataclass
from typing import Any

from mlkit.core import events
from mlkit.core.dispatch import Interpreter, apply
from mlkit.core.frames import user_place
from mlkit.display.markup import card, escape, number, plural, scroll, size_of, table

MOST = 20


@dataclass
class Share:
    """What one line, or one operation, took."""

    calls: int = 0
    seconds: float = 0.0
    bytes: int = 0

    def add(self, seconds: float, size: int) -> None:
        self.calls += 1
        self.seconds += seconds
        self.bytes += size


class Profiler(Interpreter):
    """Measures every operation while it is entered: ``with Profiler() as p: ...``."""

    def __init__(self) -> None:
        self.lines: dict[tuple[str, int], Share] = {}
        self.operations: dict[str, Share] = {}
        self.seconds = 0.0
        self._last = 0.0
        self._stops: list[Any] = []

    def process(self, op: Any, tensors: tuple, attributes: dict) -> Any:
        """An operation of the forward pass."""
        started = time.perf_counter()
        outputs = apply(op, tensors, attributes)
        seconds = time.perf_counter() - started
        made = outputs if isinstance(outputs, tuple) else (outputs,)
        self._add(op.name, seconds, sum(_new_bytes(out) for out in made))
        return outputs

    def _add(self, name: str, seconds: float, size: int) -> None:
        place = user_place()
        key = (place[0], place[1]) if place else ("", 0)
        self.lines.setdefault(key, Share()).add(seconds, size)
        self.operations.setdefault(name, Share()).add(seconds, size)

    def _backward_starts(self, *_: Any) -> None:
        self._last = time.perf_counter()

    def _backward_node(self, node: Any, gradients: Any) -> None:
        now = time.perf_counter()
        name = getattr(node, "name", None)
        name = str(name() if callable(name) else name or type(node).__name__)
        self._add(
            f"{name} (backward)" if "ackward" not in name else name,
            now - self._last,
            sum(_new_bytes(g) for g in gradients),
        )
        self._last = time.perf_counter()

    def __enter__(self) -> Profiler:
        self._stops = [
            events.subscribe("backward_start", self._backward_starts),
            events.subscribe("backward_node", self._backward_node),
        ]
        self._started = time.perf_counter()
        super().__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        super().__exit__(*exc)
        self.seconds = time.perf_counter() - self._started
        for stop in self._stops:
            stop()


def _new_bytes(out: Any) -> int:
    """The memory that a result takes by itself; views take none."""
    array = getattr(out, "_array", out)
    return int(getattr(array, "nbytes", 0)) if getattr(array, "base", None) is None else 0


class Profile:
    """A finished measurement, for display."""

    def __init__(self, profiler: Profiler) -> None:
        self.seconds = profiler.seconds
        by_time = lambda item: -item[1].seconds  # noqa: E731
        self.lines = sorted(profiler.lines.items(), key=by_time)
        self.operations = sorted(profiler.operations.items(), key=by_time)

    def rows(self) -> tuple[list[tuple[str, str, Share]], list[tuple[str, Share]]]:
        """((place, code, share) of each line, (operation, share) of each operation), slowest first."""
        lines = []
        for (file, line), share in self.lines:
            place = (
                f"line {line}"
                if "ipykernel_" in file or file.startswith("<ipython")
                else f"{os.path.basename(file)}:{line}"
            )
            lines.append((place if line else "–", linecache.getline(file, line).strip(), share))
        return lines, list(self.operations)

    @property
    def measured(self) -> float:
        """The seconds that went into operations."""
        return sum(share.seconds for _, share in self.operations)

    def __repr__(self) -> str:
        lines, operations = self.rows()
        out = [f"{self.seconds * 1e3:.3g} ms, {self.measured * 1e3:.3g} ms of it in operations"]
        if not operations:
            return f"{out[0]}: no operation of mlkit ran"
        for title, shown in (
            ("line", [(f"{place}: {code}", share) for place, code, share in lines]),
            ("operation", operations),
        ):
            out.append(f"{title:<60} {'calls':>7} {'ms':>10} {'results':>10}")
            out += [
                f"{name[:60]:<60} {s.calls:>7} {s.seconds * 1e3:>10.3f} {size_of(s.bytes):>10}"
                for name, s in shown[:MOST]
            ]
        return "\n".join(out)

    def _repr_html_(self) -> str | None:
        from mlkit.core import rich

        return rich.repr_html(self)


def html(profile: Profile) -> str:
    """A card with two tables, by line and by operation."""
    lines, operations = profile.rows()
    total = profile.seconds or 1.0
    head = (
        f'<p class="head"><b>Profile</b> {number(profile.seconds * 1e3, 3)} ms <span class="soft">'
        f"{number(profile.measured * 1e3, 3)} ms of it in operations</span></p>"
    )
    if not operations:
        return card("profile", head, '<p class="note">no operation of mlkit ran</p>')

    def cells(share: Share) -> tuple[str, ...]:
        percent = f"{100 * share.seconds / total:.1f} %"
        return number(share.calls), number(share.seconds * 1e3, 3), percent, size_of(share.bytes)

    columns = ("calls", "ms", "of all", "results")
    first = table(
        [(escape(place, 60), f"<code>{escape(code, 100)}</code>", *cells(share)) for place, code, share in lines[:MOST]],
        ("line", "code", *columns), numeric=(2, 3, 4, 5),
    )  # fmt: skip
    second = table(
        [(escape(name, 60), *cells(share)) for name, share in operations[:MOST]],
        ("operation", *columns),
        numeric=(1, 2, 3, 4),
    )
    more = [plural(len(x) - MOST, word) for x, word in ((lines, "line"), (operations, "operation")) if len(x) > MOST]
    note = f'<p class="note">and {" and ".join(more)} that took less</p>' if more else ""
    return card("profile", head, scroll(first, "time by line"), scroll(second, "time by operation"), note)
