"""Code that leans on torch.nn.utils: pruning, parametrizations, norms of weights, functional calls, initial values."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.nn.utils.parametrize as parametrize
from torch.nn.utils import parametrizations, prune


def pruning(run):
    class FooBarPruningMethod(prune.BasePruningMethod):
        """Prune every other entry in a tensor"""

        PRUNING_TYPE = "unstructured"

        def compute_mask(self, t, default_mask):
            mask = default_mask.clone()
            mask.view(-1)[::2] = 0
            return mask

    def foobar_unstructured(module, name):
        FooBarPruningMethod.apply(module, name)
        return module

    model = run.fill(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 6), nn.Linear(6, 3)))
    prune.ln_structured(model[0], name="weight", amount=0.5, n=2, dim=0)
    prune.l1_unstructured(model[3], name="weight", amount=0.3)
    prune.l1_unstructured(model[3], name="bias", amount=3)
    prune.ln_structured(model[3], name="weight", amount=2, n=1, dim=1)
    prune.custom_from_mask(model[4], name="bias", mask=torch.tensor([0, 1, 0]))
    prune.identity(model[0], "bias")
    foobar_unstructured(model[4], name="weight")
    for hook in model[3]._forward_pre_hooks.values():
        if hook._tensor_name == "weight":
            break
    run.text("hooks", [len(list(hook)), [h.PRUNING_TYPE for h in hook], prune.is_pruned(model)])
    x, y = run.numbers(2, 1, 4, 4), run.integers(3, 2)
    run.train(model, lambda: F.cross_entropy(model(x), y), torch.optim.SGD(model.parameters(), lr=0.1))
    run.text("buffers", [n for n, _ in model.named_buffers()])
    prune.remove(model[0], "weight")
    run.text("after", [list(model[0].state_dict()), prune.is_pruned(model)])
    pair = run.fill(nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 2)]))
    to_prune = ((pair[0], "weight"), (pair[1], "weight"))
    prune.global_unstructured(to_prune, pruning_method=prune.L1Unstructured, amount=0.2)
    prune.global_unstructured(to_prune, pruning_method=prune.L1Unstructured, amount=4)
    run.keep("global", torch.cat([pair[0].weight.reshape(-1), pair[1].weight.reshape(-1)]))


def _orthogonal(run, shape, trivial, how):
    layer = nn.Linear(*shape)
    run.fill(layer)
    if trivial:
        with torch.no_grad():
            q = torch.linalg.qr(layer.weight if shape[0] <= shape[1] else layer.weight.T)[0]
            layer.weight.copy_(q if shape[0] <= shape[1] else q.T)
    layer = parametrizations.orthogonal(layer, "weight", how, use_trivialization=trivial)
    if not trivial:
        with torch.no_grad():
            layer.parametrizations.weight.original.copy_(run.numbers(*layer.weight.shape))
        if how == "householder":
            layer.weight = torch.linalg.qr(run.numbers(*layer.weight.shape))[0]
    run.keep("weight", layer.weight)
    x = run.numbers(3, shape[0])
    run.train(layer, lambda: (layer(x) ** 2).sum() + layer.weight.sum(), torch.optim.SGD(layer.parameters(), lr=0.1))
    run.keep("end", layer.weight)


def orthogonal_householder(run):
    _orthogonal(run, (3, 5), False, "householder")


def orthogonal_wide(run):
    _orthogonal(run, (5, 3), False, None)


def orthogonal_exp(run):
    _orthogonal(run, (4, 4), True, None)


def orthogonal_exp_plain(run):
    _orthogonal(run, (3, 5), False, "matrix_exp")


def orthogonal_cayley(run):
    _orthogonal(run, (4, 4), True, "cayley")


def orthogonal_cayley_plain(run):
    _orthogonal(run, (5, 4), False, "cayley")


def parametrized(run):
    class Symmetric(nn.Module):
        def forward(self, X):
            return X.triu() + X.triu(1).transpose(-1, -2)

        def right_inverse(self, A):
            return A.triu()

    class MatrixExponential(nn.Module):
        def forward(self, X):
            return torch.matrix_exp(X)

    class RankOne(nn.Module):
        def forward(self, x, y):
            return x.unsqueeze(-1) @ y.unsqueeze(-2)

        def right_inverse(self, Z):
            U, S, Vh = torch.linalg.svd(Z, full_matrices=False)
            s0_sqrt = S[0].sqrt().unsqueeze(-1)
            sign = torch.sign(Vh[..., 0, 0])
            return U[..., :, 0] * s0_sqrt * sign, Vh[..., 0, :] * s0_sqrt * sign

    layer, other = run.fill(nn.Linear(4, 4)), run.fill(nn.Linear(4, 2))
    parametrize.register_parametrization(layer, "weight", Symmetric())
    parametrize.register_parametrization(layer, "weight", MatrixExponential())
    parametrize.register_parametrization(other, "weight", RankOne())
    model = nn.Sequential(layer, nn.Tanh(), other)
    x = run.numbers(5, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)

    def loss():
        with parametrize.cached():
            return (model(x) ** 2).mean() + layer.weight.sum() * 1e-2

    run.train(model, loss, optimizer)
    run.text("names", [n for n, _ in model.named_modules()])
    run.text(
        "is", [parametrize.is_parametrized(layer), parametrize.is_parametrized(layer, "bias"), type(layer).__name__]
    )
    parametrize.remove_parametrizations(layer, "weight")
    parametrize.remove_parametrizations(other, "weight", leave_parametrized=True)
    run.state(model, "after ")


def norms_of_weights(run):
    old = run.fill(torch.nn.utils.weight_norm(nn.Conv1d(3, 4, 2), name="weight", dim=0))
    whole = run.fill(torch.nn.utils.weight_norm(nn.Linear(4, 3), dim=None))
    spectral = run.fill(torch.nn.utils.spectral_norm(nn.Linear(3, 3), n_power_iterations=2))
    model = nn.ModuleList([old, whole, spectral])
    x = run.numbers(2, 3, 2)

    def loss():
        return spectral(whole(old(x).flatten(1))).pow(2).mean()

    run.train(model, loss, torch.optim.Adam(model.parameters(), lr=0.1))
    torch.nn.utils.remove_weight_norm(old)
    torch.nn.utils.remove_weight_norm(whole)
    torch.nn.utils.remove_spectral_norm(spectral)
    run.state(model, "after ")
    run.keep("out", loss())


def calls_with_other_tensors(run):
    model = run.fill(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)))
    x, y = run.numbers(5, 3), run.integers(2, 5)
    params = {k: v.detach().clone().requires_grad_() for k, v in model.named_parameters()}
    buffers = {k: v.clone() for k, v in model.named_buffers()}
    for step in range(2):  # MAML's inner loop
        out = torch.func.functional_call(model, (params, buffers), (x,))
        loss = F.cross_entropy(out, y)
        grads = torch.autograd.grad(loss, list(params.values()), create_graph=True)
        params = {k: p - 0.1 * g for (k, p), g in zip(params.items(), grads)}
        run.keep(f"loss{step}", loss)
    outer = F.cross_entropy(torch.nn.utils.stateless.functional_call(model, {**params, **buffers}, x), y)
    run.keep("outer", outer)
    run.keep("running", buffers["1.running_mean"])
    vector = nn.utils.parameters_to_vector(model.parameters())
    nn.utils.vector_to_parameters(vector * 0.5, model.parameters())
    nn.utils.skip_init(nn.Linear, 2, 3)
    run.state(model)


def initial_values(run):
    """What can be known of random starts: bounds and spreads by PyTorch's rules."""
    known = {}
    for name, shape, args in [
        ("xavier_uniform_", (200, 100), dict(gain=nn.init.calculate_gain("relu"))),
        ("kaiming_uniform_", (100, 50, 3), dict(a=math.sqrt(5))),
        ("uniform_", (100, 100), dict(a=-2.0, b=3.0)),
        ("trunc_normal_", (100, 200), dict(std=2.0, a=-1.0, b=1.5)),
    ]:
        w = getattr(nn.init, name)(torch.empty(*shape), **args)
        known[name] = [round(w.min().item(), 1), round(w.max().item(), 1)]
    for name, shape, args in [
        ("xavier_normal_", (300, 200), {}),
        ("kaiming_normal_", (300, 20, 3, 3), dict(mode="fan_out", nonlinearity="leaky_relu", a=0.2)),
        ("normal_", (300, 100), dict(mean=1.0, std=0.5)),
    ]:
        w = getattr(nn.init, name)(torch.empty(*shape), **args)
        known[name] = [abs(round(w.mean().item(), 1)), round(w.std().item(), 2)]
    w = nn.init.sparse_(torch.empty(10, 6), sparsity=0.25)
    known["sparse_"] = (w == 0).sum(0).tolist()
    run.text("known", known)
    run.keep("dirac", nn.init.dirac_(torch.empty(4, 2, 3), groups=2))
    run.keep("eye", nn.init.eye_(torch.empty(2, 3)))
    q = nn.init.orthogonal_(torch.empty(5, 3), gain=2)
    run.keep("orthogonal", (q.T @ q).round(decimals=3))
    run.keep(
        "gains",
        torch.tensor([nn.init.calculate_gain(n) for n in ("linear", "conv2d", "sigmoid", "tanh", "relu", "selu")]),
    )
