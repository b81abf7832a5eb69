"""Who gets mlkit for ``import torch``, and who does not."""

import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def python(*words, cwd, env=None, **options):
    path = [str(ROOT), str(ROOT / "widgets")]
    everything = {**os.environ, "PYTHONPATH": os.pathsep.join(path), **(env or {})}
    if "PYTHONPATH" in (env or {}):
        everything["PYTHONPATH"] = os.pathsep.join([env["PYTHONPATH"], *path])
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, cwd=cwd, env=everything, timeout=200, **options
    )


@pytest.fixture
def in_fork(forks):
    """As `python("-m", "mlkit.torch", ...)`, in a fork of a process that has mlkit loaded, where there are forks."""
    return (lambda *words, **how: python("-m", "mlkit.torch", *words, **how)) if forks is None else forks.run


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text), "utf-8")
    return str(path)


def out(done) -> str:
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_every_way_to_import(tmp_path):
    write(tmp_path, "model/__init__.py", "from .net import Net\n")
    write(
        tmp_path,
        "model/net.py",
        "from torch import nn\nfrom . import parts\nclass Net(nn.Module):\n    size = parts.SIZE\n",
    )
    write(tmp_path, "model/parts.py", "import torch\nSIZE = torch.Size([3])\n")
    script = write(
        tmp_path,
        "main.py",
        """
        import importlib, importlib.util, pickle, sys
        import torch
        import torch.nn as nn
        import torch.nn.functional as F
        import torch.utils.data
        from torch import optim, Tensor
        from torch.nn import *
        from torch.utils.data.dataset import Dataset as A
        from model import Net
        assert nn is torch.nn and nn.functional is F
        assert torch.utils.data.Dataset is A and isinstance(torch.zeros(1), Tensor) and Linear is nn.Linear
        assert importlib.import_module("torch.optim") is optim
        assert __import__("torch", globals(), locals(), [], 0) is torch
        assert importlib.util.find_spec("torch") is not None and importlib.util.find_spec("torch.fx") is None
        assert issubclass(Net, nn.Module) and Net.size == (3,)
        space = {}
        exec("import torch as t\\nx = t.ones(2)", space)
        assert space["t"] is torch
        def late():
            import torch.linalg
            return torch.linalg.norm(torch.ones(4)).item()
        assert late() == 2.0
        assert isinstance(pickle.loads(pickle.dumps(Net())), Net)
        assert pickle.loads(pickle.dumps(torch)) is torch
        assert "torch" not in sys.modules
        print(__name__, __file__ == sys.argv[0], sys.argv[1:], sys.path[0])
        """,
    )
    done = python("-m", "mlkit.torch", script, "--lr", "0.1", cwd="/")
    assert out(done) == f"__main__ True ['--lr', '0.1'] {tmp_path}\n"


def test_installed_packages_see_what_they_saw(tmp_path):
    """In site-packages, and in another folder where a package's own list of files says so."""
    asks = "try:\n    import torch\nexcept ImportError as error:\n    torch = None\n    name = error.name\n"
    write(tmp_path, "lib/site-packages/aaa.py", asks)
    write(tmp_path, "lib/site-packages/needs.py", "import torch\n")
    write(
        tmp_path, "vendor/bbb/__init__.py", asks + "import importlib.util\nspec = importlib.util.find_spec('torch')\n"
    )
    write(tmp_path, "vendor/bbb-1.0.dist-info/RECORD", "bbb/__init__.py,,\n")
    write(tmp_path, "vendor/mine.py", "import torch\n")
    script = write(
        tmp_path,
        "main.py",
        """
        import aaa, bbb, mine, torch
        assert aaa.torch is None and aaa.name == "torch" and bbb.torch is None and bbb.spec is None
        assert mine.torch is torch
        import einops
        print(einops.rearrange(torch.ones(2, 3), "a b -> b a").shape)
        import needs
        """,
    )
    path = os.pathsep.join([str(tmp_path / "lib" / "site-packages"), str(tmp_path / "vendor")])
    done = python("-m", "mlkit.torch", script, cwd=tmp_path, env={"PYTHONPATH": path})
    assert done.stdout == "torch.Size([3, 2])\n" and done.returncode == 1
    assert "No module named 'torch'" in done.stderr and "to your own files only" in done.stderr


def test_a_real_torch_stays_with_the_packages(tmp_path):
    """Where PyTorch is installed, packages keep it and the user's files get mlkit."""
    write(tmp_path, "lib/site-packages/torch/__init__.py", "__version__ = 'real'\n")
    write(tmp_path, "lib/site-packages/uses.py", "import torch\nversion = torch.__version__\n")
    code = "import uses, torch, sys; print(uses.version, torch.__version__, sys.modules['torch'].__version__)"
    env = {"PYTHONPATH": str(tmp_path / "lib" / "site-packages")}
    assert out(python("-m", "mlkit.torch", "-c", code, cwd=tmp_path, env=env)).split()[::2] == ["real", "real"]
    assert out(python("-c", "import mlkit.torch, torch; print(torch.__version__)", cwd=tmp_path, env=env)) == "real\n"


