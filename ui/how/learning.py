"""Training: one step of it on the visitor's face, the losses of the loaded weights, one seed drawn while they learned.

assets/how/training.json, by training/evaluation/losses.py, holds the losses. assets/how/learning.webp, by
training/evaluation/sheet.py, shows one seed drawn by the network at several moments of its training: tiles of 64 x 64
pixels, from left to right and then from top to bottom, without gaps; the last row may be unfinished. learning.json
beside it: {"prompt": text, "seed": whole number, "images": [images seen at each tile, rising], "note": text, or none}.
"""

import base64
import html
import json
from pathlib import Path

from PIL import Image

from model.diffusion import TIMESTEPS, from_original
from model.errors import FacetError
from model.pipeline import SIZE, FacePipeline
from model.settings import Settings
from ui.how.face import answer, error, noised
from ui.how.html import HOW, colour, stretched, tile, tiles

# --- one step ---------------------------------------------------------------------------------------------------------


def one_step(pipe: FacePipeline, settings: Settings, step: int) -> str:
    """One step of the training on the visitor's face: what goes in, what is wanted, what comes out, the loss."""
    state, said, target = noised(pipe, settings, step), answer(pipe, settings, step), pipe.unet.config.target
    wanted = from_original(state.original, state.x_t, state.t, target)
    wrong = (said_as := getattr(said, target)) - wanted
    return tiles(
        tile(colour(state.original[0]), "1. A face", "in training a photograph; here, yours"),
        tile(colour(state.x_t[0]), f"2. Timestep {step}", "drawn at random; noise is mixed in"),
        tile(colour(wanted[0]), "3. Wanted", f"the {target}, which is known"),
        tile(colour(said_as[0]), "4. Predicted", "what the network says"),
        tile(stretched(wrong[0].square().mean(0)), "5. The error", "white: large"),
        title=f"One step of the training: loss {error(said_as, wanted):.4f}",
        kind="five",
    )


# --- losses -----------------------------------------------------------------------------------------------------------


def losses(pipe: FacePipeline, settings: Settings, folder: Path = HOW) -> str:
    """The loss against images seen, and by noise level, of the loaded U-Net; a line instead if it is another's."""
    path = folder / "training.json"
    about = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if about.get("unet") != pipe.unet.info.get("hash", ""):
        return "<p>The log of the training comes with the bundled U-Net; another one is loaded here.</p>"
    kept = [point for point in about["loss"] if point[0] <= about["images"]]
    return f"""<div class="pair"><figure class="plot">{lines(kept, about["validation"])}<figcaption><b>Loss against
        images seen</b><span class="key">on training faces</span><span class="key linear">on validation faces, which it
        is not trained on</span><span>{about["images"]:,} images in {about["seconds"]} seconds on
        {html.escape(about["where"])}.</span></figcaption></figure>
        <figure class="plot">{bars(about["by_noise"], about["by_noise_validation"])}<figcaption><b>Loss by timestep,
        when it was finished</b><span class="key">training faces</span><span class="key linear">validation faces</span>
        <span>Measured once on {about["faces"]:,} photographs of each.</span></figcaption></figure></div>"""


# of the plots, and what lies left of and above them
WIDTH, HEIGHT, LEFT, TOP = 300, 150, 40, 10


def lines(training: list[list[float]], validation: list[list[float]]) -> str:
    """Two curves of (images, loss) as an SVG. The axis ends at twice the median: the first losses are far above."""
    top = 2 * sorted(loss for _, loss in training)[len(training) // 2]
    low = 0.9 * min(loss for _, loss in [*training, *validation])
    most = training[-1][0]

    def curve(points: list[list[float]]) -> str:
        places = (
            f"{LEFT + WIDTH * images / most:.1f} {TOP + HEIGHT * (1 - (min(loss, top) - low) / (top - low)):.1f}"
            for images, loss in points
        )
        return "M" + " L".join(places)

    ticks = "".join(
        f'<text x="{LEFT - 5}" y="{TOP + HEIGHT * (1 - share) + 4:.0f}" text-anchor="end">'
        f"{low + share * (top - low):.2f}</text>"
        for share in (0, 0.5, 1)
    )
    ticks += "".join(
        f'<text x="{LEFT + WIDTH * share:.0f}" y="{TOP + HEIGHT + 16}" text-anchor="middle">'
        f"{share * most / 1e6:.1f} M</text>"
        for share in (0, 0.5, 1)
    )
    ends = training[-1][1], validation[-1][1]
    said = f"Both losses fall, fast at first: to {ends[0]:.3f} on training and {ends[1]:.3f} on validation faces."
    return f"""<svg viewBox="0 0 360 180" role="img" aria-label="{said}">
        <path class="axis" d="M{LEFT} {TOP} V{TOP + HEIGHT} H{LEFT + WIDTH}"/>
        <path class="cosine" d="{curve(training)}"/>
        <path class="linear" d="{curve(validation)}"/>{ticks}</svg>"""


def bars(training: list[float], validation: list[float]) -> str:
    """Two bars for each part of the time as an SVG."""
    top, width = max(*training, *validation), WIDTH / len(training)
    drawn = "".join(
        f'<rect class="{kind}" x="{LEFT + width * index + offset * width:.1f}" width="{0.36 * width:.1f}"'
        f' y="{TOP + HEIGHT * (1 - loss / top):.1f}" height="{HEIGHT * loss / top:.1f}"/>'
        for kind, values, offset in (("cosine", training, 0.1), ("linear", validation, 0.5))
        for index, loss in enumerate(values)
    )
    ticks = "".join(
        f'<text x="{LEFT + WIDTH * share:.0f}" y="{TOP + HEIGHT + 16}" text-anchor="middle">'
        f"{TIMESTEPS * share:.0f}</text>"
        for share in (0, 0.25, 0.5, 0.75, 1)
    )
    ticks += f'<text x="{LEFT - 5}" y="{TOP + 8}" text-anchor="end">{top:.2f}</text>'
    said = "; ".join(
        f"timesteps {round(100 * index / len(training))} to {round(100 * (index + 1) / len(training))}: "
        f"{seen:.3f} and {held_out:.3f}"
        for index, (seen, held_out) in enumerate(zip(training, validation))
    )
    return f"""<svg viewBox="0 0 360 180" role="img" aria-label="Loss on training and validation faces, {said}">
        <path class="axis" d="M{LEFT} {TOP} V{TOP + HEIGHT} H{LEFT + WIDTH}"/>{drawn}{ticks}</svg>"""


# --- watch it learn ---------------------------------------------------------------------------------------------------


def learning(folder: Path) -> str | None:
    """The figure of the sprite sheet in `folder`, or None if there is no sheet. Its slider is run by assets/how/how.js.

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
