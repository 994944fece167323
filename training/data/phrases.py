"""What one attribute is called: the words of model/wording.toml as phrases and clauses, stated and denied."""

import re
from functools import lru_cache
from random import Random

import numpy as np

from model.attributes import ATTRIBUTES, COMBINED, FILLER, WORDING

PRESENT, ABSENT, UNMENTIONED = 1, -1, 0
# kinds of phrase that put a "no" before words of the attribute
DENIALS = ("no", "unworn", "not")
# can be big, thin, ...
PARTS = (
    "hair",
    "lips",
    "nose",
    "eyebrows",
    "brows",
    "eyes",
    "cheekbones",
    "cheeks",
    "skin",
    "face",
    "mouth",
    "head",
)
MALE = ATTRIBUTES.index("Male")
WORD = re.compile(r"\w+(?:['’-]\w+)*")


def phrases(attribute: str, present: bool) -> dict[str, list[str]]:
    """Kind of phrase -> ways to state or to deny the attribute, with the derived denials ("not smiling", "no hat")."""
    entry = WORDING[attribute]
    has = entry.get("has", {})
    by_kind = {kind: list(words) for kind, words in (has if present else entry.get("lacks", {})).items()}
    if not present:
        nouns = has.get("with", []) + [f"{word} hair" for word in has.get("hair", [])]
        # "without no beard" is no English
        nouns = [words for words in nouns if not words.startswith("no ")]
        if attribute != "No_Beard" and nouns:
            by_kind["no"] = by_kind.get("no", []) + nouns
        by_kind |= {"unworn": list(has["wearing"])} if "wearing" in has else {}
        by_kind |= {"not": list(has["adjective"])} if "adjective" in has else {}
    return by_kind


PHRASES = {(name, present): phrases(name, present) for name in ATTRIBUTES for present in (True, False)}
TOGETHER = [
    (
        entry["kind"],
        entry["words"],
        {ATTRIBUTES.index(word[1:]): PRESENT if word[0] == "+" else ABSENT for word in entry["states"]},
    )
    for entry in COMBINED
]
BEARD = ATTRIBUTES.index("No_Beard")


def _things(attribute: str) -> list[str]:
    """What a face can have or wear, that "no" can stand before."""
    kinds = WORDING[attribute].get("lacks" if attribute == "No_Beard" else "has", {})
    return [
        without_article(words)
        for kind in ("with", "wearing")
        for words in kinds.get(kind, [])
        if not words.startswith(("no ", "the "))
    ]


def chosen_words(stated: np.ndarray, rng: Random) -> list[tuple[str, str]]:
    """(kind, words) for all that is stated, in random order; now and then one word states two attributes."""
    left, chosen = set(np.flatnonzero(stated).tolist()), []
    for kind, words, states in TOGETHER:
        if states.keys() <= left and all(stated[i] == value for i, value in states.items()) and rng.random() < 0.35:
            chosen.append((kind, rng.choice(words)))
            left -= states.keys()
    chosen += [choose(ATTRIBUTES[i], stated[i] == PRESENT, rng) for i in sorted(left)]
    rng.shuffle(chosen)
    return chosen


def choose(attribute: str, present: bool, rng: Random) -> tuple[str, str]:
    """A kind of phrase, then words of that kind; the commonest word and the kinds with more words are preferred."""
    kinds = {
        kind: words for kind, words in PHRASES[attribute, present].items() if kind not in ("pronoun", "object", "owner")
    }
    kind = rng.choices(list(kinds), [min(len(words), 4) for words in kinds.values()])[0]
    return kind, kinds[kind][0] if rng.random() < 0.25 else rng.choice(kinds[kind])


def phrase(kind: str, words: str, rng: Random) -> str:
    """Standing alone: `"smiling"`, `"without a hat"`, `"long grey hair"`, `"not bald"`."""
    if kind == "hair":
        return hair([words], rng)
    if kind == "wearing":
        words = described(words, rng)
        return rng.choice((words, words, without_article(words), f"wearing {words}", f"with {words}"))
    if kind == "with":
        return rng.choice((words, without_article(words), f"with {words}"))
    if kind == "person":
        return rng.choice((words, with_article(words)))
    if kind == "adjective":
        return degree(words, rng)
    return denials([(kind, words)], rng)[0]


