"""The features of ui/ as plain functions, without a server: picker, words, frames, onsets, exports, badge."""

import base64
import io
import json
import zipfile

import gradio as gr
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from model import attributes
from model.attributes import ATTRIBUTES, CONFLICTS
from model.errors import InputError
from model.pipeline import Frame
from model.settings import Settings
from tests.conftest import ROOT
from ui import badge, component, explore, exports, frames, onsets, picker, runs, sees, words
from ui.server import engine


@pytest.fixture(scope="module")
def pipe(tiny_weights):
    """The tiny pipeline, which the rooms get as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACET_WEIGHTS", str(tiny_weights))
        yield engine.pipeline()


def sent(**data) -> gr.EventData:
    return gr.EventData(None, data)


def noise(seed: int, size: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def frame(index: int = 1, total: int = 1, influence: np.ndarray | None = None) -> Frame:
    return Frame(index, total, 0.5, noise(index), noise(index + 100), influence)


# --- picker and words -------------------------------------------------------------------------------------------------


def test_words_and_boxes_add_up():
    assert picker.combined("", [], []) == "" and picker.combined(None, [], []) == ""
    assert picker.combined("a woman", [], []) == "a woman"
    assert picker.combined("", ["Smiling"], ["Eyeglasses"]) == "Photo of person smiling, no eyeglasses."
    assert (
        picker.combined(" ... ", ["Smiling"], []) == "Photo of person smiling."
        and picker.combined("...", [], []) == "..."
    )
    assert picker.combined(" a woman. ", ["Smiling"], ["Eyeglasses"]) == "a woman, smiling, no eyeglasses."
    with pytest.raises(InputError, match="contradict"):
        picker.combined("free", ["Bald", "Bangs"], [])


@given(st.sets(st.sampled_from(ATTRIBUTES), max_size=6), st.sets(st.sampled_from(ATTRIBUTES), max_size=6))
def test_boxes_come_back_from_their_prompt(present, absent):
    if attributes.conflict(present, absent):
        return
    prompt = picker.combined("", list(present), list(absent))
    typed, found_present, found_absent = picker.parted(prompt)
    assert typed == "" and (set(found_present), set(found_absent)) == (present, absent)


def test_other_prompts_stay_words():
    for prompt in ("a smiling woman", "a woman, smiling.", "Photo of person flying.", "Photo of person smiling, bald"):
        assert picker.parted(prompt) == (prompt, [], [])


@pytest.mark.parametrize(
    "picks", [{"present": "Smiling"}, {"present": ["Flying"]}, {"absent": [3]}, {"present": [["Smiling"]]}]
)
def test_boxes_of_no_attribute_are_refused(picks):
    with pytest.raises(InputError):
        picker.chosen(picks)


def test_presets_are_possible_faces():
    for name, (present, absent) in picker.PRESETS.items():
        assert attributes.conflict(present, absent) is None, name
        assert set(present) | set(absent) <= set(ATTRIBUTES)
    assert set(picker.FEMININE) | set(picker.MASCULINE) <= set(ATTRIBUTES)


def test_the_picker_holds_every_attribute_and_its_other_names():
    page = picker._html()
    assert page.count('type="checkbox"') == len(ATTRIBUTES) == page.count('aria-pressed="false"')
    assert all(f'data-name="{name}"' in page for name in ATTRIBUTES)
    assert "spectacles" in picker._words("Eyeglasses") and "old" in picker._words("Young")


def test_templates_hold_nothing_that_gradio_would_fill_in():
    """gradio runs templates through Handlebars and as a JavaScript template string."""
    templates = {path.name: path.read_text() for path in component.ASSETS.glob("*") if path.suffix in (".html", ".css")}
    templates.pop("page.css")  # which is plain CSS
    for name, text in {**templates, "picker": picker._html()}.items():
        assert not [sign for sign in ("{{", "${", "`", "\\") if sign in text], name


def test_what_the_page_reads_in_words(pipe):
    assert words.read("", None) == {"prompt": ""}
    found = words.read("a smiling woman", {"present": ["Wearing_Hat"], "absent": []})
    assert found["prompt"] == "a smiling woman, wearing hat."
    whole, typed = pipe.understood(found["prompt"]), pipe.understood("a smiling woman")
    assert [chip["label"] for chip in found["chips"]] == [attributes.label(name) for name in whole.present] + [
        attributes.lacking(name).capitalize() for name in whole.absent
    ]
    assert found["said"] == {"present": list(typed.present), "absent": list(typed.absent)}
    assert "".join(part["text"] for part in found["parts"]) == found["prompt"]
    assert "beginning" in words.read("smiling " * 500, None)["cut"]
    found = words.read("curly hair, blue eyes 😀", None)
    assert found["near"] == ["curly hair as wavy hair"] and found["unknown"] == ["blue eyes"]
    assert [one["name"] for one in found["instead"]] == ["Narrow_Eyes", "Bags_Under_Eyes", "Eyeglasses"]
    assert "contradict" in words.read("", {"present": ["Bald", "Bangs"]})["warning"]


def test_the_search_finds_what_exists():
    assert "blue eyes" in picker.near_words("Narrow_Eyes") and "brille" in picker.near_words("Eyeglasses")


@pytest.mark.parametrize("bad", [3, ["a"], {"a": 1}])
def test_a_prompt_that_is_no_text(bad):
    with pytest.raises(InputError, match="must be text"):
        picker.combined(bad, [], [])


def test_words_against_boxes_are_told():
    said = {"present": {"Bald": 0.9}, "absent": {"Smiling": 0.8}}
    assert "your words say one thing" in words.disagreement(said, ["Smiling"], [])
    assert "your words say one thing" in words.disagreement(said, [], ["Bald"])
    assert words.disagreement(said, ["Wavy_Hair"], []) == "Your words say bald, the boxes wavy hair: no face has both."
    assert words.disagreement(said, ["Bald", "Male"], ["Smiling"]) == ""
    for pair in CONFLICTS:
        first, second = pair
        assert words.disagreement({"present": {first: 1}, "absent": {}}, [second], [])


# --- frames -----------------------------------------------------------------------------------------------------------


def test_sheets_lie_row_by_row():
    faces = [np.full((64, 64, 3), value, np.uint8) for value in range(9)]
    assert frames.sheet(faces)[::64, ::64, 0].tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert frames.sheet(faces[:1]).shape == (64, 64, 3)


def test_influence_glows_over_a_grey_face():
    quiet, loud = np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.uint8)
    loud[10, 20] = 255
    still, plain, lit = (frames.heat(frame(influence=influence)) for influence in (quiet, None, loud))
    assert np.abs(still.astype(int) - plain).max() <= 1 and (plain[..., 0] == plain[..., 2]).all()
    assert tuple(lit[10, 20]) == tuple(frames.HEAT[-1]) and (lit[11:] == still[11:]).all()


@pytest.mark.parametrize(
    "bad",
    [
        None,
        3,
        "",
        "/etc/hostname",
        str(ROOT / "assets" / "faces.png"),
        "data:text/plain;base64,aGk=",
        "data:image/png;base64,*",
        "file:///etc/hostname",
    ],
)
def test_a_browser_cannot_name_a_file_of_the_server(bad):
    with pytest.raises(InputError, match="not an image"):
        frames.read_face(frames.file_of(bad))


def test_a_picture_that_is_too_large(tmp_path):
    Image.new("1", (8_200, 8_000)).save(tmp_path / "huge.png")
    with pytest.raises(InputError, match="larger than 65 megapixels"):
        frames.read_picture(str(tmp_path / "huge.png"))


# --- onsets and what CLIP sees ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "seen, expected", [("0011", 2), ("1111", 0), ("1101", 3), ("1110", None), ("0000", None), ("1", 0)]
)
def test_the_onset_is_where_it_stays(seen, expected):
    assert onsets.onset([sign == "1" for sign in seen]) == expected


def test_onsets_follow_the_scores(pipe):
    history = [frame(index, 5) for index in range(1, 6)]
    scores = pipe.attribute_scores(np.stack([one.denoised for one in history]))
    for name in ("Male", "Smiling", "Blond_Hair"):
        high = scores[:, ATTRIBUTES.index(name)] > 0.5
        for should, as_wanted in ((True, high), (False, ~high)):
            [found] = onsets.onsets(pipe, history, {name: should})
            first = onsets.onset(as_wanted)
            assert found["step"] == (None if first is None else first + 1)
    assert onsets.onsets(pipe, history, {}) == []
    assert len(onsets.onsets(pipe, history, dict.fromkeys(ATTRIBUTES, True))) == onsets.SHOWN


def test_what_was_asked_for(pipe):
    asked = onsets.wanted(pipe, "a man", {"present": ["Bald"], "absent": ["Smiling"]})
    said = pipe.understood("a man")
    assert list(asked.items())[:2] == [("Bald", True), ("Smiling", False)]
    assert set(asked) == {"Bald", "Smiling", *said.present, *said.absent}
    assert onsets.wanted(pipe, " ", None) == {}


def test_what_clip_sees(pipe):
    face = frames.png(noise(1))
    found, _ = sees.describe(
        "",
        {"present": ["Bald"], "absent": ["Smiling"]},
        sent(image=face, labels=["a pop star", "a tired face"], others=[face, frames.png(noise(2))]),
    )
    assert [(bar["label"], bar["wanted"]) for bar in found["bars"][:2]] == [("Bald", "yes"), ("Smiling", "no")]
    assert len(found["bars"]) == sees.BARS and all(0 <= bar["score"] <= 1 for bar in found["bars"])
    rest = [bar["score"] for bar in found["bars"][2:]]
    assert rest == sorted(rest, reverse=True)
    assert [label["label"] for label in found["labels"]] == ["a pop star", "a tired face"]
    assert found["alike"][0] == pytest.approx(1, abs=1e-3) and found["alike"][1] <= found["alike"][0]
    for bad in (
        {"image": "nonsense"},
        {"image": face, "labels": ["x"] * 50},
        {"image": face, "labels": "x"},
        {"image": face, "others": [3]},
        {"image": face, "others": 3},
    ):
        _, line = sees.describe("", None, sent(**bad))
        assert line["kind"] == "error" and "\n" not in line["text"]


# --- one thing changed ------------------------------------------------------------------------------------------------

ASKED = Settings("a woman", seed=5, steps=3, sampler="ddim")
NOW = ASKED.as_record()


def pixels(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def last(event) -> tuple:
    """What an event that yields says in the end."""
    return list(event)[-1]


def made_again(pipe, face: dict) -> bool:
    """Whether a cell's record makes its face."""
    settings, ignored = Settings.read(face["record"])
    [drawn] = pipe.generate_faces([settings])
    return not ignored and np.abs(pixels(face["image"]).astype(int) - drawn).max() <= 2


