"""Kernels and the world: their cache on disk, processes, threads, interrupts, and machines without Numba."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import mlkit
import mlkit.nn.functional as F
from mlkit.backends import numba
from tests.backends.kernel_checks import needs_numba

WORK = """
import numpy as np, mlkit
import mlkit.nn.functional as F
rng = np.random.default_rng(0)
x = mlkit.from_numpy(rng.normal(size=(2, 16, 16, 16)).astype(np.float32))
y = F.max_pool2d(x, 2)
assert float(y.sum()) == float(y.numpy().sum()) and (y.numpy() == x.numpy().reshape(2, 16, 8, 2, 8, 2).max((3, 5))).all()
"""


def run(text: str, **environment):
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, env={**os.environ, **environment}, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def files(folder):
    return sorted(p for p in folder.rglob("*") if p.is_file())


@needs_numba
def test_the_cache_is_kept_used_and_mended(tmp_path):
    home = tmp_path / "home"
    first = run(WORK, MLKIT_HOME=str(home))
    (version,) = (home / "kernels").iterdir()
    assert mlkit.__version__ in version.name and "numba" in version.name
    kept = files(home)
    assert kept
    stamps = {p: p.stat().st_mtime_ns for p in kept}
    again = run(WORK, MLKIT_HOME=str(home))
    assert {p: p.stat().st_mtime_ns for p in files(home)} == stamps  # loaded, not compiled
    assert "compiling" not in again.stderr
    for path in kept:  # a disk that was full, a copy cut short
        path.write_bytes(path.read_bytes()[: 40 if path.suffix == ".nbi" else 400])
    run(WORK, MLKIT_HOME=str(home))
    run(WORK, MLKIT_HOME=str(home))
    # what another version left does no harm, and `mlkit warmup` clears it away
    old = home / "kernels" / "0.0.1-of-old"
    old.mkdir()
    (old / kept[0].name).write_bytes(b"not a kernel")
    run(WORK, MLKIT_HOME=str(home))
    run(
        "from mlkit.backends.numba import compiling; assert compiling.remove_other_versions() == 1",
        MLKIT_HOME=str(home),
    )
    assert not old.exists()
    assert first.returncode == 0


@needs_numba
def test_two_processes_fill_one_cache_at_once(tmp_path):
    env = {**os.environ, "MLKIT_HOME": str(tmp_path)}
    both = [subprocess.Popen([sys.executable, "-c", WORK], env=env, stderr=subprocess.PIPE) for _ in range(2)]
    for process in both:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said.decode()[-3000:]
    stamps = {p: p.stat().st_mtime_ns for p in files(tmp_path)}
    run(WORK, MLKIT_HOME=str(tmp_path))
    assert {p: p.stat().st_mtime_ns for p in files(tmp_path)} == stamps  # what they left is whole


@needs_numba
def test_threads_that_meet_at_a_kernel_not_yet_compiled(tmp_path):
    run(
        """
import threading, numpy as np, mlkit
import mlkit.nn.functional as F
x = mlkit.from_numpy(np.random.default_rng(0).normal(size=(2, 16, 16, 16)).astype(np.float32))
best = x.numpy().reshape(2, 16, 8, 2, 8, 2).max((3, 5))
meet, right = threading.Barrier(4), []
def work():
    meet.wait(60)
    right.append((F.max_pool2d(x, 2).numpy() == best).all())
threads = [threading.Thread(target=work) for _ in range(4)]
[t.start() for t in threads]
[t.join(200) for t in threads]
assert right == [True] * 4
""",
        MLKIT_HOME=str(tmp_path),
    )


@needs_numba
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_an_interrupt_while_a_kernel_compiles_leaves_the_cache_whole(tmp_path):
    """The first half of a compile is thrown away; the next call compiles again, in the same process and in others."""
    run(
        """
import os, signal
from mlkit.backends.numba import compiling
class Stop(compiling.event.Listener):
    left = 3  # in the middle: kernels call helpers, each compiled in its turn
    def on_start(self, happening):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)
    def on_end(self, happening):
        pass
stop = Stop()
compiling.event.register("numba:compile", stop)
try:
    exec(WORK)
except KeyboardInterrupt:
    print("stopped")
assert stop.left <= 0
exec(WORK)
""".replace("WORK", repr(WORK)),
        MLKIT_HOME=str(tmp_path),
    )
    run(WORK, MLKIT_HOME=str(tmp_path))


@needs_numba
def test_a_home_that_cannot_be_written(tmp_path):
    """A file in the place of the folder: as good as read-only, also for root."""
    (tmp_path / "home").write_text("in the way")
    done = run(WORK, MLKIT_HOME=str(tmp_path / "home"))
    assert done.stderr.count("cannot be kept") == 1 and "MLKIT_HOME" in done.stderr


@needs_numba
def test_a_long_compile_shows_one_line(tmp_path):
    slow = """
from mlkit.backends.numba import compiling
compiling.PATIENCE = 0.0
"""
    done = run(slow + WORK, MLKIT_HOME=str(tmp_path))
    assert done.stderr.count("mlkit: compiling kernels") == 1


WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("numba", "llvmlite"):
            raise {error}
sys.meta_path.insert(0, Absent())
"""


def test_without_numba_numpy_does_it():
    done = run(WITHOUT.format(error='ModuleNotFoundError("No module named " + name, name=name)') + WORK)
    assert done.stderr == ""


def test_a_broken_numba_is_said_once():
    text = WITHOUT.format(error='ImportError("Numba needs NumPy 1.9 or less")') + WORK + "F.max_pool2d(x, 2)\n"
    done = run(text)
    assert done.stderr.count("Numba needs NumPy 1.9 or less") == 1


