"""ModelBuilder without a browser: what the canvas asks for, weights over edits, files, training, variables."""

import ast
import gc
import subprocess
import sys
import time

import numpy as np
import pytest

import mlkit
from mlkit import ModelBuilder, nn
from mlkit.builder import Document, own, templates
from mlkit.builder.code import snippet
from mlkit.builder.commands import perform
from mlkit.builder.health import Health, look, words
from mlkit.builder.module import GraphModule
from mlkit.builder.training import sample_of
from mlkit.core.errors import DataError
from mlkit.data import DataLoader, TensorDataset


def do(builder, step, **more):
    return perform(builder, {"do": step, "graph": more.pop("graph", None), **more})


def chain(builder, *kinds):
    """Blocks added one behind the other, as Enter in the palette does."""
    last = None
    for kind in kinds:
        last = do(builder, "add", type=kind, after=last)["select"][0]
    return last


@pytest.fixture
def in_memory(monkeypatch, tmp_path):
    monkeypatch.setenv("MLKIT_RUNS", str(tmp_path / "runs"))


# --- steps ---------------------------------------------------------------------------------------------------------------


def test_blocks_added_one_behind_the_other_fit_and_train(in_memory):
    mlkit.manual_seed(0)
    builder = ModelBuilder()
    chain(builder, "Input", "Conv2d", "ReLU", "Flatten", "Linear", "Output")
    assert builder.problems == []
    assert builder.document.main["input"].properties["shape"] == ["batch", 1, 8, 8]
    assert builder.document.main["linear"].properties["in_features"] == 16 * 6 * 6
    assert "10 classes" in builder.objections()[0].message
    assert do(builder, "overcome", number=0)["select"] == ["linear"]
    run = builder.train(epochs=20, lr=0.003, wait=True)
    assert run.history.best("valid/accuracy") >= 0.95
    assert builder.run is run and builder.trainer.model is builder.model


def test_a_block_added_from_the_keyboard_goes_between():
    builder = ModelBuilder("MLP")
    do(builder, "add", type="Dropout", after="relu")
    links = {str(k) for k in builder.document.main.links}
    assert {"relu.output -> dropout.input", "dropout.output -> linear_2.input"} <= links
    do(builder, "remove", blocks=["dropout"])
    assert "relu.output -> linear_2.input" in {str(k) for k in builder.document.main.links}


def test_removing_a_block_that_changes_the_shape_leaves_a_gap():
    builder = ModelBuilder("CNN")
    do(builder, "remove", blocks=["flatten"])
    assert not any(k.target == "linear" for k in builder.document.main.links)


def test_a_link_that_cannot_be_is_refused_in_words():
    builder = ModelBuilder("MLP")
    before = builder.document
    with pytest.raises(DataError, match="round in a circle"):
        do(builder, "connect", source="linear_2", target="linear", output="output", input="input")
    with pytest.raises(DataError, match="to itself"):
        do(builder, "connect", source="relu", target="relu")
    with pytest.raises(DataError, match="gives nothing"):
        do(builder, "connect", source="output", target="relu")
    assert builder.document is before


def test_a_mismatch_is_repaired_with_one_step():
    builder = ModelBuilder("CNN")
    do(builder, "disconnect", links=["flatten.output -> linear.input"])
    do(builder, "connect", source="maxpool2d_2", target="linear")
    problem = builder.shapes()["CNN"].problems[0]
    assert problem.source_shape == ("batch", 32, 7, 7)
    assert problem.repairs[0].words == "Insert Flatten"
    do(builder, "set", block="linear", name="in_features", value=100)
    problem = builder.shapes()["CNN"].problems[0]
    assert problem.repairs[0].words == "Insert Flatten, set in_features to 1568"
    steps = len(builder.history.undoable)
    do(builder, "repair", block="linear", number=0)
    assert not [p for p in builder.shapes()["CNN"].problems if p.block == "linear"]
    assert len(builder.history.undoable) == steps + 1


