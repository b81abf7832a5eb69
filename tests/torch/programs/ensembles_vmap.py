# Many models at once, and a gradient for each sample, with torch.func.
import copy

import torch
from torch import nn
from torch.func import functional_call, grad, hessian, jacrev, jvp, stack_module_state, vmap

from reproducible import fill, integers, normal


class SimpleMLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(12, 16)
        self.fc2 = nn.Linear(16, 4)

    def forward(self, x):
        return self.fc2(torch.relu(self.fc1(x.flatten(1))))


models = [fill(SimpleMLP(), seed) for seed in range(5)]
data, targets = normal(20, 12), integers(4, 20)
params, buffers = stack_module_state(models)
base_model = copy.deepcopy(models[0]).to("meta")


def fmodel(params, buffers, x):
    return functional_call(base_model, (params, buffers), (x,))


predictions = vmap(fmodel, in_dims=(0, 0, None))(params, buffers, data)
reference = torch.stack([model(data) for model in models])
print(predictions.shape, torch.allclose(predictions, reference, atol=1e-5), f"{predictions.std(0).mean().item():.5f}")

model = models[0]
params = {k: v.detach() for k, v in model.named_parameters()}


def compute_loss(params, sample, target):
    out = functional_call(model, params, (sample.unsqueeze(0),))
    return nn.functional.cross_entropy(out, target.unsqueeze(0))


per_sample = vmap(grad(compute_loss), in_dims=(None, 0, 0))(params, data, targets)
print({k: (v.shape, round(v.norm().item(), 4)) for k, v in per_sample.items()})
mean = nn.functional.cross_entropy(model(data), targets)
mean.backward()
print(torch.allclose(per_sample["fc1.weight"].mean(0), model.fc1.weight.grad, atol=1e-5))


def f(x):
    return torch.sin(x).prod()


x = torch.tensor([0.3, 0.7, 1.1])
print(jacrev(lambda x: x**2 * x.sum())(x))
print(hessian(f)(x))
print(jvp(f, (x,), (torch.ones(3),)))
