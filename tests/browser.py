"""A real browser for tests of pages: the system's Chromium, or Playwright's own."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FLAGS = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox"]
"""WebGL without a graphics card."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser; skips where there is none.  It ends with its module: it holds an event loop."""
    api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    system = shutil.which("chromium") or shutil.which("chromium-browser")
    with api.sync_playwright() as playwright:
        program = system or playwright.chromium.executable_path
        if not Path(program).exists():
            pytest.skip("no Chromium: apt-get install chromium, or playwright install chromium")
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()
