"""CLIP: how well texts fit faces."""

import html
from functools import lru_cache

import numpy as np
import torch

from model.pipeline import FacePipeline
from ui.how.face import Recipe, face
from ui.how.html import image

STEPS = 12  # of the reverse diffusion, for faces that only illustrate
SEEN = (
    "a smiling woman with blond hair",
    "a man with a beard",
    "an old man with gray hair",
    "a young woman with black hair",
    "a man wearing glasses",
)  # one face of each, against all of these texts
LONGEST = 200  # characters of a visitor's own text that are shown


@lru_cache(maxsize=2)
def examples(pipe: FacePipeline) -> np.ndarray:
    """One face for each text of SEEN: (N, 64, 64, 3) uint8."""
    return pipe.generate(SEEN, range(1, len(SEEN) + 1), steps=STEPS)


@torch.inference_mode()
def fits(pipe: FacePipeline, faces: np.ndarray, texts: list[str]) -> np.ndarray:
    """CLIP's odds that each text says something true of each face, as chances: (M, N) float in (0, 1), a row per text."""
    return pipe.clip.logits(pipe.clip.encode_images(faces), pipe.clip.encode_texts(texts)).sigmoid().T.cpu().numpy()


def clip_matrix(pipe: FacePipeline, recipe: Recipe, own: str) -> str:
    """A table of texts and faces, a cell's colour its chance. own: the visitor's own text, or ""."""
    own = (own or "").strip()[:LONGEST]
    texts = list(dict.fromkeys(filter(None, [own, recipe.prompt.strip()[:LONGEST], *SEEN])))
    faces = np.concatenate([face(pipe, recipe)[None], examples(pipe)])
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
