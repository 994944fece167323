"""Captions say what they claim to say, and nothing that is not true of the face."""

import re
from random import Random

import numpy as np
import pytest

from model.attributes import ATTRIBUTES, attributes_to_prompt
from training.captions import PHRASES, caption, celeba_prompt, phrase, sentence, stated_attributes, typo

FREQUENCY = np.full(40, 0.3)


def rows(count, seed=0):
    return np.random.default_rng(seed).random((count, 40)) < 0.3


def test_what_is_stated_is_true_of_the_face():
    rng = Random(0)
    for row in rows(500):
        _, stated = caption(row, FREQUENCY, rng)
        assert stated.dtype == np.int8 and row[stated == 1].all() and not row[stated == -1].any()


def test_every_attribute_can_be_stated_and_denied():
    rng, seen = Random(0), np.zeros((2, 40), int)
    for row in rows(3000):
        _, stated = caption(row, FREQUENCY, rng)
        seen += [stated == 1, stated == -1]
    assert (seen > 0).all()
    assert all(PHRASES[name, present] for name in ATTRIBUTES for present in (True, False))


def test_a_caption_mentions_what_it_states():
    """Every stated attribute leaves one of its words in a sentence."""
    rng = Random(0)
    for row in rows(300):
        stated = stated_attributes(row, FREQUENCY, rng)
        text = sentence(stated, rng).lower()
        for index in np.flatnonzero(stated):
            kinds = PHRASES[ATTRIBUTES[index], bool(stated[index] == 1)]
            words = [re.sub("^(an?|the) ", "", word) for kind in kinds.values() for word in kind]
            words = [word.removesuffix(" hair") if stated[index] == -1 else word for word in words]
            assert any(word.lower() in text for word in words), (text, ATTRIBUTES[index])


def test_denials_are_denials():
    rng = Random(0)
    for _ in range(200):
        text = phrase("Eyeglasses", False, rng)
        assert text.startswith(("no ", "without ", "not ")), text
        assert not phrase("Eyeglasses", True, rng).startswith(("no ", "without ", "not "))
    assert "beard" in celeba_prompt(-np.eye(40, dtype=np.int8)[ATTRIBUTES.index("No_Beard")])


def test_celeba_wording_is_the_apps_wording():
    row = np.zeros(40, np.int8)
    row[[ATTRIBUTES.index("Smiling"), ATTRIBUTES.index("Young")]] = 1
    assert celeba_prompt(row) == attributes_to_prompt(["Smiling", "Young"])


def test_same_random_state_same_caption_and_variety():
    row = rows(1)[0]
    assert caption(row, FREQUENCY, Random(3))[0] == caption(row, FREQUENCY, Random(3))[0]
    rng = Random(0)
    assert len({caption(row, FREQUENCY, rng)[0] for _ in range(200)}) > 120


@pytest.mark.parametrize("word", ["smiling", "glasses"])
def test_typo_changes_one_word_a_little(word):
    rng = Random(0)
    changed = {typo(f"a {word} man", rng) for _ in range(50)}
    assert len(changed) > 5 and all(text.startswith("a ") and text.endswith(" man") for text in changed)
    assert all(abs(len(text) - len(f"a {word} man")) <= 1 for text in changed)
    assert typo("a man", rng) == "a man"
