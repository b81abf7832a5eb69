# Denoising diffusion: a noise schedule, a small U-Net told the time by sines, the sampling loop, averaged weights.
import copy
import math

import torch
import torch.nn.functional as F
from torch import nn

from reproducible import fill, integers, normal


def cosine_beta_schedule(timesteps, s=0.008):
    x = torch.linspace(0, timesteps, timesteps + 1)
    alphas_cumprod = torch.cos(((x / timesteps) + s) / (1 + s) * torch.pi * 0.5) ** 2
    alphas_cumprod = alphas_cumprod / alphas_cumprod[0]
    return torch.clip(1 - (alphas_cumprod[1:] / alphas_cumprod[:-1]), 0.0001, 0.9999)


def extract(a, t, x_shape):
    out = a.gather(-1, t.cpu())
    return out.reshape(t.shape[0], *((1,) * (len(x_shape) - 1))).to(t.device)


class SinusoidalPositionEmbeddings(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, time):
        half = self.dim // 2
        embeddings = torch.exp(torch.arange(half, device=time.device) * -(math.log(10000) / (half - 1)))
        embeddings = time[:, None] * embeddings[None, :]
        return torch.cat((embeddings.sin(), embeddings.cos()), dim=-1)


class Block(nn.Module):
    def __init__(self, dim, dim_out, time_dim):
        super().__init__()
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(time_dim, dim_out * 2))
        self.proj = nn.Conv2d(dim, dim_out, 3, padding=1)
        self.norm = nn.GroupNorm(2, dim_out)
        self.res = nn.Conv2d(dim, dim_out, 1) if dim != dim_out else nn.Identity()

    def forward(self, x, time):
        scale, shift = self.mlp(time)[..., None, None].chunk(2, dim=1)
        return F.silu(self.norm(self.proj(x)) * (scale + 1) + shift) + self.res(x)


class Unet(nn.Module):
    def __init__(self, dim=8):
        super().__init__()
        self.time = nn.Sequential(SinusoidalPositionEmbeddings(dim), nn.Linear(dim, 16), nn.GELU(), nn.Linear(16, 16))
        self.down = nn.ModuleList([Block(1, dim, 16), Block(dim, dim * 2, 16)])
        self.pool = nn.Conv2d(dim, dim, 4, 2, 1)
        self.up = nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(dim * 2, dim, 3, padding=1))
        self.last = Block(dim * 2, dim, 16)
        self.out = nn.Conv2d(dim, 1, 1)

    def forward(self, x, t):
        t = self.time(t)
        a = self.down[0](x, t)
        b = self.up(self.down[1](self.pool(a), t))
        return self.out(self.last(torch.cat((a, b), dim=1), t))


timesteps = 20
betas = cosine_beta_schedule(timesteps)
alphas = 1.0 - betas
alphas_cumprod = torch.cumprod(alphas, axis=0)
alphas_cumprod_prev = F.pad(alphas_cumprod[:-1], (1, 0), value=1.0)
sqrt_recip_alphas = torch.sqrt(1.0 / alphas)
posterior_variance = betas * (1.0 - alphas_cumprod_prev) / (1.0 - alphas_cumprod)
print([f"{v:.4f}" for v in betas[::5].tolist()], f"{posterior_variance.sum().item():.5f}")
model = fill(Unet(), 4)
ema = copy.deepcopy(model).eval().requires_grad_(False)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
for step in range(12):
    clean = torch.tanh(normal(8, 1, 8, 8, seed=step).cumsum(-1) / 3)
    noise, t = normal(8, 1, 8, 8, seed=100 + step), integers(timesteps, 8, seed=step)
    noisy = extract(alphas_cumprod.sqrt(), t, clean.shape) * clean
    noisy = noisy + extract((1 - alphas_cumprod).sqrt(), t, clean.shape) * noise
    loss = F.smooth_l1_loss(noise, model(noisy, t))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        for mine, theirs in zip(ema.parameters(), model.parameters()):
            mine.lerp_(theirs, 0.1)
    if step % 3 == 2:
        print(step, f"Loss: {loss.item():.4f}")


@torch.no_grad()
def sample(image):
    for i in reversed(range(timesteps)):
        t = torch.full((image.shape[0],), i, device=image.device, dtype=torch.long)
        denoised = extract(betas, t, image.shape) * ema(image, t) / extract((1 - alphas_cumprod).sqrt(), t, image.shape)
        image = extract(sqrt_recip_alphas, t, image.shape) * (image - denoised)
        if i > 0:
            image = image + extract(posterior_variance, t, image.shape).sqrt() * normal(*image.shape, seed=500 + i)
        image.clamp_(-3, 3)
    return image


pictures = sample(normal(2, 1, 8, 8, seed=77))
print(pictures.shape, f"{pictures.mean().item():.4f} {pictures.std().item():.4f}")
