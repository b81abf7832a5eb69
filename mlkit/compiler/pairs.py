"""Ops that one kernel does together: a batch norm, a sum behind it, and the ReLU; forward and backward.

Elementwise chains are printed as loops (``fusion.py``); these pairs have a reduction in them, or a kernel of their own
that knows more than a printed loop.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable

import numpy as np

from mlkit.compiler.graph import GraphNode, GraphValue, Ref
from mlkit.compiler.into import backend_lines
from mlkit.compiler.passes import Facts
from mlkit.core import backend as backends
from mlkit.ops import REGISTRY

_NORMS = ("batch_norm_train", "batch_norm_eval")
_FLOAT32 = np.dtype(np.float32)


def join(nodes: list[GraphNode], facts: Facts) -> list[GraphNode]:
    """The nodes with each such pair as one."""
    users = _users(nodes)
    place = {k: i for i, n in enumerate(nodes) for k in n.outputs}
    instead: dict[str, GraphNode | None] = {}  # a node's id -> what comes in its place
    made: dict[str, GraphNode] = {}  # the ReLU's result -> the node that makes it now
    for n in reversed(nodes):  # of two norms that are added up, the later one takes the sum
        if n.op not in _NORMS or n.kernel is not None or n.id in instead:
            continue
        found = _behind(n, users, facts, instead)
        if found is None:
            continue
        relu, summed, added = found
        if added is not None and place.get(added, -1) > place[n.outputs[0]]:
            continue
        joined = instead[n.id] = _forward(n, relu, added, facts)
        instead[relu.id] = None
        if summed is not None:
            instead[summed.id] = None
        elif n.op == "batch_norm_train":
            made[relu.outputs[0]] = joined
    by_output = {k: n for n in nodes for k in n.outputs}
    for n in nodes:
        if n.op != "batch_norm_train_backward" or len(n.arguments) < 4:
            continue
        before = by_output.get(str(n.arguments[0]))
        if before is None or before.op != "relu_grad" or before.kernel is not None or before.id in instead:
            continue
        gradient, through = before.arguments
        forward = made.get(str(through))
        if forward is None or not _alone(before.outputs[0], users, facts):
            continue
        if [str(n.arguments[1]), *map(str, n.arguments[-2:])] != [forward.inputs[0], *forward.outputs[1:4:2]]:
            continue
        instead[n.id] = _backward(n, gradient, forward)
        instead[before.id] = None
    return [m for n in nodes if (m := instead.get(n.id, n)) is not None]


def _users(nodes: list[GraphNode]) -> dict[str, list[GraphNode]]:
    """The nodes that read each value."""
    users: dict[str, list[GraphNode]] = {}
    for n in nodes:
        for k in dict.fromkeys(n.inputs):
            users.setdefault(k, []).append(n)
    return users


def _alone(key: str, users: dict[str, list[GraphNode]], facts: Facts) -> GraphNode | None:
    """The one node that reads a value which nobody else sees."""
    readers = users.get(key, [])
    return readers[0] if len(readers) == 1 and key not in facts.results and facts.safe(key) else None


def _behind(n: GraphNode, users: dict, facts: Facts, instead: dict) -> tuple | None:
    """(the ReLU behind a norm, the sum between or None, what is added or None)."""
    if facts.arrays[n.outputs[0]].dtype != _FLOAT32:
        return None
    after, summed, added = _alone(n.outputs[0], users, facts), None, None
    if after is not None and after.op == "add" and after.kernel is None and len(after.inputs) == 2:
        others = [a for a in after.inputs if a != n.outputs[0]]
        shapes = {(facts.arrays[k].shape, facts.arrays[k].dtype) for k in (*after.inputs, *after.outputs)}
        if len(others) != 1 or len(shapes) != 1 or after.id in instead or not facts.safe(others[0]):
            return None
        summed, added = after, others[0]
        after = _alone(summed.outputs[0], users, facts)
    if after is None or after.op != "relu" or after.kernel is not None or after.id in instead:
        return None
    return (after, summed, added) if facts.safe(after.outputs[0]) else None


def _kernels():
    return importlib.import_module("mlkit.backends.numba.norm_relu")


def _new(facts: Facts, array: np.ndarray) -> str:
    """A value that the recorded call did not make but could have: ``array``, as that call would have had it."""
    values = facts.graph.values
    key = f"v{len(values)}"
    values[key] = GraphValue(key, "activation", "", tuple(array.shape), array.dtype.name)
    facts.arrays[key] = array
    return key


def _forward(n: GraphNode, relu: GraphNode, added: str | None, facts: Facts) -> GraphNode:
    arguments = [*n.arguments]
    wanted = len(REGISTRY[n.op].inputs)
    arguments += [None] * (wanted - len(arguments))
    if added is not None:
        arguments.append(Ref(added))
    outputs = [relu.outputs[0]]
    if n.op == "batch_norm_train":
        real = facts.arrays.real  # type: ignore[attr-defined]
        inverse, *others = (real(a) if isinstance(a, Ref) else None for a in (Ref(n.outputs[3]), *arguments[1:3]))
        weight, bias = (
            x if a is None or x is not None else inverse for a, x in zip(arguments[1:3], others, strict=True)
        )
        if inverse is None or weight is None and arguments[1] is not None:  # nobody needs these numbers any more
            inverse, weight, bias = np.ones(facts.arrays[n.outputs[3]].shape, _FLOAT32), None, None
        outputs += n.outputs[1:]
        outputs += [_new(facts, x) for x in _scale(inverse, weight, bias)]
    kernel = (_train if n.op == "batch_norm_train" else _evaluate)(n.attributes["eps"], added is not None)
    return GraphNode(
        id=n.id,
        op="batch_norm_add_relu" if added is not None else "batch_norm_relu",
        inputs=[str(a) for a in arguments if isinstance(a, Ref)],
        outputs=outputs,
        arguments=arguments,
        module=n.module,
        composites=n.composites,
        source=n.source,
        kernel=kernel,
        picks=[True] * len(outputs) if len(outputs) > 1 else None,
    )


def _train(eps: float, adds: bool) -> Callable:
    kernels, plain = _kernels(), backends.load("numpy").kernel(REGISTRY["batch_norm_train"])

    def run(x, weight, bias, added=None):
        found = kernels.train(x, weight, bias, eps, added)
        if found is not None:
            return found
        out, mean, var, inverse = plain(x, weight, bias, eps=eps)
        return _summed(out, added), mean, var, inverse, *_scale(inverse, weight, bias)

    return run


def _scale(inverse, weight, bias) -> tuple[np.ndarray, np.ndarray]:
    """What a normalised channel is multiplied by, and what is added to it."""
    return inverse * (1 if weight is None else weight), np.zeros_like(inverse) if bias is None else bias.copy()


def _evaluate(eps: float, adds: bool) -> Callable:
    kernels, plain = _kernels(), backends.load("numpy").kernel(REGISTRY["batch_norm_eval"])

    def run(x, mean, var, weight, bias, added=None):
        found = kernels.evaluate(x, mean, var, weight, bias, eps, added)
        return _summed(plain(x, mean, var, weight, bias, eps=eps), added) if found is None else found

    return run


def _summed(out, added):
    return np.maximum(out if added is None else out + added, 0)


def _backward(n: GraphNode, gradient: Ref, forward: GraphNode) -> GraphNode:
    """The norm's gradient from that of the ReLU's result: n's own arguments are (g, x, weight if any, mean, 1/std)."""
    factor, offset = map(Ref, forward.outputs[4:6])
    arguments = [gradient, *n.arguments[1:], factor, offset]
    kernels, plain, picks = _kernels(), n.kernel, n.picks or [True]
    weighted = len(n.arguments) == 5
    needs = [*picks, *[False] * (3 - len(picks))]

    def run(g, x, *rest):
        weight, (mean, inverse, factor, offset) = (rest[0] if weighted else None), rest[-4:]
        found = kernels.gradient(g, x, weight, mean, inverse, factor, offset, needs)
        if found is not None:
            return found[: len(picks)]
        wide = (1, -1, *[1] * (x.ndim - 2))
        through = (x - mean.reshape(wide)) * factor.reshape(wide) + offset.reshape(wide) > 0
        return plain(g * through, x, *rest[:-2])

    return GraphNode(
        id=n.id,
        op="batch_norm_relu_backward",
        inputs=[str(a) for a in arguments],
        outputs=list(n.outputs),
        arguments=arguments,
        module=n.module,
        composites=n.composites,
        source=n.source,
        kernel=run,
        picks=n.picks,
    )


