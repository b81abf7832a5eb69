"""gradcheck: a function's gradients against differences of its values.

Complex numbers are pairs of reals here: a function C^n -> C^m has a real Jacobian (2m, 2n), whose transpose is what
backward must multiply with.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable

import numpy as np

from mlkit.autograd import engine, forward_ad
from mlkit.autograd.grad_mode import enable_grad, no_grad
from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core.errors import GradientError, ValueRangeError
from mlkit.core.value import Value, wrap

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]


class GradcheckError(GradientError):
    """A gradient that differs from the numerical one."""


class NothingToCheck(ValueRangeError, AssertionError):
    """Neither direction is to be checked; PyTorch asserts it."""


def gradcheck(
    func: Callable,
    inputs,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Compare the gradients of ``func`` at ``inputs`` with central differences.

    Args:
        func: takes the inputs, returns a tensor or a tuple of tensors.
        inputs: a tensor or a tuple; those that require grad are checked, and should be float64 or complex128.
        eps: the step of the differences.
        atol, rtol: how far the two may be apart.
        raise_exception: raise when they are; with False return False.
        nondet_tol: how far two runs of backward may be apart.
        check_undefined_grad: backward must also stand outputs that were not used.
        check_grad_dtypes: gradients must have their input's dtype.
        check_batched_grad, check_batched_forward_grad: vmap over backward (forward mode) must agree with a loop.
        check_forward_ad, check_backward_ad: check forward mode, reverse mode.
        fast_mode: compare along one random direction instead of element by element.
        masked: accepted for PyTorch's sake (sparse inputs).

    Returns:
        True when everything agrees.

    Raises:
        GradcheckError: (a RuntimeError) the first disagreement, with both Jacobians.
        ValueRangeError: no input requires grad.

    >>> import mlkit
    >>> x = mlkit.tensor([0.3, -0.7], dtype=mlkit.float64, requires_grad=True)
    >>> mlkit.autograd.gradcheck(lambda x: (x * x).sin(), x)
    True
    """
    inputs = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    try:
        _check_inputs(inputs, check_forward_ad, check_backward_ad)
        check = _Check(func, inputs, eps, atol, rtol)
        if fast_mode:
            check.along_directions(check_forward_ad, check_backward_ad)
        else:
            check.elementwise(check_forward_ad, check_backward_ad)
        if check_backward_ad:
            check.repeats(nondet_tol)
            if check_undefined_grad:
                check.undefined()
            if check_grad_dtypes:
                check.dtypes()
            if check_batched_grad:
                check.batched()
        if check_forward_ad and check_batched_forward_grad:
            check.batched_forward()
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _check_inputs(inputs: tuple, forward: bool, backward: bool) -> None:
    if not forward and not backward:
        raise NothingToCheck("gradcheck: check_forward_ad and check_backward_ad cannot both be False.")
    wanted = False
    for i, t in enumerate(inputs):
        if isinstance(t, Value) and t._node is not None:
            wanted = True
            if isinstance(t._array, np.ndarray) and any(
                stride == 0 and size > 1 for stride, size in zip(t._array.strides, t._array.shape, strict=True)
            ):
                raise GradcheckError(
                    f"The {i}th input has a dimension with stride 0: gradcheck changes one element at a time, and here "
                    "several share one place in memory.",
                    hint="Give it memory of its own: x.expand(3).clone().",
                )
            if t._array.dtype not in (np.float64, np.complex128):
                warnings.warn(
                    f"Input #{i} requires gradient and is not a double precision floating point or complex. This check "
                    "will likely fail if all the inputs are not of double precision floating point or complex.",
                    stacklevel=3,
                )
    if not wanted:
        raise ValueRangeError(
            "gradcheck expects at least one input tensor to require gradient, but none of the them have "
            "requires_grad=True."
        )


def _reals(t) -> np.ndarray:
    """A tensor's numbers as one real vector; real and imaginary parts follow each other."""
    array = backends.for_array(t._array).to_numpy(t._array)
    if array.dtype.kind == "c":
        return np.concatenate([array.real.ravel(), array.imag.ravel()]).astype(np.float64)
    return array.astype(np.float64).ravel()


