"""`mlkit doctor`: what this machine has, what is missing and the line that installs it, and where training will run.

Packages are looked up, not imported, so that a broken one cannot end the report. CuPy alone is really tried: whether a
GPU answers cannot be known otherwise.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

State = Literal["ok", "note", "missing", "broken"]

IPYKERNEL = "ipykernel>=6.30,!=7.0.*"
IPYKERNEL_REASON = (
    "cannot send widget messages from a background thread, so live curves and buttons would stand still (7.1 can)"
)


@dataclass(frozen=True)
class Check:
    """One line of the report.

    state: "ok", "note" (worth knowing), "missing" (optional and not there) or "broken" (there and unusable).
    fix: the one line that installs or repairs it; None where there is nothing to do.
    """

    name: str
    state: State
    found: str
    fix: str | None = None


@dataclass(frozen=True)
class Report:
    """What `mlkit doctor` found: sections of checks, and the device that training will use with the reason."""

    sections: dict[str, list[Check]] = field(default_factory=dict)
    device: Literal["cpu", "cuda"] = "cpu"
    reason: str = ""

    @property
    def healthy(self) -> bool:
        """True unless something is broken; missing optional parts are no illness."""
        return not any(check.state == "broken" for checks in self.sections.values() for check in checks)

    def to_json(self) -> str:
        """The report as JSON text: sections, training device and reason, healthy."""
        sections = {title: [asdict(check) for check in checks] for title, checks in self.sections.items()}
        training = {"device": self.device, "reason": self.reason}
        return json.dumps({"healthy": self.healthy, "training": training, "sections": sections}, indent=2)

    def to_text(self, color: bool = False) -> str:
        """The report for a terminal."""
        paint = {"ok": "32", "note": "36", "missing": "33", "broken": "31"}
        lines = []
        for title, checks in self.sections.items():
            lines.append(title)
            for check in checks:
                state = f"{check.state:<8}"
                if color:
                    state = f"\033[{paint[check.state]}m{state}\033[0m"
                lines.append(f"  {state} {check.name:<16} {check.found}")
                if check.fix:
                    lines.append(f"  {'':<8} {'':<16} -> {check.fix}")
            lines.append("")
        where = "GPU" if self.device == "cuda" else "CPU"
        lines.append(f"Training will use the {where}: {self.reason}")
        if not self.healthy:
            lines.append("Something is broken: see the lines marked so above.")
        return "\n".join(lines)


def examine() -> Report:
    """Look at this machine.

    >>> report = examine()
    >>> report.device in ("cpu", "cuda"), "Machine" in report.sections
    (True, True)
    """
    gpu, device, reason = _gpu()
    sections = {
        "Machine": _machine(),
        "Arrays and kernels": [_numpy(), _package("numba", "numba>=0.61", _numba_detail), *_core_packages()],
        "GPU": gpu,
        "Notebook": _notebook(),
        "Data": _data(),
    }
    return Report(sections, device, reason)


def version_of(package: str) -> str | None:
    """The installed version, without importing; None when it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def pip_install(*requirements: str) -> str:
    """The line that installs these into the Python that is running."""
    quoted = " ".join(f"'{one}'" if re.search(r"[<>=!\[*]", one) else one for one in requirements)
    return f"{_python()} -m pip install {quoted}"


def _python() -> str:
    found = shutil.which("python")
    same = found is not None and Path(found).absolute().parent == Path(sys.executable).absolute().parent
    return "python" if same else sys.executable


# --- machine --------------------------------------------------------------------------------------------------------


def _machine() -> list[Check]:
    from mlkit import __version__

    system = f"{platform.system()} {platform.release()} ({platform.machine()})"
    untested = platform.system() == "Windows"
    checks = [
        Check("mlkit", "ok", __version__),
        Check("Python", "ok", f"{platform.python_version()} ({sys.executable})"),
        Check("System", "note" if untested else "ok", system + ("; untested on Windows" if untested else "")),
        Check("Cores", "ok", _cores()),
    ]
    memory = _memory()
    if memory:
        checks.append(Check("Memory", "ok", f"{memory / 2**30:.1f} GiB"))
    return checks


