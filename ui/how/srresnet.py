"""Enlarging: what happens inside SRResNet."""

import torch
from torch import Tensor

from model.pipeline import FacePipeline
from model.srresnet import SRResNet, bicubic
from ui.how.face import Recipe, face
from ui.how.html import colour, image, signed, stretched, tile, tiles
from ui.how.unet import features


def shuffles(network: SRResNet, x: Tensor) -> tuple[list[tuple[Tensor, Tensor]], Tensor, Tensor]:
    """x: (1, 3, H, W) in [-1, 1] -> per stage the feature maps (4C, H, W) before PixelShuffle and (C, 2H, 2W) after it;
    then bicubic enlargement and the detail that the network adds, each (3, scale H, scale W)."""
    names = [f"upsample.{stage}.{layer}" for stage in range(network.config.stages) for layer in (0, 1)]
    (*maps, detail), _ = features(network, [*names, "tail"], x)
    return list(zip(maps[::2], maps[1::2])), bicubic(x.cpu(), network.config.scale)[0], detail


def upscaling(pipe: FacePipeline, recipe: Recipe) -> str:
    """Before and after each PixelShuffle: four maps that become one; then bicubic + detail = the large face."""
    x = torch.tensor(face(pipe, recipe)).permute(2, 0, 1)[None].to(pipe.device) / 127.5 - 1
    stages, smooth, detail = shuffles(pipe.upscaler, x)
    parts = []
    for index, (before, after) in enumerate(stages):
        channel = int(after.flatten(1).std(1).argmax())  # the liveliest one
        size, large = before.shape[-1], after.shape[-1]
        four = [
            image(stretched(before[4 * channel + part]), f"Before: channel {4 * channel + part + 1}, {size} by {size}")
            for part in range(4)
        ]
        whole = stretched(after[channel])
        eye = whole[3 * large // 8 : 5 * large // 8, large // 4 : large // 2]
        parts.append(f"""<section><h4>PixelShuffle {index + 1}: {size} × {size} to {large} × {large}</h4><div class="shuffle">
            <div>{tiles(*four, kind="small")}<p>Before: 4 of {len(before)} channels</p></div>
            <span aria-hidden="true">→</span>
            {tile(whole, "", f"After: 1 of {len(after)} channels", f"After: channel {channel + 1}, {large} by {large}")}
            {tile(eye, "", "The same, closer", f"After: channel {channel + 1}, the part around one eye")}</div></section>""")
    together = tiles(
        tile(colour(smooth), "Bicubic", "smooth guess, no learning"),
        tile(signed(detail), "Detail", "what the network adds; grey is nothing"),
        tile(colour(smooth + detail), "The sum", "the finished face"),
        title=f"Together: {smooth.shape[-1]} × {smooth.shape[-1]}",
        kind="large",
    )
    return "".join(parts) + together
