"""Opening the page: the badge, odd links, two tabs, reloads."""

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.actions import (
    DESKTOP,
    LAST,
    face,
    generate,
    load_again,
    opened,
    set_steps,
    status,
    step,
    tool,
    view,
    words,
)


@pytest.mark.parametrize("size", ["page", "phone"])
def test_an_honest_badge(size, request):
    page: Page = request.getfixturevalue(size)
    page.get_by_role("tab", name="How it works").click()
    expect(page.locator("#badge")).to_contain_text("310,000 images in 1.5 hours on a CPU")
    expect(page.locator("#badge")).to_contain_text("41 grey levels")


def test_a_link_with_nonsense_opens_and_says_so(browser: Browser, address: str):
    for page in opened(browser, address + "?prompt=a+man&seed=minus&steps=7&sampler=fast&colour=red", viewport=DESKTOP):
        for word in ("Ignored", "seed", "sampler"):
            expect(status(page)).to_contain_text(word)
        expect(words(page)).to_have_value("a man")
        tool(page, "Settings")
        expect(page.locator("#steps input")).to_have_value("7")
        assert face(page, "kind") == "opening"


def test_two_tabs_and_a_reload_never_mix(page: Page, browser: Browser, address: str):
    set_steps(page, 400)
    words(page).fill("the first tab")
    for other in opened(browser, address, viewport=DESKTOP):
        words(other).fill("the second tab")
        page.click("#generate")
        other.click("#generate")
        for one in (page, other):
            one.wait_for_function("() => window.shown.length > 3")
        # in mid-run
        load_again(page)
        expect(status(other)).to_contain_text("Done in", timeout=40_000)
        other.wait_for_function("() => window.facet.face.record.prompt === 'the second tab' && window.facet.face.last")
        assert len(face(other, "frames")) == LAST
        assert face(page, "kind") == "opening"
        # the draft
        expect(words(page)).to_have_value("the first tab")
        set_steps(page, LAST)
        words(page).fill("after the reload")
        generate(page)
        assert face(page, "record.prompt") == "after the reload" and len(face(page, "frames")) == LAST


def test_the_other_tab_and_back_keeps_the_face(page: Page):
    generate(page)
    before = face(page)
    page.get_by_role("tab", name="How it works").click()
    expect(page.locator("#how")).to_be_visible()
    page.get_by_role("tab", name="Make a face").click()
    assert face(page) == before
    view(page, "Clean")
    page.locator(".before").click()
    assert step(page) == LAST - 1
