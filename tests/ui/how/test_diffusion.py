"""The tab "How it works": what its figures of diffusion compute, on tiny weights."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from model.diffusion import TARGETS, add_noise, alpha_bar, from_original, posterior
from model.files import checkpoint
from model.pipeline import FacePipeline
from model.sampler import ddim
from model.settings import Settings
from model.unet import UNet
from tests.conftest import ROOT, save_unet
from training.evaluation.samplers import main as draw_samplers
from training.unet.recipes import TINY
from ui.how import face, forward, guidance, predictions, reverse, targets

ASKED = Settings("a smiling woman", seed=7, steps=2, sampler="dpmpp")


@pytest.fixture(scope="module")
def pipe(tiny_weights) -> FacePipeline:
    return FacePipeline.from_pretrained(tiny_weights, "cpu")


def test_linear_schedule_is_the_papers_product():
    betas = np.linspace(1e-4, 0.02, 1000)
    for t in (0.0, 0.001, 0.25, 1.0):
        assert face.linear_alpha_bar(t).item() == pytest.approx(np.prod(1 - betas[: round(1000 * t)]), rel=1e-9)
    assert face.linear_alpha_bar(torch.rand(3, 2)).shape == (3, 2)


@pytest.mark.parametrize("step", [0, 1, 37, 100])
def test_noised_face_is_the_weighted_sum(pipe, step):
    state = face.noised(pipe, ASKED, step)
    clean = torch.tensor(face.face(pipe, ASKED)).permute(2, 0, 1)[None] / 127.5 - 1
    assert torch.equal(state.original, clean)
    linear = face.linear_alpha_bar(step / 100).item()
    for x_t, share in ((state.x_t, alpha_bar(step / 100).item()), (state.linear, linear)):
        torch.testing.assert_close(x_t, share**0.5 * clean + (1 - share) ** 0.5 * state.noise, atol=1e-5, rtol=0)
    assert (forward.band(state) == round((2 * step / 100 - 1 + 1) * 127.5)).all()
    assert state.noise.std().item() == pytest.approx(1, abs=0.05)
    drawn_from = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(ASKED.seed))
    assert not torch.allclose(state.noise, drawn_from)


@pytest.mark.parametrize("step", [1, 50, 100])
def test_answers_are_one_prediction_in_four_forms(pipe, step):
    state, said = face.noised(pipe, ASKED, step), face.answer(pipe, ASKED, step)
    signal, sigma = alpha_bar(step / 100).sqrt().item(), (1 - alpha_bar(step / 100)).sqrt().item()
    assert said.velocity.shape == (1, 3, 64, 64)
    torch.testing.assert_close(said.original, signal * state.x_t - sigma * said.velocity, atol=1e-4, rtol=0)
    torch.testing.assert_close(said.noise, signal * said.velocity + sigma * state.x_t, atol=1e-4, rtol=0)
    mean, _ = posterior(said.original, state.x_t, state.t, state.t - 0.01)
    torch.testing.assert_close(said.previous, mean, atol=1e-4, rtol=0)

    condition = pipe.condition([ASKED.prompt])
    with torch.inference_mode():
        alone = pipe.unet(state.x_t, state.t.float(), condition)
    assert pipe.unet.config.target == "velocity"
    torch.testing.assert_close(said.velocity[:1], alone, atol=1e-4, rtol=0)


def test_other_prompts_get_other_answers(pipe):
    seen = predictions.under_prompts(pipe, ASKED)
    assert seen.shape == (1 + len(predictions.OTHER_PROMPTS), len(predictions.NOISES), 3, 64, 64)
    own = face.answer(pipe, ASKED, predictions.NOISES[3]).original
    torch.testing.assert_close(seen[0, 3], own[0], atol=1e-4, rtol=0)
    assert (seen[0] - seen[2]).abs().max() > 1e-4


def test_errors_of_the_targets_are_one_error_weighted(pipe):
    state, said = face.noised(pipe, ASKED, 40), face.answer(pipe, ASKED, 40)
    assert torch.equal(state.x_t, add_noise(state.original, state.noise, state.t))
    errors = {
        target: face.error(getattr(said, target), from_original(state.original, state.x_t, state.t, target))
        for target in TARGETS
    }
    snr = (alpha_bar(0.4) / (1 - alpha_bar(0.4))).item()
    assert errors["noise"] == pytest.approx(snr * errors["original"], rel=1e-3)
    assert errors["previous"] < 0.05 * errors["original"]
    assert face.error(state.noise, from_original(state.original, state.x_t, state.t, "noise")) < 1e-8
    page = targets.targets(pipe, ASKED, 40)
    assert targets.number(errors["noise"]) in page and targets.number(errors["previous"]) in page


@pytest.fixture(scope="module")
def three(pipe, tmp_path_factory):
    """A folder with a small network for each of the lecture's targets."""
    folder = tmp_path_factory.mktemp("targets")
    for number, target in enumerate(targets.TITLES):
        assert not targets.present(folder)
        torch.manual_seed(number)
        unet = UNet(replace(TINY, target=target))
        checkpoint.save(
            folder / f"{target}.safetensors",
            unet.state_dict(),
            vars(unet.config),
            {"kind": "unet", "clip": pipe.clip.hash, "seconds": 240},
        )
    return folder


