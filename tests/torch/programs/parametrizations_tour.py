# Parametrisations: the tutorial's symmetric, skew and exponential maps, chained, cached, right inverses, and the library's own.
import torch
import torch.nn as nn
import torch.nn.utils.parametrize as parametrize
from torch.nn.utils.parametrizations import orthogonal, spectral_norm, weight_norm

from reproducible import attempt, fill, normal, slopes, tell


class Symmetric(nn.Module):
    def forward(self, X):
        return X.triu() + X.triu(1).transpose(-1, -2)

    def right_inverse(self, A):
        return A.triu()


class Skew(nn.Module):
    def forward(self, X):
        A = X.triu(1)
        return A - A.transpose(-1, -2)

    def right_inverse(self, A):
        return A.triu(1)


class MatrixExponential(nn.Module):
    def forward(self, X):
        return torch.matrix_exp(X)


class CayleyMap(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.register_buffer("Id", torch.eye(n))

    def forward(self, X):
        return torch.linalg.solve(self.Id - X, self.Id + X)

    def right_inverse(self, A):
        X = torch.linalg.solve(A - self.Id, self.Id + A) if False else torch.linalg.solve(A + self.Id, A - self.Id)
        return X


class Rank1(nn.Module):
    def forward(self, x, y):
        return x.unsqueeze(-1) @ y.unsqueeze(-2)

    def right_inverse(self, Z):
        U, S, Vh = torch.linalg.svd(Z, full_matrices=False)
        s0 = S[..., 0].sqrt().unsqueeze(-1)
        sign = torch.sign(U[..., :1, 0])
        return U[..., :, 0] * s0 * sign, Vh[..., 0, :] * s0 * sign


layer = fill(nn.Linear(3, 3), 1)
parametrize.register_parametrization(layer, "weight", Symmetric())
A = layer.weight
print(torch.allclose(A, A.T), layer)
print(f"\nUnparametrized:\n{layer.parametrizations.weight.original}")
print(layer.parametrizations, layer.parametrizations.weight[0], hasattr(layer, "weight"), "weight" in dict(layer.named_parameters()))
layer.weight = (new := normal(3, 3, seed=2)).add(new.T)
tell("set", layer.weight, layer.parametrizations.weight.original)
layer(normal(2, 3, seed=3)).pow(2).sum().backward()
tell("slopes", *(p.grad for p in layer.parameters()))

cnn = nn.Conv2d(in_channels=4, out_channels=8, kernel_size=3)
parametrize.register_parametrization(cnn, "weight", Skew()) if False else None
ortho = fill(nn.Linear(3, 3), 4)
parametrize.register_parametrization(ortho, "weight", Skew())
parametrize.register_parametrization(ortho, "weight", MatrixExponential())
X = ortho.weight
print(torch.dist(X.T @ X, torch.eye(3)).item() < 1e-5)
attempt("no inverse", lambda: setattr(ortho, "weight", X.detach()))
cayley = nn.Linear(3, 3)
parametrize.register_parametrization(cayley, "weight", Skew())
parametrize.register_parametrization(cayley, "weight", CayleyMap(3))
cayley.weight = torch.matrix_exp(torch.tensor([[0.0, 0.3, -0.2], [-0.3, 0, 0.1], [0.2, -0.1, 0]]))
tell("Cayley", cayley.weight, cayley.parametrizations.weight.original)
print(cayley.state_dict().keys())
two = fill(nn.Linear(4, 3), 5)
parametrize.register_parametrization(two, "weight", Rank1())
print(two.parametrizations.weight.original0.shape, two.parametrizations.weight.original1.shape, torch.linalg.matrix_rank(two.weight).item())
tell("rank 1", two.weight)
seq = nn.Sequential(ortho, cayley)


class Counting(nn.Module):
    calls = 0

    def forward(self, X):
        Counting.calls += 1
        return 2 * X


counted = nn.Linear(2, 2)
parametrize.register_parametrization(counted, "weight", Counting())
Counting.calls = 0
counted.weight, counted.weight
with parametrize.cached():
    counted.weight, counted.weight, counted(torch.ones(1, 2))
    print("the same object", counted.weight is counted.weight)
print("calls", Counting.calls)
print(parametrize.is_parametrized(counted), parametrize.is_parametrized(counted, "bias"), type(counted).__name__, isinstance(counted, nn.Linear))
parametrize.remove_parametrizations(counted, "weight", leave_parametrized=False)
print(type(counted) is nn.Linear, parametrize.is_parametrized(counted))
parametrize.transfer_parametrizations_and_params(layer, other := nn.Linear(3, 3))
print(torch.equal(other.weight, layer.weight), parametrize.type_before_parametrizations(layer) is nn.Linear)

for name in ("matrix_exp", "cayley", "householder"):
    for shape in ((4, 4), (5, 3), (3, 5)):
        if name == "cayley" and False:
            continue
        m = fill(nn.Linear(shape[1], shape[0], bias=False), 6)
        m = orthogonal(m, orthogonal_map=name, use_trivialization=False)
        with torch.no_grad():
            m.parametrizations.weight.original.copy_(normal(*shape, seed=7) / 3)
        W = m.weight
        small = min(shape)
        G = W.T @ W if shape[0] >= shape[1] else W @ W.T
        (W * normal(*shape, seed=8)).sum().backward()
        tell(f"{name} {shape} {torch.allclose(G, torch.eye(small), atol=1e-4)}", W, m.parametrizations.weight.original.grad)
m = orthogonal(fill(nn.Linear(3, 3), 9))
m.weight = torch.linalg.qr(normal(3, 3, seed=10)).Q
print("set and kept", torch.allclose(m.weight @ m.weight.T, torch.eye(3), atol=1e-5), sorted(m.state_dict()))
for dim in (0, 1, None):
    m = weight_norm(fill(nn.Linear(4, 3), 11), dim=dim)
    m(normal(2, 4, seed=12)).sin().sum().backward()
    tell(f"weight norm {dim}", m.weight, *(p.grad for p in m.parameters()))
    print(sorted(m.state_dict()))
old = torch.nn.utils.weight_norm(fill(nn.Conv1d(2, 3, 3), 13), name="weight")
print(sorted(n for n, _ in old.named_parameters()), old.weight_g.shape)
old(normal(1, 2, 5, seed=14)).pow(2).sum().backward()
tell("old weight norm", old.weight_g.grad, old.weight_v.grad)
torch.nn.utils.remove_weight_norm(old)
print(sorted(n for n, _ in old.named_parameters()))
new = weight_norm(nn.Conv1d(2, 3, 3))
print(new.load_state_dict({"weight_g": torch.ones(3, 1, 1), "weight_v": normal(3, 2, 3, seed=15), "bias": torch.zeros(3)}))
tell("loaded from the old form", new.weight)
m = spectral_norm(fill(nn.Linear(4, 3), 16), n_power_iterations=20)
for _ in range(3):
    m.weight
print(f"{torch.linalg.matrix_norm(m.weight, 2).item():.4f}", sorted(m.state_dict()), [n for n, _ in m.named_buffers()])
m.eval()
print(torch.equal(m.weight, m.weight))
attempt("wrong shape", lambda: parametrize.register_parametrization(nn.Linear(2, 3), "weight", Skew()))
attempt("changes dtype", lambda: parametrize.register_parametrization(nn.Linear(2, 2), "weight", type("D", (nn.Module,), {"forward": lambda s, x: x.double()})()))
attempt("unsafe", lambda: parametrize.register_parametrization(nn.Linear(2, 2), "weight", type("D", (nn.Module,), {"forward": lambda s, x: x.double()})(), unsafe=True).weight.dtype)
attempt("no such", lambda: parametrize.register_parametrization(nn.Linear(2, 2), "none", Skew()))
attempt("buffer", lambda: [n for n, _ in parametrize.register_parametrization(nn.BatchNorm1d(2), "running_mean", Counting()).named_buffers()])
