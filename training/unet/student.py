"""Train the student: a U-Net that draws in four network calls what the U-Net, its teacher, draws in many, guidance
included.

    python -m training.unet.student --prepared runs/prepared --weights weights --max-minutes 60

Progressive distillation (Salimans & Ho 2022) in one go. The teacher goes from noise to a face in TEACHER_STEPS guided
steps of UniPC, as the app does: with the network that has guidance built in, where there is one. Every few of them the
student shall cover by one step of DDIM: from what the teacher had before them to what it had after them leads exactly
one x_0 (`distillation_target`), and that the student learns to predict. It starts as a copy of the U-Net. Photographs
play no part but through the captions and CLIP's embeddings of their faces.

A student that can draw goes on with the recipe "faces": it learns from finished faces, see training/unet/finished.py.

    python -m training.unet.student --recipe faces --start-from weights/student.safetensors --max-minutes 40

All randomness of a step follows from (seed, process, step), so that a killed run resumes exactly from its last state.
"""

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from model.clip import Clip
from model.device import half_precision, pick_device
from model.diffusion import alpha_bar, from_original
from model.errors import InputError, exit_in_one_line
from model.files import checkpoint
from model.files.release import guided_network
from model.guidance import Distilled, Predictor, guided
from model.sampler import ddim, last_step, time_grid, unipc
from model.settings import DEFAULTS, STUDENT_STEPS
from model.unet import UNet, UNetConfig, condition_of
from training.core.budget import Budget
from training.core.log import Log, provenance
from training.core.loop import Steps, run_steps
from training.core.measure import add_measure_option, measure
from training.core.processes import rank_and_world
from training.core.run import Run, add_run_options, running
from training.core.seeds import mixed_seed
from training.core.state import check_writable, keep, resume
from training.data.checks import check_embeddings, check_unet
from training.data.prepared import Prepared, load_prepared
from training.unet.batches import Data, beside, sample_conditions, sample_faces
from training.unet.finished import finished_faces, loss_of_finished
from training.unet.learner import Learner, compiled
from training.unet.recipes import TINY, TrainConfig
from training.unet.train import start_with

# a multiple of the student's
TEACHER_STEPS = 12
STRIDE = TEACHER_STEPS // STUDENT_STEPS


@dataclass(frozen=True)
class StudentConfig(TrainConfig):
    """How to train the student. An image here is one distillation pair; a batch is that many, from batch / (2 *
    STUDENT_STEPS) faces of the teacher.
    """

    # steps whose faces the teacher draws at once and mixes: few large forwards keep a GPU busy
    drawn_ahead: int = 1
    # weight of the perceptual distance of finished faces; 0: single steps are learnt, not finished faces
    perceptual: float = 0.0


STUDENTS = {
    "default": StudentConfig(images=4_000_000, batch=64, learning_rate=2e-4, muon=0.95, half_life=5_000),
    "gpu": StudentConfig(
        images=4_000_000,
        batch=256,
        micro_batch=512,
        learning_rate=4e-4,
        muon=0.95,
        half_life=30_000,
        drawn_ahead=16,
    ),
    "faces": StudentConfig(images=4_000_000, batch=64, learning_rate=5e-5, muon=0.95, half_life=5_000, perceptual=0.05),
    "tiny": StudentConfig(network=TINY, images=128, batch=16, muon=0.95, average_every=2, half_life=64),
}


