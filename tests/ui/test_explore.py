"""One thing changed: strips, sweeps, walks, faces alike."""

from dataclasses import replace

import numpy as np

from model.settings import Settings
from tests.ui.asking import ASKED, NOW, noise, pixels, sent
from ui import explore, frames


def last(event) -> tuple:
    """What an event that yields says in the end."""
    return list(event)[-1]


def made_again(pipe, face: dict) -> bool:
    """Whether a cell's record makes its face."""
    settings, ignored = Settings.read(face["record"])
    [drawn] = pipe.generate_faces([settings])
    return not ignored and np.abs(pixels(face["image"]).astype(int) - drawn).max() <= 2


def test_a_strip_has_the_face_itself_in_the_middle(pipe):
    shown, line = last(explore.strip(NOW, "Smiling"))
    assert line["kind"] == "" and [face["caption"] for face in shown["faces"]] == ["-2", "-1", "as it is", "+1", "+2"]
    faces = np.stack([pixels(face["image"]) for face in shown["faces"]]).astype(int)
    again = pipe.generate_faces([replace(ASKED, edits=(("Smiling", value),)) for value in explore.STRENGTHS])
    assert np.abs(faces - again).max() <= 2
    assert shown["faces"][2]["record"] == NOW and shown["faces"][4]["record"] == NOW | {"edits": "Smiling:2"}
    assert all(made_again(pipe, face) for face in shown["faces"])
    # an edited face is edited again
    both, _ = last(explore.strip(shown["faces"][4]["record"], "Male"))
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
    shown, _ = last(explore.sweep(NOW))
    assert all(made_again(pipe, face) for face in shown["faces"])


def test_a_walk_goes_to_what_was_asked_and_each_place_can_be_made_again(pipe):
    shown, _ = last(explore.walk(NOW, "an old man", ""))
    assert shown["kind"] == "walk" and len(shown["faces"]) == explore.WALK and "old man" in shown["title"]
    assert "from the face on screen to seed" in last(explore.walk(NOW, "", ""))[0]["title"].lower()
    seeds, _ = last(explore.walk(NOW, "", "9"))
    assert "seed 9" in seeds["title"]
    assert all(
        made_again(pipe, shown["faces"][place]) and made_again(pipe, seeds["faces"][place]) for place in (0, 7, 23)
    )
    line = last(explore.walk(seeds["faces"][7]["record"], "", "3"))[1]
    assert line["kind"] == "error" and "way between" in line["text"]
    assert last(explore.walk(NOW, "", "1.5"))[1]["kind"] == "error"


def test_faces_alike(pipe):
    image, told = frames.png(noise(3)), set()
    walked = NOW | {"to_prompt": "an old man", "to_seed": 0, "place": 0.7}
    for now, less in ((NOW, False), (NOW, True), (walked, True), (NOW | {"sampler": "ddpm"}, True), (None, True)):
        shown, line = last(explore.alike(now, sent(image=image, less=less)))
        assert line["kind"] == "" and len(shown["faces"]) == explore.ALIKE
        assert len({face["image"] for face in shown["faces"]}) == explore.ALIKE
        told.add(shown["title"])
    assert len(told) == 3
    event = explore.alike(NOW, sent(image=image))
    # after the first step, and not after the last
    assert next(event)[1]["text"].startswith("Drawing 8 faces")
    event.close()
    assert last(explore.alike(NOW, sent(image="/etc/hostname")))[1]["kind"] == "error"
