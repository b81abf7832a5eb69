"""Model documents in JupyterLab: opened in the model builder, saved as files, with a Python of their own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from builder_page import Builder, middle
from helpers import axe, wait, write_notebook
from playwright.sync_api import Page, expect

from mlkit.builder import ModelBuilder

SESSIONS = "async () => { await jupyterapp.serviceManager.sessions.refreshRunning(); return [...jupyterapp.serviceManager.sessions.running()].map(s => s.name); }"


@pytest.fixture
def document(page: Page, lab: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    def open_(template: str | None = "MLP", text: str | None = None) -> Builder:
        name = request.node.name[:30].replace("[", "-").replace("]", "") + ".mlmodel.json"
        path = lab.folder / name
        if template is not None:
            ModelBuilder(template).save(path)
        else:
            path.write_text(text or "", "utf-8")
        page.goto(f"{lab.url}/lab/workspaces/{abs(hash(name)) % 10**8}/tree/{name}")
        builder = Builder(page)
        builder.path = path  # type: ignore[attr-defined]
        return builder

    yield open_
    page.evaluate("async () => { await jupyterapp.serviceManager.sessions.shutdownAll(); }")


def dirty(page: Page) -> bool:
    return page.evaluate("jupyterapp.shell.currentWidget.context.model.dirty")


def command(page: Page, name: str) -> None:
    page.evaluate("name => { jupyterapp.commands.execute(name); }", name)


def test_a_model_opens_is_changed_undone_and_saved(document: Any, page: Page, lab: Any) -> None:
    builder = document()
    expect(page.get_by_role("status").filter(has_text="a Python of its own").or_(builder.root)).to_be_visible(
        timeout=60_000
    )
    builder.show()
    builder.wait_blocks(5)
    before = builder.path.read_text("utf-8")
    assert not dirty(page), "opening changes nothing"
    assert page.evaluate(SESSIONS) == ["mlkit model builder"]
    builder.choose("linear")
    builder.set("out_features", "32")
    wait(page, lambda: dirty(page), "the dirty mark")
    assert builder.path.read_text("utf-8") == before, "nothing is written before Save"
    command(page, "mlkit:builder-undo")
    wait(
        page,
        lambda: '"out_features": 128' in page.evaluate("jupyterapp.shell.currentWidget.context.model.toString()"),
        "undo",
    )
    command(page, "mlkit:builder-redo")
    wait(
        page,
        lambda: '"out_features": 32' in page.evaluate("jupyterapp.shell.currentWidget.context.model.toString()"),
        "redo",
    )
    command(page, "docmanager:save")
    wait(page, lambda: not dirty(page), "the file to be saved")
    saved = json.loads(builder.path.read_text("utf-8"))
    assert saved["blocks"][1]["properties"]["out_features"] == 32
    builder.drag_block("Dropout", 300, 60)
    wait(page, lambda: dirty(page), "the dirty mark")
    builder.press("Save")  # the builder's own button is JupyterLab's
    wait(page, lambda: "dropout" in builder.path.read_text("utf-8"), "the file")
    wait(page, lambda: not dirty(page), "the mark to go")
    assert axe(page, ".mlkit-BuilderDocument .mlkit-builder") == []
    command(page, "application:close")
    wait(page, lambda: page.evaluate(SESSIONS) == [], "the document's Python to be shut down")


def test_the_launcher_card_begins_an_empty_model(document: Any, page: Page, lab: Any) -> None:
    folder = lab.folder / "new-models"
    folder.mkdir(exist_ok=True)
    page.goto(f"{lab.url}/lab/workspaces/new-models/tree/new-models")
    page.wait_for_function("async () => { await window.jupyterapp?.restored; return !!window.jupyterapp; }")
    card = page.locator(".jp-LauncherCard", has_text="Model Builder")
    expect(card).to_be_visible(timeout=60_000)
    card.click()
    builder = Builder(page)
    builder.show()
    builder.drag_block("Input", 200, 40)
    wait(page, lambda: dirty(page), "the dirty mark")
    command(page, "docmanager:save")
    wait(page, lambda: '"Input"' in (folder / "model.mlmodel.json").read_text("utf-8"), "the file")


def test_a_notebook_from_the_model_and_its_code(document: Any, page: Page, lab: Any) -> None:
    builder = document()
    builder.show()
    builder.wait_blocks(5)
    page.get_by_role("button", name="New notebook from this model").click()
    page.wait_for_function("() => jupyterapp.shell.currentWidget?.content?.widgets?.length === 3", timeout=60_000)
    sources = page.evaluate("jupyterapp.shell.currentWidget.model.toJSON().cells.map(cell => cell.source)")
    assert f'mlkit.ModelBuilder("{builder.path.name}")' in sources[1]
    wait(
        page,
        lambda: page.evaluate("jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status") == "idle",
        "the notebook's kernel",
        60,
    )
    command(page, "notebook:run-all-cells")

    def outputs() -> str:
        return json.dumps(
            page.evaluate("jupyterapp.shell.currentWidget.model.toJSON().cells.map(cell => cell.outputs ?? [])")
        )

    wait(page, lambda: "class MLP(nn.Sequential)" in outputs(), "the code", 90)
    assert '"output_type": "error"' not in outputs()


def test_a_block_is_dragged_into_a_cell_as_code(document: Any, page: Page, lab: Any) -> None:
    builder = document()
    builder.show()
    builder.wait_blocks(5)
    write_notebook(lab.folder / "beside.ipynb", ["from mlkit import nn\n", "1 + 1"])
    page.evaluate(
        """async () => { const model = jupyterapp.shell.currentWidget;
        const book = await jupyterapp.commands.execute('docmanager:open', { path: 'beside.ipynb',
          options: { mode: 'split-bottom', ref: model.id } });
        await book.context.ready; await book.sessionContext.ready; }"""
    )
    if not page.evaluate("jupyterapp.shell.leftCollapsed"):
        command(page, "application:toggle-left-area")
    search = builder.palette.get_by_role("searchbox")
    for kind in ("Linear", "Concat"):
        search.fill(kind)
        entry = builder.palette.get_by_role("button", name=kind, exact=True)
        line = page.locator(".jp-Notebook .jp-Cell").nth(0 if kind == "Linear" else 1).locator(".cm-line").last
        one, two = middle(entry), middle(line)
        page.mouse.move(*one)
        page.mouse.down()
        page.mouse.move((one[0] + two[0]) / 2, (one[1] + two[1]) / 2, steps=5)
        page.mouse.move(*two, steps=5)
        page.mouse.up()
    cells = "jupyterapp.shell.currentWidget.model.toJSON().cells.map(cell => cell.source)"
    page.locator(".jp-Notebook .jp-Cell").nth(1).click()
    sources = wait(
        page, lambda: (found := page.evaluate(cells)) and "cat" in found[1] and found, "the code in the cell"
    )
    assert "nn.Linear(in_features=..., out_features=...)" in sources[0]
    assert "mlkit.cat([x, y], dim=1)" in sources[1]
    assert builder.names() == ["input", "linear", "relu", "linear_2", "output"], "nothing was dropped on the canvas"


def test_the_context_menu_makes_a_notebook(document: Any, page: Page, lab: Any) -> None:
    folder = lab.folder / "menu"
    folder.mkdir(exist_ok=True)
    ModelBuilder("CNN").save(folder / "seen.mlmodel.json")
    (folder / "other.txt").write_text("no model", "utf-8")
    page.goto(f"{lab.url}/lab/workspaces/context-menu/tree/menu")
    page.wait_for_function("async () => { await window.jupyterapp?.restored; return !!window.jupyterapp; }")
    page.locator(".jp-DirListing-item", has_text="other.txt").click(button="right")
    entry = page.get_by_role("menuitem", name="New notebook from this model")
    expect(page.get_by_role("menuitem", name="Rename")).to_be_visible()
    expect(entry).to_have_count(0)
    page.keyboard.press("Escape")
    page.locator(".jp-DirListing-item", has_text="seen.mlmodel.json").click(button="right")
    entry.click()
    page.wait_for_function("() => jupyterapp.shell.currentWidget?.content?.widgets?.length === 3", timeout=60_000)
    assert page.evaluate("jupyterapp.shell.currentWidget.context.path") == "menu/seen.ipynb"
    made = json.loads((folder / "seen.ipynb").read_text("utf-8"))
    assert 'mlkit.ModelBuilder("seen.mlmodel.json")' in "".join(made["cells"][1]["source"])


def test_a_python_without_mlkit_says_how_to_get_it(document: Any, page: Page) -> None:
    def bare(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "default": "bare"})

    page.route("**/api/kernelspecs*", bare)
    document()
    status = page.locator(".mlkit-BuilderStatus")
    expect(status).to_contain_text("mlkit is not installed in the Python of the kernel", timeout=90_000)
    expect(status).to_contain_text('pip install "mlkit[lab]"')
    expect(page.locator(".mlkit-builder")).to_have_count(0)
    page.unroute("**/api/kernelspecs*")
    page.evaluate("async () => { await jupyterapp.serviceManager.kernelspecs.refreshSpecs(); }")
    status.get_by_role("button", name="Try again").click()
    Builder(page).show()


def test_a_restarted_python_opens_the_model_again(document: Any, page: Page) -> None:
    builder = document()
    builder.show()
    builder.choose("linear")
    builder.set("out_features", "55")
    wait(page, lambda: dirty(page), "the dirty mark")
    for how in ("the list of kernels", "the server"):
        kernel = page.evaluate("[...jupyterapp.serviceManager.sessions.running()][0].kernel.id")
        answered = page.evaluate(
            """async ([kernel, how]) => { document.querySelector('.mlkit-builder').dataset.before = '';
            if (how === 'the server')
              return (await fetch(`/api/kernels/${kernel}/restart`, { method: 'POST' })).status;
            const { kernels } = jupyterapp.serviceManager;
            const one = kernels.connectTo({ model: { id: kernel, name: 'python3' } });
            await one.restart(); one.dispose(); return 200; }""",
            [kernel, how],
        )
        assert answered == 200, how
        expect(page.locator(".mlkit-builder:not([data-before])")).to_be_visible(timeout=60_000)
        builder.wait_label("N×55")
        assert page.evaluate("[...jupyterapp.serviceManager.sessions.running()].map(s => s.kernel.id)") == [kernel]
    builder.choose("linear")
    builder.set("out_features", "66")
    builder.wait_label("N×66")


def test_what_was_trained_here_is_opened_in_a_notebook(document: Any, page: Page, lab: Any) -> None:
    builder = document("CNN")
    builder.show()
    builder.wait_blocks(10)
    builder.tab("Train")
    expect(builder.panel).to_contain_text("the weights live there until the document is closed")
    expect(builder.panel.get_by_label("Model variable")).to_have_count(0)
    opener = builder.panel.get_by_role("button", name="Open the trained model in a notebook")
    expect(opener).to_have_attribute("aria-disabled", "true")
    builder.panel.get_by_role("button", name="Set the shape of image to (N, 1, 8, 8)").click()
    builder.panel.get_by_role("button", name="Set in_features of linear to 128").click()
    builder.wait_label("N×16×8×8")
    builder.train(timeout=180)
    opener.click()
    page.wait_for_function("() => jupyterapp.shell.currentWidget?.content?.widgets?.length === 3", timeout=60_000)
    wait(
        page,
        lambda: page.evaluate("jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status") == "idle",
        "the notebook's kernel",
        60,
    )
    page.evaluate(
        """() => { const { content, model } = jupyterapp.shell.currentWidget;
        content.widgets[2].model.sharedModel.setSource(
          "from mlkit.data import DataLoader, digits\\nmodel.eval()\\n" +
          "images, labels = next(iter(DataLoader(digits(train=False), batch_size=297)))\\n" +
          "print('accuracy', float((model(images).argmax(1) == labels).float().mean()))"); }"""
    )
    command(page, "notebook:run-all-cells")
    outputs = "JSON.stringify(jupyterapp.shell.currentWidget.model.toJSON().cells.map(cell => cell.outputs ?? []))"
    said = wait(page, lambda: re.search(r"accuracy ([\d.]+)", page.evaluate(outputs)), "what the notebook says", 90)
    assert float(said[1]) >= 0.95
    assert (lab.folder / builder.path.name.replace(".mlmodel.json", "-weights.safetensors")).is_file()


def test_a_dead_python_keeps_what_was_built(document: Any, page: Page) -> None:
    builder = document()
    builder.show()
    builder.choose("linear")
    builder.set("out_features", "77")
    wait(page, lambda: dirty(page), "the dirty mark")
    page.evaluate(  # as from the list of running kernels
        "async () => { const s = jupyterapp.serviceManager.sessions; await s.shutdown([...s.running()][0].id); }"
    )
    expect(page.get_by_role("status").filter(has_text="has stopped")).to_be_visible(timeout=30_000)
    assert '"out_features": 77' in page.evaluate("jupyterapp.shell.currentWidget.context.model.toString()")
    page.get_by_role("button", name="Start it again").click()
    builder.show()
    builder.choose("linear")
    expect(builder.panel.get_by_label("out_features", exact=True)).to_have_value("77")


def test_a_file_that_is_no_model_says_what_is_wrong(document: Any, page: Page) -> None:
    document(
        None, '{"format": "mlkit.model", "version": 1, "name": "Net", "blocks": [{"name": "a", "type": "Nonsense"}]}'
    )
    status = page.locator(".mlkit-BuilderStatus")
    expect(status).to_contain_text("Nonsense", timeout=90_000)
    expect(status.get_by_role("button", name="Try again")).to_be_visible()
    expect(page.locator(".mlkit-builder")).to_have_count(0)