def test_a_strip_has_the_face_itself_in_the_middle(pipe):
    found, line = last(explore.strip(NOW, "Smiling"))
    assert line["kind"] == "" and [face["caption"] for face in found["faces"]] == ["-2", "-1", "as it is", "+1", "+2"]
    faces = np.stack([pixels(face["image"]) for face in found["faces"]]).astype(int)
    assert np.abs(faces - pipe.strengths(ASKED, "Smiling", explore.STRENGTHS)).max() <= 2
    assert found["faces"][2]["record"] == NOW and found["faces"][4]["record"] == NOW | {"edits": "Smiling:2"}
    assert all(made_again(pipe, face) for face in found["faces"])
    both, _ = last(explore.strip(found["faces"][4]["record"], "Male"))  # an edited face is edited again
    assert both["faces"][0]["record"]["edits"] == "Smiling:2,Male:-2" and made_again(pipe, both["faces"][0])
    assert last(explore.strip(None, "Smiling"))[1]["kind"] == "error"
    assert last(explore.strip(NOW, "Flying"))[1]["kind"] == "error"
    line = last(explore.strip({**NOW, "steps": explore.STEPS + 1}, "Smiling"))[1]
    assert line["kind"] == "error" and "101 steps" in line["text"]


def test_exploring_tells_of_its_way_and_ends_when_it_is_closed(pipe):
    event = explore.walk(NOW, "", "9")
    told = [next(event)[1]["text"]]
    assert told[0].startswith("Drawing 24 faces")
    event.close()


