"""What a Trainer can be told: names, accumulation, precision, averaging, schedules, hooks, batches; and its warnings."""

import math
import warnings

import numpy as np
import pytest

import mlkit
from mlkit import nn
from mlkit.core.errors import CheckpointError, DataError, LabelError
from mlkit.data import DataLoader, TensorDataset, transforms
from mlkit.train import Accuracy, Callback, EarlyStopping, Trainer, between_steps

from .helpers import equal, loader, network, points, trainer, until, weights


def still(seed=2):
    """A network without dropout."""
    model = network(seed)
    model[2].p = 0.0
    return model


def sgd(model, lr=0.1):
    return mlkit.optim.SGD(model.parameters(), lr=lr)


# -- names -------------------------------------------------------------------------------------------------------------


def test_names_for_losses_and_optimizers():
    t = trainer(network(), loss="cross_entropy", optimizer="sgd", lr=0.5)
    assert isinstance(t.loss, nn.CrossEntropyLoss) and isinstance(t.optimizer, mlkit.optim.SGD) and t.lr == 0.5
    assert isinstance(Trainer(network(), loss="MSELoss", run_dir=False).loss, nn.MSELoss)
    assert isinstance(trainer(network(), loss=nn.L1Loss).loss, nn.L1Loss)
    t = trainer(network(), optimizer=mlkit.optim.Adam, lr=0.25)
    assert isinstance(t.optimizer, mlkit.optim.Adam) and t.lr == 0.25
    t = trainer(network(), optimizer=lambda parameters: mlkit.optim.SGD(parameters, lr=0.125))
    assert t.lr == 0.125
    for options, words in [
        ({"loss": "cros_entropy"}, "Did you mean 'cross_entropy'"),
        ({"optimizer": "adamm"}, "Did you mean 'adam"),
        ({"scheduler": "cosin"}, "Did you mean 'cosine'"),
        ({"optimizer": 3}, "is no optimizer"),
        ({"scheduler": 3}, "is no scheduler"),
        ({"precision": "int8"}, "no precision 'int8'"),
        ({"ema": 2}, "decay between 0 and 1"),
        ({"accumulate": 0}, "accumulate must be"),
        ({"keep": 0}, "keep must be"),
        ({"checkpoint_every": 0}, "checkpoint_every must be"),
        ({"on_nan": "cry"}, "on_nan must be"),
        ({"mode": "up"}, "mode must be"),
        ({"scheduler": mlkit.optim.lr_scheduler.StepLR(sgd(network()), 1)}, "another optimizer"),
    ]:
        with pytest.raises(DataError, match=words):
            trainer(network(), **options)


@pytest.mark.parametrize("name", ["cosine", "linear", "onecycle"])
def test_named_schedules_span_the_training(name):
    t = trainer(still(), optimizer="sgd", lr=0.1, scheduler=name)
    rates = t.fit(loader(640), epochs=2)["lr"]  # 40 steps
    top = rates.index(max(rates))
    assert rates[:top] == sorted(rates[:top]) and rates[top:] == sorted(rates[top:], reverse=True)
    assert max(rates) == pytest.approx(1.0 if name == "onecycle" else 0.1, rel=0.02) and rates[-1] < 0.01
    again = t.fit(loader(640), epochs=2)["lr"][40:]
    assert again == pytest.approx(rates)


def test_a_plateau_scheduler_watches_the_validation():
    model = still()
    optimizer = sgd(model, 0.0)
    plateau = mlkit.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=1, factor=0.5, eps=0)
    optimizer.param_groups[0]["lr"] = 1e-30  # nothing improves
    history = trainer(model, optimizer=optimizer, scheduler=plateau).fit(
        loader(64), loader(64, shuffle=False), epochs=4
    )
    assert [rate / 1e-30 for rate in history["lr"][::2]] == pytest.approx([1, 1, 1, 0.5])
    with pytest.raises(DataError, match=r"watch 'valid/f1', which is not measured"):
        trainer(still(), optimizer="sgd", scheduler="plateau", monitor="valid/f1").fit(loader(64))
    t = trainer(still(), optimizer="sgd", scheduler="plateau")
    t.fit(loader(64), epochs=1)  # without a validation it is the training's loss
    assert t.scheduler.best == pytest.approx(np.mean(t.history["train/loss"]))


