# Transfer learning: a ready-made network, its last layer replaced, the rest frozen or trained more slowly.
import copy

import torch
import torch.nn as nn
import torch.optim as optim
from torch.optim import lr_scheduler
from torchvision import models

from reproducible import fill, integers, normal

model_ft = models.resnet18(weights=None)
fill(model_ft, 5)
for param in model_ft.parameters():
    param.requires_grad = False
num_ftrs = model_ft.fc.in_features
model_ft.fc = nn.Linear(num_ftrs, 2)
fill(model_ft.fc, 6)
print(
    num_ftrs,
    len(model_ft.state_dict()),
    sum(p.numel() for p in model_ft.parameters()),
    [n for n, p in model_ft.named_parameters() if p.requires_grad],
)
print(model_ft.layer2[0])
criterion = nn.CrossEntropyLoss()
optimizer = optim.SGD(model_ft.fc.parameters(), lr=0.01, momentum=0.9)
exp_lr_scheduler = lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.1)
frozen = copy.deepcopy(model_ft.layer1[0].conv1.weight)
inputs, labels = normal(8, 3, 32, 32, seed=1), integers(2, 8, seed=2)
for epoch in range(3):
    for phase in ["train", "val"]:
        model_ft.train(phase == "train")
        optimizer.zero_grad()
        with torch.set_grad_enabled(phase == "train"):
            outputs = model_ft(inputs)
            _, preds = torch.max(outputs, 1)
            loss = criterion(outputs, labels)
            if phase == "train":
                loss.backward()
                optimizer.step()
        if phase == "train":
            exp_lr_scheduler.step()
        print(f"{epoch} {phase} Loss: {loss.item():.4f} Acc: {torch.sum(preds == labels.data).double() / 8:.4f}")
print("frozen:", torch.equal(frozen, model_ft.layer1[0].conv1.weight), int(model_ft.bn1.num_batches_tracked))

for param in model_ft.layer4.parameters():
    param.requires_grad = True
groups = [{"params": model_ft.layer4.parameters(), "lr": 1e-4}, {"params": model_ft.fc.parameters()}]
optimizer = optim.AdamW(groups, lr=1e-3, weight_decay=0.01)
for _ in range(2):
    optimizer.zero_grad()
    loss = criterion(model_ft(inputs), labels)
    loss.backward()
    optimizer.step()
    print(f"{loss.item():.3f}")
body = nn.Sequential(*list(model_ft.children())[:-1]).eval()
with torch.no_grad():
    print(body(inputs).flatten(1).shape, [name for name, _ in model_ft.named_children()])
