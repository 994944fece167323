"""FacePipeline: the one object that app, command line, tests and benchmarks use.

    pipe = FacePipeline.from_pretrained("weights")
    for frame in pipe.stream("photo of person smiling", seed=7): ...

Prompt -> CLIP -> sampler and U-Net -> 64 px frames -> SRResNet -> 512 px.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from model.clip import CONTEXT, Clip, is_cut
from model.device import pick_device
from model.diffusion import add_noise, alpha_bar
from model.edits import along, middle_square, slerp, stated_and_denied
from model.errors import InputError, WeightsError
from model.hub import FILES, fetch
from model.memory import frugal
from model.sampler import SAMPLERS, Draw, Step, ddim, face_noise, guided, time_grid
from model.settings import (  # noqa: F401, for whoever asks the pipeline for its limits
    DEFAULTS,
    MAX_AT_ONCE,
    MAX_GUIDANCE,
    MAX_SEED,
    MAX_SERIES,
    MAX_STEPS,
    MAX_STRENGTH,
    STUDENT,
    STUDENT_STEPS,
    check_settings,
    interval,
    listed,
    number,
    pictures,
    text,
    whole,
)
from model.srresnet import SRResNet, upscale
from model.understanding import Understood, understand
from model.unet import FLAGS, UNet

SIZE = 64  # pixels per side of a frame
FIXED = {
    "interval": DEFAULTS.guidance_interval,
    "attention": DEFAULTS.attention_guidance,
    "attention_interval": DEFAULTS.attention_interval,
}  # how `guided` is set but for the guidance itself


@dataclass(frozen=True)
class Frame:
    """The picture after one step."""

    index: int  # steps done, from 1
    total: int  # steps in all
    noise_level: float  # sqrt(1 - alpha_bar) of `noisy`, 0 at the end
    noisy: np.ndarray  # x_t, which the next step starts from: (64, 64, 3) uint8
    denoised: np.ndarray  # predicted x_0: (64, 64, 3) uint8
    influence: np.ndarray | None = None  # where the prompt acts: (64, 64) uint8, by how much the predicted x_0 with and
    # without it differ (the mean over the colours), 255 the most at this step; None where guidance was not used


class FacePipeline:
    """CLIP, U-Net and SRResNet that belong together, on one device. Holds no state between calls: safe to share."""

    def __init__(
        self,
        clip: Clip,
        unet: UNet,
        upscaler: SRResNet,
        device: torch.device,
        crisp: SRResNet | None = None,
        student: UNet | None = None,
    ):
        self.clip, self.unet, self.upscaler, self.device = clip, unet, upscaler, device
        self.crisp = crisp  # the adversarially trained upscaler, where there is one
        self.student = student  # draws in four network calls nearly what the U-Net draws in many, where there is one
        self._empty = self._condition([""])

    @classmethod
    def from_pretrained(cls, source: str | Path, device: str = "auto") -> "FacePipeline":
        """Load a folder, or "owner/repo@revision" on the Hub (see model/hub.py).

        Raises WeightsError, one line, for a file that is missing, damaged, or does not belong to the others, and InputError
        for a device that is not there.
        """
        folder = Path(source) if Path(source).is_dir() else fetch(str(source))
        device = pick_device(device)
        paths = {name: folder / f"{name}.safetensors" for name in FILES}
        clip = Clip.from_file(paths["clip"], device)
        unet = UNet.from_file(paths["unet"], device)
        if unet.info.get("clip") != clip.hash:
            raise WeightsError(
                f"{paths['unet']} was trained with another CLIP ({unet.info.get('clip', 'unnamed')}) than "
                f"{paths['clip']} ({clip.hash}): take both from the same release."
            )
        crisp, student = (folder / f"{name}.safetensors" for name in ("srresnet_crisp", "student"))
        pipe = cls(
            clip,
            unet,
            SRResNet.from_file(paths["srresnet"], device),
            device,
            SRResNet.from_file(crisp, device) if crisp.is_file() else None,
            UNet.from_file(student, device) if student.is_file() else None,
        )
        if pipe.student and pipe.student.info.get("teacher") != unet.info["hash"]:
            raise WeightsError(
                f"{student} learnt from another U-Net ({pipe.student.info.get('teacher', 'unnamed')}) than "
                f"{paths['unet']} ({unet.info['hash']}): delete it, or train it again by `make train-student`."
            )
        return pipe

    # --- faces ---------------------------------------------------------------------------------------------------

    def stream(
        self,
        prompt: str = "",
        seed: int = 0,
        steps: int = DEFAULTS.steps,
        sampler: str = DEFAULTS.sampler,
        guidance: float = DEFAULTS.guidance,
        negative_prompt: str = "",
        start_from: np.ndarray | None = None,
        strength: float = 0.6,
    ) -> Iterator[Frame]:
        """Draw one face, yielding a Frame after every step. Close the iterator to stop.

        :param prompt:          any text; "" is any face. What lies beyond CLIP's 77 tokens is ignored (see `prompt_note`).
        :param seed:            0 to 2**32 - 1; the same seed and settings make the same face.
        :param steps:           1 to 1000.
        :param sampler:         one of sampler.SAMPLERS, or "student": the network of student.safetensors, whose four steps and
                                guidance are built in; it starts from noise and knows no negative prompt.
        :param guidance:        0 to 20; used within DEFAULTS.guidance_interval. (Perturbed-attention guidance is always that of DEFAULTS.)
        :param negative_prompt: what to avoid; takes the empty text's place in the guidance.
        :param start_from:      (H, W, 3) uint8, a face to change instead of noise alone (SDEdit, Meng et al. 2022): its
                                middle square at 64 px is noised to the time `strength`; only the steps below that are run.
        :param strength:        above 0, up to 1: how much of `start_from` is drawn anew; near 1 nothing of it is left.
        :raises InputError:     at once, not at the first frame.
        """
        settings = steps, sampler, guidance, negative_prompt, start_from, strength
        return (frames[0] for frames in self.stream_many([prompt], [seed], *settings))

    def stream_many(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        steps: int = DEFAULTS.steps,
        sampler: str = DEFAULTS.sampler,
        guidance: float = DEFAULTS.guidance,
        negative_prompt: str = "",
        start_from: np.ndarray | None = None,
        strength: float = 0.6,
    ) -> Iterator[list[Frame]]:
        """Draw 1 to 16 faces side by side, yielding a list of their Frames after every step; else as `stream`."""
        prompts, seeds = listed("The prompts", prompts, 1, MAX_AT_ONCE), listed("The seeds", seeds, 1, MAX_AT_ONCE)
        if len(prompts) != len(seeds):
            raise InputError(f"There are {len(prompts)} prompts and {len(seeds)} seeds: give the same number of each.")
        seeds, steps, sampler, guidance = _checked(seeds, steps, sampler, guidance)
        if not number("The strength", strength, 0, 1):
            raise InputError("The strength must be above 0.")
        if start_from is not None:
            square = middle_square(pictures("The face to start from", start_from, several=False), SIZE)
            start_from = torch.from_numpy(square).permute(2, 0, 1)[None] / 127.5 - 1
        conditions, avoid = self._condition(prompts), self._avoid(negative_prompt)
        seen: list[Tensor | None] = []
        sampling = self._sample(
            conditions,
            avoid,
            self._drawing(seeds),
            steps,
            sampler,
            guidance,
            FIXED,
            start_from,
            1.0 if start_from is None else strength,
            seen.append,
        )
        return (_frames(step, seen.pop()) for step in sampling)

    def generate(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        steps: int = DEFAULTS.steps,
        sampler: str = DEFAULTS.sampler,
        guidance: float = DEFAULTS.guidance,
        negative_prompts: Sequence[str] | None = None,
        batch_size: int = 32,
        guidance_interval: tuple[float, float] = DEFAULTS.guidance_interval,
        attention_guidance: float = DEFAULTS.attention_guidance,
        attention_interval: tuple[float, float] = DEFAULTS.attention_interval,
    ) -> np.ndarray:
        """Draw one face per prompt and seed, `batch_size` at a time: (N, 64, 64, 3) uint8, each the last frame of `stream`.

        The last three are here to be measured; all other methods keep to the defaults.

        :param guidance_interval:  the times in [0, 1] at which a guidance above 1 is used.
        :param attention_guidance: 0 to 20: of perturbed-attention guidance.
        :param attention_interval: the times in [0, 1] at which it is used.
        """
        if isinstance(prompts, str) or isinstance(negative_prompts, str):  # else each of its letters would be a prompt
            raise InputError("The prompts must be a list of texts, not one text.")
        negative_prompts = [""] * len(prompts) if negative_prompts is None else negative_prompts
        if not len(prompts) == len(seeds) == len(negative_prompts):
            raise InputError(
                f"There are {len(prompts)} prompts, {len(seeds)} seeds and {len(negative_prompts)} negative "
                "prompts: give the same number of each."
            )
        conditions, avoid = self._condition(prompts), self._condition(negative_prompts, "The negative prompt")
        seeds, steps, sampler, guidance = _checked(seeds, steps, sampler, guidance)
        fixed = {
            "interval": interval("The guidance interval", guidance_interval),
            "attention": number("The attention guidance", attention_guidance, 0, MAX_GUIDANCE),
            "attention_interval": interval("The attention interval", attention_interval),
        }
        return self._draw(conditions, avoid, seeds, steps, sampler, [guidance] * len(seeds), batch_size, fixed)

    def variations(
        self,
        face: np.ndarray,
        seeds: Sequence[int],
        steps: int = DEFAULTS.steps,
        sampler: str = DEFAULTS.sampler,
        guidance: float = DEFAULTS.guidance,
        batch_size: int = 32,
    ) -> np.ndarray:
        """Faces like this one ((H, W, 3) uint8), drawn under its CLIP image embedding: (N, 64, 64, 3) uint8."""
        embedding = self.clip.encode_images(pictures("The face", face, several=False)[None]).to(self.device)
        condition = torch.cat([embedding, torch.tensor([[1.0, 0.0]], device=self.device)], dim=1)
        seeds, steps, sampler, guidance = _checked(seeds, steps, sampler, guidance)
        conditions = condition.expand(len(seeds), -1)
        return self._draw(conditions, self._empty, seeds, steps, sampler, [guidance] * len(seeds), batch_size)

    def strengths(
        self,
        prompt: str,
        attribute: str,
        seed: int,
        values: Sequence[float] = (-2, -1, 0, 1, 2),
        steps: int = DEFAULTS.steps,
        sampler: str = DEFAULTS.sampler,
        guidance: float = DEFAULTS.guidance,
        negative_prompt: str = "",
    ) -> np.ndarray:
        """One attribute pushed and pulled, all else the same: a face for each value, (N, 64, 64, 3) uint8.

        :param attribute: one of attributes.ATTRIBUTES.
        :param values:    up to 64, each from -5 to 5: 0 is the prompt alone, 1 about as far from it as stating the
                          attribute, -1 as denying it.
        """
        values = [
            number("A strength", value, -MAX_STRENGTH, MAX_STRENGTH)
            for value in listed("The strengths", values, 1, MAX_SERIES)
        ]
        seeds, steps, sampler, guidance = _checked([seed] * len(values), steps, sampler, guidance)
        texts = stated_and_denied(text("The prompt", prompt), text("The attribute", attribute))
        plain, stated, denied = self._condition([prompt, *texts])
        conditions = along(plain, stated, denied, torch.tensor(values, device=self.device))
        return self._draw(conditions, self._avoid(negative_prompt), seeds, steps, sampler, [guidance] * len(values))

    def guidances(
        self,
        prompt: str,
        seed: int,
        values: Sequence[float],
        steps: int = DEFAULTS.steps,
        sampler: str = DEFAULTS.sampler,
        negative_prompt: str = "",
    ) -> np.ndarray:
        """The same noise and prompt under up to 64 guidances, each 0 to 20: (N, 64, 64, 3) uint8."""
        if sampler == STUDENT:
            raise InputError("The student's guidance is built in: choose another sampler.")
        values = [
            check_settings(seed, steps, sampler, value)[3] for value in listed("The guidances", values, 1, MAX_SERIES)
        ]
        seeds, steps, sampler, _ = _checked([seed] * len(values), steps, sampler, 1)
        conditions = self._condition([prompt]).expand(len(values), -1)
        return self._draw(conditions, self._avoid(negative_prompt), seeds, steps, sampler, values)

    def walk(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        count: int,
        steps: int = DEFAULTS.steps,
        sampler: str = DEFAULTS.sampler,
        guidance: float = DEFAULTS.guidance,
        negative_prompt: str = "",
    ) -> np.ndarray:
        """From one prompt and seed to another in `count` faces, 2 to 64, ends included: (count, 64, 64, 3) uint8.

        Noise and text embedding turn from the first to the last at an even pace.

        :param prompts: two texts, from and to; the same twice changes the face alone.
        :param seeds:   two seeds, from and to; the same twice changes the prompt alone.
        """
        prompts, count = listed("The prompts", prompts, 2, 2), whole("The number of faces", count, 2, MAX_SERIES)
        seeds, steps, sampler, guidance = _checked(listed("The seeds", seeds, 2, 2), steps, sampler, guidance)
        shares, ends = torch.linspace(0, 1, count, device=self.device), self._drawing(seeds)
        sampling = self._sample(
            slerp(*self._condition(prompts), shares),
            self._avoid(negative_prompt),
            lambda: slerp(*ends(), shares),
            steps,
            sampler,
            guidance,
            FIXED,
        )
        return _finished(sampling)

    def upscale(self, faces: np.ndarray, crisp: bool = False) -> np.ndarray:
        """SRResNet: (N, 64, 64, 3) uint8 -> (N, 512, 512, 3) uint8 (any size up to 2**20 pixels: eight times as large).

        crisp: by srresnet_crisp.safetensors, which invents the detail that the other leaves out. Raises InputError without it.
        """
        if crisp and self.crisp is None:
            raise InputError("There is no crisp upscaler: srresnet_crisp.safetensors is not among the weights.")
        return upscale(self.crisp if crisp else self.upscaler, faces)

    # --- what CLIP sees -------------------------------------------------------------------------------------------

    def attribute_scores(self, faces: np.ndarray) -> np.ndarray:
        """Zero-shot scores of the 40 attributes, CelebA order: (N, H, W, 3) uint8 -> (N, 40) float in [0, 1].

        For each attribute, the odds of its prompt against those of its denial.
        """
        return self.clip.attribute_logits(self.clip.encode_images(pictures("The faces", faces))).sigmoid().cpu().numpy()

    def label_scores(self, faces: np.ndarray, labels: Sequence[str]) -> np.ndarray:
        """Zero-shot scores of any labels: (N, H, W, 3) uint8, M texts -> (N, M) float in [0, 1].

        Each says how surely the face fits that label, whatever the others are; they need not add up to 1.
        """
        texts = self.clip.encode_texts([text("A label", label) for label in labels])
        with torch.inference_mode():
            return (
                self.clip.logits(self.clip.encode_images(pictures("The faces", faces)), texts).sigmoid().cpu().numpy()
            )

    def similarity(self, faces: np.ndarray) -> np.ndarray:
        """Cosine between the CLIP image embeddings of N faces: (N, N) float in [-1, 1]."""
        images = self.clip.encode_images(pictures("The faces", faces))
        return (images @ images.T).clamp(-1, 1).cpu().numpy()

    def understood(self, prompt: str) -> Understood:
        """What CLIP reads in a prompt: attributes stated and denied with its confidence, and the words that said nothing."""
        return understand(self.clip, text("The prompt", prompt))

    def prompt_note(self, prompt: str) -> str:
        """One line if the prompt is too long for CLIP, else ""."""
        if not is_cut(prompt):
            return ""
        return f"The prompt is longer than CLIP's {CONTEXT} tokens: only its beginning was used."

    # --- inside ---------------------------------------------------------------------------------------------------

    def _condition(self, texts: Sequence[str], name: str = "The prompt") -> Tensor:
        """N texts -> (N, 514): their CLIP embeddings, flags 0. Equal texts are encoded once."""
        rows = {one: row for row, one in enumerate(dict.fromkeys(text(name, one) for one in texts))}
        found = F.pad(self.clip.encode_texts(list(rows)), (0, FLAGS)).to(self.device)
        return found[[rows[one] for one in texts]]

    def _avoid(self, negative_prompt: str) -> Tensor:
        """(1, 514) for the guidance's other branch."""
        return self._condition([negative_prompt], "The negative prompt") if negative_prompt != "" else self._empty

    def _drawing(self, seeds: Sequence[int]) -> Draw:
        """Noise for these faces, new at every call. One generator per face: its batch does not matter."""
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]

        def draw() -> Tensor:
            noise = face_noise(generators, (3, SIZE, SIZE), self.device)
            return noise.contiguous(memory_format=torch.channels_last)

        return draw

    def _draw(
        self,
        conditions: Tensor,
        avoid: Tensor,
        seeds: list[int],
        steps: int,
        sampler: str,
        guidance: list[float],
        batch_size: int = 32,
        fixed: Mapping[str, Any] = FIXED,
    ) -> np.ndarray:
        """Finished faces, a condition, a seed and a guidance each."""
        batch_size = whole("The batch size", batch_size, 1, 4096)
        avoid, faces = avoid.expand_as(conditions), []
        for start in range(0, len(seeds), batch_size):
            part = slice(start, start + batch_size)
            faces.append(
                _finished(
                    self._sample(
                        conditions[part], avoid[part], self._drawing(seeds[part]), steps, sampler, guidance[part], fixed
                    )
                )
            )
        return np.concatenate([np.zeros((0, SIZE, SIZE, 3), np.uint8), *faces])

    def _sample(
        self,
        conditions: Tensor,
        avoid: Tensor,
        draw: Draw,
        steps: int,
        sampler: str,
        guidance: float | list[float],
        fixed: Mapping[str, Any],
        start_from: Tensor | None = None,
        strength: float = 1.0,
        watch: Callable[[Tensor | None], None] | None = None,
    ) -> Iterator[Step]:
        if sampler == STUDENT:
            return self._sample_student(conditions, avoid, draw, start_from, watch)
        config = self.unet.config
        denoise = guided(
            partial(frugal, self.unet), conditions, avoid, guidance, config.target, config.steps, watch=watch, **fixed
        )
        times, x = time_grid(steps, sampler, strength), draw()
        if start_from is not None:
            x = add_noise(start_from.to(x).expand_as(x), x, times[:1].expand(len(x)))
        return SAMPLERS[sampler](denoise, x, times, draw)

    def _sample_student(
        self,
        conditions: Tensor,
        avoid: Tensor,
        draw: Draw,
        start_from: Tensor | None,
        watch: Callable[[Tensor | None], None] | None,
    ) -> Iterator[Step]:
        if self.student is None:
            raise InputError("There is no student: student.safetensors is not among the weights.")
        if start_from is not None or not torch.equal(avoid.expand_as(conditions), self._empty.expand_as(conditions)):
            raise InputError("The student starts from noise and knows no negative prompt: choose another sampler.")
        config = self.student.config
        denoise = guided(
            partial(frugal, self.student), conditions, avoid, 1.0, config.target, config.steps, watch=watch
        )
        return ddim(denoise, draw(), time_grid(STUDENT_STEPS, "ddim"), draw)


