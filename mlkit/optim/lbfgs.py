"""L-BFGS."""

from __future__ import annotations

from typing import Any

from mlkit.autograd.grad_mode import enable_grad, no_grad
from mlkit.core import backend as backends
from mlkit.core.errors import GradientError, ValueRangeError
from mlkit.core.value import Value, mark_mutated, wrap
from mlkit.optim.line_search import strong_wolfe
from mlkit.optim.optimizer import Optimizer, as_real, check_lr


class LBFGS(Optimizer):
    """A quasi-Newton method: the inverse Hessian is guessed from the last steps (Liu & Nocedal 1989, Math. Prog. 45).

    For whole batches. It evaluates the loss several times in a step, so ``step`` needs a closure that clears the
    gradients, computes the loss, calls backward and returns the loss. There can be one parameter group only.

    Args:
        params: parameters.
        lr: factor on each move, or the first move of the line search.
        max_iter: moves in one step().
        max_eval: evaluations of the closure in one step(); max_iter * 5 // 4 when None.
        tolerance_grad: stop when no gradient is larger.
        tolerance_change: stop when loss or parameters change by less.
        history_size: how many moves are remembered.
        line_search_fn: None, or "strong_wolfe".

    >>> import mlkit
    >>> w = mlkit.tensor([3.0, -2.0], requires_grad=True)
    >>> opt = mlkit.optim.LBFGS([w], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     opt.zero_grad()
    ...     loss = ((w - 1) ** 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> loss = opt.step(closure); print(f"{loss.item()} {w[0]:.3f} {w[1]:.3f}")
    13.0 1.000 1.000
    """

    def __init__(
        self,
        params,
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ):
        check_lr(lr)
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueRangeError("LBFGS doesn't support per-parameter options (parameter groups).")

    def step(self, closure):
        """Move up to ``max_iter`` times; returns the loss before the first move."""
        if len(self.param_groups) != 1:
            raise GradientError(f"LBFGS: expected exactly one parameter group, got {len(self.param_groups)}.")
        group = self.param_groups[0]
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise GradientError("only 'strong_wolfe' is supported as line_search_fn.")
        closure = enable_grad()(closure)
        with no_grad():
            return self._move(group, closure)

    def _move(self, group: dict, closure):
        params = group["params"]
        lr = float(group["lr"])
        # All is remembered with the first parameter, as in PyTorch.
        state = self.state[params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss = closure()
        loss = float(first_loss)
        state["func_evals"] += 1
        evaluations = 1
        g = flat_gradient(params)
        if float(abs(g).max()) <= group["tolerance_grad"]:
            return first_loss
        memory = Memory(state, group["history_size"])
        for n in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            if state["n_iter"] == 1:
                memory.clear()
                d, t = -g, min(1.0, 1.0 / float(abs(g).sum())) * lr
            else:
                memory.add(g - memory.g, memory.d * memory.t)
                d, t = memory.direction(g), lr
            memory.g, memory.loss, memory.d, memory.t = g.copy(), loss, d, t
            slope = float(g @ d)
            if slope > -group["tolerance_change"]:
                break
            used = 0
            if group["line_search_fn"]:
                before = [p._array.copy() for p in params]

                def evaluate(t, d=d, before=before):
                    move(params, t, d)
                    value = float(closure())
                    gradient = flat_gradient(params)
                    for p, array in zip(params, before, strict=True):
                        p._array[...] = array
                    return value, gradient

                loss, g, t, used = strong_wolfe(
                    evaluate, t, d, loss, g, slope, max_evaluations=group["max_eval"] - evaluations
                )
                memory.t = t
                move(params, t, d)
            else:
                move(params, t, d)
                if n != group["max_iter"]:  # after the last move nobody would look at it
                    loss = float(closure())
                    g = flat_gradient(params)
                    used = 1
            evaluations += used
            state["func_evals"] += used
            if (
                n == group["max_iter"]
                or evaluations >= group["max_eval"]
                or float(abs(g).max()) <= group["tolerance_grad"]
                or float(abs(d * t).max()) <= group["tolerance_change"]
                or abs(loss - memory.loss) < group["tolerance_change"]
            ):
                break
        memory.save(state)
        return first_loss


class Memory:
    """The last moves and how the gradient changed along them; in the state under PyTorch's names."""

    d: Any
    t: Any
    g: Any

    def __init__(self, state: dict, size: int):
        self.size = size
        self.d, self.t, self.scale, self.loss = (state.get(k) for k in ("d", "t", "H_diag", "prev_loss"))
        self.changes = [x._array for x in state.get("old_dirs") or []]
        self.moves = [x._array for x in state.get("old_stps") or []]
        self.weights: list[float] = [float(x) for x in state.get("ro") or []]
        self.g = state.get("prev_flat_grad")
        self.d, self.g = (x._array if isinstance(x, Value) else x for x in (self.d, self.g))
        self.t, self.scale = (x.item() if isinstance(x, Value) else x for x in (self.t, self.scale))

    def clear(self) -> None:
        self.changes, self.moves, self.weights, self.scale = [], [], [], 1

    def add(self, change, moved) -> None:
        """Remember a move if the loss curves upwards along it."""
        curvature = float(change @ moved)
        if curvature <= 1e-10:
            return
        if len(self.changes) == self.size:
            for history in (self.changes, self.moves, self.weights):
                history.pop(0)
        self.changes.append(change)
        self.moves.append(moved)
        self.weights.append(1.0 / curvature)
        self.scale = curvature / float(change @ change)

    def direction(self, g):
        """-(inverse Hessian) @ g by the two loops over the history."""
        q = -g
        shares = []
        for change, moved, weight in zip(self.changes[::-1], self.moves[::-1], self.weights[::-1], strict=True):
            share = float(moved @ q) * weight
            shares.append(share)
            q -= share * change
        q *= self.scale
        for change, moved, weight, share in zip(self.changes, self.moves, self.weights, shares[::-1], strict=True):
            q += (share - float(change @ q) * weight) * moved
        return q

    def save(self, state: dict) -> None:
        like = self.d
        number = lambda x: wrap(backends.for_array(like).m.xp.asarray(x, like.dtype))  # noqa: E731
        state["d"] = wrap(self.d)
        state["t"] = self.t
        state["old_dirs"] = [wrap(x) for x in self.changes]
        state["old_stps"] = [wrap(x) for x in self.moves]
        state["ro"] = [number(x) for x in self.weights]
        state["H_diag"] = self.scale if self.scale == 1 else number(self.scale)
        state["prev_flat_grad"] = wrap(self.g)
        state["prev_loss"] = self.loss


def flat_gradient(params: list):
    """The gradients of all parameters as one array; complex ones as pairs of real numbers."""
    pieces = []
    for p in params:
        array = p._array
        xp = backends.for_array(array).m.xp
        g = xp.zeros(array.shape, array.dtype) if p._grad is None else p._grad._array
        pieces.append((as_real(g) if g.dtype.kind == "c" else g).reshape(-1))
    return xp.concatenate(pieces)


def move(params: list, t: float, d) -> None:
    """p += t * (the piece of d that belongs to p)."""
    start = 0
    for p in params:
        array = as_real(p._array) if p._array.dtype.kind == "c" else p._array
        array += t * d[start : start + array.size].reshape(array.shape)
        start += array.size
        mark_mutated(p)
