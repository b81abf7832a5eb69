"""Which type is drawn by which functions.

A type, or its name ``"module.QualName"``, is registered with functions that turn an object into HTML, text or a MIME
bundle. A name instead of a type keeps this room from importing what nobody has displayed; a name instead of a function
(``"module:function"``) keeps it from importing its own files early.

>>> class Coin:
...     sides = 2
>>> register(Coin, html=lambda coin: f"<b>{coin.sides} sides</b>", text=lambda coin: f"{coin.sides} sides")
>>> html(Coin())
'<b>2 sides</b>'
>>> class Euro(Coin): ...
>>> text(Euro())                        # found along the method resolution order
'2 sides'
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Draw = Callable[[Any], Any] | str | None


@dataclass
class Entry:
    """How one type is displayed; None means: ask the next class along the method resolution order."""

    html: Draw = None
    text: Draw = None
    mimebundle: Draw = None
    still: bool = False
    words: bool = False


_entries: dict[type | str, Entry] = {}


def register(
    kind: type | str,
    *,
    html: Draw = None,
    text: Draw = None,
    mimebundle: Draw = None,
    still: bool = False,
    words: bool = False,
) -> None:
    """Say how objects of ``kind`` (and of its subclasses) are displayed. A later call replaces an earlier one.

    ``kind``: a class, or ``"module.QualName"`` of one that need not be imported yet.
    ``html`` and ``text``: functions of the object that return a string, or ``"module:function"`` to import on first use.
    ``mimebundle``: a function that returns ``{mime type: data}``; its parts are added to the text and the HTML.
    ``still``: where HTML cannot be shown (a PDF by LaTeX), the images of the HTML say more than the text: they become an
    ``image/png`` too (with Pillow installed).
    ``words``: in a terminal IPython shows the words and tables of the HTML instead of the object's repr.
    """
    if not isinstance(kind, (type, str)):
        raise TypeError(f"register: kind must be a class or 'module.QualName', got {kind!r}")
    if isinstance(kind, str) and "." not in kind:
        raise ValueError(f"register: expected 'module.QualName', got {kind!r}: say which module the class is in")
    if html is None and text is None and mimebundle is None:
        raise ValueError("register: give at least one of html=, text=, mimebundle=")
    _entries[kind] = Entry(html, text, mimebundle, still, words)


def unregister(kind: type | str) -> None:
    """Forget how ``kind`` is displayed; unknown kinds are ignored."""
    _entries.pop(kind, None)


def _load(draw: Draw) -> Callable[[Any], Any]:
    if callable(draw):
        return draw
    module, _, function = str(draw).partition(":")
    return getattr(importlib.import_module(module), function)


def find(obj: object, what: str) -> Callable[[Any], Any] | None:
    """The function registered for ``what`` ("html", "text" or "mimebundle"), looked up along the class's MRO.

    A class is asked for by itself before its name, so that a third party can override a name registered here.
    """
    for cls in type(obj).__mro__:
        for key in (cls, f"{cls.__module__}.{cls.__qualname__}"):
            entry = _entries.get(key)
            draw = getattr(entry, what) if entry is not None else None
            if draw is not None:
                return _load(draw)
    return None


def html(obj: object) -> str | None:
    """HTML for ``obj``, or None when nothing is registered for it."""
    draw = find(obj, "html")
    return None if draw is None else draw(obj)


def text(obj: object) -> str | None:
    """Text for ``obj``, or None when nothing is registered for it: its own text, or what its HTML says in words."""
    draw = find(obj, "text")
    if draw is not None:
        return draw(obj)
    drawn = html(obj)
    if drawn is None:
        return None
    from mlkit.display.plain import of_html

    return of_html(drawn)


def mimebundle(obj: object) -> dict[str, Any] | None:
    """``{"text/plain": ..., "text/html": ...}`` and what the type's own ``mimebundle`` adds; None when unknown."""
    draw_html, draw_bundle = find(obj, "html"), find(obj, "mimebundle")
    if draw_html is None and draw_bundle is None:
        return None
    bundle: dict[str, Any] = {"text/plain": repr(obj)}
    if draw_html is not None:
        try:
            drawn = draw_html(obj)
            if drawn is None and draw_bundle is None:  # of this kind, but nothing that is drawn
                return None
            if drawn is not None:
                bundle["text/html"] = drawn
                bundle["text/plain"] = _words(obj, drawn) or bundle["text/plain"]
        except Exception as error:  # the text is still worth having, with the reason under it
            reason = " ".join(str(error).split()) or "no message"
            bundle["text/plain"] += f"\n(HTML display failed: {type(error).__name__}: {reason[:300]})"
    if draw_bundle is not None:
        bundle.update(draw_bundle(obj))
    if "text/html" in bundle and "image/png" not in bundle and _entry(obj).still:
        from base64 import b64encode

        from mlkit.display.still import of_html

        picture = of_html(bundle["text/html"])
        if picture is not None:
            bundle["image/png"] = b64encode(picture).decode("ascii")
    return bundle