def test_each_targets_network_draws_the_same_prompt_and_seed(pipe, three):
    assert targets.present(three)
    films = targets.films(pipe, ASKED.prompt, ASKED.seed, three)
    assert list(films) == ["original", "previous", "noise"] and {film.shape for film in films.values()} == {
        (64, 320, 3)
    }
    for target, film in films.items():
        learner = pipe.with_unet(UNet.from_file(three / f"{target}.safetensors"))
        last = learner.generate([ASKED.prompt], [ASKED.seed], steps=100, sampler="ddpm")[0]
        assert np.abs(film[:, -64:].astype(int) - last).max() <= 2
    page = targets.learned(pipe, ASKED, three)
    assert (
        page.count("<figure>") == 3 and "4 minutes" in page and all(title in page for title in targets.TITLES.values())
    )


def test_small_networks_of_another_clip_are_not_used(pipe, three, tmp_path):
    for target in targets.TITLES:
        save_unet(tmp_path / f"{target}.safetensors", UNet(replace(TINY, target=target)), "another")
    page = targets.learned(pipe, ASKED, tmp_path)
    assert "do not fit the CLIP" in page and "<figure" not in page
    assert targets.learners(pipe, three)


def test_curves_end_where_the_schedules_do():
    svg = forward.curves(100)
    cosine, linear = (
        re.search(rf'class="{name}" d="M(.+?)"', svg).group(1).split(" L") for name in ("cosine", "linear")
    )
    assert cosine[0] == linear[0] == "34.0 12.0" and cosine[-1] == linear[-1] == "334.0 142.0" and len(cosine) == 101
    # further down: less of the face is left
    assert float(linear[50].split()[1]) > float(cosine[50].split()[1])


@pytest.mark.parametrize(
    "value, shown",
    [
        (0.0421, "0.0421"),
        (12.34, "12.3"),
        (4530.0, "4,530"),
        (0.0, "0"),
        (0.000034, "3.4 × 10<sup>−5</sup>"),
        (2.5e6, "2.5 × 10<sup>6</sup>"),
    ],
)
def test_numbers_are_readable(value, shown):
    assert targets.number(value) == shown


def test_guidance_shows_what_the_pipeline_draws(pipe):
    whole, promptless, blind = guidance.answers(pipe, ASKED)
    said = face.answer(pipe, ASKED, guidance.STEP).original
    torch.testing.assert_close(whole[None], said, atol=1e-5, rtol=0)
    assert not torch.allclose(promptless, whole, atol=1e-4)
    assert not torch.allclose(blind, whole, atol=1e-3)
    neither, by_prompt, by_attention, both = guidance.faces(pipe, "a man", 3, 4.0)
    unguided = Settings("a man", seed=3, steps=guidance.STEPS, guidance=1, pag_scale=0)
    drawn = pipe.generate_faces([replace(unguided, guidance=4.0, pag_scale=guidance.STRENGTH)])
    assert np.array_equal(both, drawn[0])
    assert np.array_equal(neither, pipe.generate_faces([unguided])[0])
    assert not np.array_equal(by_prompt, both) and not np.array_equal(by_attention, both)
    for strength, told in ((3.0, "guidance 3<"), (1.0, "guidance 2<"), (0.0, "guidance 2<")):
        assert told in guidance.draw(pipe, replace(ASKED, guidance=strength))


@pytest.mark.parametrize("strength, told", [(0.0, "no perturbed-attention"), (0.25, "of strength 0.25")])
def test_guidance_says_what_faces_are_drawn_with(monkeypatch, strength, told):
    monkeypatch.setattr(guidance, "DEFAULTS", replace(guidance.DEFAULTS, pag_scale=strength))
    assert told in guidance.used()


# --- reverse diffusion ------------------------------------------------------------------------------------------------


