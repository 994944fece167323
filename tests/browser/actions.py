"""What the tests of the page do with it, as a visitor does."""

import base64
import io
import time
from contextlib import suppress
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect

from benchmarks.harness.browser import setting
from model.settings import DEFAULTS

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
# in ms
PATIENCE = 30_000
LAST = DEFAULTS.steps
expect.set_options(timeout=PATIENCE)


def opened(browser: Browser, address: str, **options):
    """The open page, its first face drawn, without motion unless a test asks for it.

    At the end of the test its console must be empty, and every request must have gone to the app.
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
    # else the opening face's words would be in every prompt
    if "prompt=" not in address:
        page.locator("#prompt textarea").fill("")
        page.locator("#prompt textarea").blur()
    page.evaluate("""() => {  // every step that the player shows, since Generate was pressed
        const player = document.querySelector(".player"), picture = player.querySelector(".picture");
        window.shown = [];
        document.querySelector("#generate").addEventListener("click", () => { window.shown = []; }, true);
        new MutationObserver(() => window.shown.push({step: +player.dataset.step, face: picture.src}))
            .observe(player, {attributes: true, attributeFilter: ["data-step"]});
    }""")
    yield page
    context.close()
    assert said == [], said
    origin = address.partition("?")[0]
    assert [request.url for request in asked if not request.url.startswith((origin, "data:", "blob:"))] == []


# gradio's own: a page that goes away closes its streams, and its client then reports them
OF_LEAVING = ("AbortError", "errored out", "Unexpected client exception")


def load_again(page: Page, address: str = "") -> None:
    """Reload the page, or go to another address from it, until its face stands there.

    What gradio's client says as the page goes away does not count against it.
    """
    page.goto(address) if address else page.reload()
    page.wait_for_function("() => window.facet?.face")
    page.said[:] = [line for line in page.said if not any(known in line for known in OF_LEAVING)]


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


def set_count(page: Page, count: int) -> None:
    """Press the label of a number of faces, whose input is hidden."""
    one = page.locator("#count").get_by_role("radio", name=str(count), exact=True)

    def pressed() -> None:
        one.locator("xpath=ancestor::label").click()
        expect(one).to_be_checked(timeout=2_000)

    # as with the settings, gradio may put the first value back
    for _ in range(3):
        with suppress(AssertionError):
            pressed()
            time.sleep(0.2)
        if one.is_checked():
            return
    pressed()


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
    # the player tells of a new face a moment after it shows it
    time.sleep(0.15)
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


def manage(page: Page, name: str) -> None:
    """Press a button of the gallery that lies under "Manage"."""
    button = page.locator("#gallery").get_by_role("button", name=name)
    if not button.is_visible():
        page.locator("#gallery summary").click()
    button.click()


def saved(page: Page, what: str) -> tuple[str, bytes]:
    with page.expect_download() as download:
        page.locator(f"#keep [data-what={what}]:not(.each)").click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def drop(page: Page, target: str, data: bytes, name: str = "face.png", kind: str = "image/png") -> None:
    page.evaluate(
        """([target, data, name, kind]) => {
        const transfer = new DataTransfer();
        const bytes = Uint8Array.from(atob(data), sign => sign.charCodeAt(0));
        transfer.items.add(new File([bytes], name, {type: kind}));
        const event = new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true});
        document.querySelector(target).dispatchEvent(event);
    }""",
        [target, base64.b64encode(data).decode(), name, kind],
    )


def png_of(size: int = 80, colour: str = "teal") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), colour).save(buffer, "PNG")
    return buffer.getvalue()
