"""The gallery notebook: every display in it, executed, converted, without scripts."""

import re
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "guide" / "gallery.ipynb"


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    """The notebook, run in a kernel of its own."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    folder = tmp_path_factory.mktemp("gallery")
    client = nbclient.NotebookClient(
        notebook, timeout=180, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    try:
        client.execute()
    except Exception as error:
        if type(error).__name__ == "NoSuchKernel":
            pytest.skip("no python3 kernel is installed")
        raise
    return notebook


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