# --- linear layers --------------------------------------------------------------------------------------------------------


def linear_relu(nodes: list[GraphNode], facts: Facts) -> list[GraphNode]:
    """The nodes with each linear layer and the ReLU behind it as one: the kernel of the product takes both."""
    users = _users(nodes)
    plain = backends.load("numpy").kernel(REGISTRY["linear"])
    instead: dict[str, GraphNode | None] = {}

    def run(x, weight, bias=None):
        out = plain(x, weight, bias)
        return np.maximum(out, 0, out=out)

    for n in nodes:
        if n.op != "linear" or n.kernel is not None or facts.arrays[n.outputs[0]].dtype != _FLOAT32:
            continue
        relu = _alone(n.outputs[0], users, facts)
        if relu is None or relu.op != "relu" or relu.kernel is not None or not facts.safe(relu.outputs[0]):
            continue
        if not facts.arrays[n.outputs[0]].ndim:
            continue
        instead[n.id] = dataclasses.replace(n, op="linear_relu", outputs=list(relu.outputs), kernel=run)
        instead[relu.id] = None
    return [m for n in nodes if (m := instead.get(n.id, n)) is not None]


# --- sums of small products -----------------------------------------------------------------------------------------------

#: so many products at least, each of matrices of at most so many elements: then two copies cost less than the calls
FEWEST, LARGEST = 4, 1 << 13


