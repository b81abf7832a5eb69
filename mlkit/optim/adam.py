"""Adam."""

from __future__ import annotations

from mlkit.core.errors import ValueRangeError
from mlkit.core.value import Value
from mlkit.optim.optimizer import Optimizer, check_betas, check_fused, check_lr, not_negative, scalar, zeros_like


class Adam(Optimizer):
    """Steps scaled by running means of the gradient and of its square (Kingma & Ba 2014, arXiv:1412.6980).

    Args:
        params: parameters or groups of them.
        lr: learning rate, a number or a tensor of one.
        betas: decay of the running means of the gradient and of its square.
        eps: added to the root of the mean square.
        weight_decay: added to the gradient: weight_decay * p (see AdamW for the decoupled form).
        amsgrad: divide by the largest mean square so far (Reddi et al. 2018, arXiv:1904.09237).
        maximize: go up instead of down.
        foreach, capturable, fused: how PyTorch would run the step; kept for its files.
        differentiable: let gradients flow through the step.
        decoupled_weight_decay: AdamW's form of weight decay.

    >>> import mlkit
    >>> w = mlkit.tensor([1.0], requires_grad=True)
    >>> opt = mlkit.optim.Adam([w], lr=0.5); (w * w).sum().backward(); opt.step(); w
    tensor([0.5000], requires_grad=True)
    """

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ):
        if foreach and not capturable and any(isinstance(x, Value) for x in (lr, *betas)):
            raise ValueRangeError(
                "lr or betas as a Tensor is not supported for capturable=False and foreach=True.",
                hint="Leave foreach out.",
            )
        check_lr(lr)
        not_negative(epsilon_value=eps)
        check_betas(betas)
        not_negative(weight_decay_value=weight_decay)
        if len({isinstance(beta, Value) for beta in betas}) > 1 or not all(
            isinstance(beta, (float, Value)) for beta in betas
        ):
            raise ValueRangeError("betas must be either both floats or both Tensors.")
        check_fused(fused, foreach, differentiable)
        defaults = {
            "lr": lr,
            "betas": tuple(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def start(self, group, p):
        state = {"step": scalar(0.0, group, p), "exp_avg": zeros_like(p), "exp_avg_sq": zeros_like(p)}
        if group["amsgrad"]:
            state["max_exp_avg_sq"] = zeros_like(p)
        return state

    def update(self, m, group, p, g, step, exp_avg, exp_avg_sq, max_exp_avg_sq=None):
        lr, (beta1, beta2) = group["lr"], group["betas"]
        if group["weight_decay"] != 0:
            if group["decoupled_weight_decay"]:
                p *= 1 - lr * group["weight_decay"]
            else:
                g = g + group["weight_decay"] * p
        exp_avg += (g - exp_avg) * (1 - beta1)
        exp_avg_sq *= beta2
        exp_avg_sq += (1 - beta2) * g * g
        if group["amsgrad"]:
            max_exp_avg_sq[...] = m.maximum(1 * max_exp_avg_sq, exp_avg_sq)  # 1 *: backward keeps what was
            exp_avg_sq = max_exp_avg_sq
        root = m.sqrt(exp_avg_sq) / (1 - beta2**step) ** 0.5 + group["eps"]
        p -= (lr / (1 - beta1**step)) * exp_avg / root
