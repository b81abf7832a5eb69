# tolerance: 0.03
# The same training in float32 and under autocast with bfloat16.
import torch
from torch import nn

from reproducible import fill, integers, normal


def make_model(in_size, out_size, num_layers):
    layers = []
    for _ in range(num_layers - 1):
        layers.append(torch.nn.Linear(in_size, in_size))
        layers.append(torch.nn.ReLU())
    layers.append(torch.nn.Linear(in_size, out_size))
    return torch.nn.Sequential(*tuple(layers))


data = [normal(16, 32, seed=i) for i in range(6)]
targets = [integers(4, 16, seed=i) for i in range(6)]
loss_fn = nn.CrossEntropyLoss()
for use_amp in (False, True):
    net = fill(make_model(32, 4, 3))
    opt = torch.optim.SGD(net.parameters(), lr=0.05)
    scaler = torch.amp.GradScaler("cpu", enabled=use_amp)
    for epoch in range(3):
        total = 0.0
        for input, target in zip(data, targets):
            with torch.autocast(device_type="cpu", dtype=torch.bfloat16, enabled=use_amp):
                output = net(input)
                loss = loss_fn(output, target)
            scaler.scale(loss).backward()
            scaler.unscale_(opt)
            torch.nn.utils.clip_grad_norm_(net.parameters(), max_norm=1.0)
            scaler.step(opt)
            scaler.update()
            opt.zero_grad()
            total += loss.item()
        print(use_amp, output.dtype, loss.dtype, f"{total / 6:.3f}", scaler.get_scale())
print(next(net.parameters()).dtype)
