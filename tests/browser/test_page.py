"""The page in a real browser: Debian's Chromium, driven by Playwright, against `python app.py` in a process of its own.

`tests/install_chromium.sh` finds or installs Chromium. Without one these tests are skipped, but fail where CI is set.
Every page's console must stay empty, and every request must go to the app itself.
"""

import base64
import io
import json
import re
import shutil
import struct
import time
import zipfile
import zlib
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from benchmarks.browser import setting
from benchmarks.server import running
from model import attributes, checkpoint
from model.attributes import ATTRIBUTES
from model.pipeline import FacePipeline
from model.settings import DEFAULTS, Settings
from tests.conftest import save_crisp
from ui.frames import file_of, read_picture
from ui.runs import LIVE_STEPS

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PATIENCE = 30_000  # ms
LAST = DEFAULTS.steps
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def weights(tiny_weights, tmp_path_factory) -> Path:
    """The tiny weights with a training to tell of, and a crisp SRResNet."""
    folder = tmp_path_factory.mktemp("told")
    for file in tiny_weights.iterdir():
        shutil.copy(file, folder)
    tensors, config, info = checkpoint.load(folder / "unet.safetensors")
    checkpoint.save(
        folder / "unet.safetensors", tensors, config, {**info, "images": 310000, "seconds": 5400, "device": "cpu"}
    )
    save_crisp(folder)
    measured = checkpoint.load(folder / "unet.safetensors")[2]["hash"]
    (folder / "evaluation.json").write_text(
        json.dumps(
            {
                "weights": {"unet": {"hash": measured}},
                "memorisation": {"pixels": {"generated_median": 41, "validation_median": 40}},
            }
        )
    )
    return folder


@pytest.fixture(scope="module")
def pipe(weights) -> FacePipeline:
    return FacePipeline.from_pretrained(weights)


@pytest.fixture(scope="module")
def address(weights, tmp_path_factory):
    """The app's address, launched as a visitor of the repository would, on the tiny weights."""
    with running(tmp_path_factory.mktemp("page") / "run", {"FACET_WEIGHTS": str(weights)}) as server:
        yield f"{server.address}/"


@pytest.fixture
def page(browser: Browser, address: str):
    yield from opened(browser, address, viewport=DESKTOP)


@pytest.fixture
def phone(browser: Browser, address: str):
    yield from opened(browser, address, viewport=PHONE, is_mobile=True, has_touch=True)


@pytest.fixture
def moving(browser: Browser, address: str):
    yield from opened(browser, address, viewport=DESKTOP, reduced_motion="no-preference")


def opened(browser: Browser, address: str, **options):
    """The open page, its first face drawn; at the end of the test its console must be empty and no request have gone elsewhere.

    Without motion, which saves the time that moving takes, unless a test asks for it.
    """
    context = browser.new_context(**{"reduced_motion": "reduce", **options})
    context.set_default_timeout(PATIENCE)
    page, said, asked = context.new_page(), [], []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("request", lambda request: asked.append(request))
    page.asked, page.said = asked, said
    page.goto(address)
    page.wait_for_function(
        "() => window.facet?.face?.finished && document.querySelector('.player').dataset.view === 'large'"
    )
    page.evaluate("""() => {  // every step that the player shows, since Generate was pressed
        const player = document.querySelector(".player"), picture = player.querySelector(".picture");
        window.shown = [];
        document.querySelector("#generate").addEventListener("click", () => { window.shown = []; }, true);
        new MutationObserver(() => window.shown.push({step: +player.dataset.step, face: picture.src}))
            .observe(player, {attributes: true, attributeFilter: ["data-step"]});
    }""")
    yield page
    context.close()
    assert said == []
    origin = address.partition("?")[0]
    assert [request.url for request in asked if not request.url.startswith((origin, "data:", "blob:"))] == []


def status(page: Page):
    return page.locator("#status [role=status]")


def words(page: Page):
    return page.get_by_label("What should the face look like?")


def box(page: Page, label: str):
    return page.get_by_role("checkbox", name=label, exact=True)


def deny(page: Page, attribute: str):
    return page.locator(f'[data-name="{attribute}"] button')


