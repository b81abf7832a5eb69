# VQ-VAE and relatives: straight-through estimators, EMA codebooks in buffers, Gumbel softmax, FSQ, binarised layers, PixelCNN.
import torch
import torch.nn as nn
import torch.nn.functional as F

from reproducible import fill, normal, slopes, tell, uniform


class VectorQuantizer(nn.Module):
    def __init__(self, num_embeddings, embedding_dim, commitment_cost):
        super(VectorQuantizer, self).__init__()
        self._embedding_dim, self._num_embeddings = embedding_dim, num_embeddings
        self._embedding = nn.Embedding(num_embeddings, embedding_dim)
        self._embedding.weight.data.uniform_(-1 / num_embeddings, 1 / num_embeddings)
        self._commitment_cost = commitment_cost

    def forward(self, inputs):
        inputs = inputs.permute(0, 2, 3, 1).contiguous()
        input_shape = inputs.shape
        flat_input = inputs.view(-1, self._embedding_dim)
        distances = torch.sum(flat_input**2, dim=1, keepdim=True) + torch.sum(self._embedding.weight**2, dim=1) - 2 * torch.matmul(flat_input, self._embedding.weight.t())
        encoding_indices = torch.argmin(distances, dim=1).unsqueeze(1)
        encodings = torch.zeros(encoding_indices.shape[0], self._num_embeddings, device=inputs.device)
        encodings.scatter_(1, encoding_indices, 1)
        quantized = torch.matmul(encodings, self._embedding.weight).view(input_shape)
        loss = F.mse_loss(quantized, inputs.detach()) + self._commitment_cost * F.mse_loss(quantized.detach(), inputs)
        quantized = inputs + (quantized - inputs).detach()
        avg_probs = torch.mean(encodings, dim=0)
        perplexity = torch.exp(-torch.sum(avg_probs * torch.log(avg_probs + 1e-10)))
        return loss, quantized.permute(0, 3, 1, 2).contiguous(), perplexity, encodings


class EMA(nn.Module):
    def __init__(self, n, d, decay=0.9):
        super().__init__()
        self.register_buffer("embed", normal(n, d, seed=3))
        self.register_buffer("cluster_size", torch.zeros(n))
        self.register_buffer("embed_avg", self.embed.clone())
        self.decay = decay

    def forward(self, x):
        flat = x.movedim(1, -1).reshape(-1, self.embed.shape[1])
        idx = torch.cdist(flat, self.embed, compute_mode="donot_use_mm_for_euclid_dist").argmin(-1)
        onehot = F.one_hot(idx, len(self.embed)).type_as(flat)
        if self.training:
            self.cluster_size.data.mul_(self.decay).add_(onehot.sum(0), alpha=1 - self.decay)
            self.embed_avg.data.mul_(self.decay).add_(flat.detach().T.matmul(onehot).T, alpha=1 - self.decay)
            total = self.cluster_size.sum()
            size = (self.cluster_size + 1e-5) / (total + len(self.embed) * 1e-5) * total
            self.embed.data.copy_(self.embed_avg / size.unsqueeze(1))
        q = F.embedding(idx, self.embed).view(x.movedim(1, -1).shape).movedim(-1, 1)
        return 0.25 * (q.detach() - x).pow(2).mean(), x + (q - x).detach(), torch.bincount(idx, minlength=len(self.embed)), None


