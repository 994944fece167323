"""Reward fine-tuning of built-in guidance: the rewards, the faces that they look at, the penalty, exact resume."""

import shutil
from dataclasses import replace
from random import Random

import numpy as np
import pytest
import torch

from model.clip import Clip
from model.critic import Critic
from model.errors import InputError
from model.files import checkpoint
from model.files.release import guided_network, with_change
from model.images import to_pixels, to_tensor
from model.pipeline import FacePipeline
from model.sampler import face_noise, time_grid
from model.settings import DEFAULTS, Settings
from model.unet import UNet, condition_of
from tests.conftest import ROOT, StopAfter, save_critic, save_guided
from tests.model.test_pipeline import close
from training.core.run import Run
from training.critic.fit import SORTED, area_under_curve, sorted_by_eye
from training.unet import reward as train_reward
from training.unet.guided import learning
from training.unet.reward import DRIFT_RATE, RECIPES, Drift, Lesson, Point, Reward, Start, moved, train

TINY = RECIPES["tiny"]


@pytest.fixture(scope="module")
def folder(tiny_weights, tmp_path_factory):
    """Tiny weights with a critic and a guided network."""
    folder = shutil.copytree(tiny_weights, tmp_path_factory.mktemp("reward") / "weights")
    save_critic(folder)
    save_guided(folder)
    return folder


@pytest.fixture
def weights(folder):
    """CLIP, critic, U-Net and the network with built-in guidance."""
    clip, unet = Clip.from_file(folder / "clip.safetensors"), UNet.from_file(folder / "unet.safetensors")
    critic = Critic.from_file(folder / "critic.safetensors", clip)
    return clip, critic, unet, guided_network(folder / "guided.safetensors", unet)


@pytest.fixture
def lesson(weights, prepared, monkeypatch):
    """In full precision, so that two ways to the same figure end at the same figure."""
    monkeypatch.setattr("training.unet.learner.half_precision", lambda device: None)
    clip, critic, unet, reference = weights
    for each in weights:
        each.requires_grad_(False)
    config = replace(TINY, network=unet.config)
    reward = Reward(clip, critic, prepared.images)
    return Lesson(unet, reference, reward, Drift(len(reward.spread)), config)


def start(lesson: Lesson, texts: list[str], steps: int = 6) -> Start:
    """Of faces with the seeds 0, 1, ..."""
    condition = condition_of(lesson.reward.clip.encode_texts(texts))
    generators = [torch.Generator().manual_seed(seed) for seed in range(len(texts))]
    return Start(condition, face_noise(generators, (3, 64, 64), "cpu"), time_grid(steps, "unipc"))


# --- the rewards ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bundled():
    """The reward of the bundled networks, and 200 generated faces with what an eye says of them."""
    clip = Clip.from_file(ROOT / "weights" / "clip.safetensors")
    critic = Critic.from_file(ROOT / "weights" / "critic.safetensors", clip)
    faces, broken = sorted_by_eye(ROOT / SORTED, "first")
    return Reward(clip, critic, torch.from_numpy(faces[~broken])), to_tensor(faces), broken


def test_whole_faces_please_the_reward(bundled):
    reward, faces, broken = bundled
    with torch.no_grad():
        scores = reward.wholeness(faces).numpy()
    assert area_under_curve(scores[~broken], scores[broken]) >= 0.8
    assert scores[~broken].mean() == pytest.approx(0, abs=0.05) and scores[~broken].std() == pytest.approx(1, abs=0.05)


def test_what_lies_around_the_face_does_not_count(bundled):
    """Red above the forehead and black below the chin lower the critic's score more than the reward's."""
    reward, faces, broken = bundled
    plain = faces[~broken][:40]
    around = plain.clone()
    around[:, :, :10], around[:, :, 60:] = torch.tensor([1.0, -1.0, -1.0]).view(3, 1, 1), -1
    before, after = (reward.critic.scores(reward.clip, to_pixels(each)).mean() for each in (plain, around))
    with torch.no_grad():
        kept, lost = reward.wholeness(plain).mean(), reward.wholeness(around).mean()
    assert before - after > 2 * (kept - lost)


def test_agreement_with_a_caption(bundled):
    """The better a face fits, as CLIP's own logits have it, the smaller the disagreement."""
    reward, faces, broken = bundled
    clip, faces = reward.clip, faces[~broken][:60]
    seen = clip.encode_images(to_pixels(faces))
    with torch.no_grad():
        for text in ("a woman with blond hair", "a bald man with a goatee"):
            told = clip.encode_texts([text])
            disagreement = reward.disagreement(faces, condition_of(told).expand(60, -1))
            assert np.corrcoef(disagreement, clip.logits(seen, told)[:, 0])[0, 1] < -0.5
        for silent in (condition_of(clip.encode_texts([""])).expand(60, -1), condition_of(seen, of_images=True)):
            assert not reward.disagreement(faces, silent).any()


