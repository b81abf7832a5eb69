# Policy gradient on a corridor: walk to the right end.
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.distributions import Categorical

from reproducible import fill


class Corridor:
    def __init__(self, length=6):
        self.length = length

    def reset(self):
        self.place, self.time = 2, 0
        return self.observe()

    def observe(self):
        return np.array([self.place / self.length, self.time / 20.0], dtype=np.float32)

    def step(self, action):
        self.place += 1 if action == 1 else -1
        self.time += 1
        done = self.place <= 0 or self.place >= self.length or self.time >= 20
        reward = 1.0 if self.place >= self.length else -0.05
        return self.observe(), reward, done


class Policy(nn.Module):
    def __init__(self):
        super(Policy, self).__init__()
        self.affine1 = nn.Linear(2, 32)
        self.dropout = nn.Dropout(p=0.0)
        self.affine2 = nn.Linear(32, 2)
        self.saved_log_probs = []
        self.rewards = []

    def forward(self, x):
        x = self.dropout(self.affine1(x))
        return F.softmax(self.affine2(F.relu(x)), dim=1)


env, policy, draw = Corridor(), fill(Policy()), np.random.default_rng(0)
optimizer = optim.Adam(policy.parameters(), lr=1e-2)
eps = np.finfo(np.float32).eps.item()


def select_action(state):
    state = torch.from_numpy(state).float().unsqueeze(0)
    m = Categorical(policy(state))
    action = torch.tensor([int(draw.random() < m.probs[0, 1].item())])
    policy.saved_log_probs.append(m.log_prob(action))
    return action.item(), m.entropy().item()


def finish_episode():
    R, returns = 0, []
    for r in policy.rewards[::-1]:
        R = r + 0.99 * R
        returns.insert(0, R)
    returns = torch.tensor(returns)
    returns = (returns - returns.mean()) / (returns.std() + eps)
    policy_loss = [-log_prob * R for log_prob, R in zip(policy.saved_log_probs, returns)]
    optimizer.zero_grad()
    policy_loss = torch.cat(policy_loss).sum()
    policy_loss.backward()
    optimizer.step()
    del policy.rewards[:]
    del policy.saved_log_probs[:]
    return policy_loss.item()


running_reward = 0.0
for i_episode in range(1, 41):
    state, ep_reward, done = env.reset(), 0.0, False
    while not done:
        action, entropy = select_action(state)
        state, reward, done = env.step(action)
        policy.rewards.append(reward)
        ep_reward += reward
    running_reward = 0.1 * ep_reward + 0.9 * running_reward
    if len(policy.rewards) < 2:
        del policy.rewards[:], policy.saved_log_probs[:]
        continue
    loss = finish_episode()
    if i_episode % 5 == 0:
        print(f"Episode {i_episode} reward {ep_reward:.2f} average {running_reward:.4f} loss {loss:.4f} {entropy:.4f}")
