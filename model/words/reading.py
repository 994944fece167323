"""A prompt of any language -> everything it asks for, with its place in the prompt."""

import re
from dataclasses import dataclass, replace

from model.words import english
from model.words.marks import UNKNOWN, Item, Mark, items
from model.words.text import clean

# How other programs write weights, networks and options: never words.
SYNTAX = re.compile(
    r"<[^<>\s][^<>]{0,100}>|(?<!\S)--[a-z]+(?:[ ][\d:.]+)?|(?<!\w)BREAK(?!\w)|:[ ]*-?\d+(?:\.\d+)?(?=\s*[)\]])|\(\(+|\)\)+|\[+|\]+"
)


@dataclass(frozen=True)
class Reading:
    items: list[Item]  # in order
    note: str = ""  # one line about the whole prompt, or ""


def read(prompt: str) -> Reading:
    """Read a prompt; places are in characters of `prompt`."""
    text, places = clean(prompt)
    strange = [Item(match.start(), match.end(), UNKNOWN) for match in SYNTAX.finditer(text)]
    for item in strange:
        text = text[: item.start] + " " * (item.end - item.start) + text[item.end :]
    found = sexed(english.marks(text))
    found = sorted([*items(found), *strange], key=lambda item: (item.start, item.end))
    return Reading([replace(item, start=places[item.start], end=places[item.end - 1] + 1) for item in found])


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
