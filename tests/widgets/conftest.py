from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # fakes.py and graphs.py

from mlkit_widgets import _base
from mlkit_widgets._codec import unpack


class Page:
    """The browser's side of a widget: what it got, and a way to send. The pump is left out: tests tick by hand."""

    def __init__(self, widget: Any) -> None:
        self.widget = widget
        self.got: list[dict[str, Any]] = []
        widget.send = lambda content, buffers=None: self.got.append(unpack(content, buffers or []))

    def say(self, **message: Any) -> None:
        self.widget._on_custom_message(self.widget, message, [])

    def take(self, kind: str | None = None) -> list[dict[str, Any]]:
        got, self.got = self.got, []
        return [message for message in got if kind is None or message["kind"] == kind]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[], Any]], Page]]:
    """`connect(lambda: Widget(...))` gives the page of a widget whose browser half need not be built."""
    made: list[Any] = []
    monkeypatch.setattr(_base, "read_view", lambda folder, name: "export default {}")
    monkeypatch.setattr(_base.pump, "add", lambda widget: None)

    def open_page(make: Callable[[], Any]) -> Page:
        made.append(make())
        return Page(made[-1])

    yield open_page
    for widget in made:
        widget.close()
