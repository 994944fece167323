"""An attribute row -> many ways to say it. The words come from model/wording.toml; this file only builds sentences.

A caption states some attributes as present, some as absent, and leaves the others unmentioned: unknown, not absent. So
`caption` returns both the text and what it states, and an image fits a caption when it satisfies all that is stated.
"""

from functools import lru_cache
from random import Random

import numpy as np

from model.attributes import ATTRIBUTES, COMBINED, FILLER, WORDING, attributes_to_prompt, conflict, lacking
from model.clip import tokenizer
from model.understanding import known_words

PRESENT, ABSENT, UNMENTIONED = 1, -1, 0
DENIALS = ("no", "unworn", "not")  # kinds of phrase that put a "no" before words of the attribute
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
)  # can be big, thin, ...
MALE = ATTRIBUTES.index("Male")


def phrases(attribute: str, present: bool) -> dict[str, list[str]]:
    """Kind of phrase -> ways to state or to deny the attribute, the derived denials ("not smiling", "no hat") included."""
    entry = WORDING[attribute]
    has = entry.get("has", {})
    found = {kind: list(words) for kind, words in (has if present else entry.get("lacks", {})).items()}
    if not present:
        nouns = has.get("with", []) + [f"{word} hair" for word in has.get("hair", [])]
        nouns = [words for words in nouns if not words.startswith("no ")]  # "without no beard" is no English
        if attribute != "No_Beard" and nouns:
            found["no"] = found.get("no", []) + nouns
        found |= {"unworn": list(has["wearing"])} if "wearing" in has else {}
        found |= {"not": list(has["adjective"])} if "adjective" in has else {}
    return found


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
        _bare(words)
        for kind in ("with", "wearing")
        for words in kinds.get(kind, [])
        if not words.startswith(("no ", "the "))
    ]


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
    surprise[MALE] = 0.8  # people nearly always say it
    surprise[ATTRIBUTES.index("Blurry")] *= 0.5
    count = min(1 + int(rng.expovariate(1 / 2.5)), 12) if count is None else count
    keys = [rng.random() ** (1 / weight) for weight in surprise]  # weighted choice without replacement, Efraimidis 2006
    stated = np.zeros(40, dtype=np.int8)
    for index in sorted(range(40), key=keys.__getitem__, reverse=True)[:count]:
        stated[index] = PRESENT if row[index] else ABSENT
    return stated


