"""This process's own folder for pictures on their way. Import it before gradio's components, which keep its name."""

import os
import re
import shutil
import tempfile
from pathlib import Path

PREFIX = "facet-"


def own_folder() -> Path:
    """Name this process's folder to gradio, by GRADIO_TEMP_DIR, and empty it, with those of processes that are gone."""
    inside = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()).resolve()
    # the folder of the process that started this one
    if re.fullmatch(rf"{PREFIX}\d+(-\w+)?", inside.name):
        inside = inside.parent
    for folder in inside.glob(f"{PREFIX}*"):
        if not folder.is_symlink() and not _alive(folder.name.removeprefix(PREFIX).partition("-")[0]):
            shutil.rmtree(folder, ignore_errors=True)
    folder = inside / f"{PREFIX}{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True, mode=0o700)
    except FileExistsError:
        # another user's, of a process that is gone
        folder = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=inside))
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    return folder


def remove() -> None:
    """At the end: nothing is left behind."""
    shutil.rmtree(FOLDER, ignore_errors=True)


def _alive(process: str) -> bool:
    if not process.isdigit():
        # not one of ours
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return int(process) != os.getpid()


FOLDER = own_folder()