class RoundSTE(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.round()

    @staticmethod
    def backward(ctx, g):
        return g


class FSQ(nn.Module):
    def __init__(self, levels):
        super().__init__()
        self.register_buffer("levels", torch.tensor(levels), persistent=False)
        self.register_buffer("basis", torch.cumprod(torch.tensor([1] + levels[:-1]), dim=0), persistent=False)

    def forward(self, x):
        z = x.movedim(1, -1)
        half_l = (self.levels - 1) * (1 - 1e-3) / 2
        offset = torch.where(self.levels % 2 == 0, 0.5, 0.0)
        shift = (offset / half_l).tan()
        bounded = (z + shift).tanh() * half_l - offset
        q = RoundSTE.apply(bounded) / (self.levels // 2)
        codes = ((q * (self.levels // 2) + self.levels // 2).detach() * self.basis).sum(-1).to(torch.int32)
        return torch.zeros(()), q.movedim(-1, 1), codes, None


class Model(nn.Module):
    def __init__(self, quantizer, d):
        super().__init__()
        self.enc = nn.Sequential(nn.Conv2d(1, 6, 4, 2, 1), nn.ReLU(True), nn.Conv2d(6, d, 3, padding=1))
        self.vq = quantizer
        self.dec = nn.Sequential(nn.Conv2d(d, 6, 3, padding="same"), nn.ReLU(True), nn.ConvTranspose2d(6, 1, 4, stride=2, padding=1, output_padding=0))

    def forward(self, x):
        loss, q, info, enc = self.vq(self.enc(x))
        return loss, self.dec(q), info


data = uniform(4, 1, 8, 8, seed=1)
variance = data.var().item()
for make, d in ((lambda: VectorQuantizer(6, 4, 0.25), 4), (lambda: EMA(6, 4), 4), (lambda: FSQ([8, 5, 5]), 3)):
    model = fill(Model(make(), d), 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, amsgrad=True)
    for i in range(4):
        optimizer.zero_grad()
        vq_loss, recon, info = model(data)
        loss = F.mse_loss(recon, data) / variance + vq_loss
        loss.backward()
        optimizer.step()
    print(type(model.vq).__name__, f"{loss.item():.4f} {slopes(model):.4f}", info.reshape(-1)[:6], info.dtype, len(model.state_dict()))

logits = normal(3, 5, seed=4).requires_grad_()
noise = -torch.log(-torch.log(uniform(3, 5, seed=5)))
soft = F.softmax((logits + noise) / 0.7, -1)
index = soft.max(-1, keepdim=True)[1]
hard = torch.zeros_like(logits, memory_format=torch.legacy_contiguous_format if False else torch.preserve_format).scatter_(-1, index, 1.0)
ret = hard - soft.detach() + soft
(ret * normal(3, 5, seed=6)).sum().backward()
tell("Gumbel", ret, logits.grad)
drawn = F.gumbel_softmax(logits, tau=0.5, hard=True)
print(drawn.sum(-1), ((drawn == 0) | (drawn == 1)).all(), drawn.requires_grad)


class Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx, input):
        ctx.save_for_backward(input)
        return torch.sign(input)

    @staticmethod
    def backward(ctx, grad_output):
        (input,) = ctx.saved_tensors
        grad_input = grad_output.clone()
        grad_input[input.abs().ge(1)] = 0
        return grad_input


class BinaryLinear(nn.Linear):
    def forward(self, x):
        scale = self.weight.abs().mean(1, keepdim=True).detach()
        return F.linear(Sign.apply(x), Sign.apply(self.weight) * scale, self.bias)


net = fill(nn.Sequential(BinaryLinear(6, 8), nn.BatchNorm1d(8), nn.Hardtanh(inplace=True), BinaryLinear(8, 2)), 7)
x = normal(10, 6, seed=8).requires_grad_()
net(x).square().sum().backward()
tell("binary", x.grad)
print(f"{slopes(net):.4f}")


def fake_quant(x, bits=4):
    lo, hi = torch.aminmax(x.detach())
    scale = (hi - lo).clamp(min=1e-8) / (2**bits - 1)
    zero = torch.clamp(torch.round(-lo / scale), 0, 2**bits - 1)
    q = torch.clamp(torch.round(x / scale + zero), 0, 2**bits - 1)
    return x + ((q - zero) * scale - x).detach()


tell("fake quant", fake_quant(normal(5, 5, seed=9)))
w = normal(4, 8, seed=10)
scales = w.abs().amax(1, keepdim=True) / 127
w8 = (w / scales).round().clamp(-128, 127).to(torch.int8)
packed = (w8[:, ::2].to(torch.int16) & 0xFF) | (w8[:, 1::2].to(torch.int16) << 8)
print(w8.dtype, w8[0], packed[0], packed.view(torch.int8)[0], (w8.float() * scales - w).abs().max() < 0.02)
print(torch.bitwise_right_shift(packed, 8)[0], (packed >> 8).to(torch.int8).equal(w8[:, 1::2]), w8.to(torch.uint8)[0, :4])


class MaskedConv2d(nn.Conv2d):
    def __init__(self, mask_type, *args, **kwargs):
        super(MaskedConv2d, self).__init__(*args, **kwargs)
        assert mask_type in {"A", "B"}
        self.register_buffer("mask", self.weight.data.clone())
        _, _, kH, kW = self.weight.size()
        self.mask.fill_(1)
        self.mask[:, :, kH // 2, kW // 2 + (mask_type == "B") :] = 0
        self.mask[:, :, kH // 2 + 1 :] = 0

    def forward(self, x):
        self.weight.data *= self.mask
        return super(MaskedConv2d, self).forward(x)


pixel = fill(nn.Sequential(MaskedConv2d("A", 1, 4, 5, 1, 2, bias=False), nn.BatchNorm2d(4), nn.ReLU(True), MaskedConv2d("B", 4, 4, 3, 1, 1), nn.ReLU(True), nn.Conv2d(4, 4, 1)), 11).eval()
x = uniform(1, 1, 6, 6, seed=12).requires_grad_()
(g,) = torch.autograd.grad(pixel(x)[0, :, 3, 2].sum(), x)
print("sees", (g[0, 0] != 0).int())
levels = (data[:1] * 3).floor().long().clamp(0, 3)
loss = F.cross_entropy(pixel(data[:1]), levels[:, 0])
loss.backward()
print(f"bits {loss.item() / 0.6931:.4f} {slopes(pixel):.4f}")
canvas = torch.zeros(1, 1, 3, 3)
with torch.no_grad():
    for i in range(3):
        for j in range(3):
            canvas[:, :, i, j] = pixel(canvas)[:, :, i, j].softmax(1).argmax(1).float().div(3.0)
print(canvas[0, 0])
