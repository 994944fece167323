"""Fit the critic (model/critic.py) to photographs, and measure it beside what viewers say of drawn faces.

    python -m training.critic.fit --prepared runs/prepared --drawn runs/evaluate --out weights/critic.safetensors
    python -m training.critic.fit --out weights/critic.safetensors --measure

The Gaussians are fitted to photographs alone. The network beside them learns from photographs and from drawn faces
that the Gaussians call whole, as they are and tampered with; then from drawn faces that viewers have graded by eye
(training/critic/graded/). Other faces measure it: those of benchmarks/whole/ were sorted into whole and broken ones,
those of benchmarks/graded/ were graded. No viewer knew the critic's scores.
"""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from model.clip import Clip
from model.critic import Critic, CriticConfig, can_see, stages
from model.device import half_precision
from model.errors import InputError, exit_in_one_line
from model.files import checkpoint
from model.settings import whole
from training.core.budget import warmup_then_linear
from training.core.log import LICENCE, commit
from training.core.loop import set_learning_rate
from training.core.optimizer import finite
from training.core.state import check_writable
from training.critic.grades import BENCHMARK, SEEDS, TRAINING, Graded, beside_grades, learn_grades, sheet
from training.critic.tamper import SIDE, Tamper
from training.data.prepared import Prepared, load_prepared

SORTED = Path("benchmarks/whole")
# of a drawn face, by the Gaussians: what scores lower may be broken already, and is no example of a whole one
LOWEST = -1.2
# the network beside the Gaussians: channels, faces of a step (each whole and broken), the peak of AdamW's rate
WIDTH, BATCH, LEARNING_RATE = 64, 128, 1e-3
# how much it counts beside each of them
WEIGHT = 3.0
LOG_EVERY = 100


@dataclass(frozen=True)
class Amount:
    """How much the critic learns from."""

    # training photographs for the Gaussians, every second one mirrored
    photographs: int = 12_000
    # steps in which tampering is learnt
    steps: int = 650
    # steps in which grades are learnt
    graded_steps: int = 300


