"""Fit the critic (model/critic.py) to photographs, and measure it beside a person's eye.

    python -m training.evaluation.fit_critic --prepared runs/prepared --out weights/critic.safetensors
    python -m training.evaluation.fit_critic --out weights/critic.safetensors --measure

benchmarks/whole/ holds generated faces that one person sorted into whole and broken without knowing their scores.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from model.clip import Clip
from model.critic import Critic, can_see
from model.errors import InputError, exit_in_one_line
from model.files import checkpoint
from model.images import from_contact_sheet
from training.core.log import LICENCE, commit
from training.data.prepared import Prepared, load_prepared

SORTED = Path("benchmarks/whole")


def fit(prepared: Prepared, clip: Clip, count: int) -> tuple[Critic, dict]:
    """A critic of `count` training photographs, every second one mirrored, and what to write beside it.

    Raises InputError for a CLIP whose image tower is no ResNet.
    """
    if not can_see(clip):
        raise InputError(f"{clip.config.name} does not see through a ResNet: the critic needs its stages.")
    rows = (~prepared.validation).nonzero()[:, 0].numpy()
    chosen = np.random.default_rng(0).permutation(rows)[:count]
    photographs = prepared.images[chosen].numpy()
    photographs[::2] = photographs[::2, :, ::-1].copy()
    critic = Critic().eval()
    critic.fit(clip, photographs)
    held_out = critic.scores(clip, prepared.images[prepared.validation].numpy())
    return critic, {
        "kind": "critic",
        "clip": clip.hash,
        "photographs": len(photographs),
        "data": prepared.hash,
        "commit": commit(),
        "validation": {"mean": round(float(held_out.mean()), 4), "std": round(float(held_out.std()), 4)},
        "licence": LICENCE,
    }


def area_under_curve(positive: np.ndarray, negative: np.ndarray) -> float:
    """The share of pairs in which the positive one scores higher: the area under the ROC curve. (N,), (M,)."""
    higher, equal = positive[:, None] > negative[None], positive[:, None] == negative[None]
    return float(higher.mean() + 0.5 * equal.mean())


def sorted_by_eye(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(N, 64, 64, 3) uint8 faces of NAME.webp, and (N,) bool: which of them NAME.json calls broken."""
    with Image.open(folder / f"{name}.webp") as image:
        faces = from_contact_sheet(np.asarray(image.convert("RGB")), (64, 64))
    broken = json.loads((folder / f"{name}.json").read_text())["broken"]
    return faces, np.isin(np.arange(len(faces)), broken)


def beside_the_eye(critic: Critic, clip: Clip, folder: Path = SORTED) -> dict[str, float]:
    """Set of sorted faces -> the area under the curve of telling whole from broken ones."""
    areas = {}
    for path in sorted(folder.glob("*.json")):
        faces, broken = sorted_by_eye(folder, path.stem)
        scores = critic.scores(clip, faces)
        areas[path.stem] = area_under_curve(scores[~broken], scores[broken])
    return areas


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluation.fit_critic", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--prepared", type=Path, default=Path("runs/prepared"), help="what training.data.prepare wrote")
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="folder with clip.safetensors")
    parser.add_argument("--out", type=Path, default=Path("runs/critic/critic.safetensors"))
    parser.add_argument("--count", type=int, default=12_000, help="photographs to fit to")
    parser.add_argument("--measure", action="store_true", help="fit nothing: measure what --out holds")
    options = parser.parse_args(arguments)
    torch.manual_seed(0)
    with exit_in_one_line("training.evaluation.fit_critic"):
        clip = Clip.from_file(options.weights / "clip.safetensors")
        if not options.measure:
            critic, info = fit(load_prepared(options.prepared), clip, options.count)
            checkpoint.save(options.out, critic.state_dict(), asdict(critic.config), info, dtype=torch.float32)
        critic = Critic.from_file(options.out, clip)
        for name, area in beside_the_eye(critic, clip).items():
            print(f"area under the curve, {name}: {area:.3f}")


if __name__ == "__main__":
    main()