def distillation_target(x_t: Tensor, x_s: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """The x_0 (N, 3, H, W) along which one step of DDIM leads from x_t at times t (N,) to x_s at the earlier times s
    (N,).
    """
    (signal_t, noise_t), (signal_s, noise_s) = (
        (alpha_bar(time).sqrt().to(x_t).view(-1, 1, 1, 1), (1 - alpha_bar(time)).sqrt().to(x_t).view(-1, 1, 1, 1))
        for time in (t, s)
    )
    return (x_s - noise_s / noise_t * x_t) / (signal_s - signal_t * noise_s / noise_t)


def predictor_of(network: UNet) -> Predictor:
    """The network with what its output stands for."""
    return Predictor(network, network.config.target, network.config.steps)


class Teacher(NamedTuple):
    """Whose faces the student learns to draw."""

    unet: UNet
    # with the default guidance built in, where there is such a network
    guided: UNet | None = None

    @classmethod
    def from_folder(cls, folder: Path, device: torch.device) -> "Teacher":
        """Read unet.safetensors and, where it is there, guided.safetensors. Raises WeightsError in one line."""
        unet, path = UNet.from_file(folder / "unet.safetensors", device), folder / "guided.safetensors"
        return cls(unet, guided_network(path, unet) if path.is_file() else None)

    @property
    def hashes(self) -> dict[str, str]:
        """What tells it from another teacher."""
        hashes = {"teacher": self.unet.info["hash"]}
        return hashes | {"guided": self.guided.info["hash"]} if self.guided else hashes

    def predictor(self, empty: Tensor, ready: Callable[[UNet], Callable[..., Tensor]] = lambda unet: unet) -> Predictor:
        """As guidance.guided takes it.

        :param empty: (1, 514), the empty text's condition.
        :param ready: makes a network ready to be called.
        """
        predictor = predictor_of(self.unet)._replace(network=ready(self.unet))
        if self.guided is None:
            return predictor
        return predictor._replace(distilled=Distilled.of(ready(self.guided), self.guided.info, empty[0]))


@torch.no_grad()
def trajectory(teacher: Predictor, condition: Tensor, empty: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """The teacher's states at the student's times, (STUDENT_STEPS + 1, N, 3, H, W), noise first; and these times."""
    denoise, dtype = guided(teacher, condition, empty, DEFAULTS.as_guidance()), half_precision(noise.device)
    times = time_grid(TEACHER_STEPS, "unipc")
    with torch.autocast(noise.device.type, dtype, enabled=dtype is not None):
        states = [noise] + [step.noisy for step in unipc(denoise, noise, times)]
    return torch.stack(states[::STRIDE]), student_times()


def student_times() -> Tensor:
    """(STUDENT_STEPS + 1,): those of the teacher's times from which the student steps, and 0."""
    return time_grid(TEACHER_STEPS, "unipc")[::STRIDE]


def in_parts(network: Callable[..., Tensor], count: int) -> Callable[..., Tensor]:
    """The network on `count` images at a time, always with a fourth input: so it is compiled for one shape alone,
    though guidance asks for up to three predictions of each face.
    """

    def predict(noisy: Tensor, t: Tensor, condition: Tensor, perturbed: Tensor | None = None) -> Tensor:
        perturbed = torch.zeros_like(t, dtype=torch.bool) if perturbed is None else perturbed
        parts = zip(*(each.split(count) for each in (noisy, t, condition, perturbed)))
        return torch.cat([network(*part) for part in parts])

    return predict


def distillation_pairs(
    states: Tensor, times: Tensor, condition: Tensor, config: UNetConfig
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(x_t, t, condition, wanted prediction) for every step of the student on every trajectory, and on its mirror
    image.
    """
    states = torch.cat([states, states.flip(-1)], dim=1)
    count = states.shape[1]
    t, s = (each.repeat_interleave(count) for each in (times[:-1], times[1:]))
    x_t, x_s = states[:-1].flatten(0, 1), states[1:].flatten(0, 1)
    wanted = from_original(distillation_target(x_t, x_s, t, s), x_t, t, config.target, config.steps)
    return x_t, t.to(x_t), condition.repeat(2 * (len(times) - 1), 1), wanted


def sample_inputs(step: int, count: int, data: Data, config: TrainConfig, rank: int) -> tuple[Tensor, Tensor]:
    """Conditions (count, 514) as the app gives them, of random captions, no caption, or faces; and noise (count, 3,
    64, 64).
    """
    device, (height, width) = data.images.device, data.images.shape[1:3]
    generator = torch.Generator(device).manual_seed(mixed_seed(config.seed, rank, step))
    condition = sample_conditions(data, sample_faces(data.weights, count, generator), config, generator)
    # the app never asks for the look of small JPEGs
    condition[:, -1] = 0
    return condition, torch.randn(count, 3, height, width, generator=generator, device=device)


def faces_of(batch: int, world: int) -> int:
    """How many faces of the teacher make a process's share of a batch of pairs.

    Raises InputError if they are not whole.
    """
    faces, rest = divmod(batch, 2 * STUDENT_STEPS * world)
    if rest:
        raise InputError(f"the batch of {batch} pairs is no multiple of {2 * STUDENT_STEPS * world}.")
    return faces


class Lessons:
    """The pairs of every step, on the teacher's device: functions of (seed, process, step) alone, though those of
    several steps are drawn at once.
    """

    def __init__(self, teacher: Teacher, data: Data, config: StudentConfig, rank: int, faces: int):
        """:param faces: of a step, see `faces_of`."""
        self.data, self.config, self.rank, self.faces = data, config, rank, faces * config.drawn_ahead
        self.device = teacher.unet.mean.device
        self.empty = condition_of(data.captions.empty[None]).to(self.device)
        self.predictor = teacher.predictor(self.empty, self._ready)
        # which are drawn, and the pairs of each step of these
        self.block, self.drawn = -1, []

    def _ready(self, network: UNet) -> Callable[..., Tensor]:
        if self.device.type != "cuda":
            return network
        return in_parts(compiled(network, self.device), self.faces)

    def of(self, step: int) -> tuple[Tensor, ...]:
        """This process's share of a step, see `distillation_pairs`, or `finished_faces` where these are learnt."""
        block, place = divmod(step, self.config.drawn_ahead)
        if block != self.block:
            self.block, self.drawn = block, self._draw(block)
        return self.drawn[place]

    def _draw(self, block: int) -> list[tuple[Tensor, ...]]:
        """What each step of a block has, from all its faces."""
        inputs = sample_inputs(block, self.faces, self.data, self.config, self.rank)
        condition, noise = (each.to(self.device) for each in inputs)
        states, times = trajectory(self.predictor, condition, self.empty, noise)
        if self.config.perceptual:
            pairs = finished_faces(states, condition)
        else:
            pairs = distillation_pairs(states, times, condition, self.config.network)
        generator = torch.Generator(self.device).manual_seed(mixed_seed(self.config.seed, self.rank, block) + 1)
        order = torch.randperm(len(pairs[0]), generator=generator, device=self.device)
        return [tuple(each[rows] for each in pairs) for rows in order.chunk(self.config.drawn_ahead)]


@torch.no_grad()
def validation_loss(student: UNet, teacher: Teacher, data: Data, config: TrainConfig, count: int = 32) -> float:
    """Mean squared distance of the student's finished faces to its teacher's, from the same noise and conditions every
    time.
    """
    device = student.mean.device
    condition, noise = (each.to(device) for each in sample_inputs(0, count, data, replace(config, seed=-1), 0))
    empty = condition_of(data.captions.empty[None]).to(device)
    states, times = trajectory(teacher.predictor(empty), condition, empty, noise)
    denoise = guided(predictor_of(student), condition, condition)
    return F.mse_loss(last_step(ddim(denoise, noise, times)).denoised, states[-1]).item()


def train(prepared: Prepared, clip: Clip, teacher: Teacher, config: StudentConfig, run: Run) -> UNet:
    """Train on the teacher's device until the images or the minutes are spent or a stop is requested.

    Returns the averaged student.

    Resumes exactly from `run.state` if it is there; else starts as a copy of the U-Net, or of that in
    `run.start_from`. Writes the averaged student to `run.out` at every save. Raises InputError for faces embedded by
    another CLIP, a U-Net of another, or a batch that does not divide, and where start_with does. With `run.measure` it
    neither resumes nor writes, see `measure`.
    """
    budget = Budget(
        config.images, config.batch, run.minutes, config.learning_rate, save_seconds=config.checkpoint_seconds
    )
    check_embeddings(prepared, clip)
    check_unet(teacher.unet, clip)
    if not run.measure:
        check_writable(run.folder, run.out)
    rank, world = rank_and_world(config.batch)
    faces = faces_of(config.batch, world)
    device, config = teacher.unet.mean.device, replace(config, network=teacher.unet.config)
    identity = {"recipe": asdict(config), **teacher.hashes, "data": prepared.hash}
    clip = clip.to(device)
    data, held_out = (Data.of(prepared, rows, clip) for rows in (~prepared.validation, prepared.validation))
    student = UNet(config.network).to(device, memory_format=torch.channels_last)
    student.load_state_dict(teacher.unet.state_dict())
    done, start = start_with(student, run.start_from, clip)
    identity |= start
    loss = loss_of_finished(student, clip, student_times(), config.perceptual) if config.perceptual else None
    learner = Learner.of(student, config, loss)
    ema, parts = learner.ema, {"student": student, **learner.parts}
    if not run.measure:
        resume(run.state, identity, parts, done)
    # else a warm start would see the same noise once more
    config = replace(config, seed=config.seed + done.before["images"])
    lessons = Lessons(teacher, beside(data, device, mixed_seed(config.seed, rank)), config, rank, faces)

    def learn(step: int) -> dict[str, Tensor]:
        return learner.learn(step, lessons.of(step))

    if run.measure:
        measure(learn, config.batch, device)
        return ema.network
    log = Log(run.folder / "log.jsonl")

    def save(finished: bool) -> None:
        keep(run.state, identity, parts, done)
        loss = validation_loss(ema.network, teacher, held_out, config) if len(held_out.images) else None
        seen = done.step * config.batch
        log.write(images=seen, seconds=done.seconds, validation_loss=loss)
        if run.out:
            checkpoint.save(
                run.out,
                ema.network.state_dict(),
                asdict(config.network),
                {
                    "kind": "student",
                    "clip": clip.hash,
                    **teacher.hashes,
                    "steps": STUDENT_STEPS,
                    "guidance": DEFAULTS.guidance,
                    "guidance_interval": DEFAULTS.guidance_interval,
                    "pag_scale": DEFAULTS.pag_scale,
                    "pag_interval": DEFAULTS.pag_interval,
                    **provenance(
                        done.before["images"] + seen,
                        done.before["seconds"] + round(done.seconds),
                        device.type,
                        prepared.hash,
                    ),
                    "validation_loss": loss,
                    "recipe": {name: value for name, value in asdict(config).items() if name != "network"},
                },
            )

    run_steps(Steps(learner.optimizers, learn, save), done, budget, log, run.stop)
    return ema.network


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.unet.student", description=__doc__.split("\n")[0])
    parser.add_argument("--prepared", type=Path, default=Path("runs/prepared"), help="what training.data.prepare wrote")
    parser.add_argument(
        "--weights",
        type=Path,
        default=Path("weights"),
        help="folder with clip.safetensors and the teacher: unet.safetensors and, if it is there, guided.safetensors",
    )
    parser.add_argument("--recipe", choices=STUDENTS, default="default")
    parser.add_argument(
        "--start-from", type=Path, help="an earlier student (or U-Net) to start from, where there is no state to resume"
    )
    parser.add_argument("--batch", type=int, help="distillation pairs a step, instead of the recipe's")
    add_measure_option(parser)
    add_run_options(parser, "runs/student", "student.safetensors")
    options = parser.parse_args(arguments)
    config = STUDENTS[options.recipe]
    if options.batch is not None:
        config = replace(config, batch=options.batch)
    with exit_in_one_line("training.unet.student"), running(options) as run:
        prepared, clip = load_prepared(options.prepared), Clip.from_file(options.weights / "clip.safetensors")
        teacher = Teacher.from_folder(options.weights, pick_device(run.device))
        train(prepared, clip, teacher, config, run)


if __name__ == "__main__":
    main()
