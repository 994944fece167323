"""CelebA archive -> prepared files: the lecture's pre-processing, in two steps.

    python -m training.data.prepare images --data data/celeba --out runs/prepared [--limit 5000]
    python -m training.data.prepare embed  --out runs/prepared --weights weights
    python -m training.data.prepare folder --data my_faces --out runs/mine [--labels labels.csv]     other pictures

`images` reads the annotations with pandas, writes a prompt of every image's positive attributes, crops the largest
square and resizes to 64x64x3. `embed` adds the CLIP embedding of every image and every prompt, which completes the
lecture's list of (filename, image array, image embedding, prompt embedding). They are two steps since the project's own
CLIP learns from the first. The files are safetensors: a pickle would run code when loaded.
"""

import argparse
import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from tqdm import tqdm

from model.attributes import ATTRIBUTES
from model.errors import FacetError, InputError
from model.files import checkpoint
from model.files.decode import read_image
from model.images import middle_square
from training.data.annotations import file_of, images_of, read_annotations, read_squashed, table_of
from training.data.captions import celeba_prompt
from training.data.labels import match_labels, read_labels
from training.data.prepared import SIZE, load_prepared

# width : height of CelebA's aligned images
ASPECT = (178, 218)


def prompt_of(row: np.ndarray) -> str:
    """The lecture's prompt, "Photo of person wearing hat.", of a row (40,) bool: all its positive attributes."""
    return celeba_prompt(row.astype(np.int8))


def to_face(image: Image.Image) -> np.ndarray:
    """Any picture in CelebA's framing -> (64, 64, 3) uint8: to 178:218 (undoes a squash), middle square, resize."""
    image = image.convert("RGB")
    width, height = image.size
    wanted = width * ASPECT[1] / ASPECT[0]
    # the official archive is 178x218 already
    if abs(height - wanted) > 1:
        image = image.resize((width, max(1, round(wanted))), Image.Resampling.BICUBIC)
        height = image.height
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    return np.asarray(square.resize((SIZE, SIZE), Image.Resampling.LANCZOS))


def prepare_images(data: Path, out: Path, limit: int | None = None) -> dict[str, list[str]]:
    """Step one. Writes `out/faces.safetensors`; returns the names skipped, by reason.

    A missing or broken image, a row without an image or with values that are none, an image without a row: named,
    counted, skipped.
    """
    annotations, folder = read_annotations(table_of(data)), images_of(data)
    if limit is not None and limit < 1:
        raise InputError(f"--limit must be at least 1, not {limit}.")
    squashed = read_squashed(data / "sources.csv")
    rows, files = annotations.rows.iloc[:limit], {path.name for path in folder.iterdir()}
    skipped = annotations.skipped | {"row without an image": [], "broken image": [], "name without a number": []}
    names, faces, kept = [], [], []
    for name, row in tqdm(zip(rows.index, rows.to_numpy()), total=len(rows), desc="images", unit=" faces"):
        file = file_of(name, files)
        if not Path(name).stem.isdecimal() or Path(name).name != name:
            skipped["name without a number"].append(name)
        elif file is None:
            skipped["row without an image"].append(name)
        else:
            try:
                faces.append(to_face(read_image(folder / file)))
            except InputError:
                skipped["broken image"].append(file)
            else:
                names.append(file)
                kept.append(row)
    if limit is None:
        numbers = {Path(name).stem for name in annotations.rows.index}
        skipped["image without a row"] = sorted(file for file in files if Path(file).stem not in numbers)
    if not faces:
        raise InputError(f"No usable image of {len(rows)} rows was found in {folder}.")
    write_faces(out, names, faces, np.stack(kept), [Path(name).stem in squashed for name in names])
    return {reason: left_out for reason, left_out in skipped.items() if left_out}


