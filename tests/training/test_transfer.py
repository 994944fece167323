"""A U-Net carried over to another CLIP: where the new space is a turned old one, nothing is lost."""

import copy

import torch

from model.clip import Clip
from model.unet import UNet
from training.unet.transfer import transfer


def test_a_turned_space_is_turned_back(prepared, tiny_weights):
    old, unet = Clip.from_file(tiny_weights / "clip.safetensors"), UNet.from_file(tiny_weights / "unet.safetensors")
    turn = torch.linalg.qr(torch.randn(512, 512, generator=torch.Generator().manual_seed(0)))[0]
    new, transferred = copy.deepcopy(old), copy.deepcopy(unet)
    new.text_features = lambda ids: old.text_features(ids) @ turn
    new.image_features = lambda images: old.image_features(images) @ turn
    assert transfer(transferred, old, new, prepared, pairs=60) > 0.9

    x, t = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)), torch.tensor([0.5, 0.9])
    texts = ["Photo of person smiling.", "Photo of person male, no beard."]

    def drawn(network, clip):
        with torch.inference_mode():
            return network(x, t, torch.nn.functional.pad(clip.encode_texts(texts), (0, 2)))

    right, without, transferred_face = drawn(unet, old), drawn(unet, new), drawn(transferred, new)
    assert (transferred_face - right).abs().mean() < 0.3 * (without - right).abs().mean()
