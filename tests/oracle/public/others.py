"""Generative networks, graphs, and code that leans on the corners of Module and the optimizers."""

import copy
import math
from collections import defaultdict

import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.nn.parameter import Parameter


def vae(run):
    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(12, 8)
            self.fc21, self.fc22 = nn.Linear(8, 3), nn.Linear(8, 3)
            self.fc3, self.fc4 = nn.Linear(3, 8), nn.Linear(8, 12)

        def encode(self, x):
            h1 = F.relu(self.fc1(x))
            return self.fc21(h1), self.fc22(h1)

        def reparameterize(self, mu, logvar):
            std = torch.exp(0.5 * logvar)
            eps = run.numbers(*std.shape).to(std)  # torch.randn_like, alike in both
            return mu + eps * std

        def decode(self, z):
            return torch.sigmoid(self.fc4(F.relu(self.fc3(z))))

        def forward(self, x):
            mu, logvar = self.encode(x.view(-1, 12))
            return self.decode(self.reparameterize(mu, logvar)), mu, logvar

    model = run.fill(VAE())
    x = run.numbers(4, 3, 4).sigmoid()

    def loss_function():
        recon_x, mu, logvar = model(x)
        BCE = F.binary_cross_entropy(recon_x, x.view(-1, 12), reduction="sum")
        return BCE + -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())

    run.train(model, loss_function, optim.Adam(model.parameters(), lr=1e-3))


def dcgan(run):
    nz, ngf, ndf, nc = 6, 4, 4, 1

    def weights_init(m):
        classname = m.__class__.__name__
        if classname.find("Conv") != -1:
            torch.nn.init.normal_(m.weight, 0.0, 0.02)
        elif classname.find("BatchNorm") != -1:
            torch.nn.init.normal_(m.weight, 1.0, 0.02)
            torch.nn.init.zeros_(m.bias)

    netG = nn.Sequential(
        nn.ConvTranspose2d(nz, ngf * 2, 4, 1, 0, bias=False),
        nn.BatchNorm2d(ngf * 2),
        nn.ReLU(True),
        nn.ConvTranspose2d(ngf * 2, ngf, 4, 2, 1, bias=False),
        nn.BatchNorm2d(ngf),
        nn.ReLU(True),
        nn.ConvTranspose2d(ngf, nc, 4, 2, 1, bias=False),
        nn.Tanh(),
    )
    netD = nn.Sequential(
        nn.Conv2d(nc, ndf, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2, inplace=True),
        torch.nn.utils.spectral_norm(nn.Conv2d(ndf, ndf * 2, 4, 2, 1, bias=False)),
        nn.BatchNorm2d(ndf * 2),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(ndf * 2, 1, 4, 1, 0, bias=False),
        nn.Sigmoid(),
    )
    netG.apply(weights_init)
    netD.apply(lambda m: None)
    run.fill(netG), run.fill(netD)
    criterion = nn.BCELoss()
    optimizerD = optim.Adam(netD.parameters(), lr=2e-3, betas=(0.5, 0.999))
    optimizerG = optim.Adam(netG.parameters(), lr=2e-3, betas=(0.5, 0.999))
    real_label, fake_label = 1.0, 0.0
    for step in range(3):
        netD.zero_grad()
        real = run.numbers(3, nc, 16, 16).tanh()
        label = torch.full((3,), real_label, dtype=real.dtype)
        errD_real = criterion(netD(real).view(-1), label)
        errD_real.backward()
        fake = netG(run.numbers(3, nz, 1, 1))
        label.fill_(fake_label)
        errD_fake = criterion(netD(fake.detach()).view(-1), label)
        errD_fake.backward()
        optimizerD.step()
        netG.zero_grad()
        label.fill_(real_label)
        errG = criterion(netD(fake).view(-1), label)
        errG.backward()
        optimizerG.step()
        run.keep(f"errors{step}", torch.stack([errD_real, errD_fake, errG]))
    run.state(netG, "G")
    run.state(netD, "D")


