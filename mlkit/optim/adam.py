"""Adam and AdamW."""

from __future__ import annotations

import math

from mlkit.core.errors import ValueRangeError
from mlkit.core.value import wrap
from mlkit.functional.creation import tensor
from mlkit.optim.optimizer import Optimizer, not_negative


class Adam(Optimizer):
    """Steps scaled by running means of the gradient and of its square (Kingma & Ba 2014, arXiv:1412.6980).

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        betas: decay of the running means of the gradient and of its square.
        eps: added to the root of the mean square.
        weight_decay: added to the gradient: weight_decay * p (see AdamW for the decoupled form).
        amsgrad: divide by the largest mean square so far (Reddi et al. 2018).
        maximize: go up instead of down.
    """

    decoupled = False

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach=None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused=None,
    ):
        not_negative(learning_rate=lr, epsilon_value=eps, weight_decay_value=weight_decay)
        for i, beta in enumerate(betas):
            if not 0.0 <= beta < 1.0:
                raise ValueRangeError(f"Invalid beta parameter at index {i}: {beta}")
        settings = {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**settings, "amsgrad": amsgrad, "maximize": maximize})

    def update(self, group, p, g, state) -> None:
        array = p._array
        if not state:
            state["step"] = tensor(0.0)
            state["exp_avg"] = wrap(g * 0)
            state["exp_avg_sq"] = wrap((g * g.conj()).real * 0 if g.dtype.kind == "c" else g * 0)
            if group["amsgrad"]:
                state["max_exp_avg_sq"] = wrap(state["exp_avg_sq"]._array.copy())
        state["step"]._array += 1
        step = float(state["step"]._array)
        beta1, beta2 = group["betas"]
        if group["weight_decay"]:
            if self.decoupled:
                array *= 1 - group["lr"] * group["weight_decay"]
            else:
                g = g + group["weight_decay"] * array
        mean, square = state["exp_avg"]._array, state["exp_avg_sq"]._array
        mean += (g - mean) * (1 - beta1)
        square *= beta2
        square += (1 - beta2) * (g * g if g.dtype.kind != "c" else (g * g.conj()).real)
        if group["amsgrad"]:
            largest = state["max_exp_avg_sq"]._array
            largest[...] = largest.clip(min=square)
            square = largest
        root = square**0.5
        root /= math.sqrt(1 - beta2**step)
        root += group["eps"]
        array -= (group["lr"] / (1 - beta1**step)) * mean / root


class AdamW(Adam):
    """Adam with weight decay apart from the gradient: p *= 1 - lr * weight_decay first.

    Loshchilov & Hutter 2017, "Decoupled weight decay regularization", arXiv:1711.05101. Arguments as in Adam;
    ``weight_decay`` is 0.01 unless given.
    """

    decoupled = True

    def __init__(self, params, lr: float = 1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, amsgrad=False, **how):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, **how)
