"""An attribute row -> many ways to say it. The words come from model/wording.toml, phrases of them from phrases.py.

A caption states some attributes as present, some as absent, and leaves the others unmentioned: unknown, not absent. So
`caption` returns both the text and what it states, and an image fits a caption when it satisfies all that is stated.
"""

from functools import lru_cache
from random import Random

import numpy as np

from model.attributes import ATTRIBUTES, FILLER, attributes_to_prompt, conflict, lacking
from model.clip import tokenizer
from training.data.phrases import (
    ABSENT,
    BEARD,
    DENIALS,
    MALE,
    PARTS,
    PHRASES,
    PRESENT,
    THINGS,
    TOGETHER,
    UNMENTIONED,
    chosen_words,
    clause,
    degree,
    denials,
    described,
    hair,
    joined,
    known_words,
    phrase,
    with_article,
    without_article,
)


def all_words() -> list[str]:
    """Every word or phrase by which the table states or denies something."""
    return [words for kinds in PHRASES.values() for group in kinds.values() for words in group] + [
        words for _, group, _ in TOGETHER for words in group
    ]


def stated_attributes(row: np.ndarray, frequency: np.ndarray, rng: Random, count: int | None = None) -> np.ndarray:
    """Choose what a caption states about a face: (40,) of PRESENT, ABSENT, UNMENTIONED.

    :param row:       (40,) bool, what the face has.
    :param frequency: (40,) in (0, 1), how often each attribute occurs in the data. What is unusual is said more often:
                      rare attributes when present, common ones when absent.
    :param count:     how many attributes; 1 to 12, mostly few, if left out.
    """
    surprise = np.where(row, 1 - frequency, 0.4 * frequency) + 0.05
    # people nearly always say it
    surprise[MALE] = 0.8
    surprise[ATTRIBUTES.index("Blurry")] *= 0.5
    count = min(1 + int(rng.expovariate(1 / 2.5)), 12) if count is None else count
    # weighted choice without replacement, Efraimidis 2006
    keys = [rng.random() ** (1 / weight) for weight in surprise]
    stated = np.zeros(40, dtype=np.int8)
    for index in sorted(range(40), key=keys.__getitem__, reverse=True)[:count]:
        stated[index] = PRESENT if row[index] else ABSENT
    return stated


def caption(row: np.ndarray, frequency: np.ndarray, rng: Random) -> tuple[str, np.ndarray]:
    """One random caption of a face: `(text, stated)`, with stated (40,) int8 as in `stated_attributes`."""
    style = rng.random()
    # no face at all, or nothing: the unconditional prompt
    if style < 0.06:
        nothing = (
            rng.choice(FILLER["elsewhere"] + FILLER["endings"]),
            " ".join(rng.choices(out_of_vocabulary(), k=rng.randint(1, 8))),
            "",
            "",
        )
        return rng.choice(nothing), np.zeros(40, np.int8)
    # the lecture's prompt: every attribute the face has
    if style < 0.16:
        stated = row.astype(np.int8)
    else:
        stated = stated_attributes(row, frequency, rng)
    return worded(stated, rng), stated


def worded(stated: np.ndarray, rng: Random) -> str:
    """What is stated, (40,), in one of many forms, sometimes with words that say nothing, or a typing error."""
    form = rng.choices((celeba_prompt, phrase_list, sentence, told), (0.25, 0.3, 0.3, 0.15))[0]
    text = celeba_prompt(stated) if form is celeba_prompt else form(stated, rng)
    return astray(text, rng)


def astray(text: str, rng: Random) -> str:
    """Now and then with words that say nothing, or with typing errors."""
    if rng.random() < 0.12:
        text = amid_out_of_vocabulary(text, rng)
    if rng.random() < 0.15:
        text = f"{text.rstrip('.')}, {rng.choice(FILLER['endings'])}"
        text = f"{text}, {rng.choice(FILLER['endings'])}" if rng.random() < 0.3 else text
    while rng.random() < 0.1:
        text = typo(text, rng)
    return text


