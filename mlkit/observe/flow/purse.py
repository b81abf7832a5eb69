"""When to look: so seldom that looking stays below a given share of the training's time."""

from __future__ import annotations

import time
from collections import deque
from statistics import median

__all__ = ["Purse"]

FIRST = 3
"""Samples that are taken whatever they cost, so that something is to be seen at once."""

ADVANCE = 100
"""Steps whose share may be spent before they are made, so that a short training is looked at more than thrice."""

WINDOW = 16
"""Steps that are timed together: asking the system for a thread's own time, and a median, would be most of the cost."""

DENSE = 500
"""Samples after which the distance between two grows with the training, so that their number stays bounded."""

MEMORY = 128 * 2**20
"""Bytes that the samples of a training of a million steps should not exceed."""


#: The time this thread has been computing, so that other programs on the machine are not taken for what looking costs.
clock = time.thread_time if time.get_clock_info("thread_time").resolution < 1e-4 else time.perf_counter


class Purse:
    """Every step puts a share of its time into the purse, and a sample is taken when it can be paid for.

    What a sample costs is measured: the time spent looking, or how much longer its step took than others do (a compiled
    model, for one, runs uncompiled while it is looked at), whichever is more.

    Args:
        share: Of the training's time; 0.008 is 0.8 percent.
        every: Sample each so many steps instead, at any cost.

    >>> purse = Purse(every=3)
    >>> [step for step in range(1, 10) if purse.opens(step)]
    [1, 4, 7]
    """

    def __init__(self, share: float = 0.008, every: int | None = None) -> None:
        self.share, self.every = share, every
        self.saved = 0.0
        self.usual = 0.0  # what a step takes without being looked at; 0 while unknown
        self.expected = 0.0  # what a sample costs: the time spent in looking, or by how much its step was longer
        self.taken = 0
        self.dense = DENSE
        self._next = self._window = 0
        self._spent: deque[float] = deque(maxlen=9)
        self._longer: deque[float] = deque(maxlen=9)
        self._steps: deque[float] = deque(maxlen=31)
        self._began: float | None = None

    def opens(self, step: int) -> bool:
        """Whether this step is to be looked at. Called once before each step."""
        if self.every is not None:
            if step < self._next:
                return False
            self._next = step + self.every
        elif self.taken < FIRST:
            if self.taken and step < self._next:
                return False
        elif step < self._next or self.saved + ADVANCE * self.share * self.usual < self.expected:
            return False
        self._close()  # so that its own time is known
        return True

    def bound(self, record_bytes: int) -> None:
        """Fit the number of samples to the memory that one takes."""
        self.dense = max(50, min(DENSE, MEMORY // (10 * max(1, record_bytes))))

    def mark(self) -> None:
        """A step begins now: what comes before (the first batch, a validation, a pause) is not its time."""
        self._began, self._window = clock(), 0

    def _close(self) -> None:
        """Take into account the steps since the clock was last looked at."""
        count, began = self._window, self._began
        self.mark()
        took = self._began - began if began is not None and self._began is not None else 0.0
        if count and took > 0:
            self._steps.append(took / count)
            self.usual = median(self._steps)
            # A pause, a validation or a checkpoint between two steps pays for no sample.
            self.saved += self.share * min(took, (count + 2) * self.usual)

    def pay(self, step: int, looked: bool, seconds: float = 0.0) -> float:
        """A step has ended. Returns what looking at it cost, in seconds.

        Args:
            step: Its number.
            looked: Whether it was sampled.
            seconds: The time spent in looking.
        """
        if not looked:
            self._window += 1
            if self._window >= WINDOW or len(self._steps) < WINDOW:
                self._close()
            return 0.0
        began = self._began
        self.mark()
        took = max(0.0, self._began - began) if began is not None and self._began is not None else 0.0
        self.taken += 1
        if self.taken == 1:  # it also wakes everything up
            cost = seconds
        else:
            self._spent.append(seconds)
            if len(self._steps) > 2:
                self._longer.append(took - self.usual)
            cost = self.expected = max(median(self._spent), median(self._longer) if self._longer else 0.0)
            self.saved -= cost
        if self.every is not None:
            return cost
        self._next = step + max(2 if self.taken <= FIRST else 1, step // self.dense if self.taken > self.dense else 0)
        return cost
