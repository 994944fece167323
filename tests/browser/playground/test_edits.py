"""Sliders on the face: attributes pushed and pulled, undone, drawn in full, linked, kept; every face has its record."""

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.actions import DESKTOP, face, generate, opened, set_steps, status, tool, words
from ui.frames import file_of, read_picture

SLIDER = "#edits .slider input"


def alike(one: str, other: str) -> bool:
    """Whether two pictures are the same face: drawn in another batch, it may differ by two grey levels."""
    first, second = (read_picture(file_of(image)).astype(int) for image in (one, other))
    return np.abs(first - second).max() <= 2


def redrawn(page: Page, edits: str) -> None:
    page.wait_for_function(
        "edits => (window.facet.face.record?.edits || '') === edits && !window.facet.running", arg=edits
    )


def test_a_slider_moves_the_face_and_can_be_undone(page: Page, browser: Browser, address: str):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    set_steps(page, 6)
    words(page).fill("a woman")
    generate(page)
    seed, plain = face(page, "record.seed"), face(page)
    page.get_by_label("Change one thing, keep the rest").first.select_option("Smiling")
    redrawn(page, "Smiling:1")
    # the same noise
    assert face(page, "record.seed") == seed and face(page, "kind") == "live"
    slider = page.locator(SLIDER)
    slider.focus()
    slider.press("End")
    redrawn(page, "Smiling:3")
    page.locator("#edits select").select_option("Male")
    redrawn(page, "Smiling:3,Male:1")
    page.locator(".stage").focus()
    page.keyboard.press("Control+z")
    redrawn(page, "Smiling:3")
    page.keyboard.press("Control+Shift+z")
    redrawn(page, "Smiling:3,Male:1")
    page.get_by_role("button", name="Remove Smiling").click()
    redrawn(page, "Male:1")
    # in full
    generate(page)
    made, image = face(page, "record"), face(page)
    assert made["edits"] == "Male:1" and made["seed"] == seed and image != plain
    page.get_by_role("button", name="Copy link").click()
    expect(status(page)).to_contain_text("link is copied")
    for other in opened(browser, page.url, viewport=DESKTOP):
        other.wait_for_function("() => window.facet.face.kind === '' && window.facet.face.finished")
        assert face(other, "record") == made and face(other) == image
        expect(other.locator(SLIDER)).to_have_value("1")


def test_edits_by_keys_alone_keep_the_focus(page: Page):
    set_steps(page, 6)
    generate(page)
    chooser = page.locator("#edits select")
    chooser.focus()
    # the closed list changes with every arrow; nothing is added until Enter takes it
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    chosen = chooser.input_value()
    assert chosen
    expect(page.locator("#edits .slider")).to_have_count(0)
    expect(chooser).to_be_focused()
    page.keyboard.press("Enter")
    redrawn(page, f"{chosen}:1")
    expect(page.locator("#edits .slider input")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    redrawn(page, "")
    expect(chooser).to_be_focused()


def test_an_edit_of_explore_is_a_whole_face(page: Page):
    set_steps(page, 4)
    generate(page)
    tool(page, "Explore")
    page.get_by_role("button", name="Less and more of it").click()
    faces = page.locator("#strip .faces button")
    expect(faces).to_have_count(5)
    faces.nth(4).click()
    page.wait_for_function("() => window.facet.face.finished && window.facet.face.record?.edits === 'Smiling:2'")
    # it can be changed again
    expect(page.locator(SLIDER)).to_have_value("2")
    expect(page.locator("#gallery .open")).to_have_count(2)
    edited = face(page)
    # the settings make it again
    generate(page)
    assert alike(face(page), edited)
    page.get_by_role("button", name="Walk", exact=True).click()
    expect(page.locator("#strip .walk")).to_be_visible()
    page.get_by_label("Place on the way").press("End")
    page.get_by_role("button", name="Open this face").click()
    page.wait_for_function("() => window.facet.face.finished && window.facet.face.record?.place === 1")
    end = face(page)
    generate(page)
    assert alike(face(page), end)


@pytest.mark.parametrize("size", ["page", "phone"])
def test_two_faces_are_crossed_on_a_slider(size, request):
    page: Page = request.getfixturevalue(size)
    set_steps(page, 4)
    for text in ("a woman", "a man"):
        words(page).fill(text)
        generate(page)
    expect(page.locator("#gallery .open")).to_have_count(2)
    mother = page.evaluate("window.facet.gallery[1].record")
    father = face(page, "record")
    page.get_by_role("button", name="Cross with…").click()
    page.locator("#gallery .open").nth(1).click()
    page.wait_for_function("() => window.facet.face.record?.place === 0.5")
    expect(page.locator(SLIDER)).to_be_in_viewport(ratio=1)
    expect(page.locator(".stage")).to_be_in_viewport(ratio=0.4)
    child = face(page, "record")
    # fmt: skip
    assert [child[name] for name in ("prompt", "seed", "to_prompt", "to_seed")] == [
        father["prompt"],
        father["seed"],
        mother["prompt"],
        mother["seed"],
    ]
    generate(page)
    # the child is kept
    expect(page.locator("#gallery .open")).to_have_count(3)
    page.locator(SLIDER).press("End")
    page.wait_for_function("() => window.facet.face.record?.place === 1")
    # all the way: the other parent
    generate(page)
    assert alike(face(page), page.evaluate("window.facet.gallery.at(-1).image"))


def test_one_of_sixteen_ideas_is_drawn_in_full(page: Page):
    set_steps(page, 5)
    tool(page, "Explore")
    page.get_by_role("button", name="Sixteen faces").click()
    ideas = page.locator("#strip .faces button")
    expect(ideas).to_have_count(16)
    ideas.nth(6).click()
    page.wait_for_function("() => window.facet.face.kind === '' && window.facet.face.finished && !window.facet.running")
    assert face(page, "record.steps") == 5
    expect(page.get_by_label("A new seed each time")).not_to_be_checked()
