"""Hand-written code is read without being run; what cannot be read says its line; repairs really repair."""

import re

import numpy as np
import pytest

import mlkit
from mlkit import nn
from mlkit.builder import templates
from mlkit.builder.code import write_code
from mlkit.builder.document import Block, Document
from mlkit.builder.module import build, keep_weights
from mlkit.builder.parse import CodeError, read_code
from mlkit.builder.shapes import apply_repair, infer_shapes
from mlkit.builder.traced import from_module
from mlkit.core.errors import DataError

BY_HAND = '''
import torch, torch.nn as nn, torch.nn.functional as F
HIDDEN = 32
class Head(nn.Module):
    def __init__(self, n, classes=10):
        super(Head, self).__init__()
        self.out = nn.Linear(n, classes)
    def forward(self, x):
        return self.out(x)
class Net(nn.Module):
    """Reads digits."""
    def __init__(self, width=8):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2))
        self.conv = nn.Conv2d(width, width, kernel_size=(3, 3), padding=1)
        self.layers = nn.ModuleList([nn.Linear(HIDDEN, HIDDEN) for _ in range(2)])
        self.first = nn.Linear(width * 14 * 14 * 2, HIDDEN)
        self.drop = nn.Dropout(0.5)
        self.head = Head(HIDDEN)
    def forward(self, image):
        x = self.features(image)
        x = torch.cat([x, F.relu(self.conv(x)) + x], dim=1)
        x = x.view(x.size(0), -1)
        x = self.first(x)
        for layer in self.layers:
            x = x + torch.tanh(layer(x))
        x *= 0.5
        a, b = torch.chunk(self.drop(x), 2, dim=1)
        x = torch.cat((a, b), 1)
        return self.head(x), x.mean(dim=1)
'''


def test_code_by_hand():
    document = read_code(BY_HAND)
    assert document.name == "Net" and list(document.graphs) == ["Head"]
    assert read_code(write_code(document)).meaning() == document.meaning()
    scope = {}
    source = BY_HAND.replace("import torch, torch.nn as nn, torch.nn.functional as F",
                             "import mlkit as torch\nfrom mlkit import nn\nimport mlkit.nn.functional as F")  # fmt: skip
    exec(source, scope)
    written, module = scope["Net"]().eval(), build(document).eval()
    module.load_state_dict({re.sub(r"\.(\d+)\.", r"_\1.", k): v for k, v in written.state_dict().items()})
    image = mlkit.randn(2, 1, 28, 28)
    for one, two in zip(written(image), module(image), strict=True):
        np.testing.assert_allclose(one.detach().numpy(), two.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("if x.sum() > 0:\n            x = -x\n        return x", "line 7: 'if' in forward"),
        ("return self.other(x)", "line 7: self.other was not made"),
        ("return y", "line 7: y has no value"),
        ("print(x)\n        return x", "line 7"),
        ("return open('a').read()", "line 7"),
        ("return x[x > 0]", "line 7"),
        ("a, b = x\n        return a", "line 7: 2 names for one"),
        ("while True: pass", "line 7: 'while'"),
        ("x = self.layer(x", "line 7: this is not Python"),
        ("return self.layer(x, x)", "line 7: layer takes 1 tensors, got 2"),
    ],
)
def test_what_cannot_be_read_says_the_line(body, why):
    source = f"""import torch
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
    def forward(self, x):
        {body}
"""
    with pytest.raises(CodeError) as caught:
        read_code(source)
    assert why in str(caught.value) and caught.value.line == 7


def test_code_is_never_run(tmp_path):
    mark = tmp_path / "mark"
    with pytest.raises(CodeError):
        read_code(f"class Net(nn.Module):\n    def __init__(self):\n        self.a = open({str(mark)!r}, 'w')\n")
    assert not mark.exists()


def sketch(*layers, shape):
    s = templates.Sketch("Net")
    x = s.add("Input", name="image", shape=["batch", *shape])
    for kind, properties in layers:
        x = s.add(kind, x, **properties)
    s.add("Output", x)
    return Document(s.graph())


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (sketch(("Linear", {"in_features": 784, "out_features": 3}), shape=[1, 28, 28]), "Insert Flatten"),
        (sketch(("Linear", {"in_features": 7, "out_features": 3}), shape=[9]), "Set in_features of linear to 9"),
        (sketch(("Conv2d", {"in_channels": 4, "out_channels": 3, "kernel_size": 3}), shape=[2, 8, 8]),
         "Set in_channels of conv2d to 2"),
        (sketch(("Conv2d", {"in_channels": 3, "out_channels": 3, "kernel_size": 3}), shape=[8, 8, 3]), "Insert Permute"),
        (sketch(("BatchNorm2d", {"num_features": 4}), shape=[2, 8, 8]), "Set num_features of batchnorm2d to 2"),
        (sketch(("Linear", {"in_features": 5, "out_features": 3}), shape=[5, 7]), "Insert transpose"),
        (sketch(("Conv2d", {"in_channels": 1, "out_channels": 3, "kernel_size": 3}), shape=[784]), "Insert Reshape"),
    ],
)  # fmt: skip
def test_repairs(document, words):
    problem = infer_shapes(document).problems[0]
    assert problem.link is not None and problem.source_shape[0] == "batch"
    repair = next(r for r in problem.repairs if r.words.startswith(words))
    repaired = apply_repair(document, repair)
    assert not infer_shapes(repaired.check()).problems


