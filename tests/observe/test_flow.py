"""What GradientFlow records, compared with the same numbers computed by hand, in every kind of loop."""

from __future__ import annotations

import copy
import gc
import math
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlkit
from mlkit import nn, optim
from mlkit.core import events
from mlkit.core.errors import DataError
from mlkit.observe import GradientFlow, open_flow
from mlkit.observe.flow import SHARES, measure
from mlkit.observe.flow.layers import Layers
from mlkit.observe.flow.purse import Purse
from mlkit.optim import optimizer as optimizers
from mlkit.train import Trainer

F = nn.functional


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Any:
    """After each test no hook and no listener is left, so that loops of others are as they were."""
    mlkit.manual_seed(0)
    before = (
        len(optimizers._every_pre_hook),
        len(optimizers._every_post_hook),
        {k: len(v) for k, v in events.listeners.items()},
    )
    yield
    from mlkit.observe.flow import attach

    for flow in list(attach._attached.values()):
        flow.detach()
    after = (
        len(optimizers._every_pre_hook),
        len(optimizers._every_post_hook),
        {k: len(v) for k, v in events.listeners.items()},
    )
    assert after == before


def small() -> Any:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def batch(n: int = 16) -> tuple[Any, Any]:
    return mlkit.randn(n, 4), mlkit.randint(0, 3, (n,))


def train(model: Any, steps: int, lr: float = 0.1, call: Any = None, optimizer: Any = None) -> None:
    optimizer = optimizer or optim.SGD(model.parameters(), lr=lr)
    for _ in range(steps):
        x, y = batch()
        optimizer.zero_grad()
        F.cross_entropy((call or model)(x), y).backward()
        optimizer.step()


def norm(*arrays: np.ndarray) -> float:
    return math.sqrt(sum(float(np.square(one.astype(np.float64)).sum()) for one in arrays))


def test_the_numbers_are_those_of_the_step() -> None:
    model = small()
    flow = GradientFlow(model, every=1, run_dir=False)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    expected = []
    for _ in range(3):
        x, y = batch(64)
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        before = {name: one.detach().numpy().copy() for name, one in model.named_parameters()}
        hidden = F.relu(model[0](x)).detach().numpy()
        optimizer.step()
        after = {name: one.detach().numpy() for name, one in model.named_parameters()}
        grads = {name: one.grad.numpy() for name, one in model.named_parameters()}
        row = {}
        for at in ("0", "2"):
            names = [f"{at}.weight", f"{at}.bias"]
            row[at] = (
                norm(*(grads[one] for one in names)),
                norm(*(after[one] for one in names)),
                norm(*(after[one] - before[one] for one in names)) / norm(*(after[one] for one in names)),
            )
        row["1"] = ((hidden == 0).all(axis=0).mean(), hidden.mean(), hidden.std())
        expected.append(row)
    for at in ("0", "2"):
        for place, quantity in enumerate(("gradient", "weight", "ratio")):
            steps, values = flow.history(at, quantity)
            assert steps.tolist() == [1, 2, 3]
            assert values == pytest.approx([row[at][place] for row in expected], rel=1e-4)
        assert np.isnan(flow.history(at, "dead")[1]).all()
    assert flow.history("1", "dead")[1] == pytest.approx([row["1"][0] for row in expected])
    assert flow.history("1", "activation")[1] == pytest.approx([row["1"][2] for row in expected], rel=1e-4)
    assert flow.table()["1"]["activation_mean"] == pytest.approx(np.median([row["1"][1] for row in expected]), rel=1e-4)
    assert np.isnan(flow.history("1", "gradient")[1]).all()
    assert flow.samples().rates.tolist() == [0.1] * 3


