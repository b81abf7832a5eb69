"""``make bench``: mlkit against PyTorch on the same training steps, one table, a JSON file and a picture.

``python -m tests.bench`` measures every workload at one and two threads. PyTorch is measured where the environment
variable ``MLKIT_BENCH_PYTORCH`` names a Python that has it; without it the columns of mlkit stand alone. Each side runs
in a process of its own (PyTorch and Numba share OpenMP's state inside one process and falsify each other); the
processes take turns, a few steps each, so that a busy machine slows all of them alike.

    python -m tests.bench --quick                       # a minute: few steps, one thread, no torch.compile
    python -m tests.bench --only mlp-64,gpt-32 --clock cpu
    python -m tests.bench --threads 1 --name one && python -m tests.bench --threads 2 --name two --no-watching
    python -m tests.bench --merge one,two --name both   # the whole table in two halves

A half (twenty workloads at one number of threads, with torch.compile) takes about 25 minutes on a quiet machine.

``--clock cpu`` reports the process's CPU time instead of the wall clock: meaningful at one thread, and the one to use on a
machine with other work. Results go to ``tests/bench/results/``.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tests.bench import report
from tests.bench.workloads import WORKLOADS

ROOT = Path(__file__).parents[2]
SIDES = ("torch", "torch-channels-last", "torch-compiled", "torch-compiled-channels-last", "mlkit", "mlkit-compiled")
IMAGES = ("cnn", "resnet18")
MOST_STEPS = 2000  # in a turn: fifty of a tenth of a millisecond were over before the threads of the side before had gone to sleep
PAUSE = 0.05  # seconds before a turn, for the same reason: OpenMP threads spin for milliseconds after their last step


class Child:
    """A side of the comparison; ``ask`` sends it a line and gives its answer."""

    def __init__(self, python: str, side: str, name: str, threads: int):
        count = str(threads)
        names = "OPENBLAS_NUM_THREADS OMP_NUM_THREADS MKL_NUM_THREADS NUMBA_NUM_THREADS VECLIB_MAXIMUM_THREADS".split()
        env = {**os.environ, **dict.fromkeys(names, count), "MLKIT_THREADS": count, "PYTHONPATH": str(ROOT)}
        command = [python, "-m", "tests.bench.child", side, name, count]
        self.side = side
        self.process = subprocess.Popen(
            command, env=env, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.answers: list[dict] = []

    def answer(self) -> dict:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        assert self.process.stderr is not None
        return {"error": (self.process.stderr.read().strip().splitlines() or ["it ended without a word"])[-1]}

    def ask(self, line: str) -> dict:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        return self.answer()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


def sides_of(name: str, torch: str | None, compiled: bool) -> list[str]:
    found = [s for s in SIDES if torch or not s.startswith("torch")]
    if not compiled:
        found = [s for s in found if "compiled" not in s]
    if not name.startswith(IMAGES):
        return [s for s in found if not s.endswith("channels-last")]
    return [
        s for s in found if s != "torch-compiled"
    ]  # it compiles for minutes, and channels last is its quicker layout


def measure(name: str, threads: int, options: argparse.Namespace) -> dict:
    """One workload: every side's times, losses and memory."""
    result: dict = {"workload": name, "threads": threads, "sides": {}}
    children: list[Child] = []
    try:
        for side in sides_of(name, options.torch, options.compiled):
            if options.sides and side not in options.sides.split(","):
                continue
            python = options.torch if side.startswith("torch") else sys.executable
            if side == "mlkit-compiled" and not options.quick:
                first = Child(python, side, name, threads)  # it fills the kernel cache on disk
                first.answer()
                first.close()
            child = Child(python, side, name, threads)
            ready = child.answer()
            if "ready" not in ready:
                result["sides"][side] = ready
                child.close()
                continue
            result["sides"][side] = {"version": ready["version"], "import": ready["import"], "warm": ready["warm"]}
            children.append(child)
        for child in list(children):
            answer = child.ask("losses 4")
            if "error" in answer:
                result["sides"][child.side] = answer
                children.remove(child)
                child.close()
                continue
            result["sides"][child.side].update(losses=answer["losses"], wall=[], cpu=[])
            child.pace = answer["wall"][-1]  # type: ignore[attr-defined]
        if children:
            slowest = max(child.pace for child in children)  # type: ignore[attr-defined]
            steps = max(1, min(MOST_STEPS, int(options.seconds / options.rounds / slowest)))
            for _ in range(options.rounds):
                for child in children:
                    time.sleep(PAUSE)
                    answer = child.ask(f"run {steps}")
                    for clock in ("wall", "cpu"):
                        result["sides"][child.side].setdefault(clock, []).extend(answer.get(clock, []))
        for child in children:
            result["sides"][child.side].update(child.ask("end"))
    finally:
        for child in children:
            child.close()
    for found in result["sides"].values():
        for clock in ("wall", "cpu"):
            times = found.pop(clock, None)
            if times:
                found[clock] = {"median": statistics.median(times), "best": min(times), "steps": len(times)}
    return result


