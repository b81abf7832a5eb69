"""Schedules: order of calls, resuming, settings that cannot be."""

from __future__ import annotations

import copy
import warnings

import pytest

import mlkit
from mlkit import optim
from mlkit.optim import lr_scheduler as schedules
from mlkit.optim import swa_utils


def sgd(**settings):
    return optim.SGD([mlkit.ones(1).requires_grad_()], **{"lr": 0.1, "momentum": 0.9, **settings})


def test_step_before_the_optimizer_warns_once():
    opt = sgd()
    schedule = schedules.StepLR(opt, 2)
    with pytest.warns(UserWarning, match=r"`lr_scheduler.step\(\)` before `optimizer.step\(\)`"):
        schedule.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        schedule.step()


def test_the_right_order_is_silent():
    opt = sgd()
    opt.step()  # before there was a schedule: does not count
    schedule = schedules.StepLR(opt, 2)
    with pytest.warns(UserWarning):
        schedule.step()
    opt = sgd()
    schedule = schedules.StepLR(opt, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            opt.step()
            schedule.step()


def test_an_overridden_step_warns():
    opt = sgd()
    schedule = schedules.StepLR(opt, 2)
    opt.step = lambda: None
    with pytest.warns(UserWarning, match="overridden"):
        schedule.step()


def test_epoch_and_get_lr_warn():
    opt = sgd()
    schedule = schedules.ExponentialLR(opt, 0.5)
    opt.step()
    with pytest.warns(UserWarning, match="epoch parameter"):
        schedule.step(3)
    assert schedule.get_last_lr() == [0.1 * 0.5**3]
    with pytest.warns(UserWarning, match="get_last_lr"):
        schedule.get_lr()


def test_resuming_needs_the_initial_rate():
    with pytest.raises(KeyError, match="initial_lr"):
        schedules.StepLR(sgd(), 2, last_epoch=3)


def test_a_tensor_rate_keeps_its_identity():
    lr = mlkit.tensor(1.0)
    opt = sgd(lr=lr)
    schedule = schedules.ExponentialLR(opt, 0.5)
    opt.step()
    schedule.step()
    assert opt.param_groups[0]["lr"] is lr and lr.item() == 0.5 and schedule.base_lrs[0].item() == 1.0


def test_callable_objects_are_saved_and_functions_are_not():
    class Decay:
        def __init__(self, rate):
            self.rate = rate

        def __call__(self, step):
            return self.rate**step

    first = schedules.LambdaLR(sgd(), Decay(0.5))
    second = schedules.LambdaLR(sgd(), Decay(0.9))
    second.load_state_dict(first.state_dict())
    assert second.lr_lambdas[0].rate == 0.5
    assert schedules.LambdaLR(sgd(), lambda step: 1.0).state_dict()["lr_lambdas"] == [None]
    own = schedules.CyclicLR(sgd(), 0.1, 0.2, scale_fn=Decay(0.5))
    assert own.state_dict()["_scale_fn_custom"] == {"rate": 0.5}


def test_plateau_and_new_groups():
    opt = sgd()
    schedule = schedules.ReduceLROnPlateau(opt, patience=0, min_lr=[0.01])
    opt.add_param_group({"params": [mlkit.ones(1).requires_grad_()]})
    schedule.step(1.0)
    with pytest.raises(RuntimeError, match="param groups"):
        schedule.step(1.0)


@pytest.mark.parametrize(
    "make, error",
    [
        (lambda opt: schedules.StepLR("sgd", 2), TypeError),
        (lambda opt: schedules.ConstantLR(opt, factor=1.5), ValueError),
        (lambda opt: schedules.LinearLR(opt, start_factor=0.0), ValueError),
        (lambda opt: schedules.LinearLR(opt, end_factor=1.5), ValueError),
        (lambda opt: schedules.LambdaLR(opt, [lambda n: 1, lambda n: 1]), ValueError),
        (lambda opt: schedules.MultiplicativeLR(opt, 0.5), TypeError),
        (lambda opt: schedules.CosineAnnealingWarmRestarts(opt, 0), ValueError),
        (lambda opt: schedules.CosineAnnealingWarmRestarts(opt, 5, T_mult=0), ValueError),
        (lambda opt: schedules.OneCycleLR(opt, 0.1), ValueError),
        (lambda opt: schedules.OneCycleLR(opt, 0.1, total_steps=-3), ValueError),
        (lambda opt: schedules.OneCycleLR(opt, 0.1, epochs=2, steps_per_epoch=0), ValueError),
        (lambda opt: schedules.OneCycleLR(opt, 0.1, total_steps=5, pct_start=2.0), ValueError),
        (lambda opt: schedules.OneCycleLR(opt, 0.1, total_steps=5, anneal_strategy="what"), ValueError),
        (lambda opt: schedules.OneCycleLR(opt, [0.1, 0.2], total_steps=5), ValueError),
        (lambda opt: schedules.OneCycleLR(optim.Adagrad([mlkit.ones(1)]), 0.1, total_steps=5), ValueError),
        (lambda opt: schedules.CyclicLR(opt, 0.1, 0.2, mode="what"), ValueError),
        (lambda opt: schedules.ReduceLROnPlateau(opt, mode="what"), ValueError),
        (lambda opt: schedules.ReduceLROnPlateau(opt, threshold_mode="what"), ValueError),
        (lambda opt: schedules.ReduceLROnPlateau(opt, factor=1.0), ValueError),
        (lambda opt: schedules.ReduceLROnPlateau(opt, min_lr=[0.1, 0.2]), ValueError),
        (lambda opt: schedules.SequentialLR(opt, [], []), ValueError),
        (lambda opt: schedules.SequentialLR(opt, [schedules.StepLR(opt, 2)], [3]), ValueError),
        (lambda opt: schedules.SequentialLR(opt, [schedules.StepLR(sgd(), 2)], []), ValueError),
        (lambda opt: schedules.SequentialLR(opt, [schedules.ReduceLROnPlateau(opt)], []), ValueError),
        (lambda opt: schedules.SequentialLR(opt, ["what"], []), TypeError),
        (lambda opt: schedules.ChainedScheduler([]), ValueError),
        (lambda opt: swa_utils.SWALR(opt, 0.1, anneal_strategy="what"), ValueError),
        (lambda opt: swa_utils.SWALR(opt, 0.1, anneal_epochs=-1), ValueError),
        (lambda opt: swa_utils.SWALR(opt, [0.1, 0.2]), ValueError),
        (lambda opt: swa_utils.get_ema_avg_fn(1.5), ValueError),
        (
            lambda opt: swa_utils.AveragedModel(mlkit.nn.Linear(1, 1), avg_fn=max, multi_avg_fn=max),
            AssertionError,
        ),
    ],
)
def test_settings_that_cannot_be(make, error):
    with pytest.raises(error):
        make(sgd())


def test_one_cycle_ends():
    opt = sgd()
    schedule = schedules.OneCycleLR(opt, 0.1, total_steps=3)
    for _ in range(3):
        opt.step()
        schedule.step()
    with pytest.raises(ValueError, match="total steps is 3"):
        schedule.step()


def test_the_average_is_a_module_and_leaves_the_model_alone():
    model = mlkit.nn.Linear(2, 1)
    average = swa_utils.AveragedModel(model)
    average.update_parameters(model)
    assert sorted(average.state_dict()) == ["module.bias", "module.weight", "n_averaged"]
    with mlkit.no_grad():
        model.weight.add_(1.0)
    assert not mlkit.equal(average.module.weight, model.weight)
    other = swa_utils.AveragedModel(mlkit.nn.Linear(2, 1))
    other.load_state_dict(average.state_dict())
    assert other.n_averaged.item() == 1


def test_a_copied_schedule_goes_on_by_itself():
    w = mlkit.nn.Parameter(mlkit.ones(2))
    optimizer = mlkit.optim.SGD([w], 0.1)
    schedule = mlkit.optim.lr_scheduler.StepLR(optimizer, 1)
    w.grad = mlkit.ones(2)
    optimizer.step()
    other = copy.deepcopy(schedule)
    other.step()
    assert schedule.get_last_lr() == [0.1] and other.get_last_lr()[0] == pytest.approx(0.01)
    assert other.optimizer is not optimizer
