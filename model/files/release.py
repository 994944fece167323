"""The networks of one release: a folder of weights, or the Hub's, whose files belong together."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from model.clip import Clip
from model.critic import Critic
from model.device import pack, pick_device
from model.errors import WeightsError
from model.files import checkpoint
from model.files.hub import FILES, OPTIONAL, fetch, plain
from model.srresnet import SRResNet
from model.unet import FLAGS, UNet
from model.words.concepts import Concepts

# the page, the API and the command line promise 512 pixels
SCALE = 8


@dataclass(frozen=True, eq=False)
class Release:
    """All on one device, ready to compute; None is what the release does not have."""

    clip: Clip
    unet: UNet
    upscaler: SRResNet
    crisp: SRResNet | None
    student: UNet | None
    critic: Critic | None
    concepts: Concepts
    # the U-Net with guidance built in: other weights in its modulation, all else shared
    guided: UNet | None


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
    if "teacher" in unet.info:
        raise WeightsError(f"{paths['unet']} is a student, which draws in few calls: it goes into student.safetensors.")
    upscaler = _enlarging(paths["srresnet"], place)
    crisp, student, critic, concepts, guided = (folder / f"{name}.safetensors" for name in OPTIONAL)
    # before the guided network shares its layers
    packed(unet)
    release = Release(
        clip,
        unet,
        upscaler,
        _enlarging(crisp, place) if crisp.is_file() else None,
        packed(UNet.from_file(student, place)) if student.is_file() else None,
        Critic.from_file(critic, clip) if critic.is_file() else None,
        Concepts.from_file(concepts, unet) if concepts.is_file() else Concepts(),
        guided_network(guided, unet) if guided.is_file() else None,
    )
    if release.student and release.student.info.get("teacher") != unet.info["hash"]:
        raise WeightsError(
            f"{student} learnt from another U-Net ({release.student.info.get('teacher', 'unnamed')}) than "
            f"{paths['unet']} ({unet.info['hash']}): delete it, or train it again by `make train-student`."
        )
    return release


def _enlarging(path: Path, device: torch.device) -> SRResNet:
    """Raises WeightsError for a network of another scale."""
    network = SRResNet.from_file(path, device)
    if network.config.scale != SCALE:
        raise WeightsError(f"{path} enlarges {network.config.scale} times, not {SCALE} times: take the one for faces.")
    return network


def packed(unet: UNet) -> UNet:
    """The network itself, its convolutions laid out for this CPU if it is on one; see device.pack."""
    if unet.mean.device.type == "cpu":
        condition = torch.zeros(1, unet.config.embedding + FLAGS)
        pack(unet, torch.zeros(1, 3, 64, 64), torch.zeros(1), condition)
    return unet


def guided_network(path: str | Path, unet: UNet) -> UNet:
    """The U-Net with the change of its modulation in a file, which builds guidance in (training/unet/guided.py).

    Raises WeightsError, one line, for a damaged file and for one that was learnt with another U-Net.
    """
    tensors, _, info = checkpoint.load(path)
    checkpoint.check_unet(path, info, unet.info["hash"], "make train-guided")
    if missing := {"guidance", "guidance_interval"} - info.keys():
        raise WeightsError(f"{path} does not say which guidance it learnt ({min(missing)}). {checkpoint.CURE}")
    try:
        network = with_change(unet, tensors)
    except (KeyError, RuntimeError):
        raise WeightsError(f"{path} does not hold the modulation of {unet.info['hash']}. {checkpoint.CURE}") from None
    # a plain attribute, which torch's types do not foresee
    vars(network)["info"] = info
    return network


def with_change(unet: UNet, change: Mapping[str, Tensor]) -> UNet:
    """The U-Net with something added to its modulation, all else shared.

    :param change: for each of its vectors "name", for each of its (A, B) matrices "name.up" (A, R) and "name.down"
                   (R, B), whose product is added (Hu et al. 2021, LoRA). Raises KeyError for one that is missing,
                   RuntimeError for a wrong shape.
    """
    tensors = {}
    for name, value in unet.modulation.items():
        added = change[f"{name}.up"] @ change[f"{name}.down"] if value.ndim == 2 else change[name]
        tensors[name] = value + added.to(value).view_as(value)
    return unet.with_modulation(tensors)
