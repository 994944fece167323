"""A part of a face drawn anew: the known part stays to the grey level, and is noised to each step's time on the way."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.paint import jump_across, parts, step_across
from model.diffusion import alpha_bar
from model.errors import InputError
from model.images import middle_square
from model.pipeline import FacePipeline
from model.sampler import SAMPLERS, time_grid
from model.settings import Settings
from model.start import REACH, SHAPED, Start
from tests.conftest import ROOT
from tests.model.test_pipeline import close

FACE = np.zeros((64, 64, 3), np.uint8)


def part(*rows: int) -> np.ndarray:
    """A mask of these rows, left half."""
    mask = np.zeros((64, 64), bool)
    mask[rows[0] : rows[1], :32] = True
    return mask


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_only_the_part_under_a_mask_is_drawn_anew(pipe, picture, sampler):
    known, mask = middle_square(picture, 64), part(10, 40)

    def run(seed=3, strength=1.0, prompt="a man", start_from=known):
        run = list(pipe.stream(prompt, seed, 7, sampler, start_from=start_from, strength=strength, mask=mask))
        assert [frame.index for frame in run] == list(range(1, run[0].total + 1)) and run[-1].noise_level == 0
        # at every step what is known is right
        for frame in run:
            assert np.array_equal(frame.denoised[~mask], known[~mask])
        assert np.array_equal(run[-1].noisy, run[-1].denoised)
        return run[-1].denoised

    drawn = run()

    def change(face):
        return np.abs(face[mask].astype(int) - known[mask]).mean()

    assert change(drawn) > 5
    assert np.array_equal(drawn, run()) and not close(drawn, run(seed=4)) and not close(drawn, run(prompt="bald"))
    # drawn from noise alone: it does not matter what was there
    assert np.array_equal(drawn, run(start_from=drawn))
    assert change(run(strength=0.05)) < change(run(strength=0.5)) < change(drawn)
    beside = [Settings("a man", seed=seed, steps=7, sampler=sampler) for seed in (4, 3)]
    *_, last = pipe.stream_faces(beside, known, 1.0, mask)
    assert close(last[1].denoised, drawn)


def test_what_is_known_is_noised_to_each_steps_time():
    """RePaint, eq. 8a: outside the mask x is q(x_t | x_0) of the picture."""
    mask, seen = part(0, 64), []
    level = np.full((64, 64, 3), 200, np.uint8)
    start = Start.read(level, 1.0, mask, 64)
    generator = torch.Generator().manual_seed(0)

    def denoise(x, t):
        seen.append((t[0].item(), x[..., 32:].clone()))
        return torch.zeros_like(x)

    def fresh():
        return torch.randn(2, 3, 64, 64, generator=generator)

    for name, sampler in SAMPLERS.items():
        seen.clear()
        list(start.around(sampler)(denoise, fresh(), time_grid(7, name), fresh))
        assert len({round(t, 6) for t, _ in seen}) == 7 == len(seen)
        for t, x in seen:
            share = alpha_bar(t).item()
            assert abs(x.mean() - share**0.5 * (200 / 127.5 - 1)) < 0.05 and abs(x.std() - (1 - share) ** 0.5) < 0.05


def test_what_is_wrong_beside_the_part_is_made_up_for_within_it():
    """Nothing of it is left at the edge, and all of it REACH pixels within."""
    start = Start.read(np.full((64, 64, 3), 100, np.uint8), 1.0, part(0, 64), 64)
    sample = start.around(SAMPLERS["ddim"])
    noise = torch.zeros(1, 3, 64, 64)
    *_, last = sample(lambda x, t: start.picture + 0.4, noise, time_grid(5, "ddim"), lambda: noise)
    wrong = (last.denoised - start.picture)[0]
    depth = torch.arange(32, 0, -1).expand(3, 64, 32)
    assert torch.allclose(wrong[..., :32], 0.4 * (depth / (REACH + 1)).clamp(max=1), atol=1e-5)
    assert not wrong[..., 32:].any()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_noise_is_added_while_the_face_takes_shape(sampler):
    """So what does not fit is drawn again, and in no more network calls."""
    start, times, calls = Start.read(FACE, 1.0, part(0, 64), 64), time_grid(12, sampler), []

    def denoise(x, t):
        calls.append(t[0].item())
        return torch.zeros_like(x)

    def fresh():
        calls.append("noise")
        return torch.randn(1, 3, 64, 64)

    steps = list(start.around(SAMPLERS[sampler])(denoise, torch.randn(1, 3, 64, 64), times, fresh))
    assert [time for time in calls if time != "noise"] == times[:-1].tolist()
    assert [(step.index, step.total) for step in steps] == [(index, 12) for index in range(1, 13)]
    noised = [time for time, after in zip(calls, calls[1:]) if after == "noise"]
    # DDPM's own steps all add some, but for the last
    first, last = (1, 0.1) if sampler == "ddpm" else SHAPED
    assert noised == [time for time in times[:-1].tolist() if last < time <= first] and len(noised) >= 4


@pytest.mark.parametrize("name", ["hair", "background"])
def test_no_seam_shows_around_what_is_drawn_anew(name):
    """Of the bundled weights: what lies on either side of the edge differs about as much as before."""
    pipe, mask, faces = FacePipeline.from_pretrained(ROOT / "weights", device="cpu"), parts()[name], []
    for settings in (Settings("a smiling woman with blond hair", seed=1), Settings("an old man", seed=4)):
        settings = replace(settings, steps=6)
        [known] = pipe.generate_faces([settings])
        *_, [last] = pipe.stream_faces([replace(settings, seed=settings.seed + 100)], known, 1.0, mask)
        faces.append((known, last.denoised))
    for across in (step_across, jump_across):
        before, after = np.mean([[across(face, mask) for face in pair] for pair in faces], axis=0)
        assert after < 1.3 * before


def test_a_seam_is_measured():
    mask = part(0, 64)
    face = np.where(mask[..., None], 90, 100).astype(np.uint8).repeat(3, axis=2)
    soft = face.copy()
    soft[:, 31:33] = 95
    assert step_across(face, mask) == 10 and jump_across(face, mask) == pytest.approx(10, abs=1e-3)
    assert step_across(soft, mask) == 0 and jump_across(soft, mask) > 6


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"mask": part(0, 9)}, "needs a face"),
        ({"start_from": FACE, "mask": np.zeros((64, 64), bool)}, "empty"),
        ({"start_from": FACE, "mask": np.ones((64, 64), bool)}, "whole face"),
        ({"start_from": FACE, "mask": np.ones((32, 64), bool)}, r"\(64, 64\) of bool, not \(32, 64\)"),
        ({"start_from": FACE, "mask": np.ones((64, 64))}, "float64"),
        ({"start_from": FACE, "mask": "all"}, "bool"),
        ({"start_from": FACE, "mask": [[True], [True, False]]}, "bool"),
        ({"start_from": FACE, "mask": part(0, 9), "sampler": "student"}, "student"),
    ],
)
def test_a_mask_that_cannot_be_used(pipe, wrong, words):
    with pytest.raises(InputError, match=words) as error:
        pipe.stream("a man", **wrong)
    assert "\n" not in str(error.value)
