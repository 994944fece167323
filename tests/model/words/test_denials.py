"""What a "no", "off" or "away" reaches, and what it leaves alone."""

import pytest

from tests.model.words.test_understanding import states


@pytest.mark.parametrize(
    "prompt, expected",
    [
        ("neither hat nor glasses", {"Wearing_Hat": False, "Eyeglasses": False}),
        ("take off his hat", {"Male": True, "Wearing_Hat": False}),
        ("hair neither black nor blond", {"Black_Hair": False, "Blond_Hair": False}),
        ("no hat, glasses or earrings", {"Wearing_Hat": False, "Eyeglasses": False, "Wearing_Earrings": False}),
        ("without hat and glasses", {"Wearing_Hat": False, "Eyeglasses": False}),
        ("no beard and no moustache", {"No_Beard": True, "Mustache": False}),
        ("glasses but no hat", {"Eyeglasses": True, "Wearing_Hat": False}),
        ("no hat but glasses", {"Eyeglasses": True, "Wearing_Hat": False}),
        ("her eyes are not narrow", {"Male": False, "Narrow_Eyes": False}),
        ("no hair", {"Bald": True}),
        ("not old", {"Young": True}),
        ("glasses off", {"Eyeglasses": False}),
        ("a woman facing away", {"Male": False}),
        ("a woman, gone far away", {"Male": False}),
        ("a woman in a hat who looks away", {"Male": False, "Wearing_Hat": True}),
        ("a man showing off a tattoo", {"Male": True}),
        ("a smiling woman, off-white background", {"Smiling": True, "Male": False}),
        ("no text, smiling woman", {"Smiling": True, "Male": False}),
        ("no filters, smiling woman", {"Smiling": True, "Male": False}),
        ("no people, smiling woman", {"Smiling": True, "Male": False}),
        ("no big, ugly hat", {"Wearing_Hat": False}),
        ("not only young but also beautiful", {"Young": True, "Attractive": True}),
        ("no older than 28", {"Young": True}),
        ("not older than 25 years", {"Young": True}),
        ("no more than 25 years old", {"Young": True}),
        ("not over 25", {"Young": True}),
        ("no younger than 60", {"Young": False}),
    ],
)
def test_what_a_no_reaches(prompt, expected):
    assert states(prompt) == expected
