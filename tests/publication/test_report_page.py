"""The page of results, in a real browser: from file://, without a network, and everything on it does something."""

import base64
import gzip
import json
import math
import re
from datetime import UTC, datetime
from itertools import permutations

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure as Plot
from scipy import ndimage

from smgicnet.config.schemas import schema
from smgicnet.core.errors import InputError
from smgicnet.core.files import PACKAGE
from smgicnet.core.layout import changed_file, shown_files
from smgicnet.core.provenance import read_yaml, write_text
from smgicnet.imaging.displacements import to_world, write_itk
from smgicnet.imaging.images import read_image, write_volume
from smgicnet.preparation.changes import CHANGES, Variant
from smgicnet.publication.figures.canvas import save
from smgicnet.publication.report import Figure, Page, Run, Viewer, changed_view, write_page
from smgicnet.publication.report import volumes as viewer_volumes
from smgicnet.publication.report.assets import in_script, library
from smgicnet.publication.report.browser import browser
from smgicnet.publication.report.changed_view import described
from smgicnet.publication.report.headline import Contrast, headline
from smgicnet.publication.report.screenshot import capture
from smgicnet.publication.report.screenshot import main as screenshot
from smgicnet.publication.report.tables import leading_number, page_tables, table1_by_method
from smgicnet.publication.tables.comparison_tables import comparison_table, roi_tables
from smgicnet.publication.tables.paper_tables import table1, table2
from smgicnet.publication.tables.table import Row, Table
from smgicnet.registration import fields
from smgicnet.scoring.comparisons import compare_by_each
from smgicnet.scoring.metrics import COMPARED, METRICS
from smgicnet.scoring.shown_change import ChangedPair, write_changed_pair
from smgicnet.scoring.statistics import cohort_size, summarise, write_metrics
from tests.support.chromium import require_browser

PAPER = PACKAGE.parent / "config" / "paper.yaml"
RUNS = {
    ("initial", "raw"): "Initial",
    ("syn", "raw"): "SyN",
    ("icnet", "raw"): "ICNet",
    ("smgicnet", "raw"): "Ours <b>",
}
LABELS = {"/".join(run): label for run, label in RUNS.items()}
REFERENCE = ("smgicnet", "raw")
DICE = {"initial": 0.30, "syn": 0.70, "icnet": 0.42, "smgicnet": 0.55}
ERROR = {"initial": 12.0, "syn": 3.5, "icnet": 9.0, "smgicnet": 2.5}  # mm
SECONDS = {"initial": 0.0, "syn": 120.0, "icnet": 9.0, "smgicnet": 0.3}
SHAPE, SPACING = (24, 28, 26), 4.0
WEIGHTS = Row("A", ("weights not present",)), Row("B", ("0.9",))
PAIRS = {"best overlap": ("s1", "s2"), "worst overlap": ("s1", "s3")}


def metrics_rows(subjects, runs, rng):
    """Metrics of every ordered pair; initial has no folds, Dice and error are as above, and a little chance."""
    rows = []
    for method, arm in runs:
        for fixed, moving in permutations(subjects, 2):
            base = {"dataset": "demo", "arm": arm, "method": method, "seed": 1, "fixed": fixed, "moving": moving}
            dice = float(np.clip(DICE[method] + 0.02 * rng.standard_normal(), 0, 1))
            values = {("dice", "mean"): dice, ("dice", "hippocampus"): dice - 0.05, ("seconds", ""): SECONDS[method]}
            values["endpoint_error_mm", ""] = ERROR[method] + 0.1 * rng.standard_normal()
            if method != "initial":
                values["folds_percent", ""] = 0.01
            rows += [{**base, "metric": metric, "roi": roi, "value": value} for (metric, roi), value in values.items()]
    return pd.DataFrame(rows)


