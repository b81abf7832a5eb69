"""Expressions over an Array API namespace ``xp``, run under mlkit, NumPy and the standard's strict reference library."""

from __future__ import annotations

from itertools import product

DTYPES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 complex64 complex128".split()
UNARY = """abs acos acosh asin asinh atan atanh bitwise_invert ceil conj cos cosh exp expm1 floor imag isfinite isinf isnan
log log10 log1p log2 logical_not negative positive real reciprocal round sign signbit sin sinh sqrt square tan tanh
trunc""".split()
BINARY = """add atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor copysign divide equal
floor_divide greater greater_equal hypot less less_equal logaddexp logical_and logical_or logical_xor maximum minimum
multiply nextafter not_equal pow remainder subtract""".split()
OPERATORS = "+ - * / // % ** & | ^ << >> == != < <= > >= @".split()
SCALARS = ["True", "2", "1.5", "2j"]


def inputs(xp) -> dict:
    """Names the expressions use: ``f`` (3, 4) float64 with NaN, ``g`` (2, 3, 4) float64, ``i`` (3, 4) int32, ``u``
    (3, 4) uint8, ``b`` (3, 4) bool, ``c`` (3, 4) complex128, ``v`` (5,) float64, ``k`` (5,) int64, ``s`` 0-d,
    ``z`` (0, 3), ``p`` (3, 3) positive definite, ``m`` (2, 3, 3), ``n`` (4,) int64 indices, ``a`` makes any of them."""

    def a(numbers, dtype):
        return xp.asarray(numbers, dtype=getattr(xp, dtype))

    nan, inf = float("nan"), float("inf")
    rows = [[1.5, -2.0, nan, 0.0], [-0.0, inf, 3.25, -1.0], [2.0, 2.0, -inf, 7.0]]
    whole = [[3, -1, 4, 1], [-5, 9, 2, -6], [5, 3, 5, 8]]
    grid = [[[((7 * x + 3 * y + 2 * z) % 11) / 4 - 1 for z in range(4)] for y in range(3)] for x in range(2)]
    return {
        "xp": xp,
        "a": a,
        "inf": inf,
        "nan": nan,
        "f": a(rows, "float64"),
        "g": a(grid, "float64"),
        "h": a(grid, "float32"),
        "i": a(whole, "int32"),
        "u": a([[abs(n) for n in row] for row in whole], "uint8"),
        "b": a([[n % 2 == 1 for n in row] for row in whole], "bool"),
        "c": a([[complex(n, 5 - n) for n in row] for row in whole], "complex128"),
        "v": a([3.0, 1.0, 2.0, 1.0, -4.0], "float64"),
        "k": a([3, 1, 2, 1, -4], "int64"),
        "s": a(2.5, "float64"),
        "z": xp.zeros((0, 3), dtype=xp.float64),
        "p": a([[4.0, 1.0, 0.5], [1.0, 3.0, 0.25], [0.5, 0.25, 2.0]], "float64"),
        "m": a(
            [[[2.0, 1.0, 0.0], [0.5, 3.0, 1.0], [1.0, 0.0, 1.0]], [[1.0, 0.0, 2.0], [0.0, 2.0, 1.0], [3.0, 1.0, 1.0]]],
            "float64",
        ),
        "n": a([2, 0, 1, 1], "int64"),
    }


