"""Matrix algorithms that NumPy and CuPy lack, over batches: LU with its pivots, LDL, substitution, the exponential.

All take ``xp`` and arrays whose last two dims are matrices; loops run over rows or columns, never over the batch.
Gene H. Golub and Charles F. Van Loan, "Matrix Computations", 4th edition, is the source where none is named.
"""

from __future__ import annotations

import math

import numpy as np


def _size(xp, x):
    """What pivots are chosen by: |x|, for complex numbers LAPACK's |real| + |imag|."""
    return xp.abs(x.real) + xp.abs(x.imag) if x.dtype.kind == "c" else xp.abs(x)


def lu_factor(xp, a):
    """Row-pivoted LU: (L below and U on and above the diagonal, pivots from 1, info), for matrices (*, m, n).

    ``info`` is the first k (from 1) whose pivot is zero, 0 when none is.
    """
    a = a.copy()
    batch, (m, n) = a.shape[:-2], a.shape[-2:]
    count, k = math.prod(batch), min(m, n)
    a = a.reshape((count, m, n))
    pivots = xp.zeros((count, k), np.int32)
    info = xp.zeros(count, np.int32)
    rows = xp.arange(count)
    for j in range(k):
        chosen = j + xp.argmax(_size(xp, a[:, j:, j]), axis=1) if count else rows
        pivots[:, j] = chosen + 1
        if count:
            lower, upper = a[rows, chosen].copy(), a[:, j].copy()
            a[rows, chosen] = upper
            a[:, j] = lower
        pivot = a[:, j, j]
        zero = pivot == 0
        info = xp.where((info == 0) & zero, j + 1, info)
        safe = xp.where(zero, xp.ones_like(pivot), pivot)
        a[:, j + 1 :, j] /= safe[:, None]
        a[:, j + 1 :, j + 1 :] -= a[:, j + 1 :, j, None] * a[:, None, j, j + 1 :]
    return a.reshape((*batch, m, n)), pivots.reshape((*batch, k)), info.reshape(batch).astype(np.int32)


def cholesky_so_far(xp, a):
    """(L, order) of one matrix: where the leading minor of that order is not positive-definite L ends, as LAPACK's does:
    with what the root was to be taken of, and of ``a`` the rest. ``order`` is 0 when none is."""
    out = xp.tril(a)
    for j in range(a.shape[-1]):
        done = out[j, :j]
        pivot = out[j, j].real - (done * done.conj()).real.sum()
        out[j, j] = pivot
        if not bool(pivot > 0):
            return out, j + 1
        out[j, j] = xp.sqrt(pivot)
        out[j + 1 :, j] = (out[j + 1 :, j] - out[j + 1 :, :j] @ done.conj()) / out[j, j]
    return out, 0


def permutation_of(xp, pivots, m):
    """Row swaps as one permutation: row i of the permuted matrix is row permutation[i] of the original."""
    batch, k = pivots.shape[:-1], pivots.shape[-1]
    count = math.prod(batch)
    flat = pivots.reshape((count, k)).astype(np.int64) - 1
    order = xp.broadcast_to(xp.arange(m), (count, m)).copy()
    rows = xp.arange(count)
    for j in range(k):
        swap = order[rows, flat[:, j]].copy()
        order[rows, flat[:, j]] = order[:, j]
        order[:, j] = swap
    return order.reshape((*batch, m))


def solve_triangular(xp, a, b, upper, unitriangular):
    """x with a @ x = b for triangular a (*, n, n) and b (*, n, k), by substitution; the other triangle is not read."""
    n = a.shape[-1]
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    x = xp.broadcast_to(b, (*batch, *b.shape[-2:])).astype(xp.result_type(a.dtype, b.dtype), copy=True)
    for i in range(n - 1, -1, -1) if upper else range(n):
        known = slice(i + 1, n) if upper else slice(0, i)
        if (n - 1 - i) if upper else i:
            x[..., i, :] -= (a[..., i : i + 1, known] @ x[..., known, :])[..., 0, :]
        if not unitriangular:
            x[..., i, :] /= a[..., i, i, None]
    return x


# Pade numerators by degree, and the largest 1-norm each is good for in float64 (Higham, "The Scaling and Squaring Method
# for the Matrix Exponential Revisited", 2005).
_DEGREES = ((3, 1.495585217958292e-2), (5, 2.539398330063230e-1), (7, 9.504178996162932e-1), (9, 2.097847961257068e0))
_LAST = (13, 5.371920351148152)


def _pade(degree: int) -> list[float]:
    factor = math.factorial
    return [
        factor(2 * degree - j) * factor(degree) / (factor(2 * degree) * factor(j) * factor(degree - j))
        for j in range(degree + 1)
    ]


def matrix_exp(xp, a):
    """exp of square matrices by scaling, a Pade approximant and squaring."""
    n = a.shape[-1]
    if a.size == 0:
        return a.copy()
    norm = float(xp.max(xp.sum(xp.abs(a), axis=-2)))
    if not math.isfinite(norm):
        return xp.full_like(a, xp.nan)
    degree, limit = next(((d, bound) for d, bound in _DEGREES if norm <= bound), _LAST)
    squarings = max(0, math.ceil(math.log2(norm / limit))) if norm > limit else 0
    a = a / 2**squarings
    c = _pade(degree)
    eye = xp.eye(n, dtype=a.dtype)
    a2 = a @ a
    power, even, odd = eye, c[0] * eye, c[1] * eye
    for j in range(2, degree + 1, 2):
        power = power @ a2
        even = even + c[j] * power
        if j + 1 <= degree:
            odd = odd + c[j + 1] * power
    odd = a @ odd
    out = xp.linalg.solve(even - odd, even + odd)
    for _ in range(squarings):
        out = out @ out
    return out.astype(a.dtype, copy=False)


