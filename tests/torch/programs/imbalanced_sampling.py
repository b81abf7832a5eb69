# Rare classes drawn as often as common ones; a held-out part; a stream of samples.
import torch
from torch.utils.data import DataLoader, IterableDataset, SubsetRandomSampler, TensorDataset, WeightedRandomSampler, random_split

torch.manual_seed(0)
targets = torch.cat([torch.zeros(900), torch.ones(90), torch.full((10,), 2.0)]).long()
dataset = TensorDataset(torch.arange(1000).float().unsqueeze(1), targets)
class_sample_count = torch.tensor([(targets == t).sum() for t in torch.unique(targets, sorted=True)])
weight = 1.0 / class_sample_count.float()
samples_weight = torch.tensor([weight[t] for t in targets])
print(class_sample_count, samples_weight[[0, 950, 995]])
sampler = WeightedRandomSampler(samples_weight.double(), len(samples_weight), replacement=True)
counts = torch.zeros(3)
for x, y in DataLoader(dataset, batch_size=100, sampler=sampler):
    counts += torch.bincount(y, minlength=3)
print(int(counts.sum()), bool((counts > 250).all()))
print(sorted(set(WeightedRandomSampler([0.0, 1.0, 1.0, 0.0], 50))))
train, valid = random_split(dataset, [0.8, 0.2], generator=torch.Generator().manual_seed(1))
print(len(train), len(valid), sorted(train.indices + valid.indices) == list(range(1000)))
loader = DataLoader(dataset, batch_size=7, sampler=SubsetRandomSampler(range(20)), drop_last=True)
print(len(loader), [len(x) for x, _ in loader])


class Stream(IterableDataset):
    def __iter__(self):
        return iter(torch.arange(10))


print([batch.tolist() for batch in DataLoader(Stream(), batch_size=4)])
