# Pictures in folders, one folder a class: torchvision's dataset, its transforms, and a small network.
import os
import tempfile

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision
from PIL import Image
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms

from reproducible import fill

CLASSES = ("circle", "cross", "stripes")


def draw(kind, seed):
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:40, :48]
    cy, cx, size = random.integers(14, 26), random.integers(16, 32), random.integers(8, 13)
    if kind == "circle":
        mask = (y - cy) ** 2 + (x - cx) ** 2 < size**2
    elif kind == "cross":
        mask = (abs(y - cy) < 3) | (abs(x - cx) < 3)
    else:
        mask = (x + cy) // 5 % 2 == 0
    colour = random.integers(120, 255, 3)
    picture = random.integers(0, 60, (40, 48, 3))
    picture[mask] = colour
    return Image.fromarray(picture.astype(np.uint8))


class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 5)
        self.bn = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 16, kernel_size=3, padding="same")
        self.pool = nn.AdaptiveAvgPool2d((2, 2))
        self.fc = nn.Linear(64, num_classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn(self.conv1(x))), 2)
        x = self.pool(F.leaky_relu(self.conv2(x)))
        return F.log_softmax(self.fc(torch.flatten(x, 1)), dim=1)


def main():
    with tempfile.TemporaryDirectory() as root:
        for number, kind in enumerate(CLASSES):
            os.makedirs(os.path.join(root, kind))
            for i in range(12):
                draw(kind, 100 * number + i).save(os.path.join(root, kind, f"{i:02d}.png"))
        transform = transforms.Compose(
            [
                transforms.Resize(28),
                transforms.CenterCrop(24),
                transforms.ToTensor(),
                transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            ]
        )
        print(transform)
        data = datasets.ImageFolder(root, transform=transform)
        print(len(data), data.classes, data.class_to_idx, [os.path.basename(p) for p, _ in data.samples[:2]])
        test = list(range(0, len(data), 4))
        train_set = Subset(data, [i for i in range(len(data)) if i not in test])
        test_loader = DataLoader(Subset(data, test), batch_size=5)
        model = fill(Net(len(data.classes)), 3)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True)
        scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[2, 4], gamma=0.1)
        for epoch in range(4):
            model.train()
            order = np.random.default_rng(epoch).permutation(len(train_set)).tolist()
            running = 0.0
            for images, labels in DataLoader(train_set, batch_size=9, sampler=order):
                optimizer.zero_grad(set_to_none=True)
                loss = F.nll_loss(model(images), labels)
                loss.backward()
                optimizer.step()
                running += loss.item() * images.size(0)
            scheduler.step()
            model.eval()
            correct = 0
            with torch.no_grad():
                for images, labels in test_loader:
                    prediction = model(images).argmax(dim=1, keepdim=True)
                    correct += prediction.eq(labels.view_as(prediction)).sum().item()
            print(
                f"epoch {epoch} loss {running / len(train_set):.4f} correct {correct}/{len(test)} "
                f"lr {scheduler.get_last_lr()[0]:.5f}"
            )
        images, _ = next(iter(test_loader))
        grid = torchvision.utils.make_grid(images, nrow=3, normalize=True)
        print(grid.shape, f"{grid.mean().item():.5f}")
        back = transforms.ToPILImage()(grid)
        print(back.size, back.mode)


if __name__ == "__main__":
    main()