def test_a_moved_face_is_mirrored_or_not_and_at_most_a_pixel_away():
    face, seen = torch.randn(1, 3, 8, 8), set()
    for seed in range(300):
        (inner,) = moved(face, Random(seed))[:, 0, 1:-1, 1:-1]
        places = [
            (mirrored, down, right)
            for mirrored in (False, True)
            for down in range(3)
            for right in range(3)
            if torch.equal(inner, (face.flip(-1) if mirrored else face)[0, 0, down:][:6, right : right + 6])
        ]
        assert len(places) == 1
        seen |= set(places)
    assert len(seen) == 18


# --- learning ---------------------------------------------------------------------------------------------------------


def test_faces_are_drawn_as_the_app_draws_them(lesson, folder):
    texts, pipe = ["a man", "", "a smiling woman"], FacePipeline.from_pretrained(folder, "cpu")
    begin = start(lesson, texts, DEFAULTS.steps)._replace(condition=pipe.condition(texts))
    shown = pipe.generate(texts, [0, 1, 2])
    drawn, points = lesson.draw(lesson.reference, begin)
    assert close(to_pixels(drawn), shown)
    low, high = DEFAULTS.guidance_interval
    assert points and all(low <= point.t.min() <= point.t.max() <= high for point in points)


def test_the_gradient_is_that_of_the_whole_run(lesson):
    """Beside the difference of two runs with slightly other weights."""
    network, begin = learning(lesson.reference), start(lesson, ["a man"], 4)

    def score() -> torch.Tensor:
        return lesson.draw(network, begin)[0].square().sum()

    score().backward()
    name = max(network.modulation, key=lambda one: network.get_parameter(one).grad.norm())
    weight, step = network.get_parameter(name), 1e-3
    along = weight.grad / weight.grad.norm()
    ends = []
    with torch.no_grad():
        for sign in (1, -2):
            weight += sign * step * along
            ends.append(score().item())
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(weight.grad.norm().item(), rel=0.05)


@pytest.mark.parametrize(("broken", "mended"), [(10.0, 4), (-1e9, 0)])
def test_broken_faces_are_drawn_again(lesson, monkeypatch, broken, mended):
    seen, follow_reward = [], Lesson.follow_reward

    def counted(self, network, begin, rng):
        seen.append(len(begin.noise))
        return follow_reward(self, network, begin, rng)

    monkeypatch.setattr(Lesson, "follow_reward", counted)
    lesson, network = replace(lesson, config=replace(lesson.config, broken=broken)), learning(lesson.reference)
    told = lesson.learn(network, *start(lesson, ["a man"] * 6)[:2], Random(0))
    assert seen == [mended] and told["broken"] == bool(mended) and (told["reward_loss"] > 0) == bool(mended)
    # at the start nothing is to be said against it
    assert told["penalty"] < 1e-9 and told["drift"] < 1e-9
    assert any(parameter.grad.abs().max() > 0 for parameter in network.parameters() if parameter.requires_grad) == (
        mended > 0
    )


def test_both_rewards_count(lesson):
    """Beside the figures of the faces themselves."""
    lesson, losses = replace(lesson, config=replace(lesson.config, broken=10.0)), []
    faces = start(lesson, ["a smiling man", "a woman"], 4)
    for agreement in (0.0, 2.0):
        one = replace(lesson, config=replace(lesson.config, agreement=agreement))
        losses.append(one.follow_reward(learning(lesson.reference), faces, Random(0)))
    with torch.no_grad():
        shown = moved(lesson.draw(lesson.reference, faces)[0], Random(0))
        wanted = torch.log1p(10 - lesson.reward.wholeness(shown)).sum() / lesson.config.mended
        disagreement = lesson.reward.disagreement(shown, faces.condition).sum() / lesson.config.mended
    assert losses[0] == pytest.approx(wanted.item(), rel=1e-4) and disagreement > 0
    assert losses[1] - losses[0] == pytest.approx(2 * disagreement.item(), rel=1e-3)


def test_the_reward_rises_along_its_gradient(lesson):
    lesson, network = replace(lesson, config=replace(lesson.config, broken=10.0)), learning(lesson.reference)
    faces = start(lesson, ["a smiling man", "a woman"])
    before = lesson.follow_reward(network, faces, Random(0))
    step_down(network)
    assert lesson.follow_reward(network, faces, Random(0)) < before


def step_down(network: UNet) -> None:
    """A small step against the gradient."""
    with torch.no_grad():
        for name in network.modulation:
            parameter = network.get_parameter(name)
            parameter -= 1e-4 * torch.sign(parameter.grad)


@pytest.fixture
def astray(lesson):
    """A network that has left the reference, with the start of two faces and their first step."""
    network, generator = learning(lesson.reference), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name in network.modulation:
            parameter = network.get_parameter(name)
            parameter += torch.randn(parameter.shape, generator=generator) / 20
    condition, noise, _ = start(lesson, ["a man", ""])
    return network, condition, Point(noise, torch.tensor([0.9, 0.6]))


