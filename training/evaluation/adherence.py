"""Do generated faces show what their prompts state? The judge says, which never saw CLIP's weights."""

import numpy as np

from model.attributes import ATTRIBUTES, attributes_to_prompt
from model.errors import InputError
from training.data.prompts import Prompts


def single_prompts() -> Prompts:
    """80 prompts: each attribute stated, then denied, in CelebA's wording."""
    identity = np.eye(len(ATTRIBUTES), dtype=np.int8)
    return [
        prompt
        for name, row in zip(ATTRIBUTES, identity)
        for prompt in ((attributes_to_prompt([name]), row), (attributes_to_prompt([], [name]), -row))
    ]


def adherence(seen: np.ndarray, stated: np.ndarray, on_real: dict[str, float]) -> dict:
    """Balanced accuracy of the judge on generated faces, beside its own on real ones.

    For each attribute, the mean of two rates: how often the judge sees it where the prompt states it, and does not
    where the prompt denies it. Since 0.5 is chance and the judge errs on real faces too, the figure to look at is the
    margin over 0.5 as a share of the judge's margin on real faces: 1 is as good as a photograph that was chosen to
    fit.

    :param seen:    (N, 40) bool, what the judge sees in N faces.
    :param stated:  (N, 40), what their prompts state: 1, -1, and 0 for unmentioned.
    :param on_real: attribute -> the judge's balanced accuracy on real faces. Attributes without one, and those that no
                    prompt states or no prompt denies, are left out.
    :raises InputError: if that leaves none.
    """
    rates = {}
    for index, name in enumerate(ATTRIBUTES):
        present, absent = seen[stated[:, index] == 1, index], seen[stated[:, index] == -1, index]
        if len(present) and len(absent) and name in on_real:
            rates[name] = (present.mean() + (~absent).mean()) / 2
    if not rates:
        raise InputError(f"{len(stated)} prompts are too few: no attribute is both stated and denied.")
    generated, real = np.mean(list(rates.values())), np.mean([on_real[name] for name in rates])
    return {
        "faces": len(seen),
        "balanced_accuracy": round(float(generated), 4),
        "judge_on_real": round(float(real), 4),
        "share_of_margin": round(float((generated - 0.5) / (real - 0.5)), 4),
        "attributes": {name: round(float(rate), 3) for name, rate in rates.items()},
    }
