"""Look at a model, its data, its loss and its optimizer for mistakes that raise nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

import mlkit
from mlkit.core.errors import ArgumentError
from mlkit.core.value import is_tensor
from mlkit.linting.findings import Finding, Findings
from mlkit.linting.outputs import array_of, of_constant, of_gradients, of_inputs, of_output, of_targets
from mlkit.linting.structure import of_model, of_optimizer
from mlkit.nn.module import Module


def lint(model: Module, loader: Any = None, loss: Callable[..., Any] | None = None, optimizer: Any = None) -> Findings:
    """What is likely wrong, before a training begins. Nothing is changed: modes, buffers, gradients, random state.

    Args:
        model: The model that will be trained.
        loader: A DataLoader, or anything that gives batches (inputs, target); the first batch is tried.
        loss: A function of (output, target); with it a backward is tried too.
        optimizer: Whose parameters and rate are looked at.

    Returns:
        Findings: a list; empty when nothing was found. Each has a rule, a sentence and a repair. A batch on which the
        model or the loss raises is a finding ("raises") with the error's own sentence and hint.

    Raises:
        ArgumentError: The model is no Module, or the loader can be gone through only once.

    >>> from mlkit import nn
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 1)).eval()
    >>> print(mlkit.lint(model))
    eval-mode: The model is in evaluation mode, where dropout and batch norm do not train.
        model.train()
    no-activation: Layers 0 and 1 are both Linear with nothing between them: together they can do no more than one. (Sequential)
        Put an activation between them, for example nn.ReLU() after layer 0.
    """
    if not isinstance(model, Module):
        raise ArgumentError(
            f"lint: the model must be an nn.Module, got a {type(model).__qualname__}.", hint="lint(model, loader, loss)"
        )
    if isinstance(loader, Iterator):
        raise ArgumentError(
            f"lint: a {type(loader).__qualname__} can be gone through only once, and its first batch would be lost.",
            hint="Give the DataLoader itself.",
        )
    found = list(of_model(model))
    looked_at = ["the model"]
    if optimizer is not None:
        found += of_optimizer(model, optimizer)
        looked_at.append("the optimizer")
    if loader is not None:
        with _unchanged(model):
            found += _of_batch(model, loader, loss, optimizer)
        looked_at.append("one batch")
        if loss is not None:
            looked_at.append("the loss and its gradients")
    return Findings(found, ", ".join(looked_at))


@contextlib.contextmanager
def _unchanged(model: Module) -> Iterator[None]:
    """Modes, buffers, gradients and the random state are afterwards as they were."""
    state = mlkit.get_rng_state()
    modes = [(module, module.training) for module in model.modules()]
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    for parameter, _ in gradients:
        parameter.grad = None
    try:
        yield
    finally:
        with mlkit.no_grad():
            for buffer, kept in buffers:
                buffer.copy_(kept)
        for parameter, gradient in gradients:
            parameter.grad = gradient
        for module, mode in modes:
            module.training = mode
        mlkit.set_rng_state(state)


def _of_batch(model: Module, loader: Any, loss: Any, optimizer: Any) -> Iterator[Finding]:
    batch = next(iter(loader), None)
    if batch is None:
        yield Finding("no-batch", "The loader gives no batch.", "Check where its samples come from.")
        return
    inputs, target = _parts(batch)
    if not is_tensor(inputs):
        return  # a batch of another form: only its own trainer knows what to do with it
    device = next((parameter.device for parameter in model.parameters()), None)
    if device is not None:
        inputs = inputs.to(device)
        target = target.to(device) if is_tensor(target) else target
    yield from of_inputs(inputs)
    yield from of_targets(target, loader)
    model.train()
    try:
        with mlkit.enable_grad():
            output = model(inputs)
            if loss is None or target is None:
                yield from of_output(output, loss)
                return
            value = loss(output, target)
    except Exception as error:
        yield _raised(error)
        return
    if output is None:
        yield Finding("returns-nothing", "The model's forward returns nothing.", "End forward with: return output")
        return
    yield from of_output(output, loss)
    yield from of_constant(output)
    if not is_tensor(value) or value.numel() != 1:
        shape = list(value.shape) if is_tensor(value) else type(value).__name__
        yield Finding("loss-not-a-number", f"The loss is no single number but {shape}.", "loss(output, target).mean()")
        return
    number = float(value.detach().item())
    if not np.isfinite(number):
        yield Finding(
            "loss-not-finite",
            f"The loss of the first batch is {number}.",
            "with mlkit.autograd.detect_anomaly(): loss(model(inputs), target).backward()",
        )
        return
    if not value.requires_grad:
        if any(parameter.requires_grad for parameter in model.parameters()):
            yield Finding(
                "no-graph",
                "The loss does not depend on the parameters: no_grad(), detach(), numpy() or item() cuts the way.",
                "Compute output and loss from tensors alone, outside of no_grad().",
            )
        return
    try:
        value.backward()
    except Exception as error:
        yield _raised(error)
        return
    yield from of_gradients(model, optimizer)
    yield from _mixed_samples(model, inputs)


def _parts(batch: Any) -> tuple[Any, Any]:
    if isinstance(batch, Mapping):
        return None, None
    if isinstance(batch, (tuple, list)):
        return (batch[0] if batch else None), (batch[1] if len(batch) > 1 else None)
    return batch, None


def _raised(error: Exception) -> Finding:
    sentence = str(getattr(error, "sentence", None) or error or type(error).__name__)
    details = getattr(error, "details", None)
    hint = getattr(error, "hint", None) or "Run one batch by hand to see the line: loss(model(inputs), target)"
    return Finding(
        "raises", f"{type(error).__name__}: {sentence}", hint, " ".join(str(details).split()) if details else ""
    )


def _mixed_samples(model: Module, inputs: Any) -> Iterator[Finding]:
    """The output of one sample must not depend on another's input (in evaluation mode, where batch norm keeps them apart)."""
    if not inputs.dtype.is_floating_point or inputs.ndim < 2 or len(inputs) < 2:
        return
    model.eval()
    few = inputs[: min(4, len(inputs))].detach().clone().requires_grad_()
    try:
        with mlkit.enable_grad():
            output = model(few)
            if not is_tensor(output) or not output.ndim or len(output) != len(few) or not output.requires_grad:
                return
            (gradient,) = mlkit.autograd.grad(output[0].sum(), few, allow_unused=True)
    except Exception:  # the user's forward, on fewer samples: whatever it raises then is no finding
        return
    if gradient is not None and np.any(array_of(gradient)[1:]):
        yield Finding(
            "mixed-samples",
            "The output of the first sample depends on the inputs of others: an axis other than the samples' was meant.",
            "Look for view, reshape, permute or softmax over axis 0; flatten with x.flatten(1).",
        )
