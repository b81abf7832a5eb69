"""What every mlkit widget shares: its built view, messages with arrays, live updates, and a picture for saved notebooks.

The picture. A notebook file keeps a widget as a reference to a model in the kernel, so without a kernel there would be
nothing to see. Every display therefore carries three forms: the live view, an SVG of the last state, and a line of
text. The SVG is renewed when something has come to rest: the browser writes it into the open notebook (JupyterLab, with
mlkit's extension), and the kernel sends it as a display update (notebooks executed without a browser).
"""

from __future__ import annotations

import atexit
import contextlib
import sys
import threading
import time
import uuid
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import traitlets

from mlkit_widgets._codec import pack, unpack

UPDATES_PER_SECOND = 20
"""The most updates a widget sends in a second. Screens draw no faster, and Jupyter's server drops floods."""

VIEW = "application/vnd.jupyter.widget-view+json"
MARK = "application/vnd.mlkit.widget+json"
"""Marks an output of ours: mlkit's JupyterLab extension shows the SVG beside it until a live view has come."""

_sources: dict[Path, tuple[int, str]] = {}


def read_view(folder: Path, name: str) -> str:
    """The built JavaScript of the widget in `folder`; a plain explanation when it has not been built."""
    path = folder / "view.js"
    try:
        changed = path.stat().st_mtime_ns
    except FileNotFoundError:
        raise FileNotFoundError(
            f"The browser half of {name} has not been built: {path} is missing.\n"
            "  In a checkout, build it with: make widgets\n"
            '  Otherwise install a released package, which contains it: pip install "mlkit[lab]"'
        ) from None
    known = _sources.get(path)
    if known is None or known[0] != changed:
        known = _sources[path] = (changed, path.read_text(encoding="utf-8"))
    return known[1]


class Widget(anywidget.AnyWidget):
    """Base of mlkit's widgets. A subclass names its `_folder`, and may answer messages, tick and draw a picture."""

    _folder: ClassVar[Path]

    _picture = traitlets.Unicode("").tag(sync=True)
    """An SVG of the last state at rest. The browser stores it in the notebook."""

    def __init__(self, **kwargs: Any) -> None:
        self._guard = threading.RLock()  # messages arrive on one thread while updates leave on another
        self._display_name = uuid.uuid4().hex
        self._displayed = False
        super().__init__(**kwargs)
        self.on_msg(self._on_custom_message)

    @property
    def _esm(self) -> str:
        # A property and not a path: anywidget reads paths when the class is made, which would turn a missing build
        # into an error at import.
        return read_view(type(self)._folder, type(self).__name__)

    @traitlets.observe("comm")
    def _keep_route(self, change: dict[str, Any]) -> None:
        # ipykernel 7.4 answers on the subshell from which a comm last sent. Our updates leave from a thread that carries
        # the header of some earlier message, so after a reload of the page everything would go to a subshell that is
        # gone, and be lost. Messages belong where the page sent them.
        if hasattr(change["new"], "_reply_subshell_for"):
            change["new"]._reply_subshell_for = _as_sent

    # --- messages -----------------------------------------------------------------------------------------------

    def _send(self, msg: Any, buffers: Any = None) -> None:
        with _line:
            if not _line.closed:
                super()._send(msg, buffers)

    def _tell(self, message: dict[str, Any]) -> None:
        """Send `message` (which may hold arrays) to every view in every page."""
        tree, buffers = pack(message)
        self.send(tree, buffers)

    def _on_custom_message(self, _: Any, content: Any, buffers: list[Any]) -> None:
        if not isinstance(content, dict):
            return
        try:
            message = unpack(content, buffers or [])
            with self._guard:
                answer = self._answer(message)
            reply: dict[str, Any] = {**(answer or {}), "kind": "reply", "ok": True}
        except Exception as error:  # whatever went wrong belongs on the screen, next to the button that was pressed
            reply = {"kind": "reply", "ok": False, "error": f"{error}" or type(error).__name__}
        if "id" in content or not reply["ok"]:
            self.send({**reply, "id": content.get("id")})

    def _answer(self, message: dict[str, Any]) -> dict[str, Any] | None:
        """Act on a message from the browser; what it returns goes with the reply. An exception is shown there in words."""
        return None

    # --- pictures -----------------------------------------------------------------------------------------------

    def _draw(self) -> str:
        """An SVG of the present state, drawn without a browser."""
        raise NotImplementedError

    def _describe(self) -> str:
        """The present state in one line of text."""
        raise NotImplementedError

    def _bundle(self) -> dict[str, Any]:
        return {
            MARK: {"version": 1, "widget": type(self).__name__},
            VIEW: {"version_major": 2, "version_minor": 1, "model_id": self.model_id},
            "image/svg+xml": self._picture or self._draw(),
            "text/plain": self._describe(),
        }

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        return self._bundle(), {}

    def _ipython_display_(self) -> None:
        # Displayed by hand, because only so does the output get a name under which it can be renewed later.
        from IPython.display import publish_display_data

        publish_display_data(self._bundle(), {}, transient={"display_id": self._display_name})
        self._displayed = True

    def _renew_picture(self) -> None:
        """Draw the state at rest: for the browser to store, and for notebooks that run without one."""
        self._picture = self._draw()
        if self._displayed:
            from IPython.display import publish_display_data

            bundle = self._bundle()
            with _line:
                if not _line.closed:
                    publish_display_data(bundle, {}, transient={"display_id": self._display_name}, update=True)

    def __repr__(self) -> str:
        return f"<{self._describe()}>"


