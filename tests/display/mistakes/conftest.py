"""A mistake is a small program in a file of its own, as a user would have it."""

import pytest

from mlkit.display import error as cards

BEGIN = "import mlkit\nfrom mlkit import nn, optim\nF = nn.functional\nmlkit.manual_seed(0)\n"


def run(folder, name, program):
    """(names that the program left, what it raised or None)."""
    path = folder / f"{name}.py"
    path.write_text(BEGIN + program, "utf-8")
    space = {"__name__": "program"}
    try:
        exec(compile(path.read_text("utf-8"), str(path), "exec"), space)
    except Exception as error:
        return space, error
    return space, None


@pytest.fixture
def mistake(tmp_path, parse):
    """Check the card of a program that fails at the line marked ``# here``, and that its repair works."""

    def check(name, program, sentence, hint, repair):
        _, error = run(tmp_path, name, program)
        assert error is not None, "nothing was raised"
        wanted = next(n for n, line in enumerate((BEGIN + program).splitlines(), 1) if "# here" in line)
        line = (BEGIN + program).splitlines()[wanted - 1].strip()
        users, _ = cards.frames(error)
        assert users[-1].lineno == wanted and users[-1].filename.endswith(f"{name}.py")
        words, page = cards.text(error), parse(cards.html(error))
        for shown in (words, page.text):
            assert f"{name}.py, line {wanted}" in shown
        assert line in words and " ".join(line.split()) in page.text
        assert sentence in getattr(error, "sentence", str(error)) and sentence in words
        assert hint in words and "what to do" in page.text
        old, new = repair
        assert program.count(old) == 1, "the repair must fit in one place"
        _, error = run(tmp_path, f"{name}_repaired", program.replace(old, new))
        assert error is None, f"the repair does not work: {error}"

    return check


@pytest.fixture
def program(tmp_path):
    """Run a program; gives the names it left."""

    def go(name, text):
        space, error = run(tmp_path, name, text)
        assert error is None, error
        return space

    return go
