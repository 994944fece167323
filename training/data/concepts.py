"""Photographs that show a concept: lists of file names of CelebA in concepts/, chosen as its README says."""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from model.attributes import ATTRIBUTES
from model.errors import InputError
from training.data.prepared import Prepared

LISTS = Path(__file__).parent / "concepts"
# Attributes that shall be as frequent among a concept's photographs as among all: a list of mostly men would teach
# "male" too. So the rarer kind counts more.
# fmt: off
APART = (
    "Male", "Young", "Smiling", "Mouth_Slightly_Open", "Eyeglasses", "Bald", "No_Beard", "Goatee", "Mustache",
    "Wearing_Hat", "Wearing_Earrings", "Wearing_Lipstick", "Wearing_Necklace", "Wearing_Necktie", "Heavy_Makeup",
    "Chubby", "Blurry",
)
# fmt: on
# bounds of a photograph's weight, relative to the mean
LEAST, MOST = 0.1, 3.0


@dataclass(frozen=True)
class Examples:
    """Training photographs that show one concept."""

    # (M,) rows of the prepared set
    rows: Tensor
    # (M,), how often each is drawn; their sum is 1
    weights: Tensor


def examples(prepared: Prepared, concept: str, folder: Path = LISTS) -> Examples:
    """The photographs of a concept among the training faces. Raises InputError if there are none, or no list."""
    path, held_out = folder / f"{concept.lower()}.txt", prepared.validation
    row_of = dict(zip(prepared.names, range(len(prepared.names))))
    try:
        listed = path.read_text(encoding="utf-8").split()
    except OSError as error:
        raise InputError(f"{path} cannot be read: it lists the photographs of the concept.") from error
    rows = [row_of[name] for name in listed if name in row_of]
    rows = torch.tensor([row for row in rows if not held_out[row]], dtype=torch.int64)
    if not len(rows):
        raise InputError(f"None of the photographs in {path} is among the prepared faces.")
    return Examples(rows, balanced(prepared.attributes[~held_out], prepared.attributes[rows]))


def balanced(everyone: Tensor, shown: Tensor) -> Tensor:
    """(M,) weights, sum 1, with which faces `shown` (M, 40) bool have the attributes APART as often as `everyone`
    (N, 40) has them, nearly.

    Each counts by the odds against it (inverse propensity, Rosenbaum & Rubin 1983), by logistic regression on APART.
    """
    columns = [ATTRIBUTES.index(name) for name in APART]
    has = torch.cat([everyone, shown])[:, columns].float()
    is_shown = torch.cat([torch.zeros(len(everyone)), torch.ones(len(shown))])
    weight, bias = torch.zeros(len(columns), requires_grad=True), torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        fit = F.binary_cross_entropy_with_logits(has @ weight + bias, is_shown) + 1e-4 * weight.square().sum()
        fit.backward()
        return fit

    optimizer.step(loss)
    odds = -(has[len(everyone) :] @ weight).detach()
    # no overflow, and the same ratios
    weights = (odds - odds.max()).exp()
    weights = (weights / weights.mean()).clamp(LEAST, MOST)
    # then the sexes alone, as errors in them show most; the clamp leaves this nearly exact
    male = shown[:, ATTRIBUTES.index("Male")]
    share = everyone[:, ATTRIBUTES.index("Male")].float().mean()
    for sex, part in ((male, share), (~male, 1 - share)):
        weights[sex] *= part / weights[sex].sum() * len(weights)
    weights = weights.clamp(LEAST, MOST)
    return weights / weights.sum()
