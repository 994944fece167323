"""A tiny world for the tests: an archive of drawn faces in CelebA's layout, and small networks with random weights."""

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
# no test may reach the network
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# as the app does for itself (ui/server/start.py): browser and app share the cores
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
# one of several processes that run the tests side by side
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from playwright.sync_api import Browser

from benchmarks.harness.browser import chromium
from model.attributes import ATTRIBUTES
from model.clip import Clip, ClipConfig
from model.critic import Critic, CriticConfig, feature_maps
from model.files import checkpoint
from model.settings import DEFAULTS
from model.srresnet import SRResNet, SRResNetConfig
from model.unet import UNet
from tests.deployed import deployed  # noqa: F401
from training.clip.train import known_tokens
from training.data.prepare import embed, prepare_images
from training.data.prepared import Prepared, load_prepared
from training.unet.recipes import TINY

ROOT = Path(__file__).parent.parent
# files as people bring them, drawn by program
CASES = ROOT / "tests" / "cases"
SMALL_CLIP = {
    "embed_dim": 512,
    "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 16},
    "text_cfg": {"context_length": 77, "width": 32, "heads": 2, "layers": 1, "no_causal_mask": True},
}


def draw_face(row: np.ndarray, generator: np.random.Generator) -> Image.Image:
    """A cartoon in CelebA's 178x218 framing that shows some of its attributes, so that there is something to learn."""
    has = dict(zip(ATTRIBUTES, row))
    image = Image.new("RGB", (178, 218), tuple(generator.integers(60, 200, 3).tolist()))
    draw = ImageDraw.Draw(image)
    hair = (230, 210, 90) if has["Blond_Hair"] else (30, 20, 20)
    draw.ellipse((35, 50, 143, 190), fill=hair)
    draw.ellipse((48, 72, 130, 180), fill=(225, 180, 150) if has["Pale_Skin"] else (190, 140, 110))
    for x in (70, 108):
        draw.ellipse((x - 6, 106, x + 6, 116), fill=(20, 20, 20))
        if has["Eyeglasses"]:
            draw.ellipse((x - 14, 98, x + 14, 124), outline=(0, 0, 0), width=4)
    draw.chord((70, 135, 108, 165), 0, 180, fill=(180, 30, 40) if has["Smiling"] else (150, 90, 90))
    return image


