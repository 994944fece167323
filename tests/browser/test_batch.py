"""Several faces at once."""

import pytest
from playwright.sync_api import Page

from tests.browser.actions import LAST, face, generate, step, view


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
    # its own steps came along
    assert step(page) == LAST - 1
    page.get_by_role("button", name="Back to all faces").click()
    assert cells.count() == count and face(page, "count") == count
    cells.nth(0).focus()
    page.keyboard.press("Enter")
    page.wait_for_function("() => window.facet.face.finished")
    assert face(page) != alone and face(page, "record.seed") == seed
