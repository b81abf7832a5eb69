"""Samplers that look at classes and groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mlkit.core.errors import DataError
from mlkit.data import arrays
from mlkit.data.dataset import Subset
from mlkit.data.sampler import Sampler, check_batch_size

__all__ = ["GroupBatchSampler", "StratifiedBatchSampler", "group_split", "stratified_split"]


class StratifiedBatchSampler(Sampler):
    """Batches in which every class has about the share that it has in the whole.

    Give it to a `DataLoader` as ``batch_sampler``. Every sample comes once per epoch.

    Args:
        labels: The class of each sample: [samples], numbers or texts.
        batch_size: Samples per batch.
        shuffle: In a new random order each time; else in the order of the samples.
        drop_last: Leave out the last batch when it is smaller.
        generator: An `mlkit.Generator`; mlkit's own by default.

    >>> labels = ["cat"] * 8 + ["dog"] * 4
    >>> for batch in StratifiedBatchSampler(labels, batch_size=6):
    ...     print(sorted(labels[i] for i in batch))
    ['cat', 'cat', 'cat', 'cat', 'dog', 'dog']
    ['cat', 'cat', 'cat', 'cat', 'dog', 'dog']
    """

    def __init__(
        self, labels: Any, batch_size: int, shuffle: bool = True, drop_last: bool = False, generator: Any = None
    ) -> None:
        self.classes, self._codes = _codes(labels, "StratifiedBatchSampler: labels")
        self.batch_size = check_batch_size(batch_size)
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.generator = generator

    def __iter__(self) -> Iterator[list[int]]:
        size = len(self._codes)
        order = arrays.permutation(size, self.generator) if self.shuffle else np.arange(size)
        spread = _spread(self._codes, order)
        batches = [spread[at : at + self.batch_size].tolist() for at in range(0, size, self.batch_size)]
        if self.drop_last and batches and len(batches[-1]) < self.batch_size:
            batches.pop()
        return iter(batches)

    def __len__(self) -> int:
        whole, rest = divmod(len(self._codes), self.batch_size)
        return whole + (1 if rest and not self.drop_last else 0)


class GroupBatchSampler(Sampler):
    """Batches of samples of one group: texts of about one length, images of one size, measurements of one patient.

    Give it to a `DataLoader` as ``batch_sampler``. Every sample comes once per epoch; a group's last batch may be
    smaller.

    Args:
        groups: The group of each sample: [samples], numbers or texts.
        batch_size: Samples per batch.
        shuffle: Batches, and samples within a group, in a new random order each time; else group by group.
        drop_last: Leave out each group's last batch when it is smaller.
        generator: An `mlkit.Generator`; mlkit's own by default.

    >>> list(GroupBatchSampler(["a", "b", "a", "b", "a"], batch_size=2, shuffle=False))
    [[0, 2], [4], [1, 3]]
    """

    def __init__(
        self, groups: Any, batch_size: int, shuffle: bool = True, drop_last: bool = False, generator: Any = None
    ) -> None:
        self.groups, self._codes = _codes(groups, "GroupBatchSampler: groups")
        self.batch_size = check_batch_size(batch_size)
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.generator = generator

    def __iter__(self) -> Iterator[list[int]]:
        size = len(self._codes)
        order = arrays.permutation(size, self.generator) if self.shuffle else np.arange(size)
        by_group = order[np.argsort(self._codes[order], kind="stable")]
        ends = np.cumsum(np.bincount(self._codes, minlength=len(self.groups)))
        batches = []
        for members in np.split(by_group, ends[:-1]):
            pieces = [members[at : at + self.batch_size].tolist() for at in range(0, len(members), self.batch_size)]
            if self.drop_last and pieces and len(pieces[-1]) < self.batch_size:
                pieces.pop()
            batches += pieces
        if self.shuffle:
            batches = [batches[i] for i in arrays.permutation(len(batches), self.generator)]
        return iter(batches)

    def __len__(self) -> int:
        counts = np.bincount(self._codes, minlength=len(self.groups))
        return int((counts // self.batch_size if self.drop_last else -(-counts // self.batch_size)).sum())


def stratified_split(dataset: Any, lengths: Sequence[float], labels: Any, generator: Any = None) -> list[Subset]:
    """Split a dataset at random so that every class has about the same share in each part.

    Args:
        dataset: Any dataset with a length.
        lengths: Whole numbers that add up to ``len(dataset)``, or fractions that add up to 1.
        labels: The class of each sample: [samples].
        generator: An `mlkit.Generator`; mlkit's own by default.

    >>> labels = [0] * 90 + [1] * 10
    >>> train, test = stratified_split(labels, [0.8, 0.2], labels)
    >>> sum(train[i] for i in range(len(train))), sum(test[i] for i in range(len(test)))
    (8, 2)
    """
    _, codes = _codes(labels, "stratified_split: labels", len(dataset))
    shares = _shares(lengths, len(dataset), "stratified_split")
    order = arrays.permutation(len(dataset), generator)
    by_class = order[np.argsort(codes[order], kind="stable")]
    # Dealt out in proportion along all classes in turn, so that each stretch, a class, goes to all parts.
    parts = _deal(shares)
    return [Subset(dataset, np.sort(by_class[parts == i]).tolist()) for i in range(len(shares))]


def group_split(dataset: Any, lengths: Sequence[float], groups: Any, generator: Any = None) -> list[Subset]:
    """Split a dataset at random so that no group is in two parts: a patient's images are all in one.

    Whole groups go where most is missing, so the parts' sizes come close to what was asked for, not exactly there.

    Args:
        dataset: Any dataset with a length.
        lengths: Whole numbers that add up to ``len(dataset)``, or fractions that add up to 1.
        groups: The group of each sample: [samples].
        generator: An `mlkit.Generator`; mlkit's own by default.

    >>> patients = ["a", "a", "b", "b", "c", "d"]
    >>> train, test = group_split(patients, [0.5, 0.5], patients)
    >>> {train[i] for i in range(len(train))} & {test[i] for i in range(len(test))}
    set()
    """
    names, codes = _codes(groups, "group_split: groups", len(dataset))
    shares = _shares(lengths, len(dataset), "group_split")
    if len(names) < len(shares):
        raise DataError(f"group_split: {len(names)} groups cannot be shared out among {len(shares)} parts.")
    sizes = np.bincount(codes, minlength=len(names))
    order = arrays.permutation(len(names), generator)
    order = order[np.argsort(-sizes[order], kind="stable")]  # large groups first, while there is room for them
    missing = shares.astype(np.float64)
    part_of = np.empty(len(names), np.int64)
    for group in order:
        part_of[group] = int(np.argmax(missing))
        missing[part_of[group]] -= sizes[group]
    return [Subset(dataset, np.flatnonzero(part_of[codes] == i).tolist()) for i in range(len(shares))]


def _codes(labels: Any, name: str, expected: int | None = None) -> tuple[list[Any], np.ndarray]:
    values = arrays.to_numpy(labels) if arrays.is_tensor(labels) else np.asarray(labels)
    if values.ndim != 1:
        raise DataError(f"{name} must have one axis (a label for each sample), got the shape {list(values.shape)}.")
    if expected is not None and len(values) != expected:
        raise DataError(f"{name}: the dataset has {expected:,} samples, and there are {len(values):,}.")
    classes, codes = np.unique(values, return_inverse=True)
    return classes.tolist(), codes.reshape(-1)


def _spread(codes: np.ndarray, order: np.ndarray) -> np.ndarray:
    """`order` rearranged so that each class is spread evenly over it."""
    counts = np.bincount(codes)
    ordered = codes[order]
    by_class = np.argsort(ordered, kind="stable")
    starts = np.cumsum(counts) - counts
    rank = np.empty(len(order), np.float64)
    rank[by_class] = np.arange(len(order)) - np.repeat(starts, counts)
    return order[np.argsort((rank + 0.5) / counts[ordered], kind="stable")]


def _shares(lengths: Sequence[float], total: int, name: str) -> np.ndarray:
    values = np.asarray(lengths, np.float64)
    if values.ndim != 1 or not len(values) or (values < 0).any():
        raise DataError(f"{name}: lengths must be numbers that are not negative, got {list(lengths)}.")
    if abs(values.sum() - 1) < 1e-6 and (values <= 1).all():
        sizes = np.floor(values * total).astype(np.int64)
        sizes[: total - sizes.sum()] += 1
        return sizes
    if values.sum() != total or (values != np.round(values)).any():
        raise DataError(
            f"{name}: the lengths {list(lengths)} must add up to the dataset's {total} samples.",
            hint="Give whole numbers that add up to it, or fractions that add up to 1, such as [0.8, 0.2].",
        )
    return values.astype(np.int64)


def _deal(shares: np.ndarray) -> np.ndarray:
    """For each place the part it goes to: `shares[i]` places to part `i`, evenly spread."""
    places = np.concatenate([(np.arange(size) + 0.5) / size for size in shares])
    owner = np.repeat(np.arange(len(shares)), shares)
    return owner[np.argsort(places, kind="stable")]
