"""Hand-made graph documents."""

from __future__ import annotations

from typing import Any


def small_cnn() -> dict[str, Any]:
    """features.{0,1,2} -> a residual sum -> head, as a document of format mlkit.graph."""
    values: list[dict[str, Any]] = []
    nodes: list[dict[str, Any]] = []

    def value(kind: str, name: str | None, *shape: int) -> str:
        values.append({"id": f"v{len(values)}", "kind": kind, "name": name, "shape": list(shape), "dtype": "float32",
                       "bytes": 4 * max(1, len(shape))})  # fmt: skip
        return values[-1]["id"]

    def node(op: str, module: str, inputs: list[str], *shape: int, **attrs: Any) -> str:
        out = value("activation", None, *shape)
        nodes.append({"id": f"n{len(nodes)}", "op": op, "module": module, "inputs": inputs, "outputs": [out],
                      "attrs": attrs, "source": {"file": "net.py", "line": 10 + len(nodes), "code": f"x = self.{op}(x)"},
                      "seconds": 0.001})  # fmt: skip
        return out

    x = value("input", "images", 64, 1, 8, 8)
    w0, b0 = value("parameter", "features.0.weight", 16, 1, 3, 3), value("parameter", "features.0.bias", 16)
    h = node("conv2d", "features.0", [x, w0, b0], 64, 16, 8, 8, stride=[1, 1], padding=[1, 1])
    h = node("relu", "features.1", [h], 64, 16, 8, 8)
    w2 = value("parameter", "features.2.weight", 16, 16, 3, 3)
    deeper = node("conv2d", "features.2", [h, w2], 64, 16, 8, 8, stride=[1, 1], padding=[1, 1])
    h = node("add", "", [h, deeper], 64, 16, 8, 8)
    h = node("reshape", "flatten", [h], 64, 1024)
    w4, b4 = value("parameter", "head.weight", 10, 1024), value("parameter", "head.bias", 10)
    h = node("matmul", "head", [h, w4], 64, 10)
    h = node("add", "head", [h, b4], 64, 10)
    return {
        "format": "mlkit.graph", "version": 1, "name": "Net", "inputs": [x], "outputs": [h],
        "modules": [
            {"path": "", "type": "Net", "parameters": 12730, "extra": ""},
            {"path": "features", "type": "Sequential", "parameters": 2480, "extra": ""},
            {"path": "features.0", "type": "Conv2d", "parameters": 160, "extra": "1, 16, kernel_size=(3, 3)"},
            {"path": "features.1", "type": "ReLU", "parameters": 0, "extra": ""},
            {"path": "features.2", "type": "Conv2d", "parameters": 2304, "extra": "16, 16, kernel_size=(3, 3)"},
            {"path": "flatten", "type": "Flatten", "parameters": 0, "extra": ""},
            {"path": "head", "type": "Linear", "parameters": 10250, "extra": "1024, 10"},
        ],
        "values": values, "nodes": nodes,
    }  # fmt: skip
