"""Registering kinds, and the jump from the core that never raises."""

import subprocess
import sys

import pytest

from mlkit.core import rich
from mlkit.display import registry


class Base:
    pass


class Child(Base):
    pass


@pytest.fixture(autouse=True)
def _restored():
    before = dict(registry._entries)
    yield
    registry._entries.clear()
    registry._entries.update(before)


def test_a_type_is_found_along_its_mro():
    registry.register(Base, html=lambda obj: "base", text=lambda obj: "base text")
    assert rich.repr_html(Child()) == "base" and rich.repr_text(Child()) == "base text"
    registry.register(Child, html=lambda obj: "child")
    assert rich.repr_html(Child()) == "child"
    assert rich.repr_text(Child()) == "base text"  # what the class leaves out comes from its base


def test_a_name_works_before_the_class_is_imported():
    registry.register(f"{__name__}.Base", html=f"{__name__}:draw_base")
    assert rich.repr_html(Child()) == "drawn"
    registry.unregister(f"{__name__}.Base")
    assert rich.repr_html(Child()) is None


def draw_base(obj):
    return "drawn"


def test_the_bundle_has_text_html_and_what_the_type_adds():
    registry.register(Base, html=lambda obj: "<b>x</b>", mimebundle=lambda obj: {"image/png": "aGk="})
    bundle = rich.repr_mimebundle(Base())
    assert set(bundle) == {"text/plain", "text/html", "image/png"}
    assert set(rich.repr_mimebundle(Base(), include={"text/html"})) == {"text/html"}
    assert set(rich.repr_mimebundle(Base(), exclude={"text/html"})) == {"text/plain", "image/png"}


def test_nothing_registered_gives_none():
    assert rich.repr_html(Base()) is None and rich.repr_text(Base()) is None and rich.repr_mimebundle(Base()) is None


def test_a_failing_display_says_why_in_one_line_and_does_not_raise(parse, hostile):
    def fail(obj):
        raise RuntimeError(f"line one\n{hostile}")

    registry.register(Base, html=fail, text=fail)
    page = parse(rich.repr_html(Base()))
    assert "display failed: RuntimeError: line one" in page.text and [t for t, _ in page.elements] == ["pre"]
    assert rich.repr_text(Base()).count("\n") == 0
    bundle = rich.repr_mimebundle(Base())
    assert "text/html" not in bundle and "HTML display failed: RuntimeError" in bundle["text/plain"]


def test_a_repr_that_asks_the_registry_does_not_loop():
    class Loop:
        def __repr__(self):
            return rich.repr_text(self)

    def fail(obj):
        raise ValueError("no")

    registry.register(Loop, text=fail)
    assert "display failed: ValueError: no" in repr(Loop())


@pytest.mark.parametrize(("arguments", "error"), [((3,), TypeError), (("Tensor",), ValueError)])
def test_bad_registrations_are_refused(arguments, error):
    with pytest.raises(error, match="register"):
        registry.register(*arguments, html=str)
    with pytest.raises(ValueError, match="at least one"):
        registry.register(Base)


def test_displaying_loads_neither_matplotlib_nor_ipython():
    code = (
        "import sys, numpy as np; import mlkit.core.rich as rich; import mlkit.display.tensor as t; t.html(np.zeros((9, 9)));"
        "bad = {'matplotlib', 'IPython', 'ipywidgets', 'PIL', 'numba'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
