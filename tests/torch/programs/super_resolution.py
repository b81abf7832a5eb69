# Sub-pixel super resolution: orthogonal weights with a gain, PixelShuffle and its inverse, PSNR, upsampling against it.
from math import log10

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.nn.init as init
from torch import optim
from torch.utils.data import DataLoader, Dataset

from reproducible import fill, normal, slopes, tell, uniform


class Net(nn.Module):
    def __init__(self, upscale_factor):
        super(Net, self).__init__()
        self.relu = nn.ReLU()
        self.conv1 = nn.Conv2d(1, 8, (5, 5), (1, 1), (2, 2))
        self.conv2 = nn.Conv2d(8, 8, (3, 3), (1, 1), (1, 1))
        self.conv3 = nn.Conv2d(8, upscale_factor**2, (3, 3), (1, 1), (1, 1))
        self.pixel_shuffle = nn.PixelShuffle(upscale_factor)
        self._initialize_weights()

    def forward(self, x):
        x = self.relu(self.conv1(x))
        x = self.relu(self.conv2(x))
        return self.pixel_shuffle(self.conv3(x))

    def _initialize_weights(self):
        init.orthogonal_(self.conv1.weight, init.calculate_gain("relu"))
        init.orthogonal_(self.conv2.weight, init.calculate_gain("relu"))
        init.orthogonal_(self.conv3.weight)


class Pairs(Dataset):
    def __init__(self, n, factor, transform=None):
        y, x = torch.meshgrid(torch.linspace(0, 6, 24), torch.linspace(0, 5, 24), indexing="ij")
        self.images = torch.stack([torch.sin(x * (1 + i / 3)) * torch.cos(y + i) * 0.5 + 0.5 for i in range(n)])[:, None]
        self.factor, self.transform = factor, transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        target = self.images[index]
        small = F.interpolate(target[None], scale_factor=1 / self.factor, mode="bicubic", antialias=True)[0]
        return (self.transform(small) if self.transform else small), target


net = Net(3)
w = net.conv1.weight.detach().flatten(1)
print("orthogonal rows", torch.allclose(w @ w.T, 2 * torch.eye(8), atol=1e-5))
fill(net, 5)
loader = DataLoader(Pairs(8, 3, lambda t: t.clamp(0, 1)), batch_size=4, shuffle=False)
criterion = nn.MSELoss()
optimizer = optim.Adam(net.parameters(), lr=0.01)
for epoch in range(1, 4):
    epoch_loss = 0
    for iteration, batch in enumerate(loader, 1):
        input, target = batch[0], batch[1]
        optimizer.zero_grad()
        loss = criterion(net(input), target)
        epoch_loss += loss.item()
        loss.backward()
        optimizer.step()
    print("===> Epoch {} Complete: Avg. Loss: {:.4f}".format(epoch, epoch_loss / len(loader)))
print(f"slopes {slopes(net):.4f}")
avg_psnr = 0
with torch.no_grad():
    for small, target in loader:
        mse = criterion(net(small), target)
        avg_psnr += 10 * log10(1 / mse.item())
        tell("small", small)
        for mode in ("nearest", "bilinear", "bicubic", "area", "nearest-exact"):
            corners = {} if mode in ("nearest", "area", "nearest-exact") else {"align_corners": False}
            up = F.interpolate(small, size=target.shape[-2:], mode=mode, **corners)
            print(mode, f"{10 * log10(1 / criterion(up, target).item()):.3f} dB")
print("===> Avg. PSNR: {:.4f} dB".format(avg_psnr / len(loader)))
x = normal(2, 8, 3, 3, seed=4).requires_grad_()
up = F.pixel_shuffle(x, 2)
print(torch.equal(F.pixel_unshuffle(up, 2), x), up.shape, nn.PixelUnshuffle(2)(up).shape)
(g,) = torch.autograd.grad((up**3).sum(), x, create_graph=True)
(gg,) = torch.autograd.grad(g.pow(2).sum(), x)
tell("slopes", g, gg)
for bad in (lambda: F.pixel_shuffle(x, 3), lambda: F.pixel_unshuffle(x, 2), lambda: F.interpolate(x, size=4, scale_factor=2), lambda: F.interpolate(x, size=(4, 4), mode="nearest", align_corners=True)):
    try:
        bad()
        print("accepted")
    except (RuntimeError, ValueError) as e:
        print(type(e).__mro__[-4].__name__ if False else "refused", isinstance(e, ValueError))
for mode in ("bilinear", "bicubic"):
    for factor in ((0.5, 0.75), 1.7):
        y = F.interpolate(uniform(1, 2, 9, 11, seed=2).requires_grad_(), scale_factor=factor, mode=mode, antialias=True, align_corners=False)
        tell(f"{mode} {factor}", y)
