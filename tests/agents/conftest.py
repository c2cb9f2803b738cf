"""One browser for all tests of pages: two of Playwright's in one process get into each other's way."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

CHROMIUM = os.environ.get("CHROMIUM") or next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
ARGUMENTS = (  # as root in a container, and with nothing to call home for
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium; tests make contexts of their own in it."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="LEFT OUT, pages in a browser: playwright is missing"
    )
    if CHROMIUM is None:
        pytest.skip("LEFT OUT, pages in a browser: there is no Chromium (apt-get install chromium)")
    with playwright.sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS), timeout=120_000)
        yield browser
        browser.close()
