"""A name as long as `label` allows, in words or without a space, can be read in every figure that has it."""

import itertools

import numpy as np
import pandas as pd
import pytest

from smgicnet.config.completion import complete
from smgicnet.config.schemas import schema
from smgicnet.core.errors import InputError
from smgicnet.publication.figures.ablation_figures import ablation_figure
from smgicnet.publication.figures.arena_figure import arena_figure
from smgicnet.publication.figures.breaking_figure import breaking_figure
from smgicnet.publication.figures.canvas import save
from smgicnet.publication.figures.change_figures import changes_figure
from smgicnet.publication.figures.comparison_figures import comparison_figure
from smgicnet.publication.figures.pair_figures import methods_figure
from smgicnet.publication.figures.reciprocal_figures import reciprocal_figure
from smgicnet.publication.figures.registration_figures import registration_figure
from smgicnet.publication.figures.registry import FIGURES
from smgicnet.publication.figures.run_figures import initial_scatter
from smgicnet.publication.figures.score_figures import dice_boxplot
from smgicnet.publication.figures.time_figure import time_figure
from smgicnet.publication.figures.training_figures import training_figure
from smgicnet.scoring.ranking import rank
from smgicnet.scoring.statistics import COLUMNS
from tests.support.figures import assert_legible
from tests.support.rankings import RUNS as RANKED
from tests.support.rankings import rows as ranked_rows

LONGEST = schema("methods/smgicnet")["properties"]["label"]["maxLength"]
METHODS = ("initial", "syn", "icnet", "lapirn", "smgicnet", "program")
RUNS = [(method, arm) for method in METHODS for arm in ("raw", "affine")]
REFERENCE, ROIS = ("smgicnet", "raw"), ("Left-Thalamus", "Right-Thalamus", "CSF", "Left-Accumbens-area")
WORDS = "registration with symmetric velocities on four levels, trained for a week on people of a study that"
SOLID = "W" * 60  # the widest that there is


def names(kind, count):
    """So many different names of the greatest length, the last characters of which tell them apart."""
    text = {"words": WORDS, "solid": SOLID}[kind]
    found = [f"{text[: LONGEST - 3].rstrip()} {number:02d}" for number in range(count)]
    found = found if kind == "words" else [f"{text[: LONGEST - 2]}{number:02d}" for number in range(count)]
    return [name.ljust(LONGEST, "x") for name in found]


@pytest.fixture(params=["words", pytest.param("solid", marks=pytest.mark.long)])
def labels(request):
    """The names of all runs, as long as they can be, with the suffix of the affine arm."""
    named = dict(zip(METHODS, names(request.param, len(METHODS))))
    assert {len(name) for name in named.values()} == {LONGEST}
    return {"/".join(run): named[run[0]] + (" w.affine" if run[1] == "affine" else "") for run in RUNS}


def scores(metrics=("dice", "seconds", "endpoint_error_mm")):
    random, rows = np.random.default_rng(0), []
    for place, (method, arm) in enumerate(RUNS):
        for fixed, moving in itertools.permutations("abcde", 2):
            start = ("mine", arm, method, 0, fixed, moving)
            for roi in ("mean", *ROIS):
                rows.append((*start, "dice", roi, random.beta(4 + place, 4)))
            rows.append((*start, "seconds", "", (1 + place) * random.uniform(0.8, 1.2)))
            rows.append((*start, "endpoint_error_mm", "", random.uniform(1, 9)))
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame[frame["metric"].isin(metrics)]


def changed():
    random, rows = np.random.default_rng(0), []
    for (method, arm), severity, pair in itertools.product(RUNS, (0, 60, 180), (("a", "b"), ("c", "d"))):
        start = ("mine", arm, method, 0, *pair)
        rows.append((*start, "dice", "mean", random.beta(4, 4), "rotation", severity))
        rows.append((*start, "endpoint_error_mm", "", random.uniform(1, 30), "rotation", severity))
        rows.append((*start, "pose_consistency_mm", "", random.uniform(1, 30), "rotation", severity))
    return pd.DataFrame(rows, columns=[*COLUMNS, "change", "severity"])


def compared():
    random, rows = np.random.default_rng(0), []
    for (method, arm), roi in itertools.product([run for run in RUNS if run != REFERENCE], ("mean", *ROIS)):
        difference = random.uniform(-0.1, 0.2)
        rows.append((method, arm, roi, difference, difference - 0.05, difference + 0.05, random.uniform(0, 0.1)))
    return pd.DataFrame(rows, columns=["method", "arm", "roi", "difference", "low", "high", "p_holm"])