@pytest.mark.parametrize(
    "message",
    [
        {}, {"do": "fly"}, {"do": ["add"]}, {"do": "add"}, {"do": "add", "type": "Nonsense"}, {"do": "add", "type": 5},
        {"do": "set", "block": "linear", "name": "in_features", "value": "many"},
        {"do": "set", "block": "linear", "name": "__class__", "value": 1},
        {"do": "set", "block": "nobody", "name": "in_features", "value": 1},
        {"do": "move", "positions": {"linear": [float("nan"), 0]}}, {"do": "move", "positions": {"linear": ["x", 0]}},
        {"do": "move", "positions": {"linear": 7}}, {"do": "rename", "block": "linear", "name": "import os"},
        {"do": "rename", "block": "linear", "name": "relu"}, {"do": "title", "name": "Linear"},
        {"do": "paste", "text": "hello"}, {"do": "paste", "text": "{}"}, {"do": "paste"},
        {"do": "code", "text": "import os; os.system('true')"}, {"do": "code", "text": 5}, {"do": "group", "blocks": []},
        {"do": "template", "name": "../../etc"}, {"do": "training", "name": "epochs", "value": -1},
        {"do": "training", "name": "data", "value": "nothing"}, {"do": "training", "name": "model_name", "value": "a b"},
        {"do": "undo", "graph": "Elsewhere"}, {"do": "steer", "what": "__init__"}, {"do": "library", "name": "os"},
        {"do": "repair", "block": "linear", "number": 99}, {"do": "note", "number": 3, "text": "x"},
        {"do": "overcome", "number": 9}, {"do": "disconnect", "links": [7]}, {"do": "share", "block": "linear", "owner": "relu"},
    ],
)  # fmt: skip
def test_a_step_that_makes_no_sense_changes_nothing(message):
    builder = ModelBuilder("MLP")
    before = builder.document
    with pytest.raises(DataError):
        perform(builder, message)
    assert builder.document == before


def test_two_hundred_random_steps_and_back():
    rng = np.random.default_rng(3)
    builder = ModelBuilder("CNN")
    first = builder.document
    states = []
    while len(states) < 200:
        graph = builder.document.main
        names = [b.name for b in graph.blocks]
        name = names[rng.integers(len(names))]
        before = builder.document
        what = rng.integers(7)
        try:
            if what == 0:
                do(builder, "add", type=["ReLU", "Dropout", "Linear", "Add"][rng.integers(4)], after=name)
            elif what == 1 and len(names) > 4:
                do(builder, "remove", blocks=[name])
            elif what == 2:
                do(builder, "connect", source=name, target=names[rng.integers(len(names))])
            elif what == 3:
                do(builder, "move", positions={name: [float(rng.integers(900)), 5.0]}, drag=str(len(states)))
            elif what == 4:
                do(builder, "group", blocks=[n for n in names if rng.random() < 0.3], title="Part")
            elif what == 5:
                do(builder, "ungroup", block=name)
            else:
                do(builder, "comment", block=name, text=str(rng.integers(99)))
        except DataError:
            assert builder.document == before
        if builder.document != before:
            states.append(before)
    last = builder.document
    for state in reversed(states):
        builder.undo()
        assert builder.document == state
    assert builder.document == first and builder.undo() is None
    while builder.redo():
        pass
    assert builder.document == last


# --- weights -------------------------------------------------------------------------------------------------------------


def test_weights_survive_edits_that_keep_their_shapes():
    builder = ModelBuilder("MLP")
    weight = builder.model.linear.weight.detach().clone()
    assert builder.model is builder.model
    do(builder, "move", positions={"linear": [7, 7]})
    kept = builder.model
    do(builder, "set", block="linear_2", name="out_features", value=3)
    do(builder, "rename", block="linear", name="first")
    do(builder, "rename", block="first", name="begin")
    do(builder, "add", type="Dropout", after="relu")
    assert builder.model is not kept
    assert mlkit.equal(builder.model.begin.weight, weight)
    builder.read(builder.code.replace("nn.ReLU()", "nn.GELU()"))
    assert mlkit.equal(builder.model.begin.weight, weight)
    assert "GELU" in builder.code


