"""Recurrent layers and cells."""

from __future__ import annotations

import math
import warnings

from mlkit.core.dispatch import ops
from mlkit.core.errors import ArgumentError, ShapeError, ValueRangeError
from mlkit.functional import recurrent
from mlkit.functional.creation import empty, zeros
from mlkit.functional.dropout import dropout
from mlkit.functional.shaping import cat, stack
from mlkit.nn import init
from mlkit.nn.module import Module
from mlkit.nn.parameter import Parameter
from mlkit.nn.utils.rnn import PackedSequence


class RNNBase(Module):
    """What RNN, LSTM and GRU share: weights for every layer and direction, packed sequences, dropout between layers."""

    gates = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device=None,
        dtype=None,
    ):
        super().__init__()
        if not isinstance(dropout, (int, float)) or isinstance(dropout, bool) or not 0 <= dropout <= 1:
            raise ValueRangeError(
                "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
            )
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects num_layers "
                f"greater than 1, but got dropout={dropout} and num_layers={num_layers}",
                stacklevel=3,
            )
        if not isinstance(hidden_size, int):
            raise ArgumentError(f"hidden_size should be of type int, got: {type(hidden_size).__name__}")
        if hidden_size <= 0:
            raise ValueRangeError("hidden_size must be greater than zero")
        if num_layers <= 0:
            raise ValueRangeError("num_layers must be greater than zero")
        if proj_size < 0:
            raise ValueRangeError("proj_size should be a positive integer or zero to disable projections")
        if proj_size >= hidden_size:
            raise ValueRangeError("proj_size has to be smaller than hidden_size")
        if mode not in self.gates:
            raise ValueRangeError("Unrecognized RNN mode: " + mode)
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        directions, out = 2 if bidirectional else 1, proj_size or hidden_size
        how, rows = {"device": device, "dtype": dtype}, self.gates[mode] * hidden_size
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            for direction in range(directions):
                ins = input_size if layer == 0 else out * directions
                shapes: dict[str, tuple] = {"weight_ih": (rows, ins), "weight_hh": (rows, out)}
                shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)} if bias else {}
                shapes |= {"weight_hr": (proj_size, hidden_size)} if proj_size else {}
                end = f"_l{layer}{'_reverse' if direction else ''}"
                for name, shape in shapes.items():
                    setattr(self, name + end, Parameter(empty(*shape, **how)))
                self._all_weights.append([name + end for name in shapes])
        self.reset_parameters()

    def reset_parameters(self) -> None:
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def flatten_parameters(self) -> None:
        """Nothing to do: weights are used where they are."""

    # --- shapes ----------------------------------------------------------------------------------------------------------

    def _expected(self, batch: int, size: int) -> tuple[int, int, int]:
        return self.num_layers * (2 if self.bidirectional else 1), batch, size

    def _check_state(self, state, batch: int, size: int, name: str, batched: bool) -> None:
        wanted: tuple = self._expected(batch, size)
        if not batched:
            wanted = (wanted[0], wanted[2])
        if state.ndim != len(wanted):
            raise ShapeError(
                f"For {'batched 3-D' if batched else 'unbatched 2-D'} input, {name} should be {len(wanted)}-D but got {state.ndim}-D tensor"
            )
        if tuple(state.shape) != wanted:
            raise ShapeError(f"Expected {name} size {wanted}, got {list(state.shape)}")

    # --- the run -----------------------------------------------------------------------------------------------------------

    def _start(self, given, sizes, batch, batched, x, order):
        """Initial states: for each kind a list of (N, size), one for every layer and direction, sorted as the batch is."""
        names = ("hidden[0]", "hidden[1]") if len(sizes) > 1 else ("hidden",)
        if given is None:
            none = {size: zeros(batch, size, dtype=x.dtype, device=x.device) for size in set(sizes)}
            return [[none[size]] * self._expected(batch, size)[0] for size in sizes]
        states = list(given) if len(sizes) > 1 else [given]
        for state, size, name in zip(states, sizes, names, strict=True):
            self._check_state(state, batch, size, name, batched)
            if state.dtype != x.dtype:
                raise ShapeError(
                    f"{name}: input and hidden state must have the same dtype, got {x.dtype} and {state.dtype}."
                )
        if not batched:
            states = [s.unsqueeze(1) for s in states]
        return [(s if order is None else ops.index_select(s, order, dim=1)).unbind() for s in states]

    def forward(self, input, hx=None):
        sizes = (self.proj_size or self.hidden_size, self.hidden_size) if self.mode == "LSTM" else (self.hidden_size,)
        packed = isinstance(input, PackedSequence)
        lengths = order = back = None
        batched = True
        if packed:
            x, lengths = input.padded_data()
            order, back = input.sorted_indices, input.unsorted_indices
        else:
            if input.ndim not in (2, 3):
                raise ValueRangeError(
                    f"{type(self).__name__}: Expected input to be 2D or 3D, got {input.ndim}D instead"
                )
            batched = input.ndim == 3
            x = input if batched else input.unsqueeze(1)
            if batched and self.batch_first:
                x = x.transpose(0, 1)
        if x.shape[-1] != self.input_size:
            raise ShapeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {x.shape[-1]}",
                f"input: {tuple(x.shape)} (time, batch, feature)",
                f"Make it {type(self).__name__}({x.shape[-1]}, {self.hidden_size})"
                + (
                    f", or bring the axis of size {self.input_size} to the end."
                    if self.input_size in x.shape[:2]
                    else "."
                ),
            )
        if x.shape[0] == 0:
            raise ShapeError("Expected sequence length to be larger than 0 in RNN")
        states = self._start(hx, sizes, x.shape[1], batched, x, order)
        x, final = self._layers(x, states, lengths)
        if packed:
            output = input.repack(x)
        else:
            output = x.transpose(0, 1) if batched and self.batch_first else x
            output = output if batched else output.squeeze(1)
        final = [f if back is None else ops.index_select(f, back, dim=1) for f in final]
        final = [f if batched else f.squeeze(1) for f in final]
        return output, tuple(final) if len(final) > 1 else final[0]

    def _layers(self, x, states, lengths):
        directions = 2 if self.bidirectional else 1
        mask, places = _mask(x, lengths)
        last: list[list] = [[] for _ in states]
        for layer in range(self.num_layers):
            outs = []
            for direction in range(directions):
                number = layer * directions + direction
                start = [s[number] for s in states]
                seen = _reversed(x, places) if direction else x
                steps = self._one_layer(seen, start, number, mask)
                for kept, all_steps in zip(last, steps, strict=True):
                    kept.append(all_steps)
                outs.append(_reversed(steps[0], places) if direction else steps[0])
            x = outs[0] if directions == 1 else cat(outs, -1)
            if self.dropout and self.training and layer < self.num_layers - 1:
                x = dropout(x, self.dropout)
        if mask is not None:
            x = x * mask
        return x, [_final(kept) for kept in last]

    def _one_layer(self, x, start, number, mask):
        found = [getattr(self, name) for name in self._all_weights[number]]
        projection = found.pop() if self.proj_size else None
        w = found if self.bias else (*found, None, None)
        if self.mode == "LSTM":
            return recurrent.lstm_layer(x, *start, *w, projection, mask)
        if self.mode == "GRU":
            return (recurrent.gru_layer(x, *start, *w, mask),)
        return (recurrent.rnn_layer(x, *start, *w, mask, "tanh" if self.mode == "RNN_TANH" else "relu"),)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        defaults = {
            "proj_size": 0,
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0,
            "bidirectional": False,
        }
        for name, usual in defaults.items():
            if getattr(self, name) != usual:
                text += f", {name}={getattr(self, name)}"
        return text


