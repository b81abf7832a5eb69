# State dicts: renaming, prefixes, partial loading, hooks, extra state, assign, buffers that stay out, shared parameters.
import copy
import io
from collections import OrderedDict

import torch
import torch.nn as nn

from reproducible import attempt, fill, normal, tell


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(OrderedDict([("conv0", nn.Conv2d(1, 2, 3)), ("norm0", nn.BatchNorm2d(2)), ("relu0", nn.ReLU())]))
        self.classifier = nn.Linear(2, 3)
        self.register_buffer("steps", torch.tensor(0))
        self.register_buffer("scratch", torch.zeros(2), persistent=False)
        self.register_buffer("nothing", None)
        self.register_parameter("none", None)

    def forward(self, x):
        self.steps += 1
        return self.classifier(self.features(x).mean((2, 3)))


net = fill(Net(), 1)
print(list(net.state_dict()), list(dict(net.named_buffers())), list(net.state_dict()._metadata.items())[:3])
print(net.state_dict(prefix="module.").keys())
wrapped = OrderedDict(("module." + k, v) for k, v in net.state_dict().items())
attempt("wrapped", lambda: net.load_state_dict(wrapped))
result = net.load_state_dict(wrapped, strict=False)
print(result.missing_keys, result.unexpected_keys[:2], result)
torch.nn.modules.utils.consume_prefix_in_state_dict_if_present(wrapped, "module.")
print(net.load_state_dict(wrapped))
try:
    bad = dict(net.state_dict())
    bad["classifier.weight"] = torch.zeros(4, 2)
    del bad["classifier.bias"]
    bad["extra"] = torch.zeros(1)
    net.load_state_dict(bad)
except RuntimeError as e:
    text = str(e)
    print("size mismatch" in text, "Missing key(s)" in text, "Unexpected key(s)" in text, "classifier.bias" in text, "extra" in text)
sd = net.state_dict()
sd["classifier.weight"].zero_()
print("shares", net.classifier.weight.abs().sum().item(), sd["classifier.weight"].requires_grad, net.state_dict(keep_vars=True)["classifier.weight"].requires_grad)
attempt("not a dict", lambda: net.load_state_dict([1, 2]))


class Versioned(nn.Module):
    _version = 2

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(2))
        self.history = ["made"]

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs):
        version = local_metadata.get("version", None)
        if (version is None or version < 2) and prefix + "scale" in state_dict:
            state_dict[prefix + "gain"] = state_dict.pop(prefix + "scale").log()
            self.history.append(f"from {version}")
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)

    def get_extra_state(self):
        return {"history": list(self.history), "size": 2}

    def set_extra_state(self, state):
        self.history = state["history"] + ["loaded"]


outer = nn.ModuleDict({"a": Versioned(), "b": nn.Identity()})
print(outer.state_dict().keys(), outer.state_dict()["a._extra_state"])
outer["a"].history.append("changed")
other = nn.ModuleDict({"a": Versioned(), "b": nn.Identity()})
print(other.load_state_dict(outer.state_dict()), other["a"].history)
print(outer.load_state_dict({"a.scale": torch.tensor([1.0, 2.0])}, strict=False), outer["a"].gain, outer["a"].history)
buffer = io.BytesIO()
torch.save({"model": outer.state_dict(), "epoch": 3, "best": 0.5}, buffer)
buffer.seek(0)
again = torch.load(buffer, map_location="cpu", weights_only=True)
print(again.keys(), type(again["model"]).__name__, again["model"]["a._extra_state"], again["model"]._metadata["a"])