def test_the_switch_leaves_all_to_numpy():
    run("import sys, mlkit\nmlkit.config.numba = False\n" + WORK + "assert 'numba' not in sys.modules, 'loaded'\n")


def test_small_operations_load_no_numba():
    run(
        "import sys, mlkit, mlkit.nn.functional as F\n"
        "F.conv2d(mlkit.ones(1, 1, 5, 5), mlkit.ones(2, 1, 3, 3)); mlkit.ones(4).exp(); F.gelu(mlkit.ones(3))\n"
        "assert 'numba' not in sys.modules"
    )


@needs_numba
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forked_workers_compute():
    run(
        WORK
        + """
import os
mlkit.set_num_threads(2)
big = mlkit.from_numpy(rng.normal(size=(8, 32, 32, 32)).astype(np.float32))
w = mlkit.ones(32, 32, 3, 3)
here = F.conv2d(big, w, padding=1).numpy()
pid = os.fork()
if pid == 0:
    there = F.conv2d(big, w, padding=1).numpy()
    os._exit(0 if np.array_equal(here, there) else 1)
assert os.waitpid(pid, 0)[1] == 0
"""
    )


@needs_numba
def test_a_child_forked_while_kernels_compile_uses_numpy():
    from mlkit.backends.numba import compiling

    before = numba._usable
    compiling.compiling_now += 1
    try:
        compiling._forked()
        assert not numba.usable()
    finally:
        compiling.compiling_now -= 1
        numba._usable = before
    assert numba.usable()


def loader_step(seed: int) -> float:
    x = mlkit.from_numpy(np.random.default_rng(seed).normal(size=(4, 16, 16, 16)).astype(np.float32))
    return float(F.max_pool2d(x, 2).sum())


@needs_numba
@pytest.mark.slow
def test_spawned_workers_compute():
    text = """
import multiprocessing
from tests.backends.test_compiling import loader_step
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(2) as workers:
        found = workers.map(loader_step, range(4))
    assert found == [loader_step(i) for i in range(4)]
"""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    run(text, PYTHONPATH=path)


@needs_numba
def test_many_python_threads():
    """Two widgets training: the same work from several threads at once gives the same numbers."""
    before = mlkit.get_num_threads()
    mlkit.set_num_threads(2)
    try:

        def step(seed: int) -> list[np.ndarray]:
            rng = np.random.default_rng(seed)
            x, w = (mlkit.from_numpy(rng.normal(size=s).astype(np.float32)) for s in ((4, 32, 16, 16), (32, 32, 3, 3)))
            w.requires_grad_()
            y = F.max_pool2d(F.conv2d(x, w, padding=1).relu(), 2)
            (y * y).sum().backward()
            return [y.detach().numpy(), w.grad.numpy()]

        expected = [step(i) for i in range(4)]
        found: dict[int, list] = {}

        def many(i: int) -> None:
            for _ in range(5):
                found[i] = step(i)

        threads = [threading.Thread(target=many, args=(i,)) for i in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(120)
        for i in range(4):
            for a, b in zip(found[i], expected[i], strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    finally:
        mlkit.set_num_threads(before)


@needs_numba
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_an_interrupt_stops_training_and_leaves_all_well():
    run(
        WORK
        + """
import os, signal, threading
mlkit.set_num_threads(2)
net = mlkit.nn.Conv2d(16, 64, 3, padding=1)
net(x).sum().backward()
for delay in (0.005, 0.02, 0.05):
    timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
    try:
        timer.start()
        while True:
            net(x).sum().backward()
    except KeyboardInterrupt:
        pass
w = net.weight.detach().numpy().astype(np.float64)
out = net(x).detach().numpy()
mlkit.config.numba = False
np.testing.assert_allclose(out, net(x).detach().numpy(), atol=1e-4)
"""
    )


@needs_numba
def test_warmup_compiles_keeps_and_says_where(tmp_path):
    """With the two quickest families in place of all, which take a minute or two."""
    text = """
import sys
from mlkit.backends.numba import compiling
from mlkit.backends.numba import pooling_kernels, dropout_kernels
compiling.all_kernels = lambda: list(compiling.ALL)
from mlkit.cli import main
sys.exit(main(["warmup"]))
"""
    (tmp_path / "kernels" / "old").mkdir(parents=True)
    first = run(text, MLKIT_HOME=str(tmp_path)).stdout
    count = int(first.split(" kernels ready, ")[0].split()[-1])
    assert count >= 5 and f"{count} of them compiled now" in first
    assert "Removed the kernels of 1 other version." in first and str(tmp_path) in first
    second = run(text, MLKIT_HOME=str(tmp_path)).stdout
    assert f"{count} kernels ready, 0 of them compiled now" in second
    kept = {p: p.stat().st_mtime_ns for p in files(tmp_path)}
    run(WORK, MLKIT_HOME=str(tmp_path))
    after = {p: p.stat().st_mtime_ns for p in files(tmp_path) if "pooling" in p.name}
    assert after == {p: t for p, t in kept.items() if "pooling" in p.name}  # compiled ahead is what is called


def test_warmup_without_numba_says_how_to_get_it():
    text = WITHOUT.format(error='ModuleNotFoundError("No module named " + name, name=name)')
    done = subprocess.run(
        [sys.executable, "-c", text + "from mlkit.cli import main; sys.exit(main(['warmup']))"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2 and "pip install" in done.stderr


def test_the_line_is_no_error_in_a_notebook(capsys, monkeypatch):
    from mlkit.backends.numba import compiling

    for modules, where in (({}, "err"), ({"ipykernel": object()}, "out")):
        monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
        for name, module in modules.items():
            monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.setattr(compiling.progress, "shown", False)
        compiling.progress.show()
        compiling.progress.show()
        assert getattr(capsys.readouterr(), where).count("compiling kernels for this machine") == 1
