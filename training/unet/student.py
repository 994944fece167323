"""Train the student: a U-Net that draws in four network calls what the U-Net, its teacher, draws in many, guidance
included.

    python -m training.unet.student --prepared runs/prepared --weights weights --max-minutes 60

Progressive distillation (Salimans & Ho 2022) in one go. The teacher goes from noise to a face in TEACHER_STEPS guided
steps of UniPC. Every few of them the student shall cover by one step of DDIM: from what the teacher had before them to
what it had after them leads exactly one x_0 (`distillation_target`), and that the student learns to predict. It starts
as a copy of its teacher. Photographs play no part but through the captions and CLIP's embeddings of their faces.

All randomness of a step follows from (seed, process, step), so that a killed run resumes exactly from its last state.
"""

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor

from model.clip import Clip
from model.device import half_precision, pick_device
from model.diffusion import alpha_bar, from_original
from model.errors import InputError, exit_in_one_line
from model.files import checkpoint
from model.guidance import Predictor, guided
from model.sampler import ddim, face_noise, last_step, time_grid, unipc
from model.settings import DEFAULTS, STUDENT_STEPS
from model.unet import UNet, UNetConfig, condition_of
from training.core.budget import Budget, Progress
from training.core.ema import EMA
from training.core.log import Log, provenance
from training.core.loop import Steps, run_steps
from training.core.processes import rank_and_world
from training.core.run import Run, add_run_options, running
from training.core.seeds import mixed_seed
from training.core.state import check_writable, keep, resume
from training.data.checks import check_embeddings
from training.data.prepared import Prepared, load_prepared
from training.unet.batches import Data, sample_conditions
from training.unet.recipes import RECIPES, TrainConfig
from training.unet.train import optimizers_of, train_step

