# Small things people trip over: types that meet, rounding, empties, ties, orders, iteration, truth, printing, conversion.
import math

import torch


def attempt(name, fn):
    try:
        y = fn()
        print(name, y)
    except Exception as error:
        print(
            name,
            next(
                getattr(k, "__name__", "refused")
                for k in (IndexError, OverflowError, (RuntimeError, TypeError, ValueError), AttributeError, Exception)
                if isinstance(error, k)
            ),
        )


t = torch.tensor
i, f, b, u = t([1, -2, 3]), t([1.5, -2.5, 0.5]), t([True, False, True]), t([250, 3, 7], dtype=torch.uint8)
nan, inf = math.nan, math.inf
LINES = """
i / 2 | i // 2 | i % 2 | -i // 2 | i % -2 | i ** 2 | i ** -1 | 2 ** i | 2.0 ** i | i / 0 | i // 0 | i % 0 | f // 0 | f % 0 | f / 0 | divmod(7, 2) | f.fmod(2) | f % 2 | i.true_divide(2) | torch.div(i, 2, rounding_mode="trunc") | torch.div(f, 2, rounding_mode="floor")
i + 1.5 | i + True | b + b | b + 1 | b * 2.5 | b - b | ~b | -b | +b | b ^ True | b & t([1, 0, 1]) | i & 1 | f & 1 | i << 1 | i >> 1 | f << 1 | u + 10 | u - 251 | u * 2 | -u | u / 2 | ~u | u + i | u + f | u + 300 | i + 1j | f + 1j | i.half() + f | f.half() + 1e6 | f.bfloat16() + f.half() | (f.half() * 1e-8)
i == f | i == 1 | i == "a" | i is None | i == None | f < inf | f != f | t(nan) == t(nan) | t([nan, 1]).max() | t([nan, 1]).argmax() | t([nan, 1]).sort() | torch.maximum(t(nan), t(1.0)) | t([nan, 1.0]).nanmean() | t([nan, 2.0]).median() | t([nan, 2.0]).nanmedian() | t([1, 2, 2, 1]).mode() | t([]).sum() | t([]).mean() | t([]).max() | t([]).prod() | t([]).argmax() | t([]).std() | t([1.0]).std() | t([1.0]).var(correction=0) | t([]).softmax(0) | torch.zeros(0, 3).sum(0) | torch.zeros(0, 3).max(0) | torch.zeros(3, 0).max(0) | torch.zeros(3, 0).mean(1)
f.round() | t([0.5, 1.5, 2.5, -0.5]).round() | t(2.675).round(decimals=2) | t(1234.0).round(decimals=-2) | f.trunc() | f.int() | f.long() | f.bool() | t(300.7).to(torch.uint8) | t(-1).to(torch.uint8) | t(2 ** 31).int() | t(3.99).long() | t([0.1, nan]).bool() | f.ceil().dtype | i.ceil() | i.sqrt() | b.float().mean() | i.mean() | b.sum() | i.float().mean().item() | u.sum() | b.prod() | b.cumsum(0) | i.cumsum(0, dtype=torch.int32).dtype
bool(t(0.0)) | bool(t([1])) | bool(t([1, 2])) | bool(t([])) | int(t(3.7)) | int(t([3])) | float(t([1, 2])) | t(3).item() | t([3.5]).tolist() | t(2.5).tolist() | f.tolist() | len(t(1)) | len(torch.zeros(2, 3)) | list(t([1, 2])) | [x.item() for x in torch.eye(2)[0]] | list(t(1)) | 1 in t([1, 2]) | t(2) in t([1, 2]) | 5.0 in t([1, 2]) | f"{t(3.14159):.2f}" | f"{t([1.0])}" | str(t(True)) | format(t(2), "d") | "%d" % t(4) | {t(1): 2}.get(t(1)) | range(t(3)) | [10, 20, 30][t(1)] | math.sqrt(t(4.0)) | max(t([1, 5, 2])) | sum(t([1, 2, 3])) | sorted(t([3, 1, 2])) | abs(t(-2)) | round(t(2.567), ndigits=1) | t(5).__index__() | t(5.0).__index__() | min(t(1.0), 2)
torch.tensor([1, 2.5]) | torch.tensor([1, True]) | torch.tensor([[1], [2, 3]]) | torch.tensor([1, "a"]) | torch.tensor([]) .dtype | torch.tensor([[], []]).shape | torch.tensor(None) | torch.tensor([None]) | torch.tensor([f, f]).shape | torch.tensor([t(1), t(2)]) | torch.tensor(1j).dtype | torch.tensor([1, 2], dtype=torch.bool) | torch.tensor(range(3)) | torch.tensor((1, 2)) | torch.tensor({1}) | torch.tensor(2 ** 63) | torch.tensor(2 ** 62) | torch.tensor(3e38 * 10) | torch.as_tensor([1.0]) | torch.Tensor([1, 2]) | torch.Tensor(2, 3).shape | torch.Tensor(3).shape | torch.LongTensor([1.7, 2]) | torch.FloatTensor(2).dtype | torch.scalar_tensor(3) | torch.full((2,), 3) | torch.full((2,), 3.0).dtype | torch.full((2,), True) | torch.full((2,), 1j).dtype | torch.arange(0, 1, 0.3) | torch.arange(5, 0, -2) | torch.arange(3.0).dtype | torch.arange(1, 0) | torch.arange(0, 1, 0) | torch.linspace(0, 1, 4) | torch.linspace(0, 10, 5, dtype=torch.int64) | torch.logspace(0, 2, 3) | torch.linspace(0, 1, 1) | torch.linspace(0, 1, 0) | torch.eye(2, 3) | torch.zeros(2, 0).numel() | torch.empty(0).dtype | torch.ones(2, dtype=int).dtype | torch.ones(2, dtype=float).dtype | torch.ones(2, dtype=bool) | torch.ones(-1) | torch.ones(2.0) | torch.ones([2, 1]).shape | torch.ones((2, 1), (1,)) | torch.ones(torch.Size([1])).shape
torch.stack([]) | torch.cat([]) | torch.cat([t([]), torch.ones(2, 3)]).shape | torch.cat([i, f]) | torch.cat([i, b]) | torch.stack([i, f]).dtype | torch.cat([t(1), t(2)]) | torch.stack([t(1), t(2)]) | torch.cat((i, i), 1) | torch.cat((i, i), -1) | torch.hstack([i, i]) | torch.vstack([i, f]) | torch.dstack([i, i]).shape | torch.column_stack([i, i]) | torch.block_diag(t([1]), t([[2, 3]])) | i.chunk(2) | i.split([1, 2]) | i.split([1, 1]) | i.split(5) | i.chunk(5) | i.tensor_split(2) | i.tensor_split((1,)) | i.repeat(2, 2) | i.tile(2) | i.repeat_interleave(2) | i.repeat_interleave(t([0, 1, 2])) | i.expand(2, 3) | i.expand(2, -1).shape | i.expand(3, 2) | i.view(-1, 1).T | i.view(-1, -1) | i.view(2, 2) | torch.zeros(2, 3).view(3, -1).shape | torch.zeros(0, 3).view(-1, 0) | torch.zeros(0, 3).reshape(0, -1).shape | torch.zeros(2, 3).t().view(6) | torch.zeros(2, 3).T.reshape(6).shape | torch.zeros(2, 3, 4).T.shape | torch.zeros(2, 3, 4).mT.shape | torch.zeros(3).t().shape | torch.zeros(2, 3, 4).t() | torch.zeros(2, 3, 4).transpose(0, -1).shape | torch.zeros(2, 3).permute(1, 0).stride() | torch.zeros(2, 3).permute(0) | torch.zeros(2, 3).permute(0, 0) | torch.zeros(2, 1, 3, 1).squeeze().shape | torch.zeros(2, 1).squeeze(0).shape | torch.zeros(1, 1).squeeze((0, 1)).shape | torch.zeros(2).unsqueeze(2) | torch.zeros(2).unsqueeze(-1).shape | torch.zeros(2, 3).flatten(1, 0) | torch.zeros(()).flatten().shape | torch.zeros(6).unflatten(0, (2, -1)).shape | torch.zeros(2, 3).swapaxes(0, 1).shape | torch.movedim(torch.zeros(2, 3, 4), (0, 1), (1, 2)).shape | torch.atleast_2d(i).shape | torch.atleast_3d(t(1)).shape | i.flip(0) | i.roll(1) | i.rot90() | torch.rot90(torch.arange(4).view(2, 2)) | torch.tril(torch.ones(2, 3), -1) | torch.triu_indices(3, 3, 1) | torch.combinations(i) | torch.cartesian_prod(i[:2], i[:2]) | torch.meshgrid(i, i[:2], indexing="xy")[0] | torch.broadcast_shapes((2, 1), (3,)) | torch.broadcast_shapes((2,), (3,)) | torch.broadcast_tensors(i[:, None], i)[0].shape
i.sort(descending=True) | b.sort() | t([3, 1, 2, 1]).argsort(stable=True) | t([3.0, nan, 1.0]).sort(descending=True) | t([2, 2, 1]).unique(return_inverse=True, return_counts=True) | t([1, 1, 2, 1]).unique_consecutive(return_counts=True) | torch.unique(t([[1, 2], [1, 2], [0, 1]]), dim=0) | f.topk(2) | f.topk(5) | f.topk(2, largest=False).indices | f.kthvalue(2) | f.kthvalue(0) | f.msort() | f.quantile(0.5) | f.quantile(t([0.25, 0.75])) | f.quantile(2.0) | f.quantile(0.4, interpolation="nearest") | f.double().quantile(0.3) | torch.histc(f, 4, -3, 3) | torch.histogram(f, 3) | torch.bincount(t([1, 1, 3])) | torch.bincount(t([1, -1])) | torch.bincount(t([0, 1]), t([0.5, 1.0]), minlength=4) | torch.bucketize(f, t([-1.0, 1.0])) | torch.searchsorted(t([1, 3, 5]), t([3, 6]), right=True) | torch.isin(i, t([1, 3])) | f.argmin() | f.max(0) | f.aminmax() | f.cummax(0) | f.diff() | i.diff(n=2) | f.trapz() | torch.cumulative_trapezoid(f) | f.logsumexp(0) | f.norm() | f.norm(1) | f.norm(inf) | f.renorm(2, 0, 1.0) if False else 0 | f.dist(t([0.0, 0.0, 0.0])) | torch.cdist(f[:, None], f[:, None]) | f.dot(f) | i.dot(i) | i.dot(f) | f @ f | t(2.0) @ f | torch.outer(i, i) | torch.cross(f, f.flip(0), dim=0) | torch.einsum("i,i", f, f) | torch.einsum("i,j->ij", f, f)[0] | torch.einsum("ii", torch.eye(3)) | torch.einsum("ij,jk", torch.eye(3), f) | torch.tensordot(torch.ones(2, 3), torch.ones(3, 4), 1).shape | torch.where(f > 0) | torch.where(f > 0, f, 0) | torch.where(f > 0, 1, 0) | torch.where(f > 0, i, 0.5) | f.clamp(-1) | f.clamp(max=t(1.0)) | f.clamp() | f.clamp(2, 1) | i.clamp(0.5) | torch.count_nonzero(i) | i.any() | t([]).all() | f.all() | torch.allclose(f, f + 1e-9) | torch.allclose(f, i) | torch.equal(i, i.float()) | torch.isclose(t(nan), t(nan), equal_nan=True) | f.isfinite() | torch.signbit(t([-0.0, 0.0])) | torch.copysign(f, t(-1.0)) | torch.nextafter(t(1.0), t(2.0)) - 1 | torch.frexp(f) | torch.ldexp(t([1.0]), t([3])) | torch.gcd(t(12), t(18)) | torch.lcm(t(4), t(6)) | torch.hypot(t(3.0), t(4.0)) | torch.sinc(t([0.0, 0.5])) | torch.logit(t([0.0, 0.5, 1.0])) | torch.heaviside(f, t(0.5)) | torch.nan_to_num(t([nan, inf, -inf])) | torch.lerp(f, f + 1, 0.5) | torch.addcmul(f, f, f, value=2) | torch.float_power(i, 0.5) | torch.square(u) | torch.sgn(t([1 + 1j])) | torch.angle(t([-1.0, 1j])) | torch.polar(t(1.0), t(math.pi / 2)) | torch.view_as_real(t([1 + 2j])) | t([1 + 2j]).conj() | t([1 + 2j]).abs() | t([1 + 2j]) > 0 | t([1 + 2j]).max() | t([1 + 2j]).sort() | t([1 + 2j]).float()
torch.result_type(i, 2.0) | torch.result_type(f, 1j) | torch.result_type(t(1.0).double(), f) | torch.promote_types(torch.int8, torch.uint8) | torch.promote_types(torch.float16, torch.bfloat16) | torch.can_cast(torch.float, torch.int) | torch.can_cast(torch.int, torch.float) | torch.finfo(torch.float16).max | torch.finfo(torch.bfloat16).eps | torch.iinfo(torch.int8).min | torch.finfo(torch.int8) | torch.float32.is_floating_point | torch.int64.itemsize | torch.complex64.to_real() | f.type() | i.type("torch.FloatTensor").dtype | f.type(torch.int8).dtype | f.to(i).dtype | f.to("cpu").device | f.to("cuda:99") if False else 0 | f.element_size() | f.nbytes | f.itemsize | f.stride() | f.storage_offset() | f.is_contiguous() | f.data_ptr() == f.data.data_ptr() | f.is_shared() if False else 0 | f.ndim | f.dim() | f.numel() | f.nelement() | f.size(0) | f.size(1) | f.shape[0] | f.shape.numel() | f.new_zeros(2).dtype | f.new_tensor([1]).dtype | i.new_full((2,), 1.5) | f.zero_() is f | f.device.type | f.layout | f.is_sparse | f.is_leaf | f.requires_grad | f.untyped_storage().nbytes() | f.__class__.__name__ | type(f.shape).__name__ | f.shape == (3,) | f.shape + (1,) | f.mH if False else 0 | f.real | f.imag | i.T is i | i.contiguous() is i | i.to(torch.int64) is i | i.long() is i | i.clone() is i | i.detach() is i | i.view(3) is i | i.numpy() | f.numpy().dtype | torch.from_numpy(i.numpy()).data_ptr() == i.data_ptr() | torch.ones(2, requires_grad=True).numpy() | torch.is_tensor(i) | torch.is_floating_point(i) | torch.is_complex(i) | torch.is_nonzero(t(1)) | torch.numel(i) | torch.typename(i) | torch.get_default_dtype() | torch.set_default_dtype(torch.int64) | torch.set_default_dtype(torch.float64) | torch.tensor(1.0).dtype | torch.set_default_dtype(torch.float32)
"""
for line in LINES.strip().splitlines():
    for text in line.split(" | "):
        attempt(text, lambda: eval(text))
