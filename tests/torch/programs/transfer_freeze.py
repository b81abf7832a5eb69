# A trained body with a new head: freeze, replace, schedule, keep the best weights.
import copy

import torch
import torch.nn as nn
import torch.optim as optim
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, Subset, TensorDataset

from reproducible import fill, integers, normal


class BasicBlock(nn.Module):
    def __init__(self, planes):
        super().__init__()
        self.conv1 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(self.bn1(self.conv1(x)) + x)


class SmallResNet(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.layer1 = nn.Sequential(BasicBlock(8), BasicBlock(8))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(8, num_classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(m, (nn.BatchNorm2d, nn.GroupNorm)):
                nn.init.constant_(m.weight, 1)
                nn.init.constant_(m.bias, 0)

    def forward(self, x):
        x = self.layer1(self.conv1(x))
        return self.fc(torch.flatten(self.avgpool(x), 1))


labels = integers(2, 80)
images = normal(80, 3, 12, 12, seed=1) + labels.view(-1, 1, 1, 1) * torch.tensor([0.5, -0.3, 0.2]).view(1, 3, 1, 1)
whole = TensorDataset(images, labels)
image_datasets = {"train": Subset(whole, range(60)), "val": Subset(whole, range(60, 80))}
dataloaders = {x: DataLoader(image_datasets[x], batch_size=10, shuffle=False) for x in ["train", "val"]}
dataset_sizes = {x: len(image_datasets[x]) for x in ["train", "val"]}


def train_model(model, criterion, optimizer, scheduler, num_epochs):
    best_model_wts, best_acc = copy.deepcopy(model.state_dict()), -1.0
    for epoch in range(num_epochs):
        for phase in ["train", "val"]:
            model.train() if phase == "train" else model.eval()
            running_loss, running_corrects = 0.0, 0
            for inputs, labels in dataloaders[phase]:
                optimizer.zero_grad()
                with torch.set_grad_enabled(phase == "train"):
                    outputs = model(inputs)
                    _, preds = torch.max(outputs, 1)
                    loss = criterion(outputs, labels)
                    if phase == "train":
                        loss.backward()
                        optimizer.step()
                running_loss += loss.item() * inputs.size(0)
                running_corrects += torch.sum(preds == labels.data)
            if phase == "train":
                scheduler.step()
            epoch_acc = running_corrects.double() / dataset_sizes[phase]
            print(f"{epoch} {phase} Loss: {running_loss / dataset_sizes[phase]:.4f} Acc: {epoch_acc:.4f}")
            if phase == "val" and epoch_acc > best_acc:
                best_acc, best_model_wts = epoch_acc, copy.deepcopy(model.state_dict())
    model.load_state_dict(best_model_wts)
    return model


model = fill(SmallResNet(10))
for param in model.parameters():
    param.requires_grad = False
num_ftrs = model.fc.in_features
model.fc = fill(nn.Linear(num_ftrs, 2), 3)
print([name for name, p in model.named_parameters() if p.requires_grad])
optimizer = optim.SGD(filter(lambda p: p.requires_grad, model.parameters()), lr=0.1, momentum=0.9)
scheduler = lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
model = train_model(model, nn.CrossEntropyLoss(), optimizer, scheduler, 4)
print(scheduler.get_last_lr(), model.layer1[0].bn1.running_var.mean().item())
for param in model.parameters():
    param.requires_grad_(True)
optimizer = optim.RMSprop(
    [{"params": model.fc.parameters(), "lr": 0.01}, {"params": model.layer1.parameters()}], lr=1e-3
)
train_model(model, nn.CrossEntropyLoss(), optimizer, lr_scheduler.CosineAnnealingLR(optimizer, T_max=3), 2)
