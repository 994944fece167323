"""An attribute row -> many ways to say it. The words come from model/wording.toml; this file only builds sentences.

A caption states some attributes as present, some as absent, and leaves the others unmentioned: unknown, not absent. So
`caption` returns both the text and what it states, and an image fits a caption when it satisfies all that is stated.
"""

from random import Random

import numpy as np

from model.attributes import ATTRIBUTES, FILLER, WORDING, attributes_to_prompt, conflict, lacking

PRESENT, ABSENT, UNMENTIONED = 1, -1, 0


def phrases(attribute: str, present: bool) -> dict[str, list[str]]:
    """Kind of phrase -> ways to state or to deny the attribute, the derived ones ("not smiling", "no hat") included."""
    entry = WORDING[attribute]
    has = entry.get("has", {})
    found = {kind: list(words) for kind, words in (has if present else entry.get("lacks", {})).items()}
    if not present:
        nouns = has.get("with", []) + has.get("wearing", []) + [f"{word} hair" for word in has.get("hair", [])]
        if attribute != "No_Beard":  # "without no beard" is no English
            found["no"] = found.get("no", []) + nouns
            found["not"] = list(has.get("adjective", []))
    return found


PHRASES = {(name, present): phrases(name, present) for name in ATTRIBUTES for present in (True, False)}


def stated_attributes(row: np.ndarray, frequency: np.ndarray, rng: Random) -> np.ndarray:
    """Choose what a caption states about a face: (40,) of PRESENT, ABSENT, UNMENTIONED.

    :param row:       (40,) bool, what the face has.
    :param frequency: (40,) in (0, 1), how often each attribute occurs in the data. What is unusual is said more often:
                      rare attributes when present, common ones when absent.
    """
    surprise = np.where(row, 1 - frequency, 0.4 * frequency) + 0.05
    surprise[ATTRIBUTES.index("Male")] = 0.8  # people nearly always say it
    surprise[ATTRIBUTES.index("Blurry")] *= 0.5
    count = min(1 + int(rng.expovariate(1 / 2.5)), 12)
    keys = [rng.random() ** (1 / weight) for weight in surprise]  # weighted choice without replacement, Efraimidis 2006
    stated = np.zeros(40, dtype=np.int8)
    for index in sorted(range(40), key=keys.__getitem__, reverse=True)[:count]:
        stated[index] = PRESENT if row[index] else ABSENT
    return stated


def caption(row: np.ndarray, frequency: np.ndarray, rng: Random) -> tuple[str, np.ndarray]:
    """One random caption of a face: `(text, stated)`, with stated (40,) int8 as in `stated_attributes`."""
    style = rng.random()
    if style < 0.06:  # no face at all, or nothing: the unconditional prompt
        return (rng.choice(FILLER["elsewhere"] + FILLER["endings"]) if rng.random() < 0.4 else ""), np.zeros(40, np.int8)
    if style < 0.18:  # the lecture's prompt: every attribute the face has
        stated = row.astype(np.int8)
    else:
        stated = stated_attributes(row, frequency, rng)
    if style < 0.38:
        text = celeba_prompt(stated)
    elif style < 0.62:
        text = phrase_list(stated, rng)
    else:
        text = sentence(stated, rng)
    if rng.random() < 0.12:
        text = f"{text.rstrip('.')}, {rng.choice(FILLER['endings'])}"
    if rng.random() < 0.05:
        text = typo(text, rng)
    return text, stated


def celeba_prompt(stated: np.ndarray) -> str:
    """The wording of `attributes_to_prompt`; labels that contradict each other in the data are listed all the same."""
    present = [name for name, value in zip(ATTRIBUTES, stated) if value == PRESENT]
    absent = [name for name, value in zip(ATTRIBUTES, stated) if value == ABSENT]
    if conflict(present, absent):
        words = [name.replace("_", " ").lower() for name in present] + [lacking(name) for name in absent]
        return f"Photo of person {', '.join(words)}."
    return attributes_to_prompt(present, absent)


def phrase_list(stated: np.ndarray, rng: Random) -> str:
    """`"blond hair, no glasses, smiling"`, in any order, sometimes after an opening."""
    parts = [phrase(ATTRIBUTES[i], stated[i] == PRESENT, rng) for i in np.flatnonzero(stated)]
    rng.shuffle(parts)
    text = rng.choice((", ", ", ", ", ", " and ", " ")).join(parts)
    return f"{rng.choice(FILLER['openings'])} {text}" if rng.random() < 0.3 else text


