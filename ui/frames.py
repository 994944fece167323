"""Frames on their way to a browser, and pictures on their way from one."""

import base64
import io
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np
from PIL import Image

from model.errors import InputError
from model.files.decode import read_image
from model.images import contact_sheet, middle_square
from model.pipeline import SIZE, Frame
from ui import bounds
from ui.server import budget

# The server never drops a message, so it must not send more than a browser can take. The browser may have the network's
# cores: painting each step of a run of more than LONG costs a tenth of its time.
MESSAGES_PER_SECOND, SELDOM, LONG = 15, 8, 60
# seconds one run may take
DEADLINE = 120.0
# colours of 0, 1/4 ... 1
HEAT = np.array([(0, 0, 0), (90, 20, 110), (225, 80, 40), (255, 205, 60), (255, 255, 220)])


def messages(
    steps: Iterator[Sequence[Frame]], about: dict[str, Any], influence: bool = False
) -> Iterator[tuple[dict[str, Any], list[Sequence[Frame]]]]:
    """What the sampler yields (one Frame per face and step) as JSON-able messages, each with the frames that are in it.

    At most MESSAGES_PER_SECOND, in a run of more than LONG steps SELDOM, the first at once. A message's `frames` hold
    every step since the message before, so none is lost; several faces lie side by side in one picture. about: goes
    into every message. Closing this generator ends the run.
    """
    start, sent, waiting, held = time.monotonic(), 0.0, [], []
    with closing(steps):
        for frames in steps:
            first = frames[0]
            waiting.append(_frame(frames, influence))
            held.append(frames)
            now, last = time.monotonic(), first.index == first.total
            late = now - start > DEADLINE and not last
            if last or late or now - sent >= 1 / (SELDOM if first.total > LONG else MESSAGES_PER_SECOND):
                yield (
                    {
                        "step": first.index,
                        "total": first.total,
                        "noise_level": waiting[-1]["noise_level"],
                        **about,
                        "frames": waiting,
                    },
                    held,
                )
                sent, waiting, held = now, [], []
            in_time(start, first)


def in_time(start: float, frame: Frame) -> None:
    """Raises InputError where a run that began at the time.monotonic() `start` takes too long and is not at its end."""
    if time.monotonic() - start > DEADLINE and frame.index < frame.total:
        raise InputError(
            f"Stopped at step {frame.index} of {frame.total}: a run may take {DEADLINE:.0f} seconds. Use fewer steps."
        )


def _frame(frames: Sequence[Frame], influence: bool) -> dict[str, Any]:
    shown = {
        "step": frames[0].index,
        "noise_level": round(frames[0].noise_level, 4),
        "denoised": jpeg(sheet([frame.denoised for frame in frames])),
        "noisy": jpeg(sheet([frame.noisy for frame in frames])),
    }
    return {**shown, "influence": jpeg(sheet([heat(frame) for frame in frames]))} if influence else shown


def sheet(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """N = 1, 4, 9 or 16 pictures (H, W, 3) as one square, row by row: (sqrt(N) H, sqrt(N) W, 3)."""
    return contact_sheet(np.stack(pictures), math.isqrt(len(pictures)))


def thinned(items: Sequence[Any], most: int) -> list[Any]:
    """At most `most` of the items, evenly spread, the first and the last among them."""
    return [
        items[index] for index in np.unique(np.linspace(0, len(items) - 1, min(len(items), most)).round().astype(int))
    ]


def heat(frame: Frame) -> np.ndarray:
    """The face in dim grey with the prompt's influence glowing over it, if there is any: (64, 64, 3) uint8."""
    grey = frame.denoised.mean(axis=2, keepdims=True) * 0.5
    if frame.influence is None:
        return grey.repeat(3, axis=2).astype(np.uint8)
    share = frame.influence / 255
    glow = np.stack([np.interp(share, np.linspace(0, 1, len(HEAT)), HEAT[:, channel]) for channel in range(3)], axis=2)
    return (grey * (1 - share[..., None]) + glow * share[..., None]).round().astype(np.uint8)


def jpeg(pixels: np.ndarray, quality: int = 92) -> str:
    """(H, W, 3) uint8 -> a data URI."""
    return _data_uri(pixels, "JPEG", quality=quality, subsampling=0)


def png(pixels: np.ndarray) -> str:
    """(H, W, 3) or (H, W) uint8 -> a data URI, nothing lost."""
    return _data_uri(pixels, "PNG")


def _data_uri(pixels: np.ndarray, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def read_picture(file: str | io.BytesIO | None) -> np.ndarray:
    """An image as it is seen: (H, W, 3) uint8. file, errors: as in `model.files.decode.read_image`."""
    bounds.check_file(file)
    # a copy, since Pillow's own cannot be written to
    return np.array(read_image(file))


def read_face(file: str | io.BytesIO | None) -> np.ndarray:
    """The middle square of an image, shrunk to (64, 64, 3) uint8. file, errors: as in `read_picture`."""
    return middle_square(read_picture(file), SIZE)


def file_of(uri: Any) -> io.BytesIO:
    """What a data URI from a browser holds. Raises InputError for all else: none may name a file of the server."""
    try:
        if not isinstance(uri, str) or not uri.startswith("data:image/"):
            raise ValueError
        return io.BytesIO(base64.b64decode(uri.partition(",")[2], validate=True))
    except ValueError:
        raise InputError("This is not an image that can be read: send a PNG, JPEG or WebP file.") from None


def own_file(uri: Any) -> io.BytesIO:
    """`file_of` a picture that this page made, no larger than those are: where many come at once. Raises InputError."""
    budget.check()
    return bounds.own(file_of(uri))
