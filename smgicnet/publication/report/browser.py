"""A headless Chromium for the page's tests and its screenshot."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from smgicnet.core.errors import InputError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WEBGL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")  # without a GPU
REMEDY = "Install Chromium (tests/install_chromium.sh) and playwright (pip install playwright)"


def find_browser() -> str | None:
    """Return the path of an installed Chromium or Chrome, that of ``SMGICNET_BROWSER`` first."""
    return next(filter(None, map(shutil.which, (os.environ.get("SMGICNET_BROWSER", ""), *NAMES))), None)


@contextmanager
def browser() -> Iterator:
    """Yield a running playwright browser with WebGL in software. Raises `InputError` where there is none to run."""
    path = find_browser()
    if path is None:
        raise InputError("browser", "there is no Chromium or Chrome", REMEDY)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise InputError("playwright", "this Python package is not there", REMEDY) from error
    sandbox = ["--no-sandbox"] * (hasattr(os, "geteuid") and os.geteuid() == 0)  # Chromium refuses to run as root
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=path, args=[*WEBGL, *sandbox])
        try:
            yield running
        finally:
            running.close()
