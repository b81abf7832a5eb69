# torch.utils.data in full: streams shared between workers, samplers of one's own, collation, groups of buckets.
import itertools
import math

import torch
from torch.utils.data import (
    BatchSampler,
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    StackDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    get_worker_info,
    random_split,
)


class Range(IterableDataset):
    def __init__(self, start, end):
        super().__init__()
        self.start, self.end = start, end

    def __iter__(self):
        info = get_worker_info()
        start, end = self.start, self.end
        if info is not None:
            per_worker = int(math.ceil((end - start) / float(info.num_workers)))
            start, end = start + info.id * per_worker, min(start + (info.id + 1) * per_worker, end)
        return iter(range(start, end))


class Buckets(Sampler):
    """Batches of sentences of about one length."""

    def __init__(self, lengths, batch_size):
        self.order = sorted(range(len(lengths)), key=lambda i: lengths[i])
        self.batch_size = batch_size

    def __iter__(self):
        for i in range(0, len(self.order), self.batch_size):
            yield self.order[i : i + self.batch_size]

    def __len__(self):
        return math.ceil(len(self.order) / self.batch_size)


class Pairs(Dataset):
    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        if torch.is_tensor(i):
            i = i.tolist()
        if i >= self.n:
            raise IndexError(i)
        return {"x": torch.full((2,), float(i)), "y": i % 3, "name": f"r{i}", "pair": (i, float(i) / 2)}


def worker_init_fn(worker_id):
    dataset = get_worker_info().dataset
    dataset.start += 100 * worker_id


def main():
    print([b.tolist() for b in DataLoader(Range(3, 11), batch_size=3)])
    two = DataLoader(Range(3, 11), batch_size=2, num_workers=2)
    print(sorted(v for b in two for v in b.tolist()))
    shifted = DataLoader(Range(0, 4), num_workers=2, worker_init_fn=worker_init_fn)
    print(sorted(b.item() for b in shifted))
    print([int(b) for b in DataLoader(ChainDataset([Range(0, 2), Range(7, 9)]), batch_size=None)])
    lengths = [5, 2, 9, 3, 3, 8, 1]
    print(list(Buckets(lengths, 3)), len(DataLoader(Pairs(7), batch_sampler=Buckets(lengths, 3))))
    for batch in DataLoader(Pairs(5), batch_size=3):
        print(batch)
    joined = ConcatDataset([Pairs(2), Subset(Pairs(9), [4, 8])])
    print(len(joined), joined[-1]["name"], joined.cumulative_sizes, [joined[i]["name"] for i in range(4)])
    print(list(BatchSampler(SequentialSampler(range(7)), 3, drop_last=True)), len(BatchSampler(range(7), 3, False)))
    stacked = StackDataset(a=torch.arange(4), b=torch.arange(4) * 10)
    print(stacked[2], len(stacked))
    parts = random_split(range(10), [0.5, 0.3, 0.2], generator=torch.Generator().manual_seed(0))
    print([len(p) for p in parts], sorted(itertools.chain(*parts)))
    g = torch.Generator()
    g.manual_seed(1)
    print(sorted(RandomSampler(range(6), generator=g)), len(RandomSampler(range(6), num_samples=3)))
    print(sorted(SubsetRandomSampler([4, 1, 7])), set(WeightedRandomSampler([0.0, 1.0, 0.0], 5)))
    a = torch.arange(12.0).reshape(6, 2)
    loader = DataLoader(TensorDataset(a, torch.arange(6)), batch_size=4, drop_last=True, pin_memory=False)
    print(len(loader), len(loader.dataset), loader.batch_size, [x.shape for x, _ in loader])
    print(default_collate([(1, 2.5, "a", [True]), (3, 4.5, "b", [False])]))
    odd = DataLoader([torch.ones(2), torch.ones(3)], batch_size=2)
    try:
        next(iter(odd))
    except RuntimeError as error:
        print("RuntimeError", "equal size" in str(error) or "shape" in str(error))
    for kwargs in (dict(batch_size=0), dict(shuffle=True, sampler=[0]), dict(num_workers=-1), dict(prefetch_factor=2)):
        try:
            DataLoader(range(3), **kwargs)
            print("fine")
        except ValueError:
            print("ValueError", *kwargs)


if __name__ == "__main__":
    main()
