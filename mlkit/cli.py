"""The `mlkit` command: demo, doctor, warmup, lab, dashboard, runs.

What a subcommand needs is imported by that subcommand, so that `mlkit --help` answers at once.
"""

from __future__ import annotations

import argparse
import errno
import importlib.util
import ipaddress
import json
import os
import secrets
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

FIRST_DASHBOARD_PORT = 8866
GUIDE = Path("notebooks") / "guide" / "01-first-network.ipynb"


class UsageError(Exception):
    """The command cannot be carried out as given; the message says why and what to do. Exit status 2."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv` (default: the process's own) and return its exit status.

    0 it went well, 1 it failed, 2 the command line is wrong, 130 interrupted by Ctrl+C.
    """
    parser = _parser()
    words = list(sys.argv[1:] if argv is None else argv)
    passed_on: list[str] = []
    if "--" in words and words[0] == "lab":
        at = words.index("--")
        words, passed_on = words[:at], words[at + 1 :]
    options = parser.parse_args(words)
    options.passed_on = passed_on
    if options.command is None:
        parser.print_help()
        return 0
    try:
        return options.run(options)
    except UsageError as error:
        print(f"mlkit {options.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nmlkit {options.command}: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `mlkit doctor | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        # mlkit's own errors say what to do: no traceback. Anything else is a defect, and its traceback is wanted.
        if not any(kind.__name__ == "MlkitError" for kind in type(error).__mro__) and not isinstance(error, OSError):
            raise
        print(f"mlkit {options.command}: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    from mlkit import __version__

    parser = argparse.ArgumentParser(prog="mlkit", description="PyTorch you can see: train, look, and look again.")
    parser.add_argument("--version", action="version", version=f"mlkit {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    demo = commands.add_parser(
        "demo",
        help="train a convolutional network on handwritten digits and write an HTML report",
        description="Trains the first guide's convolutional network with no notebook, prints its test accuracy and "
        "writes a self-contained HTML report: curves, confusion matrix, wrong digits, model summary.",
    )
    demo.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to train (default: auto)"
    )
    demo.add_argument(
        "--data",
        choices=("auto", "digits", "mnist"),
        default="auto",
        help="digits: 8x8, shipped; mnist: 28x28, from $MLKIT_DATA or downloaded; auto (default): mnist, else digits",
    )
    demo.add_argument("--epochs", type=_positive, help="passes over the training data (default: 20 digits, 3 mnist)")
    demo.add_argument("--seed", type=int, default=0, help="seed of weights and order (default: 0)")
    demo.add_argument(
        "--out", type=Path, default=Path("mlkit-demo.html"), help="the report's file (default: mlkit-demo.html)"
    )
    demo.set_defaults(run=_demo)

    doctor = commands.add_parser(
        "doctor",
        help="what this machine has, what is missing and the line that installs it",
        description="Looks at this machine and says in plain words whether training will use the GPU. "
        "Exit status 1 when something is broken, else 0.",
    )
    doctor.add_argument("--json", action="store_true", help="the same as JSON")
    doctor.set_defaults(run=_doctor)

    warmup = commands.add_parser(
        "warmup",
        help="compile the kernels for this machine ahead",
        description="Compiles the CPU kernels (a minute or two) and keeps them, so that no first training step waits for "
        "it; removes those of other versions. They are in the folder that $MLKIT_HOME names, else in this user's cache.",
    )
    warmup.add_argument("--keep-others", action="store_true", help="keep the kernels of other versions")
    warmup.set_defaults(run=_warmup)

    lab = commands.add_parser(
        "lab",
        help="start JupyterLab",
        description="Starts JupyterLab; in a checkout on the first guide notebook. Options for JupyterLab itself go "
        "after --, as in: mlkit lab -- --port 9999",
        usage="mlkit lab [-h] [--no-browser] [path] [-- JUPYTERLAB OPTIONS]",
    )
    lab.add_argument("path", nargs="?", type=Path, help="a notebook or a folder (default: the guide, or this folder)")
    lab.add_argument("--no-browser", action="store_true", help="only start the server and print its address")
    lab.set_defaults(run=_lab)

    dashboard = commands.add_parser(
        "dashboard",
        help="open a live dashboard in the browser (Voila)",
        description="Serves one dashboard with Voila; without a name, lists those there are. Only this machine can "
        "open it unless --host says otherwise, and then a token is asked for.",
    )
    dashboard.add_argument("name", nargs="?", help="a name from the list, or the path of a notebook")
    dashboard.add_argument(
        "--port", type=_port, help=f"default: the first free one from {FIRST_DASHBOARD_PORT} on, so several can run"
    )
    dashboard.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)")
    dashboard.add_argument("--token", help="the token to ask for (default: none on loopback, else a random one)")
    dashboard.add_argument("--theme", choices=("light", "dark"), default="light", help="default: light")
    dashboard.add_argument("--no-browser", action="store_true", help="only start the server and print its address")
    dashboard.set_defaults(run=_dashboard)
    _runs_parser(commands)
    return parser


