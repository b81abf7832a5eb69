# Indexing puzzles: every form of reading and writing by slices, masks, integers and None, with shapes and gradients.
import torch
from reproducible import kind

x = torch.arange(120.0).reshape(2, 3, 4, 5)
i, j = torch.tensor([0, 1, 1]), torch.tensor([[0], [2]])
m4 = torch.tensor([True, False, True, True])
m23 = torch.tensor([[True, False, True], [False, True, True]])


def tell(name, fn):
    try:
        y = fn()
        print(name, tuple(y.shape), y.dtype, float(y.double().sum()), y.flatten()[:3].tolist())
    except Exception as error:
        print(name, kind(error))


READ = {
    "int": lambda: x[1],
    "ints": lambda: x[1, 2, 3, 4],
    "neg": lambda: x[-1, ..., -2],
    "ellipsis": lambda: x[..., 0],
    "none": lambda: x[None, 0, None, :, None],
    "step": lambda: x[:, ::2, 1::2, ::3],
    "empty": lambda: x[:, 1:1],
    "over": lambda: x[:, 1:100],
    "list": lambda: x[[0, 1, 0]],
    "lists": lambda: x[[0, 1], [2, 1]],
    "tensor": lambda: x[i],
    "mid": lambda: x[:, i],
    "pair": lambda: x[i, i],
    "apart": lambda: x[i, :, i],
    "apart2": lambda: x[:, i, :, i],
    "bcast": lambda: x[i, j],
    "bcast mid": lambda: x[:, j, i],
    "int and tensor": lambda: x[0, :, i],
    "int tensor adjacent": lambda: x[:, 0, i],
    "none tensor": lambda: x[:, None, i],
    "tensor none": lambda: x[i, None, :, i],
    "mask": lambda: x[m23],
    "mask mid": lambda: x[:, :, m4],
    "mask int": lambda: x[m23, 1],
    "mask tensor": lambda: x[m23, torch.tensor([0, 1, 2, 3])],
    "mask list": lambda: x[[True, False]],
    "mask comparison": lambda: x[x > 60],
    "bool": lambda: x[True],
    "false": lambda: x[False],
    "bool mid": lambda: x[:, True, 0],
    "uint8": lambda: x[torch.tensor([1, 0], dtype=torch.uint8)],
    "int32": lambda: x[torch.tensor([1, 0], dtype=torch.int32)],
    "int8": lambda: x[torch.tensor([1, -1], dtype=torch.int8)],
    "0-d": lambda: x[torch.tensor(1)],
    "0-d mid": lambda: x[:, torch.tensor(1), :, torch.tensor(2)],
    "slice tensors": lambda: x[torch.tensor(0) : torch.tensor(1)],
    "range": lambda: x[range(2)],
    "tuple in list": lambda: x[[[0, 1], [1, 0]]],
    "nested": lambda: x[i][:, 0][..., m4, :],
    "numpy": lambda: x[torch.tensor([0, 1]).numpy()],
    "out of range": lambda: x[2],
    "out of range tensor": lambda: x[torch.tensor([0, 2])],
    "too many": lambda: x[0, 0, 0, 0, 0],
    "float": lambda: x[1.0],
    "float tensor": lambda: x[torch.tensor([1.0])],
    "wrong mask": lambda: x[torch.tensor([True, False, True])],
    "text": lambda: x["a"],
    "negative step": lambda: x[::-1],
    "no broadcast": lambda: x[torch.tensor([0, 1]), torch.tensor([0, 1, 2])],
    "two ellipses": lambda: x[..., 0, ...],
    "take": lambda: x.take(torch.tensor([[0, 7], [-1, 3]])),
    "take_along": lambda: torch.take_along_dim(x, x.argsort(2, descending=True)[..., :1], 2),
    "gather": lambda: x.gather(1, torch.ones(1, 2, 2, 2, dtype=torch.long)),
    "index_select": lambda: x.index_select(2, torch.tensor([3, 0, 0])),
    "masked_select": lambda: x.masked_select(m4[:, None]),
    "nonzero": lambda: (x % 7 == 0).nonzero(),
    "argwhere": lambda: torch.argwhere(m23),
    "where": lambda: torch.stack(torch.where(m23)),
    "diagonal": lambda: x.diagonal(1, 2, 3),
    "select": lambda: x.select(-1, -1),
    "narrow": lambda: x.narrow(3, -2, 2),
    "unbind": lambda: torch.stack(x.unbind(1)[::2]),
}
for name, fn in READ.items():
    tell(name, fn)


