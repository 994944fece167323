"""What the critic learns from: faces that were tampered with, and that it tells them from whole ones."""

import numpy as np
import pytest
import torch

from model.clip import Clip
from model.critic import Critic, CriticConfig, feature_maps
from tests.conftest import ROOT
from training.critic import fit as script
from training.critic.fit import SORTED, area_under_curve, drawn_faces, learn_tampering
from training.critic.grades import BENCHMARK, TRAINING, Graded, beside_grades, learn_grades, sheet, taken
from training.critic.tamper import Tamper, blurred


@pytest.fixture(scope="module")
def faces() -> torch.Tensor:
    """200 generated faces, (N, 3, 64, 64) in [0, 1]."""
    return torch.from_numpy(sheet(ROOT / SORTED / "first.webp").copy()).permute(0, 3, 1, 2).float() / 255


def test_tampering_changes_a_patch_where_it_should(faces):
    tamper = Tamper(0)
    broken, border = ((each - faces).abs().amax(1) > 4 / 255 for each in (tamper.inside(faces), tamper.outside(faces)))
    # nearly every one is changed, and none all over
    assert broken.flatten(1).any(1).float().mean() > 0.98
    assert broken.flatten(1).float().mean(1).max() < 0.75
    middle = slice(28, 48), slice(24, 40)
    assert broken[:, *middle].flatten(1).any(1).float().mean() > 0.85
    assert border[:, *middle].flatten(1).any(1).float().mean() < 0.15
    # the corners of the picture are the background's
    corners = torch.stack([broken[:, y, x] for y in (0, 63) for x in (0, 63)])
    assert corners.float().mean() < 0.15


