"""FacePipeline: the one object that app, command line, tests and benchmarks use.

    pipe = FacePipeline.from_pretrained("weights")
    for frame in pipe.stream("photo of person smiling", seed=7): ...
    faces = pipe.generate_faces([Settings("smiling", seed=7), Settings("smiling", seed=8)])

Prompt -> CLIP -> sampler and U-Net -> 64 px frames -> SRResNet -> 512 px.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from model.attributes import CONCEPTS
from model.batch import Batch, check_together
from model.clip import CONTEXT, Clip
from model.critic import Critic
from model.device import half_precision, run_in_parts
from model.errors import InputError
from model.files.release import load_release
from model.guidance import Distilled, Guidance, Predictor, guided
from model.images import Frame, frames_of, to_pixels
from model.sampler import SAMPLERS, Step, last_step, time_grid
from model.settings import DEFAULTS, MAX_AT_ONCE, STUDENT, Settings, listed, pictures, text, whole
from model.srresnet import SRResNet, upscale
from model.start import Start
from model.unet import UNet, condition_of
from model.words.concepts import Concepts
from model.words.understanding import Understood, fit_of, understand

# pixels per side of a frame
SIZE = 64
# readings that are kept: a run asks for that of its prompt several times
READINGS = 32
T = TypeVar("T")


class FacePipeline:
    """CLIP, U-Net and SRResNet that belong together, on one device. Safe to share: no call changes another's answer.

    Methods that take settings raise InputError, one line, for what cannot be drawn.
    """

    # Where the networks run; None is the thread that calls. Its own threads must not call the pipeline.
    executor: Executor | None = None
    # The number format that the U-Net computes in; None is float32. Student and SRResNets compute in half precision
    # where that is fast: it moves their pixels by three grey levels at most.
    precision: torch.dtype | None = None

    def __init__(
        self, clip: Clip, unet: UNet, upscaler: SRResNet, crisp: SRResNet | None = None, student: UNet | None = None
    ):
        """All networks on the U-Net's device.

        :param crisp:   the adversarially trained upscaler, where there is one.
        :param student: draws in four network calls nearly what the U-Net draws in many, where there is one.
        """
        self.clip, self.unet, self.upscaler, self.crisp, self.student = clip, unet, upscaler, crisp, student
        # scores how whole a face is, where there is one (see best_seed)
        self.critic: Critic | None = None
        # the U-Net with the default guidance built in, where there is one: one forward in the place of two
        self.guided: UNet | None = None
        # what can be asked for beside the attributes
        self.concepts = Concepts()
        self.device = unet.mean.device
        self._understand = lru_cache(READINGS)(partial(understand, clip))

    @classmethod
    def from_pretrained(
        cls, source: str | Path, device: str = "auto", executor: Executor | None = None
    ) -> "FacePipeline":
        """Load a folder, or "owner/repo@revision" on the Hub (see load_release for what it raises)."""
        release = load_release(source, device)
        pipe = cls(release.clip, release.unet, release.upscaler, release.crisp, release.student)
        pipe.critic, pipe.concepts, pipe.guided = release.critic, release.concepts, release.guided
        pipe.executor = executor
        return pipe

    def with_unet(self, unet: UNet) -> "FacePipeline":
        """The same pipeline with another U-Net, of the same CLIP, and without what learnt from this one."""
        pipe = FacePipeline(self.clip, unet, self.upscaler, self.crisp)
        pipe.executor, pipe.precision = self.executor, self.precision
        return pipe

    @property
    def chooses_seeds(self) -> bool:
        """Whether `best_seed` can be asked: there are a student and a critic."""
        return self.student is not None and self.critic is not None

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
        mask: np.ndarray | None = None,
    ) -> Iterator[Frame]:
        """Draw one face, yielding a Frame after every step. Close the iterator to stop.

        `stream_faces` for one face, whose Settings are spelt out. What lies beyond CLIP's 77 tokens of a prompt is
        ignored (see `prompt_note`). Raises InputError at once, not at the first frame.
        """
        settings = Settings(prompt, negative_prompt, seed, steps, sampler, guidance)
        return (frames[0] for frames in self.stream_faces([settings], start_from, strength, mask))

    def generate(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        steps: int = DEFAULTS.steps,
        sampler: str = DEFAULTS.sampler,
        guidance: float = DEFAULTS.guidance,
        negative_prompts: Sequence[str] | None = None,
        batch_size: int = 32,
    ) -> np.ndarray:
        """Draw one face per prompt and seed: (N, 64, 64, 3) uint8, each the last frame of `stream`.

        `generate_faces` with the settings spelt out.
        """
        # else each letter of one text would be a prompt
        if isinstance(prompts, str) or isinstance(negative_prompts, str):
            raise InputError("The prompts must be a list of texts, not one text.")
        negative_prompts = [""] * len(prompts) if negative_prompts is None else negative_prompts
        if not len(prompts) == len(seeds) == len(negative_prompts):
            raise InputError(
                f"There are {len(prompts)} prompts, {len(seeds)} seeds and {len(negative_prompts)} negative "
                "prompts: give the same number of each."
            )
        # checked even where there is no face to draw
        run = Settings(steps=steps, sampler=sampler, guidance=guidance)
        each = zip(prompts, negative_prompts, seeds)
        faces = [replace(run, prompt=one, negative_prompt=avoid, seed=seed) for one, avoid, seed in each]
        return self.generate_faces(faces, batch_size)

    def stream_faces(
        self,
        faces: Sequence[Settings],
        start_from: np.ndarray | None = None,
        strength: float = 0.6,
        mask: np.ndarray | None = None,
        influence: bool = False,
    ) -> Iterator[list[Frame]]:
        """Draw 1 to 16 faces side by side, yielding a list of their Frames after every step. Close it to stop.

        :param faces:       may differ in prompts, seed, guidance, edits and place on a walk only.
        :param start_from:  (H, W, 3) uint8, a face to change instead of noise alone (see model/start.py): its middle
                            square at 64 px is noised to the time `strength`; only the steps below that are run.
        :param strength:    above 0, up to 1: how much of `start_from` is drawn anew; near 1 nothing of it is left.
        :param mask:        (64, 64) bool: only where it is true anything changes.
        :param influence:   whether the frames tell where the prompt acts. The faces are the same, and take longer.
        :raises InputError: at once, not at the first frame.
        """
        start = Start.read(start_from, strength, mask, SIZE)
        batch = replace(self._batch(listed("The faces", faces, 1, MAX_AT_ONCE)), start=start)
        if start and batch.settings.sampler == STUDENT:
            raise InputError("The student starts from noise, not from a picture: choose another sampler.")
        seen: list[Tensor | None] = []
        sampling = self._sample(batch, seen.append if influence else None)
        return (frames_of(step, seen.pop() if influence else None) for step in sampling)

    def generate_faces(self, faces: Sequence[Settings], batch_size: int = 32) -> np.ndarray:
        """Draw faces, `batch_size` at a time, that differ as those of `stream_faces`: (N, 64, 64, 3) uint8."""
        batch_size, done = whole("The batch size", batch_size, 1, 4096), [np.zeros((0, SIZE, SIZE, 3), np.uint8)]
        # all of them before the first is drawn
        check_together(faces, self.student is not None)
        for start in range(0, len(faces), batch_size):
            batch = self._batch(faces[start : start + batch_size])
            done.append(to_pixels(last_step(self._sample(batch)).denoised))
        return np.concatenate(done)

    def stream_alike(self, face: np.ndarray, faces: Sequence[Settings], away: bool = False) -> Iterator[list[Frame]]:
        """`stream_faces`, towards what CLIP sees in a face ((H, W, 3) uint8) or away from it.

        Towards: the face's image embedding takes the place of each prompt. Away: it takes that of each negative prompt,
        so that the guidance leads away from it, and the noise is turned round, to its mirror image.
        """
        batch = self._batch(listed("The faces", faces, 1, MAX_AT_ONCE))
        embedding = self.compute(self.clip.encode_images, pictures("The face", face, several=False)[None])
        seen = condition_of(embedding.to(self.device), of_images=True).expand(len(faces), -1)
        if away:
            batch = replace(batch, unconditional=seen, fresh_noise=lambda noise=batch.fresh_noise: -noise())
        else:
            batch = replace(batch, condition=seen)
        return (frames_of(step, None) for step in self._sample(batch))

    def best_seed(self, settings: Settings, seeds: Sequence[int]) -> int:
        """Of 1 to 16 seeds, the one whose face is the most whole and fits the prompt best.

        The student draws all in one batch. From the same noise its face is nearly the one that the U-Net draws, but for
        the noise that DDPM adds on the way and for a negative prompt, which it does not know. Its last call does not
        change which seed is best (docs/experiments.md), so it is left out. Raises InputError where there is no student
        or no critic.
        """
        seeds = listed("The seeds", seeds, 1, MAX_AT_ONCE)
        if self.student is None or self.critic is None:
            raise InputError("Choosing among seeds needs student.safetensors and critic.safetensors.")
        shown = replace(settings, sampler=STUDENT, negative_prompt="")
        here = copy.copy(self)
        here.executor = None

        def preview() -> np.ndarray:
            batch = here._batch([replace(shown, seed=seed) for seed in seeds])
            return to_pixels(next(step for step in here._sample(batch) if step.index >= step.total - 1).denoised)

        drawn = self.compute(preview)
        wholeness = self.compute(self.critic.scores, self.clip, drawn)
        # what the U-Net is given
        said = self.understood(settings.prompt).text
        fit = self.compute(fit_of, self.clip, said, self.attribute_scores(drawn))
        return seeds[int((wholeness + 2 * fit).argmax())]

    def upscale(self, faces: np.ndarray, crisp: bool = False) -> np.ndarray:
        """SRResNet: (N, 64, 64, 3) uint8 -> (N, 512, 512, 3) uint8 (any size up to 2**20 pixels: eight times as large).

        crisp: by srresnet_crisp.safetensors, which invents the detail that the other leaves out. Raises InputError
        without it.
        """
        network = self.crisp if crisp else self.upscaler
        if network is None:
            raise InputError("There is no crisp upscaler: srresnet_crisp.safetensors is not among the weights.")
        return upscale(network, faces, partial(self._forward, half_precision(self.device)))

    # --- what CLIP sees -------------------------------------------------------------------------------------------

    def attribute_scores(self, faces: np.ndarray) -> np.ndarray:
        """Zero-shot scores of the 40 attributes, CelebA order: (N, H, W, 3) uint8 -> (N, 40) float in [0, 1].

        For each attribute, the odds of its prompt against those of its denial.
        """
        embeddings = self.compute(self.clip.encode_images, pictures("The faces", faces))
        return self.compute(self.clip.attribute_logits, embeddings, self._directions).sigmoid().cpu().numpy()

    def label_scores(self, faces: np.ndarray, labels: Sequence[str]) -> np.ndarray:
        """Zero-shot scores of any labels: (N, H, W, 3) uint8, M texts -> (N, M) float in [0, 1].

        Each says how surely the face fits that label, whatever the others are; they need not add up to 1.
        """
        texts = self.compute(self.clip.encode_texts, [text("A label", label) for label in labels])
        embeddings = self.compute(self.clip.encode_images, pictures("The faces", faces))
        with torch.inference_mode():
            return self.clip.logits(embeddings, texts).sigmoid().cpu().numpy()

    def similarity(self, faces: np.ndarray) -> np.ndarray:
        """Cosine between the CLIP image embeddings of N faces: (N, N) float in [-1, 1]."""
        embeddings = self.compute(self.clip.encode_images, pictures("The faces", faces))
        return (embeddings @ embeddings.T).clamp(-1, 1).cpu().numpy()

    def understood(self, prompt: str) -> Understood:
        """All that a prompt asks for, thing by thing, and the text that CLIP gets of it."""
        return self.compute(self._understand, text("The prompt", prompt), frozenset(self.concepts))

    def prompt_note(self, prompt: str) -> str:
        """One line if the prompt is too long for CLIP, else ""."""
        if not prompt or not self.understood(prompt).cut:
            return ""
        return f"The prompt is longer than CLIP's {CONTEXT} tokens: only its beginning was used."

    # --- the networks themselves ----------------------------------------------------------------------------------

    def compute(self, function: Callable[..., T], *inputs: Any, **options: Any) -> T:
        """function(*inputs, **options) where the networks run, in this thread's inference mode."""
        if self.executor is None:
            return function(*inputs, **options)
        inference = torch.is_inference_mode_enabled()

        def there(*inputs: Any, **options: Any) -> T:
            with torch.inference_mode(inference):
                return function(*inputs, **options)

        return self.executor.submit(there, *inputs, **options).result()

    def condition(self, texts: Sequence[str]) -> Tensor:
        """N texts -> (N, 514) conditions of the U-Net by what is read in them. Equal ones are read once."""
        rows = {one: row for row, one in enumerate(dict.fromkeys(texts))}
        read = [self.understood(one) if one else None for one in rows]
        embeddings = self.compute(self.clip.encode_texts, [one.text if one else "" for one in read])
        embeddings = self.concepts.added(embeddings, [one.concepts if one else () for one in read])
        return condition_of(embeddings.to(self.device))[[rows[one] for one in texts]]

    def covered(self, face: Settings) -> bool:
        """Whether the guided network learnt such prompts: those without a concept, which it would draw more weakly."""
        asked = (self.understood(prompt).concepts for prompt in (face.prompt, face.to_prompt) if prompt)
        return not any(asked) and not any(name in CONCEPTS for name, _ in face.edits)

    @property
    def distilled(self) -> Distilled | None:
        """The guided network as guidance.guided takes it, where there is one."""
        if self.guided is None:
            return None
        run = partial(self._forward, self.precision, run_in_parts, self.guided)
        return Distilled.of(run, self.guided.info, self._empty)

    # --- inside ---------------------------------------------------------------------------------------------------

    @cached_property
    def _empty(self) -> Tensor:
        return self.condition([""])[0]

    @cached_property
    def _directions(self) -> Tensor:
        return self.compute(self.clip.attribute_directions)

    def _forward(self, precision: torch.dtype | None, *inputs: Any, **options: Any) -> Tensor:
        """`compute(*inputs, **options)` in a number format, None for float32; the answer is float32."""

        def rounded(function: Callable[..., Tensor], *inputs: Any, **options: Any) -> Tensor:
            with torch.autocast(self.device.type, precision, enabled=precision is not None):
                return function(*inputs, **options).float()

        return self.compute(rounded, *inputs, **options)

    def _batch(self, faces: Sequence[Settings]) -> Batch:
        """Faces to draw together, at least one. Raises InputError as `check_together` does."""
        check_together(faces, self.student is not None)
        return Batch.of(faces, self.condition, self.covered, (3, SIZE, SIZE))

    def _sample(self, batch: Batch, watch: Callable[[Tensor | None], None] | None = None) -> Iterator[Step]:
        """The steps of a batch. watch: as in guidance.guided."""
        settings = batch.settings
        if self.student and settings.sampler == STUDENT:
            unet, sampler, precision, distilled = self.student, "ddim", half_precision(self.device), None
            guidance = Guidance()
        else:
            unet, sampler, precision, distilled = self.unet, settings.sampler, self.precision, self.distilled
            guidance = replace(settings.as_guidance(), scale=batch.scale, distilled=batch.distilled)
        run = partial(self._forward, precision, run_in_parts, unet)
        predictor = Predictor(run, unet.config.target, unet.config.steps, distilled)
        denoise = guided(predictor, batch.condition, batch.unconditional, guidance, watch)
        times = time_grid(settings.steps, sampler, batch.start.time if batch.start else 1.0)
        sample = batch.start.around(SAMPLERS[sampler]) if batch.start else SAMPLERS[sampler]
        return sample(denoise, batch.fresh_noise(), times, batch.fresh_noise)
