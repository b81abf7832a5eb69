"""``%load_ext mlkit`` in a shell of its own."""

import pytest

import mlkit

interactive = pytest.importorskip("IPython.core.interactiveshell")


@pytest.fixture
def shell(monkeypatch, tmp_path):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    shell = interactive.InteractiveShell()
    shell.history_manager.enabled = False
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *objects, **_: shown.extend(objects))
    shell.shown = shown
    shell.extension_manager.load_extension("mlkit")
    shell.run_cell(
        "import mlkit\nfrom mlkit import nn\nnet = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))"
    )
    yield shell
    shell.extension_manager.unload_extension("mlkit")
    assert "trace" not in shell.magics_manager.magics["cell"]


def run(shell, cell):
    result = shell.run_cell(cell)
    result.raise_error()


def test_trace_draws_what_the_cell_did_and_leaves_its_names(shell, parse):
    run(shell, "%%trace\nx = mlkit.randn(3, 4)\nloss = net(x).sum()\nloss.backward()")
    (graph,) = shell.shown
    assert [node.op for node in graph.nodes if node.op in ("linear", "relu", "sum")] == [
        "linear",
        "relu",
        "linear",
        "sum",
    ]
    page = parse(graph._repr_html_())
    assert "[3, 8]" in page.text and "loss = net(x).sum()" in page.text and "ms" in page.text
    assert shell.user_ns["net"][0].weight.grad is not None
    assert {value.name for value in graph.values.values()} >= {"0.weight", "2.bias"}


def test_profile_shows_lines_and_operations_forward_and_backward(shell, parse):
    run(shell, "%%profile\nx = mlkit.randn(3, 4)\nloss = net(x).sum()\nloss.backward()")
    (profile,) = shell.shown
    lines, operations = profile.rows()
    assert {"loss = net(x).sum()", "loss.backward()"} <= {code for _, code, _ in lines}
    names = [name for name, _ in operations]
    assert "linear" in names and any("ackward" in name for name in names)
    share = dict(operations)["linear"]
    assert share.calls == 2 and share.bytes == 4 * 3 * (8 + 2) and share.seconds > 0
    page = parse(profile._repr_html_())
    assert "loss.backward()" in page.text and "time by line" in page.html and "linear" in repr(profile)
    from mlkit.core import events

    assert "backward_node" not in events.listeners


def test_nan_stops_at_the_first_and_says_when_there_is_none(shell, capsys):
    run(shell, "%%nan\ny = net(mlkit.ones(2, 4))")
    assert "no NaN, no Inf" in capsys.readouterr().out
    shell.run_cell("%%nan\nbad = mlkit.zeros(3).log()\nafter = 1")
    assert "log returned the first Inf" in capsys.readouterr().out and "after" not in shell.user_ns
    run(shell, "%%nan --nan-only\nfine = mlkit.zeros(3).log()")
    assert "no NaN" in capsys.readouterr().out
    assert not mlkit.is_anomaly_enabled()


def test_an_unknown_option_says_which_there_are(shell, capsys):
    shell.run_cell("%%nan --all\n1")
    assert "--nan-only" in "".join(capsys.readouterr())


def test_a_cell_that_fails_still_shows_how_far_it_came(shell):
    shell.run_cell("%%trace\ny = net(mlkit.ones(2, 4))\n1 / 0")
    assert len(shell.shown[0].nodes) >= 3


def test_magics_inside_each_other_say_what_happened_once(shell, capsys):
    shell.run_cell("%%nan\n%%profile\nmlkit.zeros(3).log()")
    out = capsys.readouterr().out
    assert "log returned the first Inf" in out and "no NaN" not in out
    assert repr(shell.shown[0]).endswith("no operation of mlkit ran")
    run(shell, "%%profile\n%%trace\ny = net(mlkit.ones(2, 4))")
    graph, profile = shell.shown[1:]
    assert len(graph.nodes) == 3 and dict(profile.rows()[1])["linear"].calls == 2
    run(shell, "%%nan\nfine = 1")
    assert "no NaN, no Inf" in capsys.readouterr().out


def test_an_empty_cell_is_said_to_be_empty(shell, capsys):
    shell.run_cell("%%trace\n")
    assert "empty" in "".join(capsys.readouterr()) and not shell.shown
