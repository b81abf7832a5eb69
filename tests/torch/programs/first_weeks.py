# The first weeks of a course, as its notebooks print them.
import torch, numpy as np, math
import torch.nn as nn, torch.nn.functional as F


def show(*values):
    """print without the graph behind the tensors: its nodes have names of their own."""
    print(*[v.detach() if isinstance(v, torch.Tensor) else v for v in values])


np.random.seed(0)
# d2l: data manipulation
x = torch.arange(12, dtype=torch.float32)
X = x.reshape(3, 4)
show(x, x.numel(), X, torch.zeros((2, 3, 4)).shape, torch.tensor([[2, 1, 4, 3], [1, 2, 3, 4], [4, 3, 2, 1]]))
show(X[-1], X[1:3])
X[1, 2] = 17
X[:2, :] = 12
show(X, torch.exp(x)[:4])
x, y = torch.tensor([1.0, 2, 4, 8]), torch.tensor([2, 2, 2, 2])
show(x + y, x - y, x * y, x / y, x**y)
X = torch.arange(12, dtype=torch.float32).reshape((3, 4))
Y = torch.tensor([[2.0, 1, 4, 3], [1, 2, 3, 4], [4, 3, 2, 1]])
show(torch.cat((X, Y), dim=0), torch.cat((X, Y), dim=1), X == Y, X.sum())
a = torch.arange(3).reshape((3, 1))
b = torch.arange(2).reshape((1, 2))
show(a + b)
before = id(Y)
Y += X
show(id(Y) == before)
Z = torch.zeros_like(Y)
Z[:] = X + Y
A = X.numpy()
B = torch.from_numpy(A)
show(
    type(A).__name__,
    type(B).__name__,
    torch.tensor([3.5]),
    torch.tensor([3.5]).item(),
    float(torch.tensor([3.5])),
    int(torch.tensor([3.5])),
)
A = torch.arange(6).reshape(3, 2)
show(A.T, torch.tensor([[1, 2, 3], [2, 0, 4], [3, 4, 5]]) == torch.tensor([[1, 2, 3], [2, 0, 4], [3, 4, 5]]).T)
A = torch.arange(6, dtype=torch.float32).reshape(2, 3)
show(
    A.mean(),
    A.sum() / A.numel(),
    A.mean(axis=0),
    A.sum(axis=[0, 1]),
    A.sum(axis=1, keepdims=True),
    A / A.sum(axis=1, keepdims=True),
    A.cumsum(axis=0),
    torch.dot(torch.arange(3.0), torch.ones(3)),
    torch.mv(A, torch.arange(3.0)),
    A @ torch.arange(3.0),
    torch.mm(A, torch.ones(3, 4)),
    torch.norm(torch.tensor([3.0, -4.0])),
    torch.abs(torch.tensor([3.0, -4.0])).sum(),
    torch.norm(torch.ones((4, 9))),
)
x = torch.arange(4.0)
x.requires_grad_(True)
y = 2 * torch.dot(x, x)
show(y.item())
y.backward()
show(x.grad, x.grad == 4 * x)
x.grad.zero_()
y = x.sum()
y.backward()
show(x.grad)
x.grad.zero_()
y = x * x
y.backward(gradient=torch.ones(len(y)))
show(x.grad)
x.grad.zero_()
y = x * x
u = y.detach()
z = u * x
z.sum().backward()
show(x.grad == u)


def f(a):
    b = a * 2
    while b.norm() < 1000:
        b = b * 2
    return b if b.sum() > 0 else 100 * b


a = torch.tensor(-0.3, requires_grad=True)
d = f(a)
d.backward()
show(a.grad == d / a)
# linear regression from scratch
w_true = torch.tensor([2.0, -3.4])
Xs = torch.tensor(np.random.normal(size=(200, 2)), dtype=torch.float32)
ys = Xs @ w_true + 4.2 + torch.tensor(np.random.normal(size=200) * 0.01, dtype=torch.float32)
w = torch.zeros(2, 1, requires_grad=True)
bb = torch.zeros(1, requires_grad=True)


def sgd(params, lr, bs):
    with torch.no_grad():
        for p in params:
            p -= lr * p.grad / bs
            p.grad.zero_()


for e in range(3):
    for i in range(0, 200, 20):
        l = ((Xs[i : i + 20] @ w + bb - ys[i : i + 20].reshape(-1, 1)) ** 2 / 2).sum()
        l.backward()
        sgd([w, bb], 0.1, 20)
    with torch.no_grad():
        show(f"epoch {e + 1}, loss {float(((Xs @ w + bb - ys.reshape(-1, 1)) ** 2 / 2).mean()):f}")
show(w_true - w.reshape(w_true.shape), bb)


# micrograd-like check, softmax regression, MLP moons, tiny conv
def softmax(X):
    e = torch.exp(X)
    return e / e.sum(1, keepdim=True)


