"""GradientFlow in JupyterLab and Voila: live, by mouse and by keyboard, after a reload, and from another kernel."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from helpers import Notebook, axe, wait, write_notebook
from nbconvert import HTMLExporter
from playwright.sync_api import Locator, Page, expect

TRAIN = """
import mlkit
from mlkit import nn, optim
from mlkit.data import DataLoader, digits
from mlkit.train import Trainer
from mlkit.widgets import GradientFlow
mlkit.manual_seed(0)
train = digits(train=True)
loader = DataLoader(train, batch_size=64, shuffle=True)
def network(activation, depth=2):
    layers = [nn.Flatten()]
    for at in range(depth):
        layers += [nn.Linear(64, 64), activation()]
    return nn.Sequential(*layers, nn.Linear(64, 10))
"""
LONG = 100_000  # epochs: it ends when it is stopped


@pytest.fixture
def notebook(page: Page, lab: Any, request: pytest.FixtureRequest) -> Any:
    """`notebook(*cells)` opens a notebook with these cells; its kernel is gone after the test."""

    def open_notebook(*cells: str) -> Notebook:
        name = f"flow_{request.node.name.split('[')[0]}.ipynb"
        write_notebook(lab.folder / name, cells)
        return Notebook(page, lab.url, name)

    yield open_notebook
    page.evaluate("async () => { await window.jupyterapp?.serviceManager.sessions.shutdownAll(); }")


class Flow:
    """A GradientFlow on the page."""

    def __init__(self, page: Page, root: Locator | None = None) -> None:
        self.page = page
        self.root = (root if root is not None else page.locator(".mlkit-flow")).first

    @property
    def samples(self) -> int:
        return int(self.root.get_attribute("data-samples") or 0)

    @property
    def layer(self) -> str:
        return self.root.get_attribute("data-layer") or ""

    @property
    def layers(self) -> list[str]:
        return self.root.locator(".layer").evaluate_all("all => all.map(one => one.dataset.name)")

    def wait_samples(self, least: int, timeout: float = 60) -> None:
        wait(self.page, lambda: self.samples >= least, f"{least} samples", timeout)

    def quantity(self, name: str) -> None:
        self.root.get_by_role("radio", name=name, exact=True).click()

    def spread(self, kind: str = "heat map") -> Locator:
        return self.root.get_by_role("slider", name=re.compile(f"^{kind} of"))

    def drawn(self, which: str) -> int:
        """Pixels with a colour in a canvas: proof that something was drawn."""
        return self.root.locator(f"{which} canvas").first.evaluate(
            """canvas => { const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            let colourful = 0;
            for (let i = 0; i < data.length; i += 4) {
              const [r, g, b, a] = data.slice(i, i + 4);
              if (a > 100 && Math.max(r, g, b) - Math.min(r, g, b) > 40) colourful += 1;
            }
            return colourful; }"""
        )


def test_every_control_by_mouse_while_it_trains(page: Page, lab: Any, notebook: Any) -> None:
    book = notebook(TRAIN + "model = network(nn.ReLU)\n", "flow = GradientFlow(model, every=5)\nflow",
                    f"run = Trainer(model, optimizer='sgd', lr=0.05).start(loader, epochs={LONG})",
                    "run.stop()\nflow.table()")  # fmt: skip
    book.run(0)
    book.run(1)
    flow = Flow(page)
    expect(flow.root.get_by_text("it begins with the first training step")).to_be_visible(timeout=60_000)
    book.run(2)
    flow.wait_samples(10)
    before = flow.samples
    flow.wait_samples(before + 10)  # live
    assert flow.layers == ["1", "3", "5"] and flow.layer == "1"
    assert flow.drawn(".history") > 100
    expect(flow.spread()).to_have_attribute("aria-label", "heat map of gradients of 1")
    wait(page, lambda: flow.drawn(".spread") > 1000, "a heat map")
    expect(flow.root.get_by_role("status")).to_have_text("Gradients flow well")

    flow.root.locator(".layer[data-name='5']").click()
    expect(flow.spread()).to_have_attribute("aria-label", "heat map of gradients of 5")
    for name, layers, of in (
        ("Weights", ["1", "3", "5"], "weights of 5"),
        ("Update ratio", ["1", "3", "5"], "gradients of 5"),
        ("Activations", ["1", "2", "3", "4", "5"], "activations of 5"),
        ("Dead units", ["2", "4"], "activations of 2"),
    ):
        flow.quantity(name)
        wait(page, lambda layers=layers: flow.layers == layers, f"the layers that have {name}")
        expect(flow.spread()).to_have_attribute("aria-label", f"heat map of {of}")
    flow.root.get_by_role("radio", name="Ridges").click()
    expect(flow.spread("ridges")).to_be_visible()
    wait(page, lambda: flow.drawn(".spread") > 1000, "ridges")

    flow.quantity("Gradient")
    history = flow.root.get_by_role("slider", name="gradient norm over time")
    history.hover(position={"x": 60, "y": 60})
    said = history.get_attribute("aria-valuetext") or ""
    assert re.match(r"^step \d+: 5 [\d.e-]+$", said)
    page.mouse.move(0, 0)

    book.run(3)
    book.wait_run(3)
    assert "update/weight" in book.text(3) and "ReLU" in book.text(3)


def test_every_control_by_keyboard(page: Page, lab: Any, notebook: Any) -> None:
    book = notebook(TRAIN + "model = network(nn.ReLU)\nflow = GradientFlow(model, every=1)\n"
                    "history = Trainer(model, optimizer='sgd', lr=0.05, progress=False).fit(loader, epochs=2)", "flow")  # fmt: skip
    book.run_all()
    flow = Flow(page)
    flow.wait_samples(40)
    flow.root.get_by_role("radio", name="Gradient").focus()
    page.keyboard.press("Tab")
    focused = "() => document.activeElement.getAttribute('role')"
    while page.evaluate(focused) != "listbox":
        page.keyboard.press("Tab")
    page.keyboard.press("End")
    wait(page, lambda: flow.layer == "5", "the last layer")
    page.keyboard.press("ArrowUp")
    wait(page, lambda: flow.layer == "3", "the layer before it")
    page.keyboard.press("Tab")
    history = flow.root.get_by_role("slider", name="gradient norm over time")
    expect(history).to_be_focused()
    page.keyboard.press("Home")
    expect(history).to_have_attribute("aria-valuetext", re.compile(r"^step 1: 3 "))
    page.keyboard.press("ArrowRight")
    expect(history).to_have_attribute("aria-valuetext", re.compile(r"^step 2: 3 "))
    page.keyboard.press("Escape")
    expect(history).not_to_have_attribute("aria-valuetext", re.compile(r"^step 2: "))
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")  # from the heat map to the ridges
    expect(flow.spread("ridges")).to_be_visible()
    page.keyboard.press("Tab")
    expect(flow.spread("ridges")).to_be_focused()
    page.keyboard.press("Home")
    expect(flow.spread("ridges")).to_have_attribute("aria-valuetext", re.compile(r"^step 1: half smaller than"))
    page.keyboard.press("b")
    page.keyboard.press("d")
    page.keyboard.press("d")
    assert len(book.cells()) == 2, "keys in the widget are no commands of the notebook"


def test_a_vanishing_network_is_flagged_and_its_layers_shown(page: Page, lab: Any, notebook: Any) -> None:
    book = notebook(TRAIN + "model = network(nn.Sigmoid, 8)\n", "flow = GradientFlow(model)\nflow",
                    "optimizer = optim.SGD(model.parameters(), lr=0.1)\n"
                    "for epoch in range(8):\n"
                    "    for x, y in loader:\n"
                    "        optimizer.zero_grad()\n"
                    "        nn.functional.cross_entropy(model(x), y).backward()\n"
                    "        optimizer.step()\n"
                    "print(flow.findings())")  # fmt: skip
    book.run_all()
    flow = Flow(page)
    finding = flow.root.get_by_role("region", name="Vanishing gradients")
    expect(finding).to_be_visible(timeout=60_000)
    expect(finding).to_contain_text("8 Sigmoid activations in a row")
    expect(finding).to_contain_text("nn.ReLU or nn.GELU instead of Sigmoid")
    expect(flow.root.get_by_role("status")).to_have_text("Vanishing gradients")
    finding.get_by_role("button", name="Show 3").click()
    wait(page, lambda: flow.layer == "3", "the layer that was asked for")
    expect(flow.root.get_by_role("option", name=re.compile("^3, Linear, .*vanishing"))).to_be_visible()
    book.wait_run(2)
    assert "Vanishing gradients: layers 1 to" in book.text(2)


def test_a_reloaded_page_and_a_second_display_show_all_of_it(page: Page, lab: Any, notebook: Any) -> None:
    book = notebook(TRAIN + "model = network(nn.ReLU)\nflow = GradientFlow(model, every=5)\n"
                    f"run = Trainer(model, optimizer='sgd', lr=0.01).start(loader, epochs={LONG})", "flow", "flow",
                    "run.stop(); import time; time.sleep(0.5)\nprint(len(flow.flow))")  # fmt: skip
    book.run(0)
    book.run(1)
    flow = Flow(page)
    flow.wait_samples(20)
    flow.quantity("Weights")
    flow.root.locator(".layer[data-name='3']").click()
    book.save()
    page.reload()
    book.wait_ready()
    flow = Flow(page)
    expect(flow.root).to_be_visible(timeout=60_000)
    flow.wait_samples(20)
    before = flow.samples
    flow.wait_samples(before + 5)  # and it goes on
    assert flow.layer == "3", "the choice was kept"
    expect(flow.root.get_by_role("radio", name="Weights")).to_be_checked()

    book.run(2)
    expect(page.locator(".mlkit-flow")).to_have_count(2)
    second = Flow(page, page.locator(".mlkit-flow").nth(1))
    second.root.scroll_into_view_if_needed()
    second.root.locator(".layer[data-name='5']").click()
    wait(page, lambda: flow.layer == "5", "the choice in both displays")
    book.run(3)
    book.wait_run(3)
    total = int(book.text(3).split()[0])
    for view in (flow, second):
        wait(page, lambda view=view: view.samples >= total, f"all {total} samples in both displays")


def test_a_kernel_that_was_restarted_reads_it_from_the_run(page: Page, lab: Any, notebook: Any) -> None:
    book = notebook(TRAIN + "model = network(nn.ReLU)\nflow = GradientFlow(model, every=2)\n"
                    "trainer = Trainer(model, name='first', optimizer='sgd', lr=0.05, progress=False)\n"
                    "history = trainer.fit(loader, epochs=2)\n"
                    "again = network(nn.Tanh)\nother = GradientFlow(again, every=2)\n"
                    "history = Trainer(again, name='second', lr=0.01, progress=False).fit(loader, epochs=2)",
                    "from pathlib import Path\nimport os\nfrom mlkit.widgets import GradientFlow\n"
                    "path = sorted(Path(os.environ['MLKIT_RUNS']).glob('first-*'))[-1]\nGradientFlow(path)")  # fmt: skip
    book.run(0)
    book.wait_run(0)
    page.evaluate(
        """async () => { const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
        await kernel.restart(); }"""
    )
    book.wait_ready()
    book.run(1)
    flow = Flow(page)
    flow.wait_samples(20)
    assert flow.layers == ["1", "3", "5"]
    expect(flow.root.get_by_role("status")).to_have_text("Gradients flow well")
    select = flow.root.get_by_label("Compare with")
    second = next(name for name in select.locator("option").all_inner_texts() if name.startswith("second-"))
    select.select_option(second)
    expect(flow.root.get_by_text(f"dashed: {second}")).to_be_visible()
    expect(flow.root.locator(".spread")).to_have_count(2)
    assert flow.root.locator(".bar i.second").count() == 3


def test_a_saved_notebook_keeps_the_last_picture(page: Page, lab: Any, notebook: Any) -> None:
    book = notebook(TRAIN + "model = network(nn.Sigmoid, 8)\nflow = GradientFlow(model, every=2, run_dir=False)\nflow",
                    "history = Trainer(model, optimizer='sgd', lr=0.1, progress=False, run_dir=False).fit(loader)")  # fmt: skip
    book.run_all()
    book.wait_run(1)
    Flow(page).wait_samples(10)

    def bundle() -> dict[str, Any]:
        return book.cells()[0]["outputs"][0]["data"]

    wait(page, lambda: "Vanishing gradients:" in "".join(bundle()["image/svg+xml"]), "the last picture")
    assert "GradientFlow of" in "".join(bundle()["text/plain"])
    assert base64.b64decode("".join(bundle()["image/png"])).startswith(b"\x89PNG")
    book.save()
    path = Path(lab.folder) / "flow_test_a_saved_notebook_keeps_the_last_picture.ipynb"
    html, _ = HTMLExporter(template_name="lab").from_notebook_node(nbformat.read(path, as_version=4))
    pictures = [base64.b64decode(text).decode() for text in re.findall(r"data:image/svg\+xml;base64,([^\"]+)", html)]
    assert any("Vanishing gradients:" in picture for picture in pictures)
    assert "vnd.jupyter.widget-view" not in html


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_to_complain_of_for_axe(page: Page, lab: Any, notebook: Any, theme: str) -> None:
    book = notebook(TRAIN + "model = network(nn.Sigmoid, 8)\nflow = GradientFlow(model, every=2)\n"
                    "history = Trainer(model, optimizer='sgd', lr=0.1, progress=False).fit(loader)", "flow")  # fmt: skip
    book.theme(theme)
    book.run_all()
    flow = Flow(page)
    flow.wait_samples(5)
    expect(flow.root.get_by_role("region", name="Vanishing gradients")).to_be_visible()
    expect(flow.spread()).to_be_visible()
    expect(page.locator(f".mlkit[data-theme='{theme}']")).to_have_count(1)
    assert axe(page, ".mlkit-flow") == []
    flow.quantity("Dead units")
    expect(flow.root.get_by_text("This model has no ReLU")).to_be_visible()
    assert axe(page, ".mlkit-flow") == []
    page.set_viewport_size({"width": 700, "height": 900})
    flow.quantity("Update ratio")
    flow.root.get_by_role("radio", name="Ridges").click()
    expect(flow.spread("ridges")).to_be_visible()
    assert flow.root.evaluate("root => root.scrollWidth <= root.clientWidth"), "nothing is cut off"
    assert axe(page, ".mlkit-flow") == []
    page.set_viewport_size({"width": 1280, "height": 900})
    book.theme("light")


def test_live_in_voila_and_in_a_second_page(page: Page, voila: Any) -> None:
    cells = [
        TRAIN + "model = network(nn.ReLU)\nflow = GradientFlow(model, every=5)\n"
        f"run = Trainer(model, optimizer='sgd', lr=0.05).start(loader, epochs={LONG})\nflow"
    ]
    write_notebook(voila.folder / "notebooks" / "flow.ipynb", cells)
    page.goto(f"{voila.url}/voila/render/flow.ipynb", timeout=90_000)
    flow = Flow(page)
    expect(flow.root).to_be_visible(timeout=90_000)
    flow.wait_samples(10)
    before = flow.samples
    flow.wait_samples(before + 5)
    flow.root.locator(".layer[data-name='3']").click()
    expect(flow.spread()).to_have_attribute("aria-label", "heat map of gradients of 3")
    flow.quantity("Dead units")
    wait(page, lambda: flow.layers == ["2", "4"], "the activations")
    flow.root.get_by_role("radio", name="Ridges").click()
    expect(flow.spread("ridges")).to_be_visible()
    assert axe(page, ".mlkit-flow") == []
