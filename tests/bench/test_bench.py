"""The benchmark itself: its workloads run, its table says what was measured, without PyTorch too."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_halves_of_a_table_are_put_together(tmp_path):
    from tests.bench.__main__ import merge

    half = {"cpu": "x", "cores": 2, "versions": {}, "clock": "cpu", "date": "1", "minutes": 2.0}
    (tmp_path / "one.json").write_text(json.dumps({**half, "results": [1], "watching": [3]}))
    (tmp_path / "two.json").write_text(json.dumps({**half, "results": [2]}))
    whole = merge(["one", "two"], tmp_path)
    assert whole["results"] == [1, 2] and whole["watching"] == [3] and whole["minutes"] == 4
    (tmp_path / "two.json").write_text(json.dumps({**half, "cpu": "y", "results": [2]}))
    with pytest.raises(SystemExit, match="differ in cpu"):
        merge(["one", "two"], tmp_path)


def test_what_widgets_cost_is_measured_with_messages_that_leave():
    pytest.importorskip("anywidget")
    from tests.bench import watching

    found = watching.measure("mlp-64", 0.05, 1)
    assert found["messages"] > 0 and set(watching.WAYS) <= set(found)
    assert "curves" in watching.words(found) and found["nothing"]["median"] > 0


def test_what_the_panel_costs_is_counted_pair_by_pair():
    from tests.bench.bench_panel import ratios

    rows, clock = [], 0.0
    for step in range(0, 40_000, 100):  # every other turn of ten seconds, a step takes 2 % longer
        rows.append((clock, 0.5 * clock, float(step)))
        clock += 0.1 * (1.02 if int(clock // 10) % 2 == 0 else 1.0)
    turns = [(n % 2 == 0, 10.0 * n, 10.0 * (n + 1)) for n in range(4)]
    found = ratios(rows, turns)
    assert found["pairs"] == 2 and abs(found["clock"] - 1.02) < 0.003 and abs(found["cpu"] - 1.02) < 0.003
