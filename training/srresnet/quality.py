"""How good an enlarged image is beside the true one: PSNR, SSIM, sharpness, and the test sets of the literature."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from model.errors import FacetError
from model.srresnet import SRResNet, upscale
from training.evaluation import markdown
from training.srresnet.data import degrade, held_out_files, load_round_trips, read_image, shrink
from training.srresnet.imresize import imresize, to_bytes

# (H, W, 3) uint8 -> (scale H, scale W, 3) uint8
Enlarge = Callable[[np.ndarray], np.ndarray]
# (enlarged, true), both (H, W, 3) uint8
Measure = Callable[[np.ndarray, np.ndarray], float]
# method -> kind of input -> measure -> mean over the images
Scores = dict[str, dict[str, dict[str, float]]]
# px cut from each side of a face: one input pixel, as is the custom
BORDER = 8


# --- beside the truth -------------------------------------------------------------------------------------------------


def luma(image: np.ndarray) -> np.ndarray:
    """Y of BT.601, 16 to 235, as MATLAB's rgb2ycbcr: (H, W, 3) in 0 to 255 -> (H, W) float64, not rounded."""
    return 16 + image.astype(np.float64) @ np.array([65.481, 128.553, 24.966]) / 255


def psnr(image: np.ndarray, true: np.ndarray, border: int) -> float:
    """PSNR in dB of two images (H, W) or (H, W, 3) in 0 to 255, without `border` pixels on each side."""
    error = (image.astype(np.float64) - true)[border:-border, border:-border]
    return float(10 * np.log10(255**2 / max(np.mean(error**2), 1e-10)))