def denials(pairs: list[tuple[str, str]], rng: Random) -> list[str]:
    """(kind, words) of DENIALS -> `"no hat"`, `"without a beard"`, `"not smiling"`, two as `"no hat or beard"`."""
    pairs = list(pairs)
    nouns = [pair for pair in pairs if pair[0] != "not"]
    together = []
    if len(nouns) > 1 and rng.random() < 0.5:
        first, second = (without_article(words) for _, words in nouns[:2])
        together = [
            rng.choice(
                ("no {} or {}", "without {} or {}", "with no {} or {}", "neither {} nor {}", "with neither {} nor {}")
            ).format(first, second)
        ]
        pairs = [pair for pair in pairs if pair not in nouns[:2]]
    return together + [_deny(kind, words, rng) for kind, words in pairs]


def clause(kind: str, words: str, rng: Random) -> str:
    """As a verb's clause: `"has long wavy hair"`, `"isn't wearing a hat"`, `"looks tired"`."""
    bare = without_article(words)
    return rng.choice(
        {
            "person": [f"is {with_article(words)}"],
            "adjective": [f"is {degree(words, rng)}", f"is {words}", f"looks {words}"],
            "hair": [f"has {hair([words], rng)}", f"has hair that is {words}"],
            "with": [f"has {words}", f"has got {words}"],
            "wearing": [f"{verb} {described(words, rng)}" for verb in ("wears", "is wearing", "has", "has got")],
            "no": [
                f"has no {bare}",
                f"does not have {words}",
                f"doesn't have {words}",
                f"doesn't have {bare}",
                f"is without {words}",
            ],
            "unworn": [
                f"wears no {bare}",
                f"does not wear {words}",
                f"doesn't wear {words}",
                f"isn't wearing {words}",
                f"is not wearing {bare}",
                f"never wears {words}",
                f"has no {bare}",
            ],
            "not": [f"is not {words}", f"isn't {words}", f"does not look {words}"],
        }[kind]
    )


def described(words: str, rng: Random) -> str:
    """Sometimes with a word that says nothing: `"a hat"` -> `"a red hat"`."""
    if rng.random() > 0.2:
        return words
    look = f"{rng.choice(FILLER['looks'])} {without_article(words)}"
    return with_article(look) if words.startswith(("a ", "an ")) else look


def degree(words: str, rng: Random) -> str:
    return f"{rng.choice(FILLER['degrees'])} {words}" if rng.random() < 0.1 else words


def hair(words: list[str], rng: Random) -> str:
    """`["wavy", "blond"]` -> `"wavy blond hair"`, sometimes `"long wavy blond hair"`."""
    length = [rng.choice(FILLER["lengths"])] if rng.random() < 0.25 else []
    return " ".join([*length, *words, "hair"])


def with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def without_article(words: str) -> str:
    """Without its article: `"a hat"` -> `"hat"`."""
    return words.removeprefix("a ").removeprefix("an ").removeprefix("the ")


def _deny(kind: str, words: str, rng: Random) -> str:
    if kind == "not":
        return f"{rng.choice(('not', 'not', 'not', 'never'))} {words}"
    forms = [
        f"no {without_article(words)}",
        f"no {without_article(words)}",
        f"without {words}",
        f"without {without_article(words)}",
        f"with no {without_article(words)}",
    ]
    return rng.choice(forms + ([f"not wearing {words}"] if kind == "unworn" else []))


def joined(parts: list[str], rng: Random) -> str:
    if len(parts) == 1:
        return parts[0]
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if rng.random() < 0.7 else ", ".join(parts)


# "glasses", "beard": attribute -> nouns
THINGS = {index: words for index, name in enumerate(ATTRIBUTES) if (words := _things(name))}


@lru_cache(maxsize=1)
def known_words() -> frozenset[str]:
    """Words that the table of wordings uses for attributes, and those that hold a sentence together."""
    said = [
        words
        for entry in WORDING.values()
        for side in ("has", "lacks")
        for kind in entry.get(side, {}).values()
        for words in kind
    ]
    said += [words for entry in COMBINED for words in entry["words"]] + FILLER["openings"] + FILLER["nouns"]
    return frozenset(FILLER["binding"]).union(
        *([word.lower() for word in WORD.findall(text)] for text in said),
        *(name.lower().split("_") for name in ATTRIBUTES),
    )
