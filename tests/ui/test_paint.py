"""A painted part of a face is drawn anew; its record holds the painting, so that it can be saved and explored.

What is no painting is refused in one line.
"""

import io
import json

import numpy as np
import pytest
from PIL import Image

from model.settings import Settings
from tests.ui.asking import NOW, noise, pixels, sent
from ui import explore, exports, frames, runs
from ui.how.page import wanted
from ui.opening import FIRST

KNOWN, MASK = noise(3), np.zeros((64, 64), bool)
MASK[:20] = True
PAINTING = {"image": frames.png(KNOWN), "mask": "".join("01"[int(on)] for on in MASK.ravel())}
BAD = (
    ({**PAINTING, "mask": "01"}, "64 x 64"),
    ({**PAINTING, "mask": None}, "64 x 64"),
    ({**PAINTING, "mask": "2" * 4096}, "0 or 1"),
    ({**PAINTING, "mask": "0" * 4096}, "empty"),
    ({**PAINTING, "mask": "1" * 4096}, "whole face"),
    ({**PAINTING, "image": "/etc/hostname"}, "image"),
    ({"mask": PAINTING["mask"]}, "image"),
    ("x", "image"),
)


def drawn(controls: runs.Controls) -> tuple[np.ndarray, dict]:
    """A painted face and its record."""
    (first, _, _, record), *rest = runs.animate(*controls)
    assert first["kind"] == "painted"
    image = next(message["image"] for message, *_ in rest if isinstance(message, dict) and "image" in message)
    return pixels(image), record


@pytest.fixture
def made(pipe) -> tuple[np.ndarray, dict]:
    return drawn(runs.Controls("a man", steps=3, new_seed=True, painting=PAINTING))


def test_a_painted_part_is_drawn_anew(made):
    face, _ = made
    assert np.array_equal(face[20:], KNOWN[20:]) and np.abs(face[:20].astype(int) - KNOWN[:20]).mean() > 5
    # live mode
    whole = runs.redraw(*runs.Controls("a man", steps=3, painting=PAINTING))
    assert not np.array_equal(pixels(whole[0]["image"])[20:], KNOWN[20:])


@pytest.mark.parametrize(("bad", "told"), BAD)
def test_what_is_no_painting_is_refused(pipe, bad, told):
    *_, (_, line, *_) = runs.animate(*runs.Controls(steps=3, painting=bad))
    assert line["kind"] == "error" and told in line["text"] and "\n" not in line["text"]
    *_, (_, line) = explore.strip(NOW | {"painting": bad}, "Smiling")
    assert line["kind"] == "error" and told in line["text"] and "\n" not in line["text"]


def test_its_record_makes_it_again(made):
    face, record = made
    again = runs.Controls("a man", steps=3, seed=record["seed"], painting=record["painting"])
    assert np.array_equal(drawn(again)[0], face)
    # as the gallery opens it: the painted face stands for the one that it was
    opened = next(runs.enlarge(sent(image=frames.png(face), record=record, mask=PAINTING["mask"])))[2]
    assert opened == record | {"painting": {"image": frames.png(face), "mask": PAINTING["mask"]}}
    assert np.array_equal(drawn(again._replace(painting=opened["painting"]))[0], face)
    # the figures of "How it works" draw a face from settings alone
    assert wanted(record) == FIRST and wanted(NOW) == Settings(**NOW)


@pytest.mark.parametrize("explored", [lambda now: explore.strip(now, "Smiling"), explore.sweep])
def test_exploring_it_changes_the_painted_part_alone(made, explored):
    face, record = made
    *_, (found, line) = explored(record)
    faces = [pixels(one["image"]) for one in found["faces"]]
    assert line["text"] == "Done." and found["mask"] == PAINTING["mask"] and len({one.tobytes() for one in faces}) == 5
    assert all(np.array_equal(one[20:], KNOWN[20:]) for one in faces)
    # its own strength, or guidance
    assert any(np.abs(one.astype(int) - face).max() <= 2 for one in faces)
    assert all("painting" not in one["record"] for one in found["faces"])
    *_, (plain, _) = explored(NOW)
    assert "mask" not in plain


def test_a_saved_picture_holds_the_painting(made):
    face, record = made
    asked = {"what": "png", "image": frames.png(face), "record": record, "mask": PAINTING["mask"], "count": 1}
    texts = Image.open(io.BytesIO(exports.make(asked)[1])).text
    assert json.loads(texts["facet-painting"]) == {"image": asked["image"], "mask": asked["mask"]}
    assert Settings.read(json.loads(texts["facet"]))[1] == []
    assert not Image.open(io.BytesIO(exports.make(asked | {"settings": False})[1])).text
    _, line = exports.export(sent(**asked | {"mask": "01"}))
    assert line["kind"] == "error" and "64 x 64" in line["text"]
