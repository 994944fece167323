"""Several faces at once and ways between them: streams side by side, starts from a picture, strengths, guidances,
walks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from model import device
from model.attributes import ATTRIBUTES
from model.errors import InputError
from model.guidance import conditions_of, slerp, stated_and_denied
from model.images import middle_square
from model.pipeline import FacePipeline
from model.sampler import SAMPLERS, time_grid
from model.settings import DEFAULTS, Settings
from model.unet import UNet
from tests.conftest import ROOT
from tests.model.test_pipeline import close


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_faces_side_by_side_are_as_many_streams(pipe, picture, sampler):
    prompts, seeds = ["a man", "", "smiling"], [5, 6, 5]
    for more, start in (({}, ()), ({"negative_prompt": "bald", "guidance": 3}, (picture, 0.7))):
        run = Settings(steps=5, sampler=sampler, **more)
        faces = [replace(run, prompt=prompt, seed=seed) for prompt, seed in zip(prompts, seeds)]
        steps = list(pipe.stream_faces(faces, *start))
        begun = dict(zip(("start_from", "strength"), start))
        alone = [list(pipe.stream(prompt, seed, 5, sampler, **more, **begun)) for prompt, seed in zip(prompts, seeds)]
        assert len(steps) == len(alone[0]) and all(len(frames) == 3 for frames in steps)
        for frames, others in zip(steps, zip(*alone)):
            for frame, other in zip(frames, others):
                assert (frame.index, frame.total, frame.noise_level) == (other.index, other.total, other.noise_level)
                assert close(frame.noisy, other.noisy) and close(frame.denoised, other.denoised)
                assert frame.influence is None is other.influence


def influenced(pipe, prompt, **run):
    """The frames of one face of seed 3 that tell where the prompt acts."""
    return [frame for (frame,) in pipe.stream_faces([Settings(prompt, seed=3, **run)], influence=True)]


def test_influence_is_there_where_guidance_is(pipe):
    low, high = DEFAULTS.guidance_interval
    frames = influenced(pipe, "smiling", steps=10, guidance=3)
    for frame, t in zip(frames, time_grid(10, DEFAULTS.sampler)[:-1]):
        assert (frame.influence is not None) == (low <= t <= high)
        if frame.influence is not None:
            assert frame.influence.shape == (64, 64) and frame.influence.dtype == np.uint8
            assert frame.influence.max() == 255 > frame.influence.min()
    assert any(frame.influence is None for frame in frames) and any(frame.influence is not None for frame in frames)
    assert all(frame.influence is None for frame in influenced(pipe, "smiling", steps=4, guidance=1))
    # it only tells: the faces are the same
    plain = pipe.stream("smiling", 3, steps=10, guidance=3)
    assert all(np.array_equal(frame.denoised, other.denoised) for frame, other in zip(frames, plain, strict=True))

    def first(prompt, **more):
        frames = influenced(pipe, prompt, steps=4, **more)
        return next(frame.influence for frame in frames if frame.influence is not None)

    assert not np.array_equal(first("smiling"), first("smiling", negative_prompt="bald"))
    # the empty prompt against itself: nowhere
    assert not first("").any()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_network_calls_are_no_more_than_needed(pipe, sampler, monkeypatch):
    images, forward = [], UNet.forward
    monkeypatch.setattr(UNet, "forward", lambda self, x, *rest: images.append(len(x)) or forward(self, x, *rest))
    # whole batches are counted
    monkeypatch.setattr(device, "MOST_ON_CPU", 64)

    def acts(times):
        return [times[0] <= t <= times[1] for t in time_grid(12, sampler)[:-1].tolist()]

    plain, prompted, perturbed = [1] * 12, acts(DEFAULTS.guidance_interval), acts(DEFAULTS.pag_interval)
    guided = [1 + more for more in prompted]
    both = [calls + more for calls, more in zip(guided, perturbed)]
    assert 12 < sum(guided) < sum(both) < 36

    def counted(draw):
        images.clear()
        list(draw())
        return images

    assert counted(lambda: pipe.stream("a man", 1, 12, sampler)) == guided
    assert counted(lambda: pipe.stream("a man", 1, 12, sampler, guidance=1)) == plain
    assert counted(lambda: pipe.stream("a man", 1, 12, sampler, guidance=0.5)) == [1 + calls for calls in plain]
    one = Settings("a man", seed=1, steps=12, sampler=sampler)
    three = [replace(one, seed=seed) for seed in (1, 2, 3)]
    assert counted(lambda: pipe.stream_faces(three)) == [3 * calls for calls in guided]
    assert counted(lambda: pipe.generate_faces([replace(one, guidance_interval=(0, 1))])) == [2] * 12
    with_pag = replace(one, pag_scale=0.5)
    assert counted(lambda: pipe.generate_faces([with_pag])) == both
    assert counted(lambda: pipe.generate_faces([replace(with_pag, guidance=1, pag_interval=(0, 1))])) == [2] * 12
    assert counted(lambda: pipe.generate_faces([replace(one, guidance=scale) for scale in (0, 1, 5)])) == [
        2 * once + more for once, more in zip(plain, guided)
    ]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_start_from_a_picture(pipe, picture, sampler):
    def run(strength, seed=3, start_from=picture, steps=10):
        return list(pipe.stream("a man", seed, steps, sampler, start_from=start_from, strength=strength))

    below = (time_grid(10, sampler) < 0.6).sum().item()
    frames = run(0.6)
    assert [(frame.index, frame.total) for frame in frames] == [(i, below) for i in range(1, below + 1)] and below < 10
    levels = [frame.noise_level for frame in frames]
    assert levels == sorted(levels, reverse=True) and levels[-1] == 0
    small = middle_square(picture, 64)
    change = [np.abs(run(strength)[-1].denoised.astype(int) - small).mean() for strength in (0.01, 0.3, 0.9)]
    assert change[0] < 8 and change == sorted(change)
    assert not close(frames[-1].denoised, run(0.6, seed=4)[-1].denoised)
    assert not close(frames[-1].denoised, run(0.6, start_from=255 - picture)[-1].denoised)
    # the middle square
    assert np.array_equal(frames[-1].denoised, run(0.6, start_from=picture[:, 15:105])[-1].denoised)
    # nothing is left of the picture: the seed's own face
    if sampler != "ddpm":
        fresh, new = list(pipe.stream("a man", 3, 10, sampler))[-1].denoised, run(1)[-1].denoised
        assert np.abs(fresh.astype(int) - new).mean() < 5 and len(run(1)) == 10


def test_faces_led_towards_one_and_away_from_it(pipe):
    dark = np.zeros((64, 64, 3), np.uint8)
    faces = [Settings("a man", seed=seed, steps=3) for seed in (1, 2)]
    *_, towards = pipe.stream_alike(dark, faces)
    *_, away = pipe.stream_alike(dark, faces, away=True)
    # the face stands in for the words
    *_, wordless = pipe.stream_alike(dark, [replace(one, prompt="") for one in faces])
    for one, other in zip(towards, wordless, strict=True):
        assert close(one.denoised, other.denoised)
    *_, plain = pipe.stream_faces(faces)
    for one, other in zip(away, plain, strict=True):
        assert not close(one.denoised, other.denoised)
    # with nothing to be led away from, only the noise is turned round
    alone = [replace(one, guidance=1) for one in faces]
    first, turned = next(pipe.stream_faces(alone)), next(pipe.stream_alike(dark, alone, away=True))
    apart = np.corrcoef(first[0].noisy.ravel(), turned[0].noisy.ravel())[0, 1]
    assert apart < -0.5


def strengths(settings, attribute, values):
    """The face with one attribute pushed and pulled."""
    return [replace(settings, edits=((attribute, value),)) for value in values]


def test_strengths_move_one_attribute(pipe):
    values = (-2, -1, 0, 0.5, 2)
    man = Settings("a man", seed=3, steps=4)
    faces = pipe.generate_faces(strengths(man, "Smiling", values))
    assert faces.shape == (5, 64, 64, 3) and faces.dtype == np.uint8
    assert close(faces[2], pipe.generate(["a man"], [3], 4)[0])
    assert not np.array_equal(faces[1], faces[2]) and not np.array_equal(faces[3], faces[2])
    assert not np.array_equal(faces, pipe.generate_faces(strengths(man, "Eyeglasses", values)))
    both = replace(man, edits=(("Smiling", 2), ("Male", -1)))
    faces = pipe.generate_faces([both, replace(both, edits=both.edits[:1]), replace(both, edits=both.edits[::-1])])
    assert close(faces[0], faces[2]) and not np.array_equal(faces[0], faces[1])


def test_the_prompt_with_an_attribute_and_without():
    assert stated_and_denied("a man", "Smiling") == ("a man, smiling", "a man, not smiling")
    assert stated_and_denied("Photo of person male. ", "Wearing_Hat") == (
        "Photo of person male, wearing hat.",
        "Photo of person male, not wearing hat.",
    )
    assert stated_and_denied(" ", "Male") == ("Photo of person male.", "Photo of person female.")
    with pytest.raises(InputError, match="Wings"):
        stated_and_denied("a man", "Wings")


def test_the_condition_moves_along_its_direction():
    prompt, stated, denied = (F.normalize(vector, dim=0) for vector in torch.eye(3) * 0.6 + 0.4)
    known = {"a man": prompt, "a man, smiling": stated, "a man, not smiling": denied}
    faces = strengths(Settings("a man"), "Smiling", [-2, -1, 0, 1, 2])
    moved = conditions_of(faces, lambda texts: torch.stack([known[text] for text in texts]))
    assert torch.allclose(moved.norm(dim=1), torch.ones(5)) and torch.allclose(moved[2], prompt)
    assert (moved @ (stated - denied)).diff().min() > 0.05


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_guidances_share_the_noise(pipe, sampler):
    values = [0, 1, 2.5, 9]
    run = Settings("smiling", "bald", seed=7, steps=4, sampler=sampler)
    faces = pipe.generate_faces([replace(run, guidance=value) for value in values])
    for guidance, face in zip(values, faces, strict=True):
        assert close(face, pipe.generate(["smiling"], [7], 4, sampler, guidance, ["bald"])[0])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_walk_leads_from_one_face_to_the_other(pipe, sampler):
    first = Settings("a man", seed=3, steps=4, sampler=sampler)
    way = [replace(first, to_prompt="smiling", to_seed=4, place=index / 4) for index in range(5)]
    faces = pipe.generate_faces(way)
    ends = pipe.generate(["a man", "smiling"], [3, 4], 4, sampler)
    assert faces.shape == (5, 64, 64, 3) and close(faces[0], ends[0]) and close(faces[-1], ends[1])
    apart = np.abs(faces.astype(int) - faces[0]).mean(axis=(1, 2, 3))
    # away from the first, face by face
    assert (np.diff(apart) > 0).all()
    # alone as among others
    assert close(pipe.generate_faces(way[2:3])[0], faces[2])
    still = pipe.generate_faces([replace(first, to_prompt="a man", to_seed=3, place=index / 2) for index in range(3)])
    assert close(still[0], still[1]) and close(still[0], still[2])


def test_slerp_keeps_the_length():
    first, last = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    way = slerp(first, last, torch.linspace(0, 1, 5))
    assert way.shape == (5, 3, 16, 16) and way[0].equal(first) and way[-1].equal(last)
    # a straight line's middle would be 0.7 as long
    assert (way.flatten(1).norm(dim=1) / first.norm() - 1).abs().max() < 0.1
    assert torch.allclose(slerp(first, first, torch.tensor([0.3])), first)
    right_angle = slerp(torch.tensor([1.0, 0]), torch.tensor([0, 1.0]), torch.tensor([1 / 3]))
    assert torch.allclose(right_angle, torch.tensor([[0.75**0.5, 0.5]]))


# --- bad input --------------------------------------------------------------------------------------------------------


FACE = np.zeros((64, 64, 3), np.uint8)
A = Settings("a", seed=1)


@pytest.mark.parametrize(
    "wrong, words",
    [
        *(
            ({"start_from": FACE, "strength": value}, "strength")
            for value in (0, -1, 1.1, float("nan"), "high", None, True)
        ),
        ({"strength": 0}, "strength"),
        ({"start_from": FACE / 255}, "uint8"),
        ({"start_from": FACE[None]}, "height, width"),
        ({"start_from": "face.png"}, "uint8"),
        ({"start_from": [[1], [1, 2]]}, "uint8"),
        ({"start_from": FACE[:0]}, "height, width"),
        ({"start_from": FACE[..., :1]}, "3"),
    ],
)
def test_a_picture_or_strength_that_cannot_be_used(pipe, wrong, words):
    with pytest.raises(InputError, match=words) as error:
        pipe.stream("a man", **wrong)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda pipe: pipe.stream_faces([]), "faces"),
        (lambda pipe: pipe.stream_faces([A] * 17), "1 to 16"),
        (lambda pipe: pipe.stream_faces([A, replace(A, steps=3)]), "seed, guidance, edits and walk only"),
        (lambda pipe: pipe.generate_faces([A, replace(A, pag_scale=0.5)]), "seed, guidance, edits and walk only"),
        (lambda pipe: pipe.generate_faces([A, replace(A, seed=-1)]), "seed"),
        (lambda pipe: pipe.generate_faces([A], batch_size=0), "batch size"),
        (lambda pipe: pipe.stream_alike(FACE, []), "faces"),
        (lambda pipe: pipe.stream_alike(FACE, [replace(A, seed=-1)]), "seed"),
        (lambda pipe: pipe.generate("hi", [1, 2]), "list of texts"),
        (lambda pipe: pipe.stream_alike(FACE[None], [A]), "height, width"),
        (lambda pipe: pipe.attribute_scores(FACE), "N, height"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(pipe, call, words):
    with pytest.raises(InputError, match=words) as error:
        call(pipe)
    assert "\n" not in str(error.value)


# --- the bundled weights ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bundled():
    return FacePipeline.from_pretrained(ROOT / "weights", device="cpu")


def test_bundled_weights_smile_more_and_more(bundled):
    smiles = np.stack(
        [
            bundled.generate_faces(strengths(Settings("a woman", seed=seed, steps=6), "Smiling", (-2, 0, 2)))
            for seed in range(4)
        ]
    )
    scores = (
        bundled.attribute_scores(smiles.reshape(-1, 64, 64, 3))[:, ATTRIBUTES.index("Smiling")]
        .reshape(4, 3)
        .mean(axis=0)
    )
    assert scores[0] < scores[1] < scores[2]


def test_bundled_weights_need_few_steps(bundled):
    """Eight steps of the best sampler lie near the exact solution, and so nearer than DDIM's."""
    exact = bundled.generate(["a man"] * 2, [1, 2], 40, "unipc").astype(float)
    unipc, ddim = (
        np.square(bundled.generate(["a man"] * 2, [1, 2], 8, sampler) - exact).mean() for sampler in ("unipc", "ddim")
    )
    # squared grey levels; evenly spaced times end above 1000
    assert unipc < 150 and unipc < ddim / 2


# --- as a record -----------------------------------------------------------------------------------------------------


def test_changes_are_recorded_and_bad_ones_named():
    settings = Settings("a man", edits="Smiling:2,Male:-1.5", to_seed=4, place=0.5)
    assert settings.edits == (("Smiling", 2.0), ("Male", -1.5))
    assert Settings.read(settings.as_record()) == (settings, [])
    assert Settings.read({name: str(value) for name, value in settings.as_record().items()}) == (settings, [])
    assert set(Settings().as_record()) == set(Settings.RECORDED)
    assert Settings(edits=(("Smiling", 0),)).edits == ()
    for bad in ("Flying:1", "Smiling:9", "Smiling:x", "Smiling:1,Smiling:2", "Smiling", ":", 7, [["Smiling"]], [7]):
        kept, ignored = Settings.read({"edits": bad, "seed": 3})
        assert kept == Settings(seed=3) and len(ignored) == 1 and "\n" not in ignored[0], bad
    for name, bad in (("place", "2"), ("to_seed", "-1"), ("to_prompt", 7), ("place", None)):
        assert len(Settings.read({name: bad})[1]) == 1, name
