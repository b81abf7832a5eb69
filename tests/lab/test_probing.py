"""A look at a kernel's names finds what is there and leaves no trace."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import mlkit
from mlkit import nn
from mlkit.lab.probing import MOST, MOST_PARAMETERS, made_at, probe


class Touchy:
    """An object that minds being looked at."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"{name} was asked for")

    def __repr__(self) -> str:
        raise AssertionError("its repr was asked for")


def names() -> dict[str, Any]:
    mlkit.manual_seed(0)
    w = mlkit.rand(3, 4, requires_grad=True)
    return {
        "w": w, "y": w * 2, "row": w.detach()[0], "far": mlkit.zeros(1000, 1000, device="meta"),
        "count": mlkit.tensor([1, 2]), "model": nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).eval(),
        "n": 3, "text": "hello", "touchy": Touchy(), "_hidden": mlkit.ones(2), "mlkit": mlkit, "Linear": nn.Linear,
    }  # fmt: skip


def test_tensors_and_models_are_found_with_their_facts() -> None:
    answer = probe(names())
    rows = {row["name"]: row for row in answer["tensors"]}
    assert list(rows) == ["w", "y", "row", "far", "count"]
    assert (rows["w"]["shape"], rows["w"]["dtype"], rows["w"]["device"]) == ([3, 4], "float32", "cpu")
    assert (rows["w"]["bytes"], rows["w"]["grad"], rows["w"]["made"]) == (48, True, False)
    assert rows["y"]["made"] and not rows["row"]["grad"]
    assert rows["row"]["view"] and rows["row"]["memory"] == rows["w"]["memory"]
    assert (rows["far"]["device"], rows["far"]["bytes"]) == ("meta", 0)
    assert rows["count"]["dtype"] == "int64"
    (model,) = answer["models"]
    assert (model["name"], model["type"], model["training"], model["whole"]) == ("model", "Sequential", False, True)
    assert model["trainable"] == 4 * 3 + 3 + 3 + 3
    assert model["devices"] == ["cpu"]
    assert answer["memory"] > 1e6 and answer["more"] == 0
    json.dumps(answer)


def test_a_tensor_kept_from_inside_a_transform_does_not_hide_the_others() -> None:
    kept: list[Any] = []

    def f(x: Any) -> Any:
        kept.append(x)
        return x * 2

    x = mlkit.rand(3, 2)
    mlkit.func.vmap(f)(x)
    mlkit.func.jvp(f, (x,), (x,))
    mlkit.func.vmap(f)(mlkit.zeros(3, 2, device="meta"))
    rows = probe({"one": kept[0], "dual": kept[1], "far": kept[2], "x": x})["tensors"]
    assert [row["shape"] for row in rows] == [[2], [3, 2], [2], [3, 2]]
    assert [row["device"] for row in rows] == ["cpu", "cpu", "meta", "cpu"]
    assert [row["bytes"] for row in rows] == [24, 24, 0, 24] and rows[0]["memory"] == rows[3]["memory"]


def test_looking_changes_nothing() -> None:
    namespace = names()
    w, y = namespace["w"], namespace["y"]
    before, places = dict(namespace), {name: id(value) for name, value in namespace.items()}
    state, node, version = mlkit.get_rng_state().tolist(), y.grad_fn, y._version
    modules = set(sys.modules)
    probe(namespace)
    made_at("y", namespace)
    assert list(namespace) == list(before) and {n: id(v) for n, v in namespace.items()} == places
    assert mlkit.get_rng_state().tolist() == state
    assert y.grad_fn is node and y._version == version and w.grad is None
    assert set(sys.modules) == modules
    assert set(names()["model"].__dict__) == set(namespace["model"].__dict__)
    y.sum().backward()
    assert w.grad.tolist() == [[2.0] * 4] * 3
    row = next(row for row in probe(namespace)["tensors"] if row["name"] == "w")
    assert row["gradient"]


def test_many_names_are_counted_and_not_all_listed() -> None:
    answer = probe({f"t{i}": mlkit.ones(1) for i in range(MOST + 25)})
    assert (len(answer["tensors"]), answer["more"]) == (MOST, 25)


def test_a_huge_model_is_said_to_be_looked_at_in_part() -> None:
    one = nn.Linear(1, 1, bias=False)
    model = nn.ModuleList([nn.Linear(1, 1, bias=False) for _ in range(MOST_PARAMETERS + 5)])
    answer = probe({"model": model, "same": nn.ModuleList([one, one])})
    assert (answer["models"][0]["whole"], answer["models"][0]["numbers"]) == (False, MOST_PARAMETERS)
    assert not answer["models"][1]["whole"]


def test_shared_weights_count_once() -> None:
    one = nn.Linear(2, 2, bias=False)
    assert probe({"model": nn.ModuleList([one, one])})["models"][0]["numbers"] == 4


def test_the_line_that_made_a_tensor() -> None:
    w = mlkit.ones(2, requires_grad=True)
    y = w.exp()
    place = made_at("y", {"y": y})
    assert place["file"] == __file__ and place["code"] == "y = w.exp()"
    assert made_at("w", {"w": w}) == {} and made_at("gone", {}) == {} and made_at("n", {"n": 3}) == {}


CELLS = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_cell("import mlkit", store_history=True)
shell.run_cell("w = mlkit.ones(2, requires_grad=True)\\ny = w * 3", store_history=True)
before, count, history = dict(shell.user_ns), shell.execution_count, len(shell.user_ns["_ih"])
expression = "__import__('mlkit.lab.probing', fromlist=['probe']).probe()"
answer = shell.user_expressions({"found": expression})["found"]
assert answer["status"] == "ok", answer
print(answer["data"]["application/json"]["tensors"][1]["name"])
print(shell.user_expressions({"at": "__import__('mlkit.lab.probing', fromlist=['x']).made_at('y')"})
      ["at"]["data"]["application/json"])
after = dict(shell.user_ns)
print(list(before) == list(after) and all(before[k] is after[k] for k in before))
print(shell.execution_count == count and len(shell.user_ns["_ih"]) == history)
"""


def test_in_a_shell_it_answers_with_json_and_leaves_no_name() -> None:
    done = subprocess.run([sys.executable, "-c", CELLS], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    name, place, same, still = done.stdout.splitlines()[-4:]
    assert name == "y" and "'cell': 2" in place and "'line': 2" in place
    assert (same, still) == ("True", "True")


def test_the_probe_needs_no_other_room() -> None:
    """A first look must not load rooms that the user has not asked for."""
    code = (
        "import sys, mlkit; before = set(sys.modules); from mlkit.lab.probing import probe; probe({'x': mlkit.ones(2)}); "
        "print(sorted(name for name in set(sys.modules) - before if 'mlkit' in name))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "['mlkit.lab', 'mlkit.lab.probing']"
