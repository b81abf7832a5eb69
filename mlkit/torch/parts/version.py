"""``torch.version``: which PyTorch's names these are."""

from __future__ import annotations

import re
from typing import Any

from mlkit import cuda as _cuda

__all__ = ["TorchVersion", "__version__", "debug", "git_version", "hip", "xpu"]


class TorchVersion(str):
    """A version that compares as one: with texts, and with tuples of numbers.

    >>> TorchVersion("2.13.0+mlkit") >= "2.4", TorchVersion("2.13.0+mlkit") >= (2, 20)
    (True, False)
    """

    def _numbers(self, other: Any) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        if isinstance(other, str):
            theirs = tuple(int(n) for n in re.findall(r"\d+", other.partition("+")[0])[:3])
        elif isinstance(other, (tuple, list)):
            theirs = tuple(int(n) for n in other)
        else:
            return None
        ours = tuple(int(n) for n in re.findall(r"\d+", self.partition("+")[0])[:3])
        width = max(len(ours), len(theirs))
        return ours + (0,) * (width - len(ours)), theirs + (0,) * (width - len(theirs))

    def __lt__(self, other: Any) -> bool:
        both = self._numbers(other)
        return NotImplemented if both is None else both[0] < both[1]

    def __le__(self, other: Any) -> bool:
        both = self._numbers(other)
        return NotImplemented if both is None else both[0] <= both[1]

    def __gt__(self, other: Any) -> bool:
        both = self._numbers(other)
        return NotImplemented if both is None else both[0] > both[1]

    def __ge__(self, other: Any) -> bool:
        both = self._numbers(other)
        return NotImplemented if both is None else both[0] >= both[1]

    __hash__ = str.__hash__

    def __eq__(self, other: Any) -> bool:
        if isinstance(other, str):
            return str.__eq__(self, other)
        both = self._numbers(other)
        return NotImplemented if both is None else both[0] == both[1]

    def __ne__(self, other: Any) -> bool:
        return not self == other


#: PyTorch's version whose names and numbers mlkit is compared with
__version__ = TorchVersion("2.13.0+mlkit")
debug = False
git_version = None
hip = None
xpu = None


def __getattr__(name: str) -> Any:
    if name == "cuda":  # asking starts the GPU library, so only on demand
        if not _cuda.is_available():
            return None
        number = _cuda._library().m.xp.cuda.runtime.runtimeGetVersion()
        return f"{number // 1000}.{number % 1000 // 10}"
    raise AttributeError(name)
