"""Captions say what they claim to say, and nothing that is not true of the face."""

import re
from random import Random

import numpy as np
import pytest

from model.attributes import ATTRIBUTES, COMBINED, attributes_to_prompt
from model.errors import InputError
from training.data.captions import (
    amid_out_of_vocabulary,
    caption,
    celeba_prompt,
    out_of_vocabulary,
    owned,
    phrase_list,
    sentence,
    stated_attributes,
    statements,
    told,
    typo,
)
from training.data.phrases import PHRASES, THINGS, choose, denials, known_words, phrase
from training.data.prompts import read_prompts

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


@pytest.mark.parametrize("form", [sentence, phrase_list, told])
def test_a_caption_mentions_what_it_states(form):
    """Every stated attribute leaves one of its words in the text, whatever its form."""
    rng = Random(0)
    for row in rows(300):
        stated = stated_attributes(row, FREQUENCY, rng)
        text = form(stated, rng).lower()
        for index in np.flatnonzero(stated):
            kinds = PHRASES[ATTRIBUTES[index], bool(stated[index] == 1)]
            words = [re.sub("^(an?|the) ", "", word) for kind in kinds.values() for word in kind]
            words = [word.removesuffix(" hair") if stated[index] == -1 else word for word in words]
            sign = "+" if stated[index] == 1 else "-"
            words += [
                word for entry in COMBINED if sign + ATTRIBUTES[index] in entry["states"] for word in entry["words"]
            ]
            words = [re.sub("^(an?|the) ", "", word) for word in words]
            # "her lips are big"
            assert any(all(part in text for part in word.lower().split()) for word in words), (
                text,
                ATTRIBUTES[index],
            )


def test_denials_are_denials():
    rng, no = Random(0), ("no ", "without ", "not ", "never ", "with no ")
    for _ in range(200):
        text = phrase(*choose("Eyeglasses", False, rng), rng)
        assert text.startswith(no), text
        assert not phrase(*choose("Eyeglasses", True, rng), rng).startswith(no)
    assert "beard" in celeba_prompt(-np.eye(40, dtype=np.int8)[ATTRIBUTES.index("No_Beard")])


def test_two_denials_in_one_phrase_deny_both():
    rng = Random(1)
    texts = {
        text for _ in range(100) for text in denials([("unworn", "a hat"), ("no", "a beard"), ("not", "bald")], rng)
    }
    together = [text for text in texts if " or " in text or " nor " in text]
    assert together and all("hat" in text and "beard" in text for text in together)
    assert all("bald" not in text or text.endswith("bald") and text.startswith(("not", "never")) for text in texts)


def test_a_no_never_reaches_what_is_stated():
    """Where no comma parts the phrases, what is stated comes before what is denied: "glasses no beard", never "no
    beard glasses".
    """
    rng, stated = Random(0), np.zeros(40, np.int8)
    stated[ATTRIBUTES.index("Eyeglasses")], stated[ATTRIBUTES.index("Wearing_Hat")] = 1, -1
    denying = re.compile("(^| )(no|without|not|never|neither)( |$)")
    for _ in range(400):
        text = phrase_list(stated, rng)
        if not any(mark in text for mark in ",;."):
            first = denying.search(text)
            assert first is None or not re.search(
                "glasses|shades|specs|spec|goggles|eyewear|aviators", text[first.start() :]
            ), text


def test_told_in_sentences_about_him_or_her():
    rng, stated = Random(0), np.zeros(40, np.int8)
    stated[ATTRIBUTES.index("Male")], stated[ATTRIBUTES.index("Smiling")] = -1, -1
    texts = {told(stated, rng) for _ in range(50)}
    assert all(text.startswith(("she ", "her ")) for text in texts) and len(texts) > 15


def test_parts_of_the_face_have_owners():
    rng = Random(0)
    assert (
        owned("her", "with", "big lips", rng) == "her lips are big"
        and owned("his", "hair", "wavy", rng) == "his hair is wavy"
    )
    assert owned("his", "no", "a pointy nose", rng) in ("his nose is not pointy", "his nose isn't pointy")
    assert (
        owned("his", "with", "chin fat", rng)
        == owned("his", "with", "no hair", rng)
        == owned("his", "adjective", "bald", rng)
        == ""
    )


def test_out_of_vocabulary_words_are_words_that_mean_nothing_here_and_part_no_phrase():
    rng, known = Random(0), known_words()
    assert len(out_of_vocabulary()) > 10_000 and not known & set(out_of_vocabulary())
    for _ in range(100):
        words = amid_out_of_vocabulary("no hat, big lips", rng).split(", ")
        assert len(words) > 2 and [word for word in words if word in ("no hat", "big lips")] == ["no hat", "big lips"]


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


def test_statements_cover_every_attribute_both_ways_and_come_with_their_opposites():
    texts, stated = statements(Random(0), lists=100)
    alone, words, lists = stated[:80], stated[80 : 80 + len(COMBINED)], stated[80 + len(COMBINED) :]
    assert len(texts) == len(stated) and len(set(texts)) > 200
    assert (np.abs(alone).sum(1) == 1).all() and (alone.max(0) == 1).all() and (alone.min(0) == -1).all()
    assert (np.abs(words).sum(1) == 2).all() and (np.abs(lists).sum(1) >= 2).all()
    assert (lists[::2] == -lists[1::2]).all()


def test_a_denial_in_a_list_reaches_one_thing_only():
    """Each part that begins with a "no" denies its own noun; a beard that is there is a No_Beard that is not."""
    texts, stated = statements(Random(1), lists=300)
    clear, known = 0, {noun: index for index, nouns in THINGS.items() for noun in nouns}
    for text, row in list(zip(texts, stated))[80 + len(COMBINED) :]:
        said = [part.startswith(("no ", "without ", "with no ")) for part in text.split(", ")]
        nouns = [
            part.removeprefix("with no ").removeprefix("without ").removeprefix("no ") for part in text.split(", ")
        ]
        # words out of vocabulary or typing errors among them
        if len(said) != np.abs(row).sum() or not all(noun in known for noun in nouns):
            continue
        clear += 1
        assert all(
            row[known[noun]] == (-1 if denied else 1) * (-1 if ATTRIBUTES[known[noun]] == "No_Beard" else 1)
            for noun, denied in zip(nouns, said)
        )
    assert clear > 200


@pytest.mark.parametrize(
    "text, words",
    [
        ("a man\n", r"line 1 \(a man\): write"),
        ("# a remark\n\na man | +Mail\n", "states '.Mail'"),
        ("a man | Male\n", "with a . or - before it"),
        (b"\xff\xfe|", "UTF-8"),
        (None, "cannot be read"),
    ],
)
def test_prompts_that_cannot_be_read_are_one_line(tmp_path, text, words):
    path = tmp_path / "prompts.txt"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=words) as error:
        read_prompts(path)
    assert "\n" not in str(error.value)


def test_prompts_with_empty_lines(tmp_path):
    (tmp_path / "prompts.txt").write_text("# a remark\n\na man | +Male\n   \n | \n")
    pairs = read_prompts(tmp_path / "prompts.txt")
    assert [prompt for prompt, _ in pairs] == ["a man", ""] and pairs[0][1].sum() == 1 and not pairs[1][1].any()