def test_spreads_are_the_quantiles_and_histograms_follow_from_them() -> None:
    model = nn.Linear(30, 30)
    flow = GradientFlow(model, every=1, run_dir=False)
    optimizer = optim.SGD(model.parameters(), lr=0.0)
    model(mlkit.randn(50, 30)).square().mean().backward()
    optimizer.step()
    weights = model.weight.detach().numpy().reshape(-1)
    _, kept = flow.spread("Linear", "weight")
    assert kept[0] == pytest.approx(np.quantile(weights, SHARES), abs=1e-6)
    shares, edges = flow.histogram("Linear", "weight", bins=12)
    counted = np.histogram(weights, edges)[0] / weights.size
    assert shares == pytest.approx(counted, abs=0.02) and shares.sum() > 0.97
    shares, edges = flow.histogram("Linear", "weight", bins=12, log=True)
    counted = np.histogram(np.log10(np.abs(weights)), edges)[0] / weights.size
    assert shares == pytest.approx(counted, abs=0.03)


def test_layers_stand_in_the_order_in_which_they_compute() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(6, 3)
            self.act = nn.Tanh()
            self.unused = nn.Linear(2, 2)
            self.first = nn.Linear(4, 6)
            self.middle = nn.Linear(6, 6)

        def forward(self, x: Any) -> Any:
            x = self.act(self.first(x))
            return self.last(self.act(F.relu(self.middle(x))))

    model = Net()
    flow = GradientFlow(model, every=1, run_dir=False)
    train(model, 2)
    names = [layer.name for layer in flow.layers if layer.name != "unused"]
    assert names == ["first", "act", "middle", "Net:relu" if "Net:relu" in names else "relu", "act#2", "last"]
    assert math.isnan(flow.table()["unused"]["gradient"])
    assert flow.findings() == []


def test_accumulated_gradients_are_seen_as_the_optimizer_gets_them() -> None:
    model = small()
    flow = GradientFlow(model, every=1, run_dir=False)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        for _ in range(4):
            x, y = batch()
            (F.cross_entropy(model(x), y) / 4).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.01)
        optimizer.step()
    assert flow.steps.tolist() == [1, 2]
    total = math.sqrt(sum(float(flow.history(at, "gradient")[1][-1]) ** 2 for at in ("0", "2")))
    assert total == pytest.approx(0.01, rel=1e-3)


def test_scaled_gradients_have_their_true_size_and_skipped_steps_are_none() -> None:
    model, plain = small(), small()
    plain.load_state_dict(model.state_dict())
    x, y = batch()
    flows = [GradientFlow(one, every=1, run_dir=False) for one in (model, plain)]
    optimizer, scaler = optim.SGD(model.parameters(), lr=0.1), mlkit.amp.GradScaler("cpu", init_scale=2.0**40)
    for _ in range(30):
        optimizer.zero_grad()
        with mlkit.autocast("cpu", dtype=mlkit.float16):
            loss = F.cross_entropy(model(x), y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        if len(flows[0]):
            break
    train_once = optim.SGD(plain.parameters(), lr=0.1)
    F.cross_entropy(plain(x), y).backward()
    train_once.step()
    a, b = (flow.history("0", "gradient")[1][0] for flow in flows)
    assert a == pytest.approx(b, rel=0.02)
    assert flows[0].findings() == []


def test_frozen_and_shared_parameters() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(10, 6)
            self.frozen = nn.Linear(6, 6).requires_grad_(False)
            self.head = nn.Linear(6, 10, bias=False)
            self.head.weight = self.table.weight

        def forward(self, x: Any) -> Any:
            return self.head(F.relu(self.frozen(self.table(x))))

    model = Tied()
    flow = GradientFlow(model, every=1, run_dir=False)
    optimizer = optim.Adam([one for one in model.parameters() if one.requires_grad], lr=1e-3)
    for _ in range(4):
        x = mlkit.randint(0, 10, (32,))
        optimizer.zero_grad()
        F.cross_entropy(model(x), x).backward()
        optimizer.step()
    table = flow.table()
    assert table["frozen"]["frozen"] and math.isnan(table["frozen"]["gradient"])
    assert table["head"]["shared"] == "table"
    assert table["head"]["gradient"] == table["table"]["gradient"] > 0
    assert "frozen" in str(table) and "shares with table" in str(table)
    assert flow.findings() == []


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN", "Transformer"])
def test_recurrent_layers_and_transformers(kind: str) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(20, 16)
            if kind == "Transformer":
                self.body = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, dropout=0.0)
            else:
                self.body = getattr(nn, kind)(16, 16, batch_first=True)
            self.head = nn.Linear(16, 20)

        def forward(self, x: Any) -> Any:
            out = self.body(self.table(x))
            return self.head(out if kind == "Transformer" else out[0])

    model = Net()
    flow = GradientFlow(model, every=1, run_dir=False)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(4):
        x = mlkit.randint(0, 20, (8, 12))
        optimizer.zero_grad()
        F.cross_entropy(model(x).flatten(0, 1), x.flatten()).backward()
        optimizer.step()
    names = [layer.name for layer in flow.layers]
    assert names[0] == "table" and names[-1] == "head"
    if kind == "Transformer":
        assert names.index("body.self_attn") < names.index("body.linear1") < names.index("body.linear2")
        assert names.index("body.linear1") + 1 == names.index("body:relu")
        assert 0 <= flow.table()["body:relu"]["dead"] < 0.3
    else:
        assert names == ["table", "body", "head"]
        assert flow.layers[1].recurrent and flow.table()["body"]["activation_std"] > 0
        grads = [one.grad.numpy() for one in model.body.parameters()]
        assert flow.history("body", "gradient")[1][-1] == pytest.approx(norm(*grads), rel=1e-4)
    assert flow.findings() == []


