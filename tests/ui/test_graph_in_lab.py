"""GraphInspector in JupyterLab: open, read, click, search, all of it by keyboard too."""

from __future__ import annotations

from typing import Any

import pytest
from helpers import Notebook, write_notebook
from playwright.sync_api import Locator, Page, expect

CELL = """
import mlkit
from mlkit import nn
from mlkit.widgets import GraphInspector
mlkit.manual_seed(0)
features = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
model = nn.Sequential(features, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 10))
before = {name: value.clone() for name, value in model.state_dict().items()}
GraphInspector(model, mlkit.rand(2, 1, 8, 8))
"""
CHECK = "print(all((model.state_dict()[name] == value).all().item() for name, value in before.items()), model.training)"


@pytest.fixture
def graph(page: Page, lab: Any) -> Any:
    write_notebook(lab.folder / "graph.ipynb", [CELL, CHECK])
    book = Notebook(page, lab.url, "graph.ipynb")
    book.run_all()
    book.wait_run(1)
    assert book.text(1).split() == ["True", "True"], "looking must not change the model"
    root = page.locator(".mlkit-graph")
    expect(root).to_be_visible()
    yield root
    page.evaluate("async () => { await jupyterapp.serviceManager.sessions.shutdownAll(); }")


def node(graph: Locator, name: str) -> Locator:
    return graph.locator(f"[data-node][aria-label^='{name}']")


def test_modules_open_and_close_and_shapes_are_on_the_edges(graph: Locator) -> None:
    features = node(graph, "0, Sequential, output 2×4×8×8")
    expect(features).to_have_attribute("aria-expanded", "false")
    expect(graph.locator(".wire text", has_text="2×1×8×8").first).to_be_visible()
    features.dblclick()
    expect(features).to_have_attribute("aria-expanded", "true")
    expect(node(graph, "0.0, Conv2d, output 2×4×8×8")).to_be_visible()
    node(graph, "0.0, Conv2d").locator(".toggle").click()
    expect(node(graph, "conv2d in 0.0, output 2×4×8×8")).to_be_visible()
    graph.get_by_role("button", name="Collapse all").click()
    expect(node(graph, "0.0, Conv2d")).to_have_count(0)


def test_a_click_shows_the_tensor_its_numbers_and_where_it_comes_from(graph: Locator) -> None:
    graph.get_by_role("button", name="Expand all").click()
    node(graph, "conv2d in 0.0").click()
    tensor = graph.locator(".tensor[data-ready='true']")
    expect(tensor).to_be_visible()
    expect(tensor.locator(".html")).not_to_be_empty()
    expect(tensor.get_by_text("mean", exact=True).first).to_be_visible()
    weight = graph.get_by_role("button", name="0.0.weight")
    expect(weight).to_contain_text("4×1×3×3 float32")
    weight.click()
    expect(graph.locator(".tensor[data-ready='true'] .subtitle")).to_contain_text("0.0.weight")
    expect(graph.locator(".source")).to_contain_text("line")


def test_by_keyboard_alone(page: Page, graph: Locator) -> None:
    node(graph, "0, Sequential").focus()
    page.keyboard.press("Enter")
    expect(node(graph, "0, Sequential")).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowDown")
    expect(node(graph, "0.0, Conv2d")).to_be_focused()
    page.keyboard.press("Escape")
    expect(node(graph, "0, Sequential")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    expect(node(graph, "1, MaxPool2d")).to_be_focused()
    expect(graph.locator(".details .chosen")).to_contain_text("MaxPool2d")
    graph.get_by_label("Search modules and operations").focus()
    page.keyboard.type("batchnorm")
    page.keyboard.press("Enter")
    expect(node(graph, "0.1, BatchNorm2d")).to_have_attribute("data-selected", "true")


def test_zoom_fit_and_drag(page: Page, graph: Locator) -> None:
    def scale() -> float:
        transform = graph.locator("svg > g").get_attribute("transform") or ""
        return float(transform.rsplit("scale(", 1)[1].rstrip(")"))

    first = scale()
    graph.get_by_role("button", name="Zoom in").click()
    assert scale() > first
    graph.get_by_role("button", name="Fit").click()
    assert scale() == pytest.approx(first)
    box = graph.locator(".stage").bounding_box()
    assert box
    before = node(graph, "1, MaxPool2d").bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 80, box["y"] + 50, steps=4)
    page.mouse.up()
    after = node(graph, "1, MaxPool2d").bounding_box()
    assert before and after
    assert (after["x"] - before["x"], after["y"] - before["y"]) == pytest.approx((60, 30), abs=1)