def test_costs_are_the_known_ones():
    total = infer_shapes(templates.cnn()).total
    assert total.parameters == 16 * 10 + 32 * (16 * 9 + 1) + 1568 * 10 + 10
    assert total.macs == 28 * 28 * 16 * 9 + 14 * 14 * 32 * 16 * 9 + 15680
    assert total.parameter_bytes == 4 * total.parameters


def test_absurd_sizes_make_no_weights():
    document = sketch(("Linear", {"in_features": 2**20, "out_features": 2**20}), shape=[2**20])
    assert infer_shapes(document).total.parameters == 2**40 + 2**20
    with pytest.raises(DataError, match="GiB"):
        build(document)


def test_weights_survive_an_edit():
    one = build(templates.cnn(classes=10))
    two = build(templates.cnn(classes=4))
    kept = keep_weights(one, two)
    assert "conv2d.weight" in kept and "linear.weight" not in kept
    np.testing.assert_array_equal(one.conv2d.weight.detach().numpy(), two.conv2d.weight.detach().numpy())


def test_a_class_of_ones_own_is_a_block():
    from mlkit.builder.blocks import palette

    class Twice(nn.Module):
        """Two times what comes in."""

        def __init__(self, factor: float = 2.0):
            super().__init__()
            self.factor = factor

        def forward(self, x):
            return x * self.factor

    types = palette()
    types.register(Twice)
    model = nn.Sequential(nn.Linear(2, 2), Twice(3.0))
    opened = from_module(model, mlkit.ones(1, 2), types=types)
    assert opened.document.main.blocks[2] == Block("twice", "Twice", {"factor": 3.0}, (0.0, 180.0))
    made = opened.build(types)
    np.testing.assert_allclose(made(mlkit.ones(1, 2)).detach().numpy(), model(mlkit.ones(1, 2)).detach().numpy())
    with pytest.raises(DataError):
        opened.document.check()  # without the palette that knows it


class Basic(nn.Module):
    def __init__(self, before, after, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.downsample = None if before == after else nn.Sequential(nn.Conv2d(before, after, 1, stride), nn.ReLU())

    def forward(self, x):
        out = self.conv2(self.relu(self.bn1(self.conv1(x))))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


class SmallResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer1 = nn.Sequential(Basic(4, 4, 1), Basic(4, 4, 1))
        self.layer2 = nn.Sequential(Basic(4, 8, 2), Basic(8, 8, 1))
        self.pool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(8, 3)

    def forward(self, x):
        return self.fc(mlkit.flatten(self.pool(self.layer2(self.layer1(x))), 1))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.qkv, self.proj = nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (p.view(b, t, 2, 4).transpose(1, 2) for p in self.qkv(self.norm(x)).chunk(3, -1))
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return x + self.proj(y.transpose(1, 2).reshape(b, t, c))


class SmallGPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(11, 8)
        self.places = nn.Parameter(mlkit.randn(1, 5, 8))
        self.blocks = nn.ModuleList([Attention() for _ in range(3)])

    def forward(self, ids):
        x = self.tokens(ids) + self.places
        for block in self.blocks:
            x = block(x)
        return x


@pytest.mark.parametrize(
    ("model", "given"),
    [(SmallResNet, lambda: mlkit.randn(2, 4, 8, 8)), (SmallGPT, lambda: mlkit.randint(0, 11, (2, 5)))],
)
def test_modules_by_hand_are_opened(model, given):
    module, x = model().eval(), given()
    opened = from_module(module, x)
    assert any(b.properties.get("repeat") for b in opened.document.main.blocks)
    assert read_code(write_code(opened.document)).meaning() == opened.document.meaning()
    np.testing.assert_allclose(opened.build()(x).detach().numpy(), module(x).detach().numpy(), rtol=1e-5, atol=1e-6)
    assert len(opened.names()) == len(module.state_dict())
