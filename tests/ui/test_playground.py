"""The playground in JupyterLab and in Voila: it learns before one's eyes, and its network is drawn and edited."""

from __future__ import annotations

import re
from typing import Any

import pytest
from helpers import Notebook, axe, wait, write_notebook
from playwright.sync_api import Locator, Page, expect

CELLS = [
    "from mlkit.widgets import Playground\nplayground = Playground('circles', layers=[4, 2])\nplayground",
    "playground",
]
ERRORS = ("Error displaying widget", "Loading widget")
SLOW = 60_000


def steps(root: Locator) -> int:
    return int(root.get_attribute("data-steps") or 0)


def blue(root: Locator, of: str) -> float:
    """Which part of a canvas is more blue than orange."""
    return float(
        root.locator(of).first.evaluate(
            """canvas => { const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            let blue = 0; for (let i = 0; i < data.length; i += 4) blue += data[i + 2] > data[i];
            return blue / (data.length / 4); }"""
        )
    )


@pytest.fixture
def lab_playground(page: Page, lab: Any) -> Any:
    write_notebook(lab.folder / "playground.ipynb", CELLS)
    book = Notebook(page, lab.url, "playground.ipynb")
    book.run_all()
    book.wait_run(1)
    root = page.locator(".mlkit-playground")
    expect(root.first.locator(".net")).to_be_visible(timeout=SLOW)
    yield book, root
    page.evaluate("async () => { await jupyterapp.serviceManager.sessions.shutdownAll(); }")


def test_in_lab_it_learns_in_every_view_and_a_reload_finds_it_again(lab_playground: Any, page: Page) -> None:
    book, roots = lab_playground
    expect(roots).to_have_count(2)
    first, second = roots.nth(0), roots.nth(1)
    first.get_by_role("button", name="Play").click()
    expect(second.get_by_role("button", name="Pause")).to_be_attached()
    wait(page, lambda: steps(second) > 200, "200 steps", 60)
    first.get_by_role("button", name="Pause").focus()
    cells = len(book.cells())
    page.keyboard.press("b")  # JupyterLab would add a cell
    page.keyboard.press("Space")
    expect(first).to_have_attribute("data-playing", "false")
    assert len(book.cells()) == cells

    def at_rest() -> bool:
        stood = steps(first)
        page.wait_for_timeout(500)
        return steps(first) == steps(second) == stood > 200

    wait(page, at_rest, "both views at the last step")
    stood = steps(first)
    first.get_by_role("button", name="Step").click()
    wait(page, lambda: steps(first) == stood + 1, "one step")
    first.get_by_role("button", name="Add a neuron to layer 2").click()
    expect(second.get_by_role("button", name="Layer 2, neuron 3")).to_be_attached()
    wait(page, lambda: steps(second) == 0, "a network from the beginning")
    first.get_by_role("button", name="Step").click()
    wait(page, lambda: steps(first) == 1, "one step")

    wait(page, lambda: "step 1 " in picture(book), "the picture of the last state")
    book.save()
    page.reload()
    book.wait_ready()
    root = page.locator(".mlkit-playground").first
    expect(root.get_by_role("button", name="Layer 2, neuron 3")).to_be_visible(timeout=SLOW)
    wait(page, lambda: steps(root) == 1, "the state from before the reload")

    page.evaluate("async () => { await jupyterapp.serviceManager.sessions.shutdownAll(); }")
    without = page.context.new_page()
    try:
        without.goto(f"{page.url.split('/lab')[0]}/lab/workspaces/playground-without/tree/playground.ipynb")
        still = without.locator(".jp-OutputArea img[src^='data:image/svg+xml']").first
        expect(still).to_be_visible(timeout=SLOW)
        assert still.evaluate("image => image.naturalWidth > 500")
        for words in ERRORS:
            expect(without.get_by_text(words).locator("visible=true")).to_have_count(0)
    finally:
        without.close()


def picture(book: Notebook) -> str:
    return "".join(book.cells()[0]["outputs"][0]["data"].get("image/svg+xml", "")).replace("·", "")


@pytest.fixture
def dashboard(page: Page, voila: Any, request: pytest.FixtureRequest) -> Locator:
    page.goto(f"{voila.url}/voila/render/dashboards/playground.ipynb{getattr(request, 'param', '')}", timeout=90_000)
    root = page.locator(".mlkit-playground")
    expect(root.locator(".net")).to_be_visible(timeout=90_000)
    return root


