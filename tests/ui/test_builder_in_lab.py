"""The model builder in JupyterLab: models made with the mouse alone and with the keyboard alone, trained, and read as code."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from builder_page import Builder, middle
from helpers import Notebook, axe, wait, write_notebook
from playwright.sync_api import Page, expect

from mlkit.data import handwriting

START = "import mlkit\nmlkit.manual_seed(0)\n"
RESNET = """
from mlkit import nn
class Block(nn.Module):
    def __init__(self, a, b, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(a, b, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(b)
        self.conv2 = nn.Conv2d(b, b, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(b)
        self.relu = nn.ReLU()
        self.down = nn.Sequential(nn.Conv2d(a, b, 1, stride, bias=False), nn.BatchNorm2d(b)) if stride > 1 else None
    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + (x if self.down is None else self.down(x)))
class ResNet18(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        sizes = [(64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)]
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(Block(a, b, s), Block(b, b, 1)) for a, b, s in sizes)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512, 1000)
    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(mlkit.flatten(self.avgpool(x), 1))
"""
# Weights and an input that every library makes alike (tests/builder/make_torch_results.py has the same).
WAVES = """
import math, mlkit
def wave(i, shape):
    numbers = [0.3 + 0.2 * math.sin(1.0 + 3 * i + 0.7 * j) for j in range(math.prod(shape))]
    return mlkit.tensor(numbers).reshape(*shape)
def waves(model, shape):
    with mlkit.no_grad():
        for i, p in enumerate(model.state_dict().values()):
            p.copy_(wave(i, p.shape))
        return [round(v, 6) for v in model(wave(7, shape)).flatten()[:16].tolist()]
"""
CASES = json.loads((Path(__file__).parents[1] / "builder" / "torch_results.json").read_text("utf-8"))


@pytest.fixture
def notebook(page: Page, lab: Any, request: pytest.FixtureRequest) -> Any:
    """`notebook(*cells)` opens a notebook with these cells and runs it; its kernel is gone after the test."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])

    def open_notebook(*cells: str) -> Notebook:
        name = f"{re.sub(r'[^a-z0-9_]', '_', request.node.name)}.ipynb"
        write_notebook(lab.folder / name, cells)
        book = Notebook(page, lab.url, name)
        page.evaluate(
            "() => { if (!jupyterapp.shell.leftCollapsed) jupyterapp.commands.execute('application:toggle-left-area') }"
        )
        book.run(0)
        return book

    yield open_notebook
    page.evaluate("async () => { await window.jupyterapp?.serviceManager.sessions.shutdownAll(); }")


def answer(book: Notebook, index: int, timeout: float = 60) -> str:
    """What a cell says when it is run now."""
    before = book.cells()[index].get("execution_count")
    book.run(index)
    book.wait(lambda: book.cells()[index].get("execution_count") not in (None, before), f"cell {index}", timeout)
    book.wait(lambda: book.text(index), f"what cell {index} says", timeout)
    return book.text(index)


def test_a_cnn_with_the_mouse_alone(page: Page, lab: Any, notebook: Any) -> None:
    """MNIST where $MLKIT_DATA has it, else the digits that ship with mlkit: to 95 %, and its code elsewhere."""
    data, side = ("MNIST", 28) if handwriting._find_mnist(None) is not None else ("digits", 8)
    small = side // 2 - 2
    book = notebook(
        START + "builder = mlkit.ModelBuilder()\nbuilder",
        "history = builder.run.history\n"
        "print('accuracy', history.best('valid/accuracy'), type(net).__name__, net is builder.model)",
    )
    model = Builder(page)
    model.show()
    expect(model.canvas.get_by_role("heading", name="Drag a block here")).to_be_visible()
    kinds = [data, "Conv2d", "ReLU", "MaxPool2d", "Conv2d", "ReLU", "Linear", "Output"]
    for i, kind in enumerate(kinds):
        model.drag_block(kind, 130 + 250 * (i % 2), 45 + 62 * i)
    names = ["input", "conv2d", "relu", "maxpool2d", "conv2d_2", "relu_2", "linear", "output"]
    wait(page, lambda: model.names() == names, "the blocks in their order")
    labels = [node.get_attribute("aria-label") for node in model.canvas.locator(".react-flow__node").all()]
    assert labels == ["Input", *kinds[1:]], "the data has brought an Input of its shape"
    model.choose("conv2d")
    model.set("padding", "1")
    for one, two in zip(names, names[1:]):
        if two != "linear":
            model.link(one, two)

    # shapes stand on every link, and sizes come from what was linked
    model.wait_label(f"N×1×{side}×{side}")
    model.wait_label(f"N×16×{side // 2}×{side // 2}")
    model.wait_label(f"N×16×{small}×{small}")

    # a mismatch is red, says both shapes, and one click repairs it
    model.choose("linear")
    model.set("in_features", "10")
    model.link("relu_2", "linear")
    wait(
        page,
        lambda: "wanted N×…×10" in model.labels() and f"✕ N×16×{small}×{small}" in model.labels(),
        "both shapes on the red link",
    )
    flat = 16 * small * small
    model.block("linear").get_by_role("button", name=f"Insert Flatten, set in_features to {flat}").click()
    model.wait_blocks(9)
    model.wait_label(f"N×{flat}")
    expect(model.canvas.locator("[data-problem]")).to_have_count(0)
    model.press("Arrange")

    # the data has ten classes: the panel says so and sets it
    model.tab("Train")
    expect(model.panel).to_contain_text("10 classes")
    model.panel.get_by_role("button", name="Set out_features of linear to 10").click()
    model.panel.get_by_label("Model variable").fill("net")
    model.panel.get_by_label("Epochs").fill("3" if side == 28 else "20")
    model.panel.get_by_label("Learning rate").fill("0.004")
    model.panel.get_by_label("Learning rate").press("Enter")
    expect(model.panel.get_by_role("button", name="Train", exact=True)).to_have_attribute("aria-disabled", "false")
    wait(page, lambda: page.evaluate("() => document.querySelectorAll('.objections').length") == 0, "no objection")
    model.train(timeout=480 if side == 28 else 180)
    expect(model.block("conv2d").locator(".pulse")).to_be_attached()
    assert "grad" in model.block("conv2d").locator(".pulse").inner_text()
    said = answer(book, 1)
    assert float(re.search(r"accuracy ([\d.]+)", said)[1]) >= 0.95, said  # type: ignore[index]
    assert "True" in said

    # the copied code is the same model in a fresh kernel, and gives what PyTorch gives for it
    model.tab("Code")
    model.panel.get_by_role("button", name="Copy code").click()
    code = page.evaluate("() => navigator.clipboard.readText()")
    assert "class Net(nn.Sequential)" in code and f"nn.Linear({flat}, 10)" in code
    write_notebook(
        lab.folder / "fresh.ipynb", [code, WAVES + f"print('gives', waves(Net().eval(), (2, 1, {side}, {side})))"]
    )
    fresh = Notebook(page, lab.url, "fresh.ipynb")
    fresh.run_all()
    fresh.wait_run(1)
    gives = json.loads(fresh.text(1).partition("gives ")[2])
    if side == 8:
        case = next(case for case in CASES if case["code"] == code)  # what PyTorch said of this very text
        assert gives == pytest.approx(case["values"][0], rel=1e-4, abs=1e-5)
    python = os.environ.get("MLKIT_BENCH_PYTORCH")
    if python:  # the very text under PyTorch now, where there is no mlkit
        text = code + WAVES.replace("mlkit", "torch") + f"print(waves(Net().eval(), (2, 1, {side}, {side})))"
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        done = subprocess.run([python, "-"], input=text, cwd=lab.folder, env=environment, capture_output=True, text=True,
                              timeout=300)  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert gives == pytest.approx(json.loads(done.stdout), rel=1e-4, abs=1e-5)


def keys(page: Page, *names: str) -> None:
    for name in names:
        page.keyboard.press(name)


def test_the_same_with_the_keyboard_alone(page: Page, notebook: Any) -> None:
    book = notebook(
        START + "builder = mlkit.ModelBuilder()\nbuilder",
        "print('accuracy', builder.run.history.best('valid/accuracy'))",
        "print([str(k) for k in builder.document.main.links])",
    )
    model = Builder(page)
    model.show()
    inside = "() => !!document.activeElement.closest('.mlkit-builder')"
    for _ in range(60):  # from wherever the notebook has left the focus
        keys(page, "Tab")
        if page.evaluate(inside):
            break
    assert page.evaluate(inside)
    keys(page, "Escape", "/") if page.evaluate("() => document.activeElement.tagName") != "INPUT" else None
    for many, kind in enumerate(["Input", "Conv2d", "ReLU", "Flatten", "Linear", "Output"], 1):
        page.keyboard.insert_text(kind)
        keys(page, "Enter")
        model.wait_blocks(many)
        keys(page, "Control+a")
    expect(model.canvas.locator(".react-flow__edge")).to_have_count(5)
    model.wait_label("N×16×6×6")

    # to the block that is chosen, on to its neighbours, and into its settings
    keys(page, "Escape")
    assert page.evaluate("() => document.activeElement.dataset.id") == "output"
    keys(page, "Shift+Tab")
    while page.evaluate("() => document.activeElement.dataset.id") != "linear":
        keys(page, "Shift+Tab")
    keys(page, "Enter", "Enter")
    label = "() => document.activeElement.labels?.[0]?.innerText"
    wait(page, lambda: page.evaluate(label) == "in_features", "the focus in the settings")
    keys(page, "Tab", "Control+a")
    page.keyboard.insert_text("10")
    keys(page, "Enter")
    model.wait_label("N×10")

    # moved by arrows, linked and added with L, deleted, taken back
    keys(page, "Escape")
    before = middle(model.block("linear"))
    keys(page, *["Shift+ArrowRight"] * 3)
    wait(page, lambda: middle(model.block("linear"))[0] > before[0] + 20, "the block to move")
    page.wait_for_timeout(600)  # small moves are sent when they have come to rest
    while page.evaluate("() => document.activeElement.dataset.id") != "conv2d":
        keys(page, "Shift+Tab")
    keys(page, "Enter", "l")
    expect(page.get_by_role("dialog", name="Blocks that fit")).to_be_visible()
    page.keyboard.insert_text("BatchNorm2d")
    expect(page.get_by_role("option", name="BatchNorm2d", exact=True)).to_be_visible()
    keys(page, "Enter")
    model.wait_blocks(7)
    assert "conv2d.output -> batchnorm2d.input" in answer(book, 2)
    assert "batchnorm2d.output -> relu.input" in book.text(2)
    model.block("batchnorm2d").focus()
    expect(model.canvas.locator(".react-flow__node.selected[data-id='batchnorm2d']")).to_be_attached()
    keys(page, "Delete")
    model.wait_blocks(6)
    assert "conv2d.output -> relu.input" in answer(book, 2)
    model.canvas.focus()
    keys(page, "Control+z")
    model.wait_blocks(7)
    keys(page, "Control+y")
    model.wait_blocks(6)

    # train
    model.root.get_by_role("tab", name="Block").focus()
    keys(page, "ArrowRight", "ArrowRight")
    model.panel.get_by_label("Epochs").focus()
    keys(page, "Control+a")
    page.keyboard.insert_text("20")
    keys(page, "Tab")
    model.panel.get_by_role("button", name="Train", exact=True).focus()
    keys(page, "Enter")
    wait(page, lambda: model.state == "finished", "the end of the training", 180)
    assert float(answer(book, 1).split()[1]) >= 0.95
    assert len(book.cells()) == 3, "no key was the notebook's"


def test_fifty_steps_back_and_forth(page: Page, notebook: Any) -> None:
    book = notebook(START + "builder = mlkit.ModelBuilder('MLP')\nbuilder", "print(hash(builder.document.to_text()))")
    model = Builder(page)
    model.show()
    model.wait_blocks(5)
    first = answer(book, 1)
    model.choose("linear")
    for i in range(25):
        model.set("out_features", str(64 + i))
        model.wait_label(f"N×{64 + i}")
        model.set("comment", f"try {i}")
        wait(page, lambda i=i: f"try {i}" in model.block("linear").inner_text(), "the comment")
    last = answer(book, 1)
    model.block("linear").focus()
    for _ in range(50):
        keys(page, "Control+z")
    wait(page, lambda: answer(book, 1) == first, "the beginning")
    expect(model.root.get_by_role("button", name="Undo", exact=True)).to_have_attribute("aria-disabled", "true")
    model.block("linear").focus()
    for _ in range(50):
        keys(page, "Control+y")
    wait(page, lambda: answer(book, 1) == last, "the end")


def test_resnet_18_is_opened_edited_and_read_back(page: Page, notebook: Any) -> None:
    book = notebook(
        START
        + RESNET
        + "net = ResNet18()\nbuilder = mlkit.ModelBuilder.from_module(net, mlkit.randn(2, 3, 64, 64))\nbuilder",
        "code = builder.code\nscope = {}\nexec(code, scope)\nprint(scope['ResNet18']().fc, len(code.splitlines()) > 60)",
        "print('weights', mlkit.equal(builder.model.conv1.weight, net.conv1.weight), builder.model.fc.weight.shape)",
    )
    model = Builder(page)
    model.show()
    model.wait_label("N×512×2×2")
    model.rest()
    inner = model.canvas.get_by_role("button", name=re.compile("^Open ")).last
    inner.click()
    expect(model.root.get_by_role("navigation", name="Where you are")).to_contain_text("›")
    model.wait_label("N×512")
    expect(model.canvas.locator(".react-flow__node[aria-label='Conv2d']").first).to_be_attached()
    model.root.get_by_role("navigation", name="Where you are").get_by_role("button", name="ResNet18").click()
    model.wait_label("N×512×2×2")
    model.press("Fit")
    model.rest()
    model.block("fc").locator(".head").click()
    model.set("out_features", "10")
    model.wait_label("N×10")
    assert "out_features=10" in answer(book, 1)
    said = answer(book, 2)
    assert "weights True" in said and "[10, 512]" in said


def test_edited_code_redraws_the_canvas_and_says_what_it_cannot_read(page: Page, notebook: Any) -> None:
    notebook(START + "builder = mlkit.ModelBuilder('MLP')\nbuilder")
    model = Builder(page)
    model.show()
    model.wait_blocks(5)
    model.tab("Code")
    field = model.panel.get_by_role("textbox", name="Code")
    code = field.input_value()
    field.fill(code.replace("relu=nn.ReLU(),", "relu=nn.ReLU(),\n                dropout=nn.Dropout(0.3),"))
    model.wait_blocks(6)  # after a pause
    expect(model.canvas.locator(".react-flow__node[data-id='dropout']")).to_be_visible()
    field.fill(code.replace("nn.ReLU()", "nn.Nonsense()"))
    model.panel.get_by_role("button", name="Apply").click()
    alert = model.panel.get_by_role("alert")
    expect(alert).to_contain_text("nn.Nonsense is no block")
    line = code.splitlines().index(next(row for row in code.splitlines() if "nn.ReLU()" in row)) + 1
    expect(model.panel.locator(".numbers [data-mark='bad']")).to_have_text(str(line))
    model.wait_blocks(6)
    model.panel.get_by_role("button", name="Discard").click()
    lost = (
        "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.a = nn.Linear(2, 2)\n"
    )
    lost += "        self.b = nn.Linear(2, 2)\n\n    def forward(self, x):\n        return self.a(x)\n"
    field.fill(lost)
    field.press("Control+Enter")
    model.wait_blocks(3)
    expect(model.panel).to_contain_text("self.b of Net is made in __init__ and never used")


def test_a_link_into_the_empty_offers_what_fits(page: Page, notebook: Any) -> None:
    notebook(START + "builder = mlkit.ModelBuilder()\nbuilder")
    model = Builder(page)
    model.show()
    model.drag_block("Input", 200, 60)
    handle = middle(model.block("input").locator(".react-flow__handle-bottom"))
    page.mouse.move(*handle)
    page.mouse.down()
    page.mouse.move(handle[0] + 30, handle[1] + 60, steps=4)
    page.mouse.move(handle[0] + 40, handle[1] + 100, steps=4)
    page.mouse.up()
    dialog = page.get_by_role("dialog", name="Blocks that fit")
    expect(dialog).to_be_visible()
    options = dialog.get_by_role("option")
    expect(options.nth(3)).to_be_visible()
    expect(dialog.get_by_role("option", name="Conv2d", exact=True)).to_be_visible()
    expect(dialog.get_by_role("option", name="Conv1d", exact=True)).to_have_count(0)
    dialog.get_by_role("option", name="Conv2d", exact=True).click()
    model.wait_blocks(2)
    expect(model.canvas.locator(".react-flow__edge")).to_have_count(1)
    model.wait_label("N×1×8×8")


@pytest.mark.parametrize("width", [1280, 700])
def test_a_repair_is_offered_where_it_is_seen_whole(page: Page, notebook: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    notebook(START + "builder = mlkit.ModelBuilder('MLP')\nbuilder")
    model = Builder(page)
    model.show()
    model.choose("linear")
    model.set("out_features", "99")
    card = model.block("linear_2").locator(".problem")
    expect(card).to_be_visible()
    flow = model.canvas.locator(".react-flow")
    flow.evaluate("flow => flow.scrollIntoView({ block: 'center' })")
    page.wait_for_timeout(200)
    box = flow.bounding_box()
    assert box is not None
    for x, y in ((0.02, 0.1), (0.5, 0.5), (0.98, 0.5), (0.98, 0.98), (0.02, 0.98), (0.6, 0.99)):
        # carry the block to that place of the canvas, as far as a hand can
        one = middle(model.block("linear_2").locator(".head"))
        two = (box["x"] + 45 + x * (box["width"] - 90), box["y"] + 30 + y * (box["height"] - 60))
        page.mouse.move(*one)
        page.mouse.down()
        page.mouse.move((one[0] + two[0]) / 2, (one[1] + two[1]) / 2, steps=3)
        page.mouse.move(*two, steps=3)
        page.mouse.up()
        page.wait_for_timeout(120)
        seen = card.evaluate(
            """card => { const { left, top, right, bottom } = card.getBoundingClientRect();
            return [[left + 4, top + 4], [right - 4, top + 4], [left + 4, bottom - 4], [right - 4, bottom - 4]]
              .filter(([x, y]) => card.contains(document.elementFromPoint(x, y))).length; }"""
        )
        assert seen == 4, (width, x, y, card.get_attribute("data-side"))
    card.get_by_role("button", name="Set in_features of linear_2 to 99").click()
    expect(model.canvas.locator("[data-problem]")).to_have_count(0)


def test_a_class_of_a_cell_becomes_a_block(page: Page, notebook: Any) -> None:
    book = notebook(
        START + "builder = mlkit.ModelBuilder()\nbuilder",
        "from mlkit import nn\nclass Gate(nn.Module):\n    'Lets a learned share through.'\n"
        "    def __init__(self, features: int):\n        super().__init__()\n"
        "        self.share = nn.Parameter(mlkit.zeros(features))\n"
        "    def forward(self, x):\n        return x * mlkit.sigmoid(self.share)",
        "print(builder.model, builder.problems)",
    )
    model = Builder(page)
    model.show()
    expect(model.palette).to_contain_text("Your own layers are blocks too")
    book.run(1)
    gate = model.palette.get_by_role("button", name="Gate", exact=True)
    expect(gate).to_be_visible(timeout=30_000)
    expect(gate).to_contain_text("Lets a learned share through")
    expect(model.palette).not_to_contain_text("Your own layers are blocks too")
    model.drag_block("Input", 200, 40)
    model.choose("input")
    model.set("shape", "N, 12")
    model.drag_block("Gate", 200, 160)
    model.link("input", "gate", input="x")
    model.choose("gate")
    expect(model.panel.get_by_label("features", exact=True)).to_be_visible()
    model.set("features", "12")
    model.drag_block("Output", 200, 280)
    model.link("gate", "output")
    model.wait_label("N×12")
    assert "Gate()" in answer(book, 2) and "[]" in book.text(2)


def test_parts_copies_and_a_second_canvas(page: Page, notebook: Any) -> None:
    book = notebook(
        START + "builder = mlkit.ModelBuilder('CNN')\nother = mlkit.ModelBuilder(height=420)\nbuilder",
        "other",
        "print([b.type for b in other.document.main.blocks], list(other.document.graphs))",
    )
    model = Builder(page)
    model.show()
    model.wait_blocks(10)
    model.block("conv2d").locator(".head").click()
    for name in ("relu", "maxpool2d"):
        model.block(name).locator(".head").click(modifiers=["Control"])
    expect(model.panel.get_by_role("heading", name="3 chosen")).to_be_visible()
    keys(page, "Control+g")
    model.wait_blocks(8)
    part = model.canvas.locator(".react-flow__node[aria-label='Part']")
    part.get_by_role("button", name="Open Part").click()
    model.wait_blocks(5)
    model.wait_label("N×16×14×14")
    model.canvas.focus()
    keys(page, "Escape")
    model.wait_blocks(8)
    part.locator(".head b").click()
    keys(page, "Control+c")
    expect(model.root.get_by_role("status").first).to_contain_text("1 copied")
    book.run(1)
    second = Builder(page, 1)
    expect(second.root).to_be_visible(timeout=30_000)
    second.canvas.click(position={"x": 30, "y": 30})
    keys(page, "Control+v")
    second.wait_blocks(1)
    assert "['Graph'] ['Part']" in answer(book, 2)
    for _ in range(2):
        model.canvas.focus()
        keys(page, "Control+z")
    model.wait_blocks(10)


def test_a_reloaded_page_shows_the_same_model(page: Page, notebook: Any) -> None:
    book = notebook(START + "builder = mlkit.ModelBuilder('MLP')\nbuilder")
    model = Builder(page)
    model.show()
    model.choose("linear")
    model.set("out_features", "99")
    model.wait_label("N×99")
    book.save()
    page.reload()
    book.wait_ready()
    model.show()
    model.wait_label("N×99")
    model.choose("linear")
    expect(model.panel.get_by_label("out_features")).to_have_value("99")
    model.press("Undo")
    model.wait_label("N×128")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_to_complain_of_for_axe(page: Page, notebook: Any, theme: str) -> None:
    book = notebook(START + "builder = mlkit.ModelBuilder()\nbuilder")
    book.theme(theme)
    model = Builder(page)
    model.show()
    assert axe(page, ".mlkit-builder") == []
    model.canvas.get_by_role("button", name="CNN").click()
    model.wait_blocks(10)
    model.choose("linear")
    model.set("in_features", "7")
    expect(model.canvas.locator(".block[data-problem]")).to_have_count(1)
    assert axe(page, ".mlkit-builder") == []
    for tab in ("Code", "Train"):
        model.tab(tab)
        expect(model.panel).to_have_attribute("aria-label", tab)
        assert axe(page, ".mlkit-builder") == []
    book.theme("light")