def tool(page: Page, name: str) -> None:
    page.locator("#tools").get_by_role("tab", name=name, exact=True).click()


def set_steps(page: Page, steps: int) -> None:
    tool(page, "Settings")
    setting(page, "steps", steps)


def generate(page: Page) -> None:
    """One whole run, until its face is announced."""
    before = page.evaluate("window.facet.face.id")
    page.click("#generate")
    page.wait_for_function(
        "before => !window.facet.running && window.facet.face.id !== before && window.facet.face.last"
        " && (window.facet.face.finished || window.facet.face.count > 1)",
        arg=before,
        timeout=40_000,
    )
    expect(status(page)).to_contain_text("Done in")


def face(page: Page, key: str = "image"):
    time.sleep(0.15)  # the player tells of a new face a moment after it shows it
    return page.evaluate(f"window.facet.face.{key}")


def view(page: Page, name: str) -> None:
    page.locator(".views").get_by_role("button", name=name).click()


def step(page: Page) -> int:
    return int(page.locator(".player").get_attribute("data-step"))


def reads(page: Page, prompt: str) -> None:
    """Words and boxes together make this prompt."""
    expect(page.locator("#understood .reads")).to_have_text(
        f"Prompt: {prompt}" if prompt else "No words, no boxes: any face may come."
    )


def saved(page: Page, what: str) -> tuple[str, bytes]:
    with page.expect_download() as download:
        page.locator(f"#keep [data-what={what}]").click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def drop(page: Page, target: str, data: bytes, name: str = "face.png", kind: str = "image/png") -> None:
    page.evaluate(
        """([target, data, name, kind]) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(data)], name, {type: kind}));
        document.querySelector(target).dispatchEvent(new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true}));
    }""",
        [target, list(data), name, kind],
    )


def png_of(size: int = 80, colour: str = "teal") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), colour).save(buffer, "PNG")
    return buffer.getvalue()


# --- 1, 2: the player -------------------------------------------------------------------------------------------------


def test_a_face_is_there_at_once_and_one_click_makes_an_own(moving: Page):
    page = moving
    assert face(page, "kind") == "opening"
    expect(page.locator(".srresnet")).to_be_visible()
    place = page.locator(".stage").bounding_box()
    page.click("#generate")
    expect(status(page)).to_contain_text("Done in")
    assert page.locator(".stage").bounding_box() == place and place["width"] == place["height"] >= 500
    expect(page.locator(".srresnet")).to_be_visible()
    assert page.locator(".srresnet").evaluate("image => image.decode().then(() => image.naturalWidth)") == 512
    assert "512" in page.locator(".srresnet").get_attribute("alt")


def test_every_step_is_shown(page: Page):
    set_steps(page, 60)
    page.click("#generate")
    page.wait_for_function("() => window.shown.at(-1)?.step === 60")
    shown = page.evaluate("window.shown")
    steps = [entry["step"] for entry in shown]
    assert list(dict.fromkeys(steps)) == list(range(1, 61)) and len({entry["face"] for entry in shown}) >= 40


def test_the_timeline_needs_no_server(page: Page):
    generate(page)
    page.asked.clear()
    view(page, "Clean")
    page.locator(".stage").focus()
    for key, there in (
        ("Home", 1),
        ("ArrowRight", 2),
        ("ArrowRight", 3),
        ("ArrowLeft", 2),
        ("End", LAST),
        ("ArrowRight", LAST),
    ):
        page.keyboard.press(key)
        assert step(page) == there, key
    page.locator(".before").click()
    assert step(page) == LAST - 1
    page.locator(".after").click()
    slider = page.get_by_role("slider", name="Step", exact=True)
    slider.focus()
    for _ in range(LAST - 10):
        slider.press("ArrowLeft")
    assert step(page) == 10 and f"Step 10 of {LAST}" in slider.get_attribute("aria-valuetext")
    first = page.locator(".dot").get_attribute("cx"), page.locator(".noise").inner_text()
    page.keyboard.press("Home")
    assert float(page.locator(".dot").get_attribute("cx")) < float(first[0])
    assert float(page.locator(".noise").inner_text().split()[-1]) > float(first[1].split()[-1])
    expect(page.locator(".facts .step")).to_have_text(f"Step 1 of {LAST}")
    page.keyboard.press("Space")  # plays
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.wait_for_function("() => +document.querySelector('.player').dataset.step > 4")
    page.keyboard.press("Space")
    paused = step(page)
    time.sleep(0.3)
    assert step(page) == paused
    page.keyboard.press("End")
    page.get_by_role("button", name="Replay").click()
    page.wait_for_function(f"() => +document.querySelector('.player').dataset.step < {LAST - 5}")
    page.wait_for_function(f"() => +document.querySelector('.player').dataset.step === {LAST}")
    place = page.locator(".stage").bounding_box()
    page.mouse.move(place["x"] + 500, place["y"] + 250)
    page.mouse.down()
    page.mouse.move(place["x"] + 200, place["y"] + 250, steps=4)
    page.mouse.up()
    page.wait_for_function(f"() => +document.querySelector('.player').dataset.step < {LAST - 5}")  # dragged back
    assert page.asked == []


