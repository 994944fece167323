"""How well prompts are read thing by thing: what is followed, drawn as something near, or not known.

    python -m training.clip.things          on the sets of prompts that were written without sight of the tables

Each line of a set is JSON: {"prompt", "followed", "near", "unknown"}, the last three lists of words of the prompt. What
is which is defined in training/data/asked/README.md.
"""

import json
import re
from pathlib import Path

from model.words.marks import FOLLOWED, NEAR, UNKNOWN
from model.words.reading import read

SETS = sorted((Path(__file__).parents[1] / "data" / "asked").glob("*.jsonl"))
Spans = list[tuple[int, int]]


def read_set(path: Path) -> list[dict]:
    """[{"prompt", "followed", "near", "unknown"}] of a file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def things(asked: list[dict]) -> dict[str, dict[str, float]]:
    """{kind: {"precision", "recall"}}. A thing is right if such things on the other side cover half of it."""
    counts = {kind: [0, 0, 0, 0] for kind in (FOLLOWED, NEAR, UNKNOWN)}
    for one in asked:
        prompt, items = one["prompt"], read(one["prompt"]).items
        for kind, count in counts.items():
            right = spans(prompt, one[kind])
            said = [(item.start, item.end) for item in items if item.kind == kind]
            count[0] += sum(covered(prompt, span, right) for span in said)
            count[1] += len(said)
            count[2] += sum(covered(prompt, span, said) for span in right)
            count[3] += len(right)
    return {
        kind: {"precision": round(hit / max(said, 1), 3), "recall": round(met / max(right, 1), 3)}
        for kind, (hit, said, met, right) in counts.items()
    }


def spans(prompt: str, phrases: list[str]) -> Spans:
    """Where the phrases stand, as whole words if they do; one that is named twice at its first and second place."""
    places, last = [], {}
    for phrase in phrases:
        whole = re.compile(rf"(?<!\w){re.escape(phrase)}(?!\w)").search(prompt, last.get(phrase, 0))
        at = whole.start() if whole else prompt.find(phrase, last.get(phrase, 0))
        at = prompt.index(phrase) if at < 0 else at
        last[phrase] = at + len(phrase)
        places.append((at, at + len(phrase)))
    return places


def covered(prompt: str, span: tuple[int, int], others: Spans) -> bool:
    letters = [at for at in range(*span) if prompt[at].isalnum()] or list(range(*span))
    return 2 * sum(any(start <= at < end for start, end in others) for at in letters) >= len(letters)


if __name__ == "__main__":
    for path in SETS:
        print(path.name, json.dumps(things(read_set(path))))
