"""The shapes in an error's words, axis by axis, and which axes clash.

An error says ``input: (*, in): (32, 1, 28, 28)`` and ``weight: (out, in): (10, 784)`` and that ``28 != 784``. From that a
card draws both shapes side by side with the clashing axes marked, and a terminal puts carets under them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_SIZES = r"[(\[](?P<sizes>\d+(?:, \d+)*,?)[)\]]"
_NAMED = re.compile(r"^(?P<name>[\w .\[\]]+?): +\((?P<axes>\w+=\d+(?:, \w+=\d+)*)\)(?P<rest>.*)$")
_PLAIN = re.compile(
    rf"^(?P<name>[\w .\[\]]+?): +(?:(?P<dtype>\w+) )?(?:\((?P<names>[\w*.]+(?:, [\w*.]+)*)\): )?{_SIZES}(?P<rest>.*)$"
)
_CHECKPOINT = re.compile(
    r"^size mismatch for (?P<name>[\w.]+): copying a param with shape \((?P<saved>[\d, ]*)\) from checkpoint, "
    r"the shape in current model is \((?P<model>[\d, ]*)\)\.?$"
)
_PAIR = re.compile(r"(?<!\w)(\d+) (?:!=|≠) (\d+)(?!\w)")
_SENTENCE = re.compile(r"(?P<name>[A-Za-z]+) size \(\[(?P<sizes>[\d, ]+)\]\)")


@dataclass
class Axis:
    """One axis of a shape: ``in 784``."""

    size: int
    name: str = ""
    clashes: bool = False


@dataclass
class Shape:
    """A shape that an error speaks of. ``rest``: what the line says after it."""

    name: str
    axes: list[Axis] = field(default_factory=list)
    dtype: str = ""
    rest: str = ""

    @property
    def clashes(self) -> bool:
        """Whether any axis does."""
        return any(axis.clashes for axis in self.axes)


def shapes_of(sentence: str, details: str) -> tuple[list[Shape], list[str]]:
    """(shapes with their clashing axes marked, the lines of the details that are no shapes).

    >>> shapes, rest = shapes_of("28 != 784", "input: (*, in): (32, 28)\\nweight: (out, in): (10, 784)\\nmodule: fc")
    >>> [(s.name, [(a.name, a.size, a.clashes) for a in s.axes]) for s in shapes], rest
    ([('input', [('*', 32, False), ('in', 28, True)]), ('weight', [('out', 10, False), ('in', 784, True)])], ['module: fc'])
    """
    shapes: list[Shape] = []
    rest: list[str] = []
    for line in details.splitlines():
        pieces = [part for part in re.split(r" {3,}", line.strip()) if not _PAIR.fullmatch(part)]
        each = [_shapes_in(piece) for piece in pieces]  # several may stand in one line
        found = [shape for one in each for shape in one] if all(each) else []
        shapes += found
        if not found:
            rest.append(line)
    if not shapes:
        shapes = [Shape(m["name"].lower(), _axes(m["sizes"])) for m in _SENTENCE.finditer(sentence)]
        shapes = shapes if len(shapes) > 1 else []
    _mark(f"{sentence}\n{details}", shapes)
    return shapes, rest


def _axes(sizes: str, names: str = "") -> list[Axis]:
    axes = [Axis(int(size)) for size in re.findall(r"\d+", sizes)]
    words = names.split(", ") if names else []
    if "..." in words:  # it stands at the end: (batch, class, ...)
        words = words[: words.index("...")]
        for axis, word in zip(axes, words, strict=False):
            axis.name = word
    elif words:  # a star stands in front for any number of axes
        for axis, word in zip(reversed(axes), reversed(words), strict=False):
            axis.name = word
        for axis in axes[: max(len(axes) - len(words), 0)]:
            axis.name = words[0] if words[0] == "*" else ""
    return axes


def _shapes_in(line: str) -> list[Shape]:
    saved = _CHECKPOINT.match(line.strip())
    if saved:
        name = saved["name"]
        return [
            Shape(f"{name}, saved", _axes(saved["saved"])),
            Shape(f"{name}, in the model", _axes(saved["model"])),
        ]
    named = _NAMED.match(line)
    if named:
        pairs = [part.split("=") for part in named["axes"].split(", ")]
        return [Shape(named["name"], [Axis(int(size), name) for name, size in pairs], rest=named["rest"].strip())]
    plain = _PLAIN.match(line)
    if plain and (not plain["rest"].strip() or re.fullmatch(r" \([\w ]+\)", plain["rest"])):
        axes = _axes(plain["sizes"], plain["names"] or "")
        return [Shape(plain["name"], axes, plain["dtype"] or "", plain["rest"].strip())]
    return []


def _mark(sentence: str, shapes: list[Shape]) -> None:
    """Set ``clashes`` where the sentence says which sizes do."""
    if not shapes:
        return
    pair = _PAIR.search(sentence)
    channels = re.search(r"expects (\d+) [\w ]+?, \w+ has (\d+)", sentence)
    along = re.search(r"along (\w+) it covers \d+, input has (\d+)", sentence)
    broadcast = re.search(r"at axis (-?\d+) the sizes \d+ and \d+ differ", sentence)
    joined = re.search(r"must match except in dimension (-?\d+)", sentence)
    if pair:
        _sizes(shapes, int(pair[1]), int(pair[2]))
    elif channels:
        _sizes(shapes, int(channels[2]), int(channels[1]))
    elif along:
        for axis in shapes[0].axes:
            axis.clashes = axis.name == along[1]
    elif broadcast:
        for shape in shapes[:2]:
            if -len(shape.axes) <= int(broadcast[1]) < len(shape.axes):
                shape.axes[int(broadcast[1])].clashes = True
    elif len(shapes) > 1 and (joined or re.search(r"same (shape|as)|shape of|in loading state_dict", sentence)):
        skip = int(joined[1]) if joined else None
        for k in range(0, len(shapes) - 1, 2):
            _differences(shapes[k], shapes[k + 1], skip)


def _sizes(shapes: list[Shape], first: int, second: int) -> None:
    """Mark ``first`` in one shape and ``second`` in another: under the same axis name, else the last that fit."""
    for a in shapes:
        for b in shapes:
            if a is b:
                continue
            mine = [axis for axis in a.axes if axis.size == first]
            theirs = [axis for axis in b.axes if axis.size == second]
            if not mine or not theirs:
                continue
            same = [(x, y) for x in mine for y in theirs if x.name and x.name not in ("*", "") and x.name == y.name]
            kin = [(x, y) for x in mine for y in theirs if {x.name, y.name} in ({"channel", "in"}, {"feature", "in"})]
            x, y = (kin or same or [(mine[-1], theirs[-1])])[-1]
            x.clashes = y.clashes = True
            return


def _differences(a: Shape, b: Shape, skip: int | None) -> None:
    """Mark the axes that are not the same in both; of an axis that one has more, that one."""
    for k in range(max(len(a.axes), len(b.axes))):
        if skip is not None and k == skip % max(len(a.axes), 1):
            continue
        here = [shape.axes[k] for shape in (a, b) if k < len(shape.axes)]
        if len(here) == 1 or here[0].size != here[1].size:
            for axis in here:
                axis.clashes = True


def as_text(shapes: list[Shape]) -> list[str]:
    """Lines for a terminal: the shapes under each other, carets under the clashing axes.

    >>> print("\\n".join(as_text(shapes_of("28 != 784", "input: (*, in): (32, 28)\\nweight: (out, in): (10, 784)")[0])))
    input:  (*=32, in=28)
                   ^^^^^
    weight: (out=10, in=784)
                     ^^^^^^
    """
    wide = max((len(shape.name) for shape in shapes), default=0) + 2
    lines = []
    for shape in shapes:
        start = f"{shape.name}:".ljust(wide) + (f"{shape.dtype} " if shape.dtype else "") + "("
        line, carets = start, " " * len(start)
        for k, axis in enumerate(shape.axes):
            word = f"{axis.name}={axis.size}" if axis.name else f"{axis.size}"
            comma = ", " if k + 1 < len(shape.axes) else "," if len(shape.axes) == 1 else ""
            line += word + comma
            carets += ("^" if axis.clashes else " ") * len(word) + " " * len(comma)
        lines.append(f"{line}){' ' + shape.rest if shape.rest else ''}")
        if shape.clashes:
            lines.append(carets.rstrip())
    return lines