def ssim(image: np.ndarray, true: np.ndarray, border: int) -> float:
    """Structural similarity, at most 1, Wang et al. 2004, section III: Gaussian window of 11 px, deviation 1.5, their
    constants; the mean over all whole windows, and over the channels. Images and border as in `psnr`."""
    # (C, 1, H, W)
    a, b = (
        torch.from_numpy(np.atleast_3d(x)[border:-border, border:-border].astype(np.float64)).permute(2, 0, 1)[:, None]
        for x in (image, true)
    )
    window = torch.exp(-((torch.arange(11, dtype=torch.float64) - 5) ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(x: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(x, window.view(1, 1, 11, 1)), window.view(1, 1, 1, 11))

    mean_a, mean_b = mean(a), mean(b)
    variance_a, variance_b, covariance = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2, mean(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = (
        (2 * mean_a * mean_b + c1)
        * (2 * covariance + c2)
        / ((mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2))
    )
    return similarity.mean().item()


def sharpness(image: np.ndarray, true: np.ndarray, border: int, scale: int) -> float:
    """The deviation of what a reduction by `scale` loses, as a share of the true image's: 1 is as sharp, 0 as blurred
    as can be, whether or not the detail is in the right place. (H, W, 3) uint8.
    """

    def detail(x: np.ndarray) -> np.ndarray:
        height, width = x.shape[:2]
        return (x - imresize(imresize(x, height // scale, width // scale), height, width))[
            border:-border, border:-border
        ]

    return float(detail(image).std() / detail(true).std())


# --- held-out people --------------------------------------------------------------------------------------------------


FIDELITY: dict[str, Measure] = {
    "PSNR": lambda a, b: psnr(a, b, BORDER),
    "PSNR Y": lambda a, b: psnr(luma(a), luma(b), BORDER),
    "SSIM": lambda a, b: ssim(a, b, BORDER),
    "SSIM Y": lambda a, b: ssim(luma(a), luma(b), BORDER),
    "sharpness": lambda a, b: sharpness(a, b, BORDER, 8),
}


class HeldOut(NamedTuple):
    """Photographs of held-out people."""

    # (N, 3, 512, 512) uint8
    true: Tensor
    # kind of input -> (N, 3, 64, 64) uint8, which is to become that
    inputs: dict[str, Tensor]


def load_held_out(data: Path, round_trip: Path | None = None, most: int | None = None) -> HeldOut:
    """The held-out people and the inputs "clean", "degraded" (the same damage at every call) and, given a file of
    training/srresnet/round_trip.py, "round trip".

    At most `most` photos, spread over all of them. Raises FacetError if there are none.
    """
    files = held_out_files(data)
    if most:
        files = files[:: max(1, len(files) // most)][:most]
    true = torch.stack([read_image(path, 512) for path in files])
    clean, generator = shrink(true, 8), torch.Generator().manual_seed(1)
    inputs = {"clean": clean, "degraded": torch.stack([degrade(image, generator) for image in clean])}
    if round_trip:
        versions = load_round_trips(round_trip)
        if missing := [path.name for path in files if f"faces_hq/{path.name}" not in versions]:
            raise FacetError(f"{round_trip} lacks faces_hq/{missing[0]}: make it from the same data.")
        inputs["round trip"] = torch.stack(
            [
                versions[f"faces_hq/{path.name}"][i % len(versions[f"faces_hq/{path.name}"])]
                for i, path in enumerate(files)
            ]
        )
    return HeldOut(true, inputs)


def score_people(
    networks: dict[str, SRResNet], people: HeldOut, measures: dict[str, Measure], grid: Path | None = None
) -> Scores:
    """Means of `measures` for x8 networks, bicubic and Lanczos (both PIL's).

    Writes the first two of each kind to `grid`: bicubic, the networks, the truth, side by side.
    """

    true, inputs = people

    def filtered(method: Image.Resampling) -> Enlarge:
        return lambda small: np.asarray(Image.fromarray(small).resize(true.shape[:1:-1], method))

    methods = {
        "bicubic": filtered(Image.Resampling.BICUBIC),
        **{name: lambda small, network=network: upscale(network, small[None])[0] for name, network in networks.items()},
        "lanczos": filtered(Image.Resampling.LANCZOS),
    }
    scores = {name: {kind: dict.fromkeys(measures, 0.0) for kind in inputs} for name in methods}
    rows = []
    for kind, images in inputs.items():
        for i, (small, truth) in enumerate(zip(images.permute(0, 2, 3, 1).numpy(), true.permute(0, 2, 3, 1).numpy())):
            results = {name: enlarge(small) for name, enlarge in methods.items()}
            for name, large in results.items():
                for measure, of in measures.items():
                    scores[name][kind][measure] += of(large, truth) / len(true)
            if i < 2:
                rows.append(np.concatenate([results[name] for name in methods if name != "lanczos"] + [truth], axis=1))
    if grid:
        grid.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.concatenate(rows)).save(grid)
    return scores


def people_table(scores: Scores) -> str:
    """Markdown: a row for each kind of input and method, a column for each measure."""
    kinds = list(next(iter(scores.values())))
    names = list(scores[next(iter(scores))][kinds[0]])
    rows = [
        [kind, method, *(f"{scores[method][kind][name]:.{2 if 'PSNR' in name else 4}f}" for name in names)]
        for kind in kinds
        for method in scores
    ]
    return markdown.table(["input", "method", *names], rows)


# --- the test sets of the literature ----------------------------------------------------------------------------------


def score_set(folder: Path, scale: int, enlarge: Enlarge | None = None) -> dict[str, float]:
    """Mean "psnr" (dB) and "ssim" of Y over a folder of true images; `scale` px border cut, MATLAB's bicubic inputs.

    Y is rounded, as MATLAB's rgb2ycbcr does it. Grey images are scored on their grey values. Without `enlarge` it is
    bicubic, which the literature measures on Y alone, its input not rounded. Raises FacetError if there is no image.
    """
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in (".png", ".bmp"))
    if not files:
        raise FacetError(f"{folder} holds no PNG or BMP image: it should hold the test set; see --data.")
    scores = []
    for path in files:
        with Image.open(path) as image:
            scored = grey if image.mode == "L" else luma
            true = np.array(image.convert("RGB"))
        height, width = (side // scale for side in true.shape[:2])
        true = true[: scale * height, : scale * width]
        wanted = to_bytes(scored(true))
        if enlarge:
            large = to_bytes(scored(enlarge(to_bytes(imresize(true, height, width)))))
        else:
            large = to_bytes(imresize(imresize(wanted, height, width), *wanted.shape))
        scores.append((psnr(large, wanted, scale), ssim(large, wanted, scale)))
    return dict(zip(("psnr", "ssim"), np.mean(scores, axis=0).tolist()))


def grey(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) of three channels that are equal, or nearly -> (H, W) float64."""
    return image.astype(np.float64).mean(2)
