"""The elementwise heart of recurrent cells, whole: one op per step instead of a dozen."""

from mlkit.core.errors import ShapeError
from mlkit.core.value import MetaArray
from mlkit.ops.registry import Op, op


def check_gates(name: str, gates, state, count: int) -> None:
    if gates.ndim != 2 or state.ndim != 2 or gates.shape != (state.shape[0], count * state.shape[1]):
        raise ShapeError(
            f"{name}: expected gates (batch, {count} * hidden) and a state (batch, hidden).",
            f"gates: {tuple(gates.shape)}\nstate: {tuple(state.shape)}",
        )


def parts(m, x, count: int):
    """x (N, count * H) in ``count`` pieces (N, H)."""
    size = x.shape[1] // count
    return [m.narrow(x, dim=1, start=i * size, length=size) for i in range(count)]


@op(samples=[((3, 8), (3, 2))])
class lstm_gates(Op):
    """One step of an LSTM after its matrix products (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000).

    gates (N, 4H) in the order input, forget, cell, output; cell (N, H) -> new hidden state and new cell, both (N, H).
    """

    outputs = 2
    reads_outputs = (1,)
    promotion = "equal"

    def infer(gates, cell):
        check_gates("lstm_gates", gates, cell, 4)
        return MetaArray(cell.shape, cell.dtype), MetaArray(cell.shape, cell.dtype)

    def forward(m, gates, cell):
        check_gates("lstm_gates", gates, cell, 4)
        i, f, c, o = parts(m, gates, 4)
        new = m.sigmoid_(f) * cell + m.sigmoid_(i) * m.xp.tanh(c)
        return m.sigmoid_(o) * m.xp.tanh(new), new

    def vjp(m, g, gates, cell, out, needs):
        i, f, c, o = parts(m, gates, 4)
        i, f, c, o = m.sigmoid(i), m.sigmoid(f), m.tanh(c), m.sigmoid(o)
        squashed = m.tanh(out[1])
        g_new = g[1]
        if g[0] is not None:
            through = g[0] * o * (1 - squashed * squashed)
            g_new = through if g_new is None else g_new + through
        g_out = m.zeros_like(g_new) if g[0] is None else g[0] * squashed * o * (1 - o)
        pieces = [g_new * c * i * (1 - i), g_new * cell * f * (1 - f), g_new * i * (1 - c * c), g_out]
        return m.cat(pieces, dim=1) if needs[0] else None, g_new * f if needs[1] else None


@op(samples=[((3, 6), (3, 6), (3, 2))])
class gru_gates(Op):
    """One step of a GRU after its matrix products (Cho et al. 2014, arXiv:1406.1078).

    from_input, from_hidden (N, 3H) in the order reset, update, new; hidden (N, H) -> new hidden state (N, H).
    """

    promotion = "equal"

    def infer(from_input, from_hidden, hidden):
        check_gates("gru_gates", from_input, hidden, 3)
        check_gates("gru_gates", from_hidden, hidden, 3)
        return MetaArray(hidden.shape, hidden.dtype)

    def forward(m, from_input, from_hidden, hidden):
        check_gates("gru_gates", from_input, hidden, 3)
        check_gates("gru_gates", from_hidden, hidden, 3)
        ri, zi, ni = parts(m, from_input, 3)
        rh, zh, nh = parts(m, from_hidden, 3)
        z = m.sigmoid_(zi + zh)
        n = m.xp.tanh(ni + m.sigmoid_(ri + rh) * nh)
        return n + z * (hidden - n)

    def vjp(m, g, from_input, from_hidden, hidden, needs):
        ri, zi, ni = parts(m, from_input, 3)
        rh, zh, nh = parts(m, from_hidden, 3)
        r, z = m.sigmoid(ri + rh), m.sigmoid(zi + zh)
        n = m.tanh(ni + r * nh)
        g_n = g * (1 - z) * (1 - n * n)
        g_z = g * (hidden - n) * z * (1 - z)
        g_r = g_n * nh * r * (1 - r)
        return (
            m.cat([g_r, g_z, g_n], dim=1) if needs[0] else None,
            m.cat([g_r, g_z, g_n * r], dim=1) if needs[1] else None,
            g * z if needs[2] else None,
        )


