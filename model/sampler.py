"""Reverse diffusion: from noise to a face, one step at a time.

Each sampler is a generator with the same signature:

    denoise(x_t, t)   the network's guess of x_0, see `guided`; x_t: (N, 3, H, W), t: (N,) float64 on the CPU
    noise             (N, 3, H, W), standard normal: x at the first time
    times             (steps + 1,) float64 on the CPU, falling from the start to exactly 0, see `time_grid`
    draw()            fresh standard normal noise (N, 3, H, W); only DDPM calls it, once per step but the last

and yields a `Step` after each of its steps. A caller may stop at any time.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from model.diffusion import TIMESTEPS, add_noise, from_original, log_snr, posterior, time_of_log_snr, to_original

Denoise = Callable[[Tensor, Tensor], Tensor]
Draw = Callable[[], Tensor]


class Step(NamedTuple):
    """What a sampler has after step `index` of `total`. At the last one t is 0 and `noisy` equals `denoised`."""

    index: int  # from 1
    total: int
    t: float  # the time `noisy` is at, in [0, 1)
    noisy: Tensor  # (N, 3, H, W), x at time t
    denoised: Tensor  # (N, 3, H, W), the predicted x_0 that led there


# --- samplers ---------------------------------------------------------------------------------------------------------

# inference_mode decorates the generators and is never held open around a yield: it is thread-local, and a web server may
# resume a generator on another thread.


@torch.inference_mode()
def ddpm(denoise: Denoise, noise: Tensor, times: Tensor, draw: Draw) -> Iterator[Step]:
    """Ancestral sampling, Ho et al. 2020, algorithm 2, with the posterior's own variance; fewer steps skip times."""
    x = noise
    for index, t, s in _intervals(times, len(noise)):
        denoised = denoise(x, t)
        mean, variance = posterior(denoised, x, t, s)
        x = mean if s[0] == 0 else mean + variance.sqrt() * draw()
        yield Step(index, len(times) - 1, s[0].item(), x, denoised)


@torch.inference_mode()
def ddim(denoise: Denoise, noise: Tensor, times: Tensor, draw: Draw) -> Iterator[Step]:
    """Deterministic sampling, Song et al. 2021, eq. 12 with eta = 0: first order."""
    x = noise
    for index, t, s in _intervals(times, len(noise)):
        denoised = denoise(x, t)
        x = _move(denoised, x, t, s)
        yield Step(index, len(times) - 1, s[0].item(), x, denoised)


@torch.inference_mode()
def dpmpp(denoise: Denoise, noise: Tensor, times: Tensor, draw: Draw) -> Iterator[Step]:
    """DPM-Solver++(2M), Lu et al. 2022, algorithm 2: second order at one network call per step.

    Its first-order step is DDIM's. The second order comes from moving along x_0 extrapolated through the last two predictions.
    The first step has no earlier prediction, and the last one lands on x_0 itself, so these two are first order.
    """
    x = noise
    for index, t, s in _intervals(times, len(noise)):
        denoised = denoise(x, t)
        target = denoised
        if index > 1 and s[0] > 0:
            ratio = (log_snr(t[0]) - log_snr(t_before)) / (log_snr(s[0]) - log_snr(t[0]))  # the paper's r
            target = denoised + (denoised - denoised_before) / (2 * ratio.item())
        x = _move(target, x, t, s)
        t_before, denoised_before = t[0], denoised
        yield Step(index, len(times) - 1, s[0].item(), x, denoised)


SAMPLERS = {"ddpm": ddpm, "ddim": ddim, "dpmpp": dpmpp}


def _intervals(times: Tensor, batch: int) -> Iterator[tuple[int, Tensor, Tensor]]:
    """(index from 1, from time t (batch,), to time s (batch,)) of every step."""
    for index in range(1, len(times)):
        yield index, times[index - 1].expand(batch), times[index].expand(batch)


def _move(denoised: Tensor, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """From t to s along the noise that lies between `denoised` and `x_t`; exactly `denoised` at s = 0."""
    return add_noise(denoised, from_original(denoised, x_t, t, "noise"), s)


# --- what the samplers are given --------------------------------------------------------------------------------------


def time_grid(steps: int, sampler: str) -> Tensor:
    """The times a sampler visits: (steps + 1,) float64, evenly spaced, down to 0. At 100 steps "ddpm" visits every i / 100.

    :raises ValueError: unknown sampler, or fewer than one step.
    """
    if sampler not in SAMPLERS:
        raise ValueError(f'unknown sampler "{sampler}": use one of {", ".join(SAMPLERS)}')
    if steps < 1:
        raise ValueError(f"steps is {steps}: use at least 1")
    # The cosine schedule's last 0.4 % is pure noise, yet covers a third of the log-SNR's fall below 0. A deterministic sampler
    # would start with one huge step in lambda = log-SNR / 2, and divide a "noise" prediction by 5e-4. So it starts at
    # lambda = -5.1 (as DPM-Solver's authors do): alpha_bar is 4e-5 there, and noise alone is still the right x.
    start = 1.0 if sampler == "ddpm" else time_of_log_snr(2 * -5.1).item()
    return torch.linspace(start, 0, steps + 1, dtype=torch.float64)


def guided(
    network: Callable[[Tensor, Tensor, Tensor], Tensor],
    condition: Tensor,
    unconditional: Tensor,
    guidance: float,
    target: str,
    steps: int = TIMESTEPS,
) -> Denoise:
    """A network as a `denoise` with classifier-free guidance, Ho & Salimans 2022, eq. 6 (their w is guidance - 1).

    :param network:       (x_t (N, 3, H, W), t (N,) like x_t, embedding (N, D)) -> prediction (N, 3, H, W).
    :param condition:     (N, D), what to draw.
    :param unconditional: (N, D) or (1, D), the empty text or what to avoid.
    :param guidance:      0 ignores the condition, 1 follows it, above 1 exaggerates it. 0 and 1 run the network on N images,
                          all else on one batch of 2N.
    :param target:        what the network predicts, one of diffusion.TARGETS.
    :param steps:         the discretisation it was trained with, which only the target "previous" depends on.
    :return:              denoise(x_t, t) -> predicted x_0 (N, 3, H, W), clipped to [-1, 1].
    """
    unconditional = unconditional.expand_as(condition)

    def predict(x_t: Tensor, t: Tensor) -> Tensor:
        if guidance == 1:
            return network(x_t, t, condition)
        if guidance == 0:
            return network(x_t, t, unconditional)
        both = network(torch.cat([x_t, x_t]), torch.cat([t, t]), torch.cat([condition, unconditional]))
        with_condition, without = both.chunk(2)
        return without + guidance * (with_condition - without)

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        return to_original(predict(x_t, t.to(x_t)), x_t, t, target, steps).clamp(-1, 1)

    return denoise


def face_noise(generators: Sequence[torch.Generator], shape: Sequence[int], device: torch.device | str) -> Tensor:
    """Standard normal noise (N, *shape), one CPU generator per face, so that a face does not depend on its batch."""
    return torch.stack([torch.randn(tuple(shape), generator=generator) for generator in generators]).to(device)