def write_tables(folder, metrics, labels, reference):
    """Tables and records as the workflow's scripts write them; returns their files by name."""
    runs = [tuple(key.split("/")) for key in labels]
    context = {**cohort_size(metrics), "hardware": "2 cores of a test", "dataset": "demo", "resamples": 200}
    context["reference"] = labels["/".join(reference)]
    methods = [(*run, labels["/".join(run)]) for run in runs]
    others = [run for run in runs if run != reference]
    compared = compare_by_each(metrics, list(COMPARED), reference, others, resamples=200, seed=0)
    paper, summary = read_yaml(PAPER), summarise(metrics)
    tables = {
        "table1": [table := table1(summary, paper, "demo", methods, context)],
        "table2": [table2(summary, paper, "demo", reference, methods, context)],
        "table3": [Table("Weights.", ("DSC",), (("", WEIGHTS),), ("note",), "method")],
        "comparisons": [comparison_table(compared, labels, context), *roi_tables(compared, labels, context)],
    }
    record = {"config": {"seeds": [1], "note": "</script><i>"}, "code": "abc123", "hardware": ["2 cores of a test"]}
    record["versions"] = [{"python": "3.11", "numpy": "2.3"}]
    for name, shown in tables.items():
        write_text(folder / f"{name}.json", json.dumps({**record, "page": [one.to_data() for one in shown]}))
    write_text(folder / "table1.csv", table.to_csv())
    compared.to_csv(folder / "comparisons.csv", index=False)
    return {name: {"json": folder / f"{name}.json", "csv": folder / f"{name}.csv"} for name in tables}


def head(shape, rng):
    """An ellipsoid with structure in it, from 0 to 1."""
    x = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    radius = np.sqrt((x**2 / np.array([0.6, 0.75, 0.65]).reshape(3, 1, 1, 1) ** 2).sum(0))
    inside = ndimage.gaussian_filter(rng.standard_normal(shape), 1.5)
    return np.clip((radius < 1) * (0.5 + 2.0 * inside), 0, 1).astype(np.float32)


def smooth_field(shape, rng, size):
    noise = np.stack([ndimage.gaussian_filter(rng.standard_normal(shape), 4) for _ in range(3)])
    return (size * noise / np.abs(noise).max()).astype(np.float32)


def write_kept(folder, images, affine, pairs, rng, size):
    """Fields and warped images of a run, as `smgicnet.jobs.register` keeps them."""
    for fixed, moving in pairs:
        u = smooth_field(images[fixed].shape, rng, size)
        warped_path, field_path = shown_files(folder, fixed, moving)
        at = np.stack(np.meshgrid(*map(np.arange, u.shape[1:]), indexing="ij")) + u
        write_volume(warped_path, ndimage.map_coordinates(images[moving], at, order=1).astype(np.float32), affine)
        write_itk(field_path, to_world(u, affine, affine), affine)


def write_demo(root, runs=RUNS, heads=None, shape=SHAPE, pairs=PAIRS, seed=0):
    """All inputs of a page; returns the fields of `Page`."""
    rng = np.random.default_rng(seed)
    subjects = [f"s{number}" for number in range(1, 5)]
    labels = {"/".join(run): label for run, label in runs.items()}
    metrics = metrics_rows(subjects, runs, rng)
    affine = np.diag([SPACING, SPACING, SPACING, 1.0])
    images = heads or {name: head(shape, rng) for name in subjects}
    for name, image in images.items():
        write_volume(root / "images" / name / "image.nii", image, affine)
    shown = []
    for number, (method, arm) in enumerate(runs):
        place = root / arm / method
        write_metrics(metrics[(metrics["method"] == method) & (metrics["arm"] == arm)], place / "metrics.csv.gz")
        if method != "initial":
            write_kept(place / "shown", images, affine, pairs.values(), rng, 1.0 + 1.5 * number)
            shown.append(Run(method, arm, labels[f"{method}/{arm}"], place / "shown", place / "metrics.csv.gz"))
    plot = Plot(figsize=(4, 2))
    plot.subplots().plot([0, 1])
    save(plot, [root / "plot.png"])
    write_text(root / "audit.md", "# Audit\n\nSee <script>alert(1)</script>\n\n| a | b |\n|:--|--:|\n| 1 | 2 |\n")
    return {
        "title": "Registration of the demo cohort",
        "dataset": "demo",
        "labels": labels,
        "reference": REFERENCE,
        "tables": write_tables(root / "tables", metrics, labels, REFERENCE),
        "figures": [Figure(root / "plot.png", "A line", "It goes up & to the right.")],
        "viewer": Viewer(
            pairs,
            shown,
            {name: root / "images" / name / "image.nii" for name in images},
            root / "raw" / "initial" / "metrics.csv.gz",
        ),
        "audit": root / "audit.md",
        "records": {"Table 1": root / "tables" / "table1.json"},
        "built": datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
    }


