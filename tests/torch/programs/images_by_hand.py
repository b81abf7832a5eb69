# Pictures without a library: patches by unfold and fold, Sobel, Gaussian and bilateral filters, warps, histograms, morphology, NMS.
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from reproducible import integers, normal, tell, uniform

img = uniform(2, 3, 12, 14, seed=1).requires_grad_()


def twice(name, fn, x=img):
    y = fn(x)
    outs = y if isinstance(y, tuple) else (y,)
    total = sum((o * torch.cos(torch.arange(o.numel(), dtype=o.dtype).view(o.shape))).sum() for o in outs if o.is_floating_point())
    (g,) = torch.autograd.grad(total, x, create_graph=True)
    gg = torch.autograd.grad(g.pow(2).sum(), x, allow_unused=True)[0] if g.requires_grad else None
    tell(name, *outs, g, None if gg is None or not gg.any() else gg)


sobel = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])
kernel = torch.stack([sobel, sobel.T])[:, None].repeat(3, 1, 1, 1)
twice("Sobel", lambda x: F.conv2d(F.pad(x, (1,) * 4, mode="replicate"), kernel, groups=3).view(2, 3, 2, 12, 14).square().sum(2).add(1e-6).sqrt())
t = torch.arange(5) - 2.0
gauss = torch.exp(-(t**2) / 2) / torch.exp(-(t**2) / 2).sum()
twice("blur", lambda x: F.conv2d(F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), gauss.view(1, 1, 1, 5).expand(3, -1, -1, -1), groups=3), gauss.view(1, 1, 5, 1).expand(3, 1, 5, 1), groups=3))


