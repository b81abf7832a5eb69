# Per-sample gradients, model ensembling and neural tangent kernels.
import torch, copy
import torch.nn as nn, torch.nn.functional as F
from torch.func import functional_call, vmap, grad, stack_module_state, jacrev, vjp, jvp


def show(*values):
    """print without the graph behind the tensors: its nodes have names of their own."""
    print(*[v.detach() if isinstance(v, torch.Tensor) else v for v in values])


class SimpleCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, 1)
        self.conv2 = nn.Conv2d(4, 6, 3, 1)
        self.fc1 = nn.Linear(96, 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = self.conv2(x)
        x = F.relu(x)
        x = F.max_pool2d(x, 2)
        return F.log_softmax(self.fc1(torch.flatten(x, 1)), dim=1)


def fill(m, scale=0.3):
    with torch.no_grad():
        for i, p in enumerate(m.parameters()):
            p.copy_((torch.arange(p.numel(), dtype=torch.float32) * (0.37 + i)).sin().reshape(p.shape) * scale)
    return m


def loss_fn(predictions, targets):
    return F.nll_loss(predictions, targets)


model = fill(SimpleCNN())
data = (torch.arange(5 * 12 * 12, dtype=torch.float32) * 0.11).cos().reshape(5, 1, 12, 12)
targets = torch.tensor([1, 3, 5, 7, 9])


def compute_grad(sample, target):
    return torch.autograd.grad(loss_fn(model(sample.unsqueeze(0)), target.unsqueeze(0)), list(model.parameters()))


per_sample_grads = [torch.stack(s) for s in zip(*[compute_grad(data[i], targets[i]) for i in range(5)])]
params = {k: v.detach() for k, v in model.named_parameters()}
buffers = {k: v.detach() for k, v in model.named_buffers()}


def compute_loss(params, buffers, sample, target):
    return loss_fn(functional_call(model, (params, buffers), (sample.unsqueeze(0),)), target.unsqueeze(0))


ft = vmap(grad(compute_loss), in_dims=(None, None, 0, 0))(params, buffers, data, targets)
for a, b in zip(per_sample_grads, ft.values()):
    show(tuple(a.shape), torch.allclose(a, b, atol=1e-5), f"{a.norm():.5f}")
models = [fill(nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)), 0.2 + 0.1 * i) for i in range(3)]
p, bf = stack_module_state(models)
base = copy.deepcopy(models[0]).to("meta")


def fmodel(params, buffers, x):
    return functional_call(base, (params, buffers), (x,))


xs = torch.linspace(-1, 1, 3 * 2 * 6).reshape(3, 2, 6)
pred = vmap(fmodel)(p, bf, xs)
show(pred.shape, pred.sum(), torch.allclose(pred, torch.stack([m(x) for m, x in zip(models, xs)]), atol=1e-5))
show(
    vmap(fmodel, in_dims=(0, 0, None))(p, bf, xs[0]).shape,
    [tuple(v.shape) for v in p.values()],
    p["0.weight"].requires_grad,
)
net = fill(SimpleCNN())
params = {k: v.detach() for k, v in net.named_parameters()}


def fnet_single(params, x):
    return functional_call(net, params, (x.unsqueeze(0),)).squeeze(0)


def empirical_ntk(fnet_single, params, x1, x2, compute="full"):
    j1 = vmap(jacrev(fnet_single), (None, 0))(params, x1)
    j1 = [j.flatten(2) for j in j1.values()]
    j2 = vmap(jacrev(fnet_single), (None, 0))(params, x2)
    j2 = [j.flatten(2) for j in j2.values()]
    es = {"full": "Naf,Mbf->NMab", "trace": "Naf,Maf->NM", "diagonal": "Naf,Maf->NMa"}[compute]
    return torch.stack([torch.einsum(es, a, b) for a, b in zip(j1, j2)]).sum(0)


x1, x2 = data[:3], data[3:]
full = empirical_ntk(fnet_single, params, x1, x2)
show(full.shape, full.sum(), full[0, 0].diag())


def ntk_vps(func, params, x1, x2, compute="full"):
    def get_ntk(x1, x2):
        def func_x1(p):
            return func(p, x1)

        def func_x2(p):
            return func(p, x2)

        output, vjp_fn = vjp(func_x1, params)

        def get_slice(vec):
            vjps = vjp_fn(vec)
            _, jvps = jvp(func_x2, (params,), vjps)
            return jvps

        basis = torch.eye(output.numel()).view(output.numel(), -1)
        return vmap(get_slice)(basis)

    return vmap(vmap(get_ntk, (None, 0)), (0, None))(x1, x2)


res = ntk_vps(fnet_single, params, x1, x2)
show(torch.allclose(res, full, rtol=1e-3, atol=1e-4))
show(empirical_ntk(fnet_single, params, x1, x2, "trace"))


def raises(kind, fn):
    try:
        fn()
    except kind:
        return True
    except Exception as e:
        return "other"
    return "none"


show(
    raises(RuntimeError, lambda: functional_call(net, {"nope": torch.ones(1)}, (data,))),
    raises(TypeError, lambda: functional_call(net, {}, (data,), strict=5)) if False else "",
)
show(functional_call(nn.Linear(2, 1), {"weight": torch.ones(1, 2), "bias": torch.zeros(1)}, torch.tensor([[1.0, 2.0]])))
tied = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
tied[1].weight = tied[0].weight
show(
    functional_call(tied, {"0.weight": torch.eye(2) * 2}, torch.ones(1, 2)),
    functional_call(tied, {"0.weight": torch.eye(2) * 2}, torch.ones(1, 2), tie_weights=False).shape,
)
