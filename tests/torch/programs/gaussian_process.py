# Gaussian processes by hand: kernels, Cholesky posteriors, marginal likelihood by gradient, sparse bounds, GPs for classes.
import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.distributions import LowRankMultivariateNormal, MultivariateNormal, kl_divergence

from reproducible import tell

torch.set_default_dtype(torch.float64)


class RBF(nn.Module):
    def __init__(self, dims):
        super().__init__()
        self.log_length = nn.Parameter(torch.zeros(dims))
        self.log_scale = nn.Parameter(torch.zeros(()))

    def forward(self, a, b):
        a, b = a / self.log_length.exp(), b / self.log_length.exp()
        return self.log_scale.exp() * torch.exp(-0.5 * torch.cdist(a, b).square())


class Matern32(RBF):
    def forward(self, a, b):
        r = math.sqrt(3) * torch.linalg.vector_norm(a.unsqueeze(-2) / self.log_length.exp() - b.unsqueeze(-3) / self.log_length.exp() + 1e-12, dim=-1)
        return self.log_scale.exp() * (1 + r) * torch.exp(-r)


class Periodic(RBF):
    def forward(self, a, b):
        d = (a[:, None, :] - b[None, :, :]).abs().sum(-1)
        return self.log_scale.exp() * torch.exp(-2 * torch.sin(math.pi * d / 2).square() / self.log_length.exp().square().prod())


class Sum(nn.Module):
    def __init__(self, *kernels):
        super().__init__()
        self.kernels = nn.ModuleList(kernels)

    def forward(self, a, b):
        return sum(k(a, b) for k in self.kernels)


class ExactGP(nn.Module):
    def __init__(self, kernel):
        super().__init__()
        self.kernel, self.raw_noise, self.mean = kernel, nn.Parameter(torch.tensor(-2.0)), nn.Parameter(torch.tensor(0.1))

    def nll(self, x, y):
        K = self.kernel(x, x) + F.softplus(self.raw_noise) * torch.eye(len(x))
        L = torch.linalg.cholesky(K)
        alpha = torch.cholesky_solve((y - self.mean).unsqueeze(-1), L)
        return 0.5 * ((y - self.mean) @ alpha).squeeze() + L.diagonal().log().sum() + 0.5 * len(x) * math.log(2 * math.pi)

    def predict(self, x, y, new):
        L = torch.linalg.cholesky(self.kernel(x, x) + F.softplus(self.raw_noise) * torch.eye(len(x)))
        Ks = self.kernel(x, new)
        v = torch.linalg.solve_triangular(L, Ks, upper=False)
        mean = self.mean + v.mT @ torch.linalg.solve_triangular(L, (y - self.mean)[:, None], upper=False)
        return mean.squeeze(-1), self.kernel(new, new) - v.T @ v


x = torch.linspace(-3, 3, 14)[:, None]
y = torch.sin(2 * x[:, 0]) + 0.1 * torch.cos(37 * x[:, 0])
new = torch.linspace(-4, 4, 5).unsqueeze(1)
for kernel in (RBF(1), Matern32(1), Sum(RBF(1), Periodic(1))):
    gp = ExactGP(kernel)
    optimizer = torch.optim.LBFGS(gp.parameters(), lr=0.5, max_iter=8, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = gp.nll(x, y)
        loss.backward()
        return loss

    first = optimizer.step(closure)
    mean, cov = gp.predict(x, y, new)
    print(type(kernel).__name__, f"{first.item():.4f} -> {gp.nll(x, y).item():.3f}")
    mvn = MultivariateNormal(mean, cov + 1e-4 * torch.eye(5))
    print("  lp", f"{mvn.log_prob(torch.sin(2 * new[:, 0])).item():.2f}", mvn.rsample((2,)).shape, mvn.precision_matrix.shape)

K = RBF(1)(x, x).detach() + 0.1 * torch.eye(14)
L, info = torch.linalg.cholesky_ex(K)
tell("ex", L, info)
Ls = K[:5, :5].clone().requires_grad_()
for f in (torch.linalg.cholesky, torch.linalg.inv, torch.logdet, lambda a: torch.linalg.slogdet(a)[1], lambda a: torch.cholesky_inverse(torch.linalg.cholesky(a)),
          lambda a: torch.linalg.solve(a, y[:5]), lambda a: torch.linalg.matrix_exp(a), lambda a: torch.linalg.eigvalsh(a), lambda a: torch.linalg.pinv(a, hermitian=True),
          lambda a: torch.linalg.lstsq(a, y[:5, None]).solution, lambda a: torch.linalg.multi_dot([a, a, a]), lambda a: torch.linalg.matrix_power(a, -2), lambda a: torch.linalg.cond(a, 2),
          lambda a: torch.linalg.ldl_factor(a.detach()).LD, lambda a: torch.linalg.tensorsolve(a.view(5, 5), y[:5])):
    out = f(Ls)
    if out.requires_grad:
        (g,) = torch.autograd.grad((out * out.detach().cos()).sum(), Ls, create_graph=True)
        (gg,) = torch.autograd.grad(g.square().sum(), Ls)
        tell("linalg", out, g, gg)
    else:
        tell("linalg", out)
# the sparse bound of Titsias
z = torch.linspace(-2.5, 2.5, 5)[:, None].requires_grad_()
kernel, noise = RBF(1), torch.tensor(0.05, requires_grad=True)
Kuu, Kuf = kernel(z, z) + 1e-6 * torch.eye(5), kernel(z, x)
A = torch.linalg.solve_triangular(torch.linalg.cholesky(Kuu), Kuf, upper=False) / noise.sqrt()
LB = torch.linalg.cholesky(torch.eye(5) + A @ A.T)
c = torch.linalg.solve_triangular(LB, A @ y[:, None], upper=False) / noise.sqrt()
bound = -0.5 * 14 * torch.log(2 * math.pi * noise) - LB.diag().log().sum() - 0.5 * y @ y / noise + 0.5 * (c**2).sum() - 0.5 * kernel(x, x).diagonal().sum() / noise + 0.5 * (A * A).sum()
grads = torch.autograd.grad(bound, [z, noise, *kernel.parameters()])
tell("bound", bound, *grads)
low = LowRankMultivariateNormal(torch.zeros(14), Kuf.T.detach(), 0.1 * torch.ones(14))
full = MultivariateNormal(torch.zeros(14), scale_tril=torch.linalg.cholesky(low.covariance_matrix))
tell("low rank", low.log_prob(y), full.log_prob(y), low.entropy(), full.entropy(), kl_divergence(low, full), low.variance, low.scale_tril)
# a Laplace approximation for classes
t = (y > 0).double()
f = torch.zeros(14)
for _ in range(6):
    p = torch.sigmoid(f)
    W = p * (1 - p)
    sW = W.sqrt()
    Lb, _ = torch.linalg.cholesky_ex(torch.eye(14) + sW[:, None] * K * sW)
    b = W * f + (t - p)
    f = K @ (b - sW * torch.cholesky_solve((sW * (K @ b))[:, None], Lb)[:, 0])
tell("Laplace", f, p, torch.special.log_ndtr(f), torch.special.ndtr(f))
try:
    torch.linalg.cholesky(-K)
except torch.linalg.LinAlgError as e:
    print("not positive", isinstance(e, RuntimeError))
print(torch.linalg.cholesky_ex(-K).info)
try:
    MultivariateNormal(torch.zeros(2), covariance_matrix=torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
except ValueError:
    print("refused")
