"""What the upsamplers learn from: photographs, cut into patches, made small, and damaged as faces in use are."""

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter
from safetensors import SafetensorError, safe_open
from torch import Tensor

from model.errors import FacetError, InputError
from training.core.seeds import mixed_seed

# input px around a patch that the bicubic kernel reaches into, drawn with it and cut off
MARGIN = 2


@dataclass(frozen=True)
class Source:
    """Folders that are drawn from alike."""

    folders: tuple[str, ...]
    # px of the true image per px of input
    scale: int
    # of the batches
    share: float
    # px: every image is made this large, a square, once for each
    sides: tuple[int, ...] = ()
    # or taken at each of these shares of its size
    factors: tuple[float, ...] = (1.0,)
    # by quarter turns, not only mirrored
    turned: bool = False


# Only faces_hq holds true 512 px faces, in CelebA framing; three sides make the network indifferent to a face's exact
# size. The faces of faces_256 and portraits are as large as those of faces_hq at 256 px, so they supervise the output
# halved to 256 px (scale 4): no blurred enlargement is ever a target, and the input keeps the size faces have in use.
# General photographs, as they are, keep backgrounds and clothes in the picture.
STUDIO = Source(("faces_hq",), 8, 0.5, sides=(448, 512, 576))
GENERAL_FOLDERS = ("sr/BSDS399", "sr/T91")
FACES = (STUDIO, Source(("faces_256", "portraits"), 4, 0.4), Source(GENERAL_FOLDERS, 8, 0.1, turned=True))
GENERAL = (Source(GENERAL_FOLDERS, 4, 1.0, factors=(1.0, 0.8, 0.65), turned=True),)


@dataclass(frozen=True)
class DataConfig:
    sources: tuple[Source, ...] = FACES
    # side of an input patch, px; 24 reaches the CPU's best rate, 16 sees too much border
    patch: int = 24
    # share of face patches that went through the U-Net (training/srresnet/round_trip.py), where there are such
    round_trip: float = 0.25
    # share of the others that pass through degrade()
    degraded: float = 0.5


class Photo(NamedTuple):
    # (3, H, W) uint8
    true: Tensor
    # (V, 3, H / scale, W / scale) uint8: V versions of the whole input that the U-Net drew
    round_trip: Tensor | None


class Photos(NamedTuple):
    """All there is of a source."""

    source: Source
    all: list[Photo]
    # those that went through the U-Net
    round_trip: list[Photo]


# --- files ------------------------------------------------------------------------------------------------------------


def person(name: str) -> str:
    """Who is on a faces_hq photo: `london-smiling-001.jpg` -> "london-001", `canada-003f.jpg` -> "canada-003"."""
    parts = Path(name).stem.split("-")
    return f"{parts[0]}-{parts[-1][:3]}"


def is_held_out(name: str) -> bool:
    """About every fifth person is for validation: those whose number is divisible by 5.

    Raises FacetError without a number.
    """
    number = person(name)[-3:]
    if not number.isdecimal():
        raise FacetError(f"faces_hq/{name}: a name must be like set-001.jpg, with the person's three-digit number.")
    return int(number) % 5 == 0


def image_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))


def read_image(path: Path, side: int | None = None, factor: float = 1.0) -> Tensor:
    """(3, H, W) uint8, resized to side x side if a side is given, else by `factor`."""
    with Image.open(path) as image:
        image = image.convert("RGB")
        size = (side, side) if side else tuple(round(length * factor) for length in image.size)
        if size != image.size:
            image = image.resize(size, Image.Resampling.LANCZOS)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def load_training_images(data: Path, config: DataConfig, round_trip: Path | None = None) -> tuple[list[Photos], str]:
    """The photos of every source that is there, and a hash over the files read.

    Held-out people are left out, and so are images smaller than a patch. round_trip: a file of
    training/srresnet/round_trip.py, read if the config has a share for it. Raises FacetError if nothing is found,
    InputError without that file.
    """
    versions = load_round_trips(round_trip) if round_trip and config.round_trip else {}
    digest = hashlib.sha256(round_trip.read_bytes() if versions else b"")
    loaded = []
    for source in config.sources:
        files = [path for folder in source.folders for path in image_files(data / folder)]
        files = [path for path in files if path.parent.name != "faces_hq" or not is_held_out(path.name)]
        photos = []
        for path in files:
            digest.update(path.name.encode() + path.read_bytes())
            images = [read_image(path, side) for side in source.sides] or [
                read_image(path, factor=factor) for factor in source.factors
            ]
            small = versions.get(f"{path.parent.name}/{path.name}")
            for image in images:
                fits = small is not None and image.shape[1:] == tuple(source.scale * side for side in small.shape[2:])
                photos.append(Photo(image, small if fits else None))
        photos = [photo for photo in photos if min(photo.true.shape[1:]) >= (config.patch + 2 * MARGIN) * source.scale]
        if photos:
            loaded.append(Photos(source, photos, [photo for photo in photos if photo.round_trip is not None]))
    if not loaded:
        folders = ", ".join(folder for source in config.sources for folder in source.folders)
        raise FacetError(f"{data} holds no large enough photos in any of the folders {folders}; see --data.")
    return loaded, digest.hexdigest()[:16]


