"""The honest line under the face: what the weights were trained on, how long, and how near their faces come."""

import html
import json
import os
import re
from pathlib import Path
from typing import Any

from model.errors import FacetError
from model.files.hub import plain
from ui.server import engine


def badge() -> str:
    """HTML for the line; empty where the weights cannot be read or say nothing."""
    try:
        pipe = engine.pipeline()
        return line(pipe.unet.info, evaluation(), pipe.guided.info if pipe.guided else {})
    except FacetError:
        return ""


def line(info: dict[str, Any], report: dict[str, Any], guided: Any = None) -> str:
    """HTML. What the three do not say is left out.

    :param info:   the U-Net's metadata.
    :param report: weights/evaluation.json.
    :param guided: metadata of the network with built-in guidance, by which faces are drawn; {} or None without one.
    """
    parts, info = [], _readable(info)
    if info.get("images"):
        images = f"{info['images']:,} images"
        parts.append(
            f"The U-Net saw {images}"
            + (f" in {spent(info['seconds'])}" if info.get("seconds") else "")
            + (f" on {device(info['device'])}" if info.get("device") else "")
        )
    near = _inside(report, "memorisation", "pixels")
    medians = [near.get("generated_median"), near.get("validation_median")]
    measured = [_inside(report, "weights", name).get("hash") for name in ("unet", "guided")]
    # not what was measured of other weights
    if all(map(_is_number, medians)) and measured == [info.get("hash"), _readable(guided).get("hash")]:
        parts.append(
            f"its faces typically differ from the nearest training face by {near['generated_median']:.0f} grey levels "
            f"of 255 (new photographs: {near['validation_median']:.0f})"
        )
    if not parts:
        return ""
    return f"<p>{html.escape('; '.join(parts))}. No face here is a photograph.</p>"


def _readable(info: Any) -> dict[str, Any]:
    """What of the metadata is what it should be; anybody may have written a file's."""
    info = info if isinstance(info, dict) else {}
    numbers = {name: info[name] for name in ("images", "seconds") if _is_number(info.get(name))}
    return numbers | {name: info[name] for name in ("device", "hash") if isinstance(info.get(name), str)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15


def _inside(report: Any, *names: str) -> dict[str, Any]:
    """The object at these names inside one another, or an empty one."""
    for name in names:
        report = report.get(name) if isinstance(report, dict) else None
    return report if isinstance(report, dict) else {}


def evaluation() -> dict[str, Any]:
    """weights/evaluation.json beside the weights; empty if there is none."""
    path = Path(plain(os.environ.get("FACET_WEIGHTS") or engine.WEIGHTS)) / "evaluation.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def spent(seconds: float) -> str:
    """33 minutes, 6.4 hours."""
    hours = seconds / 3600
    return f"{hours:.1f} hours" if hours >= 1 else f"{seconds / 60:.0f} minutes"


def device(name: str) -> str:
    """What a training ran on, from the weights' metadata: "cpu", or "cuda (one NVIDIA H200)"."""
    inside = re.fullmatch(r"cuda \((.+)\)", name)
    return inside[1] if inside else {"cpu": "a CPU", "cuda": "a GPU"}.get(name, name)
