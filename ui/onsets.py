"""The onset of each wanted attribute: the step from which on CLIP sees it in the predicted clean face."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from model import attributes
from model.attributes import ATTRIBUTES
from model.pipeline import FacePipeline, Frame
from ui.frames import thinned
from ui.picker import chosen, typed

# steps that are looked at: more are thinned out evenly
MOST = 64
# attributes that are told
SHOWN = 6


def wanted(pipe: FacePipeline, words: str, picks: Any) -> dict[str, bool]:
    """Attribute -> whether it should be there, of all that boxes and words ask for, the boxes first."""
    boxes = zip(chosen(picks), (True, False))
    asked = {name: has for names, has in boxes for name in names if name in ATTRIBUTES}
    if words := typed(words):
        said = pipe.understood(words)
        asked = asked | {name: True for name in said.present if name not in asked}
        asked = asked | {name: False for name in said.absent if name not in asked}
    return asked


def onsets(pipe: FacePipeline, frames: Sequence[Frame], asked: Mapping[str, bool]) -> list[dict[str, Any]]:
    """[{"label", "step"}] of the first SHOWN of `wanted`; step is None where the finished face does not show it."""
    names = list(asked)[:SHOWN]
    if not names:
        return []
    looked_at = thinned(frames, MOST)
    scores = pipe.attribute_scores(np.stack([frame.denoised for frame in looked_at]))
    told = []
    for name in names:
        first = onset((scores[:, ATTRIBUTES.index(name)] > 0.5) == asked[name])
        label = attributes.label(name) if asked[name] else attributes.lacking(name).capitalize()
        told.append({"label": label, "step": None if first is None else looked_at[first].index})
    return told


def onset(as_wanted: Sequence[bool]) -> int | None:
    """The index from which on all are True, None if the last is not."""
    if not as_wanted[-1]:
        return None
    false = np.flatnonzero(~np.asarray(as_wanted, dtype=bool))
    return int(false[-1]) + 1 if len(false) else 0
