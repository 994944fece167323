"""One thing changed, and walks."""

import pytest
from PIL import Image, ImageSequence
from playwright.sync_api import Page, expect

from model.pipeline import FacePipeline
from tests.browser.actions import face, generate, tool
from ui.exports import MS


@pytest.mark.parametrize("size", ["page", "phone"])
def test_one_thing_changed(size, request, pipe: FacePipeline):
    page: Page = request.getfixturevalue(size)
    generate(page)
    now = face(page, "record")
    tool(page, "Explore")
    faces = page.locator("#strip .faces button")
    page.get_by_role("button", name="Less and more of it").click()
    expect(page.locator("#strip .title")).to_contain_text("Smiling", timeout=30_000)
    assert [text.strip() for text in faces.all_inner_texts()] == ["-2", "-1", "as it is", "+1", "+2"]
    page.get_by_role("button", name="Less and more guidance").click()
    expect(page.locator("#strip .title")).to_contain_text("Guidance", timeout=30_000)
    assert [text.strip() for text in faces.all_inner_texts()] == ["0", "1", "2", "4", "8"]
    faces.nth(4).click()
    page.wait_for_function("() => window.facet.face.finished && window.facet.face.record.guidance === 8")
    assert face(page, "record") == {**now, "guidance": 8}
    page.get_by_label("Walk to another prompt").fill("an old man")
    page.get_by_role("button", name="Walk", exact=True).click()
    expect(page.locator("#strip .title")).to_contain_text("old man", timeout=40_000)
    place = page.get_by_label("Place on the way")
    # without motion it waits to be played
    assert place.input_value() == "0"
    page.locator("#strip").get_by_role("button", name="Play").click()
    page.wait_for_function("() => +document.querySelector('#strip .bar input').value > 2")
    page.locator("#strip").get_by_role("button", name="Pause").click()
    place.focus()
    place.press("End")
    assert place.input_value() == "23"
    with page.expect_download() as download:
        page.get_by_role("button", name="Save (WebP)").click()
    animation = Image.open(download.value.path())
    # WebP keeps frames that are alike as one that lasts longer
    durations = []
    for frame in ImageSequence.Iterator(animation):
        frame.load()
        durations.append(frame.info["duration"])
    # there and back
    assert sum(durations) > 24 * MS
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
