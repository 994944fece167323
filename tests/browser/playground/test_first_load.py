"""The first load: how much it is, how few presses lead to an own face, and axe at every width."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.actions import DESKTOP, opened, status, tool

# Bytes over the network, compressed, without the opening face: random weights make it noise, which no format packs.
# With the opening face of the bundled weights a cold load is 940,000 bytes.
MOST = 700_000
# 640 is 1280 px at 200 % zoom
WIDTHS = (320, 390, 640, 768, 1024, 1440)


def test_a_cold_load_is_small_and_from_here_alone(browser: Browser, address: str):
    page = browser.new_page(viewport=DESKTOP)
    session, sizes, answers, asked = page.context.new_cdp_session(page), {}, set(), []
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    session.on("Network.loadingFinished", lambda event: sizes.update({event["requestId"]: event["encodedDataLength"]}))
    session.on(
        "Network.responseReceived",
        lambda event: "/gradio_api/" in event["response"]["url"] and answers.add(event["requestId"]),
    )
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.wait_for_function("() => window.facet?.face?.finished")
    assert 200_000 < sum(size for request, size in sizes.items() if request not in answers) <= MOST
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    # the first own face: one press
    page.locator("#generate").click()
    expect(status(page)).to_contain_text("Done in")
    page.context.close()


def test_a_page_at_rest_asks_for_no_frames(browser: Browser, address: str):
    """A page that draws 60 times a second while nothing happens keeps a visitor's fan running."""
    page = browser.new_page(viewport=DESKTOP)
    page.add_init_script("""{
        const ask = window.requestAnimationFrame.bind(window);
        window.frames_asked = 0;
        window.requestAnimationFrame = callback => { window.frames_asked++; return ask(callback); };
    }""")
    page.goto(address)
    page.wait_for_function("() => window.facet?.face?.finished", polling=200)
    assert page.evaluate("window.frames_asked") > 0
    # what moves comes to rest
    page.wait_for_function(
        """() => {
            const now = window.frames_asked, calm = now === window.before;
            window.before = now;
            return calm;
        }""",
        polling=1000,
    )
    page.context.close()


def problems(page: Page, where: str) -> list[str]:
    violations = Axe().run(page).response["violations"]
    return [f"{where}: {issue['id']} {node['target']}" for issue in violations for node in issue["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_is_silent_at_every_width(browser: Browser, address: str, scheme: str):
    for page in opened(browser, address + f"?__theme={scheme}", viewport=DESKTOP):
        violations = []
        # else it lies over what is behind it
        page.add_style_tag(content="#actions { position: static !important; }")
        for tab in ("Attributes", "Settings", "Picture", "Explore", "CLIP"):
            tool(page, tab)
            for width in WIDTHS if tab == "Attributes" else (390, 1440):
                page.set_viewport_size({"width": width, "height": 800})
                violations += problems(page, f"{tab} at {width}")
                assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{tab} at {width}"
        page.get_by_role("tab", name="How it works").click()
        expect(page.locator("#how")).to_be_visible()
        violations += problems(page, "How it works")
        assert violations == []