def _tensor(vector: np.ndarray, like) -> Value:
    """The tensor whose numbers are that vector, shaped like ``like``."""
    dtype, shape = like._array.dtype, tuple(like._array.shape)
    if dtype.kind == "c":
        half = len(vector) // 2
        vector = vector[:half] + 1j * vector[half:]
    array = np.array(vector.reshape(shape), dtype=dtype)
    library = backends.for_array(like._array)
    return wrap(array if library.name == "numpy" else library.asarray(array, library.device_of(like._array).index))


class _Check:
    """One function at one point."""

    def __init__(self, func: Callable, inputs: tuple, eps: float, atol: float, rtol: float):
        self.func, self.inputs = func, inputs
        self.eps, self.atol, self.rtol = eps, atol, rtol
        self.places = [i for i, t in enumerate(inputs) if isinstance(t, Value) and t._node is not None]
        self.random = np.random.default_rng(0)
        self.outputs = self.run(inputs)

    def run(self, inputs: tuple) -> list:
        """All outputs with floating or complex dtype."""
        out = self.func(*inputs)
        out = list(out) if isinstance(out, (tuple, list)) else [out]
        return [o for o in out if isinstance(o, Value) and o._array.dtype.kind in "fcV"]

    def at(self, place: int, vector: np.ndarray) -> list[np.ndarray]:
        """The outputs as vectors, with one input replaced."""
        inputs = list(self.inputs)
        inputs[place] = _tensor(vector, inputs[place])
        with no_grad():
            return [_reals(o) for o in self.run(tuple(inputs))]

    def moved(self, place: int, direction: np.ndarray) -> list[np.ndarray]:
        """Central differences of the outputs along a direction of one input."""
        x = _reals(self.inputs[place])
        up, down = self.at(place, x + self.eps * direction), self.at(place, x - self.eps * direction)
        return [(a - b) / (2 * self.eps) for a, b in zip(up, down, strict=True)]

    def numerical(self, place: int) -> list[np.ndarray]:
        """For each output its real Jacobian (outputs, inputs) by one input."""
        n = len(_reals(self.inputs[place]))
        columns = [self.moved(place, np.eye(n)[k]) for k in range(n)]
        sizes = [len(_reals(o)) for o in self.outputs]
        return [
            np.stack([c[j] for c in columns], axis=1) if columns else np.zeros((size, 0))
            for j, size in enumerate(sizes)
        ]

    def pulled(self, number: int, vector: np.ndarray) -> list[np.ndarray]:
        """The gradient of one output weighted by ``vector``, by each checked input."""
        out = self.outputs[number]
        inputs = [self.inputs[i] for i in self.places]
        if out._node is None:
            return [np.zeros(len(_reals(x))) for x in inputs]
        grads = engine.grad(out, inputs, _tensor(vector, out), retain_graph=True, allow_unused=True)
        for x, g in zip(inputs, grads, strict=True):
            if g is not None and tuple(g._array.shape) != tuple(x._array.shape):
                raise GradcheckError("grad is incorrect size.", f"grad: {g.shape}\ninput: {x.shape}")
        return [np.zeros(len(_reals(x))) if g is None else _reals(g) for x, g in zip(inputs, grads, strict=True)]

    def pushed(self, place: int, vector: np.ndarray) -> list[np.ndarray]:
        """How the outputs move along a direction of one input, by forward mode."""
        with forward_ad.dual_level():
            inputs = [t.detach() if isinstance(t, Value) else t for t in self.inputs]
            inputs[place] = forward_ad.make_dual(inputs[place], _tensor(vector, inputs[place]))
            found = []
            for out in self.run(tuple(inputs)):
                primal, tangent = forward_ad.unpack_dual(out)
                found.append(np.zeros(len(_reals(primal))) if tangent is None else _reals(tangent))
        return found

    def compare(self, analytical, numerical, output: int, place: int, how: str = "") -> None:
        if not np.allclose(analytical, numerical, rtol=self.rtol, atol=self.atol, equal_nan=False):
            raise GradcheckError(
                f"{how}Jacobian mismatch for output {output} with respect to input {place},",
                f"numerical:{np.array2string(numerical, precision=4)}\n"
                f"analytical:{np.array2string(analytical, precision=4)}",
            )

    # --- the checks ----------------------------------------------------------------------------------------------------------

    def elementwise(self, forward: bool, backward: bool) -> None:
        numerical = {place: self.numerical(place) for place in self.places}
        if backward:
            for j, out in enumerate(self.outputs):
                n = len(_reals(out))
                rows = [self.pulled(j, np.eye(n)[k]) for k in range(n)]
                for k, place in enumerate(self.places):
                    width = len(_reals(self.inputs[place]))
                    analytical = np.stack([r[k] for r in rows]) if rows else np.zeros((0, width))
                    self.compare(analytical, numerical[place][j], j, place)
        if forward:
            for place in self.places:
                n = len(_reals(self.inputs[place]))
                columns = [self.pushed(place, np.eye(n)[k]) for k in range(n)]
                for j, out in enumerate(self.outputs):
                    analytical = np.stack([c[j] for c in columns], axis=1) if n else np.zeros((len(_reals(out)), 0))
                    self.compare(analytical, numerical[place][j], j, place, "While computing forward mode: ")

    def along_directions(self, forward: bool, backward: bool) -> None:
        for k, place in enumerate(self.places):
            direction = self.random.normal(size=len(_reals(self.inputs[place])))
            direction /= np.linalg.norm(direction) or 1.0
            numerical = self.moved(place, direction)
            pushed = self.pushed(place, direction) if forward else None
            for j, out in enumerate(self.outputs):
                weights = self.random.normal(size=len(_reals(out)))
                weights /= np.linalg.norm(weights) or 1.0
                if backward:
                    analytical = np.asarray(self.pulled(j, weights)[k] @ direction)
                    self.compare(analytical, np.asarray(weights @ numerical[j]), j, place, "In fast mode: ")
                if pushed is not None:
                    self.compare(
                        np.asarray(weights @ pushed[j]),
                        np.asarray(weights @ numerical[j]),
                        j,
                        place,
                        "In fast mode, forward: ",
                    )

    def repeats(self, tolerance: float) -> None:
        for j, out in enumerate(self.outputs):
            weights = self.random.normal(size=len(_reals(out)))
            for a, b in zip(self.pulled(j, weights), self.pulled(j, weights), strict=True):
                if a.size and np.abs(a - b).max() > tolerance:
                    raise GradcheckError(
                        "Backward is not reentrant, i.e., running backward with same input and grad_output multiple "
                        "times gives different values, although analytical gradient matches numerical gradient.",
                        f"the tolerance for nondeterminism was {tolerance}",
                    )

    def undefined(self) -> None:
        """Each output alone has been differentiated already; all of them at once must work too."""
        outs = [o for o in self.outputs if o._node is not None]
        if len(outs) < 2:
            return
        inputs = [self.inputs[i] for i in self.places]
        ones = [_tensor(np.ones(len(_reals(o))), o) for o in outs]
        together = engine.grad(outs, inputs, ones, retain_graph=True, allow_unused=True)
        for k, (place, g) in enumerate(zip(self.places, together, strict=True)):
            single = sum(
                self.pulled(j, np.ones(len(_reals(o))))[k] for j, o in enumerate(self.outputs) if o._node is not None
            )
            whole = np.zeros_like(single) if g is None else _reals(g)
            if not np.allclose(whole, single, rtol=self.rtol, atol=self.atol):
                raise GradcheckError(
                    "Expected backward function to handle undefined output grads.",
                    f"input {place}: all outputs at once and one by one differ",
                )

    def dtypes(self) -> None:
        inputs = [self.inputs[i] for i in self.places]
        for out in self.outputs:
            if out._node is None:
                continue
            weights = _tensor(np.ones(len(_reals(out))), out)
            for x, g in zip(
                inputs, engine.grad(out, inputs, weights, retain_graph=True, allow_unused=True), strict=True
            ):
                if g is not None and g._array.dtype != x._array.dtype:
                    raise GradcheckError(
                        "grad is incorrect type.",
                        f"grad: {dtypes.from_numpy_dtype(g._array.dtype)}\n"
                        f"input: {dtypes.from_numpy_dtype(x._array.dtype)}",
                    )

    def batched(self) -> None:
        vmap = importlib.import_module("mlkit.func").vmap
        inputs = [self.inputs[i] for i in self.places]
        for j, out in enumerate(self.outputs):
            if out._node is None:
                continue
            rows = [self.random.normal(size=len(_reals(out))) for _ in range(2)]
            both = [_tensor(r, out) for r in rows]
            stack = wrap(np.stack([backends.for_array(b._array).to_numpy(b._array) for b in both]))

            def pull(g, out=out):
                found = engine.grad(out, inputs, g, retain_graph=True, allow_unused=True, materialize_grads=True)
                return tuple(found)

            try:
                together = vmap(pull)(stack)
            except RuntimeError as error:
                raise GradcheckError("While computing batched gradients, got: " + str(error)) from error
            for n, row in enumerate(rows):
                for place, whole, single in zip(self.places, together, self.pulled(j, row), strict=True):
                    if not np.allclose(_reals(whole[n]), single, rtol=self.rtol, atol=self.atol):
                        raise GradcheckError(
                            f"For output {j} and input {place}: the batched gradient differs from one by one."
                        )

    def batched_forward(self) -> None:
        transforms = importlib.import_module("mlkit.func")
        for place in self.places:
            rows = [self.random.normal(size=len(_reals(self.inputs[place]))) for _ in range(2)]
            fixed = [t.detach() if isinstance(t, Value) else t for t in self.inputs]

            def push(direction, place=place, fixed=fixed):
                def along(x):
                    inputs = list(fixed)
                    inputs[place] = x
                    return tuple(self.run(tuple(inputs)))

                return transforms.jvp(along, (fixed[place],), (direction,))[1]

            directions = [_tensor(r, fixed[place]) for r in rows]
            stack = wrap(np.stack([backends.for_array(d._array).to_numpy(d._array) for d in directions]))
            try:
                together = transforms.vmap(push)(stack)
            except RuntimeError as error:
                raise GradcheckError("While computing batched forward gradients, got: " + str(error)) from error
            for n, row in enumerate(rows):
                for j, (whole, single) in enumerate(zip(together, self.pushed(place, row), strict=True)):
                    if not np.allclose(_reals(whole[n]), single, rtol=self.rtol, atol=self.atol):
                        raise GradcheckError(
                            f"For output {j} and input {place}: the batched tangent differs from one by one."
                        )


