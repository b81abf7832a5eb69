# Linear algebra as a course goes through it: elimination, LU, QR, SVD, least squares, eigenvalues, and their gradients.
import torch


def show(*values):
    """print without the graph behind the tensors: its nodes have names of their own."""
    print(*[v.detach() if isinstance(v, torch.Tensor) else v for v in values])


L = torch.linalg


def raises(kind, fn, word=""):
    try:
        fn()
    except kind as e:
        return True
    except Exception as e:
        return "other"
    return "none"


A = torch.tensor([[4.0, 1.0, 2.0], [1.0, 3.0, 0.0], [2.0, 0.0, 5.0]], dtype=torch.float64, requires_grad=True)
b = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
x = L.solve(A, b)
show(x, L.norm(A @ x - b) < 1e-12)
show(torch.autograd.grad(x.sum(), A, retain_graph=True)[0])
for f in (
    L.det,
    L.inv,
    L.slogdet,
    L.cholesky,
    L.qr,
    L.svdvals,
    L.eigvalsh,
    L.matrix_norm,
    L.matrix_rank,
    L.pinv,
    L.cond,
    L.matrix_exp,
    torch.trace,
    torch.logdet,
    lambda a: L.matrix_power(a, 3),
    lambda a: L.matrix_power(a, -2),
    lambda a: L.norm(a, "nuc"),
    lambda a: L.norm(a, 2),
    lambda a: L.norm(a, -2),
    lambda a: L.norm(a, 1),
    lambda a: L.norm(a, float("inf")),
    lambda a: L.norm(a, dim=0),
    lambda a: L.vector_norm(a, 3),
    lambda a: L.vector_norm(a, 0),
    lambda a: L.multi_dot([a, a, a]),
    lambda a: L.solve_triangular(a.tril(), b[:, None], upper=False),
    lambda a: torch.cholesky_solve(b[:, None], L.cholesky(a)),
    lambda a: torch.cholesky_inverse(L.cholesky(a)),
    lambda a: L.lu_factor(a)[0],
    lambda a: L.lu(a)[2],
    lambda a: L.tensorinv(a.reshape(3, 3), ind=1),
    lambda a: L.cross(a[0], a[1]),
    lambda a: L.vander(a[0], N=3),
    lambda a: L.inv_ex(a)[0],
    lambda a: L.cholesky_ex(a)[0],
    lambda a: L.eigh(a)[0],
    lambda a: L.eigh(a)[1].abs(),
    lambda a: L.svd(a)[0].abs(),
    lambda a: L.svd(a, full_matrices=False)[2].abs(),
    lambda a: L.tensorsolve(a, b),
    lambda a: L.diagonal(a),
    lambda a: L.vecdot(a, a),
    lambda a: L.matmul(a, a),
    lambda a: L.lstsq(a, b[:, None]).solution,
    lambda a: torch.lu_solve(b[:, None], *L.lu_factor(a)),
    lambda a: L.eigvals(a).abs().sort()[0],
    lambda a: torch.baddbmm(a[None], a[None], a[None]),
    lambda a: torch.addr(a, a[0], a[1]),
    lambda a: torch.kron(a, a).sum(0),
    lambda a: torch.block_diag(a, a).sum(1),
    lambda a: torch.cdist(a, a + 1),
    lambda a: torch.corrcoef(a),
    lambda a: torch.cov(a),
    lambda a: torch.chain_matmul(a, a) if hasattr(torch, "chain_matmul") else a,
    lambda a: a.mT @ a.H,
    lambda a: torch.tensordot(a, a, 1),
    lambda a: torch.bilinear(a, a, a[None]),
    lambda a: torch.vdot(a[0], a[1]),
    lambda a: torch.ger(a[0], a[1]),
    lambda a: torch.outer(a[0], a[1]).tril(-1),
    lambda a: torch.renorm(a, 2, 0, 1.0),
    lambda a: torch.triu(a, 1),
):
    o = f(A)
    o = o if isinstance(o, torch.Tensor) else o[-1]
    g = (
        torch.autograd.grad(o.sum(), A, allow_unused=True, materialize_grads=True)[0].sum().item()
        if o.requires_grad
        else "-"
    )
    show(o.detach().flatten()[:5], tuple(o.shape), g if g == "-" else f"{g:.6f}")
