"""Command lines of ``python -m mlkit.torch`` in forks of one process that has mlkit loaded: a start costs no imports.

Run as a script this is that process. It reads a line of JSON for each run, {"words", "folder", "in", "out", "err"}, and
answers with the exit status.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Forks:
    """The process, from outside."""

    def __init__(self):
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "widgets")])}
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )

    def run(self, *words: str, cwd: Path, input: str = "") -> subprocess.CompletedProcess:
        """As `subprocess.run([sys.executable, "-m", "mlkit.torch", *words], cwd=cwd, input=input)`."""
        given, out, err = cwd / "stdin.txt", cwd / "stdout.txt", cwd / "stderr.txt"
        given.write_text(input, "utf-8")
        order = {"words": words, "folder": str(cwd), "in": str(given), "out": str(out), "err": str(err)}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        return subprocess.CompletedProcess(words, status, out.read_text("utf-8"), err.read_text("utf-8"))

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


def begin(order: dict) -> None:
    """Make this fork what a new process would be."""
    os.chdir(order["folder"])
    for descriptor, path, flags in (
        (0, order["in"], os.O_RDONLY),
        (1, order["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, order["err"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        opened = os.open(path, flags)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.stdin = open(0, closefd=False)
    sys.argv[:] = ["mlkit.torch", *order["words"]]


def serve() -> list[str] | None:
    """Fork for each order; gives the words of one in the fork, None at the end."""
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if not child:
            begin(order)
            return order["words"]
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    return None


if __name__ == "__main__":
    import importlib

    for room in "data.transforms io nn optim distributions autograd func linalg".split():
        importlib.import_module(f"mlkit.{room}")
    from mlkit.torch.run import main

    words = serve()
    if words is not None:
        sys.exit(main(words))
