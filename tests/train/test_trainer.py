"""Training itself: it learns, it measures right, and bad input is told before or where it happens."""

import math

import numpy as np
import pytest

import mlkit
from mlkit import nn
from mlkit.core.errors import DataError, LabelError, ShapeError
from mlkit.data import DataLoader, IterableDataset, TensorDataset
from mlkit.train import Callback, EarlyStopping, Metric, NotFiniteLoss, Trainer

from .helpers import equal, loader, network, points, trainer, weights


def test_it_learns():
    t = trainer()
    history = t.fit(loader(), loader(128, seed=5), epochs=15)
    assert history.best("valid/accuracy") > 0.9
    assert history["train/loss"][-1] < history["train/loss"][0] / 2
    assert t.evaluate(loader(128, seed=5))["accuracy"] == pytest.approx(history["valid/accuracy"][-1])


def test_what_is_recorded():
    t = trainer()
    history = t.fit(loader(100, 32), loader(40, 32), epochs=3)
    assert list(history) == ["lr", "train/accuracy", "train/loss", "valid/accuracy", "valid/loss"]
    assert len(history["train/loss"]) == 12 and history.steps("train/loss") == list(range(1, 13))
    assert history.steps("valid/loss") == [4, 8, 12] and history.epochs == 3
    assert history["lr"] == [0.01] * 12
    times = history.times("train/loss")
    assert times == sorted(times)
    assert history.to_dict()["series"]["valid/loss"]["values"] == history["valid/loss"]
    assert "3 epochs, 12 steps" in repr(history)
    with pytest.raises(KeyError, match="recorded are: lr"):
        history["nothing"]


def test_a_further_fit_goes_on():
    t = trainer()
    t.fit(loader(64, 32), epochs=2)
    history = t.fit(loader(64, 32), epochs=1)
    assert history.epochs == 3 and history.steps("train/loss") == [1, 2, 3, 4, 5, 6]


def test_the_same_seed_gives_the_same_weights():
    def once():
        mlkit.manual_seed(7)
        t = trainer(network(3))
        t.fit(loader(), epochs=2)
        return weights(t.model)

    assert equal(once(), once())


def test_it_does_what_a_loop_by_hand_does():
    dataset = points(96)
    by_trainer, by_hand = network(2), network(2)
    for model in (by_trainer, by_hand):
        model[2].p = 0.0
    trainer(by_trainer, optimizer=mlkit.optim.SGD(by_trainer.parameters(), lr=0.1)).fit(
        DataLoader(dataset, batch_size=32), epochs=2
    )
    optimizer, loss = mlkit.optim.SGD(by_hand.parameters(), lr=0.1), nn.CrossEntropyLoss()
    for _ in range(2):
        for x, y in DataLoader(dataset, batch_size=32):
            optimizer.zero_grad()
            loss(by_hand(x), y).backward()
            optimizer.step()
    assert equal(weights(by_trainer), weights(by_hand))


def test_measures_are_weighted_by_batch_size():
    t, dataset = trainer(), points(70)
    in_parts = t.evaluate(DataLoader(dataset, batch_size=32))  # 32, 32, 6
    at_once = t.evaluate(DataLoader(dataset, batch_size=70))
    assert in_parts["loss"] == pytest.approx(at_once["loss"], rel=1e-5)
    assert in_parts["accuracy"] == at_once["accuracy"]
    labels = np.concatenate([y.numpy() for _, y in DataLoader(dataset, batch_size=32)])
    output = t.predict(DataLoader(dataset, batch_size=32))
    assert tuple(output.shape) == (70, 4) and not output.requires_grad
    assert (output.numpy().argmax(1) == labels).mean() == pytest.approx(at_once["accuracy"])


def test_evaluation_leaves_the_model_as_it_was():
    model = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8) if hasattr(nn, "BatchNorm1d") else nn.Dropout(), nn.ReLU(),
                          nn.Linear(8, 4))  # fmt: skip
    model.train()
    model[1].eval()
    t = trainer(model)
    before = weights(model)
    t.evaluate(loader())
    t.predict(points(10).tensors[0])
    assert equal(weights(model), before)
    assert model.training and not model[1].training and model[0].training


