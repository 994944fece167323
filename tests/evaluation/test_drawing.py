"""Faces that an evaluation draws are kept on disk (training/evaluation/fidelity.py)."""

import numpy as np
import torch

from model.pipeline import FacePipeline
from model.settings import Settings
from training.evaluation import fidelity


def test_drawn_faces_are_kept_and_drawn_anew_for_other_settings(tiny_weights, tmp_path, monkeypatch):
    pipe = FacePipeline.from_pretrained(tiny_weights, "cpu")
    monkeypatch.setattr(fidelity, "CHUNK", 2)
    # in full precision, as the pipeline draws: random weights carry bfloat16's rounding far
    monkeypatch.setattr(fidelity, "half_precision", lambda device: None)
    prompts, two_steps = ["a man", "a woman", "smiling"], Settings(steps=2)
    asked_for = fidelity.face_set(prompts, 1, two_steps)
    faces = fidelity.draw(pipe, asked_for, tmp_path)

    def alike(others):
        return np.abs(faces.astype(int) - others).max() <= 2

    assert alike(pipe.generate(prompts, [100_000, 100_001, 100_002], steps=2))
    kept = set(tmp_path.iterdir())
    assert len(kept) == 2
    generate, asked = pipe.generate_faces, []
    monkeypatch.setattr(pipe, "generate_faces", lambda faces: asked.append(faces) or generate(faces))
    assert np.array_equal(fidelity.draw(pipe, asked_for, tmp_path), faces)
    assert not asked
    next(iter(kept)).unlink()
    assert alike(fidelity.draw(pipe, asked_for, tmp_path))
    # only what was missing
    assert len(asked) == 1
    fidelity.draw(pipe, fidelity.face_set(prompts, 1, Settings(steps=3)), tmp_path)
    assert len(asked) == 3
    pipe.unet.info["hash"] = "another network"
    fidelity.draw(pipe, asked_for[:2], tmp_path)
    assert len(asked) == 4


def test_the_u_net_draws_in_the_number_format_that_is_fast(tiny_weights, tmp_path, monkeypatch):
    pipe, seen = FacePipeline.from_pretrained(tiny_weights, "cpu"), set()
    next(pipe.unet.children()).register_forward_hook(lambda layer, inputs, output: seen.add(output.dtype))
    monkeypatch.setattr(fidelity, "half_precision", lambda device: torch.bfloat16)
    fidelity.draw(pipe, [Settings("a man", steps=1)], tmp_path)
    assert seen == {torch.bfloat16} and pipe.precision is None


def test_faces_are_drawn_anew_where_prompts_are_read_otherwise(tiny_weights, tmp_path, monkeypatch):
    pipe, asked_for = FacePipeline.from_pretrained(tiny_weights, "cpu"), [Settings("a man", steps=1)]
    asked = []
    monkeypatch.setattr(pipe, "generate_faces", lambda faces: asked.append(faces) or np.zeros((1, 64, 64, 3), np.uint8))
    code = tmp_path / "code" / "words"
    code.mkdir(parents=True)
    (code / "english.toml").write_text("[words]")
    monkeypatch.setattr(fidelity, "MODEL", tmp_path / "code")
    fidelity.draw(pipe, asked_for, tmp_path)
    fidelity.draw(pipe, asked_for, tmp_path)
    assert len(asked) == 1
    (code / "english.toml").write_text("[other]")
    fidelity.draw(pipe, asked_for, tmp_path)
    assert len(asked) == 2
