"""GraphInspector without a browser: what it accepts, what it answers, and its still picture."""

from __future__ import annotations

import json
import sys
import types
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pytest
from graphs import small_cnn

import mlkit
from mlkit import nn
from mlkit_widgets.graph_inspector import GraphInspector
from mlkit_widgets.graph_inspector.picture import draw
from mlkit_widgets.graph_inspector.pictures import plane, thumbnail
from mlkit_widgets.graph_inspector.statistics import statistics


class Recorded:
    """A recorded graph that kept its tensors."""

    def to_dict(self) -> dict[str, Any]:
        return small_cnn()

    def value(self, name: str) -> np.ndarray:
        return {"v0": np.array([[1.0, 0.0], [np.nan, 3.0]])}[name]


def test_a_document_is_shown_with_the_modules_asked_for_open(connect: Any) -> None:
    view = connect(lambda: GraphInspector(small_cnn(), expand=["features"]))
    assert view.widget.expanded == ["features"]
    assert "7 operations in 6 modules, 12,730 parameters" in view.widget._describe()


def test_a_tensor_is_shown_when_the_page_asks(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rich = types.ModuleType("mlkit.core.rich")
    rich.repr_html = lambda value: f"<b>{value.shape}</b>"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlkit.core.rich", rich)
    view = connect(lambda: GraphInspector(Recorded()))
    view.say(kind="tensor", id=3, value="v0")
    answer, reply = view.take()
    assert answer["html"] == "<b>(2, 2)</b>" and answer["statistics"]["NaN"] == 1
    assert reply == {"kind": "reply", "ok": True, "id": 3}
    view.say(kind="tensor", id=4, value="v99")
    assert "keep=True" in view.take()[0]["missing"]


def test_a_document_alone_has_no_tensors_and_says_so(connect: Any) -> None:
    view = connect(lambda: GraphInspector(small_cnn()))
    view.say(kind="tensor", id=1, value="v0")
    assert "no numbers" in view.take()[0]["missing"]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        ((5,), {}, TypeError, "got int"),
        ((len,), {}, TypeError, "pass its inputs"),
        (({"format": "onnx"},), {}, ValueError, "'onnx'"),
        (({**small_cnn(), "version": 9},), {}, ValueError, "version 9"),
        ((small_cnn(), 1), {}, TypeError, "takes no inputs"),
        ((small_cnn(),), {"expand": ["nowhere"]}, ValueError, "'nowhere'.*features"),
        ((small_cnn(),), {"height": 10}, ValueError, "at least 260"),
    ],
)
def test_what_is_not_a_graph_is_refused_in_words(
    connect: Any, arguments: tuple[Any, ...], options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        connect(lambda: GraphInspector(*arguments, **options))


@pytest.mark.parametrize("open_paths", [[], ["features"], ["features", "features.0", "head"]])
def test_the_still_picture_shows_what_is_open_with_shapes(open_paths: list[str]) -> None:
    graph = small_cnn()
    graph["name"] = "Net <b>"
    svg = draw(graph, open_paths)
    words = "".join(ElementTree.fromstring(svg).itertext())
    assert "Net <b>" in words and "64×1×8×8" in words and "images" in words
    assert ("conv2d" in words) == ("features.0" in open_paths)
    assert ("Linear" in words) and ("64×10" in words)


def test_a_loop_between_modules_is_drawn_too() -> None:
    graph = small_cnn()
    graph["nodes"][2]["module"] = "features.0"  # the same module called again later
    ElementTree.fromstring(draw(graph, ["features"]))


def test_opening_renews_the_picture(connect: Any) -> None:
    view = connect(lambda: GraphInspector(small_cnn()))
    view.widget.expanded = ["head"]
    assert "matmul" in view.widget._picture


def test_statistics_name_what_is_wrong() -> None:
    facts = statistics(np.array([0.0, 2.0, np.nan, np.inf]))
    assert facts == {"min": 0.0, "max": 2.0, "mean": 1.0, "std": 1.0, "zeros": "25.0%", "NaN": 1, "infinite": 1}
    assert statistics(np.zeros((0, 3))) == {"elements": 0}
    assert statistics(np.array([True, False])) == {"true": "50.0%"}
    assert statistics(np.array([np.nan])) == {"zeros": "0.0%", "NaN": 1}


# --- a real run -------------------------------------------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.body = nn.Sequential(*[nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()) for _ in range(4)])
        self.tail = nn.Sequential(nn.MaxPool2d(2), *[nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU()) for _ in range(3)])
        self.head = nn.Linear(64, 3)

    def forward(self, x: Any) -> Any:
        return self.head(self.tail(self.body(self.stem(x))).flatten(1))


