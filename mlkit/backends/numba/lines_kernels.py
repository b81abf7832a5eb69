"""Calls of kernels one after another, from a table: what a compiled program's lines become where nothing in them needs Python."""

from __future__ import annotations

from numba import carray, float32, int32, int64, types
from numba.extending import intrinsic

from mlkit.backends.numba.compiling import helper, kernel
from mlkit.backends.numba.team_kernels import call, look


@kernel()
def play(table, lines):
    """Do the calls noted from address ``table`` on: for each the function's address, how many arguments, and these."""
    for _ in range(lines):
        count = look(table + 8)
        call(look(table), count, table + 16)
        table += 16 + count * 8


@intrinsic
def _pointer(typingctx, address):
    def generate(context, builder, signature, values):
        return builder.inttoptr(values[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.int64), generate


@helper
def numbers(address, count, dtype):
    """The ``count`` numbers at an address as an array: for loops that a program's table calls."""
    return carray(_pointer(address), (count,), dtype)


@kernel()
def add_row(row, rows, columns, target):
    """Add a row of float32 to each of ``rows`` rows."""
    added, sums = numbers(row, columns, float32), numbers(target, rows * columns, float32)
    for i in range(rows):
        for j in range(columns):
            sums[i * columns + j] += added[j]


@kernel()
def fill(source, size, count, target):
    """Write one number of ``size`` bytes, 4 or 8, to ``count`` places."""
    if size == 4:
        short, shorts = numbers(source, 1, int32), numbers(target, count, int32)
        for i in range(count):
            shorts[i] = short[0]
    else:
        long, longs = numbers(source, 1, int64), numbers(target, count, int64)
        for i in range(count):
            longs[i] = long[0]
