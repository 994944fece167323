"""What the bundled CLIP understands of people's words; the figures over whole files of prompts are training.evaluation.evaluate's."""

import pytest

from model.clip import LONGEST, Clip
from model.settings import Settings
from model.understanding import known_words, understand, words_of
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def clip():
    return Clip.from_file(ROOT / "weights" / "clip.safetensors")


@pytest.mark.parametrize(
    "prompt, present, absent",
    [
        ("a smiling woman with glasses", {"Smiling", "Eyeglasses"}, {"Male"}),
        (
            "Photo of person bushy eyebrows, mouth slightly open, wearing hat.",
            {"Bushy_Eyebrows", "Mouth_Slightly_Open", "Wearing_Hat"},
            set(),
        ),
        ("glasses, no beard", {"Eyeglasses", "No_Beard"}, set()),
        ("no glasses, beard", set(), {"Eyeglasses", "No_Beard"}),
        ("no hat, glasses", {"Eyeglasses"}, {"Wearing_Hat"}),
        ("a grandmother", set(), {"Male", "Young"}),
        ("grandpa", {"Male"}, {"Young"}),
        ("no earrings, lipstick", {"Wearing_Lipstick"}, {"Wearing_Earrings"}),
        ("lipstick, no earrings", {"Wearing_Lipstick"}, {"Wearing_Earrings"}),
        ("she isn't smiling", set(), {"Smiling", "Male"}),
        ("a bald guy with a moustache", {"Bald", "Male", "Mustache"}, set()),
    ],
)
def test_plain_prompts_are_read_right(clip, prompt, present, absent):
    found = understand(clip, prompt)
    assert set(found.present) == present and set(found.absent) == absent and not found.unknown and not found.cut
    assert all(0 < sure <= 1 for sure in [*found.present.values(), *found.absent.values()])


def test_words_that_say_nothing_are_named(clip):
    found = understand(clip, "an astronaut riding a horse")
    assert not found.present and not found.absent and found.unknown == ["astronaut", "riding", "horse"]
    found = understand(clip, "A smiling woman, hyperrealistic, on a skateboard")
    assert set(found.present) == {"Smiling"} and found.unknown == ["hyperrealistic", "skateboard"]


def test_a_typing_error_that_is_seen_through_is_not_reported(clip):
    found = understand(clip, "a smilling woman")
    assert set(found.present) == {"Smiling"} and found.unknown == []


def test_empty_long_and_strange_prompts(clip):
    nothing = understand(clip, "")
    assert not nothing.present and not nothing.absent and not nothing.unknown and not nothing.cut
    assert understand(clip, "a man with a hat " * 40).cut
    assert understand(clip, "x" * 5_000_000 + " glasses").cut  # no copies of it are made
    long = Settings("x" * 9000, "y" * 9000)
    assert len(long.prompt) == len(long.negative_prompt) == LONGEST
    assert understand(clip, "skateboard " * 500).unknown == ["skateboard"]
    assert understand(clip, "a 'zzzqx' man").unknown == ["zzzqx"]
    assert understand(clip, "\x00(((.*+?[[\\ 😀 'glasses'").unknown == []


def test_words_keep_hyphens_and_apostrophes():
    assert words_of("A clean-shaven man's 5 o'clock shadow!") == [
        "a",
        "clean-shaven",
        "man's",
        "5",
        "o'clock",
        "shadow",
    ]
    assert {
        "smiling",
        "clean-shaven",
        "glasses",
        "the",
        "photo",
        "person",
    } <= known_words() and "astronaut" not in known_words()