def test_a_module_is_opened_with_its_weights_and_edited():
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 2))
    builder = ModelBuilder.from_module(net, mlkit.zeros(3, 4, 4))
    x = mlkit.randn(5, 4, 4)
    np.testing.assert_allclose(builder.model(x).detach().numpy(), net(x).detach().numpy(), rtol=1e-6)
    first = next(b.name for b in builder.document.main.blocks if b.type == "Linear")
    do(builder, "add", type="LayerNorm", after=first)
    assert mlkit.equal(getattr(builder.model, first).weight, net[1].weight)


def test_code_can_be_set_and_is_the_model():
    builder = ModelBuilder.from_code(templates_code())
    scope: dict = {}
    exec(builder.code, scope)
    other = scope[builder.document.name]()
    other.load_state_dict(builder.model.state_dict())
    x = mlkit.randn(2, 784)
    np.testing.assert_allclose(other(x).detach().numpy(), builder.model(x).detach().numpy(), rtol=1e-6)
    classes = [builder.code_for(library).partition("\nclass ")[2] for library in ("both", "mlkit", "torch")]
    assert classes[0] == classes[1] == classes[2] != ""
    assert "try:\n    from mlkit import nn\nexcept ImportError:" in builder.code
    assert builder.code_for("torch").startswith("from collections import OrderedDict\n\nfrom torch import nn\n")
    with pytest.raises(DataError, match="not for 'jax'"):
        builder.code_for("jax")


def templates_code():
    return ModelBuilder("MLP").code


class Scale(nn.Module):
    """Multiplies by one learned number."""

    def __init__(self, start: float = 1.0):
        super().__init__()
        self.scale = nn.Parameter(mlkit.tensor(start))

    def forward(self, input):
        return input * self.scale


def test_a_class_of_the_user_is_a_block():
    builder = ModelBuilder("MLP", blocks=[Scale])
    do(builder, "add", type="Scale", after="relu")
    do(builder, "set", block="scale", name="start", value=2.5)
    assert builder.problems == [] and float(builder.model.scale.scale) == 2.5
    assert "Scale(start=2.5)" in builder.code
    with pytest.raises(DataError, match="no block named 'Scale'"):
        ModelBuilder().types["Scale"]


# --- files ---------------------------------------------------------------------------------------------------------------


def test_saved_and_loaded(tmp_path):
    builder = ModelBuilder("ResNet block")
    with pytest.raises(DataError, match="no file yet"):
        builder.save()
    path = builder.save(tmp_path / "net")
    assert path.name == "net.mlmodel.json"
    assert ModelBuilder(path).document == builder.document == ModelBuilder().load(path).document
    do(builder, "title", name="Other")
    assert builder.save() == path and ModelBuilder(path).document.name == "Other"


def test_a_hostile_file_is_refused_and_changes_nothing(tmp_path):
    path = tmp_path / "bad.mlmodel.json"
    path.write_text('{"format": "mlkit.model", "version": 1, "name": "__import__", "blocks": []}')
    builder = ModelBuilder("MLP")
    before = builder.document
    with pytest.raises(DataError, match="cannot be a name"):
        builder.load(path)
    assert builder.document is before
    for wrong in (tmp_path / "missing.mlmodel.json", "no such template"):
        with pytest.raises(DataError, match="no file and no template"):
            ModelBuilder(wrong)
    with pytest.raises(DataError, match="from_module"):
        ModelBuilder(nn.Linear(2, 2))
    with pytest.raises(DataError, match="got int"):
        ModelBuilder(5)


# --- training ------------------------------------------------------------------------------------------------------------


def points(features=3, classes=2):
    x = np.random.default_rng(0).standard_normal((40, features)).astype(np.float32)
    return TensorDataset(x, (x[:, 0] > 0).astype(np.int64) % classes)


