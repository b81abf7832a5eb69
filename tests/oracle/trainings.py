"""Small networks trained under PyTorch and under mlkit from the same weights, on the same batches in the same order.

``train(name, library)`` gives the loss of every step. The digits are those shipped with mlkit.data; the text is
sample.txt beside this file (the beginning of Coriolanus), or all of tiny-shakespeare for ``gpt_shakespeare`` when
``$MLKIT_DATA`` holds it.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent

#: name: (steps, batch size)
TRAININGS = {
    "mlp": (200, 64),
    "cnn": (100, 32),
    "lstm": (100, 32),
    "nn_lstm": (100, 32),
    "nn_gru": (100, 32),
    "gpt": (150, 16),
    "gpt_shakespeare": (300, 16),
}


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Images (1797, 1, 8, 8) in 0..1 and classes."""
    with np.load(HERE.parents[1] / "mlkit" / "data" / "shipped" / "digits.npz") as kept:
        images, targets = kept["images"], kept["targets"]
    return (images / images.max()).astype(np.float32)[:, None], targets.astype(np.int64)


def shakespeare() -> Path | None:
    """All of tiny-shakespeare, where there is one."""
    root = os.environ.get("MLKIT_DATA")
    path = Path(root) / "tinyshakespeare" / "input.txt" if root else None
    return path if path is not None and path.exists() else None


def text_of(name: str) -> np.ndarray:
    """The characters of the text, as numbers."""
    path = shakespeare() if name.endswith("shakespeare") else HERE / "sample.txt"
    assert path is not None, "tiny-shakespeare is not there: set MLKIT_DATA"
    text = path.read_text(encoding="utf-8")
    alphabet = {c: i for i, c in enumerate(sorted(set(text)))}
    return np.array([alphabet[c] for c in text], np.int64)


# --- the networks, for either library --------------------------------------------------------------------------------------


def make_mlp(nn, F, T, vocabulary):  # noqa: N803
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 32), nn.Tanh(), nn.Linear(32, 10))


def make_cnn(nn, F, T, vocabulary):  # noqa: N803
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3, padding=1),
        nn.GELU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(96, 10),
    )


def make_lstm(nn, F, T, vocabulary):  # noqa: N803
    class Cell(nn.Module):
        """One LSTM step, written out with Linear layers."""

        def __init__(self, features, hidden):
            super().__init__()
            self.of_input = nn.Linear(features, 4 * hidden)
            self.of_hidden = nn.Linear(hidden, 4 * hidden)

        def forward(self, x, h, c):
            i, f, g, o = (self.of_input(x) + self.of_hidden(h)).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            return o.sigmoid() * c.tanh(), c

    class Characters(nn.Module):
        def __init__(self, hidden=48):
            super().__init__()
            self.hidden = hidden
            self.embedding = nn.Embedding(vocabulary, 24)
            self.cell = Cell(24, hidden)
            self.out = nn.Linear(hidden, vocabulary)

        def forward(self, tokens):
            h = c = T.zeros(tokens.shape[0], self.hidden)
            x = self.embedding(tokens)
            seen = []
            for t in range(tokens.shape[1]):
                h, c = self.cell(x[:, t], h, c)
                seen.append(h)
            return self.out(T.stack(seen, 1))

    return Characters()


def _recurrent(kind):
    def make(nn, F, T, vocabulary):  # noqa: N803
        class Characters(nn.Module):
            """Two layers of the library's own LSTM or GRU."""

            def __init__(self, hidden=32):
                super().__init__()
                self.embedding = nn.Embedding(vocabulary, 24)
                self.rnn = getattr(nn, kind)(24, hidden, num_layers=2, batch_first=True)
                self.out = nn.Linear(hidden, vocabulary)

            def forward(self, tokens):
                return self.out(self.rnn(self.embedding(tokens))[0])

        return Characters()

    return make


