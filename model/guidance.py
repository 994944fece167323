"""What leads a face: the condition, the ways from one to another, and guidance away from branches that know less."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from model.attributes import attributes_to_prompt, lacking
from model.diffusion import TIMESTEPS, to_original
from model.sampler import Denoise, FreshNoise, noise_of

# it imports this module
if TYPE_CHECKING:
    from model.settings import Settings

# --- ways between conditions -----------------------------------------------------------------------------------------


def stated_and_denied(prompt: str, attribute: str) -> tuple[str, str]:
    """The prompt with an attribute in its list of words, and with its denial.

    Raises InputError for an unknown attribute.
    """
    stated, denied = attributes_to_prompt([attribute]), attributes_to_prompt([], [attribute])
    if not prompt.strip():
        return stated, denied
    body, end = (prompt.strip()[:-1], ".") if prompt.strip().endswith(".") else (prompt.strip(), "")
    return f"{body}, {attribute.replace('_', ' ').lower()}{end}", f"{body}, {lacking(attribute)}{end}"


def slerp(first: Tensor, last: Tensor, shares: Tensor) -> Tensor:
    """Spherical interpolation, Shoemake 1985: (...), (...), (N,) shares in [0, 1] -> (N, ...), at 0 first, at 1 last.

    Unlike a straight line it keeps the length: of Gaussian noise, its spread; of a unit vector, 1.
    """
    cosine = (first * last).sum() / (first.norm() * last.norm())
    angle, shares = cosine.clamp(-1, 1).arccos(), shares.view(-1, *[1] * first.dim())
    # the same direction: nothing to turn
    if angle.sin() < 1e-4:
        return (1 - shares) * first + shares * last
    return ((1 - shares) * angle).sin() / angle.sin() * first + (shares * angle).sin() / angle.sin() * last


# --- what Settings.CHANGES do, to each face of a batch its own --------------------------------------------------------

# N texts -> (N, 514), see FacePipeline.condition
Encode = Callable[[Sequence[str]], Tensor]


def conditions_of(faces: Sequence["Settings"], encode: Encode) -> Tensor:
    """(N, 514): each prompt's condition, edited, and turned to its place on the walk."""
    begins = [face.prompt for face in faces]
    ends = [face.prompt if face.to_prompt is None else face.to_prompt for face in faces]
    if begins == ends and not any(face.edits for face in faces):
        return encode(begins)
    pairs = zip(_edited(begins, faces, encode), _edited(ends, faces, encode), strict=True)
    return torch.cat([slerp(first, last, _place(face, first)) for face, (first, last) in zip(faces, pairs)])


def _edited(prompts: Sequence[str], faces: Sequence["Settings"], encode: Encode) -> list[Tensor]:
    """For each face the condition (514,) of its prompt, moved along all its edits at once.

    Each edit is a straight line through the prompt, then it goes back to unit length. The direction is that from denied
    to stated, so that it leads somewhere even where the prompt states the attribute already; a strength of 1 is half
    their distance.
    """
    conditions = []
    for prompt, face in zip(prompts, faces, strict=True):
        texts = [one for name, _ in face.edits for one in stated_and_denied(prompt, name)]
        plain, *ends = encode([prompt, *texts])
        strengths = [strength for _, strength in face.edits]
        moves = [
            value * (there - away) / 2 for value, there, away in zip(strengths, ends[::2], ends[1::2], strict=True)
        ]
        conditions.append(F.normalize(torch.stack([plain, *moves]).sum(0), dim=0) if moves else plain)
    return conditions


def noises_of(faces: Sequence["Settings"], shape: Sequence[int], device: torch.device) -> FreshNoise:
    """(N, *shape): each face's noise, turned to its place on the walk."""
    begin = noise_of([face.seed for face in faces], shape, device)
    if all(face.to_seed in (None, face.seed) for face in faces):
        return begin
    end = noise_of([face.seed if face.to_seed is None else face.to_seed for face in faces], shape, device)

    def fresh_noise() -> Tensor:
        pairs = zip(begin(), end(), strict=True)
        return torch.cat([slerp(first, last, _place(face, first)) for face, (first, last) in zip(faces, pairs)])

    return fresh_noise


def _place(face: "Settings", like: Tensor) -> Tensor:
    return torch.tensor([face.place], device=like.device)


# --- guidance ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Guidance:
    """How far to lead away from two branches that know less, and when. As it stands it leads nowhere.

    Classifier-free guidance (Ho & Salimans 2022, eq. 6; their w is scale - 1) leads away from what the network draws
    without the condition, so it makes faces fit the prompt. Perturbed-attention guidance (PAG, Ahn et al. 2024; their s
    is pag_scale) leads away from what it draws without self-attention, where no part of a face knows of the others, so
    it puts the parts together.
    """

    # 0 ignores the condition, 1 follows it, more exaggerates it; or one for each face
    scale: float | Sequence[float] = 1.0
    # The lowest and the highest time at which a scale above 1 is used. Elsewhere it is 1, as it changes little at low
    # noise and does harm at high noise (Kynkäänniemi et al. 2024).
    interval: tuple[float, float] = (0.0, 1.0)
    # 0 is none; the network needs self-attention
    pag_scale: float = 0.0
    # the lowest and the highest time at which it is used
    pag_interval: tuple[float, float] = (0.0, 1.0)
    # whether a distilled network may take the place of both branches; or one for each face
    distilled: bool | Sequence[bool] = True


