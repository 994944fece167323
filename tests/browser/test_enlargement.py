"""The enlargements side by side."""

import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.actions import generate, saved
from ui.frames import file_of, read_picture


@pytest.mark.parametrize("size", ["moving", "phone"])
def test_three_enlargements_to_compare(size, request):
    page: Page = request.getfixturevalue(size)
    generate(page)
    # the reveal has ended
    page.wait_for_function("() => document.querySelector('.split').value === '0'")
    by = page.locator(".enlargements")
    expect(by.get_by_role("button", name="Crisp")).to_have_attribute("aria-pressed", "true")
    by.get_by_role("button", name="SRResNet").click()
    expect(by.get_by_role("button", name="SRResNet")).to_have_attribute("aria-pressed", "true")
    by.get_by_role("button", name="Pixels").click()
    assert page.locator(".split").input_value() == "50"
    pixels = page.locator(".plain").get_attribute("src")
    by.get_by_role("button", name="Bicubic").click()
    assert page.locator(".plain").get_attribute("src") != pixels
    slider = page.locator(".split")
    slider.focus()
    slider.press("ArrowRight")
    assert "51 % bicubic" in slider.get_attribute("aria-valuetext")
    assert "49%" in page.locator(".plain").evaluate("image => image.style.clipPath")
    place = slider.bounding_box()
    page.mouse.click(place["x"] + place["width"] * 0.25, place["y"] + place["height"] / 2)
    assert 20 <= int(slider.input_value()) <= 30
    by.get_by_role("button", name="SRResNet").click()
    assert slider.input_value() == "0"


def test_the_crisp_enlargement_is_shown_and_saved_and_the_choice_stays(page, pipe):
    def kept() -> np.ndarray:
        return np.array(Image.open(io.BytesIO(saved(page, "png")[1])).convert("RGB"))

    generate(page)
    by, picture = page.locator(".enlargements"), page.locator(".large .srresnet")
    expect(page.locator(".explain")).to_contain_text("invented")
    assert by.locator("[aria-pressed=true]").all_inner_texts() == ["Crisp"]
    assert page.locator(".split").get_attribute("aria-valuetext") == "All crisp SRResNet"
    crisp, face = picture.get_attribute("src"), read_picture(file_of(page.evaluate("() => facet.face.image")))
    assert np.array_equal(kept(), pipe.upscale(face[None], crisp=True)[0])
    by.get_by_role("button", name="SRResNet").click()
    expect(page.locator(".explain")).to_contain_text("Enlarged eight times. Drag")
    assert picture.get_attribute("src") != crisp and np.array_equal(kept(), pipe.upscale(face[None])[0])
    generate(page)
    # the next face comes as this one was left
    expect(by.locator("[data-by=srresnet]")).to_have_attribute("aria-pressed", "true")
