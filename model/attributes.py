"""The 40 CelebA attributes and what is known beside them: groups, wording, contradictions, and the prompt that ticked
boxes make."""

import tomllib
from collections.abc import Iterable
from pathlib import Path

from model.errors import InputError

# CelebA's own names in CelebA's own order: the order of every (40,) array in this project.
ATTRIBUTES = (
    "5_o_Clock_Shadow",
    "Arched_Eyebrows",
    "Attractive",
    "Bags_Under_Eyes",
    "Bald",
    "Bangs",
    "Big_Lips",
    "Big_Nose",
    "Black_Hair",
    "Blond_Hair",
    "Blurry",
    "Brown_Hair",
    "Bushy_Eyebrows",
    "Chubby",
    "Double_Chin",
    "Eyeglasses",
    "Goatee",
    "Gray_Hair",
    "Heavy_Makeup",
    "High_Cheekbones",
    "Male",
    "Mouth_Slightly_Open",
    "Mustache",
    "Narrow_Eyes",
    "No_Beard",
    "Oval_Face",
    "Pale_Skin",
    "Pointy_Nose",
    "Receding_Hairline",
    "Rosy_Cheeks",
    "Sideburns",
    "Smiling",
    "Straight_Hair",
    "Wavy_Hair",
    "Wearing_Earrings",
    "Wearing_Hat",
    "Wearing_Lipstick",
    "Wearing_Necklace",
    "Wearing_Necktie",
    "Young",
)

# What can be asked for beside the attributes, see model/words/concepts.py; and the group that it is shown in.
CONCEPTS = {
    "Dark_Skin": "Person",
    "Tanned_Skin": "Person",
    "East_Asian": "Person",
    "Red_Hair": "Hair",
    "Long_Hair": "Hair",
    "Short_Hair": "Hair",
    "Sunglasses": "Accessories",
    "White_Background": "Picture",
}

NAMES = (*ATTRIBUTES, *CONCEPTS)

_TABLE = tomllib.loads((Path(__file__).parent / "wording.toml").read_text(encoding="utf-8"))
# words that say nothing about the attributes
FILLER: dict[str, list[str]] = _TABLE.pop("filler")
# words that state several attributes at once
COMBINED: list[dict] = _TABLE.pop("combined")
# attribute -> its group and the words that state or deny it
WORDING: dict[str, dict] = _TABLE

# Pairs that no face can have at once. Pairs that are only rare in CelebA (a smiling bald woman) stay allowed.
CONFLICTS = tuple(
    frozenset(pair)
    for pair in (
        ("Bald", "Bangs"),
        ("Bald", "Straight_Hair"),
        ("Bald", "Wavy_Hair"),
        ("Bald", "Black_Hair"),
        ("Bald", "Blond_Hair"),
        ("Bald", "Brown_Hair"),
        ("Bald", "Gray_Hair"),
        ("Black_Hair", "Blond_Hair"),
        ("Black_Hair", "Gray_Hair"),
        ("Brown_Hair", "Gray_Hair"),
        ("Straight_Hair", "Wavy_Hair"),
        ("Bangs", "Receding_Hairline"),
        ("No_Beard", "Goatee"),
        ("No_Beard", "Mustache"),
        ("No_Beard", "Sideburns"),
        ("No_Beard", "5_o_Clock_Shadow"),
        ("Dark_Skin", "Pale_Skin"),
        ("Dark_Skin", "Tanned_Skin"),
        ("Pale_Skin", "Tanned_Skin"),
        ("Red_Hair", "Black_Hair"),
        ("Red_Hair", "Blond_Hair"),
        ("Red_Hair", "Gray_Hair"),
        ("Red_Hair", "Bald"),
        ("Long_Hair", "Short_Hair"),
        ("Long_Hair", "Bald"),
    )
)


def label(attribute: str) -> str:
    """`"Wearing_Hat"` -> `"Wearing hat"`: the attribute's name as the page writes it."""
    return attribute.replace("_", " ").lower().replace("o clock", "o'clock").capitalize().replace("asian", "Asian")


def groups() -> dict[str, list[str]]:
    """Heading -> its attributes and concepts, in the order in which the page shows them."""
    by_group: dict[str, list[str]] = {}
    for name, group in [*((name, entry["group"]) for name, entry in WORDING.items()), *CONCEPTS.items()]:
        by_group.setdefault(group, []).append(name)
    return by_group


def lacking(attribute: str) -> str:
    """How a prompt denies an attribute: "Smiling" -> "not smiling", "No_Beard" -> "a beard", "Male" -> "female"."""
    special = {"No_Beard": "a beard", "Male": "female", "Young": "old", "Mouth_Slightly_Open": "mouth closed"}
    if attribute in special:
        return special[attribute]
    words = attribute.replace("_", " ").lower()
    adjectives = WORDING.get(attribute, {}).get("has", {}).get("adjective", [])
    return f"not {words}" if words in adjectives or words.startswith("wearing") else f"no {words}"


def conflict(present: Iterable[str], absent: Iterable[str] = ()) -> str | None:
    """One sentence naming the first contradiction between wanted and unwanted attributes, or None."""
    present, absent = list(present), set(absent)
    for attribute in present:
        if attribute in absent:
            return f"{label(attribute)} is both wanted and unwanted: choose one."
    for pair in CONFLICTS:
        if pair <= set(present):
            first, second = sorted(pair, key=present.index)
            return f"{label(first)} and {label(second)} contradict each other: choose one."
    return None


def attributes_to_prompt(present: Iterable[str], absent: Iterable[str] = ()) -> str:
    """The lecture's wording of ticked attributes: `"Photo of person bushy eyebrows, wearing hat."`

    Unwanted attributes follow in the same list ("not smiling", "no eyeglasses"). Attributes are put in CelebA's order,
    concepts behind them, so the same set always makes the same prompt. Nothing ticked makes the empty prompt, which
    means any face. Raises InputError for an unknown name or a contradiction.
    """
    present, absent = list(dict.fromkeys(present)), list(dict.fromkeys(absent))
    for attribute in (*present, *absent):
        if attribute not in NAMES:
            raise InputError(f"{attribute!r} is not one of the 40 CelebA attributes, nor of the concepts beside them.")
    if problem := conflict(present, absent):
        raise InputError(problem)
    words = [name.replace("_", " ").lower() for name in NAMES if name in present]
    words += [lacking(name) for name in NAMES if name in absent]
    return f"Photo of person {', '.join(words)}." if words else ""