def test_a_step_lands_where_ddim_does(pipe):
    page = reverse.one_step(pipe, ASKED, 60, 20)
    state, s = face.noised(pipe, ASKED, 60), torch.tensor([0.4], dtype=torch.float64)
    said = face.answer(pipe, ASKED, 60)
    step, *_ = ddim(lambda *_: said.original.clamp(-1, 1), state.x_t, torch.tensor([0.6, 0.4, 0.0]).double(), None)
    truth = add_noise(state.original, state.noise, s)
    assert f"error {face.error(step.noisy, truth):.5f}" in page
    signal = alpha_bar(0.4).sqrt().item()
    assert f"x at 40 = {signal:.3f} ×" in page and "add_noise(denoised, from_original" in page
    # not beyond the clean face
    assert "x at timestep 0" in reverse.one_step(pipe, ASKED, 5, 50)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"sampler": "ddpm", "seed": 5},
        {"edits": (("Smiling", 2.0),)},
        {"to_prompt": "an old man", "to_seed": 9, "place": 0.5, "sampler": "ddpm"},
    ],
)
def test_path_ends_at_the_visitors_own_face(pipe, change):
    own = replace(ASKED, steps=3, **change)
    _, pictures, _ = reverse.walked(pipe, own)
    last = pictures["teacher"][64:, -64:].astype(int)
    assert np.abs(last - pipe.generate_faces([own])[0]).max() <= 1


def test_a_run_that_is_cut_short_says_so(pipe):
    assert "Your run: DDPM, 3 steps" in reverse.paths(pipe, replace(ASKED, steps=3, sampler="ddpm"))
    assert "Your run, in fewer steps: DDPM, 50 steps" in reverse.paths(pipe, replace(ASKED, steps=60, sampler="ddpm"))


def test_path_is_a_run_in_a_plane(pipe):
    paths, pictures, share = reverse.walked(pipe, replace(ASKED, steps=3))
    assert paths["teacher"].noisy.shape == (4, 2) and paths["teacher"].denoised.shape == (3, 2) and 0.5 < share <= 1
    np.testing.assert_allclose(paths["teacher"].noisy[-1], paths["teacher"].denoised[-1], atol=1e-3)
    assert pictures["teacher"].shape == (128, 3 * 64, 3)
    # these weights have none
    assert "student" not in paths


def test_plane_shows_most_of_points_that_lie_in_one():
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(9, 2, generator=generator) @ torch.randn(2, 50, generator=generator) + 3
    mean, directions, share = reverse.plane(points)
    flat = (points - mean) @ directions
    torch.testing.assert_close(torch.cdist(flat, flat), torch.cdist(points, points), atol=1e-3, rtol=1e-3)
    assert share == pytest.approx(1, abs=1e-5)


def test_chance_parts_what_begins_alike(pipe, monkeypatch):
    monkeypatch.setattr(reverse, "CHANCE_STEPS", 4)
    monkeypatch.setattr(reverse, "MOMENTS", (1, 4))
    reverse.chances.cache_clear()
    apart, once = reverse.chances(pipe, ASKED)
    assert apart.shape == (reverse.CHANCES, 2, 3, 64, 64) and once.shape == (2, 3, 64, 64)
    # the same noise
    torch.testing.assert_close(apart[0, 0], apart[1, 0], atol=1e-4, rtol=0)
    assert (apart[0, 1] - apart[1, 1]).abs().mean() > 1e-3
    reverse.chances.cache_clear()


def test_samplers_are_shown_for_their_own_network_only(pipe, tiny_weights, tmp_path, capsys):
    draw_samplers(["--weights", str(tiny_weights), "--out", str(tmp_path), "--steps", "2", "4", "--exact", "8"])
    about = json.loads((tmp_path / "samplers.json").read_text())
    assert list(about["distances"]) == list(reverse.NAMES) and about["unet"] == pipe.unet.info["hash"]
    assert about["distances"]["unipc"][1] < about["distances"]["ddim"][0]
    page = reverse.samplers(tmp_path, pipe.unet.info["hash"])
    assert page.count("data-distances") == 4 and 'data-steps="[2, 4]"' in page
    assert reverse.samplers(tmp_path, "another") is None and reverse.samplers(tmp_path / "none", "") is None
    assert "another one is loaded" in reverse.compared(pipe, ASKED)


def test_bundled_samplers_and_losses_are_of_the_bundled_network():
    unet = checkpoint.load(ROOT / "weights" / "unet.safetensors")[2]["hash"]
    for name in ("samplers", "training"):
        assert json.loads((ROOT / "assets" / "how" / f"{name}.json").read_text())["unet"] == unet, name
