"""The gallery in the browser's own database: faces with their steps, deleted, brought back, taken away as one ZIP."""

import io
import json
import zipfile

from playwright.sync_api import Page, expect

from tests.browser.actions import face, generate, load_again, manage, set_steps, status, words


def entries(page: Page):
    return page.locator("#gallery .open")


def archive(page: Page) -> bytes:
    with page.expect_download() as download:
        manage(page, "Export (ZIP)")
    return download.value.path().read_bytes()


def bring(page: Page, data: bytes) -> None:
    file = {"name": "gallery.zip", "mimeType": "application/zip", "buffer": data}
    page.locator("#gallery input[type=file]").set_input_files(file)


def test_a_face_of_the_gallery_comes_with_its_steps(page: Page):
    set_steps(page, 6)
    words(page).fill("first")
    generate(page)
    image, record, frames = face(page), face(page, "record"), face(page, "steps.frames")
    load_again(page)
    expect(entries(page)).to_have_count(1)
    entries(page).first.click()
    page.wait_for_function("() => window.facet.face.kind === 'gallery' && window.facet.face.finished")
    assert face(page) == image and face(page, "record") == record and face(page, "steps.frames") == frames
    expect(page.locator(".facts .step")).to_have_text("Step 6 of 6")
    page.locator(".before").click()
    expect(page.locator(".facts .step")).to_have_text("Step 5 of 6")
    # opened, not made anew
    expect(entries(page)).to_have_count(1)


def test_one_is_deleted_and_brought_back_and_a_zip_keeps_them_all(page: Page):
    set_steps(page, 4)
    for text in ("first", "second"):
        words(page).fill(text)
        generate(page)
    expect(entries(page)).to_have_count(2)
    data = archive(page)
    files = zipfile.ZipFile(io.BytesIO(data))
    assert files.testzip() is None and len(files.namelist()) == 3
    kept = json.loads(files.read("gallery.json"))["faces"]
    assert [one["record"]["prompt"] for one in kept] == ["second", "first"] and len(kept[0]["steps"]["frames"]) == 4
    manage(page, "Delete…")
    entries(page).first.click()
    expect(entries(page)).to_have_count(1)
    page.locator("#status").get_by_role("button", name="Bring it back").click()
    expect(entries(page)).to_have_count(2)
    manage(page, "Delete all")
    expect(page.locator("#gallery .gallery")).to_be_hidden()
    page.locator("#status").get_by_role("button", name="Bring them back").click()
    expect(entries(page)).to_have_count(2)
    manage(page, "Delete all")
    expect(page.locator("#gallery .gallery")).to_be_hidden()
    packed = io.BytesIO()
    # as a person would pack it anew
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as again:
        again.writestr("gallery.json", files.read("gallery.json"))
    page.locator("#gallery input[type=file]").evaluate("input => input.closest('.gallery').hidden = false")
    bring(page, packed.getvalue())
    expect(entries(page)).to_have_count(2)
    expect(status(page)).to_have_text("2 of 2 faces were added.")
    bring(page, b"no archive at all, but long enough to look into")
    expect(status(page)).to_have_text("This file is no gallery of this page: nothing was changed.")
    # no number comes after these
    endless = [{"id": 1e300, "image": kept[0]["image"][:-1] + "="}] * 2
    with zipfile.ZipFile(packed, "w") as other:
        other.writestr(
            "gallery.json", json.dumps({"facet": 1, "faces": [{"id": 1, "image": "javascript:alert(1)"}, 7, *endless]})
        )
    bring(page, packed.getvalue())
    expect(status(page)).to_contain_text("0 of 4 faces were added. 4 could not be read.")
    expect(entries(page)).to_have_count(2)


def test_a_full_gallery_and_a_full_store_are_told(page: Page):
    generate(page)
    page.evaluate("""async () => {
        const face = (await window.facet.store.faces())[0];
        const faces = Array.from({length: 499}, (_, i) =>
            ({...face, id: i + 1, image: face.image.replace("image/png", `image/png;n=${i}`)}));
        await window.facet.store.add(faces.map(one => ({...one, steps: {total: 1, frames: [], decided: []}})));
    }""")
    load_again(page)
    expect(entries(page)).to_have_count(500)
    generate_told = "The gallery holds up to 500 faces: delete some, or export them first."
    page.click("#generate")
    expect(status(page)).to_have_text(generate_told)
    expect(entries(page)).to_have_count(500)
    entries(page).first.focus()
    page.keyboard.press("Delete")
    expect(entries(page)).to_have_count(499)
    page.evaluate(
        """() => { window.facet.store.add = () => Promise.reject(new DOMException("full", "QuotaExceededError")); }"""
    )
    page.click("#generate")
    expect(status(page)).to_contain_text("store is full")
    expect(page.locator(".srresnet")).to_be_visible()


def test_the_focus_stays_in_the_gallery(page: Page):
    set_steps(page, 4)
    for text in ("first", "second", "third"):
        words(page).fill(text)
        generate(page)
    expect(entries(page)).to_have_count(3)
    for left in (2, 1):
        entries(page).last.focus()
        page.keyboard.press("Delete")
        expect(entries(page)).to_have_count(left)
        expect(entries(page).last).to_be_focused()
    # a new face comes first; the focus stays on its own
    focused = entries(page).last.get_attribute("data-id")
    page.keyboard.press("Control+Enter")
    expect(entries(page)).to_have_count(2)
    assert page.evaluate("document.activeElement.dataset.id") == focused


def test_a_gallery_of_the_former_kind_is_taken_over(page: Page):
    page.evaluate(
        "localStorage.setItem('facet.gallery', JSON.stringify([{image: window.facet.face.image, record: {seed: 1}}]))"
    )
    load_again(page)
    expect(entries(page)).to_have_count(1)
    assert page.evaluate("localStorage.getItem('facet.gallery')") is None


def test_a_long_run_of_which_some_steps_are_kept(page: Page):
    """64 of 200: the timeline ends at the last of them, and what is known of a step goes to that step."""
    page.evaluate("""() => {
        const {image, record, frames} = window.facet.face;
        const steps = Array.from({length: 64}, (_, i) => ({
            step: 1 + Math.round(i * 199 / 63), noise_level: 1 - i / 63, denoised: frames[0], noisy: frames[1],
        }));
        window.facet.showFace(image, {...record, steps: 200}, "gallery",
                              {total: 200, frames: steps, decided: [{label: "Smiling", step: 90}]});
    }""")
    page.wait_for_function("() => window.facet.face.finished && window.facet.face.record.steps === 200")
    assert page.locator(".player .at").get_attribute("max") == "64"
    page.locator(".decided button").click()
    expect(page.locator(".facts .step")).to_have_text("Step 93 of 200")
    assert page.locator(".marks i").count() == page.locator(".decided button").count() == 1
    # as the server answers for all 200
    page.locator(".kinds button[data-view=influence]").click()
    page.wait_for_function("() => window.facet.face.steps.frames.every(frame => frame.influence)")
    assert len(set(face(page, "steps.frames.map(frame => frame.influence)"))) > 32