def test_own_data_is_picked_first_and_says_what_it_is(in_memory):
    builder = ModelBuilder(data={"mine": points(), "loader": DataLoader(points(), batch_size=8)})
    assert builder.training["data"] == "mine"
    assert list(builder.catalogue())[:3] == ["mine", "loader", "digits"]
    chain(builder, "Input", "Linear", "Output")
    assert builder.document.main["input"].properties["shape"] == ["batch", 3]
    assert builder.objections() == []
    run = builder.train(data="loader", epochs=1, wait=True)
    assert run.status == "finished"
    assert sample_of(points()).classes is None


def test_what_stands_between_a_model_and_its_training_is_said():
    builder = ModelBuilder("MLP")
    said = builder.objections()[0]
    assert "The data gives (N, 1, 8, 8), the input input takes (N, 784)" in said.message
    with pytest.raises(DataError, match="The data gives"):
        builder.train()
    do(builder, "overcome", number=0)
    do(builder, "overcome", number=0)
    assert [b.type for b in builder.document.main.blocks][1] == "Flatten"
    assert builder.objections() == []
    do(builder, "training", name="loss", value="mse")
    assert "Mean squared error needs targets that are numbers" in builder.objections()[0].message
    do(builder, "overcome", number=0)
    assert builder.training["loss"] == "cross_entropy"
    broken = ModelBuilder("MLP", data={"broken": [1, 2, 3]})
    assert "cannot be read" in broken.objections()[0].message


def test_a_file_that_names_data_of_another_machine_opens():
    builder = ModelBuilder("MLP")
    builder.history.training("data", "somewhere")
    builder.history.training("lr", "fast")
    assert builder.training["data"] == "digits" and builder.training["lr"] == 0.003


