"""A link to the page: its card elsewhere, its QR code; and two faces compared."""

import io
import re

import httpx
import zxingcpp
from PIL import Image
from playwright.sync_api import Page, expect

from model.settings import Settings
from tests.browser.actions import LAST, face, generate, set_steps, status, words


def tags(address: str, **headers: str) -> dict[str, str]:
    """The page's card: og:image -> ..."""
    text = httpx.get(address, headers=headers, trust_env=False).text
    metas = re.findall(r'<meta (?:name|property)="((?:og|twitter|description)[^"]*)" content="([^"]*)"', text)
    # none of gradio's beside ours
    assert len(dict(metas)) == len(metas)
    return dict(metas)


def test_a_link_shows_a_card_of_this_page_alone(address: str):
    card = tags(address)
    assert "Facet" in card["og:title"] and "noise" in card["og:description"] and card["og:url"] == address
    assert card["og:image"] == f"{address}card.jpg"
    picture = httpx.get(card["og:image"], trust_env=False)
    size = int(card["og:image:width"]), int(card["og:image:height"])
    assert picture.headers["content-type"] == "image/jpeg" and Image.open(io.BytesIO(picture.content)).size == size
    assert len(picture.content) < 150_000
    behind = {"x-forwarded-host": "faces.example", "x-forwarded-proto": "https"}
    assert tags(address, **behind)["og:image"] == "https://faces.example/card.jpg"
    named = tags(address, **{"x-forwarded-host": 'a"><script>'}).values()
    assert not any("<script>" in value for value in named)


def scanned(page: Page) -> str:
    """What a phone reads from the screen; "" while there is nothing."""
    codes = zxingcpp.read_barcodes(Image.open(io.BytesIO(page.screenshot())))
    return codes[0].text if codes else ""


def test_a_phone_reads_the_qr_code(page: Page):
    set_steps(page, 4)
    words(page).fill("an old man with a hat 👴")
    generate(page)
    code = page.get_by_role("dialog", name="QR code of the link to this face")
    for width, height in ((1280, 900), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        page.locator("#keep [data-what=qr]").click()
        expect(code.locator("img")).to_be_visible()
        link = code.locator(".address").text_content()
        assert scanned(page) == link
        page.keyboard.press("Escape")
        expect(code).to_be_hidden()
    query = httpx.URL(link).params
    assert Settings.read(dict(query)) == (Settings(**face(page, "record")), [])
    # a code is shown over the presented face too
    page.evaluate("document.querySelector('#player').requestFullscreen()")
    page.keyboard.press("q")
    expect(code.locator("img")).to_be_visible()
    assert scanned(page) == link
    # phones do not know what this computer calls itself
    expect(code.locator(".note")).to_have_text("Only this computer knows this address: a phone cannot open it.")
    page.keyboard.press("Escape")
    page.evaluate("document.fullscreenElement && document.exitFullscreen()")
    page.evaluate("window.facet.local = () => false")
    page.locator("#keep [data-what=qr]").click()
    expect(code.locator("img")).to_be_visible()
    expect(code.locator(".note")).to_be_hidden()
    page.keyboard.press("Escape")
    page.evaluate("window.facet.face.record.prompt = 'long '.repeat(300)")
    page.locator("#keep [data-what=qr]").click()
    expect(status(page)).to_have_text("This link is too long for a QR code: use fewer words, or copy the link.")
    expect(code).to_be_hidden()


def test_two_faces_move_through_their_steps_together(page: Page):
    entries, pair = page.locator("#gallery .open"), page.get_by_role("dialog", name="Two faces compared")
    for prompt, steps in (("a man", 4), ("a woman", LAST)):
        set_steps(page, steps)
        words(page).fill(prompt)
        generate(page)
    expect(entries).to_have_count(2)
    page.get_by_role("button", name="Compare with…").click()
    entries.first.click()
    expect(status(page)).to_have_text("This is the face on screen: choose another one.")
    page.get_by_role("button", name="Compare with…").click()
    entries.nth(1).click()
    captions = pair.locator("figcaption")
    expect(captions).to_contain_text([f"Step {LAST} of {LAST}", "Step 4 of 4"])
    rows = dict(zip(pair.locator("th").all_inner_texts(), pair.locator("tr").all_inner_texts()))
    assert {"Prompt", "Seed", "Steps"} == set(rows) and rows["Prompt"].split("\t")[1:] == ["a woman", "a man"]
    images = pair.locator("img")
    finished = [image.get_attribute("src") for image in images.all()]
    # the timeline has the keys
    page.keyboard.press("Home")
    expect(captions).to_contain_text([f"Step 1 of {LAST}", "Step 1 of 4"])
    assert all(image.get_attribute("src") != last for image, last in zip(images.all(), finished))
    page.keyboard.press("Space")
    expect(captions).to_contain_text([f"Step {LAST} of {LAST}", "Step 4 of 4"])
    assert [image.get_attribute("src") for image in images.all()] == finished
    for width, beside in ((1280, True), (390, False)):
        page.set_viewport_size({"width": width, "height": 844})
        left, right = (image.bounding_box() for image in images.all())
        assert (right["x"] > left["x"]) is beside and (right["y"] > left["y"]) is not beside
        assert page.evaluate("document.querySelector('.pair').scrollWidth") <= width
    page.keyboard.press("Escape")
    expect(pair).to_be_hidden()
