# Actor and critic on a small grid: episodes, generalised advantages, the clipped objective, two kinds of actions.
import random
from collections import deque, namedtuple

import numpy as np
import torch
import torch.nn as nn
import torch.optim as optim
from torch.distributions import Categorical, Independent, Normal, kl_divergence

from reproducible import fill, normal, uniform

random.seed(3)
Saved = namedtuple("Saved", ["state", "action", "log_prob", "value", "reward", "done"])


class Grid:
    def reset(self):
        self.place, self.time = 0, 0
        return self.observation()

    def observation(self):
        seen = np.zeros(6, dtype=np.float32)
        seen[self.place] = 1
        return seen

    def step(self, action):
        self.time += 1
        self.place = max(0, min(5, self.place + (1 if action == 1 else -1)))
        done = self.place == 5 or self.time >= 20
        return self.observation(), (1.0 if self.place == 5 else -0.05), done, {}


class ActorCritic(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 32), nn.Tanh())
        self.pi = nn.Linear(32, 2)
        self.v = nn.Linear(32, 1)

    def forward(self, x):
        h = self.body(x)
        return Categorical(logits=self.pi(h)), self.v(h).squeeze(-1)


def choose(distribution, draw):
    """An action by a number from 0 to 1 that NumPy drew: the same in every library."""
    return (distribution.probs.cumsum(-1) < draw).sum(-1).clamp(max=distribution.probs.shape[-1] - 1)


env, net, dice = Grid(), fill(ActorCritic(), 1), np.random.default_rng(0)
optimizer = optim.Adam(net.parameters(), lr=3e-3, eps=1e-5)
for update in range(12):
    memory = []
    state, done = env.reset(), False
    for _ in range(40):
        with torch.no_grad():
            dist, value = net(torch.from_numpy(state).float().unsqueeze(0))
            action = choose(dist, dice.random())
        following, reward, done, _ = env.step(action.item())
        memory.append(Saved(state, action.item(), dist.log_prob(action).item(), value.item(), reward, done))
        state = env.reset() if done else following
    states = torch.as_tensor(np.stack([m.state for m in memory]))
    actions = torch.tensor([m.action for m in memory])
    old = torch.tensor([m.log_prob for m in memory])
    advantages, last, following_value = torch.zeros(40), 0.0, 0.0
    for t in reversed(range(40)):
        alive = 1.0 - memory[t].done
        delta = memory[t].reward + 0.99 * following_value * alive - memory[t].value
        last = delta + 0.99 * 0.95 * alive * last
        advantages[t], following_value = last, memory[t].value
    returns = advantages + torch.tensor([m.value for m in memory])
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    for _ in range(3):
        dist, values = net(states)
        ratio = (dist.log_prob(actions) - old).exp()
        clipped = torch.clamp(ratio, 0.8, 1.2) * advantages
        policy_loss = -torch.min(ratio * advantages, clipped).mean()
        value_loss = nn.functional.smooth_l1_loss(values, returns)
        loss = policy_loss + 0.5 * value_loss - 0.01 * dist.entropy().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), max_norm=0.5)
        optimizer.step()
    if update % 3 == 2:
        print(
            f"update {update} reward {sum(m.reward for m in memory):.2f} loss {loss.item():.4f} "
            f"right {net(states)[0].probs[:, 1].mean().item():.4f}"
        )
target = ActorCritic()
target.load_state_dict(net.state_dict())
for p, tp in zip(net.parameters(), target.parameters()):
    tp.data.copy_(0.005 * p.data + (1.0 - 0.005) * tp.data)
replay = deque(maxlen=100)
for i in range(64):
    replay.append((np.eye(6, dtype=np.float32)[i % 6], i % 2, float(i % 3)))
s, a, r = map(np.array, zip(*random.sample(replay, 16)))
q = net.pi(net.body(torch.FloatTensor(s))).gather(1, torch.LongTensor(a).unsqueeze(1)).squeeze()
print(f"{nn.MSELoss()(q, torch.FloatTensor(r)).item():.5f}")
mean, log_std = normal(4, 3, seed=7).requires_grad_(), torch.zeros(3, requires_grad=True)
gaussian = Independent(Normal(mean, log_std.exp()), 1)
squashed = torch.tanh(mean.detach() + uniform(4, 3, seed=8))
log_prob = gaussian.log_prob(torch.atanh(squashed)) - torch.log(1 - squashed.pow(2) + 1e-6).sum(-1)
log_prob.mean().backward()
print(log_prob.tolist(), log_std.grad.tolist(), gaussian.entropy()[0].item())
print(kl_divergence(Normal(mean, log_std.exp()), Normal(torch.zeros(3), torch.ones(3))).sum().item())
