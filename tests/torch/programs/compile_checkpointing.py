# torch.compile as decorator and on a model, recomputed activations, jit left in place, autocast, meta tensors.
import io
import time

import torch
import torch.nn as nn
import torch.utils.checkpoint as cp
from torch.utils.data._utils.collate import default_collate

from reproducible import fill, normal

model = fill(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 2)), 1)
x = normal(16, 4, seed=2)


@torch.compile
def fn(a, b):
    return torch.sin(a) + torch.cos(b)


print(fn(x[:2], x[2:4]).tolist())
y = model(x)
print(cp.checkpoint(model, x, use_reentrant=False).sub(y).abs().max().item())
segments = cp.checkpoint_sequential(model, 2, x.clone().requires_grad_(), use_reentrant=False)
segments.sum().backward()
print(f"{model[0].weight.grad.sum().item():.5f}", torch.allclose(segments, y))
scripted = torch.jit.script(model)
print(abs(scripted(x).sum().item() - y.sum().item()) < 1e-6)
compiled = torch.compile(model, mode="reduce-overhead")
optimizer = torch.optim.SGD(compiled.parameters(), lr=0.1)
for i in range(5):
    loss = nn.functional.mse_loss(compiled(x), torch.ones(16, 2))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"{loss.item():.5f}")
print(sorted(compiled.state_dict())[:2], isinstance(compiled, nn.Module), torch.compiler.is_compiling())
plain = {k.removeprefix("_orig_mod."): v for k, v in compiled.state_dict().items()}
print(model.load_state_dict(plain))
with torch.autocast(device_type="cpu", dtype=torch.bfloat16):
    out = model(x)
print(out.dtype, f"{out.float().mean().item():.1f}")
scaler = torch.amp.GradScaler("cpu", enabled=True)
optimizer.zero_grad()
scaler.scale(nn.functional.mse_loss(model(x), torch.zeros(16, 2))).backward()
scaler.unscale_(optimizer)
print(f"{nn.utils.clip_grad_norm_(model.parameters(), 1.0).item():.4f}", scaler.get_scale())
scaler.step(optimizer)
scaler.update()
with torch.device("meta"):
    big = nn.Linear(10000, 10000)
print(big.weight.device, big.weight.is_meta, nn.Linear(2, 3, device="meta").to_empty(device="cpu").weight.shape)
print(default_collate([{"a": 1, "b": torch.ones(2)}, {"a": 2, "b": torch.zeros(2)}]))
start = time.perf_counter()
with torch.inference_mode():
    z = model(x)
    print(z.requires_grad, torch.is_grad_enabled())
print(time.perf_counter() - start < 60)
buffer = io.BytesIO()
torch.save({"w": model[0].weight, "list": [1, "a", None, (2.0, True)], "half": torch.ones(2).half()}, buffer)
buffer.seek(0)
loaded = torch.load(buffer, weights_only=True)
print(type(loaded["w"]).__name__, loaded["list"], loaded["half"].dtype, torch.equal(loaded["w"], model[0].weight))