def make_gpt(nn, F, T, vocabulary, context=32, width=64, heads=4, layers=2):  # noqa: N803
    class Block(nn.Module):
        """Causal attention and a small network, each after a LayerNorm and beside an identity."""

        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.join = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x):
            batch, length, _ = x.shape
            qkv = self.qkv(self.norm1(x)).reshape(batch, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
            q, k, v = qkv[0], qkv[1], qkv[2]
            scores = q @ k.transpose(-2, -1) * (width // heads) ** -0.5
            future = T.ones(length, length, dtype=T.bool).triu(1)
            weights = F.softmax(scores.masked_fill(future, -1e9), -1)
            x = x + self.join((weights @ v).transpose(1, 2).reshape(batch, length, width))
            return x + self.down(F.gelu(self.up(self.norm2(x))))

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
            self.blocks = nn.Sequential(*[Block() for _ in range(layers)])
            self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)

        def forward(self, tokens):
            x = self.tokens(tokens) + self.places(T.arange(tokens.shape[1]))
            return self.out(self.norm(self.blocks(x)))

    return GPT()


MAKE = {
    "mlp": make_mlp,
    "cnn": make_cnn,
    "lstm": make_lstm,
    "nn_lstm": _recurrent("LSTM"),
    "nn_gru": _recurrent("GRU"),
    "gpt": make_gpt,
    "gpt_shakespeare": make_gpt,
}


def optimizer_and_schedule(name: str, model, optim, steps: int):
    """A different pair for each network."""
    schedules = optim.lr_scheduler
    if name == "mlp":
        opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)
        return opt, schedules.CosineAnnealingLR(opt, steps)
    if name == "cnn":
        opt = optim.Adam(model.parameters(), lr=2e-3)
        return opt, schedules.OneCycleLR(opt, 5e-3, total_steps=steps + 1)
    if name == "lstm":
        opt = optim.RMSprop(model.parameters(), lr=3e-3)
        return opt, schedules.ExponentialLR(opt, 0.99)
    if name == "nn_lstm":
        opt = optim.Adam(model.parameters(), lr=1e-2)
        return opt, schedules.StepLR(opt, 20, 0.7)
    if name == "nn_gru":
        opt = optim.NAdam(model.parameters(), lr=1e-2)
        return opt, schedules.CosineAnnealingWarmRestarts(opt, 20, 2)
    opt = optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.1)
    warm_up, then = schedules.LinearLR(opt, 0.1, total_iters=20), schedules.CosineAnnealingLR(opt, steps)
    return opt, schedules.SequentialLR(opt, [warm_up, then], [20])


def fill(model, rng, T) -> None:  # noqa: N803
    """Start every parameter from numbers both libraries get alike: sizes as for a Linear layer."""
    with T.no_grad():
        for p in model.parameters():
            scale = float(np.prod(p.shape[1:])) ** -0.5 if p.ndim > 1 else 0.1
            offset = 1.0 if p.ndim == 1 and bool((p == 1).all()) else 0.0  # the scales of norms
            p.copy_(T.tensor((rng.normal(size=tuple(p.shape)) * scale + offset).astype(np.float32)))


def batches(name: str, rng, steps: int, size: int, context: int = 32):
    """Pairs of arrays (input, target)."""
    if name in ("mlp", "cnn"):
        images, classes = digits()
        for _ in range(steps):
            chosen = rng.integers(0, len(images), size)
            yield images[chosen], classes[chosen]
    else:
        text = text_of(name)
        for _ in range(steps):
            starts = rng.integers(0, len(text) - context - 1, size)
            rows = np.stack([text[s : s + context + 1] for s in starts])
            yield rows[:, :-1], rows[:, 1:]


def train(name: str, library) -> np.ndarray:
    """The loss of each step."""
    steps, size = TRAININGS[name]
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    nn, F = library.nn, library.nn.functional  # noqa: N806
    vocabulary = int(text_of(name).max()) + 1 if name not in ("mlp", "cnn") else 10
    model = MAKE[name](nn, F, library, vocabulary)
    fill(model, rng, library)
    opt, schedule = optimizer_and_schedule(name, model, library.optim, steps)
    losses = []
    for x, y in batches(name, rng, steps, size):
        opt.zero_grad()
        out = model(library.tensor(x))
        loss = F.cross_entropy(out.reshape(-1, out.shape[-1]), library.tensor(y.reshape(-1)))
        loss.backward()
        opt.step()
        schedule.step()
        losses.append(loss.item())
    return np.array(losses)
