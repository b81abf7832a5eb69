"""Finds a Chromium for the real-browser tests, or installs one where that can be done.

`python tests/tools/browser.py` is what `make test` calls once. It ends well either way and says which it was: without a
browser the tests marked `browser` are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "microsoft-edge")
MAC_APPS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)


def find() -> str | None:
    """A Chromium that starts: $MLKIT_BROWSER, one on PATH, a macOS application, Playwright's own; or None."""
    chosen = os.environ.get("MLKIT_BROWSER")
    if chosen:
        if not _starts(chosen):
            raise SystemExit(f"MLKIT_BROWSER={chosen} does not start. Unset it, or name a Chromium or Chrome.")
        return chosen
    for path in [shutil.which(name) for name in NAMES] + list(MAC_APPS):
        if path and _starts(path):
            return path
    own = _playwrights_own()
    return own if own and _starts(own) else None


def _starts(path: str) -> bool:
    # Ubuntu's `chromium-browser` may be a stub that only asks for snap: a path alone proves nothing.
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def _playwrights_own() -> str | None:
    # In a process of its own: Playwright runs once in a process, and the tests may have it running.
    code = "from playwright.sync_api import sync_playwright as p\nwith p() as w: print(w.chromium.executable_path)"
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def install() -> None:
    """Debian's package for root where there is apt-get, else Playwright's download. Failing is no error here."""
    if shutil.which("apt-get") and os.geteuid() == 0:
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        packages = ["chromium", "fonts-dejavu-core"]
        for command in (
            ["apt-get", "update", "-qq"],
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
        ):
            _try(command, env)
        if find():
            return
    _try([sys.executable, "-m", "playwright", "install", "chromium"], dict(os.environ))


def _try(command: list[str], env: dict[str, str]) -> None:
    print("$", " ".join(command), flush=True)
    try:
        subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=900)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"  {error}", flush=True)


def main() -> int:
    path = find()
    if path is None:
        print("No browser here: installing Chromium for the real-browser tests")
        install()
        path = find()
    if path is None:
        print(
            "NO BROWSER: the real-browser tests will be SKIPPED. Install Chromium or Chrome "
            "(or set MLKIT_BROWSER to one), remove .venv/.stamps/browser and run make test again."
        )
    else:
        print(f"browser: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
