"""How the pool's threads share out a kernel's ranges without Python: by a few numbers in memory that all of them watch.

To wake a thread that sleeps takes 20 to 60 us, as long as a small product, and on a busy machine it wakes on the core that
is already at work. So a thread that has nothing to do looks for work for about a millisecond before it goes to sleep, and
takes ranges from there. The numbers, eight bytes each, lie a cache line apart:

- ticket: how many jobs there were, how many threads may work on the last one, in how many ranges it is, and the next range
  that nobody has (23, 8, 16 and 16 bits). Who puts a larger one in its place has taken a range, so it is this job's and not a later one's.
- left: ranges that are not done; the caller waits for 0.
- awake: threads that watch. calls: not 0 where one of them is wanted in Python. busy: whose job it is, 0 for none.
- the job: the kernel's address, how many arguments it has and where they are, ...
"""

from __future__ import annotations

import platform

import llvmlite.ir as ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from mlkit.backends.numba.compiling import helper, kernel

WORD = ir.IntType(64)
TICKET, LEFT, AWAKE, CALLS, BUSY, JOB, OWN = range(0, 7 * 64, 64)  # bytes
MOST = 48  # arguments of a kernel, at most
FEWEST = 3
OFTEN = 32  # looks until a thread that watches lets others run
SIZE = OWN // 8  # numbers, and MOST for each thread


def _pointer(builder, address):
    return builder.inttoptr(address, WORD.as_pointer())


def _made(arguments: int, returns, generate):
    """An intrinsic of whole numbers."""

    def typed(typingctx, *given):
        return returns(*[types.int64] * arguments), generate

    if arguments == 1:
        return intrinsic(lambda typingctx, a: typed(typingctx, a))
    if arguments == 2:
        return intrinsic(lambda typingctx, a, b: typed(typingctx, a, b))
    return intrinsic(lambda typingctx, a, b, c: typed(typingctx, a, b, c))


def _look(context, builder, signature, given):
    return builder.load_atomic(_pointer(builder, given[0]), "seq_cst", 8)


def _put(context, builder, signature, given):
    builder.store_atomic(given[1], _pointer(builder, given[0]), "seq_cst", 8)
    return context.get_dummy_value()


def _add(context, builder, signature, given):
    return builder.atomic_rmw("add", _pointer(builder, given[0]), given[1], "seq_cst")


def _swap(context, builder, signature, given):
    pair = builder.cmpxchg(_pointer(builder, given[0]), given[1], given[2], "seq_cst")
    return builder.zext(builder.extract_value(pair, 1), WORD)


def _relax(context, builder, signature, given):
    """Tell the core that this is a loop that waits."""
    machine = platform.machine()
    if machine in ("x86_64", "AMD64"):
        pause = ir.FunctionType(ir.VoidType(), [])
        builder.call(cgutils.get_or_insert_function(builder.module, pause, "llvm.x86.sse2.pause"), [])
    elif machine in ("arm64", "aarch64"):
        hint = ir.FunctionType(ir.VoidType(), [ir.IntType(32)])
        hinted = cgutils.get_or_insert_function(builder.module, hint, "llvm.aarch64.hint")
        builder.call(hinted, [ir.Constant(ir.IntType(32), 1)])  # yield
    return given[0]


def _give_way(context, builder, signature, given):
    kind = ir.FunctionType(ir.IntType(32), [])
    return builder.zext(builder.call(builder.inttoptr(given[0], kind.as_pointer()), []), WORD)


def _call(context, builder, signature, given):
    """Call the function at an address with ``count`` numbers that lie one after another."""
    function, count, numbers = given
    end = builder.append_basic_block("called")
    chosen = builder.switch(count, end)
    for n in range(FEWEST, MOST + 1):
        block = builder.append_basic_block(f"with_{n}")
        chosen.add_case(ir.Constant(WORD, n), block)
        builder.position_at_end(block)
        kind = ir.FunctionType(ir.IntType(8).as_pointer(), [WORD] * n)
        first = _pointer(builder, numbers)
        values = [builder.load(builder.gep(first, [ir.Constant(WORD, i)])) for i in range(n)]
        builder.call(builder.inttoptr(function, kind.as_pointer()), values)
        builder.branch(end)
    builder.position_at_end(end)
    return context.get_dummy_value()


