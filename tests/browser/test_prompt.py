"""The prompt and what the page understands of it."""

from playwright.sync_api import Page, expect

from model import attributes
from model.pipeline import FacePipeline
from tests.browser.actions import box, reads, status, words


def test_the_page_shows_what_was_understood(page: Page, pipe: FacePipeline):
    text = "a smiling man with a skateboard"
    words(page).press_sequentially(text, delay=15)
    reads(page, text)
    read = pipe.understood(text)
    chips = [
        *(attributes.label(name) for name in read.present),
        *(attributes.lacking(name).capitalize() for name in read.absent),
    ]
    assert page.locator("#understood .chip").all_inner_texts() == chips
    assert page.locator("#understood .unknown b").all_inner_texts() == read.unknown
    marked = page.locator(".attribute[data-said=wanted]").evaluate_all("items => items.map(item => item.dataset.name)")
    assert sorted(marked) == sorted(read.present)
    words(page).fill("smiling " * 200)
    expect(page.locator("#understood .warning")).to_contain_text("only its beginning")


def test_what_cannot_be_drawn_is_underlined_with_what_comes_near(page: Page):
    words(page).fill("a woman with blue eyes")
    expect(page.locator("#understood .reads .unknown")).to_have_text("blue eyes")
    page.locator("#understood .unknown button", has_text="Narrow eyes").click()
    expect(box(page, "Narrow eyes")).to_be_checked()


def test_words_and_boxes_never_fight(page: Page):
    words(page).fill("an old man 👴")
    box(page, "Wearing hat").check()
    reads(page, "an old man 👴, wearing hat.")
    # nobody writes into the visitor's words
    expect(words(page)).to_have_value("an old man 👴")
    words(page).press("Control+Enter")
    expect(status(page)).to_contain_text("Done in")
    expect(words(page)).to_have_value("an old man 👴")
    page.wait_for_function("() => window.facet.face.record.prompt === 'an old man 👴, wearing hat.'")
    # its name may tell by now what the words say
    page.locator('[data-name="Wearing_Hat"] input').uncheck()
    reads(page, "an old man 👴")
