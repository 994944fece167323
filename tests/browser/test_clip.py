"""What CLIP sees in a face."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from model.attributes import ATTRIBUTES
from model.pipeline import FacePipeline
from tests.browser.actions import box, deny, face, generate, tool


@pytest.mark.parametrize("size", ["page", "phone"])
def test_what_clip_sees(size, request, pipe: FacePipeline):
    page: Page = request.getfixturevalue(size)
    box(page, "Smiling").check()
    deny(page, "Bald").click()
    generate(page)
    first = face(page)
    generate(page)
    tool(page, "CLIP")
    bars = page.locator("#sees .bars:not(.own) .bar")
    expect(bars).to_have_count(12)
    assert bars.nth(0).inner_text().split("\n")[0].startswith("Smiling") and "not wanted" in bars.nth(1).inner_text()
    pixels = np.asarray(Image.open(io.BytesIO(decoded(face(page)))))
    score = pipe.attribute_scores(pixels[None])[0, ATTRIBUTES.index("Smiling")]
    assert float(bars.nth(0).locator(".value").inner_text()) == pytest.approx(score, abs=0.02)
    expect(page.locator("#sees .others img")).to_have_attribute("src", first)
    page.get_by_label("Your own labels").fill("a pop star, a tired face")
    page.get_by_label("Your own labels").press("Enter")
    expect(page.locator("#sees .own .bar")).to_have_count(2)
    expect(page.locator("#sees .own")).to_contain_text("a tired face")


def decoded(uri: str) -> bytes:
    return base64.b64decode(uri.partition(",")[2])
