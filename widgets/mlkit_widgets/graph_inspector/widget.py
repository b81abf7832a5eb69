"""The kernel's half of GraphInspector: it holds the graph's document, and shows a tensor when the page asks for it.

page -> kernel  {"kind": "tensor", "id": n, "value": "v3"}
kernel -> page  {"kind": "tensor", "value": "v3", "html": text | null, "statistics": {...} | null, "missing": text | null}
                {"kind": "reply", "id": n, "ok": bool, "error": text}
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import traitlets

from mlkit_widgets._base import Widget
from mlkit_widgets.graph_inspector.picture import draw
from mlkit_widgets.graph_inspector.statistics import statistics

__all__ = ["GraphInspector"]


class GraphInspector(Widget):
    """The graph of a model or function: modules open and close, edges carry shapes, a click shows the tensor.

    With the mouse: click a box to select it, double-click a module to open it, drag to move, Ctrl and the wheel to
    zoom. With the keyboard: arrow keys move from box to box, Enter opens and closes a module, Escape goes to the module
    around, + - 0 zoom and fit.

    Args:
        model: A module or function that is run once on `inputs` to record its graph; or a graph recorded by
            `mlkit.compiler.trace.trace`, or such a graph's document (`graph.to_dict()`), with no inputs.
        *inputs: What the model is called with; it runs once in evaluation mode and is left as it was.
        expand: Paths of the modules to open at first; by default a lone outermost container.
        height: Of the drawing, in CSS pixels, at least 260; by default as high as the graph, up to 620.

    Raises:
        TypeError: A model without inputs, or inputs beside a finished graph.
        ValueError: A document of another format, or an `expand` path that is not in the graph.

    >>> GraphInspector(model, images)                       # doctest: +SKIP
    <GraphInspector of Sequential: 9 operations in 6 modules, 1,234 parameters>
    """

    _folder: ClassVar[Path] = Path(__file__).parent

    _graph = traitlets.Dict().tag(sync=True)
    expanded = traitlets.List(traitlets.Unicode()).tag(sync=True)  # `open` is a method of every widget
    selected = traitlets.Unicode("").tag(sync=True)
    height = traitlets.Int(None, allow_none=True).tag(sync=True)

    def __init__(
        self, model: Any, *inputs: Any, expand: Sequence[str] | None = None, height: int | None = None, **kwargs: Any
    ) -> None:
        if height is not None and height < 260:
            raise ValueError(f"height must be at least 260 pixels, got {height}.")
        document, self._recorded = _document(model, inputs)
        paths = {module["path"] for module in document["modules"]} | _containers(document)
        if expand is None:
            outermost = sorted(path for path in paths if path and "." not in path)
            expand = outermost if len(outermost) == 1 and any("." in path for path in paths) else []
        if isinstance(expand, str):
            expand = [expand]
        for path in expand:
            if path not in paths:
                known = ", ".join(sorted(path for path in paths if path)[:12])
                raise ValueError(f"expand names {path!r}, which is no module of this graph. Some that are: {known}.")
        super().__init__(_graph=document, expanded=list(expand), height=height, **kwargs)
        self.observe(lambda _: self._renew_picture(), names="expanded")

    @property
    def graph(self) -> Any:
        """The recorded graph, or the document it was made from."""
        return self._recorded if self._recorded is not None else self._graph

    def _answer(self, message: dict[str, Any]) -> None:
        if message.get("kind") == "tensor":
            value = str(message.get("value"))
            self._tell({"kind": "tensor", "value": value, **self._tensor(value)})

    def _tensor(self, value: str) -> dict[str, Any]:
        if self._recorded is None or not hasattr(self._recorded, "value"):
            return {"missing": "This graph was opened from a document, which holds shapes and no numbers."}
        try:
            tensor = self._recorded.value(value)
        except KeyError:
            tensor = None
        if tensor is None:
            return {"missing": "This graph was recorded without its tensors: trace(..., keep=True) keeps them."}
        from mlkit.core.rich import repr_html

        return {"html": repr_html(tensor), "statistics": statistics(tensor)}

    def _draw(self) -> str:
        return draw(self._graph, self.expanded)

    def _describe(self) -> str:
        document = self._graph
        modules = sum(1 for module in document["modules"] if module["path"])
        root: dict[str, Any] = next((module for module in document["modules"] if not module["path"]), {})
        parts = f"{len(document['nodes']):,} operations in {modules:,} modules"
        if root.get("parameters"):
            parts += f", {root['parameters']:,} parameters"
        return f"{type(self).__name__} of {document['name']}: {parts}"


def _document(model: Any, inputs: tuple[Any, ...]) -> tuple[dict[str, Any], Any]:
    """The graph's document, and the recorded graph behind it if there is one."""
    if isinstance(model, dict) or hasattr(model, "to_dict"):
        if inputs:
            raise TypeError("A finished graph takes no inputs: GraphInspector(graph).")
        document = model if isinstance(model, dict) else model.to_dict()
        if document.get("format") != "mlkit.graph":
            raise ValueError(f"Expected a document of format 'mlkit.graph', got {document.get('format')!r}.")
        if document.get("version") != 1:
            raise ValueError(
                f"This graph has version {document.get('version')!r}; this mlkit reads version 1. Upgrade mlkit to open it."
            )
        return document, None if isinstance(model, dict) else model
    if not callable(model):
        raise TypeError(
            f"Expected a model or function with its inputs, or a graph; got {type(model).__name__}. "
            "For example: GraphInspector(model, images)."
        )
    if not inputs:
        raise TypeError(
            f"{type(model).__name__} must be run once to see its graph: pass its inputs too, "
            "for example GraphInspector(model, images)."
        )
    from mlkit.compiler.trace import trace

    with _at_rest(model):
        graph = trace(model, *inputs, keep=True)
    return graph.to_dict(), graph


@contextlib.contextmanager
def _at_rest(model: Any) -> Iterator[None]:
    """The model as it is used, not trained: looking must not move its running statistics.

    A model that is being trained in the background is looked at between two steps.
    """
    from mlkit.train import between_steps

    modules = list(model.modules()) if hasattr(model, "modules") else []
    with between_steps(model):
        training = [module for module in modules if module.training]
        try:
            if training:
                model.eval()
            yield
        finally:
            for module in training:
                module.training = True


def _containers(document: dict[str, Any]) -> set[str]:
    """Paths of plain containers, which have no call of their own and may be missing in the list of modules."""
    found: set[str] = set()
    for node in document["nodes"]:
        parts = node["module"].split(".")
        found.update(".".join(parts[:end]) for end in range(1, len(parts) + 1))
    return found