def with_change(given, root):
    """The same with a changed head, which one run has registered, one has not, and one without a result."""
    rng, pair = np.random.default_rng(1), ChangedPair("s1", "s2", Variant("rotation", 120))
    heads, affine = root / "heads" / "s2", np.diag([SPACING, SPACING, SPACING, 1.0])
    image = changed_file(heads, "rotation-120", "image")
    turned = np.ascontiguousarray(head(SHAPE, rng)[::-1, ::-1])
    write_volume(image, turned, affine)
    write_changed_pair(pair, root / "shown.json")
    runs, columns = [], {"dataset": "demo", "fixed": "s1", "moving": "s2", "seed": 0}
    for name, dice in {"initial": 0.1, "smgicnet": 0.6, "syn": None}.items():
        at = {**columns, "method": name, "arm": "raw", "change": "rotation"}
        best = {**at, "metric": "dice", "roi": "mean", "severity": 0.0, "value": 0.9}
        scored = {**best, "value": dice, "severity": 120.0}
        failed = {**scored, "metric": "no_result_percent", "roi": "", "value": 100.0}
        rows = [best, {**best, "severity": 60.0}, {**scored, "moving": "s3"}, failed if dice is None else scored]
        write_metrics(pd.DataFrame(rows), root / name / "robustness.csv.gz")
        if name != "initial":
            write_kept(root / name, {"s1": turned, pair.head: turned}, affine, [("s1", pair.head)], rng, 2.0)
            (root / name / "registration.json").write_text(json.dumps({"without_result": [{}] * (dice is None)}))
            runs.append((name, "raw"))
    files = {
        "change": [root / "shown.json"],
        "change_heads": [root / "heads" / "s9", heads],
        "change_shown": [root / name for name, _ in runs],
        "change_metrics": [root / name / "robustness.csv.gz" for name, _ in runs],
        "change_initial": [root / "initial" / "robustness.csv.gz"],
    }
    return {**given, "viewer": given["viewer"]._replace(changed=changed_view(files, runs))}


