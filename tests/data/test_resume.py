"""Random numbers that belong to the sample, and epochs that are taken up in the middle."""

import json
import random

import numpy as np
import pytest

import mlkit
from mlkit.core.errors import DataError
from mlkit.data import DataLoader, DistributedSampler, RandomSampler, StratifiedBatchSampler

from .samples import Draws, NoisyStream, NumpySampler, Squares, Stream
from .test_workers import no_process_is_left  # noqa: F401


def plain(batch):
    return [part.tolist() for part in batch] if isinstance(batch, (list, tuple)) else batch.tolist()


def loader_of(workers, dataset=None, **options):
    options = {"shuffle": True, "generator": mlkit.Generator().manual_seed(4), **options}
    return DataLoader(dataset or Draws(22), 4, num_workers=workers, **options)


def test_all_generators_give_the_same_at_any_number_of_workers():
    expected = [plain(batch) for loader in [loader_of(0)] for _ in range(2) for batch in loader]
    for workers in (1, 2, 3):
        loader = loader_of(workers)
        assert [plain(batch) for _ in range(2) for batch in loader] == expected
    numbers = [value for batch in expected for part in batch[:3] for value in part]
    assert len(set(numbers)) == len(numbers)
    other = [plain(batch) for batch in loader_of(0, generator=mlkit.Generator().manual_seed(5))]
    assert not {v for b in other for p in b[:3] for v in p} & set(numbers)


def test_loading_here_does_not_move_the_global_generators():
    np.random.seed(1), random.seed(1), mlkit.manual_seed(1)
    expected = np.random.rand(), random.random(), mlkit.rand(1).item()
    np.random.seed(1), random.seed(1), mlkit.manual_seed(1)
    for _ in loader_of(0):
        pass
    assert (np.random.rand(), random.random(), mlkit.rand(1).item()) == expected


def test_a_sample_that_comes_twice_is_changed_in_two_ways():
    sampler = RandomSampler(range(3), replacement=True, num_samples=30, generator=mlkit.Generator().manual_seed(1))
    numbers = [v for batch in DataLoader(Draws(3), 4, sampler=sampler) for v in batch[2].tolist()]
    assert len(set(numbers)) == 30


@pytest.mark.parametrize("before", [0, 2])
@pytest.mark.parametrize("after", [0, 1, 3])
@pytest.mark.parametrize("own", [True, False])
def test_an_epoch_is_taken_up_in_the_middle(before, after, own):
    options = {} if own else {"generator": None}
    mlkit.manual_seed(8)
    whole = loader_of(before, **options)
    expected = [[plain(batch) for batch in whole] for _ in range(3)]

    mlkit.manual_seed(8)
    first = loader_of(before, **options)
    assert [plain(batch) for batch in first] == expected[0]
    for number, batch in enumerate(first):
        assert plain(batch) == expected[1][number]
        if number == 2:
            state = json.loads(json.dumps(first.state_dict()))
            break
    outside = mlkit.default_generator.get_pair()
    mlkit.rand(3)  # another program, somewhere else in its random numbers

    second = loader_of(after, generator=mlkit.Generator().manual_seed(99) if own else None)
    second.load_state_dict(state)
    assert second.state_dict() == state
    if not own:
        mlkit.default_generator.set_pair(*outside)  # which a trainer's checkpoint restores
    assert [plain(batch) for batch in second] == expected[1][3:]
    assert [plain(batch) for batch in second] == expected[2]


def test_at_the_end_of_an_epoch_the_next_one_begins():
    whole = loader_of(0)
    expected = [[plain(batch) for batch in whole] for _ in range(2)]
    first = loader_of(0)
    assert [plain(batch) for batch in first] == expected[0]
    second = loader_of(0, generator=mlkit.Generator())
    second.load_state_dict(first.state_dict())
    assert [plain(batch) for batch in second] == expected[1]
    fresh = loader_of(0, generator=mlkit.Generator())
    fresh.load_state_dict(loader_of(0).state_dict())
    assert [plain(batch) for batch in fresh] == expected[0]


@pytest.mark.parametrize("workers", [0, 2])
def test_streams_go_on_with_the_same_random_numbers(workers):
    whole = loader_of(workers, NoisyStream(30), shuffle=None)
    expected = [plain(batch) for batch in whole]
    first = loader_of(workers, NoisyStream(30), shuffle=None)
    for number, _ in enumerate(first):
        if number == 3:
            break
    second = loader_of(workers, NoisyStream(30), shuffle=None, generator=mlkit.Generator())
    second.load_state_dict(first.state_dict())
    assert [plain(batch) for batch in second] == expected[4:]
    assert [plain(b) for b in DataLoader(Stream(9), 2).iterate(skip=3)] == [[6, 7], [8]]


def resumed(make):
    """The batches of an epoch, and those of one that was broken off and taken up elsewhere."""
    np.random.seed(3)
    expected = [plain(batch) for batch in make()]
    np.random.seed(3)
    first = make()
    found = []
    for batch in first:
        found.append(plain(batch))
        if len(found) == 2:
            break
    state = json.loads(json.dumps(first.state_dict()))
    np.random.seed(77)
    second = make()
    second.load_state_dict(state)
    return expected, found + [plain(batch) for batch in second]


def test_samplers_with_random_numbers_of_their_own():
    expected, found = resumed(lambda: DataLoader(Squares(20), 3, sampler=NumpySampler(20)))
    assert found == expected
    labels = np.arange(20) % 3
    seeds = iter([5, 5, 6])  # each one's generator stands elsewhere; the state brings it back
    expected, found = resumed(
        lambda: DataLoader(
            Squares(20),
            batch_sampler=StratifiedBatchSampler(labels, 4, generator=mlkit.Generator().manual_seed(next(seeds))),
        )
    )
    assert found == expected


def test_the_epoch_of_a_distributed_sampler_is_kept():
    def make(epoch):
        sampler = DistributedSampler(Squares(20), num_replicas=2, rank=1)
        sampler.set_epoch(epoch)
        return DataLoader(Squares(20), 2, sampler=sampler)

    expected = [plain(batch) for batch in make(7)]
    first = make(7)
    next(iter(first))
    second = make(0)
    second.load_state_dict(first.state_dict())
    assert [plain(batch) for batch in second] == expected[1:]


def test_what_is_no_state():
    with pytest.raises(DataError, match="no state of a DataLoader"):
        loader_of(0).load_state_dict({"epoch": 3})
