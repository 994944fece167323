"""Generated faces beside real ones, in the eyes of the frozen judge (training/evaluation/judge.py).

Drawing is what takes time, so `draw` keeps every hundred faces on disk: an evaluation that was stopped goes on. What
the judge reports of a set of faces (`Judge.activations`) is called its activations: "pooled", "spatial" and "logits".
"""

import copy
import hashlib
import io
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torchvision.transforms.functional import gaussian_blur
from tqdm import tqdm

import model
from model.attributes import ATTRIBUTES
from model.device import half_precision
from model.diffusion import training_pair
from model.images import to_tensor
from model.pipeline import FacePipeline
from model.settings import DEFAULTS, STUDENT, Settings
from training.data.captions import caption
from training.data.prepared import Prepared
from training.evaluation.distances import frechet_from_samples, kernel_distance, nearest, precision_recall, spread
from training.evaluation.judge import FEATURES, Judge

CACHE = Path("runs/evaluate")
# faces in one file of the cache
CHUNK = 96
# whose code and tables make a face, besides weights and settings
MODEL = Path(model.__file__).parent


# --- drawing ----------------------------------------------------------------------------------------------------------


def draw(pipe: FacePipeline, faces: Sequence[Settings], cache: Path = CACHE) -> np.ndarray:
    """`pipe.generate_faces`, with a cache on disk under the hash of weights, code, settings and number format.

    In bfloat16 where the hardware multiplies that faster: the same faces, some grey levels apart.
    """
    quick, dtype = copy.copy(pipe), half_precision(pipe.device)
    quick.precision = dtype
    files = sorted(path for path in MODEL.rglob("*") if path.suffix in (".py", ".toml"))
    code = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    network = pipe.student if faces[0].sampler == STUDENT else pipe.unet
    maker = [pipe.clip.hash, network.info["hash"], code, str(dtype)]
    maker += [pipe.guided.info["hash"]] if pipe.guided else []
    drawn = []
    for start in tqdm(range(0, len(faces), CHUNK), desc="drawing", unit=f" x {CHUNK} faces"):
        part = faces[start : start + CHUNK]
        key = json.dumps([maker, [asdict(face) for face in part]])
        path = cache / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npy"
        if not path.is_file():
            keep_array(path, quick.generate_faces(part))
        drawn.append(np.load(path))
    return np.concatenate(drawn)


def keep_array(path: Path, array: np.ndarray) -> None:
    """An .npy file, whole or not there at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.save(file, array)
    os.replace(temporary, path)


def face_set(prompts: Sequence[str], number: int, run: Settings = DEFAULTS) -> list[Settings]:
    """Set `number` of the faces of these prompts, drawn as `run`: each set has seeds of its own."""
    return [replace(run, prompt=prompt, seed=100_000 * number + index) for index, prompt in enumerate(prompts)]


# --- distances that need no photographs -------------------------------------------------------------------------------


def fidelity(
    pipe: FacePipeline, judge: Judge, sets: Sequence[Sequence[Settings]], cache: Path = CACHE
) -> dict[str, dict]:
    """Fréchet distances of generated faces, see `face_set`: "pooled" and "spatial", each a `summary` over the sets."""
    return to_training(judge, [judge.activations(draw(pipe, faces, cache)) for faces in sets])


def to_training(judge: Judge, activations: Sequence[dict[str, np.ndarray]]) -> dict[str, dict]:
    """Fréchet distances of sets of faces to all training faces: a `summary` over the sets, "pooled" and "spatial"."""
    distances = {}
    for name in FEATURES:
        mean, covariance = (getattr(judge, f"{name}_{part}").cpu().numpy() for part in ("mean", "covariance"))
        distances[name] = summary([frechet_from_samples(each[name], mean, covariance) for each in activations])
    return distances


def summary(values: Sequence[float]) -> dict:
    """Mean over the sets, and their standard deviation as "spread" (None for a single set)."""
    values = np.asarray(values, np.float64)
    return {"mean": digits(values.mean()), "spread": digits(values.std(ddof=1)) if len(values) > 1 else None}


def digits(value: float) -> float:
    """Five significant digits are enough for a report."""
    return float(f"{value:.5g}")


# --- photographs ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Photographs:
    """Real faces and the judge's activations of them."""

    # (N, 64, 64, 3) uint8
    training: np.ndarray
    # (N, 256)
    training_pooled: np.ndarray
    # (M, 64, 64, 3) uint8, the validation faces; every second one mirrored, since both the U-Net and the judge's
    # statistics know faces and mirror images alike
    faces: np.ndarray
    # the judge's of `faces`
    activations: dict[str, np.ndarray]
    # (M, 40) bool
    attributes: np.ndarray
    # (M,) bool, from a small squashed JPEG
    squashed: np.ndarray
    # the prepared set's hash
    data: str

    @classmethod
    def of(cls, judge: Judge, prepared: Prepared, cache: Path = CACHE) -> "Photographs":
        held_out = prepared.validation
        training, faces = prepared.images[~held_out].numpy(), prepared.images[held_out].numpy()
        faces[::2] = faces[::2, :, ::-1].copy()
        path = cache / f"training-{prepared.hash}-{judge.info.get('hash', '')}.npy"
        if not path.is_file():
            keep_array(path, judge.activations(training)["pooled"])
        return cls(
            training,
            np.load(path),
            faces,
            judge.activations(faces),
            prepared.attributes[held_out].numpy(),
            prepared.squashed[held_out].numpy(),
            prepared.hash,
        )


