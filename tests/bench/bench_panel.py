"""What mlkit's panel in JupyterLab costs a training: the same run with the panel open and closed, in turns.

    python -m tests.bench.bench_panel                    # five minutes: 8 pairs of turns of 15 seconds
    python -m tests.bench.bench_panel --pairs 2 --seconds 5

A notebook in a real browser trains a small network in the background, as a user's does, on one thread. The training
itself writes down its steps, the CPU time of its process and the clock; turns follow one another, so that a change of
the machine's speed meets both. The row says how much longer a step takes with the panel open: by the clock, and by the
kernel's CPU time. The clock needs a quiet machine with a second core for the browser and the server.

It also says how much more CPU time everything but the kernel (browser, server) takes with the panel open, in percent of
one core: what a training would lose at most if all of them had to share a single core. That figure needs no quiet.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from bisect import bisect_left
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "panel.json"
SETTLE = 3.0  # seconds at the beginning of a turn that are not counted
WARM = (
    15.0  # seconds with the panel open, and as many closed, before the first turn: a fresh page compiles what it runs
)

CELL = """
import time
from mlkit import nn, optim
from mlkit.data import DataLoader, digits
from mlkit.train import Callback, Trainer

class Clock(Callback):
    def __init__(self):
        self.file = open({path!r}, "w", buffering=1)
    def on_step_start(self, trainer, step, batches):
        if step % 100 == 0:
            print(time.monotonic(), time.process_time(), step, file=self.file)

images = mlkit.rand(64, 1, 28, 28)
weights = [mlkit.rand(64, 64) for _ in range(20)]
net = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
trainer = Trainer(net, loss=nn.CrossEntropyLoss(), optimizer=optim.AdamW(net.parameters(), 1e-3), callbacks=[Clock()],
                  progress=False, name="bench-panel")
