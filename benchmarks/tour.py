"""How much memory the app takes while visitors go through every tab again and again.

    python -m benchmarks.tour --minutes 60 --visitors 2

Starts the app on the bundled weights in a process of its own. Each visitor is a browser without a window; in each round
all of them draw 1, 4, 9 and 16 faces, explore, ask CLIP, save, and scroll through "How it works". Prints the app's
memory after every round and JSON at the end: resident memory, its peak, and files left. Linux only.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, Page

from benchmarks.harness.browser import chromium
from benchmarks.harness.server import running

EXPLORE = (
    "Sixteen faces for my words",
    "Less and more of it",
    "Walk",
    "Less and more guidance",
    "More like this face",
    "Less like this face",
)
IDLE = "() => !window.facet.running && !window.facet.exploring"


def visitor(browser: Browser, address: str) -> Page:
    """A page with a face on it, in a browser profile of its own."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce").new_page()
    page.set_default_timeout(240_000)
    page.goto(address)
    page.wait_for_function("() => window.facet?.face?.finished", polling=200)
    return page


def together(pages: list[Page], act: Callable[[Page], None]) -> None:
    """All begin before the first has ended."""
    for page in pages:
        act(page)
    time.sleep(0.5)
    for page in pages:
        page.wait_for_function(IDLE, polling=200)


def draw(count: int) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        page.locator("#count").get_by_role("radio", name=str(count), exact=True).check()
        page.locator("#generate").click()

    return act


def explore(button: str) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        page.locator("#tools").get_by_role("tab", name="Explore", exact=True).click()
        page.get_by_label("Walk to another prompt").fill("an old man")
        page.get_by_role("button", name=button, exact=True).click()

    return act


def look_at_clip(page: Page) -> None:
    page.locator("#tools").get_by_role("tab", name="CLIP", exact=True).click()
    page.wait_for_timeout(2000)


def read_how(page: Page) -> None:
    """From the top of "How it works" to its end, and every slider moved."""
    page.get_by_role("tab", name="How it works").click()
    while page.evaluate("""() => {
        const before = scrollY;
        scrollBy(0, 500);
        return scrollY > before;
    }"""):
        page.wait_for_timeout(300)
    page.evaluate("""() => document.querySelectorAll("#how input[type=range]").forEach(slider => {
        slider.value = (+slider.min + +slider.max) / 2;
        slider.dispatchEvent(new Event("input", {bubbles: true}));
    })""")
    page.wait_for_timeout(3000)
    page.get_by_role("tab", name="Make a face").click()


def tour(pages: list[Page]) -> None:
    """One round through the page."""
    for count in (16, 9, 4, 1):
        together(pages, draw(count))
    for button in EXPLORE:
        together(pages, explore(button))
    for act in (look_at_clip, read_how):
        together(pages, act)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tour", description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--visitors", type=int, default=2)
    options = parser.parse_args()
    with (
        TemporaryDirectory() as folder,
        running(Path(folder) / "run") as server,
        chromium() as browser,
    ):
        pages = [visitor(browser, server.address) for _ in range(options.visitors)]
        start, rounds = time.monotonic(), []
        while not rounds or time.monotonic() - start < 60 * options.minutes:
            tour(pages)
            rounds.append(server.figures()["memory_mb"])
            print(f"{(time.monotonic() - start) / 60:.0f} minutes: {rounds[-1]} MB", flush=True)
        figures = {"visitors": options.visitors, "rounds": len(rounds), **server.figures()}
        print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
