"""Several runs and hard times in JupyterLab: clones, other notebooks, a kernel that goes, a thousand clicks, long curves."""

from __future__ import annotations

import csv
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from helpers import Curves, Notebook, wait, write_notebook
from playwright.sync_api import Page, expect

from mlkit.observe import DirectorySource

TRAIN = """
import mlkit
from mlkit import nn, optim
from mlkit.data import DataLoader, digits
from mlkit.train import Trainer
from mlkit.widgets import Watch
mlkit.manual_seed(0)
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
def loss(output, target):
    return nn.functional.cross_entropy(output / trainer.hyperparameter("temperature", 1.0, low=0.1), target)
trainer = Trainer(model, loss=loss, optimizer=optim.SGD(model.parameters(), lr=0.01), name="digits")
loader, test = DataLoader(digits(train=True), batch_size=64, shuffle=True), DataLoader(digits(train=False), batch_size=256)
"""
START = "run = trainer.start(loader, test, epochs=100_000)\nWatch(run)"


@pytest.fixture
def notebook(page: Page, lab: Any, request: pytest.FixtureRequest) -> Any:
    """`notebook(*cells, name=...)` opens a notebook with these cells; all kernels are gone after the test."""

    def open_notebook(*cells: str, name: str = "") -> Notebook:
        name = f"{request.node.name.split('[')[0]}{name}.ipynb"
        write_notebook(lab.folder / name, cells)
        return Notebook(page, lab.url, name)

    yield open_notebook
    page.evaluate("async () => { await window.jupyterapp?.serviceManager.sessions.shutdownAll(); }")


def set_field(curves: Curves, name: str, value: str) -> None:
    field = curves.root.get_by_label(name, exact=True)
    expect(field).to_be_editable()
    field.fill(value)
    field.press("Enter")


def test_a_hyperparameter_of_ones_own_and_a_clone_on_the_same_picture(page: Page, notebook: Any) -> None:
    book = notebook(TRAIN, START, "print(*sorted((one.trainer.lr, one.hyperparameters['temperature']) for one in [run, *run.clones]))",
                    "for one in [run, *run.clones]: one.stop()")  # fmt: skip
    book.run(0)
    book.run(1)
    curves = Curves(page)
    curves.wait_points(20)
    set_field(curves, "temperature", "0.01")
    expect(curves.root.get_by_role("alert")).to_have_text("The temperature must be at least 0.1.")
    set_field(curves, "temperature", "2")
    expect(curves.root.get_by_label("temperature", exact=True)).to_have_value("2")

    curves.press("Clone from here")
    form = curves.root.get_by_role("form", name="Second run")
    form.get_by_label("New learning rate").fill("0.5")
    form.get_by_label("Name").fill("bolder")
    form.get_by_role("button", name="Start second run").click()
    rows = curves.root.get_by_role("row")
    expect(rows).to_have_count(3, timeout=30_000)
    expect(curves.root.locator(".heading")).to_contain_text("bolder")
    expect(curves.root.locator(".panel .title").first).to_have_text("loss · train")
    expect(curves.root.locator(".panel canvas:not(.overlay)").first).to_be_visible()
    book.run(2)
    book.wait_run(2)
    assert book.text(2).strip() == "(0.01, 2.0) (0.5, 2.0)"

    curves.press("Pause")  # the new one is steered now
    expect(rows.filter(has_text="bolder")).to_contain_text("Paused")
    expect(rows.filter(has_not_text="bolder").nth(1)).to_contain_text("Running")
    curves.root.get_by_role("radio", name=re.compile("Steer digits")).check()
    curves.wait_state("running")
    book.run(3)
    book.wait_run(3)
    curves.wait_state("stopped")


