"""The benchmark itself: its workloads run, its table says what was measured, without PyTorch too."""

import json
import subprocess
import sys
from pathlib import Path

import mlkit
from tests.bench import child, report
from tests.bench.workloads import TRAINING, WORKLOADS

ROOT = Path(__file__).parents[2]


def test_small_workloads_learn():
    for name in ("mlp-64", "lstm-32", "gpt-32"):
        work = child.build(mlkit, name, 2)
        step = child.make_step(mlkit, work, "mlkit")
        losses = [float(step().detach()) for _ in range(3)]
        assert losses[-1] < losses[0], name


def test_every_workload_has_goals():
    assert all(0 < eager <= 1 and 0 < compiled <= eager for _, _, eager, compiled in WORKLOADS.values())
    assert set(TRAINING) <= set(WORKLOADS)


def test_ratios_are_to_the_faster_layout():
    side = {"memory": {"gross": 100.0, "net": 50.0}, "losses": [1.0, 0.5]}
    result = {
        "sides": {
            "torch": {**side, "cpu": {"median": 0.004}},
            "torch-channels-last": {**side, "cpu": {"median": 0.002}},
            "mlkit": {"memory": {"gross": 40.0, "net": 30.0}, "losses": [1.0, 0.5], "cpu": {"median": 0.001}},
        }
    }
    row = report.ratios(result, "cpu")
    assert row["mlkit-time"] == 0.5 and row["mlkit-gross"] == 0.4 and row["mlkit-net"] == 0.6
    assert row["agree"] is True
    result["sides"]["mlkit"]["losses"] = [1.0, 0.6]
    assert report.ratios(result, "cpu")["agree"] is False


def test_the_benchmark_runs_without_pytorch(tmp_path):
    command = [sys.executable, "-m", "tests.bench", "--quick", "--seconds", "0.1", "--only", "chain"]
    command += ["--name", str(tmp_path / "found"), "--torch-python", ""]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "chain" in done.stdout and "alone" in done.stdout
    document = json.loads((tmp_path / "found.json").read_text())
    (result,) = document["results"]
    assert result["sides"]["mlkit"]["wall"]["median"] > 0 and "node" not in json.dumps(document["versions"])