# -- steps -------------------------------------------------------------------------------------------------------------


def test_accumulated_batches_are_one_large_batch():
    data = points(104)
    small, large = still(), still()
    for model, size, accumulate in ((small, 16, 3), (large, 48, 1)):  # 48, 48, 8 samples a step
        t = trainer(model, optimizer=sgd(model), accumulate=accumulate)
        history = t.fit(DataLoader(data, batch_size=size), epochs=2)
        assert len(history["train/loss"]) == 6 and t.recorder.status()["steps"] == 6
    for name, array in weights(small).items():
        np.testing.assert_allclose(array, weights(large)[name], rtol=1e-4, atol=1e-6)


def test_mixed_precision():
    expected = trainer(still(), optimizer="sgd", lr=0.1).fit(loader(shuffle=False), epochs=2)["train/loss"]
    for precision, tolerance in (("bf16", 0.02), ("fp16", 0.005)):
        model = still()
        seen = []
        model[0].register_forward_hook(lambda module, args, output, seen=seen: seen.append(output.dtype))
        t = trainer(model, optimizer="sgd", lr=0.1, precision=precision)
        history = t.fit(loader(shuffle=False), epochs=2)
        assert set(seen) == {mlkit.bfloat16 if precision == "bf16" else mlkit.float16}
        assert all(parameter.dtype is mlkit.float32 for parameter in model.parameters())
        np.testing.assert_allclose(history["train/loss"], expected, rtol=tolerance)
        assert t.predict(loader(64)).shape == (64, 4)
    assert history["train/grad_scale"] == [2.0**16] * 16
    assert trainer(still(), amp=True).precision.name == "bfloat16"


def test_an_overflow_leaves_the_step_out():
    model = still()
    t = trainer(model, optimizer=sgd(model, 0.1), precision="fp16", ema=0.5)
    t.precision.scaler.load_state_dict({**t.precision.scaler.state_dict(), "scale": 2.0**40})
    before = weights(model)
    t.fit(loader(32), epochs=1)
    assert equal(weights(model), before) and t.precision.scaler.get_scale() == 2.0**39
    assert int(t.ema.n_averaged) == 0


def test_averaged_weights():
    model = still()
    averages = []

    class Follow(Callback):
        def on_fit_start(self, trainer):
            self.average = None

        def on_step_end(self, trainer, step, values):
            now = trainer.model[0].weight.detach().numpy().copy()
            self.average = now if self.average is None else 0.75 * self.average + 0.25 * now
            averages.append(self.average)

    t = trainer(model, optimizer=sgd(model), ema=0.75, callbacks=[Follow()])
    t.fit(loader(), loader(64), epochs=2)
    np.testing.assert_allclose(t.ema.module[0].weight.detach().numpy(), averages[-1], rtol=1e-5)
    x = points(16).tensors[0]
    assert equal({"y": t.predict(x).numpy()}, {"y": t.ema.module.eval()(x).detach().numpy()})
    assert t.history["valid/loss"][-1] == pytest.approx(t.evaluate(loader(64))["loss"])
    assert t.model is model


def test_clipping_by_norm_and_by_value():
    model = still()
    t = trainer(model, optimizer=sgd(model, 1.0), grad_clip_value=1e-3)
    before = weights(model)
    next(t.steps(loader(32)))
    moved = max(np.abs(weights(model)[name] - before[name]).max() for name in before)
    assert moved == pytest.approx(1e-3, rel=1e-3)
    history = trainer(still(), grad_clip=0.1).fit(loader(64), epochs=1)
    assert len(history["train/grad_norm"]) == 2 and min(history["train/grad_norm"]) > 0


