"""Error cards: the sentence, the clash, the user's line, what to do; and a cell that still fails."""

import os
import sys
import textwrap

import pytest

import mlkit
from mlkit.core import rich
from mlkit.core.errors import MlkitError, ShapeError
from mlkit.display import error as display
from tests.tools.notebooks import run as run_notebook


def fail():
    raise ShapeError(
        "linear: the last axis of x and of weight must agree.",
        details="x: (batch=32, in=784)    weight: (out=10, in=28)    784 != 28",
        hint="If x is still an image, flatten it first: `x.flatten(1)`.",
    )


def caught(function):
    try:
        function()
    except Exception as error:
        return error


def test_the_card_says_what_where_and_what_to_do(parse):
    page = parse(display.html(caught(fail)))
    assert "ShapeError" in page.text and "must agree." in page.text and "x.flatten(1)" in page.text
    assert "raise ShapeError(" in page.text and "test_display_error.py" in page.text
    assert page.html.count('<td class="warn">784</td>') == 1 and page.html.count('<td class="warn">28</td>') == 1
    assert page.html.count('<th scope="col" class="warn">in</th>') == 2
    assert os.path.dirname(__file__) not in page.html  # names of files, not of folders


def test_the_text_says_the_same():
    words = display.text(caught(fail))
    assert words.startswith("ShapeError: linear:") and "x:      (batch=32, in=784)\n" in words
    line, carets = words.splitlines()[3:5]
    assert line == "  weight: (out=10, in=28)" and carets.strip() == "^^^^^" and line[carets.index("^") :] == "in=28)"
    assert "> " in words and "x.flatten(1)" in words.splitlines()[-1]


def test_the_users_line_is_shown_not_the_librarys(tmp_path):
    path = tmp_path / "net.py"
    path.write_text("from mlkit.display import registry\n\ndef run():\n    registry.register(3, html=str)\n")
    code = compile(path.read_text(), str(path), "exec")
    space = {}
    exec(code, space)
    error = caught(space["run"])
    users, every = display.frames(error)
    assert [f.lineno for f in users if f.filename == str(path)] == [4]
    assert users[-1].filename == str(path) and len(every) > len(users)


def test_a_real_shape_error_names_the_users_line_and_marks_both_sizes(parse):
    def run():
        return mlkit.zeros(2, 3) @ mlkit.zeros(4, 5)  # here

    error = caught(run)
    users, _ = display.frames(error)
    assert "# here" in users[-1].line or "@" in users[-1].line
    assert users[-1].filename == __file__
    page = parse(display.html(error))
    assert type(error).__name__ in page.text and "mlkit.zeros(2, 3) @" in page.text


def test_hostile_messages_stay_text(parse, hostile):
    def harm():
        raise MlkitError(hostile, details=f"{hostile} 3 != 4", hint=f"`{hostile}`")

    page = parse(display.html(caught(harm)))
    assert page.text.count("<script>") >= 3


def test_an_error_without_a_traceback_or_parts_is_shown_too(parse):
    assert "bare" in parse(display.html(MlkitError("bare"))).text
    assert "ValueError" in parse(display.html(ValueError("other"))).text


def test_outside_ipython_nothing_is_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", None)
    assert rich.install_error_cards() is False


def test_in_a_notebook_the_card_comes_and_the_cell_fails(parse, tmp_path):
    nbformat = pytest.importorskip("nbformat")
    cell = textwrap.dedent("""
        from mlkit.core import rich
        from mlkit.core.errors import ShapeError
        assert rich.install_error_cards()
        raise ShapeError("shapes clash", details="3 != 4", hint="transpose")
    """).strip()
    worker = textwrap.dedent("""
        from mlkit.data import DataLoader, Dataset
        class Broken(Dataset):
            def __len__(self):
                return 4
            def __getitem__(self, index):
                raise KeyError(f"no such file: {index}.png")
        list(DataLoader(Broken(), batch_size=2, num_workers=1))
    """).strip()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in (cell, "1 / 0", worker)])
    run_notebook(notebook, tmp_path, allow_errors=True)
    first, second, third = (cell.outputs for cell in notebook.cells)
    cards = [o for o in first if o.output_type == "display_data"]
    failures = [o for o in first if o.output_type == "error"]
    assert len(cards) == 1 and len(failures) == 1
    page = parse(cards[0].data["text/html"])
    assert "shapes clash" in page.text and "transpose" in page.text and "this notebook, line 4" in page.text
    assert failures[0].ename == "ShapeError"
    assert [o.output_type for o in second] == ["error"] and second[0].ename == "ZeroDivisionError"
    # An error of any class in a loader's worker: the line in the dataset, not the library's.
    assert [o.output_type for o in third] == ["display_data", "error"] and third[1].ename == "KeyError"
    page = parse(third[0].data["text/html"])
    assert (
        "this notebook, line 6, in __getitem__" in page.text
        and "data loader worker 0, loading samples [0, 1]" in page.text
    )
    assert 'raise KeyError(f"no such file: {index}.png")' in page.text


def test_a_cells_file_name_is_not_shown_as_a_number(parse):
    problem = MlkitError("first Inf", details="made at: 3386930622.py:2 in <module>: loss = w.log()")
    for words in (display.text(problem), parse(display.html(problem)).text):
        assert "made at: this notebook, line 2: loss" in words and "3386930622" not in words
