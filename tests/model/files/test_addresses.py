"""Weights and pictures by name, devices by name: as people write them, or one line before anything is drawn."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from model.__main__ import main, writable
from model.device import pick_device
from model.errors import InputError, WeightsError
from model.files.hub import plain
from model.pipeline import FacePipeline


@pytest.mark.parametrize(
    "written",
    ["{}", '"{}"', "'{}'", " {} ", "{}/", "file://{}", '"file://{}"', "file://localhost{}", "$HERE", "${{HERE}}", "~"],
)
def test_a_folder_of_weights_as_people_write_it(tmp_path, monkeypatch, written):
    monkeypatch.setenv("HERE", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Path(plain(written.format(tmp_path))) == tmp_path


def test_a_name_with_spaces_and_a_quote(tmp_path):
    folder = tmp_path / "my weights' folder"
    folder.mkdir()
    assert plain(folder) == plain(folder.as_uri()) == str(folder)
    assert plain('"') == '"' and plain("owner/repo@main") == "owner/repo@main" and plain("") == ""


def test_what_is_no_address_is_one_line(tmp_path):
    for source in (
        "",
        "weihgts",
        "file:///gone",
        "https://huggingface.co/owner/repo",
        "owner/repo",
        str(tmp_path / "x"),
    ):
        with pytest.raises(WeightsError, match="is neither a folder with weights nor owner/repo@revision"):
            FacePipeline.from_pretrained(source)


@pytest.mark.parametrize(
    "name",
    [
        "meta",
        "hpu",
        "xla",
        "vulkan",
        "cuda:99",
        "cpu:x",
        "gpu",
        "",
        "CUDA",
        "privateuseone",
        "fpga",
        "x" * 99,
    ],
)
def test_a_device_that_is_not_there_is_one_line(name):
    with pytest.raises(InputError, match="There is no device .* here: use auto") as error:
        pick_device(name)
    assert "\n" not in str(error.value)


def test_devices_that_are_there():
    assert pick_device("cpu").type == "cpu" and pick_device().type in ("cpu", "cuda")
    if not torch.backends.mps.is_available():
        with pytest.raises(InputError):
            pick_device("mps")


@pytest.mark.parametrize(
    "name, words",
    [
        ("", "is a folder: name a file in it"),
        ("face", "names no kind of picture"),
        ("face.", "names no kind of picture"),
        ("face.txt", "names no kind of picture"),
        ("face.png/", "is a folder|names no kind|cannot be written"),
        ("gone/face.png", "cannot be written: No such file"),
        ("file.txt/face.png", "cannot be written: Not a directory"),
        ("x" * 300 + ".png", "cannot be written: File name too long"),
        ("a\0b.png", "cannot be written"),
    ],
)
def test_an_out_that_cannot_be_is_told_before_anything_is_drawn(tmp_path, monkeypatch, name, words):
    (tmp_path / "file.txt").write_text("text")
    (tmp_path / "face.png").mkdir()
    monkeypatch.setattr(FacePipeline, "from_pretrained", lambda *_: pytest.fail("it began to draw"))
    with pytest.raises(SystemExit, match=words) as error:
        main(["a man", "--out", f"{tmp_path}/{name}"])
    assert "\n" not in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["face.png", "file.txt"]


def test_a_device_file_is_never_replaced():
    with pytest.raises(InputError, match="no file that can be replaced"):
        writable(Path("/dev/null"))


@pytest.mark.parametrize(
    "name", ["face.png", "FACE.JPG", "x" * 251 + ".png", "ein Gesicht – 顔.webp", "-face.png", ".png.png"]
)
def test_odd_names_that_are_names(tmp_path, tiny_weights, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    main(["", "--steps", "1", "--small", "--weights", str(tiny_weights), f"--out={name}", "--device", "cpu"])
    assert np.asarray(Image.open(tmp_path / name)).shape == (64, 64, 3)
    assert [path.name for path in tmp_path.iterdir()] == [name]