def test_lbfgs():
    model = nn.Linear(2, 1)
    x = points(64).tensors[0]
    y = x @ mlkit.tensor([[1.0], [-2.0]]) + 0.5
    t = trainer(model, loss="mse", optimizer="lbfgs", lr=1.0)
    history = t.fit(DataLoader(TensorDataset(x, y), batch_size=64), epochs=3)
    assert history["train/loss"][-1] < 1e-6


def test_a_step_of_ones_own():
    class Two(Trainer):
        def train_step(self, batches):
            losses = {}
            for name, optimizer in (("first", self.optimizer), ("second", self.stateful["second"])):
                optimizer.zero_grad()
                _, _, loss = self.compute(batches[0])
                loss.backward()
                optimizer.step()
                losses[name] = loss.item()
            return {"loss": losses["first"], "second": losses["second"]}

    def make():
        model = still()
        second = mlkit.optim.Adam(model[0].parameters(), lr=1e-3)
        return Two(model, optimizer=sgd(model), stateful={"second": second}, run_dir=False, progress=False)

    t = make()
    history = t.fit(loader(64), epochs=2)
    assert len(history["train/second"]) == 4 and all(
        a != b for a, b in zip(history["train/loss"], history["train/second"])
    )


# -- batches -------------------------------------------------------------------------------------------------------------


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 4)

    def forward(self, a, b, scale=1.0):
        return self.layer(a) - self.layer(b) * scale


@pytest.mark.parametrize("kind", ["names", "labels first", "nested", "nested names"])
def test_kinds_of_batches(kind):
    x, y = points(16).tensors
    other = mlkit.flip(x, (0,))
    rows = {
        "names": [{"b": other[i], "a": x[i], "labels": y[i]} for i in range(16)],
        "labels first": [{"label": y[i], "b": other[i], "a": x[i]} for i in range(16)],
        "nested": [((x[i], other[i]), y[i]) for i in range(16)],
        "nested names": [({"b": other[i], "a": x[i]}, y[i]) for i in range(16)],
    }[kind]
    mlkit.manual_seed(0)
    model = Named()
    expected = model(x, other).detach().numpy()
    t = trainer(model, optimizer=sgd(model, 0.0))
    batches = DataLoader(rows, batch_size=4)
    np.testing.assert_allclose(t.predict(batches).numpy(), expected, rtol=1e-5, atol=1e-6)
    assert t.evaluate(batches)["accuracy"] == (expected.argmax(1) == y.numpy()).mean()
    t.fit(batches, epochs=1)
    assert len(t.history["train/loss"]) == 4


def test_predict_without_targets_and_with_activations():
    x, y = points(16).tensors
    model = Named()
    t = trainer(model)
    both = t.predict(DataLoader(TensorDataset(x, x), batch_size=4))  # two inputs, no target
    assert both.shape == (16, 4)
    t = trainer(network())
    probabilities = t.predict(loader(40), activation="softmax")
    np.testing.assert_allclose(probabilities.numpy().sum(1), 1, rtol=1e-5)
    chosen = t.predict(DataLoader(points(40), batch_size=32), activation="argmax")
    assert (chosen.numpy() == t.predict(points(40).tensors[0]).numpy().argmax(1)).all()
    with pytest.raises(DataError, match="no activation"):
        t.predict(x, activation="tanh")


# -- hooks ---------------------------------------------------------------------------------------------------------------


def test_every_hook_in_order():
    calls = []

    class Diary(Callback):
        def __getattribute__(self, name):
            if name.startswith("on_"):
                return lambda trainer, *arguments: calls.append(name)
            return super().__getattribute__(name)

    trainer(callbacks=[Diary()]).fit(loader(32), loader(32), epochs=1)
    assert calls == [
        "on_fit_start", "on_epoch_start", "on_step_start", "on_before_backward", "on_after_backward",
        "on_before_optimizer_step", "on_step_end", "on_validation_start", "on_validation_end", "on_epoch_end",
        "on_fit_end",
    ]  # fmt: skip
    assert {name for name in dir(Callback) if name.startswith("on_")} == {*calls, "on_checkpoint", "on_exception"}


