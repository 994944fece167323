"""Preparation: geometry, the lecture's prompts and tuples, and archives with something wrong."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from model.attributes import ATTRIBUTES
from model.clip import Clip
from model.errors import InputError
from tests.conftest import ROOT, make_archive
from training.data.annotations import read_annotations
from training.data.checks import check_faces
from training.data.prepare import embed, load_prepared, main, prepare_folder, prepare_images, to_face


def test_geometry_of_the_official_size_and_of_a_squashed_one():
    """A disc in 178x218 stays a disc; the same picture squashed to a square gives the same face."""
    y, x = np.mgrid[:218, :178]
    disc = np.where((x - 88.5) ** 2 + (y - 108.5) ** 2 < 60**2, 255, 0).astype(np.uint8)
    official = Image.fromarray(disc).convert("RGB")
    face = to_face(official)
    assert face.shape == (64, 64, 3) and face.dtype == np.uint8
    lit = np.argwhere(face[..., 0] > 127)
    height, width = np.ptp(lit, axis=0) + 1
    assert abs(height - width) <= 1 and abs(width - 120 * 64 / 178) <= 1
    squashed = to_face(official.resize((64, 64), Image.Resampling.LANCZOS)).astype(int)
    assert np.abs(squashed - face).mean() < 6
    half = to_face(official.resize((89, 109), Image.Resampling.LANCZOS)).astype(int)
    assert np.abs(half - face).mean() < 6


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_any_colour_mode(mode):
    assert to_face(Image.new("RGB", (178, 218), (200, 100, 50)).convert(mode)).shape == (64, 64, 3)


def test_prepared_faces_keep_names_prompts_and_attributes(prepared, archive):
    annotations = read_annotations(archive / "list_attr_celeba.txt").rows
    assert prepared.names == list(annotations.index) and prepared.images.shape == (80, 64, 64, 3)
    assert np.array_equal(prepared.attributes.numpy(), annotations.to_numpy())
    present = [name.replace("_", " ").lower() for name in ATTRIBUTES if annotations.iloc[3][name]]
    assert prepared.prompts[3] == f"Photo of person {', '.join(present)}."
    assert [name for name, held in zip(prepared.names, prepared.validation) if held] == [
        "000020.jpg",
        "000040.jpg",
        "000060.jpg",
        "000080.jpg",
    ]


def test_names_images_prompts_and_embeddings_belong_together(prepared, tiny_weights):
    clip, image = Clip.from_file(tiny_weights / "clip.safetensors"), prepared.images[4].numpy()
    assert prepared.names[4] == "000005.jpg" and image.shape == (64, 64, 3)
    assert np.allclose(prepared.image_embeddings[4], clip.encode_images(image[None])[0], atol=2e-3)
    assert np.allclose(prepared.text_embeddings[4], clip.encode_texts([prepared.prompts[4]])[0], atol=2e-3)


def test_broken_and_missing_files_are_named_counted_and_skipped(tmp_path, capsys):
    archive = make_archive(tmp_path / "archive", 8)
    folder = archive / "img_align_celeba"
    (folder / "000002.jpg").unlink()
    (folder / "000003.jpg").write_bytes((folder / "000003.jpg").read_bytes()[:900])
    (folder / "000004.jpg").write_bytes(b"")
    (folder / "000099.jpg").write_bytes((folder / "000001.jpg").read_bytes())
    skipped = prepare_images(archive, tmp_path / "out")
    assert skipped == {
        "row without an image": ["000002.jpg"],
        "broken image": ["000003.jpg", "000004.jpg"],
        "image without a row": ["000099.jpg"],
    }
    assert load_prepared(tmp_path / "out").names == [f"{i:06d}.jpg" for i in (1, 5, 6, 7, 8)]
    main(["images", "--data", str(archive), "--out", str(tmp_path / "out")])
    assert "broken image: 2 (000003.jpg, 000004.jpg)" in capsys.readouterr().out


def test_limit_takes_the_first_rows(archive, tmp_path):
    main(["images", "--data", str(archive), "--out", str(tmp_path), "--limit", "5"])
    assert load_prepared(tmp_path).names == [f"{i:06d}.jpg" for i in range(1, 6)]


def test_what_gives_no_face_is_refused_in_one_line(tiny_weights, tmp_path):
    archive = make_archive(tmp_path / "archive", 2)
    with pytest.raises(InputError, match="--limit must be at least 1, not 0"):
        prepare_images(archive, tmp_path / "out", 0)
    for path in (archive / "img_align_celeba").iterdir():
        path.write_bytes(b"")
    with pytest.raises(InputError, match="No usable image of 2 rows"):
        prepare_images(archive, tmp_path / "out")
    (empty := tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="is no folder"):
        prepare_folder(tmp_path / "nowhere", tmp_path / "out", tiny_weights)
    with pytest.raises(InputError, match=r"holds no picture that can be read\.$"):
        prepare_folder(empty, tmp_path / "out", tiny_weights)
    with pytest.raises(InputError, match="the folders inside it are not searched"):
        prepare_folder(archive, tmp_path / "out", tiny_weights)
    assert not (tmp_path / "out").exists()


def test_a_name_cannot_leave_the_folder(tmp_path):
    archive = make_archive(tmp_path / "archive", 3)
    text = (archive / "list_attr_celeba.txt").read_text().replace("000002.jpg", "../000002.jpg")
    (archive / "list_attr_celeba.txt").write_text(text)
    assert prepare_images(archive, tmp_path / "out")["name without a number"] == ["../000002.jpg"]


def test_squashed_sources_are_marked(tmp_path):
    archive = make_archive(tmp_path / "archive", 3)
    (archive / "sources.csv").write_text("image_id,geometry\n000001.jpg,half\n000002.jpg,squashed64\n")
    prepare_images(archive, tmp_path / "out")
    assert load_prepared(tmp_path / "out").squashed.tolist() == [False, True, False]


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda folder: (folder / "list_attr_celeba.txt").unlink(), "list_attr_celeba.txt is missing"),
        (lambda folder: (folder / "list_attr_celeba.txt").write_text("1\nYoung Male\n1.jpg 1 1\n"), "40 attributes"),
        (lambda folder: (folder / "list_attr_celeba.txt").write_bytes(b""), "not an annotation file"),
        (lambda folder: (folder / "img_align_celeba").rename(folder / "elsewhere"), "img_align_celeba is missing"),
    ],
)
def test_archives_in_another_layout_are_refused_in_one_line(tmp_path, spoil, words):
    archive = make_archive(tmp_path / "archive", 2)
    spoil(archive)
    with pytest.raises(InputError, match=words) as error:
        prepare_images(archive, tmp_path / "out")
    assert "\n" not in str(error.value).strip()
    with pytest.raises(SystemExit, match="prepare: "):
        main(["images", "--data", str(archive), "--out", str(tmp_path / "out")])


def test_a_kill_leaves_nothing_half_written(tmp_path):
    """The old file stays whole, whatever the moment; a later run completes."""
    archive = make_archive(tmp_path / "archive", 400)
    out = tmp_path / "out"
    prepare_images(archive, out, limit=5)
    command = [sys.executable, "-m", "training.data.prepare", "images", "--data", str(archive), "--out", str(out)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    for line in iter(lambda: process.stderr.read(40), ""):
        # the progress bar: it is at work
        if "images:" in line:
            break
    time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    with safe_open(out / "faces.safetensors", framework="pt") as file:
        assert len(json.loads(file.metadata()["names"])) in (5, 400)
    assert prepare_images(archive, out) == {}
    assert len(load_prepared(out).names) == 400


def test_embeddings_of_other_faces_are_not_used(archive, tiny_weights, tmp_path):
    prepare_images(archive, tmp_path, limit=6)
    embed(tmp_path, tiny_weights)
    assert load_prepared(tmp_path).text_embeddings.shape == (6, 512)
    prepare_images(archive, tmp_path, limit=7)
    fresh = load_prepared(tmp_path)
    assert fresh.text_embeddings is None
    assert torch.equal(fresh.images[:6], load_prepared(tmp_path).images[:6])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes()[:2000]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\x80\x04pickle of another program"),
        lambda path: save_file({"weight": torch.zeros(3)}, path),
        lambda path: save_file({"weight": torch.zeros(3)}, path, {"names": "[]", "prompts": "[]", "clip": "x"}),
        lambda path: save_file({"images": torch.zeros(3)}, path, {"names": "7", "prompts": "{}", "clip": "x"}),
    ],
    ids=["cut off", "empty", "pickle", "other", "other with names", "names that are none"],
)
@pytest.mark.parametrize(
    "name, cure", [("faces", "run `make prepare DATA=...` again"), ("embeddings", "run `make embed` again")]
)
def test_damaged_prepared_files_are_one_line_with_file_and_cure(archive, tiny_weights, tmp_path, spoil, name, cure):
    prepare_images(archive, tmp_path, limit=4)
    embed(tmp_path, tiny_weights)
    # not the file itself, mapped into memory
    before = load_prepared(tmp_path).text_embeddings.clone()
    spoil(tmp_path / f"{name}.safetensors")
    with pytest.raises(InputError, match=re.escape(cure)) as error:
        load_prepared(tmp_path)
    assert f"{name}.safetensors" in str(error.value) and "\n" not in str(error.value)
    if name == "embeddings":
        # the cure helps
        embed(tmp_path, tiny_weights)
        assert torch.equal(load_prepared(tmp_path).text_embeddings, before)


def test_a_set_of_validation_faces_only_cannot_be_trained_on(archive, tmp_path):
    table = (archive / "list_attr_celeba.txt").read_text().splitlines()
    (tmp_path / "img_align_celeba").symlink_to(archive / "img_align_celeba")
    (tmp_path / "list_attr_celeba.txt").write_text("\n".join(["1", table[1], table[21]]))
    prepare_images(tmp_path, tmp_path / "out")
    prepared = load_prepared(tmp_path / "out")
    assert prepared.names == ["000020.jpg"]
    with pytest.raises(InputError, match="no training faces"):
        check_faces(prepared)
