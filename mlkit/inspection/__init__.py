"""Looking into one run of a model: what every operation made, how one number came about, what would happen if.

``inspect(model, *inputs)`` runs the model once and keeps everything; the widget ``GraphInspector`` and the text of the
methods here show the same.

>>> import mlkit
>>> from mlkit import nn
>>> from mlkit.inspection import inspect
>>> layer = nn.Linear(2, 1)
>>> _ = layer.load_state_dict({"weight": mlkit.tensor([[3.0, -2.0]]), "bias": mlkit.tensor([0.5])})
>>> seen = inspect(nn.Sequential(layer, nn.ReLU()), mlkit.tensor([[2.0, 1.0]]))
>>> print(seen.explain("0", (0, 0)))
linear in 0 (Linear): output[0, 0] = 4.5
  y[.., o] = sum over k of input[.., k] * weight[o, k] + bias[o]
    2 * 3    = 6      input[0, 0] * 0.weight[0, 0]
    1 * -2   = -2     input[0, 1] * 0.weight[0, 1]
  sum        = 4
  + 0.bias[0] = 0.5
  = 4.5
"""

from mlkit.inspection.document import MIME, SCHEMA, load, validate
from mlkit.inspection.explanation import Cell, Explanation, Step, Terms
from mlkit.inspection.formulas import FORMULAS, formula
from mlkit.inspection.inspection import Inspection, from_graph, inspect
from mlkit.inspection.what_if import Change, WhatIf

__all__ = [
    "FORMULAS",
    "MIME",
    "SCHEMA",
    "Cell",
    "Change",
    "Explanation",
    "Inspection",
    "Step",
    "Terms",
    "WhatIf",
    "formula",
    "from_graph",
    "inspect",
    "load",
    "validate",
]
