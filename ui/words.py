"""What the model reads in a prompt, for the line under it and for the endpoint /understand."""

from dataclasses import asdict
from typing import Any

from model import attributes
from model.attributes import CONFLICTS
from model.errors import FacetError
from model.words.marks import IMPLIED, NEAR, UNKNOWN
from model.words.understanding import Understood
from ui.picker import chosen, combined, typed
from ui.server import engine


def understood(prompt: str) -> dict[str, Any]:
    """All that was read in a prompt, in CelebA's names; see `understand` in ui/api.py."""
    reading = engine.pipeline().understood(prompt)
    items = [
        asdict(item) | {"text": prompt[item.start : item.end], "states": dict(item.states)}
        for item in reading.items
        if item.kind != IMPLIED
    ]
    return asdict(reading) | {"items": items}


def read(words: str, picks: Any) -> dict[str, Any]:
    """What the page shows of typed words and ticked boxes: the prompt they make, what is read in it, what is not."""
    try:
        present, absent = chosen(picks)
        prompt = combined(words, present, absent)
        if not prompt:
            return {"prompt": ""}
        pipe = engine.pipeline()
        said = pipe.understood(typed(words)) if typed(words) else None
        # read once where no box is ticked
        reading = said if said and prompt == typed(words) else pipe.understood(prompt)
    except FacetError as error:
        return {"prompt": "", "warning": str(error)}
    chips = [
        {"label": attributes.label(name), "kind": "present", "sure": sure} for name, sure in reading.present.items()
    ]
    chips += [
        {"label": attributes.lacking(name).capitalize(), "kind": denial(name), "sure": sure}
        for name, sure in reading.absent.items()
    ]
    chips += [{"label": attributes.label(name), "kind": "present"} for name in reading.concepts]
    both: dict[str, list[str]] = {"present": [], "absent": []}
    if said:
        both = {"present": [*said.present, *said.concepts], "absent": list(said.absent)}
    long = "The prompt is long: only its beginning is read." if reading.cut else ""
    return {
        "prompt": prompt,
        "parts": parts(prompt, reading),
        "chips": chips,
        "unknown": reading.unknown,
        "near": near(prompt, reading),
        "instead": [{"name": name, "label": attributes.label(name)} for name in instead(reading)],
        "drawn": drawn(reading) if reading.text != prompt else "",
        "cut": " ".join(filter(None, (long, reading.note))),
        "warning": disagreement(both, present, absent),
        "said": both,
    }


def drawn(reading: Understood) -> str:
    """What is drawn, in plain words: the text that CLIP gets, and the concepts."""
    concepts = ", ".join(attributes.label(name) for name in reading.concepts)
    return f"{reading.text} With: {concepts}." if concepts else reading.text


def parts(prompt: str, reading: Understood) -> list[dict[str, str]]:
    """The prompt in pieces, each with the kind of what it says, "" for words that hold it together."""
    pieces, at = [], 0
    for item in reading.items:
        if item.kind == IMPLIED or item.start < at:
            continue
        pieces += [
            {"text": prompt[at : item.start], "kind": ""},
            {"text": prompt[item.start : item.end], "kind": item.kind},
        ]
        at = item.end
    return [piece for piece in (*pieces, {"text": prompt[at:], "kind": ""}) if piece["text"]]


def near(prompt: str, reading: Understood) -> list[str]:
    """`"curly hair as wavy hair"` for each thing that is drawn as something near it, or only in part."""
    told = []
    for item in reading.items:
        if item.kind == NEAR:
            drawn = [attributes.label(n).lower() if has else attributes.lacking(n) for n, has in item.states]
            told.append(
                f"{prompt[item.start : item.end]} as {' and '.join(drawn)}" if drawn else prompt[item.start : item.end]
            )
    return list(dict.fromkeys(told))


def instead(reading: Understood) -> list[str]:
    """The attributes nearest to what cannot be drawn, none of those that the prompt says anyway."""
    names = dict.fromkeys(name for item in reading.items if item.kind == UNKNOWN for name in item.instead)
    said = {name for item in reading.items for name, _ in item.states}
    return [name for name in names if name not in said][:4]


def denial(name: str) -> str:
    """ "absent" for what should not be there (no hat), "opposite" for what has a name of its own (female, old)."""
    return "absent" if attributes.lacking(name).startswith(("no ", "not ")) else "opposite"


def disagreement(said: dict[str, Any], present: list[str], absent: list[str]) -> str:
    """One sentence if typed words (attributes present and absent) and boxes contradict each other, else ""."""
    for name in (*present, *absent):
        if name in (said["absent"] if name in present else said["present"]):
            return f"{attributes.label(name)}: your words say one thing, the boxes the other."
    for pair in CONFLICTS:
        for word, box in (sorted(pair), sorted(pair, reverse=True)):
            if word in said["present"] and box in present and box not in said["present"]:
                return (
                    f"Your words say {attributes.label(word).lower()}, the boxes {attributes.label(box).lower()}: "
                    "no face has both."
                )
    return ""
