"""Inside the networks, and the filter it all began with: sections 4, 9 and 10 of the tab "How it works"."""

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from model.device import call
from model.images import to_tensor
from model.pipeline import FacePipeline
from model.settings import Settings
from model.srresnet import SRResNet, bicubic
from model.unet import Block, UNet
from ui.how.diffusion import face, noised
from ui.how.html import colour, image, signed, stretched, tile, tiles

SHOWN = 6  # feature maps per level
SOBEL_X = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
SOBEL_Y = SOBEL_X.T


@torch.inference_mode()
def features(
    network: nn.Module, names: Sequence[str], *inputs: Tensor, compute: Callable = call
) -> tuple[list[Tensor], Tensor]:
    """Run a network and keep what the named submodules return: list of (C, H, W) for the first image, and the output.

    The hooks sit on a copy of the modules that shares every weight, so that runs for other visitors do not call them.
    """
    weights = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    twin, kept = copy.deepcopy(network, weights), {}

    def keep(name: str) -> None:
        twin.get_submodule(name).register_forward_hook(
            lambda _, __, output: kept.update({name: output[0].float().cpu()})
        )

    for name in names:
        keep(name)
    output = compute(twin, *inputs)
    return [kept[name] for name in names], output


# --- 4: the U-Net's feature maps --------------------------------------------------------------------------------------


def unet_levels(unet: UNet) -> list[tuple[str, int, str]]:
    """(part, level, submodule) for the last block of every level, in the order of the data: encoder, middle, decoder."""
    encoder, decoder, level = {}, {}, 0
    for index, layer in enumerate(unet.encoder):
        if isinstance(layer, Block):
            encoder[level] = f"encoder.{index}"
        else:  # halves the size
            level += 1
    last = level
    for index, layer in enumerate(unet.decoder):
        if isinstance(layer, Block):
            decoder[level] = f"decoder.{index}"
        else:  # doubles it
            level -= 1
    return [
        *(("Encoder", level, name) for level, name in encoder.items()),
        ("Middle", last + 1, f"middle.{len(unet.middle) - 1}"),
        *(("Decoder", level, name) for level, name in decoder.items()),
    ]


def unet_maps(pipe: FacePipeline, settings: Settings, step: int) -> str:
    """A few feature maps of every level of the U-Net, laid out as the letter U, under the record's own prompt."""
    state, levels = noised(pipe, settings, step), unet_levels(pipe.unet)
    condition = pipe.condition([settings.prompt])
    x_t, t = state.x_t.to(pipe.device), state.t.to(pipe.device).float()
    maps, _ = features(pipe.unet, [name for _, _, name in levels], x_t, t, condition, compute=pipe.compute)
    parts = []
    for (part, level, _), kept in zip(levels, maps):
        channels, height, width = kept.shape
        chosen = np.linspace(0, channels - 1, min(SHOWN, channels)).round().astype(int)
        pictures = [
            tile(stretched(kept[index]), f"{index + 1}", alt=f"{part}, {height} by {width}, channel {index + 1}")
            for index in chosen
        ]
        parts.append(
            f'<section class="{part.lower()}" style="--level:{level + 1}"><h4>{part}, {height} × {width} '
            f"<span>{channels} channels</span></h4>{tiles(*pictures, kind='small')}</section>"
        )
    return f'<div class="u">{"".join(parts)}</div>'


# --- 9: Sobel ---------------------------------------------------------------------------------------------------------


def sobel(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Change of brightness to the right and downwards, times 8: (H, W) -> two (H, W), the border repeated outwards."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(picture, 1, mode="edge"), (3, 3))
    return (windows * SOBEL_X).sum((-2, -1)), (windows * SOBEL_Y).sum((-2, -1))


def brightness(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (H, W) in [0, 255], weighted as the eye does (Rec. 601)."""
    return pixels @ np.array([0.299, 0.587, 0.114])


def edges(pipe: FacePipeline, settings: Settings) -> str:
    """The two kernels, what each finds on the face, both together, and the sum worked out at the strongest edge."""
    pixels = face(pipe, settings)
    grey = brightness(pixels)
    right, down = sobel(grey)
    strength = np.hypot(right, down)
    pictures = tiles(
        tile(pixels, "The face"),
        tile(grey.round().astype(np.uint8), "In grey"),
        tile(signed(torch.tensor(right)), "To the right", "white: brighter, black: darker", "Change to the right"),
        tile(signed(torch.tensor(down)), "Downwards", "white: brighter, black: darker", "Change downwards"),
        tile((strength * 255 / max(strength.max(), 1e-8)).astype(np.uint8), "Both together", "white: a strong edge"),
    )
    inside = strength[1:-1, 1:-1]
    y, x = np.unravel_index(inside.argmax(), inside.shape)  # the window's top left corner; its middle is (y + 1, x + 1)
    window = grey[y : y + 3, x : x + 3].round().astype(int)
    across, along = int((window * SOBEL_X).sum()), int((window * SOBEL_Y).sum())
    worked = f"""<h4>The sum, at the strongest edge</h4><div class="sum">{matrix(window, "Nine grey values of the face")}
        <p>Around pixel ({x + 1}, {y + 1}). Each of the nine grey values times the number at its place in a kernel, all added
        up: to the right <b>{across}</b>, downwards <b>{along}</b>, together √({abs(across)}² + {abs(along)}²) =
        <b>{np.hypot(across, along):.0f}</b>.</p></div>""".replace("-", "−")
    kernels = f'<div class="kernels">{matrix(SOBEL_X, "To the right")}{matrix(SOBEL_Y, "Downwards")}</div>'
    return kernels.replace("-", "−") + pictures + worked


def matrix(numbers: np.ndarray, caption: str) -> str:
    rows = "".join("<tr>" + "".join(f"<td>{value}</td>" for value in row) + "</tr>" for row in numbers)
    return f'<table class="matrix"><caption>{caption}</caption><tbody>{rows}</tbody></table>'


# --- 10: SRResNet -----------------------------------------------------------------------------------------------------


def shuffles(
    network: SRResNet, x: Tensor, compute: Callable = call
) -> tuple[list[tuple[Tensor, Tensor]], Tensor, Tensor]:
    """x: (1, 3, H, W) in [-1, 1] -> per stage the feature maps (4C, H, W) before PixelShuffle and (C, 2H, 2W) after it;
    then bicubic enlargement and the detail that the network adds, each (3, scale H, scale W)."""
    names = [f"upsample.{stage}.{layer}" for stage in range(network.config.stages) for layer in (0, 1)]
    (*maps, detail), _ = features(network, [*names, "tail"], x, compute=compute)
    return list(zip(maps[::2], maps[1::2])), bicubic(x.cpu(), network.config.scale)[0], detail


def upscaling(pipe: FacePipeline, settings: Settings) -> str:
    """Before and after each PixelShuffle: four maps that become one; then bicubic + detail = the large face."""
    x = to_tensor(face(pipe, settings))[None].to(pipe.device)
    stages, smooth, detail = shuffles(pipe.upscaler, x, pipe.compute)
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
