"""What a training asks of the prepared faces before it begins."""

from model.clip import Clip
from model.errors import InputError
from model.unet import UNet
from training.data.prepared import Prepared


def check_faces(prepared: Prepared) -> None:
    """Raises InputError if all faces are held out for validation, or none are there."""
    if bool(prepared.validation.all()):
        raise InputError("the prepared faces hold no training faces: prepare more of them.")


def check_unet(unet: UNet, clip: Clip) -> None:
    """Raises InputError if the U-Net was trained with another CLIP."""
    if unet.info.get("clip") != clip.hash:
        raise InputError("the U-Net was trained with another CLIP: train it with this one, or carry it over first.")


def check_embeddings(prepared: Prepared, clip: Clip) -> None:
    """Raises InputError as `check_faces`, and if the faces were not embedded by this CLIP."""
    check_faces(prepared)
    if prepared.image_embeddings is None or prepared.clip != clip.hash:
        raise InputError(
            "the prepared faces have no embeddings of this CLIP: run `python -m training.data.prepare embed`."
        )
