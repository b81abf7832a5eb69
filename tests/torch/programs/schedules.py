# Every learning rate schedule, alone and in chains; averaged weights; what optimizers and schedules remember.
import torch
from torch.optim import lr_scheduler as L
from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn, update_bn
from torch.utils.data import DataLoader, TensorDataset

from reproducible import fill, normal

model = fill(torch.nn.Linear(2, 1))


def rates(make, n=6, argument=None):
    optimizer = torch.optim.SGD([{"params": [model.weight]}, {"params": [model.bias], "lr": 0.5}], lr=0.1)
    scheduler = make(optimizer)
    out = []
    for i in range(n):
        optimizer.step()
        out.append([round(group["lr"], 6) for group in optimizer.param_groups])
        scheduler.step(*([argument(i)] if argument else []))
    return out


for name, make in dict(
    step=lambda o: L.StepLR(o, 2, 0.1),
    multi=lambda o: L.MultiStepLR(o, [2, 4]),
    constant=lambda o: L.ConstantLR(o, 0.5, 3),
    linear=lambda o: L.LinearLR(o, 0.1, 1.0, 4),
    exponential=lambda o: L.ExponentialLR(o, 0.9),
    cosine=lambda o: L.CosineAnnealingLR(o, 5, 1e-3),
    polynomial=lambda o: L.PolynomialLR(o, 5, 2.0),
    restarts=lambda o: L.CosineAnnealingWarmRestarts(o, 2, 2),
    cyclic=lambda o: L.CyclicLR(o, 0.01, 0.1, 2, mode="triangular2", cycle_momentum=False),
    one=lambda o: L.OneCycleLR(o, [0.1, 0.2], total_steps=8, cycle_momentum=False),
    by_hand=lambda o: L.LambdaLR(o, [lambda e: 0.9**e, lambda e: 1 / (e + 1)]),
    times=lambda o: L.MultiplicativeLR(o, lambda e: 0.95),
    sequence=lambda o: L.SequentialLR(o, [L.LinearLR(o, 0.1, total_iters=2), L.CosineAnnealingLR(o, 4)], [2]),
    chain=lambda o: L.ChainedScheduler([L.ConstantLR(o, 0.1, 2), L.ExponentialLR(o, 0.9)]),
    averaged=lambda o: SWALR(o, 0.05, 3),
).items():
    print(name, rates(make))
print("plateau", rates(lambda o: L.ReduceLROnPlateau(o, patience=1, cooldown=1, min_lr=1e-4), 8, lambda i: 1.0))
optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
scheduler = L.StepLR(optimizer, 3)
print(scheduler.state_dict()["last_epoch"], scheduler.state_dict()["base_lrs"], sorted(scheduler.state_dict()))
optimizer.step()
scheduler.step()
other = L.StepLR(optimizer, 3)
other.load_state_dict(scheduler.state_dict())
print(other.last_epoch, other.gamma)
print(torch.optim.SGD(model.parameters(), lr=0.1))
print(sorted(torch.optim.AdamW(model.parameters(), amsgrad=True).state_dict()["param_groups"][0]))
for call in (lambda: L.StepLR(model, 1), lambda: torch.optim.SGD(model.parameters(), lr=-1)):
    try:
        call()
    except (TypeError, ValueError) as error:
        print(type(error).__mro__[-3].__name__ in ("TypeError", "ValueError", "Exception"))
x = normal(8, 3, seed=3)
for name in "SGD Adam AdamW Adagrad Adadelta Adamax NAdam RAdam RMSprop Rprop ASGD Adafactor".split():
    net = fill(torch.nn.Linear(3, 1), 4)
    step = getattr(torch.optim, name)(net.parameters(), lr=0.05)
    for _ in range(5):
        step.zero_grad()
        loss = (net(x) ** 2).mean()
        loss.backward()
        step.step()
    print(name, f"{loss.item():.6f}", sorted(step.state[net.weight]))
net = torch.nn.Sequential(fill(torch.nn.Linear(3, 4), 5), torch.nn.BatchNorm1d(4))
average, ema = AveragedModel(net), AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.9))
step = torch.optim.SGD(net.parameters(), lr=0.005)
for _ in range(4):
    step.zero_grad()
    net(x).pow(3).sum().backward()
    step.step()
    average.update_parameters(net)
    ema.update_parameters(net)
update_bn(DataLoader(TensorDataset(x), batch_size=4), average)
print(int(average.n_averaged), average.module[0].weight[0].tolist(), ema.module[0].weight[0].tolist())
print(average.module[1].running_mean.tolist())
