"""What a training tells of itself: its log, and what its weights file says of it."""

import json
import math
import subprocess
from pathlib import Path
from typing import Any


class Log:
    """A file of JSON lines: one dict of numbers per line, also printed."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, **numbers: float | None) -> None:
        """Add a line, floats rounded to five digits; null for what is no number, as JSON has no NaN."""
        line = json.dumps({name: _rounded(value) for name, value in numbers.items()})
        with self.path.open("a") as file:
            file.write(line + "\n")
        print(line, flush=True)


def _rounded(value: float | None) -> float | None:
    if not isinstance(value, float):
        return value
    return round(value, 5) if math.isfinite(value) else None


LICENCE = "non-commercial research use; see weights/README.md"


def provenance(images: int, seconds: float, device: str, data: str) -> dict[str, Any]:
    """What every weights file says of its training: images and seconds of it, the kind of device, the data's hash."""
    about = {"images": images, "seconds": round(seconds), "device": device, "data": data}
    return about | {"commit": commit(), "licence": LICENCE}


def commit() -> str:
    """The repository's commit, or "" where there is no repository or no git."""
    command = ["git", "rev-parse", "--short=12", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
