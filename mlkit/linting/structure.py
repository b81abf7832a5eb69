"""Rules that need the model (and the optimizer) alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mlkit.linting.findings import Finding
from mlkit.nn.module import Module
from mlkit.nn.parameter import Parameter

_LINEAR = ("Linear", "Conv1d", "Conv2d", "Conv3d")


def shortened(names: list[str], most: int = 4) -> str:
    """The first few names."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def of_model(model: Module) -> Iterator[Finding]:
    """Evaluation mode, frozen parameters, layers that are not registered, linear layers with nothing between them."""
    parameters = dict(model.named_parameters())
    yield from _unregistered(model)
    if not parameters:
        yield Finding(
            "no-parameters",
            f"{type(model).__name__} has no parameters to train.",
            "Assign its layers to self in __init__.",
        )
        return
    frozen = [name for name, parameter in parameters.items() if not parameter.requires_grad]
    if len(frozen) == len(parameters):
        yield Finding(
            "all-frozen",
            "All parameters are frozen (requires_grad=False): nothing can be trained.",
            "model.requires_grad_(True)",
        )
    if not model.training:
        yield Finding(
            "eval-mode",
            "The model is in evaluation mode, where dropout and batch norm do not train.",
            "model.train()",
        )
    else:
        asleep = [path for path, module in model.named_modules() if not module.training]
        if asleep and len(frozen) == 0:
            yield Finding(
                "eval-mode", f"A part of the model is in evaluation mode: {shortened(asleep)}.", "model.train()"
            )
    kept = [
        name
        for name, parameter in parameters.items()
        if parameter.grad is not None and bool((parameter.grad != 0).any())
    ]
    if kept:
        yield Finding(
            "gradients-kept",
            f"Gradients of an earlier backward are still there ({shortened(kept)}): the next backward adds to them.",
            "optimizer.zero_grad()",
        )
    yield from _nothing_between(model)


def _unregistered(model: Module) -> Iterator[Finding]:
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if name.startswith("_"):
                continue
            items = (
                list(value.values())
                if isinstance(value, dict)
                else list(value)
                if isinstance(value, (list, tuple))
                else []
            )
            hidden = [item for item in items if isinstance(item, (Module, Parameter))]
            known = {id(one) for one in model.modules()} | {id(one) for one in model.parameters()}
            hidden = [item for item in hidden if id(item) not in known]
            if hidden:
                kind = "Module" if isinstance(hidden[0], Module) else "Parameter"
                holder = f"nn.{kind}{'Dict' if isinstance(value, dict) else 'List'}"
                word = "dictionary" if isinstance(value, dict) else type(value).__name__
                yield Finding(
                    "unregistered-layers",
                    f"{len(hidden)} layers in the plain {word} self.{name} are unknown to the model: they are neither "
                    "trained nor saved.",
                    f"self.{name} = {holder}(self.{name})",
                    f"{path} ({type(module).__name__})" if path else type(module).__name__,
                )


def _nothing_between(model: Module) -> Iterator[Finding]:
    for path, module in model.named_modules():
        if type(module).__name__ != "Sequential":
            continue
        children = list(module.named_children())
        for (first, a), (second, b) in zip(children, children[1:], strict=False):
            if type(a).__name__ == type(b).__name__ and type(a).__name__ in _LINEAR:
                yield Finding(
                    "no-activation",
                    f"Layers {first} and {second} are both {type(a).__name__} with nothing between them: together they can "
                    "do no more than one.",
                    f"Put an activation between them, for example nn.ReLU() after layer {first}.",
                    path or type(module).__name__,
                )
                break


def of_optimizer(model: Module, optimizer: Any) -> Iterator[Finding]:
    """Parameters that the optimizer does not hold, or that are another model's."""
    ours = dict(model.named_parameters())
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    make = f"optimizer = optim.{type(optimizer).__name__}(model.parameters(), lr={_rate(optimizer)})"
    if ours and not any(id(parameter) in held for parameter in ours.values()):
        yield Finding(
            "other-model", "The optimizer holds no parameter of this model: it would train another one.", make
        )
        return
    left_out = [name for name, one in ours.items() if one.requires_grad and id(one) not in held]
    if left_out:
        yield Finding(
            "left-out", f"The optimizer does not hold {shortened(left_out)}, which will stay as they are.", make
        )
    if not any(group["lr"] for group in optimizer.param_groups):
        yield Finding(
            "rate-zero", "The learning rate is 0: nothing will change.", 'optimizer.param_groups[0]["lr"] = 1e-3'
        )


def _rate(optimizer: Any) -> str:
    lr = optimizer.param_groups[0].get("lr", 1e-3)
    return f"{float(lr):g}"
