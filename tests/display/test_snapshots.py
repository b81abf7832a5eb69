"""Every display as it was last looked at, as HTML and as text, stored under ``snapshots/``.

A changed display fails here with the difference. When the change is meant, look at it and renew the files:

    MLKIT_RENEW_SNAPSHOTS=1 python -m pytest tests/display/test_snapshots.py

What is stored is made comparable first: the stylesheet is left out, SVG images stand as their source, pixels as their
size and a checksum, and each element begins a line.
"""

import difflib
import hashlib
import os
import re
import struct
import zlib
from base64 import b64decode
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import numpy as np
import pytest

import mlkit
from mlkit import display, distributions, metrics, nn, optim
from mlkit.compiler.explain import Explanation, Part, Recording
from mlkit.data import DataLoader, digits, transforms
from mlkit.display import error as cards
from mlkit.display import graph, history, profile
from mlkit.linting.findings import Finding, Findings
from mlkit.observe.runs import RunTable
from mlkit.train.lr_finder import LearningRateCurve

FOLDER = Path(__file__).parent / "snapshots"
RENEW = os.environ.get("MLKIT_RENEW_SNAPSHOTS") == "1"


def even(*shape, low=-0.9, high=1.1):
    """Numbers from low to high, the same everywhere, in no order that a picture could hide behind."""
    total = int(np.prod(shape))
    order = (np.arange(total) * 7919) % total if total else np.arange(0)
    return mlkit.tensor(np.linspace(low, high, max(total, 1))[order].reshape(shape).astype(np.float32))


def with_nan():
    values = even(40, 60)
    values[3, 5], values[7, 8] = float("nan"), float("inf")
    return values


def with_gradient():
    w = even(6, 5).requires_grad_()
    (w * w).sum().backward()
    return w


def with_text():
    letters = SimpleNamespace(decode=lambda ids: "".join(chr(97 + i) for i in ids))
    return display.attach_tokenizer(mlkit.tensor([[12, 11, 10, 8, 19], [3, 8, 6, 8, 19]]), letters)


def frozen():
    weight = nn.Parameter(even(12, 9), requires_grad=False)
    return weight


def block():
    return nn.Sequential(nn.Linear(16, 16), nn.GELU(), nn.Dropout(0.1))


def model():
    net = nn.Sequential(nn.Flatten(), *(block() for _ in range(3)), nn.Linear(16, 4))
    net[1].requires_grad_(False)
    with mlkit.no_grad():
        for parameter in net.parameters():
            parameter.copy_(even(*parameter.shape, low=-0.2, high=0.3))
    return net


def shared():
    one = nn.Linear(8, 8)
    tied = nn.Linear(8, 8)
    tied.weight = one.weight
    return mlkit.summary(nn.Sequential(one, nn.ReLU(), tied, nn.ReLU(), one), input_size=(2, 8))


def failing():
    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10))
    return mlkit.summary(net, input_size=(32, 1, 8, 8))


def optimizer():
    return optim.AdamW(
        [{"params": [nn.Parameter(even(3, 4))], "lr": 1e-2}, {"params": [nn.Parameter(even(5))]}], lr=1e-3
    )


SERIES = {
    "train/loss": (2 * np.exp(-np.arange(60) / 20) + 0.1 * np.cos(np.arange(60.0))).tolist(),
    "valid/loss": [1.5, 0.9, 0.7],
    "train/accuracy": np.linspace(0.2, 0.9, 60).tolist(),
    "lr": [0.01] * 60,
}


def recorded():
    values = [{"id": "x", "kind": "input", "name": "input", "shape": [2, 3], "dtype": "float32", "bytes": 24}]
    nodes = []
    for name, op, path, inputs in (
        ("a", "linear", "fc", ["x"]), ("b", "relu", "", ["a"]), ("c", "linear", "head", ["b"]), ("d", "add", "", ["c", "a"]),
    ):  # fmt: skip
        values.append({"id": name, "kind": "activation", "name": "", "shape": [2, 3], "dtype": "float32", "bytes": 24})
        nodes.append({
            "id": f"n{name}", "op": op, "module": path, "inputs": inputs, "outputs": [name], "attrs": {}, "seconds": 2e-5,
            "source": {"file": "net.py", "line": len(nodes) + 1, "code": f"x = {op}(x)"},
        })  # fmt: skip
    modules = [{"path": p, "type": "Linear", "parameters": 12, "extra": ""} for p in ("fc", "head")]
    return {"name": "Net", "inputs": ["x"], "outputs": ["d"], "modules": modules, "values": values, "nodes": nodes}