def test_without_the_call_nothing_is_patched(tmp_path):
    code = """
    import builtins, importlib, importlib.util, multiprocessing.spawn as spawn
    before = builtins.__import__, importlib.import_module, importlib.util.find_spec, spawn.get_preparation_data
    import mlkit.torch, mlkit
    text = repr(mlkit.float32), mlkit.config.strict_broadcast
    def now():
        return builtins.__import__, importlib.import_module, importlib.util.find_spec, spawn.get_preparation_data
    assert now() == before
    mlkit.torch.install(); mlkit.torch.install()
    import torch
    assert now() != before and repr(torch.float32) == "torch.float32" and mlkit.torch.is_installed()
    mlkit.torch.uninstall()
    assert now() == before and (repr(mlkit.float32), mlkit.config.strict_broadcast) == text == ("mlkit.float32", True)
    try:
        import torch.nn
    except ModuleNotFoundError as error:
        print(error)
    """
    assert out(python("-c", textwrap.dedent(code), cwd=tmp_path)) == "No module named 'torch'\n"


def test_modules_text_standard_input_folders_and_archives(tmp_path, in_fork):
    program = "import sys, torch\nprint(torch.ones(1).item(), __name__, sys.argv[1:])\n"
    write(tmp_path, "package/__init__.py", "")
    write(tmp_path, "package/train.py", "from . import other\n" + program)
    write(tmp_path, "package/other.py", "import torch\n")
    write(tmp_path, "package/__main__.py", program)
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        archive.writestr("__main__.py", program)
    for words in (["-m", "package.train"], ["-m", "package"], ["-c", program], ["-"], ["app.zip"]):
        done = in_fork(*words, "a", "-b", cwd=tmp_path, input=program)
        assert out(done) == "1.0 __main__ ['a', '-b']\n", words
    assert out(python("-m", "mlkit.torch", "package", cwd=tmp_path)) == "1.0 __main__ []\n"


@pytest.mark.parametrize(
    ("program", "status", "error"),
    [
        ("raise SystemExit(3)", 3, ""),
        ("import sys; sys.exit('no data')", 1, "no data\n"),
        ("import atexit; atexit.register(print, 'bye'); import torch; 1 / 0", 1, "ZeroDivisionError"),
        ("x = (", 1, "SyntaxError"),
        ("import sys; sys.excepthook = lambda *e: print('mine', file=sys.stderr); 1 / 0", 1, "mine\n"),
    ],
)
def test_exit_codes(tmp_path, in_fork, program, status, error):
    script = write(tmp_path, "main.py", program)
    ours = in_fork(script, cwd=tmp_path)
    assert ours.returncode == status and error in ours.stderr
    if "atexit" in program:
        assert ours.stdout == "bye\n"


def test_an_interrupt_ends_it_as_python_does(tmp_path):
    script = write(tmp_path, "main.py", "import os, signal, torch\nos.kill(os.getpid(), signal.SIGINT)\n")
    done = python("-m", "mlkit.torch", script, cwd=tmp_path)
    assert done.returncode == -signal.SIGINT and done.stderr.count("KeyboardInterrupt") == 1


def test_a_traceback_shows_the_programs_own_lines(tmp_path):
    write(tmp_path, "helper.py", "import torch\nvalue = torch.zeross(3)\n")
    script = write(tmp_path, "main.py", "import torch\ndef load():\n    import helper\nload()\n")
    lines = python("-m", "mlkit.torch", script, cwd=tmp_path).stderr.splitlines()
    files = [line.split('"')[1] for line in lines if line.startswith("  File")]
    names = [Path(file).name for file in files]
    assert names[:3] == ["main.py", "main.py", "helper.py"] and "hook.py" not in names and "run.py" not in names
    assert "    value = torch.zeross(3)" in lines and "Did you mean 'zeros'" in lines[-1]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "usage"),
        (["-m"], "needs a module"),
        (["--what"], "unknown option"),
        (["nothing.py"], "No such file"),
        (["-m", "no_such"], "No module named no_such"),
    ],
)
def test_a_wrong_command_line(tmp_path, in_fork, words, says):
    done = in_fork(*words, cwd=tmp_path)
    assert done.returncode in (1, 2) and says in done.stderr and "Traceback" not in done.stderr


