"""`mlkit doctor`: every part present or the line that installs it, and the truth about the GPU."""

import json
import sys
import types

import pytest

from mlkit import doctor


@pytest.fixture
def versions(monkeypatch):
    """Pretend that packages have these versions (None: not installed); others are as they are."""
    pretend: dict[str, str | None] = {}
    real = doctor.version_of
    monkeypatch.setattr(doctor, "version_of", lambda name: pretend[name] if name in pretend else real(name))
    for name in ("cupy", "cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x"):
        pretend[name] = None
    return pretend


def check(report: doctor.Report, name: str) -> doctor.Check:
    return next(one for checks in report.sections.values() for one in checks if one.name == name)


@pytest.mark.parametrize("version", ["7.0.0", "7.0.1", "7.0.0a1"])
def test_ipykernel_7_0_is_refused_with_the_reason(versions, version):
    versions["ipykernel"] = version
    report = doctor.examine()
    found = check(report, "ipykernel")
    assert found.state == "broken" and version in found.found
    assert "background thread" in found.found and "7.1" in found.found
    assert "ipykernel>=6.30,!=7.0.*" in found.fix
    assert not report.healthy


@pytest.mark.parametrize(
    ("version", "state"), [("6.29.5", "broken"), ("6.30.0", "ok"), ("7.1.0", "ok"), ("7.4.0", "ok"), ("8.0.0", "ok")]
)
def test_other_ipykernels(versions, version, state):
    versions["ipykernel"] = version
    assert check(doctor.examine(), "ipykernel").state == state


def test_an_old_jupyterlab_is_broken_and_a_missing_one_only_missing(versions):
    versions["jupyterlab"] = "3.6.1"
    found = check(doctor.examine(), "jupyterlab")
    assert found.state == "broken" and "jupyterlab>=4.4" in found.fix
    versions["jupyterlab"] = None
    report = doctor.examine()
    found = check(report, "jupyterlab")
    assert found.state == "missing" and found.fix.endswith("'jupyterlab>=4.4'")


def test_everything_missing_has_the_line_that_installs_it(versions):
    for name in (
        "numba",
        "ml_dtypes",
        "safetensors",
        "tqdm",
        "jupyterlab",
        "ipykernel",
        "ipywidgets",
        "anywidget",
        "voila",
    ):
        versions[name] = None
    report = doctor.examine()
    for name in versions:
        if name.startswith("cupy"):
            continue
        assert check(report, name).state == "missing"
        assert "-m pip install" in check(report, name).fix and name in check(report, name).fix


def test_no_gpu_and_no_cupy_means_the_cpu_in_plain_words(versions, monkeypatch):
    monkeypatch.setattr(doctor, "_driver", lambda: None)
    report = doctor.examine()
    assert report.device == "cpu" and "no NVIDIA GPU" in report.reason
    assert report.to_text().splitlines()[-1].startswith("Training will use the CPU:") or not report.healthy


@pytest.mark.parametrize(("major", "extra"), [(12, "cuda12x"), (13, "cuda13x")])
def test_a_gpu_without_cupy_names_the_package_for_its_driver(versions, monkeypatch, major, extra):
    monkeypatch.setattr(doctor, "_driver", lambda: (f"550.1, CUDA up to {major}.2", major))
    report = doctor.examine()
    assert report.device == "cpu" and "CuPy is not installed" in report.reason
    assert f"cupy-{extra}[ctk]" in check(report, "CuPy").fix
    assert check(report, "CuPy").state == "missing"


def test_two_cupys_are_broken(versions, monkeypatch):
    versions["cupy-cuda12x"], versions["cupy-cuda13x"] = "14.2.0", "14.2.0"
    monkeypatch.setattr(doctor, "_driver", lambda: ("580.1, CUDA up to 13.0", 13))
    report = doctor.examine()
    found = check(report, "CuPy")
    assert found.state == "broken" and "uninstall" in found.fix and report.device == "cpu"


def fake_cupy(count=1, error=None):
    import numpy

    def devices():
        if error:
            raise error
        return count

    runtime = types.SimpleNamespace(
        getDeviceCount=devices,
        getDeviceProperties=lambda index: {"name": b"NVIDIA Test", "totalGlobalMem": 16 * 2**30},
        runtimeGetVersion=lambda: 13000,
    )
    return types.SimpleNamespace(cuda=types.SimpleNamespace(runtime=runtime), arange=numpy.arange)


