"""Model documents in JupyterLab: opened in the model builder, saved as files, with a Python of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from builder_page import Builder
from helpers import axe, wait
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
    page.evaluate("navigator.clipboard.writeText = async text => { window.copied = text; }")
    page.evaluate(
        "document.execCommand = () => { window.copied = document.activeElement.value || window.copied; return true; }"
    )
    entry = builder.palette.get_by_role("button", name="Linear", exact=True)
    dropped = entry.evaluate(
        """entry => { const data = new DataTransfer();
        entry.dispatchEvent(new DragEvent('dragstart', { bubbles: true, dataTransfer: data }));
        return data.getData('text/plain'); }"""
    )
    assert dropped == "nn.Linear(in_features=..., out_features=...)"
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
