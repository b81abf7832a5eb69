"""Pruning: entries of a parameter held at zero by a mask.

The parameter moves to ``name_orig``, the mask is the buffer ``name_mask``, and ``name`` is their product before each
forward; ``remove`` makes it lasting. A way to prune is a class with one method, ``compute_mask``:

>>> import mlkit
>>> from mlkit.nn.utils import prune
>>> class EveryOther(prune.BasePruningMethod):
...     PRUNING_TYPE = "unstructured"
...     def compute_mask(self, t, default_mask):
...         mask = default_mask.clone()
...         mask.view(-1)[::2] = 0
...         return mask
>>> layer = mlkit.nn.Linear(3, 2)
>>> EveryOther.apply(layer, "weight").mask(layer)
tensor([[0., 1., 0.],
        [1., 0., 1.]])
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from mlkit.autograd.grad_mode import no_grad
from mlkit.core.errors import ArgumentError, ValueRangeError
from mlkit.functional.creation import ones_like, zeros_like
from mlkit.functional.distance import length
from mlkit.functional.random import rand
from mlkit.functional.shaping import cat
from mlkit.nn.parameter import Parameter


class BasePruningMethod(ABC):
    """A way to prune; an instance is the hook that applies the mask before each forward.

    A subclass sets ``PRUNING_TYPE`` ("unstructured": entry by entry, "structured": whole slices along ``self.dim``,
    "global": any) and defines ``compute_mask``.
    """

    PRUNING_TYPE: str = "global"
    _tensor_name: str

    @abstractmethod
    def compute_mask(self, t, default_mask):
        """The mask (zeros and ones, like ``t``): ``default_mask`` with more zeros, chosen by the scores ``t``."""

    def mask(self, module):
        """The mask in use."""
        return getattr(module, self._tensor_name + "_mask")

    def __call__(self, module, inputs) -> None:
        object.__setattr__(module, self._tensor_name, self.apply_mask(module))

    def apply_mask(self, module):
        """The parameter times its mask."""
        if not hasattr(self, "_tensor_name"):
            raise AssertionError(f"Module {module} has to be pruned")
        orig = getattr(module, self._tensor_name + "_orig")
        return self.mask(module).to(orig.dtype) * orig

    @classmethod
    def apply(cls, module, name: str, *args, importance_scores=None, **kwargs):
        """Prune ``module``'s parameter ``name`` and register the hook, which is returned.

        args and kwargs go to the class. importance_scores (like the parameter): what to choose by, in its place.
        """
        key, before = _hook(module, name)
        method = cls(*args, **kwargs)
        method._tensor_name = name
        weight = getattr(module, name)
        scores = weight if importance_scores is None else importance_scores
        if tuple(scores.shape) != tuple(weight.shape):
            raise AssertionError(
                f"importance_scores should have the same shape as parameter {name} of {module}: "
                f"{tuple(scores.shape)} is not {tuple(weight.shape)}."
            )
        with no_grad():
            if before is None:
                mask = method.compute_mask(scores.detach(), ones_like(weight.detach()))
            else:
                container = before if isinstance(before, PruningContainer) else PruningContainer(before)
                container.add_pruning_method(method)
                mask = container.compute_mask(scores.detach(), before.mask(module).to(scores.dtype))
                method = container
        if before is None:
            module.register_parameter(name + "_orig", module._parameters.pop(name))
            module.register_buffer(name + "_mask", mask)
        else:
            module._buffers[name + "_mask"] = mask
            del module._forward_pre_hooks[key]
        method(module, ())
        module.register_forward_pre_hook(method)
        return method

    def prune(self, t, default_mask=None, importance_scores=None):
        """The pruned form of a tensor, without any module."""
        scores = t if importance_scores is None else importance_scores
        if tuple(scores.shape) != tuple(t.shape):
            raise AssertionError("importance_scores should have the same shape as tensor t")
        before = ones_like(t) if default_mask is None else default_mask
        return t * self.compute_mask(scores, default_mask=before)

    def remove(self, module) -> None:
        """The pruned values as an ordinary parameter; they may be trained again."""
        name = self._tensor_name
        weight = self.apply_mask(module).detach()
        module.__dict__.pop(name, None)
        orig = module._parameters.pop(name + "_orig")
        del module._buffers[name + "_mask"]
        module.register_parameter(name, Parameter(weight, requires_grad=orig.requires_grad))


class PruningContainer(BasePruningMethod):
    """Several ways to prune one parameter, one after the other, each among what the earlier ones left."""

    def __init__(self, *args):
        methods = args[0] if len(args) == 1 and isinstance(args[0], Iterable) else args
        self._pruning_methods: tuple = ()
        for method in methods:
            if not self._pruning_methods:
                self._tensor_name = method._tensor_name
            self.add_pruning_method(method)

    def add_pruning_method(self, method) -> None:
        """Put one more way at the end."""
        if not isinstance(method, BasePruningMethod) and method is not None:
            raise ArgumentError(f"{type(method).__name__} is not a BasePruningMethod subclass")
        if method is not None and getattr(self, "_tensor_name", method._tensor_name) != method._tensor_name:
            raise ValueRangeError(
                "Can only add pruning methods acting on the parameter named "
                f"'{self._tensor_name}' to PruningContainer; this one acts on '{method._tensor_name}'."
            )
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self):
        return iter(self._pruning_methods)

    def __getitem__(self, index):
        return self._pruning_methods[index]

    def compute_mask(self, t, default_mask):
        """``default_mask`` times the mask of the newest way, which sees only what is left."""
        method = self._pruning_methods[-1]
        mask = default_mask.to(t.dtype)
        if method.PRUNING_TYPE == "unstructured":
            left = mask == 1
        elif method.PRUNING_TYPE == "structured":
            dim = method.dim % t.ndim
            alive = mask.movedim(dim, 0).reshape(mask.shape[dim], -1).sum(1) != 0
            left = (slice(None),) * dim + (alive,)
        elif method.PRUNING_TYPE == "global":
            left = (slice(None),) * t.ndim
        else:
            raise ValueRangeError(f"Unrecognized PRUNING_TYPE {method.PRUNING_TYPE}")
        out = mask.clone()
        out[left] = method.compute_mask(t[left], default_mask=mask[left])
        return out


class Identity(BasePruningMethod):
    """The pruning form without pruning anything."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t, default_mask):
        return default_mask


