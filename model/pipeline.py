"""FacePipeline: the one object that app, command line, tests and benchmarks use.

    pipe = FacePipeline.from_pretrained("weights")
    for frame in pipe.stream("photo of person smiling", seed=7): ...

Prompt -> CLIP -> sampler and U-Net -> 64 px frames -> SRResNet -> 512 px.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from model.clip import CONTEXT, Clip, is_cut
from model.device import pick_device
from model.diffusion import alpha_bar
from model.errors import InputError, WeightsError
from model.sampler import SAMPLERS, Step, face_noise, guided, time_grid
from model.srresnet import SRResNet, upscale
from model.unet import FLAGS, UNet

SIZE = 64           # pixels per side of a frame
MAX_STEPS = 1000    # of the reverse diffusion
MAX_GUIDANCE = 20.0
MAX_SEED = 2**32 - 1
FILES = ("clip", "unet", "srresnet")


@dataclass(frozen=True)
class Settings:
    """How to run the reverse diffusion when nothing else is asked for."""

    steps: int = 25          # network calls per guidance branch
    sampler: str = "dpmpp"   # one of sampler.SAMPLERS
    guidance: float = 2.0    # classifier-free guidance: 1 follows the prompt, more exaggerates it


DEFAULTS = Settings()


@dataclass(frozen=True)
class Frame:
    """The picture after one step."""

    index: int            # steps done, from 1
    total: int            # steps in all
    noise_level: float    # sqrt(1 - alpha_bar) of `noisy`, 0 at the end
    noisy: np.ndarray     # x_t: (64, 64, 3) uint8
    denoised: np.ndarray  # predicted x_0: (64, 64, 3) uint8


def check_settings(seed, steps, sampler, guidance) -> tuple[int, int, str, float]:
    """The four settings as int, int, str, float. Raises InputError, one line, for what cannot be used."""
    seed = _whole("The seed", seed, 0, MAX_SEED)
    steps = _whole("The number of steps", steps, 1, MAX_STEPS)
    if not isinstance(sampler, str) or sampler not in SAMPLERS:
        raise InputError(f"The sampler must be one of {', '.join(SAMPLERS)}, not {_shown(sampler)}.")
    if isinstance(guidance, bool) or not isinstance(guidance, int | float) or not 0 <= guidance <= MAX_GUIDANCE:
        raise InputError(f"The guidance must be a number from 0 to {MAX_GUIDANCE:g}, not {_shown(guidance)}.")
    return seed, steps, sampler, float(guidance)


def _whole(name: str, value, least: int, most: int) -> int:
    """`value` as an int; a float that is a whole number counts, since browsers send those."""
    number = isinstance(value, int | float | np.integer) and not isinstance(value, bool)
    if not number or not least <= value <= most or value != int(value):
        raise InputError(f"{name} must be a whole number from {least} to {most}, not {_shown(value)}.")
    return int(value)


def _shown(value) -> str:
    """A value as an error message shows it: one line, not long."""
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:40]}..."


class FacePipeline:
    """CLIP, U-Net and SRResNet that belong together, on one device. Holds no state between calls: safe to share."""

    def __init__(self, clip: Clip, unet: UNet, upscaler: SRResNet, device: torch.device):
        self.clip, self.unet, self.upscaler, self.device = clip, unet, upscaler, device
        self._empty = self._condition([""])

    @classmethod
    def from_pretrained(cls, source: str | Path, device: str = "auto") -> "FacePipeline":
        """Load a folder, or "owner/repo@revision" on the Hub.

        Raises WeightsError, one line, for a file that is missing, damaged, or does not belong to the others, and InputError
        for a device that is not there.
        """
        folder = _folder(source)
        device = pick_device(device)
        paths = {name: folder / f"{name}.safetensors" for name in FILES}
        clip = Clip.from_file(paths["clip"], device)
        unet = UNet.from_file(paths["unet"], device)
        if unet.info.get("clip") != clip.hash:
            raise WeightsError(f"{paths['unet']} was trained with another CLIP ({unet.info.get('clip', 'unnamed')}) than "
                               f"{paths['clip']} ({clip.hash}): take both from the same release.")
        return cls(clip, unet, SRResNet.from_file(paths["srresnet"], device), device)

    # --- faces ---------------------------------------------------------------------------------------------------

    def stream(self, prompt: str = "", seed: int = 0, steps: int = DEFAULTS.steps, sampler: str = DEFAULTS.sampler,
               guidance: float = DEFAULTS.guidance, negative_prompt: str = "") -> Iterator[Frame]:
        """Draw one face, yielding a Frame after every step. Close the iterator to stop.

        :param prompt:          any text; "" is any face. What lies beyond CLIP's 77 tokens is ignored (see `prompt_note`).
        :param seed:            0 to 2**32 - 1; the same seed and settings make the same face.
        :param steps:           1 to 1000.
        :param sampler:         one of sampler.SAMPLERS.
        :param guidance:        0 to 20.
        :param negative_prompt: what to avoid; takes the empty text's place in the guidance.
        :raises InputError:     at once, not at the first frame.
        """
        seed, steps, sampler, guidance = check_settings(seed, steps, sampler, guidance)
        condition = self._condition([_text("The prompt", prompt)])
        avoid = self._condition([_text("The negative prompt", negative_prompt)])
        sampling = self._sample(condition, avoid, [seed], steps, sampler, guidance)
        return (Frame(step.index, step.total, math.sqrt(1 - alpha_bar(step.t).item()),
                      to_pixels(step.noisy)[0], to_pixels(step.denoised)[0]) for step in sampling)

    def generate(self, prompts: Sequence[str], seeds: Sequence[int], steps: int = DEFAULTS.steps,
                 sampler: str = DEFAULTS.sampler, guidance: float = DEFAULTS.guidance,
                 negative_prompts: Sequence[str] | None = None, batch_size: int = 32) -> np.ndarray:
        """Draw one face per prompt and seed, `batch_size` at a time: (N, 64, 64, 3) uint8, each the last frame of `stream`."""
        negative_prompts = [""] * len(prompts) if negative_prompts is None else negative_prompts
        if not len(prompts) == len(seeds) == len(negative_prompts):
            raise InputError(f"There are {len(prompts)} prompts, {len(seeds)} seeds and {len(negative_prompts)} negative "
                             "prompts: give the same number of each.")
        conditions = self._condition([_text("The prompt", prompt) for prompt in prompts])
        avoid = self._condition([_text("The negative prompt", prompt) for prompt in negative_prompts])
        return self._draw(conditions, avoid, seeds, steps, sampler, guidance, batch_size)

    def variations(self, face: np.ndarray, seeds: Sequence[int], steps: int = DEFAULTS.steps,
                   sampler: str = DEFAULTS.sampler, guidance: float = DEFAULTS.guidance, batch_size: int = 32) -> np.ndarray:
        """Faces like this one ((H, W, 3) uint8), drawn under its CLIP image embedding: (N, 64, 64, 3) uint8."""
        embedding = self.clip.encode_images(_faces(np.asarray(face)[None])).to(self.device)
        condition = torch.cat([embedding, torch.tensor([[1.0, 0.0]], device=self.device)], dim=1)
        return self._draw(condition.expand(len(seeds), -1), self._empty, seeds, steps, sampler, guidance, batch_size)

    def upscale(self, faces: np.ndarray) -> np.ndarray:
        """SRResNet: (N, 64, 64, 3) uint8 -> (N, 512, 512, 3) uint8 (any size: eight times as large)."""
        return upscale(self.upscaler, faces)

    # --- what CLIP sees -------------------------------------------------------------------------------------------

    def attribute_scores(self, faces: np.ndarray) -> np.ndarray:
        """Zero-shot scores of the 40 attributes, CelebA order: (N, H, W, 3) uint8 -> (N, 40) float in [0, 1].

        For each attribute, the odds of its prompt against those of its denial.
        """
        return self.clip.attribute_logits(self.clip.encode_images(_faces(faces))).sigmoid().cpu().numpy()

    def similarity(self, faces: np.ndarray) -> np.ndarray:
        """Cosine between the CLIP image embeddings of N faces: (N, N) float in [-1, 1]."""
        images = self.clip.encode_images(_faces(faces))
        return (images @ images.T).clamp(-1, 1).cpu().numpy()

    def prompt_note(self, prompt: str) -> str:
        """One line if the prompt is too long for CLIP, else ""."""
        if not is_cut(prompt):
            return ""
        return f"The prompt is longer than CLIP's {CONTEXT} tokens: only its beginning was used."

    # --- inside ---------------------------------------------------------------------------------------------------

    def _condition(self, texts: Sequence[str]) -> Tensor:
        """N texts -> (N, 514): their CLIP embeddings, flags 0."""
        return F.pad(self.clip.encode_texts(texts), (0, FLAGS)).to(self.device)

    def _draw(self, conditions: Tensor, avoid: Tensor, seeds: Sequence[int], steps: int, sampler: str, guidance: float,
              batch_size: int) -> np.ndarray:
        _, steps, sampler, guidance = check_settings(0, steps, sampler, guidance)
        seeds = [check_settings(seed, steps, sampler, guidance)[0] for seed in seeds]
        batch_size = _whole("The batch size", batch_size, 1, 4096)
        avoid, faces = avoid.expand_as(conditions), []
        for start in range(0, len(seeds), batch_size):
            part = slice(start, start + batch_size)
            for step in self._sample(conditions[part], avoid[part], seeds[part], steps, sampler, guidance):
                pass
            faces.append(to_pixels(step.denoised))
        return np.concatenate([np.zeros((0, SIZE, SIZE, 3), np.uint8), *faces])

    def _sample(self, conditions: Tensor, avoid: Tensor, seeds: list[int], steps: int, sampler: str,
                guidance: float) -> Iterator[Step]:
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]  # one per face: its batch does not matter

        def draw() -> Tensor:
            noise = face_noise(generators, (3, SIZE, SIZE), self.device)
            return noise.contiguous(memory_format=torch.channels_last)

        denoise = guided(self.unet, conditions, avoid, guidance, self.unet.config.target, self.unet.config.steps)
        return SAMPLERS[sampler](denoise, draw(), time_grid(steps, sampler), draw)


def to_pixels(images: Tensor) -> np.ndarray:
    """(N, 3, H, W) in [-1, 1] -> (N, H, W, 3) uint8, values outside clipped."""
    return ((images + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()


def _text(name: str, prompt) -> str:
    if not isinstance(prompt, str):
        raise InputError(f"{name} must be text, not {type(prompt).__name__}.")
    return prompt


def _faces(faces) -> np.ndarray:
    faces = np.asarray(faces)
    if faces.ndim != 4 or faces.shape[-1] != 3 or faces.dtype != np.uint8 or 0 in faces.shape[1:]:
        raise InputError(f"Faces must be an array (N, height, width, 3) of uint8, not {faces.shape} of {faces.dtype}.")
    return faces


def _folder(source: str | Path) -> Path:
    """A local folder as it is; "owner/repo@revision" is fetched from the Hub (only the weights files)."""
    if Path(source).is_dir():
        return Path(source)
    repo, _, revision = str(source).partition("@")
    if repo.count("/") != 1 or not revision:
        raise WeightsError(f"{source} is neither a folder with weights nor owner/repo@revision on the Hub.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=[f"{name}.safetensors" for name in FILES]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise WeightsError(f"The weights {source} cannot be fetched from the Hub: {reason}") from error
