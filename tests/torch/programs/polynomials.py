# Fit a polynomial to a sine: NumPy, tensors, autograd, a function of one's own, nn, optim, a dynamic network.
import math
import random

import torch
from torch.autograd import Function, gradcheck

torch.set_default_dtype(torch.float64)
dtype, device = torch.float64, torch.device("cpu")
x = torch.linspace(-math.pi, math.pi, 2000, device=device, dtype=dtype)
y = torch.sin(x)
a, b, c, d = (torch.full((), v, dtype=dtype, requires_grad=True) for v in (0.1, -0.2, 0.3, -0.4))
for t in range(100):
    y_pred = a + b * x + c * x**2 + d * x**3
    loss = (y_pred - y).pow(2).sum()
    loss.backward()
    with torch.no_grad():
        for p in (a, b, c, d):
            p -= 1e-6 * p.grad
            p.grad = None
print(f"Result: y = {a.item():.6f} + {b.item():.6f} x + {c.item():.6f} x^2 + {d.item():.6f} x^3")


class LegendrePolynomial3(Function):
    @staticmethod
    def forward(ctx, input):
        ctx.save_for_backward(input)
        return 0.5 * (5 * input**3 - 3 * input)

    @staticmethod
    def backward(ctx, grad_output):
        (input,) = ctx.saved_tensors
        return grad_output * 1.5 * (5 * input**2 - 1)


class ClampedExp(Function):
    @staticmethod
    def forward(ctx, i, limit):
        ctx.limit = limit
        result = i.exp().clamp(max=limit)
        ctx.save_for_backward(result)
        ctx.mark_non_differentiable(torch.zeros(1))
        return result

    @staticmethod
    def backward(ctx, grad_output):
        (result,) = ctx.saved_tensors
        assert ctx.needs_input_grad == (True, False)
        return grad_output * result * (result < ctx.limit), None


P3 = LegendrePolynomial3.apply
print("gradcheck", gradcheck(P3, torch.linspace(-1, 1, 5).requires_grad_(), eps=1e-6, atol=1e-4))
z = torch.tensor([-1.0, 0.5, 3.0], requires_grad=True)
ClampedExp.apply(z, 5.0).sum().backward()
print(z.grad)
params = [torch.full((), v, requires_grad=True) for v in (0.0, -1.0, 0.0, 0.3)]
for t in range(200):
    y_pred = params[0] + params[1] * P3(params[2] + params[3] * x)
    loss = (y_pred - y).pow(2).sum()
    if t % 50 == 49:
        print(t, f"{loss.item():.6f}")
    loss.backward()
    with torch.no_grad():
        for p in params:
            p -= 5e-6 * p.grad
            p.grad = None

xx = x.unsqueeze(-1).pow(torch.tensor([1, 2, 3]))
model = torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Flatten(0, 1))
with torch.no_grad():
    model[0].weight.copy_(torch.tensor([[0.1, -0.1, 0.05]]))
    model[0].bias.zero_()
optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
for t in range(200):
    loss = torch.nn.MSELoss(reduction="sum")(model(xx), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(f"{loss.item():.6f}", model[0].weight)


class DynamicNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c, self.d, self.e = (
            torch.nn.Parameter(torch.tensor(v)) for v in (0.1, 0.2, 0.01, -0.1, 1e-4)
        )

    def forward(self, x):
        y = self.a + self.b * x + self.c * x**2 + self.d * x**3
        for exp in range(4, random.randint(4, 6)):
            y = y + self.e * x**exp
        return y

    def string(self):
        return f"y = {self.a.item():.5f} + {self.b.item():.5f} x + {self.c.item():.5f} x^2 + {self.e.item():.7f} x^4 ? x^5 ?"


random.seed(3)
model = DynamicNet()
optimizer = torch.optim.SGD(model.parameters(), lr=1e-8, momentum=0.9)
for t in range(100):
    loss = torch.nn.functional.mse_loss(model(x), y, reduction="sum")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(model.string())