# --- whole sequences ----------------------------------------------------------------------------------------------------
#
# Each op runs one layer in one direction over (T, N, ...). ``mask`` (T, N, 1) is 1 where a sequence goes on and 0 after
# its end: there the state stays, so that the last step holds every sequence's final state. The gates are computed again
# for backward, in one product over all steps, instead of being kept (an LSTM keeps them: they take the place of its input).


def check_sequence(name: str, gates, hidden, weight, count: int) -> None:
    if gates.ndim != 3 or hidden.ndim != 2 or gates.shape[1] != hidden.shape[0] or gates.shape[0] < 1:
        raise ShapeError(
            f"{name}: expected at least one step (time, batch, {count} * hidden) and a state (batch, hidden).",
            f"gates: {tuple(gates.shape)}\nstate: {tuple(hidden.shape)}",
        )
    if tuple(weight.shape) != (gates.shape[2], hidden.shape[1]) or gates.shape[2] % count:
        raise ShapeError(
            f"{name}: expected weight ({gates.shape[2]}, {hidden.shape[1]}), got {tuple(weight.shape)}.",
            f"gates: {tuple(gates.shape)}\nstate: {tuple(hidden.shape)}",
        )


def step(m, x, t: int):
    """x (T, ...) at step t."""
    return m.slice(x, index=(t,))


def before(m, first, steps):
    """What each step started from: ``first``, then the results of all steps but the last."""
    first = m.unsqueeze(first, 0)
    count = steps.shape[0]
    return first if count == 1 else m.cat([first, m.narrow(steps, dim=0, start=0, length=count - 1)], dim=0)


def pieces(m, x, count: int):
    """x (..., count * H) in ``count`` pieces along the last dim."""
    axis, size = len(x.shape) - 1, x.shape[-1] // count
    return [m.narrow(x, dim=axis, start=i * size, length=size) for i in range(count)]


def joined(m, parts):
    """Steps in a list as one (T, ...)."""
    return m.cat([m.unsqueeze(p, 0) for p in parts], dim=0)


def rows(m, x):
    """All steps of all examples in one axis."""
    return m.reshape(x, shape=(x.shape[0] * x.shape[1], x.shape[2]))


def held(m, g, mask, t):
    """A gradient split by the mask at step t: for the step's work, and for the state that stays."""
    if mask is None:
        return g, None
    keep = step(m, mask, t)
    return g * keep, g * (1 - keep)


def plus(a, b):
    return b if a is None else a if b is None else a + b


def at_step(m, g, t):
    return None if g is None else step(m, g, t)


