"""Losses, optimizers and schedules by name: ``Trainer(model, loss="cross_entropy", optimizer="adamw", lr=1e-3)``."""

from __future__ import annotations

import difflib
import inspect
from typing import Any

import mlkit
from mlkit.core.errors import DataError

__all__ = ["check_schedule", "loss_of", "optimizer_of", "scheduler_of"]

LOSSES = {
    "cross_entropy": "CrossEntropyLoss",
    "nll": "NLLLoss",
    "bce": "BCELoss",
    "bce_with_logits": "BCEWithLogitsLoss",
    "mse": "MSELoss",
    "l1": "L1Loss",
    "mae": "L1Loss",
    "smooth_l1": "SmoothL1Loss",
    "huber": "HuberLoss",
    "kl_div": "KLDivLoss",
    "poisson_nll": "PoissonNLLLoss",
    "hinge_embedding": "HingeEmbeddingLoss",
    "multi_margin": "MultiMarginLoss",
}
OPTIMIZERS = {
    "sgd": ("SGD", 1e-2),
    "adam": ("Adam", 1e-3),
    "adamw": ("AdamW", 1e-3),
    "nadam": ("NAdam", 2e-3),
    "radam": ("RAdam", 1e-3),
    "adamax": ("Adamax", 2e-3),
    "adagrad": ("Adagrad", 1e-2),
    "adadelta": ("Adadelta", 1.0),
    "rmsprop": ("RMSprop", 1e-2),
    "rprop": ("Rprop", 1e-2),
    "lbfgs": ("LBFGS", 1.0),
    "muon": ("Muon", 1e-3),
}
SCHEDULES = ("cosine", "linear", "onecycle", "plateau")


def loss_of(wanted: Any) -> Any:
    """A loss from a name ("cross_entropy", or the class's: "CrossEntropyLoss"), a class, or any callable.

    >>> loss_of("mse")
    MSELoss()
    """
    if wanted is None:
        return mlkit.nn.CrossEntropyLoss()
    if isinstance(wanted, str):
        key = wanted.lower().replace("-", "_").removesuffix("_loss")
        by_class = {name.lower(): name for name in LOSSES.values()}
        name = LOSSES.get(key) or by_class.get(key) or by_class.get(key + "loss")
        if name is None:
            raise _unknown("loss", wanted, list(LOSSES), "or pass a module such as nn.CrossEntropyLoss()")
        return getattr(mlkit.nn, name)()
    if inspect.isclass(wanted):
        return wanted()
    if not callable(wanted):
        raise DataError(f"Trainer: the loss must be a name or a function of (output, target), got {wanted!r}.")
    return wanted


def optimizer_of(wanted: Any, model: Any, lr: float | None) -> Any:
    """An optimizer from a name, a class or a function of the parameters; an optimizer is taken as it is.

    Args:
        wanted: "sgd", "adam", "adamw", ...; `optim.SGD`; ``lambda parameters: optim.SGD(parameters, lr=0.1)``.
        model: Whose parameters it moves.
        lr: The learning rate; by default the optimizer's usual one.
    """
    if wanted is not None and not isinstance(wanted, str) and not callable(wanted):
        if not hasattr(wanted, "param_groups") or not hasattr(wanted, "step"):
            raise DataError(
                f"Trainer: {wanted!r} is no optimizer.",
                hint='Give a name ("adamw"), a class (optim.SGD), or optim.AdamW(model.parameters(), lr=1e-3).',
            )
        if lr is not None:
            for group in wanted.param_groups:
                group["lr"] = lr
        return wanted
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise DataError(
            f"{type(model).__name__} has no parameters to train"
            + (": all of them are frozen." if any(True for _ in model.parameters()) else "."),
            hint="Unfreeze some with parameter.requires_grad_(True).",
        )
    if wanted is None or isinstance(wanted, str):
        key = (wanted or "adamw").lower()
        if key not in OPTIMIZERS:
            raise _unknown("optimizer", str(wanted), list(OPTIMIZERS), "or pass optim.SGD(model.parameters(), lr=0.1)")
        name, usual = OPTIMIZERS[key]
        return getattr(mlkit.optim, name)(parameters, lr=usual if lr is None else lr)
    return wanted(parameters) if lr is None else wanted(parameters, lr=lr)


def scheduler_of(wanted: Any, optimizer: Any, steps: int | None) -> tuple[Any, str]:
    """(the scheduler, "step" or "epoch": when it is to move) from a name or a function of the optimizer.

    Args:
        wanted: "cosine" (a twentieth of the steps warming up, then a half cosine to 0), "linear" (the same in straight
            lines), "onecycle" (up to ten times the rate and down) or "plateau"; ``lambda optimizer: StepLR(...)``.
        optimizer: Whose rate it moves.
        steps: Optimizer steps of the whole training.
    """
    schedules = mlkit.optim.lr_scheduler
    if not isinstance(wanted, str):
        made = wanted(optimizer) if callable(wanted) and not hasattr(wanted, "step") else wanted
        if not hasattr(made, "step"):
            raise DataError(f"Trainer: {wanted!r} is no scheduler.", hint="Pass one of optim.lr_scheduler, or a name.")
        if getattr(made, "optimizer", optimizer) is not optimizer:
            raise DataError(
                "Trainer: the scheduler moves the learning rate of another optimizer than this trainer's.",
                hint="Make it from the same optimizer, or pass a function: lambda optimizer: StepLR(optimizer, 10).",
            )
        return made, usual_rhythm(made)
    check_schedule(wanted)
    if wanted == "plateau":
        return schedules.ReduceLROnPlateau(optimizer, patience=3), "epoch"
    if steps is None:
        raise DataError(
            f"Trainer: the {wanted} schedule spans the whole training, and the loader's length is not known.",
            hint="Pass a scheduler that needs no length, such as optim.lr_scheduler.StepLR.",
        )
    if wanted == "onecycle":
        highest = [10 * group["lr"] for group in optimizer.param_groups]
        return schedules.OneCycleLR(optimizer, max_lr=highest, total_steps=max(2, steps + 1)), "step"
    warm = min(steps // 20, 1000)
    after = max(1, steps - warm)
    if wanted == "cosine":
        main = schedules.CosineAnnealingLR(optimizer, T_max=after)
    else:
        main = schedules.LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=after)
    if not warm:
        return main, "step"
    rise = schedules.LinearLR(optimizer, start_factor=1.0 / (warm + 1), total_iters=warm)
    return schedules.SequentialLR(optimizer, [rise, main], milestones=[warm]), "step"


def check_schedule(name: str) -> str:
    """The name of a schedule, if it is one."""
    if name not in SCHEDULES:
        raise _unknown("scheduler", name, list(SCHEDULES), "or pass one of optim.lr_scheduler")
    return name


def usual_rhythm(scheduler: Any) -> str:
    """When a scheduler moves by custom: cycles after each step, all others after each epoch."""
    return "step" if type(scheduler).__name__ in ("OneCycleLR", "CyclicLR") else "epoch"


def _unknown(kind: str, name: str, known: list[str], otherwise: str) -> DataError:
    near = difflib.get_close_matches(name.lower(), known, n=1)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    return DataError(
        f"Trainer: there is no {kind} {name!r}.{guess}", hint=f"There are: {', '.join(known)}; {otherwise}."
    )
