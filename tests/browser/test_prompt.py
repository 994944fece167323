"""The prompt and what the page understands of it."""

import io

from PIL import Image, PngImagePlugin
from playwright.sync_api import Browser, Page, expect

from benchmarks.harness.browser import setting
from model import attributes
from model.pipeline import FacePipeline
from tests.browser.actions import DESKTOP, box, drop, generate, opened, reads, status, tool, words


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


def test_what_cannot_be_drawn_is_underlined_with_what_comes_near(page: Page):
    words(page).fill("a woman with blue eyes")
    expect(page.locator("#understood .reads .unknown")).to_have_text("blue eyes")
    page.locator("#understood .unknown button", has_text="Narrow eyes").click()
    expect(box(page, "Narrow eyes")).to_be_checked()


def test_words_and_boxes_never_fight(page: Page):
    words(page).fill("an old man 👴")
    box(page, "Wearing hat").check()
    reads(page, "an old man 👴, wearing hat.")
    # nobody writes into the visitor's words
    expect(words(page)).to_have_value("an old man 👴")
    words(page).press("Control+Enter")
    expect(status(page)).to_contain_text("Done in")
    expect(words(page)).to_have_value("an old man 👴")
    page.wait_for_function("() => window.facet.face.record.prompt === 'an old man 👴, wearing hat.'")
    # its name may tell by now what the words say
    page.locator('[data-name="Wearing_Hat"] input').uncheck()
    reads(page, "an old man 👴")


def test_nothing_is_said_of_words_that_are_not_read_yet(browser: Browser, address: str):
    page = browser.new_page()
    page.add_init_script("""window.told = new Set(); new MutationObserver(() => {
        const words = document.querySelector("#prompt textarea")?.value;
        const said = document.querySelector("#understood .reads")?.textContent;
        if (said) window.told.add([Boolean(words), said.startsWith("No words")].join());
    }).observe(document, {childList: true, subtree: true, characterData: true});""")
    page.goto(address)
    expect(page.locator("#understood .reads")).to_contain_text("Prompt:")
    assert page.evaluate("[...window.told]") == ["true,false"]
    page.close()


MARKUP = '<img src=x onerror="window.struck = 1"><b id=struck>a man</b>'


def test_what_a_visitor_writes_never_becomes_markup(page: Page, browser: Browser, address: str):
    """In the words, what was read of them, the summary, the gallery, a link, and the names of texts in a picture."""
    struck = "() => [window.struck ?? 0, document.querySelectorAll('#struck, img[src=x]').length]"
    words(page).fill(MARKUP)
    expect(page.locator("#understood .reads")).to_contain_text("onerror")
    tool(page, "Settings")
    setting(page, "negative", MARKUP)
    generate(page)
    page.locator("#keep summary").click()
    expect(page.locator("#keep .shown")).to_contain_text("onerror")
    texts, picture = PngImagePlugin.PngInfo(), io.BytesIO()
    texts.add_text("<img src=x onerror='window.struck = 1'>", "x")
    Image.new("RGB", (8, 8)).save(picture, "PNG", pnginfo=texts)
    drop(page, "body", picture.getvalue())
    expect(status(page)).to_contain_text("onerror")
    assert page.evaluate(struck) == [0, 0]
    for other in opened(
        browser, f"{address}?prompt=%3Cimg+src%3Dx+onerror%3D%22struck%3D1%22%3E&steps=%3Cb%3E", viewport=DESKTOP
    ):
        expect(status(other)).to_contain_text("Ignored in the link")
        assert other.evaluate(struck) == [0, 0]
