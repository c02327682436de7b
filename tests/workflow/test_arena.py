"""The arena, run for real on a miniature cohort: programs from outside, of which one fails and one is missing."""

import json
import sys

import pandas as pd
import yaml

from tests.support.methods import SHIFT
from tests.support.miniature import CONFIG
from tests.support.snakemake import snakemake

COMMAND = f"python {SHIFT} {{fixed}} {{moving}} {{out}}/t.txt"
PROGRAM = {"type": "command", "transforms": ["t.txt"]}
GRID = CONFIG["datasets"]["mini"]["grid"]


def arena(folder):
    """A config whose every method is quick."""
    source = {"kind": "phantom", "subjects": {"train": 2, "val": 0, "test": 3}, "shape": [30, 35, 30], "spacing": 8}
    content = {
        "datasets": {"mini": {"source": source, "grid": GRID}},
        "methods": {
            "initial": {"type": "initial", "arms": ["raw"]},
            "shift": {**PROGRAM, "label": "Shift", "command": COMMAND.replace("python", sys.executable, 1)},
            "broken": {
                **PROGRAM, "label": "Broken", "command": f"false; {COMMAND}",
                "environment": {"pip": ["--no-deps tqdm"]},
            },
            "missing": {**PROGRAM, "label": "Missing", "command": COMMAND, "requires": ["no-such-program"]},
        },
        "evaluation": {
            "reference": {"method": "shift"},
            "figure_pairs": ["median"], "robustness": {"pairs": 1, "rotation": [90], "noise": [0.2], "crop-top": [20]},
        },
    }  # fmt: skip
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


def test_programs_are_run_scored_and_ranked_beside_each_other(tmp_path):
    shown = [f"results/mini/figures/{figure}.png" for figure in ("angles", "changes", "breaking")]
    page = "results/mini/report/index.html"
    targets = ["results/arena/tables/arena.md", "results/mini/tables/comparisons.md", page, *shown]
    done = snakemake(tmp_path, *targets, "--configfile", arena(tmp_path))
    assert "missing is left out: no no-such-program on the PATH. Install it" in done.stdout
    results = tmp_path / "results"
    text = " ".join((results / "arena/tables/arena.md").read_text().split())
    assert "| Broken | – | – | – | – | – |" in text
    assert "| 100 |" in text
    assert "Times of Broken and Shift are of the whole program" in text
    ranks = text.partition("Ranks over all datasets.")[2].partition("Who beats whom.")[0]
    assert ranks.index("Broken") > max(ranks.index("Shift"), ranks.index("Initial"))
    metrics = pd.read_csv(results / "mini/raw/broken/seed-0/metrics.csv.gz")
    assert set(metrics["metric"]) == {"no_result_percent"}
    record = json.loads((results / "mini/raw/broken/seed-0/shards/0/registration.json").read_text())
    assert "it ended with code 1" in record["without_result"][0]["reason"]
    made = list((tmp_path / "resources/programs").glob("*/program.json"))
    assert json.loads(made[0].read_text())["installed"][0].startswith("tqdm==")
    changed = pd.read_csv(results / "mini/raw/shift/seed-0/robustness.csv.gz")
    assert set(changed["change"]) == {"rotation", "noise", "crop-top"}
    assert all((tmp_path / figure).stat().st_size > 5000 for figure in shown)
    assert "Broken" not in (results / "mini/tables/comparisons.md").read_text()
    viewer = (tmp_path / page).read_text().partition('id="viewer-index">')[2].partition("</script>")[0]
    assert_shows_a_changed_pair(json.loads(viewer), json.loads((results / "mini/robustness/shown.json").read_text()))
    again = snakemake(tmp_path, *targets, "-n", "--configfile", str(tmp_path / "config.yaml"))
    assert "Nothing to be done" in again.stdout
    (tmp_path / page).unlink()
    pages = snakemake(tmp_path, "arena", "-n", "--configfile", str(tmp_path / "config.yaml"))
    assert all(f"rule {name}" in pages.stdout for name in ("show_arena", "write_page"))
    assert "register_changed_shown" not in pages.stdout  # it is there


def assert_shows_a_changed_pair(index, chosen):
    """The last pair is that which was chosen; the broken program says that it is shown as it lies."""
    change, severity = chosen["variant"]
    assert (change, severity) in {("rotation", 90), ("noise", 0.2), ("crop-top", 20)}
    said, case = index["pairs"][-1], f"p{len(index['pairs']) - 1}"
    assert said["moving"] == f"{chosen['moving']}, {change} {severity:g}"
    assert said["note"].startswith(f"{chosen['moving']} was changed on purpose.")
    assert sorted(index["runs"]) == ["Broken", "Shift"]
    cases = {label: index["cases"][f"{case}-r{number}"] for number, label in enumerate(index["runs"])}
    assert cases["Broken"]["failed"]
    assert cases["Broken"]["after"] is None
    assert "failed" not in cases["Shift"]
    assert 0 < cases["Shift"]["after"] < 1
    assert 0 < cases["Broken"]["before"] == cases["Shift"]["before"]