def _final(kept: list):
    """The last step of each (T, N, H), in memory of its own: (layers * directions, N, H)."""
    if len(kept) == 1:
        return kept[0][-1:].clone()
    return stack([steps[-1] for steps in kept])


def _mask(x, lengths):
    """(T, N, 1) of ones where a sequence goes on, and where each step is read from when time runs backwards."""
    time, batch = x.shape[:2]
    if lengths is None or min(lengths) == time:
        return None, None
    number = ops.reshape(ops.index_array(range(time), like=x), shape=(time, 1, 1))
    ends = ops.reshape(ops.index_array(lengths, like=x), shape=(1, batch, 1))
    # each sequence turned round within its own length; what lies behind it stays
    turned = [[(n - 1 - t if t < n else t) for n in lengths] for t in range(time)]
    return ops.cast_like(ops.lt(number, ends), x), ops.index_array(turned, like=x)


def _reversed(x, places):
    """The steps of x (T, N, F) backwards, each sequence within its own length."""
    if places is None:
        return x.flip(0)
    index = ops.expand(ops.unsqueeze(places, -1), shape=tuple(x.shape))
    return ops.gather(x, index, dim=0)


class RNN(RNNBase):
    """h = tanh(W_ih x + b_ih + W_hh h + b_hh) over a sequence (Elman 1990); ``nonlinearity`` "tanh" or "relu".

    Shapes, arguments and parameters as in LSTM, with one state.
    """

    def __init__(self, *args, nonlinearity: str = "tanh", **kwargs):
        if len(args) > 3:  # input_size, hidden_size, num_layers, nonlinearity, ...
            nonlinearity = args[3]
            args = args[:3] + args[4:]
        if "proj_size" in kwargs:
            raise ValueRangeError("proj_size argument is only supported for LSTM, not RNN or GRU")
        if nonlinearity not in ("tanh", "relu"):
            raise ValueRangeError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        self.nonlinearity = nonlinearity
        super().__init__(f"RNN_{nonlinearity.upper()}", *args, **kwargs)
        self.nonlinearity = nonlinearity


