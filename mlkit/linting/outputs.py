"""Rules on one batch: inputs, outputs against the loss, and what the gradients say."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from mlkit.core.value import is_tensor
from mlkit.linting.findings import Finding
from mlkit.linting.structure import shortened


def array_of(tensor: Any) -> np.ndarray:
    """The numbers of a tensor on the host; floats of any width as at least float32."""
    tensor = tensor.detach()
    if tensor.dtype.is_floating_point:
        tensor = tensor.float()
    return tensor.cpu().numpy()


def of_inputs(inputs: Any) -> Iterator[Finding]:
    """Inputs that are no numbers, or far from the range in which networks learn."""
    if not is_tensor(inputs) or not inputs.dtype.is_floating_point or not inputs.numel():
        return
    values = array_of(inputs)
    bad = int(values.size - np.isfinite(values).sum())
    if bad:
        yield Finding(
            "bad-inputs",
            f"{bad:,} of the {values.size:,} input values of the first batch are NaN or Inf.",
            "Look for missing values where the data is read: inputs.nan_to_num(0.0) hides them.",
        )
        return
    reach = float(np.abs(values).max())
    if reach > 30 and values.std() > 10:
        how = (
            "inputs / 255" if values.min() >= 0 and 200 < reach <= 255 else "(inputs - inputs.mean(0)) / inputs.std(0)"
        )
        yield Finding(
            "unscaled-inputs",
            f"The inputs reach from {values.min():.4g} to {values.max():.4g}: learning works best within a few units of 0.",
            f"Scale them: {how}",
        )


def of_targets(target: Any, loader: Any) -> Iterator[Finding]:
    """A first batch of one class only."""
    if not is_tensor(target) or target.dtype.is_floating_point or target.ndim != 1 or len(target) < 8:
        return
    labels = array_of(target)
    if len(np.unique(labels)) == 1:
        yield Finding(
            "one-class",
            f"All {len(labels)} labels of the first batch are {labels[0].item()}: the samples seem to be sorted by class.",
            f"DataLoader(dataset, batch_size={len(labels)}, shuffle=True)",
        )


def of_output(output: Any, loss: Any) -> Iterator[Finding]:
    """Outputs that the loss is not made for."""
    if not is_tensor(output) or not output.dtype.is_floating_point or not output.ndim:
        return
    kind = type(loss).__name__ if not hasattr(loss, "__name__") else loss.__name__
    scores = array_of(output)
    if not scores.size or not np.isfinite(scores).all():
        return
    if kind in ("CrossEntropyLoss", "cross_entropy") and scores.ndim >= 2:
        if scores.shape[1] == 1:
            yield Finding(
                "one-output",
                "The model has one output per sample, and cross-entropy over one class is always 0: nothing would be learned.",
                "For yes or no use nn.BCEWithLogitsLoss() on output.squeeze(1) with target.float(); for n classes give the "
                "last layer n outputs.",
            )
        elif scores.min() >= 0 and np.abs(scores.sum(axis=1) - 1).max() < 1e-3:
            yield Finding(
                "softmax-twice",
                "The model's outputs are probabilities (each row sums to 1), and CrossEntropyLoss applies softmax "
                "itself: it would be applied twice, and learning would be slow.",
                "Leave the model's last softmax out.",
            )
    elif kind in ("BCEWithLogitsLoss", "binary_cross_entropy_with_logits") and last_operation(output).startswith(
        "sigmoid"
    ):
        yield Finding(
            "sigmoid-twice",
            "The model ends in a sigmoid, and BCEWithLogitsLoss applies sigmoid itself: it would be applied twice.",
            "Leave the model's last sigmoid out, or use nn.BCELoss.",
        )
    elif (
        kind in ("NLLLoss", "nll_loss")
        and scores.ndim >= 2
        and np.abs(np.exp(np.minimum(scores, 50)).sum(axis=1) - 1).max() > 1e-2
    ):
        yield Finding(
            "no-log-softmax",
            "NLLLoss expects logarithms of probabilities, and exp(output) does not sum to 1.",
            "End the model in nn.LogSoftmax(dim=1), or use nn.CrossEntropyLoss on its plain outputs.",
        )


def of_constant(output: Any) -> Iterator[Finding]:
    """Outputs that do not depend on the sample."""
    if not is_tensor(output) or not output.dtype.is_floating_point or not output.ndim:
        return
    scores = array_of(output)
    if not scores.size or not np.isfinite(scores).all():
        return
    if scores.ndim == 2 and len(scores) >= 4 and np.ptp(scores, axis=0).max() <= 1e-7 * max(1.0, np.abs(scores).max()):
        yield Finding(
            "constant-output",
            "All samples of the batch get the same output: the model does not see its input.",
            "Look for dead activations, weights of 0, or an input that forward does not use.",
        )


def last_operation(output: Any) -> str:
    """The name of the node that made a tensor, in small letters."""
    name = getattr(output.grad_fn, "name", None)
    return str(name() if callable(name) else name or type(output.grad_fn).__name__).lower()


def of_gradients(model: Any, optimizer: Any = None) -> Iterator[Finding]:
    """After a backward: parameters that got none, and a rate that would throw the weights away."""
    wanted = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    without = [name for name, parameter in wanted.items() if parameter.grad is None]
    if without:
        yield Finding(
            "no-gradient",
            f"No gradient reaches {shortened(without)}: forward does not use them, or detach(), numpy() or item() cuts the way.",
            "Use them in forward, or remove them.",
        )
    still = [n for n, p in wanted.items() if p.grad is not None and p.ndim > 1 and not np.any(array_of(p.grad))]
    if still:
        yield Finding(
            "zero-gradient",
            f"The gradient of {shortened(still)} is 0 everywhere: they will not learn.",
            "Look at the layers after them: dead ReLUs, saturated sigmoids, or weights of 0.",
        )
    if optimizer is None:
        return
    worst, name = max(
        ((_first_step(p, optimizer), n) for n, p in wanted.items() if p.grad is not None and p.ndim > 1),
        default=(0.0, ""),
    )
    if worst > 1 or math.isnan(worst):
        lr = next(float(g["lr"]) for g in optimizer.param_groups)
        better = (
            1e-3
            if "Adam" in type(optimizer).__name__
            else 10.0 ** math.floor(math.log10(lr * 0.05 / worst))
            if math.isfinite(worst)
            else 1e-3
        )
        yield Finding(
            "rate-too-high",
            f"The learning rate {lr:g} is too high: the first step would move {name} by {worst:.3g} times its own size.",
            f'optimizer.param_groups[0]["lr"] = {better:g}',
        )


def _first_step(parameter: Any, optimizer: Any) -> float:
    """How long the optimizer's first step is, as a share of the parameter's own length."""
    rates = [float(g["lr"]) for g in optimizer.param_groups if any(p is parameter for p in g["params"])]
    if not rates:
        return 0.0
    size = float(np.linalg.norm(array_of(parameter)))
    if size == 0:
        return 0.0
    if "Adam" in type(optimizer).__name__ or type(optimizer).__name__ in ("RMSprop", "Adagrad", "Rprop"):
        return rates[0] * math.sqrt(parameter.numel()) / size  # each value moves by about the rate
    return rates[0] * float(np.linalg.norm(array_of(parameter.grad))) / size