def held_out_files(data: Path) -> list[Path]:
    """The photos of held-out people. Raises FacetError if there are none."""
    files = [path for path in image_files(data / "faces_hq") if is_held_out(path.name)]
    if not files:
        raise FacetError(f"{data / 'faces_hq'} holds no photo of a held-out person; see --data.")
    return files


def load_round_trips(path: Path) -> dict[str, Tensor]:
    """What training/srresnet/round_trip.py wrote: folder/name of a photo -> (V, 3, 64, 64) uint8. Raises InputError."""
    try:
        with safe_open(path, framework="pt") as file:
            names, small = json.loads(file.metadata()["files"]), file.get_tensor("small")
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is missing or damaged: make it by `python -m training.srresnet.round_trip`."
        ) from error
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(name, []).append(row)
    return {name: small[indices] for name, indices in rows.items()}


# --- inputs -----------------------------------------------------------------------------------------------------------


def shrink(images: Tensor, scale: int) -> Tensor:
    """Antialiased bicubic reduction: (N, 3, H, W) -> (N, 3, H/scale, W/scale), uint8 or float. Away from the borders
    it is PIL's, and MATLAB's.
    """
    return F.interpolate(images, scale_factor=1 / scale, mode="bicubic", antialias=True)


def degrade(image: Tensor, generator: torch.Generator) -> Tensor:
    """What a small image may have suffered: slight blur, a shift of each colour, noise, JPEG.

    (3, H, W) uint8 -> the same.

    Faces from the U-Net are softer than reduced photographs, and CelebA's carry JPEG's traces.
    """
    blur, noise, quality, *shift = torch.rand(6, generator=generator).tolist()
    # 0 to 0.8 px
    pil = Image.fromarray(image.permute(1, 2, 0).numpy()).filter(ImageFilter.GaussianBlur(0.8 * blur))
    # up to 3 of 255 levels
    pixels = torch.from_numpy(np.array(pil)).float() + 3 * (2 * torch.tensor(shift) - 1)
    # deviation 0 to 5 of 255 levels
    pixels += 5 * noise * torch.randn(pixels.shape, generator=generator)
    buffer = io.BytesIO()
    Image.fromarray(pixels.round().clamp(0, 255).byte().numpy()).save(buffer, "JPEG", quality=60 + round(35 * quality))
    return torch.from_numpy(np.array(Image.open(buffer))).permute(2, 0, 1).contiguous()


def sample_batch(
    photos: list[Photos], config: DataConfig, count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """`count` input patches (B, 3, patch, patch) and true ones, `scale` times as large, uint8, all from one source."""
    shares = torch.tensor([each.source.share for each in photos])
    chosen = photos[int(torch.multinomial(shares, 1, generator=generator))]
    small, true = zip(*(sample_pair(chosen, config, generator) for _ in range(count)))
    return torch.stack(small), torch.stack(true)


def sample_pair(photos: Photos, config: DataConfig, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """An input patch (3, patch, patch) and the true one, `scale` times as large, uint8, of a photo drawn at random."""

    def integer(below: int) -> int:
        return int(torch.randint(below, (), generator=generator))

    def chance(share: float) -> bool:
        return torch.rand((), generator=generator).item() < share

    scale, patch = photos.source.scale, config.patch
    if photos.round_trip and chance(config.round_trip):
        photo = photos.round_trip[integer(len(photos.round_trip))]
        small = photo.round_trip[integer(len(photo.round_trip))]
        top, left = (integer(side - patch + 1) for side in small.shape[1:])
        small = small[:, top : top + patch, left : left + patch]
        true = photo.true[:, scale * top : scale * (top + patch), scale * left : scale * (left + patch)]
    else:
        true = photos.all[integer(len(photos.all))].true
        side, margin = scale * (patch + 2 * MARGIN), scale * MARGIN
        top, left = (integer(length - side + 1) for length in true.shape[1:])
        true = true[:, top : top + side, left : left + side]
        small = shrink(true[None].float(), scale)[0].round().clamp(0, 255).byte()
        if chance(config.degraded):
            small = degrade(small, generator)
        small, true = small[:, MARGIN:-MARGIN, MARGIN:-MARGIN], true[:, margin:-margin, margin:-margin]
    mirrored, turns = integer(2), integer(4) if photos.source.turned else 0
    return tuple(torch.rot90(image.flip(2) if mirrored else image, turns, (1, 2)) for image in (small, true))


def generator_of(*numbers: int) -> torch.Generator:
    """A generator for one step of one process, seeded by (seed, rank, step)."""
    return torch.Generator().manual_seed(mixed_seed(*numbers))
