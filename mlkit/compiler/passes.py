"""What is done to a recorded graph before it becomes a program. Each pass takes nodes and gives nodes."""

from __future__ import annotations

from mlkit.compiler.graph import GraphNode


def dead_code(nodes: list[GraphNode], results: list[str]) -> list[GraphNode]:
    """Leave out what nobody uses: nodes without effect none of whose outputs is needed later or at the end."""
    needed = set(results)
    kept = []
    for n in reversed(nodes):
        if n.effect or needed.intersection(n.outputs):
            kept.append(n)
            needed.update(n.inputs)
    return kept[::-1]


class Passed:
    """What the passes made of a recording, and a line of numbers for each."""

    def __init__(self, forward: list[GraphNode], backward: list[GraphNode]):
        self.forward, self.backward = forward, backward
        self.log: list[tuple[str, int, int]] = []


def run_all(graph, forward, backward, results, grads, weights, recorder, settings) -> Passed:
    made = Passed(forward, backward)
    joint = [*forward, *backward]
    split = len(forward)
    marks = {n.id for n in forward[:split]}

    def step(name, fn):
        nonlocal joint
        before = len(joint)
        joint = fn(joint)
        made.log.append((name, before, len(joint)))

    wanted = [*results, *grads]
    step("dead code", lambda nodes: dead_code(nodes, wanted))
    made.forward = [n for n in joint if n.id in marks]
    made.backward = [n for n in joint if n.id not in marks]
    return made


def memory_plan(graph, nodes, results, recorder, settings):
    from mlkit.compiler.memory import Plan

    return Plan()