def _runs_parser(commands: Any) -> None:
    runs = commands.add_parser(
        "runs",
        help="list, compare, show and tidy up the runs kept in a folder",
        description="Trainings leave a run directory each, in $MLKIT_RUNS or ./runs. Runs that are being written are "
        "listed as running and never renamed, deleted or tidied away.",
    )
    actions = runs.add_subparsers(dest="action", metavar="ACTION")
    runs.set_defaults(run=_runs, action="list", root=None, folder=None, json=False)

    def action(name: str, help: str, **options: Any) -> argparse.ArgumentParser:
        made = actions.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".", **options)
        made.add_argument("--root", type=Path, help="the folder of the runs (default: $MLKIT_RUNS or ./runs)")
        made.set_defaults(run=_runs)
        return made

    one = action("list", "one line for each run, the newest first")
    one.add_argument("folder", nargs="?", type=Path, help="the folder of the runs, as --root")
    one.add_argument("--json", action="store_true", help="the same as JSON")
    one = action("compare", "settings that differ and best numbers of runs, side by side")
    one.add_argument("names", nargs="*", help="names (or their beginnings), paths, or 'last' (default: all runs)")
    one.add_argument("--metric", action="append", help="a curve to compare, such as valid/accuracy; may be repeated")
    one.add_argument("--sort", help="the column to sort by, the best first")
    one.add_argument("--json", action="store_true", help="the same as JSON")
    one = action("show", "everything about one run")
    one.add_argument("name", nargs="?", default="last", help="its name, the beginning of it, its path (default: last)")
    one.add_argument("--json", action="store_true", help="the same as JSON")
    one = action("tidy", "remove old runs, the oldest first, until what is left fits")
    one.add_argument("--quota", help="what all runs together may occupy, such as 500MB or 2GB")
    one.add_argument("--keep", type=int, help="keep so many of the newest")
    one.add_argument("--older-than", type=float, metavar="DAYS", help="remove those that ended longer ago")
    one.add_argument("--state", action="append", choices=("finished", "stopped", "failed", "lost"),
                     help="only runs in this state; may be repeated")  # fmt: skip
    one.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    one = action("rename", "give a run another name")
    one.add_argument("name", help="its name, the beginning of it, or its path")
    one.add_argument("new", help="the new name")
    one = action("delete", "remove runs")
    one.add_argument("names", nargs="+", help="names, their beginnings, or paths")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {value}")
    return value


def _port(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"a port is between 1 and 65535, not {value}")
    return value


def _need(module: str, what: str) -> None:
    """Say which line installs `module` when it is not there."""
    if importlib.util.find_spec(module) is None:
        from mlkit.doctor import pip_install

        requirement = {"voila": "voila>=0.5.8", "jupyterlab": "jupyterlab>=4.4"}[module]
        also = ["ipywidgets>=8.1", "anywidget>=0.9.18", "ipykernel>=6.30,!=7.0.*"]
        raise UsageError(
            f"{what} needs {module}, which is not installed. Install it:\n  {pip_install(requirement, *also)}"
        )