def prepare_folder(data: Path, out: Path, weights: Path, labels: Path | None = None) -> dict[str, list[str]]:
    """Step one for a folder of other pictures (PNG, JPEG, WebP): their middle squares, numbered by name.

    labels: a CSV with a column `file` and one for each attribute that is known (see labels.py). What it leaves out,
    the CLIP of `weights` reads from the picture. Returns the names skipped, by reason.
    """
    from model.clip import Clip

    clip, known = Clip.from_file(weights / "clip.safetensors"), read_labels(labels) if labels else pd.DataFrame()
    if not data.is_dir():
        raise InputError(f"{data} is no folder.")
    faces, names, broken = [], [], []
    for path in tqdm(sorted(data.iterdir()), desc="pictures", unit=" faces"):
        try:
            faces.append(middle_square(read_image(path), SIZE))
        except InputError:
            broken.append(path.name)
        else:
            names.append(path.name)
    if not faces:
        inside = any(path.is_dir() for path in data.iterdir())
        raise InputError(
            f"{data} holds no picture that can be read{' (the folders inside it are not searched)' if inside else ''}."
        )
    matched = match_labels(list(known.index), names)
    images = torch.from_numpy(np.stack(faces))
    features = torch.cat([clip.encode_images(part) for part in images.split(256)])
    rows = pd.DataFrame(clip.attribute_logits(features).cpu().numpy() > 0, index=names, columns=list(ATTRIBUTES))
    for name in known.columns:
        said = known[name].dropna()
        said = said[said.index.isin(list(matched))].rename(index=matched)
        rows.loc[said.index, name] = said > 0
    numbered = [f"{index:06d}{Path(name).suffix}" for index, name in enumerate(names, 1)]
    write_faces(out, numbered, faces, rows.to_numpy(dtype=bool), [False] * len(names))
    skipped = {"no picture": broken, "label without a picture": sorted(set(known.index) - set(matched))}
    return {reason: left_out for reason, left_out in skipped.items() if left_out}


def write_faces(
    out: Path, names: list[str], faces: Sequence[np.ndarray], attributes: np.ndarray, squashed: Sequence[bool]
) -> None:
    """Write `out/faces.safetensors`, see Prepared for the parts; the embeddings of the faces before go."""
    (out / "embeddings.safetensors").unlink(missing_ok=True)
    checkpoint.write(
        out / "faces.safetensors",
        {
            "images": torch.from_numpy(np.stack(faces)),
            "attributes": torch.from_numpy(np.ascontiguousarray(attributes)),
            "squashed": torch.tensor(squashed),
        },
        {"names": json.dumps(names), "prompts": json.dumps([prompt_of(row) for row in attributes])},
    )


def embed(out: Path, weights: Path, batch: int = 256) -> None:
    """Step two. Writes `out/embeddings.safetensors`: CLIP's image and prompt embedding of every pair.

    Where only CLIP's text side has changed since (training/clip/words.py), the faces keep their embeddings.
    """
    from model.clip import Clip

    prepared, path = load_prepared(out, embedded=False), out / "embeddings.safetensors"
    clip = Clip.from_file(weights / "clip.safetensors")
    side = checkpoint.tensor_hash(clip.towers.visual.state_dict())
    images, texts = [], []
    # damaged: made anew
    with contextlib.suppress(SafetensorError, OSError), safe_open(path, framework="pt") as file:
        if (file.metadata() or {}).get("image_side") == side:
            images = [file.get_tensor("image_embeddings")]
    known = bool(images) and len(images[0]) == len(prepared.names)
    images = images if known else []
    for start in tqdm(range(0, len(prepared.names), batch), desc="embeddings", unit=" batches"):
        if not known:
            images.append(clip.encode_images(prepared.images[start : start + batch]).half())
        texts.append(clip.encode_texts(prepared.prompts[start : start + batch]).half())
    checkpoint.write(
        path,
        {"image_embeddings": torch.cat(images), "text_embeddings": torch.cat(texts)},
        {"clip": clip.hash, "image_side": side},
    )


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
    except (FacetError, OSError) as error:
        # the latter: a disk that is full
        raise SystemExit(f"prepare: {error}") from error


if __name__ == "__main__":
    main()
