"""The recipes of the U-Net's training."""

from dataclasses import dataclass

from model.unet import UNetConfig


@dataclass(frozen=True)
class TrainConfig:
    """How to train; budgets are counted in images."""

    network: UNetConfig = UNetConfig()
    # images seen, each at one noise level; the learning rate falls to 0 over these
    images: int = 20_000_000
    # passes over the faces instead of `images`, if not 0
    epochs: int = 0
    # images an optimizer step, all processes together
    batch: int = 16
    # images a forward; a larger batch is split
    micro_batch: int = 256
    learning_rate: float = 5e-4
    # warm-up and linear decay; else constant
    decay: bool = True
    weight_decay: float = 0.01
    # momentum of Muon, for the weights inside the network; 0: AdamW for all
    muon: float = 0.0
    # images, of the running average of the weights
    half_life: int = 20_000
    # steps between its updates
    average_every: int = 4
    # share of samples under the empty text, for classifier-free guidance
    empty_share: float = 0.1
    # share of samples under the image's own CLIP embedding
    image_share: float = 0.15
    # the lecture: one timestep for a whole batch, each batch through all of them
    walk_timesteps: bool = False
    # between saved states, with validation and a grid of samples
    checkpoint_seconds: float = 600
    seed: int = 0


TINY = UNetConfig(channels=(16, 32), attention=(1,), hidden=32)
RECIPES = {
    "default": TrainConfig(batch=64, muon=0.95),
    # large batches, since a GPU would wait for Python through small ones
    "gpu": TrainConfig(batch=256, micro_batch=512, learning_rate=1e-3, muon=0.95, half_life=60_000),
    "lecture": TrainConfig(
        network=UNetConfig(channels=(48, 96, 192, 256), attention=(2, 3), hidden=256, band_only=True, target="noise"),
        epochs=100,
        batch=1250,
        micro_batch=64,
        learning_rate=1e-3,
        decay=False,
        weight_decay=0.0,
        walk_timesteps=True,
    ),
    "small": TrainConfig(network=UNetConfig(channels=(32, 64, 64), attention=(2,), hidden=64), half_life=10_000),
    "tiny": TrainConfig(network=TINY, images=64, batch=8, muon=0.95, average_every=2, half_life=64),
}
