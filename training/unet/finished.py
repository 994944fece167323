"""The student's second lesson: finished faces, through all of its calls, in the place of single steps.

Each step learnt by itself leaves two faults. The student meets its own states later, which differ from the teacher's.
And where it cannot tell which of two faces comes of the noise, the squared error is least between them: a smooth face
(Zhang et al. 2018). So here the gradient flows back from the finished face through all calls, and beside the squared
error counts how different the face is to CLIP's image tower: LPIPS (Zhang et al. 2018) with that tower in VGG's place.
The judge has no part in it, since it measures the student.
"""

import inspect
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from model.clip import Clip
from model.critic import can_see
from model.diffusion import to_original
from model.errors import InputError
from model.sampler import ddim, last_step
from model.unet import UNet
from training.unet.learner import prediction_of


def finished_faces(states: Tensor, condition: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(noise, condition, wanted face), of every trajectory of a teacher and of its mirror image.

    :param states:    (S + 1, N, 3, H, W), noise first, see student.trajectory.
    :param condition: (N, 514).
    :return:          (2N, 3, H, W), (2N, 514) and (2N, 3, H, W).
    """
    noise, faces = (torch.cat([each, each.flip(-1)]) for each in (states[0], states[-1]))
    return noise, condition.repeat(2, 1), faces


def drawn(student: UNet, noise: Tensor, condition: Tensor, times: Tensor) -> Tensor:
    """The student's finished faces (N, 3, H, W) in [-1, 1], as the app draws them, with gradient.

    :param times: (S + 1,), the student's, see sampler.time_grid.
    """
    config = student.config

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        prediction = prediction_of(student, x_t, t.to(x_t), condition)
        return to_original(prediction, x_t, t, config.target, config.steps).clamp(-1, 1)

    # without its inference mode, which knows no gradient
    return last_step(inspect.unwrap(ddim)(denoise, noise, times)).denoised


class Perceptual:
    """Zhang et al. 2018, eq. 1, with all channels weighing the same, over the first three stages of CLIP's tower."""

    def __init__(self, clip: Clip):
        """Raises InputError for a CLIP whose tower is no ResNet."""
        if not can_see(clip):
            raise InputError(
                "Finished faces are learnt in the eyes of a CLIP whose image tower is a ResNet: this is none."
            )
        self.clip = clip

    def stages(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [-1, 1] -> (N, C, S, S), (N, 2C, S/2, S/2) and (N, 4C, S/4, S/4)."""
        tower, maps = self.clip.towers.visual, []
        maps.append(tower.layer1(tower.stem(self.clip.standardised((images + 1) / 2))))
        maps.append(tower.layer2(maps[-1]))
        maps.append(tower.layer3(maps[-1]))
        return maps

    def __call__(self, images: Tensor, true: Tensor) -> Tensor:
        """(N, 3, H, W), both in [-1, 1] -> their mean distance. The gradient flows back into `images`."""
        with torch.no_grad():
            wanted = self.stages(true)
        pairs = zip(self.stages(images), wanted, strict=True)
        apart = [(F.normalize(one.float()) - F.normalize(other.float())).square().sum(1).mean() for one, other in pairs]
        return torch.stack(apart).mean()


def loss_of_finished(student: UNet, clip: Clip, times: Tensor, weight: float) -> Callable[..., Tensor]:
    """The loss on what `finished_faces` gives, a tensor without axes.

    :param weight: of the perceptual distance, beside the mean squared error.
    """
    perceptual = Perceptual(clip.requires_grad_(False).eval())

    def loss(noise: Tensor, condition: Tensor, wanted: Tensor) -> Tensor:
        faces = drawn(student, noise, condition, times)
        return F.mse_loss(faces, wanted) + weight * perceptual(faces, wanted)

    return loss
