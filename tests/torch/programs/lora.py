# Low-rank adaptation: wrapping, merging and unmerging layers, only the adapters saved, and the same by parametrisation.
import math

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.nn.utils.parametrize as parametrize

from reproducible import fill, integers, normal, slopes, tell


class LoRALinear(nn.Linear):
    def __init__(self, in_features, out_features, r=0, lora_alpha=1, lora_dropout=0.0, merge_weights=True, **kwargs):
        nn.Linear.__init__(self, in_features, out_features, **kwargs)
        self.r, self.merged, self.merge_weights = r, False, merge_weights
        self.lora_dropout = nn.Dropout(p=lora_dropout) if lora_dropout > 0.0 else (lambda x: x)
        if r > 0:
            self.lora_A = nn.Parameter(self.weight.new_zeros((r, in_features)))
            self.lora_B = nn.Parameter(self.weight.new_zeros((out_features, r)))
            self.scaling = lora_alpha / r
            self.weight.requires_grad = False
        self.reset_parameters()

    def reset_parameters(self):
        nn.Linear.reset_parameters(self)
        if hasattr(self, "lora_A"):
            nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))
            nn.init.zeros_(self.lora_B)

    def train(self, mode: bool = True):
        nn.Linear.train(self, mode)
        if self.merge_weights and self.r > 0 and self.merged == mode:
            sign = -1 if mode else 1
            self.weight.data += sign * (self.lora_B @ self.lora_A) * self.scaling
            self.merged = not mode
        return self

    def forward(self, x):
        result = F.linear(x, self.weight, bias=self.bias)
        if self.r > 0 and not self.merged:
            result += (self.lora_dropout(x) @ self.lora_A.transpose(0, 1) @ self.lora_B.transpose(0, 1)) * self.scaling
        return result


class Block(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.q_proj, self.v_proj, self.o = nn.Linear(d, d), nn.Linear(d, d, bias=False), nn.Linear(d, d)

    def forward(self, x):
        q, v = self.q_proj(x), self.v_proj(x)
        return self.o(F.softmax(q @ x.mT / x.size(-1) ** 0.5, dim=-1) @ v) + x


class Net(nn.Module):
    def __init__(self, d=12, n=2):
        super().__init__()
        self.emb = nn.Embedding(20, d)
        self.layers = nn.ModuleList([Block(d) for _ in range(n)])
        self.head = nn.Linear(d, 3)

    def forward(self, ids):
        x = self.emb(ids)
        for layer in self.layers:
            x = layer(x)
        return self.head(x.mean(1))


def inject(model, names=("q_proj", "v_proj"), r=2):
    for name, module in list(model.named_modules()):
        if name.split(".")[-1] in names and type(module) is nn.Linear:
            parent = model.get_submodule(name.rpartition(".")[0])
            new = LoRALinear(module.in_features, module.out_features, r=r, lora_alpha=4, bias=module.bias is not None)
            missing = new.load_state_dict(module.state_dict(), strict=False)
            print(name, sorted(missing.missing_keys), missing.unexpected_keys)
            setattr(parent, name.rpartition(".")[2], new)


def mark_only_lora_as_trainable(model, bias="none"):
    for n, p in model.named_parameters():
        if "lora_" not in n:
            p.requires_grad = False
    if bias == "lora_only":
        for m in model.modules():
            if isinstance(m, LoRALinear) and hasattr(m, "bias") and m.bias is not None:
                m.bias.requires_grad = True


net = fill(Net(), 1)
before = {k: v.clone() for k, v in net.state_dict().items()}
inject(net)
fill_adapters = [p for n, p in net.named_parameters() if "lora_A" in n]
for i, p in enumerate(fill_adapters):
    p.data = normal(*p.shape, seed=50 + i) / 3
mark_only_lora_as_trainable(net, "lora_only")
print("trainable", sum(p.numel() for p in net.parameters() if p.requires_grad), "of", sum(p.numel() for p in net.parameters()))
ids, labels = integers(20, 16, 7, seed=2), integers(3, 16, seed=3)
optimizer = torch.optim.AdamW(filter(lambda p: p.requires_grad, net.parameters()), lr=0.02)
for step in range(8):
    net.train()
    loss = F.cross_entropy(net(ids), labels, label_smoothing=0.1)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(f"loss {loss.item():.4f} slopes {slopes(net):.4f}")
out = net(ids)
net.eval()
print("merged equals", torch.allclose(net(ids), out, atol=1e-5), net.layers[0].q_proj.merged)
changed = [k for k, v in before.items() if not torch.equal(v, net.state_dict()[k])]
print(changed)
net.train()
print("unmerged", torch.allclose(net.layers[1].v_proj.weight, before["layers.1.v_proj.weight"], atol=1e-6))
adapters = {k: v for k, v in net.state_dict().items() if "lora_" in k}
tell("adapters", *adapters.values())


class LowRank(nn.Module):
    def __init__(self, rows, columns, rank=1, alpha=1):
        super().__init__()
        self.A = nn.Parameter(normal(rank, columns, seed=8))
        self.B = nn.Parameter(torch.zeros(rows, rank))
        self.scale, self.enabled = alpha / rank, True

    def forward(self, W):
        return W + (self.B @ self.A).view(W.shape) * self.scale if self.enabled else W


lin = fill(nn.Linear(4, 3), 4)
parametrize.register_parametrization(lin, "weight", LowRank(3, 4, 2, 2))
print(lin)
print([n for n, _ in lin.named_parameters()], parametrize.is_parametrized(lin, "weight"))
lin.parametrizations.weight.original.requires_grad_(False)
x = normal(5, 4, seed=9)
(lin(x) ** 2).sum().backward()
tell("slopes", *(p.grad for p in lin.parameters()))
with torch.no_grad():
    lin.parametrizations["weight"][0].B.add_(lin.parametrizations.weight[0].B.grad, alpha=-0.01)
tell("on", lin(x))
lin.parametrizations["weight"][0].enabled = False
tell("off", lin(x))
lin.parametrizations["weight"][0].enabled = True
parametrize.remove_parametrizations(lin, "weight", leave_parametrized=True)
tell("left in", lin(x))
print(lin, lin.weight.requires_grad, type(lin).__name__)
