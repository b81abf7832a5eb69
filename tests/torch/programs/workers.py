# A dataset of one's own, read by two worker processes.
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from reproducible import normal


class Squares(Dataset):
    def __init__(self, n):
        self.n = n
        self.noise = normal(n)

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        assert get_worker_info() is not None
        return torch.tensor([float(i), float(i) ** 2]), self.noise[i], f"sample {i}"


def double(batch):
    xs, noise, names = zip(*batch)
    return torch.stack(xs) * 2, torch.stack(noise), list(names)


if __name__ == "__main__":
    loader = DataLoader(Squares(10), batch_size=4, num_workers=2, collate_fn=double, multiprocessing_context="spawn")
    for xs, noise, names in loader:
        print(xs.tolist(), f"{noise.sum().item():.4f}", names, isinstance(xs, torch.Tensor))
