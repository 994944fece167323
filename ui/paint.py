"""Painting over a part of a face: what the browser sends of it, and what the record of such a face holds beside the
settings: a face and a mask, since the settings alone do not make it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from model.errors import InputError
from model.images import Frame
from model.pipeline import SIZE, FacePipeline
from model.settings import Settings
from ui.frames import file_of, png, read_face

# names it in a record, and with PNG_KEY before it the text chunk of a PNG
PAINTING = "painting"


def painted(painting: Any) -> tuple[np.ndarray, float, np.ndarray]:
    """{image, mask} of the page -> what `stream_faces` starts from: face, strength, mask. Raises InputError.

    mask: SIZE * SIZE signs, row by row: 1 where the face is drawn anew, 0 where it stays.
    """
    sent = painting if isinstance(painting, dict) else {}
    return read_face(file_of(sent.get("image"))), 1.0, mask_of(sent.get("mask"))


def mask_of(text: Any) -> np.ndarray:
    """Signs 0 and 1 -> (SIZE, SIZE) bool. Raises InputError."""
    if not isinstance(text, str) or set(text) - {"0", "1"} or len(text) != SIZE * SIZE:
        count = len(text) if isinstance(text, str) else "none"
        raise InputError(f"The mask must have {SIZE} x {SIZE} signs, each 0 or 1; this one has {count}.")
    return (np.frombuffer(text.encode(), np.uint8) == ord("1")).reshape(SIZE, SIZE)


def painting_of(face: np.ndarray, mask: Any) -> dict[str, str]:
    """A face (SIZE, SIZE, 3) and a mask as the page sends it, for a record. Raises InputError.

    What stands under the mask does not matter, so the painted face itself will do.
    """
    mask_of(mask)
    return {"image": png(face), "mask": mask}


def held(record: Any) -> tuple[Any, Any]:
    """A record -> its settings, and its painting or None."""
    if not isinstance(record, Mapping):
        return record, None
    return {name: value for name, value in record.items() if name != PAINTING}, record.get(PAINTING)


def streamer(pipe: FacePipeline, painting: Any) -> Callable[[Sequence[Settings]], Iterator[list[Frame]]]:
    """`stream_faces`, of a part alone where there is a painting, with its influence. Raises InputError."""
    if not painting:
        return pipe.stream_faces
    face, strength, mask = painted(painting)
    return partial(pipe.stream_faces, start_from=face, strength=strength, mask=mask, influence=True)
