"""GraphInspector in JupyterLab: open, read, step, trace a number, try a change, save; by mouse, touch and keyboard."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from helpers import Notebook, axe, wait, write_notebook
from playwright.sync_api import Locator, Page, expect

CELL = """
import mlkit
from mlkit import nn
from mlkit.widgets import GraphInspector
mlkit.manual_seed(0)
features = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
model = nn.Sequential(features, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 10))
before = {name: value.clone() for name, value in model.state_dict().items()}
seen = GraphInspector(model, mlkit.rand(2, 1, 8, 8))
seen
"""
CHECK = "print(all((model.state_dict()[name] == value).all().item() for name, value in before.items()), model.training)"
ASK = "print(seen.inspection.explain('0.0', (0, 1, 4, 4)).total, seen.trace, seen.changes, seen.step)"


AGAIN = """
seen.reset()
for name, value in {"selected": "", "trace": [], "step": -1, "direction": "forward", "show": "", "expanded": []}.items():
    setattr(seen, name, value)
print("as at first")
"""


@pytest.fixture(scope="module")
def book(browser: Any, browser_context_args: dict[str, Any], lab: Any) -> Any:
    """One notebook for all tests of this file: what a test has changed is put back for the next."""
    context = browser.new_context(**browser_context_args)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    write_notebook(lab.folder / "graph.ipynb", [CELL, CHECK, ASK, AGAIN])
    book = Notebook(page, lab.url, "graph.ipynb")
    page.evaluate("() => jupyterapp.shell.collapseLeft()")
    book.run_all()
    book.wait_run(3, 120)
    assert book.text(1).split() == ["True", "True"], "looking must not change the model"
    expect(page.locator(".mlkit-graph")).to_be_visible()
    yield book
    page.evaluate("async () => { await jupyterapp.serviceManager.sessions.shutdownAll(); }")
    context.close()
    assert problems == [], "the page has raised errors"


@pytest.fixture
def page(book: Any) -> Page:
    return book.page


@pytest.fixture
def graph(page: Page, book: Any) -> Any:
    found = page.locator(".mlkit-graph")
    yield found
    before = book.cells()[3].get("execution_count")
    book.run(3)
    book.wait(lambda: book.cells()[3].get("execution_count") not in (before, None), "the widget to be as at first")
    expect(found).to_have_attribute("data-items", "6")
    book.page.wait_for_timeout(500)  # what else was put back may still be on its way
    found.get_by_role("button", name="Fit").click()


def node(graph: Locator, name: str) -> Locator:
    return graph.locator(f"[data-node][aria-label^='{name}']")


def scale(graph: Locator) -> float:
    return float(graph.locator(".stage").get_attribute("data-scale") or 0)


def test_it_opens_with_every_box_in_sight(graph: Locator) -> None:
    stage = graph.locator(".stage").bounding_box()
    assert stage
    boxes = graph.locator("[data-node]")
    assert boxes.count() == 4
    for index in range(boxes.count()):
        box = boxes.nth(index).bounding_box()
        assert box and box["x"] >= stage["x"] and box["x"] + box["width"] <= stage["x"] + stage["width"]
        assert box["y"] >= stage["y"] and box["y"] + box["height"] <= stage["y"] + stage["height"]


def test_modules_open_and_close_and_shapes_are_on_the_edges(graph: Locator) -> None:
    features = node(graph, "0, Sequential, output 2×4×8×8")
    expect(features).to_have_attribute("aria-expanded", "false")
    expect(graph.locator("text.wire", has_text="2×1×8×8").first).to_be_visible()
    before = features.bounding_box()
    features.dblclick()
    expect(features).to_have_attribute("aria-expanded", "true")
    after = features.bounding_box()
    assert before and after
    assert (after["x"], after["y"]) == pytest.approx((before["x"], before["y"]), abs=2), "what is opened stays in place"
    graph.get_by_role("button", name="Fit").click()
    expect(node(graph, "0.0, Conv2d, output 2×4×8×8")).to_be_visible()
    node(graph, "0.0, Conv2d").locator(".toggle").click()
    graph.get_by_role("button", name="Fit").click()
    expect(node(graph, "conv2d in 0.0, output 2×4×8×8")).to_be_visible()
    graph.get_by_role("button", name="Collapse all").click()
    expect(node(graph, "0.0, Conv2d")).to_have_count(0)


def test_a_click_shows_the_tensor_its_numbers_and_where_it_comes_from(graph: Locator) -> None:
    reveal(graph, "conv2d")
    tensor = graph.locator(".tensor[data-ready='true']")
    expect(tensor).to_be_visible()
    expect(tensor.locator(".html")).not_to_be_empty()
    expect(tensor.get_by_text("mean", exact=True).first).to_be_visible()
    expect(graph.locator(".formula")).to_contain_text("sum over c, k of input")
    weight = graph.get_by_role("button", name="0.0.weight")
    expect(weight).to_contain_text("4×1×3×3 float32")
    weight.click()
    expect(graph.locator(".tensor[data-ready='true'] .subtitle").first).to_contain_text("0.0.weight")
    expect(graph.locator(".source")).to_contain_text("cell [1], line 8")


def reveal(graph: Locator, words: str) -> None:
    """Search for an operation and go to the last match, which is the operation itself."""
    field = graph.get_by_label("Search modules and operations")
    field.fill(words)
    hits = graph.locator(".hits")
    expect(hits).to_contain_text("match")
    for _ in range(int((hits.text_content() or "1").split()[0])):
        field.press("Enter")
    field.fill("")


def test_by_keyboard_alone(page: Page, graph: Locator, book: Any) -> None:
    cells = len(book.cells())
    node(graph, "0, Sequential").focus()
    page.keyboard.press("Enter")
    expect(node(graph, "0, Sequential")).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("0")
    page.keyboard.press("ArrowDown")
    expect(node(graph, "0.0, Conv2d")).to_be_focused()
    page.keyboard.press("Escape")
    expect(node(graph, "0, Sequential")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    expect(node(graph, "1, MaxPool2d")).to_be_focused()
    expect(graph.locator(".details .chosen")).to_contain_text("MaxPool2d")
    page.keyboard.press("End")
    expect(node(graph, "3, Linear")).to_be_focused()
    page.keyboard.press("Home")
    first = scale(graph)
    page.keyboard.press("+")
    assert scale(graph) > first
    page.keyboard.press("b")  # a notebook command, which must not be run from here
    assert len(book.cells()) == cells
    graph.get_by_label("Search modules and operations").focus()
    page.keyboard.type("batchnorm")
    page.keyboard.press("Enter")
    expect(node(graph, "0.1, BatchNorm2d")).to_have_attribute("data-selected", "true")


def test_zoom_fit_and_drag(page: Page, graph: Locator) -> None:
    first = scale(graph)
    graph.get_by_role("button", name="Zoom in").click()
    assert scale(graph) > first
    graph.get_by_role("button", name="Fit").click()
    assert scale(graph) == pytest.approx(first)
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
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    wait(page, lambda: scale(graph) > first * 1.2, "the wheel to zoom")
    expect(graph.locator(".minimap")).to_be_visible()
    far = node(graph, "1, MaxPool2d").bounding_box()
    graph.locator(".minimap").click(position={"x": 74, "y": 100})
    wait(page, lambda: node(graph, "1, MaxPool2d").bounding_box() != far, "the overview to move the view")


def test_two_fingers_zoom(page: Page, graph: Locator) -> None:
    first = scale(graph)
    graph.locator(".stage").evaluate(
        """stage => { const box = stage.getBoundingClientRect();
        const fire = (type, id, x, y) => stage.dispatchEvent(new PointerEvent(type, {pointerId: id, pointerType: 'touch',
          button: type === 'pointermove' ? -1 : 0, buttons: 1, bubbles: true, clientX: box.left + x, clientY: box.top + y}));
        stage.setPointerCapture = () => {};
        fire('pointerdown', 11, 100, 100); fire('pointerdown', 12, 140, 100);
        fire('pointermove', 12, 180, 100); fire('pointerup', 11, 100, 100); fire('pointerup', 12, 180, 100); }"""
    )
    wait(page, lambda: scale(graph) == pytest.approx(2 * first, rel=0.01), "the pinch to zoom")


def test_stepping_through_the_run_and_back(page: Page, graph: Locator, book: Any) -> None:
    graph.get_by_role("button", name="To the start").click()
    expect(node(graph, "1, MaxPool2d")).to_have_attribute("data-state", "todo")
    graph.get_by_role("button", name="Next", exact=True).click()
    expect(graph.locator(".position")).to_contain_text("1 / 6 conv2d in 0.0 → 2×4×8×8")
    expect(node(graph, "0, Sequential")).to_have_attribute("data-state", "now")
    expect(graph.locator(".details .chosen")).to_contain_text("conv2d")
    slider = graph.get_by_label("Operations that have run")
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(graph.locator(".position")).to_contain_text("2 / 6 batch_norm_eval")
    page.keyboard.press("End")
    expect(graph.locator(".position")).to_contain_text("6 / 6")
    graph.get_by_role("button", name="Backward", exact=True).click()
    expect(graph.get_by_text("Working out the gradients")).to_have_count(0, timeout=60_000)
    expect(graph.locator(".position")).to_contain_text("12 / 12")
    expect(graph.locator(".tensor[data-which='gradient'][data-ready='true'] .html")).not_to_be_empty()
    graph.get_by_role("button", name="Previous", exact=True).click()
    expect(graph.locator(".position")).to_contain_text("11 / 12 gradient of batch_norm_eval in 0.1")
    graph.get_by_role("button", name="Play", exact=True).click()
    expect(graph.locator(".position")).to_contain_text("12 / 12", timeout=10_000)
    graph.get_by_role("button", name="Forward", exact=True).click()
    book.run(1)
    book.wait(lambda: book.text(1).split() == ["True", "True"], "the model to be as it was")


def test_pictures_times_and_sizes_on_the_boxes(graph: Locator) -> None:
    shows = graph.get_by_label("Boxes show")
    node(graph, "0, Sequential").dblclick()
    node(graph, "0.0, Conv2d").dblclick()
    shows.select_option("picture")
    graph.get_by_role("button", name="Fit").click()
    graph.get_by_role("button", name="Zoom in").click()
    expect(node(graph, "conv2d in 0.0").locator("image")).to_have_attribute("href", re.compile("^data:image/png"))
    shows.select_option("parameters")
    expect(node(graph, "3, Linear").locator(".sub").first).to_have_text("650")
    shows.select_option("time")
    expect(graph.locator(".top").first).to_contain_text("altogether")


def test_one_number_is_traced_back_to_the_input(page: Page, graph: Locator, book: Any) -> None:
    reveal(graph, "conv2d")
    graph.get_by_label("Index", exact=True).fill("0, 1, 4, 4")
    graph.get_by_role("button", name="Explain").click()
    explained = graph.locator(".explained[data-ready='true']")
    expect(explained).to_contain_text("conv2d in 0.0 (Conv2d): output[0, 1, 4, 4]")
    total = float(book.text(2).split()[0])
    assert float(explained.get_attribute("data-total") or "nan") == pytest.approx(total)
    expect(explained.locator(".term")).to_have_count(9)
    expect(explained.locator(".made-from .patch rect")).to_have_count(3)
    expect(explained.locator(".made-from code").first).to_have_text("[0, 0, 3:6, 3:6]")
    page.keyboard.press("Escape")
    pixels = graph.locator(".picker .pixels")
    pixels.focus()
    page.keyboard.press("ArrowRight")
    expect(graph.locator(".explained[data-ready='true']")).to_contain_text("output[0, 1, 4, 5]")
    explained.locator(".term .link").first.click()
    expect(graph.locator(".explained[data-ready='true']")).to_contain_text("an input: given, not computed.")
    graph.get_by_role("button", name="← Back").click()
    expect(graph.locator(".explained[data-ready='true']")).to_contain_text("output[0, 1, 4, 5]")
    graph.get_by_label("Index", exact=True).fill("0, 1, 9, 4")
    graph.get_by_role("button", name="Explain").click()
    expect(graph.get_by_role("alert")).to_have_text("9 is outside axis 2, which has 8 places.")
    # a way back through the layers: from the last layer to what made its input
    graph.get_by_role("button", name="Close the explanation").click()
    reveal(graph, "linear")
    graph.get_by_label("Index", exact=True).fill("1, 3")
    graph.get_by_role("button", name="Explain").click()
    expect(graph.locator(".explained .rest")).to_contain_text("and 52 more")
    graph.get_by_role("button", name="and 52 more").click()
    expect(graph.locator(".explained .term")).to_have_count(64)
    graph.locator(".explained .term .link").first.click()
    expect(graph.locator(".explained[data-ready='true']")).to_contain_text("reshape in 2 (Flatten)")
    expect(graph.locator(".explained[data-ready='true']")).to_contain_text("moved from")
    expect(node(graph, "reshape in 2")).to_have_attribute("data-selected", "true")


def test_what_if_a_channel_were_zero(page: Page, graph: Locator, book: Any) -> None:
    reveal(graph, "conv2d")
    graph.get_by_label("What changes").select_option("channel")
    graph.get_by_label("Channel", exact=True).fill("2")
    graph.get_by_role("button", name="Try").click()
    banner = graph.locator(".banner.change")
    expect(banner).to_contain_text("conv2d in 0.0, channel 2: set to 0")
    expect(banner).to_contain_text("of its size", timeout=20_000)
    expect(node(graph, "conv2d in 0.0")).to_have_attribute("data-changed", "true")
    expect(graph.locator(".changed-by")).to_contain_text("changes by")
    expect(graph.locator(".tensor .beside")).to_contain_text("as it would be")
    graph.get_by_role("button", name="Show the output").click()
    expect(graph.locator(".details .chosen")).to_contain_text("linear")
    expect(graph.locator(".tensor .beside")).to_contain_text("as it was")
    book.save()
    page.reload()
    book.wait_ready()
    expect(graph).to_be_visible(timeout=30_000)
    expect(graph.locator(".banner.change")).to_contain_text("of its size", timeout=20_000)
    graph.get_by_role("button", name="Reset").click()
    expect(banner).to_have_count(0)
    expect(graph.locator("[data-changed]")).to_have_count(0)
    book.run(1)
    book.wait(lambda: book.text(1).split() == ["True", "True"], "the model to be as it was")


@pytest.mark.parametrize("form", ["svg", "png", "json"])
def test_the_graph_is_saved(page: Page, graph: Locator, form: str, tmp_path: Path) -> None:
    with page.expect_download() as waiting:
        graph.get_by_label("Save").select_option(form)
    path = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(path)
    if form == "json":
        assert path.name == "Sequential.mlgraph.json"
        assert json.loads(path.read_text("utf-8"))["format"] == "mlkit.graph"
    elif form == "svg":
        text = path.read_text("utf-8")
        assert "MaxPool2d" in text and "2×1×8×8" in text and "http" not in text.replace("http://www.w3.org", "")
    else:
        assert path.read_bytes().startswith(b"\x89PNG") and len(path.read_bytes()) > 5000


def test_it_can_be_read_by_everyone(page: Page, graph: Locator, book: Any) -> None:
    for theme in ("light", "dark"):
        book.theme(theme)
        expect(graph).to_have_attribute("data-theme", theme)
        assert axe(page, ".mlkit-graph") == []
    reveal(graph, "conv2d")
    expect(graph.locator(".tensor[data-ready='true']")).to_be_visible()
    graph.get_by_label("Index", exact=True).fill("0, 1, 4, 4")
    graph.get_by_role("button", name="Explain").click()
    expect(graph.locator(".explained[data-ready='true']")).to_be_visible()
    assert axe(page, ".mlkit-graph") == []
    book.theme("light")


TROUBLE = """
import mlkit
from mlkit import nn
from mlkit.widgets import GraphInspector
class Log(nn.Module):
    def forward(self, x):
        return mlkit.log(x - 10)
