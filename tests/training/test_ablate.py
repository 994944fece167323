"""Recipes side by side."""

import re
import shutil

import pytest

from model.errors import InputError
from tests.conftest import ROOT, save_guided
from training.data.prepare import embed, prepare_images
from training.unet import ablate
from training.unet.recipes import RECIPES


def test_words_change_the_recipe():
    config = ablate.changed(RECIPES["default"], "batch=32,learning_rate=1e-3")
    assert (config.batch, config.learning_rate) == (32, 1e-3) and ablate.changed(config, "default") == config
    for word, told in (
        ("network=3", "no number of the recipe"),
        ("batch=1.5", "is no int"),
        ("what", "no number of the recipe"),
    ):
        with pytest.raises(InputError, match=told):
            ablate.changed(config, word)


def test_a_row_for_each_recipe_with_what_the_judge_says(archive, tiny_weights, tmp_path, capsys, monkeypatch):
    prepare_images(archive, tmp_path / "prepared")
    embed(tmp_path / "prepared", tiny_weights)
    shutil.copytree(tiny_weights, tmp_path / "weights")
    shutil.copy(ROOT / "weights" / "judge.safetensors", tmp_path / "weights")
    # which learnt from the bundled U-Net and would draw in the place of the new ones
    save_guided(tmp_path / "weights")
    drawn_by, judged = [], ablate.judged
    monkeypatch.setattr(ablate, "judged", lambda pipe, *more: drawn_by.append(pipe) or judged(pipe, *more))
    options = [
        "default",
        "images=32,weight_decay=0.1",
        "--recipe",
        "tiny",
        "--prepared",
        str(tmp_path / "prepared"),
        "--weights",
        str(tmp_path / "weights"),
        "--state-dir",
        str(tmp_path / "runs"),
        "--faces",
        "24",
        "--minutes",
        "1e6",
        "--device",
        "cpu",
    ]
    ablate.main([*options, "--start-from", str(tiny_weights / "unet.safetensors")])
    heading, line, *rows = capsys.readouterr().out.splitlines()[-4:]
    assert line.count("---") == 8 == heading.count("|") - 1 and [row.split("|")[2].strip() for row in rows] == [
        "64",
        "32",
    ]
    assert [pipe.guided for pipe in drawn_by] == [None, None]
    assert len({pipe.unet.info["hash"] for pipe in drawn_by}) == 2
    number = r"[0-9.]+"
    for row in rows:
        assert re.fullmatch(
            rf"\| \S+ \| \d+ \| {number} \| {number} \| {number} \| {number} \| {number} \| -?{number} \|", row
        ), row
    # else from other weights it would go on
    with pytest.raises(SystemExit, match="default holds an earlier comparison"):
        ablate.main(options)


def test_a_number_of_faces_without_captions_is_refused_before_hours_are_spent(archive, tiny_weights, tmp_path, capsys):
    prepare_images(archive, tmp_path / "prepared")
    with pytest.raises(SystemExit, match="serves for"):
        ablate.main(
            [
                "default",
                "--recipe",
                "tiny",
                "--prepared",
                str(tmp_path / "prepared"),
                "--weights",
                str(tiny_weights),
                "--state-dir",
                str(tmp_path / "runs"),
                "--faces",
                "5000",
                "--device",
                "cpu",
            ]
        )
