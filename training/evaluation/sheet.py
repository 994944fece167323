"""Watch it learn: the same noise and prompt, drawn by the U-Net as it was at several moments of its training.

    python -m training.evaluation.sheet runs/unet/snapshots/*.safetensors weights/unet.safetensors [--note "..."]
    python -m training.evaluation.sheet weights/unet.safetensors --keep 64000 --note "..."     only the last tile anew

training/unet/train.py keeps the snapshots. Writes learning.webp and learning.json, which the page's "How it works"
shows (ui/how/learning.py says what is in them).
"""

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from model.errors import InputError, exit_in_one_line
from model.images import contact_sheet, from_contact_sheet
from model.pipeline import SIZE, FacePipeline
from model.unet import UNet

PROMPT, SEED = "a smiling woman with blond hair", 2
# tiles in a row of the sheet
COLUMNS = 8


def moments(pipe: FacePipeline, files: list[Path]) -> Iterator[tuple[int, FacePipeline]]:
    """Images seen and `pipe` with the U-Net of that moment, file by file, so that one network at a time is held.

    Raises InputError for two files that have seen equally many images or one that does not say how many, WeightsError
    for a damaged file, and InputError for one that was trained with another CLIP.
    """
    seen = set()
    for path in files:
        unet = UNet.from_file(path, pipe.device)
        images = unet.info.get("images")
        if unet.info.get("clip") != pipe.clip.hash:
            raise InputError(f"{path} was trained with another CLIP.")
        if images is None or images in seen:
            problem = "does not say how many images it has seen" if images is None else "has seen as many as another"
            raise InputError(f"{path} {problem}.")
        seen.add(images)
        yield images, pipe.with_unet(unet)


def sheet(faces: np.ndarray) -> Image.Image:
    """(N, 64, 64, 3) uint8, N from 1, in rows of COLUMNS; the last row is filled up with black."""
    columns = min(COLUMNS, len(faces))
    rows = math.ceil(len(faces) / columns)
    tiles = np.zeros((rows * columns, *faces.shape[1:]), np.uint8)
    tiles[: len(faces)] = faces
    return Image.fromarray(contact_sheet(tiles, columns))


def kept(folder: Path, most: int, prompt: str, seed: int) -> dict[int, np.ndarray]:
    """The tiles (64, 64, 3) of the sheet in `folder` by the images seen, up to `most` of these.

    Raises InputError if there is no sheet of this prompt and seed.
    """
    try:
        about = json.loads((folder / "learning.json").read_text())
        with Image.open(folder / "learning.webp") as picture:
            pixels = np.asarray(picture.convert("RGB"))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} holds no sheet to keep a part of.") from error
    if (about.get("prompt"), about.get("seed")) != (prompt, seed):
        raise InputError(f"the sheet in {folder} is of another prompt or seed.")
    tiles = from_contact_sheet(pixels, (SIZE, SIZE))
    return {images: tile for images, tile in zip(about["images"], tiles) if images <= most}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.evaluation.sheet", description=__doc__.split("\n")[0])
    parser.add_argument("unets", nargs="+", type=Path, help="U-Nets of several moments, in any order")
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="folder with their CLIP")
    parser.add_argument("--prompt", default=PROMPT)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument(
        "--keep", type=int, default=0, metavar="IMAGES", help="keep the present sheet's tiles up to so many images seen"
    )
    parser.add_argument("--note", default="", help="a sentence for the page, where the moments are not of one training")
    parser.add_argument("--out", type=Path, default=Path("assets/how"), help="folder of the two files")
    options = parser.parse_args(arguments)
    with exit_in_one_line("training.evaluation.sheet"):
        options.out.mkdir(parents=True, exist_ok=True)
        faces = kept(options.out, options.keep, options.prompt, options.seed) if options.keep else {}
        faces |= {
            images: pipe.generate([options.prompt], [options.seed])[0]
            for images, pipe in moments(FacePipeline.from_pretrained(options.weights), options.unets)
        }
    images = sorted(faces)
    sheet(np.stack([faces[count] for count in images])).save(options.out / "learning.webp", quality=92)
    about = {"prompt": options.prompt, "seed": options.seed, "images": images, "note": options.note}
    (options.out / "learning.json").write_text(json.dumps(about) + "\n")
    print(f"{len(images)} moments, from {images[0]:,} to {images[-1]:,} images")


if __name__ == "__main__":
    main()
