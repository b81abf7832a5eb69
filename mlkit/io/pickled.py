"""Pickle streams of plain data, written and read without running anything.

A pickle is a program for a little stack machine; Python's own reader lets such a program call any function. The reader
here is another machine for the same programs: it knows containers, numbers and texts, and the few names PyTorch uses to
describe tensors (a table the caller gives). A program that asks for anything else is refused by name before it acts.
The writer says the same things in the words that ``torch.load(weights_only=True)`` accepts.
"""

from __future__ import annotations

import pickle
import pickletools
import struct
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from mlkit.core.errors import CheckpointError, DeviceError, MissingFeature

__all__ = ["Global", "UnreadablePickle", "read_pickle", "write_pickle"]


class UnreadablePickle(CheckpointError, pickle.UnpicklingError):
    """A pickle that is damaged, or that asks for something a file of data must not ask for."""


class Global:
    """A name in a stream: what stands for a function or class, never the thing itself."""

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str):
        self.module, self.name = module, name

    def __eq__(self, other) -> bool:
        return isinstance(other, Global) and (self.module, self.name) == (other.module, other.name)

    def __hash__(self) -> int:
        return hash((self.module, self.name))

    def __repr__(self) -> str:
        return f"{self.module}.{self.name}"


class Call:
    """``function(*arguments)`` for the reader to make; ``key`` keeps one object one object."""

    __slots__ = ("arguments", "function")

    def __init__(self, function: Global, *arguments):
        self.function, self.arguments = function, arguments


class Persistent:
    """An object kept outside the stream (a storage), by its description."""

    __slots__ = ("description",)

    def __init__(self, description: tuple):
        self.description = description


# --- writing ------------------------------------------------------------------------------------------------------------

_SET, _BYTEARRAY, _COMPLEX = (Global("__builtin__", name) for name in ("set", "bytearray", "complex"))
_ORDERED, _COUNTER = Global("collections", "OrderedDict"), Global("collections", "Counter")
_ENCODE = Global("_codecs", "encode")


def write_pickle(value: Any, describe: Callable[[Any, str], Any]) -> bytes:
    """``value`` as a pickle of protocol 2.

    Args:
        value: None, numbers, texts, bytes, and dict, OrderedDict, Counter, list, tuple and set of them.
        describe: called with everything else and its place; returns a Global, Call or Persistent that stands for it,
            or raises.
    """
    writer = _Writer(describe)
    try:
        writer.write(value, "")
    except RecursionError:
        raise CheckpointError("The object to save is nested too deeply.", hint="Save a flatter dictionary.") from None
    return b"\x80\x02" + b"".join(writer.parts) + b"."