def products(nodes: list[GraphNode], facts: Facts) -> list[GraphNode]:
    """``a @ b + c @ d + ...`` as one product of the matrices put side by side.

    So the gradient of a weight that is used in every step of a loop comes: one product and one addition a step.
    """

    def replace(
        n: GraphNode, terms: list[str], by_output: dict, users: dict
    ) -> tuple[GraphNode, list[GraphNode]] | None:
        factors = [t for t in terms if _product(by_output.get(t), t, users, facts)]
        if len(factors) < FEWEST or len({facts.arrays[t].dtype for t in factors}) != 1:
            return None
        makers = [by_output[t] for t in factors]
        return _side_by_side(n, makers, [t for t in terms if t not in factors], by_output, facts), makers

    return _sums_replaced(nodes, facts, replace)


def _sums_replaced(nodes: list[GraphNode], facts: Facts, replace: Callable) -> list[GraphNode]:
    """The nodes with chains of sums as ``replace`` makes them of a chain's last sum and its terms, by who makes and who
    reads each value: (the node for the whole chain, the makers of terms that it makes needless), or None to leave it."""
    users, by_output = _users(nodes), {k: n for n in nodes for k in n.outputs}
    gone: set[str] = set()
    instead: dict[str, GraphNode] = {}
    for n in reversed(nodes):
        if n.id in gone or not _sum(n, facts):
            continue
        terms, inner = _terms(n, by_output, users, facts)
        found = replace(n, terms, by_output, users)
        if found is not None:
            instead[n.id], makers = found
            gone |= inner | {m.id for m in makers}
    return [instead.get(n.id, n) for n in nodes if n.id not in gone or n.id in instead]


def _instead(n: GraphNode, op: str, inputs: list[str], kernel: Callable) -> GraphNode:
    """The node that gives what ``n`` gave, by a kernel of its own."""
    return GraphNode(
        id=n.id,
        op=op,
        inputs=inputs,
        outputs=list(n.outputs),
        arguments=[Ref(k) for k in inputs],
        module=n.module,
        composites=n.composites,
        source=n.source,
        kernel=kernel,
    )


def _sum(n: GraphNode, facts: Facts) -> bool:
    if n.op != "add" or n.kernel is not None or len(n.inputs) != 2 or len(set(n.inputs)) != 2:
        return False
    return len({(facts.arrays[k].shape, facts.arrays[k].dtype) for k in (*n.inputs, *n.outputs)}) == 1


def _terms(n: GraphNode, by_output: dict, users: dict, facts: Facts) -> tuple[list[str], set[str]]:
    """What a chain of sums adds up, the first first, and the ids of its inner sums."""
    terms: list[str] = []
    inner: set[str] = set()
    stack = list(reversed(n.inputs))
    while stack:
        key = stack.pop()
        maker = by_output.get(key)
        if maker is not None and _sum(maker, facts) and _alone(key, users, facts):
            inner.add(maker.id)
            stack.extend(reversed(maker.inputs))
        else:
            terms.append(key)
    return terms, inner


def _product(n: GraphNode | None, key: str, users: dict, facts: Facts) -> bool:
    if n is None or n.op != "matmul" or n.kernel is not None or len(n.inputs) != 2 or not _alone(key, users, facts):
        return False
    a, b = (facts.arrays[k] for k in n.inputs)
    small = a.ndim == b.ndim == 2 and max(a.size, b.size) <= LARGEST and a.dtype == b.dtype and a.dtype.kind == "f"
    return small and all(map(facts.safe, n.inputs))


#: up to so many terms in each product BLAS adds up a sum of products piece by piece as quickly as in one piece
SHORT = 128


