"""What is saved: pictures, animations, film strips, archives."""

import base64
import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from model.settings import Settings
from tests.ui.asking import ASKED, NOW, noise, sent
from ui import exports, frames


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
    # the second one
    face = opened(files.read("face-6.png"))
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
    # as the walk is sent
    walk = {"what": "webp", "image": None, "frames": wish("webp")["frames"], "record": None}
    assert exports.make(walk)[0] == "facet-face.webp"


def test_pixels_stay_sharp_squares_and_large_pictures_become_small(pipe):
    # nine faces
    sheet = noise(1, 192)
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


def test_a_painted_face_is_saved_with_its_painting_or_without_settings(pipe):
    """Settings alone would bring back another face."""
    mask = {"mask": "01" * (64 * 32)}
    for what, count in (("frame", 1), ("strip", 1), ("png", 4)):
        assert not opened(exports.make(wish(what, count, **mask))[1]).text
    for count, names in ((1, ("face-64.png", "face-512.png")), (4, ("face-5.png", "face-8.png"))):
        asked = wish("zip", count, **mask)
        archive = zipfile.ZipFile(io.BytesIO(exports.make(asked)[1]))
        small = frames.read_picture(frames.file_of(asked["image"]))
        cells = {1: [small, small], 4: [small[:64, :64], small[64:, 64:]]}[count]
        for name, cell in zip(names, cells):
            texts = opened(archive.read(name)).text
            painting = json.loads(texts["facet-painting"])
            assert "facet" in texts and painting["mask"] == mask["mask"]
            assert np.array_equal(frames.read_picture(frames.file_of(painting["image"])), cell)
        assert not opened(archive.read("steps.png")).text


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
