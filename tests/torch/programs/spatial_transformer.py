# A network that learns where to look: affine_grid and grid_sample before a small classifier.
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim

from reproducible import fill, integers, normal


class Net(nn.Module):
    def __init__(self):
        super(Net, self).__init__()
        self.conv1 = nn.Conv2d(1, 6, kernel_size=3)
        self.conv2_drop = nn.Dropout2d(p=0.0)
        self.fc1 = nn.Linear(6 * 6 * 6, 10)
        self.localization = nn.Sequential(
            nn.Conv2d(1, 4, kernel_size=3),
            nn.MaxPool2d(2, stride=2),
            nn.ReLU(True),
            nn.Conv2d(4, 4, kernel_size=3),
            nn.ReLU(True),
        )
        self.fc_loc = nn.Sequential(nn.Linear(4 * 4 * 4, 16), nn.ReLU(True), nn.Linear(16, 3 * 2))
        fill(self, 4)
        self.fc_loc[2].weight.data.zero_()
        self.fc_loc[2].bias.data.copy_(torch.tensor([0.93, 0.11, 0.07, -0.09, 1.04, 0.03], dtype=torch.float))

    def stn(self, x):
        xs = self.localization(x)
        xs = xs.view(-1, 4 * 4 * 4)
        theta = self.fc_loc(xs).view(-1, 2, 3)
        grid = F.affine_grid(theta, x.size(), align_corners=False)
        return F.grid_sample(x, grid, align_corners=False), theta

    def forward(self, x):
        x, theta = self.stn(x)
        x = F.relu(F.max_pool2d(self.conv2_drop(self.conv1(x)), 2))
        x = x.view(-1, 6 * 6 * 6)
        return F.log_softmax(self.fc1(x), dim=1), theta


labels = integers(10, 64)
images = F.interpolate(normal(10, 1, 5, 5, seed=2), size=(14, 14), mode="bilinear", align_corners=True)[labels]
images = images + 0.1 * normal(64, 1, 14, 14, seed=3)
model = Net()
optimizer = optim.SGD(model.parameters(), lr=0.02)
for epoch in range(1, 5):
    model.train()
    for data, target in zip(images.split(16), labels.split(16)):
        optimizer.zero_grad()
        output, theta = model(data)
        loss = F.nll_loss(output, target)
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        model.eval()
        output, theta = model(images)
        pred = output.max(1, keepdim=True)[1]
        print(
            epoch,
            f"{F.nll_loss(output, labels, reduction='sum').item() / 64:.4f}",
            pred.eq(labels.view_as(pred)).sum().item(),
        )
print(theta.mean(0))