class _Amount(BasePruningMethod):
    """A number (int) or share (float) of what is there."""

    def __init__(self, amount):
        _check_amount(amount)
        self.amount = amount

    def count(self, total: int) -> int:
        count = self.amount if isinstance(self.amount, int) else round(self.amount * total)
        if count > total:
            raise ValueRangeError(
                f"amount={self.amount} should be smaller than the number of parameters to prune={total}"
            )
        return count


class RandomUnstructured(_Amount):
    """Entries at random."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t, default_mask):
        count, mask = self.count(t.numel()), default_mask.clone()
        if count:
            mask.view(-1)[rand(t.numel(), device=t.device).topk(count).indices] = 0
        return mask


class L1Unstructured(_Amount):
    """The entries of smallest magnitude."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t, default_mask):
        count, mask = self.count(t.numel()), default_mask.clone()
        if count:
            mask.view(-1)[t.abs().reshape(-1).topk(count, largest=False).indices] = 0
        return mask


class _Structured(_Amount):
    PRUNING_TYPE = "structured"
    dim: int

    def slices(self, t) -> int:
        """How many slices go; says what is wrong with the tensor or the dim."""
        if t.ndim <= 1:
            raise ValueRangeError(
                "Structured pruning can only be applied to multidimensional tensors. Found tensor of shape "
                f"{tuple(t.shape)} with {t.ndim} dims"
            )
        if self.dim >= t.ndim:
            raise IndexError(f"Invalid index {self.dim} for tensor of size {tuple(t.shape)}")
        return self.count(t.shape[self.dim])

    def without(self, gone, t, default_mask):
        """default_mask without the slices whose places ``gone`` names."""
        keep = zeros_like(t)
        keep.movedim(self.dim, 0)[...] = 1
        keep.movedim(self.dim, 0)[gone] = 0
        return default_mask * keep


class RandomStructured(_Structured):
    """Whole slices along ``dim``, at random."""

    def __init__(self, amount, dim: int = -1):
        super().__init__(amount)
        self.dim = dim

    def compute_mask(self, t, default_mask):
        count = self.slices(t)
        if not count:
            return default_mask
        return self.without(rand(t.shape[self.dim], device=t.device).topk(count).indices, t, default_mask)


class LnStructured(_Structured):
    """The slices along ``dim`` of smallest n-norm."""

    def __init__(self, amount, n, dim: int = -1):
        super().__init__(amount)
        self.n = n
        self.dim = dim

    def compute_mask(self, t, default_mask):
        count = self.slices(t)
        if not count:
            return default_mask
        norms = length(t.movedim(self.dim, 0).reshape(t.shape[self.dim], -1), float(self.n), 1)
        return self.without(norms.topk(count, largest=False).indices, t, default_mask)


