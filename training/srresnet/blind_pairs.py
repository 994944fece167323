"""Sheets for judging with the order hidden: faces as the app makes them, enlarged in two ways, side by side.

    python -m training.srresnet.blind_pairs --weights weights --out runs/pairs
    python -m training.srresnet.blind_pairs --score runs/pairs/bicubic/key.json answers.json

Each comparison has a folder with sheets, all pairs in one small file to keep, and key.json: which side is which.
Someone who has not seen the key writes for every number which side looks better, {"1": "left", "2": "right", ...};
`--score` counts.
"""

import argparse
import json
import random
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from model.errors import InputError, exit_in_one_line
from model.pipeline import FacePipeline
from training.data.prompts import THREES, read_prompts

COUNT = 30
# pairs of a sheet, one below the other
ROWS = 3
# px between the two pictures
GAP = 12
SIDES = ("left", "right")


def faces_of_the_app(pipe: FacePipeline, count: int = COUNT) -> np.ndarray:
    """Faces at the defaults, of the evaluation's first prompts and the seeds 1, 2, ...: (N, 64, 64, 3) uint8."""
    return pipe.generate([prompt for prompt, _ in read_prompts(THREES)[:count]], range(1, count + 1))


def ways(pipe: FacePipeline, faces: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Comparison -> two ways to enlarge -> (N, 512, 512, 3) uint8."""
    large = pipe.upscale(faces)
    bicubic = np.stack([Image.fromarray(face).resize(large.shape[2:0:-1], Image.Resampling.BICUBIC) for face in faces])
    comparisons = {"bicubic": {"srresnet": large, "bicubic": bicubic}}
    if pipe.crisp:
        comparisons["crisp"] = {"crisp": pipe.upscale(faces, crisp=True), "faithful": large}
    return comparisons


def write_sheets(pair: dict[str, np.ndarray], folder: Path, order: random.Random) -> None:
    """PNGs of ROWS numbered pairs to judge by, all.webp to keep, and key.json: number -> side -> way.

    `order` decides the sides.
    """
    folder.mkdir(parents=True, exist_ok=True)
    count = len(next(iter(pair.values())))
    key = {str(i + 1): dict(zip(SIDES, order.sample(sorted(pair), 2))) for i in range(count)}
    for start in range(0, count, ROWS):
        sheet(pair, key, range(start, min(start + ROWS, count)), 1).save(folder / f"pairs-{start + 1:02d}.png")
    sheet(pair, key, range(count), 3).save(folder / "all.webp", quality=70)
    (folder / "key.json").write_text(json.dumps(key, indent=1) + "\n")


def sheet(pair: dict[str, np.ndarray], key: dict[str, dict[str, str]], numbers: range, columns: int) -> Image.Image:
    """The pairs of these rows of the faces, `columns` of them beside each other, each under its number."""
    side = next(iter(pair.values())).shape[1]
    width, height = 2 * side + GAP, side + 2 * GAP
    page = Image.new("RGB", (columns * (width + 2 * GAP) - 2 * GAP, -(-len(numbers) // columns) * height), "white")
    for place, i in enumerate(numbers):
        x, y = place % columns * (width + 2 * GAP), place // columns * height
        ImageDraw.Draw(page).text((x + 4, y + 4), f"pair {i + 1}", fill="black")
        for column, name in enumerate(key[str(i + 1)].values()):
            page.paste(Image.fromarray(pair[name][i]), (x + column * (side + GAP), y + 2 * GAP))
    return page


def score(key: dict[str, dict[str, str]], answers: dict[str, str]) -> dict[str, int]:
    """Way -> number of pairs in which it was judged better. Raises InputError unless every pair has its answer."""
    if (
        not isinstance(answers, dict)
        or answers.keys() != key.keys()
        or not all(answer in SIDES for answer in answers.values())
    ):
        raise InputError(
            f'the answers must be {{"1": "left", ...}} with "left" or "right" for each of 1 to {len(key)}.'
        )
    chosen = [key[number][answer] for number, answer in answers.items()]
    return {name: chosen.count(name) for name in sorted(set(key["1"].values()))}


def read_json(path: Path) -> dict[str, str]:
    """Raises InputError, one line, for a file that is missing or is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is missing or is not JSON.") from error


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.srresnet.blind_pairs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--weights", default="weights")
    parser.add_argument("--out", type=Path, default=Path("runs/pairs"))
    parser.add_argument("--count", type=int, default=COUNT, choices=range(1, 641), metavar="N", help="faces, up to 640")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument(
        "--score", type=Path, nargs=2, metavar=("KEY", "ANSWERS"), help="draw nothing: count answers by their key"
    )
    args = parser.parse_args(arguments)
    with exit_in_one_line("training.srresnet.blind_pairs"):
        if args.score:
            print(json.dumps(score(*map(read_json, args.score))))
            return
        pipe = FacePipeline.from_pretrained(args.weights, args.device)
        for name, pair in ways(pipe, faces_of_the_app(pipe, args.count)).items():
            write_sheets(pair, args.out / name, random.SystemRandom())
            print(f"{args.count} pairs in {args.out / name}; look into key.json only afterwards")


if __name__ == "__main__":
    main()
