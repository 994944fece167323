"""Watch it learn: one seed drawn by the network at several moments of its training.

Shown is assets/learning.webp, where there is one.
Tiles of 64 x 64 pixels, from left to right and then from top to bottom, without gaps; the last row may be unfinished.
assets/learning.json beside it: {"prompt": text, "seed": whole number, "images": [images seen at each tile, rising],
"note": text, or none}.
"""

import base64
import html
import json
from pathlib import Path

from PIL import Image

from model.errors import FacetError
from model.pipeline import SIZE


def learning(folder: Path) -> str | None:
    """The figure of the sprite sheet in `folder`, or None if there is no sheet. Its slider is run by assets/how.js.

    Raises FacetError for a sheet with fewer tiles than its JSON names.
    """
    sheet = folder / "learning.webp"
    if not sheet.is_file():
        return None
    about = json.loads((folder / "learning.json").read_text(encoding="utf-8"))
    prompt, seed, seen = str(about["prompt"]), int(about["seed"]), [int(count) for count in about["images"]]
    note = html.escape(str(about.get("note", "")))
    with Image.open(sheet) as picture:
        columns, rows = picture.width // SIZE, picture.height // SIZE
    if not 0 < len(seen) <= columns * rows:
        raise FacetError(
            f"{sheet} has {columns * rows} tiles of {SIZE} pixels, its JSON names {len(seen)}: make both again."
        )
    data = base64.b64encode(sheet.read_bytes()).decode()
    said = html.escape(f"“{prompt}”" if prompt else "any face")
    return f"""<div class="learn" data-images="{json.dumps(seen)}" data-columns="{columns}">
        <div class="sheet" role="img" aria-label="The same seed at this moment of the training"
             style="background-image:url(data:image/webp;base64,{data});--columns:{columns};--rows:{rows}"></div>
        <div><label for="learn-at">Images seen in training: <output aria-live="off">{seen[0]:,}</output></label>
        <input id="learn-at" type="range" min="0" max="{len(seen) - 1}" value="0" step="1">
        <button type="button">Play</button>
        <p>{said}, seed {seed}: the same noise each time, drawn by the network as it was then. {note}</p></div></div>"""