def test_a_sweep_can_be_made_again(pipe):
    found, _ = last(explore.sweep(NOW))
    assert all(made_again(pipe, face) for face in found["faces"])


def test_a_walk_goes_to_what_was_asked_and_each_place_can_be_made_again(pipe):
    found, _ = last(explore.walk(NOW, "an old man", ""))
    assert found["kind"] == "walk" and len(found["faces"]) == explore.WALK and "old man" in found["title"]
    assert "from the face on screen to seed" in last(explore.walk(NOW, "", ""))[0]["title"].lower()
    seeds, _ = last(explore.walk(NOW, "", "9"))
    assert "seed 9" in seeds["title"]
    assert all(
        made_again(pipe, found["faces"][place]) and made_again(pipe, seeds["faces"][place]) for place in (0, 7, 23)
    )
    line = last(explore.walk(seeds["faces"][7]["record"], "", "3"))[1]
    assert line["kind"] == "error" and "way between" in line["text"]
    assert last(explore.walk(NOW, "", "1.5"))[1]["kind"] == "error"


def test_faces_alike(pipe):
    image, told = frames.png(noise(3)), set()
    walked = NOW | {"to_prompt": "an old man", "to_seed": 0, "place": 0.7}
    for now, less in ((NOW, False), (NOW, True), (walked, True), (NOW | {"sampler": "ddpm"}, True), (None, True)):
        found, line = last(explore.alike(now, sent(image=image, less=less)))
        assert line["kind"] == "" and len(found["faces"]) == explore.ALIKE
        assert len({face["image"] for face in found["faces"]}) == explore.ALIKE
        told.add(found["title"])
    assert len(told) == 3
    event = explore.alike(NOW, sent(image=image))
    assert next(event)[1]["text"].startswith("Drawing 8 faces")  # after the first step, and not after the last
    event.close()
    assert last(explore.alike(NOW, sent(image="/etc/hostname")))[1]["kind"] == "error"


