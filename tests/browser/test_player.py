"""The player: every step shown, the timeline, the three views."""

import re
import time

from playwright.sync_api import Page, expect

from tests.browser.actions import LAST, box, face, generate, set_count, set_steps, status, step, view


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


def test_of_a_long_run_the_steps_that_were_not_shown_are_kept(page: Page):
    set_steps(page, 100)
    page.click("#generate")
    expect(status(page)).to_contain_text("Done in")
    shown = {entry["step"] for entry in page.evaluate("window.shown")}
    assert {1, 100} <= shown <= set(range(1, 101))
    assert [frame["step"] for frame in face(page, "steps.frames")] == list(range(1, 101))


def test_a_corner_shows_the_noise_that_belongs_to_the_step(page: Page):
    generate(page)
    corner = page.locator(".stage .inset")
    # the finished face stands alone
    expect(corner).to_be_hidden()
    view(page, "Clean")
    # both are the same at the last step
    expect(corner).to_be_hidden()
    seen = set()
    for _ in range(3):
        page.locator(".before").click()
        frame = face(page, f"steps.frames[{step(page) - 1}]")
        assert corner.locator("img").get_attribute("src") == frame["noisy"] != frame["denoised"]
        seen.add(frame["noisy"])
    assert len(seen) == 3
    expect(corner).to_have_text("Noisy")
    corner.click()
    assert page.locator(".player").get_attribute("data-view") == "noisy"
    assert corner.locator("img").get_attribute("src") == frame["denoised"]
    expect(corner).to_have_text("Clean")


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
    # plays
    page.keyboard.press("Space")
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
    # dragged back
    page.wait_for_function(f"() => +document.querySelector('.player').dataset.step < {LAST - 5}")
    assert page.asked == []


def test_clean_noisy_influence(page: Page):
    generate(page)
    seen = {}
    for name in ("Clean", "Noisy", "Influence"):
        view(page, name)
        if name == "Influence":
            # drawn when it is first looked at, and not again
            expect(status(page)).to_have_text("Bright: where the prompt acts.")
            view(page, "Clean")
            page.asked.clear()
            view(page, name)
            assert page.asked == []
        page.locator(".stage").focus()
        page.keyboard.press("Home")
        page.keyboard.press("ArrowRight")
        seen[name] = page.locator(".picture").get_attribute("src")
        expect(page.locator(".views").get_by_role("button", name=name)).to_have_attribute("aria-pressed", "true")
    assert len(set(seen.values())) == 3
    expect(page.locator(".explain")).to_contain_text("Bright")
    expect(page.locator(".noise")).to_have_text(re.compile("Noise level (1.00|0.9.)"))


def test_influence_of_a_batch_and_of_one_of_its_faces(page: Page):
    set_count(page, 4)
    generate(page)
    view(page, "Influence")
    expect(status(page)).to_have_text("Bright: where the prompt acts.")
    sheet = page.locator(".picture").get_attribute("src")
    page.get_by_role("button", name="Open face 2").click()
    view(page, "Influence")
    expect(page.locator(".picture")).not_to_have_attribute("src", sheet)
    expect(page.locator(".explain")).to_contain_text("Bright")


def test_touch_scrubs_on_a_phone(phone: Page):
    generate(phone)
    phone.locator(".views").get_by_role("button", name="Clean").tap()
    for name in (".before", ".before"):
        phone.locator(name).tap()
    assert step(phone) == LAST - 2
    # a tap plays
    phone.locator(".stage").tap()
    phone.wait_for_function(f"() => +document.querySelector('.player').dataset.step === {LAST}")


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
