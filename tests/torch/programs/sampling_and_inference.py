# Probabilistic programs: VI, Metropolis, HMC, EM, Gaussian processes, policy gradients, VAE loss terms; NumPy mixed in.
import math, numpy as np, torch, torch.nn as nn, torch.nn.functional as F
from torch.distributions import (
    Normal,
    Categorical,
    Bernoulli,
    MultivariateNormal,
    kl_divergence,
    Independent,
    Beta,
    Gamma,
    Dirichlet,
    MixtureSameFamily,
)


def show(*values):
    """print without the graph behind the tensors: its nodes have names of their own."""
    print(*[v.detach() if isinstance(v, torch.Tensor) else v for v in values])


rng = np.random.default_rng(0)
data = torch.tensor(rng.normal(2.0, 1.0, 50), dtype=torch.float32)
m = torch.zeros(1, requires_grad=True)
ls = torch.zeros(1, requires_grad=True)
eps = torch.tensor(rng.normal(size=(60, 8)), dtype=torch.float32)
opt = torch.optim.Adam([m, ls], 0.05)
for i in range(60):
    opt.zero_grad()
    z = m + eps[i] * ls.exp()
    elbo = (Normal(z[:, None], 1.0).log_prob(data).sum(1) + Normal(0.0, 10.0).log_prob(z)).mean() + Normal(
        m, ls.exp()
    ).entropy().sum()
    (-elbo).backward()
    opt.step()
show(f"{m.item():.4f} {ls.exp().item():.4f} {elbo.item():.3f}", m.grad, opt.state[m]["step"])
x = 0.0
chain = []
for u, n in zip(rng.random(300), rng.normal(size=300)):
    prop = x + n
    a = (Normal(1.0, 0.5).log_prob(torch.tensor(prop)) - Normal(1.0, 0.5).log_prob(torch.tensor(x))).exp().item()
    x = prop if u < a else x
    chain.append(x)
show(f"{np.mean(chain):.4f} {torch.tensor(chain).std():.4f}", torch.tensor(chain).dtype)


def logp(q):
    return -0.5 * (q @ torch.tensor([[2.0, 0.3], [0.3, 1.0]]) @ q)


q = torch.tensor([1.0, -1.0])
for n in rng.normal(size=(20, 2)):
    p = torch.from_numpy(n).float()
    h0 = -logp(q) + p @ p / 2
    q1 = q.clone().requires_grad_()
    for _ in range(5):
        (g,) = torch.autograd.grad(logp(q1), q1)
        p = p + 0.1 * g
        q1 = (q1 + 0.2 * p).detach().requires_grad_()
        (g,) = torch.autograd.grad(logp(q1), q1)
        p = p + 0.1 * g
    q = q1.detach() if (h0 + logp(q1) - p @ p / 2).exp() > 0.5 else q
show(q)
X = torch.tensor(np.concatenate([rng.normal(-2, 0.5, 30), rng.normal(2, 0.8, 30)]), dtype=torch.float32)
mu, sd, pi = torch.tensor([-1.0, 1.0]), torch.ones(2), torch.ones(2) / 2
for _ in range(15):
    r = (Normal(mu, sd).log_prob(X[:, None]) + pi.log()).softmax(1)
    nk = r.sum(0)
    mu = (r * X[:, None]).sum(0) / nk
    sd = ((r * (X[:, None] - mu) ** 2).sum(0) / nk).sqrt()
    pi = nk / len(X)
