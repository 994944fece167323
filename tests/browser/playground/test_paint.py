"""Painting over a part of a face: brush, keys and whole parts; the rest stays as it was, and the face is kept with what
was painted over. Faces more and less alike."""

import io
import json

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from playwright.sync_api import Page, expect

from tests.browser.actions import box, drop, face, generate, load_again, png_of, saved, set_steps, status, tool, words
from ui.frames import file_of, read_picture


def mask(page: Page) -> np.ndarray:
    """What the next run draws anew: (64, 64) bool."""
    text = page.evaluate("() => window.facet.mask()")
    return np.array([sign == "1" for sign in text]).reshape(64, 64)


def tools(page: Page, name: str):
    return page.locator("#paint").get_by_role("button", name=name, exact=True)


@pytest.mark.parametrize("size", ["page", "phone"])
def test_only_the_painted_part_is_drawn_anew(size, request):
    page: Page = request.getfixturevalue(size)
    set_steps(page, 4)
    generate(page)
    before = read_picture(file_of(face(page)))
    tools(page, "Paint over a part").click()
    canvas = page.locator("#paint canvas")
    expect(canvas).to_be_in_viewport()
    expect(page.locator(".stage")).to_be_hidden()
    expect(tools(page, "Draw this part anew")).to_be_disabled()
    place = canvas.bounding_box()
    x, y = place["x"] + place["width"] / 4, place["y"] + place["height"] / 4
    if size == "phone":
        page.touchscreen.tap(x, y)
    else:
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + place["width"] / 2, y, steps=3)
        page.mouse.up()
    assert mask(page)[16, 16] and bool(mask(page)[16, 47]) == (size == "page") and not mask(page)[40:].any()
    page.keyboard.press("Control+z")
    assert not mask(page).any()
    canvas.focus()
    canvas.press("ArrowRight")
    canvas.press("Space")
    assert 30 < mask(page).sum() < 50
    canvas.press("Delete")
    assert not mask(page).any()
    tools(page, "Hair").click()
    expect(tools(page, "Hair")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#paint .told")).to_contain_text("is painted over")
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    painted = mask(page)
    tools(page, "Draw this part anew").click()
    page.wait_for_function("() => window.facet.face.kind === 'painted' && window.facet.face.finished")
    expect(page.locator(".stage")).to_be_visible()
    after = read_picture(file_of(face(page)))
    assert np.array_equal(after[~painted], before[~painted]) and not np.array_equal(after[painted], before[painted])
    expect(status(page)).to_contain_text("Done in")
    expect(page.locator("#gallery .open")).to_have_count(2)
    # with what was painted over
    page.locator("#gallery .open").first.click()
    page.wait_for_function("() => window.facet.face.kind === 'gallery' && window.facet.face.finished")
    tools(page, "Paint over a part").click()
    assert np.array_equal(mask(page), painted)
    image = face(page)
    # the same settings and the same mask: the same face
    tools(page, "Draw this part anew").click()
    page.wait_for_function("() => !window.facet.running && window.facet.face.kind === 'painted'")
    assert face(page) == image
    # a whole face again
    generate(page)
    assert not np.array_equal(read_picture(file_of(face(page)))[~painted], before[~painted])


def over(page: Page, part: str) -> np.ndarray:
    """Paint over this part alone and draw it anew -> the face."""
    if tools(page, "Paint over a part").is_visible():
        tools(page, "Paint over a part").click()
    if tools(page, "Clear").is_enabled():
        tools(page, "Clear").click()
    tools(page, part).click()
    return redrawn(page)


def redrawn(page: Page) -> np.ndarray:
    before = face(page, "id")
    tools(page, "Draw this part anew").click()
    page.wait_for_function(
        "id => !facet.running && facet.face.id !== id && facet.face.kind === 'painted' && facet.face.finished",
        arg=before,
    )
    return pixels(page)


def pixels(page: Page) -> np.ndarray:
    return read_picture(file_of(face(page)))


def reopened(page: Page) -> None:
    """The page anew, and on it the newest face of the gallery."""
    load_again(page, page.url.partition("?")[0])
    page.wait_for_function("() => window.facet?.face?.finished")
    page.locator("#gallery .open").first.click()
    page.wait_for_function("() => facet.face.kind === 'gallery' && facet.face.finished")


def refuses_a_link(page: Page) -> bool:
    for name in ("Copy link", "QR code"):
        page.locator("#keep").get_by_role("button", name=name).click()
        expect(status(page)).to_contain_text("painted over, which no link can hold: a saved picture does")
    return "seed=" not in page.url


def test_a_painted_face_is_kept_with_its_painting(page: Page):
    set_steps(page, 4)
    words(page).fill("a man")
    generate(page)
    first, painted = pixels(page), over(page, "Hair")
    hair = np.array(list(face(page, "painting.mask"))).reshape(64, 64) == "1"
    assert refuses_a_link(page)
    page.locator("#keep summary").click()
    expect(page.locator("#keep .shown")).to_contain_text("and the part that was painted over.")
    name, data = saved(page, "png")
    assert set(Image.open(io.BytesIO(data)).text) == {"facet", "facet-painting"}

    # the gallery's
    reopened(page)
    assert np.array_equal(pixels(page), painted) and refuses_a_link(page)
    tool(page, "Explore")
    page.get_by_role("button", name="Less and more guidance").click()
    expect(page.locator("#strip .title")).to_contain_text("Guidance")
    page.locator("#strip .faces button").last.click()
    page.wait_for_function("() => facet.face.kind === 'strip' && facet.face.finished")
    explored = pixels(page)
    assert np.array_equal(explored[~hair], first[~hair]) and not np.array_equal(explored[hair], painted[hair])
    assert refuses_a_link(page)

    # the saved picture's
    load_again(page, page.url)
    page.wait_for_function("() => window.facet?.face?.finished")
    drop(page, "body", data, name)
    page.wait_for_function("() => facet.face.kind === 'painted' && facet.face.finished")
    assert np.array_equal(pixels(page), painted) and refuses_a_link(page)
    expect(page.get_by_label("A new seed each time")).not_to_be_checked()
    tools(page, "Paint over a part").click()
    assert np.array_equal(mask(page), hair)
    assert np.array_equal(redrawn(page), painted)


def test_what_was_there_before_comes_back_where_it_is_not_painted(page: Page):
    set_steps(page, 4)
    generate(page)
    first, _ = pixels(page), over(page, "Hair")
    reopened(page)
    tools(page, "Paint over a part").click()
    tools(page, "The face before").click()
    expect(tools(page, "The face before")).to_be_hidden()
    mouth = over(page, "Mouth")
    changed = np.array(list(face(page, "painting.mask"))).reshape(64, 64) == "1"
    assert np.array_equal(mouth[~changed], first[~changed]) and not np.array_equal(mouth, first)


def test_a_damaged_painting_in_a_picture_is_left_out(page: Page):
    generate(page)
    before = face(page)
    for painting in ("{", "[]", json.dumps({"mask": "1" * 4096, "image": "javascript:alert(1)"})):
        texts, file = PngImagePlugin.PngInfo(), io.BytesIO()
        texts.add_text("facet", json.dumps({"seed": 5}))
        texts.add_text("facet-painting", painting)
        Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=texts)
        drop(page, "body", file.getvalue())
        expect(status(page)).to_have_text("Settings restored from the picture.")
        assert face(page) == before


