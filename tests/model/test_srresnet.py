"""The upsampler's network: shapes, where it starts, what it refuses."""

import numpy as np
import pytest
import torch
from PIL import Image

from model import srresnet
from model.errors import FacetError, InputError, WeightsError
from model.files import checkpoint
from model.pipeline import FacePipeline
from model.srresnet import MAX_PIXELS, SRResNet, SRResNetConfig, bicubic, spans, upscale

TINY = SRResNetConfig(channels=8, blocks=2)


@pytest.fixture
def network():
    """A tiny network that has left bicubic: its last layer is not zero."""
    torch.manual_seed(0)
    network = SRResNet(TINY).eval()
    torch.nn.init.normal_(network.tail.weight, std=0.05)
    return network


def noise(n, height=16, width=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_every_stage_doubles_the_resolution(stages):
    network = SRResNet(SRResNetConfig(channels=8, blocks=1, stages=stages))
    assert network(torch.zeros(2, 3, 6, 10)).shape == (2, 3, 6 * 2**stages, 10 * 2**stages)


def test_default_is_the_papers_network():
    network = SRResNet()
    assert network.config == SRResNetConfig(channels=64, blocks=16, stages=3)
    assert sum(p.numel() for p in network.parameters()) == 1_692_951
    assert upscale(network, noise(1, 64, 64)).shape == (1, 512, 512, 3)


def test_starts_at_bicubic():
    x = torch.rand(2, 3, 12, 12) * 2 - 1
    assert torch.equal(SRResNet(TINY)(x), bicubic(x, 8))
    # away from 0 and 255: PIL clamps between its two passes
    image = noise(1) // 4 + 96
    reference = Image.fromarray(image[0]).resize((128, 128), Image.Resampling.BICUBIC)
    difference = upscale(SRResNet(TINY), image)[0].astype(int) - np.asarray(reference)
    assert np.abs(difference).max() <= 1


def test_upscale_does_not_depend_on_the_batch(network):
    images = noise(3)
    together = upscale(network, images)
    assert together.shape == (3, 128, 128, 3) and together.dtype == np.uint8
    for i in range(3):
        assert np.array_equal(together[i], upscale(network, images[i : i + 1])[0])
    assert upscale(network, images[:0]).shape == (0, 128, 128, 3)


def test_upscale_clamps(network):
    torch.nn.init.constant_(network.tail.bias, 9.0)
    assert (upscale(network, noise(1)) == 255).all()
    torch.nn.init.constant_(network.tail.bias, -9.0)
    assert (upscale(network, noise(1)) == 0).all()


@pytest.mark.parametrize(
    "images",
    [
        noise(1)[0],
        noise(1)[..., :1],
        noise(1).astype(np.float32),
        noise(1)[:, :0],
        np.zeros(3, np.uint8),
        None,
        "face",
        np.zeros((1, 4, 4, 4), np.uint8),
        np.full((1, 4, 4, 3), np.nan),
        [],
    ],
)
def test_upscale_refuses_other_images_in_one_line(network, images):
    with pytest.raises(InputError) as error:
        upscale(network, images)
    assert "\n" not in str(error.value) and "(N, H, W, 3)" in str(error.value)


def test_upscale_refuses_a_network_that_returns_nan(network):
    torch.nn.init.constant_(network.tail.bias, float("nan"))
    with pytest.raises(FacetError, match="not numbers"):
        upscale(network, noise(1))


def test_weights_survive_the_disk(network, tmp_path):
    path = tmp_path / "srresnet.safetensors"
    config = {"channels": 8, "blocks": 2, "stages": 3}
    checkpoint.save(path, network.state_dict(), config, {"images_seen": 7}, dtype=torch.float32)
    loaded = SRResNet.from_file(path)
    info = loaded.info
    assert loaded.config == TINY and not loaded.training and info["images_seen"] == 7
    difference = upscale(loaded, noise(1)).astype(int) - upscale(network, noise(1))
    # another memory layout may round another way
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("config", [{"channels": 16, "blocks": 2}, {"channels": 8, "blocks": 3}, {"width": 8}])
def test_weights_of_another_network_are_refused(network, tmp_path, config):
    path = tmp_path / "srresnet.safetensors"
    checkpoint.save(path, network.state_dict(), config, {})
    with pytest.raises(WeightsError) as error:
        SRResNet.from_file(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


# --- the start of a training, and the disk ----------------------------------------------------------------------------


def test_it_starts_at_bicubic_learns_and_survives_the_disk(tmp_path):
    torch.manual_seed(0)
    config = SRResNetConfig(channels=8, blocks=2)
    network, x = SRResNet(config), torch.rand(2, 3, 12, 12) * 2 - 1
    assert torch.equal(network(x), bicubic(x, 8))
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    # the tail is zero in the first: only then the rest gets a gradient
    for _ in range(2):
        optimizer.zero_grad()
        network(x).square().mean().backward()
        optimizer.step()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert network.body[0].conv1.weight.grad.abs().max() > 0
    checkpoint.save(tmp_path / "x.safetensors", network.state_dict(), vars(config), {}, dtype=torch.float32)
    again = SRResNet.from_file(tmp_path / "x.safetensors")
    assert again.config == config
    torch.testing.assert_close(again(x), network.eval()(x))


def test_a_file_may_name_no_norm_and_another_is_refused(network, tmp_path):
    path = tmp_path / "x.safetensors"
    checkpoint.save(path, network.state_dict(), vars(TINY) | {"norm": "none"}, {})
    assert SRResNet.from_file(path).config == TINY
    checkpoint.save(path, network.state_dict(), vars(TINY) | {"norm": "batch"}, {})
    with pytest.raises(WeightsError, match="batch norm is not known"):
        SRResNet.from_file(path)


# --- one scale from another -------------------------------------------------------------------------------------------


def test_a_larger_scale_starts_by_repeating_pixels(network):
    small = SRResNet(SRResNetConfig(channels=8, blocks=2, stages=2))
    # fewer stages: what is left over stays behind
    small.start_from(network)
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in small.state_dict().items())
    large, x = SRResNet(TINY), torch.rand(1, 3, 9, 7) * 2 - 1
    large.start_from(small)
    with torch.no_grad():
        features = small.upsample(small.head(x))
        expected = features.repeat_interleave(2, 2).repeat_interleave(2, 3)
        torch.testing.assert_close(large.upsample(large.head(x)), expected)
    same = SRResNet(TINY)
    same.start_from(network)
    torch.testing.assert_close(same(x), network(x))


@pytest.mark.parametrize("other", [{"channels": 4}, {"blocks": 3}])
def test_another_network_is_no_start(network, other):
    config = SRResNetConfig(**{"channels": 8, "blocks": 2, "stages": 2, **other})
    with pytest.raises(InputError, match="only the stages") as error:
        network.start_from(SRResNet(config))
    assert "\n" not in str(error.value)


# --- tiles ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_reach_is_what_an_output_pixel_depends_on(stages):
    torch.manual_seed(0)
    network = SRResNet(SRResNetConfig(channels=4, blocks=1, stages=stages)).double()
    torch.nn.init.normal_(network.tail.weight)
    scale, middle = network.config.scale, 20
    x = torch.rand(1, 3, 41, 41, dtype=torch.float64, requires_grad=True)
    network(x)[0, :, scale * middle : scale * (middle + 1), scale * middle].sum().backward()
    rows = x.grad.abs().sum((0, 1, 3)).nonzero()[:, 0]
    assert (middle - rows.min(), rows.max() - middle) == (network.config.reach, network.config.reach)


def test_a_window_is_a_part_of_the_whole(network):
    x = torch.rand(1, 3, 30, 24) * 2 - 1
    whole = network(x)
    for top, bottom, left, right in ((0, 30, 0, 24), (7, 9, 0, 5), (29, 30, 20, 24), (1, 25, 2, 23)):
        part = network(x, window=(top, bottom, left, right))
        torch.testing.assert_close(part, whole[:, :, 8 * top : 8 * bottom, 8 * left : 8 * right], atol=1e-5, rtol=0)


@pytest.mark.parametrize("height, width", [(40, 57), (1, 100), (33, 1), (16, 17)])
def test_tiles_have_no_seams(monkeypatch, height, width):
    torch.manual_seed(0)
    network = SRResNet(SRResNetConfig(channels=8, blocks=2, stages=2)).eval()
    torch.nn.init.normal_(network.tail.weight, std=0.05)
    image = noise(1, height, width)
    whole = upscale(network, image).astype(int)
    monkeypatch.setattr(srresnet, "TILE", 16)
    assert np.abs(upscale(network, image) - whole).max() <= 1
    if min(height, width) > 16:
        # too small a reach does show
        monkeypatch.setattr(SRResNetConfig, "reach", 4)
        assert np.abs(upscale(network, image) - whole).max() > 1


def test_memory_is_bounded_by_strip_and_tile_not_by_the_image():
    network, sizes = SRResNet(SRResNetConfig(channels=4, blocks=1, stages=1)).eval(), []
    network.upsample[-1].register_forward_pre_hook(lambda module, inputs: sizes.append(inputs[0].shape[2:]))
    assert upscale(network, noise(1, 300, 211)).shape == (1, 600, 422, 3)
    # 300 rows in four tiles, each in three strips; 211 columns in three tiles
    assert len(sizes) == 4 * 3 * 3
    assert max(rows for rows, _ in sizes) <= srresnet.STRIP + 2 * srresnet.HALO
    assert max(columns for _, columns in sizes) <= srresnet.TILE + 2 * srresnet.HALO


@pytest.mark.parametrize("stages", [1, 3])
def test_strips_have_no_seams(stages):
    torch.manual_seed(0)
    network = SRResNet(SRResNetConfig(channels=4, blocks=1, stages=stages)).eval()
    torch.nn.init.normal_(network.tail.weight, std=0.05)
    x = torch.rand(1, 3, 3 * srresnet.STRIP + 1, 9) * 2 - 1
    torch.testing.assert_close(network(x, window=(0, x.shape[2], 0, 9)), network(x), atol=1e-5, rtol=0)


@pytest.mark.parametrize("length", [1, 95, 96, 97, 192, 193, 4000])
def test_spans_cover_everything_once_and_evenly(length):
    pieces = list(spans(length, 96))
    assert pieces[0][0] == 0 and pieces[-1][1] == length and all(a[1] == b[0] for a, b in zip(pieces, pieces[1:]))
    sides = [high - low for low, high in pieces]
    assert max(sides) <= 96 and max(sides) - min(sides) <= 1


@pytest.mark.parametrize("height, width", [(1, 1), (3, 7), (1, 4000)])
def test_any_size_is_enlarged(height, width):
    network = SRResNet(SRResNetConfig(channels=4, blocks=1)).eval()
    assert upscale(network, noise(1, height, width)).shape == (1, 8 * height, 8 * width, 3)


def test_a_huge_image_is_refused_in_one_line(network):
    with pytest.raises(InputError, match=f"at most {MAX_PIXELS:,} pixels") as error:
        upscale(network, np.zeros((1, 4000, 4000, 3), np.uint8))
    assert "\n" not in str(error.value)


# --- the pipeline's two upscalers -------------------------------------------------------------------------------------


def test_the_crisp_upscaler_is_used_where_it_is_there(tiny_weights, network, tmp_path, monkeypatch):
    # in full precision, as `upscale` alone computes
    monkeypatch.setattr("model.pipeline.half_precision", lambda device: None)
    pipe, faces = FacePipeline.from_pretrained(tiny_weights, "cpu"), noise(1, 64, 64)
    assert pipe.crisp is None
    with pytest.raises(InputError, match="srresnet_crisp.safetensors") as error:
        pipe.upscale(faces, crisp=True)
    assert "\n" not in str(error.value)
    for path in tiny_weights.glob("*.safetensors"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    checkpoint.save(tmp_path / "srresnet_crisp.safetensors", network.state_dict(), vars(network.config), {})
    both = FacePipeline.from_pretrained(tmp_path, "cpu")
    assert np.array_equal(both.upscale(faces), pipe.upscale(faces))
    assert not np.array_equal(both.upscale(faces, crisp=True), pipe.upscale(faces))
    assert np.array_equal(both.upscale(faces, crisp=True), upscale(both.crisp, faces))
    (tmp_path / "srresnet_crisp.safetensors").write_bytes(b"rubbish")
    with pytest.raises(WeightsError, match="srresnet_crisp"):
        FacePipeline.from_pretrained(tmp_path, "cpu")