class CustomFromMask(BasePruningMethod):
    """A mask of one's own."""

    PRUNING_TYPE = "global"

    def __init__(self, mask):
        self.given = mask

    def compute_mask(self, t, default_mask):
        if tuple(default_mask.shape) != tuple(self.given.shape):
            raise AssertionError(
                f"the mask's shape {tuple(self.given.shape)} is not the parameter's, {tuple(default_mask.shape)}"
            )
        return default_mask * self.given.to(default_mask.dtype)


# --- by a call ----------------------------------------------------------------------------------------------------------


def identity(module, name: str):
    """The pruning form without pruning anything."""
    Identity.apply(module, name)
    return module


def random_unstructured(module, name: str, amount):
    """Prune a number (int) or share (float) of entries at random."""
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module, name: str, amount, importance_scores=None):
    """Prune the entries of smallest magnitude."""
    L1Unstructured.apply(module, name, amount, importance_scores=importance_scores)
    return module


def random_structured(module, name: str, amount, dim: int):
    """Prune whole slices along ``dim`` at random."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(module, name: str, amount, n: float, dim: int, importance_scores=None):
    """Prune the slices along ``dim`` of smallest n-norm."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module, name: str, mask):
    """Hold the parameter at zero where ``mask`` is 0; repeated pruning multiplies the masks."""
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(parameters, pruning_method, importance_scores=None, **kwargs) -> None:
    """Prune among several (module, name) pairs together, as if they were one vector.

    pruning_method is a class with PRUNING_TYPE "unstructured" such as ``L1Unstructured``; kwargs (amount) go to it.

    >>> import mlkit
    >>> from mlkit.nn.utils import prune
    >>> a, b = mlkit.nn.Linear(4, 4), mlkit.nn.Linear(4, 2)
    >>> prune.global_unstructured([(a, "weight"), (b, "weight")], prune.L1Unstructured, amount=0.5)
    >>> int((a.weight == 0).sum() + (b.weight == 0).sum())
    12
    """
    if not isinstance(parameters, Iterable):
        raise ArgumentError("global_unstructured(): parameters is not an Iterable")
    pairs = list(parameters)
    if not isinstance(importance_scores or {}, dict):
        raise ArgumentError("global_unstructured(): importance_scores must be of type dict")
    if not (isinstance(pruning_method, type) and issubclass(pruning_method, BasePruningMethod)):
        raise ArgumentError(
            "global_unstructured(): pruning_method is a class, such as prune.L1Unstructured.",
            hint="prune.l1_unstructured prunes one parameter at once; its class here is prune.L1Unstructured.",
        )
    if pruning_method.PRUNING_TYPE != "unstructured":
        raise ArgumentError(
            'Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found method '
            f"{pruning_method.__name__} of type {pruning_method.PRUNING_TYPE}"
        )
    with no_grad():
        weights = [getattr(*pair) for pair in pairs]
        scores = [(importance_scores or {}).get(pair, w) for pair, w in zip(pairs, weights, strict=True)]
        masks = [getattr(m, n + "_mask", None) for m, n in pairs]
        masks = [ones_like(w.detach()) if m is None else m for m, w in zip(masks, weights, strict=True)]
        method = pruning_method(**kwargs)
        method._tensor_name = "temp"
        container = PruningContainer(method)
        flat = [cat([t.detach().reshape(-1) for t in ts], 0) for ts in (scores, masks)]
        found = container.compute_mask(flat[0], flat[1])
    start = 0
    for (module, name), weight in zip(pairs, weights, strict=True):
        custom_from_mask(module, name, found[start : start + weight.numel()].reshape(*weight.shape))
        start += weight.numel()


def remove(module, name: str):
    """The pruned values as an ordinary parameter; they may be trained again."""
    key, hook = _hook(module, name)
    if hook is None:
        raise ValueRangeError(f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed")
    hook.remove(module)
    del module._forward_pre_hooks[key]
    return module


def is_pruned(module) -> bool:
    """Whether this module or one below it has a pruned parameter."""
    return any(isinstance(h, BasePruningMethod) for m in module.modules() for h in m._forward_pre_hooks.values())


def _hook(module, name: str):
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            return key, hook
    return None, None


def _check_amount(amount) -> None:
    if isinstance(amount, bool) or not isinstance(amount, (int, float)):
        raise ArgumentError(f"Invalid type for amount: {amount}. Must be int or float.")
    if amount < 0 or (isinstance(amount, float) and amount > 1):
        raise ValueRangeError(
            f"amount={amount} should either be a float in the range [0, 1] or a non-negative integer."
        )