@op(
    onnx="LSTM",
    samples=[((3, 2, 8), (2, 2), (2, 2), (8, 2)), ((3, 2, 8), (2, 3), (2, 2), (8, 3), (3, 2))],
)
class lstm_sequence(Op):
    """One LSTM layer over a sequence.

    gates (T, N, 4H) are the inputs' share with all biases, in the order input, forget, cell, output; hidden (N, P),
    cell (N, H), weight (4H, P); projection (P, H) for LSTMs with projected state (Sak et al. 2014, arXiv:1402.1128),
    else P is H -> all hidden states (T, N, P), all cells (T, N, H) and, for backward, the gates after sigmoid and tanh
    (T, N, 4H).
    """

    outputs = 3
    promotion = "equal"

    def infer(gates, hidden, cell, weight, projection=None, mask=None):
        check_sequence("lstm", gates, hidden, weight, 4)
        count = gates.shape[0]
        shapes = ((count, *hidden.shape), (count, *cell.shape), gates.shape)
        return tuple(MetaArray(shape, gates.dtype) for shape in shapes)

    def forward(m, gates, hidden, cell, weight, projection=None, mask=None):
        check_sequence("lstm", gates, hidden, weight, 4)
        xp, count = m.xp, gates.shape[0]
        states = xp.empty((count, *hidden.shape), gates.dtype)
        cells = xp.empty((count, *cell.shape), gates.dtype)
        opened = xp.empty(gates.shape, gates.dtype)
        turned, size = weight.T, cell.shape[1]
        for t in range(count):
            now = opened[t]
            now[...] = m.matmul_(hidden, turned)
            now += gates[t]
            squashed = xp.tanh(now[:, 2 * size : 3 * size])
            now[...] = m.sigmoid_(now)
            now[:, 2 * size : 3 * size] = squashed
            new_cell = now[:, size : 2 * size] * cell
            new_cell += now[:, :size] * squashed
            new = now[:, 3 * size :] * xp.tanh(new_cell)
            if projection is not None:
                new = m.matmul_(new, projection.T)
            if mask is not None:
                new, new_cell = xp.where(mask[t] != 0, new, hidden), xp.where(mask[t] != 0, new_cell, cell)
            hidden, cell = new, new_cell
            states[t], cells[t] = hidden, cell
        return states, cells, opened

    def vjp(m, g, hidden, cell, weight, projection, mask, out, needs):
        count = out[2].shape[0]
        earlier, cells_before = before(m, hidden, out[0]), before(m, cell, out[1])
        i, f, c, o = pieces(m, out[2], 4)
        squashed = m.tanh(i * c + f * cells_before)
        slope = o * (1 - squashed * squashed)
        slopes = m.cat([i * (1 - i), f * (1 - f), 1 - c * c, o * (1 - o)], dim=2)
        factors = m.cat([c, cells_before, i, squashed], dim=2) * slopes
        opened = None if g[2] is None else g[2] * slopes
        g_hidden = g_cell = None
        g_gates: list = [None] * count
        g_projected: list = [None] * count
        zero = m.zeros_like(hidden)
        for t in reversed(range(count)):
            gh = plus(at_step(m, g[0], t), g_hidden)
            gc = plus(at_step(m, g[1], t), g_cell)
            gh = zero if gh is None else gh
            gh, stay_h = held(m, gh, mask, t)
            gc, stay_c = (None, None) if gc is None else held(m, gc, mask, t)
            g_projected[t] = gh
            raw = gh if projection is None else m.matmul(gh, projection)
            gc = plus(gc, raw * step(m, slope, t))
            g_gates[t] = plus(m.cat([gc, gc, gc, raw], dim=1) * step(m, factors, t), at_step(m, opened, t))
            g_hidden = plus(m.matmul(g_gates[t], weight), stay_h)
            g_cell = plus(gc * step(m, f, t), stay_c)
        g_all = joined(m, g_gates)
        g_weight = m.matmul(m.mT(rows(m, g_all)), rows(m, earlier)) if needs[3] else None
        g_projection = None
        if needs[4]:
            g_projection = m.matmul(m.mT(rows(m, joined(m, g_projected))), rows(m, o * squashed))
        return g_all, g_hidden, g_cell, g_weight, g_projection, None


@op(
    samples=[
        ((3, 2, 3), (2, 2), (2, 2), (8, 3), (8, 2)),
        ((3, 2, 3), (2, 2), (2, 2), (8, 3), (8, 2), (8,), (8,)),
    ]
)
class lstm_states(Op):
    """One LSTM layer over a sequence, from its inputs on, where no gradient is wanted: nothing is kept for one.

    x (T, N, I), hidden and cell (N, H), w_ih (4H, I), w_hh (4H, H), biases (4H) -> all hidden states (T, N, H), the last
    cell (1, N, H). The same numbers as ``linear`` and ``lstm_sequence``.
    """

    outputs = 2
    promotion = "equal"
    differentiable = False

    def infer(x, hidden, cell, w_ih, w_hh, b_ih=None, b_hh=None):
        count = x.shape[0]
        check_sequence("lstm", MetaArray((*x.shape[:2], w_ih.shape[0]), x.dtype), hidden, w_hh, 4)
        return MetaArray((count, *hidden.shape), x.dtype), MetaArray((1, *cell.shape), x.dtype)

    def forward(m, x, hidden, cell, w_ih, w_hh, b_ih=None, b_hh=None):
        bias = b_ih if b_hh is None else b_hh if b_ih is None else b_ih + b_hh
        states, cells, _ = m.lstm_sequence(m.linear(x, w_ih, bias), hidden, cell, w_hh)
        return states, cells[-1:].copy()


