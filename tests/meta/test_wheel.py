"""What people install: the wheel's contents, and that it works with no Node and no checkout."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import mlkit

pytest.importorskip("hatchling")

ROOT = Path(__file__).parents[2]
DATA = f"mlkit-{mlkit.__version__}.data/data/"


def build(kind: str, source: Path, folder: Path) -> Path:
    """Build from `source`; what pip does, less the isolated environment."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)],
        cwd=source,
        env={key: value for key, value in os.environ.items() if key != "MLKIT_SKIP_JS"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return next(folder.glob("*.whl" if kind == "wheel" else "*.tar.gz"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        return set(archive.namelist())


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The wheel unpacked by pip into a folder of its own, its dependencies taken from the tests' environment."""
    folder = tmp_path_factory.mktemp("installed")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-compile",
        "--target",
        str(folder),
        str(wheel),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if "No module named pip" in done.stderr:
        pytest.skip("this environment has no pip")
    assert done.returncode == 0, done.stderr
    return folder


def without_node(folder: Path, tmp_path: Path) -> dict[str, str]:
    """An environment in which there is no Node, and in which the installed wheel comes first."""
    tools = tmp_path / "bin"
    tools.mkdir(exist_ok=True)
    for tool in ("sh", "uname", "env"):
        if found := shutil.which(tool):
            (tools / tool).symlink_to(found)
    return {
        "PATH": str(tools),
        "PYTHONPATH": str(folder),
        "HOME": str(tmp_path),
        "JUPYTER_PATH": str(folder / "share" / "jupyter"),
        "MLKIT_RUNS": str(tmp_path / "runs"),
    }


def python(code: str, folder: Path, tmp_path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=without_node(folder, tmp_path),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_python_file_and_every_data_file_is_in_it(names):
    listed = subprocess.run(
        ["git", "ls-files", "mlkit", "widgets/mlkit_widgets"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    if listed.returncode:
        pytest.skip("no git checkout")
    wanted = [name.removeprefix("widgets/") for name in listed.stdout.split()]
    missing = [name for name in wanted if not name.endswith((".ts", ".tsx")) and name not in names]
    assert not missing
    for name in ("mlkit/py.typed", "mlkit/data/shipped/digits.npz", "mlkit/display/style.css"):
        assert name in names


def test_the_front_end_is_in_it(names):
    kinds = [path.parent.name for path in (ROOT / "widgets" / "mlkit_widgets").glob("*/view.tsx")]
    assert len(kinds) >= 2
    for kind in kinds:
        assert f"mlkit_widgets/{kind}/view.js" in names
        assert f"mlkit_widgets/{kind}/widget.py" in names
    extension = DATA + "share/jupyter/labextensions/mlkit-lab/"
    assert extension + "package.json" in names and extension + "install.json" in names
    assert any(name.startswith(extension + "static/remoteEntry.") for name in names)
    assert DATA + "share/jupyter/voila/templates/mlkit/index.html.j2" in names
    assert DATA + "etc/jupyter/voila.json" in names


def test_guide_and_dashboards_are_in_it(names, wheel):
    for path in (ROOT / "notebooks" / "dashboards").glob("*.ipynb"):
        assert f"mlkit/dashboards/{path.name}" in names
    guide = DATA + "share/jupyter/labextensions/mlkit-lab/static/first-network.ipynb"
    with zipfile.ZipFile(wheel) as archive:
        notebook = json.loads(archive.read(guide))
    assert notebook["cells"] and not any(cell.get("outputs") for cell in notebook["cells"])


def test_licences_are_in_it_and_nothing_that_does_not_belong(names):
    info = f"mlkit-{mlkit.__version__}.dist-info/"
    assert {info + "licenses/LICENSE", info + "licenses/NOTICE", info + "METADATA"} <= names
    strangers = [name for name in names if "node_modules" in name or name.endswith((".ts", ".tsx", ".map", ".pyc"))]
    assert not strangers
    roots = {name.split("/")[0] for name in names}
    assert roots == {"mlkit", "mlkit_widgets", info.rstrip("/"), DATA.split("/")[0]}


def test_no_built_file_asks_the_network(wheel):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.endswith((".css", ".html", ".j2", "view.js")):
                text = archive.read(name).decode("utf-8")
                for host in ("cdn.", "jsdelivr", "unpkg.com", "googleapis.com", "cdnjs"):
                    assert host not in text, f"{name} names {host}"


def test_it_works_without_node(installed, tmp_path):
    said = python(
        "import shutil; assert shutil.which('node') is None and shutil.which('npm') is None\n"
        "import mlkit; print(mlkit.__file__)\n"
        "x = mlkit.tensor([1.0, 2.0], requires_grad=True); (x * x).sum().backward(); assert x.grad.tolist() == [2.0, 4.0]\n"
        "from mlkit.data import digits; assert len(digits()) == 1500",
        installed,
        tmp_path,
    )
    assert said.strip().startswith(str(installed))


def test_its_widgets_import_without_node(installed, tmp_path):
    pytest.importorskip("anywidget")
    said = python(
        "from mlkit.widgets import Watch, GraphInspector; import mlkit_widgets; print(mlkit_widgets.__file__)",
        installed,
        tmp_path,
    )
    assert said.strip().startswith(str(installed))


def test_its_command_finds_its_dashboards(installed, tmp_path):
    said = python("import sys; from mlkit.cli import main; sys.exit(main(['dashboard']))", installed, tmp_path)
    for path in (ROOT / "notebooks" / "dashboards").glob("*.ipynb"):
        assert path.stem in said


def test_jupyterlab_sees_its_extension(installed, tmp_path):
    pytest.importorskip("jupyterlab")
    done = subprocess.run(
        [sys.executable, "-m", "jupyter", "labextension", "list"],
        cwd=tmp_path,
        env=without_node(installed, tmp_path),
        capture_output=True,
        text=True,
        timeout=300,
    )
    said = done.stdout + done.stderr
    line = next((line for line in said.splitlines() if "mlkit-lab" in line), "")
    assert f"v{mlkit.__version__}" in line and "enabled" in line and "OK" in line, said


def test_the_sdist_builds_the_same_wheel_without_node(names, tmp_path, monkeypatch):
    sdist = build("sdist", ROOT, tmp_path)
    with tarfile.open(sdist) as archive:
        members = archive.getnames()
        assert not any("node_modules" in name for name in members)
        archive.extractall(tmp_path / "unpacked", filter="data")
    source = next((tmp_path / "unpacked").iterdir())
    monkeypatch.setenv("PATH", str(tmp_path / "no-such-folder"))
    again = build("wheel", source, tmp_path / "second")
    with zipfile.ZipFile(again) as archive:
        assert set(archive.namelist()) == names