def test_a_dead_channel_is_one_that_is_silent_everywhere() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))
    with mlkit.no_grad():
        model[0].bias.copy_(mlkit.tensor([-50.0, 0.0, 0.0, -50.0]))
    flow = GradientFlow(model, every=1, run_dir=False)
    optimizer = optim.SGD(model.parameters(), lr=0.0)
    for _ in range(3):
        optimizer.zero_grad()
        model(mlkit.randn(2, 1, 6, 6)).square().mean().backward()
        optimizer.step()
    assert flow.table()["1"]["dead"] == 0.5


def test_units_of_small_batches_are_judged_over_several() -> None:
    """With one sample at a time half of all units are silent, by chance and not for good."""
    model = small()
    flow = GradientFlow(model, every=1, run_dir=False)
    optimizer = optim.SGD(model.parameters(), lr=1e-6)
    for _ in range(80):
        x, y = batch(1)
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert np.isnan(flow.history("1", "dead")[1][:3]).all()
    with mlkit.no_grad():
        silent = (model[0](mlkit.randn(4000, 4)) <= 0).all(dim=0).float().mean().item()
    assert flow.table()["1"]["dead"] == pytest.approx(silent, abs=0.26)


def test_a_compiled_model_stays_compiled_between_samples() -> None:
    model = small()
    compiled = mlkit.compile(model)
    flow = GradientFlow(compiled, every=5, run_dir=False)
    train(model, 21, call=compiled)
    assert flow.steps.tolist() == [1, 6, 11, 16, 21]
    assert [layer.name for layer in flow.layers] == ["0", "1", "2"]
    replays = sum(entry.replays for entries in compiled._compiled.entries.values() for entry in entries)
    assert replays >= 14, "the steps between run as compiled programs"
    assert compiled._compiled.recordings == 1


def test_a_compiled_step_is_seen_too() -> None:
    model = small()
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    @mlkit.compile
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    flow = GradientFlow(model, every=4, run_dir=False)
    for _ in range(13):
        step(*batch())
    assert flow.steps.tolist() == [1, 5, 9, 13]
    assert (flow.history("0", "gradient")[1] > 0).all() and (flow.history("0", "ratio")[1] > 0).all()


def test_several_optimizers_and_ones_inside_others() -> None:
    model = small()
    flow = GradientFlow(model, every=1, run_dir=False)
    one, two = optim.SGD(model[0].parameters(), lr=0.1), optim.Adam(model[2].parameters(), lr=0.01)
    for _ in range(3):
        x, y = batch()
        one.zero_grad()
        two.zero_grad()
        F.cross_entropy(model(x), y).backward()
        one.step()
        two.step()
    x, y = batch()
    one.zero_grad()
    F.cross_entropy(model(x), y).backward()
    one.step()
    assert flow.steps.tolist()[:3] == [1, 2, 3]
    for at in ("0", "2"):
        assert (flow.history(at, "ratio")[1][:3] > 0).all()