def test_in_voila_the_boundary_closes_around_the_inner_circle(page: Page, dashboard: Locator) -> None:
    before = blue(dashboard, ".square canvas")
    dashboard.get_by_label("Speed").select_option("fast")
    dashboard.get_by_role("button", name="Play").click()
    accuracy = dashboard.locator("[data-accuracy='test']")
    wait(page, lambda: float(accuracy.inner_text().split()[0]) >= 95, "95 % of the test points", 60)
    dashboard.get_by_role("button", name="Pause").click()
    assert 0.1 < blue(dashboard, ".square canvas") < 0.6, f"the inner circle is blue; it was {before}"
    neuron = dashboard.get_by_role("button", name="Layer 1, neuron 2")
    neuron.hover()
    expect(dashboard.locator(".which")).to_have_text("layer 1, neuron 2")
    expect(dashboard.locator(".about")).to_contain_text(re.compile(r"bias -?\d.*weights: x -?\d.*, y -?\d"))
    page.mouse.move(0, 0)
    expect(dashboard.locator(".which")).to_have_count(0)
    wire = dashboard.locator("[data-wire='1 0 0'] .hit")
    box = wire.evaluate("path => { const p = path.getPointAtLength(path.getTotalLength() / 2); const m = path.getScreenCTM();"
                        " return [p.x * m.a + m.e, p.y * m.d + m.f]; }")  # fmt: skip
    page.mouse.move(*box)
    expect(dashboard.locator(".hint")).to_contain_text("weight")

    dashboard.get_by_role("button", name="Code").click()
    script = dashboard.get_by_role("region", name="Script")
    expect(script).to_contain_text("from mlkit import nn, optim", timeout=SLOW)
    dashboard.get_by_text("PyTorch", exact=True).click()
    expect(script).to_contain_text("from torch import nn, optim", timeout=SLOW)
    dashboard.get_by_role("button", name="Copy").click()
    expect(dashboard.locator(".code [role=status]")).to_have_text(re.compile("Copied|Marked"))


def test_problems_layers_and_inputs_by_keyboard_alone(page: Page, dashboard: Locator) -> None:
    dashboard.get_by_label("Circles").focus()
    page.keyboard.press("ArrowRight")
    expect(dashboard.get_by_label("Xor")).to_be_checked()
    page.keyboard.press("ArrowRight")
    expect(dashboard.get_by_role("button", name="Output 3")).to_be_visible(timeout=SLOW)
    expect(dashboard.locator(".legend li")).to_have_count(3)
    for name in ("Remove a hidden layer", "Add a neuron to layer 1", "Input xy"):
        dashboard.get_by_role("button", name=name, exact=True).focus()
        page.keyboard.press("Enter")
    expect(dashboard.get_by_text("1 hidden layer", exact=True)).to_be_visible()
    expect(dashboard.get_by_role("button", name="Layer 1, neuron 5")).to_be_visible(timeout=SLOW)
    dashboard.get_by_role("button", name="Layer 1, neuron 1").focus()
    page.keyboard.press("ArrowLeft")
    expect(dashboard.get_by_role("button", name="Input x", exact=True)).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(dashboard.get_by_role("button", name="Output 1")).to_be_focused()
    expect(dashboard.locator(".about")).to_contain_text("weights: neuron 1")


@pytest.mark.parametrize("dashboard", ["?theme=light", "?theme=dark"], indirect=True)
def test_nothing_to_complain_of_for_axe_nor_out_of_its_box(page: Page, dashboard: Locator) -> None:
    dashboard.get_by_role("button", name="Code").click()
    expect(dashboard.get_by_role("region", name="Script")).to_contain_text("nn.Sequential", timeout=SLOW)
    assert axe(page, ".mlkit-playground") == []
    for width in (1280, 700):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(200)
        out = dashboard.evaluate("""root => { const edge = root.getBoundingClientRect().right + 1;
            return [...root.querySelectorAll('button, select, canvas, label, table')]
                .filter(part => part.getBoundingClientRect().right > edge).map(part => part.outerHTML.slice(0, 80)); }""")
        assert out == []