lines = []
layer = fill(nn.Linear(2, 2), 2)
layer._register_state_dict_hook(lambda module, state, prefix, meta: lines.append(f"private {prefix!r} {list(state)}"))
layer.register_state_dict_post_hook(lambda module, state, prefix, meta: state.update({prefix + "more": torch.ones(1)}))
layer.register_state_dict_pre_hook(lambda module, prefix, keep: lines.append(f"before {prefix!r} {keep}"))
h = layer.register_load_state_dict_pre_hook(lambda module, state, prefix, *rest: state.pop(prefix + "more", None) is not None and lines.append("popped"))
layer.register_load_state_dict_post_hook(lambda module, incompatible: incompatible.missing_keys.clear())
model = nn.Sequential(layer, nn.Tanh())
state = model.state_dict()
print(list(state), lines)
del state["0.bias"]
print(model.load_state_dict(state), lines[-1])
h.remove()
attempt("without the hook", lambda: model.load_state_dict(model.state_dict()))

with torch.device("meta"):
    empty = nn.Linear(2, 2)
print(empty.weight.device, empty.weight.is_meta)
given = {"weight": normal(2, 2, seed=3), "bias": torch.zeros(2)}
empty.load_state_dict(given, assign=True)
print(empty.weight.device, type(empty.weight).__name__, empty.weight.requires_grad, empty.weight.data_ptr() == given["weight"].data_ptr())
tell("assigned", empty(torch.ones(1, 2)))
double = nn.Linear(2, 2)
double.load_state_dict({k: v.double() for k, v in given.items()})
print(double.weight.dtype)
double.load_state_dict({k: v.double() for k, v in given.items()}, assign=True)
print(double.weight.dtype)
made = nn.Linear(2, 2, device="meta").to_empty(device="cpu")
print(made.weight.shape, made.weight.is_leaf)

tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
tied[1].weight = tied[0].weight
print(len(list(tied.parameters())), list(tied.state_dict()), [n for n, _ in tied.named_parameters(remove_duplicate=False)])
twin = copy.deepcopy(tied)
print(twin[0].weight is twin[1].weight, twin[0].weight is tied[0].weight)
pre = {k: v for k, v in net.state_dict().items() if k in Net().state_dict() and not k.startswith("classifier")}
target = Net()
full = target.state_dict()
full.update(pre)
target.load_state_dict(full)
print([k for k in full if torch.equal(full[k], net.state_dict()[k])][:4])
averaged = OrderedDict((k, torch.stack([s[k].float() for s in (net.state_dict(), target.state_dict())]).mean(0)) for k in net.state_dict())
print(net.load_state_dict(averaged), net.steps.dtype)
print([n for n, _ in net.named_children()], [n for n, _ in net.named_modules()], net.get_parameter("features.conv0.bias").shape, net.get_buffer("features.norm0.running_var").shape)
attempt("get_submodule", lambda: net.get_submodule("features.nothing"))
attempt("get_parameter", lambda: net.get_parameter("features.conv0"))
net.set_submodule("features.relu0", nn.GELU())
print(net.features)
attempt("add", lambda: net.add_module("a.b", nn.ReLU()))
attempt("again", lambda: net.register_buffer("steps", torch.zeros(1)))
attempt("taken", lambda: net.register_buffer("forward", torch.zeros(1)))
attempt("not a parameter", lambda: setattr(net.classifier, "weight", torch.zeros(3, 2)))
attempt("before init", lambda: type("Bad", (nn.Module,), {"__init__": lambda self: setattr(self, "w", nn.Parameter(torch.zeros(1)))})())
del net.classifier.bias
attempt("gone", lambda: net.classifier.bias)
optimizer = torch.optim.Adam(target.parameters(), lr=0.1)
target(normal(2, 1, 5, 5, seed=4)).sum().backward()
optimizer.step()
state = optimizer.state_dict()
print(state["param_groups"][0]["params"], sorted(state["state"][0]), state["state"][0]["step"])
fresh = torch.optim.Adam(target.parameters(), lr=0.5)
fresh.load_state_dict(state)
print(fresh.param_groups[0]["lr"], fresh.state[next(target.parameters())]["exp_avg"].shape)
attempt("groups", lambda: torch.optim.Adam([next(target.parameters())]).load_state_dict(state))
