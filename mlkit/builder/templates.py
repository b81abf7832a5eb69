"""Models to start from: an MLP, a CNN, a residual block, a transformer block."""

from __future__ import annotations

from typing import Any

from mlkit.builder.document import Block, Document, Link, ModelGraph, default_name, unique


class Sketch:
    """Writes a graph block by block.

    >>> sketch = Sketch("Net")
    >>> image = sketch.add("Input", name="image", shape=["batch", 4])
    >>> _ = sketch.add("Output", sketch.add("Linear", image, in_features=4, out_features=2))
    >>> [str(link) for link in sketch.graph().links]
    ['image.output -> linear.input', 'linear.output -> output.input']
    """

    def __init__(self, name: str):
        self.name = name
        self.blocks: list[Block] = []
        self.links: list[Link] = []

    def add(self, kind: str, *sources: Any, name: str | None = None, ports: tuple[str, ...] = (),
            shared: str | None = None, comment: str = "", **properties: Any) -> str:  # fmt: skip
        """Add a block behind others and return its name.

        Args:
            sources: a block's name, or (name, output port), for each input.
            ports: names of the input ports; by default those of the block's type.
        """
        from mlkit.builder.blocks import palette

        found = palette().types.get(kind)
        name = unique(name or default_name(kind), {b.name for b in self.blocks})
        self.blocks.append(Block(name, kind, properties, (0.0, 90.0 * len(self.blocks)), comment, shared))
        for i, source in enumerate(sources):
            block, output = source if isinstance(source, tuple) else (source, "output")
            port = ports[i] if ports else str(i) if found is None or found.variadic else found.inputs[i]
            self.links.append(Link(block, name, output, port))
        return name

    def graph(self) -> ModelGraph:
        """What was written so far."""
        return ModelGraph(self.name, tuple(self.blocks), tuple(self.links))


def mlp(inputs: int = 784, hidden: int = 128, classes: int = 10) -> Document:
    """Two linear layers with a ReLU between them."""
    s = Sketch("MLP")
    x = s.add("Input", name="input", shape=["batch", inputs])
    x = s.add("Linear", x, in_features=inputs, out_features=hidden)
    x = s.add("Linear", s.add("ReLU", x), in_features=hidden, out_features=classes)
    s.add("Output", x)
    return Document(s.graph())


def cnn(channels: int = 1, size: int = 28, classes: int = 10) -> Document:
    """Two convolutions with pooling, then a linear layer: for images such as MNIST's."""
    s = Sketch("CNN")
    x = s.add("Input", name="image", shape=["batch", channels, size, size])
    for before, after in ((channels, 16), (16, 32)):
        x = s.add("Conv2d", x, in_channels=before, out_channels=after, kernel_size=3, padding=1)
        x = s.add("MaxPool2d", s.add("ReLU", x), kernel_size=2)
    x = s.add("Linear", s.add("Flatten", x), in_features=32 * (size // 4) ** 2, out_features=classes)
    s.add("Output", x)
    return Document(s.graph())


def resnet_block(channels: int = 64, size: int = 32, repeat: int = 2) -> Document:
    """Residual blocks one after another: two convolutions each, and what came in added to what comes out."""
    inner = Sketch("ResidualBlock")
    start = inner.add("Input", name="input", shape=["batch", channels, size, size])
    x = start
    for i in range(2):
        x = inner.add("Conv2d", x, name=f"conv{i + 1}", in_channels=channels, out_channels=channels, kernel_size=3,
                      padding=1, bias=False)  # fmt: skip
        x = inner.add("BatchNorm2d", x, name=f"norm{i + 1}", num_features=channels)
        if i == 0:
            x = inner.add("relu", x)
    inner.add("Output", inner.add("relu", inner.add("Add", x, start)))
    s = Sketch("ResNet")
    x = s.add("Input", name="image", shape=["batch", channels, size, size])
    x = s.add("Graph", x, name="blocks", ports=("input",), graph="ResidualBlock", repeat=repeat)
    s.add("Output", x)
    return Document(s.graph(), {"ResidualBlock": inner.graph()})


def transformer(width: int = 64, heads: int = 4, length: int = 32, repeat: int = 2) -> Document:
    """Transformer blocks, normalized first: attention and a small MLP, each added to what came in."""
    inner = Sketch("TransformerBlock")
    x = inner.add("Input", name="input", shape=["batch", length, width])
    y = inner.add("LayerNorm", x, name="norm1", normalized_shape=width)
    y = inner.add("MultiheadAttention", y, y, y, name="attention", embed_dim=width, num_heads=heads, batch_first=True)
    x = inner.add("Add", x, y)
    y = inner.add("LayerNorm", x, name="norm2", normalized_shape=width)
    y = inner.add("Linear", y, name="expand", in_features=width, out_features=4 * width)
    y = inner.add("Linear", inner.add("gelu", y), name="shrink", in_features=4 * width, out_features=width)
    inner.add("Output", inner.add("Add", x, y))
    s = Sketch("SmallTransformer")
    x = s.add("Input", name="tokens", shape=["batch", length, width])
    x = s.add("Graph", x, name="blocks", ports=("input",), graph="TransformerBlock", repeat=repeat)
    s.add("Output", s.add("LayerNorm", x, name="norm", normalized_shape=width))
    return Document(s.graph(), {"TransformerBlock": inner.graph()})


TEMPLATES = {"MLP": mlp, "CNN": cnn, "ResNet block": resnet_block, "Transformer block": transformer}
