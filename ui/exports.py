"""What a visitor may keep of a face: PNG, animation, film strip, ZIP. Made when asked for, of what is on screen."""

import base64
import io
import json
import math
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image, PngImagePlugin

from model.errors import InputError
from model.images import from_contact_sheet
from model.settings import PNG_KEY, Settings
from ui.frames import own_file, read_face, read_picture, sheet, thinned
from ui.paint import PAINTING, painting_of
from ui.runs import counted
from ui.server import engine
from ui.status import refusing, status

# of an animation; longer runs are thinned out evenly
MOST_FRAMES = 120
# pixels, at least, of an animation and of one picture of a film strip
SIDE = 256
# pictures of a film strip
STRIP = 8
# how long an animation shows a frame, and the last one
MS, LAST_MS = 60, 1500


@refusing(outputs=2)
def export(event: gr.EventData) -> tuple[Any, dict[str, str]]:
    """What the browser wants to keep, see `make` -> ({name, data} or nothing, status).

    It goes in the message: a file in gradio's cache would hold the prompt.
    """
    sent = event._data if isinstance(event._data, dict) else {}
    name, data = make(sent)
    return {"name": name, "data": base64.b64encode(data).decode()}, status(f"Saved as {name}.")


def make(sent: Mapping[str, Any]) -> tuple[str, bytes]:
    """(file name, bytes) of one export.

    sent: `what` ("png", "frame", "webp", "gif", "strip" or "zip"), `image` and `frames` (data URIs), `record`,
    `settings` (whether a PNG carries the record), `mask` (of a painted face), `step`, `by` ("crisp" for that SRResNet),
    and for a batch `count` and `seeds`. Raises InputError.
    """
    kinds: dict[str, tuple[Callable, str]] = {
        "png": (_png, "png"),
        "frame": (_frame, "png"),
        "webp": (_animation, "webp"),
        "gif": (_animation, "gif"),
        "strip": (_film_strip, "png"),
        "zip": (_bundle, "zip"),
    }
    what = str(sent.get("what"))
    if what not in kinds:
        raise InputError(f"There is no export called {what[:40]!r}.")
    build, ending = kinds[what]
    settings = Settings.read(sent.get("record"))[0] if sent.get("record") else None
    name = settings.seed if settings else "face"
    settings = settings if sent.get("settings", True) else None
    about = f"-step-{_whole(sent.get('step'))}" if what == "frame" else "-steps" if what == "strip" else ""
    return f"facet-{name}{about}.{ending}", build(sent, settings)


def with_settings(pixels: np.ndarray, settings: Settings | None, painting: dict[str, str] | None = None) -> bytes:
    """A PNG; its text chunk PNG_KEY holds the settings, if there are any, and one more the painting."""
    text = PngImagePlugin.PngInfo()
    if settings:
        text.add_itxt(PNG_KEY, settings.as_text())
        if painting:
            text.add_text(f"{PNG_KEY}-{PAINTING}", json.dumps(painting), zip=True)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=text)
    return buffer.getvalue()


# --- the kinds --------------------------------------------------------------------------------------------------------


def _png(sent: Mapping[str, Any], settings: Settings | None) -> bytes:
    """The face at 512 x 512 pixels; a batch as one sheet of such faces."""
    if _count(sent) > 1:
        cells = _cells(read_picture(own_file(sent.get("image"))), _count(sent))
        return with_settings(sheet([_enlarged(cell, sent) for cell in cells]), _unless_painted(settings, sent))
    face = read_face(own_file(sent.get("image")))
    return with_settings(_enlarged(face, sent), settings, _painting(face, sent))


def _painting(face: np.ndarray, sent: Mapping[str, Any]) -> dict[str, str] | None:
    return painting_of(face, sent["mask"]) if sent.get("mask") else None


def _unless_painted(settings: Settings | None, sent: Mapping[str, Any]) -> Settings | None:
    """For a picture that cannot hold the painting: settings alone would bring back another face."""
    return None if sent.get("mask") else settings


