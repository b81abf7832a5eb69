"""The displays in a real browser: accessible, light and dark, and complete where viewers strip styles and scripts."""

import json
import re

import numpy as np
import pytest

import mlkit
from mlkit import nn
from mlkit.display import dataset, error, graph, history, optimizer, summary, tensor
from mlkit.display.report import page, write_report
from tests.display.test_snapshots import DISPLAYS, drawn

pytestmark = pytest.mark.browser


def gallery():
    """One of each kind that needs no training."""
    rng = np.random.default_rng(0)
    mlkit.manual_seed(0)
    series = {"train/loss": rng.random(200).tolist(), "valid/loss": [0.5, 0.4], "valid/accuracy": [0.9, 0.95]}
    record = {
        "name": "Net", "inputs": ["x"], "outputs": ["y"], "modules": [{"path": "fc", "type": "Linear"}],
        "values": [{"id": "x", "name": "input", "shape": [2, 3]}, {"id": "y", "shape": [2, 4]}],
        "nodes": [{"id": "n", "op": "linear", "module": "fc", "inputs": ["x"], "outputs": ["y"]}],
    }  # fmt: skip
    blocks = [nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16)) for _ in range(3)]
    model = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 16), *blocks)
    pets = mlkit.data.LabelledImages(
        rng.random((30, 1, 8, 8), np.float32), np.arange(30) % 3, ["cat", "dog", "owl"], "pets"
    )
    try:
        model(mlkit.zeros(2, 1, 9, 9))
    except Exception as problem:
        card = error.html(problem)
    weight = nn.Parameter(mlkit.randn(4, 8))
    (weight * weight).sum().backward()
    return {
        "parameter": weight._repr_html_(),
        "summary": summary.html(mlkit.summary(model, input_size=(64, 1, 8, 8))),
        "failing summary": summary.html(mlkit.summary(model, input_size=(64, 1, 9, 9))),
        "error": card,
        "optimizer": optimizer.html(mlkit.optim.AdamW(model.parameters(), lr=1e-3)),
        "dataset": dataset.html(mlkit.data.DataLoader(pets, batch_size=8, shuffle=True)),
        "values": tensor.html(rng.normal(size=(4, 6))),
        "matrix": tensor.html(np.where(rng.random((32, 100)) > 0.99, np.nan, rng.normal(size=(32, 100)))),
        "images": tensor.html(rng.random((20, 1, 28, 28), np.float32)),
        "filters": tensor.html(rng.normal(size=(8, 4, 3, 3))),
        "vector": tensor.html(rng.normal(size=300)),
        "history": history.html(series),
        "graph": graph.html(record),
    }


def violations(browser_page, axe, scope="body"):
    browser_page.evaluate(axe)
    tags = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]
    options = {"runOnly": tags, "rules": {"region": {"enabled": False}, "page-has-heading-one": {"enabled": False}}}
    found = browser_page.evaluate("([s, o]) => axe.run(s, o)", [scope, options])["violations"]
    return [(v["id"], v["nodes"][0]["html"][:200], v["nodes"][0]["failureSummary"][:300]) for v in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 700])
def test_every_display_and_the_report_are_accessible(chromium, axe, tmp_path, scheme, width):
    cards = "".join(gallery().values()) + "".join(drawn(name)[0] for name in DISPLAYS)
    (tmp_path / "gallery.html").write_text(
        page("Gallery", f"<main>{cards}</main>", "body{background:light-dark(#fff,#111);color-scheme:light dark}"),
        "utf-8",
    )
    matrix = np.diag(np.arange(30, 40))
    matrix[2, 7], matrix[5, 1] = 3, 1
    wrong = [(np.random.default_rng(1).random((28, 28)), 2, 7, 0.6)]
    write_report(
        tmp_path / "report.html",
        history={"train/loss": [2.0, 1.0]},
        confusion=matrix,
        wrong=wrong,
        info={"Settings": {"epochs": 1}},
    )
    context = chromium.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 800}, bypass_csp=True
    )  # for axe alone; the page forbids scripts
    try:
        for name in ("gallery.html", "report.html"):
            sheet = context.new_page()
            asked = []
            sheet.on("request", lambda request, asked=asked: asked.append(request.url))
            sheet.goto((tmp_path / name).as_uri())
            assert violations(sheet, axe) == []
            assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
            assert sheet.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
                f"{name} is wider than the window"
            )
            broken = sheet.evaluate("[...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.alt)")
            assert broken == []
            sheet.close()
    finally:
        context.close()


