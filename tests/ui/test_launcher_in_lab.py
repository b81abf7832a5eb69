"""JupyterLab's launcher has mlkit's card: it opens a fresh copy of the first notebook and never touches a file."""

from __future__ import annotations

import json
from typing import Any

from helpers import wait
from playwright.sync_api import Page, expect

CARD = ".jp-LauncherCard[data-category='mlkit'][title*='guide']"


def launcher(page: Page, lab: Any, folder: str) -> None:
    (lab.folder / folder).mkdir(exist_ok=True)
    page.goto(f"{lab.url}/lab/workspaces/launcher-{folder}/tree/{folder}")
    page.wait_for_selector(".jp-Launcher", timeout=60_000)
    expect(page.locator(CARD)).to_be_visible(timeout=30_000)


def test_the_card_opens_the_guide_without_its_outputs(page: Page, lab: Any) -> None:
    launcher(page, lab, "by-mouse")
    expect(page.locator(CARD)).to_contain_text("mlkit: first network")
    page.locator(CARD).click()
    page.wait_for_selector(".jp-Notebook", timeout=60_000)
    path = lab.folder / "by-mouse" / "first-network.ipynb"
    wait(page, path.is_file, "the notebook's file")
    made = json.loads(path.read_text("utf-8"))
    guide = json.loads((lab.folder / "notebooks/guide/01-first-network.ipynb").read_text("utf-8"))
    assert ["".join(cell["source"]) for cell in made["cells"]] == ["".join(cell["source"]) for cell in guide["cells"]]
    assert not any(cell.get("outputs") for cell in made["cells"])


def test_by_keyboard_and_twice_nothing_is_overwritten(page: Page, lab: Any) -> None:
    launcher(page, lab, "by-keyboard")
    mine = lab.folder / "by-keyboard" / "first-network.ipynb"
    mine.write_text("my own notes")
    page.locator(CARD).focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".jp-Notebook", timeout=60_000)
    wait(page, (mine.parent / "first-network-1.ipynb").is_file, "a copy under a free name")
    assert mine.read_text() == "my own notes"


def test_the_command_is_in_the_palette(page: Page, lab: Any) -> None:
    launcher(page, lab, "by-palette")
    page.keyboard.press("ControlOrMeta+Shift+C")
    page.keyboard.type("First Network to Train")
    item = page.locator(".lm-CommandPalette-item[data-command='mlkit:first-network']")
    expect(item).to_be_visible(timeout=20_000)
    item.click()
    wait(page, (lab.folder / "by-palette" / "first-network.ipynb").is_file, "the notebook's file")


def test_a_folder_that_is_gone_is_said_in_words(page: Page, lab: Any, watched: Any) -> None:
    launcher(page, lab, "refused")
    page.evaluate("() => { jupyterapp.commands.execute('mlkit:first-network', { cwd: 'no-such-folder' }); }")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("The first network could not be opened", timeout=20_000)
    expect(dialog).to_contain_text("no-such-folder")
    expect(dialog).to_contain_text("Choose another folder")
    # The browser itself notes a refused request in its console; nothing else may be there.
    assert all("api/contents/no-such-folder" in words for words in watched.problems)
    watched.problems.clear()