def drawn_faces(folder: Path) -> Tensor:
    """(N, 64, 64, 3) uint8: all faces that the evaluation keeps in .npy files of a folder; none without a folder."""
    arrays = [np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy"))]
    faces = [array for array in arrays if array.dtype == np.uint8 and array.shape[1:] == (SIDE, SIDE, 3)]
    return torch.from_numpy(np.concatenate([np.zeros((0, SIDE, SIDE, 3), np.uint8), *faces]))


def learn_tampering(critic: Critic, clip: Clip, faces: tuple[Tensor, Tensor], steps: int, seed: int = 0) -> None:
    """Train `critic.tampered` to tell faces that were tampered with from whole ones.

    :param faces: photographs and drawn faces, (N, 64, 64, 3) uint8. A step takes as many of both, where there are both,
                  mirrored or not. Of the whole ones, every second one is tampered with outside the face.

    Raises FacetError if the loss is not a number.
    """
    network, tamper = critic.tampered, Tamper(seed)
    assert network is not None
    device = next(network.parameters()).device
    kinds = [kind for kind in faces if len(kind)]
    dtype = half_precision(device)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)

    def maps(images: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad(), torch.autocast(device.type, dtype, enabled=dtype is not None):
            second, third = stages(clip, images.to(device))
        return second.float(), third.float()

    network.train()
    for step in range(steps):
        set_learning_rate([optimizer], LEARNING_RATE * warmup_then_linear(step / steps, 0.05))
        rows = [torch.randint(len(kind), (BATCH // len(kinds),), generator=tamper.generator) for kind in kinds]
        images = torch.cat([kind[each] for kind, each in zip(kinds, rows)]).permute(0, 3, 1, 2).float() / 255
        mirrored = tamper.uniform(0, 1, len(images), 1, 1, 1) < 0.5
        images = torch.where(mirrored, images.flip(3), images)
        untouched = tamper.uniform(0, 1, len(images), 1, 1, 1) < 0.5
        whole, broken = torch.where(untouched, images, tamper.outside(images)), tamper.inside(images)
        if step == 0:
            network.std.copy_(torch.stack([part.std() for part in maps(images)]))
        loss = F.softplus(network(maps(whole))).mean() + F.softplus(-network(maps(broken))).mean()
        optimizer.zero_grad(set_to_none=True)
        finite(loss).backward()
        optimizer.step()
        if step % LOG_EVERY == 0:
            print(json.dumps({"step": step, "loss": round(loss.item(), 4)}), flush=True)
    network.eval()


def fit(prepared: Prepared, clip: Clip, drawn: Tensor, graded: Graded, amount: Amount) -> tuple[Critic, dict]:
    """A critic, and what to write beside it.

    :param drawn: (N, 64, 64, 3) uint8, see `drawn_faces`; those that the Gaussians call whole are tampered with.

    Raises InputError for a CLIP whose image tower is no ResNet.
    """
    if not can_see(clip):
        raise InputError(f"{clip.config.name} does not see through a ResNet: the critic needs its stages.")
    rows = (~prepared.validation).nonzero()[:, 0].numpy()
    chosen = np.random.default_rng(0).permutation(rows)[: amount.photographs]
    photographs = prepared.images[chosen].numpy()
    photographs[::2] = photographs[::2, :, ::-1].copy()
    gaussians, critic = Critic().eval(), Critic(CriticConfig(width=WIDTH, weight=WEIGHT)).eval()
    gaussians.fit(clip, photographs)
    whole = gaussians.scores(clip, drawn.numpy()) > LOWEST
    drawn = drawn[torch.from_numpy(whole)]
    learn_tampering(critic, clip, (prepared.images[rows], drawn), amount.steps)
    assert critic.tampered is not None
    learn_grades(critic.tampered, clip, graded, amount.graded_steps)
    critic.fit(clip, photographs)
    held_out = critic.scores(clip, prepared.images[prepared.validation].numpy())
    return critic, {
        "kind": "critic",
        "clip": clip.hash,
        "photographs": len(photographs),
        "steps": amount.steps,
        "drawn": len(drawn),
        "graded": len(graded.faces),
        "graded_steps": amount.graded_steps,
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
    faces = sheet(folder / f"{name}.webp")
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
        prog="python -m training.critic.fit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prepared", type=Path, default=Path("runs/prepared"), help="what training.data.prepare wrote")
    parser.add_argument(
        "--drawn", type=Path, default=Path("runs/evaluate"), help="folder where the evaluation keeps the faces it draws"
    )
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="folder with clip.safetensors")
    parser.add_argument("--out", type=Path, default=Path("runs/critic/critic.safetensors"))
    parser.add_argument("--count", type=int, default=Amount.photographs, help="photographs to fit the Gaussians to")
    parser.add_argument("--steps", type=int, default=Amount.steps, help="steps in which tampering is learnt")
    parser.add_argument("--graded", type=Path, default=TRAINING, help="folder of graded faces to learn from")
    parser.add_argument(
        "--graded-steps", type=int, default=Amount.graded_steps, help="steps in which their grades are learnt"
    )
    parser.add_argument("--measure", action="store_true", help="fit nothing: measure what --out holds")
    options = parser.parse_args(arguments)
    torch.manual_seed(0)
    with exit_in_one_line("training.critic.fit"):
        clip = Clip.from_file(options.weights / "clip.safetensors")
        if not options.measure:
            check_writable(options.out.parent, options.out)
            prepared, drawn = load_prepared(options.prepared), drawn_faces(options.drawn)
            amount = Amount(
                whole("--count", options.count, 2, 10**6),
                whole("--steps", options.steps, 0, 10**6),
                whole("--graded-steps", options.graded_steps, 0, 10**6),
            )
            critic, info = fit(prepared, clip, drawn, Graded.read(options.graded), amount)
            checkpoint.save(options.out, critic.state_dict(), asdict(critic.config), info, dtype=torch.float32)
        critic = Critic.from_file(options.out, clip)
        for name, area in beside_the_eye(critic, clip).items():
            print(f"area under the curve, {name}: {area:.3f}")
        graded = Graded.read(BENCHMARK)
        scores, broken = critic.scores(clip, graded.faces), graded.grades() <= 0.5
        print(f"area under the curve, graded: {area_under_curve(scores[~broken], scores[broken]):.3f}")
        for name, figure in beside_grades(critic, clip, graded).items():
            print(f"best of {SEEDS}, {name}: {figure:.3f}")


if __name__ == "__main__":
    main()
