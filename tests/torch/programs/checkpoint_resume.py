# Save in the middle of a training, load, go on: the same numbers as without the break.
import os
import tempfile

import torch
from torch import nn, optim

from reproducible import fill, integers, normal


class TheModelClass(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Tanh())
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.body(x))


def train(model, optimizer, scheduler, first, last):
    for epoch in range(first, last):
        x, y = normal(20, 6, seed=epoch), integers(3, 20, seed=epoch)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        scheduler.step(loss.detach())
    return loss


def new():
    model = fill(TheModelClass())
    optimizer = optim.Adam(model.parameters(), lr=0.02, weight_decay=1e-3)
    return model, optimizer, optim.lr_scheduler.ReduceLROnPlateau(optimizer, "min", patience=1, factor=0.5)


parts = new()
straight = train(*parts, 0, 10)
model, optimizer, scheduler = new()
loss = train(model, optimizer, scheduler, 0, 5)
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "model.pt")
    torch.save(
        {
            "epoch": 5,
            "model_state_dict": model.state_dict(),
            "optimizer_state_dict": optimizer.state_dict(),
            "scheduler_state_dict": scheduler.state_dict(),
            "loss": loss,
        },
        path,
    )
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
model, optimizer, scheduler = new()
model.load_state_dict(checkpoint["model_state_dict"])
optimizer.load_state_dict(checkpoint["optimizer_state_dict"])
scheduler.load_state_dict(checkpoint["scheduler_state_dict"])
resumed = train(model, optimizer, scheduler, checkpoint["epoch"], 10)
print("equal:", torch.equal(straight, resumed), f"{resumed.item():.6f}", f"{checkpoint['loss'].item():.6f}")
for param_tensor in model.state_dict():
    print(param_tensor, "\t", model.state_dict()[param_tensor].size())
print(sorted(optimizer.state_dict()["state"][0]), optimizer.param_groups[0]["lr"])
missing = model.load_state_dict({"head.bias": torch.zeros(3), "extra": torch.ones(1)}, strict=False)
print(len(missing.missing_keys), missing.unexpected_keys)
try:
    model.load_state_dict({"head.bias": torch.zeros(4)}, strict=False)
except RuntimeError as error:
    print("size mismatch" in str(error))
