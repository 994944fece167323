"""Keyboard alone, reduced motion, a phone's width, axe."""

import time

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.actions import DESKTOP, PHONE, box, deny, generate, opened, reads, status, tool, words


def test_keyboard_alone(page: Page):
    words(page).focus()
    page.keyboard.type("a woman")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "generate"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(status(page)).to_contain_text("Done in")
    search = page.get_by_label("Find an attribute")
    search.focus()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.type") == "checkbox":
            break
    # ticks, and does not play
    page.keyboard.press("Space")
    reads(page, "a woman, male.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    reads(page, "a woman, female.")


def test_reduced_motion(browser: Browser, address: str):
    for page in opened(browser, address, viewport=DESKTOP):
        # nothing played by itself
        assert page.locator(".split").input_value() == "0" and page.evaluate("window.shown") == []
        page.evaluate("""() => { window.wiped = []; const show = document.querySelector('.divider');
            new MutationObserver(() => window.wiped.push(show.style.left)).observe(show, {attributes: true}); }""")
        generate(page)
        assert all(place in ("", "0%") for place in page.evaluate("window.wiped"))


def test_one_column_on_a_phone(phone: Page):
    assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    picture, field = phone.locator(".stage").bounding_box(), phone.locator("#prompt").bounding_box()
    assert picture["y"] < field["y"] and picture["x"] >= 0 and picture["width"] > 340
    phone.locator("#picker fieldset").last.scroll_into_view_if_needed()
    expect(phone.locator("#generate")).to_be_in_viewport()
    phone.locator("#generate").tap()
    expect(phone.locator(".stage")).to_be_in_viewport()
    expect(status(phone)).to_contain_text("Done in")
    for name in ("Attributes", "Settings", "Picture", "Explore", "CLIP"):
        tool(phone, name)
        small = phone.evaluate("""() => ["button", "label", "summary", "input[type=text]"]
            .flatMap(kind => [...document.querySelectorAll(`#columns ${kind}`)])
            .filter(item => item.offsetParent && !item.matches('.reset-button, .cells button'))
            .map(item => [item.innerText || item.ariaLabel, Math.round(item.getBoundingClientRect().height)])
            .filter(([, height]) => height && height < 44)""")
        assert small == [], name
        assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], name


@pytest.mark.parametrize("scheme, size", [("light", DESKTOP), ("dark", DESKTOP), ("light", PHONE)])
def test_axe_finds_nothing_serious(browser: Browser, address: str, scheme: str, size: dict):
    for page in opened(browser, address + f"?__theme={scheme}", viewport=size):
        words(page).fill("a bald man on a skateboard")
        box(page, "Wavy hair").check()
        deny(page, "Smiling").click()
        generate(page)
        page.locator("#keep summary").click()
        violations = []
        for name in ("Attributes", "Settings", "Picture", "Explore", "CLIP"):
            tool(page, name)
            if name == "Explore":
                page.get_by_role("button", name="Less and more of it").click()
                expect(page.locator("#strip .faces button")).to_have_count(5)
            page.mouse.move(2, 2)
            # else it lies over what is behind it
            page.evaluate("document.querySelector('#actions').style.position = 'static'")
            # until colours have faded over
            time.sleep(0.5)
            for issue in Axe().run(page).response["violations"]:
                if issue["impact"] in ("serious", "critical"):
                    violations += [
                        f"{name}: {issue['id']} {node['target']} {node['failureSummary'].splitlines()[-1].strip()}"
                        for node in issue["nodes"]
                    ]
        assert violations == []
    assert page.url.endswith(scheme)
