"""The page of quality control, in a real browser: from file://, without a network, sorted, searched and filtered."""

import base64
import io
import re

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from smgicnet.core.errors import InputError
from smgicnet.core.tab_separated import write_tsv
from smgicnet.imaging.images import write_volume
from smgicnet.preparation.quality import COLUMNS
from smgicnet.publication.report.browser import browser
from smgicnet.publication.report.quality_page import HEIGHT, TISSUES, draw, write_quality_page
from tests.support.chromium import require_browser

SHAPE = (24, 30, 26)
HOSTILE = '<script>document.title="run"</script>"&'
SUBJECTS = ("s1", HOSTILE, "s3", "s4", "s5")


def write_subject(folder, labelled=True, codes="RAS"):
    """An ellipsoid of white matter in one of cortex, 4 mm voxels, stored with these axis codes."""
    x = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij"))
    radius = np.sqrt((x**2).sum(0))
    labels = np.select([radius < 0.5, radius < 0.8], [2, 3], 0).astype(np.uint8) * np.uint8(labelled)
    image = np.select([radius < 0.5, radius < 0.8], [0.6, 0.4], 0).astype(np.float32)
    for name, data in (("image.nii", image), ("labels.nii", labels)):
        stored = nib.Nifti1Image(data, np.diag([4.0, 4, 4, 1])).as_reoriented(nib.orientations.axcodes2ornt(codes))
        write_volume(folder / name, np.asarray(stored.dataobj), stored.affine)
    return folder / "image.nii", folder / "labels.nii"


