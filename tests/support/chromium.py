"""The tests of pages in a real browser, which are skipped where there is none."""

import os
from importlib.util import find_spec

import pytest

from smgicnet.publication.report.browser import find_browser


def require_browser():
    """Skip the test without a browser; fail it where SMGICNET_REQUIRE_BROWSER says that there is one."""
    missing = None if find_browser() else "there is no Chromium or Chrome: tests/install_chromium.sh installs one"
    if not find_spec("playwright"):
        missing = "the Python package playwright is not there"
    if missing and os.environ.get("SMGICNET_REQUIRE_BROWSER"):
        pytest.fail(f"SMGICNET_REQUIRE_BROWSER is set and {missing}")
    if missing:
        pytest.skip(missing)
