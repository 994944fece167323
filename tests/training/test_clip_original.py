"""An original CLIP instead of the small one, by the same commands: all but the download of its weights."""

from functools import partial

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from model.clip import Clip
from model.errors import InputError
from model.pipeline import FacePipeline
from tests.conftest import StopAfter
from training.clip import original as original_clip
from training.core.run import Run
from training.data.prepare import embed, load_prepared, prepare_images
from training.unet import train as train_unet


def test_from_original_weights_to_a_face(archive, tiny_weights, tmp_path, monkeypatch):
    """A ViT-B-32 with random weights, saved as the Hub has it -> head -> embeddings -> U-Net -> face."""
    torch.manual_seed(0)
    # such a text tower is slow: few captions
    monkeypatch.setattr(original_clip, "BATCH", 8)
    monkeypatch.setattr(train_unet, "embedding_statistics", partial(train_unet.embedding_statistics, count=16))
    monkeypatch.setattr(train_unet, "sample_grid", lambda *grid: None)
    original = open_clip.create_model("ViT-B-32-quickgelu", pretrained=None)
    save_file(
        {name: tensor.contiguous() for name, tensor in original.state_dict().items()}, tmp_path / "original.safetensors"
    )
    prepare_images(archive, tmp_path / "prepared", limit=24)
    weights = tmp_path / "weights"
    weights.mkdir()
    original_clip.fit(
        "ViT-B-32-quickgelu",
        str(tmp_path / "original.safetensors"),
        load_prepared(tmp_path / "prepared"),
        Run(tmp_path, weights / "clip.safetensors", device="cpu"),
        steps=2,
    )
    clip = Clip.from_file(weights / "clip.safetensors")
    text = clip.tokens(["a smiling woman"])
    with torch.inference_mode():
        wanted = torch.nn.functional.normalize(original.eval().encode_text(text), dim=-1)
    # stored in half precision
    assert torch.allclose(clip.encode_texts(["a smiling woman"]), wanted, atol=2e-3)
    assert clip.towers.visual.image_size in (224, (224, 224))

    embed(tmp_path / "prepared", weights)
    train_unet.train(
        load_prepared(tmp_path / "prepared"),
        clip,
        train_unet.RECIPES["tiny"],
        Run(tmp_path / "run", weights / "unet.safetensors", device="cpu", stop=StopAfter(1)),
    )
    (weights / "srresnet.safetensors").write_bytes((tiny_weights / "srresnet.safetensors").read_bytes())
    pipe = FacePipeline.from_pretrained(weights, "cpu")
    assert pipe.generate(["a smiling woman"], [1], steps=1).shape == (1, 64, 64, 3)
    assert pipe.understood("a smiling woman").unknown == []


@pytest.mark.parametrize(
    "name, pretrained, words", [("ViT-B-33", "openai", "ViT-B-33"), ("ViT-B-32", "no-such-tag", "no-such-tag")]
)
def test_unknown_models_are_one_line(name, pretrained, words):
    with pytest.raises(InputError, match=words) as error:
        Clip.from_open_clip(name, pretrained)
    assert "\n" not in str(error.value)


def test_openais_weights_in_the_wrong_architecture_are_refused(monkeypatch):
    """open_clip only warns: the faces would be drawn from embeddings that are subtly wrong.

    Its check comes before the download.
    """
    monkeypatch.setattr("open_clip.factory.download_pretrained", lambda *arguments, **options: "")
    with pytest.raises(InputError, match="QuickGELU mismatch"):
        Clip.from_open_clip("ViT-B-32", "openai")
