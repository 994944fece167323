"""The README's pictures of the page and of faces coming into being, made anew from the weights.

    make pictures

assets/pictures/page.webp     the page after a run, photographed in Chromium
assets/pictures/making.webp   faces drawn side by side: what is predicted at every step, at the end enlarged by SRResNet
assets/controls/presets.webp  the face of each preset in presets.json beside it, from left to right
assets/page/card.jpg          eight faces, for the card that other sites show of a link to the page
"""

import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlencode

import numpy as np
from PIL import Image

from benchmarks.harness.browser import chromium
from benchmarks.harness.server import ROOT, running
from model import attributes
from model.images import contact_sheet
from model.pipeline import FacePipeline
from model.settings import Settings

ASSETS = ROOT / "assets"
PROMPT, SEED = "a smiling woman with blond hair", 23
PROMPTS = (
    "a smiling woman with blond hair",
    "an old man with gray hair",
    "a young woman with black hair",
    "a smiling man with a beard",
)
SEEDS = (23, 45, 23, 44)
# pixels of a face in the animation
SIDE = 160
# three more faces for the card, beside those of the presets
CARD = {
    "a smiling woman with brown hair": 14,
    "a smiling woman with blond hair": 23,
    "Photo of person 5 o clock shadow, black hair, male, wavy hair, young, not smiling.": 13,
}
# pixels of a face on the card, which is 4 by 2 faces large
CARD_SIDE = 300
# how long a step is shown, and the enlarged faces
MS, LAST_MS = 150, 3000


def animation(pipe: FacePipeline) -> list[Image.Image]:
    """PROMPTS under SEEDS: a row of predicted clean faces after every step, then the row enlarged by SRResNet."""
    asked = [Settings(prompt, seed=seed) for prompt, seed in zip(PROMPTS, SEEDS, strict=True)]
    steps = [np.concatenate([frame.denoised for frame in frames], axis=1) for frames in pipe.stream_faces(asked)]
    faces = np.stack(np.split(steps[-1], len(PROMPTS), axis=1))
    pictures = [Image.fromarray(step).resize((len(PROMPTS) * SIDE, SIDE), Image.Resampling.NEAREST) for step in steps]
    large = Image.fromarray(np.concatenate(pipe.upscale(faces, crisp=pipe.crisp is not None), axis=1))
    return [*pictures, large.resize(pictures[0].size, Image.Resampling.LANCZOS)]


def presets(pipe: FacePipeline) -> np.ndarray:
    """The face of each preset: (N, 64, 64, 3) uint8."""
    listed = json.loads((ASSETS / "controls" / "presets.json").read_text(encoding="utf-8")).values()
    prompts = [attributes.attributes_to_prompt(preset["present"], preset["absent"]) for preset in listed]
    return pipe.generate(prompts, [preset["seed"] for preset in listed])


def card(pipe: FacePipeline, others: np.ndarray) -> Image.Image:
    """CARD and five other faces (5, 64, 64, 3), enlarged."""
    own = pipe.generate(list(CARD), list(CARD.values()))
    faces = np.concatenate([own[1:2], others[1:4], own[:1], others[4:], own[2:], others[:1]])
    large = contact_sheet(pipe.upscale(faces, crisp=pipe.crisp is not None), 4)
    return Image.fromarray(large).resize((4 * CARD_SIDE, 2 * CARD_SIDE), Image.Resampling.LANCZOS)


def photograph(folder: Path) -> Image.Image:
    """The page at 1280 px after the run that a link with PROMPT and SEED starts."""
    with running(folder) as server, chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 860}, color_scheme="light")
        page.goto(f"{server.address}/?{urlencode({'prompt': PROMPT, 'seed': SEED})}")
        page.wait_for_function(
            "() => window.facet?.face?.finished && !window.facet.running"
            " && document.querySelector('#status p').textContent.startsWith('Done')",
            timeout=120_000,
        )
        # what moves comes to rest
        page.wait_for_timeout(1000)
        data = page.screenshot()
    return Image.open(io.BytesIO(data)).convert("RGB")


def main() -> None:
    pipe = FacePipeline.from_pretrained(ROOT / "weights")
    faces = presets(pipe)
    Image.fromarray(contact_sheet(faces, len(faces))).save(ASSETS / "controls" / "presets.webp", quality=88, method=6)
    card(pipe, faces).save(ASSETS / "page" / "card.jpg", quality=82, optimize=True)
    pictures = animation(pipe)
    pictures[0].save(
        ASSETS / "pictures" / "making.webp",
        save_all=True,
        append_images=pictures[1:],
        loop=0,
        quality=80,
        duration=[MS] * (len(pictures) - 1) + [LAST_MS],
    )
    with TemporaryDirectory() as folder:
        photograph(Path(folder) / "run").save(ASSETS / "pictures" / "page.webp", quality=90)


if __name__ == "__main__":
    main()