def test_the_penalty_leads_back(lesson, astray):
    network = astray[0]
    whole = torch.zeros(2, dtype=torch.bool)
    before = lesson.stay_near(*astray, whole)
    step_down(network)
    assert lesson.stay_near(*astray, whole) < before


def test_whole_faces_are_penalised_more(lesson, astray):
    lesson = replace(lesson, config=replace(lesson.config, penalty_broken=2.0, penalty_whole=6.0))
    each = [lesson.stay_near(*astray, torch.tensor(broken)) for broken in ((True, True), (False, False))]
    mixed = [lesson.stay_near(*astray, torch.tensor(broken)) for broken in ((True, False), (False, True))]
    assert each[1] == pytest.approx(3 * each[0].item(), rel=1e-4)
    assert sum(mixed).item() == pytest.approx(sum(each).item(), rel=1e-4)


def test_whole_faces_are_led_back_together(lesson, astray):
    """The drift of a network that has left the reference falls along the gradient; the reference's own has none."""
    network, begin = astray[0], start(lesson, ["a man", "a smiling woman"])

    def features(network: UNet) -> torch.Tensor:
        with torch.no_grad():
            return lesson.reward.features(lesson.draw(network, begin)[0])

    there = features(lesson.reference)
    lesson.stay_in_place(network, begin)
    assert not any(network.get_parameter(name).grad.any() for name in network.modulation)
    apart = features(network) - there
    lesson.drift.follow(apart)
    lesson.stay_in_place(network, begin)
    step_down(network)
    assert (features(network) - there).mean(0).square().sum() < apart.mean(0).square().sum()


def test_the_drift_is_a_mean_of_steps():
    """Faces that move to and fro drift nowhere; a step without whole faces says nothing."""
    drift, there = Drift(2), torch.tensor([[3.0, 1.0], [-3.0, 1.0]])
    drift.follow(there)
    assert drift.mean.tolist() == pytest.approx([0, DRIFT_RATE])
    drift.follow(there[:0])
    assert drift.mean.tolist() == pytest.approx([0, DRIFT_RATE])
    for _ in range(200):
        drift.follow(there)
    assert drift.mean.tolist() == pytest.approx([0, 1])


def test_resume_is_exact(weights, prepared, tmp_path):
    whole = train(weights, prepared, TINY, Run(tmp_path / "a"))
    train(weights, prepared, TINY, Run(tmp_path / "b", stop=StopAfter(2)))
    # whatever happened meanwhile must not matter
    torch.rand(7)
    resumed = train(weights, prepared, TINY, Run(tmp_path / "b"))
    assert all(torch.equal(value, resumed.modulation[name]) for name, value in whole.modulation.items())
    before = weights[-1].modulation
    assert not any(torch.equal(value, before[name]) for name, value in whole.modulation.items() if value.ndim == 2)


def test_it_learns_the_modulation_alone(weights, prepared, tmp_path):
    clip, critic, unet, reference = weights
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    learnt = train(weights, prepared, TINY, Run(tmp_path, tmp_path / "guided.safetensors"))
    assert all(torch.equal(value, before[name]) for name, value in unet.state_dict().items())
    assert all(
        torch.equal(value, before[name]) == (name not in unet.modulation) for name, value in learnt.state_dict().items()
    )
    tensors, _, info = checkpoint.load(tmp_path / "guided.safetensors")
    read = with_change(unet, {name: value.float() for name, value in tensors.items()}).modulation
    assert all(torch.allclose(value, learnt.modulation[name], atol=2e-3) for name, value in read.items())
    assert info["unet"] == unet.info["hash"] and info["guidance"] == DEFAULTS.guidance
    assert info["reward"]["guided"] == reference.info["hash"] and info["reward"]["images"] == TINY.images


def test_faces_of_another_clip_are_refused(weights, prepared, tmp_path):
    with pytest.raises(InputError, match="prepare embed"):
        train(weights, replace(prepared, clip="another"), TINY, Run(tmp_path))


def test_a_unet_of_another_clip_is_refused(weights, prepared, tmp_path, monkeypatch):
    monkeypatch.setitem(weights[2].info, "clip", "another")
    with pytest.raises(InputError, match="the U-Net was trained with another CLIP"):
        train(weights, prepared, TINY, Run(tmp_path))


def test_the_command_and_its_file(prepared_folder, folder, tmp_path):
    out = shutil.copytree(folder, tmp_path / "weights") / "guided.safetensors"
    options = ["--prepared", str(prepared_folder), "--weights", str(folder), "--recipe", "tiny", "--device", "cpu"]
    options += ["--state-dir", str(tmp_path / "run"), "--guided", str(folder / "guided.safetensors")]
    train_reward.main([*options, "--out", str(out)])
    face = Settings("a man", seed=5, steps=6)
    ways = [FacePipeline.from_pretrained(place, "cpu").generate_faces([face]) for place in (out.parent, folder)]
    assert not np.array_equal(*ways)
    with pytest.raises(SystemExit, match="training.unet.reward: .*missing"):
        train_reward.main([*options, "--guided", str(tmp_path / "none.safetensors")])