show(softmax(torch.tensor([[1.0, 2.0], [3.0, 1.0]])), softmax(torch.tensor([[1.0, 2.0]])).sum(1))
t = np.linspace(0, math.pi, 40)
P = torch.tensor(np.concatenate([np.c_[np.cos(t), np.sin(t)], np.c_[1 - np.cos(t), 0.5 - np.sin(t)]])).float()
lab = torch.cat([torch.zeros(40), torch.ones(40)]).long()
net = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))
with torch.no_grad():
    for i, p in enumerate(net.parameters()):
        p.copy_(torch.sin(torch.arange(p.numel()) * (1.7 + i)).view_as(p) * 0.5)
opt = torch.optim.SGD(net.parameters(), lr=0.3, momentum=0.9, weight_decay=1e-4, nesterov=True)
sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, 40)
lossf = nn.CrossEntropyLoss(label_smoothing=0.05)
for e in range(40):
    opt.zero_grad(set_to_none=True)
    out = net(P)
    loss = lossf(out, lab)
    loss.backward()
    gn = nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    opt.step()
    sched.step()
show(
    f"{loss.item():.4f} {(out.argmax(1) == lab).float().mean().item():.4f} {gn.item():.4f} {sched.get_last_lr()[0]:.6f}"
)


def corr2d(X, K):
    h, w = K.shape
    Y = torch.zeros((X.shape[0] - h + 1, X.shape[1] - w + 1))
    for i in range(Y.shape[0]):
        for j in range(Y.shape[1]):
            Y[i, j] = (X[i : i + h, j : j + w] * K).sum()
    return Y


X = torch.ones((6, 8))
X[:, 2:6] = 0
K = torch.tensor([[1.0, -1.0]])
Y = corr2d(X, K)
show(Y[0])
conv = nn.LazyConv2d(1, kernel_size=(1, 2), bias=False)
conv(X.reshape(1, 1, 6, 8))
nn.init.constant_(conv.weight, 0.1)
for i in range(10):
    l = (conv(X.reshape(1, 1, 6, 8)) - Y.reshape(1, 1, 6, 7)) ** 2
    conv.zero_grad()
    l.sum().backward()
    conv.weight.data[:] -= 3e-2 * conv.weight.grad
    if (i + 1) % 5 == 0:
        show(f"epoch {i + 1}, loss {l.sum():.3f}")
show(
    conv.weight.data.reshape((1, 2)),
    F.max_pool2d(X[None], 2)[0, 0],
    nn.AvgPool2d(3, padding=1, stride=2)(X[None])[0, 0],
)
# rnn from scratch, embeddings, attention
E = nn.Embedding(5, 3, padding_idx=0)
nn.init.constant_(E.weight, 0.5)
E.weight.data[1] = torch.arange(3.0)
show(E(torch.tensor([[1, 0], [2, 1]])).sum(-1), F.one_hot(torch.tensor([0, 2]), 5))
rnn = nn.RNN(3, 2, batch_first=True)
[nn.init.constant_(p, 0.2) for p in rnn.parameters()]
o, h = rnn(E(torch.tensor([[1, 2, 1]])))
show(o, h.shape)
h0 = torch.zeros(1, 2)
for v in E(torch.tensor([1, 2, 1])):
    h0 = torch.tanh(v @ torch.full((3, 2), 0.2) + 0.2 + h0 @ torch.full((2, 2), 0.2) + 0.2)
show(torch.allclose(h0, h[0], atol=1e-6))
lens = torch.tensor([2, 3])
S = torch.arange(24.0).view(2, 3, 4) / 10
mask = torch.arange(3)[None] < lens[:, None]
S = S.masked_fill(~mask[:, :, None], -1e6)
show(F.softmax(S, 1).sum(1), mask)
mha = nn.MultiheadAttention(4, 2, batch_first=True)
[nn.init.constant_(p, 0.1) for p in mha.parameters()]
Q = torch.arange(24.0).view(2, 3, 4) / 24
ao, aw = mha(Q, Q, Q, key_padding_mask=~mask)
show(ao.sum(), aw)
enc = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
[nn.init.constant_(p, 0.1) for p in enc.parameters()]
show(
    enc(Q).sum(),
    nn.Transformer.generate_square_subsequent_mask(3),
    nn.LayerNorm(4)(Q)[0, 0],
    nn.BatchNorm1d(3)(Q).mean(),
    nn.Dropout(0.5).eval()(Q).equal(Q),
    nn.GELU()(torch.tensor([-1.0, 0.0, 1.0])),
    nn.Softplus()(torch.tensor(0.0)),
    nn.Flatten()(Q).shape,
    nn.Unflatten(1, (1, 3))(Q).shape,
    nn.Identity()(3),
    nn.CosineSimilarity()(Q[0], Q[1]),
    nn.PReLU()(torch.tensor([-4.0])),
    nn.GLU()(Q).shape,
    nn.Upsample(scale_factor=2)(Q[None]).shape,
    nn.PixelShuffle(2)(torch.ones(1, 4, 1, 1)).shape,
)
