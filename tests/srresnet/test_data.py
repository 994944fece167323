"""What the upsamplers learn from: people kept apart, patches, damage, faces that went through the U-Net."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from model.errors import FacetError, InputError
from model.pipeline import FacePipeline
from tests.photos import data, drawing  # noqa: F401
from training.srresnet.data import (
    GENERAL,
    DataConfig,
    Photo,
    Photos,
    Source,
    degrade,
    generator_of,
    image_files,
    is_held_out,
    load_round_trips,
    load_training_images,
    person,
    read_image,
    sample_batch,
    sample_pair,
    shrink,
)
from training.srresnet.quality import load_held_out, psnr
from training.srresnet.round_trip import prepare, round_trip

TINY = DataConfig(patch=8, round_trip=0.0)


def picture(width: int, height: int, seed: int = 0) -> torch.Tensor:
    """(3, H, W) uint8"""
    return torch.from_numpy(np.array(drawing(width, height, seed))).permute(2, 0, 1)


# --- people -----------------------------------------------------------------------------------------------------------


def test_no_person_is_on_both_sides():
    assert person("london-smiling-005.jpg") == person("london-neutral-005.jpg") == "london-005"
    assert person("canada-003f.jpg") == "canada-003" != person("london-neutral-003.jpg")
    names = [f"london-{look}-{i:03d}.jpg" for i in range(1, 174) for look in ("neutral", "smiling")]
    names += [f"canada-{i:03d}{'f' if i < 80 else 'm'}.jpg" for i in range(1, 155)]
    held_out = {person(name) for name in names if is_held_out(name)}
    assert held_out.isdisjoint(person(name) for name in names if not is_held_out(name))
    assert len(held_out) / len({person(name) for name in names}) == pytest.approx(0.2, abs=0.01)


def test_held_out_people_are_not_trained_on(data):  # noqa: F811
    photos, _ = load_training_images(data, TINY)
    # three sides of person 4; t1 is too small
    assert [len(group.all) for group in photos] == [3, 2, 1]
    true, inputs = load_held_out(data)
    assert true.shape == (1, 3, 512, 512) and {kind: small.shape for kind, small in inputs.items()} == dict.fromkeys(
        ("clean", "degraded"), (1, 3, 64, 64)
    )
    assert not any(torch.equal(photo.true, true[0]) for photo in photos[0].all)


def test_general_photos_come_in_several_sizes(data):  # noqa: F811
    photos, _ = load_training_images(data, replace(TINY, sources=GENERAL))
    assert [tuple(photo.true.shape) for photo in photos[0].all] == [(3, 100, 120), (3, 80, 96), (3, 65, 78)]


def test_a_folder_without_images_is_named(tmp_path):
    for load in (lambda path: load_training_images(path, TINY), load_held_out):
        with pytest.raises(FacetError) as error:
            load(tmp_path)
        assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


# --- patches ----------------------------------------------------------------------------------------------------------


def test_shrink_is_pils_bicubic():
    image = drawing(128, 128, 0)
    ours = shrink(torch.from_numpy(np.array(image)).permute(2, 0, 1)[None], 8)[0].permute(1, 2, 0).numpy()
    assert np.abs(ours.astype(int) - np.asarray(image.resize((16, 16), Image.Resampling.BICUBIC))).max() <= 1


def test_batches_have_the_input_size_at_either_scale(data):  # noqa: F811
    photos, _ = load_training_images(data, TINY)
    sides = set()
    for step in range(30):
        small, true = sample_batch(photos, TINY, 2, generator_of(0, step))
        assert small.shape == (2, 3, 8, 8) and small.dtype == true.dtype == torch.uint8
        sides.add(true.shape[-1])
    # scales 4 and 8
    assert sides == {32, 64}
    again = [sample_batch(photos, TINY, 2, generator_of(0, rank, 7)) for rank in (0, 0, 1)]
    assert torch.equal(again[0][1], again[1][1])
    assert again[0][1].shape != again[2][1].shape or not torch.equal(again[0][1], again[2][1])


def test_an_input_patch_is_cut_from_the_whole_input():
    """Also at its edges: what the kernel reaches beyond the patch counts. And small and true are turned alike."""
    source = Source(("x",), 4, 1.0, turned=True)
    # 12 x 12 px of input: patch 8 and its margins fit only one way
    true = picture(48, 48)
    photos, config = Photos(source, [Photo(true, None)], []), DataConfig((source,), patch=8, degraded=0.0)
    whole = shrink(true[None].float(), 4)[0].round().clamp(0, 255).byte()
    expected = {
        tuple(
            torch.rot90(whole[:, 2:-2, 2:-2].flip(2) if flip else whole[:, 2:-2, 2:-2], turn, (1, 2)).flatten().tolist()
        )
        for flip in (0, 1)
        for turn in range(4)
    }
    seen = set()
    for step in range(60):
        small, large = sample_pair(photos, config, generator_of(step))
        seen.add(tuple(small.flatten().tolist()))
        assert psnr(shrink(large[None], 4)[0].permute(1, 2, 0).numpy(), small.permute(1, 2, 0).numpy(), 1) > 30
    assert seen == expected and len(seen) == 8


def test_degrade_is_mild_and_repeatable():
    image = picture(64, 64)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        damaged = degrade(image, generator)
        assert damaged.shape == image.shape and damaged.dtype == torch.uint8
        assert 18 < psnr(damaged.permute(1, 2, 0).numpy(), image.permute(1, 2, 0).numpy(), 8) < 45
    again = [degrade(image, torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(*again)
    # noise at the ends of the range does not wrap around
    for level in (0, 255):
        flat = torch.full((3, 16, 16), level, dtype=torch.uint8)
        assert (degrade(flat, generator).int() - level).abs().max() < 40
    grey = torch.full((3, 32, 32), 128, dtype=torch.uint8)
    shifts = torch.stack([degrade(grey, generator).float().mean((1, 2)) - 128 for _ in range(40)])
    assert 1 < shifts.abs().max() < 5 and shifts.mean().abs() < 1
    # the colours move apart
    assert (shifts.amax(1) - shifts.amin(1)).max() > 1


# --- through the U-Net ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def round_trips(data, tiny_weights, tmp_path_factory):  # noqa: F811
    out = tmp_path_factory.mktemp("round_trip") / "round_trip.safetensors"
    assert prepare(data, FacePipeline.from_pretrained(tiny_weights, "cpu"), out, times=(0.06, 0.2)) == 6
    return out


def test_faces_go_through_the_unet_and_are_kept_with_their_names(data, round_trips):  # noqa: F811
    versions = load_round_trips(round_trips)
    assert {name: tuple(small.shape) for name, small in versions.items()} == dict.fromkeys(
        ("faces_hq/london-neutral-004.jpg", "faces_hq/london-neutral-005.jpg", "faces_256/00001.jpg"), (2, 3, 64, 64)
    )
    for small in versions.values():
        assert not torch.equal(small[0], small[1])
    inputs = load_held_out(data, round_trips)[1]
    assert torch.equal(inputs["round trip"][0], versions["faces_hq/london-neutral-005.jpg"][0])


def test_a_little_noise_leaves_the_face_and_more_changes_more(tiny_weights):
    pipe = FacePipeline.from_pretrained(tiny_weights, "cpu")
    faces = torch.stack([picture(64, 64, seed) for seed in range(2)])
    little, same, more = (round_trip(pipe, faces, time, [1, 2]).float() for time in (0.02, 0.02, 0.5))
    assert torch.equal(little, same)
    assert (little - faces).square().mean() < (more - faces).square().mean()
    alone = round_trip(pipe, faces[1:], 0.02, [2])
    assert (alone.float() - little[1:]).abs().max() <= 2


def test_round_trips_are_drawn_with_their_true_patch(data, round_trips):  # noqa: F811
    """Here every such version is the clean input itself, so each patch must fit its true patch."""
    config = replace(TINY, round_trip=1.0)
    photos, with_round_trips = load_training_images(data, config, round_trips)
    # of three sides one is 8 x 64; faces_256 is 4 x 64
    assert [len(group.round_trip) for group in photos] == [1, 1, 0]
    assert with_round_trips != load_training_images(data, TINY)[1]
    for group in photos[:2]:
        photo = group.round_trip[0]
        clean = shrink(photo.true[None], group.source.scale)
        fitting = Photos(group.source, [], [Photo(photo.true, clean)])
        for step in range(10):
            small, true = sample_pair(fitting, config, generator_of(step))
            assert (
                psnr(
                    shrink(true[None], group.source.scale)[0].permute(1, 2, 0).numpy(),
                    small.permute(1, 2, 0).numpy(),
                    1,
                )
                > 30
            )


def test_a_missing_or_foreign_file_of_round_trips_is_named(data, round_trips, tmp_path):  # noqa: F811
    (tmp_path / "rubbish.safetensors").write_bytes(b"rubbish")
    for path in (tmp_path / "none.safetensors", tmp_path / "rubbish.safetensors"):
        with pytest.raises(InputError, match="training.srresnet.round_trip") as error:
            load_training_images(data, replace(TINY, round_trip=0.5), path)
        assert str(path) in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(FacetError, match="faces_hq"):
        prepare(tmp_path, None, tmp_path / "x.safetensors")


def test_images_are_read_in_any_mode(tmp_path):
    for mode in ("L", "RGBA", "P"):
        drawing(20, 30, 0).convert(mode).save(tmp_path / f"{mode}.png")
        assert read_image(tmp_path / f"{mode}.png").shape == (3, 30, 20)
    assert read_image(tmp_path / "L.png", side=8).shape == (3, 8, 8)
    assert read_image(tmp_path / "L.png", factor=0.5).shape == (3, 15, 10)
    assert len(image_files(tmp_path)) == 3
