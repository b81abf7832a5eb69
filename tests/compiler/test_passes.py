"""Each pass by itself, on what a small function records."""

from __future__ import annotations

import numpy as np
import pytest

import mlkit
from mlkit.compiler import fusion, memory, passes
from mlkit.compiler.recorder import Recorder
from mlkit.core import config


def record(fn, *inputs):
    """(nodes, Facts, ids of the results) of one run."""
    recorder = Recorder("f", list(inputs))
    with recorder:
        out = fn(*inputs)
        out = out if isinstance(out, tuple) else (out,)
        results = [recorder.value_of(t) for t in out]
    assert recorder.broken is None
    constants = {k: a for k, a in recorder.constants.items() if k not in recorder.fresh}
    written = {recorder.root(k) for k in recorder.written}
    facts = passes.Facts(recorder.graph, recorder.arrays, constants, set(results), written, recorder.foreign)
    return recorder.graph.nodes, facts, results


def names(nodes):
    return [n.op for n in nodes]


def test_dead_code_keeps_effects():
    def f(x):
        x * 2
        x.add_(1)
        mlkit.rand(3)  # its key is taken in every call
        return x - 1

    nodes, facts, _ = record(f, mlkit.ones(3))
    assert names(nodes) == ["mul", "add", "write", "take_key", "uniform", "sub"]
    assert names(passes.dead_code(nodes, facts)) == ["add", "write", "take_key", "sub"]


def test_common_subexpressions_end_where_memory_changes():
    nodes, facts, _ = record(lambda x: (x + 1) * (x + 1), mlkit.ones(3))
    assert names(passes.common_subexpressions(nodes, facts)) == ["add", "mul"]

    def changing(x):
        first = x + 1
        x.mul_(2)
        return first * (x + 1)

    nodes, facts, _ = record(changing, mlkit.ones(3))
    assert names(passes.common_subexpressions(nodes, facts)) == names(nodes)


def test_constants_are_folded_but_not_arguments_or_outside_tensors():
    outside = mlkit.ones(3)

    def f(x):
        mask = mlkit.ones(3, 3).tril() * 2
        return mask @ x + outside * 3

    nodes, facts, _ = record(f, mlkit.ones(3))
    assert names(nodes) == ["tril", "mul", "matmul", "mul", "add"]
    assert names(passes.constant_folding(nodes, facts)) == ["matmul", "mul", "add"]


def test_memory_of_somebody_else_is_no_constant():
    array = np.ones(3, np.float32)
    nodes, facts, _ = record(lambda x: x + mlkit.from_numpy(array) * 2, mlkit.ones(3))
    assert names(passes.constant_folding(nodes, facts)) == ["mul", "add"]


def test_no_ops_go():
    def f(x):
        return ((x * 1).reshape(2, 3).float() / mlkit.ones(2, 3)).exp()

    nodes, facts, _ = record(f, mlkit.ones(2, 3))
    assert names(passes.simplify(nodes, facts)) == ["exp"]
    nodes, facts, _ = record(lambda x: x * 1, mlkit.ones(2))  # a result must be a tensor of its own
    assert names(passes.simplify(nodes, facts)) == ["mul"]


def test_fusion_prints_one_loop(monkeypatch):
    monkeypatch.setattr(fusion, "SMALLEST", 1)
    nodes, facts, results = record(lambda x, y: ((x + y) * 2).relu() @ y, mlkit.randn(4, 4), mlkit.randn(4, 4))
    if not fusion.usable():
        pytest.skip("without Numba")
    made = fusion.fuse(nodes, facts, set(results), True)
    assert names(made) == ["fused_add_mul_relu", "matmul"]
    x, y = facts.arrays["v0"], facts.arrays["v1"]
    np.testing.assert_array_equal(made[0].kernel(x, y), np.maximum((x + y) * np.float32(2), 0))


def test_without_numba_the_ops_stay_and_write_into_buffers(monkeypatch):
    monkeypatch.setattr(config, "numba", False, raising=False)
    nodes, facts, results = record(lambda x, y: (x + y) * 2 - y, mlkit.randn(64, 64), mlkit.randn(64, 64))
    assert fusion.fuse(nodes, facts, set(results), True) == nodes
    plan = memory.plan(nodes, facts, set(results))
    assert len(plan.places) == 2 and plan.size == 64 * 64 * 4  # the second takes over the first one's block


def test_buffers_that_live_together_never_overlap():
    rng = np.random.default_rng(0)
    for _ in range(50):
        lives, sizes = {}, {}
        for i in range(40):
            first = int(rng.integers(0, 60))
            lives[f"v{i}"] = (first, first + int(rng.integers(0, 20)))
            sizes[f"v{i}"] = int(rng.integers(1, 5000))
        where, total = memory.offsets(lives, sizes)
        for a in lives:
            assert where[a] % memory.ALIGNMENT == 0 and where[a] + sizes[a] <= total
            for b in lives:
                together = lives[a][0] <= lives[b][1] and lives[b][0] <= lives[a][1]
                if a != b and together:
                    assert where[a] + sizes[a] <= where[b] or where[b] + sizes[b] <= where[a]


def test_plan_gives_back_what_eager_computes():
    def f(x):
        h = x
        for i in range(6):
            h = (h @ x + h).relu() * 0.1 + i
        return h.sum(0)

    g = mlkit.compile(f, backend="numpy")
    for _ in range(3):
        x = mlkit.randn(32, 32)
        assert mlkit.equal(g(x), f(x))
    (r,) = g.explain().recordings
    assert r.parts[0].block < r.eager_peak * 2 and len(r.parts[0].buffers) > 10