def test_another_notebook_follows_and_steers_a_run_by_its_directory(page: Page, lab: Any, notebook: Any) -> None:
    first = notebook(TRAIN, START + "\n", "print(run.directory)", name="_first")
    first.run(0)
    first.run(1)
    Curves(page).wait_points(20)
    first.run(2)
    first.wait_run(2)
    path = first.text(2).strip()
    second = notebook(f"from mlkit.widgets import Watch\nWatch({path!r})", "print('alive')", name="_second")
    second.run(0)
    curves = Curves(page, page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .mlkit-curves"))
    expect(curves.root).to_be_visible(timeout=60_000)
    curves.wait_points(20)
    curves.press("Pause")
    curves.wait_state("paused")
    still = curves.step
    curves.press("Step")
    wait(page, lambda: curves.step == still + 1 and curves.state == "paused", "one step in the other process")
    set_field(curves, "temperature", "3")
    expect(curves.root.get_by_label("temperature", exact=True)).to_have_value("3")

    # The process that trains is killed: nothing of it is left but the directory, which says how far it came.
    os.kill(DirectorySource(path).status()["pid"], signal.SIGKILL)
    curves.wait_state("lost", timeout=60)
    expect(curves.root.get_by_text("has ended without saying so")).to_be_visible()
    expect(curves.root.get_by_role("button", name="Resume", exact=True)).to_be_disabled()
    assert curves.points() >= still + 1


def test_after_a_restart_of_its_kernel_the_panel_stays_and_the_run_is_found_again(
    page: Page, notebook: Any, watched: Any
) -> None:
    watched.expected = "odel not found"
    book = notebook(TRAIN, START, "from mlkit import observe\nfrom mlkit.widgets import Watch\n"
                    "Watch([one for one in observe.list_runs() if one.name == 'digits'][0])")  # fmt: skip
    book.run(0)
    book.run(1)
    curves = Curves(page)
    curves.wait_points(30)
    page.evaluate("async () => { await jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart(); }")
    book.wait_ready()
    expect(page.get_by_text("Error displaying widget").locator("visible=true")).to_have_count(0)
    book.run(2)
    page.locator(".jp-Cell").nth(2).scroll_into_view_if_needed()
    again = Curves(page, page.locator(".jp-Cell").nth(2).locator(".mlkit-curves"))
    expect(again.root).to_be_visible(timeout=60_000)
    again.wait_points(30)
    again.wait_state("stopped", "lost", timeout=60)


def test_a_thousand_quick_clicks(page: Page, notebook: Any) -> None:
    book = notebook(TRAIN, START, "print(run.status, run.trainer.recorder.status()['step'] > 0)\n_ = run.stop()")
    book.run(0)
    book.run(1)
    curves = Curves(page)
    curves.wait_points(10)
    clicks = """(root, names) => { let clicks = 0;
        for (let i = 0; i < 1000; i++) for (const button of root.querySelectorAll('button'))
          if (button.textContent === names[i % names.length]) { button.click(); clicks++; }
        return clicks; }"""
    assert curves.root.evaluate(clicks, ["Pause", "Resume", "Step", "Save checkpoint"]) == 1000
    curves.root.evaluate("() => new Promise(done => setTimeout(done, 500))")
    wait(page, lambda: curves.state in ("paused", "running"), "the run to go on as it was told last")
    if curves.state == "running":
        curves.press("Pause")
        curves.wait_state("paused")
    still = curves.step
    curves.press("Step")
    wait(page, lambda: curves.step == still + 1 and curves.state == "paused", "one step, as after one click")
    curves.press("Resume")
    wait(page, lambda: curves.step > still + 5, "steps after a thousand clicks")
    book.run(2)
    book.wait_run(2)
    assert book.text(2).strip() == "running True"
    curves.wait_state("stopped")


LONG = """
import numpy as np
from mlkit.observe import Recorder
from mlkit.widgets import Watch
recorder = Recorder("long", root=False)
steps = np.arange(1, 1_000_001)
values = 2.5 * np.exp(-steps / 250_000) + np.random.default_rng(0).normal(0, 0.05, 1_000_000)
values[600_000] = 9.0
recorder.restore({"train/loss": (steps, steps / 500, values)}, 2000.0)
recorder.begin()
recorder.record(1_000_000, {}, examples=1)
recorder.end("finished")
"""


def test_a_million_points_zoom_keys_and_files(page: Page, notebook: Any, tmp_path: Path) -> None:
    book = notebook(LONG, "watch = Watch(recorder)\nwatch", "print(watch.zoom)")
    book.run(0)
    book.run(1)
    curves = Curves(page)
    curves.wait_points(1_000_000)
    assert curves.drawn() > 100
    plot = curves.root.get_by_role("slider", name="curve of loss")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    left, right = box["x"] + 44, box["x"] + box["width"] - 10

    def at(share: float) -> float:
        return left + share * (right - left)

    page.mouse.move(at(0.55), box["y"] + 80)
    page.mouse.down()
    page.mouse.move(at(0.65), box["y"] + 90, steps=4)
    page.mouse.up()
    expect(curves.root.get_by_role("button", name="Show all")).to_be_visible()
    page.mouse.move(0, 0)
    plot.focus()
    for _ in range(13):  # down to single points around the middle of what is shown
        page.keyboard.press("+")

    def zoomed() -> bool:  # the kernel hears of it a moment later
        book.run(2)
        book.wait_run(2)
        low, high = (float(word) for word in book.text(2).strip(" []\n").split(","))
        return 540_000 < low < high < 660_000 and high - low < 100

    wait(page, zoomed, "the zoom in the kernel")
    panel = curves.root.locator(".panel[data-family='loss']")
    expect(panel).to_have_attribute("data-detail", "fine", timeout=30_000)
    plot.focus()
    page.keyboard.press("Home")
    first = plot.get_attribute("aria-valuetext") or ""
    page.keyboard.press("ArrowRight")
    second = plot.get_attribute("aria-valuetext") or ""
    steps = [int(re.match(r"step (\d+): train ", words)[1]) for words in (first, second)]  # type: ignore[index]
    assert steps[1] == steps[0] + 1, "single points, not stretches"
    plot.dblclick(position={"x": 150, "y": 60})
    expect(curves.root.get_by_role("button", name="Show all")).to_have_count(0)
    page.keyboard.press("Escape")

    def export(kind: str) -> Path:
        curves.root.get_by_role("button", name="Export").click()
        with page.expect_download(timeout=120_000) as download:
            curves.root.get_by_role("button", name=re.compile(kind)).click()
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)
        return path

    assert export("PNG").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in export("SVG").read_text("utf-8")
    with export("CSV").open(newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        assert next(rows) == ["run", "metric", "step", "seconds", "value"]
        losses = [row for row in rows if row[1] == "train/loss"]
    assert len(losses) == 1_000_000
    assert float(losses[600_000][4]) == 9.0
