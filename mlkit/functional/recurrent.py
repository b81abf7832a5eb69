"""Recurrent layers over sequences: one direction of one layer, and single steps."""

from __future__ import annotations

from mlkit.core.dispatch import composite, ops, unobserved


def _share(x, weight, bias, extra=None):
    """The inputs' share of all gates at once; both biases are added up first, not each to every step."""
    if bias is not None and extra is not None:
        bias, extra = ops.add(bias, extra), None
    out = ops.linear(x, weight, bias)
    return out if extra is None else ops.add(out, extra)


@composite
def lstm_layer(x, hidden, cell, w_ih, w_hh, b_ih=None, b_hh=None, w_hr=None, mask=None):
    """x (T, N, I) -> all hidden states (T, N, P), all cells (T, N, H), or, where no gradient is wanted, the last (1, N, H)."""
    if w_hr is None and mask is None and unobserved(x, hidden, cell, w_ih, w_hh, b_ih, b_hh) and x.device.type == "cpu":
        return ops.lstm_states(x, hidden, cell, w_ih, w_hh, b_ih, b_hh)
    states, cells, _ = ops.lstm_sequence(_share(x, w_ih, b_ih, b_hh), hidden, cell, w_hh, w_hr, mask)
    return states, cells


@composite
def gru_layer(x, hidden, w_ih, w_hh, b_ih=None, b_hh=None, mask=None):
    """x (T, N, I) -> all hidden states (T, N, H)."""
    return ops.gru_sequence(_share(x, w_ih, b_ih), hidden, w_hh, b_hh, mask)


@composite
def rnn_layer(x, hidden, w_ih, w_hh, b_ih=None, b_hh=None, mask=None, nonlinearity: str = "tanh"):
    """x (T, N, I) -> all hidden states (T, N, H)."""
    return ops.rnn_sequence(_share(x, w_ih, b_ih, b_hh), hidden, w_hh, mask, nonlinearity=nonlinearity)


@composite
def lstm_cell(x, hidden, cell, w_ih, w_hh, b_ih=None, b_hh=None):
    """One step: x (N, I) -> hidden state and cell, both (N, H)."""
    return ops.lstm_gates(ops.add(ops.linear(x, w_ih, b_ih), ops.linear(hidden, w_hh, b_hh)), cell)


@composite
def gru_cell(x, hidden, w_ih, w_hh, b_ih=None, b_hh=None):
    """One step: x (N, I) -> hidden state (N, H)."""
    return ops.gru_gates(ops.linear(x, w_ih, b_ih), ops.linear(hidden, w_hh, b_hh), hidden)


@composite
def rnn_cell(x, hidden, w_ih, w_hh, b_ih=None, b_hh=None, nonlinearity: str = "tanh"):
    """One step: x (N, I) -> hidden state (N, H)."""
    out = ops.add(ops.linear(x, w_ih, b_ih), ops.linear(hidden, w_hh, b_hh))
    return ops.tanh(out) if nonlinearity == "tanh" else ops.relu(out)
