"""Start the system's Chromium, driven by Playwright, for tests of what a person sees.

Playwright's own browsers are not used, nor fetched. Its synchronous API leaves a running event loop
in the thread for as long as the block lasts: Django's ORM refuses to work there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)


def find() -> str | None:
    """Return the path of Chromium, or None where there is none."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


def unavailable() -> str | None:
    """Return why no browser can be started here, or None."""
    if find() is None:
        return "chromium is not installed"
    if find_spec("playwright") is None:
        return "playwright is not installed"
    return None


@contextmanager
def run_chromium() -> Iterator[Browser]:
    """Run one browser for as long as the block lasts."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find(), args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()
