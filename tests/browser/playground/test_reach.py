"""What a thumb and a keyboard reach: the words under the face on a phone, tools at every width, focus that is seen."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.actions import generate, load_again, manage, status, tool, words

# in one screen of a phone
ABOVE = ".stage", "#prompt textarea", "#understood .chips", "#generate"


def place(page: Page, selector: str) -> dict:
    return page.locator(selector).first.bounding_box()


def below(one: dict, other: dict) -> bool:
    return other["y"] >= one["y"] + one["height"]


def test_face_words_chips_and_generate_share_a_phones_screen(phone: Page):
    words(phone).fill("a smiling woman with glasses")
    expect(phone.locator("#understood .chip")).not_to_have_count(0)
    assert phone.evaluate("scrollY") == 0
    places = {name: place(phone, name) for name in ABOVE}
    for name, box in places.items():
        assert box["y"] >= 0 and box["y"] + box["height"] <= 844, name
    assert not below(places["#generate"], places["#understood .chips"])
    assert place(phone, ".stage")["width"] > 340
    generate(phone)
    for later in (".decided", "#keep", "#tools"):
        assert below(place(phone, "#understood .chips"), place(phone, later)), later


def test_a_phone_says_what_the_page_is_and_offers_ideas_at_once(phone: Page):
    expect(phone.locator("#title p")).to_be_in_viewport()
    # neither keys nor a projector
    expect(phone.locator("#title .tools")).to_be_hidden()
    bar = place(phone, "#actions")
    idea = place(phone, "#ideas button")
    assert below(place(phone, "#prompt textarea"), idea) and below(idea, bar)
    generate(phone)
    # what one does with a face comes before what changes the next one
    assert below(place(phone, "#player .about"), place(phone, "#keep"))
    assert below(place(phone, "#keep"), place(phone, "#how-many"))
    # the longest text that a run ends with
    phone.evaluate("window.facet.say('Done in 12.5 s, seed 4294967295 (best of 4).')")
    expect(status(phone)).to_contain_text("4294967295")
    assert place(phone, "#actions") == bar


@pytest.mark.parametrize("size", ["page", "phone"])
def test_what_gets_the_focus_on_how_it_works_is_under_no_bar(size, request):
    page: Page = request.getfixturevalue(size)
    page.get_by_role("tab", name="How it works").click()
    details = page.locator("#how summary")
    expect(details.first).to_be_visible()
    # there, and back: what is above comes into sight under the bars
    details.last.focus()
    for _ in range(12):
        page.keyboard.press("Shift+Tab")
        page.wait_for_timeout(50)
        focused = page.evaluate("(({top, bottom}) => [top, bottom])(document.activeElement.getBoundingClientRect())")
        bars = page.evaluate(
            "['#how-bar', '#how-time'].map(name => document.querySelector(name))"
            ".filter(bar => bar?.offsetParent && !bar.contains(document.activeElement))"
            ".map(bar => bar.getBoundingClientRect().bottom)"
        )
        # figures that come in above may push it down again, never up
        assert focused[0] >= max(0, *bars) - 1, focused


def test_ideas_stand_in_one_line_on_a_laptop(page: Page):
    tops = {idea.bounding_box()["y"] for idea in page.locator("#ideas button").all()}
    assert len(tops) == 1 and page.locator("#ideas button").count() == 6


def test_what_is_told_out_of_sight_lies_over_the_page_for_a_while(page: Page):
    generate(page)
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    expect(page.locator("#actions")).not_to_be_in_viewport()
    page.get_by_role("button", name="Compare with…").click()
    told = status(page).locator("..")
    expect(status(page)).to_have_text("Choose a face to compare with the one on screen.")
    expect(told).to_be_in_viewport()
    expect(told).to_have_css("opacity", "1")
    # what can be taken back is offered there too
    manage(page, "Delete all")
    told.get_by_role("button", name="Bring it back").click()
    expect(status(page)).to_have_text("Brought back.")
    expect(told).to_have_css("opacity", "0", timeout=12_000)
    page.evaluate("scrollTo(0, 0)")
    expect(told).to_have_css("opacity", "1")
    assert below(place(page, "#generate"), place(page, "#status"))
    assert below(place(page, "#status"), place(page, "#ideas"))


def test_no_label_prints_over_the_bar(phone: Page):
    over = phone.evaluate("""async () => {
        const covered = [], bar = document.querySelector("#actions").getBoundingClientRect();
        for (const label of document.querySelectorAll("#right [data-testid=block-info]")) {
            if (!label.offsetParent) continue;
            window.scrollTo(0, scrollY + label.getBoundingClientRect().y - bar.y - 20);
            await new Promise(requestAnimationFrame);
            const at = label.getBoundingClientRect();
            const top = document.elementFromPoint(at.x + 10, at.y + at.height / 2);
            if (at.y > bar.y && at.bottom < innerHeight && !top?.closest("#actions")) covered.push(label.textContent);
        }
        return covered;
    }""")
    assert over == []


def at_rest_on_top(page: Page) -> None:
    """Back to the top. A page that was thrown glides on, and a touch meanwhile only ends the glide."""
    page.evaluate("""async () => {
        for (let still = 0, last = -1; still < 20; last = scrollY) {
            await new Promise(requestAnimationFrame);
            still = scrollY === last ? still + 1 : 0;
        }
        scrollTo(0, 0);
        for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
    }""")


def test_a_thumb_that_scrolls_over_the_face_leaves_it_whole(phone: Page):
    face = place(phone, ".stage")
    x, y = face["x"] + face["width"] / 2, face["y"] + face["height"] * 0.8
    session = phone.context.new_cdp_session(phone)

    def swipe(dx: float, dy: float) -> None:
        session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
        for part in range(1, 11):
            point = {"x": x + dx * part / 10, "y": y + dy * part / 10}
            session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    swipe(0, -220)
    phone.wait_for_function("() => scrollY > 50")
    assert phone.locator(".split").input_value() == "0"
    at_rest_on_top(phone)
    swipe(60, 0)
    phone.wait_for_function("() => 50 < +document.querySelector('.split').value")
    assert int(phone.locator(".split").input_value()) < 90


def test_no_control_is_cut_off_at_a_phones_edge(phone: Page):
    """What lies over the edge cannot be pressed, but in a row that is swiped."""
    cut = phone.evaluate("""() => {
        const all = document.querySelectorAll("#columns :is(button, select, input, textarea)");
        const swiped = one => ["auto", "scroll"].includes(getComputedStyle(one).overflowX)
            && one.scrollWidth > one.clientWidth || one.parentElement && swiped(one.parentElement);
        return [...all].filter(one => {
            const box = one.getBoundingClientRect();
            return box.width && (box.right > innerWidth + 1 || box.left < -1) && !swiped(one);
        }).map(one => one.outerHTML.slice(0, 80));
    }""")
    assert cut == []


@pytest.mark.parametrize("width", [320, 390, 640, 768, 820, 1024, 1440])
def test_every_tool_is_in_sight_at_every_width(page: Page, width: int):
    page.set_viewport_size({"width": width, "height": 800})
    expect(page.locator("#tools .overflow-menu").first).to_be_hidden()
    for name in ("Attributes", "Settings", "Picture", "Explore", "CLIP"):
        expect(page.locator("#tools").get_by_role("tab", name=name, exact=True)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # nothing covers the chin, nothing is cut
    assert below(place(page, ".stage"), place(page, ".enlargements"))
    for button in page.locator(".enlargements button").all():
        box = button.bounding_box()
        assert box is None or box["x"] >= 0 and box["x"] + box["width"] <= width


def test_the_first_tab_leads_past_the_face_to_the_words(page: Page):
    # nobody has been in the page yet
    load_again(page)
    page.wait_for_function("() => window.facet.face.finished")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the prompt")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(words(page)).to_be_focused()


def test_focus_is_seen_on_every_control(page: Page):
    unseen = []
    tool(page, "Settings")
    tool(page, "Attributes")
    words(page).focus()
    for _ in range(30):
        page.keyboard.press("Tab")
        name, style, width = page.evaluate("""() => {
            const at = document.activeElement, hidden = at.matches(".choose input, #count input, .import input");
            const style = getComputedStyle(hidden ? at.parentElement : at);
            return [at.outerHTML.slice(0, 120), style.outlineStyle, parseFloat(style.outlineWidth)];
        }""")
        if style != "solid" or width < 2:
            unseen.append(name)
    page.keyboard.press("Shift+Tab")
    words(page).press("Shift+Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert unseen == []


def test_the_bar_never_covers_what_has_the_focus(page: Page):
    # 1280 x 800 at 200 % zoom
    page.set_viewport_size({"width": 640, "height": 400})
    words(page).focus()
    covered = []
    for _ in range(45):
        page.keyboard.press("Tab")
        name, bottom, bar = page.evaluate("""async () => {
            for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
            const at = document.activeElement, bar = document.querySelector("#actions");
            const bottom = at === document.body || bar.contains(at) ? 0 : at.getBoundingClientRect().bottom;
            return [at.outerHTML.slice(0, 100), bottom, bar.getBoundingClientRect().top];
        }""")
        if bottom > bar:
            covered.append(name)
    assert covered == []


@pytest.mark.parametrize("size, least", [("page", 24), ("phone", 44)])
def test_switches_are_large_enough_to_hit(size, least, request):
    page: Page = request.getfixturevalue(size)
    for switch in page.locator("#switches label").all():
        assert switch.bounding_box()["height"] >= least
