"""Attributes: the table is whole, prompts have the lecture's wording, contradictions are named."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.attributes import (
    ATTRIBUTES,
    COMBINED,
    CONCEPTS,
    CONFLICTS,
    FILLER,
    NAMES,
    WORDING,
    attributes_to_prompt,
    conflict,
    groups,
    label,
    lacking,
)
from model.errors import InputError


def test_table_covers_the_forty_attributes_once():
    assert len(ATTRIBUTES) == 40 and set(WORDING) == set(ATTRIBUTES)
    grouped = [name for names in groups().values() for name in names]
    assert sorted(grouped) == sorted(NAMES) and set(NAMES) == {*ATTRIBUTES, *CONCEPTS}
    assert set().union(*CONFLICTS) <= set(NAMES)
    kinds = {kind for entry in WORDING.values() for side in ("has", "lacks") for kind in entry.get(side, {})}
    assert kinds <= {"person", "pronoun", "object", "owner", "adjective", "with", "wearing", "hair", "no"}
    assert all(
        FILLER[key]
        for key in ("openings", "nouns", "adjectives", "details", "lengths", "looks", "degrees", "endings", "elsewhere")
    )
    for entry in COMBINED:
        assert entry["kind"] in kinds and entry["words"] and len(entry["states"]) > 1
        assert all(word[0] in "+-" and word[1:] in ATTRIBUTES for word in entry["states"])


def test_no_word_states_two_attributes():
    said = {}
    for name, entry in WORDING.items():
        for kind, words in entry.get("has", {}).items():
            for word in words:
                assert said.setdefault((kind, word), name) == name, f"{word} stands for {said[kind, word]} and {name}"


def test_the_lectures_wording():
    present = ["Wearing_Hat", "Bushy_Eyebrows", "Mouth_Slightly_Open"]
    assert attributes_to_prompt(present) == "Photo of person bushy eyebrows, mouth slightly open, wearing hat."
    assert (
        attributes_to_prompt(["Smiling"], ["Eyeglasses", "Male"]) == "Photo of person smiling, no eyeglasses, female."
    )
    assert attributes_to_prompt([]) == ""
    assert label("5_o_Clock_Shadow") == "5 o'clock shadow" and lacking("Bald") == "not bald"


@settings(deadline=None)
@given(st.sets(st.sampled_from(ATTRIBUTES)), st.randoms())
def test_order_of_ticking_does_not_matter(present, random):
    shuffled = random.sample(sorted(present), len(present))
    if conflict(present):
        with pytest.raises(InputError, match="contradict"):
            attributes_to_prompt(shuffled)
    else:
        assert attributes_to_prompt(shuffled) == attributes_to_prompt(present)


@pytest.mark.parametrize(
    "present, absent, words",
    [
        (["Bald", "Bangs"], [], "Bald and Bangs contradict"),
        (["Goatee", "No_Beard"], [], "Goatee and No beard contradict"),
        (["Smiling"], ["Smiling"], "Smiling is both wanted and unwanted"),
        (["Smilling"], [], "'Smilling' is not one of the 40"),
    ],
)
def test_contradictions_and_unknown_names_are_one_line(present, absent, words):
    with pytest.raises(InputError, match=words) as error:
        attributes_to_prompt(present, absent)
    assert "\n" not in str(error.value)
