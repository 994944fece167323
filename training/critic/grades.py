"""Drawn faces that viewers have graded by eye, what the critic learns from them, and how it is measured beside them.

Tampering (tamper.py) shows the critic which faults there can be, and grades how much each disturbs. All that counts is
which of two faces a viewer grades higher (RankNet, Burges et al. 2005): one viewer is stricter than another.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from model.clip import Clip
from model.critic import Critic, Tampered, feature_maps, parts
from model.errors import InputError
from model.images import from_contact_sheet
from training.core.budget import warmup_then_linear
from training.core.loop import set_learning_rate
from training.core.optimizer import finite
from training.critic.tamper import SIDE

# those to learn from, and those to measure by
TRAINING, BENCHMARK = Path("training/critic/graded"), Path("benchmarks/graded")
# faces of a step, and the peak of AdamW's rate
BATCH, LEARNING_RATE = 128, 5e-4
# seeds of a prompt among the faces to measure by, one after another
SEEDS = 4


@dataclass(frozen=True, eq=False)
class Graded:
    """N faces, as they are drawn and as the student shows them while a seed is chosen, (N, 64, 64, 3) uint8."""

    faces: np.ndarray
    previews: np.ndarray
    # Grades from 0, broken, to 3, good. To learn from: each viewer's own, one viewer's faces after another's. To
    # measure by: the first grade of every face, then the second, by another viewer.
    viewers: tuple[np.ndarray, ...]

    @classmethod
    def read(cls, folder: Path) -> "Graded":
        """Raises InputError if the folder does not hold them."""
        try:
            viewers = json.loads((folder / "grades.json").read_text())["viewers"]
            return cls(
                sheet(folder / "faces.webp"),
                sheet(folder / "previews.webp"),
                tuple(np.array([int(grade) for grade in grades]) for grades in viewers),
            )
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise InputError(f"{folder} holds no graded faces that can be read: {error}.") from error

    def ranks(self) -> np.ndarray:
        """(N,) in [0, 1], of faces that have one viewer each: the share of the viewer's faces that are graded lower,
        those of the same grade counting half.
        """
        return np.concatenate(
            [(own[:, None] > own).mean(1) + (own[:, None] == own).mean(1) / 2 for own in self.viewers]
        )

    def grades(self) -> np.ndarray:
        """(N,) in [0, 3], of faces that have several grades: the mean."""
        return np.mean(self.viewers, axis=0)


def sheet(path: Path) -> np.ndarray:
    """(N, 64, 64, 3) uint8 of a picture that holds faces side by side."""
    with Image.open(path) as image:
        return from_contact_sheet(np.asarray(image.convert("RGB")), (SIDE, SIDE))


def learn_grades(network: Tampered, clip: Clip, graded: Graded, steps: int, seed: int = 0) -> None:
    """Train further: of two faces, the one that is graded higher shall have the lower log-odds of being broken.

    Faces and previews, as they are and mirrored, take turns. Raises FacetError if the loss is not a number.
    """
    device = next(network.parameters()).device
    shown = (graded.faces, graded.previews, graded.faces[:, :, ::-1], graded.previews[:, :, ::-1])
    # in half precision: 110 kB for each of them
    looks = [[[stage.half() for stage in feature_maps(clip, part.copy())] for part in parts(each)] for each in shown]
    maps = [[torch.cat(stage) for stage in zip(*look)] for look in looks]
    ranks, generator = torch.from_numpy(graded.ranks()).to(device), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    network.train()
    for step in range(steps):
        set_learning_rate([optimizer], LEARNING_RATE * warmup_then_linear(step / steps, 0.05))
        rows = torch.randint(len(ranks), (BATCH,), generator=generator).to(device)
        second, third = (stage[rows].float() for stage in maps[step % len(maps)])
        odds = network((second, third))
        # by how much one is graded higher than the other, in rows and columns
        higher = (ranks[rows][:, None] - ranks[rows]).clamp(min=0)
        loss = (higher * F.softplus(odds[:, None] - odds)).sum() / higher.sum().clamp(min=1e-6)
        optimizer.zero_grad(set_to_none=True)
        finite(loss).backward()
        optimizer.step()
    network.eval()


def beside_grades(critic: Critic, clip: Clip, graded: Graded) -> dict[str, float]:
    """How well the critic chooses the best of four seeds by the student's previews. (The app adds how well each fits
    its prompt.)

    The mean grade of a face and the share of broken faces (a mean grade of 0.5 or less): with one seed, with the one of
    four that the critic chooses, and with the one that the viewers grade highest.
    """
    grades = graded.grades().reshape(-1, SEEDS)
    scores = critic.scores(clip, graded.previews).reshape(-1, SEEDS)
    chosen = {"one seed": grades, "the critic's": taken(grades, scores), "the viewers'": taken(grades, grades)}
    figures = {f"grade, {name}": float(each.mean()) for name, each in chosen.items()}
    return figures | {f"broken, {name}": float((each <= 0.5).mean()) for name, each in chosen.items()}


def taken(grades: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(M, K), (M, K) -> (M,): in each row the grade whose score is the highest."""
    return np.take_along_axis(grades, scores.argmax(1)[:, None], 1)[:, 0]
