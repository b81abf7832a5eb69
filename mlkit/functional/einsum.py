"""Einstein's summation: products and sums named by letters."""

from __future__ import annotations

import math
import string

from mlkit.core.dispatch import ops
from mlkit.core.errors import ArgumentError, RefusedError, ShapeError, ValueRangeError
from mlkit.core.value import Value

LETTERS = string.ascii_uppercase + string.ascii_lowercase


def _from_sublists(operands: tuple) -> tuple[str, list]:
    """einsum(a, [0, 1], b, [1, 2], [0, 2]) as an equation."""

    def word(items) -> str:
        return "".join("..." if i is Ellipsis else LETTERS[i] for i in items)

    tensors, words = list(operands[0 : len(operands) - len(operands) % 2 : 2]), []
    for items in operands[1::2]:
        words.append(word(items))
    equation = ",".join(words)
    if len(operands) % 2:
        equation += "->" + word(operands[-1])
    return equation, tensors


def _rows(words: list[str], tensors: list) -> str:
    """The operands as an error shows them, a line each: the letters of the equation with the sizes they stand for."""
    rows = []
    for number, (word, x) in enumerate(zip(words, tensors, strict=True)):
        shape = tuple(x._array.shape)
        before, dots, after = word.partition("...")
        hidden = len(shape) - len(before) - len(after)
        text = str(shape)
        if hidden == 0 or dots and hidden > 0:
            names = [*before, *["..."] * hidden, *after]
            text = f"({', '.join(f'{name}={n}' for name, n in zip(names, shape, strict=True))})"
        rows.append(f"operand {number}: {word or 'no letters'}: {text}")
    return "\n".join(rows)


def _letters(word: str, rank: int, number: int, words: list[str], tensors: list) -> list:
    """One operand's letters, the dims of its ellipsis as negative numbers counted from the right."""
    if word.count("...") > 1 or "." in word.replace("...", ""):
        raise RefusedError(f"einsum(): found '.' for operand {number} that is not part of any ellipsis.")
    plain = word.replace("...", "")
    for letter in plain:
        if letter not in LETTERS:
            place = sum(len(w) + 1 for w in words[:number]) + word.index(letter)
            raise RefusedError(
                f"einsum(): invalid subscript given at index {place} in the equation string, subscripts must be in "
                f"[a-zA-Z], got {letter!r}.",
                f"operand {number}: {word}",
            )
    if "..." not in word:
        if len(plain) != rank:
            raise RefusedError(
                f"einsum(): the number of subscripts in the equation ({len(plain)}) does not match the number of "
                f"dimensions ({rank}) for operand {number} and no ellipsis was given.",
                _rows(words, tensors),
                "Give each of its dims a letter of its own, or put ... where the rest is.",
            )
        return list(plain)
    hidden = rank - len(plain)
    if hidden < 0:
        raise RefusedError(
            f"einsum(): the number of subscripts in the equation ({len(plain)}) is more than the number of dimensions "
            f"({rank}) for operand {number}.",
            _rows(words, tensors),
        )
    before, after = word.split("...")
    return [*before, *range(-hidden, 0), *after]


def _without_repeats(x, names: list, number: int, words: list[str], tensors: list):
    """Repeated letters of one operand become the diagonal."""
    while len(set(names)) < len(names):
        for i, name in enumerate(names):
            if name in names[i + 1 :]:
                j = names.index(name, i + 1)
                a, b = x._array.shape[i], x._array.shape[j]
                if a != b:
                    raise RefusedError(
                        f"einsum(): subscript {name} is repeated for operand {number} but the sizes don't match, {b} != {a}.",
                        _rows(words, tensors),
                        "Both dims of a diagonal have one size: use two letters where they differ.",
                    )
                x = ops.diagonal(x, dim1=i, dim2=j)
                names = [n for k, n in enumerate(names) if k not in (i, j)] + [name]
                break
    return x, names


def _clash(name, n: int, known: int, number: int, words: list[str], tensors: list, dots: int) -> ShapeError:
    """Two operands that give one letter, or one dim of an ellipsis, two sizes."""
    if isinstance(name, int):
        what = f"dimension {dots + name} covered by ellipsis in operand {number} has size {n}"
        before = f"ellipsis with size {known} for the respective dimension"
        hint = "The dims behind ... broadcast from the right: equal sizes, or one of them 1."
    else:
        what, before = f"subscript {name} has size {n} for operand {number}", f"size {known}"
        hint = f"{name} stands for one size in all operands: check their order and transposes, or use another letter."
    return ShapeError(
        f"einsum(): {what} which does not broadcast with previously seen {before}.", _rows(words, tensors), hint
    )


def _summed(x, names: list, away: set):
    dims = tuple(i for i, n in enumerate(names) if n in away)
    if not dims:
        return x, names
    return ops.sum(x, dim=dims), [n for n in names if n not in away]


