"""Languages other than English, and emoji: a text -> marks, matched with a table (model/words/tables.py)."""

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise

from model.words.ages import young
from model.words.marks import NEAR, UNKNOWN, Item, Mark
from model.words.tables import NUMERALS, WORN, Language, Part, Phrase, folded

STOPS, COMMAS = ".;!?。！？\n|،؛", ",、，:：()[]/+&"


def marks(text: str, language: Language, rough: bool = False) -> list[Mark]:
    """All that a clean text says in this language, words that it does not know as unknown items.

    rough: word by word, which is fast and enough to guess the language.
    """
    whole, said, at = folded(text), [], 0
    parts = () if rough else language.parts
    while at < len(text):
        sign = text[at]
        if sign in STOPS or sign in COMMAS:
            said.append(Mark("stop" if sign in STOPS else "comma", at, at + 1))
            at += 1
        elif not _letter(sign) and language.name:
            at += 1
        elif language.age and (age := language.age.match(whole, at)):
            kind, states = young(_years(age[1]))
            said.append(Mark("item", at, age.end(), Item(at, age.end(), kind, states), word=age[0]))
            at = age.end()
        elif (found := _noun_phrase(whole, at, parts, language)) and not _longer(whole, at, found, language):
            said += found
            at = found[-1].end
        elif hit := _match(whole, at, language) or rough and _describing(whole, at, language):
            phrase, end = hit
            item = Item(at, end, phrase.kind, phrase.states) if phrase.role == "item" else None
            said.append(Mark(phrase.role, at, end, item, noun=True, word=phrase.text))
            at = end
        elif not language.name:
            at += 1
        else:
            end = _unknown_end(whole, at, language)
            known = _end_of_compound(whole[at:end], language) if language.compounds else ()
            said.append(Mark("item", at, end, Item(at, end, NEAR if known else UNKNOWN, known), noun=bool(known)))
            at = end
    return _joined(said, text)


def _years(number: str) -> int:
    """`"47"`, `"四十七"` -> 47."""
    if number.isdecimal():
        return int(number)
    tens, ten, ones = number.rpartition("十")
    return 10 * NUMERALS.get(tens, 1 if ten else 0) + NUMERALS.get(ones, 0)


def written_in(text: str, language: Language) -> bool:
    """Whether a text has a letter with which a phrase of this language begins."""
    return not language.letters.isdisjoint(folded(text))


def read_share(marks: list[Mark], text: str) -> int:
    """Letters of a text that its marks explain; 0 where none of them states or names anything that a table holds."""
    known = [mark for mark in marks if mark.role not in ("comma", "stop") and (mark.noun or not _strange(mark))]
    if not any(mark.item for mark in known):
        return 0
    return sum(_letter(sign) for mark in known for sign in text[mark.start : mark.end])


def known_letters(marks: list[Mark], text: str) -> int:
    return sum(_letter(sign) for mark in marks if not _strange(mark) for sign in text[mark.start : mark.end])


def _strange(mark: Mark) -> bool:
    return mark.item is not None and mark.what.kind == UNKNOWN


def _describing(text: str, at: int, language: Language) -> tuple[Phrase, int] | None:
    """A word that describes some part of the face."""
    return next(filter(None, (_match(text, at, part.described) for part in language.parts)), None)


def _match(text: str, at: int, language: Language) -> tuple[Phrase, int] | None:
    starts = [at] + [at + len(prefix) for prefix in language.prefixes if text.startswith(prefix, at)]
    for start in starts:
        if start >= len(text):
            continue
        first = text[start : start + 2]
        for phrase in language.phrases.get(first, ()) + language.phrases.get(first[:1], ()) * (len(first) > 1):
            if phrase.pattern:
                match = phrase.pattern.match(text, start)
                end = match.end() if match else start
            else:
                end = start + len(phrase.text) if text.startswith(phrase.text, start) else start
            if end == start:
                continue
            # two letters with an ending are another word: "عم", uncle, and "عمان", Oman
            ends = language.endings if len(phrase.text) > 2 else ()
            longer = [end + len(one) for one in ends if text.startswith(one, end)]
            end = next((one for one in longer if _ends(text, one)), end)
            if language.spaced and not _ends(text, end) and not phrase.text.endswith("'"):
                continue
            return phrase, end
    return None


