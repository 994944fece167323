"""Whose faces: what one word brings with it."""

from functools import lru_cache

import numpy as np

from model.attributes import ATTRIBUTES, label
from model.pipeline import FacePipeline
from model.settings import Settings
from ui.how.html import table, tile, tiles

# of the reverse diffusion, for faces that only illustrate
STEPS = 12
# of faces drawn as "attractive"
TOLD = ("Attractive", "Young", "Heavy_Makeup", "Smiling", "Male")


@lru_cache(maxsize=2)
def attractive(pipe: FacePipeline) -> np.ndarray:
    """Six faces without a prompt, then six from the same noise for "an attractive person": (12, 64, 64, 3) uint8."""
    return pipe.generate([""] * 6 + ["an attractive person"] * 6, [*range(1, 7)] * 2, steps=STEPS)


def bias(pipe: FacePipeline, settings: Settings) -> str:
    """What the word "attractive" does to the same six pieces of noise, and what CLIP says of the faces."""
    faces = attractive(pipe)
    scores = pipe.attribute_scores(faces)[:, [ATTRIBUTES.index(name) for name in TOLD]]
    rows = [
        (label(name), f"{100 * before:.0f} %", f"{100 * after:.0f} %")
        for name, before, after in zip(TOLD, scores[:6].mean(0), scores[6:].mean(0))
    ]
    plain, asked = (
        [tile(pixels, f"Seed {seed}", alt=f"{prompt}, seed {seed}") for seed, pixels in enumerate(part, 1)]
        for prompt, part in (("No prompt", faces[:6]), ("An attractive person", faces[6:]))
    )
    return (
        tiles(*plain, title="No prompt")
        + tiles(*asked, title="“an attractive person”, from the same noise")
        + table(
            "CLIP's mean score of the six faces: what came with the one word",
            ("Label", "No prompt", "“an attractive person”"),
            rows,
        )
    )