GROUND = "e => { const c = getComputedStyle(e).backgroundColor.match(/[\\d.]+/g).map(Number); return (c[0] + c[1] + c[2]) / 3 }"
CENTRE = """async img => { await img.decode(); const c = document.createElement('canvas'); c.width = img.naturalWidth; c.height = img.naturalHeight;
  const x = c.getContext('2d'); x.drawImage(img, 0, 0); const d = x.getImageData(2, 2, 1, 1).data; return (d[0] + d[1] + d[2]) / 3 }"""


@pytest.mark.parametrize(
    ("attributes", "scheme", "dark"),
    [
        ("", "light", False),
        ("", "dark", True),
        ('data-jp-theme-light="false"', "light", True),
        ('data-jp-theme-light="true"', "dark", False),
        ('class="vscode-dark"', "light", True),
        ('class="vscode-light"', "dark", False),
    ],
)
def test_cards_follow_the_notebooks_theme_before_the_systems(chromium, tmp_path, attributes, scheme, dark):
    path = tmp_path / "theme.html"
    path.write_text(f"<!DOCTYPE html><meta charset=utf-8><body {attributes}>{gallery()['history']}", "utf-8")
    sheet = chromium.new_page(color_scheme=scheme)
    try:
        sheet.goto(path.as_uri())
        assert (sheet.eval_on_selector(".mlkit-display", GROUND) < 128) == dark
        box = sheet.locator("img").first.bounding_box()
        shot = sheet.screenshot(clip={"x": box["x"] + 2, "y": box["y"] + 2, "width": 4, "height": 4})
        image = pytest.importorskip("PIL.Image")
        import io

        pixel = image.open(io.BytesIO(shot)).convert("L").getpixel((1, 1))
        assert (pixel < 128) == dark, "the picture does not follow its card"
    finally:
        sheet.close()


def test_the_tree_folds_by_keyboard(chromium, tmp_path):
    path = tmp_path / "graph.html"
    path.write_text(f"<!DOCTYPE html><meta charset=utf-8><body>{gallery()['graph']}", "utf-8")
    sheet = chromium.new_page()
    try:
        sheet.goto(path.as_uri())
        summary = sheet.locator("summary").first
        summary.focus()
        sheet.keyboard.press("Enter")
        assert sheet.locator("details").first.get_attribute("open") is not None
        sheet.keyboard.press("Enter")
        assert sheet.locator("details").first.get_attribute("open") is None
    finally:
        sheet.close()


def sanitized(html):
    """What JupyterLab leaves of an untrusted output: no <style> with its text, no <svg>, no scripts."""
    return re.sub(r"<(style|script|svg)\b.*?</\1>", "", html, flags=re.S)


def test_nothing_is_lost_without_styles_and_scripts(parse):
    for name, html in gallery().items():
        whole, rest = parse(html), parse(sanitized(html))
        assert rest.text == whole.text, name
        assert rest.all("img") == whole.all("img"), name


def test_a_gallery_survives_nbconvert(parse, tmp_path):
    nbformat = pytest.importorskip("nbformat")
    nbconvert = pytest.importorskip("nbconvert")
    cells = []
    for name, html in gallery().items():
        data = {"text/html": html, "text/plain": name}
        output = nbformat.v4.new_output("execute_result", data=data, execution_count=1)
        cells.append(nbformat.v4.new_code_cell(name, outputs=[output], execution_count=1))
    notebook = nbformat.v4.new_notebook(cells=cells)
    body, _ = nbconvert.HTMLExporter(exclude_input=True).from_notebook_node(
        nbformat.from_dict(json.loads(json.dumps(notebook)))
    )
    without = re.sub(r"<script\b.*?</script>", "", body, flags=re.S)
    for html in gallery().values():
        for image in parse(html).all("img"):
            assert image["src"] in without
