"""Measures of enlarged images: MATLAB's imresize, PSNR, SSIM, sharpness, the perceptual distance, the test sets."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from benchmarks import sr
from model.errors import FacetError
from model.files import checkpoint
from model.srresnet import SRResNet, SRResNetConfig
from tests.photos import data, drawing  # noqa: F401
from training.srresnet.data import shrink
from training.srresnet.imresize import imresize, resampling, to_bytes
from training.srresnet.quality import (
    FIDELITY,
    load_held_out,
    luma,
    people_table,
    psnr,
    score_people,
    score_set,
    sharpness,
    ssim,
)


def picture(width: int = 64, height: int = 64, seed: int = 0) -> np.ndarray:
    return np.array(drawing(width, height, seed))


# --- imresize ---------------------------------------------------------------------------------------------------------


def by_hand(line: list[int], outputs: int) -> list[Fraction]:
    """What MATLAB's documentation of imresize says, in exact fractions: Keys' kernel (a = -1/2), stretched where the
    line shrinks, weights made to sum to 1, pixels beyond the ends mirrored with the end pixel repeated.
    """

    def keys(x: Fraction) -> Fraction:
        x = abs(x)
        if x <= 1:
            return Fraction(3, 2) * x**3 - Fraction(5, 2) * x**2 + 1
        return Fraction(-1, 2) * x**3 + Fraction(5, 2) * x**2 - 4 * x + 2 if x <= 2 else Fraction(0)

    n, values = len(line), []
    scale = Fraction(outputs, n)
    stretch = max(1 / scale, Fraction(1))
    for i in range(outputs):
        centre = (i + Fraction(1, 2)) / scale - Fraction(1, 2)
        weights = {
            j: keys((centre - j) / stretch)
            for j in range(math.floor(centre - 2 * stretch), math.ceil(centre + 2 * stretch) + 1)
        }
        values.append(
            sum(weight * line[min(j % (2 * n), -1 - j % (2 * n) + 2 * n)] for j, weight in weights.items())
            / sum(weights.values())
        )
    return values


@pytest.mark.parametrize(
    "inputs, outputs", [(16, 4), (12, 3), (16, 2), (5, 20), (7, 14), (9, 9), (3, 24), (1, 4), (8, 1)]
)
def test_imresize_is_matlabs_by_definition(inputs, outputs):
    line = np.random.default_rng(0).integers(0, 256, inputs).tolist()
    exact = np.array([float(value) for value in by_hand(line, outputs)])
    assert np.abs(imresize(np.array([line], np.uint8), 1, outputs)[0] - exact).max() < 1e-9
    assert np.abs(imresize(np.array([line], np.uint8).T, outputs, 1)[:, 0] - exact).max() < 1e-9


def test_imresize_known_weights():
    """Of a single white pixel doubled: Keys' kernel at 7/4, 5/4, 3/4 and 1/4 px."""
    line = np.zeros((1, 9))
    line[0, 4] = 1
    expected = [-0.0234375, -0.0703125, 0.2265625, 0.8671875, 0.8671875, 0.2265625, -0.0703125, -0.0234375]
    assert imresize(line, 1, 18)[0, 5:13] == pytest.approx(expected)


def test_imresize_keeps_what_a_resize_must_keep():
    assert np.allclose(resampling(37, 11).sum(1), 1)
    assert np.allclose(imresize(np.full((9, 7, 3), 42), 3, 20), 42)
    ramp = np.arange(64.0)[None]
    # Keys' kernel keeps straight lines
    assert np.allclose(imresize(ramp, 1, 16)[0, 2:-2], 4 * np.arange(16)[2:-2] + 1.5)
    image = picture(40, 24)
    assert np.array_equal(imresize(image, 24, 40), image)
    # no shift
    assert np.allclose(imresize(image[:, ::-1], 6, 10), imresize(image, 6, 10)[:, ::-1])
    # the mirrored image goes on
    beyond = np.pad(image, ((16, 16), (16, 16), (0, 0)), "symmetric")
    assert np.allclose(imresize(beyond, 14, 18)[4:-4, 4:-4], imresize(image, 6, 10))


