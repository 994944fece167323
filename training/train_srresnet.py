"""Train SRResNet, 64 -> 512 px, on patches of faces.

    python -m training.train_srresnet --data data --out runs/srresnet/srresnet.safetensors --max-minutes 26
    python -m training.train_srresnet --data data --evaluate weights/srresnet.safetensors

A run that ends for whatever reason goes on where it stopped when the same command is given again.
"""

import argparse
import hashlib
import io
import platform
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter
from torch import Tensor

from model import checkpoint
from model.device import pick_device
from model.errors import FacetError
from model.srresnet import SRResNet, SRResNetConfig, upscale
from training.loop import EMA, Clock, Log, Stop, amp_dtype, commit, finite, load_state, save_state, warmup_then_linear

LICENCE = "non-commercial research; see weights/README.md"
BORDER = 8  # pixels cut from each side before measuring PSNR: one input pixel, as is the custom


@dataclass(frozen=True)
class TrainConfig:
    network: SRResNetConfig = field(default_factory=SRResNetConfig)
    patch: int = 24                # side of an input patch, px; 24 reaches the CPU's best rate, 16 sees too much border
    batch: int = 6                 # patches per step; small, since at this budget quality follows the number of steps
    learning_rate: float = 5e-4    # Adam's peak; rises over `warmup`, then falls to zero at the end of the budget
    warmup: float = 0.02           # share of the budget
    ema_half_life: int = 1_500     # images (patches)
    images: int = 1_000_000        # budget in patches; the run ends at this or at max_minutes, whichever comes first
    max_minutes: float = 26        # budget in minutes of training, over all resumes; pauses do not count
    degraded: float = 0.5          # share of input patches that pass through degrade()
    checkpoint_seconds: float = 120  # between validations, each of which saves everything
    validation_images: int = 12    # held-out images per validation; all of them at the end
    seed: int = 0


RECIPES = {
    "default": TrainConfig(),
    "tiny": TrainConfig(SRResNetConfig(channels=8, blocks=2), patch=8, batch=2, images=12, checkpoint_seconds=0, validation_images=1),
}

# What a step learns from: folder, scale (px of the true image per px of input), share of the steps, sides to resize to.
# Only faces_hq holds true 512 px faces, in CelebA framing; three sides make the network indifferent to a face's exact
# size. The faces of faces_256 and portraits are as large as those of faces_hq at 256 px, so they supervise the output
# halved to 256 px (scale 4): no blurred enlargement is ever a target, and the input keeps the size faces have in use.
# General photographs, as they are, keep backgrounds and clothes in the picture.
SOURCES = {
    "studio": (["faces_hq"], 8, 0.5, [448, 512, 576]),
    "faces": (["faces_256", "portraits"], 4, 0.4, [None]),
    "general": (["sr/BSDS399", "sr/T91"], 8, 0.1, [None]),
}


# -- data --------------------------------------------------------------------------------------------------------------

def person(name: str) -> str:
    """Who is on a faces_hq photo: `london-smiling-001.jpg` -> "london-001", `canada-003f.jpg` -> "canada-003"."""
    parts = Path(name).stem.split("-")
    return f"{parts[0]}-{parts[-1][:3]}"


def is_held_out(name: str) -> bool:
    """About every fifth person is for validation: those whose number is divisible by 5. Raises FacetError without a number."""
    number = person(name)[-3:]
    if not number.isdecimal():
        raise FacetError(f"faces_hq/{name}: a name must be like set-001.jpg, with the person's three-digit number.")
    return int(number) % 5 == 0


def image_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))


def read_image(path: Path, side: int | None = None) -> Tensor:
    """(3, H, W) uint8, resized to side x side if a side is given."""
    with Image.open(path) as image:
        image = image.convert("RGB")
        if side:
            image = image.resize((side, side), Image.Resampling.LANCZOS)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def load_training_images(data: Path, patch: int) -> tuple[dict[str, list[Tensor]], str]:
    """Images of every source of SOURCES that is there, as (3, H, W) uint8, and a hash over the files read.

    Held-out people are left out, and so are images smaller than a patch. Raises FacetError if nothing is found.
    """
    digest, images = hashlib.sha256(), {}
    for source, (folders, scale, _, sides) in SOURCES.items():
        files = [path for folder in folders for path in image_files(data / folder)]
        files = [path for path in files if path.parent.name != "faces_hq" or not is_held_out(path.name)]
        for path in files:
            digest.update(path.name.encode() + path.read_bytes())
        found = [read_image(path, side) for side in sides for path in files]
        found = [image for image in found if min(image.shape[1:]) >= patch * scale]
        if found:
            images[source] = found
    if not images:
        raise FacetError(f"{data} holds none of the folders {', '.join(f for s in SOURCES.values() for f in s[0])}; see --data.")
    return images, digest.hexdigest()[:16]


def load_held_out(data: Path) -> Tensor:
    """The held-out people at 512 px: (N, 3, 512, 512) uint8. Raises FacetError if there are none."""
    files = [path for path in image_files(data / "faces_hq") if is_held_out(path.name)]
    if not files:
        raise FacetError(f"{data / 'faces_hq'} holds no photo of a held-out person; see --data.")
    return torch.stack([read_image(path, 512) for path in files])