class _Writer:
    def __init__(self, describe: Callable[[Any, str], Any]):
        self.describe = describe
        self.parts: list[bytes] = []
        self.memo: dict[
            int, tuple[int, Any]
        ] = {}  # id -> (number, the object, kept alive so that its id stays its own)
        self.names: dict[Global, int] = {}
        self.open: set[int] = set()
        self.count = 0

    def put(self, value: Any = None) -> int:
        """Give what was just written a number, under which it can be named again."""
        number = self.count
        self.count += 1
        self.parts.append(b"q" + bytes([number]) if number < 256 else b"r" + struct.pack("<I", number))
        if value is not None:
            self.memo[id(value)] = (number, value)
        return number

    def get(self, number: int) -> None:
        self.parts.append(b"h" + bytes([number]) if number < 256 else b"j" + struct.pack("<I", number))

    def write(self, value: Any, place: str) -> None:
        kind = type(value)
        if value is None:
            self.parts.append(b"N")
        elif kind is bool:
            self.parts.append(b"\x88" if value else b"\x89")
        elif kind is int:
            self.integer(value, place)
        elif kind is float:
            self.parts.append(b"G" + struct.pack(">d", value))
        elif isinstance(value, np.generic) and value.dtype.kind in "biufc":
            self.write(value.item() if value.dtype != np.longdouble else float(value), place)
        elif id(value) in self.memo:
            self.get(self.memo[id(value)][0])
        elif kind is str:
            data = value.encode("utf-8", "surrogatepass")
            self.parts.append(b"X" + struct.pack("<I", len(data)) + data)
            self.put(value)
        elif kind is Global:
            self.name(value)
        elif kind is Persistent:
            self.write(value.description, place)
            self.parts.append(b"Q")
        elif kind is Call:
            self.call(value, place)
        elif kind is tuple:
            self.tuple(value, place)
        elif kind is list:
            self.parts.append(b"]")
            self.put(value)
            self.items(value, place)
        elif kind in (dict, OrderedDict):
            self.dictionary(value, place)
        elif kind is Counter:
            self.call(Call(_COUNTER, dict(value)), place)
            self.put(value)
        elif kind is set:
            self.call(Call(_SET, list(value)), place)
            self.put(value)
        elif kind is complex:
            self.call(Call(_COMPLEX, value.real, value.imag), place)
        elif kind is bytes:
            self.call(Call(_ENCODE, value.decode("latin1"), "latin1"), place)
            self.put(value)
        elif kind is bytearray:
            self.call(Call(_BYTEARRAY, value.decode("latin1"), "latin-1"), place)
            self.put(value)
        else:
            self.write(self.describe(value, place or "the object"), place)
            if not isinstance(value, Global):
                self.put(value)

    def integer(self, value: int, place: str) -> None:
        if 0 <= value < 256:
            self.parts.append(b"K" + bytes([value]))
        elif 0 <= value < 65536:
            self.parts.append(b"M" + struct.pack("<H", value))
        elif -(1 << 31) <= value < 1 << 31:
            self.parts.append(b"J" + struct.pack("<i", value))
        else:
            data = pickle.encode_long(value)
            if len(data) > 255:
                raise CheckpointError(f"The integer at {place or 'the top'} is too large for a file (over 255 bytes).")
            self.parts.append(b"\x8a" + bytes([len(data)]) + data)

    def name(self, value: Global) -> None:
        if value in self.names:
            self.get(self.names[value])
            return
        self.parts.append(f"c{value.module}\n{value.name}\n".encode())
        self.names[value] = self.put()

    def call(self, call: Call, place: str) -> None:
        self.name(call.function)
        self.tuple(call.arguments, place)
        self.parts.append(b"R")

    def tuple(self, value: tuple, place: str) -> None:
        if id(value) in self.open:
            raise CheckpointError(f"The tuple at {place or 'the top'} contains itself, which a file cannot hold.")
        self.open.add(id(value))
        if len(value) > 3:
            self.parts.append(b"(")
        for position, item in enumerate(value):
            self.write(item, f"{place}[{position}]")
        self.parts.append((b")", b"\x85", b"\x86", b"\x87")[len(value)] if len(value) <= 3 else b"t")
        self.open.discard(id(value))

    def items(self, value: list, place: str) -> None:
        if value:
            self.parts.append(b"(")
            for position, item in enumerate(value):
                self.write(item, f"{place}[{position}]")
            self.parts.append(b"e")

    def dictionary(self, value: dict, place: str) -> None:
        if type(value) is dict:
            self.parts.append(b"}")
        else:
            self.call(Call(_ORDERED), place)
        self.put(value)
        if value:
            self.parts.append(b"(")
            for key, item in value.items():
                self.write(key, place)
                self.write(item, f"{place}[{key!r}]")
            self.parts.append(b"u")
        versions = getattr(value, "_metadata", None)  # a module's state_dict says the versions of its layers
        if versions is not None:
            self.write({"_metadata": versions}, f"{place}._metadata")
            self.parts.append(b"b")


# --- reading ------------------------------------------------------------------------------------------------------------


def _encode(text: str, encoding: str) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError("bytes are expected as latin1 text")
    return text.encode("latin1")


def _plain(kind: Callable, *accepted: type) -> Callable:
    """A constructor that takes only those argument types (nothing with methods of its own)."""

    def make(*arguments):
        if any(type(a) not in accepted for a in arguments):
            raise ValueError(f"{kind.__name__} called with {', '.join(type(a).__name__ for a in arguments)}")
        return kind(*arguments)

    return make


