"""A U-Net carried over to another CLIP: where the new space is a turned old one, nothing is lost."""

import copy
import re
import shutil

import pytest
import torch

from model.clip import Clip
from model.unet import UNet
from training.unet.transfer import main, transfer


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


def test_the_command_writes_a_unet_of_the_new_clip(prepared_folder, tiny_weights, tmp_path, capsys):
    """From its own CLIP alone; the file says which it was and which it is."""
    old, new, unet = (tmp_path / name for name in ("old.safetensors", "new.safetensors", "unet.safetensors"))
    shutil.copy(tiny_weights / "clip.safetensors", old)
    shutil.copy(tiny_weights / "unet.safetensors", unet)
    clip = Clip.from_file(old)
    clip.head.bias.data += 1
    clip.save(new, {})
    command = ["--unet", str(unet), "--prepared", str(prepared_folder), "--out", str(tmp_path / "out.safetensors")]
    with pytest.raises(SystemExit, match="was trained with another CLIP"):
        main([*command, "--old-clip", str(new), "--clip", str(old)])
    assert not (tmp_path / "out.safetensors").exists()
    main([*command, "--old-clip", str(old), "--clip", str(new)])
    assert re.fullmatch(r"\d+\.\d% of the old embeddings' variance .*\n", capsys.readouterr().out)
    written = UNet.from_file(tmp_path / "out.safetensors").info
    assert written["clip"] == Clip.from_file(new).hash != clip.hash
    assert written["transferred_from"] == UNet.from_file(unet).info["hash"] != written["hash"]
