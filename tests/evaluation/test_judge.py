"""The judge: features, thresholds, what is measured on real faces, and that it learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from model.attributes import ATTRIBUTES
from training.core.run import Run
from training.evaluation.judge import FEATURES, Judge, balanced_accuracy, best_threshold, judged_by_halves
from training.evaluation.train_judge import RECIPES, augment, measure, train


def test_features_and_logits_of_faces():
    judge = Judge().eval()
    faces = np.random.default_rng(0).integers(0, 255, (5, 64, 64, 3), dtype=np.uint8)
    activations = judge.activations(faces, batch=2)
    assert (
        activations["pooled"].shape == (5, 256)
        and activations["spatial"].shape == (5, 512)
        and activations["logits"].shape == (5, 40)
    )
    assert np.allclose(judge.activations(faces[3:4])["logits"][0], activations["logits"][3], atol=1e-4)
    judge.thresholds += 2
    assert np.allclose(judge.activations(faces)["logits"], activations["logits"] - 2, atol=1e-4)


def test_spatial_features_know_where_things_are_and_pooled_ones_do_not():
    torch.manual_seed(0)
    judge = Judge().eval()
    face = np.random.default_rng(0).integers(0, 255, (1, 64, 64, 3), dtype=np.uint8)
    moved = np.roll(face, 32, axis=1)
    near, far = judge.activations(face), judge.activations(moved)
    change = {name: np.abs(near[name] - far[name]).mean() / np.abs(near[name]).mean() for name in FEATURES}
    assert change["spatial"] > 2 * change["pooled"]


def test_balanced_accuracy_of_perfect_and_of_useless_scores():
    wanted = torch.arange(400) % 4 == 0
    assert (
        balanced_accuracy(wanted, wanted) == 1.0 and balanced_accuracy(torch.ones(400, dtype=torch.bool), wanted) == 0.5
    )
    scores = torch.rand(400, generator=torch.Generator().manual_seed(0))
    assert abs(balanced_accuracy(scores > best_threshold(scores, wanted), wanted) - 0.5) < 0.12
    assert np.isnan(balanced_accuracy(wanted, torch.zeros(400, dtype=torch.bool)))


def test_thresholds_are_set_on_one_half_and_measured_on_the_other():
    wanted = torch.rand(200, 3, generator=torch.Generator().manual_seed(1)) < 0.3
    scores = wanted.float() * 2 + 5
    # the other half says the opposite
    scores[1::2, 1] = -scores[1::2, 1]
    thresholds, rates = judged_by_halves(scores, wanted)
    assert rates[0] == rates[2] == 1 and rates[1] <= 0.5 and ((thresholds >= 5) & (thresholds < 7)).all()


def test_training_learns_measures_and_saves(prepared, tmp_path):
    config = replace(RECIPES["tiny"], images=1600)
    judge = train(prepared, config, Run(tmp_path / "run", tmp_path / "judge.safetensors", device="cpu"))
    again = Judge.from_file(tmp_path / "judge.safetensors")
    faces = prepared.images[~prepared.validation].numpy()
    assert np.allclose(again.activations(faces)["logits"], judge.activations(faces)["logits"], atol=1e-5)
    # easy to see in drawn faces
    wanted = prepared.attributes[~prepared.validation][:, ATTRIBUTES.index("Pale_Skin")].numpy()
    seen = judge.activations(faces)["logits"][:, ATTRIBUTES.index("Pale_Skin")]
    assert seen[wanted].mean() > seen[~wanted].mean()
    both = np.concatenate([again.activations(faces)["pooled"], again.activations(faces[:, :, ::-1].copy())["pooled"]])
    assert np.allclose(again.pooled_mean, both.mean(0), atol=1e-4)
    assert np.allclose(again.pooled_covariance, np.cov(both.T), atol=1e-4)
    assert again.info["kind"] == "judge" and set(again.info["validation"]) == {
        "accuracy",
        "balanced_accuracy_mean",
        "balanced_accuracy",
    }


def test_measuring_sets_thresholds_where_the_classes_part(prepared):
    torch.manual_seed(0)
    judge = Judge(RECIPES["tiny"].network).eval()
    # every face is validation
    many = replace(prepared, names=[f"{20 * (i + 1)}.jpg" for i in range(len(prepared.names))])
    measure(judge, replace(many, names=many.names[:-8] + [f"{20 * i + 1}.jpg" for i in range(8)]))
    assert judge.thresholds.abs().sum() > 0


def test_augment_keeps_range_and_shape():
    images = torch.rand(6, 3, 64, 64)
    assert augment(images).shape == images.shape and augment(images).min() >= 0 and augment(images).max() <= 1


@pytest.mark.parametrize("index", [0, 39])
def test_order_of_the_logits_is_celebas(index):
    """A head whose bias favours one attribute makes the judge see that one."""
    judge = Judge().eval()
    torch.nn.init.zeros_(judge.head.weight), torch.nn.init.constant_(judge.head.bias, -1.0)
    judge.head.bias.data[index] = 1.0
    assert (judge.activations(np.zeros((1, 64, 64, 3), np.uint8))["logits"][0] > 0).nonzero()[0].tolist() == [index]
