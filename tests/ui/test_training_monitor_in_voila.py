"""The training monitor in Voila: it finds runs of other processes, draws them side by side and steers them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import Curves, axe, wait, write_notebook
from playwright.sync_api import Page, expect

from mlkit.observe import DirectorySource, Recorder

TRAIN = """
import sys, numpy as np, mlkit
from mlkit import nn
from mlkit.data import DataLoader, TensorDataset
from mlkit.train import Trainer
x = np.random.default_rng(0).standard_normal((512, 4)).astype(np.float32)
loader = DataLoader(TensorDataset(x, (x[:, 0] > 0).astype(np.int64)), batch_size=16)
trainer = Trainer(nn.Linear(4, 2), optimizer="sgd", lr=0.01, progress=False, run_dir=sys.argv[1], name="elsewhere")
trainer.hyperparameter("temperature", 1.0)
history = trainer.fit(loader, loader, epochs=10**6)
print(trainer.recorder.state, trainer.lr)
"""


@pytest.fixture
def runs(voila: Any, tmp_path: Path) -> Iterator[Path]:
    """A folder of runs: one that another process is training, and one that has finished."""
    folder = tmp_path / "runs"
    done = Recorder("finished-one", root=folder, meta={"model": "Linear", "hyperparameters": {"lr": 0.1}})
    done.begin()
    for step in range(1, 200):
        done.record(step, {}, examples=8)
        done.record(step, {"train/loss": 2 / step, "valid/loss": 3 / step})
    done.end("finished")
    script = tmp_path / "train.py"
    script.write_text(TRAIN)
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, script, str(folder)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "widgets")])},
    )  # fmt: skip
    try:
        write_notebook(
            voila.folder / "notebooks" / "monitor-here.ipynb",
            [f"from mlkit.widgets import TrainingMonitor\nTrainingMonitor({str(folder)!r})"],
        )
        yield folder
    finally:
        process.kill()
        process.wait()


def directory(folder: Path, name: str) -> Path | None:
    return next(iter(folder.glob(f"{name}-*/meta.json")), None)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_finds_a_live_run_of_another_process_and_steers_it(page: Page, voila: Any, runs: Path, scheme: str) -> None:
    wait(page, lambda: directory(runs, "elsewhere"), "the other process to train", 60)
    page.goto(f"{voila.url}/voila/render/monitor-here.ipynb?theme={scheme}", timeout=90_000)
    curves = Curves(page)
    expect(curves.root).to_be_visible(timeout=60_000)
    expect(curves.root).to_have_attribute("data-theme", scheme)
    curves.wait_points(10)
    path = directory(runs, "elsewhere")
    assert path is not None
    source = DirectorySource(path.parent)
    curves.press("Pause")
    curves.wait_state("paused")
    still = source.status()["step"]
    curves.press("Step")
    wait(page, lambda: source.status()["step"] == still + 1, "one step in the other process")
    field = curves.root.get_by_label("temperature", exact=True)
    field.fill("2.5")
    field.press("Enter")
    wait(page, lambda: source.status()["hyperparameters"]["temperature"] == 2.5, "the new temperature")
    curves.press("Save checkpoint")
    wait(page, lambda: list(path.parent.glob("checkpoints/*.safetensors")), "the checkpoint")

    curves.root.get_by_role("searchbox", name="Search runs").fill("finished")
    tick = curves.root.get_by_role("group", name="Runs to draw").get_by_role("checkbox")
    expect(tick).to_have_count(1)
    tick.check()
    expect(curves.root.get_by_role("row")).to_have_count(3)
    expect(curves.root.locator(".panel .title").first).to_have_text("loss · train")
    assert curves.root.evaluate("root => root.scrollWidth <= root.clientWidth"), "nothing runs over the edge"
    assert axe(page, ".mlkit-curves") == []

    curves.root.get_by_role("radio", name="Steer elsewhere-2").check()
    curves.press("Clone from here")
    form = curves.root.get_by_role("form", name="Second run")
    form.get_by_label("New learning rate").fill("0.5")
    form.get_by_role("button", name="Start second run").click()
    expect(curves.root.get_by_role("row")).to_have_count(4, timeout=30_000)
    clone = directory(runs, "elsewhere-clone")
    assert clone is not None and DirectorySource(clone.parent).meta["cloned_from"]["settings"] == {"lr": 0.5}

    for name in ("elsewhere-clone", "elsewhere-2"):
        curves.root.get_by_role("radio", name=f"Steer {name}").check()
        curves.press("Stop")
        expect(curves.root.locator(".badge")).to_have_text("Stopped", timeout=30_000)


def test_an_empty_folder_says_what_to_do(page: Page, voila: Any, tmp_path: Path) -> None:
    folder = tmp_path / "nothing-here"
    write_notebook(
        voila.folder / "notebooks" / "monitor-empty.ipynb",
        [f"from mlkit.widgets import TrainingMonitor\nTrainingMonitor({str(folder)!r})"],
    )
    page.goto(f"{voila.url}/voila/render/monitor-empty.ipynb", timeout=90_000)
    root = page.locator(".mlkit-curves")
    expect(root.get_by_text("No runs here yet.")).to_be_visible(timeout=60_000)
    expect(root.get_by_text("trainer.start(loader")).to_be_visible()
    assert axe(page, ".mlkit-curves") == []
    recorder = Recorder("first", root=folder)
    recorder.begin()
    try:
        recorder.record(1, {}, examples=1)
        recorder.record(1, {"train/loss": 1.0})
        expect(root.locator(".heading")).to_contain_text("first", timeout=30_000)
    finally:
        recorder.end("stopped")


def test_the_dashboard_itself_opens(page: Page, voila: Any) -> None:
    page.goto(f"{voila.url}/voila/render/dashboards/training-monitor.ipynb", timeout=90_000)
    root = page.locator(".mlkit-curves")
    expect(root).to_be_visible(timeout=60_000)
    expect(root.locator(".library, .nothing").first).to_be_visible()
