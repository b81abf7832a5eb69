# A critic under a Lipschitz bound: spectral normalisation (both ways of writing it) and a gradient penalty.
import argparse

import numpy as np
import torch
import torch.autograd as autograd
import torch.nn as nn
from torch.autograd import Variable

from reproducible import fill, normal, uniform

parser = argparse.ArgumentParser()
parser.add_argument("--n_epochs", type=int, default=12)
parser.add_argument("--lr", type=float, default=0.002)
parser.add_argument("--latent_dim", type=int, default=8)
parser.add_argument("--lambda_gp", type=float, default=10.0)
opt = parser.parse_args()
print(opt)
cuda = True if torch.cuda.is_available() else False
Tensor = torch.cuda.FloatTensor if cuda else torch.FloatTensor
img_shape = (1, 8, 8)


class Generator(nn.Module):
    def __init__(self):
        super(Generator, self).__init__()

        def block(in_feat, out_feat, normalize=True):
            layers = [nn.Linear(in_feat, out_feat)]
            if normalize:
                layers.append(nn.BatchNorm1d(out_feat, 0.8))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
            return layers

        self.model = nn.Sequential(
            *block(opt.latent_dim, 16, normalize=False),
            *block(16, 32),
            nn.Linear(32, int(np.prod(img_shape))),
            nn.Tanh(),
        )

    def forward(self, z):
        img = self.model(z)
        return img.view(img.shape[0], *img_shape)


class Critic(nn.Module):
    def __init__(self):
        super(Critic, self).__init__()
        self.first = nn.utils.spectral_norm(nn.Linear(int(np.prod(img_shape)), 32), n_power_iterations=2)
        self.second = nn.utils.parametrizations.spectral_norm(nn.Linear(32, 16))
        self.last = nn.Linear(16, 1)
        self.act = nn.LeakyReLU(0.2)

    def forward(self, img):
        x = img.view(img.shape[0], -1)
        return self.last(self.act(self.second(self.act(self.first(x)))))


def same_start(module, seed):
    """The power iteration starts from a random vector: give it one that is the same everywhere."""
    for name, buffer in module.named_buffers():
        if name.endswith(("weight_u", "weight_v", "_u", "_v")):
            seed += 1
            buffer.copy_(nn.functional.normalize(normal(*buffer.shape, seed=seed), dim=0))


def gradient_penalty(D, real, fake, step):
    alpha = uniform(real.size(0), 1, 1, 1, seed=step)
    inter = (alpha * real + ((1 - alpha) * fake)).requires_grad_(True)
    d = D(inter)
    ones = Variable(Tensor(real.shape[0], 1).fill_(1.0), requires_grad=False)
    grads = autograd.grad(
        outputs=d, inputs=inter, grad_outputs=ones, create_graph=True, retain_graph=True, only_inputs=True
    )[0]
    return ((grads.view(grads.size(0), -1).norm(2, dim=1) - 1) ** 2).mean()


generator, critic = Generator(), Critic()
fill(generator, 1), fill(critic, 2), same_start(critic, 10)
print(sorted(critic.state_dict()))
optimizer_G = torch.optim.Adam(generator.parameters(), lr=opt.lr, betas=(0.5, 0.999))
optimizer_D = torch.optim.RMSprop(critic.parameters(), lr=opt.lr)
for epoch in range(opt.n_epochs):
    real = Variable(uniform(16, *img_shape, seed=100 + epoch).type(Tensor))
    z = Variable(Tensor(np.random.RandomState(epoch).normal(0, 1, (16, opt.latent_dim))))
    fake = generator(z)
    optimizer_D.zero_grad()
    penalty = gradient_penalty(critic, real.data, fake.data, epoch)
    d_loss = -torch.mean(critic(real)) + torch.mean(critic(fake.detach())) + opt.lambda_gp * penalty
    d_loss.backward()
    optimizer_D.step()
    optimizer_G.zero_grad()
    g_loss = -torch.mean(critic(generator(z)))
    g_loss.backward()
    optimizer_G.step()
    print("[Epoch %d/%d] [D loss: %f] [G loss: %f]" % (epoch, opt.n_epochs, d_loss.item(), g_loss.item()))
critic.eval()
with torch.no_grad():
    print(
        "largest singular values",
        [f"{torch.linalg.matrix_norm(w, 2).item():.4f}" for w in (critic.first.weight, critic.second.weight)],
    )
nn.utils.remove_spectral_norm(critic.first)
nn.utils.parametrize.remove_parametrizations(critic.second, "weight")
print(sorted(critic.state_dict()))