def test_mnist_is_offered_and_fetched_when_it_is_asked_for(in_memory, monkeypatch, tmp_path):
    from mlkit.data import handwriting

    rng = np.random.default_rng(0)
    asked = []

    def bring(folder, **options):
        asked.append(folder)
        if len(asked) == 1:
            raise DataError("no way to the network", hint="Put the files there.")
        for part, count in (("train", 60), ("t10k", 20)):
            for kind, shape in (("images-idx3-ubyte", (count, 28, 28)), ("labels-idx1-ubyte", (count,))):
                data = rng.integers(0, 10, shape, np.uint8)
                head = bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{part}-{kind}").write_bytes(head + data.tobytes())
        return folder

    monkeypatch.delenv("MLKIT_DATA", raising=False)
    monkeypatch.setenv("MLKIT_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(handwriting, "_download_mnist", bring)
    builder = ModelBuilder()
    answer = do(builder, "add", type="MNIST")
    assert "MNIST" in answer["said"] and builder.training["data"] == "mnist" and asked == []
    assert builder.document.main["input"].properties["shape"] == ["batch", 1, 28, 28]
    assert builder.undo() == "Pick mnist" and not builder.document.main.blocks
    builder.redo()
    for kind, after in (("Flatten", "input"), ("Linear", "flatten"), ("Output", "linear")):
        do(builder, "add", type=kind, after=after)
    first = builder.objections()[0]
    assert first.message == "MNIST is not on this machine yet." and first.repair.words == "Download MNIST"
    with pytest.raises(DataError, match="not on this machine"):
        builder.train()

    def fetched(words):
        do(builder, "overcome", number=0)
        for _ in range(600):
            if words in str(builder.objections()):
                return
            time.sleep(0.05)
        raise AssertionError(builder.objections())

    fetched("no way to the network")
    assert builder.objections()[0].repair.words == "Try again to download MNIST"
    fetched("10 classes")
    assert asked == [tmp_path / "cache" / "mnist"] * 2
    do(builder, "overcome", number=0)
    run = builder.train(epochs=1, wait=True)
    assert run.status == "finished" and run.history["valid/loss"]
    with pytest.raises(DataError, match="There is no data 'cifar'"):
        builder.fetch("cifar")


def test_data_blocks_pick_and_an_input_that_is_there_stays():
    builder = ModelBuilder("MLP", data={"mine": points()})
    for name in ("moons", "mine", "digits"):
        answer = do(builder, "add", type=name)
        assert answer["panel"] == "train" and name in answer["said"]
        assert builder.training["data"] == name
    assert builder.document.main["input"].properties["shape"] == ["batch", 784]
    other = ModelBuilder(data={"mine": points()})
    assert do(other, "add", type="mine", position=[5, 6])["select"] == ["input"]
    assert other.document.main["input"].properties["shape"] == ["batch", 3]
    assert other.document.main["input"].position == (5.0, 6.0)


# --- classes of the notebook ---------------------------------------------------------------------------------------------


class Shell:
    """As much of IPython as the builder asks for."""

    def __init__(self):
        self.user_ns, self.hooks, self.events = {}, [], self

    def register(self, event, hook):
        assert event == "post_run_cell"
        self.hooks.append(hook)

    def unregister(self, event, hook):
        self.hooks.remove(hook)

    def run(self, **names):
        self.user_ns.update(names)
        for hook in list(self.hooks):
            hook(None)


@pytest.fixture
def shell(monkeypatch):
    found = Shell()
    monkeypatch.setattr(own, "_shell", lambda: found)
    return found


def layer(name, width_of=1.0, base=nn.Module):
    def init(self, width: int = 4):
        nn.Module.__init__(self)
        self.inner = nn.Linear(4, width)

    def forward(self, x):
        return width_of * self.inner(x)

    return type(name, (base,), {"__init__": init, "forward": forward, "__module__": "__main__"})


def test_a_class_of_the_notebook_is_a_block(shell):
    shell.user_ns.update(Gate=layer("Gate"), Linear=layer("Linear"), number=5, nn=nn, Conv=nn.Conv2d, plain=dict)
    builder = ModelBuilder()
    own.after_every_cell(builder)
    assert [b.name for b in builder.types if b.group == "Yours"] == ["Gate"]
    assert builder.types["Gate"].doc == "A class of yours" and builder.types["Linear"].target is nn.Linear
    do(builder, "add", type="Input", properties={"shape": ["batch", 4]})
    do(builder, "add", type="Gate", after="input")
    do(builder, "add", type="Output", after="gate")
    assert builder.problems == [] and "gate=Gate()" in builder.code
    assert "# Gate is a class of your notebook" in builder.code
    one = builder.model(mlkit.ones(1, 4)).detach().numpy()
    weight = builder.model.gate.inner.weight.detach().clone()
    shell.run(Gate=layer("Gate", 2.0))  # defined afresh: the model is made of the new one, with its weights
    assert mlkit.equal(builder.model.gate.inner.weight, weight)
    np.testing.assert_allclose(builder.model(mlkit.ones(1, 4)).detach().numpy(), 2 * one, rtol=1e-6)
    shell.run(Late=layer("Late"))
    assert "Late" in builder.types
    again = ModelBuilder.from_code(builder.code)
    assert again.document.main["gate"].type == "Gate"
    text = builder.document.to_text()
    builder = again = None
    gc.collect()
    shell.run()
    assert shell.hooks == [], "a builder that is gone is told of nothing"
    shell.user_ns.clear()
    with pytest.raises(DataError, match=r"no block 'Gate'(.|\n)*Run the cell that defines class Gate\(nn.Module\)"):
        Document.from_text(text, ModelBuilder().types)
    with pytest.raises(DataError, match=r"Gate is no block(.|\n)*ModelBuilder\(blocks=\[Gate\]\)"):
        ModelBuilder.from_code("model = nn.Sequential(Gate())")


def test_a_class_of_the_notebook_is_still_opened_as_a_part(shell):
    Inner = layer("Inner")
    shell.user_ns.update(Inner=Inner)
    net = nn.Sequential(Inner(), nn.ReLU())
    opened = ModelBuilder.from_module(net, mlkit.ones(2, 4))
    assert list(opened.document.graphs) == ["Inner"]
    one = ModelBuilder.from_module(net, mlkit.ones(2, 4), blocks=[Inner])
    assert one.document.graphs == {} or one.document.main.of_type("Inner")
    with pytest.raises(DataError, match="both a part and a class of yours"):
        do(opened, "add", type="Inner")


def test_every_entry_of_the_palette_is_a_line_of_python(shell):
    shell.user_ns.update(Gate=layer("Gate"))
    x = y = z = mlkit.rand(2, 3, 8, 8)
    ran = 0
    for block in ModelBuilder().types:
        line = snippet(block)
        if block.kind == "graph":
            assert line == ""
            continue
        ast.parse(line)
        if "..." not in line and block.kind in ("module", "operator", "function", "method", "index", "input"):
            exec(line, {"nn": nn, "mlkit": mlkit, "x": x, "y": y, "z": z, **shell.user_ns})
            ran += 1
    assert ran > 80


def test_health_looks_and_leaves_nothing_behind(in_memory):
    builder = ModelBuilder(data={"mine": points()})
    chain(builder, "Input", "Linear", "ReLU", "Linear", "Output")
    builder.train(epochs=2, wait=True)
    report = builder.health.report
    assert {"Net/linear", "Net/relu", "Net/linear_2"} <= set(report)
    assert report["Net/linear"]["gradient"] > 0 and 0 < report["Net/relu"]["zeros"] < 1
    assert all(m._watch is None for m in builder.model.modules() if isinstance(m, GraphModule))
    assert Health().report == {}


def test_what_is_wrong_with_a_block_is_said():
    assert words({"gradient": 0.0}) == "gradient vanishes"
    assert words({"gradient": 1e9}) == "gradient explodes"
    assert words(look(mlkit.tensor([1.0, float("nan")]))) == "not finite"
    assert words(look(mlkit.tensor([1.0, 2.0]))) == ""
    assert look(mlkit.tensor([1, 2])) is None


def test_a_training_is_steered_and_not_begun_twice(in_memory):
    builder = ModelBuilder(data={"mine": points()})
    chain(builder, "Input", "Linear", "Output")
    with pytest.raises(DataError, match="No training"):
        do(builder, "steer", what="pause")
    run = builder.train(epochs=100_000)
    try:
        with pytest.raises(DataError, match="trains already"):
            builder.train()
        do(builder, "steer", what="pause")
        model = builder.model
        do(builder, "set", block="linear", name="out_features", value=5)
        assert builder.model is not model and run.trainer.model is model
    finally:
        do(builder, "steer", what="stop")
    run.wait(30)
    assert run.status == "stopped"


def test_without_the_notebook_parts_the_model_works_and_the_canvas_says_what_is_missing():
    code = (
        "import sys; sys.modules['anywidget'] = None\n"
        "import mlkit; b = mlkit.ModelBuilder('MLP'); print(b.code.count('nn.Linear'), len(list(b.model.parameters())))\n"
        "b._ipython_display_()\n"
        "try:\n    b.widget\nexcept ModuleNotFoundError as error:\n    print('NAMED', error.name)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.startswith("2 4\n"), done.stderr
    assert 'pip install "mlkit[lab]"' in done.stdout and "NAMED anywidget" in done.stdout


def test_importing_mlkit_loads_no_builder():
    done = subprocess.run([sys.executable, "-c", "import mlkit, sys; print('mlkit.builder' in sys.modules)"],
                          capture_output=True, text=True, timeout=120, check=False)  # fmt: skip
    assert done.stdout.strip() == "False"


def test_the_shipped_templates_are_whole():
    for name in templates.TEMPLATES:
        builder = ModelBuilder(name)
        assert builder.problems == [] and builder.model is not None
