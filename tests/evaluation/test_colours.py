"""Skin tone and hair hue, on faces of plain colours."""

import numpy as np
import pytest

from model.errors import InputError
from training.evaluation.colours import PLACE, lab, main, measured, skin_angle


def face(skin: tuple[int, int, int], hair: tuple[int, int, int]) -> np.ndarray:
    pixels = np.full((1, 64, 64, 3), skin, np.uint8)
    pixels[:, :16] = hair
    return pixels


def test_lab_of_known_colours():
    coordinates = lab(np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0]], np.uint8))
    np.testing.assert_allclose(coordinates, [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.2]], atol=0.1)


def test_each_colour_is_seen_where_it_is_and_nowhere_else():
    faces = np.concatenate(
        [face((92, 58, 38), (20, 18, 16)), face((190, 138, 106), (60, 42, 30)), face((240, 210, 196), (140, 62, 36))]
    )
    angles = skin_angle(faces)
    assert angles[0] < angles[1] < angles[2]
    seen = measured(faces)
    assert seen["dark"].tolist() == [True, False, False]
    # more of a colour counts too
    assert seen["tanned"].tolist() == [True, True, False]
    assert seen["light"].tolist() == [False, False, True]
    assert seen["red hair"].tolist() == [False, False, True]


def test_the_lighter_cheek_counts():
    pixels = face((240, 210, 196), (20, 18, 16))
    pixels[:, :, :32] = 10
    assert measured(pixels)["light"].all()


def test_faces_of_another_size_are_refused():
    with pytest.raises(InputError, match="64x64"):
        measured(np.zeros((1, 32, 32, 3), np.uint8))


def test_the_table_goes_between_its_markers(tmp_path):
    card, (begin, end) = tmp_path / "README.md", PLACE
    # weights without a card
    PLACE.write(card, "new")
    assert not card.exists()
    card.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    PLACE.write(card, "new")
    assert card.read_text() == f"before\n{begin}\nnew\n{end}\nafter\n"
    card.write_text("none")
    with pytest.raises(InputError, match="no lines"):
        PLACE.write(card, "new")
    with pytest.raises(SystemExit, match="^training.evaluation.colours: .* has no lines"):
        main(["--weights", str(tmp_path), "--prepared", str(tmp_path / "none")])
