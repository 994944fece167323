"""Enlarging: four ways from 64 to 512 pixels, and what happens inside SRResNet."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from model.device import call
from model.images import to_tensor
from model.pipeline import FacePipeline
from model.settings import Settings
from model.srresnet import SRResNet, bicubic
from ui.how.face import face, features
from ui.how.html import colour, image, signed, stretched, tile, tiles

# rows and columns of a 512 px face: the eye on the left
CLOSER = slice(176, 304), slice(112, 240)


def shrunk(large: np.ndarray) -> np.ndarray:
    """(512, 512, 3) uint8 -> (64, 64, 3) float, by bicubic interpolation, as faces are shrunk for the training."""
    return np.asarray(Image.fromarray(large).resize((64, 64), Image.Resampling.BICUBIC), float)


def compared(pipe: FacePipeline, settings: Settings) -> str:
    """The face as pixels, bicubic, faithful and crisp, one eye of each closer, and what only the crisp one has."""
    small = face(pipe, settings)
    ways = {
        "Pixels": (small.repeat(8, 0).repeat(8, 1), "each one a square"),
        "Bicubic": (np.asarray(Image.fromarray(small).resize((512, 512), Image.Resampling.BICUBIC)), "a smooth guess"),
        "Faithful": (pipe.upscale(small[None])[0], "the mean of what fits"),
    }
    if pipe.crisp is not None:
        ways["Crisp"] = (pipe.upscale(small[None], crisp=True)[0], "the picture you get")
    rows, columns = CLOSER
    faces = tiles(*(tile(large, name, note) for name, (large, note) in ways.items()), kind="four smooth")
    eyes = tiles(
        *(tile(large[rows, columns], name, "closer", f"{name}: one eye") for name, (large, _) in ways.items()),
        kind="four smooth",
    )
    return faces + eyes + (invented(small, ways["Faithful"][0], ways["Crisp"][0]) if "Crisp" in ways else "")


def invented(small: np.ndarray, faithful: np.ndarray, crisp: np.ndarray) -> str:
    """Where crisp and faithful differ, large and shrunk back to 64 px."""
    apart = crisp.astype(float) - faithful
    large, back = np.abs(apart).mean(), np.abs(shrunk(crisp) - shrunk(faithful)).mean()
    own = np.abs(shrunk(crisp) - small).mean()
    strength = np.abs(apart).mean(-1)
    shown = (255 * np.minimum(1, strength / max(np.quantile(strength, 0.995), 1))).astype(np.uint8)
    return f"""<div class="invented">{tile(shown, "Invented", "white: crisp and faithful differ most")}<p>At 512
        pixels the
        crisp and the faithful face differ by <b>{large:.1f}</b> grey levels on average. Shrunk back to 64 pixels
        they differ
        by <b>{back:.1f}</b>, and the crisp one differs from your face by {own:.1f}. Both are nearly true to the
        small one, so it cannot say which is right: what they do not share is invented.</p></div>"""


@dataclass(frozen=True, eq=False)
class Shuffled:
    """The liveliest of the C feature maps that a PixelShuffle makes."""

    # C
    count: int
    # the map's place among them
    channel: int
    # (2H, 2W)
    after: Tensor

    @classmethod
    def of(cls, conv: nn.Conv2d, x: Tensor) -> "Shuffled":
        """conv: what comes before the PixelShuffle, C' -> 4 C channels. x: its input, (C', H, W).

        The maps are made one by one: all of the last stage take 0.1 GB.
        """
        assert conv.bias is not None
        kernels = zip(conv.weight.split(4), conv.bias.split(4))
        maps = (F.pixel_shuffle(F.conv2d(x, *kernel, padding=conv.padding), 2)[0] for kernel in kernels)
        channel, after = max(enumerate(maps), key=lambda numbered: numbered[1].std().item())
        return cls(conv.out_channels // 4, channel, after.cpu())

    @property
    def before(self) -> Tensor:
        """The four maps that it was made of, channels 4 * channel to 4 * channel + 3: (4, H, W)."""
        return F.pixel_unshuffle(self.after[None], 2)


@torch.inference_mode()
def shuffles(network: SRResNet, x: Tensor, compute: Callable = call) -> tuple[list[Shuffled], Tensor, Tensor]:
    """x: (1, 3, H, W) in [-1, 1] -> what each stage's PixelShuffle does; then bicubic enlargement and the detail that
    the network adds, each (3, scale H, scale W)."""
    stages = [*network.upsample]
    names = ["head", "body", *(f"upsample.{index}" for index in range(len(stages) - 1))]
    # with a window, though it is the whole image: the last stage goes in strips
    window = (0, x.shape[2], 0, x.shape[3])
    inside, large = features(network, names, x, window, compute=compute)
    inputs = [inside["head"] + inside["body"], *(inside[name] for name in names[2:])]
    shown = [compute(Shuffled.of, stage[0], maps.to(x.device)) for stage, maps in zip(stages, inputs)]
    smooth = bicubic(x.cpu(), network.config.scale)[0]
    return shown, smooth, large[0].float().cpu() - smooth


def upscaling(pipe: FacePipeline, settings: Settings) -> str:
    """Before and after each PixelShuffle: four maps that become one; then bicubic + detail = the large face."""
    x = to_tensor(face(pipe, settings))[None].to(pipe.device)
    stages, smooth, detail = shuffles(pipe.upscaler, x, pipe.compute)
    parts = []
    for index, stage in enumerate(stages):
        size, large = stage.before.shape[-1], stage.after.shape[-1]
        four = [
            image(stretched(one), f"Before: channel {number}, {size} by {size}")
            for number, one in enumerate(stage.before, 4 * stage.channel + 1)
        ]
        whole, channel = stretched(stage.after), stage.channel + 1
        eye = whole[3 * large // 8 : 5 * large // 8, large // 4 : large // 2]
        parts.append(f"""<section><h4>PixelShuffle {index + 1}: {size} × {size} to {large} ×
            {large}</h4><div class="shuffle">
            <div>{tiles(*four, kind="small")}<p>Before: 4 of {4 * stage.count} channels</p></div>
            <span aria-hidden="true">→</span>
            {tile(whole, "", f"After: 1 of {stage.count} channels", f"After: channel {channel}, {large} by {large}")}
            {tile(eye, "", "The same, closer", f"After: channel {channel}, around one eye")}</div></section>""")
    together = tiles(
        tile(colour(smooth), "Bicubic", "smooth guess, no learning"),
        tile(signed(detail), "Detail", "what the network adds; grey is nothing"),
        tile(colour(smooth + detail), "The sum", "the faithful face"),
        title=f"Together: {smooth.shape[-1]} × {smooth.shape[-1]}",
        kind="large",
    )
    return "".join(parts) + together
