"""Faces that are drawn together, in one batch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from model.errors import InputError
from model.guidance import Encode, conditions_of, noises_of
from model.sampler import FreshNoise
from model.settings import STUDENT, Settings
from model.start import Start

# in what faces of a batch may differ
OWN = ("prompt", "negative_prompt", "seed", "guidance", *Settings.CHANGES)


@dataclass(frozen=True, eq=False)
class Batch:
    """All that the sampler needs of N faces."""

    # what they share: all but what is in OWN
    settings: Settings
    # the guidance of each, and whether a distilled network may predict it, N entries
    scale: list[float]
    distilled: list[bool]
    # (N, 514)
    condition: Tensor
    # (N, 514) or (1, 514), for the guidance's other branch
    unconditional: Tensor
    # (N, 3, H, W) at each call
    fresh_noise: FreshNoise
    # a picture to change
    start: Start | None = None

    @classmethod
    def of(
        cls, faces: Sequence[Settings], encode: Encode, covered: Callable[[Settings], bool], shape: Sequence[int]
    ) -> "Batch":
        """N faces of this shape, at least one. encode: see guidance.Encode, covered: FacePipeline.covered."""
        condition = conditions_of(faces, encode)
        return cls(
            faces[0],
            [face.guidance for face in faces],
            [covered(face) for face in faces],
            condition,
            encode([face.negative_prompt for face in faces]),
            noises_of(faces, shape, condition.device),
        )


def check_together(faces: Sequence[Settings], has_student: bool) -> None:
    """Raises InputError if faces cannot be drawn in one batch, or not by the student that they ask for."""
    for face in faces:
        if replace(faces[0], **{name: getattr(face, name) for name in OWN}) != face:
            raise InputError("Faces drawn together may differ in prompts, seed, guidance, edits and walk only.")
    if faces and faces[0].sampler == STUDENT:
        if not has_student:
            raise InputError("There is no student: student.safetensors is not among the weights.")
        if any(face.negative_prompt for face in faces):
            raise InputError("The student knows no negative prompt: choose another sampler.")