@pytest.fixture(scope="module")
def changed(arguments, tmp_path_factory):
    return with_change(arguments, tmp_path_factory.mktemp("changed"))


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    return write_demo(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def page(arguments, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "report" / "index.html"
    size = write_page(out, Page(**arguments))
    assert size == out.stat().st_size < 6e6
    return out


@pytest.fixture(scope="module")
def chromium():
    require_browser()
    with browser() as running:
        yield running


def opened(chromium, page, **viewport):
    """A tab with the page, and what it logged and asked for."""
    tab = chromium.new_page(viewport={"width": 1280, "height": 800, **viewport})
    tab.heard = []
    tab.on("console", lambda message: message.type in ("error", "warning") and tab.heard.append(message.text))
    tab.on("pageerror", lambda error: tab.heard.append(str(error)))
    tab.on("request", lambda asked: asked.url.startswith(("http", "ws", "ftp")) and tab.heard.append(asked.url))
    tab.goto(page.as_uri())
    tab.wait_for_selector("html[data-viewer=ready]", timeout=30_000)
    return tab


@pytest.fixture(scope="module")
def tab(chromium, page):
    return opened(chromium, page)


@pytest.fixture(scope="module")
def small(chromium, page):
    """A small window: drawing in software takes its time."""
    return opened(chromium, page, width=400, height=440)


def picture(tab, wanted=lambda pixels: True):
    """Pixels of the viewer when it has come to rest and shows what is wanted: it draws a moment after the click."""
    stage, last = tab.locator("#stage"), b""
    for _ in range(200):
        tab.wait_for_timeout(50)
        now = stage.screenshot()
        if now == last and wanted(now):
            return now
        last = now
    raise AssertionError("the viewer does not come to rest, or not at what is wanted")


def shows(tab, table, place, texts, order=None):
    """Waits until a column shows these texts, and its head this order: DataTables sorts a moment after the click."""
    from playwright.sync_api import expect

    expect(tab.locator(table).locator(f"tbody tr > :nth-child({place})")).to_have_text(texts)
    if order:
        expect(tab.locator(table).locator(f"thead th >> nth={place - 1}")).to_have_attribute("aria-sort", order)


def test_loads_from_a_file_without_errors_or_requests(tab):
    picture(tab)
    assert tab.heard == []
    assert tab.locator("#viewer-failed").is_hidden()
    assert tab.title() == "Registration of the demo cohort"


def test_sections_stand_in_order_and_each_has_a_link(tab):
    names = ["headline", "table1", "table2", "table3", "comparisons", "figures", "viewer", "audit", "provenance"]
    assert tab.locator("main > section").evaluate_all("all => all.map(s => s.id)") == names
    links = tab.locator("nav.contents a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    assert links == [f"#{name}" for name in names]
    assert all(tab.locator("img").evaluate_all("all => all.map(i => i.alt !== '' || !i.getAttribute('src'))"))


def test_what_comes_from_data_is_text(tab):
    assert "Ours <b>" in tab.locator("#headline").inner_text()
    assert "<script>alert(1)</script>" in tab.locator("#audit").inner_text()
    tab.locator("summary", has_text="Config").click()
    assert "</script><i>" in tab.locator("#provenance pre").inner_text()


def test_tables_sort_by_number_and_missing_values_stay_last(tab):
    table = "#table1 .scroll >> nth=0 >> table"
    heads = tab.locator(table).locator("thead th")
    dice, folds, seconds = (heads.nth(place) for place in (1, 2, 3))
    dice.click()
    shows(tab, table, 1, ["SyN", "Ours <b>", "ICNet", "Initial"])
    seconds.click()
    shows(tab, table, 1, ["SyN", "ICNet", "Ours <b>", "Initial"])  # as text 9 is above 120
    shows(tab, table, 4, [re.compile(".")] * 4, "descending")
    seconds.click()
    shows(tab, table, 1, ["Initial", "Ours <b>", "ICNet", "SyN"])
    shows(tab, table, 4, [re.compile(".")] * 4, "ascending")
    for order in ("descending", "ascending"):
        folds.click()
        shows(tab, table, 3, [re.compile("0.010")] * 3 + ["–"], order)
    for _ in range(2):
        tab.locator("#table3 thead th").nth(1).click()
        shows(tab, "#table3", 1, ["B", "A"])
    tab.locator("#table3 thead .dt-column-order").nth(0).focus()
    tab.keyboard.press("Enter")
    shows(tab, "#table3", 1, ["A", "B"])


def test_viewer_changes_with_pair_method_and_overlays(small):
    tab = small
    seen = [picture(tab)]

    def step(act):
        act()
        seen.append(picture(tab, lambda now: now != seen[-1]))

    step(lambda: tab.select_option("#pair", "1"))
    facts = tab.locator("#facts").inner_text()
    step(lambda: tab.select_option("#run", "2"))
    assert tab.locator("#facts").inner_text() != facts
    assert re.search(r"0\.\d{3} before, 0\.\d{3} after. Folded: 0\.010 % of the brain, \d+ voxels", facts)
    plain = seen[-1]
    step(lambda: tab.check("#grid-on"))
    step(lambda: tab.check("#jacobian-on"))
    step(lambda: tab.select_option("#jacobian-scale", "linear"))
    step(lambda: tab.locator("#jacobian-opacity").fill("20"))
    step(lambda: tab.uncheck("#jacobian-on"))
    step(lambda: tab.uncheck("#grid-on"))
    assert seen[-1] == plain
    step(lambda: tab.locator("input[data-axis='1']").fill("3"))
    step(lambda: tab.locator("#stage").click(position={"x": 60, "y": 60}))
    tab.locator("#stage").focus()
    step(lambda: [tab.keyboard.press(key) for key in ["ArrowUp"] * 4 + ["PageDown"] * 4])
    assert tab.heard == []


def test_viewer_flickers_swipes_and_blends(small):
    tab = small
    tab.locator("input[value=flicker]").focus()
    tab.keyboard.press("Space")
    warped = picture(tab)
    assert tab.locator("#legend").inner_text() == "Showing: warped"
    tab.keyboard.press("f")
    picture(tab, lambda now: now != warped)
    tab.locator("#swap").click()
    picture(tab, lambda now: now == warped)
    tab.select_option("#interval", "500")
    tab.check("#automatic")
    tab.locator("#legend", has_text="Showing: fixed").wait_for(timeout=5000)
    tab.uncheck("#automatic")
    for mode in ("swipe", "blend"):
        tab.locator(f".choice:has(input[value={mode}])").click()
        shown = []
        for share in ("0", "30", "100"):
            tab.locator("#share").fill(share)
            shown.append(picture(tab, lambda now, before=tuple(shown): now not in before))
        tab.select_option("#image-a", "moving")
        tab.locator("#share").fill("30")
        picture(tab, lambda now, before=tuple(shown): now not in before)
        tab.select_option("#image-a", "fixed")
    assert tab.heard == []


def test_grid_and_jacobian_lie_where_the_field_says(tab, arguments):
    """The browser decodes the field to 1/16 voxel, and its colours tell a fold from the strongest shrinking."""
    tab.add_script_tag(content=(PACKAGE / "publication/report/viewer.js").read_text().split("class Pane")[0])
    run, (fixed, moving) = arguments["viewer"].runs[1], next(iter(PAIRS.values()))
    found = tab.evaluate("readField('p0-r1-field').then(all => all.map(one => Array.from(one)))")
    lps = np.asarray(nib.load(shown_files(run.folder, fixed, moving)[1]).dataobj)[:, :, :, 0]
    expected = np.moveaxis(lps * [-1, -1, 1] / SPACING, -1, 0)
    np.testing.assert_allclose(
        np.reshape(found, expected.shape), expected, atol=0.5 / viewer_volumes.FIELD_STEPS + 1e-5
    )
    colours = tab.evaluate(
        "(() => { const m = colourMap('log'); return [4, 16, 135.5 | 0].map(i => [m.R[i], m.G[i]]); })()"
    )
    assert colours[0] == [255, 214]
    assert colours[1] == [33, 102]
    assert min(colours[2]) > 230


def test_a_changed_head_is_offered_with_what_was_done_to_it_and_dice_of_each_run(arguments, changed):
    (plain, images), (index, blobs) = (
        viewer_volumes.viewer_data(arguments["viewer"]),
        viewer_volumes.viewer_data(changed["viewer"]),
    )
    assert index["pairs"][:-1] == plain["pairs"]
    assert index["pairs"][-1] == {
        "title": "changed head",
        "fixed": "s1",
        "moving": "s2, rotation 120",
        "note": "s2 was changed on purpose. The head is turned by 120 degrees. Of all changed heads it is the one on "
        "which methods fall furthest behind the best of them. It was not registered by ICNet.",
    }
    number = {label: place for place, label in enumerate(index["runs"])}
    assert {key: index["cases"][key] for key in plain["cases"]} == plain["cases"]
    case = {label: index["cases"].get(f"p2-r{place}") for label, place in number.items()}
    assert case["ICNet"] is None
    ours = case["Ours <b>"]
    assert (ours["before"], ours["after"], ours["folds_percent"], "failed" in ours) == (0.1, 0.6, None, False)
    assert (case["SyN"]["after"], case["SyN"]["failed"]) == (None, True)
    assert {key: blobs[key] for key in images} == images
    shown = nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(blobs["p2-moving"]))).get_fdata()
    np.testing.assert_allclose(shown / 255, read_image(changed["viewer"].changed.image).data, atol=0.003)


def test_a_page_without_a_changed_head_says_nothing_of_one(arguments, changed, tmp_path):
    for name, given in {"plain": arguments, "changed": changed}.items():
        write_page(tmp_path / name, Page(**given))
    told = ['id="note"', "was changed on purpose"]
    assert [(tmp_path / "changed").read_text().count(words) for words in told] == [1, 2]
    assert [(tmp_path / "plain").read_text().count(words) for words in told] == [0, 0]
    assert changed_view({"change": []}, []) is None
    write_changed_pair(None, tmp_path / "shown.json")  # quality control has left no changed pair
    assert changed_view({"change": [tmp_path / "shown.json"]}, []) is None


def test_every_change_is_described():
    said = {change: described(Variant(change, 20)) for change in CHANGES}
    assert all("20" in words and "(20" not in words for words in said.values())
    assert said["translation"] == "The head is shifted by 20 mm"
    assert said["lesion"] == "A dark lesion of 20 ml"
    assert said["crop-top"] == "Cut off at the top (% of the brain): 20"
    assert said["t2"] == "From T1 (0) to T2 (1): 20"


def test_the_viewer_shows_a_changed_head_by_the_methods_that_have_registered_it(chromium, changed, tmp_path):
    from playwright.sync_api import expect

    write_page(tmp_path / "index.html", Page(**changed))
    tab = opened(chromium, tmp_path / "index.html", width=400, height=440)
    note, facts = tab.locator("#note"), tab.locator("#facts")
    assert note.is_hidden()
    tab.select_option("#run", label="ICNet")
    before = picture(tab)
    tab.select_option("#pair", label="changed head: s2, rotation 120, to s1")
    picture(tab, lambda now: now != before)
    assert "The head is turned by 120 degrees." in note.inner_text()
    assert tab.locator("#run option:disabled").all_inner_texts() == ["ICNet"]
    assert tab.locator("#stage").get_attribute("data-shown").startswith("p2-r")
    tab.select_option("#run", label="SyN")
    expect(facts).to_contain_text("No result: the moving image is shown as it lies. Mean Dice 0.100 before, – after.")
    tab.select_option("#run", label="Ours <b>")
    expect(facts).to_have_text(re.compile("^Mean Dice 0.100 before, 0.600 after"))
    tab.select_option("#pair", "0")
    expect(note).to_be_hidden()
    assert tab.locator("#run option:disabled").count() == 0
    assert tab.evaluate("document.documentElement.scrollWidth") <= 400
    assert tab.heard == []


def test_nothing_is_wider_than_the_window(small):
    tab = small
    tab.locator("details").evaluate_all("all => all.forEach(one => { one.open = true; })")
    for width in (390, 768, 1280):
        tab.set_viewport_size({"width": width, "height": 800})
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.locator("nav.contents").evaluate("one => getComputedStyle(one).position") == "sticky"


def test_figures_enlarge_by_keyboard(tab):
    tab.locator("button.enlarge").first.focus()
    tab.keyboard.press("Enter")
    assert tab.locator("#enlarged").is_visible()
    tab.keyboard.press("Escape")
    assert tab.locator("#enlarged").is_hidden()


@pytest.mark.parametrize("start", ["registration with symmetric velocities on four levels in words", "W" * 60])
def test_the_longest_names_make_nothing_wider_than_the_window(chromium, tmp_path, start):
    longest = schema("methods/smgicnet")["properties"]["label"]["maxLength"]
    names = {run: f"{start[: longest - 1]}{number} w.affine" for number, run in enumerate(RUNS)}
    page = Page(**write_demo(tmp_path, names))
    write_page(tmp_path / "index.html", page)
    tab = opened(chromium, tmp_path / "index.html")
    for width in (390, 768, 1280):
        tab.set_viewport_size({"width": width, "height": 800})
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
    first = tab.locator("#table1 tbody th").first  # the numbers beside a name can be seen
    assert first.bounding_box()["width"] < 400


def test_screenshot_shows_headline_and_viewer(chromium, page):
    pixels = capture(chromium, page, 1.0)
    assert 1000 < pixels.shape[1] < 1200
    assert 0.1 < (pixels.max(-1) < 0.05).mean() < 0.5  # the viewer's black on the white of the rest


def test_screenshot_names_what_is_missing(page, tmp_path, monkeypatch, capsys):
    assert screenshot([str(tmp_path / "none.html"), "out.png"]) == 1
    assert "no such page" in capsys.readouterr().err
    monkeypatch.setattr("smgicnet.publication.report.browser.shutil.which", lambda name: None)
    assert screenshot([str(page), "out.png"]) == 1
    assert "tests/install_chromium.sh" in capsys.readouterr().err


def test_jacobian_is_that_of_fields():
    u = np.random.default_rng(0).standard_normal((3, 6, 7, 8)).astype(np.float32)
    expected = fields.jacobian_determinant(torch.from_numpy(u)[None])[0].numpy()
    np.testing.assert_allclose(viewer_volumes.jacobian_determinant(u), expected, rtol=1e-4, atol=1e-4)


def test_codes_mark_folds_and_are_even_in_the_logarithm():
    determinant = np.array([-1.0, 0.0, 0.01, 0.25, 1.0, 4.0, 100.0]).reshape(1, 1, 7)
    codes = viewer_volumes.jacobian_codes(determinant, 1).ravel().tolist()
    assert codes == [4, 4, 16, 16, 136, 255, 255]


def test_large_grids_shrink_by_block_means():
    assert [viewer_volumes.shrink_factor((size, 64, 64)) for size in (96, 97, 192, 193)] == [1, 2, 2, 3]
    volume = np.arange(5.0)[:, None, None] * np.ones((5, 4, 4))
    shrunk = viewer_volumes.block_means(volume, 2)
    assert shrunk.shape == (3, 2, 2)
    assert shrunk[:, 0, 0].tolist() == [0.5, 2.5, 4.0]
    folded = viewer_volumes.jacobian_codes(np.where(volume == 3, -1.0, 1.0), 2)
    assert (folded[:, 0, 0] == viewer_volumes.FOLD_CODE).tolist() == [False, True, False]
    u = np.full((3, 4, 4, 4), 6.0)
    unpacked = gzip.decompress(base64.b64decode(viewer_volumes.pack_field(u, 2)))
    assert unpacked[0] == 6 * viewer_volumes.FIELD_STEPS // 2  # three voxels of the shrunken grid


def test_tables_by_method_and_as_they_were_written(arguments):
    files = arguments["tables"]
    measured, printed = table1_by_method(files["table1"]["csv"], files["table1"]["json"], LABELS)
    errors = "Endpoint error (mm)", "Endpoint error of the worst pair (mm)"
    assert measured.header == ("Method", "DSC", "|J| ≤ 0 (%)", "Time (s)", "DSC of the worst pair", *errors)
    assert {row[0].text for row in measured.rows} == set(LABELS.values())
    assert any("4 test subjects, 6 unordered pairs" in note for note in measured.notes)
    assert printed.header[1] == "DSC, IXI"
    assert {row[0].text for row in printed.rows} == {"SyN", "ICNet", "Ours <b>"}
    overall, error, by_roi = page_tables(files["comparisons"]["json"])
    assert overall.header[0] == "comparison"
    assert (overall.heading, error.heading) == (
        "DSC: above 0 favours Ours <b>",
        "Endpoint error (mm): below 0 favours Ours <b>",
    )
    assert error.notes
    assert by_roi.header[0] == "ROI"
    numbers = {"+0.087 to +0.3": 0.087, "<0.001": 0.0005, "1,234 (±5)": 1234, "–": None, "-0.5": -0.5, "a 1": None}
    assert {text: leading_number(text) for text in numbers} == numbers


def test_a_block_of_a_table_is_one_of_its_own(tmp_path):
    blocks = ("", (Row("A", ("weights not present", None)),)), ("None", ()), ("x | y", (Row("B", ("0.9", "**x**")),))
    table = Table("Weights.", ("DSC", "of"), blocks, ("note",), "method")
    (tmp_path / "table.json").write_text(json.dumps({"page": [table.to_data()]}))
    first, second = page_tables(tmp_path / "table.json")
    assert (first.caption, first.heading, first.notes) == ("Weights.", "", ())
    assert (second.caption, second.heading, second.notes) == ("", "x | y", ("note",))
    assert first.header == second.header == ("method", "DSC", "of")
    assert [cell.text for cell in first.rows[0]] == ["A", "weights not present", "–"]
    assert [(cell.text, cell.order) for cell in second.rows[0]] == [("B", None), ("0.9", 0.9), ("**x**", None)]
    (tmp_path / "old.json").write_text('{"table": "table3"}')
    with pytest.raises(InputError, match=r"old\.json.*no table"):
        page_tables(tmp_path / "old.json")


def test_headline_says_where_the_reference_loses(arguments):
    files = arguments["tables"]
    found = headline(
        files["table1"]["csv"], files["comparisons"]["csv"], LABELS, REFERENCE, {"subjects": 4, "pairs": 6}
    )
    best, dice, error, size = found.sentences
    number = r"\d\.\d+ \(±0\.\d+\)"
    lowest = f"Ours <b> has the lowest mean endpoint error, {number} mm"
    assert re.fullmatch(rf"SyN has the highest mean Dice, {number}; {lowest}\.", best)
    assert re.match(rf"By Dice, Ours <b>, at {number}, is ahead of Initial and ICNet and is behind SyN\.", dice)
    assert error == "By endpoint error, Ours <b> is ahead of Initial, ICNet and SyN."
    assert size.startswith("4 test subjects, 6 pairs")
    assert [[contrast.label for contrast in panel.contrasts] for panel in found.panels] == [
        ["Initial", "ICNet", "SyN"]
    ] * 2
    without = headline(files["table1"]["csv"], None, LABELS, REFERENCE, {})
    assert without.sentences == (best,)
    assert without.panels == ()


def test_who_is_best_by_both_is_said_once_and_without_truth_dice_stands_alone(arguments, tmp_path):
    files = arguments["tables"]
    table = pd.read_csv(files["table1"]["csv"])
    table.loc[(table["metric"] == "endpoint_error_mm") & (table["method"] == "syn"), "mean"] = 1.0
    table.to_csv(tmp_path / "table1.csv", index=False)
    both = headline(tmp_path / "table1.csv", None, LABELS, REFERENCE, {}).sentences[0]
    assert re.fullmatch(
        r"SyN has the highest mean Dice, \S+ \S+ and the lowest mean endpoint error, 1\.00 \S+ mm\.", both
    )
    for name in ("table1", "comparisons"):
        rows = pd.read_csv(files[name]["csv"])
        rows[rows["metric"] != "endpoint_error_mm"].to_csv(tmp_path / f"{name}.csv", index=False)
    found = headline(tmp_path / "table1.csv", tmp_path / "comparisons.csv", LABELS, REFERENCE, {})
    assert [panel.metric.name for panel in found.panels] == ["dice"]
    assert "endpoint" not in " ".join(found.sentences)
    assert found.sentences[1].startswith("Ours <b>, at ")


def test_the_plot_of_a_metric_says_which_side_is_better(tab):
    plots = tab.locator("#headline .forest")
    captions = plots.locator("figcaption").all_inner_texts()
    assert captions == [
        "Mean Dice of Ours <b> minus that of each other method, with 95 % intervals",
        "Mean endpoint error of Ours <b> minus that of each other method, in mm, with 95 % intervals",
    ]
    sides = [plots.nth(number).locator(".ends span").all_inner_texts() for number in range(2)]
    assert sides == [["Ours <b> is worse", "Ours <b> is better"], ["Ours <b> is better", "Ours <b> is worse"]]
    won = plots.nth(1).locator("li")
    assert won.evaluate_all("all => all.map(one => one.className)") == ["ahead"] * 3
    assert "−9." in won.nth(0).inner_text()
    for mark, zero in zip(won.locator(".dot").all(), won.locator(".zero").all(), strict=True):
        assert mark.bounding_box()["x"] < zero.bounding_box()["x"]


def test_page_without_what_is_optional(arguments, tmp_path):
    lean = {"tables": {"table1": arguments["tables"]["table1"]}, "figures": [], "viewer": None}
    lean |= {"audit": None, "records": {}}
    write_page(tmp_path / "index.html", Page(**{**arguments, **lean}))
    text = (tmp_path / "index.html").read_text()
    assert 'id="stage"' not in text
    assert "niivue.Niivue=" not in text
    with pytest.raises(InputError, match="Give table1"):
        write_page(tmp_path / "index.html", Page(**{**arguments, "tables": {}}))
    with pytest.raises(InputError, match="no such figure"):
        write_page(tmp_path / "index.html", Page(**{**arguments, **lean, "figures": [Figure("none.png", "", "")]}))


def test_missing_library_names_its_package(monkeypatch):
    monkeypatch.setattr("smgicnet.publication.report.assets.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"Python package nilearn.*pip install nilearn"):
        library("viewer")
    assert in_script('a = "</script><!--"') == 'a = "\\x3c/script>\\x3c!--"'


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.01, 0.03, "ahead"), (-0.03, -0.01, "behind"), (-0.01, 0.03, "unclear"), (math.nan, math.nan, "unclear")],
)
def test_a_lead_is_one_whose_interval_leaves_out_0(low, high, verdict):
    assert Contrast(METRICS["dice"], "SyN", 0.01, low, high).verdict == verdict
    turned = {"ahead": "behind", "behind": "ahead"}.get(verdict, verdict)
    assert Contrast(METRICS["endpoint_error_mm"], "SyN", 0.01, low, high).verdict == turned
