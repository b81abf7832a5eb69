"""The kernel's half of GraphInspector: it holds the graph's document, and answers with tensors, arithmetic and effects.

page -> kernel  {"kind": "tensor", "value": "v3", "which": "value" | "gradient" | "changed"}
                {"kind": "plane", "value": ..., "which": ..., "lead": [0, 3]}
                {"kind": "thumbs", "values": [...], "which": ...}
                {"kind": "explain", "value": ..., "index": [...], "most": 12}
                {"kind": "backward"}
                {"kind": "save", "format": "json" | "svg"}
kernel -> page  {"kind": "tensor", "value", "which", "html": text | null, "statistics": {...} | null, "missing": text | null}
                {"kind": "plane", "value", "which", "shape", "lead", "rows", "columns", "step", "low", "high", "data"}
                {"kind": "thumbs", "which", "images": {"v3": address | null}}
                {"kind": "explain", "value", "index", "found": {...} | null, "missing": text | null}
                {"kind": "save", "format", "name", "text"}
                {"kind": "reply", "id": n, "ok": bool, "error": text}
Gradients and the effect of changes arrive as traits, so that a second view and a reloaded page have them too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import traitlets

from mlkit_widgets._base import Widget
from mlkit_widgets.graph_inspector.picture import draw
from mlkit_widgets.graph_inspector.pictures import plane, thumbnail
from mlkit_widgets.graph_inspector.places import with_places
from mlkit_widgets.graph_inspector.statistics import statistics

__all__ = ["GraphInspector"]


class GraphInspector(Widget):
    """The graph of a model, a function or a loss, from its modules down to the arithmetic of one number.

    With the mouse: click a box to select it, double-click a module to open it, drag to move, Ctrl and the wheel (or two
    fingers) to zoom. With the keyboard: arrow keys move from box to box, Enter opens and closes a module, Escape goes to
    the module around, Shift and arrows move the view, + - 0 zoom and fit, . and , step through the run.

    Args:
        model: A module or function that is run once on `inputs`; a loss (a tensor with a ``grad_fn``); an `Inspection`;
            a graph recorded by `mlkit.compiler.trace.trace`, or a graph's document (`inspection.to_dict()`).
        *inputs: What the model is called with; it runs once in evaluation mode and is left as it was.
        loss: A function of the output that gives one number, for gradients of a loss; by default they are those of the
            sum of the output.
        expand: Paths of the modules to open at first; by default a lone outermost container.
        height: Of the drawing, in CSS pixels, at least 260; by default as high as the graph, up to 640.

    Raises:
        TypeError: A model without inputs, or inputs beside a finished graph.
        ValueError: A document that is none, or an `expand` path that is not in the graph.

    >>> GraphInspector(model, images)                       # doctest: +SKIP
    <GraphInspector of Sequential: 9 operations in 6 modules, 1,234 parameters>
    """

    _folder: ClassVar[Path] = Path(__file__).parent

    _graph = traitlets.Dict().tag(sync=True)
    expanded = traitlets.List(traitlets.Unicode()).tag(sync=True)  # `open` is a method of every widget
    selected = traitlets.Unicode("").tag(sync=True)
    height = traitlets.Int(None, allow_none=True).tag(sync=True)
    show = traitlets.Unicode("").tag(sync=True)
    """What the boxes say besides their name: "", "picture", "time", "memory", "parameters" or "output"."""
    direction = traitlets.Enum(["forward", "backward"], "forward").tag(sync=True)
    step = traitlets.Int(-1).tag(sync=True)
    """How far the run has come, in operations (forward, then backward); -1 is its end."""
    trace = traitlets.List(traitlets.Dict()).tag(sync=True)
    """The numbers that are followed back, the present one last: ``{"value": "v3", "index": [0, 1]}``."""
    changes = traitlets.List(traitlets.Dict()).tag(sync=True)
    """What is tried instead: ``{"target": "v3", "channel": 2, "scale": 0}`` as in `mlkit.inspection.Change`."""
    _backward = traitlets.Dict().tag(sync=True)
    _effect = traitlets.Dict().tag(sync=True)
    _error = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        model: Any,
        *inputs: Any,
        loss: Callable | None = None,
        expand: Sequence[str] | None = None,
        height: int | None = None,
        **kwargs: Any,
    ) -> None:
        if height is not None and height < 260:
            raise ValueError(f"height must be at least 260 pixels, got {height}.")
        document, self._recorded = _document(model, inputs, loss)
        self._document = document
        self._changed: Any = None
        graph = with_places(document)
        super().__init__(
            _graph=graph, expanded=_opened(graph, expand), height=height, _error=_card(self._recorded), **kwargs
        )
        failed, trouble = document.get("failed"), document.get("trouble")
        if failed or trouble:
            self._reveal(failed or (trouble or {})["node"])
        self.observe(lambda _: self._renew_picture(), names="expanded")
        self.observe(lambda _: self._imagine(), names="changes")
        if self.changes:
            self._imagine()

    # --- plain Python ---------------------------------------------------------------------------------------------

    @property
    def graph(self) -> Any:
        """The recorded graph, or the document it was made from."""
        if self._recorded is None:
            return self._document
        return getattr(self._recorded, "graph", self._recorded)

    @property
    def inspection(self) -> Any:
        """The `mlkit.inspection.Inspection` that is shown. Raises ValueError for a document, which holds no numbers."""
        if not hasattr(self._recorded, "explain"):
            raise ValueError(
                "this graph was opened from a document, which holds shapes and no numbers. "
                "GraphInspector(model, inputs) runs the model and keeps them."
            )
        return self._recorded

    def explain(self, name: str, index: int | Sequence[int] = ()) -> Any:
        """How one number came about, as text: see `mlkit.inspection.Inspection.explain`. The page shows it too."""
        found = self.inspection.explain(name, index)
        self.trace = [{"value": found.value, "index": list(found.index)}]
        node = self.inspection.producer.get(found.value)
        if node is not None:
            self._reveal(node.id)
        return found

    def what_if(self, *changes: Any, **one: Any) -> Any:
        """Run it again with something changed: see `mlkit.inspection.Inspection.what_if`. The page shows the effect too."""
        found = self.inspection.what_if(*changes, **one)
        self.changes = [change.to_dict() for change in found.changes]
        return found

    def reset(self) -> None:
        """Take every change back."""
        self.changes = []

    def save(self, path: str | Path) -> None:
        """Write the graph to a file: ``.json`` (its document) or ``.svg`` (its picture, as modules are open now)."""
        from mlkit.core.files import atomic_write

        kind = Path(path).suffix.lower()
        if kind not in (".json", ".svg"):
            raise ValueError(
                f"save writes .json and .svg, got {str(path)!r}. The page's Save menu makes PNG pictures too."
            )
        with atomic_write(path) as file:
            file.write(self._text(kind[1:]).encode())

    def _text(self, kind: str) -> str:
        return self._draw() if kind == "svg" else json.dumps(self._document, ensure_ascii=False)

    def _reveal(self, node: str) -> None:
        """Open what is around an operation and select it."""
        place = next((n["place"] for n in self._graph["nodes"] if n["id"] == node), "")
        parts = place.split(".") if place else []
        around = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
        self.expanded = [*self.expanded, *(path for path in around if path not in self.expanded)]
        self.selected = f"n:{node}"

    # --- messages -------------------------------------------------------------------------------------------------

    def _answer(self, message: dict[str, Any]) -> None:
        kind, value, which = message.get("kind"), str(message.get("value")), str(message.get("which") or "value")
        if kind == "tensor":
            self._tell({"kind": "tensor", "value": value, "which": which, **self._tensor(value, which)})
        elif kind == "plane":
            array = self._array(value, which)
            if array is not None:
                lead = [int(i) for i in message.get("lead") or ()]
                asked = ",".join(map(str, lead))
                self._tell({"kind": "plane", "value": value, "which": which, "asked": asked, **plane(array, lead)})
        elif kind == "thumbs":
            keys = [str(key) for key in message.get("values") or ()][:400]
            images = {key: thumbnail(self._array(key, which)) for key in keys}
            self._tell({"kind": "thumbs", "which": which, "images": images})
        elif kind == "explain":
            index = [int(i) for i in message.get("index") or ()]
            self._tell({"kind": "explain", "value": value, "index": index, **self._explained(value, index, message)})
        elif kind == "backward":
            self._find_gradients()
        elif kind == "save":
            form = "svg" if message.get("format") == "svg" else "json"
            self._tell({"kind": "save", "format": form, "name": self._graph["name"], "text": self._text(form)})

    def _find(self, value: str, which: str) -> Any:
        """A tensor, or None; KeyError and DataError where there is none of that name or its numbers were not kept."""
        if which == "gradient":
            return self.inspection.gradients.get(value)
        if which == "changed":
            return self._changed.value(value) if self._changed is not None else None
        return self._recorded.value(value)

    def _tensor(self, value: str, which: str) -> dict[str, Any]:
        if self._recorded is None or not hasattr(self._recorded, "value"):
            return {"missing": "This graph was opened from a document, which holds shapes and no numbers."}
        try:
            tensor = self._find(value, which)
        except KeyError:
            return {"missing": "This graph was recorded without its tensors: trace(..., keep=True) keeps them."}
        except ValueError as error:
            return {"missing": str(error)}
        if tensor is None:
            return {"missing": "No gradient flows to this tensor." if which == "gradient" else "Nothing is changed."}
        from mlkit.core.rich import repr_html

        return {"html": repr_html(tensor), "statistics": statistics(tensor)}

    def _array(self, value: str, which: str) -> Any:
        """The numbers on the host; None where there are none."""
        import numpy as np

        try:
            tensor = self._find(value, which)
        except (KeyError, ValueError, AttributeError):
            return None
        if tensor is None or getattr(getattr(tensor, "device", None), "type", "cpu") == "meta":
            return None
        if hasattr(tensor, "detach"):
            tensor = tensor.detach().cpu()
            tensor = tensor.float().numpy() if str(tensor.dtype).endswith("bfloat16") else tensor.numpy()
        return np.asarray(tensor)

    def _explained(self, value: str, index: list[int], message: dict[str, Any]) -> dict[str, Any]:
        try:
            most = min(2000, max(1, int(message.get("most") or 12)))
            return {"found": self.inspection.explain(value, index).to_dict(most)}
        except (ValueError, IndexError, KeyError) as error:
            return {"missing": str(error)}

    def _find_gradients(self) -> None:
        """Work out every gradient, once; the page sees them come as a trait."""
        if self._backward:
            return
        try:
            seen = self.inspection
            found = seen.gradients
            if not found:
                raise ValueError("there is nothing to take a gradient of: the output holds no floating-point numbers.")
            self._backward = {"of": seen.of, "order": seen.backward_order, "values": sorted(found)}
        except Exception as error:
            self._backward = {"of": "", "order": [], "values": [], "error": str(error)}

    def _imagine(self) -> None:
        """Do the run again with the changes, and say what became of every value."""
        self._changed = None
        if not self.changes:
            self._effect = {}
            return
        try:
            from mlkit.inspection import Change

            self._changed = found = self.inspection.what_if(*(Change(**change) for change in self.changes))
            ends = [key for key in self.inspection.graph.outputs if key in found.relative]
            relative = {key: min(distance, 1e30) for key, distance in found.relative.items() if distance > 0}
            words = "; ".join(
                f"{self.inspection.label(key)} changes by {min(found.relative[key], 1e30):.3%} of its size"
                for key in ends
            )
            labels = [self.inspection.label(self.inspection.find(change.target)) for change in found.changes]
            self._effect = {
                "relative": relative, "words": words or "the output stays as it was", "labels": labels,
                "outputs": list(self.inspection.graph.outputs),
            }  # fmt: skip
        except Exception as error:
            self._effect = {"relative": {}, "words": "", "labels": [], "outputs": [], "error": str(error)}

    # --- pictures -------------------------------------------------------------------------------------------------

    def _draw(self) -> str:
        return draw(self._graph, self.expanded)

    def _describe(self) -> str:
        document = self._document
        modules = sum(1 for module in document["modules"] if module["path"])
        root: dict[str, Any] = next((module for module in document["modules"] if not module["path"]), {})
        parts = f"{len(document['nodes']):,} operations in {modules:,} modules"
        if root.get("parameters"):
            parts += f", {root['parameters']:,} parameters"
        if document.get("error"):
            parts += f", then {document['error'].get('type', 'an error')}"
        elif document.get("trouble"):
            parts += f", {document['trouble'].get('words', 'not all finite')}"
        return f"{type(self).__name__} of {document['name']}: {parts}"


def _document(model: Any, inputs: tuple[Any, ...], loss: Any) -> tuple[dict[str, Any], Any]:
    """The graph's document, and the recorded run behind it if there is one."""
    if isinstance(model, dict) or hasattr(model, "to_dict"):
        if inputs or loss is not None:
            raise TypeError("A finished graph takes no inputs and no loss: GraphInspector(graph).")
        from mlkit.inspection.document import validate

        if getattr(model, "_tensors", None):  # a graph of mlkit.compiler.trace that kept its tensors
            from mlkit.inspection import from_graph

            model = from_graph(model)
        document = validate(model if isinstance(model, dict) else model.to_dict())
        return document, None if isinstance(model, dict) else model
    from mlkit.inspection import inspect

    recorded = inspect(model, *inputs, loss=loss)
    return recorded.to_dict(), recorded


def _opened(graph: dict[str, Any], expand: Sequence[str] | None) -> list[str]:
    """Places of the modules to open: those asked for with what is around them, or a lone outermost container."""
    places = {module["path"]: module["place"] for module in graph["modules"]}
    if expand is None:
        outermost = sorted(place for place in places.values() if place and "." not in place)
        return outermost if len(outermost) == 1 and any("." in place for place in places.values()) else []
    found: dict[str, None] = {}
    for path in [expand] if isinstance(expand, str) else expand:
        if path not in places:
            known = ", ".join(sorted(path for path in places if path)[:12])
            raise ValueError(f"expand names {path!r}, which is no module of this graph. Some that are: {known}.")
        parts = places[path].split(".")
        around = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
        found.update(dict.fromkeys(place for place in around if place))
    return list(found)


def _card(recorded: Any) -> str:
    """The card of what a forward raised, as HTML."""
    error = getattr(recorded, "error", None)
    if error is None or isinstance(error, dict):
        return ""
    from mlkit.display.error import html

    return html(error)