def test_on_exception_is_told_what_happened():
    told = []

    class Watch(Callback):
        def on_step_end(self, trainer, step, values):
            raise ZeroDivisionError("here")

        def on_exception(self, trainer, error):
            told.append(error)

        def on_fit_end(self, trainer, state):
            told.append(state)

    with pytest.raises(ZeroDivisionError):
        trainer(callbacks=[Watch()]).fit(loader(32))
    assert isinstance(told[0], ZeroDivisionError) and told[1] == "failed"


def test_stopping_early_does_not_do_one_step_more_and_gives_the_best_weights():
    best = {}

    class Keep(Callback):
        def on_epoch_end(self, trainer, epoch, values):
            best[values["valid/loss"]] = weights(trainer.model)

    model = still()
    stopping = EarlyStopping(patience=2, restore_best=True)
    t = trainer(model, optimizer=sgd(model, 3.0), callbacks=[Keep(), stopping])
    history = t.fit(loader(64), loader(64, shuffle=False), epochs=200)
    assert t.place["step"] == 2 * history.epochs and history.epochs < 200
    assert equal(weights(model), best[min(best)])


# -- checkpoints -----------------------------------------------------------------------------------------------------------


def test_the_last_whole_checkpoint_is_found_and_that_is_said(tmp_path):
    t = trainer(checkpoint_dir=tmp_path, checkpoint_every=2, keep=3)
    t.fit(loader(), loader(64), epochs=2)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["best.safetensors", "last.safetensors"] + [
        f"recent-{step:08d}.safetensors" for step in (12, 14, 16)
    ]
    (tmp_path / "last.safetensors").write_bytes((tmp_path / "recent-00000016.safetensors").read_bytes()[:-10])
    (tmp_path / "recent-00000016.safetensors").write_bytes(b"")
    again = trainer(checkpoint_dir=tmp_path)
    with pytest.warns(UserWarning, match=r"damaged.*Taken up from .*recent-00000014"):
        again.fit(loader(), epochs=2, resume="auto")
    assert again.resumed_from.name == "recent-00000014.safetensors" and again.place["step"] == 16
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="damaged"):
        trainer(checkpoint_dir=tmp_path).fit(loader(), resume="auto")
    fresh = trainer(checkpoint_dir=tmp_path / "none")
    fresh.fit(loader(32), resume="auto")
    assert fresh.resumed_from is None
    assert any("from the beginning" in event.get("text", "") for event in fresh.recorder.events())


def test_monitor_and_mode_choose_the_best(tmp_path):
    values = iter([0.3, 0.1, 0.7, 0.2])
    t = trainer(network(), metrics={"odd": lambda output, target: current[0]}, checkpoint_dir=tmp_path,
                monitor="valid/odd", mode="min")  # fmt: skip
    current = [0.0]

    class Next(Callback):
        def on_epoch_start(self, trainer, epoch):
            current[0] = next(values)

    t.callbacks.append(Next())
    t.fit(loader(32), loader(32), epochs=4)
    state = mlkit.io.load_checkpoint(tmp_path / "best.safetensors")
    assert state["place"]["epoch"] == 2 and t.best == pytest.approx(0.1)
    with pytest.raises(DataError, match="monitor='valid/none' is not measured"):
        trainer(monitor="valid/none").fit(loader(32), loader(32))


def test_what_a_checkpoint_lacks_is_told(tmp_path):
    path = trainer(callbacks=[EarlyStopping()], ema=0.9).save_checkpoint(tmp_path / "c")
    with pytest.raises(CheckpointError, match="has averaged weights"):
        trainer(callbacks=[EarlyStopping()]).load_checkpoint(path)
    with pytest.raises(CheckpointError, match="callbacks"):
        trainer(ema=0.9).load_checkpoint(path)
    with pytest.raises(CheckpointError, match="stateful"):
        trainer(ema=0.9, callbacks=[EarlyStopping()], stateful={"x": sgd(network())}).load_checkpoint(path)
    with pytest.warns(UserWarning, match="goes on in bfloat16"):
        trainer(ema=0.9, callbacks=[EarlyStopping()], precision="bf16").load_checkpoint(path)


