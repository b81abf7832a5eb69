"""Driving notebooks and widgets in a browser."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Locator, Page, expect

AXE = Path(__file__).parents[2] / "widgets" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]

READY = """async () => {
  const app = window.jupyterapp; if (!app) return false; await app.restored;
  const panel = app.shell.currentWidget; if (!panel?.sessionContext) return false;
  await panel.context.ready; await panel.sessionContext.ready;
  const kernel = panel.sessionContext.session?.kernel;
  return !!kernel && kernel.connectionStatus === 'connected' && kernel.status === 'idle';
}"""


def write_notebook(path: Path, cells: Sequence[str]) -> Path:
    """A notebook of code cells."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in cells],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


class Notebook:
    """The notebook that is open in JupyterLab."""

    def __init__(self, page: Page, url: str, name: str) -> None:
        self.page = page
        # A workspace of its own: another test's open notebooks are not restored.
        page.goto(f"{url}/lab/workspaces/{abs(hash(name)) % 10**8}/tree/{name}")
        self.wait_ready()

    def wait_ready(self) -> None:
        """The kernel must be connected: commands before that are silently lost."""
        wait(self.page, lambda: self.page.evaluate(READY), "JupyterLab and its kernel", 90)

    def run_all(self) -> None:
        self.page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-cells'); }")

    def run(self, index: int) -> None:
        """Start one cell."""
        self.page.evaluate(
            """index => { const panel = jupyterapp.shell.currentWidget;
            panel.content.activeCellIndex = index; panel.content.deselectAll();
            jupyterapp.commands.execute('notebook:run-cell'); }""",
            index,
        )

    def cells(self) -> list[dict[str, Any]]:
        """The notebook's cells as they would be saved."""
        return self.page.evaluate("() => jupyterapp.shell.currentWidget.model.toJSON().cells")

    def text(self, index: int) -> str:
        """Everything a cell has printed or answered in words."""
        words = []
        for output in self.cells()[index].get("outputs", []):
            words.append("".join(output.get("text", "")))
            words.append("".join(output.get("data", {}).get("text/plain", "")))
            words.append(output.get("evalue", ""))
        return "\n".join(word for word in words if word)

    def wait_run(self, index: int, timeout: float = 60) -> None:
        """Wait until a cell has been run to its end; an error in it fails the test."""

        def done() -> bool:
            cells = self.cells()
            for cell in cells[: index + 1]:
                for output in cell.get("outputs", []):
                    assert output["output_type"] != "error", "\n".join(output["traceback"])
            return cells[index].get("execution_count") is not None

        self.wait(done, f"cell {index} to run", timeout)

    def wait(self, condition: Callable[[], Any], what: str, timeout: float = 60) -> Any:
        return wait(self.page, condition, what, timeout)

    def save(self) -> None:
        self.page.evaluate("async () => { await jupyterapp.commands.execute('docmanager:save'); }")

    def theme(self, name: str) -> None:
        """ "light" or "dark"."""
        full = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}[name]
        self.page.evaluate(
            "async theme => { await jupyterapp.commands.execute('apputils:change-theme', {theme}); }", full
        )
        self.page.wait_for_function(
            "light => document.body.dataset.jpThemeLight === light", arg=str(name == "light").lower()
        )


def wait(page: Page, condition: Callable[[], Any], what: str, timeout: float = 60) -> Any:
    """Ask until the answer is true; the browser goes on meanwhile."""
    deadline = time.monotonic() + timeout
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"waited {timeout:g} s for {what}"
        page.wait_for_timeout(50)


class Curves:
    """A TrainingCurves on the page."""

    def __init__(self, page: Page, root: Locator | None = None) -> None:
        self.page = page
        self.root = (root if root is not None else page.locator(".mlkit-curves")).first

    @property
    def state(self) -> str:
        return self.root.get_attribute("data-state") or ""

    @property
    def step(self) -> int:
        return int(self.root.get_attribute("data-step") or 0)

    def points(self, family: str = "loss") -> int:
        """How many points the page holds for one panel."""
        panel = self.root.locator(f".panel[data-family='{family}']")
        return int(panel.get_attribute("data-points") or 0) if panel.count() else 0

    def wait_state(self, *states: str, timeout: float = 60) -> None:
        wait(self.page, lambda: self.state in states, f"the state {' or '.join(states)}", timeout)

    def wait_points(self, least: int, family: str = "loss", timeout: float = 60) -> None:
        wait(self.page, lambda: self.points(family) >= least, f"{least} points of {family}", timeout)

    def press(self, name: str) -> None:
        """Press a button by its name, once it can be pressed."""
        button = self.root.get_by_role("button", name=name, exact=True)
        expect(button).to_be_enabled()
        button.click()

    def set_learning_rate(self, value: str) -> None:
        field = self.root.get_by_label("learning rate", exact=True)
        expect(field).to_be_editable()
        field.fill(value)
        field.press("Enter")

    def drawn(self, family: str = "loss") -> int:
        """Pixels of the train curve's colour family in one panel: proof that something was drawn."""
        return self.root.locator(f".panel[data-family='{family}'] canvas:not(.overlay)").evaluate(
            """canvas => { const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            let colourful = 0;
            for (let i = 0; i < data.length; i += 4) {
              const [r, g, b, a] = data.slice(i, i + 4);
              if (a > 100 && Math.max(r, g, b) - Math.min(r, g, b) > 60) colourful += 1;
            }
            return colourful; }"""
        )


def axe(page: Page, selector: str) -> list[str]:
    """What axe-core finds wrong inside `selector`, in words."""
    assert AXE.is_file(), "axe-core is not installed: run `npm ci` in widgets/ (make front-end-test does)"
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate(
        """async ([selector, rules]) => (await axe.run(selector, {runOnly: rules})).violations
        .map(({id, nodes}) => `${id}: ${nodes.map(node => node.html.slice(0, 160)).join(' | ')}`)""",
        [selector, RULES],
    )
    return list(found)
