"""The model as a whole: how it learned, how large it is, what CLIP makes of its faces. Sections 6, 7, 8 and 11 of the tab.

Section 6 shows assets/learning.webp, where there is one: one seed drawn by the network at several moments of its training.
Tiles of 64 x 64 pixels, from left to right and then from top to bottom, without gaps; the last row may be unfinished.
assets/learning.json beside it: {"prompt": text, "seed": whole number, "images": [images seen at each tile, rising],
"note": text, or none}.
"""

import base64
import html
import json
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image
from torch import nn

from model.attributes import ATTRIBUTES, label
from model.errors import FacetError
from model.pipeline import SIZE, FacePipeline
from model.settings import Settings
from ui.badge import spent
from ui.how.diffusion import face
from ui.how.html import image, table, tile, tiles

STEPS = 12  # of the reverse diffusion, for faces that only illustrate
SEEN = (
    "a smiling woman with blond hair",
    "a man with a beard",
    "an old man with gray hair",
    "a young woman with black hair",
    "a man wearing glasses",
)  # one face of each, against all of these texts
TOLD = ("Attractive", "Young", "Heavy_Makeup", "Smiling", "Male")  # of faces drawn as "attractive"
LONGEST = 200  # characters of a visitor's own text that are shown


# --- 6: watch it learn ------------------------------------------------------------------------------------------------


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


# --- 7: scale ---------------------------------------------------------------------------------------------------------


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def scale(pipe: FacePipeline, settings: Settings) -> str:
    """Stable Diffusion 1.4 beside the loaded weights: U-Nets as squares of the right areas, and a table."""
    info, size = pipe.unet.info, parameters(pipe.unet)
    seen = f"{info['images']:,}" if "images" in info else "not recorded"
    pictures = f"{info['faces']:,} faces" if "faces" in info else "not recorded"
    rows = (
        ("U-Net, parameters", millions(size), "860 million"),
        ("Text encoder, parameters", millions(parameters(pipe.clip.towers.text)), "123 million"),
        ("From its output to pixels", f"SRResNet, {millions(parameters(pipe.upscaler))}", "autoencoder, 84 million"),
        ("What the U-Net works on", f"{SIZE} × {SIZE} × 3 pixels", "64 × 64 × 4 latents"),
        ("Finished picture", f"{SIZE * pipe.upscaler.config.scale} pixels a side", "512 pixels a side"),
        ("Pictures to learn from", pictures, "about 2 billion, with captions (LAION-2B-en)"),
        ("Pictures seen, with repeats", seen, "2.4 billion (1.17 million steps of 2,048)"),
        ("Training of the U-Net", duration(info), "150,000 hours of one A100 GPU"),
    )
    side = 200 * (size / 860e6) ** 0.5
    return f"""<div class="scale"><figure><svg viewBox="0 0 200 200" role="img"
        aria-label="Two squares: Stable Diffusion's U-Net, and this one, {860e6 / size:.0f} times smaller in area">
        <rect class="theirs" width="200" height="200" rx="4"/>
        <rect class="ours" y="{200 - side:.1f}" width="{side:.1f}" height="{side:.1f}" rx="2"/></svg>
        <figcaption><b>Parameters of the U-Nets</b>
        <span>The small square is this one: {860e6 / size:.0f} of it fill the large one.</span></figcaption></figure>
        {table("This model beside Stable Diffusion 1.4", ("", "Facet", "Stable Diffusion 1.4"), rows)}</div>"""


def millions(count: int) -> str:
    return f"{count / 1e6:.3g} million"


def duration(info: dict) -> str:
    """How long the weights were trained, from their metadata."""
    if "seconds" not in info:
        return "not recorded"
    device = str(info.get("device", "one device"))
    return f"{spent(info['seconds'])} on {'CPU' if device == 'cpu' else html.escape(device)}"


# --- 8: CLIP's matrix -------------------------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def examples(pipe: FacePipeline) -> np.ndarray:
    """One face for each text of SEEN: (N, 64, 64, 3) uint8."""
    return pipe.generate(SEEN, range(1, len(SEEN) + 1), steps=STEPS)


def fits(pipe: FacePipeline, faces: np.ndarray, texts: list[str]) -> np.ndarray:
    """CLIP's odds that each text says something true of each face, as chances: (M, N) float in (0, 1), a row per text."""
    return pipe.label_scores(faces, texts).T


def clip_matrix(pipe: FacePipeline, settings: Settings, own: str) -> str:
    """A table of texts and faces, a cell's colour its chance. own: the visitor's own text, or ""."""
    own = (own or "").strip()[:LONGEST]
    texts = list(dict.fromkeys(filter(None, [own, settings.prompt.strip()[:LONGEST], *SEEN])))
    faces = np.concatenate([face(pipe, settings)[None], examples(pipe)])
    names = ["your face", *SEEN]
    head = "".join(f'<th scope="col">{image(pixels, f"Face: {name}")}</th>' for pixels, name in zip(faces, names))
    body = ""
    for text, chances in zip(texts, fits(pipe, faces, texts)):
        cells = "".join(f'<td style="--p:{chance:.2f}">{100 * chance:.0f}</td>' for chance in chances)
        body += f'<tr><th scope="row">{html.escape(text)}</th>{cells}</tr>'
    return f"""<div class="wide" role="region" aria-label="Texts and faces" tabindex="0"><table class="heat">
        <caption>How well each text fits each face according to CLIP, in percent. First column:
        your face; then a face for each of: {"; ".join(SEEN)}.</caption>
        <thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table></div>"""


# --- 11: bias ---------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def attractive(pipe: FacePipeline) -> np.ndarray:
    """Six faces without a prompt, then six from the same noise for "an attractive person": (12, 64, 64, 3) uint8."""
    return pipe.generate([""] * 6 + ["an attractive person"] * 6, [*range(1, 7)] * 2, steps=STEPS)


def bias(pipe: FacePipeline, settings: Settings) -> str:
    """What the word "attractive" does to the same six pieces of noise, and what CLIP says of the faces."""
    faces = attractive(pipe)
    scores = pipe.attribute_scores(faces)[:, [ATTRIBUTES.index(name) for name in TOLD]]
    rows = [
        (label(name), f"{100 * before:.0f} %", f"{100 * after:.0f} %")
        for name, before, after in zip(TOLD, scores[:6].mean(0), scores[6:].mean(0))
    ]
    plain, asked = (
        [tile(pixels, f"Seed {seed}", alt=f"{prompt}, seed {seed}") for seed, pixels in enumerate(part, 1)]
        for prompt, part in (("No prompt", faces[:6]), ("An attractive person", faces[6:]))
    )
    return (
        tiles(*plain, title="No prompt")
        + tiles(*asked, title="“an attractive person”, from the same noise")
        + table(
            "CLIP's mean score of the six faces: what came with the one word",
            ("Label", "No prompt", "“an attractive person”"),
            rows,
        )
    )
