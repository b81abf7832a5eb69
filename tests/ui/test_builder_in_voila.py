"""The model builder in Voila: a model is begun, repaired and trained with no notebook around it."""

from __future__ import annotations

from typing import Any

from builder_page import Builder
from helpers import axe, wait
from playwright.sync_api import Page, expect


def test_a_model_is_begun_repaired_and_trained(page: Page, voila: Any) -> None:
    page.goto(f"{voila.url}/voila/render/dashboards/model-builder.ipynb", timeout=90_000)
    model = Builder(page)
    expect(model.root).to_be_visible(timeout=90_000)
    model.show()
    model.canvas.get_by_role("button", name="CNN").click()
    model.wait_blocks(10)
    model.wait_label("N×16×28×28")
    model.tab("Train")
    model.panel.get_by_role("button", name="Set the shape of image to (N, 1, 8, 8)").click()
    model.panel.get_by_role("button", name="Set in_features of linear to 128").click()
    model.wait_label("N×16×8×8")
    assert axe(page, ".mlkit-builder") == []
    model.train(timeout=180)
    expect(model.panel.get_by_role("img", name="train loss")).to_be_visible()
    expect(model.block("conv2d").locator(".pulse")).to_be_attached()


def test_a_page_that_is_left_takes_its_kernel_along_and_complains_of_nothing(page: Page, voila: Any) -> None:
    page.goto(f"{voila.url}/voila/render/dashboards/model-builder.ipynb", timeout=90_000)
    Builder(page).show()
    kernel = page.evaluate("() => JSON.parse(document.getElementById('jupyter-config-data').textContent).kernelId")
    address = f"{voila.url}/api/kernels/{kernel}"
    assert page.request.get(address).status == 200
    page.goto(f"{voila.url}/voila/render/dashboards/model-builder.ipynb", timeout=90_000)  # a refusal is said here
    Builder(page).show()
    wait(page, lambda: page.request.get(address).status == 404, "the kernel to end")