#: What every file may ask for; the caller adds the names of tensors, dtypes and storages.
PLAIN: dict[str, Any] = {
    "collections.OrderedDict": _plain(OrderedDict, list, dict),
    "collections.Counter": _plain(Counter, dict),
    "builtins.set": _plain(set, list),
    "builtins.frozenset": _plain(frozenset, list),
    "builtins.complex": _plain(complex, int, float),
    "builtins.bytearray": lambda *a: bytearray(_encode(*a) if a and isinstance(a[0], str) else b"".join(a)),
    "_codecs.encode": _encode,
}


def read_pickle(
    file: IO[bytes], names: dict[str, Any], load: Callable[[tuple], Any], build: Callable[[Any, Any], None], where: str
) -> Any:
    """The value the next pickle in ``file`` describes.

    Args:
        file: at the start of a pickle; afterwards just behind it.
        names: what a stream may name ("torch.float32", "torch._utils._rebuild_tensor_v2", ...) and what it gets.
        load: the object for a persistent description.
        build: called as build(object, state) for objects that are set up after they were made.
        where: the file, for messages.

    Raises:
        UnreadablePickle: the stream is damaged, cut short, or names something else; nothing of it was run.
    """
    try:
        return _Machine(file, {**PLAIN, **names}, load, build, where).run()
    except (CheckpointError, DeviceError, MissingFeature):
        raise
    except RecursionError:
        raise UnreadablePickle(f"{where} is nested too deeply to be read.") from None
    except Exception as error:
        raise UnreadablePickle(
            f"{where} is damaged, cut short, or no file of tensors: its description cannot be read.",
            f"{type(error).__name__}: {error}",
            "Download or save it again.",
        ) from error


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = set(
    "INT LONG BININT BININT1 BININT2 LONG1 LONG4 FLOAT BINFLOAT UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 STRING "
    "BINSTRING SHORT_BINSTRING SHORT_BINBYTES BINBYTES BINBYTES8 BYTEARRAY8".split()
)
_EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()


