"""The tab "How it works" in a real browser."""

import gradio as gr
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from model.settings import DEFAULTS
from tests.ui.how.test_learning import write_sheet
from ui.how import page as how

FIGURES = (
    *("glance", "forward", "strips", "predictions", "prompts", "training", "losses", "targets", "step", "samplers"),
    *("paths", "chance", "sobel", "unet", "attention", "attended", "perturbed", "guidance", "words", "clip"),
    *("enlarged", "srresnet", "scale", "bias"),
)


@pytest.fixture(scope="module")
def address(app):
    """The app itself, in this process, on the tiny weights."""
    return app.demo.local_url


def opened(browser: Browser, address: str, scheme: str, **options):
    """The page with the tab open; afterwards its console must be empty."""
    context = browser.new_context(**options)
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.goto(f"{address}?__theme={scheme}")
    yield page
    context.close()
    assert said == []


def mark(page: Page, name: str) -> str:
    """What a figure says it shows, once it has been computed."""
    figure = page.locator(f"#how-{name}")
    figure.scroll_into_view_if_needed()
    expect(figure.locator("[data-of]")).to_have_count(1, timeout=30_000)
    return figure.locator("[data-of]").get_attribute("data-of")


@pytest.mark.parametrize("scheme, width", [("light", 1280), ("dark", 390)])
def test_tab(browser: Browser, address: str, scheme: str, width: int):
    for page in opened(browser, address, scheme, viewport={"width": width, "height": 900}):
        expect(page.locator("#generate")).to_be_visible()
        # nothing yet
        assert page.locator("#how-forward").count() == 0 or not page.locator("#how-forward [data-of]").count()
        page.get_by_role("tab", name="How it works").click()
        before = {name: mark(page, name) for name in FIGURES}
        assert page.locator("#how .problem").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("#how img:not([alt]), #how img[alt='']").count() == 0
        levels = page.evaluate("[...document.querySelectorAll('#how h2, #how h3, #how h4')].map(h => +h.tagName[1])")
        assert levels[0] == 2 and max(b - a for a, b in zip(levels, levels[1:])) == 1

        for link in page.locator("#how nav a").all():
            assert page.locator(f"#how-{link.get_attribute('href').split('#')[1]}-heading").count() == 1
        page.locator("#how summary").first.focus()
        page.keyboard.press("Enter")
        expect(page.locator("#how math").first).to_be_visible()
        page.evaluate("document.querySelectorAll('#how details').forEach(part => part.open = true)")
        assert page.evaluate(CONTRAST) == []
        assert page.evaluate(STACKED) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        violations = Axe().run(page, context="#how", options={"resultTypes": ["violations"]}).response["violations"]
        assert [(one["id"], [node["target"] for node in one["nodes"]][:3]) for one in violations] == []

        page.locator("#how-forward").scroll_into_view_if_needed()
        picture = page.get_by_alt_text("Timestep 50, cosine schedule")
        expect(picture).to_be_visible()
        page.get_by_label("Timestep, 1 to 100").last.fill("20")
        expect(page.get_by_alt_text("Timestep 20, cosine schedule")).to_be_visible()
        page.locator("#how-targets").scroll_into_view_if_needed()
        expect(page.locator("#how-targets [data-of]")).not_to_have_attribute("data-of", before["targets"])
        assert mark(page, "sobel") == before["sobel"]

        own = page.get_by_label("A text of your own")
        own.fill("a bald man <b>")
        expect(page.locator("#how-words h4").first).to_have_text("Tokens of “a bald man <b>”")
        page.locator("#how-clip").scroll_into_view_if_needed()
        expect(page.locator("#how-clip tbody th").first).to_have_text("a bald man <b>")


def test_link_opens_its_section_and_computes_nothing_else(browser: Browser, address: str):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{address}?tab=how#guidance")
    expect(page.locator("#how-guidance-heading")).to_be_in_viewport(timeout=30_000)
    mark(page, "guidance")
    assert page.locator("#how-strips [data-of], #how-paths [data-of], #how-bias [data-of]").count() == 0
    expect(page.locator("#how-bar a[aria-current]")).to_have_text("Guidance")

    page.locator("#how-bar a", has_text="Enlarging").click()
    expect(page.locator("#how-srresnet-heading")).to_be_in_viewport()
    assert page.url.endswith("?tab=how#srresnet")
    expect(page.locator("#how-srresnet-heading a")).to_be_focused()
    page.close()


