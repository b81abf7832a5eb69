"""Driving the model builder in a browser: with the mouse alone, or with the keyboard alone."""

from __future__ import annotations

from typing import Any

from helpers import wait
from playwright.sync_api import Locator, Page, expect


class Builder:
    """A ModelBuilder on the page."""

    def __init__(self, page: Page, index: int = 0) -> None:
        self.page = page
        self.root = page.locator(".mlkit-builder").nth(index)
        self.canvas = self.root.get_by_role("region", name="Model canvas")
        self.palette = self.root.get_by_role("region", name="Palette")
        self.panel = self.root.get_by_role("tabpanel")

    def show(self) -> None:
        expect(self.root).to_be_visible(timeout=180_000)
        expect(self.palette.get_by_role("button", name="Linear", exact=True)).to_be_attached(timeout=30_000)
        self.root.scroll_into_view_if_needed()

    # --- blocks ---------------------------------------------------------------------------------------------------

    def block(self, name: str) -> Locator:
        """A block by its name in the model (conv2d_2)."""
        return self.canvas.locator(f".react-flow__node[data-id='{name}']")

    def names(self) -> list[str]:
        return self.canvas.locator(".react-flow__node").evaluate_all("nodes => nodes.map(node => node.dataset.id)")

    def labels(self) -> list[str]:
        """What stands on the links."""
        return self.canvas.locator(".react-flow__edge text").all_text_contents()

    def wait_blocks(self, many: int) -> None:
        wait(self.page, lambda: self.root.get_attribute("data-blocks") == str(many), f"{many} blocks")

    def wait_label(self, words: str) -> None:
        wait(self.page, lambda: any(words in label for label in self.labels()), f"{words} on a link")

    def rest(self) -> None:
        """Wait until the blocks and the view stand still: a click in between may miss what moves."""
        places = self.canvas.locator(".react-flow__node, .react-flow__viewport")
        seen: list[Any] = []

        def still() -> bool:
            seen.append(places.evaluate_all("all => all.map(one => one.style.transform)"))
            self.page.wait_for_timeout(250)
            return len(seen) > 2 and seen[-1] == seen[-2] == seen[-3]

        wait(self.page, still, "blocks that stand still")

    # --- the mouse ------------------------------------------------------------------------------------------------

    def drag_block(self, kind: str, x: float, y: float) -> None:
        """Drag an entry of the palette to a place on the canvas, in pixels from its corner."""
        before = int(self.root.get_attribute("data-blocks") or 0)
        search = self.palette.get_by_role("searchbox")
        search.click()
        search.fill(kind)
        entry = self.palette.get_by_role("button", name=kind, exact=True)
        entry.drag_to(self.canvas, target_position={"x": x, "y": y})
        search.fill("")
        self.wait_blocks(before + 1)

    def link(self, source: str, target: str, output: str = "output", input: str = "input") -> None:
        """Draw a link from handle to handle."""
        start = self.block(source).locator(f".react-flow__handle-bottom[data-handleid='{output}']")
        end = self.block(target).locator(f".react-flow__handle-top[data-handleid='{input}']")
        self.draw(start, end)
        expect(
            self.canvas.locator(f".react-flow__edge[data-id='{source}.{output} -> {target}.{input}']")
        ).to_be_attached()

    def draw(self, start: Locator, end: Locator) -> None:
        one, two = middle(start), middle(end)
        mouse = self.page.mouse
        mouse.move(*one)
        mouse.down()
        mouse.move((one[0] + two[0]) / 2 + 3, (one[1] + two[1]) / 2, steps=4)
        mouse.move(*two, steps=4)
        mouse.up()

    def choose(self, name: str) -> None:
        self.block(name).locator(".head").click()
        expect(self.panel.get_by_label("name", exact=True)).to_have_value(name)

    def set(self, name: str, value: str) -> None:
        """Set a property of the chosen block in the panel."""
        field = self.panel.get_by_label(name, exact=True)
        field.click()
        field.fill(value)
        field.press("Enter")

    def tab(self, name: str) -> None:
        self.root.get_by_role("tab", name=name).click()

    def press(self, name: str) -> None:
        self.root.get_by_role("button", name=name, exact=True).first.click()

    def train(self, timeout: float = 120) -> None:
        """Press Train and wait for the end."""
        self.tab("Train")
        self.panel.get_by_role("button", name="Train", exact=True).click()
        wait(self.page, lambda: self.state in ("finished", "failed"), "the end of the training", timeout)
        assert self.state == "finished", self.panel.inner_text()

    @property
    def state(self) -> str:
        return self.root.get_attribute("data-state") or ""


def middle(element: Any) -> tuple[float, float]:
    box = element.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
