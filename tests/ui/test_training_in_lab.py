"""The guide in JupyterLab: it runs from the top, and training is watched and steered from its widget."""

from __future__ import annotations

import re
from typing import Any

import pytest
from helpers import Curves, Notebook, axe, wait, write_notebook
from playwright.sync_api import Page, expect

GUIDE = "notebooks/guide/01-first-network.ipynb"

TRAIN = """
import mlkit
from mlkit import nn, optim
from mlkit.data import DataLoader, digits
from mlkit.train import Trainer
from mlkit.widgets import Watch
mlkit.manual_seed(0)
train = digits(train=True)
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
trainer = Trainer(model, loss=nn.CrossEntropyLoss(), optimizer=optim.SGD(model.parameters(), lr=0.01))
loader, test = DataLoader(train, batch_size=64, shuffle=True), DataLoader(digits(train=False), batch_size=256)
"""
LONG = 100_000  # epochs: it ends when it is stopped
# Buttons are heard while a cell awaits, but not by ipykernel 6.
AWAIT = "import ipykernel\n(await run).epochs > 0 if ipykernel.version_info[0] >= 7 else 'the cell is free'"


@pytest.fixture
def notebook(page: Page, lab: Any, request: pytest.FixtureRequest) -> Any:
    """`notebook(*cells)` opens a notebook with these cells; its kernel is gone after the test."""

    def open_notebook(*cells: str) -> Notebook:
        name = f"{request.node.name.split('[')[0]}.ipynb"
        write_notebook(lab.folder / name, cells)
        return Notebook(page, lab.url, name)

    yield open_notebook
    page.evaluate("async () => { await window.jupyterapp?.serviceManager.sessions.shutdownAll(); }")


def test_the_guide_runs_from_the_top(page: Page, lab: Any) -> None:
    notebook = Notebook(page, lab.url, GUIDE)
    cells = notebook.cells()
    code = [index for index, cell in enumerate(cells) if cell["cell_type"] == "code"]
    at = {cell["id"]: index for index, cell in enumerate(cells)}
    notebook.run_all()
    curves = Curves(page)
    expect(curves.root).to_be_visible(timeout=60_000)
    curves.wait_points(5)
    first = curves.points()
    curves.wait_points(first + 20)
    assert curves.drawn() > 100
    notebook.wait_run(code[-1], timeout=240)
    curves.wait_state("finished")
    percent = float(notebook.text(at["evaluate"]).split("test accuracy")[1].split("%")[0])
    assert percent >= 97.0
    for output in (output for cell in notebook.cells() for output in cell.get("outputs", [])):
        assert output["output_type"] != "error"
    page.evaluate("async () => { await jupyterapp.serviceManager.sessions.shutdownAll(); }")


def test_pause_learning_rate_step_resume_checkpoint_stop(page: Page, lab: Any, notebook: Any) -> None:
    book = notebook(
        TRAIN, f"run = trainer.start(loader, test, epochs={LONG})\nWatch(run)", AWAIT, "print(run.status, trainer.lr)"
    )
    for cell in range(3):
        book.run(cell)
    curves = Curves(page)
    curves.wait_points(40)

    curves.press("Pause")
    curves.wait_state("paused")
    page.wait_for_timeout(200)
    still, points = curves.step, curves.points()
    page.wait_for_timeout(1500)
    assert (curves.step, curves.points()) == (still, points), "the step count must stand still"

    curves.press("Step")
    wait(page, lambda: curves.step == still + 1 and curves.state == "paused", "one step and then a pause")

    curves.set_learning_rate("0.25")
    expect(curves.root.get_by_label("learning rate", exact=True)).to_have_value("0.25")

    curves.press("Resume")
    wait(page, lambda: curves.step > still + 20, "steps after Resume")

    curves.press("Save checkpoint")
    note = curves.root.get_by_text("Checkpoint at step")
    expect(note).to_be_visible()
    assert list(lab.runs.glob("*/checkpoints/*.safetensors")), note.inner_text()

    curves.press("Stop")
    curves.wait_state("stopped")
    book.run(3)
    book.wait_run(3)
    assert book.text(3).split() == ["stopped", "0.25"]
    for name in ("Pause", "Resume", "Step", "Stop", "Save checkpoint"):
        expect(curves.root.get_by_role("button", name=name, exact=True)).to_be_disabled()