def test_back_leads_to_the_face_and_forward_to_the_tab(browser: Browser, address: str):
    for page in opened(browser, address, "light", viewport={"width": 390, "height": 844}):
        expect(page.locator("#generate")).to_be_visible()
        page.wait_for_function("() => window.facet?.face?.finished")
        page.locator("#prompt textarea").fill("an old man with a hat")
        page.get_by_role("tab", name="How it works").click()
        expect(page.locator("#how h2")).to_be_visible()
        page.go_back()
        expect(page.locator(".stage")).to_be_visible()
        expect(page.locator("#prompt textarea")).to_have_value("an old man with a hat")
        page.go_forward()
        expect(page.locator("#how h2")).to_be_visible()
        page.get_by_role("tab", name="Make a face").click()
        assert "tab=how" not in page.url
        expect(page.locator("#prompt textarea")).to_have_value("an old man with a hat")


def test_glance_plays_the_visitors_run(browser: Browser, address: str):
    for page in opened(browser, address, "light", viewport={"width": 1280, "height": 900}):
        page.get_by_role("tab", name="How it works").click()
        mark(page, "glance")
        shown = page.locator("#how-glance svg.wide [data-part=x] image")
        face, noise = (
            shown.get_attribute("href"),
            page.locator("svg.wide [data-part=noise] image").get_attribute("href"),
        )
        page.locator("#glance-at").fill("0")
        assert shown.get_attribute("href") == noise != face
        page.locator("#how-glance").get_by_role("button", name="Play").click()
        expect(page.locator("#how-glance svg.wide .now[data-part=unet]")).to_have_count(1)
        expect(page.locator("#how-glance").get_by_role("button", name="Play")).to_be_visible(timeout=30_000)
        assert shown.get_attribute("href") == face and page.locator("#glance-at").input_value() == str(DEFAULTS.steps)
        page.locator("#how-glance svg.wide [data-part=srresnet]").click()
        expect(page.locator("#how-srresnet-heading")).to_be_in_viewport()


def test_no_label_prints_over_what_stays_in_sight(browser: Browser, address: str):
    for page in opened(browser, address, "dark", viewport={"width": 390, "height": 844}):
        page.get_by_role("tab", name="How it works").click()
        mark(page, "attention")
        over = page.evaluate("""async () => {
            const time = document.querySelector("#how-time"), labels = [];
            for (const label of document.querySelectorAll("#how-steps [data-testid=block-info]")) {
                if (time.contains(label) || !label.offsetParent) continue;
                const {bottom} = time.getBoundingClientRect();
                scrollBy(0, label.getBoundingClientRect().y - time.getBoundingClientRect().bottom + 30);
                await new Promise(requestAnimationFrame);
                const at = label.getBoundingClientRect();
                const top = document.elementFromPoint(at.x + 10, at.y + at.height / 2);
                labels.push([label.textContent.trim(), at.y < bottom && time.contains(top)]);
            }
            return labels;
        }""")
        assert over and all(covered for _, covered in over), over


def test_attention_follows_pointer_and_keys(browser: Browser, address: str):
    for page in opened(browser, address, "light", viewport={"width": 1280, "height": 900}):
        page.get_by_role("tab", name="How it works").click()
        mark(page, "attention")
        place, said = page.locator("#how-attention .point"), page.locator("#point-said")
        lit = page.locator("#how-attention .lit").first
        box = place.bounding_box()
        place.hover(position={"x": box["width"] * 0.99, "y": 2})
        expect(said).to_contain_text("Row 1, column 16 of 16: looks most at row")
        before = lit.evaluate("tile => getComputedStyle(tile).backgroundPosition")
        place.focus()
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowDown")
        expect(said).to_contain_text("Row 2, column 15 of 16")
        assert lit.evaluate("tile => getComputedStyle(tile).backgroundPosition") != before


