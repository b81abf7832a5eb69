# Neural ODEs: fixed and adaptive Runge-Kutta, the adjoint method as a Function over a flat state, events, Hamiltonians.
import torch
import torch.nn as nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from reproducible import fill, normal, slopes, tell

torch.set_default_dtype(torch.float64)


def rk4_step(f, t, dt, y):
    k1 = f(t, y)
    k2 = f(t + dt / 2, y + dt / 2 * k1)
    k3 = f(t + dt / 2, y + dt / 2 * k2)
    k4 = f(t + dt, y + dt * k3)
    return y + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def odeint(f, y0, t):
    ys = [y0]
    for t0, t1 in zip(t[:-1], t[1:]):
        ys.append(rk4_step(f, t0, t1 - t0, ys[-1]))
    return torch.stack(ys, dim=0)


class OdeintAdjoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx, func, y0, t, flat_params):
        ctx.func = func
        with torch.no_grad():
            ans = odeint(func, y0, t)
        ctx.save_for_backward(t, ans, flat_params)
        return ans

    @staticmethod
    def backward(ctx, grad_output):
        t, ans, flat_params = ctx.saved_tensors
        func, n, shape = ctx.func, ans[0].numel(), ans.shape[1:]
        params = tuple(func.parameters())

        def augmented(t, s):
            y, a = s[:n].view(shape), s[n : 2 * n].view(shape)
            with torch.enable_grad():
                y = y.detach().requires_grad_(True)
                tt = t.detach().requires_grad_(True)
                value = func(tt, y)
                vt, vy, *vp = torch.autograd.grad(value, (tt, y) + params, -a, allow_unused=True, retain_graph=True)
            vt = torch.zeros_like(t) if vt is None else vt
            vp = [torch.zeros_like(p).flatten() if g is None else g.reshape(-1) for p, g in zip(params, vp)]
            return torch.cat([value.detach().reshape(-1), vy.reshape(-1), *vp, vt.reshape(1)])

        with torch.no_grad():
            adj_y, adj_p, adj_t = grad_output[-1], torch.zeros_like(flat_params), torch.zeros(())
            time_vjps = []
            for i in range(len(t) - 1, 0, -1):
                dLd_t = torch.dot(func(t[i], ans[i]).reshape(-1), grad_output[i].reshape(-1))
                adj_t = adj_t - dLd_t
                time_vjps.append(dLd_t)
                s = torch.cat([ans[i].reshape(-1), adj_y.reshape(-1), adj_p, adj_t.reshape(1)])
                s = odeint(augmented, s, torch.stack([t[i], (t[i] + t[i - 1]) / 2, t[i - 1]]))[-1]
                adj_y = s[n : 2 * n].view(shape) + grad_output[i - 1]
                adj_p, adj_t = s[2 * n : -1], s[-1]
            time_vjps.append(adj_t)
        return None, adj_y, torch.stack(time_vjps[::-1]), adj_p


class Func(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))
        self.nfe = 0
        for m in self.net.modules():
            if isinstance(m, nn.Linear):
                nn.init.normal_(m.weight, mean=0, std=0.1)
                nn.init.constant_(m.bias, val=0)

    def forward(self, t, y):
        self.nfe += 1
        return self.net(y**3) + 0.1 * torch.sin(t)


func = fill(Func(), 1)
y0 = torch.tensor([[2.0, 0.0], [0.5, -1.0]], requires_grad=True)
t = torch.linspace(0.0, 0.5, 9).requires_grad_()
true_A = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]])
with torch.no_grad():
    truth = odeint(lambda t, y: torch.mm(y**3, true_A), y0, t)
direct = odeint(func, y0, t)
loss = (direct - truth).abs().mean()
loss.backward()
plain = [g.clone() for g in (y0.grad, t.grad, parameters_to_vector(p.grad for p in func.parameters()))]
tell("direct", loss, *plain)
func.zero_grad(), setattr(y0, "grad", None), setattr(t, "grad", None)
flat = torch.cat([p.contiguous().view(-1) for p in func.parameters()])
out = OdeintAdjoint.apply(func, y0, t, flat)
(out - truth).abs().mean().backward()
adjoint = [y0.grad, t.grad, parameters_to_vector(p.grad for p in func.parameters())]
tell("adjoint", *adjoint)
print("close", [torch.allclose(a, b, rtol=1e-2, atol=1e-3) for a, b in zip(plain, adjoint)], func.nfe)
optimizer = torch.optim.RMSprop(func.parameters(), lr=1e-2)
for itr in range(1, 5):
    optimizer.zero_grad()
    pred = odeint(func, y0.detach(), t.detach())
    loss = torch.mean(torch.abs(pred - truth))
    loss.backward()
    optimizer.step()
    print("Iter {:04d} | Total Loss {:.6f}".format(itr, loss.item()))
flat = parameters_to_vector(func.parameters()).detach() * 0.9
vector_to_parameters(flat, func.parameters())
tell("scaled", func(t[0], y0))


def dopri(f, y, t0, t1, tol=1e-6):
    c = [0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1]
    a = [[], [1 / 5], [3 / 40, 9 / 40], [44 / 45, -56 / 15, 32 / 9], [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
         [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656], [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84]]
    b = torch.tensor([5179 / 57600, 0, 7571 / 16695, 393 / 640, -92097 / 339200, 187 / 2100, 1 / 40])
    t, h, steps = t0, 0.1, 0
    while t < t1:
        h = min(h, t1 - t)
        k = []
        for i in range(7):
            k.append(f(t + c[i] * h, y + h * sum((w * v for w, v in zip(a[i], k)), torch.zeros_like(y))))
        ks = torch.stack(k)
        high = y + h * torch.tensordot(torch.tensor(a[6] + [0.0]), ks, dims=1)
        error = (high - y - h * torch.tensordot(b, ks, 1)).norm() / (1 + y.norm())
        if error < tol:
            t, y, steps = t + h, high, steps + 1
        h = h * float(torch.clamp(0.9 * (tol / (error + 1e-16)) ** 0.2, 0.2, 5.0))
    return y, steps


y, steps = dopri(lambda t, y: y.flip(0) * torch.tensor([1.0, -1.0]), torch.tensor([1.0, 0.0], requires_grad=True), 0.0, 2.0)
print(steps, y)


class HNN(nn.Module):
    """Hamilton's equations of a learned energy: gradients inside the model, gradients of those in training."""

    def __init__(self):
        super().__init__()
        self.H = nn.Sequential(nn.Linear(2, 16), nn.Softplus(beta=2), nn.Linear(16, 1, bias=False))
        self.register_buffer("J", torch.tensor([[0.0, 1.0], [-1.0, 0.0]]))

    def forward(self, x):
        with torch.enable_grad():
            x = x if x.requires_grad else x.requires_grad_()
            return torch.autograd.grad(self.H(x).sum(), x, create_graph=True)[0] @ self.J.T


hnn = fill(HNN(), 3)
x = normal(20, 2, seed=4).double()
target = torch.stack([x[:, 1], -x[:, 0].sin()], 1)
optimizer = torch.optim.Adam(hnn.parameters(), 1e-2)
for i in range(5):
    loss = (hnn(x.clone()) - target).square().mean()
    optimizer.zero_grad(), loss.backward(), optimizer.step()
print(f"HNN {loss.item():.5f} {slopes(hnn):.4f}")
