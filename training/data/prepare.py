"""CelebA archive -> prepared files: the lecture's pre-processing, in two steps.

    python -m training.data.prepare images --data data/celeba --out runs/prepared [--limit 5000]
    python -m training.data.prepare embed  --out runs/prepared --weights weights
    python -m training.data.prepare folder --data my_faces --out runs/mine [--labels labels.csv]     other pictures than CelebA's

`images` reads the annotations with pandas, writes a prompt of every image's positive attributes, crops the largest
square and resizes to 64x64x3. `embed` adds the CLIP embedding of every image and every prompt, which completes the
lecture's list of (filename, image array, image embedding, prompt embedding). They are two steps since the project's own
CLIP learns from the first. The files are safetensors: a pickle would run code when loaded.
"""

import argparse
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageOps
from safetensors import safe_open
from torch import Tensor
from tqdm import tqdm

from model import checkpoint
from model.attributes import ATTRIBUTES
from model.errors import FacetError, InputError
from model.images import middle_square
from training.data.captions import celeba_prompt

SIZE = 64  # pixels, height and width of a prepared image
ASPECT = (178, 218)  # width : height of CelebA's aligned images
VALIDATION = 20  # ids divisible by this are the validation set: no model trains on them


def read_annotations(path: Path) -> pd.DataFrame:
    """CelebA's `list_attr_celeba.txt` -> a frame of bools, index file name, columns the 40 attributes.

    The first line counts the rows, the second names the columns, then `000001.jpg -1 1 ...`.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing: --data must point at a folder in CelebA's own layout.")
    try:
        frame = pd.read_csv(path, sep=r"\s+", skiprows=1, index_col=0)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not an annotation file in CelebA's format ({error}).") from error
    if tuple(frame.columns) != ATTRIBUTES:
        raise InputError(f"{path} does not name CelebA's 40 attributes in their order on its second line.")
    return frame == 1


def read_squashed(path: Path) -> set[str]:
    """Names of the images that `sources.csv` (columns image_id, geometry) marks as squashed small JPEGs.

    The official archive has no such file and no such images; where both kinds are mixed, the U-Net is told which is which,
    so that the look of the JPEGs does not reach its samples.
    """
    if not path.is_file():
        return set()
    sources = pd.read_csv(path)
    return set(sources.loc[sources["geometry"] == "squashed64", "image_id"])


def prompt_of(row: np.ndarray) -> str:
    """The lecture's prompt of a row (40,) bool: all its positive attributes, "Photo of person bushy eyebrows, wearing hat."."""
    return celeba_prompt(row.astype(np.int8))


def to_face(image: Image.Image) -> np.ndarray:
    """Any picture in CelebA's framing -> (64, 64, 3) uint8: to 178:218 (undoes a squash), largest centred square, resize."""
    image = image.convert("RGB")
    width, height = image.size
    wanted = width * ASPECT[1] / ASPECT[0]
    if abs(height - wanted) > 1:  # the official archive is 178x218 already
        image = image.resize((width, max(1, round(wanted))), Image.Resampling.BICUBIC)
        height = image.height
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    return np.asarray(square.resize((SIZE, SIZE), Image.Resampling.LANCZOS))


@dataclass(frozen=True)
class Prepared:
    """The prepared set, in memory.

    names:      N file names, in the annotation's order
    prompts:    N prompts in CelebA's wording
    images:     (N, 64, 64, 3) uint8
    attributes: (N, 40) bool
    squashed:   (N,) bool, True where the source was a small squashed JPEG (see `read_squashed`)
    image_embeddings, text_embeddings: (N, 512) float16 unit vectors, or None before `embed`
    """

    names: list[str]
    prompts: list[str]
    images: Tensor
    attributes: Tensor
    squashed: Tensor
    image_embeddings: Tensor | None = None
    text_embeddings: Tensor | None = None
    clip: str = ""  # hash of the CLIP the embeddings come from

    @property
    def hash(self) -> str:
        """Names the data: over file names and attributes."""
        digest = hashlib.sha256(json.dumps(self.names).encode() + self.attributes.numpy().tobytes())
        return digest.hexdigest()[:16]

    @property
    def validation(self) -> Tensor:
        """(N,) bool: True where no model may train."""
        return torch.tensor([int(Path(name).stem) % VALIDATION == 0 for name in self.names], dtype=torch.bool)


