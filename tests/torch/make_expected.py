"""Run the programs under PyTorch and keep what they print: ``python tests/torch/make_expected.py [name ...]``."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def check_differences() -> None:
    """What the list of differences says of PyTorch is what PyTorch prints."""
    import ast
    import contextlib
    import io

    import torch

    tree = ast.parse((HERE.parents[1] / "mlkit" / "torch" / "differences.py").read_text("utf-8"))
    wanted = {"_raises", "DIFFERENCES"}
    kept = [node for node in tree.body if getattr(node, "name", None) in wanted or _target(node) in wanted]
    scope: dict = {"Difference": lambda *words: words, "textwrap": __import__("textwrap")}
    exec(compile(ast.Module(kept, []), "differences", "exec"), scope)
    for what, program, there, *_ in scope["DIFFERENCES"]:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(program, {"torch": torch})
        if out.getvalue().strip() != there:
            sys.exit(f"{what}\nPyTorch prints {out.getvalue()!r}")
    print(len(scope["DIFFERENCES"]), "differences are as described")


def _target(node) -> str | None:
    return getattr(node.targets[0], "id", None) if type(node).__name__ == "Assign" else None


def main() -> None:
    names = sys.argv[1:] or sorted(path.stem for path in (HERE / "programs").glob("*.py"))
    (HERE / "expected").mkdir(exist_ok=True)
    for name in names:
        if name == "reproducible":
            continue
        done = subprocess.run(
            [sys.executable, "-W", "ignore", str(HERE / "programs" / f"{name}.py")], capture_output=True, text=True
        )
        if done.returncode:
            sys.exit(f"{name}: {done.stderr}")
        (HERE / "expected" / f"{name}.txt").write_text(done.stdout, "utf-8")
        print(name, len(done.stdout))
    if not sys.argv[1:]:
        check_differences()


if __name__ == "__main__":
    main()
