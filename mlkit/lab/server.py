"""The Jupyter server's part: two addresses for the side panel, behind the server's own login.

::

    GET  mlkit/state?kernel=ID&folder=PATH...   runs, the memory of that kernel's process, GPUs
    POST mlkit/send  {"run": PATH, "command": "pause" | "resume" | "stop" | ..., "folders": [...]}

No kernel is asked anything.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web

from mlkit.lab.machine import gpus, memory_of

__all__ = ["install"]

LARGEST = 64


def install(server_app: Any) -> None:
    """Add the addresses to a running server."""
    settings = server_app.web_app.settings
    base = settings.get("base_url", "/")
    shared = _Shared(server_app.root_dir)
    server_app.web_app.add_handlers(
        ".*$",
        [
            (url_path_join(base, "mlkit", "state"), State, {"shared": shared}),
            (url_path_join(base, "mlkit", "send"), Send, {"shared": shared}),
        ],
    )


class _Shared:
    """The `Runs` of a server, made when a page first asks: reading runs needs NumPy, starting a server does not."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._runs: Any = None

    @property
    def runs(self) -> Any:
        if self._runs is None:
            from mlkit.lab.runs import Runs

            self._runs = Runs(self.root)
        return self._runs


class _Handler(APIHandler):
    auth_resource = "contents"

    def initialize(self, shared: _Shared) -> None:
        self.shared = shared


class State(_Handler):
    """How everything stands."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        folders = self.get_query_arguments("folder")[:LARGEST]
        pid = self._pid(self.get_query_argument("kernel", ""))

        def look() -> dict[str, Any]:  # files and the driver's tool: not on the loop that serves everybody
            answer, memory = self.shared.runs.answer(folders), memory_of(pid)
            # As much as is shown: an answer that says the same again is not drawn again.
            return {**answer, "memory": memory and round(memory, -6), "gpus": gpus()}

        answer = await asyncio.get_running_loop().run_in_executor(None, look)
        self.finish(json.dumps(answer))

    def _pid(self, kernel: str) -> int | None:
        """The process of a kernel of this server; None for one elsewhere."""
        try:
            manager = self.kernel_manager.get_kernel(kernel)
        except Exception:  # no such kernel: it was shut down a moment ago, or a gateway has it
            return None
        pid = getattr(getattr(manager, "provisioner", None), "pid", None)
        return pid if isinstance(pid, int) else None


class Send(_Handler):
    """A command for a run's mailbox."""

    @web.authenticated
    @authorized("write")
    async def post(self) -> None:
        body = self.get_json_body() or {}
        folders = body.get("folders") or []
        if (
            not isinstance(body.get("run"), str)
            or not isinstance(body.get("command"), str)
            or not (isinstance(folders, list) and all(isinstance(one, str) for one in folders))
        ):
            raise web.HTTPError(400, "Expected {'run': path, 'command': name, 'folders': [path, ...]}.")

        def send() -> None:
            self.shared.runs.send(body["run"], body["command"], folders[:LARGEST], body.get("name"), body.get("value"))

        try:
            await asyncio.get_running_loop().run_in_executor(None, send)
        except LookupError as error:
            raise web.HTTPError(404, str(error.args[0])) from None
        except ValueError as error:
            raise web.HTTPError(400, str(error)) from None
        except RuntimeError as error:
            raise web.HTTPError(409, str(error)) from None
        self.set_status(204)
        self.finish()
