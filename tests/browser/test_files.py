"""Pictures as people bring them, in the browser: the answers are those of model/files/decode.py, pixel for pixel as
near as decoders are."""

import base64
import io
import json
import zlib

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from model.errors import InputError
from model.files.decode import read_image
from model.images import middle_square
from tests.browser.actions import LAST, drop, face, generate, png_of, status, tool
from tests.conftest import CASES, ROOT
from tests.model.files.test_decode import SKIN, chunk, encoded
from tests.profiles import ADOBE_RGB, DISPLAY_P3, GREY, profile
from ui.frames import file_of, read_picture

SIDE = 64
PICTURES = sorted(path.name for path in (CASES / "pictures").iterdir())


@pytest.fixture(scope="module")
def scripts(browser):
    """A page of the scripts alone."""
    page = browser.new_page()
    page.set_content("<!doctype html>")
    for name in ("facet.js", "exif.js", "files.js"):
        page.add_script_tag(content=(ROOT / "assets" / "scripts" / name).read_text(encoding="utf-8"))
    yield page
    page.close()


def asked(scripts, data: bytes, ask: str):
    """What a function of `facet` says about a file of these bytes."""
    encoded_data = base64.b64encode(data).decode()
    return scripts.evaluate(
        """async ([data, ask, side]) => {
        const bytes = Uint8Array.from(atob(data), sign => sign.charCodeAt(0)), facet = window.facet;
        const file = new Blob([bytes]);
        const texts = async () => facet.textsOf(await facet.bytesOf(file));
        try { return {said: await (ask === "square" ? facet.square(file, side) : texts())}; }
        catch (problem) { return {problem: problem.message}; }
    }""",
        [encoded_data, ask, SIDE],
    )


def square(scripts, data: bytes) -> np.ndarray:
    return read_picture(file_of(asked(scripts, data, "square")["said"])).astype(int)


@pytest.mark.parametrize("name", PICTURES)
def test_the_page_sees_what_the_api_sees(scripts, name):
    data = (CASES / "pictures" / name).read_bytes()
    here, seen = square(scripts, data), np.array(read_image(io.BytesIO(data)))
    there = middle_square(seen, min(SIDE, *seen.shape[:2])).astype(int)
    # Two ways to make a picture smaller differ at edges, and most in the noise of the fuzzed ones.
    assert here.shape == there.shape and np.abs(here - there).mean() < 12
    assert np.abs(here[28:36, 28:36].mean((0, 1)) - there[28:36, 28:36].mean((0, 1))).max() < 12


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_kept_in_every_kind(scripts, kind, orientation):
    """Also in WebP, which Chromium does not turn by itself."""
    corners = Image.new("RGB", (120, 80))
    for colour, place in (("red", (0, 0)), ("green", (60, 0)), ("blue", (0, 40))):
        corners.paste(colour, (*place, place[0] + 60, place[1] + 40))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(corners, kind, exif=exif, quality=95).getvalue()
    there = middle_square(np.array(read_image(io.BytesIO(data))), SIDE).astype(int)
    assert np.abs(square(scripts, data) - there).mean() < 4


def test_an_orientation_in_xmp_counts_nowhere(scripts):
    half = Image.new("RGB", (80, 80))
    half.paste("red", (0, 0, 80, 40))
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'
    for kind in ("JPEG", "WEBP"):
        data = encoded(half, kind, xmp=xmp, quality=95).getvalue()
        assert np.abs(square(scripts, data) - np.array(read_image(io.BytesIO(data)).resize((SIDE, SIDE)))).mean() < 4


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("colours", [DISPLAY_P3, ADOBE_RGB, GREY], ids=["Display P3", "Adobe RGB", "grey"])
def test_colours_of_a_wide_profile_are_the_same_here_and_there(scripts, kind, colours):
    plain = Image.new("RGB", (64, 64), (200, 100, 50)).convert("L" if colours is GREY else "RGB")
    data = encoded(plain, kind, icc_profile=profile(colours), quality=95).getvalue()
    there = np.array(read_image(io.BytesIO(data))).astype(int)
    assert np.abs(square(scripts, data) - there).max() <= 3
    # A WebP has no grey of its own, so the profile does not fit it.
    assert (np.abs(there[0, 0] - np.array(plain.convert("RGB"))[0, 0]).max() > 8) == ((colours, kind) != (GREY, "WEBP"))


