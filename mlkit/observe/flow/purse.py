"""When to look: so seldom that looking stays below a given share of the training's time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
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


class Account:
    """What steps take and what looking costs, by one clock, and what has been saved for the next look."""

    def __init__(self, share: float, clock: Callable[[], float]) -> None:
        self.share, self.clock = share, clock
        self.saved = 0.0
        self.usual = 0.0  # what a step takes without being looked at; 0 while unknown
        self.expected = 0.0  # what a sample costs
        self._spent: deque[float] = deque(maxlen=9)
        self._longer: deque[float] = deque(maxlen=9)
        self._steps: deque[float] = deque(maxlen=31)
        self._began: float | None = None

    @property
    def affords(self) -> bool:
        return self.saved + ADVANCE * self.share * self.usual >= self.expected

    def mark(self) -> None:
        self._began = self.clock()

    def close(self, count: int, looked: bool) -> None:
        """Take into account the steps since the clock was last looked at, of which the first was looked at or none."""
        began, self._began = self._began, self.clock()
        took = 0.0 if began is None else self._began - began
        if not count or took <= 0:
            return
        if not looked:
            self._steps.append(took / count)
            self.usual = median(self._steps)
        elif len(self._steps) > 2:
            self._longer.append(took - count * self.usual)
            self._expect()
        # A pause, a validation or a checkpoint between two steps pays for no sample.
        self.saved += self.share * min(took, (count + 2) * self.usual)

    def pay(self, seconds: float | None) -> None:
        """A step was looked at.

        Args:
            seconds: The time spent in looking; None if this clock did not tell.
        """
        if seconds is not None:
            self._spent.append(seconds)
            self._expect()
        self.saved -= self.expected

    def _expect(self) -> None:
        self.expected = max(0.0, *(median(known) for known in (self._spent, self._longer) if known))


class Purse:
    """Every step puts a share of its time into the purse, and a sample is taken when it can be paid for.

    What a sample costs is measured: the time spent looking, or how much longer its step and those right after it took
    than others do, whichever is more. (A compiled model runs uncompiled while it is looked at; a GPU is waited for.) Two
    clocks are asked, the thread's own time and the time on the wall, and both must be able to pay.

    Args:
        share: Of the training's time; 0.008 is 0.8 percent.
        every: Sample each so many steps instead, at any cost.
        clocks: What tells the time, in seconds; by the first one callers measure what looking took.

    >>> purse = Purse(every=3)
    >>> [step for step in range(1, 10) if purse.opens(step)]
    [1, 4, 7]
    """

    def __init__(
        self,
        share: float = 0.008,
        every: int | None = None,
        clocks: tuple[Callable[[], float], ...] = (clock, time.perf_counter),
    ) -> None:
        self.every = every
        self.taken = 0
        self.dense = DENSE
        self._next = self._window = 0
        self._looked = False  # at the first step of this window: what comes right after it may be its doing too
        self._affords = True
        self._settled = 0  # windows of a single step, at the start
        self._accounts = [Account(share, each) for each in clocks]

    @property
    def usual(self) -> float:
        """What a step takes without being looked at, in seconds; 0 while unknown."""
        return self._accounts[-1].usual

    def opens(self, step: int) -> bool:
        """Whether this step is to be looked at. Called once before each step."""
        if self.every is not None:
            if step < self._next:
                return False
            self._next = step + self.every
        elif self.taken < FIRST:
            if self.taken and step < self._next:
                return False
        elif step < self._next or not self._affords:
            return False
        self._close()  # so that its own time is known
        return True

    def bound(self, record_bytes: int) -> None:
        """Fit the number of samples to the memory that one takes."""
        self.dense = max(50, min(DENSE, MEMORY // (10 * max(1, record_bytes))))

    def mark(self) -> None:
        """A step begins now: what comes before (the first batch, a validation, a pause) is not its time."""
        self._window, self._looked = 0, False
        for account in self._accounts:
            account.mark()

    def _close(self) -> None:
        for account in self._accounts:
            account.close(self._window, self._looked)
        self._window, self._looked = 0, False
        self._affords = all(account.affords for account in self._accounts)

    def pay(self, step: int, looked: bool, seconds: float = 0.0) -> float:
        """A step has ended. Returns what looking at it cost, in seconds.

        Args:
            step: Its number.
            looked: Whether it was sampled.
            seconds: The time spent in looking.
        """
        if not looked:
            self._window += 1
            if self._window >= WINDOW or self._settled < WINDOW:
                self._settled += 1
                self._close()
            return 0.0
        self.taken += 1
        cost = seconds
        if self.taken == 1:  # it also wakes everything up
            self.mark()
        else:
            self._window, self._looked = self._window + 1, True
            for account in self._accounts:
                account.pay(seconds if account is self._accounts[0] else None)
            self._affords = all(account.affords for account in self._accounts)
            cost = self.usual * max([a.expected / a.usual if a.usual else 0.0 for a in self._accounts]) or seconds
        if self.every is None:
            self._next = step + max(
                2 if self.taken <= FIRST else 1, step // self.dense if self.taken > self.dense else 0
            )
        return cost
