"""The diffusion process against diffusers' scheduler, its own statistics and its own inverses."""

import pytest
import torch
from diffusers import DDPMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from model import diffusion
from model.diffusion import TARGETS, TIMESTEPS, alpha_bar, from_original, to_original, training_pair

GRID = torch.arange(1, TIMESTEPS + 1, dtype=torch.float64) / TIMESTEPS


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def scheduler(**options):
    return DDPMScheduler(
        TIMESTEPS, beta_schedule="squaredcos_cap_v2", prediction_type="sample", clip_sample=False, **options
    )


# --- schedule ---------------------------------------------------------------------------------------------------------


def test_schedule_is_diffusers_capped_cosine():
    theirs = scheduler().alphas_cumprod.double()
    torch.testing.assert_close(alpha_bar(GRID), theirs, rtol=0, atol=1e-6)
    # also where it is as small as 2e-7
    torch.testing.assert_close(alpha_bar(GRID), theirs, rtol=1e-4, atol=0)


def test_schedule_ends():
    assert alpha_bar(0.0) == 1 and alpha_bar(torch.zeros(9)).eq(1).all()
    assert alpha_bar(torch.tensor([0.5], dtype=torch.float32)).dtype == torch.float64
    torch.testing.assert_close(alpha_bar(1.0), alpha_bar(0.99) * 1e-3)


# a busy machine is no failure
@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0, 1))
def test_schedule_falls(a, b):
    low, high = sorted((a, b))
    assert 1 >= alpha_bar(low) >= alpha_bar(high) > 0


@settings(deadline=None)
@given(st.floats(1e-5, 0.9996))
def test_log_snr_and_its_inverse(t):
    share = alpha_bar(t)
    torch.testing.assert_close(diffusion.log_snr(t), torch.log(share / (1 - share)))
    assert diffusion.time_of_log_snr(diffusion.log_snr(t)).item() == pytest.approx(t, abs=1e-9)


def test_log_snr_is_finite_at_both_ends():
    assert diffusion.log_snr(0.0).item() == pytest.approx(15.23, abs=0.01)
    assert diffusion.log_snr(1.0).item() == pytest.approx(-15.23, abs=0.01)


# --- forward process --------------------------------------------------------------------------------------------------


def test_add_noise_is_diffusers():
    original, noise = normal(TIMESTEPS, 3, 4, 4), normal(TIMESTEPS, 3, 4, 4, seed=1)
    theirs = scheduler().add_noise(original, noise, torch.arange(TIMESTEPS))
    torch.testing.assert_close(diffusion.add_noise(original, noise, GRID), theirs, rtol=0, atol=1e-5)


def test_timestep_band():
    band = diffusion.timestep_band(torch.tensor([0.0, 0.25, 1.0]), 5, 7)
    assert band.shape == (3, 1, 5, 7) and band.dtype == torch.float32
    assert band.flatten(1).unique(dim=1).tolist() == [[-1.0], [-0.5], [1.0]]


def test_posterior_is_diffusers_step():
    ours = scheduler(variance_type="fixed_small")
    original, x_t = normal(1, 3, 4, 4), normal(1, 3, 4, 4, seed=1)
    for index in range(TIMESTEPS):
        t, s = torch.tensor([(index + 1) / TIMESTEPS]), torch.tensor([index / TIMESTEPS])
        mean, variance = diffusion.posterior(original, x_t, t, s)
        noise = normal(1, 3, 4, 4, seed=index)
        stepped = ours.step(original, index, x_t, generator=torch.Generator().manual_seed(index)).prev_sample
        torch.testing.assert_close(mean + variance.sqrt() * noise * (index > 0), stepped, rtol=0, atol=1e-4)
        assert variance.item() == pytest.approx(ours._get_variance(index).item() if index else 0, rel=1e-3)