def _cores() -> str:
    from mlkit.core.machine import cores

    usable = cores()
    total = os.cpu_count() or usable
    return f"{usable}" if usable == total else f"{usable} usable of {total}"


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


# --- arrays and kernels ---------------------------------------------------------------------------------------------


def _numpy() -> Check:
    import numpy

    blas = "an unknown BLAS"
    try:
        entry = numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[call-overload,index]
        blas = f"BLAS {entry['name']} {entry.get('version', '')}".strip()
    except (KeyError, TypeError):
        pass
    limits = [f"{name}={os.environ[name]}" for name in _THREAD_VARIABLES if os.environ.get(name)]
    return Check("NumPy", "ok", ", ".join([numpy.__version__, blas, *limits]))


_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def _package(package: str, requirement: str, detail: Callable[[str], Check | str] | None = None) -> Check:
    """Installed or not; `detail` may add words, or answer with another check altogether."""
    version = version_of(package)
    if version is None:
        return Check(package, "missing", "not installed", pip_install(requirement))
    if detail is None:
        return Check(package, "ok", version)
    answer = detail(version)
    return answer if isinstance(answer, Check) else Check(package, "ok", f"{version}{answer}")


def _numba_detail(version: str) -> Check | str:
    # A Numba that is too old for the NumPy beside it says so at import only.
    try:
        numba = importlib.import_module("numba")
    except Exception as error:
        return Check("numba", "broken", f"{version} does not import: {error}", pip_install("--upgrade", "numba"))
    return f", {numba.config.NUMBA_NUM_THREADS} threads"


def _core_packages() -> list[Check]:
    return [
        _package("ml_dtypes", "ml_dtypes>=0.5"),
        _package("safetensors", "safetensors>=0.5"),
        _package("tqdm", "tqdm>=4.66"),
    ]


# --- GPU ------------------------------------------------------------------------------------------------------------


def _gpu() -> tuple[list[Check], Literal["cpu", "cuda"], str]:
    driver = _driver()
    checks = [
        Check("NVIDIA driver", "ok", driver[0])
        if driver
        else Check("NVIDIA driver", "note", "no NVIDIA GPU found here")
    ]
    extra = f"cuda{driver[1]}" if driver and driver[1] in (12, 13) else "cuda13"
    packages = [name for name in ("cupy-cuda12x", "cupy-cuda13x", "cupy-cuda11x", "cupy") if version_of(name)]
    if not packages:
        fix = pip_install(f"cupy-{extra}x[ctk]>=14.0", *_cuda_extras(extra))
        if driver:
            checks.append(Check("CuPy", "missing", "not installed", fix))
            return checks, "cpu", "there is an NVIDIA GPU, but CuPy is not installed (the line above installs it)."
        checks.append(Check("CuPy", "missing", "not installed; of use with an NVIDIA GPU only", fix))
        return checks, "cpu", "this machine has no NVIDIA GPU."
    if len(packages) > 1:
        found = ", ".join(f"{name} {version_of(name)}" for name in packages)
        keep = f"cupy-{extra}x"
        fix = f"{_python()} -m pip uninstall -y {' '.join(packages)} && {pip_install(f'{keep}[ctk]>=14.0')}"
        checks.append(Check("CuPy", "broken", f"{found}: only one of them may be installed", fix))
        return checks, "cpu", "CuPy is installed twice, which breaks it."
    return _try_cupy(checks, packages[0], driver is not None)


def _cuda_extras(extra: str) -> list[str]:
    number = extra.removeprefix("cuda")
    return [f"nvidia-cudnn-cu{number}", "nvidia-cudnn-frontend", f"nvmath-python[cu{number}]"]


