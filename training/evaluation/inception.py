"""Inception FID (Heusel et al. 2017), the distance that the literature prints.

The network is torch-fidelity's copy of the original.

    make evaluate DATA=data/celeba ARGS=--inception              fetches Inception's weights (91 MB) once
    make evaluate DATA=data/celeba ARGS="--inception FILE.pth"   takes them from a file

Inception knows things, not faces, and its weights are not bundled: the frozen judge is the project's own yardstick.
"""

import pickle
from pathlib import Path
from urllib.error import URLError

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from model.errors import InputError
from training.evaluation.distances import frechet_from_samples
from training.evaluation.fidelity import digits

# the last pooled features, which FID is defined on
LAYER = "2048"


def inception(weights: Path | None = None, device: str | torch.device = "cpu") -> nn.Module:
    """The network: (N, 3, H, W) uint8 -> ((N, 2048),). weights: its file; None fetches it once.

    Raises InputError, one line, without torch-fidelity, for weights that cannot be fetched, and for a file that does
    not hold them.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise InputError("Inception FID needs torch-fidelity: run `pip install torch-fidelity`.") from error
    try:
        if weights:
            # torch-fidelity itself would run what else a pickle holds
            torch.load(weights, map_location="meta", weights_only=True)
        return FeatureExtractorInceptionV3("inception-v3-compat", [LAYER], weights and str(weights)).to(device)
    except URLError as error:
        raise InputError(
            f"Inception's weights could not be fetched ({error.reason}): name their file after --inception."
        ) from error
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, TypeError) as error:
        raise InputError(
            f"{weights or 'What was fetched'} does not hold Inception's weights as torch-fidelity keeps them."
        ) from error


@torch.inference_mode()
def features(network: nn.Module, faces: np.ndarray | Tensor, batch: int = 64) -> np.ndarray:
    """(N, H, W, 3) uint8 -> (N, 2048) float32. torch-fidelity enlarges to 299 px itself, as TensorFlow did."""
    device = next(network.parameters()).device
    parts = tqdm(torch.as_tensor(faces).split(batch), desc="Inception", unit=f" x {batch} faces")
    return np.concatenate([network(part.permute(0, 3, 1, 2).to(device))[0].cpu().numpy() for part in parts])


def inception_fid(
    network: nn.Module, generated: np.ndarray, held_out: np.ndarray, training: np.ndarray
) -> dict[str, float]:
    """FID to the training faces, each (N, 64, 64, 3) uint8: of generated faces and, as a floor, of unseen real ones.

    FID grows as the count falls, so equally many of both are taken: the first `faces`. The literature's is of 50,000.
    """
    count, known = min(len(generated), len(held_out)), features(network, training)
    mean, covariance = known.mean(0, dtype=np.float64), np.cov(known, rowvar=False, dtype=np.float64)
    return {"faces": count, "photographs": len(known)} | {
        name: digits(frechet_from_samples(features(network, faces[:count]), mean, covariance))
        for name, faces in (("generated", generated), ("real", held_out))
    }
