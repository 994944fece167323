"""Transfer a U-Net to another CLIP: it keeps what it knows of its conditions, so that training need not start anew.

    python -m training.unet.transfer --unet old/unet.safetensors --old-clip old/clip.safetensors
    python -m training.unet.train --start-from runs/transfer/unet.safetensors

Embeddings of the same captions and faces under both CLIPs give, by least squares, the linear map from the new space to
the old one. The U-Net's first layer on the condition is linear too, so the map is multiplied into its weights.
"""

import argparse
from dataclasses import asdict
from pathlib import Path
from random import Random

import torch
from torch import Tensor

from model.clip import Clip
from model.errors import FacetError, exit_in_one_line
from model.files import checkpoint
from model.unet import UNet
from training.data.captions import celeba_prompt, stated_attributes
from training.data.prepared import Prepared, load_prepared

# captions, and as many faces
PAIRS = 12_000
# keeps directions that hardly occur from growing
RIDGE = 1e-3


def embeddings(clip: Clip, texts: list[str], faces: Tensor) -> Tensor:
    """(M texts + N faces, 513): unit vectors, and 1 for those of faces."""
    parts = [torch.nn.functional.pad(clip.encode_texts(texts[i : i + 256]), (0, 1)) for i in range(0, len(texts), 256)]
    parts += [torch.nn.functional.pad(clip.encode_images(part), (0, 1), value=1.0) for part in faces.split(256)]
    return torch.cat(parts).clone()


def transfer(unet: UNet, old: Clip, new: Clip, prepared: Prepared, pairs: int = PAIRS) -> float:
    """Change `unet`, trained under `old`, so that conditions from `new` mean the same to it.

    Returns the share of the old embeddings' variance that the map explains, on captions and faces it was not fitted to.
    """
    rows = (~prepared.validation).nonzero().squeeze(1)
    attributes, rng = prepared.attributes[rows].numpy(), Random(0)
    frequency = attributes.mean(0)
    texts = [celeba_prompt(stated_attributes(attributes[i % len(rows)], frequency, rng)) for i in range(pairs)]
    faces = prepared.images[rows[:pairs]]
    was, now = embeddings(old, texts, faces), embeddings(new, texts, faces)
    mean, std = now[: len(texts), :-1].mean(0), now[: len(texts), :-1].std(0).clamp(min=1e-4)
    known = torch.cat([(now[:, :-1] - mean) / std, now[:, -1:], torch.ones(len(now), 1)], dim=1).double()
    wanted = ((was[:, :-1] - unet.mean) / unet.std).double()
    used = torch.arange(len(known)) % 10 != 0
    gram = known[used].T @ known[used] / used.sum()
    scale = RIDGE * torch.eye(len(gram), dtype=torch.float64)
    # (514, 512): embedding, flag, constant
    solved = torch.linalg.solve(gram + scale, known[used].T @ wanted[used] / used.sum())
    left = wanted[~used] - known[~used] @ solved
    first = unet.condition[0]
    weight = first.weight.data[:, : wanted.shape[1]].double()
    first.bias.data += (weight @ solved[-1]).float()
    # the flag of a face's own embedding
    first.weight.data[:, wanted.shape[1]] += (weight @ solved[-2]).float()
    first.weight.data[:, : wanted.shape[1]] = (weight @ solved[:-2].T).float()
    unet.mean, unet.std = mean, std
    return 1 - (left.var(0).sum() / wanted[~used].var(0).sum()).item()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.unet.transfer", description=__doc__.split("\n")[0])
    parser.add_argument("--unet", type=Path, required=True, help="the U-Net to carry over")
    parser.add_argument("--old-clip", type=Path, required=True, help="the CLIP it was trained with")
    parser.add_argument("--clip", type=Path, default=Path("weights/clip.safetensors"), help="the new CLIP")
    parser.add_argument("--prepared", type=Path, default=Path("runs/prepared"), help="what training.data.prepare wrote")
    parser.add_argument("--out", type=Path, default=Path("runs/transfer/unet.safetensors"))
    options = parser.parse_args(arguments)
    with exit_in_one_line("training.unet.transfer"):
        unet, old, new = UNet.from_file(options.unet), Clip.from_file(options.old_clip), Clip.from_file(options.clip)
        if unet.info.get("clip") != old.hash:
            raise FacetError(f"{options.unet} was trained with another CLIP than {options.old_clip}.")
        explained = transfer(unet, old, new, load_prepared(options.prepared))
        info = {name: value for name, value in unet.info.items() if name != "hash"}
        checkpoint.save(
            options.out,
            unet.state_dict(),
            asdict(unet.config),
            info | {"clip": new.hash, "transferred_from": unet.info["hash"]},
        )
    print(f"{explained:.1%} of the old embeddings' variance is explained by the new ones.")


if __name__ == "__main__":
    main()