def bilateral(x, k=3, s=0.2):
    p = F.pad(x, (k // 2,) * 4, mode="circular").unfold(2, k, 1).unfold(3, k, 1)
    w = torch.exp(-((p - x[..., None, None]) ** 2) / (2 * s**2))
    return (w * p).sum((-1, -2)) / w.sum((-1, -2))


twice("bilateral", bilateral)
twice("median", lambda x: F.unfold(x, 3, padding=1).view(2, 3, 9, -1).median(dim=2)[0].view_as(x))
twice("patches", lambda x: x.unfold(2, 4, 4).unfold(3, 7, 7).permute(0, 2, 3, 1, 4, 5).contiguous().flatten(1, 2).flatten(2))
cols = F.unfold(img, kernel_size=(3, 2), dilation=2, padding=1, stride=2)
norm = F.fold(F.unfold(torch.ones_like(img), (3, 2), 2, 1, 2), img.shape[-2:], (3, 2), 2, 1, 2)
print(cols.shape, norm[0, 0, :3, :5])
twice("fold", lambda x: F.fold(F.unfold(x, (3, 2), 2, 1, 2), x.shape[-2:], (3, 2), 2, 1, 2))
twice("dilate", lambda x: F.max_pool2d(x, 3, stride=1, padding=1) - -F.max_pool2d(-x, (2, 3), 1, padding=(1, 1))[..., :12, :14])


def ssim(x, y, C1=0.01**2, C2=0.03**2):
    pool = nn.AvgPool2d(3, 1)
    mx, my = pool(x), pool(y)
    vx, vy, cov = pool(x**2) - mx**2, pool(y**2) - my**2, pool(x * y) - mx * my
    return torch.clamp((1 - (2 * mx * my + C1) * (2 * cov + C2) / ((mx**2 + my**2 + C1) * (vx + vy + C2))) / 2, 0, 1)


twice("SSIM", lambda x: ssim(x, x.detach().flip(-1)))
theta = torch.tensor([[[0.9, -0.3, 0.1], [0.2, 1.1, -0.2]]]).repeat(2, 1, 1).requires_grad_()
for mode in ("bilinear", "nearest", "bicubic"):
    for padding in ("zeros", "border", "reflection"):
        for corners in (True, False):
            grid = F.affine_grid(theta, [2, 3, 5, 6], align_corners=corners)
            out = F.grid_sample(img, grid, mode=mode, padding_mode=padding, align_corners=corners)
            g = torch.autograd.grad(out.square().sum(), (img, theta), allow_unused=True)
            tell(f"{mode} {padding} {corners}", out, *g)
volume = normal(1, 2, 3, 4, 5, seed=2).requires_grad_()
theta3 = torch.eye(3, 4)[None] * 0.8
tell("3D", F.grid_sample(volume, F.affine_grid(theta3, (1, 2, 4, 4, 4), align_corners=False), align_corners=False))
flow = 0.1 * normal(2, 2, 12, 14, seed=3)
base = torch.stack(torch.meshgrid(torch.linspace(-1, 1, 14), torch.linspace(-1, 1, 12), indexing="xy"), -1)
twice("warp", lambda x: F.grid_sample(x, base + flow.permute(0, 2, 3, 1), align_corners=True))
gray = (img * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1)
hist = torch.histc(gray.detach()[0], bins=8, min=0, max=1)
cdf = hist.cumsum(0)
equal = (cdf / cdf[-1])[(gray[0].detach() * 7.999).long()]
print(hist, torch.bincount((equal * 10).long().flatten(), minlength=11), torch.histogram(gray.detach()[0].flatten(), 4, range=(0.0, 1.0)).hist)
hsv_max, argmax = img.max(1)
hsv_min = img.min(1)[0]
delta = hsv_max - hsv_min
r, g, b = img.unbind(1)
hue = torch.stack([((g - b) / delta) % 6, (b - r) / delta + 2, (r - g) / delta + 4], -1).gather(-1, argmax[..., None])[..., 0] / 6
tell("HSV", hue, delta / hsv_max, hsv_max)
twice("jitter", lambda x: torch.clamp(((x * 1.3).clip(0, 1) - 0.5) * 1.2 + 0.5, 0.0, 1.0).pow(1 / 2.2))
kern = torch.zeros(3, 3, dtype=torch.bool)
kern[1] = kern[:, 1] = True
binary = gray.detach()[:1] > 0.5
neighbours = F.conv2d(binary[:, None].float(), kern[None, None].float(), padding=1).round().int()[0, 0]
print("erode", (neighbours == 5).sum().item(), "dilate", (neighbours > 0).sum().item())
labels = torch.where(binary[0], torch.arange(1, 12 * 14 + 1).view(12, 14).float(), torch.tensor(0.0))
for _ in range(40):
    labels = F.max_pool2d(labels[None, None], 3, 1, 1)[0, 0] * binary[0]
print("components", len(labels.unique()) - 1)
life = integers(2, 8, 8, seed=4)
for _ in range(3):
    n = sum(torch.roll(life, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)) - life
    life = ((n == 3) | ((life == 1) & (n == 2))).long()
print("life", life.sum().item())
# boxes
xy = uniform(12, 2, seed=5) * 8
boxes = torch.cat([xy, xy + 1 + 4 * uniform(12, 2, seed=6)], 1).requires_grad_()
scores = uniform(12, seed=7)


def iou(a, b):
    area = lambda x: (x[:, 2] - x[:, 0]) * (x[:, 3] - x[:, 1])
    lt, rb = torch.max(a[:, None, :2], b[:, :2]), torch.min(a[:, None, 2:], b[:, 2:])
    inter = (rb - lt).clamp(min=0).prod(2)
    union = area(a)[:, None] + area(b) - inter
    hull = (torch.max(a[:, None, 2:], b[:, 2:]) - torch.min(a[:, None, :2], b[:, :2])).prod(-1)
    return inter / union, inter / union - (hull - union) / hull


twice("IoU", lambda x: iou(x, x.detach().roll(1, 0)), boxes)
order, keep, table = scores.argsort(descending=True), [], iou(boxes, boxes)[0].detach()
while order.numel():
    i = order[0]
    keep.append(int(i))
    order = order[1:][table[i, order[1:]] <= 0.3]
print("NMS", keep)
cx = torch.cat([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], -1)
anchors = torch.cartesian_prod(torch.arange(2, 10, 4), torch.arange(2, 10, 4)).float().repeat_interleave(3, 0)
target = torch.hstack([(cx[:, :2] - anchors) / 4, torch.log(cx[:, 2:] / 4)])
tell("boxes", target, F.smooth_l1_loss(target, torch.zeros_like(target), beta=1 / 9), F.huber_loss(target, torch.zeros(12, 4), delta=0.5))
p = torch.sigmoid(normal(12, seed=8))
y = integers(2, 12, seed=9).float()
print(f"focal {(-(y * p.log() * (1 - p) ** 2 + (1 - y) * (1 - p).log() * p**2)).mean().item():.5f}")
pos = torch.linalg.vector_norm(anchors[:, None] - cx[None, :, :2], dim=-1).argmin(0)
print(pos, torch.zeros(12).index_add(0, pos, torch.ones(12)))
crops = torch.stack([F.adaptive_avg_pool2d(img[0, :, int(b[1]) : int(b[3]) + 1, int(b[0]) : int(b[2]) + 1], (2, 3)) for b in boxes.detach()])
tell("RoI", crops)
pooled, where = F.max_pool2d(img, 2, return_indices=True)
twice("unpool", lambda x: F.max_unpool2d(F.max_pool2d(x, 2), where, 2, output_size=x.shape[-2:]))
for mode in ("reflect", "replicate", "circular", "constant"):
    twice(mode, lambda x: F.pad(x, (2, 1, 0, 3), mode=mode))
twice("channel shuffle", lambda x: F.channel_shuffle(torch.cat([x, x * 2], 1), 3))
twice("lrn", lambda x: F.local_response_norm(x, 2))
twice("lp", lambda x: F.lp_pool2d(x, 3.0, (2, 3), stride=2, ceil_mode=True))
rot = torch.rot90(img, 1, (2, 3))
print(torch.equal(rot, img.transpose(2, 3).flip(2)), img.flip(-1).roll((1, -2), (2, 3)).shape)
dct = torch.cos(math.pi / 8 * (torch.arange(8) + 0.5)[None] * torch.arange(8)[:, None]) * math.sqrt(2 / 8)
dct[0] /= math.sqrt(2)
twice("DCT", lambda x: torch.einsum("ij,bcjk,lk->bcil", dct, x[..., :8, :8], dct))
print("orthogonal", torch.allclose(dct @ dct.T, torch.eye(8), atol=1e-6))