@pytest.mark.parametrize("size", [(4032, 3024), (8160, 6120)], ids=["12 megapixels", "50 megapixels"])
def test_a_phones_photo_is_shrunk_before_it_is_sent(scripts, size):
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = Image.new("RGB", size, SKIN)
    photo.paste((0, 0, 255), (0, 0, size[0], size[1] // 2))
    told = asked(scripts, encoded(photo, "JPEG", exif=exif).getvalue(), "square")["said"]
    seen = read_picture(file_of(told)).astype(int)
    assert seen.shape == (SIDE, SIDE, 3) and len(told) < 20_000
    # turned to the right
    assert np.abs(seen[:, 5] - SKIN).max() < 6 and np.abs(seen[:, -5] - [0, 0, 255]).max() < 6


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_an_animation_the_first_frame(scripts, kind):
    first, second = Image.new("RGB", (64, 64), "red"), Image.new("RGB", (64, 64), "blue")
    data = encoded(first, kind, save_all=True, append_images=[second], duration=20, lossless=True).getvalue()
    assert np.abs(square(scripts, data) - [255, 0, 0]).max() < 4


@pytest.mark.parametrize("mode", ["CMYK", "1", "L", "P"])
def test_modes(scripts, mode):
    data = encoded(Image.new("RGB", (64, 64), "white").convert(mode), "JPEG" if mode == "CMYK" else "PNG").getvalue()
    assert square(scripts, data).min() > 250


def test_what_lies_behind_the_end_or_in_texts_is_left_alone(scripts):
    plain, jpeg = (
        encoded(Image.new("RGB", (64, 64), SKIN)).getvalue(),
        encoded(Image.new("RGB", (64, 64), SKIN), "JPEG"),
    )
    film = b"\0\0\0\x18ftypmp42" + bytes(100_000) + b"\xff\xd9" + bytes(100_000)
    texts = chunk(b"zTXt", b"notes\0\0" + zlib.compress(bytes(2**21)))
    for data in (jpeg.getvalue() + film, plain + film, plain[:33] + texts + plain[33:]):
        assert np.abs(square(scripts, data) - SKIN).max() < 4


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "not an image"),
        (b"GIF89a" + bytes(40), "a GIF"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC"),
        (b"\0\0\0\x1cftypavif" + bytes(40), "AVIF"),
        (b"\0\0\0\x18ftypmp42" + bytes(40), "a film"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
        (encoded(Image.effect_noise((64, 64), 50)).getvalue()[:-20], "cut off"),
        (encoded(Image.effect_noise((200, 200), 90), "JPEG").getvalue()[:-900], "cut off"),
        (encoded(Image.effect_noise((200, 200), 90), "WEBP").getvalue()[:-900], "cut off"),
        (encoded(Image.effect_noise((64, 64), 50)).getvalue()[:40] + b"IEND" * 9, "cut off"),
    ],
)
def test_what_is_no_picture_is_one_line_here_and_there(scripts, data, words):
    assert words in asked(scripts, data, "square")["problem"]
    with pytest.raises(InputError):
        read_image(io.BytesIO(data))


# --- texts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["own_itxt", "after_others", "compressed_itxt", "text_ascii", "newer_field"])
def test_the_settings_of_a_png(scripts, name):
    record = json.loads(asked(scripts, (CASES / "metadata" / f"{name}.png").read_bytes(), "texts")["said"]["facet"])
    assert record["seed"] == 4242 and record["prompt"] == "a man with a hat 🙂 é"


def test_other_texts_and_none(scripts):
    for name in ("empty.png", "stripped.jpg"):
        assert asked(scripts, (CASES / "metadata" / name).read_bytes(), "texts") == {"said": {}}
    assert asked(scripts, (CASES / "metadata" / "cut.png").read_bytes(), "texts")["said"]["facet"].startswith(
        '{"prompt'
    )
    assert (
        "Seed: 12345" in asked(scripts, (CASES / "metadata" / "webui.png").read_bytes(), "texts")["said"]["parameters"]
    )


@pytest.mark.parametrize(
    "extra, expected",
    [
        (chunk(b"zTXt", b"facet\0\0" + zlib.compress(b"{}")), {"facet": "{}"}),
        (chunk(b"zTXt", b"facet\0\0" + b"not packed"), {}),
        (chunk(b"zTXt", b"facet\0\0" + zlib.compress(b"1" * 2**21)), {}),
        (chunk(b"iTXt", b"facet\0\1\0de\0Gesicht\0" + zlib.compress("ü".encode())), {"facet": "ü"}),
        (chunk(b"tEXt", "facet\0ü".encode("latin1")), {"facet": "ü"}),
        (chunk(b"tEXt", "facet\0ü".encode()), {"facet": "ü"}),
        (chunk(b"tEXt", b"facet"), {"facet": ""}),
        (chunk(b"tEXt", b""), {}),
        (chunk(b"tEXt", b"facet\0first") + chunk(b"tEXt", b"facet\0second"), {"facet": "first"}),
        (b"\xff\xff\xff\xfftEXtfacet\0", {"facet": ""}),
    ],
)
def test_texts_of_every_kind(scripts, extra, expected):
    plain = encoded(Image.new("RGB", (8, 8))).getvalue()
    texts = asked(scripts, plain[:33] + extra + plain[33:], "texts")["said"]
    assert {name: text for name, text in texts.items() if len(text) < 50} == expected or expected == {"facet": ""}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("how", ["utf-16be", "utf-16le", "ascii", "plain bytes in the first folder"])
def test_the_comment_in_which_web_uis_keep_their_settings(scripts, kind, how):
    text = (
        "a man, é\nNegative prompt: hat\nSteps: 20, Sampler: Euler a, Seed: 77"
        if how != "ascii"
        else "Steps: 1, Seed: 2"
    )
    exif = Image.Exif()
    exif[0x0110] = "a program"
    if how.startswith("plain"):
        exif[0x9286] = text.encode()
    else:
        exif.get_ifd(0x8769)[0x9286] = (b"ASCII\0\0\0" if how == "ascii" else b"UNICODE\0") + text.encode(how)
    data = encoded(Image.new("RGB", (16, 16)), kind, exif=exif).getvalue()
    assert asked(scripts, data, "texts")["said"] == {"UserComment": text}


DAMAGE = {
    "first folder": (b"MM\0*\0\0\0\x08", b"MM\0*\xff\xff\xff\x08"),
    "kind": (b"\x92\x86\0\x01", b"\x92\x86\0\x09"),
    "second folder": (b"\x87\x69\0\x04\0\0\0\x01", b"\x87\x69\0\x04\xff\xff\xff\xff"),
    "circle": (b"\x87\x69\0\x04\0\0\0\x01\0\0\0\x1a", b"\x87\x69\0\x04\0\0\0\x01\0\0\0\x08"),
    "order": (b"Exif\0\0MM", b"Exif\0\0XX"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damaged_exif_says_nothing(scripts, what):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + "Steps: 20, Seed: 7".encode("utf-16be")
    data = encoded(Image.new("RGB", (16, 16)), "JPEG", exif=exif).getvalue()
    spoiled = data.replace(*DAMAGE[what])
    assert spoiled != data and asked(scripts, data, "texts")["said"]
    assert asked(scripts, spoiled, "texts") == {"said": {}} or what == "second folder"
    assert square(scripts, spoiled).shape == (16, 16, 3)


# --- keys and addresses -----------------------------------------------------------------------------------------------


def test_escape_that_closes_an_input_methods_list_stops_nothing(scripts):
    scripts.set_content("<button id=stop>Stop</button>")
    scripts.evaluate(f"() => {{ {(ROOT / 'assets' / 'scripts' / 'keys.js').read_text(encoding='utf-8')} }}")
    pressed = """options => {
        let clicks = 0;
        document.querySelector('#stop').onclick = () => { clicks++; };
        document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape', ...options})); return clicks; }"""
    assert scripts.evaluate(pressed, {"isComposing": True}) == 0
    assert scripts.evaluate(pressed, {"keyCode": 229}) == 0
    assert scripts.evaluate(pressed, {}) == 1


# --- the tab "Picture" ---


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
    # it never becomes a file of the server
    assert not [request.url for request in page.asked if "/upload" in request.url]
    # its settings alone do not make it, and the gallery does not keep the picture
    page.locator("#gallery .open").first.click()
    page.wait_for_function("() => window.facet.face.kind === 'gallery' && window.facet.face.finished")
    page.get_by_role("button", name="Copy link").click()
    expect(status(page)).to_have_text("This face started from a picture, which no link can hold.")
    tool(page, "Explore")
    page.get_by_role("button", name="Less and more guidance").click()
    expect(status(page)).to_contain_text("This face came from another one and has no settings to change")
    tool(page, "Picture")
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


def test_a_file_dropped_on_the_page_is_told_what_it_is(page: Page):
    told = {b"": "not an image", b"%PDF-1.4" + bytes(40): "not an image", b"GIF89a" + bytes(40): "a GIF"}
    for data, what in told.items():
        page.evaluate("window.facet.say('')")
        drop(page, ".stage", data)
        expect(status(page)).to_contain_text(what)
    page.evaluate("window.facet.MOST_BYTES = 100")
    drop(page, ".stage", png_of())
    expect(status(page)).to_contain_text("more than 0.0001 MB")
    # as of a folder
    page.evaluate("() => { File.prototype.arrayBuffer = () => Promise.reject(new DOMException()); }")
    drop(page, ".stage", b"")
    expect(status(page)).to_contain_text("This cannot be read")


def test_a_photograph_dropped_on_the_page_can_be_the_start(page: Page):
    page.get_by_role("tab", name="How it works").click()
    expect(page.locator("#how")).to_be_visible()
    drop(page, "body", png_of(700))
    expect(page.locator(".stage")).to_be_visible()
    expect(status(page)).to_have_text("This picture holds no settings.")
    page.get_by_role("button", name="Start from it").click()
    expect(page.locator("#picture .chosen")).to_be_in_viewport()
    expect(status(page)).to_have_text("Generate starts from this picture now.")
    generate(page)
    assert face(page, "kind") == "picture"
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(status(page)).to_have_text("Generate starts from noise again.")
    # and another one, once that part of the page is there
    drop(page, ".stage", png_of(300, "tan"))
    page.get_by_role("button", name="Start from it").click()
    expect(page.locator("#picture .chosen")).to_be_visible()
    page.get_by_role("button", name="Remove", exact=True).click()
    # a screenshot, in whose EXIF a phone says so, and a walker's photograph
    for comment in (b"Screenshot", b"Steps: 12345 today"):
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0" + comment
        page.evaluate("window.facet.say('')")
        drop(page, ".stage", encoded(Image.new("RGB", (80, 80)), "PNG", exif=exif).getvalue())
        expect(status(page)).to_contain_text("This picture holds no settings")
        page.get_by_role("button", name="Start from it").click()
        expect(page.locator("#picture .chosen")).to_be_visible()


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
