"""The `mlkit` command: help, bad input, dashboards; servers are really started."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import mlkit
from mlkit import cli, doctor

ROOT = Path(__file__).parents[2]
NOTEBOOK = {
    "cells": [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": ["# Small dashboard\n", "text"]},
        {
            "cell_type": "code",
            "id": "b",
            "metadata": {},
            "execution_count": None,
            "outputs": [],
            "source": "print('-'.join(['forty', 'two']))",
        },
    ],
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


@pytest.fixture
def notebook(tmp_path):
    path = tmp_path / "small.ipynb"
    path.write_text(json.dumps(NOTEBOOK), encoding="utf-8")
    return path


def error_of(arguments, capsys) -> str:
    assert cli.main([str(one) for one in arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    return said.err


def test_version_and_help(capsys):
    with pytest.raises(SystemExit) as status:
        cli.main(["--version"])
    assert status.value.code == 0 and capsys.readouterr().out == f"mlkit {mlkit.__version__}\n"
    assert cli.main([]) == 0
    said = capsys.readouterr().out
    for command in ("demo", "doctor", "lab", "dashboard"):
        assert command in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "nonsense"),
        (["demo", "--epochs", "0"], "1 or more"),
        (["demo", "--epochs", "many"], "invalid"),
        (["demo", "--device", "tpu"], "tpu"),
        (["dashboard", "x", "--port", "70000"], "between 1 and 65535"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong(arguments, words, capsys):
    with pytest.raises(SystemExit) as status:
        cli.main(arguments)
    assert status.value.code == 2
    assert words in capsys.readouterr().err


def test_demo_finds_out_before_training_that_it_cannot_write(tmp_path, capsys):
    assert "is not there" in error_of(["demo", "--out", tmp_path / "no" / "report.html"], capsys)
    assert "is a folder" in error_of(["demo", "--out", tmp_path], capsys)


def test_lab_opens_the_notebook_and_shows_the_folder_one_is_in(tmp_path, monkeypatch):
    notebook = tmp_path / "my course" / "one.ipynb"
    notebook.parent.mkdir()
    notebook.touch()
    monkeypatch.chdir(tmp_path)
    here = [f"--ServerApp.root_dir={tmp_path}", "--LabApp.default_url=/lab/tree/my%20course/one.ipynb"]
    assert cli._lab_place(notebook) == cli._lab_place(Path("my course/one.ipynb")) == here
    monkeypatch.chdir(notebook.parent)
    assert cli._lab_place(notebook)[1] == "--LabApp.default_url=/lab/tree/one.ipynb"
    assert cli._lab_place(tmp_path) == [str(tmp_path)] and cli._lab_place(None) == []


def test_lab_refuses_a_path_that_is_not_there(tmp_path, capsys):
    assert "is not there" in error_of(["lab", tmp_path / "no.ipynb"], capsys)


@pytest.mark.parametrize("command", ["lab", "dashboard"])
def test_missing_packages_are_named_with_the_line_that_installs_them(command, notebook, capsys, monkeypatch):
    monkeypatch.setattr(cli.importlib.util, "find_spec", lambda name: None)
    said = error_of([command, notebook], capsys)
    assert "pip install" in said and {"lab": "jupyterlab", "dashboard": "voila"}[command] in said


@pytest.mark.parametrize("command", ["lab", "dashboard"])
def test_ipykernel_7_0_is_refused(command, notebook, capsys, monkeypatch):
    monkeypatch.setattr(cli.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(doctor, "version_of", lambda name: "7.0.1")
    assert "ipykernel 7.0.1 cannot send widget messages" in error_of([command, notebook], capsys)


def test_dashboard_without_a_name_lists_those_there_are(notebook, capsys, monkeypatch):
    monkeypatch.setattr(cli, "dashboards", lambda: {"small": notebook})
    assert cli.main(["dashboard"]) == 0
    assert re.search(r"^  small +Small dashboard$", capsys.readouterr().out, re.M)


def test_every_shipped_dashboard_has_a_title():
    there = cli.dashboards()
    assert there and all(cli._title(path) for path in there.values())


def test_an_unknown_dashboard_names_those_there_are(notebook, capsys, monkeypatch):
    monkeypatch.setattr(cli, "dashboards", lambda: {"small": notebook})
    assert "small" in error_of(["dashboard", "large"], capsys)
    assert "is not there" in error_of(["dashboard", "large.ipynb"], capsys)


def test_a_taken_port_and_a_strange_host_are_refused(notebook, capsys):
    pytest.importorskip("voila")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said = error_of(["dashboard", notebook, "--port", taken.getsockname()[1]], capsys)
        assert "another program uses it" in said and "--port" in said
    assert "no address" in error_of(["dashboard", notebook, "--host", "no.such.host.invalid"], capsys)


@pytest.mark.parametrize(
    ("host", "loopback"), [("127.0.0.1", True), ("localhost", True), ("0.0.0.0", False), ("::1", True)]
)
def test_who_can_reach_a_host(host, loopback):
    assert cli._is_loopback(host) is loopback


def test_a_host_beyond_loopback_gets_a_token(notebook, monkeypatch):
    voila = pytest.importorskip("voila.app")
    started = []
    monkeypatch.setattr(voila.Voila, "launch_instance", classmethod(lambda cls, argv: started.append(argv)))
    for arguments in (["--host", "0.0.0.0"], ["--host", "127.0.0.1"], ["--host", "0.0.0.0", "--token", "mine"]):
        assert cli.main(["dashboard", str(notebook), *arguments]) == 0
    tokens = [[one.removeprefix("--token=") for one in argv if one.startswith("--token=")] for argv in started]
    assert len(tokens[0][0]) >= 24 and tokens[1] == [] and tokens[2] == ["mine"]


class Server:
    """A started `mlkit dashboard`, ended with everything it started."""

    def __init__(self, arguments, folder):
        self.log = folder / f"log-{time.monotonic_ns()}.txt"
        env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'widgets'}", "PYTHONUNBUFFERED": "1"}
        with open(self.log, "w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlkit", "dashboard", *map(str, arguments), "--no-browser"],
                cwd=folder,
                env=env,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(20)

    def address(self) -> str:
        """What the server says people should open."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if match := re.search(r"running at:\s*(http\S+)", self.log.read_text("utf-8")):
                return match[1]
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise AssertionError(self.log.read_text("utf-8"))


