# torch.vmap: in_dims, out_dims, nesting, randomness, chunks, what is refused.
import torch
from torch import vmap
from torch.func import grad, jacrev


def show(*values):
    """print without the graph behind the tensors: its nodes have names of their own."""
    print(*[v.detach() if isinstance(v, torch.Tensor) else v for v in values])


def raises(kind, fn, word=""):
    try:
        fn()
    except kind as e:
        return True
    except Exception as e:
        return "other"
    return "none"


x = torch.arange(12.0).reshape(3, 4)
y = x * 0.5 + 1
show(vmap(torch.dot)(x, y), vmap(torch.mul)(x, y).shape)
show(vmap(torch.dot, in_dims=(1, 1))(x, y), vmap(lambda a: a * 2, out_dims=1)(x).shape)
show(vmap(lambda a, b: a @ b, in_dims=(None, 0))(torch.eye(4), x))
show(vmap(vmap(vmap(torch.mul)))(x.reshape(3, 2, 2), x.reshape(3, 2, 2)).sum())
f = lambda d: d["x"] + d["y"][0]
show(vmap(f, in_dims=({"x": 0, "y": [None]},))({"x": torch.ones(3, 2), "y": [torch.arange(2.0)]}))
show(vmap(lambda a: (a.sum(), {"m": a.max()}))(x), vmap(lambda a: (a, a), out_dims=(0, 1))(x)[1].shape)
show(vmap(lambda a: a.sum(), chunk_size=2)(x), vmap(lambda a: torch.tensor(3.0))(x) if False else "")
show(
    raises(RuntimeError, lambda: vmap(lambda a: a.item())(x)),
    raises(RuntimeError, lambda: vmap(lambda a: a if a.sum() > 0 else -a)(x)),
    raises(ValueError, lambda: vmap(lambda a: 3.0)(x)),
    raises(ValueError, lambda: vmap(torch.mul)(x, torch.ones(2, 4))),
    raises(ValueError, lambda: vmap(torch.mul, in_dims=(0, 5))(x, x)),
    raises(ValueError, lambda: vmap(torch.mul, in_dims=0)(3, 4)),
    raises(ValueError, lambda: vmap(torch.mul, in_dims=(0,))(x, x)),
    raises(RuntimeError, lambda: vmap(lambda a: torch.rand(()) + a)(x)),
    raises(RuntimeError, lambda: vmap(lambda a: a + torch.randn(4), randomness="error")(x)),
    raises(RuntimeError, lambda: vmap(lambda a: a, randomness="what")(x)),
    raises(RuntimeError, lambda: vmap(lambda a, b: a.add_(b), in_dims=(None, 0))(torch.ones(4), x)),
    raises(ValueError, lambda: vmap(lambda a: a, in_dims="x")(x)),
    raises(RuntimeError, lambda: vmap(lambda a: a.nonzero())(x)),
)
r = vmap(lambda a: a * 0 + torch.rand(4), randomness="same")(x)
show(
    bool((r[0] == r[1]).all()),
    bool((vmap(lambda a: a * 0 + torch.rand(4), randomness="different")(x)[0] == r[0]).all()),
)
d = vmap(lambda a: torch.nn.functional.dropout(a, 0.5), randomness="same")(torch.ones(3, 50))
show(bool((d[0] == d[1]).all()))
z = torch.zeros(3, 4)
vmap(lambda a, b: a.add_(b))(z, x)
show(z)


def ips(a):
    out = torch.zeros_like(a)
    out[0] = a[1]
    out[1:3] += 1
    return out


show(vmap(ips)(x))
show(
    vmap(lambda a, i: a[i])(x, torch.tensor([0, 2, 1])),
    vmap(lambda a, i: torch.index_select(a, 0, i))(x, torch.tensor([[0, 1], [1, 2], [3, 3]])),
    vmap(lambda a, i: torch.gather(a, 0, i))(x, torch.tensor([[0, 1], [1, 2], [3, 3]])),
)
show(
    vmap(lambda a, m: torch.where(m, a, torch.zeros(())))(x, x > 5),
    vmap(lambda a: torch.sort(a, descending=True)[1])(x),
    vmap(lambda a: torch.cat([a, a[:1]]))(x).shape,
    vmap(lambda a: torch.stack([a, a], -1))(x).shape,
)
ex = torch.linspace(-1, 1, 18).reshape(2, 3, 3)
show(
    vmap(torch.linalg.det)(ex + torch.eye(3)),
    vmap(torch.linalg.inv)(ex + 2 * torch.eye(3)).sum(),
    vmap(torch.trace)(ex),
    vmap(torch.diag)(ex),
    vmap(lambda a: torch.linalg.solve(a + 2 * torch.eye(3), torch.ones(3)))(ex),
    vmap(torch.linalg.svdvals)(ex),
    vmap(lambda a: torch.einsum("ij,kj->ik", a, a))(ex).sum(),
)
w = torch.linspace(-1, 1, 2 * 2 * 1 * 3 * 3).reshape(2, 2, 1, 3, 3)
im = torch.linspace(0, 1, 2 * 1 * 1 * 5 * 5).reshape(2, 1, 1, 5, 5)
show(
    vmap(torch.nn.functional.conv2d)(im, w).shape,
    vmap(torch.nn.functional.conv2d)(im, w).sum(),
    vmap(lambda i: torch.nn.functional.max_pool2d(i, 2))(im).sum(),
    vmap(lambda a: torch.nn.functional.layer_norm(a, (4,)))(x),
    vmap(torch.nn.functional.softmax, in_dims=(0, None))(x, 0).sum(1),
)
show(
    vmap(lambda a: torch.cumsum(a, 0))(x),
    vmap(lambda a: a.unsqueeze(0).expand(2, 4).reshape(-1))(x).shape,
    vmap(lambda a: a.view(2, 2).t().contiguous().flatten())(x),
    vmap(lambda a: a.std())(x),
    vmap(lambda a: torch.quantile(a, 0.5))(x),
    vmap(lambda a: a.argmax())(x),
    vmap(lambda a: torch.logsumexp(a, 0))(x),
    vmap(lambda a: a.norm())(x),
    vmap(lambda a: torch.bucketize(a, torch.tensor([2.0, 5.0])))(x),
)
show(
    vmap(grad(lambda a: (a**3).sum()))(x),
    grad(lambda a: vmap(lambda r: r.prod())(a).sum())(x),
    vmap(jacrev(lambda a: a.sin()))(x).shape,
)
cos = vmap(vmap(lambda a, b: a @ b / (a.norm() * b.norm()), in_dims=(None, 0)), in_dims=(0, None))
show(cos(x, y))
show(
    vmap(lambda a, *, k: a * k)(x, k=2.0).sum(),
    vmap(lambda a, k=3: a * k)(x).sum(),
    vmap(lambda a: a.shape[0] + a.dim() + a.sum())(x),
    vmap(lambda a: torch.ones(a.shape) + a)(x).shape,
    vmap(lambda a: a.to(torch.float64))(x).dtype,
)
show(
    vmap(lambda a: a.masked_fill(a > 3, -1.0))(x),
    vmap(lambda a, v: a.scatter(0, torch.tensor([1, 2]), v))(x, x[:, :2]),
    vmap(lambda a: a.unfold(0, 2, 1))(x).shape,
    vmap(lambda a: torch.roll(a, 1))(x)[0],
    vmap(lambda a: torch.flip(a, (0,)))(x)[0],
    vmap(lambda a: torch.nn.functional.one_hot(a.argmax(), 4))(x) if False else "",
)
