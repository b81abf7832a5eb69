# Matrix decompositions and their gradients, by formulas that do not depend on signs; least squares, whitening, exponentials.
import torch
from torch import linalg
from torch.autograd import grad, gradcheck, gradgradcheck


def attempt(name, fn):
    try:
        print(name, fn())
    except Exception as error:
        print(
            name,
            next(
                k.__name__.lstrip("_")
                for k in (
                    torch.linalg.LinAlgError,
                    NotImplementedError,
                    IndexError,
                    TypeError,
                    ValueError,
                    RuntimeError,
                    Exception,
                )
                if isinstance(error, k)
            ),
        )


torch.set_default_dtype(torch.float64)
A = torch.tensor([[4.0, 1.0, 0.5], [1.0, 3.0, -0.2], [0.3, -0.7, 2.0]])
S = A @ A.T + torch.eye(3)
R = torch.tensor([[1.0, 0.2, -0.5], [0.3, 2.0, 0.1], [-0.7, 0.4, 1.5], [0.6, -1.1, 0.8]])
Z = torch.complex(A, A.T / 3)
b = torch.tensor([1.0, -2.0, 0.5])
sym = lambda x: (x + x.mH) / 2
CASES = {
    "inv": (lambda a: linalg.inv(a).sum(), A),
    "det": (linalg.det, A),
    "slogdet": (lambda a: linalg.slogdet(a)[1], A),
    "logdet": (lambda a: torch.logdet(a), S),
    "solve": (lambda a: linalg.solve(a, b).square().sum(), A),
    "solve left": (lambda a: linalg.solve(a, R, left=False).sum(), A),
    "cholesky": (lambda a: linalg.cholesky(sym(a)).sum(), S),
    "cholesky upper": (lambda a: linalg.cholesky(sym(a), upper=True)[0].sum(), S),
    "cholesky_solve": (lambda a: torch.cholesky_solve(b[:, None], linalg.cholesky(sym(a))).sum(), S),
    "qr R": (lambda a: linalg.qr(a)[1].abs().sum(), R),
    "qr Q": (lambda a: (linalg.qr(a)[0] @ linalg.qr(a)[0].T)[0].sum(), R),
    "eigh": (lambda a: linalg.eigh(sym(a))[0].pow(3).sum(), S),
    "eigh vectors": (lambda a: linalg.eigh(sym(a))[1].square()[:, 0].dot(b), S),
    "eigvalsh": (lambda a: linalg.eigvalsh(sym(a))[0], S),
    "eigvals": (lambda a: linalg.eigvals(a).abs().sum(), A),
    "svdvals": (lambda a: linalg.svdvals(a).pow(2)[1:].sum(), R),
    "svd": (lambda a: (lambda u, s, v: (u * s @ v).sin().sum())(*linalg.svd(a, full_matrices=False)), R),
    "nuc": (lambda a: linalg.matrix_norm(a, "nuc"), R),
    "spectral": (lambda a: linalg.matrix_norm(a, 2), R),
    "fro": (linalg.matrix_norm, R),
    "norm -2": (lambda a: linalg.norm(a, -2), R),
    "norm 1": (lambda a: linalg.norm(a, 1), R),
    "norm inf": (lambda a: linalg.norm(a, float("inf")), R),
    "cond": (linalg.cond, A),
    "pinv": (lambda a: linalg.pinv(a).square().sum(), R),
    "pinv hermitian": (lambda a: linalg.pinv(sym(a), hermitian=True).sum(), S),
    "lstsq": (lambda a: linalg.lstsq(a, R[:, :1] + 1).solution.sum(), R[:, 1:]),
    "matrix_exp": (lambda a: linalg.matrix_exp(a / 4).sum(), A),
    "power": (lambda a: linalg.matrix_power(a, 3).sum(), A),
    "power -2": (lambda a: linalg.matrix_power(a, -2).sum(), A),
    "multi_dot": (lambda a: linalg.multi_dot([a, a, b]).sum(), A),
    "lu": (lambda a: linalg.lu(a)[2].diagonal().abs().log().sum(), A),
    "lu_factor": (lambda a: linalg.lu_solve(*linalg.lu_factor(a), b[:, None]).sum(), A),
    "triangular": (lambda a: linalg.solve_triangular(a, b[:, None], upper=True).sum(), A),
    "householder": (lambda a: linalg.householder_product(a, b / 3).sum(), R),
    "cross": (lambda a: linalg.cross(a, a.flip(0)).square().sum(), R),
    "vander": (lambda a: linalg.vander(a, N=4).sum(), b),
    "vecdot": (lambda a: linalg.vecdot(a, a.flip(0)).sum(), R),
    "tensorinv": (lambda a: linalg.tensorinv(a.reshape(3, 3, 1), 1).sum(), A),
    "tensorsolve": (lambda a: linalg.tensorsolve(a, b).sum(), A),
    "kron": (lambda a: torch.kron(a, a).trace(), A),
    "ldl": (lambda a: linalg.ldl_factor(sym(a))[0].detach().sum() + a.sum(), S),
    "trace": (torch.trace, A),
    "complex inv": (lambda a: linalg.inv(a).abs().sum(), Z),
    "complex eigh": (lambda a: linalg.eigh(sym(a))[0].square().sum(), Z),
    "complex svd": (lambda a: linalg.svdvals(a).sum(), Z),
    "complex det": (lambda a: linalg.det(a).real, Z),
    "complex solve": (lambda a: linalg.solve(a, b + 0j).abs().sum(), Z),
}
for name, (fn, at) in CASES.items():
    x = at.clone().requires_grad_()

    def both():
        y = fn(x)
        (g,) = grad(y, x, create_graph=True)
        h = grad((g.abs() ** 2).sum(), x, allow_unused=True)[0] if g.requires_grad else None
        return (
            round(y.item(), 8),
            [round(v, 6) for v in torch.view_as_real(g + 0j)[..., 0].flatten().tolist()[:4]],
            None if h is None else round(h.abs().sum().item(), 5),
        )

    attempt(name, both)
    attempt(" check", lambda: (gradcheck(fn, x), name == "lu" or gradgradcheck(fn, x)))
