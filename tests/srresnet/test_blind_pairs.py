"""The sheets for judging with the order hidden."""

import json
import random

import numpy as np
import pytest
from PIL import Image

from model.errors import InputError
from model.pipeline import FacePipeline
from training.srresnet import blind_pairs as script


def test_the_app_s_faces_are_paired_with_their_bicubic_twins(tiny_weights, tmp_path, capsys):
    script.main(["--weights", str(tiny_weights), "--out", str(tmp_path), "--count", "4", "--device", "cpu"])
    assert not (tmp_path / "crisp").exists() and "4 pairs" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "bicubic").glob("*.png")) == ["pairs-01.png", "pairs-04.png"]
    assert Image.open(tmp_path / "bicubic" / "pairs-01.png").size == (2 * 512 + 12, 3 * (512 + 24))
    assert Image.open(tmp_path / "bicubic" / "all.webp").size == (3 * (2 * 512 + 12) + 2 * 24, 2 * (512 + 24))
    key = json.loads((tmp_path / "bicubic" / "key.json").read_text())
    assert list(key) == ["1", "2", "3", "4"] and all(
        sorted(sides.values()) == ["bicubic", "srresnet"] for sides in key.values()
    )
    (tmp_path / "answers.json").write_text(json.dumps(dict.fromkeys(key, "left")))
    script.main(["--score", str(tmp_path / "bicubic" / "key.json"), str(tmp_path / "answers.json")])
    counted = json.loads(capsys.readouterr().out)
    assert sum(counted.values()) == 4 and counted["srresnet"] == sum(
        sides["left"] == "srresnet" for sides in key.values()
    )
    with pytest.raises(SystemExit, match="missing or is not JSON"):
        script.main(["--score", str(tmp_path / "none"), str(tmp_path / "answers.json")])


def test_the_key_says_which_side_is_which(tmp_path):
    dark, light = np.zeros((7, 16, 16, 3), np.uint8), np.full((7, 16, 16, 3), 255, np.uint8)
    script.write_sheets({"dark": dark, "light": light}, tmp_path, random.Random(0))
    key = json.loads((tmp_path / "key.json").read_text())
    # the order does change
    assert {sides["left"] for sides in key.values()} == {"dark", "light"}
    for i in range(7):
        sheet = np.array(Image.open(tmp_path / f"pairs-{i // 3 * 3 + 1:02d}.png"))
        row = i % 3 * (16 + 24) + 24
        for side, left in (("left", 0), ("right", 16 + 12)):
            assert (sheet[row : row + 16, left : left + 16] == (0 if key[str(i + 1)][side] == "dark" else 255)).all()
    kept = np.array(Image.open(tmp_path / "all.webp"))
    for i in range(7):
        x, y = i % 3 * (44 + 24), i // 3 * 40 + 24
        for side, left in (("left", 0), ("right", 28)):
            assert abs(int(kept[y + 8, x + left + 8, 0]) - (0 if key[str(i + 1)][side] == "dark" else 255)) < 20


def test_crisp_is_paired_with_faithful_where_it_is_there(tiny_weights):
    pipe = FacePipeline.from_pretrained(tiny_weights, "cpu")
    faces = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    assert list(script.ways(pipe, faces)) == ["bicubic"]
    pipe.crisp = pipe.upscaler
    pair = script.ways(pipe, faces)["crisp"]
    assert list(pair) == ["crisp", "faithful"] and pair["crisp"].shape == (1, 512, 512, 3)


@pytest.mark.parametrize(
    "answers", [{}, {"1": "left"}, {"1": "left", "2": "middle"}, {"1": "left", "2": "right", "3": "left"}, ["left"]]
)
def test_answers_must_be_complete(answers):
    key = {"1": {"left": "a", "right": "b"}, "2": {"left": "b", "right": "a"}}
    assert script.score(key, {"1": "left", "2": "right"}) == {"a": 2, "b": 0}
    with pytest.raises(InputError, match="the answers must be"):
        script.score(key, answers)
