"""The digit pad in JupyterLab and in Voila: drawn with the mouse, a finger and keys, answered while one draws."""

from __future__ import annotations

from typing import Any

import pytest
from helpers import Notebook, axe, wait, write_notebook
from playwright.sync_api import Locator, Page, expect

SLOW = 120_000
SEVEN = [(0.25, 0.2), (0.75, 0.2), (0.43, 0.82)]


def best(root: Locator) -> str:
    return root.get_attribute("data-best") or ""


def stroke(page: Page, root: Locator, places: list[tuple[float, float]]) -> None:
    pad = root.locator(".pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    assert box
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=12)
    page.mouse.up()


@pytest.fixture
def pad(page: Page, voila: Any, request: pytest.FixtureRequest) -> Locator:
    page.goto(f"{voila.url}/voila/render/dashboards/digits.ipynb{getattr(request, 'param', '')}", timeout=90_000)
    root = page.locator(".mlkit-digits")
    expect(root).to_be_visible(timeout=90_000)
    expect(root).to_have_attribute("data-stage", "ready", timeout=SLOW)
    return root


def test_in_voila_by_mouse_finger_and_keys(page: Page, pad: Locator) -> None:
    expect(pad.locator(".status")).to_contain_text("of 297 others right")
    stroke(page, pad, SEVEN)
    wait(page, lambda: best(pad) == "7", "a seven")
    expect(pad.locator("[data-layer='Conv2d'] canvas")).to_have_count(12 + 24)
    expect(pad.locator(".bars li[data-best='true'] .name")).to_have_text("7")
    pad.get_by_role("button", name="Clear").click()
    wait(page, lambda: best(pad) == "", "an empty pad")
    expect(pad.get_by_text("Draw a digit here")).to_be_visible()

    # A finger: Chromium's own touch events, as a screen sends them.
    box = pad.locator(".pad").bounding_box()
    assert box
    session = page.context.new_cdp_session(page)
    points = [{"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]} for x, y in SEVEN]
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": points[:1]})
    for one, two in zip(points, points[1:]):
        for share in (0.25, 0.5, 0.75, 1):
            point = {axis: one[axis] + share * (two[axis] - one[axis]) for axis in ("x", "y")}
            session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    wait(page, lambda: best(pad) == "7", "a seven by finger")

    pad.locator(".pad").focus()
    page.keyboard.press("Delete")
    wait(page, lambda: best(pad) == "", "an empty pad")
    for _ in range(4):
        page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    for _ in range(20):
        page.keyboard.press("ArrowDown")
    wait(page, lambda: best(pad) == "1", "a one by keys")
    expect(pad.locator(".help")).to_contain_text("Pen down")
    for digit in "360":
        page.keyboard.press(digit)
        wait(page, lambda d=digit: best(pad) == d, f"an example of {digit}")
    pad.get_by_role("button", name="Example of a 4").click()
    wait(page, lambda: best(pad) == "4", "an example of 4")


@pytest.mark.parametrize("pad", ["?theme=light", "?theme=dark"], indirect=True)
def test_nothing_to_complain_of_for_axe_nor_out_of_its_box(page: Page, pad: Locator) -> None:
    pad.get_by_role("button", name="Example of a 8").click()
    wait(page, lambda: best(pad) == "8", "an eight")
    assert axe(page, ".mlkit-digits") == []
    for width in (1280, 700):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(200)
        out = pad.evaluate("""root => { const edge = root.getBoundingClientRect().right + 1;
            return [...root.querySelectorAll('button, canvas, li, .head')]
                .filter(part => part.getBoundingClientRect().right > edge).map(part => part.outerHTML.slice(0, 80)); }""")
        assert out == []


CELLS = [
    "import mlkit\nfrom mlkit import nn\nfrom mlkit.widgets import DigitPad\nmlkit.manual_seed(0)\n"
    "model = nn.Sequential(nn.Flatten(), nn.Linear(784, 3))\n"
    "pad = DigitPad(model, classes=['<b>cat</b>', 'dog', 'owl'])\npad",
    "pad",
    "print(pad.prediction, pad.image.shape)",
]


def test_in_lab_a_network_of_ones_own_in_two_views_and_after_a_reload(page: Page, lab: Any) -> None:
    write_notebook(lab.folder / "digits.ipynb", CELLS)
    book = Notebook(page, lab.url, "digits.ipynb")
    try:
        book.run_all()
        book.wait_run(2)
        roots = page.locator(".mlkit-digits")
        expect(roots).to_have_count(2)
        first, second = roots.nth(0), roots.nth(1)
        expect(first).to_have_attribute("data-stage", "ready", timeout=SLOW)
        cells = len(book.cells())
        stroke(page, first, SEVEN)
        wait(page, lambda: best(first) and best(first) == best(second), "the same answer in both views")
        page.wait_for_timeout(1_000)  # for the answer to the end of the stroke
        page.keyboard.press("b")  # JupyterLab would add a cell
        assert len(book.cells()) == cells
        answer = best(first)
        expect(first.locator(".bars li[data-best='true'] .name")).to_have_text(answer)
        book.run(2)
        wait(page, lambda: answer in book.text(2), "the same answer in Python")
        wait(page, lambda: " with " in still(book), "the picture of the last drawing")
        book.save()
        page.reload()
        book.wait_ready()
        root = page.locator(".mlkit-digits").first
        expect(root).to_have_attribute("data-best", answer, timeout=SLOW)
    finally:
        page.evaluate("async () => { await jupyterapp.serviceManager.sessions.shutdownAll(); }")


def still(book: Notebook) -> str:
    return "".join(book.cells()[0]["outputs"][0]["data"].get("image/svg+xml", ""))