def test_lbfgs_computes_its_gradients_inside_the_step() -> None:
    model = small()
    x, y = batch()
    flow = GradientFlow(model, every=1, run_dir=False)
    optimizer = optim.LBFGS(model.parameters(), max_iter=3)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    assert flow.steps.tolist() == [1, 2, 3]
    assert (flow.history("0", "gradient")[1] > 0).all()


@pytest.mark.parametrize("how", ["none", "zero"])
def test_a_loop_without_an_optimizer(how: str) -> None:
    model = small()
    flow = GradientFlow(model, every=1, run_dir=False)
    norms = []
    for _ in range(5):
        x, y = batch()
        F.cross_entropy(model(x), y).backward()
        norms.append(norm(*(one.grad.numpy() for one in model[0].parameters())))
        with mlkit.no_grad():
            for one in model.parameters():
                one -= 0.1 * one.grad
        model.zero_grad(set_to_none=how == "none")
    assert flow.steps.tolist() == [1, 2, 3, 4]  # the fifth ends when the sixth begins
    assert flow.history("0", "gradient")[1] == pytest.approx(norms[:4], rel=1e-4)
    assert (flow.history("0", "ratio")[1] > 1e-5).all()


def test_the_validation_and_other_models_are_not_mixed_in() -> None:
    model, other = small(), small()
    flow = GradientFlow(model, every=1, run_dir=False)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        with mlkit.no_grad():
            model(mlkit.full((64, 4), 1000.0))
        train(other, 2)
        x, y = batch()
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert flow.steps.tolist() == [1, 2, 3]
    assert flow.table()["0"]["activation_std"] < 10


def test_detaching_ends_it_and_a_second_watcher_takes_over() -> None:
    model = small()
    first = GradientFlow(model, every=1, run_dir=False)
    train(model, 2)
    second = GradientFlow(model, every=1, run_dir=False)
    assert not first.attached
    train(model, 3)
    second.detach()
    second.detach()
    train(model, 2)
    assert (len(first), len(second)) == (2, 3)
    assert "step_hook" not in str(model.__dict__) and copy.deepcopy(model) is not None
    with GradientFlow(model, every=1, run_dir=False) as third:
        train(model, 1)
    train(model, 1)
    assert len(third) == 1


def test_a_model_that_is_watched_can_still_be_freed() -> None:
    model = small()
    flow = GradientFlow(model, every=1, run_dir=False)
    train(model, 2)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None and not flow.attached and len(flow) == 2


def test_an_error_in_looking_does_not_end_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small()
    flow = GradientFlow(model, every=1, run_dir=False)
    monkeypatch.setattr(measure, "squares", lambda *_: 1 / 0)
    with pytest.warns(UserWarning, match="has stopped watching Sequential: ZeroDivisionError"):
        train(model, 3)
    assert not flow.attached


