"""Full backward hooks: see the gradients that enter and leave a module."""

from __future__ import annotations

from mlkit.core.dispatch import ops
from mlkit.core.value import Value, shown_as


class BackwardHooks:
    """Passes a module's inputs and outputs through identity ops whose gradients it sees."""

    def __init__(self, module, before: list, after: list):
        self.module = module
        self.before = before
        self.after = after
        self.grad_output: list = []
        self.grad_input: list = []
        self.waiting = 0

    def _mark(self, tensors: list, seen) -> list:
        out = []
        for i, t in enumerate(tensors):
            if isinstance(t, Value) and t._node is not None:
                t = shown_as(ops.reshape(t, shape=tuple(t._array.shape)), "BackwardHookFunctionBackward")
                t.register_hook(lambda g, i=i: seen(i, g))
            out.append(t)
        return out

    def watch_inputs(self, args: tuple) -> tuple:
        self.grad_input = [None] * len(args)
        self.waiting = sum(isinstance(t, Value) and t._node is not None for t in args)
        return tuple(self._mark(list(args), self._input_seen))

    def watch_outputs(self, output):
        outputs = list(output) if isinstance(output, (tuple, list)) else [output]
        self.grad_output = [None] * len(outputs)
        marked = self._mark(outputs, self._output_seen)
        return type(output)(marked) if isinstance(output, (tuple, list)) else marked[0]

    def _output_seen(self, i: int, g):
        self.grad_output[i] = g
        new = None
        for hook in self.before:
            result = hook(self.module, tuple(self.grad_output))
            if result is not None:
                result = result if isinstance(result, tuple) else (result,)
                self.grad_output = list(result)
                new = result[i]
        if self.waiting == 0:  # no input wants a gradient: the hooks run now
            self._run_hooks()
        return new

    def _input_seen(self, i: int, g):
        self.grad_input[i] = g
        self.waiting -= 1
        if self.waiting:
            return None
        result = self._run_hooks()
        return None if result is None else result[i]

    def _run_hooks(self):
        replaced = None
        for hook in self.after:
            result = hook(self.module, tuple(self.grad_input), tuple(self.grad_output))
            if result is not None:
                replaced = result if isinstance(result, tuple) else (result,)
                self.grad_input = list(replaced)
        return replaced