def test_regression_has_no_accuracy_unless_asked():
    x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
    batches = DataLoader(TensorDataset(x, 3 * x + 1), batch_size=16)
    t = trainer(nn.Linear(1, 1), loss=nn.MSELoss())
    assert list(t.fit(batches, batches, epochs=2)) == ["lr", "train/loss", "valid/loss"]
    assert list(t.evaluate(batches)) == ["loss"]


def test_own_metrics():
    class Positive(Metric):
        name = "positive"

        def reset(self):
            self.seen = self.positive = 0

        def update(self, output, target):
            self.seen += len(target)
            self.positive += int((target > 0).sum().item())

        def compute(self):
            return self.positive / self.seen

    def mean_target(output, target):
        return target.float().mean().item()

    t = trainer(metrics=["accuracy", Positive(), mean_target])
    measured = t.evaluate(loader(100, 32))
    labels = points(100).tensors[1].numpy()
    assert measured["positive"] == pytest.approx((labels > 0).mean())
    assert measured["mean_target"] == pytest.approx(labels.mean(), rel=1e-6)
    assert list(trainer(metrics={"mine": mean_target}).evaluate(loader())) == ["loss", "mine"]
    with pytest.raises(DataError, match=r"no metric 'acuracy'.*There are: accuracy|no metric 'acuracy'"):
        trainer(metrics=["acuracy"])


def test_binary_accuracy():
    x = np.array([[1.0], [-1.0], [2.0], [-3.0]], np.float32)
    model = nn.Linear(1, 1)
    with mlkit.no_grad():
        model.weight.copy_(mlkit.tensor([[1.0]]))
        model.bias.copy_(mlkit.tensor([0.0]))
    t = trainer(model, loss=nn.MSELoss(), metrics=["accuracy"])
    targets = np.array([[1.0], [0.0], [0.0], [0.0]], np.float32)
    assert t.evaluate(DataLoader(TensorDataset(x, targets), batch_size=4))["accuracy"] == 0.75


def test_several_inputs_and_dictionaries():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 4)

        def forward(self, a, b):
            return self.layer(a) + self.layer(b)

    x, y = points(64).tensors
    model = Two()
    history = trainer(model).fit(DataLoader(TensorDataset(x, x, y), batch_size=16), epochs=1)
    assert len(history["train/loss"]) == 4
    rows = [{"a": x[i], "b": x[i], "label": y[i]} for i in range(16)]
    assert tuple(trainer(model).predict(DataLoader(rows, batch_size=5)).shape) == (16, 4)


def test_scheduler_and_clipping():
    model = network()
    optimizer = mlkit.optim.SGD(model.parameters(), lr=1.0)
    halve = mlkit.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    history = trainer(model, optimizer=optimizer, scheduler=halve, grad_clip=0.01).fit(loader(64, 32), epochs=3)
    assert history["lr"] == [1, 1, 0.5, 0.5, 0.25, 0.25]

    model = network()
    before = weights(model)
    t = trainer(model, optimizer=mlkit.optim.SGD(model.parameters(), lr=1.0), grad_clip=0.01)
    next(t.steps(loader()))
    moved = math.sqrt(sum(((weights(model)[name] - before[name]) ** 2).sum() for name in before))
    assert moved == pytest.approx(0.01, rel=1e-3)


def test_callbacks_are_called_in_order_and_may_stop():
    calls = []

    class Diary(Callback):
        def on_fit_start(self, trainer):
            calls.append("begin")

        def on_epoch_start(self, trainer, epoch):
            calls.append(f"epoch {epoch}")

        def on_step_end(self, trainer, step, values):
            assert values["train/loss"] > 0
            calls.append(step)
            if step == 3:
                trainer.stop()

        def on_epoch_end(self, trainer, epoch, values):
            assert {"train/loss", "valid/loss"} <= set(values)
            calls.append(f"end {epoch}")

        def on_fit_end(self, trainer, state):
            calls.append(state)

    trainer(callbacks=[Diary()]).fit(loader(64, 32), loader(64, 32), epochs=5)
    assert calls == ["begin", "epoch 1", 1, 2, "end 1", "epoch 2", 3, "stopped"]


