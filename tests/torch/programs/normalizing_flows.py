# Normalising flows: planar, RealNVP, MAF with masked layers, and torch.distributions' own transforms.
import math

import numpy as np
import torch
import torch.distributions as D
import torch.distributions.transforms as T
import torch.nn as nn
import torch.nn.functional as F
from torch.distributions import constraints

from reproducible import fill, normal, slopes, tell


class PlanarFlow(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, dim))
        self.scale = nn.Parameter(torch.empty(1, dim))
        self.bias = nn.Parameter(torch.empty(1))
        self.reset_parameters()

    def reset_parameters(self):
        self.weight.data.uniform_(-0.01, 0.01)
        self.scale.data.uniform_(-0.01, 0.01)
        self.bias.data.uniform_(-0.01, 0.01)

    def forward(self, z):
        activation = F.linear(z, self.weight, self.bias)
        psi = (1 - torch.tanh(activation) ** 2) * self.weight
        det = 1 + torch.mm(psi, self.scale.t())
        return z + self.scale * torch.tanh(activation), torch.log(det.abs() + 1e-7).squeeze(-1)


class Coupling(nn.Module):
    def __init__(self, dim, hidden, mask):
        super().__init__()
        self.register_buffer("mask", mask)
        self.s = nn.Sequential(nn.Linear(dim, hidden), nn.LeakyReLU(), nn.Linear(hidden, dim), nn.Tanh())
        self.t = nn.Sequential(nn.Linear(dim, hidden), nn.LeakyReLU(), nn.Linear(hidden, dim))

    def forward(self, x):
        x_ = x * self.mask
        s, t = self.s(x_) * (1 - self.mask), self.t(x_) * (1 - self.mask)
        return (x - t) * torch.exp(-s) * (1 - self.mask) + x_, -s.sum(1)

    def inverse(self, z):
        z_ = z * self.mask
        s, t = self.s(z_) * (1 - self.mask), self.t(z_) * (1 - self.mask)
        return z_ + (1 - self.mask) * (z * s.exp() + t)


