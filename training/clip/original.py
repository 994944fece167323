"""An original CLIP in the small one's place: its towers as they are, with a head that reads attributes.

    python -m training.clip.train --clip ViT-B-32-quickgelu --pretrained openai

Only the head is trained here, and the bias that turns a cosine into the odds that a face fits a text, which
softmax-trained models lack. Everything after (embed, train-unet, the app) takes the file as it takes the bundled one.
"""

from random import Random

import numpy as np
import torch
import torch.nn.functional as F

from model.attributes import ATTRIBUTES
from model.clip import Clip
from model.device import pick_device
from training.clip.quality import satisfies, validate
from training.core.log import commit
from training.core.run import Run
from training.data.captions import caption
from training.data.prepared import Prepared

# faces whose fit with captions sets the bias
FACES = 1024
# captions a step
BATCH = 128
LEARNING_RATE = 1e-3


def fit(name: str, pretrained: str, prepared: Prepared, run: Run, steps: int = 1500) -> Clip:
    """Fetch, fit the head for `steps` steps, write `run.out`. Raises InputError if open_clip cannot give the model."""
    device = pick_device(run.device)
    clip = Clip.from_open_clip(name, pretrained).to(device).requires_grad_(False)
    clip.head.requires_grad_(True)
    rows, rng = (~prepared.validation).nonzero().squeeze(1), Random(0)
    attributes, frequency = prepared.attributes[rows], prepared.attributes[rows].float().mean(0).numpy()
    optimizer = torch.optim.Adam(clip.head.parameters(), lr=LEARNING_RATE)
    for _ in range(steps):
        picks = [rng.randrange(len(rows)) for _ in range(BATCH)]
        pairs = [caption(attributes[i].numpy(), frequency, rng) for i in picks]
        stated = torch.from_numpy(np.stack([stated for _, stated in pairs])).to(device)
        features = clip.encode_texts([text for text, _ in pairs]).clone()
        loss = F.cross_entropy(clip.read(features).flatten(0, 1), (stated.long() + 1).flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    faces = clip.encode_images(prepared.images[rows[:FACES]])
    odds = clip.towers.logit_scale.exp() * faces @ features.T
    # of the pairs that fit
    share = satisfies(attributes[:FACES], stated.cpu()).float().mean().item()
    # so that as many count as fitting
    bias = -odds.quantile(1 - min(max(share, 0.01), 0.99)).item()
    clip.towers.logit_bias = torch.nn.Parameter(torch.tensor(bias, device=device), requires_grad=False)
    if run.out:
        clip.save(
            run.out,
            {
                "kind": "clip",
                "images": 0,
                "pretrained": pretrained,
                "device": device.type,
                "data": prepared.hash,
                "commit": commit(),
                "attributes": list(ATTRIBUTES),
                "validation": validate(clip, prepared),
                "licence": "that of the original weights; the head: non-commercial research use",
            },
        )
    return clip
