# State space models: a Kalman filter and smoother learned by gradients, EKF by jacfwd, particles, and a linear SSM by FFT.
import math

import torch
from torch import Tensor, nn
from torch.func import hessian, jacfwd, jacrev, vmap
from typing import NamedTuple, Optional

from reproducible import normal, tell, uniform


class State(NamedTuple):
    mean: Tensor
    cov: Tensor


class Kalman(nn.Module):
    def __init__(self, dt=0.1):
        super().__init__()
        self.register_buffer("F", torch.tensor([[1, dt], [0, 1]]))
        self.register_buffer("H", torch.tensor([[1.0, 0.0]]))
        self.log_q, self.log_r = nn.Parameter(torch.tensor(-3.0)), nn.Parameter(torch.zeros(1))

    @property
    def Q(self):
        return self.log_q.exp() * torch.eye(2)

    def step(self, state: State, z: Optional[Tensor]):
        m, P = self.F @ state.mean, torch.addmm(self.Q, self.F @ state.cov, self.F.T)
        if z is None:
            return State(m, P), 0.0, (m, P)
        S = self.H @ P @ self.H.T + torch.diag(self.log_r.exp())
        K = torch.linalg.solve(S, self.H @ P, left=True).T
        r = z - self.H @ m
        ll = -0.5 * (r @ torch.linalg.solve(S, r) + torch.logdet(2 * math.pi * S))
        I_KH = torch.eye(2) - K @ self.H
        return State(m + K @ r, I_KH @ P @ I_KH.T + K @ torch.diag(self.log_r.exp()) @ K.T), ll, (m, P)

    def forward(self, zs):
        state, total, kept = State(torch.zeros(2), torch.eye(2)), 0.0, []
        for i, z in enumerate(zs.unbind(0)):
            state, ll, prior = self.step(state, None if i % 7 == 3 else z)
            total = total + ll
            kept.append((state, prior))
        return total, kept

    def smooth(self, kept):
        mean, cov = kept[-1][0]
        out = [mean]
        for (state, _), (_, (m, P)) in zip(kept[-2::-1], kept[:0:-1]):
            G = torch.linalg.solve(P, self.F @ state.cov).T
            mean, cov = state.mean + G @ (mean - m), state.cov + G @ (cov - P) @ G.T
            out.insert(0, mean)
        return torch.stack(out)


steps = torch.arange(20)
zs = (torch.sin(steps * 0.3) + 0.2 * normal(20, seed=1))[:, None]
model = Kalman()
optimizer = torch.optim.Rprop(model.parameters(), lr=0.1)
for i in range(8):
    optimizer.zero_grad(set_to_none=True)
    total, kept = model(zs)
    (-total).backward()
    optimizer.step()
print(f"likelihood {total.item():.3f}", model.log_q, model.log_r)
tell("smoothed", model.smooth(kept))


def f(s):
    theta, omega = s[:1], s[1:]
    return torch.cat([theta + 0.05 * omega, omega - 0.05 * 9.81 * torch.sin(theta)])


def h(s):
    return torch.hstack((s[:1].sin(), s[:1].cos()))


m, P = torch.tensor([0.5, 0.0]), 0.1 * torch.eye(2)
for k in range(6):
    A, m = jacfwd(f)(m), f(m)
    P = A @ P @ A.mT + 1e-3 * torch.eye(2)
    C = jacrev(h)(m)
    S = C @ P @ C.mT + 0.01 * torch.eye(2)
    K = P @ C.mT @ torch.linalg.inv(S)
    m = m + K @ (torch.tensor([math.sin(0.5 - 0.02 * k), math.cos(0.5)]) - h(m))
    P = P - K @ S @ K.mT
tell("EKF", m, P, vmap(jacfwd(f))(normal(3, 2, seed=2)), hessian(lambda s: f(s).sum())(m))
# sigma points
L = torch.linalg.cholesky(3 * P)
points = torch.cat([m[None], m + L.T, m - L.T])
weights = torch.cat([torch.tensor([1 / 3]), torch.full((4,), 1 / 6)])
moved = vmap(f)(points)
mean = weights @ moved
tell("UKF", mean, torch.einsum("i,ij,ik->jk", weights, moved - mean, moved - mean))
# particles with systematic resampling
particles, w = normal(50, 2, seed=3) * 0.3 + m, torch.full((50,), 1 / 50)
for k in range(5):
    particles = vmap(f)(particles) + 0.05 * normal(50, 2, seed=10 + k)
    logw = w.log() - 0.5 * ((particles[:, 0].sin() - math.sin(0.4)) / 0.1).pow(2)
    w = torch.softmax(logw, 0)
    if 1 / w.square().sum() < 25:
        u = (torch.arange(50) + 0.37) / 50
        index = torch.searchsorted(w.cumsum(0), u).clamp_(max=49)
        print(k, "resampled", index.unique().numel())
        particles, w = particles[index], torch.full_like(w, 1 / 50)
tell("particles", (w[:, None] * particles).sum(0), torch.cov(particles.T, aweights=w), torch.corrcoef(particles.T))
# a linear state space layer: recurrence, convolution and FFT agree
Lambda = torch.complex(-uniform(4, seed=5), math.pi * torch.arange(4.0)).requires_grad_()
B, C = torch.complex(normal(4, seed=6), normal(4, seed=7)), torch.view_as_complex(normal(4, 2, seed=8).contiguous()).requires_grad_()
dt = 0.1
Abar = torch.exp(dt * Lambda)
Bbar = (Abar - 1) / Lambda * B
u = normal(16, seed=9)
x, ys = torch.zeros(4, dtype=torch.cfloat), []
for v in u:
    x = Abar * x + Bbar * v
    ys.append((C * x).sum().real)
kernel = (torch.linalg.vander(Abar, N=16) * (C * Bbar)[:, None]).sum(0).real
long = torch.fft.irfft(torch.fft.rfft(u, n=32) * torch.fft.rfft(kernel, n=32), n=32)[:16]
print("agree", torch.allclose(torch.stack(ys), long, atol=1e-5))
g = torch.autograd.grad(long.square().sum(), (Lambda, C))
tell("SSM", long, *g)