torch.set_printoptions(precision=2, sci_mode=False)
print(t([1.23456, 1e-5, 1e5]), t(math.pi))
torch.set_printoptions(profile="default")
torch.set_printoptions(edgeitems=1, threshold=5, linewidth=40)
print(torch.arange(20.0).reshape(4, 5))
torch.set_printoptions(profile="default")
for x in (
    torch.zeros(2, 2, dtype=torch.bool),
    torch.zeros(0, 3),
    t(1e10),
    t([1e-8, 1.0]),
    t([1e8, 0.1]),
    t([nan, inf, 1.0]),
    t([1 + 2j, 0.5]),
    torch.arange(3, dtype=torch.uint8),
    torch.ones(1, 2, 2),
    torch.full((2,), 1e4),
    t([-1.5, 22.25]),
    t([1.0, 2.0]).half(),
    t([[1, -100]]),
    torch.empty(2, 0, 3),
    torch.tensor(5),
    torch.tensor([0.1, 0.25]).bfloat16(),
    torch.tensor([1.0, 1000000.0]),
    torch.tensor([12345678.0, 1.5]),
    torch.ones(2, requires_grad=True),
    torch.ones(2, requires_grad=True) * 2,
    torch.ones(2, dtype=torch.float64),
    torch.ones(1, device="meta"),
    t([1.0, nan]).double(),
    torch.arange(1001)[::500],
):
    print(x)