class LSTM(RNNBase):
    """Long short-term memory over a sequence (Hochreiter & Schmidhuber 1997).

    Args:
        input_size, hidden_size: features of the input and of the state.
        num_layers: layers, each reading the outputs of the one before.
        bias: add learned biases.
        batch_first: input and output are (N, T, F) instead of (T, N, F).
        dropout: between layers, while training.
        bidirectional: also backwards in time; outputs are joined along the features.
        proj_size: bring the state down to that size after each step.

    input (T, N, input_size), (T, input_size) or a PackedSequence; states (h, c), each (num_layers * directions, N, size),
    zeros by default -> output (T, N, directions * size), (h, c) after the last step.

    Parameters per layer k: weight_ih_l[k] (4 hidden, in), weight_hh_l[k], bias_ih_l[k], bias_hh_l[k], weight_hr_l[k],
    with "_reverse" for the second direction, uniform within 1 / sqrt(hidden_size).

    >>> import mlkit
    >>> output, (h, c) = mlkit.nn.LSTM(10, 20, 2)(mlkit.randn(5, 3, 10))
    >>> output.shape, h.shape
    (mlkit.Size([5, 3, 20]), mlkit.Size([2, 3, 20]))
    """

    def __init__(self, *args, **kwargs):
        super().__init__("LSTM", *args, **kwargs)


class GRU(RNNBase):
    """Gated recurrent units over a sequence (Cho et al. 2014, arXiv:1406.1078).

    Shapes, arguments and parameters as in LSTM, with one state and no projection.
    """

    def __init__(self, *args, **kwargs):
        if "proj_size" in kwargs:
            raise ValueRangeError("proj_size argument is only supported for LSTM, not RNN or GRU")
        super().__init__("GRU", *args, **kwargs)


# --- cells --------------------------------------------------------------------------------------------------------------


class RNNCellBase(Module):
    """One step, to be called in a loop of one's own: input (N, I) or (I), state (N, H) or (H)."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device=None, dtype=None):
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        how, rows = {"device": device, "dtype": dtype}, num_chunks * hidden_size
        self.weight_ih = Parameter(empty(rows, input_size, **how))
        self.weight_hh = Parameter(empty(rows, hidden_size, **how))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(empty(rows, **how)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def _weights(self) -> tuple:
        return self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh

    def _prepared(self, input, states, count: int):
        """Input and states with a batch axis, and whether one was there."""
        name = type(self).__name__
        if input.ndim not in (1, 2):
            raise ValueRangeError(f"{name}: Expected input to be 1D or 2D, got {input.ndim}D instead")
        batched = input.ndim == 2
        x = input if batched else input.unsqueeze(0)
        if x.shape[1] != self.input_size:
            raise ShapeError(f"input has inconsistent input_size: got {x.shape[1]}, expected {self.input_size}")
        if states is None:
            return x, [zeros(x.shape[0], self.hidden_size, dtype=x.dtype, device=x.device)] * count, batched
        for state in states:
            if state.ndim not in (1, 2):
                raise ValueRangeError(f"{name}: Expected hidden to be 1D or 2D, got {state.ndim}D instead")
        states = [s if s.ndim == 2 else s.unsqueeze(0) for s in states]
        for state in states:
            if tuple(state.shape) != (x.shape[0], self.hidden_size):
                raise ShapeError(
                    f"hidden has shape {tuple(state.shape)}, expected {(x.shape[0], self.hidden_size)} (batch, hidden)."
                )
        return x, states, batched

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            text += f", nonlinearity={self.nonlinearity}"
        return text


class RNNCell(RNNCellBase):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh)."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", device=None, dtype=None
    ):
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input, hx=None):
        if self.nonlinearity not in ("tanh", "relu"):
            raise ShapeError(f"Unknown nonlinearity: {self.nonlinearity}")
        x, (hidden,), batched = self._prepared(input, None if hx is None else [hx], 1)
        out = recurrent.rnn_cell(x, hidden, *self._weights(), self.nonlinearity)
        return out if batched else out.squeeze(0)


class LSTMCell(RNNCellBase):
    """One step of an LSTM: input (N, I), (h, c) -> (h', c').

    >>> import mlkit
    >>> h, c = mlkit.nn.LSTMCell(10, 20)(mlkit.randn(3, 10))
    >>> h.shape
    mlkit.Size([3, 20])
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input, hx=None):
        x, (hidden, cell), batched = self._prepared(input, None if hx is None else list(hx), 2)
        out = recurrent.lstm_cell(x, hidden, cell, *self._weights())
        return out if batched else tuple(t.squeeze(0) for t in out)


class GRUCell(RNNCellBase):
    """One step of a GRU: input (N, I), h -> h'."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input, hx=None):
        x, (hidden,), batched = self._prepared(input, None if hx is None else [hx], 1)
        out = recurrent.gru_cell(x, hidden, *self._weights())
        return out if batched else out.squeeze(0)
