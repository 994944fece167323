"""What several tests of the model share."""

import numpy as np
import pytest

from model.pipeline import FacePipeline


@pytest.fixture(scope="module")
def pipe(tiny_weights):
    return FacePipeline.from_pretrained(tiny_weights, device="cpu")


@pytest.fixture(scope="module")
def picture():
    """A face-like gradient, wider than high: (90, 120, 3) uint8."""
    rows, columns = np.mgrid[:90, :120]
    return np.stack([2 * rows, columns, 200 - rows], axis=-1).astype(np.uint8)