@pytest.fixture
def view(connect: Any) -> Any:
    mlkit.manual_seed(0)
    return connect(lambda: GraphInspector(Net(), mlkit.randn(2, 1, 8, 8)))


def test_runs_of_like_blocks_have_a_place_of_their_own(view: Any) -> None:
    modules = {module["path"]: module for module in view.widget._graph["modules"]}
    assert modules["body"]["fold"] == {"type": "Sequential", "times": 4, "first": "body.0", "last": "body.3"}
    assert modules["body.2"]["place"] == "body.2", "the container itself is the fold"
    assert modules["tail.2"]["place"] == "tail.1–3.2"
    assert modules["tail.1 to tail.3"]["fold"]["times"] == 3
    nodes = {node["place"] for node in view.widget._graph["nodes"] if node["module"] == "tail.2.0"}
    assert nodes == {"tail.1–3.2.0"}


def test_expand_opens_what_is_around(connect: Any) -> None:
    view = connect(lambda: GraphInspector(Net(), mlkit.randn(2, 1, 8, 8), expand=["tail.2.0"]))
    assert view.widget.expanded == ["tail", "tail.1–3", "tail.1–3.2", "tail.1–3.2.0"]


def test_the_page_asks_for_a_plane_and_gets_its_numbers(view: Any) -> None:
    x = view.widget.inspection.value("stem").numpy()
    key = view.widget.inspection.find("stem")
    view.say(kind="plane", value=key, which="value", lead=[1, 2])
    plane = view.take("plane")[0]
    assert (plane["rows"], plane["columns"], plane["lead"], plane["asked"]) == (8, 8, [1, 2], "1,2")
    assert plane["data"] == pytest.approx(x[1, 2].reshape(-1))
    assert plane["low"] == pytest.approx(x[1, 2].min())
    view.say(kind="thumbs", values=[key, "v999"], which="value")
    images = view.take("thumbs")[0]["images"]
    assert images[key].startswith("data:image/png;base64,") and images["v999"] is None


