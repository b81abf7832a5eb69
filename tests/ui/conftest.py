"""Real browsers on real servers: one JupyterLab, one Voila and one browser for all tests of this folder.

Everything a server may read or write besides the checkout lies in a temporary folder: configuration, workspaces, runs,
and copies of the notebooks. Nothing outside this machine is asked for, and a test that tries fails.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.tools.browser import find

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent))  # helpers.py

# A kernel that has just started answers slowly on a busy machine; what is there at once costs no wait.
expect.set_options(timeout=30_000)

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
    "--disable-lcd-text",
    "--hide-scrollbars",
]

HARMLESS = (
    # Voila's page is older than the extensions of this JupyterLab and says so.
    "Unsatisfied version",
    # JupyterLab's debugger asks the kernel something while a test shuts it down.
    "Canceled future for debug_request",
    # plotly's own extension in Voila, when plotly is installed.
    "setData is not a function",
    "jupyterlab-plotly",
)


# A Python in which mlkit is not installed, and a kernel that speaks another language.
BARE = ["-c", """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("mlkit", "mlkit_widgets"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
from ipykernel.kernelapp import launch_new_instance
launch_new_instance()
"""]  # fmt: skip
ECHO = [str(Path(__file__).with_name("echo_kernel.py"))]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    path = find()
    if path is None:
        pytest.skip("no Chromium here; tests/tools/browser.py installs one, or name one in MLKIT_BROWSER")
    return {**browser_type_launch_args, "executable_path": path, "args": ARGUMENTS}


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    return {
        **browser_context_args,
        "viewport": {"width": 1280, "height": 900},
        "reduced_motion": "reduce",
        "locale": "en-GB",
        "timezone_id": "UTC",
    }


@dataclass
class Server:
    """A running server, the folder it serves, and where its runs go."""

    url: str
    folder: Path
    runs: Path
    log: Path


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    command = [
        "-m", "jupyterlab", "--no-browser", "--ServerApp.port_retries=0", "--LabApp.expose_app_in_browser=True",
        "--IdentityProvider.token=", "--ServerApp.password=", "--ServerApp.disable_check_xsrf=True",
    ]  # fmt: skip
    yield from _serve(tmp_path_factory.mktemp("lab"), command, "/api/status")


@pytest.fixture(scope="session")
def voila(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    template = ["--template=mlkit"] if (ROOT / "extensions/voila/mlkit").is_dir() else []
    command = ["-m", "voila", "--no-browser", "--Voila.ip=127.0.0.1", "--show_tracebacks=True", *template]
    yield from _serve(tmp_path_factory.mktemp("voila"), command, "/")


def _serve(home: Path, command: list[str], probe: str) -> Iterator[Server]:
    """Start a server of its own process group in an environment of its own; end exactly that group."""
    for name in ("widgets/mlkit_widgets/training_curves/view.js", "extensions/lab/labextension/package.json"):
        if not (ROOT / name).is_file():
            pytest.fail(f"{name} has not been built: make extension")
    folder, runs, data = home / "work", home / "runs", home / "data"
    shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    for part in (runs, data / "labextensions", data / "voila" / "templates", home / "settings"):
        part.mkdir(parents=True)
    (data / "labextensions" / "mlkit-lab").symlink_to(ROOT / "extensions/lab/labextension")
    if (ROOT / "extensions/voila/mlkit").is_dir():
        (data / "voila" / "templates" / "mlkit").symlink_to(ROOT / "extensions/voila/mlkit")
    quiet = home / "settings" / "@jupyterlab" / "apputils-extension"
    quiet.mkdir(parents=True)
    (quiet / "notification.jupyterlab-settings").write_text(
        json.dumps({"fetchNews": "false", "checkForUpdates": False}), "utf-8"
    )
    (home / "config" / "jupyter_server_config.d").mkdir(parents=True)
    shutil.copy(ROOT / "extensions/lab/mlkit.json", home / "config" / "jupyter_server_config.d" / "mlkit.json")
    if (ROOT / "extensions/voila/voila.json").is_file():
        shutil.copy(ROOT / "extensions/voila/voila.json", home / "config" / "voila.json")
    with socket.socket() as probe_socket:
        probe_socket.bind(("127.0.0.1", 0))
        port = probe_socket.getsockname()[1]
    environment = {
        **os.environ,
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(data),
        # Before what is installed: it is the checkout that is tested. What the caller names comes next: a folder with
        # kernels/python3/kernel.json tests against another ipykernel.
        "JUPYTER_PATH": os.pathsep.join([str(data), *filter(None, [os.environ.get("JUPYTER_PATH")])]),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "MLKIT_RUNS": str(runs),
        "PYTHONPATH": os.pathsep.join(
            [str(ROOT), str(ROOT / "widgets"), *filter(None, [os.environ.get("PYTHONPATH")])]
        ),
    }
    environment.pop("PYTEST_CURRENT_TEST", None)
    for name, language, command_of in (("bare", "python", BARE), ("echo", "echo", ECHO)):
        (data / "kernels" / name).mkdir(parents=True)
        (data / "kernels" / name / "kernel.json").write_text(json.dumps({
            "argv": [sys.executable, *command_of, "-f", "{connection_file}"], "display_name": name, "language": language,
        }), "utf-8")  # fmt: skip
    root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 and "jupyterlab" in command else []
    where = [f"--ServerApp.root_dir={folder}"] if "jupyterlab" in command else [str(folder / "notebooks")]
    log = home / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command, f"--port={port}", *root, *where],
            cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 90
        while True:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the server did not come up:\n{log.read_text('utf-8', 'replace')[-4000:]}")
            try:
                urllib.request.urlopen(url + probe, timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        yield Server(url, folder, runs, log)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


@dataclass
class Watched:
    """What a page complained of, and which addresses outside this machine it asked for."""

    problems: list[str] = field(default_factory=list)
    expected: str | None = None  # words that a test expects in the console, whenever they come
    outside: list[str] = field(default_factory=list)


@pytest.fixture(autouse=True)
def watched(page: Any) -> Iterator[Watched]:
    """Every test ends with an empty console and no request that left the machine."""
    seen = Watched()

    def note(message: Any) -> None:
        if message.type == "error" and not any(words in message.text for words in HARMLESS):
            seen.problems.append(f"{message.text} ({message.location.get('url', '')})")

    page.on("console", note)
    page.on(
        "pageerror",
        lambda error: None if any(words in str(error) for words in HARMLESS) else seen.problems.append(str(error)),
    )

    def guard(route: Any) -> None:
        if route.request.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            route.continue_()
        else:
            seen.outside.append(route.request.url)
            route.abort()

    page.route("**/*", guard)
    yield seen
    assert seen.outside == [], "a page asked for something outside this machine"
    found = [text for text in seen.problems if seen.expected is None or seen.expected not in text]
    assert found == [], "the browser's console has errors"