def _contract(a, a_names: list, b, b_names: list, kept: set, sizes: dict):
    """Two operands become one: letters that nobody wants later are summed, by one batched matrix product."""
    both = [n for n in a_names if n in b_names]
    a, a_names = _summed(a, a_names, {n for n in a_names if n not in kept and n not in both})
    b, b_names = _summed(b, b_names, {n for n in b_names if n not in kept and n not in both})
    batch = [n for n in both if n in kept]
    middle = [n for n in both if n not in kept]
    # an operand with size 1 where the other is larger broadcasts; for summed letters the smaller one is spread
    shape_a = dict(zip(a_names, a._array.shape, strict=True))
    shape_b = dict(zip(b_names, b._array.shape, strict=True))
    if any(shape_a[n] != shape_b[n] for n in both):
        a = ops.expand(a, shape=tuple(sizes[n] if n in both else shape_a[n] for n in a_names))
        b = ops.expand(b, shape=tuple(sizes[n] if n in both else shape_b[n] for n in b_names))
        shape_a = dict(zip(a_names, a._array.shape, strict=True))
        shape_b = dict(zip(b_names, b._array.shape, strict=True))
    rows = [n for n in a_names if n not in both]
    columns = [n for n in b_names if n not in both]

    def arranged(x, names, order, shape):
        return ops.reshape(ops.permute(x, dims=tuple(names.index(n) for n in order)), shape=shape)

    batches = [shape_a[n] for n in batch]
    total, inner = math.prod(batches), math.prod(shape_a[n] for n in middle)
    n_rows, n_columns = math.prod(shape_a[n] for n in rows), math.prod(shape_b[n] for n in columns)
    names = [*batch, *rows, *columns]
    shape = (*batches, *(shape_a[n] for n in rows), *(shape_b[n] for n in columns))
    if not middle:
        left = arranged(a, a_names, [*batch, *rows], (total, n_rows, 1))
        right = arranged(b, b_names, [*batch, *columns], (total, 1, n_columns))
        return ops.reshape(ops.mul(left, right), shape=shape), names
    left = arranged(a, a_names, [*batch, *rows, *middle], (total, n_rows, inner) if batch else (n_rows, inner))
    right = arranged(
        b, b_names, [*batch, *middle, *columns], (total, inner, n_columns) if batch else (inner, n_columns)
    )
    return ops.reshape(ops.matmul(left, right), shape=shape), names


def einsum(equation, *operands):
    """Sums of products as an equation in letters: repeated letters are multiplied along, those not named after
    ``->`` are summed, ``...`` stands for dims that broadcast.

    >>> import mlkit
    >>> a, b = mlkit.ones(2, 3), mlkit.ones(3, 4)
    >>> mlkit.einsum("ij,jk->ik", a, b).shape
    mlkit.Size([2, 4])
    """
    if isinstance(equation, Value):
        equation, tensors = _from_sublists((equation, *operands))
    else:
        tensors = list(operands[0]) if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else list(operands)
    if not isinstance(equation, str):
        raise ArgumentError(f"einsum(): argument 'equation' (position 1) must be str, not {type(equation).__name__}.")
    if not tensors:
        raise ValueRangeError("einsum(): must specify the equation and at least one operand.")
    left, arrow, right = equation.replace(" ", "").partition("->")
    words = left.split(",")
    if len(words) > len(tensors):
        raise RefusedError("einsum(): fewer operands were provided than specified in the equation.")
    if len(words) < len(tensors):
        raise RefusedError("einsum(): more operands were provided than specified in the equation.")
    dots = max(
        (t._array.ndim - len(w.replace("...", "")) for w, t in zip(words, tensors, strict=True) if "..." in w),
        default=0,
    )
    parts = []
    sizes: dict = {}
    for number, (word, x) in enumerate(zip(words, tensors, strict=True)):
        names = _letters(word, x._array.ndim, number, words, tensors)
        x, names = _without_repeats(x, names, number, words, tensors)
        for name, n in zip(names, x._array.shape, strict=True):
            known = sizes.get(name, 1)
            if known != n and 1 not in (known, n):
                raise _clash(name, n, known, number, words, tensors, dots)
            sizes[name] = n if known == 1 else known
        parts.append((x, names))
    hidden = list(range(-dots, 0))
    if arrow:
        target: list = []
        seen = right.replace("...", "\0")
        for letter in seen:
            if letter == "\0":
                target += hidden
            elif letter not in LETTERS:
                raise RefusedError(f"einsum(): invalid subscript {letter!r} in the output.")
            elif letter in target:
                raise RefusedError(f"einsum(): output subscript {letter} appears more than once in the output.")
            elif letter not in sizes:
                raise RefusedError(
                    f"einsum(): output subscript {letter} does not appear in the equation for any input operand."
                )
            else:
                target.append(letter)
    else:
        everything = "".join(words)
        target = hidden + sorted(n for n in set(everything) if n in LETTERS and everything.count(n) == 1)
    x, names = parts[0]
    for position, (y, y_names) in enumerate(parts[1:], 1):
        kept = set(target).union(*(set(later) for _, later in parts[position + 1 :]))
        x, names = _contract(x, names, y, y_names, kept, sizes)
    x, names = _summed(x, names, {n for n in names if n not in target})
    missing = [n for n in target if n not in names]
    assert not missing
    return ops.permute(x, dims=tuple(names.index(n) for n in target))