def blurred(faces: np.ndarray) -> np.ndarray:
    """By a Gaussian with a standard deviation of 1 px."""
    return gaussian_blur(torch.as_tensor(faces).permute(0, 3, 1, 2), 9, 1.0).permute(0, 2, 3, 1).numpy()


def compressed(faces: np.ndarray) -> np.ndarray:
    """Through JPEG at quality 20."""

    def through(face: np.ndarray) -> np.ndarray:
        file = io.BytesIO()
        Image.fromarray(face).save(file, "JPEG", quality=20)
        return np.asarray(Image.open(file))

    return np.stack([through(face) for face in faces])


def noisy(faces: np.ndarray) -> np.ndarray:
    """With Gaussian noise of 12 grey levels."""
    noise = np.random.default_rng(12).normal(0, 12, faces.shape)
    return (faces + noise).round().clip(0, 255).astype(np.uint8)


SCALE = {"blurred by 1 px": blurred, "at JPEG quality 20": compressed, "with noise of 12 grey levels": noisy}


def scale(judge: Judge, photographs: Photographs, count: int, sets: int) -> dict:
    """What the distances mean: those of validation faces as they are (the floor), damaged, and of each kind of source.

    As many faces in a set as generated ones (`count`, or all there are). The kinds are compared at a count of their
    own, that of the rarer kind, with their own floor.
    """

    def at(activations: dict[str, np.ndarray], rows: np.ndarray, count: int) -> dict:
        picks = [np.random.default_rng(seed).permutation(rows)[:count] for seed in range(sets)]
        return to_training(judge, [{name: activations[name][pick] for name in FEATURES} for pick in picks])

    everyone, activations = np.arange(len(photographs.faces)), photographs.activations
    scales = {"count": min(count, len(everyone)), "as they are": at(activations, everyone, count)}
    scales |= {
        name: at(judge.activations(damage(photographs.faces)), everyone, count) for name, damage in SCALE.items()
    }
    kinds = {
        "small squashed JPEGs": np.flatnonzero(photographs.squashed),
        "full-size sources": np.flatnonzero(~photographs.squashed),
    }
    fewest = min(count, *map(len, kinds.values()))
    if fewest > 1:
        scales["sources"] = {"count": fewest, "both": at(activations, everyone, fewest)}
        scales["sources"] |= {name: at(activations, rows, fewest) for name, rows in kinds.items()}
    return scales


def beside_validation(photographs: Photographs, activations: Sequence[dict[str, np.ndarray]]) -> dict[str, dict]:
    """Kernel distance, precision and recall of each generated set against as many validation faces.

    "floor" holds the same for training faces in the generated ones' place.
    """
    columns = {"generated": [], "floor": []}
    for seed, generated in enumerate(activations):
        rng = np.random.default_rng(seed)
        real = rng.permutation(photographs.activations["pooled"])[: len(generated["pooled"])]
        others = {
            "generated": generated["pooled"][: len(real)],
            "floor": rng.permutation(photographs.training_pooled)[: len(real)],
        }
        for name, features in others.items():
            columns[name].append((kernel_distance(features, real), *precision_recall(real, features)))
    return {
        name: {part: summary(column) for part, column in zip(("kernel", "precision", "recall"), zip(*rows))}
        for name, rows in columns.items()
    }


# --- copies and sameness ----------------------------------------------------------------------------------------------


