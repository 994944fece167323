"""The honest line under the face: what the weights were trained on, for how long, and how near they come to their
faces."""

import html
import json
import os
from pathlib import Path
from typing import Any

from model.errors import FacetError
from ui.server import engine


def badge() -> str:
    """HTML for the line; empty where the weights cannot be read or say nothing."""
    try:
        return line(engine.pipeline().unet.info, evaluation())
    except FacetError:
        return ""


def line(info: dict[str, Any], report: dict[str, Any]) -> str:
    """`info`: the U-Net's metadata. `report`: weights/evaluation.json. What they do not say is left out."""
    parts = []
    if info.get("images"):
        images = f"{info['images']:,} images"
        parts.append(
            f"The U-Net saw {images}"
            + (f" in {spent(info['seconds'])}" if info.get("seconds") else "")
            + (f" on {_device(info['device'])}" if info.get("device") else "")
        )
    near, measured = (
        report.get("memorisation", {}).get("pixels", {}),
        report.get("weights", {}).get("unet", {}).get("hash"),
    )
    if "generated_median" in near and measured == info.get("hash"):  # not what was measured of other weights
        parts.append(
            f"its faces differ from the nearest training face by {near['generated_median']:.0f} grey levels "
            f"on the median (new photographs: {near['validation_median']:.0f})"
        )
    if not parts:
        return ""
    return f"<p>{html.escape('; '.join(parts))}. No face here is a photograph.</p>"


def evaluation() -> dict[str, Any]:
    """weights/evaluation.json beside the weights; empty if there is none."""
    path = Path(os.environ.get("FACET_WEIGHTS") or engine.WEIGHTS) / "evaluation.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def spent(seconds: float) -> str:
    """33 minutes, 6.4 hours."""
    hours = seconds / 3600
    return f"{hours:.1f} hours" if hours >= 1 else f"{seconds / 60:.0f} minutes"


def _device(name: str) -> str:
    return {"cpu": "a CPU", "cuda": "a GPU"}.get(name, name)
