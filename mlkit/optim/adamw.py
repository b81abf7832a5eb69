"""AdamW."""

from __future__ import annotations

from mlkit.optim.adam import Adam


class AdamW(Adam):
    """Adam with weight decay apart from the gradient: p *= 1 - lr * weight_decay first.

    Loshchilov & Hutter 2017, "Decoupled weight decay regularization", arXiv:1711.05101. Arguments as in Adam;
    ``weight_decay`` is 0.01 unless given.

    >>> import mlkit
    >>> w = mlkit.tensor([1.0], requires_grad=True)
    >>> opt = mlkit.optim.AdamW([w], lr=0.5, weight_decay=0.1); (w * w).sum().backward(); opt.step(); w
    tensor([0.4500], requires_grad=True)
    """

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def _complete(self) -> None:
        for group in self.param_groups:  # files from before the setting existed say nothing, or what Adam would
            group["decoupled_weight_decay"] = True
        super()._complete()