def test_tampering_follows_from_its_seed(faces):
    first, again, other = (Tamper(seed).inside(faces[:20]) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.min() >= 0 and first.max() <= 1 and first.shape == (20, 3, 64, 64)


def test_what_is_moved_is_fetched_from_where_the_flow_says(faces):
    flow = torch.zeros(1, 2, 64, 64)
    flow[:, 0], flow[:, 1] = 3, -2
    moved = Tamper(0).moved(faces[:1], flow)
    torch.testing.assert_close(moved[0, :, 10:50, 10:50], faces[0, :, 8:48, 13:53], atol=1e-4, rtol=0)


def test_a_blur_keeps_the_mean_and_what_is_flat():
    flat = torch.full((2, 3, 64, 64), 0.3)
    torch.testing.assert_close(blurred(flat, 3), flat)
    dot = torch.zeros(1, 1, 64, 64)
    dot[0, 0, 32, 32] = 1
    spread = blurred(dot, 2)
    assert spread.sum() == pytest.approx(1, abs=1e-5) and spread.max() == spread[0, 0, 32, 32] < 0.06


def test_it_learns_to_tell_tampered_faces(faces, monkeypatch):
    """Two hundred faces are few: tampering with the faces it learnt from is told, in a new place."""
    monkeypatch.setattr(script, "BATCH", 32)
    monkeypatch.setattr(script, "LEARNING_RATE", 5e-3)
    clip = Clip.from_file(ROOT / "weights" / "clip.safetensors")
    torch.manual_seed(0)
    critic = Critic(CriticConfig(width=32)).eval()
    pixels = (faces.permute(0, 2, 3, 1) * 255).round().byte()
    learn_tampering(critic, clip, (pixels[:100], pixels[100:]), steps=50)
    assert not critic.tampered.training
    broken = (Tamper(9).inside(faces).permute(0, 2, 3, 1) * 255).round().byte()
    with torch.no_grad():
        odds = [critic.tampered(feature_maps(clip, each.numpy())).numpy() for each in (broken, pixels)]
    assert area_under_curve(*odds) > 0.65


def some(graded: Graded, rows: slice, viewers: slice) -> Graded:
    return Graded(graded.faces[rows], graded.previews[rows], graded.viewers[viewers])


def test_graded_faces_are_read():
    training, benchmark = Graded.read(ROOT / TRAINING), Graded.read(ROOT / BENCHMARK)
    assert training.faces.shape == training.previews.shape == (1600, 64, 64, 3)
    assert [len(own) for own in training.viewers] == [200] * 8 and [len(own) for own in benchmark.viewers] == [600] * 2
    assert {grade for graded in (training, benchmark) for own in graded.viewers for grade in own} == {0, 1, 2, 3}
    # a preview is nearly the face, and that of no other
    apart = np.abs(benchmark.faces[:50].astype(int) - benchmark.previews[:50]).mean()
    assert apart < np.abs(benchmark.faces[:50].astype(int) - benchmark.previews[1:51]).mean() / 3
    # the two grades of a face are much the same
    assert np.corrcoef(benchmark.viewers)[0, 1] > 0.6


def test_a_grade_counts_among_those_of_its_viewer():
    strict, kind = np.array([0, 0, 1, 2]), np.array([2, 3, 3, 3])
    graded = Graded(np.zeros((8, 64, 64, 3), np.uint8), np.zeros((8, 64, 64, 3), np.uint8), (strict, kind))
    assert graded.ranks().tolist() == [0.25, 0.25, 0.625, 0.875, 0.125, 0.625, 0.625, 0.625]
    assert graded.grades().tolist() == [1, 1.5, 2, 2.5]
    assert taken(np.array([[0, 3], [1, 2]]), np.array([[5, 4], [0, 1]])).tolist() == [0, 2]


def test_it_learns_from_grades():
    """Four hundred faces teach what is said of others."""
    clip = Clip.from_file(ROOT / "weights" / "clip.safetensors")
    torch.manual_seed(0)
    network = Critic(CriticConfig(width=32)).tampered
    learn_grades(network, clip, some(Graded.read(ROOT / TRAINING), slice(400), slice(2)), steps=60)
    assert not network.training
    others = some(Graded.read(ROOT / BENCHMARK), slice(200), slice(2))
    with torch.no_grad():
        odds = network(feature_maps(clip, others.faces)).numpy()
    assert np.corrcoef(odds, np.mean([own[:200] for own in others.viewers], axis=0))[0, 1] < -0.4


def test_the_bundled_critic_chooses_better_faces():
    clip = Clip.from_file(ROOT / "weights" / "clip.safetensors")
    critic = Critic.from_file(ROOT / "weights" / "critic.safetensors", clip)
    figures = beside_grades(critic, clip, Graded.read(ROOT / BENCHMARK))
    one, chosen, best = (figures[f"grade, {name}"] for name in ("one seed", "the critic's", "the viewers'"))
    assert chosen - one > 0.6 * (best - one)
    assert figures["broken, the critic's"] < figures["broken, one seed"] / 2


def test_the_bundled_critic_tells_tampered_faces(faces):
    clip = Clip.from_file(ROOT / "weights" / "clip.safetensors")
    critic = Critic.from_file(ROOT / "weights" / "critic.safetensors", clip)
    whole, inside, outside = (
        critic.scores(clip, (each.permute(0, 2, 3, 1) * 255).round().byte().numpy())
        for each in (faces, Tamper(5).inside(faces), Tamper(5).outside(faces))
    )
    assert (whole > inside).mean() > 0.9
    # and a strange background is no broken face
    assert (whole - outside).mean() < 0.3 * (whole - inside).mean()


def test_drawn_faces_are_found_among_what_the_evaluation_keeps(tmp_path):
    assert drawn_faces(tmp_path / "none").shape == (0, 64, 64, 3)
    face = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    np.save(tmp_path / "a.npy", face[:2])
    np.save(tmp_path / "b.npy", np.zeros((5, 256), np.float32))
    np.save(tmp_path / "c.npy", face[2:])
    assert np.array_equal(drawn_faces(tmp_path).numpy(), face)


def test_a_file_without_tampering_still_scores(tmp_path):
    clip = Clip.from_file(ROOT / "weights" / "clip.safetensors")
    critic = Critic(CriticConfig()).eval()
    assert critic.tampered is None
    noise = np.random.default_rng(0).integers(0, 256, (80, 64, 64, 3), np.uint8)
    critic.fit(clip, noise)
    scores = critic.scores(clip, noise)
    assert scores.mean() == pytest.approx(0, abs=1e-3) and scores.std() == pytest.approx(1, abs=0.02)
