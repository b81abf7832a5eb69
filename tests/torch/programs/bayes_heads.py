# Uncertainty: Bayes by backprop, MC dropout, mixture densities, quantiles, evidential and heteroscedastic heads, Laplace, SWAG.
import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import distributions as td
from torch.func import functional_call, jacrev, vmap
from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn, update_bn

from reproducible import fill, integers, normal, slopes, tell, uniform

x = torch.linspace(-2, 2, 24).unsqueeze(-1)
y = x.sin() + 0.3 * x * normal(24, 1, seed=1)


class BayesLinear(nn.Module):
    def __init__(self, i, o, seed):
        super().__init__()
        self.mu, self.rho = nn.Parameter(normal(o, i, seed=seed) / i**0.5), nn.Parameter(torch.full((o, i), -3.0))
        self.prior = td.MixtureSameFamily(td.Categorical(torch.tensor([0.75, 0.25])), td.Normal(torch.zeros(2), torch.tensor([1.0, 0.1])))

    def forward(self, x, eps):
        sigma = torch.log1p(torch.exp(self.rho))
        w = self.mu + sigma * eps
        self.kl = (td.Normal(self.mu, sigma).log_prob(w) - self.prior.log_prob(w)).sum()
        return F.linear(x, w)


layer = BayesLinear(1, 3, 2)
for s in range(2):
    out = layer(x, normal(3, 1, seed=10 + s))
    loss = (out.sum(1, keepdim=True) - y).square().sum() + 0.1 * layer.kl
    loss.backward()
tell("Bayes by backprop", loss, layer.mu.grad, layer.rho.grad)


class MDN(nn.Module):
    def __init__(self, k):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 3 * k))

    def forward(self, x):
        logits, mu, s = self.body(x).chunk(3, -1)
        return td.MixtureSameFamily(td.Categorical(logits=logits), td.Normal(mu, F.softplus(s) + 1e-3))


mdn = fill(MDN(3), 3)
optimizer = torch.optim.NAdam(mdn.parameters(), lr=0.02)
for _ in range(5):
    d = mdn(x)
    loss = -d.log_prob(y.squeeze(-1)).mean()
    optimizer.zero_grad(), loss.backward(), optimizer.step()
tell("MDN", loss, d.mean, d.variance, d.stddev, d.cdf(y.squeeze(-1)))
print(d.sample((2,)).shape, d.batch_shape, d.support)
heads = fill(nn.Linear(1, 3), 4)
q = torch.tensor([0.1, 0.5, 0.9])
e = y - heads(x)
loss = torch.max((q - 1) * e, q * e).sum(dim=1).mean()
loss.backward()
print(f"pinball {loss.item():.5f} {slopes(heads):.5f}")
mean, var = heads(x)[:, :1], F.softplus(heads(x)[:, 1:2])
tell("gaussian nll", F.gaussian_nll_loss(mean, y, var), nn.GaussianNLLLoss(full=True, reduction="none")(mean, y, var), F.poisson_nll_loss(mean, y.abs(), full=True))
raw = (uniform(24, 4, seed=5) * 3).requires_grad_()
gamma, v, alpha, beta = raw[:, 0], raw[:, 1] + 0.1, raw[:, 2] + 1.1, raw[:, 3] + 0.1
two = 2 * beta * (1 + v)
nll = 0.5 * torch.log(math.pi / v) - alpha * torch.log(two) + (alpha + 0.5) * torch.log(v * (y[:, 0] - gamma) ** 2 + two) + torch.lgamma(alpha) - torch.lgamma(alpha + 0.5)
(g,) = torch.autograd.grad(nll.sum(), raw, create_graph=True)
(gg,) = torch.autograd.grad(g.square().sum(), raw)
tell("evidential", nll, g, gg)
conc = raw.detach().clone().requires_grad_()
dirichlet = td.Dirichlet(conc + 1)
kl = td.kl_divergence(dirichlet, td.Dirichlet(torch.ones_like(conc)))
ent = dirichlet.entropy() - torch.digamma((conc + 1).sum(-1))
(kl + ent).sum().backward()
tell("Dirichlet", kl, ent, dirichlet.mean, dirichlet.variance, conc.grad)
student = td.StudentT(df=2 * alpha, loc=gamma, scale=(beta * (1 + v) / (v * alpha)).sqrt())
tell("Student", student.log_prob(y[:, 0]), student.mean, student.variance, student.entropy())