def _refuse_ipykernel_7_0() -> None:
    """Live widgets would stand still with ipykernel 7.0.*: better to say so than to start."""
    from mlkit import doctor

    version = doctor.version_of("ipykernel")
    if version is not None and version.split(".")[:2] == ["7", "0"]:
        raise UsageError(
            f"ipykernel {version} {doctor.IPYKERNEL_REASON}. Replace it:\n"
            f"  {doctor.pip_install('--upgrade', doctor.IPYKERNEL)}"
        )


# --- demo and doctor ------------------------------------------------------------------------------------------------


def _demo(options: argparse.Namespace) -> int:
    # Find out before training, not after it, that the report cannot be written.
    folder = options.out.absolute().parent
    if options.out.is_dir():
        raise UsageError(f"--out {options.out} is a folder; name a file, as in --out {options.out / 'report.html'}")
    if not folder.is_dir():
        raise UsageError(f"--out {options.out}: the folder {folder} is not there. Make it, or name another file.")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"--out {options.out}: {folder} cannot be written. Name a file elsewhere with --out.")
    from mlkit.demo import run

    return run(device=options.device, data=options.data, epochs=options.epochs, seed=options.seed, out=options.out)


def _doctor(options: argparse.Namespace) -> int:
    from mlkit.doctor import examine

    report = examine()
    if options.json:
        print(report.to_json())
    else:
        print(report.to_text(color=sys.stdout.isatty() and not os.environ.get("NO_COLOR")))
    return 0 if report.healthy else 1


def _warmup(options: argparse.Namespace) -> int:
    from mlkit.backends import numba

    if not numba.usable():
        from mlkit.doctor import pip_install

        raise UsageError(
            "Numba is not here or does not work (`mlkit doctor` says which), so there is nothing to compile: NumPy "
            f"computes everything. Install it:\n  {pip_install('numba>=0.61')}"
        )
    import time

    from tqdm import tqdm

    from mlkit.backends.numba import compiling

    begin = time.monotonic()
    removed = 0 if options.keep_others else compiling.remove_other_versions()
    compiled, total = compiling.warm(lambda kernels: tqdm(kernels, unit="kernel", disable=None))
    if removed:
        print(f"Removed the kernels of {removed} other version{'s' * (removed > 1)}.")
    print(f"{total} kernels ready, {compiled} of them compiled now, in {time.monotonic() - begin:.0f} s.")
    print(f"They are kept in {compiling.folder()}")
    return 0


# --- lab ------------------------------------------------------------------------------------------------------------


def _lab(options: argparse.Namespace) -> int:
    path: Path | None = options.path
    if path is not None and not path.exists():
        raise UsageError(f"{path} is not there; name a notebook or a folder")
    _need("jupyterlab", "mlkit lab")
    _refuse_ipykernel_7_0()
    if path is None and GUIDE.is_file():
        path = GUIDE
    arguments = _lab_place(path)
    if options.no_browser:
        arguments.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--allow-root")  # in a container one is root; the server is on loopback and asks for a token
    arguments += options.passed_on

    from jupyterlab.labapp import LabApp

    LabApp.launch_instance(argv=arguments)
    return 0


def _lab_place(path: Path | None) -> list[str]:
    """The folder that Lab shows and the page that it opens, so that the address it prints leads to the notebook too."""
    if path is None or path.is_dir():
        return [str(path)] if path else []
    notebook, here = path.resolve(), Path.cwd()
    root = here if notebook.is_relative_to(here) else notebook.parent
    return [
        f"--ServerApp.root_dir={root}",
        f"--LabApp.default_url=/lab/tree/{quote(notebook.relative_to(root).as_posix())}",
    ]


# --- dashboard ------------------------------------------------------------------------------------------------------


