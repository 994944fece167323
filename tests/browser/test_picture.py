"""Starting from a picture."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.actions import LAST, drop, face, generate, png_of, status, tool


@pytest.mark.parametrize("size", ["page", "phone"])
def test_start_from_a_picture(size, request):
    page: Page = request.getfixturevalue(size)
    tool(page, "Picture")
    page.locator("#picture input[type=file]").set_input_files(
        {"name": "own.png", "mimeType": "image/png", "buffer": png_of(700)}
    )
    expect(page.locator("#picture .chosen")).to_be_visible()
    generate(page)
    total, kind = face(page, "frames.length"), face(page, "kind")
    assert 1 <= total < LAST and kind == "picture"
    assert not [
        request.url for request in page.asked if "/upload" in request.url
    ]  # it never becomes a file of the server
    page.get_by_role("button", name="More like this picture").click()
    expect(page.locator("#strip .faces button")).to_have_count(8, timeout=30_000)
    page.locator("#strip .faces button").first.click()
    page.wait_for_function("() => window.facet.face.kind === 'variation' && window.facet.face.finished")
    page.get_by_role("button", name="More like this face").click()
    expect(status(page)).to_have_text("Done.", timeout=30_000)
    tool(page, "Picture")
    page.get_by_role("button", name="Remove").click()
    generate(page)
    assert face(page, "frames.length") == LAST


def test_a_picture_that_cannot_be_used_says_why_and_keeps_the_page(page: Page):
    """Why each kind cannot: test_files.py."""
    tool(page, "Picture")
    file = {"name": "x.png", "mimeType": "image/png", "buffer": png_of()[:-20]}
    page.locator("#picture input[type=file]").set_input_files(file)
    expect(page.locator("#picture .problem")).to_contain_text("cut off")
    expect(page.locator("#picture .chosen")).to_be_hidden()
    drop(page, "#picture .drop", png_of(), "good.png")
    expect(page.locator("#picture .chosen")).to_be_visible()
    expect(page.locator("#picture .problem")).to_have_text("")
