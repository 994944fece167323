"""What a prompt asks for, thing by thing, and the text that CLIP gets of it.

Tables read the prompt (model/words): each thing in it is followed, drawn as something near, or not known. Where CLIP's
text head reads the same out of the prompt, CLIP gets the prompt as it is; else a plainer wording of what was read.
"""

from collections.abc import Set
from dataclasses import dataclass, replace

import numpy as np
import torch

from model.attributes import ATTRIBUTES, CONCEPTS, lacking
from model.clip import Clip, is_cut
from model.words.concepts import ALSO, ROUGHLY, SAID, carried_over
from model.words.marks import FOLLOWED, IMPLIED, NEAR, UNKNOWN, Item
from model.words.reading import read
from model.words.text import READABLE, clean

# order of Clip.stated's probabilities
ABSENT, UNMENTIONED, PRESENT = range(3)


@dataclass(frozen=True)
class Understood:
    """What was read from one prompt."""

    # attribute -> CLIP's confidence in (0, 1]
    present: dict[str, float]
    # denied attributes, likewise
    absent: dict[str, float]
    # the prompt's words for what cannot be drawn, in order
    unknown: list[str]
    # the prompt is longer than CLIP reads
    cut: bool
    # everything asked for, in order, with its place in the prompt
    items: list[Item]
    # what CLIP gets: the prompt, or what was read of it in plain English
    text: str
    # what is asked for beside the attributes (model/words/concepts.py)
    concepts: tuple[str, ...]
    # one line about the whole prompt (an unread language), or ""
    note: str


def understand(clip: Clip, prompt: str, concepts: Set[str] = frozenset()) -> Understood:
    """Read a prompt of any length in any language. concepts: those that can be drawn."""
    whole, prompt = prompt, shortened(prompt)
    reading = read(prompt)
    items = [drawable(item, concepts) for item in reading.items]
    states = wanted(items)
    text, probabilities = _said(clip, prompt, states, plain=reading.language == "English")
    sides = probabilities.argmax(-1)
    present, absent = (
        {ATTRIBUTES[i]: round(probabilities[i, side].item(), 3) for i in (sides == side).nonzero().flatten().tolist()}
        for side in (PRESENT, ABSENT)
    )
    unknown = list(dict.fromkeys(prompt[item.start : item.end] for item in items if item.kind == UNKNOWN))
    cut = len(whole) > len(prompt) or is_cut(text)
    asked = tuple(name for name in CONCEPTS if states.get(name))
    return Understood(present, absent, unknown, cut, items, text, asked, reading.note)


def shortened(prompt: str) -> str:
    """The beginning of a prompt, as much as is looked at, without a part of a word at its end."""
    return prompt if len(prompt) <= READABLE else prompt[:READABLE].rpartition(" ")[0] or prompt[:READABLE]


def drawable(item: Item, concepts: Set[str]) -> Item:
    """The item; of a concept without a vector what comes near it, or nothing."""
    missing = [(name, has) for name, has in item.states if name in CONCEPTS and name not in concepts]
    if not missing:
        return item
    kept = [state for state in item.states if state not in missing]
    kept += [state for name, has in missing for state in carried_over(ROUGHLY, name, has)]
    return replace(item, kind=NEAR if kept else UNKNOWN, states=tuple(kept))


def wanted(items: list[Item]) -> dict[str, bool]:
    """Attribute or concept -> whether the face has it, of all items.

    Where two contradict each other, what is followed counts more than what is only near, then the later more than the
    earlier.
    """
    states: dict[str, bool] = {}
    for kind in (IMPLIED, NEAR, FOLLOWED):
        for item in items:
            if item.kind == kind:
                states |= dict(item.states)
    # an attribute that is named itself counts more
    return dict(state for name, has in states.items() for state in carried_over(ALSO, name, has)) | states


def worded(states: dict[str, bool], said: bool = False) -> str:
    """The lecture's wording of what was read, contradictions and all; "" for nothing. said: with concepts.SAID."""
    words = [name.replace("_", " ").lower() for name in ATTRIBUTES if states.get(name)]
    words += [lacking(name) for name in ATTRIBUTES if states.get(name) is False]
    words += [words for name, words in SAID.items() if said and states.get(name)]
    return f"Photo of person {', '.join(words)}." if words else ""


def _said(clip: Clip, prompt: str, states: dict[str, bool], plain: bool) -> tuple[str, torch.Tensor]:
    """The text for CLIP and what its head reads there, (40, 3): the prompt itself if the head reads `states` in it,
    else the plain wording of `states`, unless the head reads that less well. `plain`: the prompt is English."""
    texts = [clean(prompt)[0].strip(), worded(states)]
    probabilities = clip.stated(texts).cpu()
    aim = torch.tensor([PRESENT if states.get(n) else ABSENT if n in states else UNMENTIONED for n in ATTRIBUTES])
    wrong = (probabilities.argmax(-1) != aim).sum(1).tolist()
    best = int(wrong[1] < wrong[0] or not plain and wrong[1] == wrong[0])
    # the words of concepts are for the U-Net: the head knows attributes alone
    return (worded(states, said=True) if best else texts[0]), probabilities[best]


@torch.inference_mode()
def fit_of(clip: Clip, prompt: str, scores: np.ndarray) -> np.ndarray:
    """How much of what the prompt states or denies is in N faces: their scores (N, 40) in [0, 1] -> (N,) in [0, 1].

    1 for a prompt that says nothing.
    """
    said = clip.stated([prompt])[0].argmax(-1).cpu().numpy() - UNMENTIONED
    if not said.any():
        return np.ones(len(scores), np.float32)
    return np.where(said > 0, scores, 1 - scores)[:, said != 0].mean(1)
