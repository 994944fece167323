"""The page in a real browser: Debian's Chromium, driven by Playwright, against `python app.py` in a process of its own.

`tests/install_chromium.sh` finds or installs Chromium. Without one these tests are skipped, but fail where CI is set.
"""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from model.attributes import ATTRIBUTES

ROOT = Path(__file__).parent.parent
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run"]


@pytest.fixture(scope="module")
def address(tiny_weights):
    """The app's address, launched as a visitor of the repository would, on the tiny weights."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "FACET_WEIGHTS": str(tiny_weights), "GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port)}
    process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        said, too_late = "", threading.Timer(120, process.kill)
        too_late.start()
        while "Running on local URL" not in said:
            said = process.stdout.readline()
            assert said, "app.py ended before it served"
        too_late.cancel()
        address = f"http://127.0.0.1:{port}/"
        assert httpx.get(address).status_code == 200
        yield address
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def browser():
    names = (os.environ.get("CHROMIUM") or "chromium", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no Chromium: run tests/install_chromium.sh")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, address: str):
    """The open page; at the end of the test its console must be empty and every request must have gone to the app itself."""
    yield from opened(browser, address, viewport=DESKTOP)


@pytest.fixture
def phone(browser: Browser, address: str):
    yield from opened(browser, address, viewport=PHONE, is_mobile=True, has_touch=True)


def opened(browser: Browser, address: str, **options):
    context = browser.new_context(**options)
    page, said, asked = context.new_page(), [], []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.wait_for_selector("#generate")
    # Every step that the player shows, and when, in ms since Generate was pressed.
    page.wait_for_selector(".player")
    page.evaluate("""() => {
        const player = document.querySelector(".player"), face = player.querySelector(".denoised");
        document.querySelector("#generate").addEventListener("click", () => { window.shown = []; window.pressed = performance.now(); });
        new MutationObserver(() => window.shown.push({step: +player.dataset.step, ms: performance.now() - window.pressed, face: face.src}))
            .observe(player, {attributes: true, attributeFilter: ["data-step"]});
    }""")
    yield page
    context.close()
    assert said == []
    assert [url for url in asked if not url.startswith((address.partition("?")[0], "data:", "blob:"))] == []


def status(page: Page):
    return page.locator("#status [role=status]")


def prompt(page: Page):
    return page.get_by_label("Prompt", exact=True)


def box(page: Page, label: str):
    return page.get_by_role("checkbox", name=label, exact=True)


def set_steps(page: Page, steps: int) -> None:
    page.get_by_role("button", name="More settings").click()
    page.get_by_label("Steps", exact=True).fill(str(steps))


def test_from_boxes_to_the_large_face(page: Page):
    box(page, "Smiling").check()
    expect(prompt(page)).to_have_value("Photo of person smiling.")
    expect(page.locator("#prompt-note")).to_contain_text("boxes wrote this")
    page.click("#generate")
    large = page.locator("#large img")
    expect(large).to_be_visible(timeout=30_000)
    expect(status(page)).to_contain_text("Done in")
    page.wait_for_function("() => window.shown.at(-1).step === 25")
    shown = page.evaluate("window.shown")
    assert [entry["step"] for entry in shown] == list(range(1, 26))  # none is lost
    assert len({entry["face"] for entry in shown}) >= 10
    assert large.evaluate("image => image.decode().then(() => image.naturalWidth)") == 512
    assert "512" in large.get_attribute("alt")
    assert page.locator(".player .step").inner_text() == "Step 25 of 25"


def test_stop_stops_and_keeps_the_last_frame(page: Page):
    set_steps(page, 900)
    expect(page.locator("#stop")).to_be_disabled()
    page.click("#generate")
    page.wait_for_function("() => window.shown && window.shown.length > 5")
    page.click("#stop")
    expect(status(page)).to_contain_text("Stopped at step")
    time.sleep(0.2)  # the frames of the last message are still being shown
    step = page.locator(".player").get_attribute("data-step")
    time.sleep(1)
    assert page.locator(".player").get_attribute("data-step") == step and 5 < int(step) < 900
    expect(page.locator(".player .denoised")).to_be_visible()
    expect(page.locator("#stop")).to_be_disabled()
    expect(status(page)).to_contain_text("Stopped at step")
    expect(page.locator("#large img")).to_have_count(0)
    page.click("#generate")  # and the page goes on
    page.wait_for_function("() => window.shown.length > 2")
    page.click("#stop")
    expect(status(page)).to_contain_text("Stopped at step")


def test_contradiction_is_named_at_once_and_refused(page: Page):
    box(page, "Bald").check()
    box(page, "Wavy hair").check()
    expect(status(page)).to_have_text("Bald and Wavy hair contradict each other: choose one.")
    page.click("#generate")
    expect(status(page)).to_have_text("Bald and Wavy hair contradict each other: choose one.")
    time.sleep(0.5)
    assert page.evaluate("window.shown") == []
    box(page, "Bald").uncheck()
    expect(prompt(page)).to_have_value("Photo of person wavy hair.")
    expect(status(page)).to_have_text("")


def test_edited_prompt_counts_and_boxes_rewrite_it(page: Page):
    expect(page.locator("#prompt-note")).to_contain_text("any face")
    prompt(page).fill("an old man 👴")
    expect(page.locator("#prompt-note")).to_contain_text("Edited by hand")
    prompt(page).press("Control+Enter")
    expect(status(page)).to_contain_text("Done in", timeout=30_000)
    expect(prompt(page)).to_have_value("an old man 👴")  # no line break slipped in
    box(page, "Young").check()
    expect(prompt(page)).to_have_value("Photo of person young.")
    prompt(page).fill("smiling " * 1250)
    page.click("#generate")
    expect(status(page)).to_contain_text("77 tokens", timeout=30_000)


def test_seed_is_written_back_and_repeats_the_face(page: Page):
    page.get_by_role("button", name="More settings").click()
    seed = page.get_by_label("Seed", exact=True)
    faces = []
    for new in (True, False, True):
        page.get_by_label("A new seed for every face").set_checked(new)
        page.click("#generate")
        page.wait_for_function("() => window.shown.length && window.shown.at(-1).step === 25", timeout=30_000)
        expect(status(page)).to_contain_text("Done in", timeout=30_000)
        faces.append((seed.input_value(), page.evaluate("window.shown.at(-1).face")))
    assert faces[0] == faces[1] != faces[2]
    page.get_by_label("A new seed for every face").uncheck()
    for field, bad, good in ((seed, "1.5", "1"), (page.get_by_label("Steps", exact=True), "10000", "5")):
        field.fill(bad)
        page.click("#generate")
        expect(status(page)).to_contain_text("must be a whole number")
        expect(status(page)).to_contain_text(bad)
        field.fill(good)


def test_forty_boxes_in_named_groups(page: Page):
    assert page.locator("fieldset.attributes input[type=checkbox]").count() == len(ATTRIBUTES)
    for heading in ("Person", "Expression", "Hair", "Accessories"):
        expect(page.get_by_role("group", name=heading, exact=True)).to_be_visible()
        expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
    expect(page.locator("#columns [aria-live]")).to_have_count(1)


def test_keyboard_alone(page: Page):
    prompt(page).focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "generate"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.locator(".player .step")).to_contain_text("of 25")


def test_phone(phone: Page):
    assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    picture, words = phone.locator("#player").bounding_box(), phone.locator("#prompt").bounding_box()
    assert picture["y"] < words["y"] and picture["x"] >= 0  # one column, the picture first
    for name in ("#generate", "#stop", "fieldset.attributes label >> nth=0"):
        assert phone.locator(name).bounding_box()["height"] >= 44
    box(phone, "Heavy makeup").check()  # far down, out of the picture's sight
    phone.locator("#generate").tap()
    expect(phone.locator("#player .face")).to_be_in_viewport()
    expect(phone.locator("#large img")).to_be_visible(timeout=30_000)
    assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(browser: Browser, address: str, scheme: str):
    """WCAG's AA, 4.5 to 1, for the page's own text on what lies behind it."""
    for page in opened(browser, address + f"?__theme={scheme}", viewport=DESKTOP):
        box(page, "Bald").check()
        box(page, "Bangs").check()
        expect(status(page)).to_contain_text("contradict")
        page.mouse.move(5, 5)
        time.sleep(0.4)  # until colours have faded over
        low = page.evaluate(CONTRAST, ["#title h1", "#title p", "h2", "#prompt-note .prose", "#status p", "#generate", ".attributes label span",
                                       ".attributes [data-testid=block-info]", ".face p", ".step", ".noise", "#prompt [data-testid=block-info]"])
        assert low == []


# For each selector's first element: its text's contrast with the nearest background behind it, if that is below 4.5.
CONTRAST = """selectors => {
    const parts = colour => colour.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = element => {
        for (; element; element = element.parentElement) {
            const colour = parts(getComputedStyle(element).backgroundColor);
            if (colour.length < 4 || colour[3] === 1) return colour;
        }
        return [255, 255, 255];
    };
    return selectors.flatMap(selector => {
        const element = document.querySelector(selector);
        if (!element) return [selector + " is missing"];
        const [a, b] = [light(parts(getComputedStyle(element).color)), light(behind(element))].sort((x, y) => y - x);
        const ratio = (a + 0.05) / (b + 0.05);
        return ratio < 4.5 ? [selector + " " + ratio.toFixed(2)] : [];
    });
}"""
