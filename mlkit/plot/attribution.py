"""Which parts of an input a model's answer depends on: saliency, integrated gradients, Grad-CAM, as arrays.

``mlkit.plot.saliency``, ``integrated_gradients`` and ``grad_cam`` draw them. The model is asked in evaluation mode and is
left as it was; gradients of parameters are not touched.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import numpy as np

import mlkit
from mlkit.display.sample import raw, to_numpy


@contextmanager
def _evaluating(model: Any) -> Any:
    """Evaluation mode for the block; each module has its own mode back afterwards."""
    modes = [(module, module.training) for module in model.modules()] if hasattr(model, "modules") else []
    try:
        if modes:
            model.eval()
        with mlkit.enable_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def _one(input: Any, what: str) -> Any:
    """The input as a batch of one that takes a gradient."""
    tensor = input if hasattr(input, "_array") else mlkit.as_tensor(np.asarray(input))
    if not tensor.dtype.is_floating_point:
        raise TypeError(f"{what}: expected a floating-point input, got {tensor.dtype}: use input.float()")
    if len(tensor.shape) not in (2, 4) or tensor.shape[0] != 1:
        raise ValueError(
            f"{what}: expected one sample with its batch axis, [1, channel, height, width] or [1, feature], got "
            f"{list(tensor.shape)}: use input.unsqueeze(0), or input[i:i+1] of a batch"
        )
    return tensor.detach().clone().requires_grad_()


def _score(output: Any, target: int | None, what: str) -> tuple[Any, int]:
    """(scores of the class that is asked about, one for each sample; its number)."""
    if not hasattr(output, "_array") or len(output.shape) not in (1, 2):
        shape = list(getattr(output, "shape", ())) or type(output).__name__
        raise ValueError(f"{what}: expected the model to return scores [sample, class], got {shape}")
    if len(output.shape) == 1:
        return output, 0
    chosen = int(output.detach()[0].argmax().item()) if target is None else int(target)
    if not 0 <= chosen < output.shape[1]:
        raise ValueError(f"{what}: target {chosen} is no class of the model, which has {output.shape[1]}")
    return output[:, chosen], chosen


def _numpy(tensor: Any) -> np.ndarray:
    return to_numpy(raw(tensor.detach())).astype(np.float64)


def _gradient(score: Any, of: Any, what: str) -> Any:
    if not score.requires_grad:
        raise ValueError(f"{what}: no gradient reaches the input: does the model detach it, or go through NumPy?")
    (found,) = mlkit.autograd.grad(score.sum(), of, allow_unused=True)
    if found is None:
        raise ValueError(f"{what}: the score does not depend on it")
    return found


def saliency(model: Any, input: Any, target: int | None = None) -> tuple[np.ndarray, int]:
    """(the gradient of a class's score at the input, the class). float64 of the input's shape without the batch axis.

    ``input``: one sample with its batch axis. ``target``: the class; None: the one the model prefers.
    Simonyan et al., 2013, https://arxiv.org/abs/1312.6034.

    >>> model = mlkit.nn.Linear(3, 2)
    >>> found, chosen = saliency(model, mlkit.ones(1, 3), target=1)
    >>> bool(np.allclose(found, model.weight.detach().numpy()[1])), chosen
    (True, 1)
    """
    x = _one(input, "saliency")
    with _evaluating(model):
        score, chosen = _score(model(x), target, "saliency")
        return _numpy(_gradient(score, x, "saliency"))[0], chosen


def integrated_gradients(
    model: Any, input: Any, target: int | None = None, *, baseline: Any = 0.0, steps: int = 32
) -> tuple[np.ndarray, int]:
    """(what each value adds to the score on the way from ``baseline`` to the input, the class).

    The sum is the difference of the two scores, the better the more ``steps``. ``baseline``: a number, or a tensor of the
    input's shape. Sundararajan et al., 2017, https://arxiv.org/abs/1703.01365.

    >>> model = mlkit.nn.Linear(3, 2, bias=False)
    >>> found, _ = integrated_gradients(model, mlkit.ones(1, 3), target=0)
    >>> bool(np.allclose(found.sum(), model(mlkit.ones(1, 3))[0, 0].item(), atol=1e-5))
    True
    """
    if steps < 1:
        raise ValueError(f"integrated_gradients: steps must be at least 1, got {steps}")
    x = _one(input, "integrated_gradients")
    start = baseline if hasattr(baseline, "_array") else mlkit.full_like(x.detach(), float(baseline))
    if tuple(start.shape) != tuple(x.shape):
        raise ValueError(f"integrated_gradients: the baseline has shape {list(start.shape)}, the input {list(x.shape)}")
    way = x.detach() - start
    total = np.zeros(tuple(x.shape))
    with _evaluating(model):
        _, chosen = _score(model(x.detach()), target, "integrated_gradients")
        for k in range(steps):
            at = (start + way * ((k + 0.5) / steps)).requires_grad_()
            score, _ = _score(model(at), chosen, "integrated_gradients")
            total += _numpy(_gradient(score, at, "integrated_gradients"))
    return (total / steps * _numpy(way))[0], chosen


def grad_cam(model: Any, input: Any, layer: Any = None, target: int | None = None) -> tuple[np.ndarray, int]:
    """(how much each place of a layer's output speaks for the class, the class). float64 [height, width], 0 or more.

    ``layer``: a module of the model or its path; None: the last convolution. Selvaraju et al., 2016,
    https://arxiv.org/abs/1610.02391.

    >>> nn = mlkit.nn
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    >>> grad_cam(model, mlkit.rand(1, 1, 8, 8))[0].shape
    (6, 6)
    """
    x = _one(input, "grad_cam")
    modules = dict(model.named_modules())
    if layer is None:
        found = [m for m in modules.values() if type(m).__name__.startswith("Conv")]
        if not found:
            raise ValueError("grad_cam: the model has no convolution; name a layer whose output is a picture")
        layer = found[-1]
    elif isinstance(layer, str):
        if layer not in modules:
            raise ValueError(f"grad_cam: no layer {layer!r}; there are {', '.join(name for name in modules if name)}")
        layer = modules[layer]
    kept: list[Any] = []
    hook = layer.register_forward_hook(lambda module, args, output: kept.append(output))
    try:
        with _evaluating(model):
            score, chosen = _score(model(x), target, "grad_cam")
            if not kept or not hasattr(kept[-1], "_array") or len(kept[-1].shape) != 4:
                shape = list(kept[-1].shape) if kept and hasattr(kept[-1], "shape") else "nothing"
                raise ValueError(f"grad_cam: expected the layer to return [1, channel, height, width], got {shape}")
            slope = _numpy(_gradient(score, kept[-1], "grad_cam"))[0]
    finally:
        hook.remove()
    activations = _numpy(kept[-1])[0]
    return np.maximum((slope.mean((1, 2))[:, None, None] * activations).sum(0), 0.0), chosen
