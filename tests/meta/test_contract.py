"""The import contract holds, and knows every room."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONTRACT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"][0]
# Thin import paths of PyTorch's names; their content lives in the rooms below.
PATHS_ONLY = {"__main__", "widgets", "utils", "cuda", "accelerator", "nn", "linalg", "fft", "special", "distributions", "func"}


def test_nobody_imports_upwards():
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "widgets")])}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "0 broken" in done.stdout


def test_every_room_has_its_place_in_the_contract():
    placed = {name.strip().strip("()") for layer in CONTRACT["layers"] for name in re.split("[|:]", layer)}
    rooms = {path.stem for path in (ROOT / "mlkit").glob("*.py")} | {
        path.parent.name for path in (ROOT / "mlkit").glob("*/__init__.py")
    }
    homeless = {room for room in rooms - PATHS_ONLY - {"__init__", "core"} if f"mlkit.{room}" not in placed}
    assert not homeless, f"give these a layer in pyproject.toml: {sorted(homeless)}"


def test_the_contract_and_contributing_tell_the_same():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    for layer in CONTRACT["layers"]:
        first, *others = [name.strip().strip("()") for name in re.split("[|:]", layer)]
        row = next((line for line in text.splitlines() if line.startswith(first)), "")
        for name in [first, *others]:
            assert name in row or "." + name.split(".")[-1] in row, (
                f"{name} has no place in the rows of CONTRIBUTING.md"
            )
