"""Painting over a part of a face: what the browser sends of it."""

from typing import Any

import numpy as np

from model.errors import InputError
from model.pipeline import SIZE
from ui.frames import file_of, read_face


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