def _words(obj: object, drawn: str) -> str | None:
    """What a terminal shows under IPython, where that is more than the object's repr."""
    if _entry(obj).html is None or not _entry(obj).words:
        return None
    from mlkit.display.plain import of_html

    return of_html(drawn)


def _entry(obj: object) -> Entry:
    """The entry that draws an object's HTML; an empty one where there is none."""
    for cls in type(obj).__mro__:
        for key in (cls, f"{cls.__module__}.{cls.__qualname__}"):
            entry = _entries.get(key)
            if entry is not None and entry.html is not None:
                return entry
    return Entry()


# What is drawn rather than written: its images say more than its text where there is no HTML.
_STILLS = {"schedule", "transform", "distribution", "metric", "dataset", "history", "lr_curve"}


def _register_own() -> None:
    """The kinds that mlkit draws itself, by name: nothing here is imported before it is displayed."""
    for kind, where in {
        "mlkit.optim.optimizer.Optimizer": "optimizer:html",
        "mlkit.optim.lr_scheduler.base.LRScheduler": "schedule:html",
        "mlkit.data.transforms.compose.Transform": "transform:html",
        "mlkit.distributions.distribution.Distribution": "distribution:html",
        "mlkit.train.metrics.base.Metric": "metric:html",
        "collections.OrderedDict": "state_dict:html",
        "mlkit.data.dataset.Dataset": "dataset:html",
        "mlkit.data.loader.DataLoader": "dataset:html",
        "mlkit.train.history.History": "history:html",
        "mlkit.train.run.Run": "history:run_html",
        "mlkit.train.lr_finder.LearningRateCurve": "lr_curve:html",
        "mlkit.observe.source.Source": "history:run_html",
        "mlkit.observe.runs.RunTable": "runs:html",
        "mlkit.observe.flow.flow.Flow": "gradient_flow:html",
        "mlkit.observe.flow.flow.FlowTable": "gradient_flow:table_html",
        "mlkit.observe.flow.diagnose.Findings": "gradient_flow:findings_html",
        "mlkit.compiler.compiled.OptimizedModule": "compiled:module_html",
        "mlkit.compiler.explain.Explanation": "compiled:html",
        "mlkit.display.profile.Profile": "profile:html",
        "mlkit.linting.findings.Findings": "findings:html",
        "mlkit.core.errors.MlkitError": "error:html",
    }.items():
        drawn = where.partition(":")[0] in _STILLS
        register(kind, html=f"mlkit.display.{where}", still=drawn, words=drawn or where == "compiled:html")
    register("mlkit.nn.module.Module", html="mlkit.display.module:html", text="mlkit.display.module:text")
    register("mlkit.compiler.graph.Graph", html="mlkit.display.graph:html", still=True, words=True,
             mimebundle="mlkit.display.graph:mimebundle")  # fmt: skip
    tensor = "mlkit.display.tensor:"
    register("mlkit.core.tensor.Tensor", html=tensor + "html", mimebundle=tensor + "mimebundle")


_register_own()