# a multiple of the student's
TEACHER_STEPS = 12
# An image here is one distillation pair; a batch is that many, from batch / (2 * STUDENT_STEPS) faces of the teacher.
STUDENTS = {
    "default": TrainConfig(images=4_000_000, batch=64, learning_rate=3e-4, muon=0.95, half_life=20_000),
    "tiny": replace(RECIPES["tiny"], images=128, batch=16),
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


@torch.no_grad()
def trajectory(teacher: UNet, condition: Tensor, empty: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """The teacher's states at the student's times, (STUDENT_STEPS + 1, N, 3, H, W), noise first; and these times."""
    predictor, dtype = Predictor(teacher, teacher.config.target, teacher.config.steps), half_precision(noise.device)
    denoise = guided(predictor, condition, empty, DEFAULTS.as_guidance())
    times, stride = time_grid(TEACHER_STEPS, "unipc"), TEACHER_STEPS // STUDENT_STEPS
    with torch.autocast(noise.device.type, dtype, enabled=dtype is not None):
        states = [noise] + [step.noisy for step in unipc(denoise, noise, times)]
    return torch.stack(states[::stride]), times[::stride]


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


def sample_inputs(
    step: int, count: int, data: Data, clip: Clip, config: TrainConfig, rank: int
) -> tuple[Tensor, Tensor]:
    """Conditions (count, 514) as the app gives them, of random captions, no caption, or faces; and noise (count, 3,
    64, 64).
    """
    seed = mixed_seed(config.seed, rank, step)
    generator = torch.Generator().manual_seed(seed)
    picks = torch.multinomial(data.weights, count, replacement=count > len(data.weights), generator=generator)
    condition = sample_conditions(data, picks.to(data.images.device), clip, config, Random(seed))
    # the app never asks for the look of small JPEGs
    condition[:, -1] = 0
    return condition, face_noise([generator] * count, (3, *data.images.shape[1:3]), data.images.device)


@torch.no_grad()
def validation_loss(
    student: UNet, teacher: UNet, data: Data, clip: Clip, config: TrainConfig, count: int = 32
) -> float:
    """Mean squared distance of the student's finished faces to its teacher's, from the same noise and conditions every
    time.
    """
    condition, noise = sample_inputs(0, count, data, clip, replace(config, seed=-1), 0)
    states, times = trajectory(teacher, condition, _empty(clip, noise.device), noise)
    denoise = guided(Predictor(student, student.config.target, student.config.steps), condition, condition)
    return F.mse_loss(last_step(ddim(denoise, noise, times)).denoised, states[-1]).item()


def _empty(clip: Clip, device: torch.device) -> Tensor:
    return condition_of(clip.encode_texts([""])).to(device)


def train(
    prepared: Prepared,
    clip: Clip,
    teacher: UNet,
    config: TrainConfig,
    run: Run,
) -> UNet:
    """Train on the teacher's device until the images or the minutes are spent or a stop is requested.

    Returns the averaged student.

    Resumes exactly from `run.state` if it is there; else starts as a copy of the teacher, or of the U-Net
    `run.start_from`. Writes the averaged student to `run.out` at every save. Raises InputError for faces embedded by
    another CLIP or a batch that does not divide.
    """
    budget = Budget(
        config.images, config.batch, run.minutes, config.learning_rate, save_seconds=config.checkpoint_seconds
    )
    check_embeddings(prepared, clip)
    check_writable(run.folder, run.out)
    rank, world = rank_and_world(config.batch)
    device, log = teacher.mean.device, Log(run.folder / "log.jsonl")
    config = replace(config, network=teacher.config)
    faces, rest = divmod(config.batch, 2 * STUDENT_STEPS * world)
    if rest:
        raise InputError(f"the batch of {config.batch} pairs is no multiple of {2 * STUDENT_STEPS * world}.")
    identity = {"recipe": asdict(config), "teacher": teacher.info["hash"], "data": prepared.hash}
    clip = clip.to(device)
    data, held_out = (Data.of(prepared, rows, device) for rows in (~prepared.validation, prepared.validation))
    student = UNet(config.network).to(device, memory_format=torch.channels_last)
    student.load_state_dict((UNet.from_file(run.start_from, device) if run.start_from else teacher).state_dict())
    empty, done, ema, optimizers = (
        _empty(clip, device),
        Progress(),
        EMA(student, config.half_life),
        optimizers_of(student, config),
    )
    parts = {"student": student, "ema": ema} | {type(each).__name__: each for each in optimizers}
    resume(run.state, identity, parts, done)

    def learn(step: int) -> dict[str, float]:
        condition, noise = sample_inputs(step, faces, data, clip, config, rank)
        losses = train_step(
            student,
            optimizers,
            distillation_pairs(*trajectory(teacher, condition, empty, noise), condition, config.network),
            config,
        )
        if (step + 1) % config.average_every == 0:
            ema.update(student, config.batch * config.average_every)
        return losses

    def save(finished: bool) -> None:
        keep(run.state, identity, parts, done)
        loss, seen = validation_loss(ema.network, teacher, held_out, clip, config), done.step * config.batch
        log.write(images=seen, seconds=done.seconds, validation_loss=loss)
        if run.out:
            checkpoint.save(
                run.out,
                ema.network.state_dict(),
                asdict(config.network),
                {
                    "kind": "student",
                    "clip": clip.hash,
                    "teacher": teacher.info["hash"],
                    "steps": STUDENT_STEPS,
                    "guidance": DEFAULTS.guidance,
                    "guidance_interval": DEFAULTS.guidance_interval,
                    "pag_scale": DEFAULTS.pag_scale,
                    "pag_interval": DEFAULTS.pag_interval,
                    **provenance(seen, done.seconds, device.type, prepared.hash),
                    "validation_loss": loss,
                    "recipe": {name: value for name, value in asdict(config).items() if name != "network"},
                },
            )

    run_steps(Steps(optimizers, learn, save), done, budget, log, run.stop)
    return ema.network


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.unet.student", description=__doc__.split("\n")[0])
    parser.add_argument("--prepared", type=Path, default=Path("runs/prepared"), help="what training.data.prepare wrote")
    parser.add_argument(
        "--weights",
        type=Path,
        default=Path("weights"),
        help="folder with clip.safetensors and unet.safetensors, the teacher",
    )
    parser.add_argument("--recipe", choices=STUDENTS, default="default")
    parser.add_argument(
        "--start-from", type=Path, help="an earlier student (or U-Net) to start from, where there is no state to resume"
    )
    add_run_options(parser, "runs/student", "student.safetensors")
    options = parser.parse_args(arguments)
    with exit_in_one_line("training.unet.student"), running(options) as run:
        prepared, clip = load_prepared(options.prepared), Clip.from_file(options.weights / "clip.safetensors")
        teacher = UNet.from_file(options.weights / "unet.safetensors", pick_device(run.device))
        train(prepared, clip, teacher, STUDENTS[options.recipe], run)


if __name__ == "__main__":
    main()
