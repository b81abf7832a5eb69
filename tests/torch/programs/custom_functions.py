# One's own gradients: torch.autograd.Function, checked by differences, with a second derivative.
import math

import torch
from torch.autograd import Function, gradcheck, gradgradcheck
from torch.autograd.function import once_differentiable

from reproducible import normal


class LegendrePolynomial3(Function):
    @staticmethod
    def forward(ctx, input):
        ctx.save_for_backward(input)
        return 0.5 * (5 * input**3 - 3 * input)

    @staticmethod
    def backward(ctx, grad_output):
        (input,) = ctx.saved_tensors
        return grad_output * 1.5 * (5 * input**2 - 1)


class LinearFunction(Function):
    @staticmethod
    def forward(input, weight, bias):
        output = input.mm(weight.t())
        return output if bias is None else output + bias.unsqueeze(0).expand_as(output)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, grad_output):
        input, weight, bias = ctx.saved_tensors
        grad_input = grad_output.mm(weight) if ctx.needs_input_grad[0] else None
        grad_weight = grad_output.t().mm(input) if ctx.needs_input_grad[1] else None
        grad_bias = grad_output.sum(0) if bias is not None and ctx.needs_input_grad[2] else None
        return grad_input, grad_weight, grad_bias


class StraightThrough(Function):
    @staticmethod
    def forward(ctx, x, threshold):
        return (x > threshold).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        return torch.clamp(g, -1, 1), None


class Reverse(Function):
    @staticmethod
    def forward(ctx, x, alpha):
        ctx.alpha = alpha
        return x.view_as(x)

    @staticmethod
    def backward(ctx, g):
        return g.neg() * ctx.alpha, None


class Exp(Function):
    @staticmethod
    def forward(ctx, i):
        result = i.exp()
        ctx.save_for_backward(result)
        ctx.mark_non_differentiable(i)
        return result

    @staticmethod
    def backward(ctx, grad_output):
        (result,) = ctx.saved_tensors
        return grad_output * result


x = torch.linspace(-math.pi, math.pi, 200)
y = torch.sin(x)
a, b, c, d = (torch.full((), v, requires_grad=True) for v in (0.0, -1.0, 0.0, 0.3))
for t in range(200):
    loss = (a + b * LegendrePolynomial3.apply(c + d * x) - y).pow(2).sum()
    if t % 50 == 49:
        print(t, f"{loss.item():.4f}")
    loss.backward()
    with torch.no_grad():
        for p in (a, b, c, d):
            p -= 5e-6 * p.grad
            p.grad = None
print(f"Result: y = {a.item():.5f} + {b.item():.5f} * P3({c.item():.5f} + {d.item():.5f} x)")
double = [normal(*s, seed=i).double().requires_grad_() for i, s in enumerate([(4, 3), (2, 3), (2,)])]
print(gradcheck(LinearFunction.apply, double, eps=1e-6, atol=1e-4), gradgradcheck(LinearFunction.apply, double))
print(gradcheck(LegendrePolynomial3.apply, (double[0],)))
v = normal(5, seed=9).requires_grad_()
(StraightThrough.apply(v, 0.2) * torch.tensor([1.0, 2.0, -3.0, 0.5, 0.1])).sum().backward()
print(v.grad, StraightThrough.apply(v, 0.2).tolist())
v.grad = None
Reverse.apply(v, 0.5).sum().backward()
print(v.grad)
w = torch.tensor([0.5], requires_grad=True)
(first,) = torch.autograd.grad(LegendrePolynomial3.apply(w), w, create_graph=True)
(second,) = torch.autograd.grad(first, w)
print(first.detach(), second, type(LegendrePolynomial3.apply(w).grad_fn).__name__)