def ablated(labels):
    full, *variants = list(labels.values())[::2]
    rows = []
    for study, members in {"components": [full, *variants[:3]], "channels": [full, *variants[3:]]}.items():
        for place, label in enumerate(members):
            low, high = (np.nan, np.nan) if label == full else (-0.05, 0.01)
            rows.append((study, label, 0.7, 0.08, -0.02 * place, low, high, 0.02 * place, 0.01, 1.5e6, 7200.0))
    columns = "study label dice dice_sd difference low high folds_percent folds_sd parameters train_seconds"
    return pd.DataFrame(rows, columns=columns.split()), full


def example(fixed="sub-1", moving="sub-2", shape=(20, 24, 16)):
    brain = np.zeros(shape)
    brain[3:-3, 2:-2, 3:-3] = 0.5
    images = {"fixed": brain, "moving": np.roll(brain, 2, 0), "warped": 0.9 * brain}
    facts = {"displacement": np.full((3, *shape), 0.1), "dice_before": 0.123, "dice_after": 0.6}
    return {"name_fixed": fixed, "name_moving": moving, **images, **facts}


def ranks(labels):
    found = rank(ranked_rows(dict(zip(RANKED, (0.8, 0.7, 0.5)))), RANKED, ["dice"], resamples=50, seed=0)
    return arena_figure(found, list(labels.values())[: len(RANKED)])


def history():
    part = np.linspace(0, 1, 50)
    columns = {"step": np.arange(50), "total": -part, "similarity": -part, "smoothness": 0.1 + part}
    return pd.DataFrame({**columns, "learning_rate": 1e-4, "seconds": 0.1, "validation_dice": 0.5 + 0.1 * part})


DRAWN = {  # by figure of the register: how it is drawn with these names, and the width of its page
    "methods": (lambda of: methods_figure([[example()] * len(of)], list(of.values()), 180), 180),
    "published": (lambda of: methods_figure([[example()] * 2], list(of.values())[:2], 180), 180),
    "reciprocal": (lambda of: reciprocal_figure(example(), example("sub-2", "sub-1"), [4.0] * 3), 85),
    "registrations": (lambda of: registration_figure([example()]), 85),
    "dice": (lambda of: dice_boxplot(scores(), RUNS, list(of.values()), ROIS), 180),
    "robustness": (lambda of: initial_scatter(scores(), RUNS[2:], of, RUNS[0]), 180),
    "angles": (lambda of: changes_figure(changed(), RUNS, of, ["rotation"]), 180),
    "changes": (lambda of: changes_figure(changed().assign(change="noise"), RUNS, of, ["noise"]), 180),
    "breaking": (lambda of: breaking_figure(changed(), RUNS, of), 180),
    "time": (lambda of: time_figure(scores(), RUNS, of, RUNS[0]), 85),
    "comparisons": (lambda of: comparison_figure(compared(), of, of["/".join(REFERENCE)], ROIS), 180),
    "ablations": (lambda of: ablation_figure(*ablated(of), 180), 180),
    "training": (lambda of: training_figure([history()] * 4, of["smgicnet/affine"]), 85),
    "ranks": (ranks, 180),
}


def said(figure):
    """All text of a figure without spaces and line breaks."""
    from matplotlib.text import Text

    return "".join("".join(text.get_text().split()) for text in figure.findobj(Text) if text.get_visible())


@pytest.mark.parametrize("label", ["x" * (LONGEST + 1), "", "  ", "two\nlines", "end\n", "a\ttab", "\x1b[31mred"])
def test_another_name_is_refused(label):
    def study_with(name):
        methods = {"smgicnet": {"type": "smgicnet", "label": name}}
        return complete({"datasets": {"mine": {"source": {"kind": "phantom"}}}, "methods": methods}, "test")

    assert study_with("x" * LONGEST)["methods"]["smgicnet"]["label"] == "x" * LONGEST
    with pytest.raises(InputError, match=r"methods\.smgicnet\.label"):
        study_with(label)


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_holds_the_longest_names(name, labels, tmp_path):
    draw, width = DRAWN[name]
    figure = draw(labels)
    save(figure, tmp_path / name)
    assert_legible(figure, width)
    shown, tails = said(figure), {"".join(label.split())[:LONGEST] for label in labels.values()}
    named = {"reciprocal": 0, "registrations": 0, "training": 1, "published": 1, "ranks": 2}
    assert sum(tail in shown for tail in tails) >= named.get(name, 5)


def test_no_figure_is_left_out():
    assert {*FIGURES} | {"ranks"} == {*DRAWN}
