"""Stable Diffusion, to scale: how large this model is."""

import html

from torch import nn

from model.pipeline import SIZE, FacePipeline
from model.settings import Settings
from ui.badge import device, spent
from ui.how.html import table


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def scale(pipe: FacePipeline, settings: Settings) -> str:
    """Stable Diffusion 1.4 beside the loaded weights: U-Nets as squares of the right areas, and a table."""
    info, size = pipe.unet.info, parameters(pipe.unet)
    seen = f"{info['images']:,}" if "images" in info else "not recorded"
    pictures = f"{info['faces']:,} faces" if "faces" in info else "not recorded"
    rows = (
        ("U-Net, parameters", millions(size), "860 million"),
        ("Text encoder, parameters", millions(parameters(pipe.clip.towers.text)), "123 million"),
        ("From its output to pixels", f"SRResNet, {millions(parameters(pipe.upscaler))}", "decoder, 49 million"),
        ("What the U-Net works on", f"{SIZE} × {SIZE} × 3 pixels", "64 × 64 × 4 latents"),
        ("Finished picture", f"{SIZE * pipe.upscaler.config.scale} pixels a side", "512 pixels a side"),
        ("Pictures to learn from", pictures, "about 2 billion, with captions (LAION-2B-en)"),
        ("Pictures seen, with repeats", seen, "2.4 billion (1.17 million steps of 2,048)"),
        ("Training of the U-Net", duration(info), "150,000 hours of one A100 GPU"),
    )
    side = 200 * (size / 860e6) ** 0.5
    return f"""<div class="scale"><figure><svg viewBox="0 0 200 200" role="img"
        aria-label="Two squares: Stable Diffusion's U-Net, and this one, {860e6 / size:.0f} times smaller in area">
        <rect class="theirs" width="200" height="200" rx="4"/>
        <rect class="ours" y="{200 - side:.1f}" width="{side:.1f}" height="{side:.1f}" rx="2"/></svg>
        <figcaption><b>Parameters of the U-Nets</b>
        <span>The small square is this one: {860e6 / size:.0f} of it fill the large one.</span></figcaption></figure>
        {table("This model beside Stable Diffusion 1.4", ("", "Facet", "Stable Diffusion 1.4"), rows)}</div>"""


def millions(count: int) -> str:
    return f"{count / 1e6:.3g} million"


def duration(info: dict) -> str:
    """How long the weights were trained, from their metadata."""
    if "seconds" not in info:
        return "not recorded"
    return f"{spent(info['seconds'])} on {html.escape(device(str(info.get('device', 'one device'))))}"
