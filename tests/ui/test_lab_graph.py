"""Recorded graphs in JupyterLab: drawn from their document alone, in a cell and as a file."""

from __future__ import annotations

import json
from typing import Any

from helpers import Notebook, axe, write_notebook
from playwright.sync_api import Page, expect

import mlkit
from mlkit import nn
from mlkit.compiler.trace import trace

CELL = """
import mlkit
from mlkit import nn
from mlkit.compiler.trace import trace
block = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
graph = trace(nn.Sequential(block, nn.Flatten(), nn.Linear(144, 10)), mlkit.rand(2, 1, 8, 8))
graph
"""


def test_a_graph_is_drawn_and_its_modules_open_and_close(page: Page, lab: Any) -> None:
    write_notebook(lab.folder / "graph-output.ipynb", [CELL])
    notebook = Notebook(page, lab.url, "graph-output.ipynb")
    notebook.run_all()
    notebook.wait_run(0, 120)
    data = notebook.cells()[0]["outputs"][-1]["data"]
    assert "text/html" in data and "text/plain" in data, "other programs show the picture"
    graph = page.locator(".mlkit-Graph")
    expect(graph).to_be_visible(timeout=20_000)
    conv = graph.get_by_role("button", name="0.0, Conv2d, output 2×4×6×6")
    expect(conv).to_have_attribute("aria-expanded", "false")
    expect(graph.locator(".label", has_text="2×1×8×8").first).to_be_visible()
    conv.click()
    expect(graph.get_by_role("img", name="conv2d in 0.0, output 2×4×6×6")).to_be_visible()
    expect(conv).to_have_attribute("aria-expanded", "true")
    graph.get_by_role("button", name="Collapse all").click()
    expect(conv).to_have_count(0)
    outer = graph.get_by_role("button", name="0, Sequential, output 2×4×6×6")
    outer.focus()
    page.keyboard.press("Enter")
    expect(conv).to_be_visible()
    expect(outer).to_be_focused()
    page.keyboard.press("b")
    assert len(notebook.cells()) == 1, "a key in the picture is no command of the notebook"
    for theme in ("light", "dark"):
        notebook.theme(theme)
        assert axe(page, ".mlkit-Graph") == []
    page.evaluate("async () => { await jupyterapp.serviceManager.sessions.shutdownAll(); }")


def test_a_file_of_a_graph_opens_and_a_wrong_one_says_what_is_wrong(page: Page, lab: Any) -> None:
    document = trace(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), mlkit.rand(2, 4)).to_dict()
    document["name"] = "<img src=x onerror=alert(1)>"
    (lab.folder / "small.mlgraph.json").write_text(json.dumps(document), "utf-8")
    (lab.folder / "odd.mlgraph.json").write_text(json.dumps({**document, "version": 9}), "utf-8")
    lost = {**document, "nodes": [{**document["nodes"][0], "inputs": ["gone"]}]}
    (lab.folder / "lost.mlgraph.json").write_text(json.dumps(lost), "utf-8")
    page.goto(f"{lab.url}/lab/workspaces/graph-files/tree/small.mlgraph.json")
    graph = page.locator(".mlkit-Graph")
    expect(graph.get_by_role("button", name="0, Linear, output 2×3")).to_be_visible(timeout=60_000)
    expect(graph.locator(".mlkit-Graph-head b")).to_have_text("<img src=x onerror=alert(1)>")
    for name, words in (("odd", "has version 9"), ("lost", "names a value gone that is not there")):
        page.goto(f"{lab.url}/lab/workspaces/graph-{name}/tree/{name}.mlgraph.json")
        expect(page.get_by_role("alert").filter(has_text=words)).to_be_visible(timeout=60_000)
