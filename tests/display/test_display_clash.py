"""Which axes an error's words call wrong, as boxes in a card and as carets in a terminal."""

import pytest

import mlkit
from mlkit import nn
from mlkit.display import error as cards
from mlkit.display.clash import as_text, shapes_of

F = nn.functional

# mistake: (what fails, {shape's name: (axis' name, size) of the clashing ones})
CLASHES = {
    "linear": (lambda: nn.Linear(784, 10)(mlkit.zeros(32, 1, 28, 28)), {"input": [("in", 28)], "weight": [("in", 784)]}),
    "channels": (
        lambda: nn.Conv2d(3, 8, 3)(mlkit.zeros(4, 32, 32, 3)), {"input": [("channel", 32)], "weight": [("in", 3)]},
    ),
    "broadcast": (lambda: mlkit.zeros(4, 3) - mlkit.zeros(4), {"input": [("", 3)], "other": [("", 4)]}),
    "cat": (lambda: mlkit.cat([mlkit.zeros(2, 3), mlkit.zeros(2, 4)]), {"tensors[0]": [("", 3)], "tensors[1]": [("", 4)]}),
    "cat along 1": (
        lambda: mlkit.cat([mlkit.zeros(2, 3), mlkit.zeros(5, 3)], dim=1), {"tensors[0]": [("", 2)], "tensors[1]": [("", 5)]},
    ),
    "loss": (lambda: nn.MSELoss()(mlkit.zeros(8, 1), mlkit.zeros(8)), {"input": [("", 1)], "target": []}),
    "binary": (
        lambda: F.binary_cross_entropy_with_logits(mlkit.zeros(4, 1), mlkit.zeros(4)), {"target": [], "input": [("", 1)]},
    ),
    "pooling": (lambda: nn.MaxPool2d(4)(mlkit.zeros(1, 1, 2, 9)), {"input": [("height", 2)]}),
    "checkpoint": (
        lambda: nn.Linear(4, 2).load_state_dict(nn.Linear(5, 2).state_dict()),
        {"weight, saved": [("", 5)], "weight, in the model": [("", 4)]},
    ),
    "no clash of sizes": (lambda: nn.BatchNorm2d(8)(mlkit.zeros(8, 6, 6)), {"input": []}),
}  # fmt: skip


@pytest.mark.parametrize("name", CLASHES)
def test_the_clashing_axes_are_marked_and_named(name, parse):
    fails, wanted = CLASHES[name]
    with pytest.raises(Exception) as caught:  # noqa: PT011  any class: the card is what is looked at
        fails()
    error = caught.value
    shapes, rest = shapes_of(error.sentence, error.details or "")
    assert {s.name: [(a.name, a.size) for a in s.axes if a.clashes] for s in shapes} == wanted
    assert not [line for line in rest if line.startswith(("input:", "weight:"))]
    page = parse(cards.html(error))
    marked = page.all("td", "warn")
    assert len(marked) == sum(map(len, wanted.values()))
    assert len(page.all("table", "shape")) == len(shapes)
    words = cards.text(error).splitlines()
    carets = [line for line in words if set(line.strip()) == {"^"} or set(line.strip()) == {"^", " "}]
    assert len(carets) == sum(bool(axes) for axes in wanted.values())
    for line in carets:  # each stands under the size that it means
        above = words[words.index(line) - 1] if words.count(line) == 1 else None
        if above:
            at = line.index("^")
            assert above[at : at + line.count("^")].rpartition("=")[2].isdigit()


def test_lines_that_are_no_shapes_stay_lines():
    details = "module: Linear(in_features=4)\ninput: (2,) float32, min 0, mean 0.5\nvalue: 3"
    assert shapes_of("something", details) == ([], details.splitlines())
    assert as_text([]) == []


def test_a_hint_shows_its_code_as_code(parse):
    with pytest.raises(RuntimeError) as caught:
        nn.Linear(784, 10)(mlkit.zeros(32, 1, 28, 28))
    assert "<code>input.flatten(1)</code>" in parse(cards.html(caught.value)).html