GraphInspector(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), Log()), mlkit.ones(3, 4))
"""
WRONG = """
model = nn.Sequential(nn.Linear(4, 8), nn.Sequential(nn.ReLU(), nn.Linear(9, 2)), nn.ReLU())
GraphInspector(model, mlkit.ones(3, 4))
"""


def test_an_error_and_a_nan_are_shown_where_they_came(page: Page, lab: Any) -> None:
    write_notebook(lab.folder / "trouble.ipynb", [TROUBLE, WRONG])
    book = Notebook(page, lab.url, "trouble.ipynb")
    book.run_all()
    book.wait_run(1, 120)
    first, second = page.locator(".mlkit-graph").nth(0), page.locator(".mlkit-graph").nth(1)
    expect(first.locator(".banner")).to_contain_text("The first NaN comes from log in 2 (cell [1], line 6).")
    expect(node(first, "log in 2")).to_have_attribute("data-trouble", "true")
    expect(second.locator(".banner")).to_contain_text("ShapeError in linear (1.1)")
    failed = node(second, "linear in 1.1")
    expect(failed).to_have_attribute("data-failed", "true")
    expect(second.locator(".details .mlkit-error")).to_contain_text("8 != 9")
    expect(node(second, "2, ReLU")).to_have_count(0)
    second.get_by_role("button", name="Collapse all").click()
    expect(node(second, "1, Sequential")).to_have_attribute("data-failed", "true")
    second.get_by_role("button", name="Show where").click()
    expect(failed).to_have_attribute("data-selected", "true")
    assert axe(page, ".mlkit-graph") == []
