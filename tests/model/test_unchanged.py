"""The bundled weights draw the faces that they drew before: a change of the code that is not meant to change faces does
not.

    python -m tests.model.test_unchanged        after a change that is meant to, or with new weights: writes
    unchanged.png anew

All in float32. Faces differ by up to two grey levels from one kind of CPU to another.
"""

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from PIL import Image

from model.pipeline import FacePipeline
from model.sampler import SAMPLERS
from model.settings import STUDENT, Settings
from tests.conftest import ROOT

FILE = ROOT / "tests" / "model" / "unchanged.png"
PROMPT, STEPS = "a smiling woman with blond hair", 6


@patch("model.pipeline.half_precision", lambda device: None)
def faces(pipe: FacePipeline) -> dict[str, np.ndarray]:
    """What is drawn -> (64, 64, 3) uint8."""
    asked = Settings(PROMPT, seed=7, steps=STEPS)
    drawn = {name: pipe.generate_faces([replace(asked, sampler=name)])[0] for name in (*SAMPLERS, STUDENT)}
    drawn["negative prompt"] = pipe.generate_faces([replace(asked, negative_prompt="a hat")])[0]
    drawn["edit"] = pipe.generate_faces([replace(asked, edits=(("Eyeglasses", 1.5),))])[0]
    drawn["walk"] = pipe.generate_faces([replace(asked, to_prompt="an old man", to_seed=8, place=0.5)])[0]
    *_, [last] = pipe.stream_faces([asked], start_from=drawn["unipc"], strength=0.6)
    drawn["from a picture"] = last.denoised
    *_, [last] = pipe.stream_alike(drawn["unipc"], [replace(asked, seed=3)])
    drawn["alike"] = last.denoised
    for crisp in (False, True):
        drawn[f"enlarged, {'crisp' if crisp else 'faithful'}"] = pipe.upscale(drawn["unipc"][None], crisp)[0][
            224:288, 192:256
        ]
    return drawn


@pytest.fixture(scope="module")
def drawn() -> dict[str, np.ndarray]:
    return faces(FacePipeline.from_pretrained(ROOT / "weights", device="cpu"))


def test_every_way_to_draw_gives_the_faces_it_gave(drawn):
    sheet = np.asarray(Image.open(FILE).convert("RGB"))
    assert sheet.shape == (64, 64 * len(drawn), 3)
    for index, (name, face) in enumerate(drawn.items()):
        known = sheet[:, 64 * index : 64 * (index + 1)].astype(int)
        assert np.abs(known - face).max() <= 2, name


if __name__ == "__main__":
    drawn = faces(FacePipeline.from_pretrained(ROOT / "weights", device="cpu"))
    Image.fromarray(np.concatenate(list(drawn.values()), axis=1)).save(FILE)
