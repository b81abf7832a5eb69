"""einops on mlkit tensors: ``einops.rearrange(tensor, "b c h w -> b (c h w)")`` and the rest of it.

einops finds libraries by asking the subclasses of its ``AbstractBackend``. Ours is made when einops is imported, whether
that is before mlkit or after it; a program that does not use einops pays for one comparison per module it imports.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import sys

_MODULE = "einops._backends"


def register(module) -> None:
    """Give einops, whose module of backends this is, one for mlkit."""
    from mlkit.core.tensor import Tensor
    from mlkit.functional import conversion, creation, shaping

    class MlkitBackend(module.AbstractBackend):
        framework_name = "mlkit"

        def is_appropriate_type(self, tensor):
            return isinstance(tensor, Tensor)

        def from_numpy(self, x):
            out = conversion.from_numpy(x)
            return out.requires_grad_() if self.is_float_type(out) else out

        def to_numpy(self, x):
            return x.detach().cpu().numpy()

        def arange(self, start, stop):
            return creation.arange(start, stop)

        def reduce(self, x, operation, axes):
            if operation in ("min", "max"):
                return getattr(x, f"a{operation}")(dim=tuple(axes))
            if operation in ("sum", "mean"):
                return getattr(x, operation)(dim=tuple(axes))
            if operation not in ("any", "all", "prod"):
                raise NotImplementedError(f"einops asks for an unknown reduction: {operation}.")
            for axis in sorted(axes, reverse=True):
                x = getattr(x, operation)(dim=axis)
            return x

        def transpose(self, x, axes):
            return x.permute(*axes)

        def stack_on_zeroth_dimension(self, tensors):
            return shaping.stack(tensors)

        def add_axes(self, x, n_axes, pos2len):
            sizes = [-1] * n_axes
            for position, length in pos2len.items():
                x = self.add_axis(x, position)
                sizes[position] = length
            return x.expand(*sizes)

        def tile(self, x, repeats):
            return x.repeat(*repeats)

        def concat(self, tensors, axis):
            return shaping.cat(tensors, dim=axis)

        def add_axis(self, x, new_position):
            return x.unsqueeze(new_position)

        def is_float_type(self, x):
            return x.is_floating_point()

        def layers(self):
            return importlib.import_module("mlkit.utils.einops")

        def einsum(self, pattern, *x):
            return importlib.import_module("mlkit").einsum(pattern, *x)

    module.MlkitBackend = MlkitBackend  # a class's list of subclasses does not keep them alive


class _Finder:
    """Waits at the head of the import system for einops' backends, once."""

    def find_spec(self, name, path=None, target=None):
        if name != _MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        run = spec.loader.exec_module

        def run_and_register(module):
            run(module)
            register(module)

        spec.loader.exec_module = run_and_register  # type: ignore[method-assign]
        return spec


def watch() -> None:
    """Register with einops now when it is there, else when it comes."""
    if _MODULE in sys.modules:
        register(sys.modules[_MODULE])
    else:
        sys.meta_path.insert(0, _Finder())
