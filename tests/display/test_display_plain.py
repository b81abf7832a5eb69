"""A display as words: every table and every picture's description, no wider than the terminal."""

import numpy as np
import pytest

import mlkit
from mlkit import display, metrics, nn, optim
from mlkit.data import digits
from mlkit.display import plain
from mlkit.display.markup import card, table


def test_tables_have_columns_and_pictures_their_words():
    html = card(
        "x", '<p class="head"><b>Net</b> two</p>',
        table([("a", "1"), ("long", "22")], ("name", "n"), numeric=(1,), caption="sizes"),
        '<figure><img src="data:," alt="a curve"><figcaption>not twice</figcaption></figure><p>end</p>',
    )  # fmt: skip
    lines = plain.of_html(html, 60).splitlines()
    assert lines == ["Net two", "sizes", "  name   n", "  a      1", "  long  22", "[a curve]", "end"]


@pytest.mark.parametrize("width", [30, 60, 100])
def test_nothing_is_wider_than_the_terminal(width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
    graph = mlkit.compiler.trace(net, mlkit.zeros(2, 4))
    for obj in (digits(train=False), optim.AdamW(net.parameters(), lr=0.1), graph, net.state_dict()):
        words = display.text(obj)
        assert words and max(map(len, words.splitlines())) <= width
        assert "{" not in words  # no stylesheet


def test_a_hostile_name_is_only_text(hostile):
    words = plain.of_html(f"<p>{hostile.replace('<', '&lt;')}</p>")
    assert "<script>alert(1)" in words


def test_ipython_shows_in_a_terminal_what_the_object_holds():
    matrix = metrics.ConfusionMatrix()
    matrix.update(mlkit.tensor(np.eye(3, dtype=np.float32)), mlkit.tensor([0, 1, 1]))
    words = matrix._repr_mimebundle_()["text/plain"].splitlines()
    assert words[0].startswith("ConfusionMatrix") and "2 of 3 on the diagonal (66.7 %)" in words
    rows = [line.split()[:4] for line in words[-3:]]
    assert rows == [["0", "1", "·", "·"], ["1", "·", "1", "1"], ["2", "·", "·", "·"]]
    assert "class balance: 0" in digits(train=False)._repr_mimebundle_()["text/plain"]


def test_a_tensors_and_a_models_text_stay_as_pytorch_prints_them():
    assert mlkit.ones(2)._repr_mimebundle_()["text/plain"] == "tensor([1., 1.])"
    net = nn.Linear(2, 3)
    assert net._repr_mimebundle_()["text/plain"] == repr(net) == "Linear(in_features=2, out_features=3, bias=True)"