@pytest.mark.parametrize("shape", [(), (5,), (3, 700), (2, 3, 4, 5)])
def test_a_plane_of_every_rank(shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    found = plane(array, [9, 9, 9])
    rows, columns = -(-found["rows"] // found["step"][0]), -(-found["columns"] // found["step"][1])
    assert len(found["data"]) == rows * columns and max(rows, columns) <= 160
    assert found["lead"] == ([1, 2] if len(shape) == 4 else []), "a place outside is brought inside"
    assert thumbnail(array) is not None
    assert thumbnail(np.zeros((0, 3))) is None


def test_the_page_asks_how_a_number_came_about(view: Any) -> None:
    key = view.widget.inspection.find("head")
    view.say(kind="explain", value=key, index=[1, 2], most=5)
    found = view.take("explain")[0]["found"]
    assert found["total"] == pytest.approx(found["number"], rel=1e-4) and len(found["terms"]["lines"]) == 5
    assert found["terms"]["count"] == 64
    view.say(kind="explain", value=key, index=[7, 2])
    assert "outside axis 0" in view.take("explain")[0]["missing"]


def test_gradients_come_as_a_trait_when_asked_for(view: Any) -> None:
    widget = view.widget
    assert widget._backward == {}
    view.say(kind="backward")
    assert widget._backward["of"] == "the sum of the output"
    assert widget._backward["order"][0] == widget._graph["nodes"][-1]["id"]
    key = widget.inspection.find("head")
    view.say(kind="tensor", value=key, which="gradient", id=1)
    answer = view.take("tensor")[0]
    assert answer["which"] == "gradient" and answer["html"]
    view.say(kind="plane", value=key, which="gradient", lead=[])
    assert set(view.take("plane")[0]["data"].tolist()) == {1.0}


def test_changes_are_tried_and_taken_back(view: Any) -> None:
    widget = view.widget
    key = widget.inspection.find("stem")
    widget.changes = [{"target": key, "channel": 1, "dim": 1, "scale": 0}]
    effect = widget._effect
    assert effect["relative"][key] > 0 and "of its size" in effect["words"]
    view.say(kind="plane", value=key, which="changed", lead=[0, 1])
    assert not view.take("plane")[0]["data"].any()
    view.say(kind="tensor", value=widget.inspection.find("head"), which="changed", id=2)
    assert view.take("tensor")[0]["html"]
    widget.changes = [{"target": key, "channel": 99, "scale": 0}]
    assert "outside axis 1" in widget._effect["error"]
    widget.reset()
    assert widget._effect == {} and widget._changed is None
    found = widget.what_if(target="head.bias", add=1.0)
    assert widget.changes == [{"target": "head.bias", "add": 1.0}] and found.changed


def test_explain_in_python_shows_it_on_the_page(view: Any) -> None:
    found = view.widget.explain("body.2", (0, 1, 3, 3))
    assert view.widget.trace == [{"value": found.value, "index": [0, 1, 3, 3]}]
    assert view.widget.selected.startswith("n:") and view.widget.expanded == ["body", "body.2", "body.2.1"]


def test_a_forward_that_raises_is_shown_with_its_card(connect: Any) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Sequential(nn.ReLU(), nn.Linear(9, 2)))
    view = connect(lambda: GraphInspector(model, mlkit.ones(3, 4)))
    widget = view.widget
    assert "ShapeError" in widget._error and "then ShapeError" in widget._describe()
    assert widget.selected == f"n:{widget._graph['failed']}" and "1.1" in widget.expanded
    picture = "".join(ElementTree.fromstring(widget._draw()).itertext())
    assert "✕ ShapeError" in picture and "linear" in picture


def test_the_first_nan_is_selected(connect: Any) -> None:
    view = connect(lambda: GraphInspector(lambda x: (mlkit.log(x) * 2).sum(), mlkit.tensor([-1.0, 1.0])))
    assert view.widget.selected == "n:n0" and "the first NaN comes from log" in view.widget._describe()
    assert "⚠ the first NaN" in view.widget._draw()


def test_a_loss_is_shown_with_the_names_of_its_model(connect: Any) -> None:
    from mlkit.inspection import inspect

    net = Net()
    loss = net(mlkit.randn(2, 1, 8, 8)).square().mean()
    view = connect(lambda: GraphInspector(loss))
    assert {node["op"] for node in view.widget._graph["nodes"]} >= {"conv2d", "linear", "mean"}
    named = connect(lambda: GraphInspector(inspect(loss, model=net)))
    assert "head.weight" in {value["name"] for value in named.widget._graph["values"]}
    named.say(kind="backward")
    assert named.widget._backward["of"] == "the loss"


def test_a_graph_of_the_compiler_has_its_arithmetic_too(connect: Any) -> None:
    from mlkit.compiler import trace

    graph = trace(nn.Linear(3, 2), mlkit.ones(1, 3), keep=True)
    view = connect(lambda: GraphInspector(graph))
    assert view.widget.explain("output", (0, 1)).terms is not None


def test_files(view: Any, tmp_path: Any) -> None:
    from mlkit.inspection import load

    view.widget.save(tmp_path / "net.json")
    again = load(tmp_path / "net.json")
    assert [node["op"] for node in again["nodes"]] == [node["op"] for node in view.widget._graph["nodes"]]
    view.widget.save(tmp_path / "net.svg")
    ElementTree.parse(tmp_path / "net.svg")
    with pytest.raises(ValueError, match=r"writes \.json and \.svg"):
        view.widget.save(tmp_path / "net.png")
    view.say(kind="save", format="json", id=4)
    assert json.loads(view.take("save")[0]["text"])["format"] == "mlkit.graph"


def test_a_document_has_no_numbers_to_explain(connect: Any) -> None:
    view = connect(lambda: GraphInspector(small_cnn()))
    with pytest.raises(ValueError, match="shapes and no numbers"):
        view.widget.explain("head", (0, 0))
    view.say(kind="explain", value="v0", index=[0], id=1)
    assert "no numbers" in view.take("explain")[0]["missing"]
    view.say(kind="backward")
    assert "no numbers" in view.widget._backward["error"]
    view.widget.changes = [{"target": "v0", "set": 1}]
    assert "no numbers" in view.widget._effect["error"]
