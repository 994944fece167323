"""The diffusion process: cosine schedule, forward noising, and what a network may be asked to predict.

Pure functions on tensors. Time t is a float in [0, 1], one per image: 0 is the clean image, 1 is noise. Cut into
`steps` steps, the times are t_i = i / steps. Images are (N, 3, H, W) in [-1, 1]; noise is standard normal.

Everything about t alone is computed in float64, where t lives (t may stay on the CPU while the images are on another
device).
"""

import math

import torch
from torch import Tensor

# the discretisation that the lecture used: the default of DDPM and of the target "previous"
TIMESTEPS = 100
# what the network predicts
TARGETS = ("original", "previous", "noise", "velocity")

# `s` of Nichol & Dhariwal: keeps the first step from adding too little noise
_OFFSET = 0.008
_COS_START = math.cos(_OFFSET / (1 + _OFFSET) * math.pi / 2)
# The cosine reaches 0 at t = 1. The paper caps beta at 0.999, which at 100 steps leaves alpha_bar(0.99) / 1000: a
# log-SNR of -15.
_FLOOR = (math.cos((0.99 + _OFFSET) / (1 + _OFFSET) * math.pi / 2) / _COS_START) ** 2 * 1e-3


# --- schedule ---------------------------------------------------------------------------------------------------------


def alpha_bar(t: Tensor | float) -> Tensor:
    """Share of the clean image in the variance of x_t: from 1 at t = 0 down to 2.4e-7 at t = 1, float64, shaped like t.

    The cosine schedule of Nichol & Dhariwal 2021, eq. 17.
    """
    t = torch.as_tensor(t, dtype=torch.float64)
    cosine = torch.cos((t + _OFFSET) / (1 + _OFFSET) * math.pi / 2) / _COS_START
    # exactly 1 at t = 0, on every device
    return torch.where(t <= 0, 1.0, cosine.square().clamp(min=_FLOOR, max=1))


def log_snr(t: Tensor | float) -> Tensor:
    """log(alpha_bar / (1 - alpha_bar)), float64. Finite: +15.2 below t = 7e-6, and -15.2 above t = 0.9997."""
    return torch.logit(alpha_bar(t).clamp(_FLOOR, 1 - _FLOOR))


def time_of_log_snr(value: Tensor | float) -> Tensor:
    """The t in [0, 1] with this log-SNR, float64: the inverse of `log_snr` wherever that isn't clamped."""
    cosine = torch.as_tensor(value, dtype=torch.float64).sigmoid().sqrt() * _COS_START
    return (torch.acos(cosine) * 2 / math.pi * (1 + _OFFSET) - _OFFSET).clamp(0, 1)


# --- forward process --------------------------------------------------------------------------------------------------


