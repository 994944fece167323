"""Reverse diffusion against diffusers' schedulers and against Gaussian data, whose solution is known in closed form."""

import math
import threading

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler

from model.diffusion import TARGETS, alpha_bar, from_original, log_snr, time_of_log_snr
from model.guidance import Guidance, Predictor, guided
from model.sampler import SAMPLERS, face_noise, last_step, time_grid

SHAPE = (2, 3, 8, 8)


def normal(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def drawing(*shape, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(shape, generator=generator, dtype=dtype)


def bent(x, t):
    """A fixed nonlinear denoiser."""
    return torch.tanh(1.5 * x.roll(1, -1) + 0.5 * x.square().mean() - t.to(x).view(-1, 1, 1, 1))


def run(sampler, denoise, noise, times, draw=None):
    return list(SAMPLERS[sampler](denoise, noise, times, draw or drawing(*noise.shape, dtype=noise.dtype)))


# --- against diffusers ------------------------------------------------------------------------------------------------

COMMON = {
    "num_train_timesteps": 100,
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "sample",
    "timestep_spacing": "trailing",
}
THEIRS = {
    "ddpm": lambda: DDPMScheduler(**COMMON, variance_type="fixed_small", clip_sample=False),
    "ddim": lambda: DDIMScheduler(**COMMON, clip_sample=False),
    "dpmpp": lambda: DPMSolverMultistepScheduler(
        **COMMON, algorithm_type="dpmsolver++", solver_order=2, solver_type="midpoint", final_sigmas_type="zero"
    ),
    "unipc": lambda: UniPCMultistepScheduler(
        **COMMON, solver_order=2, solver_type="bh2", predict_x0=True, final_sigmas_type="zero"
    ),
}


@pytest.mark.parametrize("steps", [10, 20, 100])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_step_is_diffusers(sampler, steps):
    theirs, generator = THEIRS[sampler](), torch.Generator().manual_seed(3)
    theirs.set_timesteps(steps)
    extra = {"generator": generator} if sampler == "ddpm" else {}
    noise = x = normal(*SHAPE)
    ours = run(sampler, bent, noise, time_grid(steps, "ddpm"), drawing(*SHAPE, seed=3))
    for index, step in zip(theirs.timesteps.tolist(), ours, strict=True):
        x = theirs.step(bent(x, torch.full((2,), (index + 1) / 100)), index, x, **extra).prev_sample
        torch.testing.assert_close(step.noisy, x, rtol=0, atol=1e-4)


# --- Gaussian data, where the ideal denoiser is known -----------------------------------------------------------------

MEAN, STD = 0.3, 0.5


def ideal(x, t):
    """E[x_0 | x_t] for pixels from N(MEAN, STD^2)."""
    share = alpha_bar(t).to(x).view(-1, 1, 1, 1)
    gain = STD**2 * share.sqrt() / (STD**2 * share + 1 - share)
    return MEAN + gain * (x - share.sqrt() * MEAN)


def exact(x, t, s=0.0):
    """Where the probability flow ODE takes x from t to s: it keeps a pixel's distance from the mean in standard
    deviations."""
    shares = alpha_bar(t), alpha_bar(s)
    (mean, std), (mean_s, std_s) = ((share.sqrt() * MEAN, (STD**2 * share + 1 - share).sqrt()) for share in shares)
    return mean_s + std_s * (x - mean) / std


def error(sampler, steps):
    noise, times = normal(*SHAPE, dtype=torch.float64), time_grid(steps, sampler)
    return (run(sampler, ideal, noise, times)[-1].noisy - exact(noise, times[0])).abs().max().item()


@pytest.mark.parametrize("sampler, order", [("ddim", 1), ("dpmpp", 2), ("unipc", 3)])
def test_order_of_convergence(sampler, order):
    # before the last step, which is first order in all of them
    def error(steps):
        times = time_of_log_snr(torch.linspace(-6, 4, steps + 1, dtype=torch.float64))
        times = torch.cat([times, times.new_zeros(1)])
        noise = normal(*SHAPE, dtype=torch.float64)
        return (run(sampler, ideal, noise, times)[-2].noisy - exact(noise, times[0], times[-2])).abs().max().item()

    assert math.log(error(40) / error(160), 4) == pytest.approx(order, abs=0.1)


def test_accuracy():
    assert error("ddim", 200) < 0.02
    assert error("dpmpp", 25) < 0.02
    assert error("unipc", 25) < 0.005
    assert error("unipc", 6) < error("dpmpp", 6) < error("ddim", 6) / 3


@pytest.mark.parametrize("sampler, steps", [("ddpm", 400), ("ddim", 200), ("dpmpp", 25), ("unipc", 25)])
def test_faces_have_the_mean_and_the_spread_of_the_data(sampler, steps):
    # DDPM needs the steps: the posterior's variance is too small for data with any spread, by 3.5 % of STD at 100
    # steps.
    faces = run(sampler, ideal, normal(4, 3, 64, 64), time_grid(steps, sampler))[-1].noisy
    assert faces.mean().item() == pytest.approx(MEAN, abs=0.01)
    assert faces.std().item() == pytest.approx(STD, rel=0.02)


def test_ddpm_is_random_and_the_others_are_not():
    noise = normal(*SHAPE)
    for sampler in SAMPLERS:
        one, other = (
            run(sampler, bent, noise, time_grid(10, sampler), drawing(*SHAPE, seed=s))[-1].noisy for s in (1, 2)
        )
        assert one.equal(other) == (sampler != "ddpm")


# --- steps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_steps(sampler, steps):
    times, noise = time_grid(steps, sampler), normal(*SHAPE)
    before = noise.clone()
    taken = run(sampler, bent, noise, times)
    assert [(step.index, step.total) for step in taken] == [(i, steps) for i in range(1, steps + 1)]
    assert [step.t for step in taken] == times[1:].tolist()
    assert taken[-1].t == 0 and taken[-1].noisy.equal(taken[-1].denoised)
    assert all(step.noisy.shape == SHAPE and step.noisy.dtype == torch.float32 for step in taken)
    assert taken[0].denoised.equal(bent(noise, times[:1].expand(2)))
    assert noise.equal(before)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_times_stay_on_the_cpu_and_images_where_they_are(sampler):
    # which stands for any accelerator: mixing devices raises
    noise = torch.empty(SHAPE, device="meta")
    predictor = Predictor(lambda x, t, _: x * t.view(-1, 1, 1, 1), "velocity")
    denoise = guided(predictor, CONDITION.to("meta"), EMPTY.to("meta"), Guidance(2))
    assert run(sampler, denoise, noise, time_grid(3, sampler), lambda: noise)[-1].noisy.device.type == "meta"


@pytest.mark.parametrize("sampler", SAMPLERS.values())
def test_no_gradient_mode_leaks_and_any_thread_may_resume(sampler):
    weight, seen = torch.ones((), requires_grad=True), []
    stepping = sampler(lambda x, t: bent(x, t) * weight, normal(*SHAPE), time_grid(3, "ddim"), drawing(*SHAPE))
    for _ in range(3):
        thread = threading.Thread(target=lambda: seen.append((next(stepping), torch.is_inference_mode_enabled())))
        thread.start()
        thread.join()
    assert [step.noisy.requires_grad or leaked for step, leaked in seen] == [False] * 3
    stepping.close()
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def test_time_grid():
    assert time_grid(100, "ddpm").tolist() == pytest.approx([i / 100 for i in range(100, -1, -1)], abs=1e-15)
    for sampler in ("ddim", "dpmpp", "unipc"):
        times = time_grid(25, sampler)
        assert times.shape == (26,) and times.dtype == torch.float64 and times[-1] == 0
        rising = log_snr(times[:-1]) / 2
        assert rising[0].item() == pytest.approx(-5.1)
        assert rising.diff().tolist() == pytest.approx([9.1 / 25] * 24)
        assert time_grid(1, sampler).tolist() == [times[0].item(), 0]
    with pytest.raises(ValueError, match='unknown sampler "euler": use one of ddpm, ddim, dpmpp'):
        time_grid(10, "euler")
    with pytest.raises(ValueError, match="steps is 0"):
        time_grid(0, "ddpm")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_late_start_takes_the_steps_below_it(sampler):
    whole = time_grid(20, sampler)
    for start in (0.001, 0.1, 0.55, 0.9):
        times = time_grid(20, sampler, start)
        assert times[0] == pytest.approx(start) and times[-1] == 0 and (times.diff() < 0).all()
        assert len(times) == 1 + (whole < start).sum()
    assert time_grid(20, sampler, 1.0).equal(whole)
    # a start on the grid leaves the rest of it
    on_grid = whole[7].item()
    assert time_grid(20, sampler, on_grid).tolist() == pytest.approx(whole[7:].tolist(), abs=1e-9)
    for start in (0, -0.5, 1.5, math.nan):
        with pytest.raises(ValueError, match="start is"):
            time_grid(20, sampler, start)


def test_the_last_step_is_the_end_of_a_run():
    noise, times = normal(*SHAPE), time_grid(4, "ddim")
    last = last_step(SAMPLERS["ddim"](bent, noise, times))
    assert last.index == last.total == 4 and last.noisy.equal(run("ddim", bent, noise, times)[-1].noisy)
    with pytest.raises(ValueError, match="fresh noise"):
        last_step(SAMPLERS["ddpm"](bent, noise, times))


# --- guidance ---------------------------------------------------------------------------------------------------------


class Network:
    """Predicts a picture that is linear in the embedding, and counts its calls."""

    def __init__(self):
        self.batches = []

    def __call__(self, x_t, t, embedding):
        assert x_t.dtype == t.dtype == embedding.dtype and len(x_t) == len(t) == len(embedding)
        self.batches.append(len(x_t))
        return 0.01 * x_t + embedding.view(-1, 3, 1, 1) + 0.1 * t.view(-1, 1, 1, 1)


T = torch.tensor([0.5, 0.8], dtype=torch.float64)
CONDITION, EMPTY = torch.tensor([[0.1, 0.2, 0.3], [-0.3, 0.1, 0.0]]), torch.tensor([[0.05, -0.1, 0.0]])


@pytest.mark.parametrize("guidance, batches", [(0, [2]), (1, [2]), (2, [4]), (0.5, [4]), (-1, [4])])
def test_guidance_is_linear_and_one_batch(guidance, batches):
    x_t, network = normal(*SHAPE), Network()
    guess = guided(Predictor(network, "original"), CONDITION, EMPTY, Guidance(guidance))(x_t, T)
    assert network.batches == batches
    wanted = Network()(x_t, T.float(), EMPTY + guidance * (CONDITION - EMPTY))
    torch.testing.assert_close(guess, wanted)


def test_guidance_acts_in_its_interval_alone():
    x_t = normal(*SHAPE)
    for t, acts in ((0.2, False), (0.3, True), (0.5, True), (0.9, True), (0.95, False)):
        network, times = Network(), torch.full((2,), t, dtype=torch.float64)
        guess = guided(Predictor(network, "original"), CONDITION, EMPTY, Guidance(3, (0.3, 0.9)))(x_t, times)
        assert network.batches == [4 if acts else 2]
        always = guided(Predictor(Network(), "original"), CONDITION, EMPTY, Guidance(3 if acts else 1))
        torch.testing.assert_close(guess, always(x_t, times))
    # nothing is exaggerated, so nothing is left out
    for guidance in (0, 0.5):
        inside, outside = (
            guided(Predictor(Network(), "original"), CONDITION, EMPTY, Guidance(guidance, interval))(x_t, T)
            for interval in ((0, 1), (0.6, 0.7))
        )
        torch.testing.assert_close(inside, outside)


def test_network_calls_of_a_run():
    """One forward for every step, of exactly the images that count."""
    times, network = time_grid(8, "unipc"), Network()
    denoise = guided(Predictor(network, "original"), CONDITION, EMPTY, Guidance(2, (0.15, 0.98)))
    run("unipc", denoise, normal(*SHAPE), times)
    assert network.batches == [4 if 0.15 <= t <= 0.98 else 2 for t in times[:-1]]
    assert network.batches == [2, 2, 4, 4, 4, 4, 2, 2]


def test_each_face_has_its_own_guidance():
    x_t, t, guidance = normal(5, 3, 8, 8), torch.full((5,), 0.5, dtype=torch.float64), [0, 1, 2, 0.5, 7.5]
    condition, network = normal(5, 3, seed=2) / 5, Network()
    together = guided(Predictor(network, "original"), condition, EMPTY, Guidance(guidance))(x_t, t)
    # 1 + 1 + 2 + 2 + 2
    assert network.batches == [8]
    for i, own in enumerate(guidance):
        alone = guided(Predictor(Network(), "original"), condition[i : i + 1], EMPTY, Guidance(own))
        torch.testing.assert_close(together[i : i + 1], alone(x_t[i : i + 1], t[i : i + 1]))


@pytest.mark.parametrize("guidance, batch", [(0, 4), (1, 4), (2, 6), (0.5, 6), ([0, 2], 5)])
def test_perturbed_attention_guidance_leads_away_from_a_face_without_attention(guidance, batch):
    x_t, seen, times = normal(*SHAPE), [], torch.full((2,), 0.5, dtype=torch.float64)

    def network(x_t, t, embedding, perturbed=None):
        seen.append(perturbed)
        whole = Network()(x_t, t, embedding)
        return whole if perturbed is None else torch.where(perturbed.view(-1, 1, 1, 1), 0.6 * whole, whole)

    pag = Guidance(guidance, pag_scale=0.5, pag_interval=(0.4, 0.5))
    denoise = guided(Predictor(network, "original"), CONDITION, EMPTY, pag)
    guess = denoise(x_t, times)
    pro, contra = (Network()(x_t, times.float(), embedding.expand(2, -1)) for embedding in (CONDITION, EMPTY))
    share = torch.as_tensor(guidance).expand(2).view(-1, 1, 1, 1)
    torch.testing.assert_close(
        guess, share * pro + (1 - share) * contra + 0.5 * 0.4 * torch.where(share == 0, contra, pro)
    )
    assert seen[0].tolist() == [False] * (batch - 2) + [True] * 2
    # outside of its interval
    for t in (0.39, 0.51):
        denoise(x_t, torch.full((2,), t, dtype=torch.float64))
    assert seen[1:] == [None, None]


def test_watch_sees_where_the_condition_acts():
    x_t, seen = normal(*SHAPE), []
    for guidance in (3, 1, 0, [3, 1]):
        guided(Predictor(Network(), "original"), CONDITION, EMPTY, Guidance(guidance), seen.append)(x_t, T)
    with_pag = Predictor(lambda x_t, t, e, perturbed: Network()(x_t, t, e), "original")
    guided(with_pag, CONDITION, EMPTY, Guidance(3, pag_scale=1), seen.append)(x_t, T)
    with_it, without = (Network()(x_t, T.float(), e.expand(2, -1)).clamp(-1, 1) for e in (CONDITION, EMPTY))
    torch.testing.assert_close(seen[0], (with_it - without).abs().mean(1))
    assert seen[1:4] == [None, None, None]
    # perturbed attention or not
    torch.testing.assert_close(seen[4], seen[0])


def test_each_face_has_its_own_negative_prompt():
    x_t, negative = normal(*SHAPE), torch.stack([EMPTY[0], -EMPTY[0]])
    both = guided(Predictor(Network(), "original"), CONDITION, negative, Guidance(2))(x_t, T)
    for i in range(2):
        rows = slice(i, i + 1)
        alone = guided(Predictor(Network(), "original"), CONDITION[rows], negative[rows], Guidance(2))
        torch.testing.assert_close(both[rows], alone(x_t[rows], T[rows]))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("guidance", [1, 3])
def test_guidance_understands_every_target_and_clips(target, guidance):
    # beyond [-1, 1] in places
    original, x_t = normal(*SHAPE, seed=1), normal(*SHAPE)

    def perfect(x, t, embedding):
        return from_original(original.repeat(len(x) // 2, 1, 1, 1), x, t, target)

    guess = guided(Predictor(perfect, target), CONDITION, EMPTY, Guidance(guidance))(x_t, T)
    torch.testing.assert_close(guess, original.clamp(-1, 1), rtol=0, atol=1e-4)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_perfect_network_draws_the_original(sampler, target):
    original = normal(*SHAPE, seed=1).clamp(-1, 1)
    denoise = guided(Predictor(lambda x, t, _: from_original(original, x, t, target), target), CONDITION, EMPTY)
    drawn = run(sampler, denoise, normal(*SHAPE), time_grid(20, sampler))[-1].noisy
    torch.testing.assert_close(drawn, original, rtol=0, atol=1e-4)


# --- noise ------------------------------------------------------------------------------------------------------------


def test_a_face_does_not_depend_on_its_batch():
    def face(seeds):
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        noise = face_noise(generators, (3, 8, 8), "cpu")

        # no mixing between faces
        def separate(x, t):
            return torch.tanh(1.5 * x.roll(1, -1) - t.to(x).view(-1, 1, 1, 1))

        return run("ddpm", separate, noise, time_grid(10, "ddpm"), lambda: face_noise(generators, (3, 8, 8), "cpu"))[
            -1
        ].noisy

    together = face([5, 7, 5])
    torch.testing.assert_close(together[1:2], face([7]))
    torch.testing.assert_close(together[0], together[2])
    assert not together[0].equal(together[1])
    noise = face_noise([torch.Generator().manual_seed(seed) for seed in range(4)], (3, 64, 64), "cpu")
    assert noise.shape == (4, 3, 64, 64) and abs(noise.mean()) < 0.02 and abs(noise.std() - 1) < 0.02
