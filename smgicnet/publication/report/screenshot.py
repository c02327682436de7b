"""A picture of the page: its headline above its viewer.

``python -m smgicnet.publication.report.screenshot PAGE.html OUT.png``
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

import numpy as np
from matplotlib.image import imread, imsave

from smgicnet.core.errors import InputError
from smgicnet.publication.report.browser import browser

WIDTH, HEIGHT = 1120, 860
ALONE = "nav.contents { display: none !important; } .page { display: block !important; } h1 { margin: 0 !important; }"


def capture(running, page: str | Path, scale: float) -> np.ndarray:
    """Capture a picture ``(H, W, 3)``, from 0 to 1, by a running browser; ``scale``: its pixels a pixel of the page."""
    tab = running.new_page(viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=scale)
    tab.goto(Path(page).resolve().as_uri())
    tab.wait_for_selector("html[data-tables=ready]")
    parts = ["header", "#headline"]
    if tab.locator("#viewer").count():
        tab.wait_for_selector("html[data-viewer=ready]", timeout=60_000)
        tab.check("#grid-on")
        tab.wait_for_selector("#stage[data-shown$=grid]")
        parts.append("#viewer")
    tab.add_style_tag(content=ALONE)
    tab.wait_for_timeout(500)
    pictures = [imread(io.BytesIO(tab.locator(part).screenshot()))[..., :3] for part in parts]
    tab.close()
    width = max(picture.shape[1] for picture in pictures)
    margin = round(20 * scale)
    padded = [np.pad(p, [(0, margin), (0, width - p.shape[1]), (0, 0)], constant_values=1.0) for p in pictures]
    return np.pad(np.concatenate(padded), [(margin, 0), (margin, margin), (0, 0)], constant_values=1.0)


def screenshot(page: str | Path, out: str | Path, *, scale: float = 1.5) -> None:
    """Write ``out`` (PNG): headline and, below it, the viewer. Raises `InputError` for a missing page or browser."""
    if not Path(page).is_file():
        raise InputError(page, "no such page", "Run `snakemake --cores all page` first")
    with browser() as running:
        whole = capture(running, page, scale)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    imsave(out, np.ascontiguousarray(whole))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m smgicnet.publication.report.screenshot", description=__doc__)
    parser.add_argument("page", help="results/DATASET/report/index.html")
    parser.add_argument("out", help="PNG to write")
    parser.add_argument("--scale", type=float, default=1.5, help="pixels of the picture a pixel of the page")
    given = parser.parse_args(arguments)
    try:
        screenshot(given.page, given.out, scale=given.scale)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