def make_archive(folder: Path, count: int, seed: int = 0) -> Path:
    """A tiny archive in CelebA's own layout: 000001.jpg ... and list_attr_celeba.txt."""
    generator = np.random.default_rng(seed)
    (folder / "img_align_celeba").mkdir(parents=True)
    lines = [str(count), " ".join(ATTRIBUTES)]
    for index in range(1, count + 1):
        row = generator.random(40) < 0.4
        draw_face(row, generator).save(folder / "img_align_celeba" / f"{index:06d}.jpg", quality=95)
        lines.append(f"{index:06d}.jpg " + " ".join("1" if value else "-1" for value in row))
    (folder / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def archive(tmp_path_factory) -> Path:
    """80 drawn faces, four of them (ids divisible by 20) validation."""
    return make_archive(tmp_path_factory.mktemp("archive"), 80)


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory) -> Path:
    """A folder with small clip, unet and srresnet files that belong together. Random weights, fixed seed."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    vocabulary = known_tokens(np.random.default_rng(0).random((50, 40)) < 0.3, captions=3000, least=1)
    clip_hash = Clip(ClipConfig(architecture=SMALL_CLIP, tokens=len(vocabulary)), vocabulary).save(
        folder / "clip.safetensors", {"kind": "clip"}
    )
    save_unet(folder / "unet.safetensors", random_unet(), clip_hash)
    config = SRResNetConfig(channels=8, blocks=1)
    checkpoint.save(folder / "srresnet.safetensors", SRResNet(config).state_dict(), vars(config), {"kind": "srresnet"})
    return folder


@pytest.fixture(scope="session")
def inception_weights(tmp_path_factory) -> Path:
    """A file as torch-fidelity's, with random weights: the real ones cannot be fetched everywhere."""
    from torch_fidelity import feature_extractor_inceptionv3 as theirs

    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(theirs, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(theirs.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        torch.save(theirs.FeatureExtractorInceptionV3("random", ["2048"]).state_dict(), path)
    return path


class StopAfter:
    """What Ctrl-C looks like to a training that has done so many steps."""

    def __init__(self, steps: int):
        # a loop asks once before its first step, and after each
        self.asked, self.steps = -1, steps

    @property
    def requested(self) -> bool:
        self.asked += 1
        return self.asked >= self.steps


def save_crisp(folder: Path) -> None:
    """Put an srresnet_crisp.safetensors, another than srresnet.safetensors, into a folder of weights."""
    network = SRResNet(SRResNetConfig(channels=8, blocks=1))
    torch.manual_seed(1)
    torch.nn.init.normal_(network.tail.weight, std=0.01)
    checkpoint.save(
        folder / "srresnet_crisp.safetensors", network.state_dict(), vars(network.config), {"kind": "srresnet"}
    )


def save_student(folder: Path) -> None:
    """Put a student.safetensors, of random weights, into a folder of weights as one that learnt from its U-Net."""
    teacher = UNet.from_file(folder / "unet.safetensors")
    torch.manual_seed(2)
    save_unet(folder / "student.safetensors", random_unet(), teacher.info["clip"], teacher=teacher.info["hash"])


def save_critic(folder: Path) -> None:
    """Put a critic.safetensors, fitted to noise by the folder's own CLIP, into a folder of weights."""
    clip, generator = Clip.from_file(folder / "clip.safetensors"), torch.Generator().manual_seed(0)
    photographs = torch.randint(0, 256, (64, 64, 64, 3), generator=generator, dtype=torch.uint8).numpy()
    second, third = feature_maps(clip, photographs[:1])
    config = CriticConfig(directions=4, channels=(second.shape[1], third.shape[1]), size=second.shape[-1])
    critic = Critic(config).eval()
    critic.fit(clip, photographs)
    info = {"kind": "critic", "clip": clip.hash}
    checkpoint.save(folder / "critic.safetensors", critic.state_dict(), vars(config), info, torch.float32)


def save_concepts(folder: Path, **vectors: torch.Tensor) -> None:
    """Put a concepts.safetensors with these vectors into a folder of weights, learnt with its U-Net."""
    info = {"kind": "concepts", "unet": UNet.from_file(folder / "unet.safetensors").info["hash"]}
    checkpoint.save(folder / "concepts.safetensors", vectors, {}, info, torch.float32)


def save_guided(folder: Path) -> None:
    """Put a guided.safetensors, a random change of the U-Net's modulation, into a folder of weights."""
    unet = UNet.from_file(folder / "unet.safetensors")
    generator = torch.Generator().manual_seed(3)
    change = {}
    for name, value in unet.modulation.items():
        if value.ndim == 2:
            up, down = (torch.randn(shape, generator=generator) / 5 for shape in ((len(value), 4), (4, value.shape[1])))
            change |= {f"{name}.up": up, f"{name}.down": down}
        else:
            change[name] = torch.randn(value.shape, generator=generator) / 10
    info = {"kind": "guided", "unet": unet.info["hash"], "guidance": DEFAULTS.guidance}
    info |= {"guidance_interval": DEFAULTS.guidance_interval}
    checkpoint.save(folder / "guided.safetensors", change, {}, info)


def random_unet() -> UNet:
    unet = UNet(TINY)
    # zero-initialised layers would make every face the same
    for parameter in unet.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return unet


def save_unet(path: Path, unet: UNet, clip_hash: str, **info) -> None:
    checkpoint.save(path, unet.state_dict(), vars(unet.config), {"kind": "unet", "clip": clip_hash, **info})


def unets_of_moments(folder: Path, clip_hash: str, moments: Sequence[int]) -> list[Path]:
    """A U-Net, another each time, that says it has seen so many images."""
    for images in moments:
        torch.manual_seed(images)
        save_unet(folder / f"{images}.safetensors", random_unet(), clip_hash, images=images)
    return [folder / f"{images}.safetensors" for images in moments]


@pytest.fixture(scope="session")
def prepared_folder(archive, tiny_weights, tmp_path_factory) -> Path:
    """The drawn archive, prepared and embedded by the tiny CLIP. Not to be written to."""
    out = tmp_path_factory.mktemp("prepared")
    prepare_images(archive, out)
    embed(out, tiny_weights)
    return out


@pytest.fixture(scope="session")
def prepared(prepared_folder) -> Prepared:
    """The same, read."""
    return load_prepared(prepared_folder)


@pytest.fixture(scope="module")
def app(tiny_weights):
    """The module `app`, launched on the tiny weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACET_WEIGHTS", str(tiny_weights))
        patch.syspath_prepend(str(ROOT))
        import app

        app.demo.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **app.LAUNCH)
        yield app
        app.demo.close()
        # the interpreter's own end aborts where a thread still draws
        app.warming.join(60)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium of tests/install.sh chromium. Without one a test is skipped, but fails where CI is set."""
    with ExitStack() as stack:
        try:
            chrome = stack.enter_context(chromium())
        except FileNotFoundError as error:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))
        yield chrome
