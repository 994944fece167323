"""The tiny pipeline for features without a server, and a client of the app."""

import pytest
from gradio_client import Client

from ui.server import engine


@pytest.fixture(scope="module")
def pipe(tiny_weights):
    """The tiny pipeline, which the page's features get as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACET_WEIGHTS", str(tiny_weights))
        yield engine.pipeline()


@pytest.fixture(scope="module")
def client(app):
    return Client(app.demo.local_url, verbose=False)
