"""What the committed weights can do, measured at the shipped defaults.

    python -m training.evaluation.evaluate                                 what needs no photographs
    python -m training.evaluation.evaluate --prepared runs/prepared        what needs them too; --ddpm takes longest
    python -m training.evaluation.evaluate --count 200 --sets 1 --each 2   a first impression
    python -m training.evaluation.evaluate --grid assets/pictures/faces.png   only the README's grids of faces

The judge (training/evaluation/judge.py) looks at the faces. It shares nothing with CLIP, which steered them, and it
carries the statistics of the real training faces, so distances need no photographs. Three kinds of prompts, fixed in
files (training/data/prompts.py): captions of validation faces, each attribute alone, and sets of three attributes.

Distances grow as the count of faces falls. Writes evaluation.json beside the weights and the tables between the
markers of the model card there (training/evaluation/card.py). Faces are kept in runs/evaluate/, so a second run, or
one after an interruption, goes on where it was.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image
from torch import nn

from model.attributes import ATTRIBUTES
from model.clip import Clip
from model.errors import InputError, WeightsError, exit_in_one_line
from model.images import contact_sheet
from model.pipeline import FacePipeline
from model.settings import DEFAULTS, Settings, whole
from training.clip.quality import steadiness, understanding, validate
from training.data.prepared import Prepared, load_prepared
from training.data.prompts import CAPTIONS, THREES, UNDERSTANDING, read_prompts
from training.evaluation.adherence import adherence, single_prompts
from training.evaluation.card import PLACE, card
from training.evaluation.fidelity import (
    CACHE,
    Photographs,
    beside_validation,
    diversity,
    draw,
    face_set,
    fidelity,
    loss_by_noise,
    memorisation,
    scale,
    summary,
    to_training,
)
from training.evaluation.inception import inception, inception_fid
from training.evaluation.judge import Judge

GRID_PROMPTS = (
    "a smiling woman with blond hair",
    "a man with a beard",
    "a young woman with brown hair and bangs",
    "an old man with gray hair",
    "a smiling man with black hair",
    "a woman with black hair, not smiling",
    "a man wearing glasses",
    "",
)
GRID_SEEDS = tuple(range(1, 9))
FREE_TEXT = (
    "a cheerful grandmother with white hair and glasses",
    "dude in a baseball cap",
    "blonde lady, red lipstick, big smile",
    "he is bald and has a goatee",
    "a serious businessman in a tie",
    "young woman with a fringe, no earrings",
    "man with stubble and bushy eyebrows",
    "smilng girl with curly brown hair",
    "an old man, no hat, grey beard",
    "she wears sunglasses and a necklace",
    "chubby guy with a double chin",
    "pale woman with jet-black straight hair",
    "a gentleman with a moustache, in the rain",
    "rosy cheeks, blond, laughing",
    "someone with a receding hairline",
    "glasses, no beard, not smiling",
    "a bearded fellow without glasses",
    "heavy makeup and high cheekbones",
    "a man who isn't young",
    "astronaut riding a horse",
)
FREE_SEEDS = (1, 2, 3)
# captions of validation faces, one face of each
UNSEEN = 64
# faces of a kind, or sets, that can be asked for
MOST = 100_000


@dataclass(frozen=True)
class Size:
    """How many faces to look at. Distances depend on the count, so only equal sizes compare."""

    # faces of a set, one per caption
    count: int = 900
    # sets, with a seed each
    sets: int = 3
    # faces for, and against, each single attribute
    each: int = 20
    # faces of three attributes
    threes: int = 640
    # faces of each kind for the loss by noise level
    loss: int = 256


@dataclass(frozen=True)
class Plan:
    """What to measure, and by how many faces."""

    size: Size = field(default_factory=Size)
    # also draw the first set by 100 steps of DDPM, which takes eight times as long as a set
    ddpm: bool = False
    # real faces, for the floor and scale of the distances and for what stands in NEED_PHOTOGRAPHS
    prepared: Prepared | None = None
    # Inception, for its FID where there are real faces (see training/evaluation/inception.py)
    fid_network: nn.Module | None = None


SIZES = {"full": Size(), "quick": Size(count=12, sets=2, each=1, threes=4, loss=4)}
# Generated and validation faces, at least: precision and recall look at each face's third neighbour.
FEWEST = 4
NEED_PHOTOGRAPHS = ("beside_validation", "clip_on_faces", "memorisation", "diversity", "loss_by_noise")


def measure(pipe: FacePipeline, judge: Judge, plan: Plan, cache: Path = CACHE) -> dict:
    """Everything that is to be known about these weights, as JSON's types. cache: where drawn faces are kept."""
    size, on_real = plan.size, known_accuracy(judge)
    captions, stated = prompts_of(CAPTIONS, size.count)
    threes, stated_by_three = prompts_of(THREES, size.threes)
    singles = [(text, row, seed) for text, row in single_prompts() for seed in range(size.each)]

    sets = [draw(pipe, face_set(captions, seed), cache) for seed in range(1, size.sets + 1)]
    single_faces = draw(pipe, [Settings(text, seed=seed) for text, _, seed in singles], cache)
    three_faces = draw(pipe, face_set(threes, 0), cache)
    activations = [judge.activations(faces) for faces in sets]

    caption_sets = [adherence(each["logits"] > 0, stated, on_real) for each in activations]
    by_caption = adherence(
        np.concatenate([each["logits"] > 0 for each in activations]), np.tile(stated, (size.sets, 1)), on_real
    )
    networks = {"clip": pipe.clip, "unet": pipe.unet, "guided": pipe.guided, "srresnet": pipe.upscaler, "judge": judge}
    report = {
        "settings": DEFAULTS.sampling(),
        "size": asdict(size),
        "weights": {
            name: {key: value for key, value in part.info.items() if key != "attributes"}
            for name, part in networks.items()
            if part is not None
        },
        "frechet": to_training(judge, activations),
        "adherence": {
            "single": adherence(
                judge.activations(single_faces)["logits"] > 0, np.stack([row for _, row, _ in singles]), on_real
            ),
            "three": adherence(judge.activations(three_faces)["logits"] > 0, stated_by_three, on_real),
            "caption": by_caption
            | {"spread": summary([figures["share_of_margin"] for figures in caption_sets])["spread"]},
        },
        "understanding": understanding(pipe.clip, read_prompts(UNDERSTANDING)) | steadiness(pipe.clip, stated_by_three),
    }
    if plan.ddpm:
        ddpm_100 = Settings(steps=100, sampler="ddpm")
        report["ddpm_100"] = {
            "defaults": to_training(judge, activations[:1]),
            "ddpm_100": fidelity(pipe, judge, [face_set(captions, 1, ddpm_100)], cache),
        }
    if plan.prepared:
        photographs = Photographs.of(judge, plan.prepared, cache)
        stating = {name: single_faces[2 * i * size.each :][: size.each] for i, name in enumerate(ATTRIBUTES)}
        report |= {
            "scale": scale(judge, photographs, size.count, size.sets),
            "beside_validation": beside_validation(photographs, activations),
            "memorisation": memorisation(judge, photographs, np.concatenate(sets)),
            "diversity": diversity(judge, photographs, stating),
            "clip_on_faces": clip_on_faces(pipe.clip, judge, plan.prepared),
            "loss_by_noise": loss_by_noise(pipe, plan.prepared, size.loss),
        }
        if plan.fid_network:
            report["inception_fid"] = inception_fid(
                plan.fid_network, np.concatenate(sets), photographs.faces, photographs.training
            )
    # a tuple among the settings comes back from the file as a list
    return json.loads(json.dumps(report))


