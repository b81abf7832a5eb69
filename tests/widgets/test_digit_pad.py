"""The digit pad: a network that learns in the background, drawings centred as its data are, and what the page gets."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pytest

import mlkit
from mlkit import nn
from mlkit.data import digits
from mlkit_widgets.digit_pad import DigitPad, network
from mlkit_widgets.digit_pad.network import INK, centre, enlarge, find_size, run, train_digits


@pytest.fixture(scope="module")
def trained() -> Any:
    return train_digits(epochs=12)


class Wide(nn.Module):
    """Takes 28 x 28 alone; has one layer of each kind that is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 40, 3)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(40 * 26 * 26, 3)

    def forward(self, x: Any) -> Any:
        return self.head(self.drop(self.conv(x)).flatten(1))


def pen(*places: tuple[float, float], radius: float = 3.0) -> np.ndarray:
    """A drawing of lines from place to place (x, y), as the page draws them."""
    ink, (y, x) = np.zeros((INK, INK)), np.mgrid[:INK, :INK]
    for (x0, y0), (x1, y1) in zip(places, places[1:]):
        along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / max(1e-9, (x1 - x0) ** 2 + (y1 - y0) ** 2)
        along = along.clip(0, 1)
        distance = np.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0))
        ink = np.maximum(ink, 255 * (radius + 0.5 - distance).clip(0, 1))
    return np.rint(ink).astype(np.uint8)


DRAWN = {
    1: pen((22, 18), (30, 10), (30, 46)),
    2: pen((14, 18), (20, 10), (34, 10), (40, 18), (36, 26), (14, 46), (44, 46)),
    4: pen((32, 48), (32, 10), (12, 34), (44, 34)),
    5: pen((40, 10), (18, 10), (16, 26), (32, 24), (42, 34), (36, 46), (14, 46)),
    7: pen((14, 12), (42, 12), (24, 46)),
}


def test_it_learns_the_digits_and_reads_drawn_ones(trained: Any) -> None:
    model, accuracy = trained
    assert accuracy >= 0.93
    for digit, ink in DRAWN.items():
        for moved in (ink, np.roll(ink, (4, -3), (0, 1)), ink[::2, ::2].repeat(1, 0)):  # moved; and half as large
            whole = np.zeros((INK, INK), np.uint8)
            whole[: moved.shape[0], : moved.shape[1]] = moved
            assert run(model, centre(whole, 8))[0].argmax() == digit


def test_the_way_through_the_drawing_keeps_what_test_images_are(trained: Any) -> None:
    model, _ = trained
    test = digits(train=False)
    images, targets = test.images.numpy()[:100, 0], test.targets.numpy()[:100]
    told = [int(run(model, centre(enlarge(image), 8))[0].argmax()) for image in images]
    assert np.mean(np.array(told) == targets) >= 0.9


def test_centring_is_that_of_mnist() -> None:
    ink = pen((5, 5), (5, 30), (15, 30))
    image = centre(ink, 28)
    rows, columns = np.flatnonzero(image.max(axis=1) > 0.1), np.flatnonzero(image.max(axis=0) > 0.1)
    assert rows[-1] - rows[0] + 1 == pytest.approx(20, abs=1), "the longer side is 20 of 28 dots"
    assert columns[-1] - columns[0] + 1 < 15, "proportions are kept"
    y, x = np.mgrid[:28, :28]
    assert ((image * y).sum() / image.sum(), (image * x).sum() / image.sum()) == pytest.approx((13.5, 13.5), abs=0.3)
    assert np.allclose(image, centre(np.roll(ink, (12, 20), (0, 1)), 28), atol=1e-6), (
        "where it was drawn does not matter"
    )
    small = centre(ink, 8)
    assert small[0].max() > 0.2 and small[7].max() > 0.2
    assert not centre(np.zeros((INK, INK), np.uint8), 28).any()


def test_a_given_network_is_looked_at_and_left_as_it_was() -> None:
    model = Wide()
    assert find_size(model) == 28
    model.train()
    image = np.random.default_rng(0).random((28, 28)).astype(np.float32)
    before = mlkit.get_rng_state().tolist()
    odds, layers = run(model, image)
    assert model.training and mlkit.get_rng_state().tolist() == before
    assert odds.sum() == pytest.approx(1) and odds.shape == (3,)
    assert [(layer["title"], layer["path"], layer["shape"], layer["values"].shape) for layer in layers] == [
        ("Conv2d", "conv", [40, 26, 26], (network.MOST_CHANNELS, 26, 26)),
        ("Linear", "head", [3], (1, 1, 3)),
    ]
    model.eval()
    with mlkit.no_grad():
        expected = model(mlkit.tensor((image - 0.5) / 0.25)[None, None]).softmax(dim=1)
    assert run(model, image, (0.5, 0.25))[0] == pytest.approx(expected.numpy()[0], abs=1e-5)
    assert not model.conv._forward_hooks, "no hook stays"