def test_clean_noisy_influence(page: Page):
    generate(page)
    seen = {}
    for name in ("Clean", "Noisy", "Influence"):
        view(page, name)
        page.locator(".stage").focus()
        page.keyboard.press("Home")
        page.keyboard.press("ArrowRight")
        seen[name] = page.locator(".picture").get_attribute("src")
        expect(page.locator(".views").get_by_role("button", name=name)).to_have_attribute("aria-pressed", "true")
    assert len(set(seen.values())) == 3
    expect(page.locator(".explain")).to_contain_text("Bright")
    expect(page.locator(".noise")).to_have_text(re.compile("Noise level (1.00|0.9.)"))


def test_touch_scrubs_on_a_phone(phone: Page):
    generate(phone)
    phone.locator(".views").get_by_role("button", name="Clean").tap()
    for name in (".before", ".before"):
        phone.locator(name).tap()
    assert step(phone) == LAST - 2
    phone.locator(".stage").tap()  # a tap plays
    phone.wait_for_function(f"() => +document.querySelector('.player').dataset.step === {LAST}")


# --- 3: the enlargement -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["moving", "phone"])
def test_three_enlargements_to_compare(size, request):
    page: Page = request.getfixturevalue(size)
    generate(page)
    page.wait_for_function("() => document.querySelector('.split').value === '0'")  # the reveal has ended
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
    expect(by.locator("[data-by=srresnet]")).to_have_attribute(
        "aria-pressed", "true"
    )  # the next face comes as this one was left


# --- 4: the picker ----------------------------------------------------------------------------------------------------


def test_forty_attributes_in_named_groups(page: Page):
    assert page.locator("#picker input[type=checkbox]").count() == len(ATTRIBUTES)
    for heading in attributes.groups():
        expect(page.get_by_role("group", name=heading, exact=True)).to_be_visible()
    box(page, "Smiling").check()
    deny(page, "Eyeglasses").click()
    reads(page, "Photo of person smiling, no eyeglasses.")
    expect(deny(page, "Eyeglasses")).to_have_attribute("aria-pressed", "true")
    box(page, "Eyeglasses").check()  # wanted now, so no longer not wanted
    reads(page, "Photo of person eyeglasses, smiling.")
    deny(page, "Smiling").click()
    expect(box(page, "Smiling")).not_to_be_checked()
    page.get_by_role("button", name="Clear", exact=True).click()
    reads(page, "")


def test_contradictions_are_prevented_with_a_word(page: Page):
    box(page, "Wavy hair").check()
    box(page, "Bald").check()
    expect(page.locator(".why")).to_have_text("Bald took the place of Wavy hair: no face has both.")
    expect(box(page, "Wavy hair")).not_to_be_checked()
    assert page.locator('[data-name="Bangs"]').get_attribute("title") == "Bangs and Bald exclude each other"
    reads(page, "Photo of person bald.")


