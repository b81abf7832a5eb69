"""The model builder with 300 blocks in a real browser: first paint, frames a second, size of what is sent.

    python -m tests.bench.bench_builder
    python -m tests.bench.bench_builder --blocks 600 --keep

The canvas is dragged with the mouse for a few seconds, at the zoom in which it opens and with all blocks in view, and
zoomed with the wheel. Frames are counted by the page itself. Chromium draws in software here: a GPU is quicker.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "builder.json"
CELL = """
import time, mlkit
from mlkit.builder import Document, ModelBuilder
from mlkit.builder.templates import Sketch
sketch = Sketch("Large")
start = sketch.add("Input", shape=["batch", 64])
ends = []
for branch in range({branches}):
    x = start
    while len(sketch.blocks) < (branch + 1) * ({blocks} - 3) // {branches}:
        y = sketch.add("Linear", x, in_features=64, out_features=64)
        y = sketch.add("Dropout", sketch.add("ReLU", sketch.add("LayerNorm", y, normalized_shape=64)))
        x = sketch.add("Add", x, y)
    ends.append(x)
sketch.add("Output", sketch.add("Concat", *ends))
builder = ModelBuilder(Document(sketch.graph()))
builder
"""
COUNT = """async seconds => {
  const times = []; let stop = false;
  const frame = now => { times.push(now); if (!stop) requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
  await new Promise(done => setTimeout(done, 1000 * seconds));
  stop = true;
  const gaps = times.slice(1).map((t, i) => t - times[i]).sort((a, b) => a - b);
  return { fps: 1000 * (times.length - 1) / (times.at(-1) - times[0]), worst: gaps[Math.floor(0.95 * gaps.length)] };
}"""


def measure(blocks: int, seconds: float, branches: int = 12) -> dict[str, Any]:
    """Open it, move it, count; a row. The blocks stand in so many branches side by side."""
    from playwright.sync_api import sync_playwright

    from tests.tools.browser import find
    from tests.ui import conftest, helpers

    row: dict[str, Any] = {"blocks": blocks, "branches": branches}
    with tempfile.TemporaryDirectory() as home:
        command = ["-m", "voila", "--no-browser", "--Voila.ip=127.0.0.1", "--template=mlkit"]
        serving = conftest._serve(Path(home) / "voila", command, "/")
        voila = next(serving)
        try:
            helpers.write_notebook(
                voila.folder / "notebooks" / "large.ipynb", [CELL.format(blocks=blocks, branches=branches)]
            )
            with sync_playwright() as player:
                browser = player.chromium.launch(executable_path=find(), args=conftest.ARGUMENTS)
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                page.add_init_script("""new MutationObserver(() => {
                    if (!window.begun && document.querySelector('.mlkit-builder')) window.begun = performance.now();
                    if (!window.painted && document.querySelector('.react-flow__node .block')) {
                      window.painted = 0; requestAnimationFrame(() => setTimeout(() => { window.painted = performance.now(); })); }
                  }).observe(document, { subtree: true, childList: true });""")
                page.goto(f"{voila.url}/voila/render/large.ipynb", timeout=120_000)
                page.wait_for_function("() => window.painted > 0", timeout=120_000)
                row["first_paint_s"] = round(page.evaluate("() => (window.painted - window.begun) / 1000"), 2)
                page.wait_for_timeout(1500)
                row["pan"] = pan(page, seconds)
                page.get_by_role("button", name="Fit", exact=True).click()
                page.wait_for_timeout(1500)
                row["shown"] = page.locator(".react-flow__node").count()
                row["pan_all"] = pan(page, seconds)
                row["zoom_all"] = wheel(page, seconds)
                browser.close()
        finally:
            serving.close()
    view = Path(__file__).parents[2] / "widgets" / "mlkit_widgets" / "model_builder" / "view.js"
    row["gzip_kB"] = round(len(gzip.compress(view.read_bytes())) / 1000, 1)
    return row


def pan(page: Any, seconds: float) -> dict[str, float]:
    """Drag the empty canvas in circles."""
    box = page.locator(".react-flow__pane").bounding_box()
    x, y = box["x"] + 30, box["y"] + 30
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 3, y + 3)
    found = counted(
        page, seconds, lambda t: page.mouse.move(x + 90 + 90 * math.sin(4 * t), y + 90 - 90 * math.cos(4 * t))
    )
    page.mouse.up()
    return found


def wheel(page: Any, seconds: float) -> dict[str, float]:
    """Zoom in and out with Ctrl and the wheel."""
    box = page.locator(".react-flow__pane").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.keyboard.down("Control")
    found = counted(page, seconds, lambda t: page.mouse.wheel(0, -12 if math.sin(4 * t) > 0 else 12))
    page.keyboard.up("Control")
    return found


def counted(page: Any, seconds: float, act: Any) -> dict[str, float]:
    """Frames a second, and the gap (ms) that 95 % of them keep, while `act` is done."""
    page.evaluate(f"() => {{ window.counted = ({COUNT})({seconds}); }}")
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        act(time.monotonic() - begun)
        time.sleep(0.008)
    return {key: round(value, 1) for key, value in page.evaluate("() => window.counted").items()}


def main() -> None:
    """Measure, print the row and keep it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--blocks", type=int, default=300)
    parser.add_argument("--branches", type=int, default=12, help="1 is one long chain")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--keep", action="store_true", help=f"write the row to {RESULTS.name}")
    options = parser.parse_args()
    row = measure(options.blocks, options.seconds, options.branches)
    print(json.dumps(row))
    if options.keep:
        RESULTS.write_text(json.dumps(row, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
