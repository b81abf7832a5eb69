"""Datasets, samplers, and batches made in this process."""

from collections import namedtuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlkit import data
from mlkit.core.errors import DataError, ShapeError
from mlkit.core.rng import Generator
from mlkit.data.collate import default_collate

from .samples import Failing, Squares, Stream


def values(loader):
    return [batch[0].tolist() if isinstance(batch, list) else batch.tolist() for batch in loader]


@given(st.integers(0, 40), st.integers(1, 12), st.booleans(), st.booleans())
def test_every_sample_once_and_len_is_true(size, batch_size, drop_last, shuffle):
    loader = data.DataLoader(data.TensorDataset(np.arange(size)), batch_size, shuffle=shuffle, drop_last=drop_last)
    batches = values(loader)
    assert len(batches) == len(loader)
    assert all(len(batch) == batch_size for batch in batches[:-1])
    seen = [value for batch in batches for value in batch]
    assert len(set(seen)) == len(seen) and set(seen) <= set(range(size))
    if not drop_last:
        assert sorted(seen) == list(range(size))
    if not shuffle:
        assert seen == sorted(seen)


class OneByOne(data.TensorDataset):
    def __getitem__(self, index):
        return super().__getitem__(index)


@settings(max_examples=25)
@given(st.integers(1, 30), st.integers(1, 8), st.integers(0, 2**32))
def test_the_fast_way_gives_what_single_samples_give(size, batch_size, seed):
    x, y = np.random.default_rng(1).random((size, 3), np.float32), np.arange(size)
    fast = data.DataLoader(data.TensorDataset(x, y), batch_size, True, generator=Generator().manual_seed(seed))
    slow = data.DataLoader(OneByOne(x, y), batch_size, True, generator=Generator().manual_seed(seed))
    for one, other in zip(fast, slow, strict=True):
        assert type(one) is type(other) and len(one) == len(other) == 2
        for a, b in zip(one, other):
            assert a.dtype == b.dtype and a.tolist() == b.tolist()


def test_a_batch_is_a_copy():
    x = np.zeros((4, 2), np.float32)
    (batch,) = next(iter(data.DataLoader(data.TensorDataset(x), batch_size=4)))
    batch += 1
    assert (x == 0).all()


def test_a_subclass_with_its_own_getitem_is_asked():
    class Doubled(data.TensorDataset):
        def __getitem__(self, index):
            return tuple(2 * part for part in super().__getitem__(index))

    assert values(data.DataLoader(Doubled(np.arange(4)), batch_size=4)) == [[0, 2, 4, 6]]
    assert values(data.DataLoader(data.Subset(Doubled(np.arange(4)), [3, 1]), batch_size=2)) == [[6, 2]]


def test_shuffling_follows_the_seed_and_changes_each_time():
    loader = data.DataLoader(data.TensorDataset(np.arange(100)), 10, True, generator=Generator().manual_seed(1))
    first, second = values(loader), values(loader)
    assert first != second
    again = data.DataLoader(data.TensorDataset(np.arange(100)), 10, True, generator=Generator().manual_seed(1))
    assert [values(again), values(again)] == [first, second]


def test_the_order_is_drawn_when_the_iteration_begins():
    generator = Generator().manual_seed(1)
    loader = data.DataLoader(data.TensorDataset(np.arange(50)), 10, True, generator=generator)
    expected = values(loader)
    generator.manual_seed(1)
    iterator = iter(loader)
    generator.take(1000)
    assert [batch[0].tolist() for batch in iterator] == expected


@pytest.mark.parametrize("dataset", [data.TensorDataset(np.arange(20)), Stream(20)], ids=["index", "stream"])
def test_skipping_takes_up_where_it_was_left(dataset):
    loader = data.DataLoader(dataset, batch_size=3)
    assert [b[0].tolist() if isinstance(b, list) else b.tolist() for b in loader.iterate(skip=4)] == values(loader)[4:]


def test_subset_concat_split():
    dataset = data.TensorDataset(np.arange(10))
    parts = data.random_split(dataset, [0.5, 0.3, 0.2], Generator().manual_seed(0))
    assert [len(part) for part in parts] == [5, 3, 2]
    both = parts[0] + parts[1] + parts[2]
    assert sorted(int(both[i][0]) for i in range(-10, 0)) == list(range(10))
    with pytest.raises(IndexError, match="outside this dataset of 10"):
        both[10]
    with pytest.raises(DataError, match=r"\[5, 6\] must add up to the dataset's 10"):
        data.random_split(dataset, [5, 6])