def statements(rng: Random, lists: int = 20) -> tuple[list[str], np.ndarray]:
    """What faces alone seldom teach: every attribute alone, stated and denied; every meaning that one word has for two
    attributes; and `lists` lists of things a face has or has not, each with its opposite ("glasses, no beard", "no
    glasses, beard"). Returns the texts and what they state, (80 + len(TOGETHER) + 2 * lists, 40)."""
    alone = [*np.eye(40, dtype=np.int8) * PRESENT, *np.eye(40, dtype=np.int8) * ABSENT]
    texts, stated = [worded(row, rng) for row in alone], alone
    for kind, words, states in TOGETHER:
        texts.append(astray(phrase(kind, rng.choice(words), rng), rng))
        stated.append(np.array([states.get(index, UNMENTIONED) for index in range(40)], dtype=np.int8))
    for _ in range(lists):
        chosen = rng.sample(sorted(THINGS), rng.choice((2, 2, 2, 3, 4)))
        words = [rng.choice(THINGS[index][:3] if rng.random() < 0.5 else THINGS[index]) for index in chosen]
        signs = [rng.choice((PRESENT, ABSENT)) for _ in chosen]
        # what is hardest: both in one list
        if rng.random() < 0.7:
            signs[0], signs[1] = ABSENT, PRESENT
        for turn in (1, -1):
            row = np.zeros(40, np.int8)
            for index, sign in zip(chosen, signs):
                row[index] = turn * sign * (ABSENT if index == BEARD else PRESENT)
            stated.append(row)
            texts.append(
                astray(
                    ", ".join(
                        noun if turn * sign == PRESENT else f"{rng.choice(('no', 'no', 'without', 'with no'))} {noun}"
                        for noun, sign in zip(words, signs)
                    ),
                    rng,
                )
            )
    return texts, np.stack(stated)


def celeba_prompt(stated: np.ndarray) -> str:
    """The wording of `attributes_to_prompt`; labels that contradict each other in the data are listed all the same."""
    present = [name for name, value in zip(ATTRIBUTES, stated) if value == PRESENT]
    absent = [name for name, value in zip(ATTRIBUTES, stated) if value == ABSENT]
    if conflict(present, absent):
        words = [name.replace("_", " ").lower() for name in present] + [lacking(name) for name in absent]
        return f"Photo of person {', '.join(words)}."
    return attributes_to_prompt(present, absent)


def phrase_list(stated: np.ndarray, rng: Random) -> str:
    """`"blond hair, no glasses, smiling"`, `"smiling woman but no hat or earrings"`, sometimes after an opening."""
    said = []
    if stated[MALE] and rng.random() < 0.08:
        said, stated = [of_sex("object", stated)], np.where(np.arange(40) == MALE, 0, stated)
    chosen = chosen_words(stated, rng)
    said += [phrase(kind, words, rng) for kind, words in chosen if kind not in DENIALS]
    denied = denials([pair for pair in chosen if pair[0] in DENIALS], rng)
    separator = rng.choice((", ", ", ", ", ", ", ", "; ", ". ", " and ", " ", " + ", " but "))
    if separator == " but ":
        text = " but ".join(filter(None, (rng.choice((", ", " and ")).join(said), " and ".join(denied))))
    # without a comma a "no" would reach too far: denials come last
    elif separator.isspace() or separator.startswith(" "):
        text = separator.join(said + denied)
    else:
        parts = said + denied
        rng.shuffle(parts)
        text = separator.join(parts)
    return f"{rng.choice(FILLER['openings'])} {text}" if rng.random() < 0.25 else text


def sentence(stated: np.ndarray, rng: Random) -> str:
    """`"a smiling young woman with wavy blond hair and big lips, wearing earrings, without glasses"`."""
    by_kind = {kind: [] for kind in ("person", "adjective", "hair", "with", "wearing")}
    denied = []
    for kind, words in chosen_words(stated, rng):
        kind = "with" if kind == "wearing" and rng.random() < 0.3 else kind
        denied.append((kind, words)) if kind in DENIALS else by_kind[kind].append(words)

    before = [words for words in by_kind["adjective"] if " " not in words and rng.random() < 0.75]
    after = [words for words in by_kind["adjective"] if words not in before]
    after += [with_article(words) for words in by_kind["person"][1:]]
    if rng.random() < 0.12:
        before.insert(rng.randrange(len(before) + 1), rng.choice(FILLER["adjectives"]))
    noun = by_kind["person"][0] if by_kind["person"] else rng.choice(FILLER["nouns"])
    subject = " ".join(before + [noun])
    text = with_article(subject) if rng.random() < 0.8 else subject
    if rng.random() < 0.4:
        text = f"{rng.choice(FILLER['openings'])} {text}"

    if by_kind["hair"]:
        by_kind["with"].insert(0, hair(by_kind["hair"], rng))
    if rng.random() < 0.12:
        by_kind["with"].insert(rng.randrange(len(by_kind["with"]) + 1), rng.choice(FILLER["details"]))
    tails = []
    if by_kind["with"]:
        tails.append("with " + joined(by_kind["with"], rng))
    if by_kind["wearing"]:
        tails.append(
            rng.choice(("wearing ", "wearing ", "in "))
            + joined([described(words, rng) for words in by_kind["wearing"]], rng)
        )
    tails += [
        rng.choice(("{}", "{}", "who is {}", "is {}", "that is {}")).format(degree(words, rng)) for words in after
    ]
    tails += [
        f"who is {words}" if words.startswith("not ") and rng.random() < 0.3 else words
        for words in denials(denied, rng)
    ]
    if tails and not tails[0].startswith(("who", "is", "that")) and rng.random() < 0.7:
        text = f"{text} {tails.pop(0)}"
    text = ", ".join([text, *tails])
    return text[0].upper() + text[1:] + "." if rng.random() < 0.3 else text


