"""The networks of one release: a folder of weights, or the Hub's, whose files belong together."""

from dataclasses import dataclass
from pathlib import Path

from model.clip import Clip
from model.critic import Critic
from model.device import pick_device
from model.errors import WeightsError
from model.files.hub import FILES, OPTIONAL, fetch, plain
from model.srresnet import SRResNet
from model.unet import UNet
from model.words.concepts import Concepts


@dataclass(frozen=True, eq=False)
class Release:
    """All on one device; None is what the release does not have."""

    clip: Clip
    unet: UNet
    upscaler: SRResNet
    crisp: SRResNet | None
    student: UNet | None
    critic: Critic | None
    concepts: Concepts


def load_release(source: str | Path, device: str = "auto") -> Release:
    """Load a folder, or "owner/repo@revision" on the Hub (see hub.py).

    Raises WeightsError, one line, for a file that is missing, damaged, or does not belong to the others, and
    InputError for a device that is not there.
    """
    source = plain(source)
    folder, place = Path(source) if source and Path(source).is_dir() else fetch(source), pick_device(device)
    paths = {name: folder / f"{name}.safetensors" for name in FILES}
    clip, unet = Clip.from_file(paths["clip"], place), UNet.from_file(paths["unet"], place)
    if unet.info.get("clip") != clip.hash:
        raise WeightsError(
            f"{paths['unet']} was trained with another CLIP ({unet.info.get('clip', 'unnamed')}) than "
            f"{paths['clip']} ({clip.hash}): take both from the same release."
        )
    upscaler = SRResNet.from_file(paths["srresnet"], place)
    crisp, student, critic, concepts = (folder / f"{name}.safetensors" for name in OPTIONAL)
    release = Release(
        clip,
        unet,
        upscaler,
        SRResNet.from_file(crisp, place) if crisp.is_file() else None,
        UNet.from_file(student, place) if student.is_file() else None,
        Critic.from_file(critic, clip) if critic.is_file() else None,
        Concepts.from_file(concepts, unet) if concepts.is_file() else Concepts(),
    )
    if release.student and release.student.info.get("teacher") != unet.info["hash"]:
        raise WeightsError(
            f"{student} learnt from another U-Net ({release.student.info.get('teacher', 'unnamed')}) than "
            f"{paths['unet']} ({unet.info['hash']}): delete it, or train it again by `make train-student`."
        )
    return release
