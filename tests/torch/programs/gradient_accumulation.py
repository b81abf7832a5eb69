# Accumulate gradients over small batches, clip, one-cycle schedule, averaged weights, hooks.
import torch
from torch import nn, optim
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import BatchSampler, ConcatDataset, DataLoader, Dataset, SequentialSampler, TensorDataset

from reproducible import fill, normal


class Sines(Dataset):
    def __init__(self, count):
        self.x = torch.linspace(-3, 3, count).unsqueeze(1)

    def __getitem__(self, index):
        return {"x": self.x[index], "y": torch.sin(self.x[index]), "index": index}

    def __len__(self):
        return len(self.x)


def collate(samples):
    return torch.stack([s["x"] for s in samples]), torch.stack([s["y"] for s in samples])


sampler = BatchSampler(SequentialSampler(range(64)), batch_size=8, drop_last=False)
loader = DataLoader(Sines(64), batch_sampler=sampler, collate_fn=collate)
plain = next(iter(DataLoader(Sines(5), batch_size=3)))
print({k: (v.shape, v.dtype) for k, v in plain.items()})
both = ConcatDataset([TensorDataset(torch.arange(3)), TensorDataset(torch.arange(10, 14))])
print(len(both), both[4])

model = fill(nn.Sequential(nn.Linear(1, 24), nn.SiLU(), nn.Linear(24, 24), nn.Softplus(), nn.Linear(24, 1)))
norms = []
model[0].register_forward_hook(lambda module, args, output: norms.append(output.norm().item()))
model[2].weight.register_hook(lambda grad: grad * 0.5)
accumulation_steps, epochs = 4, 5
optimizer = optim.AdamW(model.parameters(), lr=1e-3)
scheduler = optim.lr_scheduler.OneCycleLR(
    optimizer, max_lr=0.02, total_steps=epochs * len(loader) // accumulation_steps
)
ema = AveragedModel(model, avg_fn=lambda old, new, count: 0.8 * old + 0.2 * new)
criterion = nn.HuberLoss()
for epoch in range(epochs):
    total = 0.0
    for i, (x, y) in enumerate(loader):
        loss = criterion(model(x), y) / accumulation_steps
        loss.backward()
        total += loss.item() * accumulation_steps
        if (i + 1) % accumulation_steps == 0:
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            ema.update_parameters(model)
    print(f"{epoch} {total / len(loader):.5f} {norm:.4f} {scheduler.get_last_lr()[0]:.6f}")
x = Sines(64).x
print(f"{(ema(x) - model(x)).abs().max().item():.5f}", f"{norms[-1]:.4f}", ema.n_averaged)
vector = torch.nn.utils.parameters_to_vector(model.parameters())
print(vector.shape, f"{vector.norm().item():.5f}", f"{(x * normal(64, 1)).sum().item():.4f}")
