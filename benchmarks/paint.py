"""Painting over a part of a face: does a seam show, is the face whole, does it follow its words, and what does it cost?

    python -m benchmarks.paint
    python -m benchmarks.paint --sheet painted.png    also a sheet: each face as it was, then painted over in each part

Draws faces from words, then a part of each anew (model/start.py): half of it and the background under the same words,
the hair in another colour, the eyes with glasses. Prints a table, a row for each part; in brackets what the faces had
before.

    step       mean difference in grey levels of two pixels on either side of the mask's edge
    jump       the same of the mean colours within three pixels of it, which no soft edge hides
    whole      the critic's score (model/critic.py), the higher the more whole
    follows    share of the faces in which the judge sees what the words ask for
    time       as a multiple of a plain face's
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from benchmarks.harness.server import ROOT
from model.attributes import ATTRIBUTES
from model.critic import Critic
from model.errors import InputError, exit_in_one_line
from model.images import contact_sheet
from model.pipeline import SIZE, FacePipeline
from training.evaluation.judge import Judge
from training.evaluation.markdown import table

# what each face is drawn from, the colour of its hair, and the one that it gets
FACES = (
    ("a smiling woman with {} hair", "blond", "black"),
    ("a man with {} hair and a beard", "black", "gray"),
    ("a young woman with {} hair and bangs", "brown", "blond"),
    ("an old man with {} hair", "gray", "brown"),
    ("a smiling man with {} hair", "black", "blond"),
    ("a woman with {} hair, not smiling", "black", "blond"),
    ("a young man with {} hair", "brown", "black"),
    ("a smiling woman with {} hair and earrings", "brown", "blond"),
)


class Painting(NamedTuple):
    """One face with one part drawn anew."""

    part: str
    # (64, 64, 3) uint8
    before: np.ndarray
    after: np.ndarray
    # an attribute that only the new words name, or ""
    asked: str
    # time as a multiple of the whole face's
    ratio: float


def parts() -> dict[str, np.ndarray]:
    """The page's own parts (assets/face/paint.js) -> masks (64, 64) bool."""
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5

    def within(x: float, y: float, width: float, height: float) -> np.ndarray:
        return np.hypot((columns - x) / width, (rows - y) / height) < 1

    head = within(32, 33, 27, 31)
    hair, eyes = head & ~within(32, 41, 13.5, 18), within(32, 32, 17, 6)
    return {"left half": columns < SIZE / 2, "hair": hair, "background": ~head, "eyes": eyes}


def step_across(face: np.ndarray, mask: np.ndarray) -> float:
    """Mean difference in grey levels of two pixels side by side, one in the mask (64, 64), one outside.

    face: (64, 64, 3) uint8.
    """
    steps = [
        np.abs(np.diff(face.astype(int), axis=axis)).mean(2)[np.diff(mask.astype(int), axis=axis) != 0]
        for axis in (0, 1)
    ]
    return float(np.concatenate(steps).mean())


def jump_across(face: np.ndarray, mask: np.ndarray, reach: int = 3) -> float:
    """Mean difference in grey levels of the colours on either side of the mask's edge, each a mean over `reach` pixels.

    face: (64, 64, 3) uint8; mask: (64, 64) bool.
    """
    pixels, part = torch.tensor(face).permute(2, 0, 1)[None].float(), torch.tensor(mask)[None, None].float()

    def around(images: Tensor, distance: int) -> Tensor:
        return F.avg_pool2d(images, 2 * distance + 1, stride=1, padding=distance, count_include_pad=False)

    inside, outside = (around(pixels * side, reach) / around(side, reach) for side in (part, 1 - part))
    edge = (part > 0) & (around(part, 1) < 1)
    return float((inside - outside).abs().mean(1, keepdim=True)[edge].mean())


def paint(pipe: FacePipeline, count: int) -> Iterator[Painting]:
    """`count` faces, each painted over in every part."""
    for seed, (words, colour, other) in enumerate(FACES[:count], 1):
        start = time.perf_counter()
        before, whole = drawn(pipe, words.format(colour), seed), time.perf_counter() - start
        asked = {"hair": (words.format(other), f"{other.title()}_Hair")}
        asked["eyes"] = (f"{words.format(colour)}, wearing glasses", "Eyeglasses")
        for part, mask in parts().items():
            prompt, attribute = asked.get(part, (words.format(colour), ""))
            start = time.perf_counter()
            after = drawn(pipe, prompt, seed + 100, start_from=before, strength=1.0, mask=mask)
            yield Painting(part, before, after, attribute, (time.perf_counter() - start) / whole)


def drawn(pipe: FacePipeline, prompt: str, seed: int, **start) -> np.ndarray:
    *_, last = pipe.stream(prompt, seed, **start)
    return last.denoised


def rows(paintings: list[Painting], pipe: FacePipeline, critic: Critic, judge: Judge) -> Iterator[list[str]]:
    """A row of the table for each part: figures of the painted faces, and in brackets of the faces that they were."""
    for part, mask in parts().items():
        some = [one for one in paintings if one.part == part]
        sides = np.stack([one.after for one in some]), np.stack([one.before for one in some])
        steps = [np.mean([step_across(face, mask) for face in faces]) for faces in sides]
        jumps = [np.mean([jump_across(face, mask) for face in faces]) for faces in sides]
        whole = [critic.scores(pipe.clip, faces).mean() for faces in sides]
        asked = [ATTRIBUTES.index(one.asked) for one in some if one.asked]
        seen = [judge.activations(faces)["logits"][range(len(asked)), asked] > 0 for faces in sides if asked]
        yield [
            part,
            "{:.1f} ({:.1f})".format(*steps),
            "{:.1f} ({:.1f})".format(*jumps),
            "{:.2f} ({:.2f})".format(*whole),
            "{:.0%} ({:.0%})".format(*map(np.mean, seen)) if asked else "",
            f"{np.median([one.ratio for one in some]):.2f}",
        ]


def sheet(pipe: FacePipeline, paintings: list[Painting]) -> Image.Image:
    """A row for each face, at 512 pixels: as it was, then painted over in each part."""
    count = len(parts())
    cells = [
        pipe.upscale(face[None])[0]
        for first in range(0, len(paintings), count)
        for face in (paintings[first].before, *(one.after for one in paintings[first : first + count]))
    ]
    return Image.fromarray(contact_sheet(np.stack(cells), count + 1))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paint", description=__doc__.split("\n")[0])
    parser.add_argument("--weights", type=Path, default=ROOT / "weights")
    parser.add_argument("--faces", type=int, choices=range(1, len(FACES) + 1), default=len(FACES), metavar="COUNT")
    parser.add_argument("--sheet", type=Path, help="where a picture of all faces goes, at 512 pixels each")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(arguments)
    with exit_in_one_line("benchmarks.paint"):
        pipe = FacePipeline.from_pretrained(options.weights, options.device)
        if pipe.critic is None:
            raise InputError(f"{options.weights} has no critic.safetensors, by which faces are compared.")
        judge = Judge.from_file(options.weights / "judge.safetensors", pipe.device)
        paintings = list(paint(pipe, options.faces))
        heading = ["part", "step", "jump", "whole", "follows", "time"]
        print(table(heading, rows(paintings, pipe, pipe.critic, judge)))
        if options.sheet:
            sheet(pipe, paintings).save(options.sheet)


if __name__ == "__main__":
    main()
