"""Words and CLIP: what a prompt becomes, and how well texts fit faces."""

import html
from functools import lru_cache

import numpy as np
import torch

from model.attributes import ATTRIBUTES, label
from model.clip import CONTEXT, Clip, tokenizer
from model.pipeline import FacePipeline
from model.settings import Settings
from model.words.understanding import ABSENT, PRESENT
from ui.how.face import face
from ui.how.html import image

# of the reverse diffusion, for faces that only illustrate
STEPS = 12
# one face of each, against all of these texts
SEEN = (
    "a smiling woman with blond hair",
    "a man with a beard",
    "an old man with gray hair",
    "a young woman with black hair",
    "a man wearing glasses",
)
# characters of a visitor's own text that are shown
LONGEST = 200
# words that are left out one by one
LEFT_OUT = 24


# --- words ------------------------------------------------------------------------------------------------------------


def tokens(clip: Clip, text: str) -> list[tuple[str, str]]:
    """(token, kind) of a text, in order: "known" has a row in CLIP, "folded" shares one, "cut" is never seen."""
    ids = tokenizer().encode(text)
    known = set(clip.vocabulary.tolist()) if clip.config.tokens else None
    return [
        (
            tokenizer().decoder[id].replace("</w>", " "),
            "cut" if place >= CONTEXT - 2 else "known" if known is None or id in known else "folded",
        )
        for place, id in enumerate(ids)
    ]


@torch.inference_mode()
def moved(pipe: FacePipeline, text: str) -> list[tuple[str, float]]:
    """(word, how far the text's embedding moves if it is left out, 1 minus the cosine), of the first LEFT_OUT words."""
    words = text.split()
    shorter = [" ".join(words[:place] + words[place + 1 :]) for place in range(min(len(words), LEFT_OUT))]
    whole, *rest = pipe.compute(pipe.clip.encode_texts, [text, *shorter]).cpu()
    return [(word, max(0.0, 1 - (whole @ one).item())) for word, one in zip(words, rest)]


def words(pipe: FacePipeline, settings: Settings, own: str) -> str:
    """A text's tokens, what each word does to its embedding, and the readings. own: a text, or "": the prompt."""
    text = ((own or "").strip() or settings.prompt)[:LONGEST]
    if not text:
        return "<p>There is no prompt. Type a text above to see what it becomes.</p>"
    said = pipe.understood(text).text or text
    worded = f"<p>Facet reads it first. CLIP gets: “{html.escape(said)}”</p>" if said != text else ""
    chips = "".join(
        f'<li class="{kind}">{html.escape(token)}<span class="sr"> ({kind})</span></li>'
        for token, kind in tokens(pipe.clip, said)
    )
    effects = moved(pipe, said)
    most = max((far for _, far in effects), default=0) or 1
    bars = "".join(
        f'<li style="--p:{100 * far / most:.0f}"><span>{html.escape(word)}</span> <b>{far:.3f}</b></li>'
        for word, far in effects
    )
    return f"""<h4>Tokens of “{html.escape(text)}”</h4>{worded}<ul class="tokens">{chips}</ul>
        <p><span class="tokens"><span class="known">known</span> has a row of its own in CLIP’s table,
        <span class="folded">folded</span> shares one with every other unknown token, <span class="cut">cut</span>
        lies beyond
        the {CONTEXT - 2} tokens that are read.</span></p>
        <div class="pair"><div><h4>How far each word moves the embedding</h4><ul class="bars">{bars}</ul>
        <p>Measured by leaving the word out: 1 minus the cosine between both embeddings.</p></div>
        <div><h4>The forty readings</h4>{readings(pipe, said)}</div></div>"""


def readings(pipe: FacePipeline, text: str) -> str:
    """What CLIP's text head reads: each attribute stated, denied, or not mentioned, with its confidence."""
    chances = pipe.compute(pipe.clip.stated, [text])[0].cpu()
    kinds = {PRESENT: "stated", ABSENT: "denied"}
    read = [
        (kinds.get(side, "not mentioned"), label(name), chances[row, side].item())
        for row, name in enumerate(ATTRIBUTES)
        for side in [int(chances[row].argmax())]
    ]
    cells = "".join(
        f'<li class="{kind.split()[0]}" title="{name}: {kind}, {100 * sure:.0f} %">{name}'
        f'<span class="sr">: {kind}</span></li>'
        for kind, name, sure in read
    )
    count = {kind: sum(one == kind for one, _, _ in read) for kind in ("stated", "denied", "not mentioned")}
    return f"""<ul class="readings">{cells}</ul><p>{count["stated"]} stated, {count["denied"]} denied,
        {count["not mentioned"]} not mentioned.</p>"""


# --- texts and faces --------------------------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def examples(pipe: FacePipeline) -> np.ndarray:
    """One face for each text of SEEN: (N, 64, 64, 3) uint8."""
    return pipe.generate(SEEN, range(1, len(SEEN) + 1), steps=STEPS)


def fits(pipe: FacePipeline, faces: np.ndarray, texts: list[str]) -> np.ndarray:
    """CLIP's odds that each text is true of each face, as chances: (M, N) float in (0, 1), a row per text."""
    return pipe.label_scores(faces, texts).T


def clip_matrix(pipe: FacePipeline, settings: Settings, own: str) -> str:
    """A table of texts and faces, a cell's colour its chance. own: the visitor's own text, or ""."""
    own = (own or "").strip()[:LONGEST]
    texts = list(dict.fromkeys(filter(None, [own, settings.prompt.strip()[:LONGEST], *SEEN])))
    faces = np.concatenate([face(pipe, settings)[None], examples(pipe)])
    names = ["this face", *SEEN]
    head = "".join(f'<th scope="col">{image(pixels, f"Face: {name}")}</th>' for pixels, name in zip(faces, names))
    body = ""
    for text, chances in zip(texts, fits(pipe, faces, texts)):
        cells = "".join(f'<td style="--p:{chance:.2f}">{100 * chance:.0f}</td>' for chance in chances)
        body += f'<tr><th scope="row">{html.escape(text)}</th>{cells}</tr>'
    return f"""<div class="wide" role="region" aria-label="Texts and faces" tabindex="0"><table class="heat">
        <caption>How well each text fits each face according to CLIP, in percent. First column:
        this face; then a face for each of: {"; ".join(SEEN)}.</caption>
        <thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table></div>"""