X = torch.stack([torch.ones(6), torch.arange(6.0)], 1)
y = torch.tensor([1.0, 3.1, 4.9, 7.2, 9.0, 10.8])
s = L.lstsq(X, y[:, None])
show(s.solution.T, s.rank, s.residuals, s.singular_values.shape, L.lstsq(X, y[:, None], driver="gelsd").singular_values)
U, S, Vh = L.svd(torch.arange(12.0).reshape(3, 4))
show(U.shape, S, Vh.shape, ((U[:, :2] * S[:2]) @ Vh[:2]))
Q, R = L.qr(torch.arange(12.0).reshape(4, 3) + torch.eye(4, 3))
show((Q.T @ Q).round(decimals=3).abs(), R.abs())
w, V = L.eig(torch.tensor([[0.0, 1.0], [-1.0, 0.0]]))
show(w, V.dtype, w.dtype, torch.view_as_real(w))
P, Lo, Up = L.lu(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
show(P, Lo, Up, P @ Lo @ Up)
LU, piv = torch.linalg.lu_factor(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
show(LU, piv, torch.lu_unpack(LU, piv)[1])
show(
    raises(L.LinAlgError, lambda: L.inv(torch.zeros(2, 2))),
    raises(L.LinAlgError, lambda: L.cholesky(-torch.eye(2))),
    raises(RuntimeError, lambda: L.solve(torch.zeros(2, 2), torch.ones(2))),
    raises(RuntimeError, lambda: L.inv(torch.ones(2, 3))),
    raises(RuntimeError, lambda: L.det(torch.ones(2, 3))),
    raises(RuntimeError, lambda: L.inv(torch.ones(2, 2, dtype=torch.long))),
    raises(RuntimeError, lambda: L.qr(torch.ones(2, 2), mode="x")),
    raises(RuntimeError, lambda: L.norm(torch.ones(2, 2), "x")),
    raises(RuntimeError, lambda: torch.mm(torch.ones(2, 3), torch.ones(2, 3))),
    raises(RuntimeError, lambda: torch.dot(torch.ones(2), torch.ones(3))),
    raises(RuntimeError, lambda: torch.mv(torch.ones(2, 3), torch.ones(2))),
    raises(RuntimeError, lambda: torch.bmm(torch.ones(1, 2, 3), torch.ones(2, 3, 2))),
    raises(RuntimeError, lambda: torch.mm(torch.ones(2, 3), torch.ones(3, 2).double())),
    raises(RuntimeError, lambda: torch.dot(torch.ones(2, 2), torch.ones(2))),
)
v = torch.ones(3, dtype=torch.float64)
for i in range(50):
    v = A.detach() @ v
    v /= v.norm()
show(v, v @ A.detach() @ v)
M = torch.tensor([[0.0, 0.5, 0.0], [1.0, 0.0, 1.0], [0.0, 0.5, 0.0]])
r = torch.full((3,), 1 / 3)
for i in range(60):
    r = 0.85 * M @ r + 0.15 / 3
show(r, r.sum())
H = 1 / (torch.arange(1.0, 5.0)[:, None] + torch.arange(4.0))
show(H, L.cond(H.double()), L.det(H.double()))
B = torch.arange(24.0).reshape(2, 3, 4)
show(
    torch.bmm(B, B.mT),
    torch.einsum("bij,bkj->bik", B, B).sum(),
    (B @ B[0].T).shape,
    torch.matmul(B, torch.ones(4)).shape,
    torch.matmul(torch.ones(3), B).shape,
)
show(
    torch.einsum("ii->i", M),
    torch.einsum("ij->ji", M),
    torch.einsum("...ij,...jk->...ik", B, B.mT).shape,
    torch.einsum("i,j->ij", r, r),
    torch.einsum("ij,ij->", M, M),
    torch.einsum(B, [0, 1, 2], [0, 2]).shape,
)
Xc = torch.tensor([[2.5, 2.4], [0.5, 0.7], [2.2, 2.9], [1.9, 2.2], [3.1, 3.0]])
Xc = Xc - Xc.mean(0)
show(torch.cov(Xc.T), L.eigh(torch.cov(Xc.T))[0], (L.svd(Xc)[1] ** 2 / 4), torch.pca_lowrank(Xc, q=2)[1])