def add_noise(original: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """Draw x_t from q(x_t | x_0), Ho et al. 2020, eq. 4.

    :param original: (N, 3, H, W), in [-1, 1].
    :param noise:    (N, 3, H, W), standard normal.
    :param t:        (N,), in [0, 1].
    :return:         x_t, shape and dtype of `original`.
    """
    signal, sigma = _signal_and_sigma(t, original)
    return signal * original + sigma * noise


def timestep_band(t: Tensor, height: int, width: int) -> Tensor:
    """The timestep as one more band of the image: (N,) times -> (N, 1, height, width), constant, 2t - 1, dtype of t."""
    return (2 * t - 1).view(-1, 1, 1, 1).expand(-1, 1, height, width)


def posterior(original: Tensor, x_t: Tensor, t: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of q(x_s | x_t, x_0) for times s < t, Ho et al. 2020, eq. 7 (there s is one step before t).

    :param original: (N, 3, H, W), x_0 or a prediction of it.
    :param x_t:      (N, 3, H, W).
    :param t, s:     (N,), 0 <= s < t <= 1. At s = 0 the mean is `original` itself and the variance 0.
    :return:         mean (N, 3, H, W) and variance (N, 1, 1, 1), dtype of `x_t`.
    """
    of_original, of_x_t, variance = (_per_image(value, x_t) for value in _posterior_terms(t, s))
    return of_original * original + of_x_t * x_t, variance


# --- prediction targets -----------------------------------------------------------------------------------------------


def training_pair(
    original: Tensor,
    t: Tensor,
    noise: Tensor,
    target: str,
    previous_noise: Tensor | None = None,
    steps: int = TIMESTEPS,
) -> tuple[Tensor, Tensor]:
    """A noisy image and what the network should say about it.

    :param original:       (N, 3, H, W), in [-1, 1].
    :param t:              (N,), in (0, 1]; for "previous" on the grid i / steps with i >= 1.
    :param noise:          (N, 3, H, W), standard normal.
    :param target:         one of TARGETS.
    :param previous_noise: (N, 3, H, W), only for "previous": it makes x_{t-1}, from which `noise` makes x_t.
    :param steps:          number of steps, only for "previous".
    :return:               x_t and the wanted prediction, both shape and dtype of `original`.
    :raises ValueError:    unknown target; for "previous", a time off the grid or no `previous_noise`.
    """
    _check(target)
    if target == "previous":
        if previous_noise is None:
            raise ValueError('target "previous" needs previous_noise, the noise of the image one step less noisy')
        index = (t.double() * steps).round()
        if (index < 1).any() or ((t.double() * steps - index).abs() > 1e-3).any():
            raise ValueError(f'target "previous" needs times on the grid i / {steps} with i from 1 to {steps}')
        t, s = index / steps, (index - 1) / steps
        previous = add_noise(original, previous_noise, s)
        # the chain's alpha_t = 1 - beta_t, Ho et al. 2020, eq. 2
        kept = alpha_bar(t) / alpha_bar(s)
        return _per_image(kept.sqrt(), original) * previous + _per_image((1 - kept).sqrt(), original) * noise, previous

    x_t = add_noise(original, noise, t)
    if target == "original":
        return x_t, original
    if target == "noise":
        return x_t, noise
    signal, sigma = _signal_and_sigma(t, original)
    # velocity, Salimans & Ho 2022, section 4
    return x_t, signal * noise - sigma * original


def to_original(prediction: Tensor, x_t: Tensor, t: Tensor, target: str, steps: int = TIMESTEPS) -> Tensor:
    """The x_0 that a prediction stands for, not clipped. `from_original` is the inverse.

    "noise" and "previous" divide by numbers down to 5e-4 at the noisy end, hence in float64.

    :param prediction: (N, 3, H, W), the network's output; for "previous" the mean of x_{t - 1/steps}, at any t.
    :param x_t:        (N, 3, H, W).
    :param t:          (N,), in (0, 1].
    :param target:     one of TARGETS; ValueError otherwise.
    :return:           (N, 3, H, W), dtype of `x_t`.
    """
    _check(target)
    if target == "original":
        return prediction.to(x_t.dtype)
    if target == "velocity":
        signal, sigma = _signal_and_sigma(t, x_t)
        return signal * x_t - sigma * prediction.to(x_t.dtype)

    wide, prediction = x_t.double(), prediction.double()
    if target == "noise":
        signal, sigma = _signal_and_sigma(t, wide)
        return ((wide - sigma * prediction) / signal).to(x_t.dtype)
    # previous: the posterior's mean is linear in x_0
    of_original, of_x_t, _ = (_per_image(value, wide) for value in _posterior_terms(t, _one_step_before(t, steps)))
    return ((prediction - of_x_t * wide) / of_original).to(x_t.dtype)


def from_original(original: Tensor, x_t: Tensor, t: Tensor, target: str, steps: int = TIMESTEPS) -> Tensor:
    """The prediction that stands for this x_0 at x_t: the inverse of `to_original`, same shapes, same errors, t > 0."""
    _check(target)
    if target == "original":
        return original
    if target == "previous":
        return posterior(original, x_t, t, _one_step_before(t, steps))[0]
    signal, sigma = _signal_and_sigma(t, x_t)
    if target == "noise":
        return (x_t - signal * original) / sigma
    return (signal * x_t - original) / sigma


# --- helpers ----------------------------------------------------------------------------------------------------------


def _check(target: str) -> None:
    if target not in TARGETS:
        raise ValueError(f'unknown prediction target "{target}": use one of {", ".join(TARGETS)}')


def _per_image(value: Tensor, images: Tensor) -> Tensor:
    """(N,) float64 -> (N, 1, 1, 1) in the dtype and on the device of the images."""
    return value.to(images.dtype).to(images.device).view(-1, 1, 1, 1)


def _signal_and_sigma(t: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """sqrt(alpha_bar) and sqrt(1 - alpha_bar), each (N, 1, 1, 1)."""
    share = alpha_bar(t)
    return _per_image(share.sqrt(), images), _per_image((1 - share).sqrt(), images)


def _one_step_before(t: Tensor, steps: int) -> Tensor:
    return (t.double() - 1 / steps).clamp(min=0)


def _posterior_terms(t: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weight of x_0 and of x_t in the posterior's mean, and its variance (beta tilde), each (N,) float64."""
    share_t, share_s = alpha_bar(t), alpha_bar(s)
    kept = share_t / share_s
    of_original = share_s.sqrt() * (1 - kept) / (1 - share_t)
    of_x_t = kept.sqrt() * (1 - share_s) / (1 - share_t)
    return of_original, of_x_t, (1 - kept) * (1 - share_s) / (1 - share_t)
