"""What CLIP sees, and from which step on."""

import numpy as np
import pytest

from model.attributes import ATTRIBUTES
from tests.ui.asking import frame, noise, sent
from ui import frames, onsets, sees


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
            [onset] = onsets.onsets(pipe, history, {name: should})
            first = onsets.onset(as_wanted)
            assert onset["step"] == (None if first is None else first + 1)
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
    shown, _ = sees.describe(
        "",
        {"present": ["Bald"], "absent": ["Smiling"]},
        sent(image=face, labels=["a pop star", "a tired face"], others=[face, frames.png(noise(2))]),
    )
    assert [(bar["label"], bar["wanted"]) for bar in shown["bars"][:2]] == [("Bald", "yes"), ("Smiling", "no")]
    assert len(shown["bars"]) == sees.BARS and all(0 <= bar["score"] <= 1 for bar in shown["bars"])
    rest = [bar["score"] for bar in shown["bars"][2:]]
    assert rest == sorted(rest, reverse=True)
    assert [label["label"] for label in shown["labels"]] == ["a pop star", "a tired face"]
    assert shown["alike"][0] == pytest.approx(1, abs=1e-3) and shown["alike"][1] <= shown["alike"][0]
    for bad in (
        {"image": "nonsense"},
        {"image": face, "labels": ["x"] * 50},
        {"image": face, "labels": "x"},
        {"image": face, "others": [3]},
        {"image": face, "others": 3},
    ):
        _, line = sees.describe("", None, sent(**bad))
        assert line["kind"] == "error" and "\n" not in line["text"]
