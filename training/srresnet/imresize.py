"""MATLAB's imresize with its bicubic kernel, by which the literature on super-resolution measures.

Keys 1981, eq. 4 with a = -0.5; where an image shrinks, the kernel is stretched to smooth it (antialiasing); beyond its
borders the image goes on mirrored. PIL and torch have the same kernel but leave out what lies beyond the borders.
"""

import numpy as np


def keys(x: np.ndarray) -> np.ndarray:
    """The cubic convolution kernel, nonzero within 2 pixels."""
    x = np.abs(x)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def resampling(inputs: int, outputs: int) -> np.ndarray:
    """(outputs, inputs) float64, rows sum to 1: a line of `inputs` pixels -> one of `outputs`."""
    scale = outputs / inputs
    # of the kernel, in input px
    stretch = max(1 / scale, 1.0)
    # of each output pixel, in input px
    centre = (np.arange(outputs) + 0.5) / scale - 0.5
    first = np.floor(centre - 2 * stretch).astype(int)
    # (outputs, taps), some beyond the line
    taken = first[:, None] + np.arange(int(np.ceil(4 * stretch)) + 2)
    weights = keys((centre[:, None] - taken) / stretch)
    mirrored = np.concatenate([np.arange(inputs), np.arange(inputs)[::-1]])[taken % (2 * inputs)]
    matrix = np.zeros((outputs, inputs))
    np.add.at(matrix, (np.arange(outputs)[:, None], mirrored), weights / weights.sum(1, keepdims=True))
    return matrix


def imresize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W) or (H, W, C) -> (height, width) or (height, width, C) float64, neither rounded nor clipped."""
    tall = np.tensordot(resampling(image.shape[0], height), image.astype(np.float64), 1)
    return np.moveaxis(np.tensordot(resampling(image.shape[1], width), tall, (1, 1)), 0, 1)


def to_bytes(image: np.ndarray) -> np.ndarray:
    """Rounded as MATLAB does (halves up) and clipped to uint8."""
    return np.floor(image + 0.5).clip(0, 255).astype(np.uint8)
