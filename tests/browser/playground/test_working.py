"""Explore says at once that it works, can be stopped, and brings its faces into sight; keys; presenting."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.actions import generate, load_again, set_steps, status, step, tool, view, words


@pytest.mark.parametrize("size", ["page", "phone"])
def test_explore_works_in_sight_and_can_be_stopped(size, request):
    page: Page = request.getfixturevalue(size)
    set_steps(page, 100)
    generate(page)
    tool(page, "Explore")
    page.evaluate("scrollTo(0, 0)")
    page.get_by_role("button", name="Walk", exact=True).click()
    expect(status(page)).to_contain_text("Drawing", timeout=2_000)
    expect(page.locator("#strip .title")).to_have_text("The faces are being drawn.")
    expect(page.locator("#strip .faces")).to_be_in_viewport()
    expect(page.locator("#stop")).to_be_enabled()
    page.click("#stop")
    expect(status(page)).to_have_text("Stopped.")
    expect(page.locator("#stop")).to_be_disabled()
    expect(page.locator("#strip .title")).to_have_text("")
    # and it goes on
    page.get_by_role("button", name="Less and more of it").click()
    expect(page.locator("#strip .faces button")).to_have_count(5)
    expect(page.locator("#strip .faces")).to_be_in_viewport()
    expect(status(page)).to_have_text("Done.")
    expect(page.locator("#stop")).to_be_disabled()


def test_presenting_and_writing_begin_at_the_face(page: Page):
    page.get_by_role("tab", name="How it works").click()
    page.get_by_role("button", name="Present").click()
    page.wait_for_function("() => document.fullscreenElement?.id === 'player'")
    expect(page.locator(".stage")).to_be_in_viewport()
    page.keyboard.press("f")
    page.wait_for_function("() => !document.fullscreenElement")
    page.get_by_role("tab", name="How it works").click()
    page.keyboard.press("/")
    expect(words(page)).to_be_focused()


def test_single_keys_can_be_switched_off_and_stay_so(page: Page):
    page.keyboard.press("?")
    page.get_by_label("Single keys").uncheck()
    page.keyboard.press("Escape")
    for again in (False, True):
        if again:
            load_again(page)
        page.locator(".stage").focus()
        for key in ("/", "?", "f"):
            page.keyboard.press(key)
        expect(page.locator(".stage")).to_be_focused()
        expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_hidden()
        assert not page.evaluate("document.fullscreenElement")


def test_the_keys_are_listed_and_work(page: Page):
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_hidden()
    page.keyboard.press("/")
    expect(words(page)).to_be_focused()
    # text, no keys
    page.keyboard.type("a man? /f")
    expect(words(page)).to_have_value("a man? /f")
    page.keyboard.press("Control+Enter")
    expect(status(page)).to_contain_text("Done in")
    page.locator(".stage").focus()
    page.keyboard.press("f")
    page.wait_for_function("() => document.fullscreenElement?.id === 'player'")
    view(page, "Clean")
    page.locator(".stage").focus()
    page.keyboard.press("Home")
    assert step(page) == 1
    # what is told is seen there as well
    page.evaluate("window.facet.say('Something went wrong.', 'error')")
    told = page.locator("#status .status:popover-open")
    expect(told).to_have_text("Something went wrong.")
    expect(told).to_have_css("opacity", "1")
    # and what is offered can be pressed there
    page.evaluate("window.facet.offer('Bring it back', () => { window.brought = true; })")
    page.get_by_role("button", name="Bring it back").click()
    assert page.evaluate("window.brought")
    page.keyboard.press("f")
    page.wait_for_function("() => !document.fullscreenElement")
    expect(told).to_have_count(0)
    page.locator(".stage").focus()
    page.keyboard.press("f")
    page.wait_for_function("() => document.fullscreenElement")
    # the prompt is not there, so it leaves the whole screen
    page.keyboard.press("/")
    expect(words(page)).to_be_focused()
    assert not page.evaluate("document.fullscreenElement")