def phrase(attribute: str, present: bool, rng: Random) -> str:
    """One attribute alone: `"smiling"`, `"without a hat"`, `"grey hair"`, `"not bald"`."""
    kind, words = _choose(attribute, present, rng)
    if kind == "hair":
        return f"{words} hair"
    if kind == "wearing":
        return rng.choice((words, f"wearing {words}", f"with {words}"))
    if kind == "with":
        return rng.choice((words, _bare(words), f"with {words}"))
    if kind == "no":
        return _deny(words, rng)
    if kind == "not":
        return f"not {words}"
    return words


def sentence(stated: np.ndarray, rng: Random) -> str:
    """`"a smiling young woman with wavy blond hair and big lips, wearing earrings, without glasses"`."""
    found = {kind: [] for kind in ("person", "adjective", "hair", "with", "wearing", "no", "not")}
    order = list(np.flatnonzero(stated))
    rng.shuffle(order)
    for index in order:
        kind, words = _choose(ATTRIBUTES[index], stated[index] == PRESENT, rng)
        if kind == "wearing" and rng.random() < 0.3:
            kind = "with"
        found[kind].append(words)

    before = [words for words in found["adjective"] if " " not in words and rng.random() < 0.75]
    after = [words for words in found["adjective"] if words not in before] + [f"not {words}" for words in found["not"]]
    noun = found["person"][0] if found["person"] else rng.choice(FILLER["nouns"])
    subject = " ".join(before + [noun])
    text = f"{'an' if subject[0] in 'aeiou' else 'a'} {subject}" if rng.random() < 0.8 else subject
    if rng.random() < 0.4:
        text = f"{rng.choice(FILLER['openings'])} {text}"

    if found["hair"]:
        found["with"].insert(0, f"{' '.join(found['hair'])} hair")
    tails = []
    if found["with"]:
        tails.append("with " + _join(found["with"], rng))
    if found["wearing"]:
        tails.append("wearing " + _join(found["wearing"], rng))
    tails += [_deny(words, rng) for words in found["no"]]
    tails += [rng.choice(("{}", "{}", "who is {}", "is {}")).format(words) for words in after]
    if tails and not tails[0].startswith(("who", "is")) and rng.random() < 0.7:
        text = f"{text} {tails.pop(0)}"
    text = ", ".join([text, *tails])
    return text[0].upper() + text[1:] + "." if rng.random() < 0.3 else text


def typo(text: str, rng: Random) -> str:
    """Swap, drop or double one letter inside one word of five letters or more."""
    words = text.split(" ")
    long = [i for i, word in enumerate(words) if len(word) >= 5 and word.isalpha()]
    if not long:
        return text
    index = rng.choice(long)
    word, at = words[index], rng.randrange(1, len(words[index]) - 2)
    words[index] = rng.choice((word[:at] + word[at + 1] + word[at] + word[at + 2:],  # swapped
                               word[:at] + word[at + 1:],                            # dropped
                               word[:at] + word[at] + word[at:]))                    # doubled
    return " ".join(words)


def _choose(attribute: str, present: bool, rng: Random) -> tuple[str, str]:
    """A kind of phrase, then a phrase of that kind; a plain noun or phrase is preferred to a rare adjective."""
    kinds = PHRASES[attribute, present]
    weights = [min(len(words), 4) for words in kinds.values()]
    kind = rng.choices(list(kinds), weights)[0]
    words = kinds[kind]
    return kind, words[0] if rng.random() < 0.35 else rng.choice(words)


def _bare(words: str) -> str:
    """Without its article: `"a hat"` -> `"hat"`."""
    return words.removeprefix("a ").removeprefix("an ").removeprefix("the ")


def _deny(words: str, rng: Random) -> str:
    return f"no {_bare(words)}" if rng.random() < 0.5 else f"without {words if rng.random() < 0.6 else _bare(words)}"


def _join(parts: list[str], rng: Random) -> str:
    if len(parts) == 1:
        return parts[0]
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if rng.random() < 0.7 else ", ".join(parts)
