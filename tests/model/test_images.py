"""Pictures as arrays and as tensors."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from model.images import contact_sheet, from_contact_sheet, levels, middle_square, scaled, to_pixels, to_tensor


def test_every_level_comes_back():
    every = torch.arange(256, dtype=torch.uint8)
    assert scaled(every)[[0, 255]].tolist() == [-1, 1] and levels(scaled(every)).equal(every)
    assert levels(torch.tensor([-3.0, 0.0, 3.0])).tolist() == [0, 128, 255]


def test_tensors_have_the_channels_first():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)
    images = to_tensor(pixels)
    assert images.shape == (2, 3, 4, 5) and images.dtype == torch.float32
    assert images[1, 2, 3, 4].item() == pytest.approx(pixels[1, 3, 4, 2] / 127.5 - 1)
    assert np.array_equal(to_pixels(images), pixels) and to_tensor(pixels[0]).equal(images[0])
    assert to_tensor(torch.from_numpy(pixels)).equal(images)
    # as Pillow's own arrays are
    pixels.flags.writeable = False
    with warnings.catch_warnings(action="error"):
        assert to_tensor(pixels).equal(images)


def test_the_middle_square():
    picture = np.zeros((4, 10, 3), np.uint8)
    picture[:, 3:7] = 200
    assert (middle_square(picture, 4) == 200).all() and middle_square(Image.fromarray(picture), 8).shape == (8, 8, 3)


def test_contact_sheets_lie_row_by_row_and_come_apart():
    pictures = np.stack([np.full((2, 3, 3), value, np.uint8) for value in range(6)])
    sheet = contact_sheet(pictures, 3)
    assert sheet.shape == (4, 9, 3) and sheet[::2, ::3, 0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert np.array_equal(from_contact_sheet(sheet, (2, 3)), pictures)
    with pytest.raises(ValueError):
        from_contact_sheet(sheet, (3, 3))