@pytest.mark.filterwarnings("ignore:random_split")
@given(st.integers(0, 200), st.lists(st.floats(0.01, 1), min_size=1, max_size=5))
def test_split_by_fractions_loses_nothing(size, weights):
    fractions = [weight / sum(weights) for weight in weights]
    parts = data.random_split(range(size), fractions)
    assert sorted(i for part in parts for i in part.indices) == list(range(size))


Pair = namedtuple("Pair", "x y")


def test_collate_keeps_the_structure():
    sample = {"a": np.float32(1), "b": (1, 2.5), "c": "text", "d": [True], "e": Pair(np.zeros(2), 3)}
    batch = default_collate([sample, sample])
    assert batch["a"].tolist() == [1, 1] and "float32" in str(batch["a"].dtype)
    assert batch["b"][0].tolist() == [1, 1] and "int64" in str(batch["b"][0].dtype)
    assert batch["b"][1].tolist() == [2.5, 2.5]
    assert batch["c"] == ["text", "text"] and default_collate([("a", 1), ("b", 2)])[0] == ("a", "b")
    assert batch["d"][0].tolist() == [True, True]
    assert isinstance(batch["e"], Pair) and tuple(batch["e"].x.shape) == (2, 2)


@pytest.mark.parametrize(
    ("samples", "error", "message"),
    [
        ([np.zeros((1, 28)), np.zeros((1, 27))], ShapeError, "sample 1 of this batch: [1, 27]"),
        ([(1, 2), (1,)], DataError, "sample 1 of the batch is built differently"),
        ([{"a": 1}, {"b": 1}], DataError, "sample 0 has the keys ['a']"),
        ([object()], DataError, "cannot be stacked"),
        ([], DataError, "no samples"),
    ],
)
def test_collate_says_what_does_not_fit(samples, error, message):
    with pytest.raises(error) as caught:
        default_collate(samples)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "at least 1, got 0"),
        ({"batch_size": 2.5}, "got 2.5"),
        ({"shuffle": True, "sampler": [0]}, "exclude each other"),
        ({"batch_size": 2, "batch_sampler": [[0]]}, "excludes"),
        ({"num_workers": -1}, "num_workers"),
        ({"prefetch_factor": 2}, "needs num_workers"),
        ({"persistent_workers": True}, "needs num_workers"),
        ({"batch_size": None, "drop_last": True}, "needs a batch_size"),
    ],
)
def test_options_that_cannot_work(options, message):
    with pytest.raises(DataError) as caught:
        data.DataLoader(Squares(), **options)
    assert message in str(caught.value)


def test_what_is_no_dataset():
    with pytest.raises(DataError, match="a generator is no dataset"):
        data.DataLoader(x for x in [])
    with pytest.raises(DataError, match="gives its own order"):
        data.DataLoader(Stream(3), shuffle=True)
    with pytest.raises(TypeError, match="stream"):
        len(data.DataLoader(Stream(3)))
    with pytest.raises(ShapeError, match=r"tensor 1: \[4\]"):
        data.TensorDataset(np.zeros((3, 2)), np.zeros(4))


def test_streams_samplers_collate_and_single_samples():
    assert values(data.DataLoader(Stream(5), batch_size=2)) == [[0, 1], [2, 3], [4]]
    assert values(data.DataLoader(Stream(5), batch_size=2, drop_last=True)) == [[0, 1], [2, 3]]
    assert list(data.DataLoader(Squares(), 5, collate_fn=lambda samples: len(samples))) == [5, 5, 5, 5]
    labels = [y.tolist() for _, y in data.DataLoader(Squares(), batch_sampler=[[1, 2], [3]])]
    assert labels == [[1, 4], [9]]
    assert [y for _, y in data.DataLoader(Squares(3), batch_size=None)] == [0, 1, 4]
    assert [y.tolist() for _, y in data.DataLoader(Squares(), sampler=[4, 2])] == [[16], [4]]


def test_an_exception_of_the_dataset_passes_unchanged():
    with pytest.raises(KeyError, match="no sample 7"):
        list(data.DataLoader(Failing(), batch_size=4))
