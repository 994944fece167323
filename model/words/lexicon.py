"""English phrases and parts of the face, by their words (model/wording.toml, and the tables beside this file)."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

from model.attributes import COMBINED, WORDING
from model.words.marks import FOLLOWED, NEAR, UNKNOWN
from model.words.spelling import Spelling
from model.words.text import tokens

CONCEPT_WORDS, TABLE, KINDS = (
    tomllib.loads((Path(__file__).parent / f"{name}.toml").read_text(encoding="utf-8"))
    for name in ("concepts", "english", "kinds")
)
Words = tuple[str, ...]
# before a part they lead to it and do not describe it
TO_PART = ("under", "beneath", "below", "around", "off", "of", "on", "in", "over")
TIED = ("in", "in a", "up in a", "tied in a", "pulled into a", "pulled back into a", "worn in")


@dataclass(frozen=True)
class Meaning:
    """What a phrase of the table says."""

    kind: str
    states: tuple[tuple[str, bool], ...] = ()
    instead: tuple[str, ...] = ()
    # can be had or worn
    noun: bool = False
    # can describe any thing, so that "a happy dog" is no happy face
    adjective: bool = False
    # "pronoun" (he), "object" (him) or "owner" (his)
    pronoun: str = ""


class Phrases(dict):
    """Phrases by their words, and how long the longest is that begins with a word."""

    def __init__(self, meanings: Mapping[Words, Any]):
        super().__init__(meanings)
        self.reach: dict[str, int] = {}
        for words in meanings:
            self.reach[words[0]] = max(len(words), self.reach.get(words[0], 0))


@dataclass(frozen=True)
class Lexicon:
    phrases: Phrases
    # a part of the face, by its words
    heads: Phrases
    # part -> the words that describe it
    described: dict[str, Phrases]
    silent: Phrases
    # that end like adverbs: "unruly"
    adjectives: frozenset[str]
    spelling: Spelling


def split(phrase: str) -> Words:
    return tuple(token.text for token in tokens(phrase))


def _bare(words: Words) -> Words:
    return words[1:] if len(words) > 1 and words[0] in ("a", "an", "the") else words


def _states(signed: list[str]) -> tuple[tuple[str, bool], ...]:
    return tuple((name[1:], name[0] == "+") for name in signed)


@lru_cache(maxsize=1)
def lexicon() -> Lexicon:
    """All that the tables say, by words."""
    heads = {split(word): part for part, words in TABLE["heads"].items() for word in words}
    phrases: dict[Words, Meaning] = {}
    described: dict[str, dict[Words, Meaning]] = {part: {} for part in TABLE["heads"]}

    def add(words: Words, meaning: Meaning, part: str = "") -> None:
        if part:
            described[part].setdefault(words, meaning)
        elif words and words[0] not in ("no", "with"):
            # a "no" is read, not known by heart
            phrases.setdefault(words, meaning)
            if (
                phrases[words] is meaning
                and meaning.kind == FOLLOWED
                and 1 < len(words) <= 3
                and words[-1:] in heads
                and words[-2] not in TO_PART
            ):
                described[heads[words[-1:]]].setdefault(words[:-1], meaning)

    entries = [(kind, entry) for kind in (NEAR, FOLLOWED) for entry in CONCEPT_WORDS[kind]]
    entries += [(kind, entry) for kind in (NEAR, FOLLOWED, UNKNOWN) for entry in TABLE[kind] + KINDS[kind]]
    for kind, entry in entries:
        adjective = entry.get("adjective", False)
        meaning = Meaning(
            kind,
            _states(entry.get("states", [])),
            tuple(entry.get("instead", [])),
            noun=not adjective,
            adjective=adjective,
        )
        for word in entry["words"]:
            add(split(word), meaning, entry.get("head", ""))
            if kind == NEAR and set(meaning.instead) & {"Bangs"} and "head" not in entry:
                # "hair in a bun"
                for tied in TIED:
                    add(split(f"hair {tied} {word}"), meaning)
    for words in product(*KINDS["bags"].values()):
        add(split(" ".join(words)), Meaning(FOLLOWED, (("Bags_Under_Eyes", True),), noun=True))
    for word in KINDS["people"]["words"]:
        add(split(word), Meaning(UNKNOWN, noun=len(split(word)) == 1))
    for entry in COMBINED:
        for word in entry["words"]:
            add(_bare(split(word)), Meaning(FOLLOWED, _states(entry["states"])))
    for name, entry in WORDING.items():
        for side in ("has", "lacks"):
            for kind, words in entry.get(side, {}).items():
                meaning = Meaning(
                    FOLLOWED,
                    ((name, side == "has" and kind != "no"),),
                    noun=kind in ("with", "wearing"),
                    adjective=kind == "adjective",
                    pronoun=kind if kind in ("pronoun", "object", "owner") else "",
                )
                for word in words:
                    if kind == "no":
                        # what may follow a "no"
                        meaning = Meaning(FOLLOWED, ((name, True),), noun=True)
                    add(_bare(split(word)), meaning, "hair" if kind == "hair" else "")
        add(split(name.replace("_", " ").removeprefix("Wearing ")), Meaning(FOLLOWED, ((name, True),)))
    for word in TABLE["things"]["words"] + KINDS["things"]["words"]:
        add(split(word), Meaning(UNKNOWN, noun=True))
    silent = dict.fromkeys(map(split, TABLE["silent"]["words"] + KINDS["silent"]["words"]))
    other = [split(word) for word in KINDS["other"]["words"]]
    singles = frozenset(words[0] for words in (*other, *phrases) if len(words) == 1)
    every = {
        word for group in (phrases, heads, silent, other, *described.values()) for words in group for word in words
    }
    spelling = Spelling(_common() | {word for words in silent for word in words}, every)
    parts = {part: Phrases(words) for part, words in described.items()}
    return Lexicon(Phrases(phrases), Phrases(heads), parts, Phrases(silent), singles, spelling)


def _common() -> set[str]:
    """The words that a typing error can stand for; those of kinds.toml are too rare and too many."""
    entries = [entry["words"] for kind in (NEAR, FOLLOWED) for entry in TABLE[kind]]
    entries += [entry["words"] for entry in COMBINED] + list(TABLE["heads"].values())
    entries += [
        words for entry in WORDING.values() for side in ("has", "lacks") for words in entry.get(side, {}).values()
    ]
    names = {word for name in WORDING for word in split(name.replace("_", " "))}
    return names | {word for words in entries for phrase in words for word in split(phrase)}


@lru_cache(maxsize=1)
def adjectives() -> frozenset[str]:
    """Words that describe anything, not faces alone: before a dog or a dress they say nothing about the face."""
    return frozenset(words[0] for words, meaning in lexicon().phrases.items() if meaning.adjective and len(words) == 1)


@lru_cache(maxsize=1)
def people() -> frozenset[str]:
    """People whose one word tells neither sex nor age."""
    return frozenset(word for word in KINDS["people"]["words"] if len(split(word)) == 1)


def phrase_set(phrases: str) -> Phrases:
    return Phrases(dict.fromkeys(split(phrase) for phrase in phrases.split("|")))