def _as_sent(data: Any, subshell: Any) -> Any:
    """The subshell that a message from the page names itself."""
    return subshell


class _Line:
    """The line to the page, held by whoever sends. It is closed at the interpreter's end, and nothing is sent after.

    A kernel that is shut down or restarted cannot send any more some time before its threads end, and does not say so:
    pyzmq gives up large messages (64 kB) half-way once its own exit handler has run, and once ipykernel's one thread that
    sends has ended, 6.x lets every other thread write to the same socket. Either way one message runs into the next, and
    the page complains of a "Kernel message validation error". So our threads are silent before it comes to that.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.closed = False

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: Any) -> None:
        self._lock.release()


_line = _Line()


class Pump:
    """One daemon thread that gives every live widget its turn, at most `UPDATES_PER_SECOND` times a second.

    It holds the widgets weakly, starts with the first, and ends with the last.
    """

    def __init__(self, tick: Callable[[Any], None]) -> None:
        self._tick = tick
        self._widgets: weakref.WeakSet[Any] = weakref.WeakSet()
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, widget: Any) -> None:
        with self._guard:
            self._widgets.add(widget)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="mlkit-widgets", daemon=True)
                self._thread.start()

    def discard(self, widget: Any) -> None:
        with self._guard:
            self._widgets.discard(widget)

    def turn(self, patience: float) -> None:
        """One more turn for every widget, here and now; a widget that is busy for longer than `patience` seconds has none."""
        with self._guard:
            widgets = list(self._widgets)
        for widget in widgets:
            if widget._guard.acquire(timeout=patience):
                try:
                    self._tick(widget)
                finally:
                    widget._guard.release()

    def _run(self) -> None:
        while not _line.closed:
            with self._guard:
                widgets = list(self._widgets)
                if not widgets:
                    self._thread = None
                    return
            for widget in widgets:
                self._tick(widget)
            del widgets
            time.sleep(1 / UPDATES_PER_SECOND)


def _tick(widget: Any) -> None:
    try:
        with widget._guard:
            widget._tick()
    except Exception as error:  # a broken run must not stop the other widgets; this one says what happened and rests
        pump.discard(widget)
        try:
            widget.send({"kind": "problem", "text": f"{type(error).__name__}: {error}"})
        except Exception:
            pass  # the kernel is going away: there is nobody left to tell


pump = Pump(_tick)


def _hang_up() -> None:
    """At the interpreter's end: runs end, pages hear how, and then nothing more is sent.

    A run's own exit handler may come after this one; it is asked here, for a page would show "running" for ever.
    """
    with contextlib.suppress(Exception):
        training = sys.modules.get("mlkit.train.run")
        if training is not None:
            training._stop_all()
    with contextlib.suppress(Exception):
        pump.turn(patience=1.0)
    with _line:
        _line.closed = True
    with contextlib.suppress(Exception):
        sys.stdout.flush()  # ipykernel's way to wait until all that was given to its thread has been sent


if "zmq" in sys.modules:  # a kernel. Exit handlers run in reverse: pyzmq's, made with this import, then runs after ours
    with contextlib.suppress(ImportError):
        import zmq.utils.garbage  # noqa: F401
atexit.register(_hang_up)