def test_weights_in_half_precision_are_kept(tmp_path):
    model = still().to(mlkit.bfloat16)
    path = trainer(model).save_checkpoint(tmp_path / "c")
    other = network(9).to(mlkit.bfloat16)
    trainer(other).load_checkpoint(path)
    assert all((a.float() == b.float()).all() for a, b in zip(model.parameters(), other.parameters()))


# -- looking for a learning rate -------------------------------------------------------------------------------------------


def test_the_learning_rate_finder_changes_nothing():
    model = network()
    t = trainer(model, optimizer=mlkit.optim.Adam(model.parameters(), lr=1e-3), scheduler="cosine")
    t.fit(loader(), epochs=1)
    mlkit.manual_seed(11)
    before = weights(model), t.optimizer.state_dict()["state"][0]["exp_avg"].numpy().copy(), t.lr
    random = mlkit.get_rng_state().tolist()
    curve = t.find_lr(loader(), steps=60)
    assert equal(weights(model), before[0]) and t.lr == before[2] and mlkit.get_rng_state().tolist() == random
    assert (t.optimizer.state_dict()["state"][0]["exp_avg"].numpy() == before[1]).all()
    assert len(t.history["train/loss"]) == 8 and model.training
    assert 1e-4 < curve.suggestion < 3 and f"{curve.suggestion:.3g}" in repr(curve)
    assert (np.diff(np.log(curve.rates)) > 0).all() and curve.losses[0] == pytest.approx(curve.smoothed[0])
    assert "suggestion" in curve._repr_html_()
    for options in ({"lowest": 0}, {"lowest": 2.0, "highest": 1.0}, {"steps": 2}):
        with pytest.raises(DataError, match="find_lr"):
            t.find_lr(loader(), **options)


# -- what is easily forgotten ------------------------------------------------------------------------------------------------


def warned(action):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        action()
    return [str(one.message) for one in caught if one.category is UserWarning]


def test_nothing_is_said_of_a_right_training():
    assert warned(lambda: trainer(network()).fit(loader(64), loader(64), epochs=2)) == []
    x = points(32).tensors[0]
    model = nn.Linear(2, 1)
    data = DataLoader(TensorDataset(x, x[:, :1] * 2), batch_size=8)
    assert warned(lambda: trainer(model, loss="mse").fit(data)) == []
    labels = (x[:, :1] > 0).float()
    assert warned(lambda: trainer(model, loss="bce_with_logits").fit(DataLoader(TensorDataset(x, labels), 8))) == []


def test_forgotten_things_are_told_once():
    model = network()
    model.eval()
    (text,) = warned(lambda: trainer(model).fit(loader(64), epochs=2))
    assert "was in evaluation mode" in text and model.training

    model = nn.Sequential(network(), nn.Softmax(dim=1))
    (text,) = warned(lambda: trainer(model).fit(loader(64), epochs=2))
    assert "applies softmax itself" in text

    x = points(32).tensors[0]
    model = nn.Sequential(nn.Linear(2, 1), nn.Sigmoid())
    data = DataLoader(TensorDataset(x, (x[:, :1] > 0).float()), batch_size=8)
    (text,) = warned(lambda: trainer(model, loss="bce_with_logits").fit(data))
    assert "applies sigmoid itself" in text

    (text,) = warned(lambda: trainer(network(), loss="nll").fit(loader(64)))
    assert "logarithms of probabilities" in text

    model = network()
    part = mlkit.optim.SGD(model[0].parameters(), lr=0.1)
    (text,) = warned(lambda: trainer(model, optimizer=part))
    assert "does not hold 2 of the model's 4 parameters" in text and "3.weight, 3.bias" in text

    both = mlkit.optim.SGD([*model.parameters(), *network().parameters()], lr=0.1)
    (text,) = warned(lambda: trainer(model, optimizer=both))
    assert "holds 4 parameters that are not of this Sequential" in text

    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(DataError, match="all of them are frozen"):
        trainer(model, optimizer="sgd")
    with pytest.raises(DataError, match="frozen: nothing can be trained"):
        trainer(model, optimizer=sgd(model))
    with pytest.raises(DataError, match="must be one number"):
        trainer(loss=nn.CrossEntropyLoss(reduction="none")).fit(loader(64))


