"""Live mode."""

import time

import pytest
from playwright.sync_api import Page, expect

from model import attributes
from tests.browser.actions import LAST, box, face, generate, set_steps, tool
from ui.runs import LIVE_STEPS


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
    # when nothing changes any more, it is enlarged
    page.wait_for_function("() => window.facet.face.finished")
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
    # fewer than there were clicks
    assert len(page.evaluate("[...new Set(window.seen)]")) < 11


def test_a_change_in_live_mode_ends_the_run(page: Page):
    set_steps(page, 900)
    page.get_by_label("Live").check()
    page.wait_for_function("() => window.facet.face.kind === 'live'")
    page.click("#generate")
    page.wait_for_function("() => window.shown.length > 5")
    tool(page, "Attributes")
    box(page, "Smiling").check()
    page.wait_for_function(
        "() => !window.facet.running && window.facet.face.kind === 'live'"
        " && window.facet.face.record.prompt.includes('smiling')"
    )
    expect(page.locator("#stop")).to_be_disabled()
