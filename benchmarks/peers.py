"""Facet beside other small diffusion models, on this machine: the same work, one 64 x 64 face from noise.

    make bench-peers

Each contender runs in a process of its own, with random weights of its default size (their values do not change the
time):

facet     this project's U-Net at the defaults of model/settings.py
lecture   a plain U-Net of 31 million parameters (Ronneberger et al. 2015, with padding) and 1000 steps of DDPM
lucidrains  denoising-diffusion-pytorch's class-conditional U-Net(64), 1000 steps, guidance 6: its defaults
diffusers   DDPMPipeline with the UNet2DModel of its 64 px unconditional training script, 1000 steps

A face of 1000 steps is timed by STEPS of them and multiplied. Prints JSON, then a table with ratios. Nothing else
should be running.
"""

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from training.evaluation import markdown

# medians of
ROUNDS = 3
# of a long sampling, timed
STEPS = 12


@dataclass(frozen=True)
class Contender:
    """What a library does for one face."""

    # of the network that is called at every step
    parameters: int
    # for a face, at the library's defaults
    steps: int
    # network calls for a face, both branches of guidance counted
    calls: int
    # a whole face, where that is short
    draw: Callable[[], None] | None
    # so many steps of a face at the defaults
    some: Callable[[int], None]
    # 25 steps of DDIM, without guidance where the library can do without
    ddim: Callable[[], None]
    # network calls of those
    ddim_calls: int = 25


def facet() -> Contender:
    from benchmarks.harness.server import ROOT
    from model.pipeline import FacePipeline
    from model.settings import DEFAULTS

    pipe = FacePipeline.from_pretrained(ROOT / "weights", "cpu")
    calls = []
    for each in filter(None, (pipe.unet, pipe.guided)):
        each.register_forward_hook(lambda network, inputs, output: calls.append(len(output)))
    pipe.generate(["a smiling woman"], [0])
    count = sum(calls)

    def some(steps: int) -> None:
        frames = pipe.stream("a smiling woman", 0)
        for _ in range(steps):
            next(frames)

    return Contender(
        sum(p.numel() for p in pipe.unet.parameters()),
        DEFAULTS.steps,
        count,
        lambda: pipe.generate(["a smiling woman"], [0]),
        some,
        lambda: pipe.generate(["a smiling woman"], [0], steps=25, sampler="ddim", guidance=1.0),
    )


def lecture() -> Contender:
    import torch
    from torch import nn

    def double(inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        )

    class PlainUNet(nn.Module):
        """Noisy image and a band of the timestep, (N, 4, 64, 64) -> (N, 3, 64, 64)."""

        def __init__(self):
            super().__init__()
            widths = (64, 128, 256, 512, 1024)
            self.down = nn.ModuleList(double(a, b) for a, b in zip((4, *widths), widths))
            self.up = nn.ModuleList(
                nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in zip(widths[-2::-1], widths[:0:-1])
            )
            self.join = nn.ModuleList(double(2 * a, a) for a in widths[-2::-1])
            self.out = nn.Conv2d(64, 3, 1)

        def forward(self, x):
            kept = []
            for i, block in enumerate(self.down):
                x = block(x if i == 0 else nn.functional.max_pool2d(x, 2))
                kept.append(x)
            kept.pop()
            for up, join in zip(self.up, self.join):
                x = join(torch.cat([kept.pop(), up(x)], dim=1))
            return self.out(x)

    network = PlainUNet().eval()

    @torch.inference_mode()
    def some(steps: int) -> None:
        x = torch.randn(1, 3, 64, 64)
        for step in range(steps):
            noise = network(torch.cat([x, torch.full((1, 1, 64, 64), step / 1000)], dim=1))
            x = 0.999 * x - 0.001 * noise + 0.01 * torch.randn_like(x)

    return Contender(sum(p.numel() for p in network.parameters()), 1000, 1000, None, some, lambda: some(25))