def test_a_picture_of_ones_own_is_painted_over(page: Page):
    tool(page, "Picture")
    drop(page, "#picture .drop", png_of(), "own.png")
    page.locator("#picture").get_by_role("button", name="Paint over a part").click()
    box(page, "A new seed each time").check()
    tools(page, "Left half").click()
    tools(page, "Draw this part anew").click()
    page.wait_for_function("() => window.facet.face.kind === 'painted' && window.facet.face.finished")
    assert (read_picture(file_of(face(page)))[:, 32:] == (0, 128, 128)).all()
    assert refuses_a_link(page) and face(page, "painting.before") is None
    reopened(page)
    tools(page, "Paint over a part").click()
    expect(tools(page, "The face before")).to_be_hidden()


def test_more_and_less_alike_work_at_once_and_can_be_stopped(page: Page):
    set_steps(page, 100)
    generate(page)
    tool(page, "Explore")
    for name in ("More like this face", "Less like this face"):
        page.get_by_role("button", name=name).click()
        expect(page.locator("#strip .title")).to_have_text("The faces are being drawn.", timeout=2_000)
        expect(status(page)).to_contain_text("Drawing 8 faces: ")
        page.click("#stop")
        expect(status(page)).to_have_text("Stopped.", timeout=5_000)
        expect(page.locator("#strip .title")).to_have_text("")


def test_an_edit_waits_while_a_part_is_painted_over(page: Page):
    generate(page)
    shown = face(page, "id")
    tools(page, "Paint over a part").click()
    tools(page, "Hair").click()
    page.locator("#edits select").select_option("Smiling")
    # longer than a redraw takes
    page.wait_for_timeout(1500)
    expect(page.locator("#paint canvas")).to_be_visible()
    assert mask(page).any() and face(page, "id") == shown