def shrink(images: Tensor, scale: int) -> Tensor:
    """Antialiased bicubic reduction, as PIL's: (N, 3, H, W) -> (N, 3, H/scale, W/scale), uint8 or float."""
    return F.interpolate(images, scale_factor=1 / scale, mode="bicubic", antialias=True)


def degrade(image: Tensor, generator: torch.Generator) -> Tensor:
    """What a small image may have suffered: slight blur, then noise, then JPEG. (3, H, W) uint8 -> the same.

    Faces from the U-Net are softer than reduced photographs, and CelebA's carry JPEG's traces.
    """
    blur, noise, quality = torch.rand(3, generator=generator).tolist()
    pil = Image.fromarray(image.permute(1, 2, 0).numpy()).filter(ImageFilter.GaussianBlur(0.8 * blur))  # 0 to 0.8 px
    pixels = torch.from_numpy(np.array(pil)).float()
    pixels += 5 * noise * torch.randn(pixels.shape, generator=generator)             # deviation 0 to 5 of 255 levels
    buffer = io.BytesIO()
    Image.fromarray(pixels.round().clamp(0, 255).byte().numpy()).save(buffer, "JPEG", quality=60 + round(35 * quality))
    return torch.from_numpy(np.array(Image.open(buffer))).permute(2, 0, 1).contiguous()


def draw_batch(images: dict[str, list[Tensor]], config: TrainConfig, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Input patches (B, 3, patch, patch) and true patches (B, 3, scale patch, scale patch), uint8, from one source."""
    def integer(below):
        return int(torch.randint(below, (), generator=generator))

    shares = torch.tensor([SOURCES[source][2] for source in images])
    source = list(images)[int(torch.multinomial(shares, 1, generator=generator))]
    scale = SOURCES[source][1]
    side = config.patch * scale
    true = []
    for _ in range(config.batch):
        image = images[source][integer(len(images[source]))]                         # (3, H, W)
        top, left = integer(image.shape[1] - side + 1), integer(image.shape[2] - side + 1)
        patch = image[:, top:top + side, left:left + side]
        true.append(patch.flip(2) if integer(2) else patch)
    true = torch.stack(true)
    small = shrink(true, scale)
    chosen = torch.rand(config.batch, generator=generator) < config.degraded
    small = torch.stack([degrade(x, generator) if c else x for x, c in zip(small, chosen)])
    return small, true


# -- training ----------------------------------------------------------------------------------------------------------

def loss_function(network: SRResNet, small: Tensor, true: Tensor) -> Tensor:
    """Mean absolute error in [-1, 1] units. The paper minimises MSE; L1 is less blurred and, as EDSR found, ends at a
    PSNR no lower. Where the true patch is smaller than the output (scale 4), the output is reduced to its size."""
    large = network(small.float() / 127.5 - 1)
    if large.shape != true.shape:
        large = shrink(large, large.shape[-1] // true.shape[-1])
    return F.l1_loss(large, true.float() / 127.5 - 1)


def train_step(network: SRResNet, optimizer: torch.optim.Optimizer, small: Tensor, true: Tensor) -> float:
    """One optimizer step; returns the loss. Raises FacetError if it is not a number."""
    device = small.device
    dtype = amp_dtype(device)
    with torch.autocast(device.type, dtype, enabled=dtype is not None):
        loss = loss_function(network, small.to(memory_format=torch.channels_last), true)
    optimizer.zero_grad()
    finite(loss).backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)                        # only ever cuts spikes
    optimizer.step()
    return loss.item()


def train(data: Path, out: Path, run: Path, config: TrainConfig, device: torch.device, stop: Stop | None = None):
    """Train until the budget is spent or `stop` is requested; writes `out`, and state, log and grids under `run`.

    Everything random comes from one generator whose state is saved, so a resumed run repeats an unbroken one exactly
    (as long as the budget in images, not the clock, sets the learning rate).
    """
    images, data_hash = load_training_images(data, config.patch)
    held_out = load_held_out(data)
    torch.manual_seed(config.seed)
    network = SRResNet(config.network).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), config.learning_rate, betas=(0.9, 0.99), fused=True)
    ema = EMA(network, config.ema_half_life)
    generator = torch.Generator().manual_seed(config.seed)
    seen, seconds = 0, 0.0

    identity = {"config": asdict(replace(config, max_minutes=0)), "data": data_hash}  # a run may be given more time
    state = load_state(run / "state.pt", identity)
    if state is not None:
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        ema.load_state_dict(state["ema"])
        generator.set_state(state["generator"])
        seen, seconds = state["seen"], state["seconds"]

    def save(count: int):
        """State first, then the averaged network as the weights file, with what validation says of it."""
        save_state(run / "state.pt", {"identity": identity, "network": network.state_dict(), "optimizer": optimizer.state_dict(),
                                      "ema": ema.state_dict(), "generator": generator.get_state(), "seen": seen, "seconds": seconds})
        scores = evaluate(ema.network, held_out[:: max(1, len(held_out) // count)][:count], run / f"grid-{seen:07d}.png")
        info = {"kind": "srresnet", "commit": commit(), "images": seen, "seconds": round(seconds), "device": device_name(device), "data": data_hash,
                "psnr": scores, "licence": LICENCE}
        checkpoint.save(out, ema.network.state_dict(), asdict(config.network), info)
        log.write(images=seen, seconds=seconds, **{f"{name}_{kind}": db for name, row in scores.items() for kind, db in row.items()})

    log, losses = Log(run / "log.jsonl"), []
    clock = Clock(seconds, most=10)                          # a step takes below a second: a longer one was a pause
    next_save = seconds + config.checkpoint_seconds
    while True:
        progress = max(seen / config.images, seconds / (60 * config.max_minutes))
        if progress >= 1 or (stop is not None and stop.requested):
            break
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * warmup_then_linear(progress, config.warmup)
        small, true = draw_batch(images, config, generator)
        losses.append(train_step(network, optimizer, small.to(device), true.to(device)))
        ema.update(network, config.batch)
        seen += config.batch
        seconds = clock.tick()
        if len(losses) == 50:
            log.write(images=seen, seconds=seconds, loss=sum(losses) / 50, learning_rate=optimizer.param_groups[0]["lr"])
            losses.clear()
        if seconds >= next_save:
            save(config.validation_images)
            clock.skip()
            next_save = seconds + config.checkpoint_seconds
    save(len(held_out) if progress >= 1 else config.validation_images)


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU {platform.machine()}, {torch.get_num_threads()} threads, {str(amp_dtype(device) or torch.float32).removeprefix('torch.')}"


# -- evaluation --------------------------------------------------------------------------------------------------------

def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB over RGB of two (H, W, 3) uint8 images, without their borders."""
    error = (a.astype(np.float64) - b)[BORDER:-BORDER, BORDER:-BORDER]
    return float(10 * np.log10(255 ** 2 / max(np.mean(error ** 2), 1e-10)))


def evaluate(network: SRResNet, true: Tensor, grid: Path | None = None) -> dict[str, dict[str, float]]:
    """Mean PSNR (dB) of `network`, bicubic and Lanczos on true images (N, 3, 512, 512) uint8, from 64 px inputs that are
    clean or degraded: {"srresnet": {"clean": .., "degraded": ..}, ..}. Writes the first four side by side to `grid`."""
    generator = torch.Generator().manual_seed(1)                                     # the same damage at every evaluation
    scale = network.config.scale
    clean = shrink(true, scale)                                                      # (N, 3, 64, 64)
    inputs = {"clean": clean, "degraded": torch.stack([degrade(x, generator) for x in clean])}
    filters = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}
    scores = {name: {kind: 0.0 for kind in inputs} for name in ("srresnet", *filters)}
    rows = []
    for kind, small in inputs.items():
        for i, (image, truth) in enumerate(zip(small.permute(0, 2, 3, 1).numpy(), true.permute(0, 2, 3, 1).numpy())):
            pil = Image.fromarray(image)
            results = {"srresnet": upscale(network, image[None])[0]}
            results |= {name: np.asarray(pil.resize(truth.shape[1::-1], method)) for name, method in filters.items()}
            for name, result in results.items():
                scores[name][kind] += psnr(result, truth) / len(true)
            if i < 2:
                rows.append(np.concatenate([results["bicubic"], results["srresnet"], truth], axis=1))
    if grid is not None:
        grid.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.concatenate(rows)).save(grid)
    return {name: {kind: round(db, 3) for kind, db in row.items()} for name, row in scores.items()}