def told(stated: np.ndarray, rng: Random) -> str:
    """`"she has wavy hair, wears earrings and isn't smiling"`, `"his nose is big. he is not bald."`."""
    if stated[MALE]:
        subject, owner = of_sex("pronoun", stated), of_sex("owner", stated)
        stated = np.where(np.arange(40) == MALE, 0, stated)
    else:
        subject, owner = (
            rng.choice(("the person", "this person", "someone who", "a person who", "it", "the face")),
            "the",
        )
    chosen = chosen_words(stated, rng)
    if not chosen:
        return subject
    if rng.random() < 0.5 and not subject.endswith("who"):
        about = [owned(owner, kind, words, rng) if rng.random() < 0.5 else "" for kind, words in chosen]
        about = [part or f"{subject} {clause(kind, words, rng)}" for part, (kind, words) in zip(about, chosen)]
        return rng.choice((". ", ". ", ", ", " and ")).join(about) + rng.choice((".", ""))
    return f"{subject} {joined([clause(kind, words, rng) for kind, words in chosen], rng)}"


def of_sex(kind: str, stated: np.ndarray) -> str:
    """The pronoun of a stated sex: kind "pronoun" (he), "object" (him) or "owner" (his)."""
    return PHRASES["Male", bool(stated[MALE] == PRESENT)][kind][0]


def owned(owner: str, kind: str, words: str, rng: Random) -> str:
    """`"big lips"` -> `"her lips are big"`, `"wavy"` hair -> `"her hair isn't wavy"`; "" if there is no such form."""
    adjective, _, part = f"{words} hair".rpartition(" ") if kind == "hair" else without_article(words).rpartition(" ")
    if (
        kind not in ("hair", "with", "no")
        or part not in PARTS
        or not adjective
        or adjective == "no"
        or " " in adjective
        and part != "hair"
    ):
        return ""
    verb = "are" if part.endswith("s") else "is"
    verb = rng.choice((f"{verb} not", f"{verb}n't")) if kind == "no" else verb
    return f"{owner} {part} {verb} {adjective}"


# --- words that mean nothing, and typing errors -----------------------------------------------------------------------


def amid_out_of_vocabulary(text: str, rng: Random) -> str:
    """One to three words that mean nothing here, before, behind, or after a comma."""
    parts = text.split(", ")
    for _ in range(rng.randint(1, 3)):
        parts.insert(rng.randint(0, len(parts)), rng.choice(out_of_vocabulary()))
    return ", ".join(parts)


@lru_cache(maxsize=1)
def out_of_vocabulary() -> list[str]:
    """Words of CLIP's token table that the table of wordings does not use."""
    whole = (token.removesuffix("</w>") for token in tokenizer().encoder if token.endswith("</w>"))
    return sorted(
        word for word in whole if len(word) > 3 and word.isascii() and word.isalpha() and word not in known_words()
    )


def typo(text: str, rng: Random) -> str:
    """Swap, drop, double or mistype one letter inside one word of four letters or more."""
    words = text.split(" ")
    long = [i for i, word in enumerate(words) if len(word) >= 4 and word.isalpha()]
    if not long:
        return text
    index = rng.choice(long)
    word, at = words[index], rng.randrange(1, len(words[index]) - 1)
    # another letter
    words[index] = rng.choice(
        (
            # swapped
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
            # dropped
            word[:at] + word[at + 1 :],
            # doubled
            word[:at] + word[at] + word[at:],
            word[:at] + rng.choice("aeiorstnl") + word[at + 1 :],
        )
    )
    return " ".join(words)