def caption(row: np.ndarray, frequency: np.ndarray, rng: Random) -> tuple[str, np.ndarray]:
    """One random caption of a face: `(text, stated)`, with stated (40,) int8 as in `stated_attributes`."""
    style = rng.random()
    if style < 0.06:  # no face at all, or nothing: the unconditional prompt
        nothing = (
            rng.choice(FILLER["elsewhere"] + FILLER["endings"]),
            " ".join(rng.choices(out_of_vocabulary(), k=rng.randint(1, 8))),
            "",
            "",
        )
        return rng.choice(nothing), np.zeros(40, np.int8)
    if style < 0.16:  # the lecture's prompt: every attribute the face has
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
    attributes; and `lists` lists of things a face has or has not, each with its opposite ("glasses, no beard", "no glasses,
    beard"). Returns the texts and what they state, (80 + len(TOGETHER) + 2 * lists, 40)."""
    alone = [*np.eye(40, dtype=np.int8) * PRESENT, *np.eye(40, dtype=np.int8) * ABSENT]
    texts, stated = [worded(row, rng) for row in alone], alone
    for kind, words, states in TOGETHER:
        texts.append(astray(phrase(kind, rng.choice(words), rng), rng))
        stated.append(np.array([states.get(index, UNMENTIONED) for index in range(40)], dtype=np.int8))
    for _ in range(lists):
        chosen = rng.sample(sorted(THINGS), rng.choice((2, 2, 2, 3, 4)))
        words = [rng.choice(THINGS[index][:3] if rng.random() < 0.5 else THINGS[index]) for index in chosen]
        signs = [rng.choice((PRESENT, ABSENT)) for _ in chosen]
        if rng.random() < 0.7:  # what is hardest: both in one list
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
    found = chosen_words(stated, rng)
    said += [phrase(kind, words, rng) for kind, words in found if kind not in DENIALS]
    denied = denials([pair for pair in found if pair[0] in DENIALS], rng)
    separator = rng.choice((", ", ", ", ", ", ", ", "; ", ". ", " and ", " ", " + ", " but "))
    if separator == " but ":
        text = " but ".join(filter(None, (rng.choice((", ", " and ")).join(said), " and ".join(denied))))
    elif separator.isspace() or separator.startswith(
        " "
    ):  # without a comma a "no" would reach too far: denials come last
        text = separator.join(said + denied)
    else:
        parts = said + denied
        rng.shuffle(parts)
        text = separator.join(parts)
    return f"{rng.choice(FILLER['openings'])} {text}" if rng.random() < 0.25 else text


def sentence(stated: np.ndarray, rng: Random) -> str:
    """`"a smiling young woman with wavy blond hair and big lips, wearing earrings, without glasses"`."""
    found = {kind: [] for kind in ("person", "adjective", "hair", "with", "wearing")}
    denied = []
    for kind, words in chosen_words(stated, rng):
        kind = "with" if kind == "wearing" and rng.random() < 0.3 else kind
        denied.append((kind, words)) if kind in DENIALS else found[kind].append(words)

    before = [words for words in found["adjective"] if " " not in words and rng.random() < 0.75]
    after = [words for words in found["adjective"] if words not in before]
    after += [with_article(words) for words in found["person"][1:]]
    if rng.random() < 0.12:
        before.insert(rng.randrange(len(before) + 1), rng.choice(FILLER["adjectives"]))
    noun = found["person"][0] if found["person"] else rng.choice(FILLER["nouns"])
    subject = " ".join(before + [noun])
    text = with_article(subject) if rng.random() < 0.8 else subject
    if rng.random() < 0.4:
        text = f"{rng.choice(FILLER['openings'])} {text}"

    if found["hair"]:
        found["with"].insert(0, hair(found["hair"], rng))
    if rng.random() < 0.12:
        found["with"].insert(rng.randrange(len(found["with"]) + 1), rng.choice(FILLER["details"]))
    tails = []
    if found["with"]:
        tails.append("with " + _join(found["with"], rng))
    if found["wearing"]:
        tails.append(
            rng.choice(("wearing ", "wearing ", "in "))
            + _join([described(words, rng) for words in found["wearing"]], rng)
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
    found = chosen_words(stated, rng)
    if not found:
        return subject
    if rng.random() < 0.5 and not subject.endswith("who"):
        about = [owned(owner, kind, words, rng) if rng.random() < 0.5 else "" for kind, words in found]
        about = [part or f"{subject} {clause(kind, words, rng)}" for part, (kind, words) in zip(about, found)]
        return rng.choice((". ", ". ", ", ", " and ")).join(about) + rng.choice((".", ""))
    return f"{subject} {_join([clause(kind, words, rng) for kind, words in found], rng)}"


def of_sex(kind: str, stated: np.ndarray) -> str:
    """The pronoun of a stated sex: kind "pronoun" (he), "object" (him) or "owner" (his)."""
    return PHRASES["Male", bool(stated[MALE] == PRESENT)][kind][0]


def owned(owner: str, kind: str, words: str, rng: Random) -> str:
    """`"big lips"` -> `"her lips are big"`, `"wavy"` hair -> `"her hair isn't wavy"`; "" for words that have no such form."""
    adjective, _, part = f"{words} hair".rpartition(" ") if kind == "hair" else _bare(words).rpartition(" ")
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


# --- one attribute ------------------------------------------------------------------------------------------------------


def chosen_words(stated: np.ndarray, rng: Random) -> list[tuple[str, str]]:
    """(kind, words) for all that is stated, in random order; now and then one word states two attributes."""
    left, found = set(np.flatnonzero(stated).tolist()), []
    for kind, words, states in TOGETHER:
        if states.keys() <= left and all(stated[i] == value for i, value in states.items()) and rng.random() < 0.35:
            found.append((kind, rng.choice(words)))
            left -= states.keys()
    found += [choose(ATTRIBUTES[i], stated[i] == PRESENT, rng) for i in sorted(left)]
    rng.shuffle(found)
    return found


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
        return rng.choice((words, words, _bare(words), f"wearing {words}", f"with {words}"))
    if kind == "with":
        return rng.choice((words, _bare(words), f"with {words}"))
    if kind == "person":
        return rng.choice((words, with_article(words)))
    if kind == "adjective":
        return degree(words, rng)
    return denials([(kind, words)], rng)[0]


def denials(found: list[tuple[str, str]], rng: Random) -> list[str]:
    """(kind, words) of DENIALS -> `"no hat"`, `"without a beard"`, `"not smiling"`, two at once as `"no hat or beard"`."""
    found = list(found)
    nouns = [pair for pair in found if pair[0] != "not"]
    together = []
    if len(nouns) > 1 and rng.random() < 0.5:
        first, second = (_bare(words) for _, words in nouns[:2])
        together = [
            rng.choice(
                ("no {} or {}", "without {} or {}", "with no {} or {}", "neither {} nor {}", "with neither {} nor {}")
            ).format(first, second)
        ]
        found = [pair for pair in found if pair not in nouns[:2]]
    return together + [_deny(kind, words, rng) for kind, words in found]


def clause(kind: str, words: str, rng: Random) -> str:
    """As a verb's clause: `"has long wavy hair"`, `"isn't wearing a hat"`, `"looks tired"`."""
    bare = _bare(words)
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
    look = f"{rng.choice(FILLER['looks'])} {_bare(words)}"
    return with_article(look) if words.startswith(("a ", "an ")) else look


def degree(words: str, rng: Random) -> str:
    return f"{rng.choice(FILLER['degrees'])} {words}" if rng.random() < 0.1 else words


def hair(words: list[str], rng: Random) -> str:
    """`["wavy", "blond"]` -> `"wavy blond hair"`, sometimes `"long wavy blond hair"`."""
    length = [rng.choice(FILLER["lengths"])] if rng.random() < 0.25 else []
    return " ".join([*length, *words, "hair"])


def with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


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
    words[index] = rng.choice(
        (
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],  # swapped
            word[:at] + word[at + 1 :],  # dropped
            word[:at] + word[at] + word[at:],  # doubled
            word[:at] + rng.choice("aeiorstnl") + word[at + 1 :],
        )
    )  # another letter
    return " ".join(words)


def _bare(words: str) -> str:
    """Without its article: `"a hat"` -> `"hat"`."""
    return words.removeprefix("a ").removeprefix("an ").removeprefix("the ")


def _deny(kind: str, words: str, rng: Random) -> str:
    if kind == "not":
        return f"{rng.choice(('not', 'not', 'not', 'never'))} {words}"
    forms = [
        f"no {_bare(words)}",
        f"no {_bare(words)}",
        f"without {words}",
        f"without {_bare(words)}",
        f"with no {_bare(words)}",
    ]
    return rng.choice(forms + ([f"not wearing {words}"] if kind == "unworn" else []))


def _join(parts: list[str], rng: Random) -> str:
    if len(parts) == 1:
        return parts[0]
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if rng.random() < 0.7 else ", ".join(parts)


THINGS = {
    index: words for index, name in enumerate(ATTRIBUTES) if (words := _things(name))
}  # "glasses", "beard": attribute -> nouns
