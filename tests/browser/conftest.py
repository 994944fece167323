"""The page in a real browser: Debian's Chromium, driven by Playwright, against `python app.py` in a process of its own.

`tests/install.sh chromium` finds or installs Chromium. Without one these tests are skipped, but fail where CI is set.
Every page's console must stay empty, and every request must go to the app itself.
"""

import json
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from benchmarks.harness.server import running
from model.files import checkpoint
from model.pipeline import FacePipeline
from tests.browser.actions import DESKTOP, PHONE, opened
from tests.conftest import save_crisp


@pytest.fixture(scope="package")
def weights(tiny_weights, tmp_path_factory) -> Path:
    """The tiny weights, with figures of a training and a crisp SRResNet."""
    folder = tmp_path_factory.mktemp("told")
    for file in tiny_weights.iterdir():
        shutil.copy(file, folder)
    tensors, config, info = checkpoint.load(folder / "unet.safetensors")
    checkpoint.save(
        folder / "unet.safetensors", tensors, config, {**info, "images": 310000, "seconds": 5400, "device": "cpu"}
    )
    save_crisp(folder)
    measured = checkpoint.load(folder / "unet.safetensors")[2]["hash"]
    (folder / "evaluation.json").write_text(
        json.dumps(
            {
                "weights": {"unet": {"hash": measured}},
                "memorisation": {"pixels": {"generated_median": 41, "validation_median": 40}},
            }
        )
    )
    return folder


@pytest.fixture(scope="package")
def pipe(weights) -> FacePipeline:
    return FacePipeline.from_pretrained(weights)


@pytest.fixture(scope="package")
def address(weights, tmp_path_factory):
    """The app's address, launched as a visitor of the repository would, on the tiny weights."""
    with running(tmp_path_factory.mktemp("page") / "run", {"FACET_WEIGHTS": str(weights)}) as server:
        yield f"{server.address}/"


@pytest.fixture
def page(browser: Browser, address: str):
    yield from opened(browser, address, viewport=DESKTOP)


@pytest.fixture
def phone(browser: Browser, address: str):
    yield from opened(browser, address, viewport=PHONE, is_mobile=True, has_touch=True)


@pytest.fixture
def moving(browser: Browser, address: str):
    yield from opened(browser, address, viewport=DESKTOP, reduced_motion="no-preference")