def write(change):
    y = x.clone()
    change(y)
    return y


def put(*index):
    def change(value):
        return lambda: write(lambda y: y.__setitem__(index if len(index) > 1 else index[0], value))

    return change


WRITE = {
    "number": put(0)(7),
    "row": put(slice(None), 1, ..., 2)(torch.arange(4.0)),
    "bcast": put(Ellipsis)(torch.arange(5.0)),
    "mask": put(m23)(-1),
    "mask values": put(m23)(torch.arange(4.0)[:, None, None]),
    "mask all": put(x > 50)(torch.arange(69.0)),
    "pair": put(i, i)(torch.ones(4, 5)),
    "apart": put(i, slice(None), j)(torch.zeros(2, 3, 3, 5)),
    "apart bcast": put(slice(None), i, slice(None), 0)(torch.tensor([[5.0]])),
    "int value": put(0, 0)(torch.tensor(3)),
    "double value": put(0, 0)(torch.tensor([3.5], dtype=torch.float64)),
    "leading ones": put(0, 0)(torch.ones(1, 1, 4, 5)),
    "wrong shape": put(0, 0)(torch.ones(3)),
    "wrong mask": put(m23)(torch.ones(3)),
    "empty": put(slice(1, 1))(5),
    "empty mask": put(torch.zeros(2, 3, dtype=torch.bool))(torch.ones(4, 5)),
    "list": put([0, 1], [1, 1])(2),
    "none": put(None, 0)(9),
    "complex": put(0)(1j),
    "text": put(0)("a"),
    "index_put": lambda: x.index_put((i, i), torch.tensor(1.0), accumulate=True),
    "index_add": lambda: x.index_add(1, torch.tensor([0, 0]), torch.ones(2, 2, 4, 5), alpha=3),
    "index_copy": lambda: x.index_copy(3, torch.tensor([4, 0]), torch.ones(2, 3, 4, 2)),
    "index_fill": lambda: x.index_fill(2, torch.tensor([1]), -1),
    "scatter": lambda: x.scatter(
        2, torch.tensor([0, 3]).reshape(1, 1, 2, 1).expand(2, 3, 2, 5), torch.zeros(2, 3, 2, 5)
    ),
    "scatter_add": lambda: x.scatter_add(0, torch.zeros(2, 1, 1, 1, dtype=torch.long), torch.ones(2, 3, 4, 5)),
    "masked_scatter": lambda: x.masked_scatter(m4[:, None], torch.arange(90.0)),
    "masked_fill": lambda: x.masked_fill(m23[..., None, None], float("inf")).clamp(max=1e3),
    "put_": lambda: write(lambda y: y.put_(torch.tensor([0, 0, -1]), torch.tensor([1.0, 2.0, 3.0]), accumulate=True)),
    "fill_diagonal": lambda: torch.zeros(7, 3).fill_diagonal_(2, wrap=True),
    "select_scatter": lambda: x.select_scatter(torch.ones(2, 4, 5), 1, -1),
    "slice_scatter": lambda: x.slice_scatter(torch.zeros(2, 3, 2, 5), 2, 0, 4, 2),
}
for name, fn in WRITE.items():
    tell("write " + name, fn)

for name, index in {
    "pair": (i, i),
    "mask": (m23,),
    "repeat": ([0, 0, 0],),
    "mixed": (slice(None), 0, i),
    "step": (..., slice(0, 5, 2)),
}.items():
    w = x.clone().requires_grad_()
    (w[index] ** 2).sum().backward()
    v = torch.ones(2, 3, 4, 5, requires_grad=True)
    u = v * 3
    u[index] = u[index] * 2 + 1
    (u * x).sum().backward()
    print("gradient", name, w.grad.sum().item(), (w.grad != 0).sum().item(), v.grad.sum().item(), v.grad.max().item())
