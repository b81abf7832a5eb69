"""A saved notebook without a kernel shows the widgets' last picture, not an empty box or an error."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from helpers import Curves, Notebook, wait, write_notebook
from nbconvert import HTMLExporter
from playwright.sync_api import Page, expect

TESTS = Path(__file__).parents[1] / "widgets"
CELLS = [
    f"import sys; sys.path.insert(0, {str(TESTS)!r})\n"
    "import threading, time\n"
    "from fakes import FakeSource\n"
    "from graphs import small_cnn\n"
    "from mlkit.widgets import Watch, GraphInspector\n"
    "source = FakeSource('a run')\n"
    "watch = Watch(source)\n"
    "watch",
    "GraphInspector(small_cnn())",
    "for step in range(1, 101):\n"
    "    source.add('train/loss', step, 2 / step)\n"
    "source.add('valid/accuracy', 100, 0.97)\n"
    "source.now['state'] = 'finished'\n"
    "source.version += 1",
]
ERRORS = ("Error displaying widget", "Loading widget")


@pytest.fixture
def saved(page: Page, lab: Any) -> Path:
    """A notebook that ran in JupyterLab and was saved after the run had finished."""
    path = write_notebook(lab.folder / "saved.ipynb", CELLS)
    notebook = Notebook(page, lab.url, "saved.ipynb")
    notebook.run_all()
    notebook.wait_run(2)
    curves = Curves(page)
    curves.wait_state("finished")
    curves.wait_points(100)
    page.locator(".mlkit-graph").get_by_role("button", name="head, Linear, output 64×10").dblclick()
    expect(page.locator(".mlkit-graph [aria-label^='matmul']")).to_be_visible()

    def picture(index: int) -> str:
        return "".join(notebook.cells()[index]["outputs"][0]["data"]["image/svg+xml"])

    wait(page, lambda: "finished" in picture(0) and "valid 0.97" in picture(0), "the last picture of the curves")
    wait(page, lambda: "matmul" in picture(1), "the last picture of the graph")
    notebook.save()
    page.evaluate("async () => { await jupyterapp.serviceManager.sessions.shutdownAll(); }")
    return path


def expect_pictures(page: Page) -> None:
    pictures = page.locator(".jp-OutputArea img[src^='data:image/svg+xml']")
    expect(pictures).to_have_count(2, timeout=30_000)
    for picture in pictures.all():
        picture.scroll_into_view_if_needed()
        expect(picture).to_be_visible()
        assert picture.evaluate("image => image.naturalWidth > 100 && image.getBoundingClientRect().height > 100")
        assert (picture.get_attribute("alt") or "").startswith(("TrainingCurves of a run", "GraphInspector of Net"))
    for words in ERRORS:
        expect(page.get_by_text(words).locator("visible=true")).to_have_count(0)


def test_jupyterlab_without_a_kernel_shows_the_last_picture(page: Page, lab: Any, saved: Path) -> None:
    content = json.loads(saved.read_text("utf-8"))
    assert "widgets" not in content["metadata"], "the picture must not need the widgets' state in the file"
    # A language that nobody here speaks, so that no kernel is started unasked. The copy is not trusted either.
    content["metadata"] = {"kernelspec": {"name": "nowhere", "display_name": "N"}, "language_info": {"name": "none"}}
    without = saved.with_name("without.ipynb")
    without.write_text(json.dumps(content), "utf-8")
    page.goto(f"{lab.url}/lab/workspaces/without/tree/without.ipynb")
    page.get_by_role("dialog").get_by_role("button", name="No Kernel").click()
    expect_pictures(page)


def test_another_kernel_than_the_one_that_trained_shows_the_last_picture(
    page: Page, lab: Any, saved: Path, watched: Any
) -> None:
    watched.expected = "model not found"  # ipywidgets writes that the new kernel does not have the old models
    notebook = Notebook(page, lab.url, "saved.ipynb")
    expect_pictures(page)
    notebook.run(0)
    expect(page.locator(".mlkit-curves")).to_be_visible()


def test_a_page_made_by_nbconvert_shows_the_last_picture(saved: Path) -> None:
    html, _ = HTMLExporter(template_name="lab").from_notebook_node(nbformat.read(saved, as_version=4))
    pictures = [base64.b64decode(text).decode() for text in re.findall(r"data:image/svg\+xml;base64,([^\"]+)", html)]
    pictures = [picture for picture in pictures if "mlkit" in picture]
    assert len(pictures) == 2
    assert "finished · epoch" in pictures[0] and "matmul" in pictures[1]
    assert "vnd.jupyter.widget-view" not in html
