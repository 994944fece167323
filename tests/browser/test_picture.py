"""Starting from a picture."""

import io
import struct
import zlib

import pytest
from PIL import Image
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


def test_pictures_that_cannot_be_used(page: Page):
    tool(page, "Picture")
    moving, jpeg = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (64, 64)).save(moving, "WEBP", save_all=True, append_images=[Image.new("RGB", (64, 64), "red")])
    Image.effect_noise((200, 200), 90).save(jpeg, "JPEG")

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    huge = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0))
        + chunk(b"IEND", b"")
    )
    for data, told in (
        (b"no picture at all, just some text", "not an image"),
        (b"", "not an image"),
        (moving.getvalue(), "animated"),
        (jpeg.getvalue()[:-900], "cut off"),
        (png_of()[:-20], "cut off"),
        (huge, "40 megapixels"),
        (png_of()[:40] + b"IEND" * 9, "not an image"),
    ):
        page.locator("#picture input[type=file]").set_input_files(
            {"name": "x.png", "mimeType": "image/png", "buffer": data}
        )
        expect(page.locator("#picture .problem")).to_contain_text(told)
        expect(page.locator("#picture .chosen")).to_be_hidden()
    drop(page, "#picture .drop", png_of(), "good.png")
    expect(page.locator("#picture .chosen")).to_be_visible()
    expect(page.locator("#picture .problem")).to_have_text("")
