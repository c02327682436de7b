"""The register of figures: what a study has of them, and what each of them waits for."""

import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pandas as pd
import pytest

from smgicnet.config.completion import complete
from smgicnet.core.files import PACKAGE
from smgicnet.core.layout import DatasetPaths
from smgicnet.jobs import figures
from smgicnet.jobs.decisions import Decisions
from smgicnet.jobs.figure_inputs import FACTS, FigureInputs
from smgicnet.jobs.study import Study
from smgicnet.jobs.study_files import StudyFiles
from smgicnet.publication.figures import registry
from smgicnet.publication.figures.registry import DRAWING, FIGURES, FigureEntry
from tests.support import ROOT
from tests.support.methods import SMALL

DATASET = {
    "source": {"kind": "phantom", "subjects": {"train": 2, "val": 2, "test": 2}},
    "grid": {"shape": [32, 32, 32], "spacing": 4},
}
ABLATIONS = {"variants": {"short": {"label": "Short", "change": {"stages": [{"iterations": 1}] * 4}}}}
SHOWN = ["pairs", "images", "shown", "shown_metrics", "initial_metrics"]
ENTRIES = (
    "methods", "published", "reciprocal", "registrations", "dice", "robustness", "angles", "changes", "breaking",
    "time", "comparisons", "ablations", "training",
)  # fmt: skip
RUNS = {
    "smgicnet": {**SMALL["smgicnet"], "type": "smgicnet", "label": "Ours", "arms": ["raw"]},
    "icnet": {**SMALL["icnet"], "type": "icnet", "label": "ICNet", "arms": ["raw", "affine"]},
    "initial": {"type": "initial", "label": "Initial", "arms": ["raw", "affine"]},
}


def inputs_of(methods, folder, absent=(), **changes):
    """The figures of a study of six phantoms."""
    config = {"datasets": {"mini": DATASET}, "methods": methods, "seeds": [1, 2]}
    config["evaluation"] = {"reference": {"method": "smgicnet", "arm": "raw"}}
    config["ablations"] = {"variants": {}} if "smgicnet" in methods else {}
    table = pd.DataFrame({"subject": list("abcdef"), "split": ["train", "val", "test"] * 2}).set_index("subject")
    decisions = Decisions("ants", "", absent)
    study = Study(complete({**config, **changes}, "test"), decisions, results=folder, cohorts={"mini": table})
    return FigureInputs(StudyFiles(study))


def listed(found):
    """The names of the figures whose entries a test lists; a further entry of the register is nobody's mistake."""
    return [name for name, (entry, _) in found.figures.items() if entry in ENTRIES]


def test_a_study_has_the_figures_that_it_has_something_to_show_in(tmp_path):
    trainings = ["training-raw-smgicnet", "training-raw-icnet", "training-affine-icnet"]
    pairs, scores = (
        ["methods", "reciprocal", "registrations"],
        ["dice", "robustness", "angles", "breaking", "time", "comparisons"],
    )
    found = inputs_of(RUNS, tmp_path)
    assert [*found.figures] == found.by_default("mini")
    assert listed(found) == [*pairs, *scores, *trainings]
    assert listed(inputs_of({"smgicnet": RUNS["smgicnet"]}, tmp_path)) == [
        *pairs,
        "dice",
        "angles",
        "breaking",
        "time",
        trainings[0],
    ]
    initial = {name: RUNS[name] for name in ("smgicnet", "initial")}
    assert "robustness" in inputs_of(initial, tmp_path).figures
    alone = inputs_of({"initial": RUNS["initial"]}, tmp_path, evaluation={"reference": {"method": "initial"}})
    assert listed(alone) == ["dice", "robustness", "angles", "breaking", "time", "comparisons"]
    elsewhere = {"reference": {"method": "smgicnet"}, "robustness": {"datasets": []}}
    without = inputs_of(initial, tmp_path, evaluation=elsewhere)
    assert {*without.figures} - {*without.by_default("mini")} == {"angles", "breaking"}
    off = {"reference": {"method": "smgicnet"}, "robustness": {"pairs": None}}
    assert "angles" not in inputs_of(initial, tmp_path, evaluation=off).figures


def test_published_weights_have_a_figure_where_they_are(tmp_path):
    methods = {**RUNS, "synthmorph": {"type": "synthmorph", "label": "SynthMorph", "arms": ["raw"]}}
    found = inputs_of(methods, tmp_path)
    assert found.figures["published"] == ("published", [("synthmorph", "raw"), ("smgicnet", "raw")])
    assert ("synthmorph", "raw") not in found.figures["methods"][1]
    assert "published" not in inputs_of(methods, tmp_path, absent=("synthmorph",)).figures


def test_ablations_are_on_the_page_once_they_are_drawn(tmp_path):
    found = inputs_of(RUNS, tmp_path, ablations=ABLATIONS)
    assert "ablations" in found.figures
    assert "ablations" not in found.by_default("mini")
    assert found.on_page("mini") == found.by_default("mini")
    picture = tmp_path / DatasetPaths.of("mini", tmp_path).figure("ablations", "png")
    picture.parent.mkdir(parents=True)
    picture.touch()
    places = {name: place for place, name in enumerate(found.on_page("mini"))}
    assert places["comparisons"] < places["ablations"] < places["training-raw-smgicnet"]