def explained():
    buffers = [
        {"id": 0, "offset": 0, "bytes": 4096, "first": 0, "last": 3}, {"id": 1, "offset": 4096, "bytes": 2048, "first": 1, "last": 2},
    ]  # fmt: skip
    loops = [
        {
            "ops": ["mul", "tanh"],
            "source": "for i in range(n):\n    y[i] = tanh(x[i] * 2)",
            "line": "net.py:3",
            "uses": 1,
        }
    ]
    part = Part("program", "y = loop0(x)", 4, loops, buffers, 6144, 6144)
    found = Explanation.__new__(Explanation)
    found.name, found.limit, found.eager = "gelu", 8, [("a shape depends on values", "net.py, line 7")]
    found.recordings = [Recording(["float32 (1000,)"], 8, [("dead code", 8, 7), ("fusion", 7, 4)], 12288, 3, [part])]
    return found


def measured():
    share = profile.Share
    shown = profile.Profile.__new__(profile.Profile)
    shown.seconds = 0.01
    shown.lines = [(("<ipython-input-1>", 2), share(3, 0.006, 4096)), (("<ipython-input-1>", 5), share(1, 0.001, 0))]
    shown.operations = [("linear", share(3, 0.005, 4096)), ("ReluBackward0", share(1, 0.002, 0))]
    return shown


def matrix():
    metric = metrics.ConfusionMatrix()
    metric.update(even(30, 3), mlkit.arange(30) % 3)
    return metric


def roc():
    metric = metrics.ROCCurve()
    metric.update(even(60), (even(60) > 0.2).long() ^ (mlkit.arange(60) % 5 == 0).long())
    return metric


def scalar_metric():
    metric = metrics.Accuracy()
    metric.update(even(30, 3), mlkit.arange(30) % 3)
    return metric


def rates():
    tried = np.geomspace(1e-5, 1, 30)
    loss = 2.3 - 1.5 / (1 + np.exp(-3 * (np.log10(tried) + 2.5))) + np.where(tried > 0.3, 1.0, 0.0)
    return LearningRateCurve(tried, loss, loss)


def runs():
    rows = [{"run": "first", "lr": 0.001, "valid/loss": 0.5}, {"run": "second", "lr": 0.01, "valid/loss": 0.4}]
    return RunTable(["run", "lr", "valid/loss"], rows, {"model": "Net", "batch_size": 64})


def caught(fails):
    try:
        fails()
    except Exception as error:
        return error


def infinite():
    with mlkit.autograd.detect_anomaly():
        even(3, 4, low=0.0).log()


def twice():
    loss = (even(3).requires_grad_() ** 2).sum()
    loss.backward()
    loss.backward()


FOUND = Findings([Finding("eval-mode", "The model is in evaluation mode.", "model.train()", "Net")], "the model")

#: name: (the object, how it is drawn where that is not by its type)
DISPLAYS = {
    "tensor-scalar": (lambda: mlkit.tensor(3.5), None),
    "tensor-empty": (lambda: mlkit.zeros(0, 3), None),
    "tensor-meta": (lambda: mlkit.zeros(2, 3, device="meta"), None),
    "tensor-values": (lambda: even(4, 6), None),
    "tensor-bool": (lambda: even(3, 3) > 0, None),
    "tensor-complex": (lambda: mlkit.complex(even(2, 2), even(2, 2)), None),
    "tensor-vector": (lambda: even(300), None),
    "tensor-matrix-nan": (with_nan, None),
    "tensor-images": (lambda: even(20, 3, 12, 12, low=0.0), None),
    "tensor-facets": (lambda: even(6, 4, 3, 3), None),
    "tensor-named": (lambda: even(8, 30).rename("batch", "feature"), None),
    "tensor-gradient": (with_gradient, None),
    "tensor-tokens": (with_text, None),
    "tensor-sampled": (lambda: mlkit.tensor(np.tile(np.linspace(-1, 1, 1 << 12, dtype=np.float32), (1 << 9, 1))), None),
    "parameter-frozen": (frozen, None),
    "module": (model, None),
    "summary": (lambda: mlkit.summary(model(), input_size=(2, 1, 4, 4)), "summary"),
    "summary-shared": (shared, "summary"),
    "summary-failing": (failing, "summary"),
    "state-dict": (lambda: model().state_dict(), None),
    "optimizer": (optimizer, None),
    "scheduler": (lambda: optim.lr_scheduler.OneCycleLR(optimizer(), max_lr=[0.1, 0.1], total_steps=50), None),
    "scheduler-plateau": (lambda: optim.lr_scheduler.ReduceLROnPlateau(optimizer()), None),
    "dataset": (lambda: digits(train=False), None),
    "loader": (lambda: DataLoader(digits(train=False), batch_size=32, shuffle=True), None),
    "transform": (lambda: transforms.Compose([transforms.CenterCrop(64), transforms.ToTensor()]), None),
    "history": (lambda: SERIES, history.html),
    "runs": (runs, None),
    "learning-rates": (rates, None),
    "confusion-matrix": (matrix, None),
    "roc-curve": (roc, None),
    "accuracy": (scalar_metric, None),
    "graph": (recorded, graph.html),
    "compiled": (explained, None),
    "profile": (measured, None),
    "normal": (lambda: distributions.Normal(mlkit.tensor([0.0, 2.0]), mlkit.tensor([1.0, 0.5])), None),
    "poisson": (lambda: distributions.Poisson(mlkit.tensor(4.0)), None),
    "findings": (lambda: FOUND, None),
    "error-shapes": (lambda: caught(lambda: nn.Linear(784, 10)(mlkit.zeros(32, 1, 28, 28))), "error"),
    "error-nan": (lambda: caught(infinite), "error"),
    "error-backward": (lambda: caught(twice), "error"),
}


