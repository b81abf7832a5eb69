"""The side panel and the status bar in JupyterLab: runs of the server, names and memory of the kernel in front."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import Notebook, axe, wait, write_notebook
from playwright.sync_api import Locator, Page, expect

NAMES = """
import mlkit
from mlkit import nn
mlkit.manual_seed(0)
images = mlkit.rand(64, 1, 28, 28)
weight = mlkit.rand(10, 784, requires_grad=True)
scores = images.flatten(1) @ weight.T
first = images[0]
model = nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))
"""
TRAIN = """
from mlkit import nn, optim
from mlkit.data import DataLoader, digits
from mlkit.train import Trainer
train = DataLoader(digits(train=True), batch_size=32, shuffle=True)
net = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
trainer = Trainer(net, loss=nn.CrossEntropyLoss(), optimizer=optim.AdamW(net.parameters(), 1e-2), progress=False, name="panel-net")
run = trainer.start(train, epochs=2000)
"""


def panel(page: Page) -> Locator:
    page.evaluate("() => { jupyterapp.commands.execute('mlkit:open-panel'); }")
    root = page.get_by_role("region", name="mlkit", exact=True)
    expect(root).to_be_visible(timeout=20_000)
    return root


@pytest.fixture
def book(page: Page, lab: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    def open_(*cells: str, name: str = "") -> Notebook:
        file = f"panel-{name or request.node.name[:40].replace('[', '-').replace(']', '')}.ipynb"
        write_notebook(lab.folder / file, cells)
        return Notebook(page, lab.url, file)

    yield open_
    page.evaluate("async () => { await jupyterapp.serviceManager.sessions.shutdownAll(); }")


def row(root: Locator, name: str) -> Locator:
    return root.locator(".mlkit-Row").filter(has=root.page.get_by_role("button", name=name, exact=True))


def test_tensors_and_models_of_the_kernel_with_their_facts(book: Any, page: Page) -> None:
    notebook = book(
        NAMES,
        "late = mlkit.zeros(3)",
        "del first, late\nsorted(k for k in globals() if 'probe' in k or 'made_at' in k)",
    )
    root = panel(page)
    expect(root.get_by_role("status")).to_contain_text("mlkit has not been imported here yet", timeout=20_000)
    notebook.run(0)
    notebook.wait_run(0)
    images = row(root, "images")
    expect(images).to_contain_text("64×1×28×28", timeout=20_000)
    expect(images).to_contain_text("float32 · cpu · 201 kB")
    expect(images).to_contain_text("shares memory with first")
    expect(row(root, "first")).to_contain_text("view")
    expect(row(root, "weight")).to_contain_text("needs gradient")
    expect(row(root, "model")).to_contain_text("25.5k numbers · 102 kB · cpu · float32 · training")
    notebook.run(1)
    expect(row(root, "late")).to_be_visible()
    notebook.run(2)
    expect(row(root, "late")).to_have_count(0, timeout=20_000)
    assert notebook.text(2) == "[]", "the probe must leave no name"
    assert [cell["execution_count"] for cell in notebook.cells()] == [1, 2, 3], "the probe must use up no number"
    expect(root.locator(".mlkit-Memory")).to_contain_text("MB", timeout=20_000)
    assert axe(page, ".mlkit-Panel") == []


def test_a_click_shows_the_value_and_another_goes_to_its_line(book: Any, page: Page) -> None:
    notebook = book(NAMES, "1 + 1")
    notebook.run_all()
    notebook.wait_run(1)
    root = panel(page)
    scores = row(root, "scores")
    expect(scores).to_be_visible(timeout=20_000)
    scores.get_by_role("button", name="scores", exact=True).click()
    value = root.get_by_role("group", name="Value of scores")
    expect(value).to_contain_text("float32", timeout=20_000)
    expect(value).to_contain_text("[64, 10]")
    scores.get_by_role("button", name="Go to the line that made scores").click()
    selected = "() => { const c = jupyterapp.shell.currentWidget.content.activeCell; return c && window.getSelection().toString(); }"
    wait(page, lambda: page.evaluate(selected) == "scores = images.flatten(1) @ weight.T", "the line to be selected")
    assert row(root, "images").get_by_role("button").count() == 1, "nothing is known of the line of a leaf"
    assert [cell["execution_count"] for cell in notebook.cells()] == [1, 2]


def test_a_busy_kernel_is_left_alone_and_a_restarted_one_is_asked_again(book: Any, page: Page) -> None:
    notebook = book("import mlkit, time\nx = mlkit.ones(2)", "time.sleep(4)")
    notebook.run(0)
    notebook.wait_run(0)
    root = panel(page)
    expect(row(root, "x")).to_be_visible(timeout=20_000)
    page.evaluate(
        """() => { window.asked = 0; const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
        kernel.anyMessage.connect((_, args) => {
          if (args.direction === 'send' && args.msg.header.msg_type === 'execute_request' && args.msg.content.silent) {
            window.asked += 1; window.status_then = kernel.status;
          } }); }"""
    )
    notebook.run(1)
    expect(root.get_by_role("status")).to_contain_text("the kernel is busy")
    root.get_by_role("button", name="Refresh").click()
    page.wait_for_timeout(1500)
    assert page.evaluate("window.asked") == 0, "a running cell must not be disturbed"
    expect(row(root, "x")).to_be_visible()
    notebook.wait_run(1)
    wait(page, lambda: page.evaluate("window.asked") == 1, "one look after the cell")
    page.wait_for_timeout(2500)
    assert page.evaluate("window.asked") == 1, "an idle kernel in which nothing ran is not asked again"
    page.evaluate("async () => { await jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart(); }")
    expect(root.get_by_role("status")).to_contain_text("has not been imported", timeout=30_000)
    expect(root.locator(".mlkit-Row")).to_have_count(0)


def test_a_kernel_without_mlkit_is_told_how_to_get_it(book: Any, page: Page) -> None:
    hide = "import sys\nsys.meta_path.insert(0, type('No', (), {'find_spec': staticmethod(lambda n, *a: None)}))\n"
    notebook = book(hide + "sys.path[:] = [p for p in sys.path if 'site-packages' in p or 'lib/python' in p]\nsys.path_importer_cache.clear()")  # fmt: skip
    notebook.run(0)
    notebook.wait_run(0)
    root = panel(page)
    expect(root.get_by_role("status")).to_contain_text('%pip install "mlkit[lab]"', timeout=20_000)


def test_a_kernel_of_another_language_is_never_asked(page: Page, lab: Any) -> None:
    path = write_notebook(lab.folder / "panel-echo.ipynb", ["hello", "asked?"])
    made = json.loads(path.read_text("utf-8"))
    made["metadata"]["kernelspec"] = {"name": "echo", "display_name": "echo", "language": "echo"}
    path.write_text(json.dumps(made), "utf-8")
    notebook = Notebook(page, lab.url, path.name)
    root = panel(page)
    expect(root.get_by_role("status")).to_contain_text("this kernel does not speak Python", timeout=30_000)
    notebook.run(0)
    notebook.wait(lambda: notebook.text(0) == "hello", "the echo")
    root.get_by_role("button", name="Refresh").click()
    page.wait_for_timeout(1500)
    notebook.run(1)
    notebook.wait(lambda: notebook.text(1), "the answer")
    assert notebook.text(1) == "0", "no code was sent silently"
    expect(root.locator(".mlkit-Row")).to_have_count(0)
    page.evaluate("async () => { await jupyterapp.serviceManager.sessions.shutdownAll(); }")


def test_a_run_is_shown_live_and_obeys(book: Any, page: Page) -> None:
    notebook = book(TRAIN, "run.status")
    root = panel(page)
    notebook.run(0)
    notebook.wait_run(0)
    try:
        run = root.locator(".mlkit-Run", has_text="panel-net").first
        expect(run).to_have_attribute("data-state", "running", timeout=30_000)
        expect(run.locator(".mlkit-Curve path")).to_have_count(1, timeout=20_000)
        bar = page.locator(".mlkit-Status button")
        expect(bar).to_contain_text("panel-net running")
        expect(bar).to_contain_text("CPU")
        run.get_by_role("button", name="Pause panel-net").click()
        expect(run).to_have_attribute("data-state", "paused", timeout=20_000)
        expect(bar).to_contain_text("panel-net paused")
        run.get_by_role("button", name="Resume panel-net").click()
        expect(run).to_have_attribute("data-state", "running", timeout=20_000)
        assert axe(page, ".mlkit-Panel") == []
        run.get_by_role("button", name="Watch panel-net in the notebook").click()
        wait(page, lambda: any("Watch(" in cell["source"] for cell in notebook.cells()), "the snippet in a new cell")
        new = next(i for i, cell in enumerate(notebook.cells()) if "Watch(" in cell["source"])
        assert notebook.cells()[new]["execution_count"] is None, "only the user runs code"
        notebook.run(new)
        expect(page.locator(".mlkit-curves")).to_be_visible(timeout=30_000)
    finally:
        root.locator(".mlkit-Run", has_text="panel-net").first.get_by_role("button", name="Stop panel-net").click()
    expect(run).to_have_attribute("data-state", "stopped", timeout=20_000)
    expect(run.get_by_role("button", name="Pause panel-net")).to_have_count(0)


def test_two_notebooks_each_show_their_own_names(book: Any, page: Page, lab: Any) -> None:
    book("import mlkit\nhere = mlkit.ones(2)", name="one").run_all()
    write_notebook(lab.folder / "panel-two.ipynb", ["import mlkit\nthere = mlkit.ones(5)"])
    root = panel(page)
    expect(row(root, "here")).to_be_visible(timeout=20_000)
    page.evaluate("async () => { await jupyterapp.commands.execute('docmanager:open', {path: 'panel-two.ipynb'}); }")
    wait(
        page,
        lambda: page.evaluate("jupyterapp.shell.currentWidget.sessionContext?.session?.kernel?.status") == "idle",
        "the second kernel",
    )
    page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-cells'); }")
    expect(row(root, "there")).to_be_visible(timeout=30_000)
    expect(row(root, "here")).to_have_count(0)
    page.get_by_role("tab", name="panel-one.ipynb").click()
    expect(row(root, "here")).to_be_visible(timeout=20_000)
    expect(row(root, "there")).to_have_count(0)


def test_the_settings_are_in_the_editor_and_obeyed(book: Any, page: Page, lab: Any, tmp_path: Path) -> None:
    from mlkit.observe import Recorder

    recorder = Recorder("elsewhere", root=tmp_path / "kept")
    recorder.begin("background")
    recorder.record(1, {"train/loss": 2.0})
    recorder.record(2, {"train/loss": 1.0})
    recorder.end("finished")
    notebook = book("import mlkit\nx = mlkit.ones(2)")
    notebook.run_all()
    root = panel(page)
    expect(row(root, "x")).to_be_visible(timeout=20_000)
    expect(root.locator(".mlkit-Run", has_text="elsewhere")).to_have_count(0)
    page.evaluate("() => { jupyterapp.commands.execute('settingeditor:open', { query: 'mlkit' }); }")
    editor = page.locator(".jp-SettingsPanel")
    box = editor.get_by_label("Look at the kernel's tensors and models")
    expect(box).to_be_visible(timeout=30_000)
    box.click()
    expect(root.get_by_role("status")).to_contain_text("switched off", timeout=20_000)
    box.click()
    expect(row(root, "x")).to_be_visible(timeout=20_000)
    editor.get_by_title("Add item").click()
    field = editor.locator("input[type='text'][id*='runFolders']").last
    field.fill(str(tmp_path / "kept"))
    field.press("Tab")
    expect(root.locator(".mlkit-Run", has_text="elsewhere")).to_be_visible(timeout=20_000)
    editor.get_by_label("Show mlkit in the status bar").click()
    expect(page.locator(".mlkit-Status")).to_have_count(0, timeout=20_000)
    editor.get_by_label("Show mlkit in the status bar").click()
    expect(page.locator(".mlkit-Status")).to_be_visible(timeout=20_000)


def test_the_server_sends_commands_to_runs_it_shows_and_to_nothing_else(lab: Any, tmp_path: Path) -> None:
    def ask(path: str, body: Any = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(lab.url + path, data), timeout=30) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    status, state = ask("/mlkit/state?kernel=no-such-kernel&folder=/no/such/folder")
    assert status == 200 and state["memory"] is None and isinstance(state["runs"], list)
    (tmp_path / "mailbox").mkdir()
    status, answer = ask("/mlkit/send", {"run": str(tmp_path), "command": "stop"})
    assert status == 404 and "none of the runs" in answer["message"]
    assert list((tmp_path / "mailbox").iterdir()) == []
    assert ask("/mlkit/send", {"run": 5})[0] == 400
