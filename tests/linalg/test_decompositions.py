"""Properties of factorizations, and the ops the registry walk leaves out."""

from __future__ import annotations

import numpy as np
import pytest

import mlkit


def random(*shape, complex=False, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=shape)
    return a + 1j * rng.normal(size=shape) if complex else a


@pytest.mark.parametrize("complex", [False, True])
def test_eig_takes_matrices_apart(complex):
    A = mlkit.from_numpy(random(4, 5, 5, complex=complex))
    values, vectors = mlkit.linalg.eig(A)
    assert values.dtype == vectors.dtype == mlkit.complex128
    wide = A.to(mlkit.complex128)
    np.testing.assert_allclose((wide @ vectors).numpy(), (vectors * values.unsqueeze(-2)).numpy(), atol=1e-12)
    np.testing.assert_allclose(mlkit.linalg.vector_norm(vectors, dim=-2).numpy(), np.ones((4, 5)), rtol=1e-12)
    meta = mlkit.linalg.eig(A.to("meta"))
    assert [tuple(x.shape) for x in meta] == [(4, 5), (4, 5, 5)]
    assert all(x.dtype == mlkit.complex128 for x in meta)


@pytest.mark.parametrize("complex", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_ldl_gives_the_matrix_back(complex, seed):
    from mlkit.backends.portable.matrices import ldl_parts

    a = random(6, 6, complex=complex, seed=seed)
    a = a + a.T.conj()
    a[0, 0] = a[2, 2] = 0  # forces blocks of two
    LD, pivots, info = mlkit.linalg.ldl_factor_ex(mlkit.from_numpy(a), hermitian=complex)
    assert int(info) == 0
    order, L, D = ldl_parts(LD.numpy(), pivots.numpy(), complex)
    np.testing.assert_allclose(a[order][:, order], L @ D @ L.T.conj(), atol=1e-12)
    b = random(6, 2, complex=complex, seed=seed + 9)
    x = mlkit.linalg.ldl_solve(LD, pivots, mlkit.from_numpy(b), hermitian=complex)
    np.testing.assert_allclose(a @ x.numpy(), b, atol=1e-10)


def test_ldl_solve_differentiates_in_the_right_side():
    a = random(4, 4)
    LD, pivots = mlkit.linalg.ldl_factor(mlkit.from_numpy(a + a.T))
    b = mlkit.from_numpy(random(4, 1, seed=3)).requires_grad_()
    mlkit.linalg.ldl_solve(LD, pivots, b).sum().backward()
    np.testing.assert_allclose(b.grad.numpy(), np.linalg.inv(a + a.T).sum(0)[:, None], atol=1e-10)


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (2, 4, 4), (1, 1), (0, 3), (2, 0, 0)])
@pytest.mark.parametrize("complex", [False, True])
def test_lu_and_qr_and_svd_give_the_matrix_back(shape, complex):
    a = random(*shape, complex=complex)
    A = mlkit.from_numpy(a)
    P, L, U = mlkit.linalg.lu(A)
    np.testing.assert_allclose((P @ L @ U).numpy(), a, atol=1e-12)
    if a.size:
        assert float(L.abs().max()) <= 1 + 1e-12
    Q, R = mlkit.linalg.qr(A)
    np.testing.assert_allclose((Q @ R).numpy(), a, atol=1e-12)
    U, S, Vh = mlkit.linalg.svd(A, full_matrices=False)
    np.testing.assert_allclose((U @ mlkit.diag_embed(S).to(U.dtype) @ Vh).numpy(), a, atol=1e-12)


def test_errors_name_the_batch_element_and_the_way_out():
    A = mlkit.from_numpy(np.stack([np.eye(3), np.diag([1.0, 0.0, 2.0])]))
    with pytest.raises(mlkit.linalg.LinAlgError, match=r"Batch element 1.*diagonal element 2 is zero") as caught:
        mlkit.linalg.inv(A)
    assert "pinv" in str(caught.value)
    with pytest.raises(mlkit.linalg.LinAlgError, match=r"Batch element 1.*minor of order 2"):
        mlkit.linalg.cholesky(A)
    inverse, info = mlkit.linalg.inv_ex(A)
    assert info.tolist() == [0, 2]
    np.testing.assert_array_equal(inverse[0].numpy(), np.eye(3))
    L, info = mlkit.linalg.cholesky_ex(A)
    assert info.tolist() == [0, 2]
    np.testing.assert_array_equal(L[0].numpy(), np.eye(3))


def test_a_singular_triangle_gives_infinity_like_pytorch():
    A = mlkit.from_numpy(np.array([[1.0, 1.0], [0.0, 0.0]]))
    assert mlkit.linalg.solve_triangular(A, mlkit.ones(2, 1).double(), upper=True)[1].isinf().all()


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 0.1, 1.0, 3.0, 30.0])
def test_matrix_exp_of_a_rotation(scale):
    A = mlkit.tensor([[0.0, -scale], [scale, 0.0]], dtype=mlkit.float64)
    c, s = np.cos(scale), np.sin(scale)
    np.testing.assert_allclose(mlkit.linalg.matrix_exp(A).numpy(), [[c, -s], [s, c]], atol=1e-13)


def test_lowrank_methods_find_a_matrix_of_low_rank():
    mlkit.manual_seed(0)
    a = random(20, 3) @ random(3, 12, seed=1)
    U, S, V = mlkit.svd_lowrank(mlkit.from_numpy(a), q=4)
    np.testing.assert_allclose((U * S @ V.mT).numpy(), a, atol=1e-9)
    U, S, V = mlkit.pca_lowrank(mlkit.from_numpy(a), q=3)
    np.testing.assert_allclose((U * S @ V.mT).numpy(), a - a.mean(0), atol=1e-9)


def test_out_takes_the_result():
    A = mlkit.from_numpy(random(3, 3) + 3 * np.eye(3))
    out = mlkit.zeros(3, 3).double()
    assert mlkit.linalg.inv(A, out=out) is out
    np.testing.assert_allclose((out @ A).numpy(), np.eye(3), atol=1e-12)
    Q, R = mlkit.zeros(0).double(), mlkit.zeros(0).double()
    mlkit.linalg.qr(A, out=(Q, R))
    np.testing.assert_allclose((Q @ R).numpy(), A.numpy(), atol=1e-12)


def test_everything_works_on_meta():
    A = mlkit.zeros(2, 3, 3, device="meta", requires_grad=True)
    B = mlkit.zeros(2, 3, 2, device="meta")
    assert mlkit.linalg.solve(A, B).shape == (2, 3, 2)
    assert mlkit.linalg.lstsq(A, B).solution.shape == (2, 3, 2)
    assert mlkit.linalg.cond(A).shape == (2,)
    assert mlkit.linalg.matrix_rank(A).shape == (2,)
    assert mlkit.linalg.lu_solve(*mlkit.linalg.lu_factor(A), B).shape == (2, 3, 2)
    assert mlkit.linalg.householder_product(A, mlkit.zeros(2, 3, device="meta")).shape == (2, 3, 3)


def test_names_are_pytorchs():
    names = """LinAlgError cholesky cholesky_ex cond cross det diagonal eig eigh eigvals eigvalsh householder_product inv
    inv_ex ldl_factor ldl_factor_ex ldl_solve lstsq lu lu_factor lu_factor_ex lu_solve matmul matrix_exp matrix_norm
    matrix_power matrix_rank multi_dot norm pinv qr slogdet solve solve_ex solve_triangular svd svdvals tensorinv
    tensorsolve vander vecdot vector_norm""".split()
    assert [n for n in names if not hasattr(mlkit.linalg, n)] == []