def prepare_images(data: Path, out: Path, limit: int | None = None) -> dict[str, list[str]]:
    """Step one. Writes `out/faces.safetensors`; returns the names skipped, by reason.

    A missing or broken image, a row without an image, an image without a row: named, counted, skipped.
    """
    annotations = read_annotations(data / "list_attr_celeba.txt")
    folder = data / "img_align_celeba"
    if not folder.is_dir():
        raise InputError(f"{folder} is missing: --data must point at a folder in CelebA's own layout.")
    if limit is not None and limit < 1:
        raise InputError(f"--limit must be at least 1, not {limit}.")
    squashed = read_squashed(data / "sources.csv")
    rows = annotations.iloc[:limit]
    skipped = {"row without an image": [], "broken image": [], "name without a number": []}
    names, faces, kept = [], [], []
    for name, row in tqdm(zip(rows.index, rows.to_numpy()), total=len(rows), desc="images", unit=" faces"):
        if not Path(name).stem.isdecimal() or Path(name).name != name:
            skipped["name without a number"].append(str(name))
            continue
        try:
            with Image.open(folder / name) as image:
                face = to_face(image)
        except FileNotFoundError:
            skipped["row without an image"].append(name)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            skipped["broken image"].append(name)
        else:
            names.append(name)
            faces.append(face)
            kept.append(row)
    if limit is None:
        skipped["image without a row"] = sorted({path.name for path in folder.iterdir()} - set(annotations.index))
    if not faces:
        raise InputError(f"No usable image of {len(rows)} rows was found in {folder}.")
    (out / "embeddings.safetensors").unlink(missing_ok=True)  # of the faces before
    checkpoint.write(
        out / "faces.safetensors",
        {
            "images": torch.from_numpy(np.stack(faces)),
            "attributes": torch.from_numpy(np.stack(kept)),
            "squashed": torch.tensor([name in squashed for name in names]),
        },
        {"names": json.dumps(names), "prompts": json.dumps([prompt_of(row) for row in kept])},
    )
    return {reason: found for reason, found in skipped.items() if found}


def prepare_folder(data: Path, out: Path, weights: Path, labels: Path | None = None) -> dict[str, list[str]]:
    """Step one for a folder of other pictures (PNG, JPEG, WebP): their middle squares, numbered in the order of their names.

    labels: a CSV with a column `file` and one for each attribute that is known (1 or 0). What it leaves out, the CLIP of
    `weights` reads from the picture. Returns the names skipped, by reason.
    """
    from model.clip import Clip

    clip, known = Clip.from_file(weights / "clip.safetensors"), read_labels(labels) if labels else pd.DataFrame()
    if not data.is_dir():
        raise InputError(f"{data} is no folder.")
    faces, names, broken = [], [], []
    for path in tqdm(sorted(data.iterdir()), desc="pictures", unit=" faces"):
        try:
            with Image.open(path, formats=("PNG", "JPEG", "WEBP")) as image:
                upright = ImageOps.exif_transpose(image).convert("RGB")
                faces.append(middle_square(upright, SIZE))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            broken.append(path.name)
        else:
            names.append(path.name)
    if not faces:
        raise InputError(f"{data} holds no picture that can be read.")
    images = torch.from_numpy(np.stack(faces))
    features = torch.cat([clip.encode_images(part) for part in images.split(256)])
    rows = pd.DataFrame(clip.attribute_logits(features).cpu().numpy() > 0, index=names, columns=list(ATTRIBUTES))
    for name in known.columns:
        said = known[name].dropna()
        said = said[said.index.isin(names)]
        rows.loc[said.index, name] = said > 0
    (out / "embeddings.safetensors").unlink(missing_ok=True)  # of the faces before
    checkpoint.write(
        out / "faces.safetensors",
        {
            "images": images,
            "attributes": torch.tensor(rows.to_numpy(dtype=bool)).contiguous(),
            "squashed": torch.zeros(len(names), dtype=bool),
        },
        {
            "names": json.dumps([f"{index:06d}{Path(name).suffix}" for index, name in enumerate(names, 1)]),
            "prompts": json.dumps([prompt_of(row) for row in rows.to_numpy(dtype=bool)]),
        },
    )
    skipped = {"no picture": broken, "label without a picture": sorted(set(known.index) - set(names))}
    return {reason: found for reason, found in skipped.items() if found}