show(mu, sd, pi, MixtureSameFamily(Categorical(pi), Normal(mu, sd)).log_prob(X).mean())
xs = torch.linspace(0, 1, 10)[:, None]
y = torch.sin(6 * xs[:, 0])
ell = torch.tensor(0.3, requires_grad=True)
K = torch.exp(-(torch.cdist(xs, xs) ** 2) / (2 * ell**2)) + 1e-2 * torch.eye(10)
nll = -MultivariateNormal(torch.zeros(10), K).log_prob(y)
nll.backward()
show(nll, ell.grad)
Lc = torch.linalg.cholesky(K)
alpha = torch.cholesky_solve(y[:, None], Lc)
t = torch.tensor([[0.25], [0.55]])
Ks = torch.exp(-(torch.cdist(t, xs) ** 2) / (2 * ell**2))
show((Ks @ alpha).T, 1 - (Ks @ torch.cholesky_inverse(Lc) @ Ks.T).diag())
pol = nn.Linear(3, 2)
nn.init.constant_(pol.weight, 0.1)
nn.init.zeros_(pol.bias)
s = torch.tensor([[1.0, 0.0, -1.0], [0.0, 2.0, 1.0]])
d = Categorical(logits=pol(s))
a = torch.tensor([0, 1])
adv = torch.tensor([1.0, -0.5])
loss = -(d.log_prob(a) * adv).mean() - 0.01 * d.entropy().mean()
loss.backward()
show(loss, pol.weight.grad, d.probs)
mu2, lv = torch.tensor([[0.1, -0.2]]), torch.tensor([[0.3, -0.1]])
show(
    -0.5 * torch.sum(1 + lv - mu2.pow(2) - lv.exp()),
    kl_divergence(Normal(mu2, (lv / 2).exp()), Normal(0.0, 1.0)).sum(),
    F.binary_cross_entropy(torch.tensor([0.3, 0.8]), torch.tensor([0.0, 1.0]), reduction="sum"),
)
th = Beta(2.0 + 7, 2.0 + 3)
show(
    th.mean,
    th.variance.sqrt(),
    th.log_prob(torch.tensor(0.5)),
    Gamma(2.0, 3.0).log_prob(torch.tensor(0.5)),
    Dirichlet(torch.tensor([1.0, 2.0, 3.0])).entropy(),
    Independent(Bernoulli(torch.tensor([0.2, 0.7])), 1).log_prob(torch.tensor([1.0, 1.0])),
)
w = torch.tensor(np.array([[1.0, 2.0], [3.0, 4.0]]))
v = w / np.sqrt(2) + np.pi * torch.eye(2) - np.float32(1)
show(
    v,
    v.dtype,
    (torch.ones(2) * np.sqrt(2)).dtype,
    np.mean(w.numpy()),
    np.allclose(w, w.numpy()),
    torch.as_tensor(np.sqrt(w)),
    np.array(torch.ones(2)).dtype,
    [float(i) for i in w[0]],
    sum(w[0]),
    max(torch.tensor([3, 1])),
    sorted(torch.tensor([3, 1, 2]).tolist()),
    math.sqrt(torch.tensor(4.0)),
    round(torch.tensor(2.6).item()),
    np.exp(torch.tensor(1.0)),
    abs(torch.tensor(-1)),
    divmod(7, 2),
    torch.tensor(7) // 2,
    torch.tensor([1, 2, 3])[np.array([0, 2])],
    torch.ones(3)[np.int64(1)],
    torch.zeros(np.int64(2), 3).shape,
    torch.full((2,), np.float32(3)).dtype,
    torch.arange(np.int64(3)).dtype,
)
scores = torch.ones(2, 4) / np.sqrt(64)
show(
    scores.dtype,
    scores[0, 0],
    torch.softmax(scores * np.float64(2), -1).dtype,
    torch.tensor(np.float64(3)).dtype,
    torch.ones(2).mul_(np.float64(2)).dtype,
    torch.clamp(torch.ones(2), np.float64(0), np.float64(0.5)).dtype,
    torch.where(scores > 0, np.float64(1), scores).dtype,
    (scores > np.float64(0.1)).all(),
    F.dropout(scores, np.float64(0.0)).dtype,
    nn.Linear(int(np.int64(4)), np.int64(2))(scores).dtype,
    F.leaky_relu(scores, np.float64(0.1)).dtype,
    torch.pow(scores, np.float64(2)).dtype,
    torch.lerp(scores, scores, np.float64(0.5)).dtype,
    torch.add(scores, scores, alpha=np.float64(2)).dtype,
)
opt = torch.optim.SGD(pol.parameters(), lr=np.float64(0.1))
opt.step()
show(pol.weight.dtype, pol.weight[0])
sch = torch.optim.lr_scheduler.LambdaLR(opt, lambda e: np.exp(-e))
sch.step()
pol(s).sum().backward()
opt.step()
show(pol.weight.dtype)