def wgan_gp(run):
    critic = run.fill(nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Softplus(), nn.Linear(8, 1)))
    real, fake, alpha = run.numbers(5, 4), run.numbers(5, 4), run.numbers(5, 1).sigmoid()

    def loss():
        interpolates = (alpha * real + (1 - alpha) * fake).requires_grad_(True)
        d = critic(interpolates)
        gradients = torch.autograd.grad(
            outputs=d,
            inputs=interpolates,
            grad_outputs=torch.ones_like(d),
            create_graph=True,
            retain_graph=True,
            only_inputs=True,
        )[0]
        penalty = ((gradients.view(5, -1).norm(2, dim=1) - 1) ** 2).mean()
        return critic(fake).mean() - critic(real).mean() + 10 * penalty

    run.train(critic, loss, optim.RMSprop(critic.parameters(), lr=5e-4))


def diffusion(run):
    class SinusoidalPositionEmbeddings(nn.Module):
        def __init__(self, dim):
            super().__init__()
            self.dim = dim

        def forward(self, time):
            device = time.device
            half_dim = self.dim // 2
            embeddings = math.log(10000) / (half_dim - 1)
            embeddings = torch.exp(torch.arange(half_dim, device=device) * -embeddings)
            embeddings = time[:, None] * embeddings[None, :]
            return torch.cat((embeddings.sin(), embeddings.cos()), dim=-1)

    class Block(nn.Module):
        def __init__(self, dim, dim_out, groups=2):
            super().__init__()
            self.proj = nn.Conv2d(dim, dim_out, 3, padding=1)
            self.norm = nn.GroupNorm(groups, dim_out)
            self.act = nn.SiLU()

        def forward(self, x, scale_shift=None):
            x = self.norm(self.proj(x))
            if scale_shift is not None:
                scale, shift = scale_shift
                x = x * (scale + 1) + shift
            return self.act(x)

    class ResnetBlock(nn.Module):
        def __init__(self, dim, dim_out, *, time_emb_dim=None, groups=2):
            super().__init__()
            self.mlp = (
                nn.Sequential(nn.SiLU(), nn.Linear(time_emb_dim, dim_out * 2)) if time_emb_dim is not None else None
            )
            self.block1, self.block2 = Block(dim, dim_out, groups=groups), Block(dim_out, dim_out, groups=groups)
            self.res_conv = nn.Conv2d(dim, dim_out, 1) if dim != dim_out else nn.Identity()

        def forward(self, x, time_emb=None):
            scale_shift = None
            if self.mlp is not None and time_emb is not None:
                time_emb = self.mlp(time_emb)[:, :, None, None]
                scale_shift = time_emb.chunk(2, dim=1)
            h = self.block1(x, scale_shift=scale_shift)
            return self.block2(h) + self.res_conv(x)

    class LinearAttention(nn.Module):
        def __init__(self, dim, heads=2, dim_head=3):
            super().__init__()
            self.scale, self.heads = dim_head**-0.5, heads
            self.to_qkv = nn.Conv2d(dim, dim_head * heads * 3, 1, bias=False)
            self.to_out = nn.Sequential(nn.Conv2d(dim_head * heads, dim, 1), nn.GroupNorm(1, dim))

        def forward(self, x):
            b, c, h, w = x.shape
            q, k, v = (t.reshape(b, self.heads, -1, h * w) for t in self.to_qkv(x).chunk(3, dim=1))
            q, k = q.softmax(dim=-2) * self.scale, k.softmax(dim=-1)
            context = torch.einsum("b h d n, b h e n -> b h d e", k, v)
            out = torch.einsum("b h d e, b h d n -> b h e n", context, q)
            return self.to_out(out.reshape(b, -1, h, w))

    class Unet(nn.Module):
        def __init__(self, dim=4):
            super().__init__()
            self.init_conv = nn.Conv2d(1, dim, 1)
            self.time_mlp = nn.Sequential(
                SinusoidalPositionEmbeddings(dim), nn.Linear(dim, dim * 4), nn.GELU(), nn.Linear(dim * 4, dim * 4)
            )
            self.downs, self.ups = nn.ModuleList([]), nn.ModuleList([])
            self.downs.append(
                nn.ModuleList(
                    [
                        ResnetBlock(dim, dim, time_emb_dim=dim * 4),
                        LinearAttention(dim),
                        nn.Conv2d(dim, dim * 2, 4, 2, 1),
                    ]
                )
            )
            self.mid = ResnetBlock(dim * 2, dim * 2, time_emb_dim=dim * 4)
            self.ups.append(
                nn.ModuleList(
                    [nn.Upsample(scale_factor=2, mode="nearest"), ResnetBlock(dim * 3, dim, time_emb_dim=dim * 4)]
                )
            )
            self.final_conv = nn.Conv2d(dim * 2, 1, 1)

        def forward(self, x, time):
            x = self.init_conv(x)
            r = x.clone()
            t = self.time_mlp(time)
            h = []
            for block, attn, down in self.downs:
                x = attn(block(x, t))
                h.append(x)
                x = down(x)
            x = self.mid(x, t)
            for up, block in self.ups:
                x = block(torch.cat((up(x), h.pop()), dim=1), t)
            return self.final_conv(torch.cat((x, r), dim=1))

    def extract(a, t, x_shape):
        batch_size = t.shape[0]
        out = a.gather(-1, t.cpu())
        return out.reshape(batch_size, *((1,) * (len(x_shape) - 1))).to(t.device)

    betas = torch.linspace(0.0001, 0.02, 20)
    alphas = 1.0 - betas
    alphas_cumprod = torch.cumprod(alphas, axis=0)
    alphas_cumprod_prev = F.pad(alphas_cumprod[:-1], (1, 0), value=1.0)
    run.keep("posterior", betas * (1.0 - alphas_cumprod_prev) / (1.0 - alphas_cumprod))
    model = run.fill(Unet())
    x_start, noise, t = run.numbers(2, 1, 6, 6), run.numbers(2, 1, 6, 6), run.integers(20, 2)

    def loss():
        x_noisy = extract(torch.sqrt(alphas_cumprod), t, x_start.shape) * x_start
        x_noisy = x_noisy + extract(torch.sqrt(1.0 - alphas_cumprod), t, x_start.shape) * noise
        return F.smooth_l1_loss(noise, model(x_noisy, t))

    ema = copy.deepcopy(model).eval().requires_grad_(False)
    run.train(model, loss, optim.Adam(model.parameters(), lr=1e-3))
    for p, q in zip(ema.parameters(), model.parameters()):
        p.data.mul_(0.9).add_(q.data, alpha=1 - 0.9)
    run.state(ema, "ema")


