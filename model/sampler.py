"""Reverse diffusion: from noise to a face, one step at a time.

Each sampler is a generator with the same signature:

    denoise(x_t, t)   the network's guess of x_0, see guidance.guided; x_t: (N, 3, H, W), t: (N,) float64 on the CPU
    noise             (N, 3, H, W), standard normal: x at the first time
    times             (steps + 1,) float64 on the CPU, falling from the start to exactly 0, see `time_grid`
    fresh_noise()     more standard normal noise (N, 3, H, W); only DDPM calls it, once per step but the last

and yields a `Step` after each of its steps. A caller may stop at any time.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from model.diffusion import add_noise, from_original, log_snr, posterior, time_of_log_snr

Denoise = Callable[[Tensor, Tensor], Tensor]
FreshNoise = Callable[[], Tensor]


class Step(NamedTuple):
    """What a sampler has after step `index` of `total`. At the last one t is 0 and `noisy` equals `denoised`."""

    # from 1
    index: int
    total: int
    # the time `noisy` is at, in [0, 1)
    t: float
    # (N, 3, H, W), x at time t
    noisy: Tensor
    # (N, 3, H, W), the predicted x_0 that led there
    denoised: Tensor


def no_noise() -> Tensor:
    """Stands in for fresh noise: all samplers but DDPM do without."""
    raise ValueError("DDPM needs fresh noise for its steps")


def last_step(steps: Iterator[Step]) -> Step:
    """Run a sampler to its end."""
    return deque(steps, maxlen=1).pop()


# --- samplers ---------------------------------------------------------------------------------------------------------

# inference_mode decorates the generators and is never held open around a yield: it is thread-local, and a web server
# may resume a generator on another thread.


@torch.inference_mode()
def ddpm(denoise: Denoise, noise: Tensor, times: Tensor, fresh_noise: FreshNoise = no_noise) -> Iterator[Step]:
    """Ancestral sampling, Ho et al. 2020, algorithm 2, with the posterior's own variance; fewer steps skip times."""
    x = noise
    for index, t, s in _intervals(times, len(noise)):
        denoised = denoise(x, t)
        mean, variance = posterior(denoised, x, t, s)
        x = mean if s[0] == 0 else mean + variance.sqrt() * fresh_noise()
        yield Step(index, len(times) - 1, s[0].item(), x, denoised)


@torch.inference_mode()
def ddim(denoise: Denoise, noise: Tensor, times: Tensor, fresh_noise: FreshNoise = no_noise) -> Iterator[Step]:
    """Deterministic sampling, Song et al. 2021, eq. 12 with eta = 0: first order."""
    x = noise
    for index, t, s in _intervals(times, len(noise)):
        denoised = denoise(x, t)
        x = move(denoised, x, t, s)
        yield Step(index, len(times) - 1, s[0].item(), x, denoised)


@torch.inference_mode()
def dpmpp(denoise: Denoise, noise: Tensor, times: Tensor, fresh_noise: FreshNoise = no_noise) -> Iterator[Step]:
    """DPM-Solver++(2M), Lu et al. 2022, algorithm 2: second order at one network call per step.

    Its first-order step is DDIM's. The second order comes from moving along x_0 extrapolated through the last two
    predictions. The first step has no earlier prediction, and the last one lands on x_0 itself, so these two are first
    order.
    """
    x, before = noise, None
    for index, t, s in _intervals(times, len(noise)):
        denoised = denoise(x, t)
        target = denoised
        if before is not None and s[0] > 0:
            t_before, denoised_before = before
            # the paper's r
            ratio = _rise(t_before, t) / _rise(t, s)
            target = denoised + (denoised - denoised_before) / (2 * ratio)
        x = move(target, x, t, s)
        before = t, denoised
        yield Step(index, len(times) - 1, s[0].item(), x, denoised)


@torch.inference_mode()
def unipc(denoise: Denoise, noise: Tensor, times: Tensor, fresh_noise: FreshNoise = no_noise) -> Iterator[Step]:
    """UniPC-2, Zhao et al. 2023, with their B_2(h) and predictions of x_0: third order at one network call per step.

    It steps as DPM-Solver++(2M) does. Once the prediction at the step's end is known (the next step needs it anyway),
    the step is taken again through all that is known by then, and the next one starts from there.
    """
    x, taken = noise, None
    for index, t, s in _intervals(times, len(noise)):
        denoised = denoise(x, t)
        target, slope, ratio = denoised, None, 0.0
        if taken is not None and s[0] > 0:
            rise = _rise(taken.t, t)
            x = move(_corrected(taken, denoised, rise), taken.x, taken.t, t)
            ratio = rise / _rise(t, s)
            slope = (denoised - taken.denoised) / ratio
            target = denoised + slope / 2
        taken = _Taken(x, t, denoised, slope, ratio)
        x = move(target, x, t, s)
        yield Step(index, len(times) - 1, s[0].item(), x, denoised)


class _Taken(NamedTuple):
    """Where a step of UniPC began, and what it went by."""

    x: Tensor
    t: Tensor
    denoised: Tensor
    # of the predictions, per step; None where there was no earlier one
    slope: Tensor | None
    # rise of lambda in the step before it, in steps
    ratio: float


