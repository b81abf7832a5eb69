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