def test_imresize_is_torchs_away_from_the_borders():
    image = picture(96, 80)
    theirs = shrink(torch.from_numpy(image).permute(2, 0, 1)[None].double(), 4)[0].permute(1, 2, 0).numpy()
    assert np.abs(imresize(image, 20, 24) - theirs)[2:-2, 2:-2].max() < 1e-6
    assert to_bytes(np.array([-3, 0.5, 254.5, 300])).tolist() == [0, 1, 255, 255]


# --- PSNR, SSIM, luma -------------------------------------------------------------------------------------------------


def test_luma_is_bt601s():
    colours = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    assert luma(colours)[0] == pytest.approx([16, 235, 81.481, 144.553, 40.966])


def test_psnr():
    a = np.zeros((32, 32, 3), np.uint8)
    assert psnr(a, a + np.uint8(1), 8) == pytest.approx(48.13, abs=0.01)
    b = a.copy()
    # within the border, which does not count
    b[:8] = 255
    assert psnr(a, b, 8) > 100 > psnr(a, b, 7)
    assert psnr(a[..., 0], b[..., 0], 7) == pytest.approx(psnr(a, b, 7))


def test_ssim_by_the_papers_formula():
    random = np.random.default_rng(0)
    a, b = random.integers(0, 256, (2, 19, 19)).astype(float)
    window = np.exp(-((np.arange(11) - 5) ** 2) / 4.5)
    window = np.outer(window, window) / window.sum() ** 2
    c1, c2, windows = 2.55**2, 7.65**2, []
    # 19 - 2 x 2 of border: 15 px, 5 windows of 11
    for top in range(5):
        for left in range(5):
            x, y = (image[2 + top : 13 + top, 2 + left : 13 + left] for image in (a, b))
            mx, my = (window * x).sum(), (window * y).sum()
            vx, vy, cov = (
                (window * (p - mp) * (q - mq)).sum()
                for p, mp, q, mq in ((x, mx, x, mx), (y, my, y, my), (x, mx, y, my))
            )
            windows.append((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    assert ssim(a, b, 2) == pytest.approx(np.mean(windows), abs=1e-9)
    assert ssim(a, a, 2) == pytest.approx(1)
    colours = np.stack([a, b, a], axis=2)
    assert ssim(colours, np.stack([b, b, a], axis=2), 2) == pytest.approx((np.mean(windows) + 2) / 3)


def test_sharpness_falls_with_blur_and_rises_with_noise():
    true = picture(128, 128)
    blurred = np.array(Image.fromarray(true).filter(ImageFilter.GaussianBlur(3)))
    noisy = np.clip(true + np.random.default_rng(0).normal(0, 40, true.shape), 0, 255).astype(np.uint8)
    assert sharpness(true, true, 8, 8) == 1
    assert sharpness(blurred, true, 8, 8) < 0.8 and sharpness(noisy, true, 8, 8) > 1.1


# --- held-out people --------------------------------------------------------------------------------------------------


def test_people_are_scored_for_every_method_input_and_measure(data, tmp_path):  # noqa: F811
    # it starts at bicubic
    network = SRResNet(SRResNetConfig(channels=4, blocks=1)).eval()
    scores = score_people({"net": network}, load_held_out(data), FIDELITY, tmp_path / "grid.png")
    assert list(scores) == ["bicubic", "net", "lanczos"] and list(scores["net"]) == ["clean", "degraded"]
    assert list(scores["net"]["clean"]) == list(FIDELITY)
    for kind in ("clean", "degraded"):
        assert scores["net"][kind]["PSNR"] == pytest.approx(scores["bicubic"][kind]["PSNR"], abs=0.05)
    assert scores["bicubic"]["clean"]["PSNR"] > scores["bicubic"]["degraded"]["PSNR"]
    assert 0 < scores["bicubic"]["clean"]["sharpness"] < 1
    assert Image.open(tmp_path / "grid.png").size == (3 * 512, 2 * 512)
    lines = people_table(scores).splitlines()
    assert len(lines) == 2 + 2 * 3 and lines[0].startswith(
        "| input | method | PSNR | PSNR Y | SSIM | SSIM Y | sharpness |"
    )
    assert f"| degraded | lanczos | {scores['lanczos']['degraded']['PSNR']:.2f} |" in lines[-1]


# --- the test sets ----------------------------------------------------------------------------------------------------


def test_sets_are_scored_on_luma_and_grey_ones_on_grey(tmp_path):
    image = drawing(103, 81, 3)
    for folder, mode in (("colour", "RGB"), ("grey", "L")):
        (tmp_path / folder).mkdir()
        image.convert(mode).save(tmp_path / folder / "a.png")
    bicubic = {folder: score_set(tmp_path / folder, 4) for folder in ("colour", "grey")}
    for folder, true in (("colour", to_bytes(luma(np.array(image)))), ("grey", np.array(image.convert("L")))):
        # whole input pixels only
        true = true[:80, :100]
        large = to_bytes(imresize(imresize(true, 20, 25), 80, 100))
        assert bicubic[folder] == {
            "psnr": pytest.approx(psnr(large, true, 4)),
            "ssim": pytest.approx(ssim(large, true, 4)),
        }
    double = lambda small: to_bytes(imresize(small, 80, 100))  # noqa: E731, bicubic in RGB on a rounded input: nearly the same
    assert score_set(tmp_path / "grey", 4, double)["psnr"] == pytest.approx(bicubic["grey"]["psnr"], abs=0.1)
    assert score_set(tmp_path / "colour", 4, lambda small: double(small) // 2)["psnr"] < bicubic["colour"]["psnr"] - 3
    with pytest.raises(FacetError, match="nothing"):
        score_set(tmp_path / "nothing", 4)


def test_the_benchmark_stands_beside_the_literature(data, tmp_path, capsys, monkeypatch):  # noqa: F811
    config = SRResNetConfig(channels=4, blocks=1, stages=2)
    checkpoint.save(tmp_path / "x4.safetensors", SRResNet(config).state_dict(), vars(config), {})
    monkeypatch.setattr(
        "sys.argv",
        [
            "sr",
            "--data",
            str(data),
            "--weights",
            str(tmp_path / "x4.safetensors"),
            "--app",
            str(tmp_path / "x4.safetensors"),
        ],
    )
    sr.main()
    printed = capsys.readouterr().out
    table, report = printed[: printed.index("\n{")], json.loads(printed[printed.index("\n{") :])
    scores = report["x4"]
    assert scores["SRResNet, here"]["Set5"]["psnr"] == pytest.approx(scores["bicubic"]["Set5"]["psnr"], abs=0.3)
    assert scores["EDSR, Lim et al. 2017, quoted"] == {"Set5": {"psnr": 32.46}, "Set14": {"psnr": 28.80}}
    assert f"| bicubic | {scores['bicubic']['Set5']['psnr']:.2f} / " in table and "| 32.05 | 28.49 |" in table
    assert report["from_64_to_512"].keys() == {"threads", "seconds", "extra_memory_mb"}
    checkpoint.save(
        tmp_path / "x8.safetensors",
        SRResNet(SRResNetConfig(channels=4, blocks=1)).state_dict(),
        vars(SRResNetConfig(channels=4, blocks=1)),
        {},
    )
    monkeypatch.setattr(
        "sys.argv",
        [
            "sr",
            "--data",
            str(data),
            "--weights",
            str(tmp_path / "x8.safetensors"),
            "--app",
            str(tmp_path / "x4.safetensors"),
        ],
    )
    with pytest.raises(SystemExit, match="enlarges by 8"):
        sr.main()