def _try_cupy(checks: list[Check], package: str, has_driver: bool) -> tuple[list[Check], Literal["cpu", "cuda"], str]:
    version = version_of(package)
    try:
        cupy = importlib.import_module("cupy")
    except Exception as error:
        words = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        fix = pip_install("--force-reinstall", f"{package}[ctk]")
        checks.append(Check("CuPy", "broken", f"{package} {version} does not import: {words}", fix))
        return checks, "cpu", "CuPy is installed and does not import."
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        state: State = "broken" if has_driver else "note"
        words = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        checks.append(Check("CuPy", state, f"{package} {version}, but no GPU answers: {words}"))
        return checks, "cpu", "CuPy is installed, but no GPU answers."
    if count == 0:
        checks.append(Check("CuPy", "note", f"{package} {version}, no GPU visible"))
        return checks, "cpu", "no GPU is visible (is CUDA_VISIBLE_DEVICES set?)."
    names = []
    for index in range(count):
        properties = cupy.cuda.runtime.getDeviceProperties(index)
        name = properties["name"]
        names.append(
            f"{name.decode() if isinstance(name, bytes) else name} ({properties['totalGlobalMem'] / 2**30:.0f} GiB)"
        )
    checks.append(Check("CuPy", "ok", f"{package} {version}"))
    checks.append(Check("GPU", "ok", ", ".join(names)))
    cuda = cupy.cuda.runtime.runtimeGetVersion() // 1000
    cudnn, frontend = version_of(f"nvidia-cudnn-cu{cuda}"), version_of("nvidia-cudnn-frontend")
    if cudnn and frontend:
        checks.append(Check("cuDNN", "ok", f"{cudnn}, frontend {frontend}"))
    else:
        lacking = [
            one for one, there in ((f"nvidia-cudnn-cu{cuda}", cudnn), ("nvidia-cudnn-frontend", frontend)) if not there
        ]
        checks.append(Check("cuDNN", "missing", f"{' and '.join(lacking)} not installed", pip_install(*lacking)))
    try:
        probe = cupy.arange(4, dtype="float32")
        good = float((probe * probe).sum()) == 14.0
    except Exception as error:
        checks.append(
            Check("GPU arithmetic", "broken", str(error).strip().splitlines()[0], pip_install(f"{package}[ctk]"))
        )
        return checks, "cpu", "the GPU is there, but a small calculation on it failed."
    if not good:
        checks.append(Check("GPU arithmetic", "broken", "a small calculation gave a wrong answer"))
        return checks, "cpu", "the GPU gave a wrong answer to a small calculation."
    return checks, "cuda", f"{names[0]} answers. Choose with --device, or .to('cuda') in code."