look = _made(1, types.int64, _look)  # (address) -> the number there
put = _made(2, types.void, _put)  # (address, number)
add = _made(2, types.int64, _add)  # (address, number) -> what was there
swap = _made(3, types.int64, _swap)  # (address, expected, number) -> whether the number took its place
relax = _made(1, types.int64, _relax)
give_way = _made(1, types.int64, _give_way)  # (address of the system's function) lets others on this core run
call = _made(3, types.void, _call)


@helper
def bound(total, parts, step, number):
    """Where a range begins: a multiple of ``step``, the last one ends with the whole."""
    return min(total, (total * number // parts + step - 1) // step * step)


@helper
def take(box, worker):
    """Take ranges until none is left; returns how many it were."""
    took = 0
    job, own = box + JOB, box + OWN + worker * MOST * 8
    while True:
        ticket = look(box + TICKET)
        number, parts = ticket & 0xFFFF, (ticket >> 16) & 0xFFFF
        if number >= parts or worker >= (ticket >> 32) & 0xFF:
            return took
        if swap(box + TICKET, ticket, ticket + 1) == 0:
            continue
        count, arguments, total, step = look(job + 8), look(job + 16), look(job + 24), look(job + 32)
        for i in range(count):
            put(own + i * 8, look(arguments + i * 8))
        room = look(job + 40)
        if room >= 0:
            put(own + room * 8, look(own + room * 8) + worker * look(job + 48))
        put(own + count * 8, bound(total, parts, step, number))
        put(own + count * 8 + 8, bound(total, parts, step, number + 1))
        call(look(job), count + 2, own)
        add(box + LEFT, -1)
        took += 1


@kernel()
def serve(box, worker, looks, way):
    """Take ranges as they come, until there was nothing for so many looks, or one is wanted in Python: then 1. ``way`` is
    the system's function that lets others run: who watches may have landed on the core where the caller works."""
    add(box + AWAKE, 1)
    idle = wanted = 0
    while idle < looks and wanted == 0:
        if take(box, worker):
            idle = 0
        elif look(box + CALLS):
            wanted = 1
        else:
            idle += relax(1)
            if way and idle % OFTEN == 0:
                give_way(way)
    add(box + AWAKE, -1)
    take(box, worker)  # what came in the last moment, as its caller may have counted on this thread
    return wanted


@helper
def finish(box, looks):
    """Wait for the ranges that others took, for so many looks; then the next job may come."""
    for _ in range(looks):
        if look(box + LEFT) == 0:
            put(box + BUSY, 0)
            return
        relax(1)


@kernel()
def wait(box, looks):
    """Wait on for the end of one's own job."""
    finish(box, looks)


@kernel()
def share(box, name, function, count, arguments, total, parts, most, step, room, room_bytes, looks):
    """Share out ``function(*arguments, first, last)`` in ``parts`` ranges of ``total`` among ``most`` threads; returns 0, with nothing
    done, where another job is under way, else one more than how many it took itself. Not all is done as long as ``busy`` says ``name``. ``room``, where it is not below 0, is the place of an argument that is an address of
    ``room_bytes`` for each thread."""
    if swap(box + BUSY, 0, name) == 0:
        return 0
    job = box + JOB
    put(job, function)
    put(job + 8, count)
    put(job + 16, arguments)
    put(job + 24, total)
    put(job + 32, step)
    put(job + 40, room)
    put(job + 48, room_bytes)
    put(box + LEFT, parts)
    put(box + TICKET, (((look(box + TICKET) >> 40) + 1) & 0x7FFFFF) << 40 | most << 32 | parts << 16)
    took = take(box, 0)
    finish(box, looks)
    return took + 1
