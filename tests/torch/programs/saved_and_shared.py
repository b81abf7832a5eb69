# Saving and loading: what shares memory still does, what is read back is equal, what is unsafe or broken is refused.
import collections
import copy
import io
import os
import pickle
import tempfile

import torch
from torch import nn
from reproducible import attempt as attempted


def attempt(name, fn):
    attempted(name, fn, EOFError, pickle.UnpicklingError, FileNotFoundError, KeyError)


def again(obj, **how):
    buffer = io.BytesIO()
    torch.save(obj, buffer)
    buffer.seek(0)
    return torch.load(buffer, **how)


for d in (
    torch.float32,
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int8,
    torch.uint8,
    torch.bool,
    torch.complex64,
):
    x = torch.arange(6).reshape(2, 3).to(d)
    y = again(x)
    print(d, y.dtype, tuple(y.shape), y.stride(), torch.equal(x, y))
base = torch.arange(10.0)
pair = again({"all": base, "part": base[2:5], "t": base.reshape(2, 5).t()})
pair["all"].mul_(0)
print(
    "shared",
    pair["part"],
    pair["t"].sum(),
    pair["part"].storage_offset(),
    pair["t"].stride(),
    pair["part"].untyped_storage().nbytes(),
)
w = torch.ones(2, requires_grad=True)
print("leaf", again(w).requires_grad, again(w * 2).requires_grad, again(nn.Parameter(w.detach())).__class__.__name__)
things = {
    "list": [1, 2.5, "a", None, True],
    "tuple": (torch.zeros(1), {"k": {1, 2}}),
    "ordered": collections.OrderedDict(a=1),
    "size": torch.zeros(2, 3).shape,
    "dtype": torch.float16,
    "device": torch.device("cpu"),
    "complex": 1 + 2j,
    "bytes": b"ab",
}
for name, value in things.items():
    attempt(name, lambda: again(value))
attempt("empty", lambda: again(torch.zeros(0, 3)).shape)
attempt("scalar", lambda: again(torch.tensor(3.5)))
attempt("expanded", lambda: (lambda t: (t.stride(), t.untyped_storage().nbytes()))(again(torch.ones(1).expand(4))))
attempt("conj", lambda: again(torch.tensor([1 + 2j]).conj()))
attempt("numpy scalar", lambda: again(torch.ones(2).sum().item()))
attempt("not a file", lambda: torch.load(io.BytesIO(b"nothing")))
attempt("empty file", lambda: torch.load(io.BytesIO(b"")))
attempt("no such file", lambda: torch.load("/no/such/file.pt"))
attempt("map_location", lambda: again(torch.ones(2), map_location="cpu").device)
attempt("map_location meta", lambda: again(torch.ones(2), map_location="meta").device)
attempt("map_location fn", lambda: again(torch.ones(2), map_location=lambda s, place: s))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 2)
        self.b = nn.BatchNorm1d(2)
        self.c = nn.ModuleList([nn.Linear(2, 2, bias=False), nn.PReLU()])
        self.register_buffer("mask", torch.tensor([True, False]))
        self.register_buffer("temp", torch.zeros(1), persistent=False)
        self.tied = self.a.weight

    def forward(self, x):
        return self.c[1](self.c[0](self.b(self.a(x))))


net = Net()
sd = net.state_dict()
print(list(sd), type(sd).__name__, sd._metadata["b"])
print(
    [k for k, _ in net.named_parameters()],
    [k for k, _ in net.named_parameters(remove_duplicate=False)],
    [k for k, _ in net.named_buffers()],
)
back = again(sd)
other = Net()
print(other.load_state_dict(back))
print(all(torch.equal(p, q) for p, q in zip(net.parameters(), other.parameters())), other.a.weight is other.tied)
back.pop("b.bias")
back["extra"] = torch.ones(1)
attempt("strict", lambda: other.load_state_dict(back))
attempt("loose", lambda: other.load_state_dict(back, strict=False))
bad = {**sd, "a.weight": torch.ones(5, 5)}
attempt("shape", lambda: other.load_state_dict(bad, strict=False))
attempt("not a dict", lambda: other.load_state_dict([1]))
attempt(
    "double into float",
    lambda: (
        other.load_state_dict({k: v.double() if v.is_floating_point() else v for k, v in sd.items()}),
        other.a.weight.dtype,
    ),
)
attempt(
    "assign",
    lambda: (
        other.load_state_dict({k: v.double() if v.is_floating_point() else v for k, v in sd.items()}, assign=True),
        other.a.weight.dtype,
        type(other.a.weight).__name__,
    ),
)
sd["a.bias"].fill_(7)
print("alias", net.a.bias)
twin = copy.deepcopy(net)
print("deepcopy", twin.a.weight is twin.tied, twin.a.weight is net.a.weight, twin.training)
x = torch.arange(12.0).reshape(4, 3)
opt = torch.optim.AdamW(net.parameters(), 0.01)
sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, 10)
for _ in range(3):
    opt.zero_grad()
    net(x).square().mean().backward()
    opt.step()
    sched.step()
state = again(
    {
        "net": net.state_dict(),
        "opt": opt.state_dict(),
        "sched": sched.state_dict(),
        "epoch": 3,
        "rng": torch.get_rng_state(),
    }
)
print(
    sorted(state["opt"]),
    sorted(state["opt"]["state"][0]),
    state["opt"]["param_groups"][0]["params"],
    round(state["opt"]["param_groups"][0]["lr"], 6),
    state["sched"]["last_epoch"],
)
fresh = Net()
fresh.load_state_dict(state["net"])
opt2 = torch.optim.AdamW(fresh.parameters(), 0.5)
opt2.load_state_dict(state["opt"])
sched2 = torch.optim.lr_scheduler.CosineAnnealingLR(opt2, 10)
sched2.load_state_dict(state["sched"])
for m, o, s in ((net, opt, sched), (fresh, opt2, sched2)):
    for _ in range(2):
        o.zero_grad()
        m(x).square().mean().backward()
        o.step()
        s.step()
print(
    "resumed",
    all(torch.equal(p, q) for p, q in zip(net.parameters(), fresh.parameters())),
    sched.get_last_lr() == sched2.get_last_lr(),
)
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "net.pt")
    torch.save(net.state_dict(), path)
    print(
        sorted(torch.load(path, weights_only=True)) == sorted(net.state_dict()),
        torch.load(path, mmap=True)["a.weight"].shape,
    )
    with open(path, "r+b") as file:
        file.truncate(os.path.getsize(path) // 2)
    attempt("truncated", lambda: torch.load(path))
    from safetensors.torch import load_file, save_file

    save_file(
        {k: v for k, v in fresh.state_dict().items() if k != "tied"},
        os.path.join(folder, "a.safetensors"),
        metadata={"by": "test"},
    )
    read = load_file(os.path.join(folder, "a.safetensors"))
    print(sorted(read), all(torch.equal(read[k], fresh.state_dict()[k]) for k in read))
attempt("pickle", lambda: torch.equal(pickle.loads(pickle.dumps(x)), x))
attempt(
    "pickle module",
    lambda: torch.equal(
        pickle.loads(pickle.dumps(nn.Linear(2, 2).requires_grad_(False))).weight.detach() * 0, torch.zeros(2, 2)
    ),
)
attempt("pickle graph", lambda: len(pickle.dumps(w * 2)) > 0)
attempt("deepcopy graph", lambda: copy.deepcopy(w * 2))