@settings(deadline=None)
@given(st.floats(0.01, 0.999), st.floats(0.05, 0.99))
def test_posterior_is_bayes(t, fraction):
    """q(x_s | x_t, x_0) is the product of two Gaussians: q(x_s | x_0) and q(x_t | x_s) as a function of x_s."""
    t = torch.tensor([t], dtype=torch.float64)
    s = t * fraction
    original, x_t = normal(1, 3, 2, 2), normal(1, 3, 2, 2, seed=1)
    kept = alpha_bar(t) / alpha_bar(s)
    prior_precision, chain_precision = 1 / (1 - alpha_bar(s)), kept / (1 - kept)
    variance = 1 / (prior_precision + chain_precision)
    mean = variance * (prior_precision * alpha_bar(s).sqrt() * original + chain_precision * x_t / kept.sqrt())
    got_mean, got_variance = diffusion.posterior(original, x_t, t, s)
    torch.testing.assert_close(got_mean, mean, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(got_variance.flatten(), variance, rtol=1e-6, atol=1e-12)


# --- prediction targets -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
def test_conversions_invert_each_other_over_the_grid(target):
    original, noise = normal(TIMESTEPS, 3, 4, 4).clamp(-1, 1), normal(TIMESTEPS, 3, 4, 4, seed=1)
    x_t = diffusion.add_noise(original, noise, GRID)
    prediction = from_original(original, x_t, GRID, target)
    torch.testing.assert_close(to_original(prediction, x_t, GRID, target), original, rtol=0, atol=1e-9)


@pytest.mark.parametrize("target", ["original", "noise", "velocity"])
@settings(deadline=None)
@given(t=st.floats(1e-3, 1))
def test_a_perfect_network_gives_the_original(target, t):
    original, noise, t = (
        normal(1, 3, 4, 4).clamp(-1, 1),
        normal(1, 3, 4, 4, seed=1),
        torch.tensor([t], dtype=torch.float64),
    )
    x_t, wanted = training_pair(original, t, noise, target)
    torch.testing.assert_close(x_t, diffusion.add_noise(original, noise, t))
    torch.testing.assert_close(to_original(wanted, x_t, t, target), original, rtol=0, atol=1e-9)
    torch.testing.assert_close(from_original(original, x_t, t, target), wanted, rtol=0, atol=1e-9)


def test_velocity_is_the_derivative_along_the_angle():
    """Salimans & Ho 2022: with alpha = cos(angle), sigma = sin(angle), v = dx / d angle."""
    original, noise, t = normal(1, 3, 4, 4), normal(1, 3, 4, 4, seed=1), torch.tensor([0.4], dtype=torch.float64)
    angle = torch.acos(alpha_bar(t).sqrt())
    ahead, behind = (torch.cos(angle + d) * original + torch.sin(angle + d) * noise for d in (1e-5, -1e-5))
    torch.testing.assert_close(
        training_pair(original, t, noise, "velocity")[1], (ahead - behind) / 2e-5, rtol=0, atol=1e-8
    )


@pytest.mark.parametrize("index", [1, 2, 30, 99, 100])
def test_previous_follows_the_chain(index):
    """The pair has the marginals of both times, and x_{t-1} given x_t lies around the posterior's mean."""
    pixel, count = 0.7, 40_000
    original = torch.full((count, 1, 1, 1), pixel, dtype=torch.float64)
    t = torch.full((count,), index / TIMESTEPS, dtype=torch.float64)
    x_t, previous = training_pair(original, t, normal(count, 1, 1, 1), "previous", normal(count, 1, 1, 1, seed=1))
    for x, time in ((x_t, index), (previous, index - 1)):
        share = alpha_bar(time / TIMESTEPS).item()
        assert x.mean().item() == pytest.approx(share**0.5 * pixel, abs=0.02)
        assert x.std().item() == pytest.approx((1 - share) ** 0.5, rel=0.02)
    mean, variance = diffusion.posterior(original, x_t, t, t - 1 / TIMESTEPS)
    rest = previous - mean
    assert rest.std().item() == pytest.approx(variance[0].sqrt().item(), rel=0.02, abs=1e-6)
    # nothing of x_t is left in it
    assert abs((rest * x_t).mean().item()) < 0.02 * rest.std().item() + 1e-9


@pytest.mark.parametrize("target", TARGETS)
def test_pairs_and_conversions_keep_dtype_and_work_in_float32(target):
    original, t = normal(TIMESTEPS, 3, 4, 4, dtype=torch.float32).clamp(-1, 1), GRID.float()
    pair = training_pair(original, t, torch.randn_like(original), target, torch.randn_like(original))
    back = to_original(pair[1].bfloat16(), pair[0], t, target)
    assert {pair[0].dtype, pair[1].dtype, back.dtype} == {torch.float32}
    restored = to_original(from_original(original, pair[0], t, target), pair[0], t, target)
    torch.testing.assert_close(restored, original, rtol=0, atol=2e-3)


def test_misuse_is_explained():
    image, t = normal(1, 3, 4, 4), torch.tensor([0.5])
    for call in (lambda: training_pair(image, t, image, "x0"), lambda: to_original(image, image, t, "x0")):
        with pytest.raises(ValueError, match='unknown prediction target "x0": use one of original, previous'):
            call()
    with pytest.raises(ValueError, match="previous_noise"):
        training_pair(image, t, image, "previous")
    for off_grid in (0.0, 0.505):
        with pytest.raises(ValueError, match="grid"):
            training_pair(image, torch.tensor([off_grid]), image, "previous", image)
