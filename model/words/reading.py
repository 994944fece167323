"""A prompt of any language -> everything it asks for, with its place in the prompt."""

import re
from dataclasses import dataclass, replace

from model.words import english
from model.words.marks import UNKNOWN, Item, Mark, items
from model.words.text import clean

# How other programs name networks and options, and how they write weights: never words.
NETWORKS = re.compile(r"<[^<>\s][^<>]{0,100}>|(?<!\S)--(?!no\b)[a-z]+(?:[ ][\d:.]+)?|(?<!\w)BREAK(?!\w)")
WEIGHTS = re.compile(r":[ ]*-?\d+(?:\.\d+)?(?=\s*[)\]])|::-?\d+(?:\.\d+)?|\(\(+|\)\)+|\[+|\]+")
UNWEIGHTED = "Weights in brackets or behind colons are not used: every word counts once."


@dataclass(frozen=True)
class Reading:
    items: list[Item]  # in order
    note: str = ""  # one line about the whole prompt, or ""


def read(prompt: str) -> Reading:
    """Read a prompt; places are in characters of `prompt`."""
    text, places = clean(prompt)
    strange = [Item(match.start(), match.end(), UNKNOWN) for match in NETWORKS.finditer(text)]
    text = NETWORKS.sub(lambda match: "," + " " * (len(match[0]) - 1), text)
    notes = [UNWEIGHTED] if WEIGHTS.search(text) else []
    text = WEIGHTS.sub(lambda match: "," + " " * (len(match[0]) - 1), text)
    found = sexed(english.marks(text))
    found = sorted([*items(found), *strange], key=lambda item: (item.start, item.end))
    placed = [replace(item, start=places[item.start], end=places[item.end - 1] + 1) for item in found]
    return Reading(placed, " ".join(notes))


def sexed(marks: list[Mark]) -> list[Mark]:
    """Of "he", "her" and the like the first counts, and only where no noun tells the sex."""
    told = any(mark.role == "item" and any(name == "Male" for name, _ in mark.item.states) for mark in marks)
    found = []
    for mark in marks:
        if mark.role == "pronoun":
            mark = replace(mark, role="word" if told else "item")
            told = True
        found.append(mark)
    return found
