"""Learn the concepts that no label names (model/words/concepts.py) by textual inversion, with CLIP and U-Net frozen.

    python -m training.unet.concepts --prepared runs/prepared --weights weights
    python -m training.unet.concepts --only Red_Hair       the others' vectors stay as they are

The loss is the U-Net's own (as in Gal et al. 2022, equation 2): on noised photographs that show a concept, under
captions that do not name it, the vector added to the caption's embedding is changed until the U-Net predicts best. A
caption always tells the sex, so that the vector need not. Some nine minutes a concept on two CPU cores; it does not
resume.
"""

import argparse
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor

from model.attributes import ATTRIBUTES, CONCEPTS
from model.clip import Clip
from model.device import half_precision, pick_device
from model.diffusion import training_pair
from model.errors import FacetError, exit_in_one_line
from model.files import checkpoint
from model.images import to_tensor
from model.unet import UNet, condition_of
from model.words.concepts import Concepts
from training.core.log import LICENCE, commit
from training.core.state import check_writable
from training.data.captions import stated_attributes, worded
from training.data.checks import check_unet
from training.data.concepts import Examples, examples
from training.data.phrases import ABSENT, PRESENT
from training.data.prepared import Prepared, load_prepared

# of the embeddings' standard deviation
LEARNING_RATE = 0.06
WARM_UP = 20
# Below 1, noisier times are drawn more often: colours and shapes are decided there.
NOISIER = 0.7
# Factor on a finished vector; 1 where none is given. A sampler guides only a few steps, so the vector alone acts too
# weakly. A larger factor shows the concept more often and draws less whole faces (docs/experiments.md).
STRENGTH = {
    "Dark_Skin": 1.6,
    "Tanned_Skin": 1.45,
    "East_Asian": 1.3,
    "Red_Hair": 1.4,
    "Long_Hair": 1.6,
    "Short_Hair": 1.4,
    "Sunglasses": 0.8,
}
MALE = ATTRIBUTES.index("Male")


class Inversion:
    """The vectors while they are learnt."""

    def __init__(self, prepared: Prepared, clip: Clip, unet: UNet, found: dict[str, Examples], batch: int = 48):
        """Networks on one device.

        :param found: the photographs of each concept, at least one concept.
        :param batch: photographs of each in a step.
        """
        self.prepared, self.clip, self.found, self.batch = prepared, clip, found, batch
        self.unet = unet.eval().requires_grad_(False)
        self.frequency = prepared.attributes[~prepared.validation].float().mean(0).clamp(min=1e-3).numpy()
        self.generator, self.rng = torch.Generator().manual_seed(0), Random(0)
        device, count = unet.mean.device, len(found)
        # in standard deviations of the embeddings, so that one learning rate suits all entries
        self.scaled = torch.zeros(count, len(unet.std), device=device, requires_grad=True)
        self.optimizer = torch.optim.Adam([self.scaled], lr=LEARNING_RATE, betas=(0.9, 0.99))

    @property
    def vectors(self) -> dict[str, Tensor]:
        """Concept -> (512,), lengthened by STRENGTH."""
        learnt = (self.scaled.detach() * self.unet.std).cpu()
        return {name: vector * STRENGTH.get(name, 1.0) for name, vector in zip(self.found, learnt)}

    def learn(self, step: int, steps: int) -> list[float]:
        """Step number `step` of `steps` -> the loss of each concept. The learning rate falls to 0."""
        for group in self.optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min((step + 1) / WARM_UP, 1 - step / steps)
        device, count = self.unet.mean.device, len(self.found)
        rows = torch.cat([self._draw(each) for each in self.found.values()])
        images = to_tensor(self.prepared.images[rows])
        flips = torch.rand(len(rows), 1, 1, 1, generator=self.generator) < 0.5
        images = torch.where(flips, images.flip(-1), images)
        t = torch.cat([self._times() for _ in self.found])
        noise = torch.randn(images.shape, generator=self.generator)
        x_t, wanted = training_pair(images, t, noise, self.unet.config.target)
        embeddings = self.clip.encode_texts([self._caption(row) for row in rows.tolist()]).to(device).clone()
        moved = F.normalize(embeddings + (self.scaled * self.unet.std).repeat_interleave(self.batch, 0), dim=1)
        condition = condition_of(moved)
        condition[:, -1] = self.prepared.squashed[rows].to(condition)
        dtype = half_precision(device)
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            prediction = self.unet(x_t.float().to(device), t.float().to(device), condition)
        losses = (
            (prediction.float() - wanted.float().to(device)).square().mean((1, 2, 3)).view(count, self.batch).mean(1)
        )
        self.optimizer.zero_grad()
        losses.mean().backward()
        self.optimizer.step()
        return losses.tolist()

    def _draw(self, shown: Examples) -> Tensor:
        picks = torch.multinomial(shown.weights, self.batch, replacement=True, generator=self.generator)
        return shown.rows[picks]

    def _times(self) -> Tensor:
        """(batch,) times in (0, 1], one from each of as many equal slices."""
        slices = torch.randperm(self.batch, generator=self.generator) + torch.rand(self.batch, generator=self.generator)
        return (slices.double() / self.batch).clamp(min=1e-3) ** NOISIER

    def _caption(self, row: int) -> str:
        attributes = self.prepared.attributes[row].numpy()
        stated = stated_attributes(attributes, self.frequency, self.rng)
        stated[MALE] = PRESENT if attributes[MALE] else ABSENT
        return worded(stated, self.rng)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.unet.concepts", description=__doc__.split("\n")[0])
    parser.add_argument("--prepared", type=Path, default=Path("runs/prepared"), help="what training.data.prepare wrote")
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="folder with CLIP and U-Net")
    parser.add_argument("--out", type=Path, default=Path("weights/concepts.safetensors"))
    parser.add_argument("--only", nargs="+", choices=CONCEPTS, metavar="CONCEPT", help="learn these alone")
    parser.add_argument("--steps", type=int, default=350)
    parser.add_argument("--batch", type=int, default=48, help="photographs of each concept in a step")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps")
    options = parser.parse_args(arguments)
    with exit_in_one_line("training.unet.concepts"):
        if min(options.steps, options.batch) < 1:
            raise FacetError("A concept is learnt from at least one step of one photograph.")
        device = pick_device(options.device)
        clip = Clip.from_file(options.weights / "clip.safetensors", device)
        unet = UNet.from_file(options.weights / "unet.safetensors", device)
        check_unet(unet, clip)
        check_writable(options.out.parent, options.out)
        prepared = load_prepared(options.prepared, embedded=False)
        chosen = options.only or list(CONCEPTS)
        kept = Concepts.from_file(options.out, unet) if options.only else Concepts()
        inversion = Inversion(prepared, clip, unet, {name: examples(prepared, name) for name in chosen}, options.batch)
        for step in range(options.steps):
            losses = inversion.learn(step, options.steps)
            if step % 20 == 0:
                told = ", ".join(f"{name} {loss:.4f}" for name, loss in zip(inversion.found, losses))
                print(f"step {step} of {options.steps}: {told}", flush=True)
        info = {"kind": "concepts", "unet": unet.info["hash"], "clip": clip.hash, "steps": options.steps}
        info |= {"batch": options.batch, "strength": STRENGTH}
        seen = {name: len(shown.rows) for name, shown in inversion.found.items()}
        info |= {"photographs": kept.info.get("photographs", {}) | seen}
        info |= {"data": prepared.hash, "device": device.type, "commit": commit(), "licence": LICENCE}
        checkpoint.save(options.out, kept.vectors | inversion.vectors, {}, info, torch.float32)


if __name__ == "__main__":
    main()