def _side_by_side(n: GraphNode, factors: list[GraphNode], rest: list[str], by_output: dict, facts: Facts) -> GraphNode:
    lefts, turned = [], []
    for f in factors:
        maker = by_output.get(f.inputs[0])
        flips = maker is not None and maker.op == "permute" and maker.kernel is None
        flips = flips and list(maker.attributes["dims"]) == [1, 0] and facts.safe(maker.inputs[0])  # type: ignore[union-attr]
        lefts.append(maker.inputs[0] if flips else f.inputs[0])  # type: ignore[union-attr]
        turned.append(flips)
    count, rights = len(factors), [f.inputs[1] for f in factors]
    straight = all(turned)

    def run(*arrays):
        left = [a if t else a.T for a, t in zip(arrays, turned, strict=False)] if not straight else arrays[:count]
        out = np.dot(np.concatenate(left).T, np.concatenate(arrays[count : 2 * count]))
        for other in arrays[2 * count :]:
            out += other
        return out

    node = _instead(n, "sum_of_products", [*lefts, *rights, *rest], run)
    lines = backend_lines()
    operands = [[facts.arrays[k] for k in keys] for keys in (lefts, rights)]
    operands[0] = [a.T if t else a for a, t in zip(operands[0], turned, strict=True)]
    if (
        lines is not None
        and not rest
        and all(lines.fits(a, b) and a.shape[1] <= SHORT for a, b in zip(*operands, strict=True))
    ):
        node.writes = _one_after_another(run, turned, lines)
    return node


def _one_after_another(run: Callable, turned: list[bool], lines) -> Callable:
    """A sum of products into its array; machine code adds them up there, each by BLAS."""
    count = len(turned)

    def write(*arrays):
        np.copyto(arrays[-1], run(*arrays[:-1]))

    def bind(*arrays):
        lefts = [a.T if t else a for a, t in zip(arrays, turned, strict=False)]
        made = [
            lines.product(a, b, arrays[-1], i > 0) for i, (a, b) in enumerate(zip(lefts, arrays[count:-1], strict=True))
        ]

        def call(alive=made):
            write(*arrays)

        return lines.done_by(call, [one for _, calls in made for one in calls])

    write.bind = bind  # type: ignore[attr-defined]
    return write


# --- pieces put together --------------------------------------------------------------------------------------------------


def pieces(nodes: list[GraphNode], facts: Facts) -> list[GraphNode]:
    """The sum of gradients of pieces that do not overlap (queries, keys and values of one product, say) as one array into
    which each is written, instead of one padded with zeros for each, and their sum."""

    def replace(
        n: GraphNode, terms: list[str], by_output: dict, users: dict
    ) -> tuple[GraphNode, list[GraphNode]] | None:
        apart: dict[str, list[range]] = {}
        for t in terms:
            maker = by_output.get(t)
            if maker is None or maker.op != "slice_grad" or not _alone(t, users, facts):
                continue
            place = _place(maker) if facts.safe(maker.inputs[0]) else None
            if place is not None and all(any(map(_no_overlap, place, other)) for other in apart.values()):
                apart[t] = place
        if len(apart) < 2:
            return None
        makers = [by_output[t] for t in apart]
        return _assembled(n, makers, [t for t in terms if t not in apart], facts), makers

    return _sums_replaced(nodes, facts, replace)


def _place(n: GraphNode) -> list[range] | None:
    """The places along each dim into which a piece's gradient goes."""
    found = []
    for i, size in enumerate(n.attributes["shape"]):
        item = n.attributes["index"][i] if i < len(n.attributes["index"]) else slice(None)
        if isinstance(item, slice):
            found.append(range(*item.indices(size)))
        elif isinstance(item, int) and not isinstance(item, bool):
            found.append(range(item % size, item % size + 1))
        else:
            return None
    return found


def _no_overlap(a: range, b: range) -> bool:
    """Whether two ranges surely share no number."""
    return not a or not b or max(a) < min(b) or max(b) < min(a)


def _assembled(n: GraphNode, makers: list[GraphNode], rest: list[str], facts: Facts) -> GraphNode:
    shape, dtype = facts.arrays[n.outputs[0]].shape, facts.arrays[n.outputs[0]].dtype
    places = [(*m.attributes["index"], ...) for m in makers]
    whole = sum(facts.arrays[m.inputs[0]].size for m in makers) == facts.arrays[n.outputs[0]].size
    begin = np.empty if whole else np.zeros
    count = len(makers)

    def run(*arrays):
        out = begin(shape, dtype)
        for place, piece in zip(places, arrays, strict=False):
            out[place] = piece
        for other in arrays[count:]:
            out += other
        return out

    return _instead(n, "assemble", [*[m.inputs[0] for m in makers], *rest], run)
