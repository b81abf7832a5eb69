"""One part of a dataset for each of several processes that train together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from mlkit.core.errors import DataError
from mlkit.core.rng import Generator
from mlkit.data import arrays
from mlkit.data.sampler import Sampler

__all__ = ["DistributedSampler"]


class DistributedSampler(Sampler):
    """Every `num_replicas`-th index, beginning with `rank`: the parts do not overlap and are equally long.

    Where the samples do not go round evenly, the first ones come twice, or with `drop_last` the last ones are left out.
    All processes must use the same `seed`, and call ``set_epoch(epoch)`` before each epoch for a new order.

    Args:
        dataset: What to draw from; only its length matters.
        num_replicas: How many processes; by default ``$WORLD_SIZE``.
        rank: Number of this one, from 0; by default ``$RANK``.
        shuffle: In a new order each epoch; else as they come.
        seed: Of the order.
        drop_last: Leave out samples, so that no sample comes twice.

    Raises:
        DataError: A rank outside 0 to num_replicas - 1, or nothing that says how many there are.

    >>> [list(DistributedSampler(range(5), num_replicas=2, rank=rank, shuffle=False)) for rank in range(2)]
    [[0, 2, 4], [1, 3, 0]]
    """

    def __init__(
        self,
        dataset: Any,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        num_replicas = _from_environment("WORLD_SIZE", "num_replicas") if num_replicas is None else num_replicas
        rank = _from_environment("RANK", "rank") if rank is None else rank
        if num_replicas < 1 or not 0 <= rank < num_replicas:
            raise DataError(
                f"DistributedSampler: rank must be in 0 to num_replicas - 1, got rank={rank} and "
                f"num_replicas={num_replicas}."
            )
        self.dataset = dataset
        self.num_replicas = num_replicas
        self.rank = rank
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self.epoch = 0
        size = len(dataset)
        self.num_samples = size // num_replicas if drop_last else -(-size // num_replicas)
        self.total_size = self.num_samples * num_replicas

    def __iter__(self) -> Iterator[int]:
        size = len(self.dataset)
        if self.shuffle:
            order = arrays.permutation(size, Generator().manual_seed(self.seed + self.epoch))
        else:
            order = np.arange(size)
        return iter(np.resize(order, self.total_size)[self.rank :: self.num_replicas].tolist())

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Give this epoch's order: call it before each epoch, in all processes."""
        self.epoch = epoch

    def state_dict(self) -> dict[str, int]:
        """The epoch, for `DataLoader.state_dict`."""
        return {"epoch": self.epoch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Take the epoch up again."""
        self.epoch = state["epoch"]


def _from_environment(variable: str, argument: str) -> int:
    value = os.environ.get(variable, "")
    if not value.isdecimal():
        raise DataError(
            f"DistributedSampler: {argument} is not given, and the environment variable {variable} does not say it.",
            hint=f"Write DistributedSampler(dataset, {argument}=...), or start the processes with {variable} set.",
        )
    return int(value)