def graph_network(run):
    class GCNConv(nn.Module):
        def __init__(self, in_channels, out_channels):
            super().__init__()
            self.lin = nn.Linear(in_channels, out_channels, bias=False)
            self.bias = Parameter(torch.empty(out_channels))
            self.reset_parameters()

        def reset_parameters(self):
            self.lin.reset_parameters()
            self.bias.data.zero_()

        def forward(self, x, edge_index):
            loops = torch.arange(x.size(0)).unsqueeze(0).repeat(2, 1)
            edge_index = torch.cat([edge_index, loops], dim=1)
            x = self.lin(x)
            row, col = edge_index
            deg = torch.zeros(x.size(0), dtype=x.dtype).scatter_add_(0, col, torch.ones(col.size(0), dtype=x.dtype))
            deg_inv_sqrt = deg.pow(-0.5)
            deg_inv_sqrt[deg_inv_sqrt == float("inf")] = 0
            norm = deg_inv_sqrt[row] * deg_inv_sqrt[col]
            out = torch.zeros_like(x).index_add_(0, col, norm.view(-1, 1) * x[row])
            return out + self.bias

    class GAT(nn.Module):
        def __init__(self, in_features, out_features):
            super().__init__()
            self.W = nn.Parameter(torch.empty(size=(in_features, out_features)))
            nn.init.xavier_uniform_(self.W.data, gain=1.414)
            self.a = nn.Parameter(torch.empty(size=(2 * out_features, 1)))
            self.leakyrelu, self.n = nn.LeakyReLU(0.2), out_features

        def forward(self, h, adj):
            Wh = torch.mm(h, self.W)
            e = self.leakyrelu(torch.matmul(Wh, self.a[: self.n, :]) + torch.matmul(Wh, self.a[self.n :, :]).T)
            attention = torch.where(adj > 0, e, -9e15 * torch.ones_like(e))
            return F.elu(torch.matmul(F.softmax(attention, dim=1), Wh))

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.gat, self.conv2 = GCNConv(3, 5), GAT(5, 4), GCNConv(4, 2)

        def forward(self, x, edge_index, adj):
            x = F.relu(self.conv1(x, edge_index))
            x = F.dropout(self.gat(x, adj), p=0.0, training=self.training)
            return F.log_softmax(self.conv2(x, edge_index), dim=1)

    model = run.fill(Net())
    edge_index = torch.tensor([[0, 1, 1, 2, 3, 4], [1, 0, 2, 1, 4, 3]], dtype=torch.long)
    adj = torch.eye(5)
    adj[edge_index[0], edge_index[1]] = 1.0
    x, y = run.numbers(5, 3), run.integers(2, 5)
    train_mask = torch.tensor([True, False, True, True, False])
    run.train(
        model,
        lambda: F.nll_loss(model(x, edge_index, adj)[train_mask], y[train_mask]),
        optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4),
    )
    pred = model(x, edge_index, adj).argmax(dim=1)
    run.keep("correct", (pred[~train_mask] == y[~train_mask]).sum())


