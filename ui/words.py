"""What the model reads in a prompt, for the line under it and for the endpoint /understand."""

from dataclasses import asdict
from typing import Any

from model import attributes
from model.attributes import CONFLICTS
from model.errors import FacetError
from ui.picker import chosen, combined, typed
from ui.server import engine


def understood(prompt: str) -> dict[str, Any]:
    """{"present": {attribute: confidence}, "absent": {...}, "unknown": [words], "cut": bool}, in CelebA's names."""
    return asdict(engine.pipeline().understood(prompt))


def read(words: str, picks: Any) -> dict[str, Any]:
    """What the page shows of typed words and ticked boxes: the prompt they make, what CLIP reads in it, what it does
    not."""
    try:
        present, absent = chosen(picks)
        prompt = combined(words, present, absent)
        if not prompt:
            return {"prompt": ""}
        said = understood(typed(words)) if typed(words) else None
        found = said if said and prompt == typed(words) else understood(prompt)  # read once where no box is ticked
    except FacetError as error:
        return {"prompt": "", "warning": str(error)}
    chips = [
        {"label": attributes.label(name), "kind": "present", "sure": sure} for name, sure in found["present"].items()
    ]
    chips += [
        {"label": attributes.lacking(name).capitalize(), "kind": "absent", "sure": sure}
        for name, sure in found["absent"].items()
    ]
    return {
        "prompt": prompt,
        "chips": chips,
        "unknown": found["unknown"],
        "cut": "The prompt is long: only its beginning is read." if found["cut"] else "",
        "warning": disagreement(said, present, absent) if said else "",
        "said": {"present": list(said["present"]), "absent": list(said["absent"])}
        if said
        else {"present": [], "absent": []},
    }


def disagreement(said: dict[str, Any], present: list[str], absent: list[str]) -> str:
    """One sentence if typed words (`understood`) and ticked boxes contradict each other, else ""."""
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