run = trainer.start(DataLoader(digits(train=True), batch_size=64, shuffle=True), epochs=10**6)
"""


def measure(pairs: int, seconds: float) -> dict[str, Any]:
    """Train and open and close the panel; a row."""
    from playwright.sync_api import sync_playwright

    from tests.tools.browser import find
    from tests.ui import conftest, helpers

    with tempfile.TemporaryDirectory() as home:
        log = Path(home) / "steps.txt"
        command = [
            "-m", "jupyterlab", "--no-browser", "--ServerApp.port_retries=0", "--LabApp.expose_app_in_browser=True",
            "--IdentityProvider.token=", "--ServerApp.password=", "--ServerApp.disable_check_xsrf=True",
        ]  # fmt: skip
        serving = conftest._serve(Path(home) / "lab", command, "/api/status")
        lab = next(serving)
        turns: list[tuple[bool, float, float]] = []
        beside: dict[bool, list[float]] = {True: [], False: []}  # CPU seconds a second of all other processes
        try:
            helpers.write_notebook(
                lab.folder / "bench.ipynb", ["import mlkit\n" + CELL.format(path=str(log)), "run.stop()"]
            )
            with sync_playwright() as player:
                browser = player.chromium.launch(executable_path=find(), args=conftest.ARGUMENTS)
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                book = helpers.Notebook(page, lab.url, "bench.ipynb")
                book.run(0)
                book.wait_run(0)
                for shown in (True, False):
                    show(page, shown)
                    page.wait_for_timeout(1000 * WARM)
                for pair in range(pairs):
                    for shown in (True, False) if pair % 2 else (False, True):  # what changes slowly meets both alike
                        show(page, shown)
                        page.wait_for_timeout(1000 * SETTLE)
                        begun, spent = time.monotonic(), others()
                        page.wait_for_timeout(1000 * seconds)
                        ended = time.monotonic()
                        turns.append((shown, begun, ended))
                        beside[shown].append((others() - spent) / (ended - begun))
                book.run(1)
                page.wait_for_timeout(1000)
                page.evaluate("async () => { await jupyterapp.serviceManager.sessions.shutdownAll(); }")
                browser.close()
        finally:
            serving.close()
        rows = [tuple(map(float, line.split())) for line in log.read_text().splitlines() if line.count(" ") == 2]
    extra = [opened - closed for opened, closed in zip(beside[True], beside[False], strict=True)]
    spread = statistics.stdev(extra) if len(extra) > 1 else 0.0
    return {
        "seconds": seconds,
        "steps": rows[-1][2],
        **ratios(rows, turns),
        "others": round(statistics.median(extra), 4),
        "others_mean": round(statistics.mean(extra), 4),
        "others_error": round(1.25 * spread / len(extra) ** 0.5, 4),  # of the median
        "others_closed": round(statistics.median(beside[False]), 4),
        "others_all": [round(v, 4) for v in extra],
    }


def others() -> float:
    """CPU seconds of the browser and the server so far: all processes below this one, but for the kernel."""
    import psutil

    total = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            if not any("ipykernel" in word for word in process.cmdline()):
                spent = process.cpu_times()
                total += spent.user + spent.system
        except psutil.Error:  # it has just ended
            continue
    return total


def show(page: Any, shown: bool) -> None:
    """Open the panel, or close the whole left side."""
    if shown:
        page.evaluate("async () => { await jupyterapp.commands.execute('mlkit:open-panel'); }")
        page.get_by_role("region", name="mlkit", exact=True).wait_for()
    else:
        page.evaluate(
            "() => { if (!jupyterapp.shell.leftCollapsed) jupyterapp.commands.execute('application:toggle-left-area'); }"
        )


def ratios(rows: list[tuple[float, ...]], turns: list[tuple[bool, float, float]]) -> dict[str, Any]:
    """Time and CPU time of a step with the panel open, divided by the same with it closed, pair by pair.

    >>> rows = [(t, 2 * t, 100 * t) for t in range(60)]
    >>> found = ratios(rows, [(True, 0, 10), (False, 10, 20), (True, 20, 30), (False, 30, 40)])
    >>> found["clock"], found["cpu"], found["cpu_error"], found["pairs"]
    (1.0, 1.0, 0.0, 2)
    """
    times = [row[0] for row in rows]
    costs: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for shown, begun, ended in turns:
        one, two = rows[bisect_left(times, begun)], rows[bisect_left(times, ended) - 1]
        steps = two[2] - one[2]
        costs[shown].append(((two[0] - one[0]) / steps, (two[1] - one[1]) / steps))
    both = list(zip(costs[True], costs[False], strict=True))
    clock, cpu = ([opened[i] / closed[i] for opened, closed in both] for i in (0, 1))
    spread = statistics.stdev(cpu) if len(cpu) > 1 else 0.0
    return {
        "pairs": len(both),
        "clock": round(statistics.median(clock), 4),
        "cpu": round(statistics.median(cpu), 4),
        "cpu_error": round(1.25 * spread / len(cpu) ** 0.5, 4),  # of a median
        "clock_all": [round(v, 4) for v in clock],
        "cpu_all": [round(v, 4) for v in cpu],
        "step_ms": round(1000 * statistics.median(c[0] for c in costs[False]), 4),
    }


def main() -> None:
    """Measure, print the row and keep it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--keep", action="store_true", help=f"write the row to {RESULTS.name}")
    options = parser.parse_args()
    row = measure(options.pairs, options.seconds)
    print(json.dumps(row))
    print(
        f"a step with the panel open: {100 * (row['clock'] - 1):+.2f} % by the clock, "
        f"{100 * (row['cpu'] - 1):+.2f} % CPU (give or take {100 * row['cpu_error']:.1f}); "
        f"browser and server: {100 * row['others']:+.2f} % of a core (give or take {100 * row['others_error']:.2f}; "
        f"mean {100 * row['others_mean']:+.2f})"
    )
    if options.keep:
        RESULTS.write_text(json.dumps(row, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
