# Segmentation: a U-Net with skip connections, dice and focal losses, IoU per class, thresholds.
import torch
import torch.nn as nn
import torch.nn.functional as F

from reproducible import fill, integers, normal


class DoubleConv(nn.Module):
    """(convolution => [BN] => ReLU) * 2"""

    def __init__(self, in_channels, out_channels, mid_channels=None):
        super().__init__()
        mid_channels = mid_channels or out_channels
        self.double_conv = nn.Sequential(
            nn.Conv2d(in_channels, mid_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(mid_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(mid_channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.InstanceNorm2d(out_channels, affine=True),
            nn.PReLU(),
        )

    def forward(self, x):
        return self.double_conv(x)


class Up(nn.Module):
    def __init__(self, in_channels, out_channels, bilinear):
        super().__init__()
        if bilinear:
            self.up = nn.Sequential(
                nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
                nn.Conv2d(in_channels, in_channels // 2, 1),
            )
        else:
            self.up = nn.ConvTranspose2d(in_channels, in_channels // 2, kernel_size=2, stride=2)
        self.conv = DoubleConv(in_channels, out_channels)

    def forward(self, x1, x2):
        x1 = self.up(x1)
        diffY, diffX = x2.size()[2] - x1.size()[2], x2.size()[3] - x1.size()[3]
        x1 = F.pad(x1, [diffX // 2, diffX - diffX // 2, diffY // 2, diffY - diffY // 2])
        return self.conv(torch.cat([x2, x1], dim=1))


class UNet(nn.Module):
    def __init__(self, n_channels, n_classes, bilinear=False):
        super(UNet, self).__init__()
        self.inc = DoubleConv(n_channels, 4)
        self.down1 = nn.Sequential(nn.MaxPool2d(2), DoubleConv(4, 8))
        self.down2 = nn.Sequential(nn.MaxPool2d(2), DoubleConv(8, 16))
        self.up1, self.up2 = Up(16, 8, bilinear), Up(8, 4, bilinear)
        self.outc = nn.Conv2d(4, n_classes, kernel_size=1)

    def forward(self, x):
        x1 = self.inc(x)
        x2 = self.down1(x1)
        x3 = self.down2(x2)
        return self.outc(self.up2(self.up1(x3, x2), x1))


def dice_loss(logits, target, eps=1e-6):
    one_hot = F.one_hot(target, logits.shape[1]).permute(0, 3, 1, 2).float()
    p = logits.softmax(1)
    inter = 2 * (p * one_hot).sum(dim=(-1, -2))
    return 1 - ((inter + eps) / (p.sum(dim=(-1, -2)) + one_hot.sum(dim=(-1, -2)) + eps)).mean()


def focal_loss(logits, target, alpha=0.25, gamma=2):
    ce = F.cross_entropy(logits, target, reduction="none")
    return (alpha * (1 - torch.exp(-ce)) ** gamma * ce).mean()


images = normal(2, 1, 21, 27, seed=1)
masks = (images[:, 0] > 0.3).long() + (images[:, 0] > 1.2).long()
masks[:, :2] = 255
for bilinear in (False, True):
    net = fill(UNet(1, 3, bilinear), 2)
    optimizer = torch.optim.RMSprop(net.parameters(), lr=1e-3, weight_decay=1e-8, momentum=0.9, foreach=True)
    for step in range(4):
        logits = net(images)
        valid = masks.masked_fill(masks == 255, 0)
        loss = F.cross_entropy(logits, masks, ignore_index=255, weight=torch.tensor([1.0, 2.0, 3.0]))
        loss = loss + dice_loss(logits, valid) + focal_loss(logits, valid)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        print(f"bilinear={bilinear} {step} {loss.item():.4f}")
labels, guesses = integers(3, 500, seed=6), integers(3, 500, seed=7)
hist = torch.bincount(3 * labels + guesses, minlength=9).reshape(3, 3)
iou = hist.diag() / (hist.sum(0) + hist.sum(1) - hist.diag())
print(hist.tolist(), iou)
print(f"{F.binary_cross_entropy_with_logits(logits[:, 0], (masks == 1).float(), pos_weight=torch.tensor(3.0)):.4f}")