class _Machine:
    def __init__(self, file, names, load, build, where):
        self.file, self.names, self.load_persistent, self.build, self.where = file, names, load, build, where
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        for opcode, argument, _ in pickletools.genops(self.file):
            name = opcode.name
            if name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name])
            elif name in _LITERALS:
                self.stack.append(argument)
            elif name in _EMPTY:
                self.stack.append(_EMPTY[name]())
            elif name in _TUPLES:
                count = _TUPLES[name]
                self.stack[-count:] = [tuple(self.take(count))]
            elif name == "STOP":
                return self.plain(self.stack.pop())
            elif name not in ("PROTO", "FRAME"):
                step = getattr(self, "do_" + name.lower(), None)
                if step is None:
                    raise UnreadablePickle(
                        f"{self.where} uses the pickle instruction {name}, which data does not need; it was not run.",
                        hint="Only files of tensors, containers and numbers are read.",
                    )
                step(argument)
        raise ValueError("the pickle does not end")

    # the stack

    def take(self, count: int) -> list:
        if len(self.stack) < count:
            raise ValueError("the stack is too short")
        items = self.stack[-count:]
        return [self.plain(item) for item in items]

    def plain(self, item: Any) -> Any:
        if item is _MARK:
            raise ValueError("a mark where a value is expected")
        return item

    def since_mark(self) -> list:
        for place in range(len(self.stack) - 1, -1, -1):
            if self.stack[place] is _MARK:
                items = self.stack[place + 1 :]
                del self.stack[place:]
                return items
        raise ValueError("there is no mark")

    def of(self, kind: type) -> Any:
        """The container on top, which must be of that kind exactly or an allowed form of it."""
        top = self.stack[-1]
        if not isinstance(top, kind):
            raise ValueError(f"expected a {kind.__name__}, found a {type(top).__name__}")
        return top

    def do_mark(self, _):
        self.stack.append(_MARK)

    def do_pop(self, _):
        self.stack.pop()

    def do_pop_mark(self, _):
        self.since_mark()

    def do_dup(self, _):
        self.stack.append(self.plain(self.stack[-1]))

    # containers

    def do_tuple(self, _):
        self.stack.append(tuple(self.since_mark()))

    def do_list(self, _):
        self.stack.append(self.since_mark())

    def do_dict(self, _):
        items = self.since_mark()
        self.stack.append({})
        self.fill(items)

    def do_frozenset(self, _):
        self.stack.append(frozenset(self.since_mark()))

    def do_append(self, _):
        item = self.plain(self.stack.pop())
        self.of(list).append(item)

    def do_appends(self, _):
        items = self.since_mark()
        self.of(list).extend(items)

    def do_additems(self, _):
        items = self.since_mark()
        self.of(set).update(items)

    def do_setitem(self, _):
        items = self.take(2)
        del self.stack[-2:]
        self.fill(items)

    def do_setitems(self, _):
        self.fill(self.since_mark())

    def fill(self, items: list) -> None:
        target = self.of(dict)
        if len(items) % 2:
            raise ValueError("a key without a value")
        for key, item in zip(items[::2], items[1::2]):
            target[key] = item

    # what has a number

    def do_put(self, number):
        self.memo[int(number)] = self.plain(self.stack[-1])

    do_binput = do_long_binput = do_put

    def do_memoize(self, _):
        self.memo[len(self.memo)] = self.plain(self.stack[-1])

    def do_get(self, number):
        self.stack.append(self.memo[int(number)])

    do_binget = do_long_binget = do_get

    # names and calls

    def do_global(self, argument: str):
        module, _, name = argument.partition(" ")
        self.find(module, name)

    def do_stack_global(self, _):
        module, name = self.take(2)
        del self.stack[-2:]
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("a global's name is no text")
        self.find(module, name)

    def find(self, module: str, name: str) -> None:
        if module == "__builtin__":
            module = "builtins"
        full = f"{module}.{name}"
        if full not in self.names:
            raise UnreadablePickle(
                f"{self.where} asks for {full}, which is not allowed in a file of data; nothing of it was run.",
                "allowed: tensors, parameters, dict, OrderedDict, Counter, list, tuple, set, numbers, texts, dtypes, "
                "sizes, devices",
                _advice(module),
            )
        found = self.names[full]
        self.stack.append(_Named(full, found) if callable(found) else found)

    def do_reduce(self, _):
        function, arguments = self.take(2)
        del self.stack[-2:]
        if not isinstance(function, _Named) or not isinstance(arguments, tuple):
            raise ValueError(f"a call of a {type(function).__name__}")
        self.stack.append(function.make(*arguments))

    do_newobj = do_reduce

    def do_build(self, _):
        state = self.plain(self.stack.pop())
        target = self.plain(self.stack[-1])
        if isinstance(target, OrderedDict):
            if not isinstance(state, dict) or set(state) - {"_metadata"}:
                raise ValueError("an OrderedDict with attributes")
            target.__dict__.update(state)
        else:
            self.build(target, state)

    def do_binpersid(self, _):
        description = self.plain(self.stack.pop())
        if not isinstance(description, tuple):
            raise ValueError("a stored object without a description")
        self.stack.append(self.load_persistent(description))


class _Named:
    """An allowed function on the machine's stack: it can be called there and nothing else."""

    __slots__ = ("full", "make")

    def __init__(self, full: str, make: Callable):
        self.full, self.make = full, make

    def __repr__(self) -> str:
        return self.full


def _advice(module: str) -> str:
    top = module.partition(".")[0]
    if top == "numpy":
        return "It holds NumPy arrays: where it was made, save torch.from_numpy(array) or use numpy.savez."
    if top in ("torch", "torchvision"):
        return "It holds a whole model or optimizer: where it was made, save model.state_dict() instead."
    return "Where it was made, save a state_dict, or tensors in plain dictionaries and lists."
