"""Nothing a visitor typed or made is lost: seeds, words through a reload or a broken connection, faces."""

import pytest
from playwright.sync_api import Browser, Page, expect

from benchmarks.harness.browser import setting
from model.attributes import ATTRIBUTES
from tests.browser.actions import (
    DESKTOP,
    LAST,
    box,
    face,
    generate,
    load_again,
    manage,
    opened,
    reads,
    set_count,
    set_steps,
    status,
    tool,
    words,
)
from ui.words import denial


def offered(page: Page, name: str):
    return page.locator("#status").get_by_role("button", name=name)


@pytest.mark.parametrize("size", ["page", "phone"])
def test_a_typed_seed_is_used(size, request):
    page: Page = request.getfixturevalue(size)
    page.locator("#seed input").fill("42")
    expect(page.get_by_label("A new seed each time")).not_to_be_checked()
    generate(page)
    assert face(page, "record.seed") == 42 and page.locator("#seed input").input_value() == "42"


def test_parameters_of_others_are_ignored_in_silence(browser: Browser, address: str):
    for page in opened(browser, address + "?fbclid=abc&utm_source=x&ref=1", viewport=DESKTOP):
        assert status(page).inner_text() == "" and face(page, "kind") == "opening"
    link = address + "?prompt=a+man&seed=3&steps=4&fbclid=abc"
    # the face of the link is drawn all the same
    for page in opened(browser, link, viewport=DESKTOP):
        page.wait_for_function("() => window.facet.face.kind === '' && window.facet.face.finished")
        assert face(page, "record.seed") == 3
        expect(status(page)).to_contain_text("Done in")


def test_the_opening_face_says_what_made_it(browser: Browser, address: str):
    # `opened` empties the box
    page = browser.new_page()
    page.goto(address)
    page.wait_for_function("() => window.facet?.face?.finished")
    made = face(page, "record")
    expect(words(page)).to_have_value(made["prompt"])
    expect(page.locator("#seed input")).to_have_value(str(made["seed"]))
    expect(page.get_by_label("A new seed each time")).to_be_checked()
    page.close()


def test_a_draft_comes_back_after_a_reload(page: Page, browser: Browser, address: str):
    words(page).fill("a bald man with a hat")
    box(page, "Smiling").check()
    page.locator("#seed input").fill("11")
    reads(page, "a bald man with a hat, smiling.")
    load_again(page)
    expect(words(page)).to_have_value("a bald man with a hat")
    expect(box(page, "Smiling")).to_be_checked()
    expect(page.locator("#seed input")).to_have_value("11")
    expect(page.get_by_label("A new seed each time")).not_to_be_checked()
    # each tab has its own
    for other in opened(browser, address, viewport=DESKTOP):
        expect(words(other)).not_to_have_value("a bald man with a hat")


def test_a_draft_belongs_to_both_tabs_of_the_page(page: Page):
    page.evaluate("history.replaceState(null, '', '?tab=how')")
    words(page).fill("a bald man with a hat")
    reads(page, "a bald man with a hat")
    page.evaluate("history.replaceState(null, '', '/')")
    load_again(page)
    expect(words(page)).to_have_value("a bald man with a hat")


def test_a_broken_connection_is_told_and_costs_no_words(page: Page):
    words(page).fill("a bald man with a hat")
    reads(page, "a bald man with a hat")
    page.context.set_offline(True)
    page.click("#generate")
    expect(status(page)).to_contain_text("cannot be reached")
    expect(page.locator("#stop")).to_be_disabled()
    # gradio loads the page again as soon as it can
    with page.expect_navigation():
        page.context.set_offline(False)
    page.wait_for_function("() => window.facet?.face?.finished")
    expect(words(page)).to_have_value("a bald man with a hat")
    generate(page)
    page.said[:] = [line for line in page.said if "ERR_INTERNET_DISCONNECTED" not in line]


def test_opening_a_face_gives_typed_words_back(page: Page):
    words(page).fill("first")
    generate(page)
    words(page).fill("words that nobody has drawn yet")
    reads(page, "words that nobody has drawn yet")
    page.locator("#gallery .open").first.click()
    expect(words(page)).to_have_value("first")
    offered(page, "Back to my words").click()
    expect(words(page)).to_have_value("words that nobody has drawn yet")
    expect(offered(page, "Back to my words")).to_be_hidden()