def memorisation(judge: Judge, photographs: Photographs, generated: np.ndarray) -> dict[str, dict]:
    """Distance of generated and validation faces to the nearest training face: in the judge's features, in grey levels.

    A copy would be far nearer than any validation face is: so the lowest percentiles are compared. Every face is
    looked up as it is and mirrored.
    """
    figures_of = {}
    of_generated, of_validation = (
        nearest_training(judge, photographs, faces) for faces in (generated, photographs.faces)
    )
    for space in of_generated:
        made, real = of_generated[space], of_validation[space]
        figures_of[space] = {
            f"{kind}_{name}": digits(np.percentile(values, percentile))
            for kind, values in (("generated", made), ("validation", real))
            for name, percentile in (("first_percentile", 1), ("median", 50))
        }
        figures_of[space]["ratio"] = digits(np.percentile(made, 1) / np.percentile(real, 1))
    return figures_of


def nearest_training(judge: Judge, photographs: Photographs, faces: np.ndarray) -> dict[str, np.ndarray]:
    """(N, 64, 64, 3) uint8 -> "pooled" (N,), in pooled features, and "pixels" (N,), root mean square in grey levels."""
    both = np.concatenate([faces, faces[:, :, ::-1]])
    nearest_of = {
        "pooled": nearest(judge.activations(both)["pooled"], photographs.training_pooled),
        "pixels": nearest(both, photographs.training) / np.prod(faces.shape[1:]) ** 0.5,
    }
    return {space: distances.reshape(2, -1).min(0) for space, distances in nearest_of.items()}


def diversity(judge: Judge, photographs: Photographs, faces: dict[str, np.ndarray], most: int = 200) -> dict:
    """Spread (mean distance of two faces, pooled features) in a prompt, beside real faces with the same attribute.

    :param faces: attribute -> faces drawn from one prompt that states it.
    :return:      mean spread of both, and the ratio per attribute: 1 is as different as real faces are, 0 all the same.
                  Attributes with fewer than two faces of either kind are left out; {} if that leaves none.
    """
    spreads = {}
    for name, drawn in faces.items():
        real = photographs.activations["pooled"][photographs.attributes[:, ATTRIBUTES.index(name)]][:most]
        if min(len(drawn), len(real)) > 1:
            spreads[name] = spread(judge.activations(drawn)["pooled"]), spread(real)
    if not spreads:
        return {}
    generated, validation = np.mean(list(spreads.values()), axis=0)
    return {
        "generated": digits(generated),
        "validation": digits(validation),
        "ratio": digits(generated / validation),
        "attributes": {name: digits(made / real) for name, (made, real) in spreads.items()},
    }


# --- loss -------------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def loss_by_noise(pipe: FacePipeline, prepared: Prepared, count: int, bins: int = 10) -> dict[str, list[float]]:
    """MSE of the U-Net's prediction in equal slices of t, on `count` training and as many validation faces.

    Each face under a fresh caption, the same noise for both sets. A gap between the two is what was learnt by heart.
    """
    steps, target = pipe.unet.config.steps, pipe.unet.config.target
    frequency = prepared.attributes[~prepared.validation].float().mean(0).clamp(min=1e-3).numpy()
    # the upper end of each slice
    curves = {"t": [round((i + 1) / bins, 3) for i in range(bins)]}
    for name, members in (("training", ~prepared.validation), ("validation", prepared.validation)):
        rows = members.nonzero()[:, 0]
        rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))[:count]]
        captions = [
            caption(prepared.attributes[row].numpy(), frequency, Random(i))[0] for i, row in enumerate(rows.tolist())
        ]
        # texts, not images; the known source
        flags = F.pad(prepared.squashed[rows][:, None].float(), (1, 0)).to(pipe.device)
        condition = torch.cat([pipe.clip.encode_texts(captions).to(pipe.device), flags], dim=1)
        original = to_tensor(prepared.images[rows])
        curves[name] = []
        for i in tqdm(range(bins), desc=f"loss, {name}"):
            noise = torch.randn(2, count, *original.shape[1:], generator=torch.Generator().manual_seed(i))[
                :, : len(rows)
            ]
            within = (torch.arange(len(rows)) + 0.5) / len(rows)
            # on the grid, which the target "previous" needs
            t = (((i + within) / bins * steps).floor() + 1) / steps
            x_t, wanted = training_pair(original, t, noise[0], target, noise[1], steps)
            parts = zip(*(part.to(pipe.device).split(64) for part in (x_t, t, condition, wanted)))
            losses = [F.mse_loss(pipe.unet(x, time, c), w, reduction="sum").item() for x, time, c, w in parts]
            curves[name].append(digits(sum(losses) / wanted.numel()))
    return curves