net = fill(nn.Sequential(nn.Linear(1, 6), nn.Tanh(), nn.Linear(6, 1)), 6)
params = {k: p.detach() for k, p in net.named_parameters()}
J = vmap(jacrev(lambda p, v: functional_call(net, p, (v,)).squeeze(0)), (None, 0))(params, x)
phi = torch.cat([j.flatten(1) for j in J.values()], 1)
precision = phi.T @ phi / 0.1 + torch.eye(phi.shape[1])
cov = torch.cholesky_inverse(torch.linalg.cholesky(precision))
tell("Laplace", torch.einsum("np,pq,nq->n", phi, cov, phi), torch.logdet(precision))
print({k: tuple(v.shape) for k, v in J.items()})

model = fill(nn.Sequential(nn.Linear(1, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.0), nn.Linear(6, 1)), 7)
swa, ema = AveragedModel(model), AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
own = AveragedModel(model, avg_fn=lambda avg, new, n: 0.5 * avg + 0.5 * new)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4)
swa_scheduler = SWALR(optimizer, swa_lr=0.02, anneal_epochs=3, anneal_strategy="linear")
squares = [torch.zeros_like(p) for p in model.parameters()]
for epoch in range(8):
    for i in range(0, 24, 8):
        optimizer.zero_grad()
        F.mse_loss(model(x[i : i + 8]), y[i : i + 8]).backward()
        optimizer.step()
        ema.update_parameters(model)
    if epoch > 3:
        swa.update_parameters(model), own.update_parameters(model), swa_scheduler.step()
        for s, p in zip(squares, model.parameters()):
            s.mul_((epoch - 4) / (epoch - 3)).addcmul_(p.data, p.data, value=1 / (epoch - 3))
    else:
        scheduler.step()
    print(f"{optimizer.param_groups[0]['lr']:.5f}", end=" ")
update_bn([x[:12], x[12:]], swa)
print("\n", int(swa.n_averaged), sorted(swa.state_dict())[:3])
for m in (swa, ema, own):
    tell("averaged", m.eval()(x), *[b for b in m.buffers() if b.dtype.is_floating_point])
variance = [torch.clamp(s - p.data**2, min=1e-30) for s, p in zip(squares, swa.module.parameters())]
tell("SWAG", *variance)
logits, labels = normal(40, 4, seed=8) * 3, integers(4, 40, seed=9)
temperature = nn.Parameter(torch.ones(1) * 1.5)
optimizer = torch.optim.LBFGS([temperature], lr=0.01, max_iter=30)


def closure():
    optimizer.zero_grad()
    loss = F.cross_entropy(logits / temperature.unsqueeze(1).expand(logits.size(0), logits.size(1)), labels)
    loss.backward()
    return loss


optimizer.step(closure)
confidence, guess = F.softmax(logits / temperature.detach(), 1).max(1)
ece = torch.zeros(1)
for lo, hi in zip(torch.linspace(0, 1, 6)[:-1], torch.linspace(0, 1, 6)[1:]):
    inside = confidence.gt(lo.item()) * confidence.le(hi.item())
    if inside.float().mean() > 0:
        ece += torch.abs(confidence[inside].mean() - guess.eq(labels)[inside].float().mean()) * inside.float().mean()
print("temperature", temperature.data, "ECE", ece)
for d in (td.Bernoulli(logits=logits[:3, 0]), td.NegativeBinomial(3.0, logits=logits[:3, 0]), td.RelaxedBernoulli(torch.tensor(0.5), logits=logits[:3, 0]), td.ContinuousBernoulli(logits=logits[:3, 0]),
          td.VonMises(logits[:3, 0], logits[:3, 1].exp()), td.Kumaraswamy(logits[:3, 0].exp(), 2.0), td.HalfCauchy(logits[:3, 0].exp()), td.Pareto(1.0, logits[:3, 0].exp() + 2), td.Weibull(1.0, logits[:3, 0].exp() + 0.5), td.InverseGamma(logits[:3, 0].exp() + 2.5, 1.0), td.LogNormal(logits[:3, 0], 0.5), td.Geometric(logits=logits[:3, 0]), td.Poisson(logits[:3, 0].exp()), td.FisherSnedecor(3.0, logits[:3, 0].exp() + 5), td.Gumbel(logits[:3, 0], 2.0), td.Laplace(logits[:3, 0], 1.0), td.Beta(logits[:3, 0].exp(), 2.0), td.Wishart(torch.tensor(4.0), torch.eye(2)), td.LKJCholesky(3, 0.7), td.Multinomial(5, logits=logits[0]), td.OneHotCategorical(logits=logits[:2]), td.Independent(td.Normal(logits[:2], 1.0), 1)):
    torch.manual_seed(1)
    s = d.sample()
    print(type(d).__name__, s.shape, d.expand((2, 3) if d.batch_shape == (3,) else (2, *d.batch_shape)).batch_shape, d.has_rsample, bool(d.support.check(s).all()), d.log_prob(s).shape)