def _elementwise() -> list[str]:
    out = [f"xp.{name}(a([0, 1, 1], {d!r}))" for name, d in product(UNARY, DTYPES)]
    out += [f"xp.{name}(a([[1], [1]], {x!r}), a([1, 1, 0], {y!r}))" for name, x, y in product(BINARY, DTYPES, DTYPES)]
    out += [f"xp.{name}(a([1, 0], {d!r}), {s})" for name, d, s in product(BINARY, DTYPES, SCALARS)]
    out += [f"xp.{name}({s}, a([1, 1], {d!r}))" for name, d, s in product(["add", "pow", "less"], DTYPES, SCALARS)]
    out += [f"a([1, 0], {d!r}) {o} {s}" for o, d, s in product(OPERATORS[:-1], DTYPES, SCALARS)]
    out += [f"{s} {o} a([1, 1], {d!r})" for o, d, s in product(OPERATORS[:-1], DTYPES, SCALARS)]
    out += [f"a(1, {x!r}) {o} a([1, 1], {y!r})" for o, x, y in product(OPERATORS[:-1], DTYPES, DTYPES)]
    out += [f"{o}a([1, 0], {d!r})" for o, d in product("+-~", DTYPES)] + [f"abs(a([1, 0], {d!r}))" for d in DTYPES]
    out += [f"xp.where(a([True, False], 'bool'), a([1, 1], {x!r}), a(0, {y!r}))" for x, y in product(DTYPES, DTYPES)]
    out += [f"xp.where(a([True, False], 'bool'), a([1, 1], {d!r}), {s})" for d, s in product(DTYPES, SCALARS)]
    out += [f"xp.result_type(xp.{x}, xp.{y})" for x, y in product(DTYPES, DTYPES)]
    out += [f"xp.astype(a([0, 1], {x!r}), xp.{y})" for x, y in product(DTYPES, DTYPES)]
    return out


def _reductions() -> list[str]:
    out = []
    for name in "sum prod mean max min var std all any argmax argmin count_nonzero".split():
        for how in ("", "axis=0", "axis=-1, keepdims=True", "axis=(0, 2)", "axis=()", "axis=3", "axis=(0, 0)"):
            if name in ("argmax", "argmin") and "(" in how:
                continue
            out.append(f"xp.{name}(g, {how})")
        out += [f"xp.{name}(a([[1, 0], [1, 1]], {d!r}), axis=0)" for d in DTYPES]
        out += [f"xp.{name}(f)", f"xp.{name}(s)", f"xp.{name}(z, axis=0)", f"xp.{name}(z, axis=1)"]
    for name in ("var", "std"):
        out += [f"xp.{name}(g, axis=1, correction={n})" for n in ("1", "0.5", "1.0")]
    for name in ("sum", "prod", "cumulative_sum", "cumulative_prod"):
        out += [
            f"xp.{name}(a([1, 2, 3], {d!r}), dtype=xp.{t})"
            for d in ("int8", "uint8", "float32")
            for t in ("int64", "float64")
        ]
    for name in ("cumulative_sum", "cumulative_prod"):
        out += [f"xp.{name}({x})" for x in ("v", "k", "f", "s")]
        out += [
            f"xp.{name}(g, axis=1)",
            f"xp.{name}(g, axis=-1, include_initial=True)",
            f"xp.{name}(z, axis=0, include_initial=True)",
        ]
        out += [f"xp.{name}(a([1, 2, 3], {d!r}))" for d in DTYPES]
    out += [
        f"xp.diff({how})"
        for how in (
            "v",
            "g, axis=0",
            "g, n=2",
            "k, prepend=a([0], 'int64'), append=a([9, 9], 'int64')",
            "v, n=0",
            "v, n=9",
            "z, axis=1",
            "c",
        )
    ]
    return out