def _checked(seeds, steps, sampler, guidance) -> tuple[list[int], int, str, float]:
    """`check_settings` for many seeds."""
    _, steps, sampler, guidance = check_settings(0, steps, sampler, guidance)
    return [check_settings(seed, steps, sampler, guidance)[0] for seed in seeds], steps, sampler, guidance


def _frames(step: Step, gap: Tensor | None) -> list[Frame]:
    """A Frame for each face of a step; gap: (N, 64, 64), by how much the two branches differ."""
    influence = [None] * len(step.noisy)
    if (
        gap is not None
    ):  # less than 0.001, an eighth of a grey level, is rounding: a prompt like what is avoided acts nowhere
        influence = (255 * gap / gap.amax((1, 2), keepdim=True).clamp(min=1e-3)).round().byte().cpu().numpy()
    level = math.sqrt(1 - alpha_bar(step.t).item())
    faces = zip(to_pixels(step.noisy), to_pixels(step.denoised), influence, strict=True)
    return [Frame(step.index, step.total, level, *face) for face in faces]


def _finished(sampling: Iterator[Step]) -> np.ndarray:
    """The faces after the last step: (N, 64, 64, 3) uint8."""
    for step in sampling:
        pass
    return to_pixels(step.denoised)


def to_pixels(images: Tensor) -> np.ndarray:
    """(N, 3, H, W) in [-1, 1] -> (N, H, W, 3) uint8, values outside clipped."""
    return ((images + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
