"""Numbers that do not depend on a library's random generator: NumPy draws them all."""

import numpy as np
import torch


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def uniform(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).random(shape, dtype=np.float32))


def integers(high, *shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, high, shape))


def fill(model, seed=0):
    """Weights of the size that the usual initialisations give, the same everywhere."""
    draw = np.random.default_rng(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = draw.standard_normal(tuple(parameter.shape)).astype(np.float32)
            if parameter.dim() > 1:
                values /= np.sqrt(parameter.numel() / parameter.shape[0])
            elif "weight" in name:
                values = 1 + 0.1 * values
            else:
                values *= 0.1
            parameter.copy_(torch.from_numpy(values))
    return model


def kind(error, *first):
    """Which of Python's own kinds of error it is, the telling ones first: libraries' own classes have names of their own."""
    kinds = (*first, NotImplementedError, IndexError, TypeError, ValueError, RuntimeError, AttributeError, Exception)
    return next(k.__name__ for k in kinds if isinstance(error, k))


def attempt(name, fn, *first):
    """Print what ``fn`` gives under that name, or the kind of error that it raises."""
    try:
        y = fn()
        print(name, y)
    except Exception as error:
        print(name, kind(error, *first))


def weigh(t):
    """One number that any element changes: the sum with weights cos(0), cos(1), ... in double precision."""
    t = t.detach()
    values = torch.view_as_real(t.resolve_conj()) if t.is_complex() else t
    values = values.to(torch.float64).reshape(-1)
    return (values * torch.cos(torch.arange(values.numel(), dtype=torch.float64))).sum().item()


def tell(name, *tensors):
    """Print type, shape and weighted sum of each tensor."""
    print(name, *(f"{str(t.dtype)[6:]}{list(t.shape)} {weigh(t):.5f}" if t is not None else None for t in tensors))


def slopes(model):
    """One number for all gradients of a model."""
    return sum(weigh(p.grad) for p in model.parameters() if p.grad is not None)
