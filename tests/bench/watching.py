"""What live widgets cost a training: CPU time of a step with a widget attached, against the same step without.

``python -m tests.bench.watching`` runs one training in turns, a second or two each: nothing attached; inside
``mlkit.live`` (which records); with ``TrainingCurves`` on that run; with ``GradientFlow`` on the model. All CPU time of the
process counts, the widgets' own thread and the packing of their messages as a kernel packs them included; the page that
would get the messages is another process and is not there.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

from tests.bench import child

WORKLOADS = ("mlp-64", "mlp-512", "cnn-64")
WAYS = ("nothing", "recorded", "curves", "gradients")


def packer() -> Callable[[dict, Any], int]:
    """A function (content, buffers) that does what a kernel does with a message before it leaves."""
    try:
        from jupyter_client.session import Session
    except ImportError:
        return lambda content, buffers: len(json.dumps(content))
    session = Session(key=b"bench")

    def pack(content, buffers) -> int:
        message = session.msg("comm_msg", {"comm_id": "0" * 32, "data": {"method": "custom", "content": content}})
        return sum(map(len, session.serialize(message))) + sum(memoryview(b).nbytes for b in buffers or ())

    return pack


def connected(widget: Any, pack: Callable, sent: list[int], hello: dict) -> Any:
    """The widget with a page that has asked for everything once."""
    widget.send = lambda content, buffers=None: sent.append(pack(content, buffers))
    widget._on_custom_message(widget, hello, [])
    return widget


def measure(name: str, seconds: float, rounds: int) -> dict[str, Any]:
    """CPU milliseconds of a step in each way, by turns, and the shares that they add."""
    import mlkit
    from mlkit.widgets import GradientFlow, TrainingCurves
    from mlkit_widgets import _base

    if not (_base.Path(_base.__file__).parent / "training_curves" / "view.js").exists():
        _base.read_view = lambda folder, name: ""  # the page's half is not built, and no page is here
    work = child.build(mlkit, name)
    step, optimizer = child.make_training(mlkit, work)
    pack, sent = packer(), []
    for _ in range(5):
        step()
    began = time.process_time()
    for _ in range(5):
        step()
    count = max(20, int(seconds / ((time.process_time() - began) / 5)))
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    batches, warm = [None] * count, min(50, count // 4)

    def turn(way: str, folder: str) -> None:
        widget = None
        loop: Any = batches
        if way in ("recorded", "curves"):
            loop = mlkit.live(batches, model=work.model, optimizer=optimizer, run_dir=folder, progress=False)
        if way == "curves":
            widget = connected(TrainingCurves(loop), pack, sent, {"kind": "sync", "runs": {}})
        elif way == "gradients":
            made = GradientFlow(work.model, run_dir=folder)
            widget = connected(made, pack, sent, {"kind": "sync", "streams": ["", ""], "have": [0, 0]})
            for _ in range(20):  # its first samples are taken at any cost
                step()
        for i, _ in enumerate(loop):  # opening a run and ending it is no part of a step
            if i == warm:
                start = time.process_time()
            step()
            if i == count - 1:
                found[way].append((time.process_time() - start) / (count - warm))
        if widget is not None:
            if way == "gradients":
                widget.detach()
            widget.close()

    with tempfile.TemporaryDirectory() as folder:
        for i in range(rounds):
            for way in WAYS if i % 2 else WAYS[::-1]:
                turn(way, folder)
    result: dict[str, Any] = {"workload": name, "steps": count, "rounds": rounds, "messages": len(sent)}
    for way in WAYS:
        result[way] = {"median": statistics.median(found[way]) * 1e3, "best": min(found[way]) * 1e3}
        if way != "nothing":
            each = [a / b - 1 for a, b in zip(found[way], found["nothing"], strict=True)]
            result[way]["share"] = statistics.median(each)
    base = found["recorded"]
    result["curves"]["share_of_widget"] = statistics.median(
        a / b - 1 for a, b in zip(found["curves"], base, strict=True)
    )
    return result


def words(result: dict[str, Any]) -> str:
    parts = [f"{result['workload']:12} step {result['nothing']['median']:8.3f} ms"]
    parts += [f"{way} {result[way]['share']:+6.2%}" for way in WAYS[1:]]
    parts.append(f"curves against recorded {result['curves']['share_of_widget']:+6.2%}")
    return "   ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.watching", description=__doc__)
    parser.add_argument("--only", default=",".join(WORKLOADS), help="names with commas")
    parser.add_argument("--seconds", type=float, default=1.5, help="CPU time of one turn")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="one JSON object a line, for the benchmark")
    options = parser.parse_args()
    for name in options.only.split(","):
        result = measure(name, options.seconds, options.rounds)
        print(json.dumps(result) if options.json else words(result), flush=True)


if __name__ == "__main__":
    main()
