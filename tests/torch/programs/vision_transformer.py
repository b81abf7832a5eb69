# A vision transformer written out: patches, class token, attention by hand and fused, stochastic depth, warm-up.
from collections import OrderedDict
from functools import partial

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn import init
from torch.nn.parameter import Parameter

from reproducible import fill, normal


class Attention(nn.Module):
    def __init__(self, dim, num_heads=4, qkv_bias=False):
        super().__init__()
        self.num_heads = num_heads
        self.scale = (dim // num_heads) ** -0.5
        self.qkv = nn.Linear(dim, dim * 3, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x):
        B, N, C = x.shape
        qkv = self.qkv(x).reshape(B, N, 3, self.num_heads, C // self.num_heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        attn = ((q @ k.transpose(-2, -1)) * self.scale).softmax(dim=-1)
        x = (attn @ v).transpose(1, 2).contiguous().view(B, N, C)
        fused = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        assert torch.allclose(x, fused, atol=1e-5)
        return self.proj(x)


class DropPath(nn.Module):
    def __init__(self, drop_prob=0.0):
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x):
        if self.drop_prob == 0.0 or not self.training:
            return x
        keep = 1 - self.drop_prob
        mask = keep + torch.rand((x.shape[0],) + (1,) * (x.ndim - 1), dtype=x.dtype, device=x.device)
        return x.div(keep) * mask.floor_()

    def extra_repr(self):
        return f"drop_prob={self.drop_prob:.2f}"


class Layer(nn.Module):
    def __init__(self, dim, drop_path, norm_layer):
        super().__init__()
        self.norm1, self.attn, self.norm2 = norm_layer(dim), Attention(dim), norm_layer(dim)
        self.mlp = nn.Sequential(
            OrderedDict(fc1=nn.Linear(dim, 2 * dim), act=nn.GELU(approximate="tanh"), fc2=nn.Linear(2 * dim, dim))
        )
        self.drop_path = DropPath(drop_path)
        self.gamma = Parameter(0.5 * torch.ones(dim))

    def forward(self, x):
        x = x + self.drop_path(self.gamma * self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class ViT(nn.Module):
    def __init__(self, dim=32, depth=2, classes=5):
        super().__init__()
        norm_layer = partial(nn.LayerNorm, eps=1e-6)
        self.patch_embed = nn.Conv2d(3, dim, kernel_size=4, stride=4)
        self.cls_token = Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.empty(1, 17, dim))
        init.trunc_normal_(self.pos_embed, std=0.02)
        rates = [x.item() for x in torch.linspace(0, 0.0, depth)]
        self.blocks = nn.ModuleList([Layer(dim, rate, norm_layer) for rate in rates])
        self.norm = norm_layer(dim)
        self.head = nn.Linear(dim, classes) if classes > 0 else nn.Identity()
        self.apply(self._init_weights)

    def _init_weights(self, m):
        if isinstance(m, nn.Linear):
            nn.init.trunc_normal_(m.weight, std=0.02)
            if isinstance(m, nn.Linear) and m.bias is not None:
                nn.init.constant_(m.bias, 0)
        elif isinstance(m, nn.LayerNorm):
            nn.init.constant_(m.weight, 1.0)

    @torch.jit.ignore
    def no_weight_decay(self):
        return {"pos_embed", "cls_token"}

    def forward(self, x):
        x = self.patch_embed(x).flatten(2).transpose(1, 2)
        x = torch.cat((self.cls_token.expand(x.shape[0], -1, -1), x), dim=1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


model = ViT()
print(model)
print(model.head.bias.abs().sum().item(), bool(model.pos_embed.abs().max() < 0.2))
fill(model, 3)
skip = model.no_weight_decay()
decay = [p for n, p in model.named_parameters() if p.ndim > 1 and n not in skip]
rest = [p for n, p in model.named_parameters() if p.ndim <= 1 or n in skip]
optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}], 2e-3)
warm_up = torch.optim.lr_scheduler.SequentialLR(
    optimizer,
    [
        torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=3),
        torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5),
    ],
    milestones=[3],
)
x, y = normal(8, 3, 16, 16, seed=2), torch.arange(8) % 5
soft = F.one_hot(y, 5).float() * 0.9 + 0.02
for step in range(8):
    loss = F.cross_entropy(model(x), soft)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    warm_up.step()
    print(step, f"{loss.item():.5f} {optimizer.param_groups[0]['lr']:.6f}")
print(len(decay), len(rest), sum(p.numel() for p in model.parameters()), next(model.parameters()).device)
bigger = F.interpolate(
    model.pos_embed[:, 1:].reshape(1, 4, 4, 32).permute(0, 3, 1, 2), size=(6, 6), mode="bicubic", align_corners=False
)
print(bigger.shape, f"{bigger.sum().item():.3f}")
model.train()
model.blocks[1].drop_path.drop_prob = 0.5
print(model(x).shape, model.blocks[1].drop_path)