def test_presets_and_surprises(page: Page):
    page.get_by_role("button", name="Film star").click()
    expect(box(page, "Heavy makeup")).to_be_checked()
    expect(deny(page, "Male")).to_have_attribute("aria-pressed", "true")
    made = set()
    for _ in range(12):
        page.get_by_role("button", name="Surprise me").click()
        chosen = page.evaluate("""() => [...document.querySelectorAll('.attribute')].map(item =>
            [item.dataset.name, item.querySelector('input').checked, item.querySelector('button').ariaPressed === 'true'])""")
        present, absent = [name for name, yes, _ in chosen if yes], [name for name, _, no in chosen if no]
        assert attributes.conflict(present, absent) is None and len(present) >= 3
        made.add((*present, "/", *absent))
    assert len(made) > 6


@pytest.mark.parametrize("size", ["page", "phone"])
def test_search_as_you_type(size, request):
    page: Page = request.getfixturevalue(size)
    search = page.get_by_label("Find an attribute")
    search.press_sequentially("specta")  # another word for eyeglasses
    assert page.locator(".attribute:visible").evaluate_all("items => items.map(item => item.dataset.name)") == [
        "Eyeglasses"
    ]
    assert page.locator("#picker fieldset:visible").count() == 1
    box(page, "Eyeglasses").check()
    search.fill("unicorn")
    expect(page.locator(".nothing")).to_contain_text('No attribute is called "unicorn"')
    search.press("Escape")
    assert page.locator(".attribute:visible").count() == len(ATTRIBUTES)
    expect(box(page, "Eyeglasses")).to_be_checked()


# --- 5: the prompt ----------------------------------------------------------------------------------------------------


def test_the_page_shows_what_was_understood(page: Page, pipe: FacePipeline):
    text = "a smiling man with a skateboard"
    words(page).press_sequentially(text, delay=15)
    reads(page, text)
    read = pipe.understood(text)
    chips = [
        *(attributes.label(name) for name in read.present),
        *(attributes.lacking(name).capitalize() for name in read.absent),
    ]
    assert page.locator("#understood .chip").all_inner_texts() == chips
    assert page.locator("#understood .unknown b").all_inner_texts() == read.unknown
    marked = page.locator(".attribute[data-said=wanted]").evaluate_all("items => items.map(item => item.dataset.name)")
    assert sorted(marked) == sorted(read.present)
    words(page).fill("smiling " * 200)
    expect(page.locator("#understood .warning")).to_contain_text("only its beginning")


def test_words_and_boxes_never_fight(page: Page):
    words(page).fill("an old man 👴")
    box(page, "Wearing hat").check()
    reads(page, "an old man 👴, wearing hat.")
    expect(words(page)).to_have_value("an old man 👴")  # nobody writes into the visitor's words
    words(page).press("Control+Enter")
    expect(status(page)).to_contain_text("Done in")
    expect(words(page)).to_have_value("an old man 👴")
    page.wait_for_function("() => window.facet.face.record.prompt === 'an old man 👴, wearing hat.'")
    page.locator('[data-name="Wearing_Hat"] input').uncheck()  # its name may tell by now what the words say
    reads(page, "an old man 👴")


# --- 6: live mode -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["page", "phone"])
def test_live_mode_redraws_with_the_same_seed(size, request):
    page: Page = request.getfixturevalue(size)
    generate(page)
    seed = face(page, "record.seed")
    page.get_by_label("Live").check()
    expect(page.get_by_label("A new seed each time")).not_to_be_checked()
    page.wait_for_function("() => window.facet.face.kind === 'live'")
    before = face(page)
    box(page, "Wearing hat").check()
    page.wait_for_function("() => window.facet.face.record.prompt.includes('wearing hat')")
    assert face(page) != before and face(page, "record.seed") == seed and face(page, "record.steps") == LIVE_STEPS
    assert len(face(page, "frames")) <= LIVE_STEPS
    page.wait_for_function("() => window.facet.face.finished")  # when nothing changes any more, it is enlarged
    generate(page)
    assert face(page, "record.steps") == LAST and face(page, "record.seed") == seed


