"""How gradients flow through a model while it trains: recorded per layer, judged in words, readable from any process.

`GradientFlow` watches a model. What it sampled is kept in the run directory of the training; `open_flow` reads it there.
`findings` says what is wrong, why probably, and what to try.
"""

from mlkit.observe.flow.attach import GradientFlow
from mlkit.observe.flow.diagnose import Finding, Findings
from mlkit.observe.flow.flow import Flow, FlowTable, RecordedFlow, open_flow
from mlkit.observe.flow.layers import Layer
from mlkit.observe.flow.measure import SHARES
from mlkit.observe.flow.numbers import QUANTITIES

__all__ = [
    "QUANTITIES",
    "SHARES",
    "Finding",
    "Findings",
    "Flow",
    "FlowTable",
    "GradientFlow",
    "Layer",
    "RecordedFlow",
    "open_flow",
]
