"""Evaluation: the grid is what the prompts and seeds make, and the report holds what was measured."""

import json
import shutil

import numpy as np
import torch
from PIL import Image

from model.attributes import ATTRIBUTES
from model.pipeline import FacePipeline
from training import evaluate


def test_report_and_grid(tiny_weights, tmp_path, capsys):
    weights = shutil.copytree(tiny_weights, tmp_path / "weights")
    evaluate.main(["--weights", str(weights), "--count", "1"])
    report = json.loads((weights / "evaluation.json").read_text())
    assert set(report["adherence_by_clip"]) == set(ATTRIBUTES) and report["faces"] == 80
    assert set(report["adherence_by_clip"].values()) <= {0.0, 0.5, 1.0}  # of one pair each
    assert report["weights"]["unet"]["clip"] == report["weights"]["clip"]["hash"]
    assert "| **mean** |" in capsys.readouterr().out
    evaluate.main(["--weights", str(weights), "--grid", str(tmp_path / "grid.png")])
    with Image.open(tmp_path / "grid.png") as sheet:
        assert sheet.size == (1024, 1024)
        shown = np.asarray(sheet)[128:256, 256:384].astype(int)  # second prompt, third seed
    face = FacePipeline.from_pretrained(weights).generate([evaluate.GRID_PROMPTS[1]], [evaluate.GRID_SEEDS[2]])[0]
    twice = np.asarray(Image.fromarray(face).resize((128, 128), Image.Resampling.LANCZOS))
    assert np.abs(shown - twice)[8:-8, 8:-8].max() <= 4  # away from its neighbours in the sheet


def test_hand_written_prompts_are_well_formed_and_none_is_a_caption():
    prompts = evaluate.read_prompts(evaluate.PROMPTS)
    assert len(prompts) >= 150 and len({prompt for prompt, _ in prompts}) == len(prompts)
    said = np.stack([stated for _, stated in prompts])
    assert (said != 0).any(0).all() and (said == -1).sum() > 60  # every attribute occurs, and there are many denials


def test_understanding_counts_what_is_read_right():
    class Reader:
        def stated(self, prompts):
            read = torch.zeros(len(prompts), 40, 3)
            read[:, :, 1] = 0.5  # unmentioned
            read[0, 31, 2] = 1   # Smiling: right
            read[0, 15, 0] = 1   # no Eyeglasses: wrong
            return read

    prompts = [("a smile", np.eye(40, dtype=np.int8)[31]), ("a man", np.eye(40, dtype=np.int8)[20])]
    assert evaluate.understanding(Reader(), prompts) == {"prompts": 2, "precision": 0.5, "recall": 0.5}


def test_adherence_tells_following_from_ignoring():
    """A stand-in that obeys scores 1, one that ignores the prompt scores one half."""
    class Obedient:
        def generate(self, prompts, seeds):
            return np.array([[i, prompt.startswith("Photo of person no")] for i, prompt in enumerate(prompts)])

        def attribute_scores(self, faces):
            return np.repeat(1.0 - faces[:, 1:], 40, axis=1)

    found = evaluate.adherence(Obedient(), 4)
    assert found["Bangs"] == 1.0 and found["Male"] == 0.5  # "female" is no "no ...": this stand-in misses it
