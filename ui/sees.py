"""What CLIP sees in the face on screen: scores of attributes, of labels a visitor types, likeness of other faces."""

from collections.abc import Mapping
from typing import Any

import gradio as gr
import numpy as np

from model import attributes
from model.attributes import ATTRIBUTES
from model.errors import InputError
from model.pipeline import FacePipeline
from ui.frames import file_of, own_file, read_face
from ui.onsets import wanted
from ui.server import engine
from ui.status import refusing

# attributes shown: the wanted ones, then those with the highest scores
BARS = 12
# that a visitor may type
LABELS = 8
# faces of the session to compare with
OTHERS = 12


@refusing(outputs=2)
def describe(words: str, picks: Any, event: gr.EventData) -> tuple[Any, dict[str, str]]:
    """{image, labels, others, mark} from the browser, the prompt's words and boxes -> {mark, bars, ...}, status."""
    sent = event._data if isinstance(event._data, dict) else {}
    pipe, face = engine.pipeline(), read_face(file_of(sent.get("image")))
    others = [read_face(own_file(image)) for image in _listed(sent.get("others"))[:OTHERS]]
    return {
        # which question this answers
        "mark": sent.get("mark") if isinstance(sent.get("mark"), int) else None,
        "bars": bars(pipe, face, wanted(pipe, words, picks)),
        "labels": labels(pipe, face, _listed(sent.get("labels"))),
        "alike": alike(pipe, face, others),
    }, gr.skip()


def bars(pipe: FacePipeline, face: np.ndarray, asked: Mapping[str, bool]) -> list[dict[str, Any]]:
    """[{"label", "score", "wanted"}] of the attributes `asked` for (see ui/onsets.py) and of the highest scores.

    wanted is "yes", "no" or "".
    """
    scores = dict(zip(ATTRIBUTES, pipe.attribute_scores(face[None])[0].tolist(), strict=True))
    names = [*asked, *(name for name in sorted(scores, key=scores.get, reverse=True) if name not in asked)][:BARS]
    return [
        {
            "label": attributes.label(name),
            "score": round(scores[name], 3),
            "wanted": {True: "yes", False: "no"}.get(asked.get(name), ""),
        }
        for name in names
    ]


def labels(pipe: FacePipeline, face: np.ndarray, typed: list[str]) -> list[dict[str, Any]]:
    """[{"label", "score"}] of labels that a visitor typed. Raises InputError for too many."""
    if len(typed) > LABELS:
        raise InputError(f"CLIP scores up to {LABELS} labels at once, not {len(typed)}.")
    if not typed:
        return []
    scores = pipe.label_scores(face[None], typed)[0].tolist()
    return [{"label": label[:80], "score": round(score, 3)} for label, score in zip(typed, scores, strict=True)]


def alike(pipe: FacePipeline, face: np.ndarray, others: list[np.ndarray]) -> list[float]:
    """The cosine between this face's CLIP embedding and each of the others'."""
    if not others:
        return []
    return [round(float(value), 3) for value in pipe.similarity(np.stack([face, *others]))[0, 1:]]


def _listed(values: Any) -> list[str]:
    """A list of texts as a browser sent it, or nothing. Raises InputError."""
    if not isinstance(values, list | None) or not all(isinstance(value, str) for value in values or []):
        raise InputError("Labels and pictures must be lists of texts.")
    return values or []