WORKER = """
import multiprocessing, sys, torch
class Net(torch.nn.Linear):
    pass
def work(n, queue):
    import torch.nn.functional as F
    queue.put((n, float(F.relu(torch.tensor(2.0))), repr(torch.float32), sys.argv[1:], "torch" in sys.modules))
def square(x):
    return torch.tensor(x).square().item()
def child(rank, queue):
    queue.put(rank)
if __name__ == "__main__":
    for method in METHODS:
        context = multiprocessing.get_context(method)
        queue = context.Queue()
        process = context.Process(target=work, args=(7, queue))
        process.start()
        print(queue.get(timeout=60))
        process.join()
        with context.Pool(1) as pool:
            print(pool.map(square, [2.0, 3.0]))
    import torch.multiprocessing as mp
    queue = mp.get_context("spawn").SimpleQueue()
    mp.spawn(child, args=(queue,), nprocs=2)
    print(sorted([queue.get(), queue.get()]))
"""


@pytest.mark.parametrize("as_module", [False, True])
def test_it_holds_in_spawned_workers(tmp_path, as_module):
    methods = ["spawn", "forkserver"] if sys.platform != "win32" else ["spawn"]
    script = write(tmp_path, "main.py", f"METHODS = {methods}\n" + WORKER)
    words = ["-m", "main"] if as_module else [script]
    lines = out(python("-m", "mlkit.torch", *words, "--x", cwd=tmp_path)).splitlines()
    assert lines == ["(7, 2.0, 'torch.float32', ['--x'], False)", "[4.0, 9.0]"] * len(methods) + ["[0, 1]"]


def test_pytest_runs_tests_that_import_torch(tmp_path):
    write(tmp_path, "test_it.py", "import torch\ndef test_one():\n    assert torch.ones(3).sum() == 3\n")
    done = python("-m", "mlkit.torch", "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py", cwd=tmp_path)
    assert "1 passed" in out(done)


def test_the_hidden_broadcast_warns_at_the_users_line(tmp_path):
    program = "import torch\nloss = torch.nn.MSELoss()\nprint(loss(torch.zeros(3, 1), torch.ones(3)).item())\n"
    done = python("-m", "mlkit.torch", write(tmp_path, "main.py", program), cwd=tmp_path)
    assert out(done) == "1.0\n"
    assert "main.py:3: UserWarning: Using a target size (torch.Size([3])) that is different to the input" in done.stderr


def test_in_a_notebook(tmp_path):
    """Cells, %run, autoloaded helpers, and unloading, in a real IPython shell."""
    pytest.importorskip("IPython")
    write(tmp_path, "helper.py", "import torch\nfrom torch import nn\nclass Net(nn.Linear):\n    pass\n")
    write(tmp_path, "script.py", "import torch\nx = torch.full((2,), 3.0)\n")
    cells = [
        "import mlkit",
        "%load_ext mlkit.torch",
        "import torch, torch.nn as nn\nfrom helper import Net\nassert issubclass(Net, nn.Linear)",
        "%run script.py",
        "assert x.sum().item() == 6 and repr(x.dtype) == 'torch.float32'",
        "assert 'zeros' in dir(torch)",
        "%unload_ext mlkit.torch",
        "try:\n    import torch.fft\nexcept ImportError:\n    print('gone', repr(x.dtype))",
    ]
    code = f"""
    import sys
    from IPython.core.interactiveshell import InteractiveShell
    sys.path.insert(0, {str(tmp_path)!r})
    shell = InteractiveShell.instance()
    for cell in {json.dumps(cells)}:
        shell.run_cell(cell).raise_error()
    """
    done = python("-c", textwrap.dedent(code), cwd=tmp_path, env={"IPYTHONDIR": str(tmp_path / "ipython")})
    assert "gone mlkit.float32" in out(done)


def test_worker_processes_of_a_notebook(tmp_path):
    """No main file: a helper module that imports torch loads in a spawned worker."""
    write(tmp_path, "helper.py", "import torch\ndef work(queue):\n    queue.put(torch.arange(4).sum().item())\n")
    code = f"""
    import sys, mlkit.torch
    sys.path.insert(0, {str(tmp_path)!r})
    mlkit.torch.install()
    import helper, multiprocessing
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=helper.work, args=(queue,))
    process.start()
    print(queue.get(timeout=60))
    """
    assert out(python("-c", textwrap.dedent(code), cwd=tmp_path)) == "6\n"


def test_who_owns_a_file(tmp_path):
    from mlkit.core import frames
    from mlkit.core.installed import is_installed_file
    from mlkit.torch.owner import is_users

    elsewhere = str(tmp_path / ".local" / "lib" / "site-packages" / "package" / "code.py")
    assert (
        is_installed_file(elsewhere) and not frames.is_users(elsewhere) and frames.is_users(str(tmp_path / "train.py"))
    )
    assert is_installed_file(io.__file__) and is_installed_file(pytest.__file__)
    assert is_installed_file(str(ROOT / "mlkit" / "nn" / "linear.py"))
    assert not is_installed_file(str(tmp_path / "train.py")) and not is_installed_file(__file__)
    assert is_users({"__name__": "__main__"}) and not is_users({}) and not is_users({"__file__": io.__file__})
