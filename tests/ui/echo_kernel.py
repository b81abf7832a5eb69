"""A kernel of another language: it answers with what it was told, and counts what it was asked silently."""

from __future__ import annotations

from typing import Any

from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel


class Echo(Kernel):
    implementation = "echo"
    implementation_version = "1"
    banner = "echo"
    language_info = {"name": "echo", "mimetype": "text/plain", "file_extension": ".txt"}

    asked = 0

    async def do_execute(self, code: str, silent: bool, *args: Any, **options: Any) -> dict[str, Any]:
        """Say it again; "asked?" tells how many silent requests there were."""
        if silent:
            self.asked += 1
        else:
            text = str(self.asked) if code == "asked?" else code
            self.send_response(self.iopub_socket, "stream", {"name": "stdout", "text": text})
        return {"status": "ok", "execution_count": self.execution_count, "payload": [], "user_expressions": {}}


if __name__ == "__main__":
    IPKernelApp.launch_instance(kernel_class=Echo)