def _driver() -> tuple[str, int | None] | None:
    """(words, major CUDA version the driver supports), or None without an NVIDIA GPU."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ("present (nvidia-smi is not on PATH)", None) if os.path.exists("/dev/nvidiactl") else None
    try:
        answer = subprocess.run([tool], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    if answer.returncode:
        return None
    driver = re.search(r"Driver Version:\s*([\d.]+)", answer.stdout)
    cuda = re.search(r"CUDA(?: UMD)? Version:\s*(\d+)\.(\d+)", answer.stdout)
    words = f"{driver[1] if driver else 'unknown version'}" + (f", CUDA up to {cuda[1]}.{cuda[2]}" if cuda else "")
    return words, int(cuda[1]) if cuda else None


# --- notebook -------------------------------------------------------------------------------------------------------


def _notebook() -> list[Check]:
    return [
        _package("jupyterlab", "jupyterlab>=4.4", _at_least("jupyterlab", (4, 4))),
        _package("ipykernel", IPYKERNEL, _ipykernel_detail),
        _package("ipywidgets", "ipywidgets>=8.1", _at_least("ipywidgets", (8, 1))),
        _package("anywidget", "anywidget>=0.9.18"),
        _package("matplotlib", "matplotlib>=3.9"),
        _widgets(),
        _lab_extension(),
        _package("voila", "voila>=0.5.8"),
        _voila_template(),
    ]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _at_least(package: str, oldest: tuple[int, int]) -> Callable[[str], Check | str]:
    def detail(version: str) -> Check | str:
        if _numbers(version) >= oldest:
            return ""
        wanted = ".".join(map(str, oldest))
        fix = pip_install("--upgrade", f"{package}>={wanted}")
        return Check(package, "broken", f"{version} is too old: {wanted} or newer is needed", fix)

    return detail


def _ipykernel_detail(version: str) -> Check | str:
    numbers = _numbers(version)
    if numbers[:2] == (7, 0):
        return Check("ipykernel", "broken", f"{version} {IPYKERNEL_REASON}", pip_install("--upgrade", IPYKERNEL))
    if numbers < (6, 30):
        words = f"{version} is too old: 6.30 or newer, and not 7.0, is needed"
        return Check("ipykernel", "broken", words, pip_install("--upgrade", IPYKERNEL))
    return ""


def _checkout() -> Path | None:
    """The folder of the git checkout or sdist that this mlkit runs from; None for an installed wheel."""
    root = Path(__file__).resolve().parent.parent
    return root if (root / "pyproject.toml").is_file() and (root / "hatch_build.py").is_file() else None


def _rebuild(target: str) -> str:
    return f"make {target}" if _checkout() else pip_install("--force-reinstall", "--no-deps", "mlkit")


def _widgets() -> Check:
    spec = importlib.util.find_spec("mlkit_widgets")
    if spec is None or not spec.submodule_search_locations:
        return Check("mlkit widgets", "missing", "not installed", _rebuild("widgets"))
    folder = Path(next(iter(spec.submodule_search_locations)))
    kinds = sorted(path.parent for path in folder.glob("*/widget.py"))
    unbuilt = [kind.name for kind in kinds if not (kind / "view.js").is_file()]
    if not kinds:
        return Check("mlkit widgets", "broken", f"no widget in {folder}", _rebuild("widgets"))
    if unbuilt:
        return Check("mlkit widgets", "broken", f"not built: {', '.join(unbuilt)}", _rebuild("widgets"))
    return Check("mlkit widgets", "ok", ", ".join(kind.name for kind in kinds))


def _jupyter_data() -> list[Path]:
    """Where Jupyter looks for data: its own answer where it is installed, else this Python's share folder."""
    try:
        from jupyter_core.paths import jupyter_path
    except ImportError:
        return [Path(sys.prefix) / "share" / "jupyter"]
    return [Path(one) for one in jupyter_path()]


def _lab_extension() -> Check:
    places = [folder / "labextensions" / "mlkit-lab" for folder in _jupyter_data()]
    for place in places:
        try:
            package = json.loads((place / "package.json").read_text(encoding="utf-8"))
            load = package["jupyterlab"]["_build"]["load"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if not (place / load).is_file():
            return Check("Lab extension", "broken", f"{place} lacks {load}", _rebuild("extension"))
        return Check("Lab extension", "ok", f"mlkit-lab {package.get('version', '')}")
    return Check("Lab extension", "missing", "mlkit-lab is not where JupyterLab looks", _rebuild("extension"))


def _voila_template() -> Check:
    for folder in _jupyter_data():
        if (folder / "voila" / "templates" / "mlkit" / "index.html.j2").is_file():
            return Check("Voila template", "ok", "mlkit")
    return Check("Voila template", "missing", "mlkit's template is not where Voila looks", _rebuild("lab"))


# --- data -----------------------------------------------------------------------------------------------------------


def _data() -> list[Check]:
    checks = []
    folder = os.environ.get("MLKIT_DATA")
    if not folder:
        checks.append(Check("MLKIT_DATA", "note", "not set: the shipped digits are used, other data is downloaded"))
    elif Path(folder).is_dir():
        checks.append(Check("MLKIT_DATA", "ok", folder))
    else:
        checks.append(
            Check("MLKIT_DATA", "broken", f"{folder} is no folder", "unset MLKIT_DATA, or set it to a folder")
        )
    runs = Path(os.environ.get("MLKIT_RUNS") or "runs").absolute()
    parent = next(one for one in (runs, *runs.parents) if one.exists())
    if parent.is_dir() and os.access(parent, os.W_OK):
        free = shutil.disk_usage(parent).free / 2**30
        checks.append(Check("Runs", "ok", f"{runs} ({free:.1f} GiB free)"))
    else:
        words = f"{runs} cannot be written: runs are kept in memory only"
        checks.append(Check("Runs", "note", words, "export MLKIT_RUNS=a folder that can be written"))
    return checks