def _ends(text: str, at: int) -> bool:
    return at >= len(text) or not _letter(text[at])


def _noun_phrase(text: str, at: int, parts: tuple[Part, ...], language: Language) -> list[Mark]:
    """The marks of a part of the face and all that describes it, if such a phrase begins here."""
    found = [(part.pattern.match(text, at), part) for part in parts]
    whole = [(match, part) for match, part in found if match and (match["before"] or match["after"])]
    match, part = max(whole, key=lambda one: one[0].end(), default=(None, None))
    return _of_part(text, match, part, language) if match and part else []


def _longer(text: str, at: int, found: list[Mark], language: Language) -> bool:
    """Whether the table knows as much by heart: "barba de tres días"."""
    hit = _match(text, at, language)
    return hit is not None and hit[0].role == "item" and hit[1] >= found[-1].end


def _of_part(text: str, match: re.Match, part: Part, language: Language) -> list[Mark]:
    """What says nothing beyond the noun ("long" of a beard) is one with it; else each adjective is an item."""
    noun, end = match.span("noun")
    hit = _match(text[:end], noun, language)
    own = hit[0] if hit and hit[0].role == "item" and hit[1] == end else None
    at = match.start()
    said: list[tuple[int, int, str, tuple[tuple[str, bool], ...]]] = []
    while at < match.end():
        if noun <= at < end:
            at = end
        elif found := _match(text, at, part.described):
            said.append((at, found[1], found[0].kind, found[0].states))
            at = found[1]
        else:
            at += 1
    first, last = match.start(), max(end, *(one[1] for one in said))
    if own and not any(states for *_, states in said):
        said = [(first, last, own.kind if own.kind == UNKNOWN else NEAR, own.states)]
    elif own:
        said = sorted([*(one for one in said if one[3]), (noun, end, own.kind, own.states)])
    else:
        beside = max((one for one in said if one[0] < noun), default=said[0])
        said = [(min(one[0], noun), max(one[1], end), *one[2:]) if one is beside else one for one in said]
    spans = sorted([(noun, end), *(one[:2] for one in said)])
    side_by_side = not any(text[before[1] : after[0]].strip() for before, after in pairwise(spans))
    if side_by_side and len(said) > 1 and NEAR in (kind for _, _, kind, _ in said):
        # "kurze schwarze Haare" are near as a whole
        said = [(first, last, NEAR, tuple(dict(state for one in said for state in one[3]).items()))]
    return [
        Mark("item", start, end, Item(start, end, kind, states), group=first, noun=True, word=text[start:end])
        for start, end, kind, states in said
    ]


def _word_end(text: str, at: int) -> int:
    while at < len(text) and _letter(text[at]):
        at += 1
    return at


def _unknown_end(text: str, at: int, language: Language) -> int:
    if language.spaced:
        return _word_end(text, at)
    end = at + 1
    while end < len(text) and _letter(text[end]) and not _match(text, end, language):
        end += 1
    return end


def _end_of_compound(word: str, language: Language) -> tuple[tuple[str, bool], ...]:
    """What the end of a word says of a thing that one wears: "Hornbrille" is a "Brille"."""
    for at in range(3, len(word) - 2):
        hit = _match(word, at, language)
        if hit and hit[1] == len(word) and any(name in (*WORN, "No_Beard") for name, _ in hit[0].states):
            return hit[0].states
    return ()


@lru_cache(maxsize=4096)
def _letter(sign: str) -> bool:
    return sign.isalnum() or unicodedata.category(sign)[0] == "M"


def _joined(marks: list[Mark], text: str) -> list[Mark]:
    """Unknown words side by side become one."""
    joined: list[Mark] = []
    for mark in marks:
        last = joined[-1] if joined else None
        strange = [m is not None and m.item is not None and m.item.kind == UNKNOWN for m in (last, mark)]
        if last and all(strange) and re.fullmatch(r"[\s'’-]*", text[last.end : mark.start]):
            joined[-1] = Mark("item", last.start, mark.end, Item(last.start, mark.end, UNKNOWN))
        else:
            joined.append(mark)
    return joined