@pytest.mark.parametrize("model", [nn.Linear(5, 2), nn.Conv2d(1, 2, 3), lambda x: x.sum()])
def test_a_network_that_does_not_fit_is_refused_in_words(model: Any) -> None:
    with pytest.raises(ValueError, match=r"DigitPad\(model, size="):
        find_size(model)


def test_the_page_draws_and_gets_the_answer_with_every_layer(connect: Any, trained: Any) -> None:
    page = connect(lambda: DigitPad(trained[0]))
    page.say(kind="sync")
    (state,) = page.take("state")
    assert state["stage"] == "ready" and state["odds"].shape == (0,) and len(state["layers"]) == 9
    assert state["classes"] == [str(digit) for digit in range(10)]
    page.say(kind="clear", id=1)
    page.widget._on_custom_message(page.widget, {"kind": "ink", "from": 5, "ink": {"$array": 0, "dtype": "uint8",
                                   "shape": [INK, INK]}}, [DRAWN[7].tobytes()])  # fmt: skip
    page.widget._tick()
    state = page.take("state")[-1]
    assert state["odds"].argmax() == 7 and state["from"] == 5 and (state["ink"] == DRAWN[7]).all()
    titles = [layer["title"] for layer in state["layers"]]
    assert titles.count("Conv2d") == 2 and titles[-1] == "Linear" and "Flatten" not in titles
    assert state["layers"][0]["values"].shape == (12, 8, 8)
    page.widget._tick()
    assert page.take("state") == [], "nothing has changed"
    assert page.widget._picture, "the pen rests: the picture of a saved notebook is renewed"
    for message in ({"kind": "ink", "ink": 3}, {"kind": "example", "digit": 11}, {"kind": "sing"}):
        page.say(**message)
        assert page.take("reply")[-1]["ok"] is False


def test_examples_are_the_very_test_images(connect: Any, trained: Any) -> None:
    pad = connect(lambda: DigitPad(trained[0])).widget
    assert pad.prediction is None
    test = digits(train=False)
    threes = test.images.numpy()[test.targets.numpy() == 3, 0]
    pad.example(3)
    assert (pad.image == threes[0]).all() and pad.drawing.shape == (INK, INK)
    pad.example(3)
    assert (pad.image == threes[1]).all() and pad.prediction == "3"
    pad.clear()
    assert pad.prediction is None and not pad.drawing.any()
    pad.drawing = DRAWN[4]
    assert pad.prediction == "4"
    with pytest.raises(ValueError, match="0 to 9"):
        pad.example(10)
    with pytest.raises(ValueError, match="shape"):
        pad.drawing = np.zeros((3, 3))


def test_without_a_network_one_is_trained_while_the_page_sees_how_far(connect: Any) -> None:
    page = connect(lambda: DigitPad(epochs=2))
    page.say(kind="sync")
    pad = page.widget.wait(120)
    page.widget._tick()
    states = page.take("state")
    assert states[0]["stage"] == "training" and 0 <= states[0]["share"] < 1
    assert states[-1]["stage"] == "ready" and states[-1]["accuracy"] == pad.accuracy > 0.5
    pad.example(0)
    assert len(pad.probabilities) == 10


def test_a_training_that_fails_says_why(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise OSError("no digits")

    monkeypatch.setattr("mlkit_widgets.digit_pad.widget.train_digits", broken)
    page = connect(DigitPad)
    with pytest.raises(RuntimeError, match="OSError: no digits"):
        page.widget.wait(60)
    page.say(kind="sync")
    assert page.take("state")[-1]["stage"] == "failed"


def test_the_still_picture_shows_the_answer_and_escapes_names(connect: Any) -> None:
    pad = connect(lambda: DigitPad(Wide(), classes=["<script>", "b & c", "x"])).widget
    pad.drawing = DRAWN[2]
    picture = pad._draw()
    root = ElementTree.fromstring(picture)
    assert root.get("aria-label", "").startswith("Digit pad: ")
    assert "<script" not in picture and picture.count("<image") == 2 + 12
    assert pad.prediction in ("<script>", "b & c", "x")