class Distilled(NamedTuple):
    """A network that predicts in one forward what guidance predicts in two (Meng et al. 2023, section 3.1)."""

    # as Predictor.network, without the fourth input
    network: Callable[..., Tensor]
    # the guidance that it learnt, away from the condition `unconditional` (D,)
    scale: float
    interval: tuple[float, float]
    unconditional: Tensor

    @classmethod
    def of(cls, network: Callable[..., Tensor], info: Mapping[str, Any], unconditional: Tensor) -> "Distilled":
        """:param info: of the network's file, which names the guidance that it learnt."""
        return cls(network, info["guidance"], tuple(info["guidance_interval"]), unconditional)

    def covers(self, guidance: Guidance, unconditional: Tensor) -> Tensor:
        """Of the N faces that are led away from `unconditional` (N, D), those whose guidance it learnt: (N,) bool."""
        scale = torch.as_tensor(guidance.scale, dtype=torch.float64).expand(len(unconditional))
        learnt = torch.as_tensor(guidance.distilled) & (guidance.interval == self.interval) & (guidance.pag_scale == 0)
        # a text's embedding differs in its last digits from one batch of texts to the next
        same = torch.isclose(unconditional, self.unconditional, atol=1e-4).all(1).cpu()
        return (scale == self.scale) & same & learnt


class Predictor(NamedTuple):
    """A network and what its output stands for."""

    # (x_t (M, 3, H, W), t (M,) like x_t, condition (M, D)) -> prediction (M, 3, H, W). Where PAG acts it gets a fourth
    # input, (M,) bool: the images whose self-attention is switched off.
    network: Callable[..., Tensor]
    # one of diffusion.TARGETS
    target: str
    # the discretisation it was trained with, which only the target "previous" depends on
    steps: int = TIMESTEPS
    # takes the place of both branches where it covers the guidance
    distilled: Distilled | None = None


def guided(
    predictor: Predictor,
    condition: Tensor,
    unconditional: Tensor,
    guidance: Guidance = Guidance(),
    watch: Callable[[Tensor | None], None] | None = None,
) -> Denoise:
    """A network as a sampler's `denoise`, with both kinds of guidance.

    Only the branches that count are run, all in one batch: a face whose scale is 1 needs no unconditional one. A face
    whose guidance is distilled needs none while it acts, but for `watch`.

    :param condition:     (N, D), what to draw.
    :param unconditional: (N, D) or (1, D), the empty text or what to avoid.
    :param watch:         given, once per call, where the condition acts: (N, H, W), by how much both branches' x_0
                          differ (the mean over the colours); None if not every face has both.
    :return:              denoise(x_t, t) -> predicted x_0 (N, 3, H, W), clipped to [-1, 1].
    """
    unconditional = unconditional.expand_as(condition)
    scale = torch.as_tensor(guidance.scale, dtype=torch.float64).expand(len(condition))
    distilled = predictor.distilled
    covered = distilled.covers(guidance, unconditional) if distilled else torch.zeros(len(condition), dtype=torch.bool)

    def original(prediction: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        return to_original(prediction, x_t, t, predictor.target, predictor.steps).clamp(-1, 1)

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        acts = _within(guidance.interval, t)
        weight = torch.where((scale > 1) & ~acts, 1.0, scale)
        push = torch.where(_within(guidance.pag_interval, t), guidance.pag_scale, 0.0)
        # else the unconditional branch is the one that draws
        conditioned = weight != 0
        drawn = torch.where(conditioned[:, None].to(x_t.device), condition, unconditional)
        # (share of each face, its condition)
        branches = (
            (weight + push * conditioned, condition),
            (1 - weight + push * ~conditioned, unconditional),
            (-push, drawn),
        )
        learnt = covered & acts
        # the faces that need each branch: those that do without need them only to be watched
        rows = [((share != 0) & ~(learnt & (watch is None))).nonzero().flatten() for share, _ in branches]
        shares, conditions = (torch.cat([values[of] for values, of in zip(each, rows)]) for each in zip(*branches))
        faces, perturbed = torch.cat(rows), torch.arange(sum(map(len, rows))) >= len(rows[0]) + len(rows[1])
        blend = torch.zeros_like(x_t)
        if len(faces):
            noisy, times, shares = x_t[faces.to(x_t.device)], t[faces], shares * ~learnt[faces]
            extra = [perturbed.to(x_t.device)] if len(rows[2]) else []
            predictions = predictor.network(noisy, times.to(x_t), conditions, *extra)
            blend.index_add_(0, faces.to(x_t.device), shares.to(x_t).view(-1, 1, 1, 1) * predictions)
        if watch is not None:
            apart = None
            if len(rows[0]) == len(rows[1]) == len(x_t):
                with_condition, without = original(predictions, noisy, times).split(len(x_t))[:2]
                apart = (with_condition - without).abs().mean(1)
            watch(apart)
        if distilled and learnt.any():
            of = learnt.nonzero().flatten()
            at = of.to(x_t.device)
            blend.index_add_(0, at, distilled.network(x_t[at], t[of].to(x_t), condition[at]).to(x_t))
        return original(blend, x_t, t)

    return denoise


def _within(times: tuple[float, float], t: Tensor) -> Tensor:
    return (t >= times[0]) & (t <= times[1])
