"""What a prompt says, as CLIP reads it: the attributes it states, and the words that said nothing."""

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from model.attributes import ATTRIBUTES, COMBINED, FILLER, WORDING
from model.clip import LONGEST, Clip, is_cut

ABSENT, UNMENTIONED, PRESENT = range(3)  # order of Clip.stated's probabilities
WORD = re.compile(r"\w+(?:['’-]\w+)*")
DOUBTFUL = 24  # words that are tried, so that a long prompt stays quick
# Words that hold a sentence together: nobody expects them to be drawn.
SILENT = set(
    [
        "a",
        "an",
        "the",
        "and",
        "or",
        "but",
        "of",
        "on",
        "in",
        "at",
        "to",
        "for",
        "by",
        "as",
        "from",
        "than",
        "that",
        "this",
        "these",
        "those",
        "there",
        "it",
        "its",
        "it's",
        "i",
        "i'd",
        "i'll",
        "you",
        "we",
        "they",
        "them",
        "he",
        "she",
        "his",
        "her",
        "him",
        "hers",
        "their",
        "my",
        "your",
        "me",
        "who",
        "whose",
        "which",
        "what",
        "with",
        "without",
        "no",
        "not",
        "none",
        "nor",
        "neither",
        "never",
        "isn't",
        "aren't",
        "doesn't",
        "don't",
        "didn't",
        "won't",
        "can't",
        "is",
        "are",
        "was",
        "be",
        "been",
        "being",
        "has",
        "have",
        "having",
        "had",
        "got",
        "do",
        "does",
        "wear",
        "wears",
        "wearing",
        "worn",
        "please",
        "like",
        "want",
        "would",
        "could",
        "should",
        "can",
        "will",
        "some",
        "any",
        "all",
        "very",
        "really",
        "quite",
        "so",
        "too",
        "also",
        "just",
        "only",
        "more",
        "most",
        "much",
        "many",
        "bit",
        "little",
        "slightly",
        "rather",
        "somewhat",
        "extremely",
        "look",
        "looks",
        "looking",
        "seem",
        "seems",
        "show",
        "shows",
        "showing",
        "draw",
        "make",
        "create",
        "generate",
        "give",
        "let",
        "see",
        "imagine",
        "hair",
        "face",
    ]
)


@dataclass(frozen=True)
class Understood:
    """What was read from one prompt."""

    present: dict[str, float]  # attribute -> confidence in (0, 1]
    absent: dict[str, float]  # denied attributes, likewise
    unknown: list[str]  # words without which the prompt says the same, in order
    cut: bool  # the prompt is longer than CLIP reads


def understand(clip: Clip, prompt: str) -> Understood:
    """Read a prompt with CLIP's text head.

    A word of the captions' own vocabulary counts as understood. Any other word ("smilng", "astronaut") does if the reading
    changes when it is left out: so a typing error that CLIP sees through is not reported.
    """
    cut = is_cut(prompt)
    if len(prompt) > LONGEST:
        prompt = prompt[:LONGEST].rpartition(" ")[0] or prompt[:LONGEST]  # not a part of a word
    doubtful = [word for word in dict.fromkeys(words_of(prompt)) if word not in known_words()][:DOUBTFUL]
    without = [WORD.sub(lambda found: " " if found[0].lower() == word else found[0], prompt) for word in doubtful]
    probabilities = clip.stated([prompt, *without]).cpu()
    readings = probabilities.argmax(-1)
    found = {
        side: {
            ATTRIBUTES[i]: round(probabilities[0, i, side].item(), 3)
            for i in (readings[0] == side).nonzero().flatten().tolist()
        }
        for side in (PRESENT, ABSENT)
    }
    same = (readings[1:] == readings[0]).all(1).tolist()
    return Understood(found[PRESENT], found[ABSENT], [word for word, useless in zip(doubtful, same) if useless], cut)


def words_of(text: str) -> list[str]:
    """Lower-case words, hyphens and apostrophes inside them kept: `"A clean-shaven man's"` -> `["a", "clean-shaven", "man's"]`."""
    return [found.lower() for found in WORD.findall(text)]


@lru_cache(maxsize=1)
def known_words() -> frozenset[str]:
    """Words that the table of wordings uses for attributes, and those nobody expects to be drawn."""
    phrases = [
        words
        for entry in WORDING.values()
        for side in ("has", "lacks")
        for kind in entry.get(side, {}).values()
        for words in kind
    ]
    phrases += [words for entry in COMBINED for words in entry["words"]] + FILLER["openings"] + FILLER["nouns"]
    return frozenset(SILENT).union(
        *(words_of(phrase) for phrase in phrases), *(name.lower().split("_") for name in ATTRIBUTES)
    )


@torch.inference_mode()
def fit_of(clip: Clip, faces: np.ndarray, prompt: str) -> np.ndarray:
    """How much of what the prompt states or denies CLIP sees: (N, H, W, 3) uint8 -> (N,) in [0, 1].

    1 for a prompt that says nothing.
    """
    said = clip.stated([prompt])[0].argmax(-1).cpu().numpy() - UNMENTIONED
    if not said.any():
        return np.ones(len(faces), np.float32)
    seen = clip.attribute_logits(clip.encode_images(faces)).sigmoid().cpu().numpy()
    return np.where(said > 0, seen, 1 - seen)[:, said != 0].mean(1)
