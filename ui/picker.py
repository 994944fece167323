"""The attribute picker: what it shows, and how ticked boxes and typed words become one prompt.

The rule: typed words and boxes add up. Words come first, the boxes follow as a list; neither ever rewrites the other.
"""

import base64
import html
import json
from functools import lru_cache
from typing import Any

import gradio as gr

from model import attributes
from model.attributes import CONFLICTS, NAMES, WORDING
from model.errors import InputError
from model.words import lexicon, tables
from ui.component import ASSETS, asset, component

# Ideas beside the prompt: name -> attributes wanted, attributes not wanted. Each shows a face of its prompt and
# seed; assets/controls/presets.webp holds them from left to right, see deploy/pictures.py.
_PRESETS = json.loads(asset("controls/presets.json"))
PRESETS: dict[str, tuple[list[str], list[str]]] = {
    name: (preset["present"], preset["absent"]) for name, preset in _PRESETS.items()
}
# What "Surprise me" leaves out for a man and for a woman, since CelebA holds next to no such faces.
FEMININE = [
    "Heavy_Makeup",
    "Wearing_Lipstick",
    "Wearing_Earrings",
    "Wearing_Necklace",
    "Rosy_Cheeks",
    "Arched_Eyebrows",
]
MASCULINE = [
    "5_o_Clock_Shadow",
    "Goatee",
    "Mustache",
    "Sideburns",
    "Bald",
    "Wearing_Necktie",
    "Receding_Hairline",
    "Double_Chin",
]

# how the lecture's wording begins
OPENING = "Photo of person "


def picker() -> gr.HTML:
    """The component. Its value is {"present": [...], "absent": [...]} in CelebA's names; `input` is a click."""
    return component(
        "controls/picker",
        {"present": [], "absent": []},
        html=_html(),
        conflicts=[sorted(pair) for pair in CONFLICTS],
        presets={name: {"present": present, "absent": absent} for name, (present, absent) in PRESETS.items()},
        feminine=FEMININE,
        masculine=MASCULINE,
    )


def ideas() -> gr.HTML:
    """The presets as a row of chips. Its event `choose` comes once the picker holds the one that was pressed."""
    faces = base64.b64encode((ASSETS / "controls" / "presets.webp").read_bytes()).decode()
    chips = "".join(
        f'<button type="button" data-preset="{name}"><i class="face" style="--at: {at}"></i>{name}</button>'
        for at, name in enumerate(PRESETS)
    )
    row = f"""<div class="presets" role="group" aria-label="Ideas" style="--faces: url(data:image/webp;base64,{faces})">
    <button type="button" data-preset="surprise"><i class="face"></i>Surprise me</button>{chips}</div>"""
    return component("controls/ideas", html=row)


def _html() -> str:
    fieldsets = "".join(
        f'<fieldset><legend>{html.escape(heading)}</legend><div class="attributes">'
        f"{''.join(map(_attribute, names))}</div></fieldset>"
        for heading, names in attributes.groups().items()
    )
    return f"""<div class="picker">
  <div class="tools">
    <input type="search" placeholder="Find an attribute" aria-label="Find an attribute" autocomplete="off">
    <button type="button" class="clear" disabled>Clear</button></div>
  <p class="why" role="status"></p><p class="nothing" hidden></p>{fieldsets}</div>"""


def _attribute(name: str) -> str:
    label, denial = html.escape(attributes.label(name)), html.escape(attributes.lacking(name))
    return (
        f'<div class="attribute" data-name="{name}" data-label="{label}" data-words="{html.escape(_words(name))}" '
        f'data-near="{html.escape(near_words(name))}">'
        f'<label><input type="checkbox"><span class="name">{label}</span><span class="said hidden-text"></span></label>'
        f'<button type="button" aria-pressed="false" data-says="{denial}" aria-label="not: {denial}" '
        f'title="{denial}">not</button>'
        "</div>"
    )


def _words(name: str) -> str:
    """Everything an attribute is called, for the search."""
    ways = [WORDING.get(name, {}).get(way, {}) for way in ("has", "lacks")]
    said = [words for way in ways for kind in way.values() for words in kind]
    return " ".join([attributes.label(name), attributes.lacking(name), *said]).lower()


@lru_cache(maxsize=1)
def _tables() -> dict[str, set[str]]:
    """Attribute -> every word of the tables, in any language, that states it, denies it, or has it as its nearest."""
    words_of: dict[str, set[str]] = {name: set() for name in NAMES}
    for kind in ("followed", "near", "unknown"):
        named = [one for one in lexicon.KINDS[kind] if "states" in one]
        for entry in lexicon.CONCEPT_WORDS.get(kind, []) + lexicon.TABLE[kind] + named:
            part = entry.get("head", "")
            words = {f"{word} {part}".strip() for word in entry["words"]}
            for name in [*(state[1:] for state in entry.get("states", [])), *entry.get("instead", [])]:
                words_of[name] |= words
    for language in tables.languages():
        # "schwarz" of "Haar"
        described = [(part.described, f" {part.noun}") for part in language.parts]
        for table, noun in [(language, ""), *described]:
            for phrase in (phrase for phrases in table.phrases.values() for phrase in phrases):
                for name, _ in phrase.states:
                    words_of[name].add(phrase.text.strip("*+") + noun)
    return words_of


def near_words(name: str) -> str:
    """What the tables call an attribute, and what it comes nearest to, for the search."""
    return f"{_words(name)} | {' | '.join(sorted(_tables()[name]))}"


def chosen(picks: Any) -> tuple[list[str], list[str]]:
    """(present, absent) of a picker's value, as a browser sent it. Raises InputError."""
    picks = picks if isinstance(picks, dict) else {}
    present, absent = picks.get("present") or [], picks.get("absent") or []
    if not all(isinstance(names, list) and all(name in NAMES for name in names) for names in (present, absent)):
        raise InputError("The ticked boxes hold something that is not one of them.")
    return present, absent


def typed(words: Any) -> str:
    """Typed words without the space around them. Raises InputError for what is no text."""
    if not isinstance(words, str | None):
        raise InputError(f"The prompt must be text, not {type(words).__name__}.")
    return (words or "").strip()


def combined(words: str, present: list[str], absent: list[str]) -> str:
    """The prompt of typed words and boxes. Raises InputError if the boxes contradict each other."""
    words, boxes = typed(words), attributes.attributes_to_prompt(present, absent)
    if not boxes:
        return words
    words = words.rstrip(" .,;")
    return f"{words}, {boxes.removeprefix(OPENING)}" if words else boxes


def parted(prompt: str) -> tuple[str, list[str], list[str]]:
    """`combined` undone as far as it can be: (words, present, absent). Only the lecture's wording becomes boxes."""
    listed = prompt.removeprefix(OPENING).removesuffix(".").split(", ")
    present = [name for name in NAMES if name.replace("_", " ").lower() in listed]
    absent = [name for name in NAMES if attributes.lacking(name) in listed]
    try:
        if prompt and attributes.attributes_to_prompt(present, absent) == prompt:
            return "", present, absent
    except InputError:
        pass
    return prompt, [], []