def lbfgs_sine(run):
    class Sequence(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm1, self.lstm2, self.linear = nn.LSTMCell(1, 5), nn.LSTMCell(5, 5), nn.Linear(5, 1)

        def forward(self, input, future=0):
            outputs = []
            h_t, c_t = (
                torch.zeros(input.size(0), 5, dtype=torch.double),
                torch.zeros(input.size(0), 5, dtype=torch.double),
            )
            h_t2, c_t2 = torch.zeros_like(h_t), torch.zeros_like(c_t)
            for input_t in input.split(1, dim=1):
                h_t, c_t = self.lstm1(input_t, (h_t, c_t))
                h_t2, c_t2 = self.lstm2(h_t, (h_t2, c_t2))
                output = self.linear(h_t2)
                outputs += [output]
            for _ in range(future):
                h_t, c_t = self.lstm1(output, (h_t, c_t))
                h_t2, c_t2 = self.lstm2(h_t, (h_t2, c_t2))
                output = self.linear(h_t2)
                outputs += [output]
            return torch.cat(outputs, dim=1)

    seq = run.fill(Sequence().double())
    data = torch.sin(torch.arange(0, 9, dtype=torch.float64)[None] * 0.7 + torch.tensor([[0.0], [1.0]]).double())
    optimizer = optim.LBFGS(seq.parameters(), lr=0.8, max_iter=5, line_search_fn="strong_wolfe")
    for step in range(2):

        def closure():
            optimizer.zero_grad()
            loss = nn.MSELoss()(seq(data[:, :-1]), data[:, 1:])
            loss.backward()
            return loss

        run.keep(f"loss{step}", optimizer.step(closure))
    with torch.no_grad():
        run.keep("future", seq(data, future=4)[:, -4:])
    run.state(seq)


def hooks_and_buffers(run):
    class RunningStat(nn.Module):
        def __init__(self, n):
            super().__init__()
            self.register_buffer("mean", torch.zeros(n))
            self.register_buffer("count", torch.tensor(0, dtype=torch.long))
            self.register_buffer("cache", torch.ones(2), persistent=False)
            self.register_parameter("shift", None)
            self.scale = nn.Parameter(torch.ones(n))

        def forward(self, x):
            if self.training:
                self.count += 1
                self.mean.lerp_(x.detach().mean(0), 1.0 / self.count.item())
            return (x - self.mean) * self.scale

    model = run.fill(nn.Sequential(nn.Linear(4, 6), RunningStat(6), nn.Tanh(), nn.Linear(6, 2)), buffers=False)
    activations, gradients, norms = defaultdict(list), [], []

    def get_activation(name):
        def hook(model, input, output):
            activations[name].append(output.detach().mean().item())

        return hook

    handles = [m.register_forward_hook(get_activation(n)) for n, m in model.named_modules() if n]
    model[0].register_full_backward_hook(lambda m, grad_in, grad_out: gradients.append(grad_out[0].sum().item()))
    model[3].register_forward_pre_hook(lambda m, args: (args[0] * 2,))
    model[3].weight.register_hook(lambda g: g * 0.5)
    for p in model.parameters():
        p.register_post_accumulate_grad_hook(lambda p: norms.append(p.grad.norm().item()))
    x, y = run.numbers(5, 4), run.numbers(5, 2)
    optimizer = optim.SGD(
        [{"params": model[0].parameters(), "lr": 1e-2}, {"params": model[1:].parameters()}], lr=1e-1, momentum=0.9
    )
    run.train(model, lambda: F.mse_loss(model(x), y), optimizer)
    for handle in handles:
        handle.remove()
    model(x)
    run.keep("activations", torch.tensor([v for vs in activations.values() for v in vs]))
    run.keep("gradients", torch.tensor(gradients))
    run.keep("norms", torch.tensor(sorted(norms)))
    run.text("groups", [len(g["params"]) for g in optimizer.param_groups] + [g["lr"] for g in optimizer.param_groups])
    run.text("buffers", [n for n, _ in model.named_buffers()])


def parameter_lists(run):
    class Mixture(nn.Module):
        def __init__(self):
            super().__init__()
            self.params = nn.ParameterList([nn.Parameter(torch.randn(3, 3)) for i in range(3)])
            self.gates = nn.ParameterDict({"left": nn.Parameter(torch.randn(3)), "right": nn.Parameter(torch.randn(3))})
            self.choices = nn.ModuleDict({"conv": nn.Conv1d(3, 3, 1), "pool": nn.MaxPool1d(3, 1, 1)})
            self.activations = nn.ModuleDict([["lrelu", nn.LeakyReLU()], ["prelu", nn.PReLU()]])
            self.linears = nn.ModuleList([nn.Linear(3, 3) for i in range(2)])
            self.linears.append(nn.Linear(3, 2)).extend([nn.Linear(2, 2)])
            self.log_std = nn.Parameter(torch.zeros(()))

        def forward(self, x, choice, act):
            for i, p in enumerate(self.params):
                x = self.params[i // 2].mm(x) + p.mm(x)
            x = x * self.gates["left"][:, None] + self.gates["right"].unsqueeze(1)
            x = self.activations[act](self.choices[choice](x[None]))[0].t()
            for i, l in enumerate(self.linears):
                x = l(x)
            return x * self.log_std.exp()

    model = run.fill(Mixture())
    x = run.numbers(3, 4)
    run.train(
        model,
        lambda: (model(x, "conv", "prelu") ** 2).mean() + (model(x, "pool", "lrelu") ** 2).mean(),
        optim.ASGD(model.parameters()),
    )
    run.text("names", [n for n, _ in model.named_modules()])
    run.text("list", [len(model.params), len(model.linears[1:]), "left" in model.gates, list(model.choices.keys())])


def tied_autoencoder(run):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Linear(6, 3)
            self.bias = nn.Parameter(torch.zeros(6))

        def forward(self, x):
            return F.linear(torch.sigmoid(self.encoder(x)), self.encoder.weight.t(), self.bias)

    model = run.fill(Tied())
    x = run.numbers(4, 6)
    optimizer = optim.RAdam(model.parameters(), lr=0.1)
    scheduler = optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)

    def loss():
        out = model(x)
        return nn.HuberLoss()(out, x) + 1e-2 * sum(p.abs().sum() for p in model.parameters())

    run.train(model, loss, optimizer)
    scheduler.step(1.0), scheduler.step(2.0)
    run.text("lr", [optimizer.param_groups[0]["lr"], scheduler.get_last_lr()])


def policy_gradient(run):
    class Policy(nn.Module):
        def __init__(self):
            super().__init__()
            self.affine1 = nn.Linear(4, 8)
            self.action_head, self.value_head = nn.Linear(8, 2), nn.Linear(8, 1)

        def forward(self, x):
            x = F.relu(self.affine1(x))
            return F.softmax(self.action_head(x), dim=-1), self.value_head(x)

    from torch.distributions import Categorical

    model = run.fill(Policy())
    states, actions, rewards = run.numbers(6, 4), run.integers(2, 6), run.numbers(6).tolist()

    def loss():
        R, returns = 0, []
        for r in rewards[::-1]:
            R = r + 0.99 * R
            returns.insert(0, R)
        returns = torch.tensor(returns)
        returns = (returns - returns.mean()) / (returns.std() + 1e-8)
        policy_losses, value_losses = [], []
        for state, action, R in zip(states, actions, returns):
            probs, value = model(state)
            advantage = R - value.item()
            policy_losses.append(-Categorical(probs).log_prob(action) * advantage)
            value_losses.append(F.smooth_l1_loss(value, torch.tensor([R])))
        return torch.stack(policy_losses).sum() + torch.stack(value_losses).sum()

    run.train(model, loss, optim.Adam(model.parameters(), lr=3e-2))


def lora(run):
    class LoRALinear(nn.Linear):
        def __init__(self, in_features, out_features, r=2, alpha=4, **kwargs):
            nn.Linear.__init__(self, in_features, out_features, **kwargs)
            self.lora_A = nn.Parameter(self.weight.new_zeros((r, in_features)))
            self.lora_B = nn.Parameter(self.weight.new_zeros((out_features, r)))
            self.scaling = alpha / r
            self.weight.requires_grad = False
            nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))

        def forward(self, x: torch.Tensor):
            result = F.linear(x, self.weight, bias=self.bias)
            return result + (x @ self.lora_A.transpose(0, 1) @ self.lora_B.transpose(0, 1)) * self.scaling

    model = run.fill(nn.Sequential(LoRALinear(4, 5), nn.ReLU(), LoRALinear(5, 2, bias=False)))
    for n, p in model.named_parameters():
        p.requires_grad_("lora_" in n)
    x, y = run.numbers(5, 4), run.integers(2, 5)
    run.train(
        model,
        lambda: F.cross_entropy(model(x), y),
        optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2),
    )
    missing = model.load_state_dict({k: v for k, v in model.state_dict().items() if "lora_" in k}, strict=False)
    run.text("missing", missing.missing_keys)


def spatial_transformer(run):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.localization = nn.Sequential(nn.Conv2d(1, 4, kernel_size=3), nn.MaxPool2d(2, stride=2), nn.ReLU(True))
            self.fc_loc = nn.Sequential(nn.Linear(4 * 9, 8), nn.ReLU(True), nn.Linear(8, 3 * 2))
            self.fc_loc[2].weight.data.zero_()
            self.fc_loc[2].bias.data.copy_(torch.tensor([1, 0, 0, 0, 1, 0], dtype=torch.float))
            self.conv = nn.Conv2d(1, 3, 3)

        def stn(self, x):
            xs = self.localization(x).view(-1, 4 * 9)
            theta = self.fc_loc(xs).view(-1, 2, 3)
            grid = F.affine_grid(theta, x.size(), align_corners=False)
            return F.grid_sample(x, grid, align_corners=False)

        def forward(self, x):
            return self.conv(self.stn(x)).amax((2, 3))

    model = run.fill(Net())
    x, y = run.numbers(2, 1, 8, 8), run.integers(3, 2)
    run.train(model, lambda: F.cross_entropy(model(x), y), optim.Rprop(model.parameters(), lr=1e-3))