def test_typed_words_outlast_several_faces_that_are_opened(page: Page):
    for text in ("first", "second"):
        words(page).fill(text)
        generate(page)
    words(page).fill("words that nobody has drawn yet")
    reads(page, "words that nobody has drawn yet")
    for index, text in ((1, "first"), (0, "second")):
        page.locator("#gallery .open").nth(index).click()
        expect(words(page)).to_have_value(text)
    offered(page, "Back to my words").click()
    expect(words(page)).to_have_value("words that nobody has drawn yet")
    # what is typed on is what is offered from then on
    page.locator("#gallery .open").first.click()
    expect(words(page)).to_have_value("second")
    words(page).fill("second, smiling")
    reads(page, "second, smiling")
    page.locator("#gallery .open").last.click()
    expect(words(page)).to_have_value("first")
    offered(page, "Back to my words").click()
    expect(words(page)).to_have_value("second, smiling")


def test_a_face_that_is_being_drawn_is_not_lost_to_another(page: Page):
    generate(page)
    page.locator("#seed input").fill("77")
    set_steps(page, 900)
    page.click("#generate")
    page.wait_for_function("() => window.shown.length > 3")
    page.locator("#gallery .open").first.click()
    assert page.evaluate("window.facet.running") and face(page, "kind") == ""
    expect(status(page)).to_contain_text("Done in", timeout=120_000)
    assert face(page, "record.seed") == 77 and face(page, "finished")
    expect(page.locator("#gallery .open")).to_have_count(2)
    expect(page.locator("#seed input")).to_have_value("77")


def test_a_link_that_is_loaded_again_keeps_what_was_typed_since(page: Page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    # as the link says it, words and boxes are one prompt
    words(page).fill("first")
    box(page, "Smiling").check()
    generate(page)
    image = face(page)
    page.get_by_role("button", name="Copy link").click()
    expect(status(page)).to_contain_text("link is copied")
    # the link's own face
    load_again(page)
    page.wait_for_function("() => window.facet.face.kind === '' && window.facet.face.finished")
    assert face(page) == image
    words(page).fill("words that nobody has drawn yet")
    reads(page, "words that nobody has drawn yet")
    load_again(page)
    expect(words(page)).to_have_value("words that nobody has drawn yet")
    page.wait_for_timeout(1_000)
    assert face(page, "kind") == "opening" and not page.evaluate("window.facet.running")


def test_an_idea_that_is_stopped_offers_no_words_back(page: Page):
    words(page).fill("a bald man with a hat")
    set_steps(page, 900)
    page.click("#generate")
    page.wait_for_function("() => window.shown.length > 3")
    page.get_by_role("button", name="Grandfather").click()
    page.click("#stop")
    expect(status(page)).to_contain_text("Stopped")
    # the idea's, which nobody has drawn
    expect(words(page)).to_have_value("")
    set_steps(page, LAST)
    page.evaluate("""() => {
        window.offered = [];
        window.facet.offer = label => { if (label) window.offered.push(label); };
    }""")
    generate(page)
    assert page.evaluate("window.offered") == []


def test_forgetting_can_be_taken_back(page: Page):
    generate(page)
    entries = page.locator("#gallery .open")
    expect(entries).to_have_count(1)
    manage(page, "Delete all")
    expect(page.locator("#gallery .gallery")).to_be_hidden()
    offered(page, "Bring it back").click()
    expect(entries).to_have_count(1)


def test_what_was_asked_for_does_not_wear_the_colour_of_unwanted(page: Page):
    words(page).fill("an old woman with a beard, no hat")
    expect(page.locator("#understood .chip").first).to_be_visible()
    colours: dict[bool, set[str]] = {True: set(), False: set()}
    for label, colour in page.locator("#understood .chip").evaluate_all(
        "chips => chips.map(chip => [chip.innerText, getComputedStyle(chip).borderColor])"
    ):
        colours[label.startswith(("No ", "Not ")) and label != "No beard"].add(colour)
    assert len(colours[True]) == len(colours[False]) == 1 and not colours[True] & colours[False]
    # fmt: skip
    assert [name for name in ATTRIBUTES if denial(name) == "opposite"] == [
        "Male",
        "Mouth_Slightly_Open",
        "No_Beard",
        "Young",
    ]


def test_an_emptied_number_is_called_empty(page: Page):
    tool(page, "Settings")
    setting(page, "steps", "")
    page.click("#generate")
    expect(status(page)).to_have_text("The number of steps must be a whole number from 1 to 1000, not empty.")


def test_live_mode_draws_as_many_faces_as_are_chosen(page: Page):
    set_count(page, 4)
    page.get_by_label("Live: redraw as I change things").check()
    box(page, "Smiling").check()
    page.wait_for_function("() => window.facet.face.kind === 'live' && window.facet.face.count === 4")
    expect(page.locator(".cells button")).to_have_count(4)
    page.locator(".cells button").nth(1).click()
    page.wait_for_function("() => window.facet.face.finished && window.facet.face.count === 1")
