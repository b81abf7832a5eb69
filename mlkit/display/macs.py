"""Multiply-adds of one operation, from the shapes that went in and came out.

Every value of a matrix product or a convolution is a sum of products; how many terms it has is what is counted here.
Everything else (activations, sums, normalization) is left out, as is the custom when networks are compared.
"""

from __future__ import annotations

import math
import re
from typing import Any

_RECURRENT = ("lstm_sequence", "gru_sequence", "rnn_sequence")


def of_operation(name: str, operands: Any, outputs: Any) -> int:
    """Multiply-adds of a forward operation; 0 for one that has none.

    >>> import mlkit
    >>> x, weight = mlkit.zeros(64, 784), mlkit.zeros(10, 784)
    >>> of_operation("linear", (x, weight), mlkit.nn.functional.linear(x, weight))     # 64 * 10 * 784
    501760
    """
    shapes = [tuple(int(n) for n in x.shape) if hasattr(x, "shape") else None for x in operands]
    first = outputs[0] if isinstance(outputs, (tuple, list)) else outputs
    made = math.prod(int(n) for n in first.shape)
    if len(shapes) < 2 or shapes[0] is None or shapes[1] is None:
        return 0
    if name in ("linear", "matmul"):
        return made * (shapes[0][-1] if shapes[0] else 1)
    if re.fullmatch(r"conv\dd", name):
        return made * math.prod(shapes[1][1:])
    if re.fullmatch(r"conv\dd_input_grad", name):  # a transposed convolution
        return math.prod(shapes[0]) * math.prod(shapes[1][1:])
    if name == "attention":  # scores of each query with each key, and their mean of the values
        return (math.prod(shapes[0]) + made) * shapes[1][-2]
    if name == "lstm_states":  # x, hidden, cell, and the weights of both
        return math.prod(shapes[0][:2]) * sum(math.prod(s) for s in shapes[3:5] if s is not None)
    if name in _RECURRENT:  # the products with the inputs are a linear operation before it
        gates = shapes[0][-1]
        recurrent = next((s for s in shapes[1:] if s is not None and len(s) == 2 and s[0] == gates), None)
        return math.prod(shapes[0]) * recurrent[1] if recurrent else 0
    return 0
