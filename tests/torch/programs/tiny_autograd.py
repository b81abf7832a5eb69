# Automatic differentiation from scratch, scalar and array, checked against the library's own on every step.
import math
import random

import torch


class Value:
    def __init__(self, data, parents=(), op=""):
        self.data, self.grad, self.parents, self.op = data, 0.0, parents, op
        self.back = lambda: None

    def _lift(self, other):
        return other if isinstance(other, Value) else Value(other)

    def __add__(self, other):
        other = self._lift(other)
        out = Value(self.data + other.data, (self, other), "+")

        def back():
            self.grad += out.grad
            other.grad += out.grad

        out.back = back
        return out

    def __mul__(self, other):
        other = self._lift(other)
        out = Value(self.data * other.data, (self, other), "*")

        def back():
            self.grad += other.data * out.grad
            other.grad += self.data * out.grad

        out.back = back
        return out

    def __pow__(self, n):
        out = Value(self.data**n, (self,), f"**{n}")

        def back():
            self.grad += n * self.data ** (n - 1) * out.grad

        out.back = back
        return out

    def tanh(self):
        t = math.tanh(self.data)
        out = Value(t, (self,), "tanh")

        def back():
            self.grad += (1 - t * t) * out.grad

        out.back = back
        return out

    __radd__, __rmul__ = __add__, __mul__
    __neg__ = lambda self: self * -1
    __sub__ = lambda self, other: self + -self._lift(other)
    __truediv__ = lambda self, other: self * self._lift(other) ** -1

    def backward(self):
        order, seen = [], set()

        def visit(v):
            if v not in seen:
                seen.add(v)
                for p in v.parents:
                    visit(p)
                order.append(v)

        visit(self)
        self.grad = 1.0
        for v in reversed(order):
            v.back()


def formula(a, b, c):
    d = (a * b + c).tanh() if isinstance(a, Value) else torch.tanh(a * b + c)
    return d**2 / (a - c * 3) + d * b


numbers = (0.5, -1.25, 2.0)
mine = [Value(n) for n in numbers]
out = formula(*mine)
out.backward()
theirs = [torch.tensor(n, dtype=torch.float64, requires_grad=True) for n in numbers]
ref = formula(*theirs)
ref.backward()
print(round(out.data, 10), round(ref.item(), 10))
for v, t in zip(mine, theirs):
    print(round(v.grad, 10), round(t.grad.item(), 10))


class Op:
    """Array nodes with vector-Jacobian products; broadcasting undone as sums."""

    @staticmethod
    def unbroadcast(g, shape):
        while g.dim() > len(shape):
            g = g.sum(0)
        for i, n in enumerate(shape):
            if n == 1 and g.shape[i] != 1:
                g = g.sum(i, keepdim=True)
        return g


class Arr:
    def __init__(self, data, parents=(), vjps=()):
        self.data, self.parents, self.vjps, self.grad = data, parents, vjps, None

    def __add__(self, o):
        return Arr(
            self.data + o.data,
            (self, o),
            (lambda g: Op.unbroadcast(g, self.data.shape), lambda g: Op.unbroadcast(g, o.data.shape)),
        )

    def __mul__(self, o):
        return Arr(
            self.data * o.data,
            (self, o),
            (
                lambda g: Op.unbroadcast(g * o.data, self.data.shape),
                lambda g: Op.unbroadcast(g * self.data, o.data.shape),
            ),
        )

    def __matmul__(self, o):
        return Arr(self.data @ o.data, (self, o), (lambda g: g @ o.data.T, lambda g: self.data.T @ g))

    def relu(self):
        return Arr(self.data.clamp(min=0), (self,), (lambda g: g * (self.data > 0),))

    def log_softmax(self):
        y = self.data - self.data.max(1, keepdim=True).values
        y = y - y.exp().sum(1, keepdim=True).log()
        return Arr(y, (self,), (lambda g: g - y.exp() * g.sum(1, keepdim=True),))

    def nll(self, target):
        n = len(target)
        picked = self.data[torch.arange(n), target]

        def vjp(g):
            out = torch.zeros_like(self.data)
            out[torch.arange(n), target] = -g / n
            return out

        return Arr(-picked.mean(), (self,), (vjp,))

    def backward(self):
        order, seen = [], set()

        def visit(v):
            if id(v) not in seen:
                seen.add(id(v))
                [visit(p) for p in v.parents]
                order.append(v)

        visit(self)
        self.grad = torch.ones_like(self.data)
        for v in reversed(order):
            for p, vjp in zip(v.parents, v.vjps):
                g = vjp(v.grad)
                p.grad = g if p.grad is None else p.grad + g


n, h, k = 12, 8, 3
X = torch.stack([torch.sin(torch.arange(n) * (i + 1.0)) for i in range(4)], 1)
y = torch.arange(n) % k
W1 = (torch.arange(32.0).reshape(4, h) * 0.37).sin()
b1 = torch.zeros(1, h)
W2 = (torch.arange(float(h * k)).reshape(h, k) * 0.91).cos()
b2 = torch.full((k,), 0.1)
own = [Arr(t.clone()) for t in (W1, b1, W2, b2)]
lib = [t.clone().requires_grad_() for t in (W1, b1, W2, b2)]
for step in range(6):
    w1, c1, w2, c2 = own
    loss = ((Arr(X) @ w1 + c1).relu() @ w2 + c2).log_softmax().nll(y)
    loss.backward()
    ref = torch.nn.functional.cross_entropy((X @ lib[0] + lib[1]).relu() @ lib[2] + lib[3], y)
    gs = torch.autograd.grad(ref, lib)
    print(
        step,
        round(loss.data.item(), 5),
        round(ref.item(), 5),
        [torch.allclose(a.grad, g, atol=1e-6) for a, g in zip(own, gs)],
    )
    with torch.no_grad():
        for a, t, g in zip(own, lib, gs):
            a.data = a.data - 0.5 * a.grad
            a.grad = None
            t -= 0.5 * g


class Dual:
    """Forward mode with numbers a + b e."""

    def __init__(self, a, b=0.0):
        self.a, self.b = a, b

    def __add__(self, o):
        o = o if isinstance(o, Dual) else Dual(o)
        return Dual(self.a + o.a, self.b + o.b)

    def __mul__(self, o):
        o = o if isinstance(o, Dual) else Dual(o)
        return Dual(self.a * o.a, self.a * o.b + self.b * o.a)

    __radd__, __rmul__ = __add__, __mul__

    def sin(self):
        return Dual(torch.sin(self.a), torch.cos(self.a) * self.b)


x = torch.linspace(-2, 2, 5)
f = lambda t: t * t * 3 + (t * 2).sin() * t + 1
d = f(Dual(x, torch.ones(5)))
value, tangent = torch.func.jvp(f, (x,), (torch.ones(5),))
print(torch.allclose(d.a, value), torch.allclose(d.b, tangent), tangent)
nested = f(Dual(Dual(x[1], 1.0), Dual(torch.tensor(1.0), 0.0)).a)
print(nested.b, torch.func.grad(f)(x[1]), torch.func.grad(torch.func.grad(f))(x[1]))
eps = 1e-3
print(torch.allclose((f(x + eps) - f(x - eps)) / (2 * eps), tangent, atol=1e-2))
random.seed(0)
graph = ref.grad_fn
names = []
stack = [graph]
while stack:
    node = stack.pop()
    names.append(node.name())
    stack.extend(child for child, _ in node.next_functions if child is not None)
print(len(names), names[:6], sorted(set(names)))