def get(address: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(address, timeout=60) as answer:
            return answer.status, answer.read().decode("utf-8")
    except urllib.error.HTTPError as error:
        return error.code, ""


@pytest.fixture
def voila_template(tmp_path, monkeypatch):
    """The template as the wheel would install it, where Voila looks."""
    pytest.importorskip("voila")
    templates = tmp_path / "jupyter" / "voila" / "templates"
    templates.mkdir(parents=True)
    (templates / "mlkit").symlink_to(ROOT / "extensions" / "voila" / "mlkit")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))


@pytest.mark.slow
def test_two_dashboards_at_once_each_answer(notebook, tmp_path, voila_template):
    with Server([notebook], tmp_path) as one, Server([notebook], tmp_path) as two:
        addresses = one.address(), two.address()
        assert addresses[0] != addresses[1]
        for address in addresses:
            assert address.startswith("http://127.0.0.1:")
            status, page = get(address)
            assert status == 200 and "forty-two" in page and "Small dashboard" in page
            assert "jsdelivr" not in page and "cdnjs" not in page


@pytest.mark.slow
def test_a_token_is_asked_for_and_told(notebook, tmp_path, voila_template):
    with Server([notebook, "--token", "secret-word"], tmp_path) as server:
        address = server.address()
        assert address.endswith("?token=secret-word")  # or nobody could open it
        status, page = get(address.split("?")[0])  # the page that asks for the token, or a refusal
        assert status in (200, 401, 403, 404) and "forty-two" not in page and "Small dashboard" not in page
        status, page = get(address)
        assert status == 200 and "forty-two" in page


def test_a_dashboard_without_its_template_is_refused(tmp_path, monkeypatch, capsys):
    paths = pytest.importorskip("jupyter_core.paths")
    pytest.importorskip("voila")
    monkeypatch.setattr(paths, "jupyter_path", lambda *names: [str(tmp_path)])
    assert "template is not installed" in error_of(["dashboard", "training"], capsys)