def test_live_mode_drops_stale_work(page: Page):
    page.get_by_label("Live").check()
    page.wait_for_function("() => window.facet.face.kind === 'live'")
    page.evaluate("window.seen = []; window.facet.hear('face', face => window.seen.push(face.record.prompt))")
    for name in attributes.groups()["Accessories"] * 2:
        page.locator(f'[data-name="{name}"] input').click()
    box(page, "Wearing hat").check()
    page.wait_for_function("() => window.facet.face.record.prompt === 'Photo of person wearing hat.'")
    time.sleep(1)
    assert face(page, "record.prompt") == "Photo of person wearing hat."
    assert len(page.evaluate("[...new Set(window.seen)]")) < 11  # fewer than there were clicks


def test_a_change_in_live_mode_ends_the_run(page: Page):
    set_steps(page, 900)
    page.get_by_label("Live").check()
    page.wait_for_function("() => window.facet.face.kind === 'live'")
    page.click("#generate")
    page.wait_for_function("() => window.shown.length > 5")
    tool(page, "Attributes")
    box(page, "Smiling").check()
    page.wait_for_function(
        "() => !window.facet.running && window.facet.face.kind === 'live' && window.facet.face.record.prompt.includes('smiling')"
    )
    expect(page.locator("#stop")).to_be_disabled()


# --- 7: one thing changed ---------------------------------------------------------------------------------------------


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
    assert place.input_value() == "0"  # without motion it waits to be played
    page.locator("#strip").get_by_role("button", name="Play").click()
    page.wait_for_function("() => +document.querySelector('#strip .bar input').value > 2")
    page.locator("#strip").get_by_role("button", name="Pause").click()
    place.focus()
    place.press("End")
    assert place.input_value() == "23"
    with page.expect_download() as download:
        page.get_by_role("button", name="Save (WebP)").click()
    assert Image.open(download.value.path()).n_frames > 24  # there and back
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


# --- 8: batches -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size, count", [("page", 16), ("phone", 4), ("page", 9)])
def test_a_batch_to_open_one_from(size, count, request):
    page: Page = request.getfixturevalue(size)
    page.locator("#count").get_by_role("radio", name=str(count), exact=True).check(force=True)
    generate(page)
    cells = page.locator(".cells button")
    assert cells.count() == count
    seed = int(page.locator("#seed input").input_value())
    page.get_by_role("button", name=f"Open face 3, seed {seed + 2}").click()
    page.wait_for_function("() => window.facet.face.finished")
    assert face(page, "record.seed") == seed + 2 and face(page, "count") == 1 and len(face(page, "frames")) == LAST
    alone = face(page)
    view(page, "Noisy")
    page.locator(".before").click()
    assert step(page) == LAST - 1  # its own steps came along
    page.get_by_role("button", name="Back to all faces").click()
    assert cells.count() == count and face(page, "count") == count
    cells.nth(0).focus()
    page.keyboard.press("Enter")
    page.wait_for_function("() => window.facet.face.finished")
    assert face(page) != alone and face(page, "record.seed") == seed


# --- 9: from a picture ------------------------------------------------------------------------------------------------


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


# --- 10: seed and stop ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["page", "phone"])
def test_the_seed_is_written_back_and_used_again_by_a_click(size, request):
    page: Page = request.getfixturevalue(size)
    generate(page)
    first, seed = face(page), page.locator("#seed input").input_value()
    assert int(seed) == face(page, "record.seed")
    page.get_by_role("button", name=f"Reuse seed {seed}").click()
    expect(page.get_by_label("A new seed each time")).not_to_be_checked()
    generate(page)
    assert face(page) == first
    page.get_by_label("A new seed each time").check()
    generate(page)
    assert face(page) != first and page.locator("#seed input").input_value() != seed


def test_numbers_out_of_range_are_refused(page: Page):
    page.get_by_label("A new seed each time").uncheck()
    tool(page, "Settings")
    for name, bad, good in (("seed", "1.5", "1"), ("steps", "10000", "5")):
        setting(page, name, bad)
        page.click("#generate")
        expect(status(page)).to_contain_text("must be a whole number")
        expect(status(page)).to_contain_text(bad)
        setting(page, name, good)


