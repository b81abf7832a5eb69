# Tensors from everything, as a first notebook makes them.
import math, numpy as np, torch

def attempt(f):
    try:
        return f()
    except Exception:
        return "raised"

print(torch.tensor([1, 2, 3]).dtype, torch.tensor([1.0]).dtype, torch.tensor(True).dtype, torch.tensor([1 + 2j]).dtype)
print(torch.tensor([[1, 2.5], [3, 4]]), torch.tensor([]), torch.tensor([[]]).shape)
print(torch.arange(5), torch.arange(1, 2, 0.25), torch.arange(5, 0, -2), torch.arange(0.5, 3))
print(torch.linspace(0, 1, 5), torch.linspace(-1, 1, 3, dtype=torch.float64), torch.logspace(0, 2, 3), torch.linspace(0, 10, 4).long())
print(torch.zeros(2, 3), torch.ones((2,)), torch.full((2, 2), 7), torch.full((2,), 1.5), torch.eye(3), torch.eye(2, 3))
print(torch.empty(0), torch.zeros(0, 3), torch.zeros(2, 0, 3).numel())
x = torch.rand(2, 3)
print(torch.zeros_like(x), torch.ones_like(x, dtype=torch.int64), torch.full_like(x, 3.0), x.new_tensor([1, 2]), x.new_full((2,), 4), x.new_zeros(1), x.new_ones(2, 1))
print(torch.tensor(np.array([1, 2], dtype=np.int16)), torch.from_numpy(np.arange(3.0)), torch.as_tensor([1, 2]), torch.asarray([1.0, 2]))
print(torch.tensor(3).item(), torch.tensor([[1.5]]).item(), torch.tensor([1, 2]).tolist(), torch.tensor(2.0).tolist())
print(torch.tensor([1, 2]).float(), torch.tensor([1.7, -1.7]).int(), torch.tensor([0.0, 2.0]).bool(), torch.tensor([300]).to(torch.uint8), torch.tensor([-1]).byte())
print(torch.tensor([1e10, 1e-10, 1.0]), torch.tensor([1e5, 1.0]), torch.tensor([123456.0, 0.5]), torch.tensor([0.1, 0.25]), torch.tensor([1.0, float("nan"), float("inf")]), torch.tensor([1e-5]))
print(torch.tensor([[1, -20], [300, 4]]), torch.tensor([True, False]), torch.tensor([1 + 2j, -0.5j]), torch.tensor(1e-9), torch.tensor(-0.0), torch.tensor(12345678.0))
print(torch.finfo(torch.float32).eps, torch.finfo(torch.float16).max, torch.iinfo(torch.int8).min, torch.finfo(torch.bfloat16).tiny)
print(torch.get_default_dtype(), torch.is_tensor(x), torch.numel(x), x.dim(), x.size(), x.size(1), x.shape[0], len(x), x.ndim, x.nelement(), x.element_size(), x.stride(), x.is_contiguous(), x.T.is_contiguous())
print(torch.complex(torch.tensor([1.0]), torch.tensor([2.0])), torch.polar(torch.tensor([1.0]), torch.tensor([math.pi / 2])).real.abs() < 1e-6, torch.tensor([1 + 1j]).abs(), torch.view_as_real(torch.tensor([1 + 2j])))
for f in (lambda: torch.tensor([[1, 2], [3]]), lambda: torch.tensor("a"), lambda: torch.zeros(-1), lambda: torch.arange(0, 5, -1), lambda: torch.tensor([1, 2]).item(), lambda: torch.ones(2, 3).view(4), lambda: torch.full((2,), "x"), lambda: torch.eye(-1), lambda: torch.linspace(0, 1, -1), lambda: torch.tensor([None]), lambda: torch.zeros(2.5), lambda: torch.from_numpy([1]), lambda: bool(torch.ones(2)), lambda: bool(torch.zeros(0)), lambda: int(torch.tensor([1.5, 2])), lambda: torch.tensor([1, "a"]), lambda: torch.tensor(2**70), lambda: torch.ones(2, 3).size(5), lambda: torch.from_numpy(np.arange(4)[::-1])):
    print(attempt(f))
torch.set_default_dtype(torch.float64)
print(torch.tensor([1.0]).dtype, torch.zeros(1).dtype, torch.arange(2.0).dtype, (torch.tensor([1]) / 2).dtype, torch.tensor([1j]).dtype)
torch.set_default_dtype(torch.float32)
torch.set_printoptions(precision=2, sci_mode=False)
print(torch.tensor([math.pi, 1e-6, 1e6]))
torch.set_printoptions(profile="default")
print(torch.arange(2000).reshape(2, 1000), torch.arange(30.0).reshape(2, 15), torch.zeros(1, 1, 1, 2))
print(torch.cartesian_prod(torch.tensor([1, 2]), torch.tensor([3, 4])), torch.combinations(torch.arange(4), 2), torch.vander(torch.tensor([1, 2, 3])), torch.tril_indices(3, 3), torch.triu_indices(2, 3, 1))
print(torch.heaviside(torch.tensor([-1.0, 0, 1]), torch.tensor(0.5)), torch.block_diag(torch.ones(1, 2), torch.ones(2, 1)), torch.scalar_tensor(3), torch.range(1, 3) if False else "")
a = np.zeros(3); t = torch.from_numpy(a); a[0] = 5; t[1] = 7; print(a, t, t.data_ptr() == torch.from_numpy(a).data_ptr())
print(np.asarray(torch.ones(2)), np.add(torch.ones(2), 1) if False else "", np.sum(torch.ones(3).numpy()), torch.ones(2).numpy().dtype)
print(hash(torch.float32) == hash(torch.float), torch.float32 is torch.float, torch.long, repr(torch.half), torch.bfloat16.itemsize, torch.int8.is_signed, torch.float32.is_floating_point, torch.complex64.is_complex, torch.float64.to_complex())
print(torch.promote_types(torch.int8, torch.uint8), torch.result_type(torch.tensor([1]), 1.5), torch.can_cast(torch.float32, torch.int32), torch.can_cast(torch.int32, torch.float16))