def test_an_error_in_the_model_leaves_it_watched() -> None:
    model = small()
    flow = GradientFlow(model, every=1, run_dir=False)
    with pytest.raises(RuntimeError):
        model(mlkit.randn(3, 5))
    train(model, 3)
    assert flow.steps.tolist() == [1, 2, 3]
    assert [layer.name for layer in flow.layers] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: GradientFlow("runs/x"), "must be an nn.Module"),
        (lambda: GradientFlow(nn.ReLU()), "no parameters"),
        (lambda: GradientFlow(small(), every=0), "at least 1"),
        (lambda: GradientFlow(small(), every=2.5), "at least 1"),
        (lambda: GradientFlow(small(), share=0), "between 0 and 1"),
    ],
)
def test_options_out_of_range(make: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        make()


def test_questions_that_cannot_be_answered() -> None:
    flow = GradientFlow(small(), run_dir=False)
    assert str(flow.findings()) == "Nothing has been recorded yet."
    assert "nothing recorded yet" in str(flow.table()) and len(flow.table()) == 3
    with pytest.raises(KeyError, match="There are: 0, 1, 2"):
        flow.history("3")
    with pytest.raises(ValueError, match="'gradient', 'weight', 'ratio', 'dead' or 'activation'"):
        flow.history("0", "size")
    with pytest.raises(ValueError, match="'gradient', 'weight' or 'activation'"):
        flow.spread("0", "bias")
    with pytest.raises(ValueError, match="Nothing has been recorded"):
        flow.histogram("0")
    with pytest.raises(TypeError, match="Expected a GradientFlow"):
        open_flow(3)
    with pytest.raises(FileNotFoundError, match="Watch the model before"):
        open_flow(small())


# -- how often -----------------------------------------------------------------------------------------------------------


def test_it_looks_as_often_as_the_share_of_time_allows() -> None:
    clock = [0.0]
    purse = Purse(share=0.01, clocks=(lambda: clock[0],))
    purse.mark()
    spent, steps = 0.0, 20_000
    for step in range(1, steps + 1):
        looked = purse.opens(step)
        clock[0] += 0.010 + (0.020 if looked else 0)  # the step took 20 ms longer, of which only 5 were ours
        purse.pay(step, looked, 0.005 if looked else 0.0)
        spent += 0.020 if looked else 0
    assert 0.005 < spent / clock[0] < 0.012
    assert purse.taken > 50


@pytest.mark.parametrize("behind", [0, 5])
def test_what_a_thread_waits_for_is_paid_for_too(behind: int) -> None:
    """A GPU is waited for while a sample is read, or by the steps after it: no time of the thread's own, but time."""
    computing, wall = [0.0], [0.0]
    purse = Purse(share=0.01, clocks=(lambda: computing[0], lambda: wall[0]))
    purse.mark()
    waits = dict[int, float]()
    for step in range(1, 30_001):
        looked = purse.opens(step)
        if looked:
            waits[step + behind] = 0.050
        computing[0] += 0.001 + (0.001 if looked else 0)
        wall[0] += 0.001 + waits.get(step, 0.0)
        purse.pay(step, looked, 0.001 if looked else 0.0)
    distances = np.diff([step for step in waits if step > 4_000])  # the first samples come at once, whatever they cost
    assert len(distances) >= 4 and all(4_500 < distance < 5_500 for distance in distances)


def test_long_trainings_keep_a_bounded_number_of_samples() -> None:
    clock = [0.0]
    purse = Purse(share=0.5, clocks=(lambda: clock[0],))
    purse.bound(8_000)
    purse.mark()
    for step in range(1, 200_001):
        looked = purse.opens(step)
        clock[0] += 0.01
        purse.pay(step, looked, 1e-6 if looked else 0.0)
    assert 500 < purse.taken < 5_000


def test_big_layers_are_sampled_and_the_estimate_is_near() -> None:
    array = np.random.default_rng(0).standard_normal((3000, 1000)).astype(np.float32)
    assert math.sqrt(measure.squares(array, np)) == pytest.approx(float(np.linalg.norm(array)), rel=0.02)
    assert measure.some(array, 1024).size < 1100
    strides = {measure.stride(array.size, wanted) for wanted in (1024, 8192)}
    assert all(math.gcd(stride, array.size) == 1 for stride in strides)
    for odd in (np.full(4, 1e25, np.float32), np.ones((), np.float32), np.zeros((0, 3), np.float32)):
        assert math.sqrt(measure.squares(odd, np)) == pytest.approx(float(np.linalg.norm(odd.astype(np.float64))))
    half = mlkit.full((5000,), 300.0, dtype=mlkit.bfloat16)._array
    assert math.sqrt(measure.squares(half, np)) == pytest.approx(300 * math.sqrt(5000), rel=0.01)


# -- run directories --------------------------------------------------------------------------------------------------------


def test_a_loop_of_ones_own_gets_a_run_directory_that_another_process_reads(tmp_path: Path) -> None:
    model = small()
    flow = GradientFlow(model, every=1, run_dir=tmp_path)
    train(model, 6)
    assert flow.directory is not None and flow.directory.parent == tmp_path
    flow.detach()
    code = (
        "import sys; from mlkit.observe import open_flow, open_source\n"
        "flow = open_flow(sys.argv[1]); print(flow.steps.tolist(), [l.name for l in flow.layers])\n"
        "print(flow.history('0', 'gradient')[1].tolist()); print(flow.findings())\n"
        "print(open_source(sys.argv[1]).status()['state'], open_source(sys.argv[1]).status()['step'])"
    )
    out = subprocess.run([sys.executable, "-c", code, str(flow.directory)], capture_output=True, text=True, check=True)
    lines = out.stdout.splitlines()
    assert lines[0] == "[1, 2, 3, 4, 5, 6] ['0', '1', '2']"
    assert eval(lines[1]) == pytest.approx(flow.history("0", "gradient")[1].tolist())
    assert lines[2].startswith("Nothing to complain of at step 6") and lines[3] == "finished 6"


def test_a_trainer_keeps_it_in_its_own_run(tmp_path: Path) -> None:
    model = small()
    flow = GradientFlow(model, every=2)
    x, y = batch(64)
    trainer = Trainer(model, optimizer="sgd", lr=0.1, run_dir=tmp_path, progress=False)
    loader = [(x[i : i + 16], y[i : i + 16]) for i in range(0, 64, 16)]
    history = trainer.fit(loader, epochs=3)
    assert flow.directory == trainer.recorder.path
    assert flow.steps.tolist() == [1, 3, 5, 7, 9, 11]
    assert set(flow.steps.tolist()) <= set(history.steps("train/loss"))
    read = open_flow(trainer.recorder.path)
    assert read.steps.tolist() == flow.steps.tolist() and read.title == flow.title
    assert np.array_equal(read.samples().numbers, flow.samples().numbers, equal_nan=True)
    assert np.array_equal(read.spread("1", "activation")[1], flow.spread("1", "activation")[1])
    assert open_flow(trainer) is flow and open_flow(model) is flow
    trainer.fit(loader, epochs=1)
    assert flow.steps.tolist()[-1] > 12 and read.steps.tolist() == flow.steps.tolist()
    assert len(list(tmp_path.iterdir())) == 1

    again = Trainer(model, optimizer="sgd", lr=0.1, run_dir=tmp_path, progress=False)
    again.fit(loader, epochs=1)
    assert flow.directory == again.recorder.path != trainer.recorder.path
    assert flow.steps.tolist()[0] <= 2 and len(read) > len(flow)


def test_a_live_loop_keeps_it_in_its_own_run(tmp_path: Path) -> None:
    model = small()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    x, y = batch(64)
    flow = GradientFlow(model, every=1)
    for _ in range(2):
        for i in (loop := mlkit.live(range(0, 64, 16), run_dir=tmp_path, progress=False)):
            optimizer.zero_grad()
            F.cross_entropy(model(x[i : i + 16]), y[i : i + 16]).backward()
            optimizer.step()
    assert flow.directory == loop.directory
    assert flow.steps.tolist() == loop.history.steps("train/loss")
    assert open_flow(loop).steps.tolist() == flow.steps.tolist()


def test_looking_for_a_learning_rate_is_no_training() -> None:
    model = small()
    flow = GradientFlow(model, every=1)
    x, y = batch(64)
    trainer = Trainer(model, optimizer="sgd", lr=0.1, run_dir=False, progress=False)
    trainer.find_lr([(x, y)], steps=20)
    assert len(flow) == 0
    trainer.fit([(x, y)] * 3)
    assert flow.steps.tolist() == [1, 2, 3]


def test_two_models_in_one_run_have_a_recording_each(tmp_path: Path) -> None:
    one, two = small(), small()
    both = nn.ModuleList([one, two])
    flows = [GradientFlow(one, every=1, name="generator"), GradientFlow(two, every=1, name="critic")]
    optimizer = optim.SGD(both.parameters(), lr=0.1)
    for _ in mlkit.live(range(4), model=both, run_dir=tmp_path, progress=False):
        x, y = batch()
        optimizer.zero_grad()
        (F.cross_entropy(one(x), y) + F.cross_entropy(two(x), y)).backward()
        optimizer.step()
    (run,) = tmp_path.iterdir()
    for flow in flows:
        assert open_flow(run, flow.name).history("0")[1].tolist() == flow.history("0")[1].tolist()
    with pytest.raises(FileNotFoundError, match="no recording 'x'"):
        open_flow(run, "x")


def test_a_run_that_has_no_sample_yet_is_waited_for_and_one_that_has_ended_is_not(tmp_path: Path) -> None:
    from mlkit.observe import Recorder

    recorder = Recorder("early", root=tmp_path)
    recorder.begin("background")
    assert recorder.path is not None
    read, unwatched = open_flow(recorder.path), open_flow(str(recorder.path), "critic")
    assert (len(read), read.layers, read.steps.tolist()) == (0, [], [])
    assert "Waiting for the first sample" in read.waiting and "GradientFlow(model)" in read.waiting
    assert str(read.findings()) == "Nothing has been recorded yet." and "nothing recorded yet" in str(read.table())
    before = (read.identity, read.version)

    model = small()
    other = GradientFlow(model, every=1, run_dir=tmp_path / "other")  # the files of a run that is sampled
    train(model, 3)
    other.detach()
    assert other.directory is not None
    (other.directory / "gradients").rename(recorder.path / "gradients")
    for one in (read, unwatched):
        one._recording._look_at = 0.0  # type: ignore[attr-defined]
    assert read.steps.tolist() == [1, 2, 3] and read.waiting == "" and read.name == other.name
    assert (read.identity, read.version) != before
    assert unwatched.waiting, "another recording has come"

    recorder.end("finished")
    unwatched._recording._look_at = 0.0  # type: ignore[attr-defined]
    assert "has ended" in unwatched.waiting and "GradientFlow(model)" in unwatched.waiting
    bare = Recorder("bare", root=tmp_path)
    bare.begin("background")
    assert bare.path is not None
    late = open_flow(bare.path)
    bare.end("finished")
    late._recording._look_at = 0.0  # type: ignore[attr-defined]
    assert "has ended" in late.waiting
    with pytest.raises(FileNotFoundError, match="No gradients were recorded"):
        open_flow(bare.path)


def test_a_record_that_is_torn_is_left_for_the_next_look(tmp_path: Path) -> None:
    model = small()
    flow = GradientFlow(model, every=1, run_dir=tmp_path)
    train(model, 3)
    flow.detach()
    assert flow.directory is not None
    file = next((flow.directory / "gradients").glob("*.bin"))
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    read = open_flow(flow.directory)
    assert read.steps.tolist() == [1, 2]
    file.write_bytes(whole)
    assert read.steps.tolist() == [1, 2, 3]
    file.with_suffix(".json").write_text("{")
    assert open_flow(flow.directory).layers == []


def test_a_full_disk_is_said_once_and_the_samples_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlkit.observe.flow import recording

    model = small()
    flow = GradientFlow(model, every=1, run_dir=tmp_path)
    train(model, 3)

    def full(self: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(recording.Recording, "_write_samples", full)
        with pytest.warns(UserWarning, match="the disk is full") as caught:
            train(model, 3)
        assert len([one for one in caught if "gradients" in str(one.message)]) == 1
    train(model, 1)
    flow.detach()
    assert open_flow(flow.directory).steps.tolist() == flow.steps.tolist() == list(range(1, 8))


def test_readers_in_other_threads_while_it_trains(tmp_path: Path) -> None:
    model = small()
    flow = GradientFlow(model, every=1, run_dir=tmp_path)
    stop, problems = threading.Event(), []

    def read() -> None:
        try:
            while not stop.is_set():
                flow.findings(), flow.table(), flow.spread("0")
                if flow.directory is not None and (flow.directory / "gradients").is_dir():
                    steps = open_flow(flow.directory).steps.tolist()
                    assert steps == list(range(1, len(steps) + 1))
        except Exception as error:
            if not isinstance(error, FileNotFoundError):  # its folder is there before its first file
                problems.append(error)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    train(model, 120)
    stop.set()
    for thread in threads:
        thread.join()
    assert problems == [] and len(flow) == 120


def test_layers_made_on_first_use() -> None:
    model = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(3))
    flow = GradientFlow(model, every=1, run_dir=False)
    model(mlkit.randn(2, 4))
    train(model, 2)
    assert [(layer.kind, layer.parameters) for layer in flow.layers] == [("Linear", 40), ("ReLU", 0), ("Linear", 27)]


def test_rows_are_named_by_what_they_are() -> None:
    layers = Layers(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sigmoid()))
    kinds = [(one.kind, one.matrix, one.normalizing, one.saturating, one.fan_in) for one in layers.rows]
    assert kinds == [
        ("Conv2d", True, False, False, 27),
        ("BatchNorm2d", False, True, False, None),
        ("Sigmoid", False, False, True, None),
    ]


