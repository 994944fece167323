"""Seed, Generate, Stop and the queue."""

import time

import pytest
from playwright.sync_api import Browser, Page, expect

from benchmarks.harness.browser import setting
from tests.browser.actions import face, generate, set_count, set_steps, status, step, tool


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
    # its steps can be looked at as well
    page.locator(".before").click()
    assert step(page) == stopped - 1
    page.get_by_role("button", name="Use this frame").click()
    page.wait_for_function("() => window.facet.face.finished && window.facet.face.kind === 'frame'")
    expect(page.locator(".srresnet")).to_be_visible()
    set_steps(page, 5)
    # and the page goes on
    generate(page)


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
        # a seed may hold the digits of another
        "() => window.facet.face.last && window.facet.face.finished"
        " && !window.pressed.includes(`seed ${window.facet.face.record.seed}.`)"
        " && document.querySelector('#status p').textContent.includes(`seed ${window.facet.face.record.seed}.`)"
    )
    assert f"seed {face(page, 'record.seed')}." in status(page).inner_text()
    expect(page.locator("#stop")).to_be_disabled()


def test_stop_ends_a_run_whatever_else_ends_meanwhile(page: Page):
    """What Explore cannot draw is refused, and the run goes on: it can still be stopped."""
    set_steps(page, 900)
    tool(page, "Explore")
    page.click("#generate")
    page.wait_for_function("() => window.shown.length > 3")
    page.get_by_role("button", name="Less and more guidance").click()
    page.wait_for_function("() => !window.facet.exploring.size && window.facet.running")
    expect(page.locator("#stop")).to_be_enabled()
    page.keyboard.press("Escape")
    expect(status(page)).to_contain_text("Stopped")
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
    # and the page goes on
    generate(page)


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
        other.wait_for_function("() => window.facet?.face?.finished")
        set_steps(other, 1000)
        set_count(other, 16)
        other.click("#generate")
        other.wait_for_function(
            "() => window.facet.face && document.querySelector('#status p').textContent.startsWith('Drawing')"
        )
    before = face(page)
    page.click("#generate")
    # both places are taken
    expect(status(page)).to_contain_text("You are next")
    page.click("#stop")
    expect(status(page)).to_have_text("Stopped.")
    for other in others:
        other.click("#stop")
        expect(status(other)).to_contain_text("Stopped at step")
        other.context.close()
    time.sleep(1)
    assert page.evaluate("window.shown") == [] and face(page) == before
    generate(page)