def test_a_reloaded_page_and_a_second_display_have_the_whole_curve(page: Page, lab: Any, notebook: Any) -> None:
    book = notebook(TRAIN, f"run = trainer.start(loader, test, epochs={LONG})\nwatch = Watch(run)\nwatch", "watch",
                    "run.stop()\nprint(len(run.history['train/loss']))")  # fmt: skip
    book.run(0)
    book.run(1)
    Curves(page).wait_points(100)
    page.evaluate("async () => { await jupyterapp.shell.currentWidget.sessionContext.session.kernel.reconnect(); }")
    known = Curves(page).points()
    Curves(page).wait_points(known + 20)  # it goes on after the connection was lost and made again
    book.save()
    page.reload()
    book.wait_ready()
    curves = Curves(page)
    expect(curves.root).to_be_visible(timeout=60_000)
    curves.wait_points(100)
    before = curves.points()
    curves.wait_points(before + 20)  # and it goes on
    curves.press("Pause")
    curves.wait_state("paused")
    curves.press("Resume")
    curves.wait_state("running")

    book.run(2)
    expect(page.locator(".mlkit-curves")).to_have_count(2)
    second = Curves(page, page.locator(".mlkit-curves").nth(1))
    book.run(3)
    book.wait_run(3)
    total = int(book.text(3).split()[0])
    for view in (curves, second):
        view.root.scroll_into_view_if_needed()
        view.wait_state("stopped")
        panel = view.root.locator(".panel[data-family='loss']")
        expect(panel).to_be_visible()
        wait(page, lambda view=view: view.points() >= total, f"all {total} points in both displays")
        assert view.drawn() > 100


def test_training_that_holds_the_cell_says_that_buttons_cannot_reach_it(page: Page, lab: Any, notebook: Any) -> None:
    book = notebook(TRAIN, "Watch(trainer)", f"history = trainer.fit(loader, test, epochs={LONG})",
                    "print('the next cell runs', trainer.model is model)")  # fmt: skip
    book.run(0)
    book.run(1)
    curves = Curves(page)
    curves.wait_state("ready")
    book.run(2)
    curves.wait_points(50)
    expect(curves.root.get_by_text("buttons cannot reach it")).to_be_visible()
    expect(curves.root.get_by_role("button", name="Stop", exact=True)).to_be_disabled()
    page.evaluate("() => { jupyterapp.commands.execute('notebook:interrupt-kernel'); }")
    curves.wait_state("stopped")
    book.run(3)
    book.wait_run(3)
    assert "the next cell runs True" in book.text(3)


def test_a_model_that_raises_shows_its_error(page: Page, lab: Any, notebook: Any) -> None:
    book = notebook(TRAIN + "model.append(nn.Linear(63, 10))\n", "run = trainer.start(loader, epochs=1)\nWatch(run)")
    book.run_all()
    curves = Curves(page)
    curves.wait_state("failed")
    card = curves.root.get_by_role("alert")
    expect(card).to_contain_text("ShapeError")
    expect(card).to_contain_text("63")
    expect(card).to_contain_text("What to do")


def test_keys_in_the_widget_are_not_notebook_commands(page: Page, lab: Any, notebook: Any) -> None:
    book = notebook(TRAIN, f"run = trainer.start(loader, epochs={LONG})\nWatch(run)")
    book.run_all()
    curves = Curves(page)
    curves.wait_points(10)
    pause = curves.root.get_by_role("button", name="Pause", exact=True)
    pause.focus()
    page.keyboard.press("b")
    page.keyboard.press("a")
    page.keyboard.press("Space")
    curves.wait_state("paused")
    page.keyboard.press("d")
    page.keyboard.press("d")
    chart = curves.root.get_by_role("slider", name="curve of loss")
    chart.focus()
    page.keyboard.press("Home")
    expect(chart).to_have_attribute("aria-valuetext", re.compile(r"^step 1: train \d"))
    page.keyboard.press("ArrowRight")
    expect(chart).to_have_attribute("aria-valuetext", re.compile(r"^step 2: train \d"))
    curves.root.locator(".heading").click()
    page.keyboard.press("b")
    assert len(book.cells()) == 2


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_to_complain_of_for_axe(page: Page, lab: Any, notebook: Any, theme: str) -> None:
    book = notebook(
        TRAIN + "from mlkit.widgets import GraphInspector\n",
        "run = trainer.start(loader, test, epochs=4)\nWatch(run)",
        "await run; GraphInspector(model, train.images[:2], expand=['1'])",
    )
    book.theme(theme)
    book.run_all()
    curves = Curves(page)
    curves.wait_state("finished")
    graph = page.locator(".mlkit-graph")
    graph.scroll_into_view_if_needed()
    graph.get_by_role("button", name="3, Linear").click()
    expect(graph.locator(".tensor[data-ready='true']")).to_be_visible()
    assert axe(page, ".mlkit-graph") == []
    curves.root.scroll_into_view_if_needed()
    assert axe(page, ".mlkit-curves") == []
    expect(page.locator(f".mlkit[data-theme='{theme}']")).to_have_count(2)
    book.theme("light")
