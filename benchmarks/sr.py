"""SRResNet x4 beside the literature on Set5 and Set14, and how long the app's upsampler takes from 64 to 512 px.

    make bench-sr SR_DATA=data X4=weights/srresnet_x4.safetensors

Prints a table and JSON. Y of BT.601, 4 px border cut, inputs by MATLAB's bicubic; Set14's grey `bridge` is scored on
its grey values. Nothing else should be running while it measures the time.
"""

import argparse
import json
import platform
import resource
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch

from model.errors import InputError, exit_in_one_line
from model.srresnet import SRResNet, upscale
from training.evaluation import markdown
from training.srresnet.quality import score_set

SETS = ("Set5", "Set14")
# dB of Y at x4, as published; not measured here
QUOTED = {
    "well-known PyTorch SRResNet (twtygqyy/pytorch-SRResNet), quoted": (31.80, 28.25),
    "SRResNet, Ledig et al. 2017, quoted": (32.05, 28.49),
    "EDSR, Lim et al. 2017, quoted": (32.46, 28.80),
}
RUNS = 7


def speed(path: Path) -> dict[str, float]:
    """Seconds (the median of RUNS) of one face from 64 px on this CPU, and MB by which the peak memory grows."""
    network = SRResNet.from_file(path)
    face, seconds = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8), []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # the first wakes what is slow the first time
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        upscale(network, face)
        seconds.append(time.perf_counter() - start)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / (
        1024 if sys.platform != "darwin" else 1024**2
    )
    return {
        "threads": torch.get_num_threads(),
        "seconds": round(statistics.median(seconds[1:]), 3),
        "extra_memory_mb": round(grown),
    }


def literature(data: Path, path: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Method -> set -> "psnr" and, where it is measured here, "ssim".

    Raises FacetError without the sets or with other weights.
    """
    network = SRResNet.from_file(path)
    if network.config.scale != 4:
        raise InputError(f"{path} enlarges by {network.config.scale}: the literature's figures are for 4.")
    measured = {"bicubic": None, "SRResNet, here": lambda small: upscale(network, small[None])[0]}
    scores = {
        method: {name: score_set(data / "sr" / name, 4, enlarge) for name in SETS}
        for method, enlarge in measured.items()
    }
    return scores | {
        method: {name: {"psnr": db} for name, db in zip(SETS, values)} for method, values in QUOTED.items()
    }


def table(scores: dict[str, dict[str, dict[str, float]]]) -> str:
    """Markdown: PSNR in dB and SSIM of both sets, a row for each method."""
    rows = [
        [
            method,
            *(
                f"{row[name]['psnr']:.2f}" + (f" / {row[name]['ssim']:.4f}" if "ssim" in row[name] else "")
                for name in SETS
            ),
        ]
        for method, row in scores.items()
    ]
    return markdown.table(["x4, Y", *SETS], rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sr", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder with sr/Set5 and sr/Set14")
    parser.add_argument("--weights", type=Path, default=Path("weights/srresnet_x4.safetensors"), help="an x4 network")
    parser.add_argument("--app", type=Path, default=Path("weights/srresnet.safetensors"), help="the x8 network to time")
    args = parser.parse_args()
    with exit_in_one_line("benchmarks.sr"):
        report = {"machine": f"{platform.machine()}, {platform.system()}", "from_64_to_512": speed(args.app)}
        report["x4"] = literature(args.data, args.weights)
    print(table(report["x4"]))
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
