"""Inception FID through torch-fidelity, by random weights."""

import os
import pickle
import sys
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch_fidelity import calculate_metrics
from torch_fidelity import feature_extractor_inceptionv3 as theirs

from model.errors import InputError
from training.evaluation.inception import features, inception, inception_fid


@pytest.fixture(scope="module")
def network(inception_weights):
    return inception(inception_weights)


def faces(count: int, seed: int, brightest: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, brightest, (count, 64, 64, 3), np.uint8)


def test_features_do_not_depend_on_the_batch(network):
    some = faces(5, 0)
    activations = features(network, some)
    assert activations.shape == (5, 2048) and np.ptp(activations, axis=0).max() > 0
    assert np.allclose(activations, features(network, some, batch=2), atol=1e-5)


def test_fid_is_torch_fidelity_s(network, inception_weights):
    """Of as many generated faces as there are held-out ones."""
    generated, training = faces(9, 1, 128), faces(12, 2)
    report = inception_fid(network, generated, training[:8], training)
    asked = calculate_metrics(
        input1=_Pictures(generated[:8]),
        input2=_Pictures(training),
        fid=True,
        cuda=False,
        verbose=False,
        save_cpu_ram=True,
        feature_extractor_weights_path=str(inception_weights),
    )
    assert report["generated"] == pytest.approx(asked["frechet_inception_distance"], rel=1e-3)
    assert (report["faces"], report["photographs"]) == (8, 12) and 0 < report["real"] < report["generated"]


class _Pictures(torch.utils.data.Dataset):
    """(N, H, W, 3) uint8 as torch-fidelity takes them, one by one."""

    def __init__(self, pictures: np.ndarray):
        self.pictures = torch.from_numpy(pictures).permute(0, 3, 1, 2)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.pictures[index]


class _Harm:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_what_is_missing_is_said_in_one_line(tmp_path, monkeypatch, inception_weights):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.pth").write_text("no weights")
    torch.save({"fc.weight": torch.zeros(2)}, tmp_path / "other.pth")
    (tmp_path / "harm.pth").write_bytes(pickle.dumps(_Harm(), protocol=2))
    for name in ("nowhere.pth", "text.pth", "other.pth", "harm.pth"):
        with pytest.raises(InputError, match=f"{name} does not hold Inception's weights"):
            inception(tmp_path / name)
    assert not (tmp_path / "harm").exists()

    def fail(*_, **__):
        raise URLError("no way out")

    monkeypatch.setattr(theirs, "load_state_dict_from_url", fail)
    with pytest.raises(InputError, match="could not be fetched .no way out.: name their file after --inception"):
        inception()
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(InputError, match="pip install torch-fidelity"):
        inception(inception_weights)
