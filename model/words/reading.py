"""A prompt of any language -> everything it asks for, with its place in the prompt."""

import re
import unicodedata
from dataclasses import dataclass, replace

from model.words import english, languages, tables
from model.words.languages import read_share
from model.words.marks import FOLLOWED, NEAR, UNKNOWN, Item, Mark, items
from model.words.tables import Language
from model.words.text import clean

# How other programs name networks and options, and how they write weights: never words.
NETWORKS = re.compile(r"<[^<>\s][^<>]{0,100}>|(?<!\S)--(?!no\b)[a-z]+(?:[ ][\d:.]+)?|(?<!\w)BREAK(?!\w)")
WEIGHTS = re.compile(r":[ ]*-?\d+(?:\.\d+)?(?=\s*[)\]])|::-?\d+(?:\.\d+)?|\(\(+|\)\)+|\[+|\]+")
UNWEIGHTED = "Weights in brackets or behind colons are not used: every word counts once."
# languages that are read in full, of those that have the text's letters
LIKELY = 2
PART = re.compile(r"[^,.;!?\n،؛。！？、，]+[,.;!?\n،؛。！？、，]*")


@dataclass(frozen=True)
class Reading:
    # in order
    items: list[Item]
    language: str = "English"
    # one line about the whole prompt, or ""
    note: str = ""


def read(prompt: str) -> Reading:
    """Read a prompt; places are in characters of `prompt`."""
    text, places = clean(prompt)
    things = [Item(match.start(), match.end(), UNKNOWN) for match in NETWORKS.finditer(text)]
    text = NETWORKS.sub(_blank, text)
    notes = [UNWEIGHTED] if WEIGHTS.search(text) else []
    text = WEIGHTS.sub(_blank, text)
    if not text.isascii():
        signs, text = pictograms(text)
        things += signs
    language, marks = spoken(text)
    things = sorted([*things, *items(sexed(marks))], key=lambda item: (item.start, item.end))
    name = language.name if language else "English"
    if strange := unread(text, things):
        notes.append(strange)
    placed = [replace(item, start=places[item.start], end=places[item.end - 1] + 1) for item in things]
    return Reading(placed, name, " ".join(notes))


def pictograms(text: str) -> tuple[list[Item], str]:
    """The items of a text's emoji, unknown ones among them, and the text without them."""
    things = items(languages.marks(text, tables.emoji()))
    taken = {at for item in things for at in range(item.start, item.end)}
    things += [
        Item(at, at + 1, UNKNOWN)
        for at, sign in enumerate(text)
        if at not in taken and unicodedata.category(sign) == "So" and sign not in "🚫❌⛔"
    ]
    without = "".join(
        "," if at in taken or unicodedata.category(sign) in ("So", "Sk") and not sign.isascii() else sign
        for at, sign in enumerate(text)
    )
    return things, without


def spoken(text: str) -> tuple[Language | None, list[Mark]]:
    """The language that reads most of a text, None for English, and the text's marks.

    Between commas each part is read in English where that reads more of it: boxes add English words to any prompt.
    """
    said = english.marks(text)
    if not any(mark.item and mark.what.kind in (NEAR, UNKNOWN) for mark in said):
        return None, said
    in_english = read_share(said, text)
    readings = [(languages.marks(text, one), one) for one in likely(text, in_english)]
    whole, language = max(readings, key=lambda pair: read_share(pair[0], text), default=([], None))
    share = read_share(whole, text)
    # "lange Haare": to English any word before hair is a state of it
    as_well = any(mark.item and mark.what.states for mark in whole)
    if language is None or share < in_english + (not as_well):
        return None, said
    # no English at all
    if not in_english:
        return language, whole
    mixed: list[Mark] = []
    for part in PART.finditer(text):
        here = languages.marks(part[0], language)
        there = english.marks(part[0])
        best = there if read_share(there, part[0]) > read_share(here, part[0]) else here
        mixed += [_moved(mark, part.start()) for mark in best]
        if not mixed or mixed[-1].role not in ("comma", "stop"):
            mixed.append(Mark("stop" if part[0][-1:] in ".;!?。" else "comma", part.end(), part.end()))
    return language, mixed


def likely(text: str, in_english: int) -> list[Language]:
    """The languages that know most of a text's words one by one; none that knows half of what English explains."""
    written = [one for one in tables.languages() if languages.written_in(text, one)]
    known = [(languages.known_letters(languages.marks(text, one, rough=True), text), one) for one in written]
    known.sort(key=lambda pair: -pair[0])
    return [one for letters, one in known[:LIKELY] if 2 * letters > in_english]


def unread(text: str, things: list[Item]) -> str:
    """One line for a prompt in a language or script of which nothing is read."""
    letters = [sign for sign in text if sign.isalpha()]
    if not letters or any(item.kind != UNKNOWN for item in things):
        return ""
    foreign = sum(not sign.isascii() for sign in letters)
    if foreign * 4 < len(letters):
        return ""
    names = ", ".join(one.name for one in tables.languages())
    return f"Nothing of this is read. The languages are English, {names}."


def sexed(marks: list[Mark]) -> list[Mark]:
    """Of "he", "her" and the like the first counts, and only where no noun tells the sex."""
    told = any(mark.role == "item" and any(name == "Male" for name, _ in mark.what.states) for mark in marks)
    resolved = []
    for mark in marks:
        if mark.role == "pronoun":
            mark = replace(mark, role="word" if told else "item" if mark.what.kind == FOLLOWED else "implied")
            told = True
        resolved.append(mark)
    return resolved


def _blank(match: re.Match) -> str:
    return "," + " " * (len(match[0]) - 1)


def _moved(mark: Mark, by: int) -> Mark:
    item = mark.item and replace(mark.what, start=mark.what.start + by, end=mark.what.end + by)
    return replace(mark, start=mark.start + by, end=mark.end + by, item=item)
