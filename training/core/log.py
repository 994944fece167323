"""What a training tells of itself: its log, and the commit of the code."""

import json
import subprocess
from pathlib import Path


class Log:
    """A file of JSON lines: one dict of numbers per line, also printed."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, **numbers: float | None) -> None:
        """Add a line, floats rounded to five digits."""
        line = json.dumps({k: round(v, 5) if isinstance(v, float) else v for k, v in numbers.items()})
        with self.path.open("a") as file:
            file.write(line + "\n")
        print(line, flush=True)


def commit() -> str:
    """The repository's commit, or "" where there is no repository or no git."""
    command = ["git", "rev-parse", "--short=12", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
