"""Chromium for the tests that need a page: found or installed by tests/install_chromium.sh.

Without one these tests are skipped, but fail where CI is set.
"""

import os
from contextlib import ExitStack

import pytest

from benchmarks.browser import chromium


@pytest.fixture(scope="module")
def browser():
    with ExitStack() as stack:
        try:
            found = stack.enter_context(chromium())
        except FileNotFoundError as error:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))
        yield found