@pytest.mark.parametrize("size", ["page", "phone"])
def test_stop_keeps_a_frame_that_can_be_used(size, request):
    page: Page = request.getfixturevalue(size)
    set_steps(page, 900)
    expect(page.locator("#stop")).to_be_disabled()
    page.click("#generate")
    page.wait_for_function("() => window.shown.length > 5")
    page.keyboard.press("Escape") if size == "page" else page.locator("#stop").tap()
    expect(status(page)).to_contain_text("Stopped at step")
    stopped = step(page)
    time.sleep(0.8)
    assert step(page) == stopped and 5 < stopped < 900
    assert str(stopped) in status(page).inner_text()
    expect(page.locator(".picture")).to_be_visible()
    page.locator(".before").click()  # its steps can be looked at as well
    assert step(page) == stopped - 1
    page.get_by_role("button", name="Use this frame").click()
    page.wait_for_function("() => window.facet.face.finished && window.facet.face.kind === 'frame'")
    expect(page.locator(".srresnet")).to_be_visible()
    set_steps(page, 5)
    generate(page)  # and the page goes on


def test_generate_pressed_before_the_crisp_form_has_come_draws_anew(page: Page):
    """The run is not over then, and gradio begins no second one beside it."""
    page.evaluate("""() => {
        const line = document.querySelector("#status p");
        window.pressed = "";
        new MutationObserver(() => {
            if (window.pressed || !window.facet.running || !line.textContent.startsWith("Done")) return;
            window.pressed = line.textContent;
            document.querySelector("#generate").click();
        }).observe(line, {childList: true, characterData: true, subtree: true});
    }""")
    page.click("#generate")
    page.wait_for_function("""() => {  // between both runs there is a moment in which none is running
        const said = document.querySelector("#status p").textContent;
        return window.pressed && said.startsWith("Done") && said !== window.pressed && !window.facet.running;
    }""")
    page.wait_for_function(
        "() => window.facet.face.last && window.facet.face.finished && !window.pressed.includes(window.facet.face.record.seed)"
        " && document.querySelector('#status p').textContent.includes(window.facet.face.record.seed)"
    )
    assert f"seed {face(page, 'record.seed')}." in status(page).inner_text()
    expect(page.locator("#stop")).to_be_disabled()


def test_stop_takes_back_what_was_pressed_before_the_crisp_form_had_come(page: Page):
    page.evaluate("""() => {
        const line = document.querySelector("#status p");
        [window.pressed, window.starts] = [false, 0];
        new MutationObserver(() => {
            window.starts += line.textContent === "Starting";
            if (window.pressed || !line.textContent.startsWith("Done")) return;
            window.pressed = true;
            for (const button of ["#generate", "#stop"]) document.querySelector(button).click();
        }).observe(line, {childList: true, characterData: true, subtree: true});
    }""")
    page.click("#generate")
    page.wait_for_function("() => window.pressed && !window.facet.running")
    time.sleep(1.5)
    assert page.evaluate("window.starts") == 1
    generate(page)  # and the page goes on


def test_a_double_click_draws_once(page: Page):
    page.evaluate(
        "() => { window.seeds = new Set(); window.facet.hear('face', ({record}) => window.seeds.add(record?.seed)); }"
    )
    page.locator("#generate").dblclick()
    page.wait_for_function(
        "() => !window.facet.running && window.facet.face.last && window.facet.face.finished && window.seeds.size"
    )
    time.sleep(1)
    assert len(page.evaluate("[...window.seeds]")) == 1
    expect(status(page)).to_contain_text("Done in")


def test_stop_while_queued(page: Page, browser: Browser, address: str):
    others = [browser.new_context().new_page() for _ in range(2)]
    for other in others:
        other.goto(address)
        other.wait_for_function("() => window.facet?.face")
        set_steps(other, 1000)
        other.locator("#count").get_by_role("radio", name="16", exact=True).check(force=True)
        other.click("#generate")
        other.wait_for_function(
            "() => window.facet.face && document.querySelector('#status p').textContent.startsWith('Drawing')"
        )
    before = face(page)
    page.click("#generate")
    expect(status(page)).to_contain_text("You are next")  # both places are taken
    page.click("#stop")
    expect(status(page)).to_have_text("Stopped.")
    for other in others:
        other.click("#stop")
        expect(status(other)).to_contain_text("Stopped at step")
        other.context.close()
    time.sleep(1)
    assert page.evaluate("window.shown") == [] and face(page) == before
    generate(page)


