"""The four samplers from the same noise, in few steps and in many: the pictures behind a slider of "How it works".

    python -m training.evaluation.samplers

Writes samplers.webp and samplers.json into assets/how/. The sheet has a row of 64 px tiles for each sampler, a column
for each number of steps, and one more tile at the end of the first row: the exact solution, which is UniPC in EXACT
steps. Distances are mean squared ones to that, pixels in [-1, 1], the mean of several faces. (ui/how/reverse.py shows
both files.)
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from model.errors import exit_in_one_line
from model.guidance import Guidance, Predictor, guided
from model.images import to_pixels
from model.pipeline import SIZE, FacePipeline
from model.sampler import SAMPLERS, noise_of, time_grid

# the first is shown
PROMPT, SEEDS = "a smiling woman with brown hair", (7, 1, 2, 3)
STEPS = (2, 3, 4, 6, 8, 12, 16, 25, 50)
EXACT = 100
# at all times, so that the path is smooth and there is one exact solution
GUIDANCE = 2.0


def finished(pipe: FacePipeline, sampler: str, steps: int) -> Tensor:
    """The faces of SEEDS: (N, 3, 64, 64)."""
    condition, empty = pipe.condition([PROMPT, ""]).split(1)
    condition = condition.expand(len(SEEDS), -1)
    fresh_noise = noise_of(SEEDS, (3, SIZE, SIZE), pipe.device)
    predictor = Predictor(pipe.unet, pipe.unet.config.target, pipe.unet.config.steps)
    denoise = guided(predictor, condition, empty, Guidance(GUIDANCE))
    *_, last = SAMPLERS[sampler](denoise, fresh_noise(), time_grid(steps, sampler), fresh_noise)
    return last.denoised.cpu()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluation.samplers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--weights", default="weights")
    parser.add_argument("--out", type=Path, default=Path("assets/how"))
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS)
    parser.add_argument("--exact", type=int, default=EXACT)
    options = parser.parse_args(arguments)
    with exit_in_one_line("training.evaluation.samplers"):
        options.out.mkdir(parents=True, exist_ok=True)
        pipe = FacePipeline.from_pretrained(options.weights)
    exact = finished(pipe, "unipc", options.exact)
    sheet = np.zeros((SIZE * len(SAMPLERS), SIZE * (len(options.steps) + 1), 3), np.uint8)
    sheet[:SIZE, -SIZE:] = to_pixels(exact[:1])[0]
    distances: dict[str, list[float]] = {}
    for row, sampler in enumerate(SAMPLERS):
        distances[sampler] = []
        for column, steps in enumerate(options.steps):
            faces = finished(pipe, sampler, steps)
            distances[sampler].append(round((faces - exact).square().mean().item(), 5))
            place = np.s_[SIZE * row : SIZE * (row + 1), SIZE * column : SIZE * (column + 1)]
            sheet[place] = to_pixels(faces[:1])[0]
        print(sampler, *distances[sampler], flush=True)
    Image.fromarray(sheet).save(options.out / "samplers.webp", quality=90)
    about = {
        "unet": pipe.unet.info["hash"],
        "prompt": PROMPT,
        "seed": SEEDS[0],
        "faces": len(SEEDS),
        "guidance": GUIDANCE,
        "exact": options.exact,
        "steps": list(options.steps),
        "distances": distances,
    }
    (options.out / "samplers.json").write_text(json.dumps(about) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
