"""The critic: its Gaussians, its scale, faces it has sorted beside an eye, refusals."""

import numpy as np
import pytest
import torch

from model.clip import Clip
from model.critic import Critic, CriticConfig, Places, Scale, can_see, feature_maps
from model.errors import WeightsError
from model.files import checkpoint
from tests.conftest import ROOT
from training.critic.fit import area_under_curve, beside_the_eye


def test_distances_are_mahalanobis():
    """At every place: of the features that were fitted, the mean squared distance is their number of directions."""
    torch.manual_seed(0)
    maps = torch.randn(4000, 6, 2, 2) @ torch.diag(torch.tensor([1.0, 3.0])) + 5
    places = Places(6, 6, 2)
    places.fit(maps)
    assert places(maps).mean(0) == pytest.approx(torch.full((2, 2), 6.0), rel=0.05)
    far = maps[:1].clone()
    far[0, :, 1, 0] += 40
    assert (places(far)[0] > 100).tolist() == [[False, False], [True, False]]


@pytest.fixture(scope="module")
def bundled() -> tuple[Critic, Clip]:
    clip = Clip.from_file(ROOT / "weights" / "clip.safetensors")
    return Critic.from_file(ROOT / "weights" / "critic.safetensors", clip), clip


def test_the_bundled_critic_agrees_with_the_eye(bundled):
    for name, area in beside_the_eye(*bundled).items():
        assert area >= 0.85, name


def test_a_torn_face_scores_lower_than_the_whole_one(bundled):
    from training.critic.fit import SORTED, sorted_by_eye

    critic, clip = bundled
    faces, broken = sorted_by_eye(ROOT / SORTED, "first")
    whole = faces[~broken][:20]
    torn = whole.copy()
    torn[:, 24:44] = np.roll(whole[:, 24:44], 14, axis=2)
    assert (critic.scores(clip, torn) < critic.scores(clip, whole)).mean() >= 0.9
    assert critic.scores(clip, whole[:1]) == pytest.approx(critic.scores(clip, whole)[:1], abs=1e-3)
    assert critic.scores(clip, whole[:0]).shape == (0,)


def test_one_fitted_to_another_clip_is_refused(tmp_path, tiny_weights):
    clip = Clip.from_file(tiny_weights / "clip.safetensors")
    assert can_see(clip)
    second, third = feature_maps(clip, np.zeros((1, 64, 64, 3), np.uint8))
    config = CriticConfig(directions=4, channels=(second.shape[1], third.shape[1]), size=second.shape[-1])
    critic = Critic(config)
    path = tmp_path / "critic.safetensors"
    checkpoint.save(path, critic.state_dict(), vars(config), {"kind": "critic", "clip": "another"}, torch.float32)
    with pytest.raises(WeightsError, match="another CLIP") as error:
        Critic.from_file(path, clip)
    assert "\n" not in str(error.value)
    checkpoint.save(path, critic.state_dict(), vars(config), {"kind": "critic", "clip": clip.hash}, torch.float32)
    assert Critic.from_file(path, clip).scores(clip, np.zeros((2, 64, 64, 3), np.uint8)).shape == (2,)


def test_what_is_learnt_counts_more():
    """And photographs keep mean 0 and standard deviation 1."""
    distances = torch.rand(500, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 5.0, 20.0])
    for weight in (1.0, 3.0):
        scale = Scale.of(distances, weight)
        scores = scale.scores(distances, weight)
        assert scores.mean().abs() < 1e-5 and scores.std() == pytest.approx(1, abs=1e-5)
        farther = [scale.scores(distances + scale.std[:3] * torch.eye(3)[k], weight) - scores for k in range(3)]
        assert farther[0].mean() == pytest.approx(float(farther[1].mean()), abs=1e-5)
        assert farther[2].mean() == pytest.approx(weight * float(farther[1].mean()), abs=1e-5)


def test_the_area_under_the_curve():
    assert area_under_curve(np.array([3.0, 2.0]), np.array([1.0, 0.0])) == 1
    assert area_under_curve(np.array([1.0]), np.array([1.0])) == 0.5
