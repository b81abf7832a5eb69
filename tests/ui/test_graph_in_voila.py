"""GraphInspector on a Voila dashboard: the kernel answers there too, and two views of it agree."""

from __future__ import annotations

from typing import Any

import pytest
from helpers import write_notebook
from playwright.sync_api import Page, expect

CELL = """
import mlkit
from mlkit import nn
from mlkit.nn import functional as F
from mlkit.widgets import GraphInspector
mlkit.manual_seed(0)
model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
seen = GraphInspector(model, mlkit.rand(4, 6), loss=lambda y: F.cross_entropy(y, mlkit.tensor([0, 1, 2, 0])))
seen
"""


def test_the_whole_of_it_in_voila(page: Page, voila: Any) -> None:
    write_notebook(voila.folder / "notebooks" / "graph.ipynb", [CELL, "seen"])
    page.goto(f"{voila.url}/voila/render/graph.ipynb")
    first, second = page.locator(".mlkit-graph").nth(0), page.locator(".mlkit-graph").nth(1)
    expect(first).to_be_visible(timeout=60_000)

    def node(name: str, root: Any = first) -> Any:
        return root.locator(f"[data-node][aria-label^='{name}']")

    node("0, Linear").dblclick()
    expect(node("0, Linear", second)).to_have_attribute("aria-expanded", "true")
    first.get_by_role("button", name="Fit").click()
    node("linear in 0").click()
    expect(first.locator(".tensor[data-ready='true'] .html")).not_to_be_empty(timeout=30_000)
    first.get_by_label("Index", exact=True).fill("1, 2")
    first.get_by_role("button", name="Explain").click()
    explained = first.locator(".explained[data-ready='true']")
    expect(explained).to_contain_text("linear in 0 (Linear): output[1, 2]")
    expect(explained.locator(".term")).to_have_count(6)
    expect(second.locator(".explained[data-ready='true']")).to_contain_text("output[1, 2]")
    total = float(explained.get_attribute("data-total") or "nan")
    shown = explained.locator(".claim b").text_content() or ""
    assert total == pytest.approx(float(shown.replace("−", "-")), rel=1e-3)
    explained.locator(".term .link").first.click()
    expect(first.locator(".explained[data-ready='true']")).to_contain_text("an input")
    first.get_by_role("button", name="Close the explanation").click()
    first.get_by_role("button", name="Backward", exact=True).click()
    expect(first.get_by_text("of the loss").first).to_be_visible(timeout=60_000)
    first.get_by_role("button", name="Forward", exact=True).click()
    first.get_by_label("What changes").select_option("all")
    first.get_by_label("How it changes").select_option("scale")
    first.get_by_role("button", name="Try").click()
    expect(first.locator(".banner.change")).to_contain_text("of its size", timeout=30_000)
    expect(second.locator(".banner.change")).to_contain_text("of its size")
    first.get_by_role("button", name="Reset").click()
    expect(second.locator(".banner.change")).to_have_count(0)
