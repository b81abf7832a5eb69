"""Sequences of different lengths in one batch: padded, or packed without padding."""

from __future__ import annotations

from mlkit.core.dispatch import ops
from mlkit.core.errors import ShapeError, ValueRangeError
from mlkit.core.value import Value
from mlkit.functional.conversion import tensor
from mlkit.functional.creation import full
from mlkit.functional.shaping import cat, stack


class PackedSequence:
    """Sequences step by step: all first entries, then all second ones ..., the longest sequence first.

    ``data`` (sum of lengths, *), ``batch_sizes`` how many sequences go on at each step (int64, CPU), and the order the
    sequences were sorted into (None when they came sorted). Made by pack_padded_sequence and pack_sequence.
    """

    def __init__(self, data, batch_sizes=None, sorted_indices=None, unsorted_indices=None):
        self.data = data
        self.batch_sizes = batch_sizes
        self.sorted_indices = sorted_indices
        if unsorted_indices is None and sorted_indices is not None:
            unsorted_indices = invert_permutation(sorted_indices)
        self.unsorted_indices = unsorted_indices

    # PyTorch's is a named tuple: it unpacks and indexes as one
    def _fields(self) -> tuple:
        return self.data, self.batch_sizes, self.sorted_indices, self.unsorted_indices

    def __iter__(self):
        return iter(self._fields())

    def __getitem__(self, index):
        return self._fields()[index]

    def __len__(self) -> int:
        return 4

    def __repr__(self) -> str:
        names = ("data", "batch_sizes", "sorted_indices", "unsorted_indices")
        return f"PackedSequence({', '.join(f'{n}={v!r}' for n, v in zip(names, self._fields(), strict=True))})"

    def to(self, *args, **kwargs) -> PackedSequence:
        """The sequence with its data on another device or of another dtype."""
        data = self.data.to(*args, **kwargs)
        moved = [None if t is None else t.to(device=data.device) for t in (self.sorted_indices, self.unsorted_indices)]
        return PackedSequence(data, self.batch_sizes, *moved)

    def cpu(self) -> PackedSequence:
        return self.to("cpu")

    def cuda(self, device=None) -> PackedSequence:
        return self.to("cuda" if device is None else device)

    def double(self) -> PackedSequence:
        return PackedSequence(self.data.double(), *self._fields()[1:])

    def float(self) -> PackedSequence:
        return PackedSequence(self.data.float(), *self._fields()[1:])

    @property
    def is_cuda(self) -> bool:
        return self.data.is_cuda

    # --- for the layers ------------------------------------------------------------------------------------------------

    def lengths(self) -> list[int]:
        """How long each sequence is, longest first."""
        sizes = self.batch_sizes.tolist()
        return [sum(size > i for size in sizes) for i in range(sizes[0] if sizes else 0)]

    def padded_data(self):
        """The data as (T, N, *), zeros where a sequence has ended, and the lengths."""
        lengths = self.lengths()
        sizes = self.batch_sizes.tolist()
        starts = [sum(sizes[:t]) for t in range(len(sizes))]
        count, total = len(lengths), self.data.shape[0]
        places = [starts[t] + i if i < sizes[t] else total for t in range(len(sizes)) for i in range(count)]
        blank = ops.zeros((1, *self.data.shape[1:]), like=self.data)
        rows = ops.index_select(cat([self.data, blank], 0), ops.index_array(places, like=self.data), dim=0)
        return ops.reshape(rows, shape=(len(sizes), count, *self.data.shape[1:])), lengths

    def repack(self, padded) -> PackedSequence:
        """(T, N, *) packed in this sequence's order."""
        return PackedSequence(_packed(padded, self.batch_sizes.tolist()), *self._fields()[1:])


def _packed(padded, sizes: list[int]):
    time, count = padded.shape[:2]
    flat = ops.reshape(padded, shape=(time * count, *padded.shape[2:]))
    places = [t * count + i for t, size in enumerate(sizes) for i in range(size)]
    return ops.index_select(flat, ops.index_array(places, like=padded), dim=0)


def invert_permutation(permutation):
    """Where each place went."""
    if permutation is None:
        return None
    order = permutation.tolist()
    return ops.index_array([order.index(i) for i in range(len(order))], like=permutation)


