"""What the committed weights can do, measured at the shipped defaults.

    python -m training.evaluate                        a table, and weights/evaluation.json
    python -m training.evaluate --grid assets/faces.png

For each of the 40 attributes, faces are drawn from a prompt that states it and, from the same seeds, from one that denies
it. The bundled CLIP scores them; the figure is how often a face that should have the attribute scores above one that
should not (the area under the ROC curve: 0.5 is chance, 1 is perfect). CLIP also steered these faces, so this says how
well the U-Net follows CLIP, not how a person would judge; an independent judge is still to come. What CLIP's head reads in hand-written prompts (understanding.txt) is measured as well.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from model.attributes import ATTRIBUTES, attributes_to_prompt
from model.clip import Clip
from model.errors import FacetError
from model.pipeline import DEFAULTS, FacePipeline
from training.loop import contact_sheet

PROMPTS = Path(__file__).parent / "understanding.txt"
GRID_PROMPTS = ("a smiling woman with blond hair", "a man with a beard", "a young woman with brown hair and bangs",
                "an old man with gray hair", "a smiling man with black hair", "a woman with black hair, not smiling",
                "a man wearing glasses", "")
GRID_SEEDS = tuple(range(1, 9))


def grid(pipe: FacePipeline, path: Path) -> None:
    """A PNG of 64 faces: a row per prompt of GRID_PROMPTS, a column per seed of GRID_SEEDS, at the defaults."""
    prompts = [prompt for prompt in GRID_PROMPTS for _ in GRID_SEEDS]
    faces = pipe.generate(prompts, list(GRID_SEEDS) * len(GRID_PROMPTS))
    sheet = contact_sheet(faces, len(GRID_SEEDS))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.resize((2 * sheet.width, 2 * sheet.height), Image.Resampling.LANCZOS).save(path)


def adherence(pipe: FacePipeline, count: int) -> dict[str, float]:
    """Attribute -> area under the ROC curve between `count` faces drawn with it and `count` drawn against it."""
    found, seeds = {}, list(range(count))
    for index, name in enumerate(tqdm(ATTRIBUTES, desc="attributes")):
        prompts = [attributes_to_prompt([name])] * count + [attributes_to_prompt([], [name])] * count
        scores = pipe.attribute_scores(pipe.generate(prompts, seeds * 2))[:, index]
        has, lacks = scores[:count, None], scores[None, count:]
        found[name] = round(float((has > lacks).mean() + 0.5 * (has == lacks).mean()), 3)
    return found


def read_prompts(path: Path) -> list[tuple[str, np.ndarray]]:
    """`prompt | +Present -Absent` lines -> (prompt, (40,) of 1, -1 and 0 for unmentioned)."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        prompt, statements = line.rsplit("|", 1)
        stated = np.zeros(len(ATTRIBUTES), dtype=np.int8)
        for word in statements.split():
            stated[ATTRIBUTES.index(word[1:])] = 1 if word[0] == "+" else -1
        found.append((prompt.strip(), stated))
    return found


def understanding(clip: Clip, prompts: list[tuple[str, np.ndarray]]) -> dict[str, float]:
    """What CLIP's head reads in prompts that people wrote: precision and recall over all stated attributes."""
    read = clip.stated([prompt for prompt, _ in prompts]).argmax(-1).cpu().numpy() - 1
    stated = np.stack([stated for _, stated in prompts])
    hits = ((read == stated) & (stated != 0)).sum()
    return {"prompts": len(prompts), "precision": round(float(hits / max((read != 0).sum(), 1)), 3),
            "recall": round(float(hits / (stated != 0).sum()), 3)}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__.split("\n")[0])
    parser.add_argument("--weights", type=Path, default=Path("weights"))
    parser.add_argument("--count", type=int, default=12, help="faces with, and faces without, each attribute")
    parser.add_argument("--grid", type=Path, help="only write the grid of faces to this PNG")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(arguments)
    try:
        pipe = FacePipeline.from_pretrained(options.weights, options.device)
    except FacetError as error:
        raise SystemExit(f"evaluate: {error}") from error
    if options.grid:
        return grid(pipe, options.grid)
    found, words = adherence(pipe, options.count), understanding(pipe.clip, read_prompts(PROMPTS))
    report = {"settings": vars(DEFAULTS), "faces": 2 * options.count * len(ATTRIBUTES),
              "weights": {"clip": pipe.clip.info, "unet": pipe.unet.info, "srresnet": pipe.upscaler.info},
              "understanding": words, "adherence_by_clip": found, "adherence_by_clip_mean": round(float(np.mean(list(found.values()))), 3)}
    (options.weights / "evaluation.json").write_text(json.dumps(report, indent=1) + "\n")
    print("| attribute | AUC |\n| --- | --- |")
    for name, value in sorted(found.items(), key=lambda item: -item[1]):
        print(f"| {name} | {value:.2f} |")
    print(f"| **mean** | **{report['adherence_by_clip_mean']:.3f}** |")
    print(f"\nOf {words['prompts']} hand-written prompts CLIP's head reads the attributes with precision {words['precision']:.2f} "
          f"and recall {words['recall']:.2f}.")


if __name__ == "__main__":
    main()
