# Broadcasting puzzles: every function in one line of arange, where, comparison and indexing.
import torch

def arange(n): return torch.arange(n)
def where(q, a, b): return torch.where(q, torch.as_tensor(a), torch.as_tensor(b))
def ones(n): return where(arange(n) >= 0, 1, 1)
def total(a): return a[None] @ torch.ones(len(a), 1, dtype=a.dtype)
def outer(a, b): return a[:, None] * b[None]
def diag(a): return a[arange(len(a)), arange(len(a))]
def eye(n): return where(arange(n)[:, None] == arange(n), 1, 0)
def triu(n): return where(arange(n)[:, None] <= arange(n), 1, 0)
def cumsum(a): return a @ triu(len(a)).to(a.dtype)
def diff(a): return a - where(arange(len(a)) > 0, a[arange(len(a)) - 1], 0)
def vstack(a, b): return where(arange(2)[:, None] == 0, a, b)
def roll(a, n): return a[(arange(n) + 1) % n]
def flip(a, n): return a[n - 1 - arange(n)]
def compress(g, v, n): return where(arange(n) < g.sum(), (v[None] * ((cumsum(g.long()) - 1)[None] == arange(len(v))[:, None]) * g[None]).sum(1)[:n], 0)
def pad_to(a, n): return where(arange(n) < len(a), a[arange(n) % len(a)], 0)
def sequence_mask(values, length): return where(arange(values.shape[1]) < length[:, None], values, 0)
def bincount(a, n): return eye(n)[a].sum(0)
def scatter_add(values, link, n): return values @ eye(n)[link]
def flatten(a): return a.reshape(-1)[arange(a.shape[0] * a.shape[1])]
def linspace(i, j, n): return i + (j - i) * arange(n) / max(1, n - 1)
def heaviside(a, b): return where(a == 0, b, a > 0)
def repeat(a, n): return a + where(arange(n)[:, None] >= 0, 0, 0)
def bucketize(v, b): return (v[:, None] >= b[None]).sum(1)
a, b = torch.tensor([3, 1, 4, 1, 5]), torch.tensor([2, 7, 1, 8, 2])
for r in (ones(4), total(a), outer(a, b), diag(outer(a, b)), eye(3), triu(3), cumsum(a), diff(a), vstack(a, b), roll(a, 5), flip(a, 5), compress(torch.tensor([True, False, True, True, False]), a, 5), pad_to(a, 8), sequence_mask(outer(a, b), torch.tensor([1, 5, 0, 2, 3])), bincount(torch.tensor([1, 1, 0, 3]), 4), scatter_add(a, torch.tensor([0, 0, 1, 2, 1]), 3), flatten(outer(a, b)), linspace(torch.tensor(0.0), torch.tensor(1.0), 5), heaviside(torch.tensor([-1.0, 0, 2]), torch.tensor(0.5)), repeat(a, 3), bucketize(torch.tensor([0, 3, 9]), torch.tensor([1, 2, 4, 8]))):
    print(tuple(r.shape), r.dtype, r.tolist())
for s, t in (((3, 1), (1, 4)), ((2, 1, 3), (5, 1)), ((0, 1), (1, 3)), ((), (2,)), ((2, 3), (3, 2)), ((4,), (3,)), ((1,), (0,))):
    try:
        print(s, t, tuple((torch.ones(s) + torch.ones(t)).shape), tuple(torch.broadcast_shapes(s, t)))
    except RuntimeError:
        print(s, t, "do not broadcast")
x, y = torch.broadcast_tensors(torch.arange(3).view(1, 3), torch.arange(2).view(2, 1))
print(x, y, x.stride(), y.stride(), torch.arange(3).expand(2, -1), torch.arange(3).expand(2, 3).is_contiguous())
points, centres = torch.tensor([[0.0, 0], [1, 1], [2, 0]]), torch.tensor([[0.0, 1], [2, 2]])
d = ((points[:, None] - centres[None]) ** 2).sum(-1)
print(d, d.argmin(1), torch.cdist(points, centres) ** 2, (points.unsqueeze(1) == centres).all(-1))
logits = torch.tensor([[1.0, 2, 3], [3, 1, 0]])
print((logits - logits.max(1, keepdim=True).values).exp() / (logits - logits.max(1, keepdim=True)[0]).exp().sum(1, keepdim=True), logits.softmax(-1))
print(torch.where(logits > 1, logits, torch.zeros(())).dtype, torch.where(torch.tensor([True, False]), 1, 2), torch.where(torch.tensor([True, False]), 1.0, torch.tensor([1, 2])), torch.where(torch.tensor([[0, 1], [1, 0]])))
print(torch.tensor([1, 2]) / 2, torch.tensor([1, 2]) // 2, torch.tensor([-3]) % 2, torch.tensor([-3.0]).fmod(2), torch.tensor([7]) ** 2, 2 ** torch.tensor([1, 2]), torch.tensor([2]) ** 0.5, 1 / torch.tensor([2, 4]), -7 // torch.tensor([2]), torch.tensor([5]) & 3, ~torch.tensor([5]), torch.tensor([1]) << 3, torch.tensor([True]) ^ True)
print((torch.ones(2, dtype=torch.int32) + 1.5).dtype, (torch.ones(2, dtype=torch.float16) + torch.ones(())).dtype, (torch.ones(2, dtype=torch.uint8) * torch.ones(2, dtype=torch.int8)).dtype, (torch.tensor(1) + torch.tensor([1.0], dtype=torch.float16)).dtype, (torch.tensor([True]) + torch.tensor([True])).dtype, (torch.tensor([1]) + True).dtype, (torch.tensor([1.0]) * 1j).dtype, (torch.ones(1, dtype=torch.bfloat16) + torch.ones(1, dtype=torch.float16)).dtype)
for f in (lambda: torch.tensor([True]) - torch.tensor([True]), lambda: -torch.tensor([True]), lambda: torch.tensor([1]) / "a", lambda: torch.tensor([1.0]) & 1, lambda: torch.tensor([1]) ** -1, lambda: torch.tensor([1]) // 0, lambda: torch.tensor([1.0]) // 0, lambda: torch.tensor([1, 2]) + [1, 2], lambda: torch.ones(2) @ torch.ones(3), lambda: torch.tensor([1j]) < 1, lambda: torch.ones(2, 2) @ torch.ones(2, dtype=torch.int64), lambda: torch.tensor([3]).add_(1.5)):
    try:
        print(f())
    except Exception:
        print("raised")