LISTED = """
xp.reshape(g, (4, 6)) | xp.reshape(g, (-1,)) | xp.reshape(g, (5, 5)) | xp.reshape(g, (2, -1, 2)) | xp.reshape(z, (3, 0))
xp.reshape(s, (1, 1)) | xp.reshape(g, (3, 8), copy=True) | xp.reshape(g, (-1, -1)) | xp.reshape(xp.permute_dims(g, (2, 1, 0)), (24,))
xp.permute_dims(g, (2, 0, 1)) | xp.permute_dims(g, (0, 1)) | xp.permute_dims(g, (0, 0, 1)) | xp.permute_dims(g, (-1, 0, 1))
xp.moveaxis(g, 0, -1) | xp.moveaxis(g, (0, 1), (-1, 0)) | xp.moveaxis(g, 5, 0) | xp.moveaxis(g, (0, 1), (0,))
xp.expand_dims(g, axis=0) | xp.expand_dims(g, axis=-1) | xp.expand_dims(g, axis=3) | xp.expand_dims(g, axis=4) | xp.expand_dims(s, axis=0)
xp.squeeze(xp.expand_dims(g, axis=1), axis=1) | xp.squeeze(g, axis=0) | xp.squeeze(xp.reshape(v, (1, 5, 1)), axis=(0, -1))
xp.flip(g) | xp.flip(g, axis=1) | xp.flip(g, axis=(0, -1)) | xp.flip(g, axis=4) | xp.flip(s) | xp.flip(b, axis=0)
xp.roll(g, 2) | xp.roll(g, 1, axis=1) | xp.roll(g, (1, -2), axis=(0, 2)) | xp.roll(g, -7, axis=2) | xp.roll(g, (1, 2), axis=(0, 0)) | xp.roll(z, 1, axis=0)
xp.roll(g, (1, 2), axis=(0,)) | xp.repeat(v, 2) | xp.repeat(g, 3, axis=1) | xp.repeat(v, a([1, 0, 2, 1, 3], 'int64')) | xp.repeat(g, a([1, 2, 0], 'int64'), axis=1)
xp.tile(v, (2,)) | xp.tile(f, (2, 1)) | xp.tile(f, (3,)) | xp.tile(v, (2, 1, 2)) | xp.tile(s, (2, 2)) | xp.tile(f, ()) | xp.tile(f, (0, 2))
xp.concat([f, f]) | xp.concat([f, i], axis=0) | xp.concat([i, u], axis=1) | xp.concat([g, h], axis=-1) | xp.concat([f, g]) | xp.concat([f, v], axis=None)
xp.concat([f, f], axis=2) | xp.concat([i, k], axis=None) | xp.concat((u, u), axis=-1) | xp.concat([z, z], axis=0) | xp.concat([s], axis=None)
xp.stack([f, f]) | xp.stack([f, f], axis=-1) | xp.stack([f, f], axis=3) | xp.stack([f, v]) | xp.stack([i, u], axis=1) | xp.stack([s, s])
xp.unstack(g) | xp.unstack(g, axis=-1) | xp.unstack(z, axis=0) | xp.unstack(g, axis=3)
xp.broadcast_to(v, (3, 5)) | xp.broadcast_to(s, (2, 2)) | xp.broadcast_to(v, (5, 3)) | xp.broadcast_arrays(f, s, xp.reshape(v[:4], (4,)))
xp.broadcast_arrays(f, v) | xp.matrix_transpose(g) | xp.matrix_transpose(v) | g.mT | f.T | v.mT
xp.tril(g) | xp.tril(g, k=1) | xp.triu(f, k=-1) | xp.triu(b) | xp.tril(v) | xp.meshgrid(v, k) | xp.meshgrid(v, v, v[:2])
xp.meshgrid(v, v[:2], indexing='ij') | xp.meshgrid(v, f) | xp.meshgrid(v, v, indexing='xz') | xp.meshgrid(v)
xp.take(g, n[1:], axis=1) | xp.take(v, n) | xp.take(g, n) | xp.take(g, n, axis=-1) | xp.take(g, xp.reshape(n, (2, 2)), axis=2) | xp.take(v, v)
xp.take_along_axis(f, xp.argsort(f, axis=1), axis=1) | xp.take_along_axis(g, xp.argsort(g, axis=0), axis=0) | xp.take_along_axis(v, n)
xp.take_along_axis(g, xp.zeros((1, 1, 2), dtype=xp.int64), axis=2) | xp.take_along_axis(g, n)
xp.nonzero(b) | xp.nonzero(i) | xp.nonzero(s) | xp.nonzero(z) | xp.searchsorted(xp.sort(v), v) | xp.searchsorted(xp.sort(v), f, side='right')
xp.searchsorted(v, v, sorter=xp.argsort(v)) | xp.searchsorted(f, v) | xp.searchsorted(xp.sort(k), a([1, 7], 'int32')) | xp.searchsorted(xp.sort(v), v, side='up')
xp.sort(v) | xp.sort(g, axis=0) | xp.sort(k, descending=True) | xp.sort(g, axis=1, descending=True, stable=False) | xp.sort(c) | xp.sort(z, axis=0) | xp.sort(u, axis=0)
xp.argsort(v) | xp.argsort(g, axis=0) | xp.argsort(k, descending=True) | xp.argsort(v, descending=True, stable=True) | xp.argsort(g, axis=3) | xp.argsort(u, axis=1, descending=True)
xp.unique_all(k) | xp.unique_all(i) | xp.unique_all(f) | xp.unique_counts(v) | xp.unique_counts(b) | xp.unique_inverse(i) | xp.unique_inverse(v)
xp.unique_values(k) | xp.unique_values(u) | xp.unique_values(z) | xp.unique_values(f) | xp.unique_all(s) | xp.unique_values(c)
xp.clip(v, 0, 2) | xp.clip(v, 0.5) | xp.clip(v, None, 1.5) | xp.clip(i, 0, 4) | xp.clip(f, v[:4], s) | xp.clip(i, a(0, 'int32'), a([[4], [3], [2]], 'int32')) | xp.clip(v) | xp.clip(c, 0, 1)
xp.clip(b, 0, 1) | xp.clip(u, 0, 300)
xp.matmul(f[:, :3], p) | xp.matmul(m, p) | xp.matmul(m, v[:3]) | xp.matmul(v[:3], p) | xp.matmul(v, v) | xp.matmul(f, f) | xp.matmul(i, f) | xp.matmul(s, v) | m @ p | p @ v[:3]
xp.matmul(i, xp.matrix_transpose(i)) | xp.matmul(u, i.T) | xp.matmul(b, b.T) | xp.matmul(c, c.T) | xp.matmul(m, xp.zeros((4, 3, 3), dtype=xp.float64)) | xp.matmul(xp.reshape(z, (3, 0)), z)
xp.tensordot(g, g, axes=3) | xp.tensordot(f, g, axes=((0, 1), (1, 2))) | xp.tensordot(v, v, axes=0) | xp.tensordot(m, p, axes=1) | xp.tensordot(m, p, axes=((2,), (0,))) | xp.tensordot(i, k, axes=0)
xp.tensordot(m, v, axes=1) | xp.tensordot(m, p) | xp.tensordot(m, p, axes=4)
xp.vecdot(g, g) | xp.vecdot(g, f) | xp.vecdot(c, c) | xp.vecdot(m, p, axis=-2) | xp.vecdot(i, i) | xp.vecdot(v, f) | xp.vecdot(u, u, axis=-2) | xp.vecdot(c, c, axis=-2)
xp.isdtype(xp.int8, 'integral') | xp.isdtype(xp.float32, ('bool', 'real floating')) | xp.isdtype(xp.uint8, 'signed integer') | xp.isdtype(xp.bool, 'bool') | xp.isdtype(xp.complex64, 'numeric')
xp.isdtype(xp.float64, xp.float64) | xp.isdtype(xp.float64, (xp.float32, 'complex floating')) | xp.isdtype(xp.int8, 'number')
xp.can_cast(xp.int8, xp.int16) | xp.can_cast(xp.int16, xp.int8) | xp.can_cast(xp.float32, xp.complex64) | xp.can_cast(u, xp.uint16) | xp.can_cast(xp.uint8, xp.int16)
xp.finfo(xp.float32).eps | xp.finfo(xp.float64).max | xp.finfo(f).bits | xp.finfo(xp.complex64).smallest_normal | xp.finfo(xp.int8) | xp.iinfo(xp.uint8).max | xp.iinfo(i).min | xp.iinfo(xp.float32)
xp.finfo(xp.complex128).dtype | xp.finfo(xp.float32).min | xp.iinfo(xp.int64).bits | xp.iinfo(xp.int16).dtype
xp.arange(5) | xp.arange(1, 8, 3) | xp.arange(5, 0, -2) | xp.arange(0) | xp.arange(5, dtype=xp.float32) | xp.arange(3, 1) | xp.arange(0.0, 2.0, 0.5, dtype=xp.float64) | xp.arange(2, 9, 2, dtype=xp.uint8)
xp.linspace(0, 1, 5, dtype=xp.float64) | xp.linspace(0.0, 1.0, 5, endpoint=False, dtype=xp.float64) | xp.linspace(1, 0, 0, dtype=xp.float32) | xp.linspace(3.0, 3.0, 1, dtype=xp.float64)
xp.eye(3, dtype=xp.int32) | xp.eye(2, 4, k=1, dtype=xp.bool) | xp.eye(3, k=-1, dtype=xp.complex64) | xp.full((2, 3), 7) | xp.full((2,), True) | xp.full((), 3, dtype=xp.uint8) | xp.full(2, 1.5, dtype=xp.float32)
xp.zeros((2, 3), dtype=xp.int8) | xp.ones(4, dtype=xp.bool) | xp.zeros_like(c) | xp.ones_like(b) | xp.full_like(i, 4) | xp.zeros_like(i, dtype=xp.float32) | xp.empty((2, 0), dtype=xp.float64) | xp.empty_like(g).shape
xp.asarray([[1, 2], [3, 4]]) | xp.asarray(True) | xp.asarray([1, 2.5], dtype=xp.float64) | xp.asarray([], dtype=xp.int8) | xp.asarray([1, 2], dtype=xp.complex64) | xp.asarray(f, dtype=xp.float32)
xp.asarray(f, copy=True) | xp.asarray(f, copy=False) | xp.asarray(f, dtype=xp.float32, copy=False) | xp.asarray([1], copy=False) | xp.asarray(xp.asarray(3)) | xp.asarray('abc') | xp.asarray([[1, 2], [3]])
xp.asarray(range(4)) | xp.asarray((1, 0)) | xp.asarray([True, 2]) | xp.from_dlpack(f) | xp.from_dlpack(i, copy=True)
xp.astype(f, xp.float64, copy=False) | xp.isin(k, a([1, 3], 'int64')) | xp.logical_and(b, True)
g[0] | g[0, 1] | g[0, 1, 2] | g[...] | g[..., 1] | g[:, None, 1] | g[1:, ::2, ::-1] | g[-1, -3:, 1:3] | g[::-1] | g[5] | g[0, 0, 0, 0] | g[None] | s[()] | s[None] | s[...] | v[3:1] | v[-1:0:-2]
f[b] | g[xp.asarray([True, False])] | f[f > 0] | v[n] | f[n[:2]] | g[:, n[1:]] | f[n[:3], n[1:]] | s[a(True, 'bool')] | f[b[0]] | v[v] | g[1, n[:2], 0] | i[a([[0, 1], [2, 0]], 'int64'), 1]
bool(a(True, 'bool')) | bool(a(0, 'int8')) | int(a(3, 'int8')) | float(s) | complex(a(1 + 2j, 'complex64')) | complex(s) | int(a([3], 'int64')) | float(v) | bool(v) | float(a(1j, 'complex64'))
a(3, 'int16').__index__() | [10, 20, 30][a(1, 'uint8')] | s.__index__() | f.ndim | f.shape | f.size | s.size | z.size | f.dtype | f.__array_namespace__() is xp | f.__array_namespace__(api_version='1999')
f.to_device(f.device) is not None | f.__dlpack_device__()[1] | len(f.__dlpack_device__()) | xp.asarray(1.0).__array_namespace__(api_version='2021.12') is xp
xp.linalg.cholesky(p) | xp.linalg.cholesky(p, upper=True) | xp.linalg.det(m) | xp.linalg.inv(m) | xp.linalg.solve(m, p) | xp.linalg.solve(p, v[:3]) | xp.linalg.solve(m, v[:3]) | xp.linalg.inv(f) | xp.linalg.inv(i)
xp.linalg.eigvalsh(p) | xp.abs(xp.linalg.eigh(p).eigenvectors) | xp.linalg.slogdet(m) | xp.linalg.svdvals(g) | xp.linalg.svd(g).S | xp.linalg.svd(g, full_matrices=False).U.shape | xp.linalg.svd(g).Vh.shape
xp.abs(xp.linalg.qr(g).R) | xp.linalg.qr(g, mode='complete').Q.shape | xp.linalg.qr(g, mode='r') | xp.linalg.pinv(g) | xp.linalg.pinv(g, rtol=0.1) | xp.linalg.matrix_rank(m) | xp.linalg.matrix_rank(xp.ones((3, 3), dtype=xp.float64)) | xp.linalg.matrix_rank(g, rtol=0.5)
xp.linalg.matrix_power(m, 3) | xp.linalg.matrix_power(m, 0) | xp.linalg.matrix_power(p, -2) | xp.linalg.outer(v, v) | xp.linalg.outer(k, k) | xp.linalg.outer(f, v) | xp.linalg.trace(m) | xp.linalg.trace(m, offset=1) | xp.linalg.trace(i) | xp.linalg.trace(u)
xp.linalg.diagonal(m) | xp.linalg.diagonal(g, offset=1) | xp.linalg.diagonal(g, offset=-1) | xp.linalg.diagonal(v) | xp.linalg.cross(p, p[::-1, :]) | xp.linalg.cross(m, p, axis=-2) | xp.linalg.cross(g, g) | xp.linalg.cross(i[:, :3], i[:, 1:])
xp.linalg.matrix_norm(g) | xp.linalg.matrix_norm(g, ord='nuc') | xp.linalg.matrix_norm(g, ord=1) | xp.linalg.matrix_norm(g, ord=-1) | xp.linalg.matrix_norm(g, ord=2) | xp.linalg.matrix_norm(g, ord=-2, keepdims=True)
xp.linalg.matrix_norm(g, ord=inf, keepdims=True) | xp.linalg.matrix_norm(g, ord=-inf) | xp.linalg.vector_norm(g) | xp.linalg.vector_norm(g, axis=1) | xp.linalg.vector_norm(g, axis=(0, 2), keepdims=True) | xp.linalg.vector_norm(g, ord=0)
xp.linalg.vector_norm(g, ord=inf, axis=0) | xp.linalg.vector_norm(g, ord=-inf) | xp.linalg.vector_norm(g, ord=1, axis=-1) | xp.linalg.vector_norm(g, ord=3, axis=-1) | xp.linalg.vector_norm(c) | xp.linalg.vector_norm(g, keepdims=True) | xp.linalg.vector_norm(i)
xp.linalg.matmul(m, m) | xp.linalg.matrix_transpose(g) | xp.linalg.tensordot(m, p, axes=1) | xp.linalg.vecdot(g, g)
xp.fft.fft(g) | xp.fft.fft(c, n=6, axis=0) | xp.fft.ifft(c) | xp.fft.fft(g, norm='ortho') | xp.fft.fftn(g) | xp.fft.fftn(g, axes=(0, 2)) | xp.fft.fftn(g, s=(4, 5), axes=(1, 2)) | xp.fft.ifftn(c, norm='forward')
xp.fft.rfft(g) | xp.fft.rfft(h) | xp.fft.irfft(c) | xp.fft.irfft(c, n=7) | xp.fft.rfftn(g) | xp.fft.irfftn(c) | xp.fft.hfft(c) | xp.fft.ihfft(g) | xp.fft.rfft(c) | xp.fft.fft(i) | xp.fft.fft(h) | xp.fft.fft(g, norm='up') | xp.fft.fft(g, axis=3)
xp.fft.fftfreq(5, d=0.5, dtype=xp.float64) | xp.fft.rfftfreq(6, dtype=xp.float32) | xp.fft.fftshift(v) | xp.fft.fftshift(g, axes=1) | xp.fft.ifftshift(g) | xp.fft.ifftshift(g, axes=(0, 2)) | xp.fft.fftfreq(4, dtype=xp.int32)
xp.e | xp.pi | xp.inf | xp.newaxis | xp.__array_api_version__ | xp.__array_namespace_info__().capabilities()['boolean indexing'] | xp.__array_namespace_info__().dtypes(kind='signed integer').keys()
xp.__array_namespace_info__().dtypes().keys() | xp.__array_namespace_info__().dtypes(kind=('bool', 'real floating')).keys() | xp.__array_namespace_info__().default_device() in xp.__array_namespace_info__().devices()
"""


def expressions() -> list[str]:
    listed = [part.strip() for line in LISTED.strip().splitlines() for part in line.split(" | ")]
    return list(dict.fromkeys([*_elementwise(), *_reductions(), *listed]))


def describe(found) -> str:
    """A result's types and shapes as one line: what all libraries must agree on."""
    if isinstance(found, (tuple, list)):
        return f"[{', '.join(map(describe, found))}]"
    if hasattr(found, "dtype") and hasattr(found, "shape"):
        return f"{str(found.dtype).rpartition('.')[2]}{tuple(int(n) for n in found.shape)}"
    name = str(found).rpartition(".")[2]
    if name in DTYPES or type(found).__name__.lower() == "dtype":
        return name
    return next((t.__name__ for t in (bool, int, float, complex, str) if isinstance(found, t)), "object")