def _enlarged(face: np.ndarray, sent: Mapping[str, Any]) -> np.ndarray:
    """(64, 64, 3) -> (512, 512, 3), by the network that was asked for."""
    return engine.pipeline().upscale(face[None], crisp=sent.get("by") == "crisp")[0]


def _frame(sent: Mapping[str, Any], settings: Settings | None) -> bytes:
    """The picture of one step, as small as it is."""
    return with_settings(read_picture(own_file(sent.get("image"))), _unless_painted(settings, sent))


def _animation(sent: Mapping[str, Any], settings: Settings | None) -> bytes:
    """All steps, one after the other."""
    pictures = [Image.fromarray(frame) for frame in _frames(sent, MOST_FRAMES)]
    times = [MS] * (len(pictures) - 1) + [LAST_MS]
    buffer = io.BytesIO()
    options = {"quality": 85, "method": 2} if sent["what"] == "webp" else {"optimize": False}
    pictures[0].save(
        buffer, sent["what"].upper(), save_all=True, append_images=pictures[1:], duration=times, loop=0, **options
    )
    return buffer.getvalue()


def _film_strip(sent: Mapping[str, Any], settings: Settings | None) -> bytes:
    """Some steps side by side, from noise to face."""
    return with_settings(np.concatenate(_frames(sent, STRIP), axis=1), _unless_painted(settings, sent))


def _bundle(sent: Mapping[str, Any], settings: Settings | None) -> bytes:
    """A ZIP of the picture (a batch: every face), small and large, animation, film strip and, if wanted, settings."""
    small, files = read_picture(own_file(sent.get("image"))), {}
    if settings:
        files["settings.json"] = json.dumps(settings.as_record(), indent=1, ensure_ascii=False).encode()
    if _count(sent) > 1:
        for seed, face in zip(_seeds(sent), _cells(small, _count(sent)), strict=True):
            one = settings and replace(settings, seed=seed)
            files[f"face-{seed}.png"] = with_settings(_enlarged(face, sent), one, _painting(face, sent))
    else:
        files["face-64.png"] = with_settings(small, settings, _painting(small, sent))
        files["face-512.png"] = _png(sent, settings)
    if len(sent.get("frames") or []) > 1:
        files["steps.webp"] = _animation({**sent, "what": "webp"}, settings)
        files["steps.png"] = _film_strip(sent, settings)
    buffer = io.BytesIO()
    # stored as it is: pictures are packed already
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


# --- what the browser sent --------------------------------------------------------------------------------------------


def _frames(sent: Mapping[str, Any], most: int) -> list[np.ndarray]:
    """At most `most` of the frames, the first and the last among them, each as `_sized` makes it. Raises InputError."""
    frames = sent.get("frames")
    if not isinstance(frames, list) or not frames:
        raise InputError("There are no steps to save: this face came without them.")
    return [_sized(read_picture(own_file(frame))) for frame in thinned(frames, most)]


def _sized(pixels: np.ndarray) -> np.ndarray:
    """SIDE pixels a side, or the first multiple of the picture's own size beyond: each pixel is a sharp square."""
    height, width = pixels.shape[:2]
    # no frame of ours is larger, or wider than high
    side = width * -(-SIDE // width) if height == width <= SIDE else SIDE
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST))


def _cells(sheet: np.ndarray, count: int) -> np.ndarray:
    columns = math.isqrt(count)
    if sheet.shape[0] % columns or sheet.shape[1] % columns:
        raise InputError(f"The picture is no sheet of {count} faces.")
    return from_contact_sheet(sheet, (sheet.shape[0] // columns, sheet.shape[1] // columns))


def _count(sent: Mapping[str, Any]) -> int:
    return counted(sent.get("count", 1))


def _seeds(sent: Mapping[str, Any]) -> list[int]:
    seeds = sent.get("seeds")
    if not isinstance(seeds, list) or len(seeds) != _count(sent):
        raise InputError("The seeds of the batch are missing.")
    return [_whole(seed) for seed in seeds]


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError(f"{str(value)[:40]!r} is no whole number.")
    return value
