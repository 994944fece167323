"""A data folder for the upsampler's training like the real one, with drawings for photographs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

PICTURES = {
    "faces_hq/london-neutral-004.jpg": (96, 96),
    "faces_hq/london-neutral-005.jpg": (96, 96),
    "faces_256/00001.jpg": (256, 256),
    "portraits/A1.jpg": (80, 100),
    "sr/BSDS399/b.jpg": (120, 100),
    "sr/T91/t1.png": (40, 40),
    "sr/Set5/a.png": (64, 49),
    "sr/Set5/b.png": (57, 60),
    "sr/Set14/a.png": (64, 64),
    "sr/Set14/bridge.png": (60, 64),
}


def drawing(width: int, height: int, seed: int) -> Image.Image:
    """Ellipses of random colours: sharp edges, which bicubic enlargement blurs."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (width, height), tuple(random.integers(0, 256, 3).tolist()))
    for _ in range(30):
        x, y, r = (int(random.integers(*within)) for within in ((0, width), (0, height), (5, 60)))
        ImageDraw.Draw(image).ellipse((x - r, y - r, x + r, y + r), fill=tuple(random.integers(0, 256, 3).tolist()))
    return image


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """Person 5 is held out; `bridge` is grey."""
    root = tmp_path_factory.mktemp("data")
    for seed, (name, size) in enumerate(PICTURES.items()):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        drawing(*size, seed).convert("L" if "bridge" in name else "RGB").save(root / name)
    return root


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the script catches it."""


def killed_after(script, steps: int, run: Callable[[], None]) -> None:
    """Do `run()`, a training of the script, and kill it at the step after so many."""
    step, left = script.train_step, [steps]

    def killed(*args):
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        return step(*args)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(script, "train_step", killed)
        run()
