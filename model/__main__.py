"""A face from the command line.

python -m model "a smiling woman with glasses" --seed 7 --out face.png
"""

import argparse
import contextlib
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from model.errors import FacetError, InputError
from model.pipeline import FacePipeline
from model.sampler import SAMPLERS
from model.settings import DEFAULTS, STUDENT, Settings

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


def writable(path: Path) -> Path:
    """The path itself, if a picture can be written there. Raises InputError before anything is drawn."""
    try:
        with contextlib.suppress(FileNotFoundError):
            # refuses names that are too long or hold a NUL
            os.stat(path)
        if path.is_dir():
            raise InputError(f"--out {path} is a folder: name a file in it, for instance {path / 'face.png'}.")
        if path.exists() and not path.is_file():
            raise InputError(f"--out {path} is no file that can be replaced.")
        if path.suffix.lower() not in ENDINGS:
            raise InputError(
                f"--out {path} names no kind of picture: end it with {', '.join(ENDINGS[:4])} or the like."
            )
        temporary(path).unlink()
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        shown = str(path) if len(str(path)) < 80 else f"{str(path)[:77]}..."
        raise InputError(f"--out {shown} cannot be written: {getattr(error, 'strerror', None) or error}.") from error
    return path


def temporary(path: Path) -> Path:
    """A new empty file beside `path`, with its ending."""
    number, name = tempfile.mkstemp(suffix=path.suffix, prefix=".facet-", dir=path.parent)
    os.close(number)
    os.chmod(name, 0o666 & ~_umask())
    return Path(name)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def save(picture: Image.Image, path: Path) -> None:
    """Under a temporary name, then renamed: a full disk leaves the picture that was there."""
    file = temporary(path)
    try:
        picture.save(file)
        os.replace(file, path)
    finally:
        file.unlink(missing_ok=True)


def draw(pipe: FacePipeline, settings: Settings) -> np.ndarray:
    """A face, (64, 64, 3) uint8, counting its steps on the terminal."""
    face = np.empty(0)
    for [frame] in pipe.stream_faces([settings]):
        print(f"\rstep {frame.index} of {frame.total}", end="", file=sys.stderr)
        face = frame.denoised
    print(file=sys.stderr)
    return face


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m model", description="Draw a face from a prompt.")
    parser.add_argument("prompt", nargs="?", default="", help="any text; nothing draws any face")
    parser.add_argument("--negative", default="", help="what to avoid")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=DEFAULTS.steps)
    parser.add_argument("--sampler", choices=(*SAMPLERS, STUDENT), default=DEFAULTS.sampler)
    parser.add_argument("--guidance", type=float, default=DEFAULTS.guidance)
    parser.add_argument("--out", type=Path, default=Path("face.png"), help="the 512 px picture")
    parser.add_argument(
        "--faithful",
        action="store_true",
        help="enlarge without inventing the finest detail, as the page does at a click",
    )
    parser.add_argument("--small", action="store_true", help="write the 64 px face itself, not upscaled")
    parser.add_argument("--weights", default="weights", help="folder, or owner/repo@revision on the Hub")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(arguments)
    try:
        out = writable(options.out)
        pipe = FacePipeline.from_pretrained(options.weights, options.device)
        settings = Settings(
            options.prompt, options.negative, options.seed, options.steps, options.sampler, options.guidance
        )
        for text in (options.prompt, options.negative):
            if note := pipe.prompt_note(text):
                print(note, file=sys.stderr)
        face = draw(pipe, settings)
        if not options.small:
            face = pipe.upscale(face[None], crisp=pipe.crisp is not None and not options.faithful)[0]
        save(Image.fromarray(face), out)
    except (FacetError, OSError, ValueError) as error:
        raise SystemExit(f"facet: {error}") from error
    print(out)


if __name__ == "__main__":
    main()
