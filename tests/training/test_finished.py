"""What the student learns from finished faces: they are the app's, and the perceptual distance sees blur."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from model import pipeline
from model.clip import Clip
from model.errors import InputError
from model.images import to_pixels, to_tensor
from model.pipeline import FacePipeline
from model.sampler import noise_of
from model.settings import STUDENT_STEPS
from model.unet import UNet
from tests.conftest import save_student
from training.unet import learner
from training.unet.finished import Perceptual, drawn, finished_faces
from training.unet.student import student_times


@pytest.fixture(scope="module")
def clip(tiny_weights):
    return Clip.from_file(tiny_weights / "clip.safetensors")


@pytest.fixture(scope="module")
def taught(tiny_weights, tmp_path_factory):
    """A pipeline on the tiny weights with a student."""
    folder = shutil.copytree(tiny_weights, tmp_path_factory.mktemp("taught") / "weights")
    save_student(folder)
    return FacePipeline.from_pretrained(folder, "cpu")


def test_finished_faces_are_drawn_as_the_pipeline_draws_them(taught, prepared, monkeypatch):
    """With gradient; and those of the teacher come with their mirror images."""
    taught.precision = None
    monkeypatch.setattr(learner, "half_precision", lambda device: None)
    monkeypatch.setattr(pipeline, "half_precision", lambda device: None)
    condition, noise = taught.condition(["a man", "smiling"]), noise_of([4, 5], (3, 64, 64), "cpu")()
    # the pipeline's own tensors know no gradient
    student = UNet(taught.student.config)
    student.load_state_dict(taught.student.state_dict())
    faces = drawn(student, noise, condition, student_times())
    shown = taught.generate(["a man", "smiling"], [4, 5], sampler="student")
    assert np.abs(to_pixels(faces.detach()).astype(int) - shown).max() <= 1
    faces.square().mean().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in student.parameters())

    states = torch.randn(STUDENT_STEPS + 1, 2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    starts, conditions, wanted = finished_faces(states, condition)
    assert torch.equal(starts[:2], states[0]) and torch.equal(starts[2:], states[0].flip(-1))
    assert torch.equal(wanted[:2], states[-1]) and torch.equal(wanted[2:], states[-1].flip(-1))
    assert torch.equal(conditions, condition.repeat(2, 1))


def test_the_perceptual_distance_grows_with_the_blur(prepared, clip):
    perceptual, faces = Perceptual(clip), to_tensor(prepared.images[:8])
    blurred = [F.avg_pool2d(F.pad(faces, (side,) * 4, mode="replicate"), 2 * side + 1, stride=1) for side in (1, 3)]
    distances = [perceptual(each, faces).item() for each in (faces, *blurred)]
    assert distances[0] == 0 and distances == sorted(set(distances))
    # each of the images has its part, and gets its gradient
    alone = [perceptual(blurred[0][row : row + 1], faces[row : row + 1]).item() for row in range(8)]
    assert np.mean(alone) == pytest.approx(distances[1], rel=1e-3)
    blurred[0].requires_grad_(True)
    perceptual(blurred[0], faces).backward()
    assert blurred[0].grad.abs().amax((1, 2, 3)).min() > 0
    with pytest.raises(InputError, match="whose image tower is a ResNet"):
        Perceptual(SimpleNamespace(towers=SimpleNamespace(visual=nn.Identity())))
