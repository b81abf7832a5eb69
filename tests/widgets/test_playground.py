"""The playground: points, a network that really learns them, what the page gets, and the exported script."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import traitlets

import mlkit
from mlkit.core.errors import DataError
from mlkit.data import datasets
from mlkit_widgets import _base
from mlkit_widgets.playground import Playground, widget
from mlkit_widgets.playground.code import write_script
from mlkit_widgets.playground.engine import GRID, HISTORY, Engine, Settings
from mlkit_widgets.playground.points import EXTENT, TOYS, make_toy, read_own


@pytest.fixture
def playground(connect: Any) -> Any:
    return connect(Playground)


# --- points -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TOYS)
def test_toy_problems_lie_in_the_plane_and_a_seed_gives_the_same_again(name: str) -> None:
    points = make_toy(name, 120, 0.1, seed=3)
    assert points.xy.shape == (120, 2) and points.target.shape == (120,)
    assert np.abs(points.xy).max() < EXTENT + 0.5
    if points.kind == "classification":
        assert set(points.target.tolist()) == set(range(len(points.classes)))
    else:
        assert np.abs(points.target).max() <= 1
    again, other = make_toy(name, 120, 0.1, seed=3), make_toy(name, 120, 0.1, seed=4)
    assert (points.xy == again.xy).all() and (points.xy != other.xy).any()


def test_own_points_are_moved_into_the_plane_and_keep_their_names() -> None:
    draw = np.random.default_rng(0)
    table = draw.normal([100, -3], [20, 0.1], (50, 2))
    points = read_own((table, ["<b>", "no"] * 25))
    assert np.abs(points.xy).max() == pytest.approx(2.6)
    assert points.classes == ("<b>", "no") and points.kind == "classification"
    back = points.xy / 2.6 * points.half + points.middle
    assert np.allclose(back, table, atol=1e-3)
    value = read_own((mlkit.tensor(table), mlkit.tensor(table[:, 0] * 3)))
    assert value.kind == "regression" and value.target.min() == -1 and value.target.max() == 1
    assert read_own((table, np.arange(50) % 2), kind="regression").kind == "regression"
    assert read_own(datasets.moons(40)).classes == ("0", "1")


def test_a_table_of_three_columns_is_taken_with_its_names() -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"width": [1.0, 2, 3, 4], "height": [0, 1, 0, 1], "kind": list("abab")})
    points = read_own(table)
    assert points.names == ("width", "height") and points.classes == ("a", "b")
    with pytest.raises(DataError, match="three columns"):
        read_own(table[["width", "kind"]])
    assert read_own((table[["width", "height"]], table["kind"])).names == ("width", "height")


@pytest.mark.parametrize(
    "data, words",
    [
        (3, "int"),
        ((np.zeros((5, 3)), np.zeros(5)), "two columns"),
        ((np.zeros((5, 2)), np.zeros(4)), "5 points"),
        ((np.zeros((2, 2)), np.zeros(2)), "4 to 5,000"),
        ((np.full((5, 2), np.nan), np.zeros(5)), "missing"),
        ((np.zeros((5, 2)), np.zeros(5)), "1 different"),
        (([["a", "b"]] * 5, [0, 1, 0, 1, 0]), "numbers"),
        ((np.zeros((5, 2)), [0.5, 1.2, math.nan, 2.0, 7.0]), "missing"),
    ],
)
def test_bad_data_is_refused_in_words(data: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_own(data)


# --- learning ---------------------------------------------------------------------------------------------------------


def test_circles_are_told_apart_after_four_hundred_steps() -> None:
    engine = Engine(Settings(dataset="circles", layers=(4, 2)))
    before = engine.losses()
    engine.step(400)
    after = engine.losses()
    assert after["train"] < before["train"] / 3 and after["test"] < before["test"] / 3
    assert min(engine.accuracies().values()) >= 0.95


@pytest.mark.parametrize("dataset", ["xor", "blobs", "moons", "plane"])
def test_every_kind_of_problem_is_learned(dataset: str) -> None:
    engine = Engine(Settings(dataset=dataset, layers=(6, 4)))
    before = engine.losses()["test"]
    engine.step(500)
    assert engine.losses()["test"] < before / 2


@pytest.mark.parametrize("optimizer, lr", [("sgd", 0.1), ("momentum", 0.03), ("rmsprop", 0.01)])
def test_every_optimizer_and_penalty_lowers_the_loss(optimizer: str, lr: float) -> None:
    for regularization in ("none", "l1", "l2"):
        settings = Settings(dataset="xor", layers=(6,), optimizer=optimizer, lr=lr, regularization=regularization,
                            features=("x", "y", "xy"))  # fmt: skip
        engine = Engine(settings)
        before = engine.losses()["train"]
        engine.step(300)
        assert engine.losses()["train"] < before


def test_a_penalty_makes_weights_smaller() -> None:
    sizes = {}
    for kind in ("none", "l1", "l2"):
        engine = Engine(Settings(regularization=kind, regularization_rate=0.03))
        engine.step(300)
        sizes[kind] = sum(float(np.abs(weight).sum()) for weight, _ in engine.weights())
    assert sizes["l1"] < sizes["none"] / 2 and sizes["l2"] < sizes["none"] / 2


def test_the_same_seed_takes_the_same_steps_and_leaves_other_random_numbers_alone() -> None:
    mlkit.manual_seed(5)
    expected = mlkit.rand(3).tolist()
    mlkit.manual_seed(5)
    engines = [Engine(Settings(seed=2)) for _ in range(2)]
    for engine in engines:
        engine.step(30)
    assert mlkit.rand(3).tolist() == expected
    for (one, _), (two, _) in zip(engines[0].weights(), engines[1].weights()):
        assert (one == two).all()
    before = engines[0].losses()
    engines[0].reset()
    engines[0].step(30)
    assert engines[0].losses() == before


def test_what_hangs_on_a_setting_begins_anew_and_the_rest_goes_on() -> None:
    engine = Engine(Settings())
    engine.step(5)
    model = engine.model
    engine.change(Settings(lr=0.5, batch_size=3, regularization="l1"))
    assert engine.model is model and engine.steps == 5
    assert engine._optimizer.param_groups[0]["lr"] == 0.5
    engine.change(Settings(lr=0.5, optimizer="sgd"))
    assert engine.model is model and type(engine._optimizer).__name__ == "SGD"
    engine.change(Settings(layers=(3,)))
    assert engine.model is not model and engine.steps == 0 and len(engine.weights()) == 2


def test_no_hidden_layer_is_a_linear_model() -> None:
    engine = Engine(Settings(dataset="plane", layers=(), features=("x", "y"), noise=0.0))
    engine.step(500)
    assert engine.losses()["test"] < 1e-3
    assert engine.weights()[0][0] == pytest.approx(np.full((1, 2), 1 / 5.6), abs=0.01)


def test_a_loss_that_is_no_number_stops_with_a_reason() -> None:
    engine = Engine(Settings(dataset="plane", activation="linear", optimizer="sgd", lr=100.0))
    with np.errstate(all="ignore"):
        engine.step(200)
        stopped = engine.steps
        assert "learning rate 100 is too high" in engine.trouble and stopped < 200
        engine.step(5)
        assert engine.steps == stopped
        assert all(picture.dtype == np.int8 for picture in (engine.pictures()[0], engine.pictures()[2]))
    engine.reset()
    assert engine.trouble == ""


def test_pictures_are_what_the_network_gives_over_the_plane() -> None:
    engine = Engine(Settings(layers=(3,), features=("x", "sin_y")))
    engine.step(50)
    pictures, scales, surface = engine.pictures()
    assert pictures.shape == (2 + 3 + 1, GRID, GRID) and surface.shape == (1, GRID, GRID)
    axis = np.linspace(-EXTENT, EXTENT, GRID)
    assert pictures[0] / 127 * scales[0] == pytest.approx(np.broadcast_to(axis, (GRID, GRID)), abs=0.02)
    row, column = 4, 31  # a place well above the middle: the first row is the top
    inputs = mlkit.tensor([[axis[column], math.sin(axis[GRID - 1 - row])]], dtype=mlkit.float32)
    with mlkit.no_grad():
        hidden = engine.model[1](engine.model[0](inputs)).numpy()[0]
        out = engine.model(inputs).sigmoid().item()
    assert pictures[2:5, row, column] / 127 * scales[2:5] == pytest.approx(hidden, abs=0.01)
    assert surface[0, row, column] / 127 == pytest.approx(2 * out - 1, abs=0.01)
    many = Engine(Settings(dataset="blobs")).pictures()[2]
    assert many.shape[0] == 3 and np.abs(many.sum(axis=0) - 127.0).max() <= 2


def test_curves_are_thinned_and_keep_the_first_and_the_last_point() -> None:
    engine = Engine(Settings())
    for step in range(1, 3 * HISTORY):
        engine.steps = step
        engine.record()
    steps = [point[0] for point in engine.history]
    assert len(steps) <= HISTORY and steps[0] == 0 and steps[-1] == 3 * HISTORY - 1 and steps == sorted(set(steps))


# --- the widget -------------------------------------------------------------------------------------------------------


def test_a_page_gets_everything_once_and_then_what_moves(playground: Any) -> None:
    playground.say(kind="sync")
    (state,) = playground.take("state")
    assert state["steps"] == 0 and state["sizes"] == [2, 4, 2, 1]
    assert state["pictures"].shape == (9, GRID, GRID) and state["pictures"].dtype == np.int8
    assert state["points"]["xy"].shape == (200, 2) and int(state["points"]["train"].sum()) == 100
    assert [weight.shape for weight in state["weights"]] == [(4, 2), (2, 4), (1, 2)]
    playground.say(kind="step")
    playground.widget._tick()
    (state,) = playground.take("state")
    assert state["steps"] == 1 and "points" not in state
    playground.widget._next_tick = 0
    playground.widget._tick()
    assert playground.take("state") == [], "nothing has changed"


def test_a_step_that_comes_while_a_state_is_sent_is_sent_too(playground: Any, monkeypatch: Any) -> None:
    playground.say(kind="sync")
    view, late = playground.widget, [True]
    sent = view._send_state

    def send() -> None:
        sent()
        if late:
            late.pop()
            view.engine.step()

    monkeypatch.setattr(view, "_send_state", send)
    view.engine.step()
    for _ in range(2):
        view._next_tick = 0
        view._tick()
    assert playground.take("state")[-1]["steps"] == 2


def test_settings_from_either_side_reach_the_network(playground: Any) -> None:
    view = playground.widget
    view.set_state({"layers": [5], "features": ["sin_x", "x"], "lr": 0.3, "dataset": "blobs"})  # as the page does
    assert view.features == ["x", "sin_x"]
    assert view.engine.settings.lr == 0.3 and [w.shape for w, _ in view.engine.weights()] == [(5, 2), (3, 5)]
    playground.say(kind="sync")
    assert playground.take("state")[-1]["points"]["classes"] == ["0", "1", "2"]
    for name, value in [("layers", [9]), ("layers", [1] * 7), ("features", []), ("features", ["z"]), ("lr", 0.0),
                        ("noise", 2.0), ("dataset", "own"), ("batch_size", 0), ("activation", "step")]:  # fmt: skip
        before = getattr(view, name)
        with pytest.raises(traitlets.TraitError):
            setattr(view, name, value)
        assert getattr(view, name) == before


def wait(condition: Any, what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.01)


def test_play_trains_in_a_thread_and_pause_stops_it(playground: Any) -> None:
    view = playground.widget
    view.speed = "fast"
    view.set_state({"playing": True})
    wait(lambda: view.steps > 20, "steps")
    view.lr = 0.001  # in the middle of it
    view.layers = [3]
    assert view.engine.settings.lr == 0.001
    wait(lambda: view.steps > 5, "steps of the new network")
    view.pause()
    steps = view.steps
    assert not any(thread.name == "mlkit-playground" and thread is view._thread for thread in threading.enumerate())
    view.train(3)
    assert view.steps == steps + 3
    assert "Playground on circles: step" in repr(view)


def test_a_training_that_nobody_looks_at_rests(playground: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    view = playground.widget
    playground.say(kind="sync")
    monkeypatch.setattr(widget, "UNSEEN_SECONDS", -1.0)
    view.play()
    wait(lambda: not view.playing, "the pause")
    assert view.steps >= 1


def test_training_stops_with_the_widget(playground: Any) -> None:
    view = playground.widget
    view.play()
    thread = view._thread
    view.close()
    thread.join(30)
    assert not thread.is_alive()


def test_messages_that_make_no_sense_are_answered_in_words(playground: Any) -> None:
    playground.say(kind="dance", id=1)
    assert playground.take("reply")[0] == {"kind": "reply", "ok": False, "id": 1,
                                           "error": "The playground does not know the message 'dance'."}  # fmt: skip
    playground.say(kind="code", library="jax", id=2)
    assert "mlkit" in playground.take("reply")[0]["error"]
    playground.say(kind="new points", id=3)
    assert playground.widget.seed == 1


def test_own_points_and_the_picture_of_a_saved_notebook(connect: Any) -> None:
    draw = np.random.default_rng(0)
    page = connect(lambda: Playground(data=(draw.normal(size=(60, 2)), ["<script>alert(1)</script>", "b & c"] * 30)))
    page.widget.train(20)
    picture = page.widget._draw()
    root = ElementTree.fromstring(picture)
    assert root.get("aria-label", "").startswith("Playground on your points: step 20")
    assert "<script" not in picture and picture.count("<image") == 2 + 4 + 2 + 1 + 1
    bundle = page.widget._bundle()
    assert bundle["image/svg+xml"] and bundle[_base.MARK]["widget"] == "Playground"
    with pytest.raises(ValueError, match="needs data"):
        Playground("own")


# --- the script -------------------------------------------------------------------------------------------------------


def run(script: str, folder: Path) -> str:
    path = folder / "script.py"
    path.write_text(script, "utf-8")
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=300, check=False, cwd=folder)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "settings",
    [
        Settings(dataset="circles", regularization="l2", features=("x", "y2", "sin_x")),
        Settings(dataset="blobs", optimizer="momentum", regularization="l1", activation="relu", layers=(5,)),
        Settings(dataset="hills", optimizer="rmsprop", batch_size=17, seed=4, train_share=0.7),
    ],
    ids=lambda settings: settings.dataset,
)
def test_the_script_takes_the_same_steps_as_the_playground(settings: Settings, tmp_path: Path) -> None:
    engine = Engine(settings)
    lines = run(write_script(engine, steps=100), tmp_path).splitlines()
    engine.step(100)
    losses = engine.losses()
    assert f"step 100: train loss {losses['train']:.4f}, test loss {losses['test']:.4f}" in lines
    if engine.points.kind == "classification":
        assert lines[-1] == f"test accuracy {engine.accuracies()['test']:.3f}"


def test_the_script_has_the_users_own_points(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    columns = draw.normal(size=(40, 2)) * [10, 0.1]
    own = read_own((columns, np.where(columns[:, 0] > 0, 'a "b"\nimport os', "c")))
    engine = Engine(Settings(dataset="own"), own)
    script = write_script(engine, steps=200)
    assert "\nimport os" not in script
    lines = run(script, tmp_path).splitlines()
    engine.step(200)
    assert lines[-1] == f"test accuracy {engine.accuracies()['test']:.3f}"


def test_the_scripts_for_pytorch_run_under_that_name(tmp_path: Path) -> None:
    for dataset in TOYS:
        script = write_script(Engine(Settings(dataset=dataset, layers=(5,), samples=60)), "torch", steps=60)
        assert "mlkit" not in script and "import torch\n" in script
        (tmp_path / f"{dataset}.py").write_text(script, "utf-8")
    driver = tmp_path / "all.py"
    driver.write_text(
        f"import runpy\nfor name in {TOYS!r}:\n    print(name)\n    runpy.run_path(name + '.py')\n", "utf-8"
    )
    command = [sys.executable, "-m", "mlkit.torch", str(driver)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    losses: dict[str, list[float]] = {}
    for line in done.stdout.splitlines():
        if line in TOYS:
            losses[line] = []
        elif line.startswith("step"):
            losses[list(losses)[-1]].append(float(line.split("train loss ")[1].split(",")[0]))
    assert list(losses) == list(TOYS)
    for name, curve in losses.items():
        assert len(curve) == 10 and curve[-1] < curve[0], name


def test_export_writes_a_whole_file(playground: Any, tmp_path: Path) -> None:
    path = playground.widget.export(tmp_path / "net.py", "torch")
    assert path.read_text("utf-8") == playground.widget.code("torch")
    compile(path.read_text("utf-8"), str(path), "exec")