B = torch.stack([A, S, torch.eye(3)])
for name in (
    "inv",
    "det",
    "cholesky_ex",
    "eigvalsh",
    "svdvals",
    "matrix_exp",
    "pinv",
    "cond",
    "matrix_rank",
    "slogdet",
    "lu_factor",
):
    y = getattr(linalg, name)(B)
    print(
        "batch",
        name,
        [tuple(t.shape) for t in (y if isinstance(y, tuple) else (y,))],
        y.sum().item() if isinstance(y, torch.Tensor) else y[0].sum().item(),
    )
BAD = {
    "inv singular": lambda: linalg.inv(torch.ones(2, 2)),
    "inv flat": lambda: linalg.inv(R),
    "inv 1-d": lambda: linalg.inv(b),
    "inv int": lambda: linalg.inv(torch.ones(2, 2, dtype=torch.long)),
    "inv half": lambda: linalg.inv(torch.ones(2, 2, dtype=torch.half)),
    "det flat": lambda: linalg.det(R),
    "cholesky negative": lambda: linalg.cholesky(-S),
    "cholesky batch": lambda: linalg.cholesky(torch.stack([S, -S])),
    "solve shapes": lambda: linalg.solve(A, R),
    "solve singular": lambda: linalg.solve(torch.ones(2, 2), torch.ones(2)),
    "solve dtype": lambda: linalg.solve(A, b.float()),
    "eigh flat": lambda: linalg.eigh(R),
    "eigh UPLO": lambda: linalg.eigh(S, UPLO="X"),
    "qr mode": lambda: linalg.qr(R, mode="full"),
    "qr r": lambda: linalg.qr(R, mode="r")[0].shape,
    "svd nan": lambda: linalg.svd(R * float("nan")),
    "norm order": lambda: linalg.norm(A, 5),
    "norm word": lambda: linalg.norm(A, "max"),
    "norm nuc vector": lambda: linalg.norm(b, "nuc"),
    "matrix_norm 1-d": lambda: linalg.matrix_norm(b),
    "norm dims": lambda: linalg.norm(B, dim=(0, 1, 2)),
    "matrix_norm dims": lambda: linalg.matrix_norm(B, dim=(0, 0)),
    "cross size": lambda: linalg.cross(R, R, dim=0),
    "power flat": lambda: linalg.matrix_power(R, 2),
    "power singular": lambda: linalg.matrix_power(torch.ones(2, 2), -1),
    "multi_dot one": lambda: linalg.multi_dot([A]),
    "multi_dot 3-d": lambda: linalg.multi_dot([B, A]),
    "lstsq shapes": lambda: linalg.lstsq(R, b),
    "lstsq driver": lambda: linalg.lstsq(R, R, driver="fast"),
    "ranks": lambda: (
        linalg.matrix_rank(torch.ones(3, 3)),
        linalg.matrix_rank(A, tol=10.0),
        linalg.matrix_rank(S, hermitian=True),
    ),
    "lstsq rank": lambda: (
        linalg.lstsq(torch.ones(3, 2), torch.ones(3, 1), driver="gelsd").rank,
        linalg.lstsq(R, R).residuals.shape,
    ),
    "tensorinv": lambda: linalg.tensorinv(B),
    "vecdot": lambda: linalg.vecdot(R, b[:2]),
    "matmul": lambda: A @ R,
    "bmm": lambda: torch.bmm(A, A),
    "mv": lambda: torch.mv(A, R),
    "dot": lambda: torch.dot(b, b[:2]),
    "addmm": lambda: torch.addmm(b, A, R.T).shape,
    "out": lambda: linalg.inv(A, out=torch.empty(0)).shape,
    "eigh grad degenerate": lambda: grad(linalg.eigh(torch.eye(2).requires_grad_())[0].sum(), ()),
    "svd grad full": lambda: linalg.svd(R.clone().requires_grad_())[0].sum().backward(),
    "eig repeated": lambda: linalg.eigvals(torch.eye(2)),
    "rank of nothing": lambda: linalg.matrix_rank(torch.zeros(0, 3)),
    "det of nothing": lambda: linalg.det(torch.zeros(0, 0)),
    "inv of nothing": lambda: linalg.inv(torch.zeros(0, 0)).shape,
    "exp of nothing": lambda: linalg.matrix_exp(torch.zeros(0, 0)).shape,
    "svd of nothing": lambda: [t.shape for t in linalg.svd(torch.zeros(0, 3))],
    "norm of nothing": lambda: linalg.norm(torch.zeros(0)),
    "max of nothing": lambda: linalg.norm(torch.zeros(0), float("inf")),
}
for name, fn in BAD.items():
    attempt(name, fn)
X = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
X = torch.stack([torch.arange(50.0).sin(), torch.arange(50.0).cos(), torch.arange(50.0) / 50], 1)
X = X - X.mean(0)
W = linalg.inv(linalg.cholesky(X.T @ X / 49))
print(
    "white",
    torch.allclose((X @ W.T).T @ (X @ W.T) / 49, torch.eye(3)),
    torch.cov(X.T).trace().item(),
    torch.corrcoef(X.T)[0],
)
w, V = linalg.eigh(torch.cov(X.T))
print("pca", w, torch.allclose((X @ V).var(0), w))
u, s, v = torch.pca_lowrank(X, 2)
print("lowrank", torch.allclose(s**2 / 49, w.flip(0)[:2]), u.shape, v.shape)
theta = torch.tensor(0.3, requires_grad=True)
G = torch.zeros(3, 3).index_put((torch.tensor([0, 1]), torch.tensor([1, 0])), torch.stack([-theta, theta]))
Q = linalg.matrix_exp(G)
print("rotation", Q, torch.allclose(Q @ Q.T, torch.eye(3)), grad(Q[0, 0], theta)[0].item())
x = torch.zeros(3, requires_grad=True)
for i in range(4):
    r = A @ x - b
    loss = r @ r
    (g,) = grad(loss, x, create_graph=True)
    H = torch.stack([grad(gi, x, retain_graph=True)[0] for gi in g])
    with torch.no_grad():
        x -= linalg.solve(H, g) * 0.5
    print("newton", i, loss.item())