def known_accuracy(judge: Judge) -> dict[str, float]:
    """Attribute -> the judge's balanced accuracy on real validation faces, where they had faces of both kinds."""
    rates = judge.info.get("validation", {}).get("balanced_accuracy", {})
    known = {name: rate for name, rate in rates.items() if np.isfinite(rate)}
    if not known:
        raise WeightsError("the judge was never measured on real faces: train it again with validation faces at hand.")
    return known


def prompts_of(path: Path, count: int) -> tuple[list[str], np.ndarray]:
    """The first `count` prompts of a file, and what they state: (count, 40)."""
    prompts = read_prompts(path)
    if not 1 < count <= len(prompts):
        raise InputError(f"{path.name} serves for 2 to {len(prompts)} faces, not {count}.")
    return [text for text, _ in prompts[:count]], np.stack([row for _, row in prompts[:count]])


def clip_on_faces(clip: Clip, judge: Judge, prepared: Prepared) -> dict[str, float]:
    """CLIP on validation faces (see training/clip/quality.py), and how near prompts alone come to the judge."""
    figures, real = validate(clip, prepared), float(np.mean(list(known_accuracy(judge).values())))
    return {name: round(value, 4) for name, value in figures.items()} | {
        "judge": round(real, 4),
        "share_of_margin": round((figures["zero_shot"] - 0.5) / (real - 0.5), 4),
    }