def gradgradcheck(
    func: Callable,
    inputs,
    grad_outputs=None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """gradcheck of the gradient: second derivatives by the inputs and by ``grad_outputs``.

    Args:
        grad_outputs: the weights of the outputs; random when not given.
        gen_non_contig_grad_outputs: make the random weights non-contiguous.
        check_fwd_over_rev, check_rev_over_rev: check forward mode (reverse mode) on top of backward.
        Others as in gradcheck.

    >>> import mlkit
    >>> x = mlkit.tensor([0.3, -0.7], dtype=mlkit.float64, requires_grad=True)
    >>> mlkit.autograd.gradgradcheck(lambda x: x.exp() * x, x)
    True
    """
    inputs = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    if not check_fwd_over_rev and not check_rev_over_rev:
        raise ValueRangeError("In gradgradcheck, check_fwd_over_rev and check_rev_over_rev cannot both be False.")

    def outputs_of(args) -> list:
        out = func(*args)
        out = list(out) if isinstance(out, (tuple, list)) else [out]
        return [o for o in out if isinstance(o, Value) and o._node is not None]

    outputs = outputs_of(inputs)
    if grad_outputs is None:
        rng = np.random.default_rng(1)
        weights = []
        for o in outputs:
            w = _tensor(rng.normal(size=len(_reals(o))), o)
            if gen_non_contig_grad_outputs and w._array.ndim:
                w = wrap(np.repeat(w._array, 2, axis=-1)[..., ::2])
            weights.append(w.requires_grad_())
    else:
        weights = list(grad_outputs) if isinstance(grad_outputs, (tuple, list)) else [grad_outputs]
    count = len(weights)
    wanted = [i for i, t in enumerate(inputs) if isinstance(t, Value) and t._node is not None]

    @enable_grad()
    def gradient(*args):
        """The gradients by the wanted inputs, as a function of all inputs and the weights."""
        x, g = list(args[: len(args) - count]), list(args[len(args) - count :])
        for i in wanted:  # the numerical side gives plain tensors
            if x[i]._node is None:
                x[i] = x[i].detach().requires_grad_()
        found = engine.grad(outputs_of(x), [x[i] for i in wanted], g, create_graph=True, allow_unused=True)
        return tuple(f for f in found if f is not None)

    return gradcheck(
        gradient,
        (*inputs, *weights),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad,
        check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad,
        check_forward_ad=check_fwd_over_rev,
        check_backward_ad=check_rev_over_rev,
        fast_mode=fast_mode,
        masked=masked,
    )