def _corrected(taken: _Taken, end: Tensor, rise: float) -> Tensor:
    """The x_0 along which UniC takes a step again: the mean over the step of a parabola through three predictions.

    u runs from 0 to 1 over the step, evenly in lambda, which rises by `rise`; the step's integral weighs x_0 at u by
    e^(rise * u). The parabola passes through `start` at 0, `end` at 1 and start - ratio * slope at -ratio. The first
    step has no slope yet: there it is a line, whose mean the paper's B_2(h) takes as its middle.
    """
    start, slope = taken.denoised, taken.slope
    if slope is None:
        return (start + end) / 2
    whole = -1 / math.expm1(-rise)
    # the means of u and of its square
    mean = whole - 1 / rise
    mean_square = whole - 2 * mean / rise
    bend = (end - start - slope) / (1 + taken.ratio)
    return start + mean * (end - start) + (mean_square - mean) * bend


Sampler = Callable[[Denoise, Tensor, Tensor, FreshNoise], Iterator[Step]]
SAMPLERS: dict[str, Sampler] = {"ddpm": ddpm, "ddim": ddim, "dpmpp": dpmpp, "unipc": unipc}


def _intervals(times: Tensor, batch: int) -> Iterator[tuple[int, Tensor, Tensor]]:
    """(index from 1, from time t (batch,), to time s (batch,)) of every step."""
    for index in range(1, len(times)):
        yield index, times[index - 1].expand(batch), times[index].expand(batch)


def _rise(t: Tensor, s: Tensor) -> float:
    """By how much lambda = log-SNR / 2 rises from t to s."""
    return (log_snr(s[0]) - log_snr(t[0])).item() / 2


def move(denoised: Tensor, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """From t to s along the noise that lies between `denoised` and `x_t`; exactly `denoised` at s = 0."""
    return add_noise(denoised, from_original(denoised, x_t, t, "noise"), s)


# --- what the samplers are given --------------------------------------------------------------------------------------


# The cosine schedule's last 0.4 % is pure noise, yet covers a third of the log-SNR's fall below 0. A deterministic
# sampler would start with one huge step in lambda = log-SNR / 2, and divide a "noise" prediction by 5e-4. So it starts
# at FIRST (as DPM-Solver's authors do): alpha_bar is 4e-5 there, and noise alone is still the right x. At LAST the
# noise's standard deviation is two grey levels. No time falls there: the last step goes from the time before to 0.
FIRST, LAST = -5.1, 4.0


def time_grid(steps: int, sampler: str, start: float = 1.0) -> Tensor:
    """The times a sampler visits, down to 0: (steps + 1,) float64, fewer if it starts late.

    "ddpm" visits evenly spaced times, at 100 steps every i / 100. The others visit times evenly spaced in the log-SNR:
    with the bundled weights, 8 steps of UniPC then end at a mean squared distance of 0.001 from the exact solution
    (pixels in [-1, 1]). Evenly spaced times end at 0.07, visibly grey, and Karras et al.'s spacing (rho = 7) at 0.004.

    :param steps:       of a whole run; at least 1.
    :param start:       in (0, 1]: the time to start at, from a picture noised that far. As many steps are taken as a
                        whole run has below it, in the same spacing.
    :raises ValueError: unknown sampler, fewer than one step, or a start outside (0, 1].
    """
    if sampler not in SAMPLERS:
        raise ValueError(f'unknown sampler "{sampler}": use one of {", ".join(SAMPLERS)}')
    if steps < 1:
        raise ValueError(f"steps is {steps}: use at least 1")
    if not 0 < start <= 1:
        raise ValueError(f"start is {start}: use a time above 0, up to 1")
    first = 1.0 if sampler == "ddpm" else time_of_log_snr(2 * FIRST).item()
    times = _spaced(first, steps, sampler)
    return times if start >= first else _spaced(start, int((times < start).sum()), sampler)


def _spaced(start: float, steps: int, sampler: str) -> Tensor:
    """`steps` steps from `start` to 0, evenly spaced in the sampler's own measure."""
    if sampler == "ddpm":
        return torch.linspace(start, 0, steps + 1, dtype=torch.float64)
    rising = torch.linspace(log_snr(start).item() / 2, LAST, steps + 1, dtype=torch.float64)
    return torch.cat([time_of_log_snr(2 * rising[:-1]), rising.new_zeros(1)])


def noise_of(seeds: Sequence[int], shape: Sequence[int], device: torch.device | str) -> FreshNoise:
    """The noise that faces of these seeds begin from, (N, *shape) like `face_noise`, and more of it at every call."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return lambda: face_noise(generators, shape, device).contiguous(memory_format=torch.channels_last)


def face_noise(generators: Sequence[torch.Generator], shape: Sequence[int], device: torch.device | str) -> Tensor:
    """Standard normal noise (N, *shape), one CPU generator per face, so that a face does not depend on its batch."""
    return torch.stack([torch.randn(tuple(shape), generator=generator) for generator in generators]).to(device)