@op(onnx="GRU", samples=[((3, 2, 6), (2, 2), (6, 2), (6,)), ((2, 3, 3), (3, 1), (3, 1))])
class gru_sequence(Op):
    """One GRU layer over a sequence: gates (T, N, 3H) in the order reset, update, new; hidden (N, H), weight (3H, H),
    bias (3H) of the hidden share -> all hidden states (T, N, H)."""

    promotion = "equal"

    def infer(gates, hidden, weight, bias=None, mask=None):
        check_sequence("gru", gates, hidden, weight, 3)
        return MetaArray((gates.shape[0], *hidden.shape), gates.dtype)

    def forward(m, gates, hidden, weight, bias=None, mask=None):
        check_sequence("gru", gates, hidden, weight, 3)
        xp, size = m.xp, hidden.shape[1]
        states = xp.empty((gates.shape[0], *hidden.shape), gates.dtype)
        turned = weight.T
        for t in range(gates.shape[0]):
            own = m.matmul_(hidden, turned)
            if bias is not None:
                own += bias
            smooth = m.sigmoid_(gates[t][:, : 2 * size] + own[:, : 2 * size])
            new = xp.tanh(gates[t][:, 2 * size :] + smooth[:, :size] * own[:, 2 * size :])
            new = new + smooth[:, size:] * (hidden - new)
            hidden = new if mask is None else xp.where(mask[t] != 0, new, hidden)
            states[t] = hidden
        return states

    def vjp(m, g, gates, hidden, weight, bias, mask, out, needs):
        count = gates.shape[0]
        earlier = before(m, hidden, out)
        own = m.matmul(earlier, m.mT(weight))
        own = own if bias is None else own + bias
        (ri, zi, ni), (rh, zh, nh) = pieces(m, gates, 3), pieces(m, own, 3)
        r, z = m.sigmoid(ri + rh), m.sigmoid(zi + zh)
        n = m.tanh(ni + r * nh)
        for_new = (1 - z) * (1 - n * n)
        factors = m.cat([for_new * nh * r * (1 - r), (earlier - n) * z * (1 - z), for_new], dim=2)
        through = m.cat([for_new * nh * r * (1 - r), (earlier - n) * z * (1 - z), for_new * r], dim=2)
        g_hidden = None
        g_gates: list = [None] * count
        g_own: list = [None] * count
        for t in reversed(range(count)):
            gh, stay = held(m, plus(step(m, g, t), g_hidden), mask, t)
            wide = m.cat([gh, gh, gh], dim=1)
            g_gates[t] = wide * step(m, factors, t)
            g_own[t] = wide * step(m, through, t)
            g_hidden = plus(m.matmul(g_own[t], weight) + gh * step(m, z, t), stay)
        flat = rows(m, joined(m, g_own))
        return (
            joined(m, g_gates),
            g_hidden,
            m.matmul(m.mT(flat), rows(m, earlier)) if needs[2] else None,
            m.sum(flat, dim=(0,)) if needs[3] else None,
            None,
        )


@op(onnx="RNN", samples=[((3, 2, 4), (2, 4), (4, 4)), ((3, 2, 4), (2, 4), (4, 4), {"nonlinearity": "relu"})])
class rnn_sequence(Op):
    """One plain recurrent layer over a sequence (Elman 1990): gates (T, N, H), hidden (N, H), weight (H, H) ->
    all hidden states (T, N, H), each tanh or relu of gates[t] + hidden @ weight.T."""

    promotion = "equal"

    def infer(gates, hidden, weight, mask=None, *, nonlinearity):
        check_sequence("rnn", gates, hidden, weight, 1)
        return MetaArray((gates.shape[0], *hidden.shape), gates.dtype)

    def forward(m, gates, hidden, weight, mask=None, *, nonlinearity="tanh"):
        check_sequence("rnn", gates, hidden, weight, 1)
        xp, turned = m.xp, weight.T
        states = xp.empty((gates.shape[0], *hidden.shape), gates.dtype)
        for t in range(gates.shape[0]):
            new = gates[t] + m.matmul_(hidden, turned)
            new = xp.tanh(new) if nonlinearity == "tanh" else xp.maximum(new, 0)
            hidden = new if mask is None else xp.where(mask[t] != 0, new, hidden)
            states[t] = hidden
        return states

    def vjp(m, g, gates, hidden, weight, mask, out, needs, nonlinearity):
        count = gates.shape[0]
        earlier = before(m, hidden, out)
        now = gates + m.matmul(earlier, m.mT(weight))
        if nonlinearity == "tanh":
            slope = 1 - m.square(m.tanh(now))
        else:
            slope = m.cast_like(m.gt(now, 0), now)
        g_hidden = None
        g_gates: list = [None] * count
        for t in reversed(range(count)):
            gh, stay = held(m, plus(step(m, g, t), g_hidden), mask, t)
            g_gates[t] = gh * step(m, slope, t)
            g_hidden = plus(m.matmul(g_gates[t], weight), stay)
        g_all = joined(m, g_gates)
        return g_all, g_hidden, m.matmul(m.mT(rows(m, g_all)), rows(m, earlier)) if needs[2] else None, None
