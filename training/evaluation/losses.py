"""What the training looked like: the figures behind "Training" in "How it works".

    python -m training.evaluation.losses runs/unet/log.jsonl --where "one NVIDIA H200"

The log of training/unet/train.py holds the losses against the images seen. The loss by noise level is measured here, of
the finished weights, on training and on validation faces under their own image embedding, with the same times and noise
for both. This needs prepared faces (make prepare DATA=... embed). Writes assets/how/training.json (ui/how/learning.py
shows it).
"""

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor

from model.diffusion import training_pair
from model.errors import InputError, exit_in_one_line
from model.images import to_tensor
from model.pipeline import FacePipeline
from model.unet import UNet
from training.data.checks import check_embeddings
from training.data.prepared import load_prepared

# eighths of the time
BINS, BATCH = 8, 64


def curve(log: Path) -> dict:
    """The losses of a log, each as pairs (images seen, loss), and how long the training took.

    What a killed run had logged since its last state, the resumed one logs again: the last line counts. Raises
    InputError for a file that is no log, or one without both losses.
    """
    try:
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        losses = {line["images"]: line["loss"] for line in lines if "loss" in line}
        validation = {line["images"]: line["validation_loss"] for line in lines if line.get("validation_loss")}
        about = {"images": lines[-1]["images"], "seconds": round(lines[-1]["seconds"])}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"{log} is no log of training.unet.train ({type(error).__name__}).") from error
    if not losses or not validation:
        raise InputError(f"{log} holds no losses on {'validation' if losses else 'training'} faces: train for longer.")
    return about | {"loss": sorted(losses.items()), "validation": sorted(validation.items())}


@torch.inference_mode()
def by_noise(unet: UNet, images: Tensor, conditions: Tensor) -> list[float]:
    """The mean loss in each eighth of the time.

    :param images:     (N, H, W, 3) uint8, N a multiple of BATCH.
    :param conditions: (N, 514), their own image embeddings with both flags.
    """
    generator = torch.Generator().manual_seed(0)
    losses = torch.zeros(BINS, dtype=torch.float64)
    for start in range(0, len(images), BATCH):
        original = to_tensor(images[start : start + BATCH])
        t = (torch.arange(BATCH) + torch.rand(BATCH, generator=generator)) / BATCH
        noise = torch.randn(BATCH, *original.shape[1:], generator=generator)
        x_t, wanted = training_pair(original, t.clamp(min=1e-3).double(), noise, unet.config.target)
        prediction = unet(x_t, t.clamp(min=1e-3), conditions[start : start + BATCH])
        error = (prediction - wanted).square().mean((1, 2, 3)).double()
        losses += error.view(BINS, -1).mean(1)
    return [round(value, 4) for value in (losses / (len(images) // BATCH)).tolist()]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluation.losses",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("log", type=Path, help="log.jsonl of the training of the U-Net in --weights")
    parser.add_argument("--where", required=True, help="the device of the training")
    parser.add_argument("--prepared", type=Path, default=Path("runs/prepared"))
    parser.add_argument("--weights", default="weights")
    parser.add_argument("--faces", type=int, default=1024, help=f"of each kind; a multiple of {BATCH}")
    parser.add_argument("--out", type=Path, default=Path("assets/how"))
    options = parser.parse_args(arguments)
    with exit_in_one_line("training.evaluation.losses"):
        options.out.mkdir(parents=True, exist_ok=True)
        about = curve(options.log)
        pipe, data = FacePipeline.from_pretrained(options.weights, "cpu"), load_prepared(options.prepared)
        check_embeddings(data, pipe.clip)
        fewest = int(min(data.validation.sum(), (~data.validation).sum()))
        if not BATCH <= options.faces <= fewest or options.faces % BATCH:
            raise InputError(
                f"--faces must be a multiple of {BATCH}, up to the {fewest} prepared, not {options.faces}."
            )
    about |= {"unet": pipe.unet.info["hash"], "where": options.where, "faces": options.faces}
    for name, held_out in (("by_noise", False), ("by_noise_validation", True)):
        chosen = (data.validation == held_out).nonzero().flatten()[: options.faces]
        flags = torch.stack([torch.ones(len(chosen)), data.squashed[chosen].float()], dim=1)
        conditions = torch.cat([data.image_embeddings[chosen].float(), flags], dim=1)
        about[name] = by_noise(pipe.unet, data.images[chosen], conditions)
        print(name, about[name], flush=True)
    (options.out / "training.json").write_text(json.dumps(about) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
