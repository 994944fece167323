"""Textual inversion, on drawn faces and a tiny U-Net of random weights."""

import pytest
import torch

from model.attributes import ATTRIBUTES, CONCEPTS
from model.clip import Clip
from model.errors import InputError
from model.files import checkpoint
from model.unet import UNet
from model.words.concepts import Concepts
from training.data.concepts import APART, LISTS, balanced, examples
from training.data.prepared import VALIDATION
from training.unet.concepts import Inversion, main


@pytest.fixture
def lists(prepared, tmp_path):
    """For each concept the pale faces, whose skin is of another colour, and one held out."""
    pale = prepared.attributes[:, ATTRIBUTES.index("Pale_Skin")]
    for concept in CONCEPTS:
        names = [name for name, shown in zip(prepared.names, pale.tolist()) if shown]
        (tmp_path / f"{concept.lower()}.txt").write_text("\n".join([*names, "000020.jpg", "999999.jpg"]))
    return tmp_path


def test_the_loss_falls_while_the_networks_stay(prepared, tiny_weights, lists):
    clip, unet = Clip.from_file(tiny_weights / "clip.safetensors"), UNet.from_file(tiny_weights / "unet.safetensors")
    before = {name: tensor.clone() for name, tensor in unet.state_dict().items()}
    shown, steps = {concept: examples(prepared, concept, lists) for concept in CONCEPTS}, 30
    first, again, third = (Inversion(prepared, clip, unet, shown, batch=16) for _ in range(3))
    losses = [first.learn(step, steps) for step in range(steps)]
    assert all(torch.equal(tensor, before[name]) for name, tensor in unet.state_dict().items())
    assert set(first.vectors) == set(CONCEPTS) and all(vector.norm() > 0 for vector in first.vectors.values())
    # on the first batch once more, with what was learnt since
    again.scaled.data.copy_(first.scaled.data)
    assert all(now < then for now, then in zip(again.learn(0, steps), losses[0], strict=True))
    assert [third.learn(step, steps) for step in range(3)] == losses[:3]


def test_no_photograph_is_held_out_or_unknown(prepared, lists):
    for concept in CONCEPTS:
        shown = examples(prepared, concept, lists)
        names = [prepared.names[row] for row in shown.rows.tolist()]
        assert len(names) == len(set(names)) == len(shown.weights) and shown.weights.sum() == pytest.approx(1)
        assert all(int(name.removesuffix(".jpg")) % VALIDATION for name in names)
    (lists / "red_hair.txt").write_text("999999.jpg\n")
    with pytest.raises(InputError, match=r"None of the photographs in .*red_hair.txt"):
        examples(prepared, "Red_Hair", lists)


def test_what_a_concept_is_not_about_is_as_frequent_as_in_all_faces():
    generator = torch.Generator().manual_seed(0)
    everyone = torch.rand(4000, 40, generator=generator) < 0.4
    # three in four are men, most smile
    shown = torch.rand(800, 40, generator=generator) < 0.4
    male, smiling = ATTRIBUTES.index("Male"), ATTRIBUTES.index("Smiling")
    shown[:, male] = torch.rand(800, generator=generator) < 0.75
    shown[:, smiling] = torch.rand(800, generator=generator) < 0.6
    weights = balanced(everyone, shown)
    assert weights.sum() == pytest.approx(1, abs=1e-4)
    for attribute, left in ((male, 0.1), (smiling, 0.6)):
        wanted, before = (faces[:, attribute].float().mean().item() for faces in (everyone, shown))
        after = (weights * shown[:, attribute]).sum().item()
        # what is left of the difference
        assert abs(after - wanted) < left * abs(before - wanted)
    assert set(APART) <= set(ATTRIBUTES)


def test_the_lists_name_photographs_once():
    for concept in CONCEPTS:
        names = (LISTS / f"{concept.lower()}.txt").read_text().split()
        assert names == sorted(set(names)) and len(names) > 100
        assert all(int(name.removesuffix(".jpg")) % VALIDATION for name in names)


def test_one_concept_is_learnt_and_the_others_are_kept(prepared_folder, tiny_weights, lists, tmp_path, monkeypatch):
    monkeypatch.setattr("training.data.concepts.examples.__defaults__", (lists,))
    out = tmp_path / "concepts.safetensors"
    run = ["--prepared", str(prepared_folder), "--weights", str(tiny_weights), "--out", str(out), "--device", "cpu"]
    run += ["--steps", "1", "--batch", "2"]
    main(run)
    before, unet = checkpoint.load(out)[0], UNet.from_file(tiny_weights / "unet.safetensors")
    main([*run, "--steps", "2", "--only", "Red_Hair"])
    after = Concepts.from_file(out, unet).vectors
    assert set(before) == set(after) == set(CONCEPTS)
    assert [name for name in CONCEPTS if not torch.equal(before[name], after[name])] == ["Red_Hair"]
    # before an hour is spent
    with pytest.raises(SystemExit, match="^training.unet.concepts: --out: .* is a folder"):
        main([*run, "--out", str(tmp_path)])
    for none in (["--steps", "0"], ["--batch", "0"]):
        with pytest.raises(SystemExit, match="^training.unet.concepts: A concept is learnt from"):
            main([*run, *none])


def test_networks_that_do_not_belong_together_are_refused(tiny_weights, tmp_path):
    from tests.conftest import random_unet, save_unet

    (tmp_path / "clip.safetensors").write_bytes((tiny_weights / "clip.safetensors").read_bytes())
    save_unet(tmp_path / "unet.safetensors", random_unet(), "another")
    with pytest.raises(SystemExit, match="^training.unet.concepts: .* trained with another CLIP"):
        main(["--weights", str(tmp_path), "--device", "cpu"])
