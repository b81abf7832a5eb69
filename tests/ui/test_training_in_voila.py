"""The training dashboard in Voila: the same training, watched and steered, with no notebook around it."""

from __future__ import annotations

from typing import Any

import pytest
from helpers import Curves, axe, wait
from playwright.sync_api import Page, expect

LONG = "200"


@pytest.fixture
def dashboard(page: Page, voila: Any) -> Page:
    page.goto(f"{voila.url}/voila/render/dashboards/training.ipynb", timeout=90_000)
    expect(page.get_by_role("button", name="Start training")).to_be_visible(timeout=90_000)
    expect(page.locator(".mlkit-graph")).to_be_visible(timeout=30_000)
    return page


def start(page: Page, network: str = "medium", epochs: str = LONG) -> Curves:
    page.get_by_label("Network").select_option(label=next(
        option for option in page.get_by_label("Network").locator("option").all_inner_texts() if option.startswith(network)
    ))  # fmt: skip
    field = page.locator(".widget-slider", has_text="Epochs").locator(".widget-readout")
    field.fill(epochs)
    field.press("Enter")
    page.get_by_role("button", name="Start training").click()
    curves = Curves(page)
    expect(curves.root).to_be_visible(timeout=30_000)
    return curves


def test_it_trains_live_and_obeys(dashboard: Page) -> None:
    page = dashboard
    curves = start(page)
    expect(page.get_by_role("button", name="Start training")).to_be_disabled()
    curves.wait_points(30, timeout=240)  # a fresh home: the CPU kernels of a convolution are compiled first
    grown = curves.points()
    curves.wait_points(grown + 30)
    assert curves.drawn() > 100

    curves.press("Pause")
    curves.wait_state("paused")
    page.wait_for_timeout(200)
    still = curves.step
    page.wait_for_timeout(1500)
    assert curves.step == still, "the step count must stand still"

    curves.set_learning_rate("0.0005")
    expect(curves.root.get_by_label("learning rate", exact=True)).to_have_value("5e-4")
    curves.press("Step")
    wait(page, lambda: curves.step == still + 1 and curves.state == "paused", "one step and then a pause")
    curves.press("Resume")
    wait(page, lambda: curves.step > still + 10, "steps after Resume")
    curves.press("Save checkpoint")
    expect(curves.root.get_by_text("Checkpoint at step")).to_be_visible()

    curves.press("Stop")
    curves.wait_state("stopped")
    expect(page.get_by_text("test accuracy")).to_be_visible()
    expect(page.get_by_role("button", name="Start training")).to_be_enabled()


def test_a_second_run_takes_the_place_of_the_first(dashboard: Page) -> None:
    page = dashboard
    curves = start(page, "small", "3")
    curves.wait_state("finished")
    first = curves.root.locator(".heading").inner_text()
    expect(page.get_by_role("button", name="Start training")).to_be_enabled()
    curves = start(page, "small", "5")
    wait(page, lambda: Curves(page).root.locator(".heading").inner_text() != first, "the second run")
    Curves(page).wait_state("finished")
    expect(page.locator(".mlkit-curves")).to_have_count(1)


def test_two_dashboards_at_once_do_not_disturb_each_other(
    dashboard: Page, voila: Any, browser: Any, browser_context_args: Any
) -> None:
    curves = start(dashboard, "small")
    context = browser.new_context(**browser_context_args)
    try:
        other = context.new_page()
        other.goto(f"{voila.url}/voila/render/dashboards/training.ipynb", timeout=90_000)
        expect(other.get_by_role("button", name="Start training")).to_be_visible(timeout=90_000)
        second = start(other, "small")
        second.wait_points(20)
        second.press("Stop")
        second.wait_state("stopped")
        before = curves.step
        wait(dashboard, lambda: curves.step > before, "the first dashboard to go on")
        assert curves.root.locator(".heading").inner_text() != second.root.locator(".heading").inner_text()
        curves.press("Stop")
        curves.wait_state("stopped")
    finally:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_to_complain_of_for_axe(page: Page, voila: Any, scheme: str) -> None:
    page.goto(f"{voila.url}/voila/render/dashboards/training.ipynb?theme={scheme}", timeout=90_000)
    expect(page.locator(".mlkit-graph")).to_be_visible(timeout=90_000)
    curves = start(page, "small", "3")
    curves.wait_state("finished")
    expect(page.get_by_text("test accuracy")).to_be_visible()
    expect(page.locator(f".mlkit[data-theme='{scheme}']")).to_have_count(2)
    assert axe(page, ".mlkit-curves") == []
    assert axe(page, ".mlkit-graph") == []