def write_table(path):
    """Five subjects: the hostile one and s4 are flagged, s4 is excluded, s5 has no labels."""
    table = pd.DataFrame(dict.fromkeys(COLUMNS, ""), index=range(len(SUBJECTS)))
    table["subject"] = SUBJECTS
    table["split"] = ["train", "train", "val", "test", "test"]
    table["brain_ml"] = [1400, 980.5, 1500, 512, 1450]
    table["labelled_ml"], table["cut_percent"] = 1200, 0.1
    table["rois"] = [36, 36, 30, 36, 0]
    table["labels_outside_percent"] = ["1.5"] * 4 + [""]
    table["white_to_grey"] = ["1.3", "0.7", "1.25", "1.4", ""]
    table["source_shape"], table["source_spacing_mm"], table["source_orientation"] = "160x256x256", "1.2x1x1", "PSR"
    table["reason"] = [
        "",
        '<img src="http://x/" onerror=alert(1)>; "b" & c',
        "",
        "a brain of 512 ml is below 700 ml",
        "",
    ]
    table["flagged"] = table["reason"] != ""
    table["excluded"] = table["subject"] == "s4"
    write_tsv(table, path)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Arguments of `write_quality_page` but for ``out``."""
    root = tmp_path_factory.mktemp("cohort")
    files = [write_subject(root / f"{number}", labelled=name != "s5") for number, name in enumerate(SUBJECTS)]
    write_table(root / "quality.tsv")
    images, labels = (dict(zip(SUBJECTS, paths)) for paths in zip(*files))
    return {"dataset": "demo", "table_path": root / "quality.tsv", "images": images, "labels": labels}


@pytest.fixture(scope="module")
def page(given, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "report" / "quality.html"
    assert write_quality_page(out, **given) == out.stat().st_size < 2e6
    return out


@pytest.fixture(scope="module")
def tab(page):
    require_browser()
    with browser() as running:
        tab = running.new_page(viewport={"width": 1280, "height": 800})
        tab.heard = []
        tab.on("console", lambda message: message.type in ("error", "warning") and tab.heard.append(message.text))
        tab.on("pageerror", lambda error: tab.heard.append(str(error)))
        tab.on("request", lambda asked: asked.url.startswith(("http", "ws", "ftp")) and tab.heard.append(asked.url))
        tab.on("dialog", lambda dialog: (tab.heard.append(dialog.message), dialog.dismiss()))
        tab.goto(page.as_uri())
        tab.wait_for_selector("html[data-tables=ready]", timeout=30_000)
        yield tab


def shows(tab, *names):
    """Waits until the table shows these subjects, in this order."""
    from playwright.sync_api import expect

    expect(tab.locator("tbody tr > th")).to_have_text(list(names))
    expect(tab.locator("#shown")).to_have_text(f"{len(names)} of {len(SUBJECTS)} shown")


def test_loads_from_a_file_flagged_first_with_its_headline(tab):
    shows(tab, HOSTILE, "s4", "s1", "s3", "s5")
    assert tab.heard == []
    assert tab.title() == "Quality control of demo"
    assert tab.locator(".lead").inner_text() == "5 subjects (2 train, 1 val, 2 test); 2 flagged, 1 excluded."
    assert tab.locator("header a").get_attribute("href") == "index.html"


def test_pictures_have_a_size_and_only_labelled_ones_outlines(tab):
    sizes = tab.locator("tbody img").evaluate_all("all => all.map(i => [i.naturalHeight, i.height, i.width])")
    assert len(sizes) == 5 + 4
    assert {(natural, height) for natural, height, _ in sizes} == {(HEIGHT, HEIGHT), (2 * HEIGHT, HEIGHT)}
    assert min(width for *_, width in sizes) > 2 * HEIGHT
    assert tab.locator("tr:has(th:text-is('s5')) img").count() == 1
    for box in tab.locator("tbody svg .own").evaluate_all("all => all.map(one => one.getBBox().width)"):
        assert box > 5
    dots = tab.locator("tbody .strip .own").evaluate_all("all => all.map(one => Number(one.getAttribute('cx')))")
    assert dots[1] == min(dots)  # 512 ml
    assert dots[3] == max(dots)  # 1500 ml
    tab.uncheck("#outlines")
    assert tab.locator("img.outlines").first.is_hidden()
    tab.check("#outlines")
    assert tab.locator("img.outlines").first.is_visible()


def test_what_comes_from_data_is_text(tab):
    assert tab.locator("tbody .reason").first.locator("li").all_inner_texts() == [
        '<img src="http://x/" onerror=alert(1)>',
        '"b" & c',
    ]
    assert tab.locator("tbody img[alt*='script']").first.get_attribute("alt").endswith(HOSTILE)
    assert tab.locator("tbody script").count() == 0


def test_sorts_by_number_and_missing_values_stay_last(tab):
    head = tab.locator("thead th")
    head.nth(3).click()
    shows(tab, "s3", "s5", "s1", HOSTILE, "s4")  # as text 980 is above 1500
    head.nth(5).click()
    shows(tab, "s4", "s1", "s3", HOSTILE, "s5")
    head.nth(5).click()
    shows(tab, HOSTILE, "s3", "s1", "s4", "s5")
    head.nth(0).click()
    shows(tab, HOSTILE, "s1", "s3", "s4", "s5")
    head.nth(2).click()
    shows(tab, HOSTILE, "s4", *[re.compile("s[135]")] * 3)


def test_search_and_filter(tab):
    tab.locator("thead th").nth(0).click()
    tab.check("#only-flagged")
    shows(tab, HOSTILE, "s4")
    tab.fill("#search", "below 700")
    shows(tab, "s4")
    tab.fill("#search", "test")
    shows(tab, "s4")
    tab.uncheck("#only-flagged")
    shows(tab, "s4", "s5")
    tab.fill("#search", "")
    shows(tab, HOSTILE, "s1", "s3", "s4", "s5")
    assert tab.heard == []


def test_nothing_is_wider_than_the_window(tab):
    for width in (360, 768, 1280):
        tab.set_viewport_size({"width": width, "height": 800})
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.locator("tbody img").first.is_visible()
        assert tab.locator(".scroll").evaluate("one => one.scrollWidth - one.clientWidth") == 0


def decoded(data):
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_slices_are_in_true_proportions_and_the_outlines_lie_on_them(tmp_path):
    shown = draw(*write_subject(tmp_path))
    grey, lines = np.asarray(decoded(shown.grey)), np.asarray(decoded(shown.outlines))
    assert decoded(shown.outlines).info["transparency"] == 0
    assert shown.size == grey.shape[::-1] == (lines.shape[1] // 2, lines.shape[0] // 2)
    widths = [round(HEIGHT / SHAPE[1] * SHAPE[axis]) for axis in (0, 0, 1)]
    assert shown.size == (sum(widths) + 6, HEIGHT)
    assert shown.histogram.sum() == pytest.approx(1)
    rows = np.flatnonzero(grey[:, : widths[0]].any(axis=1))  # axial: anterior to posterior
    assert len(rows) == pytest.approx(0.8 * HEIGHT, abs=6)
    coronal = grey[:, widths[0] + 3 : widths[0] + 3 + widths[1]]
    assert np.flatnonzero(coronal.any(axis=1)).size == pytest.approx(0.8 * HEIGHT * SHAPE[2] / SHAPE[1], abs=6)
    names = [tissue.name for tissue in TISSUES]
    assert set(np.unique(lines)) == {0, 1 + names.index("white matter"), 1 + names.index("cortex")}
    outline = np.argwhere(lines[:, : 2 * widths[0]])
    assert (outline.min(0) / 2) == pytest.approx(np.argwhere(grey[:, : widths[0]] > 60).min(0), abs=3)


@pytest.mark.parametrize("codes", ["RAS", "LPI", "PIR"])
def test_left_is_left_and_anterior_and_superior_are_up(tmp_path, codes):
    image, _ = files = write_subject(tmp_path, codes=codes)
    world = nib.as_closest_canonical(nib.load(image))
    data = np.asarray(world.dataobj).copy()
    data[4:12, 14:16, 12:14] = 0.9  # a bar to the left of the centre
    data[11:13, 16:26, 12:14] = 0.9  # one to the front
    data[11:13, 14:16, 14:22] = 0.9  # one to the top
    stored = nib.Nifti1Image(data, world.affine).as_reoriented(nib.orientations.axcodes2ornt(codes))
    write_volume(image, np.asarray(stored.dataobj), stored.affine)
    bright = np.asarray(decoded(draw(*files).grey)) > 200
    size = HEIGHT / SHAPE[1]
    starts = np.cumsum([0, round(24 * size) + 3, round(24 * size) + 3])
    for start, width, to_left in zip(starts, (24, 24, 30), (True, True, False)):
        panel = bright[:, start : start + round(width * size)]
        rows, columns = np.nonzero(panel)
        assert rows.mean() < HEIGHT / 2 - 4
        assert (columns.mean() < panel.shape[1] / 2 - 4) == to_left
        assert abs(columns.mean() - panel.shape[1] / 2) > 4


def test_a_subject_without_files_is_named(given, tmp_path):
    images = {name: path for name, path in given["images"].items() if name != "s3"}
    with pytest.raises(InputError, match="'s3' is none of the prepared subjects"):
        write_quality_page(tmp_path / "quality.html", **{**given, "images": images})
