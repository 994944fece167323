"""How good a CLIP is: on validation faces from prompts alone, and at reading words."""

from random import Random

import numpy as np
import torch
from torch import Tensor

from model.attributes import ATTRIBUTES, FILLER
from model.clip import Clip
from training.data.captions import ABSENT, PRESENT, caption, phrase_list, stated_attributes, worded
from training.data.prepared import Prepared
from training.data.prompts import Prompts
from training.evaluation.judge import judged_by_halves

NOUNS = {
    "glasses": "Eyeglasses",
    "beard": "No_Beard",
    "hat": "Wearing_Hat",
    "earrings": "Wearing_Earrings",
    "bangs": "Bangs",
    "necklace": "Wearing_Necklace",
    "moustache": "Mustache",
    "lipstick": "Wearing_Lipstick",
    "sideburns": "Sideburns",
}


def satisfies(attributes: Tensor, stated: Tensor) -> Tensor:
    """(N, 40) bool faces, (M, 40) stated captions -> (N, M) bool: the face has all stated, lacks all denied."""
    faces = attributes.float()
    violations = (1 - faces) @ (stated == PRESENT).float().T + faces @ (stated == ABSENT).float().T
    return violations == 0


@torch.inference_mode()
def validate(clip: Clip, prepared: Prepared) -> dict[str, float]:
    """Nothing if there are no validation faces; else on them:

    zero_shot: balanced accuracy of the 40 attributes from prompts alone, thresholds set on every second face,
               measured on the others;
    retrieval: of captions that state three attributes, the share of right faces among the 10 best of the first 1,000;
    read_recall, read_precision: how well the head reads captions back.
    """
    rows = prepared.validation.nonzero().squeeze(1)
    if not len(rows):
        return {}
    images, attributes = prepared.images[rows], prepared.attributes[rows]
    features = torch.cat([clip.encode_images(part) for part in images.split(256)])
    _, rates = judged_by_halves(clip.attribute_logits(features).cpu(), attributes)

    rng, frequency = Random(1), prepared.attributes.float().mean(0).numpy()
    precision, recall = reading(clip, [caption(row, frequency, rng) for row in attributes.numpy()])
    return {
        "zero_shot": rates.nanmean().item(),
        "retrieval": retrieval(clip, features[:1000], attributes[:1000], frequency),
        "read_recall": recall,
        "read_precision": precision,
    }


def retrieval(clip: Clip, features: Tensor, attributes: Tensor, frequency: np.ndarray) -> float:
    """Precision at 10: a caption of each of N faces that states three of its attributes, against all the faces.

    Every face that satisfies the caption counts as right.

    :param features, attributes: (N, 512) embeddings and (N, 40) labels of the faces.
    """
    rng = Random(2)
    stated = np.stack([stated_attributes(row, frequency, rng, count=3) for row in attributes.numpy()])
    texts = clip.encode_texts([worded(row, rng) for row in stated])
    best = (texts @ features.T).topk(min(10, len(features))).indices.cpu()
    return satisfies(attributes, torch.from_numpy(stated)).T.gather(1, best).float().mean().item()


def understanding(clip: Clip, prompts: Prompts) -> dict[str, float]:
    """What CLIP's head reads in prompts that people wrote (see `reading`)."""
    precision, recall = reading(clip, prompts)
    return {"prompts": len(prompts), "precision": round(precision, 3), "recall": round(recall, 3)}


def reading(clip: Clip, prompts: Prompts) -> tuple[float, float]:
    """Precision and recall of CLIP's head over all attributes that the prompts state."""
    read = clip.stated([prompt for prompt, _ in prompts]).argmax(-1).cpu().numpy() - 1
    stated = np.stack([stated for _, stated in prompts])
    hits = ((read == stated) & (stated != 0)).sum()
    return float(hits / max((read != 0).sum(), 1)), float(hits / (stated != 0).sum())


def steadiness(clip: Clip, stated: np.ndarray) -> dict[str, float]:
    """Whether a text's embedding keeps still where its meaning does, and moves where it moves.

    order, filler: mean cosine between a list of the attributes of each row of `stated`, (N, 40), and the same phrases
                   in reverse; and the same with words before and behind that say nothing.
    scope:         share of the pairs of NOUNS for which "x, no y" and "no x, y" are both read back exactly.
    """
    rng, first, turned, filled = Random(3), [], [], []
    for row in stated:
        parts = [phrase_list(np.where(np.arange(40) == index, row, 0), rng) for index in np.flatnonzero(row)]
        first.append(", ".join(parts))
        turned.append(", ".join(parts[::-1]))
        opening, *endings = (rng.choice(FILLER[kind]) for kind in ("openings", "endings", "endings"))
        filled.append(f"{opening} {first[-1]}, {', '.join(endings)}")
    first, turned, filled = (clip.encode_texts(texts) for texts in (first, turned, filled))
    pairs = [(x, y) for x in NOUNS for y in NOUNS if x != y]
    right = []
    for form, signs in (("{}, no {}", (PRESENT, ABSENT)), ("no {}, {}", (ABSENT, PRESENT))):
        read = clip.stated([form.format(*pair) for pair in pairs]).argmax(-1).cpu().numpy() - 1
        wanted = np.zeros_like(read)
        for row, pair in zip(wanted, pairs):
            for noun, sign in zip(pair, signs):
                row[ATTRIBUTES.index(NOUNS[noun])] = -sign if noun == "beard" else sign
        right.append((read == wanted).all(1))
    return {
        "order": round((first * turned).sum(1).mean().item(), 3),
        "filler": round((first * filled).sum(1).mean().item(), 3),
        "scope": round(float((right[0] & right[1]).mean()), 3),
    }