# --- painting over a part ---------------------------------------------------------------------------------------------


def test_a_painted_part_is_drawn_anew(pipe):
    known, mask = noise(3), np.zeros((64, 64), bool)
    mask[:20] = True
    painting = {"image": frames.png(known), "mask": "".join("01"[on] for on in mask.ravel())}
    parts = list(runs.animate(*runs.Controls("a man", steps=3, new_seed=True, painting=painting)))
    first = parts[0][0]
    assert first["kind"] == "painted" and parts[0][3] is None  # its settings alone do not make it
    drawn = pixels(next(message["image"] for message, *_ in parts if isinstance(message, dict) and "image" in message))
    assert np.array_equal(drawn[20:], known[20:]) and np.abs(drawn[:20].astype(int) - known[:20]).mean() > 5
    whole = runs.redraw(*runs.Controls("a man", steps=3, painting=painting))  # live mode
    assert not np.array_equal(pixels(whole[0]["image"])[20:], known[20:])
    for bad, told in (
        ({**painting, "mask": "01"}, "64 x 64"),
        ({**painting, "mask": None}, "64 x 64"),
        ({**painting, "mask": "2" * 4096}, "0 or 1"),
        ({**painting, "mask": "0" * 4096}, "empty"),
        ({**painting, "mask": "1" * 4096}, "whole face"),
        ({**painting, "image": "/etc/hostname"}, "image"),
        ({"mask": painting["mask"]}, "image"),
        ("x", "image"),
    ):
        _, line, *_ = last(runs.animate(*runs.Controls(steps=3, painting=bad)))
        assert line["kind"] == "error" and told in line["text"] and "\n" not in line["text"], bad


# --- exports ----------------------------------------------------------------------------------------------------------


def wish(what: str, count: int = 1, steps: int = 5, **more) -> dict:
    side = 64 * int(count**0.5)
    return {
        "what": what,
        "image": frames.png(noise(0, side)),
        "frames": [frames.jpeg(noise(index, side)) for index in range(steps)],
        "record": NOW,
        "settings": True,
        "step": 3,
        "count": count,
        "seeds": list(range(5, 5 + count)),
        **more,
    }


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_a_picture_carries_its_settings_or_not(pipe):
    name, data = exports.make(wish("png"))
    assert name == "facet-5.png" and opened(data).size == (512, 512)
    assert Settings.read(json.loads(opened(data).text["facet"])) == (ASKED, [])
    bare = opened(exports.make(wish("png", settings=False))[1])
    assert not bare.text and np.array_equal(bare, opened(data))
    assert opened(exports.make(wish("frame"))[1]).size == (64, 64)


def test_each_face_of_a_batch_is_saved_at_512_pixels(pipe):
    asked = wish("png", count=4)
    large = np.asarray(opened(exports.make(asked)[1]))
    small = frames.read_picture(frames.file_of(asked["image"]))
    assert large.shape == (1024, 1024, 3)
    assert np.array_equal(large[:512, 512:], pipe.upscale(small[None, :64, 64:])[0])
    files = zipfile.ZipFile(io.BytesIO(exports.make(wish("zip", count=4))[1]))
    face = opened(files.read("face-6.png"))  # the second one
    assert np.array_equal(face, large[:512, 512:])
    assert Settings.read(json.loads(face.text["facet"]))[0].seed == 6


def test_an_export_is_a_file_for_the_browser(pipe):
    file, line = exports.export(sent(**wish("frame")))
    assert line == {"text": "Saved as facet-5-step-3.png.", "kind": ""} and file["name"] == "facet-5-step-3.png"
    assert opened(base64.b64decode(file["data"])).size == (64, 64)