def ldl_factor(a, hermitian):
    """Bunch-Kaufman LDL of NumPy matrices (*, n, n) from their lower triangle: (LD, pivots, info) in LAPACK's layout.

    A negative pivot marks a 2-by-2 block (Bunch and Kaufman 1977).
    """
    n, batch = a.shape[-1], a.shape[:-2]
    out = np.tril(a).reshape((math.prod(batch), n, n)).copy()
    pivots = np.zeros((len(out), n), np.int32)
    info = np.zeros(len(out), np.int32)
    for number, one in enumerate(out):
        info[number] = _ldl_one(one, pivots[number], hermitian)
    return out.reshape(a.shape), pivots.reshape((*batch, n)), info.reshape(batch)


def _ldl_one(a, pivots, hermitian) -> int:
    """One matrix in place; only the lower triangle is read and written."""
    n, info, k = len(a), 0, 0
    alpha = (1 + math.sqrt(17)) / 8
    star = np.conj if hermitian else (lambda x: x)

    def size(x) -> float:
        return abs(x.real) + abs(x.imag)

    while k < n:
        step, chosen = 1, k
        own = abs(a[k, k].real) if hermitian else size(a[k, k])
        below = [size(x) for x in a[k + 1 :, k]]
        largest = max(below, default=0.0)
        row = k + 1 + below.index(largest) if below else k
        if max(own, largest) == 0:
            info = info or k + 1
            if hermitian:
                a[k, k] = a[k, k].real
        else:
            if own < alpha * largest:
                across = max([size(x) for x in a[row, k:row]] + [size(x) for x in a[row + 1 :, row]])
                diagonal = abs(a[row, row].real) if hermitian else size(a[row, row])
                if own >= alpha * largest * (largest / across):
                    pass
                elif diagonal >= alpha * across:
                    chosen = row
                else:
                    step, chosen = 2, row
            at = k + step - 1
            if chosen != at:  # exchange rows and columns at and chosen of the trailing block
                a[chosen + 1 :, [at, chosen]] = a[chosen + 1 :, [chosen, at]]
                column = a[at + 1 : chosen, at].copy()
                a[at + 1 : chosen, at] = star(a[chosen, at + 1 : chosen])
                a[chosen, at + 1 : chosen] = star(column)
                a[chosen, at] = star(a[chosen, at])
                a[at, at], a[chosen, chosen] = a[chosen, chosen], a[at, at]
                if step == 2:
                    a[k + 1, k], a[chosen, k] = a[chosen, k], a[k + 1, k]
            if hermitian:
                for i in range(k, k + step):
                    a[i, i] = a[i, i].real
            rest = slice(k + step, n)
            block = a[k : k + step, k : k + step].copy()
            if step == 2:
                block[0, 1] = star(block[1, 0])
            if k + step < n:
                columns = a[rest, k : k + step].copy()
                multipliers = np.linalg.solve(block.T, columns.T).T
                change = multipliers @ star(columns).T
                a[rest, rest] -= np.tril(change)
                if hermitian:
                    index = np.arange(k + step, n)
                    a[index, index] = a[index, index].real
                a[rest, k : k + step] = multipliers
        if step == 1:
            pivots[k] = chosen + 1
        else:
            pivots[k] = pivots[k + 1] = -(chosen + 1)
        k += step
    return info


def ldl_parts(ld, pivots, hermitian):
    """(order, L, D) as plain NumPy matrices with A[order][:, order] = L D L^T, from LAPACK's layout."""
    n, batch = ld.shape[-1], ld.shape[:-2]
    star = np.conj if hermitian else (lambda x: x)
    count = math.prod(batch)
    flat, swaps = ld.reshape((count, n, n)), pivots.reshape((count, n))
    lower = np.zeros_like(flat)
    middle = np.zeros_like(flat)
    orders = np.zeros((len(flat), n), np.int64)
    for number in range(len(flat)):
        a, factor, d = flat[number], lower[number], middle[number]
        order, k = np.arange(n), 0
        while k < n:
            step = 1 if swaps[number, k] > 0 else 2
            at, chosen = k + step - 1, abs(int(swaps[number, k])) - 1
            if at != chosen:
                order[[at, chosen]] = order[[chosen, at]]
                factor[[at, chosen], :k] = factor[[chosen, at], :k]
            factor[k + step :, k : k + step] = a[k + step :, k : k + step]
            for i in range(k, k + step):
                factor[i, i] = 1
                d[i, i] = a[i, i]
            if step == 2:
                d[k + 1, k], d[k, k + 1] = a[k + 1, k], star(a[k + 1, k])
            k += step
        orders[number] = order
    return orders.reshape((*batch, n)), lower.reshape(ld.shape), middle.reshape(ld.shape)