# -- looking at a model that is trained ----------------------------------------------------------------------------------------


def test_between_steps_of_a_model_and_of_its_parts():
    model = still()
    t = trainer(model)
    run = t.start(loader(), epochs=10**6)
    try:
        until(lambda: t.place["step"] > 3)
        for one in (model, model[0], nn.Sequential(model, nn.ReLU())):
            with between_steps(one):
                step, before = t.place["step"], weights(model)
                other = threading_result(lambda: t.place["step"])
                assert other == step and equal(weights(model), before)
            until(lambda step=step: t.place["step"] > step)
        with between_steps(still()):
            step = t.place["step"]
            until(lambda: t.place["step"] > step)
    finally:
        run.stop()
    with between_steps(model):
        pass


def threading_result(action):
    import threading
    import time

    found = []
    thread = threading.Thread(target=lambda: (time.sleep(0.05), found.append(action())))
    thread.start()
    thread.join()
    return found[0]


def test_a_dictionary_may_say_more_of_the_samples_than_the_model_takes():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(5, 1)

        def forward(self, a, b, scale=1.0):
            return self.layer(mlkit.cat([a, b], 1)) * scale

    a, b, y = mlkit.randn(6, 3), mlkit.randn(6, 2), mlkit.randn(6, 1)
    files = list("abcdef")
    batch = {"file": files, "a": a, "b": b, "number": mlkit.arange(6), "y": y}
    trainer = Trainer(Two(), loss="mse", run_dir=False, progress=False)
    assert math.isfinite(trainer.fit([batch])["train/loss"][0])
    assert tuple(trainer.predict([batch]).shape) == (6, 1)
    single = Trainer(nn.Sequential(nn.Linear(3, 1)), loss="mse", run_dir=False, progress=False)
    assert math.isfinite(single.fit([{"picture": a, "file": files, "y": y}])["train/loss"][0])
    with pytest.raises(DataError, match="takes a, b, and the batch has no entries of these names"):
        trainer.fit([{"first": a, "second": b, "third": a, "fourth": b, "y": y}])


def test_batches_of_arrays_become_tensors():
    x, y = np.zeros((4, 3), np.float32), np.array([0, 1, 0, 1])
    trainer = Trainer(nn.Linear(3, 2), run_dir=False, progress=False)
    assert trainer.fit([(x, y)], [(x, y)])["train/accuracy"] == [0.5]
    assert tuple(trainer.predict([x]).shape) == (4, 2)


def test_metrics_of_mixed_labels_take_the_largest_share():
    images, labels = mlkit.randn(8, 3, 4, 4), mlkit.arange(8) % 4
    mixed = transforms.MixUp(num_classes=4)(images, labels)
    trainer = Trainer(
        nn.Sequential(nn.Flatten(), nn.Linear(48, 4)), metrics=["accuracy", "f1", "auc"], run_dir=False, progress=False
    )
    right = (trainer.predict([mixed[0]]).argmax(1) == mixed[1].argmax(1)).float().mean().item()
    history = trainer.fit([mixed], [(images, labels)], epochs=1)  # two lists of batches
    assert history["train/accuracy"] == [right] and len(history["valid/f1"]) == 1
    with pytest.raises(LabelError, match="MixUp, CutMix"):
        Accuracy().update(mlkit.randn(8, 4), mixed[1])