def test_animations_hold_every_step_and_rest_on_the_last(pipe):
    for what in ("webp", "gif"):
        name, data = exports.make(wish(what))
        image = opened(data)
        assert name == f"facet-5.{what}" and image.n_frames == 5 and image.size == (256, 256)
    assert opened(exports.make(wish("webp", steps=300))[1]).n_frames == exports.MOST_FRAMES
    walk = {"what": "webp", "image": None, "frames": wish("webp")["frames"], "record": None}  # as the walk is sent
    assert exports.make(walk)[0] == "facet-face.webp"


def test_pixels_stay_sharp_squares_and_large_pictures_become_small(pipe):
    sheet = noise(1, 192)  # nine faces
    saved = np.asarray(opened(exports.make(wish("strip", frames=[frames.png(sheet)]))[1]))
    assert np.array_equal(saved, sheet.repeat(2, 0).repeat(2, 1))
    assert opened(exports.make(wish("webp", frames=[frames.png(sheet)] * 2))[1]).size == (384, 384)
    for size in ((500, 500), (40, 500)):
        assert opened(exports.make(wish("webp", frames=[frames.png(np.zeros((*size, 3), np.uint8))] * 2))[1]).size == (
            256,
            256,
        )


def test_film_strip(pipe):
    assert opened(exports.make(wish("strip"))[1]).size == (5 * 256, 256)
    assert opened(exports.make(wish("strip", steps=40))[1]).size == (8 * 256, 256)


@pytest.mark.parametrize("count", [1, 4])
def test_all_in_one_archive(pipe, count):
    archive = zipfile.ZipFile(io.BytesIO(exports.make(wish("zip", count=count))[1]))
    faces = {1: {"face-64.png", "face-512.png"}, 4: {f"face-{seed}.png" for seed in (5, 6, 7, 8)}}[count]
    assert set(archive.namelist()) == {"settings.json", "steps.webp", "steps.png", *faces}
    assert json.loads(archive.read("settings.json")) == NOW and archive.testzip() is None
    if count == 4:
        assert json.loads(opened(archive.read("face-7.png")).text["facet"])["seed"] == 7
    bare = zipfile.ZipFile(io.BytesIO(exports.make(wish("zip", count=count, settings=False))[1]))
    assert set(bare.namelist()) == {"steps.webp", "steps.png", *faces} and not any(
        opened(bare.read(name)).text for name in faces
    )


@pytest.mark.parametrize(
    "bad",
    [
        {"what": "exe"},
        {"what": ["png"]},
        {"image": None},
        {"image": "/etc/hostname"},
        {"count": 5},
        {"count": [1]},
        {"what": "webp", "frames": []},
        {"what": "gif", "frames": ["x"]},
        {"what": "frame", "step": "3/../x"},
        {"what": "zip", "count": 4, "seeds": [1]},
        {"what": "zip", "count": 9, "image": frames.png(noise(0, 64)), "seeds": [0] * 9},
    ],
)
def test_exports_that_are_refused_in_one_line(pipe, bad):
    file, line = exports.export(sent(**{**wish("png"), **bad}))
    assert line["kind"] == "error" and line["text"] and "\n" not in line["text"]


# --- the badge --------------------------------------------------------------------------------------------------------


def test_the_badge_says_what_the_weights_say():
    info = {"images": 310000, "seconds": 5400, "device": "cpu"}
    assert "310,000 images in 1.5 hours on a CPU" in badge.line(info, {})
    info["hash"] = "5" * 16
    report = {
        "memorisation": {"pixels": {"generated_median": 41.2, "validation_median": 39.8}},
        "weights": {"unet": {"hash": "5" * 16}},
    }
    assert "41 grey levels" in badge.line(info, report) and "40" in badge.line(info, report)
    assert "grey levels" not in badge.line({**info, "hash": "6" * 16}, report)  # that was measured of other weights
    for odd in (
        None,
        "x",
        [],
        {"images": "many"},
        {"images": [1]},
        {"images": -1},
        {"images": 10**400},
        {"images": {}},
    ):
        assert badge.line(odd, {}) == ""
    for odd in ("x", {}, [], None, float("nan")):
        assert badge.line({**info, "seconds": odd, "device": odd}, {"memorisation": odd, "weights": odd})
    assert badge.line({}, {}) == "" and "<script" not in badge.line({**info, "device": "<script>"}, {})
