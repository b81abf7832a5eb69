"""Schedules, transforms, distributions, metrics, state_dicts and compiled functions as cards."""

import copy

import numpy as np
import pytest

import mlkit
import mlkit.distributions as D
from mlkit import display, nn, optim
from mlkit.data import transforms as T
from mlkit.display import schedule
from mlkit.optim import lr_scheduler as L


def sgd(lr=0.1, groups=1, **options):
    return optim.SGD([{"params": [nn.Parameter(mlkit.zeros(2))]} for _ in range(groups)], lr=lr, **options)


SCHEDULES = {
    "StepLR": lambda o: L.StepLR(o, 3),
    "MultiStepLR": lambda o: L.MultiStepLR(o, [3, 8]),
    "CosineAnnealingLR": lambda o: L.CosineAnnealingLR(o, 20),
    "OneCycleLR": lambda o: L.OneCycleLR(o, max_lr=0.5, total_steps=30),
    "CyclicLR": lambda o: L.CyclicLR(o, 0.01, 0.1, step_size_up=5),
    "LambdaLR": lambda o: L.LambdaLR(o, lambda step: 0.9**step),
    "SequentialLR": lambda o: L.SequentialLR(o, [L.LinearLR(o, 0.1, 1.0, 4), L.CosineAnnealingLR(o, 10)], [4]),
    "ChainedScheduler": lambda o: L.ChainedScheduler([L.ConstantLR(o, 0.5, 3), L.ExponentialLR(o, 0.9)], o),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_rates_told_are_those_that_come_and_nothing_moves(name, parse):
    scheduler = SCHEDULES[name](sgd(momentum=0.9))
    scheduler.optimizer.step()
    scheduler.step()
    before = copy.deepcopy({k: v for k, v in vars(scheduler).items() if k not in ("optimizer", "_schedulers")})
    told, failure = schedule.ahead(scheduler, 12)
    page = parse(scheduler._repr_html_())
    assert not failure and name in page.text and len(page.all("img")) == 1
    now = {k: v for k, v in vars(scheduler).items() if k not in ("optimizer", "_schedulers")}
    assert {k: v for k, v in now.items() if not callable(v)} == {k: v for k, v in before.items() if not callable(v)}
    came = []
    for _ in range(12):
        came.append(scheduler.optimizer.param_groups[0]["lr"])
        scheduler.optimizer.step()
        scheduler.step()
    assert told[:, 0].tolist() == pytest.approx(came)


def test_a_plateau_says_why_there_is_no_curve_and_groups_have_their_own(parse):
    page = parse(L.ReduceLROnPlateau(sgd(), patience=7)._repr_html_())
    assert "stops improving" in page.text and "patience 7" in page.text and not page.all("img")
    optimizer = sgd(groups=2)
    optimizer.param_groups[1]["lr"] = 0.5
    assert "group 1" in parse(L.CosineAnnealingLR(optimizer, 5)._repr_html_()).html.replace("%20", " ")


def test_a_schedule_that_fails_says_so(parse, hostile):
    class Bad(L.LRScheduler):
        def get_lr(self):
            if self.last_epoch > 2:
                raise KeyError(hostile)
            return [0.1]

    assert "could not be told: KeyError" in parse(Bad(sgd())._repr_html_()).text


def test_a_compose_is_shown_step_by_step_and_chance_again(parse):
    pytest.importorskip("PIL")
    before = mlkit.get_rng_state().tolist()
    change = T.Compose([T.RandomCrop(40, padding=4), T.RandomHorizontalFlip(), T.ToTensor()])
    page = parse(change._repr_html_())
    assert before == mlkit.get_rng_state().tolist()
    assert "step by step" in page.text and "drawn again" in page.text and "RandomHorizontalFlip" in page.text
    assert len(page.all("img")) == 1 + 3 + 5
    assert len(page.html) < 60_000
    fixed = parse(T.CenterCrop(20)._repr_html_())
    assert "drawn again" not in fixed.text and len(fixed.all("img")) == 2


def test_transforms_of_tensors_grey_images_and_batches(parse, hostile):
    assert len(parse(T.Normalize([0.5], [0.5])._repr_html_()).all("img")) == 2
    assert "no picture" in parse(T.MixUp(num_classes=10)._repr_html_()).text

    class Harm(T.Transform):
        def forward(self, image):
            raise ValueError(hostile)

        def extra_repr(self):
            return hostile

    assert "no picture" in parse(Harm()._repr_html_()).text


@pytest.mark.parametrize("make", [
    lambda: D.Normal(mlkit.tensor([0.0, 2.0]), mlkit.tensor([1.0, 0.5])),
    lambda: D.Uniform(0.0, 2.0),
    lambda: D.Gamma(mlkit.tensor(2.0), mlkit.tensor(1.0)),
    lambda: D.Poisson(mlkit.tensor(4.0)),
    lambda: D.Categorical(logits=mlkit.zeros(5)),
    lambda: D.Bernoulli(mlkit.tensor(0.3)),
    lambda: D.MultivariateNormal(mlkit.zeros(3), mlkit.eye(3)),
    lambda: D.Normal(mlkit.zeros(10), mlkit.ones(10)),
    lambda: D.Independent(D.Normal(mlkit.zeros(3), mlkit.ones(3)), 1),
    lambda: D.Cauchy(mlkit.tensor(0.0), mlkit.tensor(1.0)),
    lambda: D.Dirichlet(mlkit.ones(3)),
])  # fmt: skip
def test_distributions_draw_their_density_and_leave_the_random_state(make, parse):
    distribution = make()
    before = mlkit.get_rng_state().tolist()
    page = parse(distribution._repr_html_())
    assert type(distribution).__name__ in page.text and "no curve" not in page.text
    assert len(page.all("img")) == 1 and len(page.html) < 60_000
    assert before == mlkit.get_rng_state().tolist()


def test_the_density_drawn_is_the_density():
    from mlkit.display.distribution import _density

    at = np.array([-1.0, 0.5, 3.0])
    assert _density(D.Uniform(0.0, 2.0), at, ()).ravel().tolist() == pytest.approx([0.0, 0.5, 0.0])


def batches(metric, classes=4):
    mlkit.manual_seed(0)
    target = mlkit.randint(0, classes, (100,))
    output = mlkit.randn(100, classes)
    metric.update(output, target)
    return metric


def test_metrics_show_matrix_curves_and_numbers(parse):
    M = mlkit.metrics
    page = parse(batches(M.ConfusionMatrix())._repr_html_())
    assert len(page.all("table", "confusion")) == 1 and "100 samples" in page.text
    assert "heat map" in parse(batches(M.ConfusionMatrix(), 60)._repr_html_()).all("img")[0]["alt"]
    for metric in (M.ROCCurve(), M.PRCurve()):
        assert len(parse(batches(metric)._repr_html_()).all("img")) == 1
    assert len(parse(batches(M.F1("none"))._repr_html_()).all("tr")) == 5
    assert "accuracy 0." in parse(batches(M.Accuracy())._repr_html_()).text
    assert "no batch taken in yet" in parse(M.F1()._repr_html_()).text


def test_the_area_named_is_the_metrics_own(parse):
    target = mlkit.tensor([0, 0, 1, 1, 1])
    output = mlkit.tensor([0.1, 0.6, 0.35, 0.8, 0.7])
    curve, area = mlkit.metrics.ROCCurve(), mlkit.metrics.AUC()
    curve.update(output, target)
    assert f"{float(area(output, target)):.3f}" in parse(curve._repr_html_()).text
    precision, average = mlkit.metrics.PRCurve(), mlkit.metrics.AveragePrecision()
    precision.update(output, target)
    assert f"{float(average(output, target)):.3f}" in parse(precision._repr_html_()).text


def test_a_state_dict_is_a_table_and_other_dictionaries_are_left_alone(parse):
    from collections import OrderedDict

    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8))
    with mlkit.no_grad():
        model[0].weight[0, 0] = float("nan")
    page = parse(display.html(model.state_dict()))
    assert "0.weight" in page.text and "1.running_mean" in page.text and "1 NaN" in page.text
    assert display.html(OrderedDict(a=1)) is None and display.mimebundle(OrderedDict(a=1)) is None


def test_compiled_functions_and_modules(parse):
    @mlkit.compile
    def twice(x):
        return (x * 2).relu()

    twice(mlkit.randn(5))
    assert "twice" in parse(twice._repr_html_()).text
    assert "not called yet" in parse(mlkit.compile(nn.Linear(3, 2))._repr_html_()).text
