"""Random models that are right by construction: every block fits the shape before it."""

import random

from mlkit.builder.document import Document, ModelGraph
from mlkit.builder.templates import Sketch

WIDTHS = (2, 3, 4, 6)


def vector_step(rng, s, values):
    """Add one block behind values of shape (batch, n)."""
    source, n = rng.choice(values)
    same = [v for v in values if v[1] == n]
    other = rng.choice(same)[0]
    kind = rng.choice(
        ["Linear", "Linear", "ReLU", "LayerNorm", "Add", "Mul", "Subtract", "relu", "gelu", "softmax", "Concat", "scale",
         "left", "MatMul", "shared", "Tanh", "Dropout", "named", "Parameter", "Power", "tanh", "BatchNorm1d"]
    )  # fmt: skip
    if kind == "Linear":
        m = rng.choice(WIDTHS)
        name = rng.choice([None, f"layer{rng.randrange(9)}"])
        comment = rng.choice(["", "", "a # note: \"with\" 'marks' \\ and ümlaut"])
        return s.add("Linear", source, in_features=n, out_features=m, name=name, comment=comment,
                     **rng.choice([{}, {"bias": False}])), m  # fmt: skip
    if kind == "LayerNorm":
        return s.add(kind, source, normalized_shape=n), n
    if kind == "BatchNorm1d":
        return s.add(kind, source, num_features=n), n
    if kind == "Dropout":
        return s.add(kind, source, p=0.25), n
    if kind in ("Add", "Mul", "Subtract"):
        return s.add(kind, source, other), n
    if kind == "named":
        return s.add("Add", source, other, name=f"sum_{rng.randrange(99)}"), n
    if kind == "softmax":
        return s.add(kind, source, dim=-1), n
    if kind == "Power":
        return s.add(kind, source, value=2), n
    if kind in ("scale", "left"):
        port = "input" if kind == "scale" else "other"
        return s.add(rng.choice(["Mul", "Add", "Subtract"]), source, ports=(port,), value=rng.choice([0.5, 2, -1.5])), n
    if kind == "MatMul":
        weight = s.add("Parameter", name=f"weight{rng.randrange(9)}", shape=[n, 3], init="ones")
        return s.add("MatMul", source, weight), 3
    if kind == "Parameter":
        return s.add("Add", source, s.add("Parameter", name="shift", shape=[n])), n
    if kind == "Concat":
        two, m = rng.choice(values)
        return (s.add("Concat", source, two), n + m) if n + m <= 24 else (s.add("relu", source), n)
    if kind == "shared":
        owners = [b for b in s.blocks if b.type == "Linear" and b.shared is None and b.properties["in_features"] == n]
        if owners:
            owner = rng.choice(owners)
            return s.add("Linear", source, shared=owner.name, **owner.properties), owner.properties["out_features"]
        return s.add("Tanh", source), n
    return s.add(kind, source), n


def image_step(rng, s, values):
    """Add one block behind values of shape (batch, c, h, h)."""
    source, (c, h) = rng.choice(values)
    other = rng.choice([v for v in values if v[1] == (c, h)])[0]
    kind = rng.choice(
        ["Conv2d", "Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d", "max_pool2d", "Add", "Concat", "GroupNorm"]
    )
    if kind == "Conv2d":
        m = rng.choice((2, 4))
        return s.add("Conv2d", source, in_channels=c, out_channels=m, kernel_size=rng.choice([3, [3, 3]]), padding=1), (
            m,
            h,
        )
    if kind == "BatchNorm2d":
        return s.add(kind, source, num_features=c), (c, h)
    if kind == "GroupNorm":
        return s.add(kind, source, num_groups=1, num_channels=c), (c, h)
    if kind in ("MaxPool2d", "max_pool2d") and h >= 4:
        return s.add(kind, source, kernel_size=2), (c, h // 2)
    if kind == "Concat":
        same = [v for v in values if v[1][1] == h]
        two, (m, _) = rng.choice(same)
        if c + m <= 16:
            return s.add("Concat", source, two), (c + m, h)
    if kind == "Add":
        return s.add("Add", source, other), (c, h)
    return s.add("ReLU", source), (c, h)


def subgraph(rng, name, n):
    """A graph from (batch, n) to (batch, n)."""
    s = Sketch(name)
    values = [(s.add("Input", name="input", shape=["batch", n]), n)]
    for _ in range(rng.randrange(1, 4)):
        values.append(vector_step(rng, s, values))
    last, m = values[-1]
    if m != n:
        last = s.add("Linear", last, in_features=m, out_features=n)
    last = s.add("Tanh", last)  # numbers stay small through the repeats
    s.add("Output", last)
    return used_only(s.graph())


def used_only(graph):
    """Without blocks from which nothing flows to an output: a traced module cannot know of a value nobody uses."""
    needed = {b.name for b in graph.blocks if b.type in ("Output", "Input")}
    while True:
        more = {k.source for k in graph.links if k.target in needed} - needed
        more |= {b.shared for b in graph.blocks if b.name in needed and b.shared} - needed
        if not more:
            break
        needed |= more
    return ModelGraph(graph.name, tuple(b for b in graph.blocks if b.name in needed),
                      tuple(k for k in graph.links if k.target in needed))  # fmt: skip


def random_document(seed):
    """A model of up to some twenty blocks, with branches, joins, shared weights and repeated sub-graphs."""
    rng = random.Random(seed)
    s = Sketch(f"Net{seed}")
    graphs = {}
    if rng.random() < 0.3:
        images = [(s.add("Input", name="image", shape=["batch", 2, 8, 8]), (2, 8))]
        for _ in range(rng.randrange(0, 7)):
            images.append(image_step(rng, s, images))
        flat, (c, h) = images[-1]
        values = [(s.add(rng.choice(["Flatten"]), flat), c * h * h)]
        values = [(s.add("Linear", values[0][0], in_features=c * h * h, out_features=4), 4)]
    else:
        values = [(s.add("Input", name=rng.choice(["x", "input", "first"]), shape=["batch", 4]), 4)]
        if rng.random() < 0.3:
            values.append((s.add("Input", name="second", shape=["batch", 3]), 3))
    for _ in range(rng.randrange(1, 12)):
        if rng.random() < 0.15:
            source, n = rng.choice(values)
            name = f"Part{len(graphs)}"
            graphs[name] = subgraph(rng, name, n)
            repeat = rng.choice([1, 2, 3])
            extra = {"repeat": repeat} if repeat > 1 else {}
            values.append((s.add("Graph", source, ports=("input",), name=f"part{len(graphs)}", graph=name, **extra), n))
        else:
            values.append(vector_step(rng, s, values))
    for source, _ in [values[-1]] if rng.random() < 0.7 else [values[-1], rng.choice(values)]:
        s.add("Output", source)
    graph = used_only(s.graph())
    used = {b.properties["graph"] for b in graph.blocks if b.type == "Graph"}
    return Document(graph, {n: g for n, g in graphs.items() if n in used})