def read_labels(path: Path) -> pd.DataFrame:
    """A CSV of `file` and attributes -> numbers, above 0 where the face has it; index file name."""
    try:
        frame = pd.read_csv(path, index_col="file")
        frame = frame.apply(pd.to_numeric)
    except (OSError, ValueError, TypeError, pd.errors.ParserError) as error:
        raise InputError(
            f"{path} is no CSV with a column `file` and numbers ({str(error).splitlines()[0]})."
        ) from error
    if strange := sorted(set(frame.columns) - set(ATTRIBUTES)):
        raise InputError(f"{path}: {strange[0]} is none of the 40 attributes; see model/attributes.py.")
    if frame.index.has_duplicates:
        raise InputError(f"{path} names {frame.index[frame.index.duplicated()][0]} twice.")
    return frame


def embed(out: Path, weights: Path, batch: int = 256) -> None:
    """Step two. Writes `out/embeddings.safetensors`: CLIP's image and prompt embedding of every pair.

    Where only CLIP's text side has changed since (training/clip/words.py), the faces keep their embeddings.
    """
    from model.clip import Clip

    prepared, path = load_prepared(out), out / "embeddings.safetensors"
    clip = Clip.from_file(weights / "clip.safetensors")
    side = checkpoint.tensor_hash(clip.towers.visual.state_dict())
    images, texts = [], []
    if path.is_file():
        with safe_open(path, framework="pt") as file:
            images = [file.get_tensor("image_embeddings")] if file.metadata().get("image_side") == side else []
    known = bool(images)
    for start in tqdm(range(0, len(prepared.names), batch), desc="embeddings", unit=" batches"):
        if not known:
            images.append(clip.encode_images(prepared.images[start : start + batch]).half())
        texts.append(clip.encode_texts(prepared.prompts[start : start + batch]).half())
    checkpoint.write(
        path,
        {"image_embeddings": torch.cat(images), "text_embeddings": torch.cat(texts)},
        {"clip": clip.hash, "image_side": side},
    )


def load_prepared(folder: str | Path) -> Prepared:
    """Read what `images` and, where it ran for these images, `embed` wrote."""
    path = Path(folder) / "faces.safetensors"
    if not path.is_file():
        raise InputError(f"{path} is missing: run `make prepare DATA=...` first.")
    with safe_open(path, framework="pt") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}
    names, prompts = json.loads(metadata["names"]), json.loads(metadata["prompts"])
    path = Path(folder) / "embeddings.safetensors"
    if path.is_file():
        with safe_open(path, framework="pt") as file:
            tensors |= {name: file.get_tensor(name) for name in file.keys()} | {"clip": file.metadata()["clip"]}
    return Prepared(names=names, prompts=prompts, **tensors)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.data.prepare", description=__doc__.split("\n")[0])
    steps = parser.add_subparsers(dest="step", required=True)
    images = steps.add_parser("images", help="annotations and pictures -> prompts and 64x64 faces")
    images.add_argument(
        "--data", type=Path, required=True, help="folder with img_align_celeba/ and list_attr_celeba.txt"
    )
    images.add_argument("--limit", type=int, help="only the first so many rows (the lecture used 5000); all by default")
    folder = steps.add_parser("folder", help="any folder of pictures, instead of `images`")
    folder.add_argument("--data", type=Path, required=True, help="folder of PNG, JPEG or WebP files, each a face")
    folder.add_argument("--labels", type=Path, help="CSV: a column `file`, and one for each attribute that is known")
    embeddings = steps.add_parser("embed", help="CLIP embeddings of every face and prompt")
    for step in (folder, embeddings):
        step.add_argument("--weights", type=Path, default=Path("weights"), help="folder with clip.safetensors")
    for step in (images, folder, embeddings):
        step.add_argument("--out", type=Path, default=Path("runs/prepared"), help="where the prepared files go")
    options = parser.parse_args(arguments)
    try:
        if options.step == "embed":
            return embed(options.out, options.weights)
        if options.step == "folder":
            skipped = prepare_folder(options.data, options.out, options.weights, options.labels)
        else:
            skipped = prepare_images(options.data, options.out, options.limit)
        for reason, names in skipped.items():
            print(f"skipped, {reason}: {len(names)} ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})")
    except (FacetError, OSError) as error:  # the latter: a disk that is full
        raise SystemExit(f"prepare: {error}") from error


if __name__ == "__main__":
    main()