def test_path_shows_its_steps(browser: Browser, address: str):
    for page in opened(browser, address, "light", viewport={"width": 1280, "height": 900}):
        page.get_by_role("tab", name="How it works").click()
        mark(page, "paths")
        page.locator("#film-teacher").fill("5")
        expect(page.locator("#how-paths .film output").first).to_have_text("6")
        # on the path, and among the predictions
        assert page.locator("#how-paths circle.now").count() == 2


def test_tab_follows_the_face_just_made(browser: Browser, address: str):
    for page in opened(browser, address, "light", viewport={"width": 1280, "height": 900}):
        page.get_by_role("tab", name="How it works").click()
        before = mark(page, "glance")
        words = page.locator("#how-glance p").text_content()
        page.get_by_role("tab", name="Make a face").click()
        page.click("#generate")
        expect(page.get_by_text("Done in")).to_be_visible(timeout=60_000)
        page.get_by_role("tab", name="How it works").click()
        # another seed
        expect(page.locator("#how-glance p")).not_to_have_text(words)
        expect(page.locator("#how-glance [data-of]")).not_to_have_attribute("data-of", before)


def test_learning_plays_in_the_browser(browser: Browser, tiny_weights, tmp_path, monkeypatch):
    write_sheet(tmp_path, 2, 2, [0, 1000, 20000])
    monkeypatch.setattr(how, "HOW", tmp_path)
    monkeypatch.setenv("FACET_WEIGHTS", str(tiny_weights))
    with gr.Blocks(analytics_enabled=False) as demo:
        how.build(gr.JSON(None, visible=False))
    try:
        for page in opened(browser, demo.launch(prevent_thread_lock=True, quiet=True)[1], "light"):
            sheet, seen = page.locator("#how-learning .sheet"), page.locator("#how-learning output")
            expect(seen).to_have_text("0")
            page.get_by_label("Images seen in training").fill("2")
            expect(seen).to_have_text("20,000")
            place = sheet.evaluate("sheet => getComputedStyle(sheet).backgroundPosition")
            # the first tile of the second row
            assert place == "0px -256px"
            page.evaluate("""() => {
                const seen = document.querySelector("#how-learning output");
                window.shown = [];
                new MutationObserver(() => window.shown.push(seen.textContent)).observe(seen, {childList: true});
            }""")
            page.locator("#how-learning").get_by_role("button", name="Play").click()
            expect(page.locator("#how-learning").get_by_role("button", name="Pause")).to_be_visible()
            expect(page.locator("#how-learning").get_by_role("button", name="Play")).to_be_visible()
            # from the beginning, and stops at the end
            assert page.evaluate("window.shown") == ["0", "1,000", "20,000"]
    finally:
        demo.close()


# Formulas whose parts stand above one another: a <math> of its own layout needs an <mrow> around them.
STACKED = """() => [...document.querySelectorAll("#how math, #how math > mrow")].filter(({children}) => {
    const places = [...children].map(part => part.getBoundingClientRect());
    return places.some((place, i) => i && place.left < places[i - 1].right - 1);
}).map(math => math.textContent)"""

# Every text of the tab whose contrast with what lies behind it is below WCAG's 4.5 to 1. Half-transparent layers count.
CONTRAST = """() => {
    const parts = colour => { const [r, g, b, a = 1] = colour.match(/[\\d.]+/g).map(Number); return [r, g, b, a]; };
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = element => {
        if (!element) return [255, 255, 255];
        const [r, g, b, a] = parts(getComputedStyle(element).backgroundColor);
        return a === 1 ? [r, g, b] : behind(element.parentElement).map((v, i) => v * (1 - a) + [r, g, b][i] * a);
    };
    const words = element => [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    const shown = [...document.querySelectorAll("#how *")].filter(words).filter(element => element.checkVisibility());
    return shown.flatMap(element => {
        const style = getComputedStyle(element), colour = element.closest("svg") ? style.fill : style.color;
        const [a, b] = [light(parts(colour)), light(behind(element))].sort((x, y) => y - x);
        const ratio = (a + 0.05) / (b + 0.05), said = `${element.tagName}.${element.className} ${ratio.toFixed(2)}`;
        return ratio < 4.5 ? [`${said} ${element.textContent.slice(0, 40)}`] : [];
    });
}"""
