"""RMSprop."""

from __future__ import annotations

from mlkit.optim.optimizer import Optimizer, check_lr, not_negative, scalar, zeros_like


class RMSprop(Optimizer):
    """The gradient divided by the root of its running mean square (Tieleman & Hinton 2012, Coursera lecture 6).

    The centred form takes the variance instead (Graves 2013, arXiv:1308.0850).

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        alpha: decay of the running mean square.
        eps: added to the root.
        weight_decay: added to the gradient: weight_decay * p.
        momentum: share of the last step that goes on.
        centered: divide by the standard deviation.
        maximize: go up instead of down.
        foreach, capturable: how PyTorch would run the step; kept for its files.
        differentiable: let gradients flow through the step.

    >>> import mlkit
    >>> w = mlkit.tensor([1.0], requires_grad=True)
    >>> opt = mlkit.optim.RMSprop([w], lr=0.05); (w * w).sum().backward(); opt.step(); w
    tensor([0.5000], requires_grad=True)
    """

    def __init__(
        self,
        params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        check_lr(lr)
        not_negative(epsilon_value=eps, momentum_value=momentum, weight_decay_value=weight_decay, alpha_value=alpha)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def start(self, group, p):
        state = {"step": scalar(0.0, group, p), "square_avg": zeros_like(p)}
        if group["momentum"] > 0:
            state["momentum_buffer"] = zeros_like(p)
        if group["centered"]:
            state["grad_avg"] = zeros_like(p)
        return state

    def update(self, m, group, p, g, step, square_avg, momentum_buffer=None, grad_avg=None):
        alpha = group["alpha"]
        if group["weight_decay"] != 0:
            g = g + group["weight_decay"] * p
        square_avg *= alpha
        square_avg += (1 - alpha) * g * g
        if group["centered"]:
            grad_avg += (g - grad_avg) * (1 - alpha)
            root = m.sqrt(square_avg - grad_avg * grad_avg)
        else:
            root = m.sqrt(square_avg)
        change = g / (root + group["eps"])
        if group["momentum"] > 0:
            momentum_buffer *= group["momentum"]
            momentum_buffer += change
            change = momentum_buffer
        p -= group["lr"] * change
