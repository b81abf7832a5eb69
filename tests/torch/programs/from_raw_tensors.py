# One classifier five times: from raw tensors to Module, Dataset and DataLoader.
import math

import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

from reproducible import fill, integers, normal

y_train = integers(10, 256)
x_train = normal(10, 64, seed=3)[y_train] + 0.7 * normal(256, 64, seed=1)
x_valid, y_valid = x_train[200:], y_train[200:]
n, c = x_train.shape
print(x_train.shape, y_train.min(), y_train.max())

weights = normal(64, 10, seed=2) / math.sqrt(64)
weights.requires_grad_()
bias = torch.zeros(10, requires_grad=True)


def log_softmax(x):
    return x - x.exp().sum(-1).log().unsqueeze(-1)


def model(xb):
    return log_softmax(xb @ weights + bias)


def nll(input, target):
    return -input[range(target.shape[0]), target].mean()


def accuracy(out, yb):
    preds = torch.argmax(out, dim=1)
    return (preds == yb).float().mean()


bs, lr = 32, 0.1
for i in range((n - 1) // bs + 1):
    xb = x_train[i * bs : i * bs + bs]
    yb = y_train[i * bs : i * bs + bs]
    loss = nll(model(xb), yb)
    loss.backward()
    with torch.no_grad():
        weights -= weights.grad * lr
        bias -= bias.grad * lr
        weights.grad.zero_()
        bias.grad.zero_()
print("raw", loss.item(), accuracy(model(xb), yb).item())
print("functional", F.cross_entropy(xb @ weights + bias, yb).item())


class Logistic(nn.Module):
    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(64, 10))
        self.bias = nn.Parameter(torch.zeros(10))

    def forward(self, xb):
        return xb @ self.weights + self.bias


net = fill(Logistic())
for epoch in range(2):
    for i in range((n - 1) // bs + 1):
        xb, yb = x_train[i * bs : (i + 1) * bs], y_train[i * bs : (i + 1) * bs]
        F.cross_entropy(net(xb), yb).backward()
        with torch.no_grad():
            for p in net.parameters():
                p -= p.grad * lr
            net.zero_grad()
print("module", F.cross_entropy(net(xb), yb).item())


class Lambda(nn.Module):
    def __init__(self, func):
        super().__init__()
        self.func = func

    def forward(self, x):
        return self.func(x)


def get_data(train_ds, valid_ds, bs):
    return DataLoader(train_ds, batch_size=bs), DataLoader(valid_ds, batch_size=bs * 2)


def loss_batch(model, loss_func, xb, yb, opt=None):
    loss = loss_func(model(xb), yb)
    if opt is not None:
        loss.backward()
        opt.step()
        opt.zero_grad()
    return loss.item(), len(xb)


def fit(epochs, model, loss_func, opt, train_dl, valid_dl):
    for epoch in range(epochs):
        model.train()
        for xb, yb in train_dl:
            loss_batch(model, loss_func, xb, yb, opt)
        model.eval()
        with torch.no_grad():
            losses, nums = zip(*[loss_batch(model, loss_func, xb, yb) for xb, yb in valid_dl])
        print(epoch, sum(a * b for a, b in zip(losses, nums)) / sum(nums))


cnn = fill(
    nn.Sequential(
        Lambda(lambda x: x.view(-1, 1, 8, 8)),
        nn.Conv2d(1, 8, kernel_size=3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 10, kernel_size=3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        Lambda(lambda x: x.view(x.size(0), -1)),
    )
)
train_dl, valid_dl = get_data(TensorDataset(x_train, y_train), TensorDataset(x_valid, y_valid), bs)
fit(3, cnn, F.cross_entropy, optim.SGD(cnn.parameters(), lr=lr, momentum=0.9), train_dl, valid_dl)
