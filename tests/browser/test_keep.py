"""Save, link and gallery."""

import io
import json
import time
import zipfile
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from benchmarks.harness.browser import setting
from model.settings import Settings
from tests.browser.actions import (
    DESKTOP,
    LAST,
    box,
    drop,
    face,
    generate,
    load_again,
    manage,
    opened,
    saved,
    set_steps,
    status,
    tool,
    view,
    words,
)


@pytest.mark.parametrize("size", ["page", "phone"])
def test_a_saved_picture_brings_its_settings_back(size, request):
    page: Page = request.getfixturevalue(size)
    words(page).fill("an old man with a hat")
    set_steps(page, 12)
    generate(page)
    made, face_made = face(page, "record"), face(page)
    name, data = saved(page, "png")
    image = Image.open(io.BytesIO(data))
    assert name == f"facet-{made['seed']}.png" and image.size == (512, 512)
    assert Settings.read(json.loads(image.text["facet"])) == (Settings(**made), [])
    page.locator("#keep summary").click()
    expect(page.locator("#keep .shown")).to_contain_text(f"seed {made['seed']}")
    page.get_by_label("Put the settings inside the picture").uncheck()
    _, bare = saved(page, "png")
    assert not Image.open(io.BytesIO(bare)).text
    set_steps(page, 3)
    words(page).fill("another")
    drop(page, "body", bare)
    expect(status(page)).to_have_text("This picture holds no settings.")
    drop(page, "body", data)
    expect(status(page)).to_have_text("Settings restored from the picture.")
    expect(words(page)).to_have_value("an old man with a hat")
    expect(page.get_by_label("A new seed each time")).not_to_be_checked()
    generate(page)
    assert face(page, "record") == made and face(page) == face_made


def test_a_link_holds_everything(page: Page, browser: Browser, address: str):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    box(page, "Smiling").check()
    tool(page, "Settings")
    setting(page, "negative", "hat & coat")
    setting(page, "steps", 8)
    generate(page)
    made, face_made = face(page, "record"), face(page)
    page.get_by_role("button", name="Copy link").click()
    expect(status(page)).to_contain_text("link is copied")
    link = page.evaluate("navigator.clipboard.readText()")
    assert page.url == link
    assert {name: value for name, [value] in parse_qs(urlparse(link).query).items()} == {
        name: str(value) for name, value in made.items()
    }
    for other in opened(browser, link, viewport=DESKTOP):
        other.wait_for_function("() => window.facet.face.kind === '' && window.facet.face.finished")
        assert face(other, "record") == made and face(other) == face_made
        expect(box(other, "Smiling")).to_be_checked()


def test_animations_strips_and_archives(page: Page):
    generate(page)
    page.locator("#keep summary").click()
    for what, kind, check in (
        ("webp", "WEBP", lambda image: image.n_frames == LAST),
        ("gif", "GIF", lambda image: image.n_frames == LAST),
        ("strip", "PNG", lambda image: image.size == (8 * 256, 256)),
    ):
        _, data = saved(page, what)
        image = Image.open(io.BytesIO(data))
        assert image.format == kind and check(image)
    _, data = saved(page, "zip")
    assert {"face-64.png", "face-512.png", "settings.json", "steps.webp", "steps.png"} == set(
        zipfile.ZipFile(io.BytesIO(data)).namelist()
    )
    view(page, "Noisy")
    page.locator(".stage").focus()
    page.keyboard.press("Home")
    time.sleep(0.3)
    name, data = saved(page, "frame")
    # noise
    assert name.endswith("-step-1.png") and np.asarray(Image.open(io.BytesIO(data))).std() > 40
    view(page, "Clean")
    page.locator(".stage").focus()
    page.keyboard.press("ArrowRight")
    # no settings make that face again
    page.get_by_role("button", name="Use this frame").click()
    expect(page.locator("#keep .shown")).to_have_text("This face came from another one: it has no settings of its own.")
    page.get_by_role("button", name="Copy link").click()
    expect(status(page)).to_contain_text("no link can hold it")


def test_an_animation_of_more_than_a_request_may_hold_is_thinned(page: Page):
    page.evaluate("""() => {  // 30 MB of frames, as of many faces in a thousand steps
        const canvas = document.createElement("canvas"), context = canvas.getContext("2d");
        canvas.width = canvas.height = 256;
        const pixels = context.createImageData(256, 256);
        pixels.data.forEach((_, i) => { pixels.data[i] = i % 4 === 3 ? 255 : Math.random() * 256; });
        context.putImageData(pixels, 0, 0);
        window.facet.face.frames = Array.from({length: 300}, (_, i) => {  // no two alike, or they are saved as one
            context.fillRect(i % 16 * 16, Math.floor(i / 16) * 16, 16, 16);
            return canvas.toDataURL("image/jpeg", 0.92);
        });
        // and its steps, as of a run of a thousand: they stay in the browser
        const {face} = window.facet, [denoised, noisy] = face.frames;
        face.steps.frames = Array.from({length: 1000}, (_, i) => ({step: i + 1, noise_level: 0.5, denoised, noisy}));
    }""")
    page.locator("#keep summary").click()
    _, data = saved(page, "gif")
    assert 20 <= Image.open(io.BytesIO(data)).n_frames <= 120
    _, data = saved(page, "png")
    assert Image.open(io.BytesIO(data)).size == (512, 512)


def test_what_is_saved_while_another_file_is_made_comes_too(page: Page):
    page.locator("#keep summary").click()
    files = []
    page.on("download", lambda download: files.append(download.suggested_filename))
    page.evaluate(
        "() => ['png', 'strip', 'gif'].forEach(what => element(what).click())".replace(
            "element(what)", "document.querySelector(`#keep [data-what=${what}]`)"
        )
    )
    page.wait_for_timeout(100)
    deadline = time.monotonic() + 30
    while len(files) < 3 and time.monotonic() < deadline:
        page.wait_for_timeout(100)
    assert {name.rsplit("-", 1)[-1].rsplit(".")[-1] for name in files} == {"png", "gif"} and len(files) == 3


def test_a_picture_is_opened_by_the_keyboard_whatever_its_kind(page: Page):
    """As it is by dropping it: the chooser offers what the page can read."""
    page.locator("#keep summary").click()
    chooser = page.get_by_label("Open a saved picture")
    assert set(chooser.get_attribute("accept").split(",")) == {"image/png", "image/jpeg", "image/webp", ".zip"}
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0" + b"a tanned man\nSteps: 20, Sampler: Euler a, Seed: 77"
    picture = io.BytesIO()
    Image.new("RGB", (64, 64)).save(picture, "JPEG", exif=exif)
    chooser.set_input_files({"name": "a.jpg", "mimeType": "image/jpeg", "buffer": picture.getvalue()})
    expect(words(page)).to_have_value("a tanned man")


@pytest.mark.parametrize("size", ["page", "phone"])
def test_the_gallery_stays_in_the_browser(size, request):
    page: Page = request.getfixturevalue(size)
    set_steps(page, 4)
    words(page).fill("first")
    generate(page)
    first, made = face(page), face(page, "record")
    words(page).fill("second")
    generate(page)
    entries = page.locator("#gallery .open")
    expect(entries).to_have_count(2)
    load_again(page)
    expect(entries).to_have_count(2)
    # the newest comes first
    entries.nth(1).click()
    expect(words(page)).to_have_value("first")
    page.wait_for_function("() => window.facet.face.kind === 'gallery' && window.facet.face.finished")
    assert face(page) == first and face(page, "record") == made
    manage(page, "Delete all")
    expect(page.locator("#gallery .gallery")).to_be_hidden()
