"""Samplers, splits, and datasets made of datasets."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mlkit
from mlkit import data
from mlkit.core.errors import ArgumentError, DataError, ShapeError
from mlkit.data.collate import collate, default_collate_fn_map
from mlkit.utils import data as torch_path

from .samples import Squares, Stream


def seeded(seed=0):
    return mlkit.Generator().manual_seed(seed)


def test_drawing_with_replacement_and_more_than_there_are():
    drawn = list(data.RandomSampler(range(10), replacement=True, num_samples=5000, generator=seeded()))
    counts = np.bincount(drawn, minlength=10)
    assert counts.sum() == 5000 and counts.min() > 400
    twice = list(data.RandomSampler(range(4), num_samples=6, generator=seeded()))
    assert len(twice) == 6 and sorted(twice[:4]) == [0, 1, 2, 3]
    with pytest.raises(DataError, match="positive whole number, got 0"):
        data.RandomSampler(range(3), num_samples=0)
    with pytest.raises(TypeError, match="True or False"):
        data.RandomSampler(range(3), replacement=1)
    with pytest.raises(DataError, match="empty"):
        list(data.RandomSampler([], num_samples=3))


def test_weights():
    weights = [0, 1, 3, 0, 6]
    drawn = list(data.WeightedRandomSampler(weights, 20_000, generator=seeded()))
    assert np.allclose(np.bincount(drawn, minlength=5) / 20_000, np.array(weights) / 10, atol=0.02)
    firsts = np.zeros(5)
    generator = seeded()
    for _ in range(3000):
        order = list(data.WeightedRandomSampler(weights, 3, replacement=False, generator=generator))
        assert sorted(order) == [1, 2, 4]
        firsts[order[0]] += 1
    assert np.allclose(firsts / 3000, np.array(weights) / 10, atol=0.04)
    assert len(data.WeightedRandomSampler(mlkit.tensor([1.0, 2.0]), 7)) == 7


@pytest.mark.parametrize(
    ("weights", "count", "replacement", "message"),
    [
        ([1, -1], 1, True, "weight of sample 1: -1.0"),
        ([1, float("nan")], 1, True, "finite"),
        ([0, 0], 1, True, "2 weights of 0"),
        ([1, 0, 1], 3, False, "only 2 have a weight"),
        ([[1, 2]], 1, True, "one axis"),
        ([1], 0, True, "positive whole number"),
        ([1], 2.5, True, "positive whole number"),
        ([1], 1, "yes", "True or False"),
    ],
)
def test_weights_that_cannot_be_used(weights, count, replacement, message):
    with pytest.raises(DataError, match=message):
        data.WeightedRandomSampler(weights, count, replacement)


@given(st.integers(0, 50), st.integers(1, 7), st.booleans(), st.booleans())
def test_parts_for_several_processes(size, replicas, shuffle, drop_last):
    parts = [
        data.DistributedSampler(range(size), replicas, rank, shuffle=shuffle, drop_last=drop_last)
        for rank in range(replicas)
    ]
    drawn = [list(part) for part in parts]
    assert {len(one) for one in drawn} == {len(parts[0])}
    together = [index for one in drawn for index in one]
    if drop_last:
        assert len(set(together)) == len(together) == size // replicas * replicas
    else:
        assert set(together) == set(range(size)) and len(together) - size < replicas
    parts[0].set_epoch(1)
    if shuffle and size > 20 and replicas == 1:
        assert list(parts[0]) != drawn[0]


def test_parts_follow_the_environment(monkeypatch):
    monkeypatch.setitem(os.environ, "WORLD_SIZE", "4")
    monkeypatch.setitem(os.environ, "RANK", "3")
    assert list(data.DistributedSampler(range(8), shuffle=False)) == [3, 7]
    monkeypatch.delitem(os.environ, "RANK")
    with pytest.raises(DataError, match="RANK"):
        data.DistributedSampler(range(8))
    with pytest.raises(DataError, match="0 to num_replicas - 1"):
        data.DistributedSampler(range(8), 2, 2)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=80), st.integers(1, 9), st.integers(0, 9), st.booleans())
def test_batches_by_class_and_by_group(labels, batch_size, seed, drop_last):
    stratified = data.StratifiedBatchSampler(labels, batch_size, drop_last=drop_last, generator=seeded(seed))
    grouped = data.GroupBatchSampler(labels, batch_size, drop_last=drop_last, generator=seeded(seed))
    for sampler in (stratified, grouped):
        batches = list(sampler)
        assert len(batches) == len(sampler)
        together = [index for batch in batches for index in batch]
        assert len(set(together)) == len(together)
        if not drop_last:
            assert sorted(together) == list(range(len(labels)))
    assert all(len({labels[index] for index in batch}) == 1 for batch in grouped)
    shares = np.bincount(labels, minlength=4) / len(labels)
    for batch in stratified:
        counts = np.bincount([labels[index] for index in batch], minlength=4)
        assert (np.abs(counts - shares * len(batch)) < 2.01).all()


@settings(max_examples=40)
@given(st.lists(st.integers(0, 3), min_size=5, max_size=80), st.integers(0, 9))
def test_splits_by_class_and_by_group(labels, seed):
    size = len(labels)
    parts = data.stratified_split(labels, [0.6, 0.3, 0.1], labels, seeded(seed))
    together = [index for part in parts for index in part.indices]
    assert sorted(together) == list(range(size))
    totals = np.bincount(labels, minlength=4)
    for part, share in zip(parts, (len(part) / size for part in parts)):
        counts = np.bincount([labels[index] for index in part.indices], minlength=4)
        assert (np.abs(counts - share * totals) <= 2).all()
    groups = np.arange(size) // 3
    if len(set(groups.tolist())) >= 2:
        one, other = data.group_split(labels, [0.7, 0.3], groups, seeded(seed))
        assert sorted([*one.indices, *other.indices]) == list(range(size))
        assert not {groups[i] for i in one.indices} & {groups[i] for i in other.indices}
        assert abs(len(one) - 0.7 * size) <= 4


def test_splits_that_cannot_be():
    with pytest.raises(DataError, match="add up"):
        data.stratified_split(range(4), [3, 2], [0, 0, 1, 1])
    with pytest.raises(DataError, match="has 4 samples, and there are 3"):
        data.stratified_split(range(4), [0.5, 0.5], [0, 1, 1])
    with pytest.raises(DataError, match="1 groups cannot be shared out among 2"):
        data.group_split(range(4), [0.5, 0.5], [7] * 4)
    with pytest.warns(UserWarning, match="gets no sample"):
        data.random_split(range(2), [0.4, 0.3, 0.3])


def test_some_indices_in_any_order():
    sampler = data.SubsetRandomSampler([5, 7, 9], seeded())
    assert len(sampler) == 3 and {tuple(sampler) for _ in range(60)} == {
        (a, b, c) for a in (5, 7, 9) for b in (5, 7, 9) for c in (5, 7, 9) if len({a, b, c}) == 3
    }


def test_side_by_side():
    stacked = data.StackDataset(x=Squares(4), y=range(4))
    assert stacked[2]["y"] == 2 and stacked[2]["x"][1] == 4 and len(stacked) == 4
    batch = next(iter(data.DataLoader(stacked, 3)))
    assert batch["x"][1].tolist() == [0, 1, 4] and batch["y"].tolist() == [0, 1, 2]
    tensors = data.StackDataset(data.TensorDataset(np.arange(5)), data.TensorDataset(np.arange(5) * 2))
    (a,), (b,) = next(iter(data.DataLoader(tensors, 5)))
    assert a.tolist() == [0, 1, 2, 3, 4] and b.tolist() == [0, 2, 4, 6, 8]
    with pytest.raises(ShapeError, match="dataset y: 3"):
        data.StackDataset(x=range(4), y=range(3))
    with pytest.raises(DataError, match="not both"):
        data.StackDataset(range(4), y=range(4))
    with pytest.raises(DataError, match="got none"):
        data.StackDataset()


def test_streams_one_after_the_other():
    chain = Stream(3) + data.ChainDataset([Stream(2)])
    assert [batch.tolist() for batch in data.DataLoader(chain, 2)] == [[0, 1], [2, 0], [1]]
    with pytest.raises(DataError, match="number 1 is a Squares"):
        data.ChainDataset([Stream(3), Squares(3)])


class ByHand(Squares):
    def __getitems__(self, indices):
        self.asked = getattr(self, "asked", 0) + 1
        return [self[index] for index in indices]


def test_a_dataset_that_gives_many_at_once_is_asked_once_a_batch():
    dataset = ByHand(10)
    assert len(list(data.DataLoader(dataset, 4))) == 3 and dataset.asked == 3
    assert len(list(data.DataLoader(data.Subset(dataset, range(5)), 4))) == 2 and dataset.asked == 5
    assert data.Subset(Squares(9), [8, 3]).__getitems__([1])[0][1] == 9


def test_your_own_way_to_make_a_batch_of_a_type():
    class Point:
        def __init__(self, x):
            self.x = x

    def points(parts, *, collate_fn_map=None):
        return [part.x for part in parts]

    batch = [{"p": Point(1), "n": 1.5}, {"p": Point(2), "n": 2}]
    done = collate(batch, collate_fn_map={Point: points, **default_collate_fn_map})
    assert done["p"] == [1, 2] and done["n"].tolist() == [1.5, 2]
    with pytest.raises(TypeError, match="cannot be stacked"):
        data.default_collate(batch)
    with pytest.raises(RuntimeError, match="built differently"):
        data.default_collate([(1, 2), (1,)])
    with pytest.raises(RuntimeError, match="built differently"):
        data.default_collate([np.zeros(2), "a"])
    with pytest.raises(RuntimeError, match="sample 1"):
        data.default_collate([1, "a"])
    with pytest.raises(TypeError, match="convert texts"):
        data.default_collate([np.array(["a"])])
    with pytest.raises(TypeError, match="gives None"):
        data.default_collate([None, None])
    assert data.default_collate([1, 2.5]).tolist() == [1, 2.5]


def test_one_sample_without_a_batch_axis():
    converted = data.default_convert({"a": np.float32(2), "b": [np.arange(2), "x"], "c": 3, "d": np.array(["t"])})
    assert converted["a"].item() == 2 and converted["b"][0].tolist() == [0, 1] and converted["b"][1] == "x"
    assert converted["c"] == 3 and isinstance(converted["d"], np.ndarray)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"timeout": -1}, DataError, "at least 0"),
        ({"multiprocessing_context": "spawn"}, DataError, "needs num_workers"),
        ({"multiprocessing_context": "thread", "num_workers": 1}, DataError, "must be one of"),
        ({"multiprocessing_context": 3, "num_workers": 1}, ArgumentError, "a multiprocessing context"),
        ({"collate_fn": 3}, ArgumentError, "collate_fn must be a function"),
        ({"generator": np.random.default_rng()}, ArgumentError, "mlkit.Generator"),
        ({"num_workers": True}, DataError, "whole number"),
        ({"prefetch_factor": 0, "num_workers": 1}, DataError, "at least 1"),
    ],
)
def test_options_that_cannot_work(options, error, message):
    with pytest.raises(error, match=message):
        data.DataLoader(Squares(), **options)


def test_a_loader_is_not_changed_afterwards():
    loader = data.DataLoader(Squares(), 4)
    for name in ("batch_size", "sampler", "batch_sampler", "drop_last", "dataset", "persistent_workers"):
        with pytest.raises(ValueError, match=f"{name} cannot be changed"):
            setattr(loader, name, None)
    loader.collate_fn = len
    assert next(iter(loader)) == 4
    assert loader.prefetch_factor is None and data.DataLoader(Squares(), num_workers=1).prefetch_factor == 2


def test_page_locked_memory_needs_a_gpu():
    if mlkit.cuda.is_available():
        pytest.skip("there is one")
    with pytest.warns(UserWarning, match="pin_memory=True has no effect"):
        loader = data.DataLoader(Squares(4), 4, pin_memory=True)
    assert next(iter(loader))[1].tolist() == [0, 1, 4, 9]


def test_pytorchs_path_has_the_same_names():
    for name in torch_path.__all__:
        assert getattr(torch_path, name) is getattr(data, name)
    from mlkit.utils.data.dataloader import default_collate
    from mlkit.utils.data.dataset import ChainDataset
    from mlkit.utils.data.distributed import DistributedSampler
    from mlkit.utils.data.sampler import WeightedRandomSampler

    assert default_collate is data.default_collate and ChainDataset is data.ChainDataset
    assert DistributedSampler is data.DistributedSampler and WeightedRandomSampler is data.WeightedRandomSampler
