# Graph networks without a library: message passing by index_add, scatter and scatter_reduce, attention, pooling, spectra.
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn import Parameter

from reproducible import fill, integers, normal, slopes, tell

edges = torch.tensor([[0, 1, 1, 2, 2, 3, 4, 4, 5, 0, 6, 6], [1, 0, 2, 1, 3, 2, 5, 0, 4, 4, 2, 5]])
n = 8
x = normal(n, 5, seed=1)


def degree(index, size, dtype=None):
    out = torch.zeros((size,), dtype=dtype)
    return out.scatter_add_(0, index, torch.ones((index.size(0),), dtype=dtype))


def add_self_loops(edge_index, num_nodes):
    return torch.cat([edge_index, torch.arange(num_nodes).repeat(2, 1)], dim=1)


def softmax(src, index, size):
    top = torch.full((size, *src.shape[1:]), float("-inf")).scatter_reduce(0, index.view(-1, 1).expand_as(src), src, reduce="amax")
    out = (src - top.index_select(0, index)).exp()
    return out / torch.zeros(size, *src.shape[1:]).index_add_(0, index, out)[index].clamp(min=1e-16)


class MessagePassing(nn.Module):
    def __init__(self, aggr="add"):
        super().__init__()
        self.aggr = aggr

    def propagate(self, edge_index, size, **kwargs):
        row, col = edge_index
        msg = self.message(row, col, size, **kwargs)
        if self.aggr == "add":
            return torch.zeros(size, *msg.shape[1:], dtype=msg.dtype).index_add(0, col, msg)
        index = col.view([-1] + [1] * (msg.dim() - 1)).expand_as(msg)
        kind = {"mean": "mean", "max": "amax", "min": "amin", "mul": "prod"}[self.aggr]
        return torch.zeros(size, *msg.shape[1:]).scatter_reduce_(0, index, msg, reduce=kind, include_self=False)


class GCNConv(MessagePassing):
    def __init__(self, i, o, aggr="add"):
        super().__init__(aggr)
        self.lin, self.bias = nn.Linear(i, o, bias=False), Parameter(torch.empty(o))
        self.reset_parameters()

    def reset_parameters(self):
        self.lin.reset_parameters()
        self.bias.data.zero_()

    def forward(self, x, edge_index):
        edge_index = add_self_loops(edge_index, x.size(0))
        row, col = edge_index
        deg_inv_sqrt = degree(col, x.size(0), x.dtype).pow(-0.5)
        deg_inv_sqrt[deg_inv_sqrt == float("inf")] = 0
        return self.propagate(edge_index, x.size(0), x=self.lin(x), norm=deg_inv_sqrt[row] * deg_inv_sqrt[col]) + self.bias

    def message(self, row, col, size, x, norm):
        return norm.view(-1, 1) * x[row]


class GATConv(MessagePassing):
    def __init__(self, i, o, heads):
        super().__init__()
        self.heads, self.o = heads, o
        self.lin = nn.Linear(i, heads * o, bias=False)
        self.att_src, self.att_dst = Parameter(torch.empty(1, heads, o)), Parameter(torch.empty(1, heads, o))
        nn.init.xavier_uniform_(self.att_src), nn.init.xavier_uniform_(self.att_dst)

    def forward(self, x, edge_index):
        h = self.lin(x).view(-1, self.heads, self.o)
        return self.propagate(edge_index, x.size(0), h=h).flatten(1)

    def message(self, row, col, size, h):
        alpha = (h * self.att_src).sum(-1)[row] + (h * self.att_dst).sum(-1)[col]
        alpha = softmax(F.leaky_relu(alpha, 0.2), col, size)
        return h[row] * alpha.unsqueeze(-1)


class EdgeConv(MessagePassing):
    def __init__(self, i, o, aggr):
        super().__init__(aggr)
        self.mlp = nn.Sequential(nn.Linear(2 * i, o), nn.ReLU(), nn.Linear(o, o))

    def forward(self, x, edge_index):
        return self.propagate(edge_index, x.size(0), x=x)

    def message(self, row, col, size, x):
        return self.mlp(torch.cat([x[col], x[row] - x[col]], dim=1))