def dashboards() -> dict[str, Path]:
    """Name -> notebook of the dashboards that came with mlkit: in the wheel, or in the checkout."""
    package = Path(__file__).resolve().parent
    for folder in (package / "dashboards", package.parent / "notebooks" / "dashboards"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.ipynb"))}
    return {}


def _need_the_template() -> None:
    """Without its template Voila would serve an empty page for ever."""
    from jupyter_core.paths import jupyter_path

    if not any(Path(folder, "mlkit").is_dir() for folder in jupyter_path("voila", "templates")):
        raise UsageError(
            "the dashboards' template is not installed, as when mlkit is used from its folder without an installation.\n"
            "  Install it: python -m pip install -e '.[lab]' in the checkout, or python -m pip install --force-reinstall mlkit"
        )


def _title(notebook: Path) -> str:
    """The first heading of a notebook; empty when there is none."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        for cell in cells:
            if cell["cell_type"] == "markdown":
                for line in "".join(cell["source"]).splitlines():
                    if line.startswith("#"):
                        return line.lstrip("#").strip()
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return ""


def _dashboard(options: argparse.Namespace) -> int:
    there = dashboards()
    if options.name is None:
        if not there:
            raise UsageError("no dashboard came with this mlkit; name a notebook of your own: mlkit dashboard my.ipynb")
        print("Dashboards (mlkit dashboard NAME opens one):")
        for name, notebook in there.items():
            print(f"  {name:<24} {_title(notebook)}".rstrip())
        return 0
    notebook = _find_dashboard(options.name, there)
    loopback = _is_loopback(options.host)
    _need("voila", "mlkit dashboard")
    _refuse_ipykernel_7_0()
    _need_the_template()
    if options.port is None:
        port = _free_port(options.host)
    else:
        port = options.port
        if reason := _port_taken(options.host, port):
            raise UsageError(
                f"port {port} on {options.host} cannot be used: {reason}. Leave --port out for a free one."
            )
    token = options.token
    if token is None and not loopback:
        token = secrets.token_urlsafe(24)
    # A kernel works in its notebook's folder, maybe inside site-packages: runs belong where the command was given.
    os.environ["MLKIT_RUNS"] = str(Path(os.environ.get("MLKIT_RUNS") or "runs").absolute())
    arguments = [
        str(notebook),
        f"--port={port}",
        f"--Voila.ip={options.host}",
        # A port that is taken between our look and Voila's is no reason to fail, unless this very one was asked for.
        f"--Voila.port_retries={50 if options.port is None else 0}",
        "--template=mlkit",
        f"--theme={options.theme}",
        "--VoilaConfiguration.extension_denylist=mlkit-lab",
        # A page that went away without saying so leaves its kernel: end those that nobody has looked at for an hour.
        "--MappingKernelManager.cull_idle_timeout=3600",
        "--MappingKernelManager.cull_interval=300",
    ]
    if token:
        arguments.append(f"--token={token}")
    if options.no_browser:
        arguments.append("--no-browser")

    from voila.app import Voila

    class Dashboard(Voila):
        """Voila prints its address with the token blotted out, and nobody else knows it."""

        @property
        def display_url(self) -> str:
            return super().display_url.replace("token=...", f"token={token}")

    Dashboard.launch_instance(argv=arguments)  # in this process, so that no process list shows the token
    return 0


def _find_dashboard(name: str, there: dict[str, Path]) -> Path:
    if name in there:
        return there[name]
    path = Path(name)
    if path.suffix == ".ipynb" and path.is_file():
        return path.absolute()
    names = ", ".join(there) or "none came with this mlkit"
    kind = "is not there" if path.suffix == ".ipynb" else "is no dashboard"
    raise UsageError(f"{name} {kind}. The dashboards are: {names}; or give the path of a notebook.")


def _is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`; a host that cannot be listened on is an error."""
    try:
        addresses = {entry[4][0] for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (socket.gaierror, UnicodeError):
        raise UsageError(f"--host {host} is no address of this machine; 127.0.0.1 is the usual one") from None
    return all(ipaddress.ip_address(str(address).split("%")[0]).is_loopback for address in addresses)


def _port_taken(host: str, port: int) -> str | None:
    """Why `port` cannot be listened on; None when it can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Voila's own server does
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "another program uses it"
            if error.errno == errno.EACCES:
                return "ports below 1024 need special rights"
            return error.strerror or str(error)
    return None


def _free_port(host: str) -> int:
    for port in range(FIRST_DASHBOARD_PORT, FIRST_DASHBOARD_PORT + 100):
        reason = _port_taken(host, port)
        if reason is None:
            return port
        if "another program" not in reason:
            raise UsageError(f"--host {host} cannot be listened on: {reason}")
    raise UsageError(f"no free port from {FIRST_DASHBOARD_PORT} on; choose one with --port")


# --- runs -----------------------------------------------------------------------------------------------------------


def _runs(options: argparse.Namespace) -> int:
    from mlkit.observe import runs

    try:
        if options.action in (None, "list"):
            options.root = options.folder or options.root
            options.action = "list"
        if options.action in ("list", "compare", "show"):
            print(_runs_text(options))
        elif options.action == "tidy":
            report = runs.tidy_runs(
                options.root, options.quota, options.keep, options.older_than, options.state, options.dry_run
            )
            for run in report.removed:
                print(f"{'would remove' if options.dry_run else 'removed'} {run.path.name} ({runs.readable(run.size)})")
            print(report)
        elif options.action == "rename":
            print(runs.rename_run(runs.find_run(options.name, options.root), options.new).name)
        else:
            for path in [runs.find_run(name, options.root) for name in options.names]:
                runs.delete_run(path)
                print(f"deleted {path.name}")
    except RuntimeError as error:  # it is being written
        raise UsageError(str(error)) from None
    return 0


def _runs_text(options: argparse.Namespace) -> str:
    from mlkit.observe import format as layout
    from mlkit.observe import runs

    if options.action == "compare":
        chosen = [runs.summary_of(runs.find_run(name, options.root)) for name in options.names]
        table = runs.compare_runs(chosen if options.names else options.root, options.metric, options.sort)
        return layout.to_json({"rows": table.rows, "same": table.same}, indent=1) if options.json else table.to_text()
    if options.action == "list":
        found = runs.list_runs(options.root)
        if options.json:
            return layout.to_json([_run_facts(run) for run in found], indent=1)
        rows = [["run", "state", "step", "epoch", "time", "size", "best"]]
        for run in found:
            first = next((name for name in ("valid/accuracy", "valid/loss", "train/accuracy", "train/loss")
                         if name in run.best), None)  # fmt: skip
            best = "-" if first is None else f"{first} {run.best[first]:.4g}"
            rows.append([run.path.name, run.state, f"{run.step:,}", str(run.epoch), runs.duration(run.seconds),
                         runs.readable(run.size), best])  # fmt: skip
        total = runs.readable(sum(run.size for run in found))
        folder = layout.runs_root(options.root)
        return (
            f"{runs.aligned(rows)}\n{layout.so_many_runs(len(found))}, {total}, in {folder}"
            if found
            else f"no runs in {folder}"
        )
    run = runs.summary_of(runs.find_run(options.name, options.root))
    if options.json:
        return layout.to_json(_run_facts(run), indent=1)
    source = run.open()
    facts = {
        "path": run.path, "state": run.state, "created": run.created, "step": f"{run.step:,}", "epoch": run.epoch,
        "time": runs.duration(run.seconds), "size": runs.readable(run.size), **run.settings,
    }  # fmt: skip
    if run.error:
        facts["error"] = run.error
    lines = [f"{name:<16} {runs.shown(value)}" for name, value in facts.items()]
    curves = [["curve", "points", "best", "last"]]
    for name in run.last:
        curves.append([name, f"{source.count(name):,}", runs.shown(run.best.get(name)), runs.shown(run.last[name])])
    if len(curves) > 1:
        lines += ["", runs.aligned(curves)]
    told = [event for event in source.events() if event.get("kind") in ("message", "hyper", "error")]
    for event in told[-10:]:
        words = event.get("text") or event.get("error") or f"{event.get('name')} = {event.get('value')}"
        lines.append(f"step {event.get('step')}: {words}")
    kept = sorted((run.path / layout.CHECKPOINTS).glob("*.safetensors"))
    lines += [f"checkpoint {path.name}" for path in kept]
    return "\n".join(lines)


def _run_facts(run: Any) -> dict[str, Any]:
    names = ("name", "created", "state", "step", "epoch", "seconds", "size", "settings", "best", "last", "error")
    return {"path": str(run.path), **{name: getattr(run, name) for name in names}}


if __name__ == "__main__":
    sys.exit(main())
