# A small convolutional network on images of ten classes: the loop of a first course.
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.utils.data import Dataset, DataLoader

from reproducible import fill, integers, normal


class Images(Dataset):
    classes = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

    def __init__(self, count, seed):
        self.labels = integers(10, count, seed=seed)
        patterns = normal(10, 3, 32, 32, seed=5)
        self.images = patterns[self.labels] + 0.5 * normal(count, 3, 32, 32, seed=seed + 1)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.images[index], self.labels[index]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
trainloader = DataLoader(Images(160, 0), batch_size=8, shuffle=False, num_workers=0)
testloader = DataLoader(Images(80, 10), batch_size=8)
net = fill(Net()).to(device)
print(net)

criterion = nn.CrossEntropyLoss()
optimizer = optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
for epoch in range(3):
    running_loss = 0.0
    for i, data in enumerate(trainloader, 0):
        inputs, labels = data[0].to(device), data[1].to(device)
        optimizer.zero_grad()
        outputs = net(inputs)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()
        if i % 10 == 9:
            print(f"[{epoch + 1}, {i + 1:5d}] loss: {running_loss / 10:.4f}")
            running_loss = 0.0

correct_pred = {classname: 0 for classname in Images.classes}
total_pred = {classname: 0 for classname in Images.classes}
with torch.no_grad():
    for images, labels in testloader:
        _, predictions = torch.max(net(images.to(device)), 1)
        for label, prediction in zip(labels, predictions):
            if label == prediction:
                correct_pred[Images.classes[label]] += 1
            total_pred[Images.classes[label]] += 1
for classname, correct_count in correct_pred.items():
    print(f"Accuracy for class {classname:5s}: {100 * float(correct_count) / total_pred[classname]:.1f} %")