def drawn(name):
    """(HTML, text) of one display."""
    make, how = DISPLAYS[name]
    mlkit.manual_seed(0)
    obj = make()
    if how == "error":  # lines of this file move: without the frames
        obj = obj.with_traceback(None)
        return cards.html(obj), cards.text(obj)
    if how == "summary":
        return obj._repr_html_(), str(obj)
    if how is not None:
        from mlkit.display.plain import of_html

        return how(obj), of_html(how(obj))
    return display.html(obj), display.text(obj)


def pixels(found):
    """The size of a PNG and a checksum of what it shows; how well it is packed does not matter."""
    data = b64decode(found[1])
    at, packed, rest = 8, b"", b""
    while at < len(data):
        (length,), kind = struct.unpack(">I", data[at : at + 4]), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + length]
        packed, rest = (packed + body, rest) if kind == b"IDAT" else (packed, rest + kind + body)
        at += 12 + length
    width, height = struct.unpack(">II", data[16:24])
    return f"png {width}x{height} {hashlib.sha256(rest + zlib.decompress(packed)).hexdigest()[:12]}"


def moved(words):
    """Without the number of a line of this file, which moves."""
    return re.sub(r"test_snapshots\.py:\d+", "test_snapshots.py:N", words)


def comparable(html):
    html = re.sub(r"<style>.*?</style>", "", moved(html), count=1, flags=re.S)
    html = re.sub(r"data:image/png;base64,([A-Za-z0-9+/=]+)", pixels, html)
    html = re.sub(r"data:image/svg\+xml,([^\"]+)", lambda m: "svg\n" + unquote(m[1]) + "\n", html)
    html = re.sub(r"<style>.*?</style>", "", html, flags=re.S)  # of the SVG: colours are tested elsewhere
    return re.sub(r"\n+", "\n", re.sub(r"(?=<(?!/))", "\n", html)).strip() + "\n"


@pytest.mark.parametrize("name", DISPLAYS)
def test_a_display_is_as_it_was_looked_at(name, monkeypatch, parse):
    monkeypatch.setenv("COLUMNS", "100")
    html, text = drawn(name)
    parse(html)
    assert len(html.encode()) < 60_000
    for ending, found in (("html", comparable(html)), ("txt", moved(text).rstrip() + "\n")):
        path = FOLDER / f"{name}.{ending}"
        if RENEW:
            FOLDER.mkdir(exist_ok=True)
            path.write_text(found, "utf-8")
            continue
        assert path.exists(), (
            f"{path.name} is not stored yet: look at the display, then run with MLKIT_RENEW_SNAPSHOTS=1"
        )
        stored = path.read_text("utf-8")
        difference = difflib.unified_diff(stored.splitlines(), found.splitlines(), "stored", "now", lineterm="", n=1)
        assert stored == found, "\n".join([f"{path.name} differs:", *list(difference)[:40]])


def test_nothing_is_stored_that_is_no_longer_drawn():
    assert {path.stem for path in FOLDER.iterdir()} == set(DISPLAYS)