def test_early_stopping():
    model = network()
    t = trainer(model, optimizer=mlkit.optim.SGD(model.parameters(), lr=0.0), callbacks=[EarlyStopping(patience=2)])
    history = t.fit(loader(64, 32), loader(64, 32, shuffle=False), epochs=50)
    assert history.epochs == 3
    assert any("Stopped early" in event.get("text", "") for event in t.recorder.events())
    with pytest.raises(DataError, match="'valid/loss' is not measured"):
        trainer(callbacks=[EarlyStopping()]).fit(loader(64, 32))


# -- bad input ---------------------------------------------------------------------------------------------------------


class NoStream(IterableDataset):
    def __iter__(self):
        return iter(())


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        (lambda: DataLoader(points(0), batch_size=4), "the dataset is empty"),
        (lambda: DataLoader(points(3), batch_size=4, drop_last=True), "3 samples, batch_size=4, drop_last=True"),
        (list, "there is no batch in it"),
        (lambda: points(8), "DataLoader(TensorDataset(...), batch_size=64"),
        (lambda: points(8).tensors[0], "expected a DataLoader"),
        (lambda: iter([points(8)[:]]), "only once"),
        (lambda: DataLoader(NoStream()), "gave no batch"),
        (lambda: DataLoader(TensorDataset(points(8).tensors[0]), batch_size=4), "must be (inputs..., target)"),
        (lambda: None, "expected a DataLoader"),
    ],
)
def test_bad_loaders(batches, message):
    t = trainer()
    before = weights(t.model)
    with pytest.raises(DataError) as caught:
        t.fit(batches())
    assert message in str(caught.value)
    assert equal(weights(t.model), before) and not t.training


def test_bad_epochs_and_options():
    for epochs in (0, -1, 1.5, True):
        with pytest.raises(DataError, match="epochs must be"):
            trainer().fit(loader(), epochs=epochs)
    with pytest.raises(DataError, match=r"must be an nn\.Module"):
        Trainer(lambda x: x)
    with pytest.raises(DataError, match="no parameters to train"):
        Trainer(nn.ReLU(), optimizer=mlkit.optim.SGD(network().parameters(), lr=0.1))
    with pytest.raises(DataError, match="would train another model"):
        trainer(network(), optimizer=mlkit.optim.SGD(network().parameters(), lr=0.1))


def test_wrong_labels_and_shapes_say_where():
    x, y = points(64).tensors
    with pytest.raises(LabelError) as caught:
        trainer().fit(DataLoader(TensorDataset(x, y + 1), batch_size=32))
    notes = "".join(caught.value.__notes__)
    assert "step 1 of the training, epoch 1" in notes and "float32 [32, 2], int64 [32]" in notes

    t = trainer()
    before = weights(t.model)
    with pytest.raises(ShapeError):
        t.fit(DataLoader(TensorDataset(x[:, :1], y), batch_size=32))
    assert equal(weights(t.model), before)
    assert t.recorder.state == "failed" and t.recorder.status()["error"]
    assert t.fit(loader(64, 32)).epochs == 1 and t.recorder.status()["error"] is None


def test_a_loss_that_is_no_number():
    """By default it stops with the weights from before; it can be told once, or such steps left out."""

    def exploding(**options):
        model = network()
        return trainer(model, optimizer=mlkit.optim.SGD(model.parameters(), lr=1e30), **options)

    t = exploding()
    with pytest.raises(NotFiniteLoss, match=r"The loss is (nan|inf) in step \d+, and training on would spoil"):
        t.fit(loader(), epochs=2)
    assert t.recorder.state == "failed"
    before = t.place["step"]

    t = exploding(on_nan="warn")
    with pytest.warns(UserWarning, match="lower learning rate"):
        t.fit(loader(), epochs=2)
    told = [event["text"] for event in t.recorder.events() if "loss is" in event.get("text", "")]
    assert len(told) == 1 and t.place["step"] == 16 > before

    t = exploding(on_nan="skip")
    with pytest.warns(UserWarning, match="loss is"):
        t.fit(loader(), epochs=2)
    assert t.place["step"] == 16 and all(np.isfinite(array).all() for array in weights(t.model).values())