def keep(report: dict, before: dict) -> dict:
    """Take over from an earlier report what this run did not measure again and what still holds.

    The scale holds for the same judge and size; the rest for the same CLIP, U-Net, guided network and settings as well.
    """

    def same(*networks: str) -> bool:
        return before.get("size") == report["size"] and all(
            before["weights"].get(name, {}).get("hash") == report["weights"].get(name, {}).get("hash")
            for name in networks
        )

    kept = ("scale",) if same("judge") else ()
    if same("judge", "clip", "unet", "guided") and before["settings"] == report["settings"]:
        kept += ("ddpm_100", "inception_fid", *NEED_PHOTOGRAPHS)
    return {key: before[key] for key in kept if key in before} | report


def every_seed(prompts: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    """Every prompt with every seed at the defaults, the seeds of a prompt in a row."""
    return [Settings(prompt, seed=seed) for prompt in prompts for seed in seeds]


def grid(pipe: FacePipeline, path: Path, faces: Sequence[Settings], columns: int) -> None:
    """A PNG of faces, row by row."""
    sheet = Image.fromarray(contact_sheet(pipe.generate_faces(faces), columns))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.resize((2 * sheet.width, 2 * sheet.height), Image.Resampling.LANCZOS).save(path)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.evaluation.evaluate", description=__doc__.split("\n")[0])
    parser.add_argument("--weights", type=Path, default=Path("weights"))
    parser.add_argument("--judge", type=Path, help="the judge's file, if it is not among the weights")
    parser.add_argument("--prepared", type=Path, help="what training.data.prepare wrote, for what needs photographs")
    parser.add_argument("--ddpm", action="store_true", help="compare with 100 steps of DDPM (long)")
    parser.add_argument(
        "--inception",
        nargs="?",
        const="",
        metavar="FILE",
        help="with --prepared, Inception FID too: by the weights in FILE, else fetched",
    )
    parser.add_argument("--quick", action="store_true", help="a few faces, to see that everything runs")
    for name in ("count", "sets", "each", "threes"):
        parser.add_argument(f"--{name}", type=int, help=f"{getattr(Size(), name)} unless told (see Size)")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where drawn faces are kept")
    parser.add_argument(
        "--grid", type=Path, help="only write the grid of faces to this PNG, and free-text.png and unseen.png beside it"
    )
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(arguments)
    named = {name: getattr(options, name) for name in ("count", "sets", "each", "threes")}
    with exit_in_one_line("training.evaluation.evaluate"):
        given = {name: whole(f"--{name}", value, 1, MOST) for name, value in named.items() if value is not None}
        pipe = FacePipeline.from_pretrained(options.weights, options.device)
        if options.grid:
            grid(pipe, options.grid, every_seed(GRID_PROMPTS, GRID_SEEDS), columns=len(GRID_SEEDS))
            free_text, unseen = (options.grid.with_name(f"{name}.png") for name in ("free-text", "unseen"))
            grid(pipe, free_text, every_seed(FREE_TEXT, FREE_SEEDS), columns=4 * len(FREE_SEEDS))
            grid(pipe, unseen, face_set(prompts_of(CAPTIONS, UNSEEN)[0], 1), columns=8)
            return
        PLACE.check(options.weights / "README.md")
        judge = Judge.from_file(options.judge or options.weights / "judge.safetensors", pipe.device)
        prepared = load_prepared(options.prepared) if options.prepared else None
        if options.inception is not None and not prepared:
            raise InputError("Inception FID is a distance to photographs: name them by --prepared (DATA=... for make).")
        file = Path(options.inception) if options.inception else None
        fid_network = None if options.inception is None else inception(file, pipe.device)
        size = replace(SIZES["quick" if options.quick else "full"], **given)
        if prepared and min(size.count, int(prepared.validation.sum())) < FEWEST:
            raise InputError(f"Photographs are compared with at least {FEWEST} generated and validation faces.")
        report = measure(pipe, judge, Plan(size, options.ddpm, prepared, fid_network), options.cache)
    path = options.weights / "evaluation.json"
    report = keep(report, json.loads(path.read_text())) if path.is_file() else report
    path.write_text(json.dumps(report, indent=1) + "\n")
    PLACE.write(options.weights / "README.md", card(report))
    print(card(report))


if __name__ == "__main__":
    main()
