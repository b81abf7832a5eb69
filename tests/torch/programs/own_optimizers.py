# Optimizers of one's own: momentum, Adam, Lion, LARS, SAM with a closure, Lookahead around another, Muon; hooks, groups.
import math
from collections import defaultdict

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.optim.optimizer import required

from reproducible import attempt, fill, integers, normal, tell


class Momentum(Optimizer):
    def __init__(self, params, lr=required, momentum=0, dampening=0, weight_decay=0, nesterov=False):
        if lr is not required and lr < 0.0:
            raise ValueError("Invalid learning rate: {}".format(lr))
        super().__init__(params, dict(lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay, nesterov=nesterov))

    def __setstate__(self, state):
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("nesterov", False)

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                d_p = p.grad.add(p, alpha=group["weight_decay"])
                state = self.state[p]
                if "momentum_buffer" not in state:
                    buf = state["momentum_buffer"] = torch.clone(d_p).detach()
                else:
                    buf = state["momentum_buffer"]
                    buf.mul_(group["momentum"]).add_(d_p, alpha=1 - group["dampening"])
                d_p = d_p.add(buf, alpha=group["momentum"]) if group["nesterov"] else buf
                p.add_(d_p, alpha=-group["lr"])
        return loss


class OldAdam(Optimizer):
    """As written before torch.no_grad was a decorator, with the overloads of that time."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
        super(OldAdam, self).__init__(params, dict(lr=lr, betas=betas, eps=eps))

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                grad = p.grad.data
                state = self.state[p]
                if len(state) == 0:
                    state["step"] = 0
                    state["exp_avg"] = torch.zeros_like(p.data)
                    state["exp_avg_sq"] = torch.zeros_like(p.data)
                exp_avg, exp_avg_sq = state["exp_avg"], state["exp_avg_sq"]
                beta1, beta2 = group["betas"]
                state["step"] += 1
                exp_avg.mul_(beta1).add_(grad, alpha=1 - beta1)
                exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
                denom = exp_avg_sq.sqrt().add_(group["eps"])
                step_size = group["lr"] * math.sqrt(1 - beta2 ** state["step"]) / (1 - beta1 ** state["step"])
                p.data.addcdiv_(exp_avg, denom, value=-step_size)


class Lion(Optimizer):
    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in filter(lambda p: p.grad is not None, group["params"]):
                state = self.state[p]
                if not state:
                    state["exp_avg"] = torch.zeros_like(p, memory_format=torch.preserve_format)
                b1, b2 = group["betas"]
                p.data.mul_(1 - group["lr"] * group["weight_decay"])
                update = state["exp_avg"].clone().mul_(b1).add(p.grad, alpha=1 - b1).sign_()
                p.add_(update, alpha=-group["lr"])
                state["exp_avg"].lerp_(p.grad, 1 - b2)


class LARS(Momentum):
    @torch.no_grad()
    def step(self, closure=None):
        for g in self.param_groups:
            for p in g["params"]:
                if p.grad is not None and p.ndim > 1:
                    q = torch.where(p.norm() > 0.0, torch.where(p.grad.norm() > 0, 0.01 * p.norm() / p.grad.norm(), 1.0), 1.0)
                    p.grad.mul_(q)
        return super().step(closure)


class SAM(Optimizer):
    def __init__(self, params, base_optimizer, rho=0.05, **kwargs):
        super().__init__(params, dict(rho=rho, **kwargs))
        self.base_optimizer = base_optimizer(self.param_groups, **kwargs)
        self.param_groups = self.base_optimizer.param_groups
        self.defaults.update(self.base_optimizer.defaults)

    @torch.no_grad()
    def step(self, closure=None):
        norm = torch.norm(torch.stack([p.grad.norm(p=2) for g in self.param_groups for p in g["params"] if p.grad is not None]), p=2)
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["old_p"] = p.data.clone()
                p.add_(p.grad * (group["rho"] / (norm + 1e-12)).to(p))
        self.zero_grad()
        torch.enable_grad()(closure)()
        for group in self.param_groups:
            for p in group["params"]:
                p.data = self.state[p]["old_p"]
        self.base_optimizer.step()

    def load_state_dict(self, state_dict):
        super().load_state_dict(state_dict)
        self.base_optimizer.param_groups = self.param_groups


class Lookahead(Optimizer):
    def __init__(self, optimizer, k=3, alpha=0.5):
        super().__init__(optimizer.param_groups, {})
        self.optimizer, self.k, self.alpha = optimizer, k, alpha
        self.param_groups = self.optimizer.param_groups
        self.state = defaultdict(dict)
        self.fast_state = self.optimizer.state
        for group in self.param_groups:
            group["counter"] = 0

    def step(self, closure=None):
        loss = self.optimizer.step(closure)
        for group in self.param_groups:
            group["counter"] = (group["counter"] + 1) % self.k
            if group["counter"] == 0:
                for fast in group["params"]:
                    state = self.state[fast]
                    if "slow" not in state:
                        state["slow"] = torch.zeros_like(fast.data).copy_(fast.data)
                    slow = state["slow"]
                    slow += (fast.data - slow) * self.alpha
                    fast.data.copy_(slow)
        return loss


class Muon(Optimizer):
    def __init__(self, params, lr=0.02, momentum=0.95):
        super().__init__(params, dict(lr=lr, momentum=momentum))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                g = p.grad
                buf = self.state[p].setdefault("buf", torch.zeros_like(g))
                buf.lerp_(g, 1 - group["momentum"])
                X = g.lerp_(buf, group["momentum"])
                X = X / (X.norm() + 1e-7)
                tall = X.size(-2) > X.size(-1)
                X = X.mT if tall else X
                for a, b, c in [(3.4445, -4.7750, 2.0315)] * 5:
                    A = X @ X.mT
                    B = torch.addmm(A, A, A, beta=b, alpha=c)
                    X = torch.addmm(X, B, X, beta=a, alpha=1)
                p.add_(X.mT if tall else X, alpha=-group["lr"] * max(1, p.size(0) / p.size(1)) ** 0.5)


class Warmup(LRScheduler):
    def __init__(self, optimizer, warmup, last_epoch=-1):
        self.warmup = warmup
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        return [base * min(1.0, (self.last_epoch + 1) / self.warmup) for base in self.base_lrs]


x, y = normal(40, 5, seed=1), integers(3, 40, seed=2)


def net():
    return fill(nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)), 3)


for name, make in {
    "momentum": lambda m: Momentum(m.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "old Adam": lambda m: OldAdam([{"params": m[0].parameters()}, {"params": m[2].parameters(), "lr": 0.1, "betas": (0.8, 0.9)}], lr=0.01),
    "Lion": lambda m: Lion(m.parameters(), lr=0.01, weight_decay=0.1),
    "LARS": lambda m: LARS(m.parameters(), lr=1.0, momentum=0.9),
    "SAM": lambda m: SAM(m.parameters(), torch.optim.SGD, rho=0.1, lr=0.1, momentum=0.9),
    "Lookahead": lambda m: Lookahead(torch.optim.Adam(m.parameters(), lr=0.02)),
    "Muon": lambda m: Muon([p for p in m.parameters() if p.ndim == 2]),
}.items():
    model = net()
    optimizer = make(model)
    scheduler = Warmup(optimizer, 3) if name not in ("Lookahead",) else None

    def closure():
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        return loss

    for step in range(5):
        optimizer.zero_grad()
        loss = closure()
        optimizer.step(closure) if name == "SAM" else optimizer.step()
        if scheduler:
            scheduler.step()
    print(f"{name:<10} {loss.item():.5f} {F.cross_entropy(model(x), y).item():.5f}", scheduler and [round(v, 4) for v in scheduler.get_last_lr()])
print(optimizer)
attempt("required", lambda: Momentum(net().parameters()))
attempt("empty", lambda: Momentum([], lr=0.1))
attempt("not tensors", lambda: Momentum([1, 2], lr=0.1))
attempt("twice", lambda: Momentum([{"params": (p := list(net().parameters()))}, {"params": p}], lr=0.1))
attempt("not leaves", lambda: Momentum([net()[0].weight * 2], lr=0.1))
attempt("a tensor", lambda: Momentum(torch.ones(2, requires_grad=True), lr=0.1))
attempt("a set", lambda: Momentum(set(net().parameters()), lr=0.1))
model = net()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
seen = []
a = optimizer.register_step_pre_hook(lambda opt, args, kwargs: seen.append("before"))
b = optimizer.register_step_post_hook(lambda opt, args, kwargs: seen.append("after"))
optimizer.register_state_dict_post_hook(lambda opt, state: {**state, "note": 1})
F.cross_entropy(model(x), y).backward()
optimizer.step()
a.remove()
optimizer.step()
print(seen, sorted(optimizer.state_dict()))
optimizer.add_param_group({"params": [torch.ones(2, requires_grad=True)], "lr": 0.5})
print([g["lr"] for g in optimizer.param_groups], len(optimizer.param_groups[1]["params"]))
attempt("again", lambda: optimizer.add_param_group({"params": model[0].weight}))
sched = LambdaLR(optimizer, [lambda e: 0.9**e, lambda e: 1 / (e + 1)])
for _ in range(3):
    optimizer.step(), sched.step()
print([round(v, 5) for v in sched.get_last_lr()], sched.state_dict()["last_epoch"], optimizer.param_groups[0]["initial_lr"])
named = torch.optim.AdamW(net().named_parameters(), lr=0.1)
print(named.param_groups[0]["param_names"])
m = net()
per_layer = {p: torch.optim.SGD([p], lr=0.1) for p in m.parameters()}


def step_now(p):
    per_layer[p].step()
    per_layer[p].zero_grad()


for p in m.parameters():
    p.register_post_accumulate_grad_hook(step_now)
F.cross_entropy(m(x), y).backward()
tell("stepped in backward", *m.parameters())
print(all(p.grad is None for p in m.parameters()))
