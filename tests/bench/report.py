"""The benchmark's table, JSON file and picture."""

from __future__ import annotations

import json
from pathlib import Path

from tests.bench.workloads import WORKLOADS

COLUMNS = (
    f"{'workload':22} {'thr':>3} {'PyTorch':>9} {'compiled':>9} {'mlkit':>9} {'compiled':>9}"
    f"   {'eager':>5} {'goal':>4} {'comp':>5} {'goal':>4}   {'MB':>5} {'gross':>5} {'net':>5}   {'MB':>5} {'gross':>5} {'net':>5}  losses"
)


def best(result: dict, kind: str, clock: str) -> tuple[str, dict] | None:
    """The faster of the sides of that kind ("torch", "torch-compiled", "mlkit", "mlkit-compiled")."""
    sides = {
        side: found
        for side, found in result["sides"].items()
        if side in (kind, f"{kind}-channels-last") and clock in found
    }
    if not sides:
        return None
    side = min(sides, key=lambda s: sides[s][clock]["median"])
    return side, sides[side]


def ratios(result: dict, clock: str) -> dict:
    """What a row says: medians in ms, ratios of time and memory to PyTorch eager, and whether the losses agree."""
    torch = best(result, "torch", clock)
    row: dict = {}
    for kind in ("torch", "torch-compiled", "mlkit", "mlkit-compiled"):
        found = best(result, kind, clock)
        row[kind] = found[1][clock]["median"] * 1e3 if found else None
        if found:
            memory = found[1].get("memory", {})
            row[f"{kind}-mb"] = memory.get("gross")
            if torch and "memory" in torch[1] and memory and kind != "torch":
                row[f"{kind}-gross"] = memory["gross"] / torch[1]["memory"]["gross"]
                row[f"{kind}-net"] = memory["net"] / max(torch[1]["memory"]["net"], 1.0)
            if torch and kind != "torch":
                row[f"{kind}-time"] = row[kind] / row["torch"]
    losses = [found["losses"] for found in result["sides"].values() if found.get("losses")]
    row["agree"] = agree(losses)
    return row


def agree(losses: list[list[float]]) -> bool | None:
    """Whether the first losses of all sides are the same to a part in a thousand; None for one side alone."""
    if len(losses) < 2:
        return None
    first = losses[0]
    return all(abs(a - b) <= 1e-3 * max(1.0, abs(a)) for other in losses[1:] for a, b in zip(first, other))


def number(x: float | None, form: str, width: int) -> str:
    return (format(x, form) if x is not None else "-").rjust(width)


def print_head(document: dict) -> None:
    print(f"{document['cpu']}, {document['cores']} cores; {document['date']}; median {document['clock']} time in ms")
    print(", ".join(f"{k} {v}" for k, v in document["versions"].items()))
    if document["load"]:
        print(f"load before: {document['load'][0]:.1f}")
    print("times in ms; ratios to PyTorch eager; memory: peak RSS in MB and its ratios, eager and then compiled")
    print(COLUMNS)


def print_row(result: dict, clock: str) -> None:
    row = ratios(result, clock)
    goals = WORKLOADS[result["workload"]][2:]
    times = [number(row[k], ".3f", 9) for k in ("torch", "torch-compiled", "mlkit", "mlkit-compiled")]
    said = {None: "", True: "equal", False: "DIFFER"}[row["agree"]]
    print(
        f"{result['workload']:22} {result['threads']:>3} {' '.join(times)}   "
        f"{number(row.get('mlkit-time'), '.2f', 5)} {goals[0]:4} "
        f"{number(row.get('mlkit-compiled-time'), '.2f', 5)} {goals[1]:4}   {number(row.get('mlkit-mb'), '.0f', 5)} "
        f"{number(row.get('mlkit-gross'), '.2f', 5)} {number(row.get('mlkit-net'), '.2f', 5)}   "
        f"{number(row.get('mlkit-compiled-mb'), '.0f', 5)} {number(row.get('mlkit-compiled-gross'), '.2f', 5)} "
        f"{number(row.get('mlkit-compiled-net'), '.2f', 5)}  {said}",
        flush=True,
    )
    for side, found in result["sides"].items():
        if "error" in found or ("missing" in found and side != "mlkit-compiled"):
            print(f"    {side}: {found.get('error') or found.get('missing')}", flush=True)


def print_watching(document: dict) -> None:
    """What live widgets add to a step; the goal is under 2 percent."""
    rows = document.get("watching") or []
    if rows:
        print("\nlive widgets, one thread, CPU time of the whole process (goal: under 2 % of a step)")
    for found in rows:
        if "error" in found:
            print(f"    {found['error']}")
            continue
        print(
            f"{found['workload']:22} step {found['nothing']['median']:8.3f} ms   recorded by mlkit.live "
            f"{found['recorded']['share']:+.2%}, TrainingCurves on it {found['curves']['share_of_widget']:+.2%}, "
            f"GradientFlow {found['gradients']['share']:+.2%}"
        )


def write(document: dict, stem: Path) -> list[str]:
    """The JSON file, and the picture where matplotlib is there."""
    stem.parent.mkdir(exist_ok=True)
    for result in document["results"]:
        result["ratios"] = ratios(result, document["clock"])
    written = [f"{stem}.json"]
    Path(written[0]).write_text(json.dumps(document, indent=1) + "\n")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("matplotlib is not there: no picture.")
        return written
    rows = [r for r in document["results"] if r["ratios"].get("mlkit-time") is not None]
    if not rows:
        return written
    figure = Figure(figsize=(9, 1.2 + 0.34 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    for i, r in enumerate(rows):
        found = r["ratios"]
        bars = (("mlkit-time", "#2563a8", "mlkit"), ("mlkit-compiled-time", "#d9822b", "mlkit compiled"))
        for k, (key, colour, label) in enumerate(bars):
            y = i - 0.2 + 0.4 * k
            if found.get(key) is not None:
                axes.barh(y, found[key], 0.36, color=colour, label=label if i == 0 else None)
                goal = WORKLOADS[r["workload"]][2 + k]
                axes.plot([goal] * 2, [y - 0.18, y + 0.18], color="#111", lw=1.6, label="goal" if i == k == 0 else None)
        if found.get("torch-compiled-time") is not None:
            axes.plot(
                found["torch-compiled-time"], i, "D", color="#777", ms=4, label="torch.compile" if i == 0 else None
            )
    axes.axvline(1, color="#888", lw=0.8)
    axes.set_yticks(range(len(rows)), [f"{r['workload']}, {r['threads']} thread(s)" for r in rows])
    axes.invert_yaxis()
    axes.set_xlabel("time / PyTorch eager (lower is better)")
    figure.legend(loc="outside lower right", frameon=False, ncols=4)
    axes.set_title(f"{document['cpu']}, {document['date']}, {document['clock']} clock", fontsize=9)
    figure.savefig(f"{stem}.png", dpi=110)
    return [*written, f"{stem}.png"]
