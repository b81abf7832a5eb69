"""Ten trainings written as users write them: a function each that makes (step, batches, what to compare afterwards)."""

from __future__ import annotations

import mlkit
from mlkit import nn, optim
from mlkit.nn import functional as F


def batches(count, *makers):
    return [[make() for make in makers] for _ in range(count)]


def classes(n, size):
    return lambda: mlkit.randint(0, n, size)


def mlp():
    model = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 8), nn.GELU(), nn.Linear(8, 4))
    optimizer = optim.AdamW(model.parameters(), 0.01)
    criterion = nn.CrossEntropyLoss()

    def step(x, y):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step, batches(6, lambda: mlkit.randn(9, 12), classes(4, (9,))), [model]


def cnn():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 2 * 2, 3),
    )  # fmt: skip
    optimizer = optim.SGD(model.parameters(), 0.05, momentum=0.9, nesterov=True, weight_decay=1e-3)

    def step(x, y):
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    return step, batches(6, lambda: mlkit.randn(5, 1, 10, 10), classes(3, (5,))), [model]


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.conv2, self.norm2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)

    def forward(self, x):
        h = F.relu(self.norm1(self.conv1(x)), inplace=True)
        h = self.norm2(self.conv2(h))
        h += x
        return h.relu()


def resnet():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), Block(4), Block(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    optimizer = optim.SGD(model.parameters(), 0.05, momentum=0.9)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, 6)

    def step(x, y):
        optimizer.zero_grad()
        out = model(x)
        loss = F.cross_entropy(out, y, label_smoothing=0.1)
        loss.backward()
        optimizer.step()
        scheduler.step()
        return loss, out.argmax(1)

    return step, batches(6, lambda: mlkit.randn(4, 3, 8, 8), classes(3, (4,))), [model]


class GPT(nn.Module):
    def __init__(self, vocabulary=11, width=8, context=6):
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        layer = nn.TransformerEncoderLayer(width, 2, 16, dropout=0.1, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight  # tied

    def forward(self, ids):
        h = self.tokens(ids) + self.places(mlkit.arange(ids.shape[1]))
        mask = nn.Transformer.generate_square_subsequent_mask(ids.shape[1])
        return self.head(self.norm(self.layers(h, mask=mask, is_causal=True)))


def gpt():
    model = GPT()
    optimizer = optim.AdamW(model.parameters(), 0.01, betas=(0.9, 0.95), weight_decay=0.1)

    def step(ids):
        logits = model(ids[:, :-1])
        loss = F.cross_entropy(logits.reshape(-1, 11), ids[:, 1:].reshape(-1))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    return step, batches(6, classes(11, (3, 7))), [model]


def lstm():
    model, head = nn.LSTM(5, 7, num_layers=2, batch_first=True), nn.Linear(7, 2)
    optimizer = optim.RMSprop([*model.parameters(), *head.parameters()], 0.01)

    def step(x, y):
        optimizer.zero_grad()
        out, _ = model(x)
        loss = F.mse_loss(head(out[:, -1]), y)
        loss.backward()
        optimizer.step()
        return loss

    return step, batches(6, lambda: mlkit.randn(3, 6, 5), lambda: mlkit.randn(3, 2)), [model, head]


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(10, 8), nn.Linear(4, 10)

    def forward(self, x):
        mean, log_variance = self.encoder(x).chunk(2, dim=-1)
        z = mean + mlkit.randn_like(mean) * (0.5 * log_variance).exp()
        return self.decoder(z).sigmoid(), mean, log_variance


def vae():
    model = VAE()
    optimizer = optim.Adam(model.parameters(), 0.01)

    def step(x):
        out, mean, log_variance = model(x)
        divergence = -0.5 * (1 + log_variance - mean.pow(2) - log_variance.exp()).sum()
        loss = F.binary_cross_entropy(out, x, reduction="sum") + divergence
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"loss": loss, "divergence": divergence}

    return step, batches(6, lambda: mlkit.rand(6, 10)), [model]


def dropout():
    model = nn.Sequential(nn.Linear(6, 12), nn.SiLU(), nn.Dropout(0.4), nn.Linear(12, 12), nn.Tanh(), nn.AlphaDropout(0.2),
                          nn.Linear(12, 1))  # fmt: skip
    optimizer = optim.Adagrad(model.parameters(), 0.05)

    def step(x, y):
        optimizer.zero_grad()
        loss = F.smooth_l1_loss(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step, batches(6, lambda: mlkit.randn(8, 6), lambda: mlkit.randn(8, 1)), [model]


def gan():
    maker = nn.Sequential(nn.Linear(3, 8), nn.LeakyReLU(0.2), nn.Linear(8, 4))
    judge = nn.Sequential(nn.Linear(4, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))
    of_maker = optim.Adam(maker.parameters(), 0.01, betas=(0.5, 0.9))
    of_judge = optim.Adam(judge.parameters(), 0.01, betas=(0.5, 0.9))

    def step(real):
        fake = maker(mlkit.randn(real.shape[0], 3))
        of_judge.zero_grad()
        right, wrong = judge(real), judge(fake.detach())
        loss = F.binary_cross_entropy_with_logits(right, mlkit.ones_like(right))
        loss = loss + F.binary_cross_entropy_with_logits(wrong, mlkit.zeros_like(wrong))
        loss.backward()
        of_judge.step()
        of_maker.zero_grad()
        score = judge(fake)
        other = F.binary_cross_entropy_with_logits(score, mlkit.ones_like(score))
        other.backward()
        of_maker.step()
        return loss, other

    return step, batches(6, lambda: mlkit.randn(5, 4)), [maker, judge]


def schedule():
    model = nn.Sequential(nn.Linear(6, 8), nn.Softplus(), nn.LayerNorm(8), nn.Linear(8, 2))
    optimizer = optim.NAdam([{"params": model[0].parameters(), "lr": 0.02}, {"params": model[3].parameters()}], lr=0.01)
    scheduler = optim.lr_scheduler.OneCycleLR(optimizer, [0.1, 0.05], total_steps=10)

    def step(x, y):
        optimizer.zero_grad()
        loss = F.huber_loss(model(x), y)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 0.05)
        nn.utils.clip_grad_value_(model.parameters(), 0.02)
        optimizer.step()
        scheduler.step()
        return loss, norm

    return step, batches(8, lambda: mlkit.randn(4, 6), lambda: mlkit.randn(4, 2)), [model]


def tied():
    model = nn.Sequential(nn.Linear(5, 5), nn.Sigmoid(), nn.Linear(5, 5), nn.Softmax(1))
    model[2].weight = model[0].weight
    optimizer = optim.SGD(model.parameters(), 0.1)

    def step(x):
        optimizer.zero_grad()
        loss = (model(x) - x).abs().mean()
        (loss / 2).backward(retain_graph=True)
        (loss / 2).backward()
        optimizer.step()
        return loss

    return step, batches(6, lambda: mlkit.rand(4, 5)), [model]


TRAININGS = {f.__name__: f for f in (mlp, cnn, resnet, gpt, lstm, vae, dropout, gan, schedule, tied)}