@pytest.mark.parametrize(
    ("figure", "names", "runs"),
    [
        ("dice", ["metrics"], 5),
        ("time", ["metrics"], 5),
        ("comparisons", ["comparisons"], 5),
        ("ablations", ["ablations"], 2),
        ("methods", SHOWN, 3),
        ("reciprocal", SHOWN, 1),
        ("registrations", SHOWN, 1),
        ("training-affine-icnet", ["histories"], 1),
        ("angles", ["changes"], 5),
    ],
)
def test_a_figure_waits_for_what_it_is_drawn_from_alone(figure, names, runs, tmp_path):
    found = inputs_of(RUNS, tmp_path, ablations=ABLATIONS)
    w = SimpleNamespace(dataset="mini", figure=figure)
    files, facts = found.inputs(w), found.facts(w)
    assert [*files] == names
    assert len(facts["runs"]) == runs == len(facts["labels"])
    if names == SHOWN:
        assert len(files["shown"]) == len(files["shown_metrics"]) == runs
        assert len(files["images"]) == 2
        assert facts["spacing"] == 4
    if figure == "dice":
        assert len(files["metrics"]) == 2 * 3 + 2  # two seeds of what is trained
        assert facts["initial"] == ("initial", "raw")
    if figure == "ablations":
        assert facts["full_model"] == "Ours"
    if figure.startswith("training"):
        assert [path.endswith("affine/icnet/seed-1/level-1/history.csv") for path in files["histories"]] == [True]
        assert found.title(figure) == "Training of ICNet w.affine"
        assert found.labels(w) == {"dataset": "mini", "what": "ICNet w.affine"}


def test_every_entry_is_whole():
    for name, entry in FIGURES.items():
        assert callable(DRAWING[name])
        assert set(entry.inputs) <= set(FACTS)
        assert "mini" in entry.caption.format(dataset="mini")
        assert ("{run}" in entry.title) == entry.each_run


def test_a_new_entry_is_all_that_a_figure_takes(monkeypatch, tmp_path):
    entry = FigureEntry("New", "On {dataset}.", f"{__name__}:drawn", ("metrics", "histories"))
    monkeypatch.setitem(FIGURES, "new", entry)
    monkeypatch.setattr(figures, "DRAWING", registry.Registry({"new": entry.function}))
    saved = []
    monkeypatch.setattr(figures, "save", lambda figure, outputs: saved.append((figure, outputs)))
    found, w = inputs_of(RUNS, tmp_path), SimpleNamespace(dataset="mini", figure="new")
    assert "new" in found.by_default("mini")
    assert found.caption("new", "mini") == "On mini."
    figures.draw(found.figures["new"][0], found.inputs(w), found.facts(w), ["new.png", "new.pdf"])
    assert saved == [((["metrics", "histories"], 5, True), ["new.png", "new.pdf"])]


def drawn(given):
    return [*given.files], len(given.runs), given.merge_sides


def test_a_change_of_one_figure_draws_no_other_again(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "smgicnet", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "config", tmp_path / "config")
    code = """
import json
from types import SimpleNamespace
from smgicnet.jobs.figure_inputs import FIGURES, FigureInputs

found = FigureInputs(SimpleNamespace(study=None))
found.figures = {name: (name, []) for name in FIGURES}
print(json.dumps({name: found.code(SimpleNamespace(figure=name)) for name in FIGURES}))
"""

    def digests():
        command = [sys.executable, "-c", code]
        return json.loads(subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout)

    def changed_by(file, old, new):
        before, text = digests(), file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))
        after = digests()
        return {name for name in FIGURES if before[name] != after[name]}

    drawing = tmp_path / "smgicnet/publication/figures"
    assert changed_by(drawing / "time_figure.py", "NEAR_MM = 1.6", "NEAR_MM = 1.7") == {"time"}
    assert changed_by(drawing / "score_figures.py", "GROUP = 0.86", "GROUP = 0.85") == {"dice"}
    assert changed_by(drawing / "change_figures.py", "SMALLEST_MM = 0.01", "SMALLEST_MM = 0.1") == {"angles", "changes"}
    assert changed_by(drawing / "slices.py", "BRAIN = 0.05", "BRAIN = 0.06") == {
        "methods", "published", "reciprocal", "registrations",
    }  # fmt: skip
    assert changed_by(drawing / "registry.py", "The reference method", "Ours") == set()
    assert changed_by(drawing / "page.py", "LINE_MM = 2.6", "LINE_MM = 2.7") == {*FIGURES}


def test_drawing_imports_no_torch_and_the_register_no_matplotlib():
    code = (
        "import sys; from smgicnet.publication.figures.registry import DRAWING; found = ['matplotlib' in sys.modules]"
    )
    code += "; drawn = [DRAWING[name] for name in DRAWING]; print(*found, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
