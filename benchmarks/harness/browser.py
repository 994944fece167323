"""Debian's Chromium, or any other, driven by Playwright, for what must be seen or timed on the page itself."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window: $CHROMIUM, or the first of NAMES that is there.

    Raises FileNotFoundError if none is.
    """
    path = next(filter(None, map(shutil.which, (os.environ.get("CHROMIUM") or "", *NAMES))), None)
    if path is None:
        raise FileNotFoundError("no Chromium: run tests/install.sh chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


def setting(page: Page, name: str, value) -> None:
    """Fill in a field of the open tab "Settings"."""
    field = page.locator(f"#{name} :is(input, textarea)").first
    # gradio may put the first value back a moment after a tab opens
    for _ in range(3):
        field.fill(str(value))
        field.evaluate("field => field.blur()")
        time.sleep(0.2)
        if field.input_value() == str(value):
            break