def processor() -> str:
    try:
        with open("/proc/cpuinfo") as f:
            return next(line.split(":")[1].strip() for line in f if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("numpy", "numba"):
        try:
            found[name] = __import__(name).__version__
        except ImportError:
            found[name] = "not there"
    return found


def watching(options: argparse.Namespace) -> list[dict]:
    """What live widgets cost a step, measured in a process of its own."""
    names = "OPENBLAS_NUM_THREADS OMP_NUM_THREADS NUMBA_NUM_THREADS".split()
    paths = os.pathsep.join([str(ROOT), str(ROOT / "widgets")])
    env = {**os.environ, **dict.fromkeys(names, "1"), "PYTHONPATH": paths}
    command = [sys.executable, "-m", "tests.bench.watching", "--json"]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode:
        found.append({"error": (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]})
    return found


def merge(names: list[str], folder: Path) -> dict:
    """One document out of several: the halves of a table measured one after the other."""
    documents = [json.loads((folder / f"{name}.json").read_text()) for name in names]
    whole = documents[0]
    for other in documents[1:]:
        for key in ("cpu", "cores", "versions", "clock"):
            if other[key] != whole[key]:
                raise SystemExit(f"{names[0]} and {other['date']} differ in {key}: {whole[key]} and {other[key]}")
        whole["results"] += other["results"]
        whole["watching"] = whole.get("watching", []) + other.get("watching", [])
        whole["minutes"] = round(whole.get("minutes", 0) + other.get("minutes", 0), 1)
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help="names with commas, or parts of them: mlp-64,infer")
    parser.add_argument("--threads", default="1,2", help="thread counts with commas")
    parser.add_argument("--rounds", type=int, default=5, help="turns each process takes")
    parser.add_argument("--seconds", type=float, default=6.0, help="how long the slowest side of a workload may run")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--no-compiled", dest="compiled", action="store_false", help="leave the compilers out")
    parser.add_argument("--sides", help=f"what is compared, with commas; by default {','.join(SIDES)}")
    parser.add_argument("--note", help="a line about the circumstances, kept in the JSON file")
    parser.add_argument("--quick", action="store_true", help="few steps, one thread, no compilers")
    parser.add_argument("--no-watching", dest="watching", action="store_false", help="without what live widgets cost")
    parser.add_argument("--merge", help="measure nothing: put these results (names with commas) into one table")
    parser.add_argument("--name", help="of the result files; today's date and time unless given")
    parser.add_argument("--torch-python", dest="torch", default=os.environ.get("MLKIT_BENCH_PYTORCH"))
    options = parser.parse_args()
    folder = Path(__file__).parent / "results"
    stem = options.name or datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
    if options.merge:
        document = merge(options.merge.split(","), folder)
        report.print_head(document)
        for result in document["results"]:
            report.print_row(result, document["clock"])
        report.print_watching(document)
        print("\nwritten:", *report.write(document, folder / stem), sep="\n  ")
        return
    if options.quick:
        options.threads, options.rounds, options.seconds, options.compiled = (
            "1",
            3,
            options.seconds if options.seconds < 3 else 3.0,
            bool(options.sides),
        )
    names = list(WORKLOADS)
    if options.only:
        parts = options.only.split(",")
        names = [n for n in names if any(p == n for p in parts)] or [n for n in names if any(p in n for p in parts)]
        if not names:
            parser.error(f"no workload named {options.only}; there are {', '.join(WORKLOADS)}")
    if not options.torch:
        print("MLKIT_BENCH_PYTORCH names no Python with PyTorch: mlkit alone is measured.\n")
    began = time.monotonic()
    document = {
        "format": "mlkit.bench",
        "version": 1,
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": processor(),
        "cores": os.cpu_count(),
        "versions": versions(),
        "clock": options.clock,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "note": options.note,
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "results": [],
    }
    report.print_head(document)
    if not options.quick:  # kernels that are compiled while it is measured would count as its memory
        subprocess.run([sys.executable, "-m", "mlkit.cli", "warmup"], cwd=ROOT, stdout=subprocess.DEVNULL, check=False)
    try:
        for threads in map(int, options.threads.split(",")):
            for name in names:
                result = measure(name, threads, options)
                document["results"].append(result)
                report.print_row(result, options.clock)
        if options.watching and not options.quick and not options.only:
            document["watching"] = watching(options)
            report.print_watching(document)
    except KeyboardInterrupt:  # what was measured is kept
        document["interrupted"] = True
    document["minutes"] = round((time.monotonic() - began) / 60, 1)
    print("\nwritten:", *report.write(document, folder / stem), sep="\n  ")


if __name__ == "__main__":
    main()
