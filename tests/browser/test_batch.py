"""Several faces at once."""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from benchmarks.harness.server import running
from tests.browser.actions import DESKTOP, LAST, face, generate, set_count, status, step, tool, view
from tests.conftest import save_critic, save_student


@pytest.mark.parametrize("size, count", [("page", 16), ("phone", 4), ("page", 9)])
def test_a_batch_to_open_one_from(size, count, request):
    page: Page = request.getfixturevalue(size)
    set_count(page, count)
    generate(page)
    cells = page.locator(".cells button")
    assert cells.count() == count
    expect(status(page)).to_contain_text("Open one to see it large.")
    expect(page.locator(".explain")).to_contain_text("this step. Open one to see it large.")
    seed = int(page.locator("#seed input").input_value())
    page.get_by_role("button", name=f"Open face 3, seed {seed + 2}").click()
    page.wait_for_function("() => window.facet.face.finished")
    assert face(page, "record.seed") == seed + 2 and face(page, "count") == 1 and len(face(page, "frames")) == LAST
    alone = face(page)
    view(page, "Noisy")
    page.locator(".before").click()
    # its own steps came along
    assert step(page) == LAST - 1
    page.get_by_role("button", name="Back to all faces").click()
    assert cells.count() == count and face(page, "count") == count
    expect(cells.nth(2)).to_be_focused()
    # of all of them there is no one face
    page.get_by_role("button", name="Cross with…").click()
    page.locator("#gallery .open").click()
    expect(status(page)).to_have_text("Open one of the faces first: one is crossed with another.")
    tool(page, "Explore")
    page.get_by_role("button", name="More like this face").click()
    expect(status(page)).to_have_text("Open one of the faces first: CLIP looks at one.")
    page.get_by_role("button", name="Walk", exact=True).click()
    expect(status(page)).to_have_text("Open one of the faces first: one is changed at a time.")
    tool(page, "CLIP")
    expect(page.locator("#sees .intro")).to_contain_text("open one of these")
    expect(page.locator("#sees .bar")).to_have_count(0)
    cells.nth(0).focus()
    page.keyboard.press("Enter")
    page.wait_for_function("() => window.facet.face.finished")
    assert face(page) != alone and face(page, "record.seed") == seed
    page.locator("#sees .intro").scroll_into_view_if_needed()
    expect(page.locator("#sees .bars:not(.own) .bar")).to_have_count(12)


def test_explore_takes_the_face_that_was_just_opened(page: Page):
    """The server has not seen it yet."""
    set_count(page, 4)
    generate(page)
    tool(page, "Explore")
    seed = face(page, "record.seed")
    page.locator(".cells button").nth(1).click()
    page.wait_for_function(f"() => window.facet.face.record.seed === {seed + 1}")
    page.get_by_role("button", name="Less and more guidance").click()
    expect(page.locator("#strip .title")).to_contain_text("Guidance")
    page.locator("#strip .faces button").nth(4).click()
    page.wait_for_function("() => window.facet.face.record.guidance === 8")
    assert face(page, "record.seed") == seed + 1


def test_a_best_seed_is_offered_for_one_face_alone(browser: Browser, tiny_weights: Path, tmp_path: Path):
    folder = Path(shutil.copytree(tiny_weights, tmp_path / "weights"))
    save_student(folder)
    save_critic(folder)
    with running(tmp_path / "run", {"FACET_WEIGHTS": str(folder)}) as server:
        page = browser.new_page(viewport=DESKTOP)
        page.goto(server.address)
        page.wait_for_function("() => window.facet?.face?.finished")
        best = page.get_by_label("The best of 4 new seeds")
        expect(best).to_be_enabled()
        for faces, able in ((4, False), (1, True)):
            set_count(page, faces)
            expect(best).to_be_enabled(enabled=able)
        page.get_by_label("A new seed each time").uncheck()
        expect(best).to_be_disabled()
        page.close()