# -- plain Python pictures ------------------------------------------------------------------------------------------------


def test_the_trainers_argument_watches_its_model(tmp_path: Path) -> None:
    model = small()
    x, y = batch(64)
    trainer = Trainer(model, optimizer="sgd", lr=0.1, run_dir=tmp_path, progress=False, gradient_flow=True)
    trainer.fit([(x, y)] * 10)
    flow = trainer.gradient_flow
    assert flow is not None and len(flow) >= 2 and flow.directory == trainer.recorder.path
    mine = GradientFlow(model, every=1)
    assert Trainer(model, gradient_flow=mine, run_dir=False).gradient_flow is mine
    with pytest.raises(DataError, match="must be True or a GradientFlow"):
        Trainer(model, gradient_flow="yes", run_dir=False)


def test_figures_show_what_was_recorded() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    model = small()
    flow = GradientFlow(model, every=1, run_dir=False)
    train(model, 6)
    ax = flow.plot()
    assert [line.get_label() for line in ax.get_lines()] == ["0", "2"]
    assert ax.get_lines()[0].get_ydata() == pytest.approx(flow.history("0")[1])
    assert ax.get_yscale() == "log" and ax.get_ylabel() == "gradient norm"
    bars = flow.plot("ratio", kind="bars")
    assert [bar.get_height() for bar in bars.patches] == pytest.approx(
        [flow.history(at, "ratio")[1][-1] for at in ("0", "2")]
    )
    assert [line.get_label() for line in flow.plot("dead", "1").get_lines()] == ["1"]
    heat = flow.plot("weight", "0", kind="heatmap")
    columns = np.asarray(heat.collections[0].get_array()).reshape(48, -1)
    assert columns.shape[1] == 6 and columns.sum(axis=0) == pytest.approx(np.ones(6), abs=0.05)
    assert len(flow.plot("activation", 1, kind="ridge").collections) == 6
    for wrong, words in (
        ({"quantity": "size"}, "quantity must be"),
        ({"kind": "pie"}, "kind must be"),
        ({"kind": "ridge"}, "shows one layer"),
        ({"kind": "ridge", "quantity": "dead", "layer": "1"}, "shows 'gradient'"),
        ({"kind": "heatmap", "quantity": "gradient", "layer": "1"}, "nothing has been recorded"),
    ):
        with pytest.raises(ValueError, match=words):
            flow.plot(**wrong)
    with pytest.raises(KeyError, match="There are: 0, 1, 2"):
        flow.plot(layer="9")
    matplotlib.pyplot.close("all")


def test_what_a_notebook_shows_is_escaped() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add_module("<b>layer</b>", nn.Linear(4, 3))

        def forward(self, x: Any) -> Any:
            return getattr(self, "<b>layer</b>")(x)

    model = Net()
    flow = GradientFlow(model, every=1, run_dir=False, name="<script>")
    train(model, 4)
    html = flow._repr_html_() + flow.table()._repr_html_() + flow.findings()._repr_html_()
    assert "&lt;b&gt;layer&lt;/b&gt;" in html and "<b>layer" not in html and "<script>" not in html
    assert "Nothing to complain of" in html