def pack_padded_sequence(input, lengths, batch_first: bool = False, enforce_sorted: bool = True) -> PackedSequence:
    """Padded sequences (T, N, *) without their padding; ``lengths`` are N numbers.

    ``enforce_sorted=False`` sorts them by length first (and the result remembers the order).

    >>> import mlkit
    >>> from mlkit.nn.utils.rnn import pack_padded_sequence
    >>> pack_padded_sequence(mlkit.tensor([[1, 4], [2, 5], [3, 0]]), [3, 2]).batch_sizes
    tensor([2, 2, 1])
    """
    given = lengths.tolist() if isinstance(lengths, Value) else [int(n) for n in lengths]
    x = input.transpose(0, 1) if batch_first else input
    if len(given) != x.shape[1]:
        raise ShapeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(given)} (batch_size={x.shape[1]})."
        )
    if any(n <= 0 for n in given):
        raise ShapeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0."
        )
    order = None
    if not enforce_sorted:
        places = sorted(range(len(given)), key=lambda i: -given[i])
        order = ops.index_array(places, like=x)
        x, given = ops.index_select(x, order, dim=1), [given[i] for i in places]
    elif given != sorted(given, reverse=True):
        raise ShapeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
            "`enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this requirement."
        )
    if given[0] > x.shape[0]:
        raise ShapeError(f"Expected `lengths` of at most {x.shape[0]}, the number of steps, but got {given[0]}.")
    sizes = [sum(n > t for n in given) for t in range(given[0])]
    return PackedSequence(_packed(x, sizes), tensor(sizes), order)


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
):
    """The padded form (T, N, *) and the lengths, in the order in which the sequences came."""
    x, lengths = sequence.padded_data()
    time, count = x.shape[:2]
    if total_length is not None and total_length < time:
        raise ValueRangeError(
            f"Expected total_length to be at least the length of the longest sequence in input, but got "
            f"total_length={total_length} and max sequence length being {time}"
        )
    if total_length is not None and total_length > time:
        x = ops.constant_pad(x, widths=((0, total_length - time), *([(0, 0)] * (x.ndim - 1))))
        time = total_length
    if padding_value:
        number = ops.reshape(ops.index_array(range(time), like=x), shape=(time, 1, *([1] * (x.ndim - 2))))
        ends = ops.reshape(ops.index_array(lengths, like=x), shape=(1, count, *([1] * (x.ndim - 2))))
        x = ops.where(ops.lt(number, ends), x, full((), padding_value, dtype=x.dtype, device=x.device))
    if sequence.unsorted_indices is not None:
        x = ops.index_select(x, sequence.unsorted_indices, dim=1)
        lengths = [lengths[i] for i in sequence.unsorted_indices.tolist()]
    return x.transpose(0, 1) if batch_first else x, tensor(lengths)


def pad_sequence(sequences, batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"):
    """Sequences (length, *) side by side, the shorter ones filled up: (T, N, *), or (N, T, *) with batch_first.

    >>> import mlkit
    >>> from mlkit.nn.utils.rnn import pad_sequence
    >>> pad_sequence([mlkit.ones(2), mlkit.ones(3)], batch_first=True)
    tensor([[1., 1., 0.],
            [1., 1., 1.]])
    """
    if padding_side not in ("left", "right"):
        raise ShapeError(f"expected padding_side to be one of left or right, got {padding_side}.")
    rows = list(sequences)
    if not rows:
        raise ShapeError("pad_sequence: received an empty list of sequences.")
    longest = max(len(row) for row in rows)
    padded = []
    for row in rows:
        more = longest - len(row)
        pair = (more, 0) if padding_side == "left" else (0, more)
        padded.append(ops.constant_pad(row, widths=(pair, *([(0, 0)] * (row.ndim - 1))), value=padding_value))
    return stack(padded, 0 if batch_first else 1)


def unpad_sequence(padded_sequences, lengths, batch_first: bool = False) -> list:
    """The sequences of pad_sequence again, each with its own length."""
    x = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [row[:n] for row, n in zip(x, lengths.tolist() if isinstance(lengths, Value) else lengths, strict=True)]


def pack_sequence(sequences, enforce_sorted: bool = True) -> PackedSequence:
    """Sequences (length, *) packed."""
    rows = list(sequences)
    return pack_padded_sequence(pad_sequence(rows), [len(row) for row in rows], enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list:
    """The sequences of pack_sequence again."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
