# torch.func: per-sample gradients, a learned start (MAML), Jacobians and Hessians, forward-mode derivatives.
import torch
import torch.nn as nn
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vjp, vmap

from reproducible import fill, normal, uniform

model = fill(nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1)), 1)
params = {k: v.detach() for k, v in model.named_parameters()}
buffers = {k: v.detach() for k, v in model.named_buffers()}


def compute_loss(params, buffers, sample, target):
    predictions = functional_call(model, (params, buffers), (sample.unsqueeze(0),))
    return nn.functional.mse_loss(predictions, target.unsqueeze(0))


x, y = normal(6, 1, seed=2), normal(6, 1, seed=3)
per_sample = vmap(grad(compute_loss), in_dims=(None, None, 0, 0))(params, buffers, x, y)
print({k: tuple(v.shape) for k, v in per_sample.items()})
nn.functional.mse_loss(model(x), y).backward()
print(all(torch.allclose(per_sample[k].mean(0), p.grad, atol=1e-6) for k, p in model.named_parameters()))
norms = torch.stack([g.flatten(1).norm(dim=1) for g in per_sample.values()]).norm(dim=0)
print([f"{v:.4f}" for v in norms.tolist()])


def net(params, x):
    return functional_call(model, params, (x,))


def inner_loss(params, x1, y1):
    return ((net(params, x1) - y1) ** 2).mean()


def get_loss_for_task(x1, y1, x2, y2):
    gradients = grad(inner_loss)(params, x1, y1)
    new_params = {k: params[k] - 0.1 * g for k, g in gradients.items()}
    return ((net(new_params, x2) - y2) ** 2).mean()


params = {k: v.clone().requires_grad_() for k, v in params.items()}
optimizer = torch.optim.Adam(params.values(), lr=5e-3)
for it in range(15):
    amplitudes, phases = 0.5 + uniform(4, 1, 1, seed=it), 3 * uniform(4, 1, 1, seed=50 + it)
    x1, x2 = 6 * uniform(4, 10, 1, seed=100 + it) - 3, 6 * uniform(4, 10, 1, seed=200 + it) - 3
    losses = vmap(get_loss_for_task)(x1, amplitudes * torch.sin(x1 + phases), x2, amplitudes * torch.sin(x2 + phases))
    loss = losses.mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if it % 5 == 4:
        print(it, f"{loss.item():.5f}")

weight, bias, point = normal(3, 4, seed=4), normal(3, seed=5), normal(4, seed=6)


def predict(x):
    return (weight @ x + bias).tanh()


forward, reverse = jacfwd(predict)(point), jacrev(predict)(point)
print(forward.shape, torch.allclose(forward, reverse, atol=1e-6), f"{forward.sum().item():.5f}")
h = hessian(lambda x: predict(x).sin().sum())(point)
print(h.shape, torch.allclose(h, h.T, atol=1e-6), f"{h.trace().item():.5f}")
value, tangent = jvp(predict, (point,), (torch.ones(4),))
output, pull = vjp(predict, point)
print(tangent.tolist(), pull(torch.ones(3))[0].tolist(), torch.equal(value, output))
print(
    torch.autograd.functional.jacobian(predict, point).shape,
    torch.autograd.functional.hvp(lambda x: predict(x).sum(), point, torch.ones(4))[1].tolist(),
)
print(
    vmap(torch.dot)(normal(3, 5, seed=7), normal(3, 5, seed=8)).tolist(),
    vmap(torch.outer, in_dims=(1, None))(normal(2, 3, seed=9), torch.ones(2)).shape,
)
print(grad(lambda x: torch.where(x > 0, x**3, -x).sum())(point).tolist())
