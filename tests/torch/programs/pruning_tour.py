# The pruning tutorial: methods, masks and hooks, several on one tensor, globally, one's own, serialising, making it permanent.
import copy

import torch
import torch.nn.functional as F
import torch.nn.utils.prune as prune
from torch import nn

from reproducible import attempt, fill, normal, slopes, tell


class LeNet(nn.Module):
    def __init__(self):
        super(LeNet, self).__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 24)
        self.fc3 = nn.Linear(24, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), (2, 2))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.view(-1, int(x.nelement() / x.shape[0]))
        return self.fc3(F.relu(self.fc1(x)))


model = fill(LeNet(), 1)
module = model.conv1
print([n for n, _ in module.named_parameters()], [n for n, _ in module.named_buffers()])
importance = normal(6, 1, 5, 5, seed=2)
prune.l1_unstructured(module, name="weight", amount=0.3, importance_scores=importance)
print([n for n, _ in module.named_parameters()], [n for n, _ in module.named_buffers()], type(module.weight).__name__)
print(module._forward_pre_hooks.__class__.__name__, len(module._forward_pre_hooks), int(module.weight_mask.sum()))
prune.l1_unstructured(module, name="bias", amount=3)
print([n for n, _ in module.named_parameters()], module.bias_mask, len(module._forward_pre_hooks))
prune.ln_structured(module, name="weight", amount=0.5, n=2, dim=0)
for hook in module._forward_pre_hooks.values():
    if hook._tensor_name == "weight":
        break
print(type(hook).__name__, [type(h).__name__ for h in hook], len(hook), hook[1].amount, hook[1].dim)
print(sorted(model.state_dict().keys())[:6])
tell("masked", module.weight, module.weight_mask)
loss = model(normal(3, 1, 32, 32, seed=3)).square().mean()
loss.backward()
tell("slopes", loss, module.weight_orig.grad, module.bias_orig.grad)
print("no slope where pruned", bool((module.weight_orig.grad[module.weight_mask == 0] == 0).all()), prune.is_pruned(model), prune.is_pruned(model.fc1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
optimizer.step()
model(normal(1, 1, 32, 32, seed=4))
print("still zero", bool((module.weight[module.weight_mask == 0] == 0).all()))
prune.remove(module, "weight")
print([n for n, _ in module.named_parameters()], type(module.weight).__name__, len(module._forward_pre_hooks))
for name, m in model.named_modules():
    if isinstance(m, nn.Conv2d) and name != "conv1":
        prune.l1_unstructured(m, name="weight", amount=0.2)
    elif isinstance(m, nn.Linear):
        prune.ln_structured(m, name="weight", amount=0.4, n=float("inf"), dim=1)
print(dict(model.named_buffers()).keys())
tell("masks", *dict(model.named_buffers()).values())

model = fill(LeNet(), 5)
wanted = ((model.conv1, "weight"), (model.conv2, "weight"), (model.fc1, "weight"), (model.fc3, "weight"))
prune.global_unstructured(wanted, pruning_method=prune.L1Unstructured, amount=0.2)
for m, n in wanted:
    print("Sparsity: {:.2f}%".format(100.0 * float(torch.sum(getattr(m, n) == 0)) / float(getattr(m, n).nelement())))
state = copy.deepcopy(model.state_dict())
fresh = LeNet()
for m in (fresh.conv1, fresh.conv2, fresh.fc1, fresh.fc3):
    prune.identity(m, "weight")
print(fresh.load_state_dict(state))
tell("loaded", fresh.fc3.weight_mask, fresh(normal(1, 1, 32, 32, seed=6)))


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


lin = fill(nn.Linear(3, 4), 7)
foobar_unstructured(lin, name="bias")
print(lin.bias_mask, lin.bias)
foobar_unstructured(lin, name="weight")
prune.custom_from_mask(lin, name="weight", mask=torch.tensor([[1, 1, 0]] * 4))
print(lin.weight_mask, type(next(iter(lin._forward_pre_hooks.values()))).__name__)
for name, f in {
    "too many": lambda: prune.l1_unstructured(nn.Linear(2, 2), "weight", amount=5),
    "negative": lambda: prune.l1_unstructured(nn.Linear(2, 2), "weight", amount=-1),
    "share": lambda: prune.l1_unstructured(nn.Linear(2, 2), "weight", amount=1.5),
    "no such": lambda: prune.l1_unstructured(nn.Linear(2, 2), "weights", amount=0.5),
    "not pruned": lambda: prune.remove(nn.Linear(2, 2), "weight"),
    "one dim": lambda: prune.ln_structured(nn.Linear(2, 2), "bias", 0.5, 2, 0),
    "dim": lambda: prune.ln_structured(nn.Linear(2, 2), "weight", 0.5, 2, 4),
    "mask shape": lambda: prune.custom_from_mask(nn.Linear(2, 2), "weight", torch.ones(3)),
    "list": lambda: prune.global_unstructured([nn.Linear(2, 2)], prune.L1Unstructured, amount=0.2),
    "structured": lambda: prune.global_unstructured([(nn.Linear(2, 2), "weight")], prune.LnStructured, amount=0.2),
}.items():
    attempt(name, lambda: type(f()).__name__)
rnn = nn.LSTM(3, 4)
prune.random_unstructured(rnn, "weight_hh_l0", amount=0.5)
print(int((rnn.weight_hh_l0 == 0).sum()), rnn(normal(2, 1, 3, seed=8))[0].shape)
t = normal(3, 4, seed=9)
print(prune.L1Unstructured(amount=4).prune(t), prune.LnStructured(amount=1, n=1, dim=0).prune(t))
tell("random", prune.RandomStructured(amount=1, dim=1).compute_mask(t, torch.ones_like(t)).sum())
