"""``mlkit.lint``: mistakes that raise nothing, looked for before a training: in the model, the data, the loss, the optimizer.

>>> import mlkit
>>> from mlkit import nn
>>> model = nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1))
>>> batch = (mlkit.randn(8, 4), mlkit.randint(0, 3, (8,)))
>>> [finding.rule for finding in mlkit.lint(model, [batch], nn.CrossEntropyLoss())]
['softmax-twice']
"""

from mlkit.linting.findings import Finding, Findings
from mlkit.linting.lint import lint

__all__ = ["Finding", "Findings", "lint"]
