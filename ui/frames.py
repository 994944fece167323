"""Frames on their way to a browser, and pictures on their way from one."""

import base64
import io
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from model.errors import InputError
from model.pipeline import SIZE, FacePipeline

MESSAGES_PER_SECOND = 15  # the server never drops a message, so it must not send more than a browser can take
DEADLINE = 120.0          # seconds one run may take
LARGEST_UPLOAD = 4096     # pixels a side


def messages(pipe: FacePipeline, prompt: str, seed: int, negative_prompt: str = "",
             **settings: Any) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Run the sampler; yield (JSON-able message, the face so far), at most MESSAGES_PER_SECOND, the first at once.

    A message's `frames` hold every frame since the message before, so none is lost. Closing this generator ends the run.
    """
    start, sent, waiting = time.monotonic(), 0.0, []
    with closing(pipe.stream(prompt, seed=seed, negative_prompt=negative_prompt, **settings)) as frames:
        notes = pipe.prompt_note(prompt), pipe.prompt_note(negative_prompt).replace("The prompt", "The negative prompt")
        about = {"seed": int(seed), "note": " ".join(filter(None, notes))}
        for frame in frames:
            waiting.append({"step": frame.index, "noise_level": round(frame.noise_level, 4),
                            "denoised": jpeg(frame.denoised), "noisy": jpeg(frame.noisy)})
            now, last = time.monotonic(), frame.index == frame.total
            late = now - start > DEADLINE and not last
            if last or late or now - sent >= 1 / MESSAGES_PER_SECOND:
                yield {"step": frame.index, "total": frame.total, "noise_level": waiting[-1]["noise_level"], **about,
                       "frames": waiting}, frame.denoised
                sent, waiting = now, []
            if late:
                raise InputError(f"Stopped at step {frame.index} of {frame.total}: a run may take {DEADLINE:.0f} seconds. "
                                 "Use fewer steps.")


def jpeg(pixels: np.ndarray) -> str:
    """(H, W, 3) uint8 -> a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=92, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def read_face(path: str | None) -> np.ndarray:
    """The middle square of an image file, shrunk to (64, 64, 3) uint8. Raises InputError."""
    try:
        with Image.open(path or "", formats=("PNG", "JPEG", "WEBP")) as image:
            if max(image.size) > LARGEST_UPLOAD:
                raise InputError(f"The image is larger than {LARGEST_UPLOAD} pixels a side: shrink it first.")
            upright = ImageOps.exif_transpose(image).convert("RGB")
            return np.asarray(ImageOps.fit(upright, (SIZE, SIZE), Image.Resampling.LANCZOS))
    except InputError:
        raise
    except Exception:  # Pillow raises almost anything for a file made to confuse it
        raise InputError("This is not an image that can be read: send a PNG, JPEG or WebP file.") from None