def test_a_gpu_that_answers_is_used(versions, monkeypatch):
    versions |= {"cupy-cuda13x": "14.2.0", "nvidia-cudnn-cu13": "9.28", "nvidia-cudnn-frontend": None}
    monkeypatch.setattr(doctor, "version_of", versions.get)
    monkeypatch.setattr(doctor, "_driver", lambda: ("580.1, CUDA up to 13.0", 13))
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy())
    report = doctor.examine()
    assert report.device == "cuda" and "NVIDIA Test" in report.reason
    assert check(report, "GPU").found == "NVIDIA Test (16 GiB)"
    assert check(report, "cuDNN").state == "missing" and check(report, "cuDNN").fix.endswith("nvidia-cudnn-frontend")
    assert "Training will use the GPU" in report.to_text()


def test_cupy_without_a_gpu_is_a_note_and_with_a_silent_gpu_broken(versions, monkeypatch):
    versions["cupy-cuda13x"] = "14.2.0"
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(error=RuntimeError("cudaErrorNoDevice: no device\nmore")))
    monkeypatch.setattr(doctor, "_driver", lambda: None)
    report = doctor.examine()
    assert check(report, "CuPy").state == "note" and report.device == "cpu"
    assert "cudaErrorNoDevice" in check(report, "CuPy").found and "more" not in check(report, "CuPy").found
    monkeypatch.setattr(doctor, "_driver", lambda: ("580.1", 13))
    assert check(doctor.examine(), "CuPy").state == "broken"


def test_nvidia_smi_is_read(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho '| NVIDIA-SMI 580.65   Driver Version: 580.65.06   CUDA Version: 13.0 |'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor._driver() == ("580.65.06, CUDA up to 13.0", 13)


def test_unbuilt_widgets_are_broken(monkeypatch, tmp_path):
    kind = tmp_path / "mlkit_widgets" / "training_curves"
    kind.mkdir(parents=True)
    (kind / "widget.py").write_text("")
    spec = types.SimpleNamespace(submodule_search_locations=[str(kind.parent)])
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: spec)
    found = doctor._widgets()
    assert found.state == "broken" and "training_curves" in found.found and found.fix
    (kind / "view.js").write_text("export default {}")
    assert doctor._widgets().state == "ok"


def test_the_lab_extension_is_looked_for_where_jupyter_looks(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "_jupyter_data", lambda: [tmp_path])
    assert doctor._lab_extension().state == "missing"
    place = tmp_path / "labextensions" / "mlkit-lab"
    (place / "static").mkdir(parents=True)
    package = {"version": "0.1.0", "jupyterlab": {"_build": {"load": "static/remoteEntry.1.js"}}}
    (place / "package.json").write_text(json.dumps(package))
    assert doctor._lab_extension().state == "broken"
    (place / "static" / "remoteEntry.1.js").write_text("")
    assert doctor._lab_extension() == doctor.Check("Lab extension", "ok", "mlkit-lab 0.1.0")


def test_a_data_folder_that_is_not_there_is_broken(monkeypatch, tmp_path):
    monkeypatch.setenv("MLKIT_DATA", str(tmp_path / "nowhere"))
    assert check(doctor.examine(), "MLKIT_DATA").state == "broken"
    monkeypatch.setenv("MLKIT_DATA", str(tmp_path))
    assert check(doctor.examine(), "MLKIT_DATA").state == "ok"


def test_json_says_the_same_as_the_report(versions):
    report = doctor.examine()
    said = json.loads(report.to_json())
    assert said["healthy"] == report.healthy and said["training"]["device"] == report.device
    assert [one["name"] for one in said["sections"]["Machine"]][:2] == ["mlkit", "Python"]


def test_the_exit_status_says_whether_something_is_broken(versions, capsys):
    from mlkit.cli import main

    versions["ipykernel"] = "7.0.1"
    assert main(["doctor"]) == 1
    assert "Something is broken" in capsys.readouterr().out
    versions["ipykernel"] = None
    status = main(["doctor", "--json"])
    assert status == (0 if json.loads(capsys.readouterr().out)["healthy"] else 1)