def print_table(scores: dict[str, dict[str, float]], count: int):
    print(f"PSNR in dB, RGB, {count} photos of held-out people, 64 -> 512 px\n{'':10}{'clean':>9}{'degraded':>10}")
    for name, row in scores.items():
        print(f"{name:10}{row['clean']:9.2f}{row['degraded']:10.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder with faces_hq/, faces_256/, portraits/, sr/")
    parser.add_argument("--out", type=Path, default=Path("runs/srresnet/srresnet.safetensors"), help="the weights file to write")
    parser.add_argument("--state-dir", type=Path, default=Path("runs/srresnet"), help="folder for state, log and sample grids")
    parser.add_argument("--recipe", choices=RECIPES, default="default")
    parser.add_argument("--max-minutes", type=float, help="training time over all resumes; pauses do not count")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--evaluate", type=Path, metavar="WEIGHTS", help="print the held-out table of a weights file and end")
    args = parser.parse_args()
    try:
        device = pick_device(args.device)
        if args.evaluate:
            true = load_held_out(args.data)
            print_table(evaluate(SRResNet.from_file(args.evaluate, device), true), len(true))
            return
        config = RECIPES[args.recipe]
        if args.max_minutes is not None:
            config = replace(config, max_minutes=args.max_minutes)
        with Stop() as stop:
            train(args.data, args.out, args.state_dir, config, device, stop)
    except FacetError as error:
        raise SystemExit(f"train_srresnet: {error}") from error


if __name__ == "__main__":
    main()