class RealNVP(nn.Module):
    def __init__(self, dim=2, hidden=16, layers=4):
        super().__init__()
        masks = torch.from_numpy(np.array([[0, 1], [1, 0]] * (layers // 2)).astype(np.float32))
        self.mask = nn.Parameter(masks, requires_grad=False)
        self.layers = nn.ModuleList(Coupling(dim, hidden, m) for m in masks)
        self.prior = D.MultivariateNormal(torch.zeros(dim), torch.eye(dim))

    def log_prob(self, x):
        log_det = x.new_zeros(x.shape[0])
        for layer in reversed(self.layers):
            x, ld = layer(x)
            log_det += ld
        return self.prior.log_prob(x) + log_det, x

    def generate(self, z):
        for layer in self.layers:
            z = layer.inverse(z)
        return z


class MaskedLinear(nn.Linear):
    def __init__(self, n_in, n_out, mask):
        super().__init__(n_in, n_out)
        self.register_buffer("mask", mask)

    def forward(self, x):
        return F.linear(x, self.weight * self.mask, self.bias)


class MADE(nn.Module):
    def __init__(self, n, hidden):
        super().__init__()
        m0, m1 = torch.arange(n), torch.arange(hidden) % (n - 1)
        self.net = nn.Sequential(
            MaskedLinear(n, hidden, (m1[:, None] >= m0[None]).float()),
            nn.ReLU(),
            MaskedLinear(hidden, 2 * n, (m0[:, None] > m1[None]).float().repeat(2, 1)),
        )

    def forward(self, x):
        mu, alpha = self.net(x).chunk(2, dim=-1)
        return (x - mu) * torch.exp(-alpha), -alpha.sum(-1)


class Planar(T.Transform):
    domain, codomain, bijective = constraints.real_vector, constraints.real_vector, False

    def __init__(self, flow):
        super().__init__(cache_size=1)
        self.flow = flow

    def _call(self, x):
        self.last = self.flow(x)
        return self.last[0]

    def log_abs_det_jacobian(self, x, y):
        return self.flow(x)[1]


angle = torch.linspace(0, 2 * math.pi, 64)
data = torch.stack([angle.cos(), angle.sin()], 1) * 2 + 0.1 * normal(64, 2, seed=1)
flow = fill(RealNVP(), 2)
print([n for n, p in flow.named_parameters()][:3], sorted(flow.state_dict())[:2])
with torch.no_grad():
    flow.mask.copy_(torch.tensor([[0.0, 1], [1, 0]] * 2))
optimizer = torch.optim.Adam([p for p in flow.parameters() if p.requires_grad], lr=1e-2)
for step in range(6):
    loss = -flow.log_prob(data)[0].mean()
    optimizer.zero_grad(), loss.backward(), optimizer.step()
print(f"RealNVP {loss.item():.4f} slopes {slopes(flow):.3f}")
lp, z = flow.log_prob(data)
print("round trip", (flow.generate(z) - data).abs().max().item() < 1e-4)
J = torch.func.vmap(torch.func.jacrev(lambda v: flow.log_prob(v[None])[1][0]))(data[:4])
print("log det", torch.allclose(torch.linalg.slogdet(J).logabsdet + flow.prior.log_prob(z[:4]), lp[:4], atol=1e-4))
planar = nn.ModuleList([fill(PlanarFlow(2), i) for i in range(3)])
base = D.Independent(D.Normal(torch.zeros(2), torch.ones(2)), 1)
z0 = normal(32, 2, seed=3)
zk, total = z0, 0
for f in planar:
    zk, ld = f(zk)
    total = total + ld
kl = (base.log_prob(z0) - total + 0.5 * ((zk.norm(dim=1) - 2) / 0.4) ** 2).mean()
kl.backward()
print(f"planar {kl.item():.4f} {slopes(planar):.4f}")
dist = D.TransformedDistribution(base, [Planar(f) for f in planar])
print(dist.event_shape, dist.batch_shape, dist.rsample((3,)).shape)
made = fill(MADE(4, 9), 7)
x = normal(3, 4, seed=8).requires_grad_()
u, ld = made(x)
J = torch.autograd.functional.jacobian(lambda v: made(v)[0].sum(0), x)
print("autoregressive", bool((J.permute(1, 0, 2).triu(1) == 0).all()))
tell("MADE", u, ld)

loc, scale = torch.tensor([0.3, -0.2], requires_grad=True), torch.tensor([0.5, 1.5], requires_grad=True)
for name, transforms in {
    "log normal": [T.ExpTransform()],
    "logit normal": [T.AffineTransform(loc, scale), T.SigmoidTransform()],
    "tanh": [T.TanhTransform(cache_size=1)],
    "power": [T.ExpTransform(), T.PowerTransform(torch.tensor(0.7))],
    "softplus": [T.SoftplusTransform(), T.AffineTransform(0.0, -2.0)],
    "abs": [T.ComposeTransform([T.AffineTransform(1.0, 2.0), T.ExpTransform()]).inv.inv],
    "stacked": [T.StackTransform([T.ExpTransform(), T.SigmoidTransform()], dim=-1)],
    "cat": [T.CatTransform([T.ExpTransform(), T.AffineTransform(1.0, 3.0)], dim=-1, lengths=[1, 1])],
    "shaped": [T.ReshapeTransform((2,), (1, 2)), T.IndependentTransform(T.ExpTransform(), 2)],
    "triangle": [T.LowerCholeskyTransform()] if False else [T.CumulativeDistributionTransform(D.Normal(0.0, 2.0))],
}.items():
    d = D.TransformedDistribution(D.Normal(loc, scale), transforms)
    x = normal(3, 2, seed=5)
    y = x
    for t in transforms:
        y = t(y)
    if name in ("stacked", "cat"):
        tell(name, y, transforms[0].log_abs_det_jacobian(x, y))
        continue
    lp = d.log_prob(y.detach())
    grads = torch.autograd.grad(lp.sum(), (loc, scale), create_graph=True)
    tell(name, y, lp, *grads)
    print("   ", d.event_shape, d.batch_shape, d.support, [t.sign if t.bijective and t.domain.event_dim == 0 and not isinstance(t, (T.StackTransform, T.CatTransform)) else "-" for t in transforms])
    back = d.transforms[-1].inv(d.transforms[-1](x.sigmoid() + 0.1))
    print("   ", torch.allclose(back, x.sigmoid() + 0.1, atol=1e-4))
print(T.ComposeTransform([T.ExpTransform(), T.AffineTransform(0.0, 2.0)]), T.TanhTransform() == T.TanhTransform(), T.AffineTransform(0.0, 1.0) == T.AffineTransform(0.0, 2.0))
print(D.transform_to(constraints.positive)(torch.tensor(-1.0)), D.biject_to(constraints.interval(-1.0, 3.0))(torch.tensor(0.2)), D.transform_to(constraints.simplex)(torch.tensor([0.1, 0.2])))
tell("corr", T.CorrCholeskyTransform()(torch.tensor([0.1, -0.4, 0.6])), D.transform_to(constraints.lower_cholesky)(normal(3, 3, seed=1)), D.transform_to(constraints.positive_definite)(normal(3, 3, seed=1)))
