"""What mlkit's JupyterLab extension asks Python: runs and machine of the server, names of a kernel.

`server` answers over the Jupyter server without any kernel; `probing` answers inside a kernel, once, silently and
without a trace. Neither is loaded by ``import mlkit``.
"""

from __future__ import annotations

from typing import Any

__all__: list[str] = []


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """How a Jupyter server finds the extension."""
    return [{"module": "mlkit.lab"}]


def _load_jupyter_server_extension(server_app: Any) -> None:
    """Called by the Jupyter server when it starts."""
    from mlkit.lab import server

    server.install(server_app)
