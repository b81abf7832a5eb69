"""What the display tests share: objects with hostile names, an HTML check, a browser."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.tools.browser import find

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&\x00\ud800"


class _Outline(HTMLParser):
    """Every element with its attributes, and whether tags nest properly."""

    VOID = {"img", "br", "hr", "meta", "input", "link", "wbr", "col"}

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.faults, self.words = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing or another element")

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.words.append(data)


class Page:
    """A parsed display: ``elements``, ``text``, and the rules that every display keeps."""

    def __init__(self, html):
        self.html = html
        outline = _Outline()
        outline.feed(html)
        outline.close()
        self.elements, self.faults = (
            outline.elements,
            outline.faults + [f"<{tag}> is not closed" for tag in outline.open],
        )
        self.text = re.sub(r"\s+", " ", " ".join(outline.words))

    def all(self, tag, css=None):
        return [a for t, a in self.elements if t == tag and (css is None or css in (a.get("class") or "").split())]

    def check(self):
        """Properly nested, no script, nothing loaded from anywhere, every image described, nothing hostile alive."""
        assert not self.faults, self.faults
        forbidden = {"script", "iframe", "object", "embed", "link", "svg", "form", "base"}
        assert not forbidden & {tag for tag, _ in self.elements}
        for tag, attributes in self.elements:
            assert not [name for name in attributes if name.startswith("on")], attributes
            for name in ("src", "href"):
                assert (attributes.get(name) or "data:").startswith("data:"), attributes
            if tag == "img":
                assert "alt" in attributes
                assert attributes["src"].startswith(("data:image/png;base64,", "data:image/svg+xml,"))
        assert not re.search(r"url\((?!#|%23)|@import", self.html)
        assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]", self.html)
        self.html.encode("utf-8")
        try:
            import tinyhtml5.parser
        except ImportError:
            return self  # the checks above hold without it
        whole = self.html if self.html.startswith("<!DOCTYPE") else f"<!DOCTYPE html><title>t</title><body>{self.html}"
        parser = tinyhtml5.parser.HTMLParser()
        parser.parse(whole)
        assert not parser.errors, parser.errors[:5]
        return self


@pytest.fixture(scope="session")
def parse():
    """HTML -> a checked ``Page``."""
    return lambda html: Page(html).check()


@pytest.fixture(scope="session")
def hostile():
    """A name that would do harm where it is not escaped."""
    return HOSTILE


ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
]


@pytest.fixture(scope="session")
def chromium(playwright):
    """A headless Chromium, of the one Playwright that this process may have (pytest-playwright's)."""
    path = find()
    if path is None:
        pytest.skip("no Chromium here; tests/tools/browser.py installs one, or name one in MLKIT_BROWSER")
    browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def axe():
    """The source of axe-core, from the widgets' development packages."""
    root = Path(__file__).parents[2]
    found = root / "widgets" / "node_modules" / "axe-core" / "axe.min.js"
    if not found.exists():
        pytest.skip("axe-core is not installed: npm ci in widgets/")
    return found.read_text("utf-8")
