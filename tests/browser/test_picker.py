"""The attributes to tick."""

import pytest
from playwright.sync_api import Page, expect

from model import attributes
from model.attributes import NAMES
from tests.browser.actions import box, deny, face, reads, set_steps, words


def test_forty_attributes_in_named_groups(page: Page):
    assert page.locator("#picker input[type=checkbox]").count() == len(NAMES)
    for heading in attributes.groups():
        expect(page.get_by_role("group", name=heading, exact=True)).to_be_visible()
    box(page, "Smiling").check()
    deny(page, "Eyeglasses").click()
    reads(page, "Photo of person smiling, no eyeglasses.")
    expect(deny(page, "Eyeglasses")).to_have_attribute("aria-pressed", "true")
    # wanted now, so no longer not wanted
    box(page, "Eyeglasses").check()
    reads(page, "Photo of person eyeglasses, smiling.")
    deny(page, "Smiling").click()
    expect(box(page, "Smiling")).not_to_be_checked()
    page.get_by_role("button", name="Clear", exact=True).click()
    reads(page, "")


def test_contradictions_are_prevented_with_a_word(page: Page):
    box(page, "Wavy hair").check()
    box(page, "Bald").check()
    expect(page.locator(".why")).to_have_text("Bald took the place of Wavy hair: no face has both.")
    expect(box(page, "Wavy hair")).not_to_be_checked()
    assert page.locator('[data-name="Bangs"]').get_attribute("title") == "Bangs and Bald exclude each other"
    reads(page, "Photo of person bald.")


def test_a_concept_is_ticked_like_an_attribute(page: Page):
    box(page, "Blond hair").check()
    box(page, "Red hair").check()
    expect(page.locator(".why")).to_have_text("Red hair took the place of Blond hair: no face has both.")
    reads(page, "Photo of person red hair.")
    deny(page, "Sunglasses").click()
    reads(page, "Photo of person red hair, no sunglasses.")
    search = page.get_by_label("Find an attribute")
    search.fill("redhead")
    expect(box(page, "Red hair")).to_be_visible()
    expect(box(page, "Smiling")).to_be_hidden()


@pytest.mark.parametrize("size", ["page", "phone"])
def test_an_idea_takes_the_place_of_the_words_and_is_drawn(size, request):
    page: Page = request.getfixturevalue(size)
    words(page).fill("a young woman with blond hair")
    page.get_by_label("Change one thing, keep the rest").first.select_option("Smiling")
    reads(page, "a young woman with blond hair")
    page.get_by_role("button", name="Grandfather").click()
    page.wait_for_function("() => !window.facet.running && window.facet.face.record?.prompt.includes('gray hair')")
    expect(words(page)).to_have_value("")
    assert "blond" not in face(page, "record.prompt") and not face(page, "record.edits")
    expect(page.locator("#understood .warning")).to_be_empty()
    page.locator("#status").get_by_role("button", name="Back to my words").click()
    expect(words(page)).to_have_value("a young woman with blond hair")
    expect(box(page, "Gray hair")).not_to_be_checked()


def test_an_idea_pressed_while_one_is_drawn_comes_next(page: Page):
    set_steps(page, 200)
    page.click("#generate")
    page.wait_for_function("() => window.shown.length > 1")
    page.get_by_role("button", name="Grandfather").click()
    page.wait_for_function("() => !window.facet.running && window.facet.face.record?.prompt.includes('gray hair')")


def test_presets_and_surprises(page: Page):
    page.get_by_role("button", name="Film star").click()
    expect(box(page, "Heavy makeup")).to_be_checked()
    expect(deny(page, "Male")).to_have_attribute("aria-pressed", "true")
    made = set()
    for _ in range(12):
        page.get_by_role("button", name="Surprise me").click()
        chosen = page.evaluate("""() => [...document.querySelectorAll('.attribute')].map(item =>
            [item.dataset.name, item.querySelector('input').checked,
                item.querySelector('button').ariaPressed === 'true'])""")
        present, absent = [name for name, yes, _ in chosen if yes], [name for name, _, no in chosen if no]
        assert attributes.conflict(present, absent) is None and len(present) >= 3
        made.add((*present, "/", *absent))
    assert len(made) > 6


@pytest.mark.parametrize("size", ["page", "phone"])
def test_search_as_you_type(size, request):
    page: Page = request.getfixturevalue(size)
    search = page.get_by_label("Find an attribute")
    # another word for eyeglasses
    search.press_sequentially("specta")
    assert page.locator(".attribute:visible").evaluate_all("items => items.map(item => item.dataset.name)") == [
        "Eyeglasses"
    ]
    assert page.locator("#picker fieldset:visible").count() == 1
    box(page, "Eyeglasses").check()
    search.fill("unicorn")
    expect(page.locator(".nothing")).to_contain_text('No attribute is called "unicorn"')
    search.fill("blue eyes")
    expect(page.locator(".nothing")).to_contain_text("Nearest")
    expect(box(page, "Narrow eyes")).to_be_visible()
    search.press("Escape")
    assert page.locator(".attribute:visible").count() == len(NAMES)
    expect(box(page, "Eyeglasses")).to_be_checked()
