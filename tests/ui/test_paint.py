"""A painted part of a face is drawn anew; what is no painting is refused in one line."""

import numpy as np

from tests.ui.asking import noise, pixels
from ui import frames, runs


def test_a_painted_part_is_drawn_anew(pipe):
    known, mask = noise(3), np.zeros((64, 64), bool)
    mask[:20] = True
    painting = {"image": frames.png(known), "mask": "".join("01"[int(on)] for on in mask.ravel())}
    parts = list(runs.animate(*runs.Controls("a man", steps=3, new_seed=True, painting=painting)))
    first = parts[0][0]
    # its settings alone do not make it
    assert first["kind"] == "painted" and parts[0][3] is None
    drawn = pixels(next(message["image"] for message, *_ in parts if isinstance(message, dict) and "image" in message))
    assert np.array_equal(drawn[20:], known[20:]) and np.abs(drawn[:20].astype(int) - known[:20]).mean() > 5
    # live mode
    whole = runs.redraw(*runs.Controls("a man", steps=3, painting=painting))
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
        *_, (_, line, *_) = runs.animate(*runs.Controls(steps=3, painting=bad))
        assert line["kind"] == "error" and told in line["text"] and "\n" not in line["text"], bad
