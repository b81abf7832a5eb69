"""The gallery notebook: every display in it, executed, converted, without scripts."""

import re

import pytest

from tests.tools.notebooks import run_guide


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    """The notebook, run in a kernel of its own."""
    return run_guide("gallery", tmp_path_factory.mktemp("gallery")).notebook


def drawn(notebook):
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if "text/html" in output.get("data", {}):
                yield cell.id, output.data


def test_every_cell_draws_something_small_and_sound(gallery, parse):
    cells = dict(drawn(gallery))
    silent = {cell.id for cell in gallery.cells if cell.cell_type == "code"} - cells.keys()
    assert silent == {"imports", "extension"}
    for name, data in cells.items():
        page = parse(data["text/html"])
        assert page.all("div", "mlkit-display"), name
        assert len(data["text/html"].encode()) < 60_000 and data["text/plain"], name
    assert "image/png" in cells["images"] and "image/png" in cells["matrix"]


def test_the_page_is_complete_without_scripts(gallery, parse):
    nbconvert = pytest.importorskip("nbconvert")
    body, _ = nbconvert.HTMLExporter().from_notebook_node(gallery)
    body = re.sub(r"<script\b.*?</script>", "", body, flags=re.S)
    for name, data in drawn(gallery):
        for image in parse(data["text/html"]).all("img"):
            assert image["src"] in body, name


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 700])
def test_the_gallery_is_accessible(gallery, chromium, axe, tmp_path, scheme, width):
    from mlkit.display.report import page
    from tests.display.test_display_browser import violations

    cards = "".join(data["text/html"] for _, data in drawn(gallery))
    path = tmp_path / "gallery.html"
    css = "body{background:light-dark(#fff,#111);color-scheme:light dark}"
    path.write_text(page("Gallery", f"<main>{cards}</main>", css), "utf-8")
    context = chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": 800}, bypass_csp=True)
    try:
        sheet = context.new_page()
        sheet.goto(path.as_uri())
        assert violations(sheet, axe) == []
        assert sheet.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert sheet.evaluate("[...document.images].filter(i => !i.complete || !i.naturalWidth).length") == 0
    finally:
        context.close()


def plain(html):
    """What a viewer leaves that allows neither styles nor scripts nor SVG elements, as GitHub's."""
    html = re.sub(r"<(style|script|svg)\b.*?</\1>", "", html, flags=re.S)
    return re.sub(r"\s(?:style|class|tabindex|aria-[a-z]+|role)=\"[^\"]*\"", "", html)


def test_without_styles_and_attributes_every_word_and_picture_is_there(gallery, parse):
    for name, data in drawn(gallery):
        whole, rest = parse(data["text/html"]), parse(plain(data["text/html"]))
        assert rest.text == whole.text, name
        sizes = [(a["src"], a.get("width"), a.get("height")) for a in whole.all("img")]
        assert [(a["src"], a.get("width"), a.get("height")) for a in rest.all("img")] == sizes, name
        assert all(width and height for _, width, height in sizes), name  # no picture grows to its file's size


def test_a_pdf_by_latex_has_a_picture_of_all_that_is_drawn(gallery):
    nbconvert, nbformat = pytest.importorskip("nbconvert"), pytest.importorskip("nbformat")
    pytest.importorskip("PIL")
    notebook = nbformat.from_dict(gallery)
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"]  # words would need pandoc
    body, resources = nbconvert.LatexExporter().from_notebook_node(notebook)
    shown = [
        cell.id for cell in notebook.cells if any("image/png" in o.get("data", {}) for o in cell.get("outputs", ()))
    ]
    assert len(resources["outputs"]) == len(shown) == body.count("\\adjustimage")
    wanted = {
        "matrix",
        "images",
        "graph",
        "trace",
        "dataset",
        "loader",
        "transform",
        "schedule",
        "rates",
        "history",
        "run",
    }
    wanted |= {"roc", "normal", "poisson", "plot-curves", "plot-cam"}
    assert wanted <= set(shown)
    assert "ShapeError" in body and "must agree" in body  # what has no picture is there as text