class Net(nn.Module):
    def __init__(self, first, second):
        super().__init__()
        self.conv1, self.conv2 = first, second

    def forward(self, x, e):
        return F.log_softmax(self.conv2(F.elu(self.conv1(x, e)), e), dim=1)


labels = torch.arange(n) % 3
train_mask = torch.tensor([True, True, False, True, True, False, True, True])
for make in (
    lambda: Net(GCNConv(5, 6), GCNConv(6, 3)),
    lambda: Net(GCNConv(5, 6, "mean"), GCNConv(6, 3, "max")),
    lambda: Net(GATConv(5, 4, 2), GATConv(8, 3, 1)),
    lambda: Net(EdgeConv(5, 6, "max"), EdgeConv(6, 3, "min")),
    lambda: Net(EdgeConv(5, 6, "mean"), EdgeConv(6, 3, "mul")),
):
    net = fill(make(), 2)
    optimizer = torch.optim.Adam([{"params": net.conv1.parameters(), "weight_decay": 5e-4}, {"params": net.conv2.parameters()}], lr=0.01)
    for epoch in range(4):
        optimizer.zero_grad()
        out = net(x, edges)
        loss = F.nll_loss(out[train_mask], labels[train_mask])
        loss.backward()
        optimizer.step()
    acc = (out.argmax(dim=-1)[~train_mask] == labels[~train_mask]).float().mean()
    print(f"{type(net.conv1).__name__}.{net.conv1.aggr} {loss.item():.4f} {acc:.2f} {slopes(net):.4f}")
# pooling over a batch of graphs, and its gradients twice
batch = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])
for reduce in ("sum", "prod", "mean", "amax", "amin"):
    for include in (True, False):
        h = normal(n, 3, seed=3).requires_grad_()
        base = torch.ones(4, 3, requires_grad=True)
        pooled = base.scatter_reduce(0, batch[:, None].expand(-1, 3), h, reduce, include_self=include)
        g = torch.autograd.grad(pooled.pow(3).sum(), (h, base), create_graph=True)
        if reduce == "prod":
            tell(f"{reduce} {include}", pooled, *g)
            continue
        gg = torch.autograd.grad(g[0].pow(2).sum(), h)
        tell(f"{reduce} {include}", pooled, *g, *gg)
for reduce in ("prod", "mean", "amax", "amin"):
    tell(f"index_reduce {reduce}", torch.ones(4, 3).index_reduce_(0, batch, normal(n, 3, seed=4), reduce))
A = torch.zeros(n, n).index_put_((edges[0], edges[1]), torch.tensor(1.0), accumulate=True)
A = torch.maximum(A, A.T)
Lap = torch.diag(A.sum(1)) - A
values = torch.linalg.eigvalsh(Lap)
print("components", int((values.abs() < 1e-5).sum()), "triangles", int(torch.trace(torch.matrix_power(A, 3)) / 6))
print("edges again", torch.nonzero(A.triu(), as_tuple=False).T.tolist(), (A != 0).sum().item())
cheb = [x, Lap @ x]
for k in range(2, 4):
    cheb.append(2 * Lap @ cheb[-1] - cheb[-2])
tell("Chebyshev", torch.stack(cheb, dim=-1))
r = torch.full((n,), 1 / n)
P = torch.nan_to_num(A / A.sum(1, keepdim=True), nan=1 / n)
for _ in range(20):
    r = 0.85 * P.t() @ r + 0.15 / n
print("page rank", r)
order = torch.argsort(edges[1] * n + edges[0], stable=True)
print("sorted", edges[:, order].tolist(), torch.unique_consecutive(edges[1][order], return_counts=True))
print("coalesce", torch.unique(edges.sort(dim=0).values, dim=1, return_inverse=True))
dist = torch.where(A > 0, A, torch.inf).fill_diagonal_(0)
for k in range(n):
    dist = torch.minimum(dist, dist[:, k, None] + dist[None, k])
print("shortest", dist[0], torch.isinf(dist).sum())
tell("segments", torch.segment_reduce(x, "mean", lengths=torch.tensor([3, 2, 3])), torch.segment_reduce(x, "max", offsets=torch.tensor([0, 3, 5, 8])))
