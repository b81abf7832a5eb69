# Looking inside: forward and backward hooks, Grad-CAM, saliency, integrated gradients, an adversarial picture.
import torch
import torch.nn as nn
import torch.nn.functional as F

from reproducible import fill, normal


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU()
        )
        self.avgpool = nn.AdaptiveAvgPool2d(2)
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(32, 4))

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)))


model = fill(Net(), 1).eval()
activation, order, sizes = {}, [], []


def get_activation(name):
    def hook(module, args, output):
        activation[name] = output.detach()

    return hook


handles = [module.register_forward_hook(get_activation(name)) for name, module in model.named_modules() if name]
handles.append(model.classifier[1].register_forward_pre_hook(lambda m, args: sizes.append(tuple(args[0].shape))))
handles.append(model.features[0].register_full_backward_hook(lambda m, gi, go: order.append(go[0].abs().sum().item())))
handles.append(model.features[3].register_full_backward_hook(lambda m, gi, go: order.append(gi[0].abs().sum().item())))
x = normal(2, 1, 12, 12, seed=2).requires_grad_()
scores = model(x)
scores.max(1).values.sum().backward()
print({name: tuple(value.shape) for name, value in activation.items()})
print([f"{v:.4f}" for v in order], sizes, f"{activation['features.4'].mean().item():.5f}")
for handle in handles:
    handle.remove()
saliency = x.grad.abs().amax(dim=1)
print(saliency.shape, saliency.flatten(1).argmax(1).tolist(), f"{saliency.sum().item():.4f}")

target = {}
with model.features[4].register_forward_hook(lambda m, i, o: target.update(map=o)):
    scores = model(x)
target["map"].register_hook(lambda g: target.update(grad=g))
scores[0, scores[0].argmax()].backward()
weights = target["grad"].mean(dim=(2, 3), keepdim=True)
cam = F.relu((weights * target["map"]).sum(dim=1, keepdim=True))
cam = F.interpolate(cam, size=x.shape[2:], mode="bilinear", align_corners=False)[0, 0]
cam = (cam - cam.min()) / (cam.max() - cam.min() + 1e-8)
print(cam.shape, f"{cam.mean().item():.4f} {cam.std().item():.4f}")

baseline, total = torch.zeros_like(x), torch.zeros_like(x)
for alpha in torch.linspace(0.05, 1, 20):
    point = (baseline + alpha * (x.detach() - baseline)).requires_grad_(True)
    (grad,) = torch.autograd.grad(model(point)[:, 1].sum(), point)
    total += grad / 20
attribution = (x.detach() * total).sum(dim=(1, 2, 3))
print((model(x)[:, 1] - model(baseline)[:, 1]).tolist(), attribution.tolist())

label = scores.argmax(1)
for epsilon in (0.0, 0.2, 0.6):
    data = x.detach().clone()
    data.requires_grad = True
    loss = F.nll_loss(F.log_softmax(model(data), dim=1), label)
    model.zero_grad()
    loss.backward()
    attacked = torch.clamp(data + epsilon * data.grad.data.sign(), -3, 3)
    print(epsilon, (model(attacked).argmax(1) == label).tolist(), f"{loss.item():.4f}")

log = []
for name, parameter in model.named_parameters():
    parameter.register_hook(lambda g, name=name: log.append((name, round(g.norm().item(), 4))))
    parameter.register_post_accumulate_grad_hook(lambda p: log.append(p.grad is not None))
model(x).sum().backward()
print(sorted(entry for entry in log if entry is not True), log.count(True))
z = normal(3, seed=5).requires_grad_()
middle = z * 2
middle.retain_grad()
handle = middle.register_hook(lambda g: g * 10)
middle.sum().backward()
print(middle.grad.tolist(), z.grad.tolist())