def lucidrains() -> Contender:
    import torch
    from denoising_diffusion_pytorch import classifier_free_guidance as library

    library.tqdm = lambda items, **_: items
    network = library.Unet(dim=64, num_classes=40).eval()
    full = library.GaussianDiffusion(network, image_size=64)
    short = library.GaussianDiffusion(network, image_size=64, sampling_timesteps=25)
    classes = torch.zeros(1, dtype=torch.long)

    def some(steps: int) -> None:
        x = torch.randn(1, 3, 64, 64)
        for t in range(999, 999 - steps, -1):
            x, _ = full.p_sample(x, t, classes)

    # its sampling fails at a guidance of 1
    return Contender(
        sum(p.numel() for p in network.parameters()),
        1000,
        2000,
        None,
        some,
        lambda: short.sample(classes),
        ddim_calls=50,
    )


def diffusers() -> Contender:
    from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler, UNet2DModel

    network = UNet2DModel(
        sample_size=64,
        in_channels=3,
        out_channels=3,
        layers_per_block=2,
        block_out_channels=(128, 128, 256, 256, 512, 512),
        down_block_types=(*["DownBlock2D"] * 4, "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", *["UpBlock2D"] * 4),
    ).eval()
    long, short = DDPMPipeline(network, DDPMScheduler(1000)), DDIMPipeline(network, DDIMScheduler(1000))
    long.set_progress_bar_config(disable=True), short.set_progress_bar_config(disable=True)
    return Contender(
        sum(p.numel() for p in network.parameters()),
        1000,
        1000,
        None,
        lambda steps: long(num_inference_steps=steps),
        lambda: short(num_inference_steps=25),
    )


CONTENDERS = {"facet": facet, "lecture": lecture, "lucidrains": lucidrains, "diffusers": diffusers}


def seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(name: str) -> dict[str, float]:
    """One contender, in a process that does nothing else."""
    start = time.perf_counter()
    contender = CONTENDERS[name]()
    ready = time.perf_counter() - start
    # the first steps wake what is slow the first time
    contender.some(2)
    first = statistics.median(seconds(lambda: contender.some(1)) for _ in range(ROUNDS))
    if contender.draw:
        face = statistics.median(seconds(contender.draw) for _ in range(ROUNDS))
    else:
        face = (
            statistics.median(seconds(lambda: contender.some(STEPS)) for _ in range(ROUNDS)) / STEPS * contender.steps
        )
    ddim = statistics.median(seconds(contender.ddim) for _ in range(ROUNDS)) * 25 / contender.ddim_calls
    return {
        "start_s": ready,
        "first_step_s": first,
        "face_s": face,
        "steps": contender.steps,
        "calls": contender.calls,
        "step_ms": 1000 * face / contender.steps,
        "ddim_25_calls_s": ddim,
        "parameters_m": contender.parameters / 1e6,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def table(results: dict[str, dict[str, float]]) -> str:
    """Markdown: every figure, and in brackets how many times Facet's it is."""
    head = {
        "parameters_m": "parameters, M",
        "steps": "steps",
        "calls": "network calls",
        "face_s": "a face, s",
        "step_ms": "a step, ms",
        "first_step_s": "first step, s",
        "ddim_25_calls_s": "25 calls of DDIM, s",
        "start_s": "start, s",
        "peak_memory_mb": "peak memory, MB",
    }
    rows = []
    for name, figures in results.items():
        cells = [f"{figures[key]:.3g}" if figures[key] < 1000 else f"{figures[key]:,.0f}" for key in head]
        ratios = [
            f" ({figures[key] / results['facet'][key]:.1f}x)"
            if name != "facet" and key in ("face_s", "step_ms", "ddim_25_calls_s")
            else ""
            for key in head
        ]
        rows.append([name, *(cell + ratio for cell, ratio in zip(cells, ratios))])
    return markdown.table(["", *head.values()], rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__.split("\n")[0])
    parser.add_argument("--one", choices=CONTENDERS, help="measure this one, in this process")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one)))
        return
    results = {}
    for name in CONTENDERS:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.peers", "--one", name], stdout=subprocess.PIPE, text=True, check=True
        )
        results[name] = json.loads(done.stdout.splitlines()[-1])
    print(
        json.dumps(
            {"machine": f"{platform.machine()}, {platform.system()}", "date": date.today().isoformat(), **results},
            indent=1,
        )
    )
    print(table(results))


if __name__ == "__main__":
    main()
