# What a first lesson prints: tensors, their shapes, views, gradients.
import numpy as np
import torch

x_data = torch.tensor([[1, 2], [3, 4]])
np_array = np.array([[1.5, 2.5], [3.5, 4.5]])
x_np = torch.from_numpy(np_array)
print(x_data, x_np, torch.ones_like(x_data), torch.zeros(2, 3, dtype=torch.float16), sep="\n")
print(f"Shape: {x_np.shape} Datatype: {x_np.dtype} Device: {x_np.device} Layout: {x_np.layout}")
tensor = torch.arange(16.0).reshape(4, 4)
tensor[:, 1] = 0
print(tensor, tensor[0], tensor[:, -1], tensor[..., -1], tensor.t().is_contiguous())
print(torch.cat([tensor, tensor], dim=1).shape, (tensor @ tensor.T)[0], tensor.mul(tensor).sum().item())
t = torch.ones(5)
n = t.numpy()
t.add_(1)
print(t, n, x_data.type(), torch.float32, torch.device("cpu"))
x = torch.ones(2, 2, requires_grad=True)
y = x + 2
z = y * y * 3
print(y.requires_grad, z.mean())
z.mean().backward()
print(x.grad)
a = torch.tensor([2.0, 3.0], requires_grad=True)
b = torch.tensor([6.0, 4.0], requires_grad=True)
Q = 3 * a**3 - b**2
Q.backward(gradient=torch.tensor([1.0, 1.0]))
print(9 * a**2 == a.grad, -2 * b == b.grad)
print(torch.max(tensor, dim=1))
print(tensor.view(-1, 8).shape, tensor.unsqueeze(0).size(), torch.Size([2, 3]).numel())
print(torch.tensor(3.14159), torch.tensor([1e-8, 1.0]), torch.tensor([True, False]), torch.tensor(2 + 3j))
print(torch.linspace(0, 1, 5), torch.eye(2), torch.empty(0), torch.randn(3, 4).shape)
print(torch.where(tensor > 5, tensor, torch.tensor(-1.0)).sum(), torch.einsum("ij,jk->ik", tensor, tensor)[1, 1])
print(torch.nn.Linear(3, 2), torch.nn.functional.one_hot(torch.tensor([0, 2]), 3))
print(isinstance(t, torch.Tensor), torch.is_tensor(n), isinstance(torch.nn.Parameter(t), torch.Tensor), t.is_leaf)
try:
    torch.ones(2, 3) @ torch.ones(2, 3)
except RuntimeError as error:
    print(type(error).__mro__[-4].__name__ in ("RuntimeError", "Exception", "BaseException", "MlkitError"))
