"""Programs written for PyTorch run unmodified and print what they print there: words equal, numbers close."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
#: run by the whole command line, each in a new process; the others in forks of one, which costs no imports
WHOLE = ("checkpoint_resume", "samplers_streams", "tensors_tour", "workers")
PROGRAMS = sorted(path.stem for path in (HERE / "programs").glob("*.py") if path.stem != "reproducible")
NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w])")


def differences(ours: str, theirs: str, tolerance: float) -> list[str]:
    """Lines that differ in a word, or in a number by more than the tolerance (relative, or absolute below 1)."""
    found = []
    pairs = list(zip(ours.splitlines(), theirs.splitlines()))
    if len(ours.splitlines()) != len(theirs.splitlines()):
        found.append(f"{len(ours.splitlines())} lines, PyTorch {len(theirs.splitlines())}")
    for mine, other in pairs:
        # the spacing of a printed tensor follows the width of its numbers
        words = [re.sub(r"\s+", "", NUMBER.sub("#", line)) for line in (mine, other)]
        numbers = [[float(n) for n in NUMBER.findall(line)] for line in (mine, other)]
        close = all(abs(a - b) <= tolerance * max(1.0, abs(b)) for a, b in zip(*numbers))
        if words[0] != words[1] or len(numbers[0]) != len(numbers[1]) or not close:
            found.append(f"mlkit:   {mine}\nPyTorch: {other}")
    return found


def run(*words: str, cwd: Path | None = None, **options) -> subprocess.CompletedProcess:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "widgets")])}
    command = [sys.executable, "-W", "ignore", "-m", "mlkit.torch", *words]
    return subprocess.run(command, capture_output=True, text=True, env=env, cwd=cwd, timeout=300, **options)


def test_there_are_enough_programs():
    assert len(PROGRAMS) >= 46
    assert {path.stem for path in (HERE / "expected").glob("*.txt")} == set(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_prints_what_it_prints_under_pytorch(name, tmp_path, forks):
    program = HERE / "programs" / f"{name}.py"
    first = program.read_text("utf-8").splitlines()[0]
    tolerance = float(first.partition("tolerance: ")[2]) if "tolerance: " in first else 2e-4
    done = (run if forks is None or name in WHOLE else forks.run)(str(program), cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-4000:]
    found = differences(done.stdout, (HERE / "expected" / f"{name}.txt").read_text("utf-8"), tolerance)
    assert not found, "\n".join(found)


def test_a_different_number_is_noticed():
    assert differences("loss: 1.2345", "loss: 1.2335", 2e-4)
    assert differences("loss: 1.2345 ok", "loss: 1.2345", 2e-4)
    assert not differences("tensor([ 1.0000,  2.0000])", "tensor([1.0001, 2.0000])", 2e-4)
