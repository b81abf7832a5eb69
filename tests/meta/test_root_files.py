"""What stands at the root is there, true, and agrees with itself."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import mlkit

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
README = (ROOT / "README.md").read_text("utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
EXAMPLE = re.search(r"```python\n(.*?)\n```", README, re.S)[1]


def test_the_licence_is_whole_and_the_data_is_credited():
    licence = (ROOT / "LICENSE").read_text("utf-8")
    assert "Apache License" in licence and "Version 2.0, January 2004" in licence
    assert "9. Accepting Warranty or Additional Liability" in licence
    notice = (ROOT / "NOTICE").read_text("utf-8")
    for words in ("Optical Recognition of Handwritten Digits", "Alpaydin", "Kaynak", "CC BY 4.0"):
        assert words in notice
    assert PROJECT["license"] == "Apache-2.0" and set(PROJECT["license-files"]) == {"LICENSE", "NOTICE"}


def test_the_extras_are_those_promised():
    extras = PROJECT["optional-dependencies"]
    assert {"lab", "cuda12", "cuda13", "all", "test", "dev"} <= set(extras)
    assert any(one.startswith("ipykernel") and "!=7.0.*" in one for one in extras["lab"])
    assert "mlkit[lab]" in extras["all"]
    assert not any("cupy" in one or "nvidia" in one for one in extras["lab"] + extras["all"])
    for number in ("12", "13"):
        assert any(one.startswith(f"cupy-cuda{number}x") for one in extras[f"cuda{number}"])


def test_doctor_and_the_extras_ask_for_the_same():
    from mlkit import doctor

    asked = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["lab"]
    source = Path(doctor.__file__).read_text("utf-8")
    for wanted in re.findall(r'_package\("[\w-]+", "([^"]+)"', source) + [doctor.IPYKERNEL]:
        assert any(one.split(";")[0].strip() == wanted for one in asked), wanted


def test_one_version_everywhere():
    assert json.loads((ROOT / "extensions/lab/package.json").read_text("utf-8"))["version"] == mlkit.__version__
    assert f"## {mlkit.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert f"mlkit-{mlkit.__version__}-py3" in README


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_every_make_target_named_is_there(text):
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.M))
    named = set(re.findall(r"\bmake ([a-z-]+)", "\n".join(re.findall(r"`[^`]+`|^make .*$", text, re.M))))
    assert named and named <= targets, named - targets


def test_the_readme_opens_with_the_two_commands():
    assert README.index("make lab") < README.index("make test") < README.index("```python") < README.index("Windows")
    assert "untested" in README


def test_every_file_that_the_documents_name_is_there():
    named = re.findall(r"\]\(([\w./-]+)\)", README) + re.findall(
        r"`((?:notebooks|tests|extensions|mlkit)/[\w./-]+)`", README
    )
    named += re.findall(r"`((?:tests|mlkit|widgets|extensions)/[\w./-]+[\w])`", CONTRIBUTING)
    missing = [name for name in named if not (ROOT / name).exists()]
    assert not missing


def test_the_map_is_true():
    start = CONTRIBUTING.index("mlkit/\n")
    block = CONTRIBUTING[start : CONTRIBUTING.index("```", start)]
    inside = [word for line in block.splitlines() if line.startswith("  ") for word in line[:17].split()]
    top = [line.split()[0] for line in block.splitlines() if line and not line.startswith(" ")]
    missing = [name for name in inside if not (ROOT / "mlkit" / name).exists()]
    missing += [name for name in top if not (ROOT / name).exists()]
    assert not missing
    rooms = {path.parent.name for path in (ROOT / "mlkit").glob("*/__init__.py")} - {"utils"}
    assert rooms <= {name.strip("/") for name in inside}, "a room is missing from the map in CONTRIBUTING.md"


def test_the_launcher_card_falls_back_to_the_readme_example():
    source = (ROOT / "extensions/lab/src/notebook.ts").read_text("utf-8")
    assert re.search(r"const EXAMPLE = `(.*?)`;", source, re.S)[1] == EXAMPLE
    assert len([line for line in EXAMPLE.splitlines() if line and "import" not in line]) <= 10


def test_the_readme_example_learns(tmp_path):
    pytest.importorskip("anywidget")
    code = EXAMPLE.replace("epochs=20", "epochs=5") + "\nrun.wait()\nprint(run.history.best('valid/accuracy'))\n"
    code += "assert run.error is None and max(run.history['valid/accuracy']) > 0.9\n"
    env = {"PYTHONPATH": f"{ROOT}:{ROOT / 'widgets'}", "MLKIT_RUNS": str(tmp_path / "runs"), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code],  # a crash in a thread says where
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"


def test_make_help_lists_what_people_need():
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for target in ("lab", "test", "check", "widgets", "extension", "bench", "wheel", "clean", "help"):
        assert re.search(rf"^  make {target} +\S", done.stdout, re.M), target


def test_make_needs_nothing_newer_than_what_macos_has():
    for feature in (".ONESHELL", "$(file ", "!=", "$(intcmp", ".EXTRA_PREREQS", "&:"):
        recipes_aside = "\n".join(line for line in MAKEFILE.splitlines() if not line.startswith("\t"))
        assert feature not in recipes_aside, f"{feature} is not in GNU make 3.81"
