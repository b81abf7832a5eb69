"""GraphInspector without a browser: what it accepts, what it answers, and its still picture."""

from __future__ import annotations

import sys
import types
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pytest
from graphs import small_cnn

from mlkit_widgets.graph_inspector import GraphInspector
from mlkit_widgets.graph_inspector.picture import draw
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