# --- 11: keep and share -----------------------------------------------------------------------------------------------


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
    assert name.endswith("-step-1.png") and np.asarray(Image.open(io.BytesIO(data))).std() > 40  # noise
    view(page, "Clean")
    page.locator(".stage").focus()
    page.keyboard.press("ArrowRight")
    page.get_by_role("button", name="Use this frame").click()  # no settings make that face again
    expect(page.locator("#keep .shown")).to_have_text("This face came from another one: it has no settings of its own.")
    expect(page.get_by_role("button", name="Copy link")).to_be_disabled()


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
    }""")
    page.locator("#keep summary").click()
    _, data = saved(page, "gif")
    assert 20 <= Image.open(io.BytesIO(data)).n_frames <= 120


@pytest.mark.parametrize("size", ["page", "phone"])
def test_the_gallery_stays_in_the_browser(size, request):
    page: Page = request.getfixturevalue(size)
    set_steps(page, 4)
    words(page).fill("first")
    generate(page)
    first, made = face(page), face(page, "record")
    words(page).fill("second")
    generate(page)
    entries = page.locator("#keep .gallery .faces button")
    expect(entries).to_have_count(2)
    page.reload()
    page.wait_for_function("() => window.facet?.face")
    expect(entries).to_have_count(2)
    entries.nth(1).click()  # the newest comes first
    expect(words(page)).to_have_value("first")
    page.wait_for_function("() => window.facet.face.kind === 'gallery' && window.facet.face.finished")
    assert face(page) == first and face(page, "record") == made
    page.get_by_role("button", name="Forget them").click()
    expect(page.locator("#keep .gallery")).to_be_hidden()
    assert page.evaluate("localStorage.getItem('facet.gallery')") == "[]"


# --- 12, 13: what CLIP sees, and when -----------------------------------------------------------------------------------


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


def test_when_each_attribute_was_decided(page: Page):
    for name in ("Smiling", "Young", "Attractive", "No beard"):
        box(page, name).check()
    generate(page)
    told = page.locator(".decided > *")
    assert told.count() == 5 and "Young" in page.locator(".decided").inner_text()
    reached = page.locator(".decided button")
    assert page.locator(".marks i").count() == reached.count()
    if reached.count():
        when = int(reached.first.get_attribute("data-step"))
        reached.first.click()
        assert step(page) == when


# --- 14: the badge ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["page", "phone"])
def test_an_honest_badge(size, request):
    page: Page = request.getfixturevalue(size)
    expect(page.locator("#badge")).to_contain_text("310,000 images in 1.5 hours on a CPU")
    expect(page.locator("#badge")).to_contain_text("41 grey levels")


# --- bad input, two tabs, reloads -----------------------------------------------------------------------------------------


def test_a_link_with_nonsense_opens_and_says_so(browser: Browser, address: str):
    for page in opened(browser, address + "?prompt=a+man&seed=minus&steps=7&sampler=fast&colour=red", viewport=DESKTOP):
        for word in ("Ignored", "seed", "sampler", "colour"):
            expect(status(page)).to_contain_text(word)
        expect(words(page)).to_have_value("a man")
        tool(page, "Settings")
        expect(page.locator("#steps input")).to_have_value("7")
        assert face(page, "kind") == "opening"


def test_two_tabs_and_a_reload_never_mix(page: Page, browser: Browser, address: str):
    set_steps(page, 400)
    words(page).fill("the first tab")
    for other in opened(browser, address, viewport=DESKTOP):
        words(other).fill("the second tab")
        page.click("#generate")
        other.click("#generate")
        for one in (page, other):
            one.wait_for_function("() => window.shown.length > 3")
        page.reload()  # in mid-run
        page.wait_for_function("() => window.facet?.face")
        # Gradio's own: a page that goes away hides first, and then its client takes messages out of their order.
        page.said[:] = [
            line
            for line in page.said
            if not any(known in line for known in ("AbortError", "errored out", "Unexpected client exception"))
        ]
        expect(status(other)).to_contain_text("Done in", timeout=40_000)
        other.wait_for_function("() => window.facet.face.record.prompt === 'the second tab' && window.facet.face.last")
        assert len(face(other, "frames")) == LAST
        assert face(page, "kind") == "opening"
        words(page).fill("after the reload")
        generate(page)
        assert face(page, "record.prompt") == "after the reload" and len(face(page, "frames")) == LAST


def test_the_other_tab_and_back_keeps_the_face(page: Page):
    generate(page)
    before = face(page)
    page.get_by_role("tab", name="How it works").click()
    expect(page.locator("#how")).to_be_visible()
    page.get_by_role("tab", name="Make a face").click()
    assert face(page) == before
    view(page, "Clean")
    page.locator(".before").click()
    assert step(page) == LAST - 1


# --- for everyone -------------------------------------------------------------------------------------------------------


def test_keyboard_alone(page: Page):
    words(page).focus()
    page.keyboard.type("a woman")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "generate"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(status(page)).to_contain_text("Done in")
    search = page.get_by_label("Find an attribute")
    search.focus()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.type") == "checkbox":
            break
    page.keyboard.press("Space")  # ticks, and does not play
    reads(page, "a woman, male.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    reads(page, "a woman, female.")


def test_reduced_motion(browser: Browser, address: str):
    for page in opened(browser, address, viewport=DESKTOP):
        assert (
            page.locator(".split").input_value() == "0" and page.evaluate("window.shown") == []
        )  # nothing played by itself
        page.evaluate("""() => { window.wiped = []; const show = document.querySelector('.divider');
            new MutationObserver(() => window.wiped.push(show.style.left)).observe(show, {attributes: true}); }""")
        generate(page)
        assert all(place in ("", "0%") for place in page.evaluate("window.wiped"))


def test_one_column_on_a_phone(phone: Page):
    assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    picture, field = phone.locator(".stage").bounding_box(), phone.locator("#prompt").bounding_box()
    assert picture["y"] < field["y"] and picture["x"] >= 0 and picture["width"] > 340
    phone.locator("#picker fieldset").last.scroll_into_view_if_needed()
    expect(phone.locator("#generate")).to_be_in_viewport()
    phone.locator("#generate").tap()
    expect(phone.locator(".stage")).to_be_in_viewport()
    expect(status(phone)).to_contain_text("Done in")
    for name in ("Attributes", "Settings", "Picture", "Explore", "CLIP"):
        tool(phone, name)
        small = phone.evaluate("""() => [...document.querySelectorAll('#columns button, #columns label, #columns summary, #columns input[type=text]')]
            .filter(item => item.offsetParent && !item.matches('.reset-button, .cells button'))
            .map(item => [item.innerText || item.ariaLabel, Math.round(item.getBoundingClientRect().height)]).filter(([, height]) => height && height < 44)""")
        assert small == [], name
        assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], name


@pytest.mark.parametrize("scheme, size", [("light", DESKTOP), ("dark", DESKTOP), ("light", PHONE)])
def test_axe_finds_nothing_serious(browser: Browser, address: str, scheme: str, size: dict):
    for page in opened(browser, address + f"?__theme={scheme}", viewport=size):
        words(page).fill("a bald man on a skateboard")
        box(page, "Wavy hair").check()
        deny(page, "Smiling").click()
        generate(page)
        page.locator("#keep summary").click()
        found = []
        for name in ("Attributes", "Settings", "Picture", "Explore", "CLIP"):
            tool(page, name)
            if name == "Explore":
                page.get_by_role("button", name="Less and more of it").click()
                expect(page.locator("#strip .faces button")).to_have_count(5)
            page.mouse.move(2, 2)
            page.evaluate(
                "document.querySelector('#actions').style.position = 'static'"
            )  # else it lies over what is behind it
            time.sleep(0.5)  # until colours have faded over
            for issue in Axe().run(page).response["violations"]:
                if issue["impact"] in ("serious", "critical"):
                    found += [
                        f"{name}: {issue['id']} {node['target']} {node['failureSummary'].splitlines()[-1].strip()}"
                        for node in issue["nodes"]
                    ]
        assert found == []
    assert page.url.endswith(scheme)
