"""Digests of source: what changes them, what does not, and that imports alone decide it."""

import json
import shutil
import subprocess
import sys

import pytest

from smgicnet.core import code
from smgicnet.core.code import source_files
from smgicnet.core.files import PACKAGE
from smgicnet.jobs.code import scoring_codes
from smgicnet.methods import METHODS
from tests.support import ROOT
from tests.support.imports import imported, module_file
from tests.support.methods import LEARNED

DIGESTS = """
import json
from smgicnet.core.code import code_digest
from smgicnet.jobs.code import registering_code, scoring_codes, training_code
from smgicnet.methods import METHODS

found = {f"{kind} trains": training_code(kind) for kind in METHODS}
found |= {f"{kind} registers": registering_code(kind) for kind in METHODS}
found |= {f"{metric} scores": digest for metric, digest in scoring_codes().items()}
for name in ("report", "figures.pair_figures", "audit"):
    found[name] = code_digest(f"smgicnet.publication.{name}")
print(json.dumps(found))
"""
TRAINS, REGISTERS = ({f"{kind} {what}" for kind in METHODS} for what in ("trains", "registers"))
SCORES = {f"{metric} scores" for metric in scoring_codes()}


def both(*kinds):
    return {f"{kind} {what}" for kind in kinds for what in ("trains", "registers")}


@pytest.fixture
def checkout(tmp_path):
    """A copy of the package and of the tables that it reads, to be edited."""
    shutil.copytree(PACKAGE, tmp_path / "smgicnet", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "config/labels", tmp_path / "config/labels")
    return tmp_path


@pytest.fixture(scope="module")
def before():
    """The digests of the package as it is, which are those of a copy, too."""
    return digests(ROOT)


def digests(checkout):
    command = [sys.executable, "-c", DIGESTS]
    done = subprocess.run(command, cwd=checkout, env={"PYTHONPATH": str(checkout)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def edit(path, old="", new="\n# changed\n"):
    """Replace ``old``, which has to be there, or append to the file."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new) if old else text + new)


def changed(before, after):
    assert before.keys() == after.keys()
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("registration/fields.py", TRAINS | REGISTERS | SCORES | {"audit"}),
        ("registration/losses.py", both("smgicnet", "icnet", "lapirn")),
        ("registration/wavelets.py", both("smgicnet")),
        ("registration/refinement.py", {"smgicnet registers"}),
        ("registration/detail.py", {"smgicnet registers"}),
        ("registration/like_to_like.py", {"smgicnet registers"}),
        ("registration/tissue_network.py", {"smgicnet registers"}),
        ("methods/icnet.py", both("icnet")),
        ("methods/shipped/brain-t1-4mm.md", set()),
        ("training/loop.py", TRAINS),
        ("training/sampling.py", TRAINS),
        ("jobs/train.py", TRAINS),
        ("jobs/registering.py", REGISTERS),
        ("scoring/hausdorff.py", SCORES - {"tre_mm scores"}),
        ("scoring/evaluation.py", SCORES),
        ("scoring/statistics.py", {"report", "audit", "figures.pair_figures"}),
        ("publication/figures/pair_figures.py", {"figures.pair_figures"}),
        ("publication/report/report.css", {"report"}),
        ("publication/report/index.html.jinja", {"report"}),
        ("config/completion.py", set()),
        ("core/errors.py", set()),
        ("commands/check.py", set()),
    ],
)
def test_an_edit_changes_the_digests_of_what_depends_on_it(before, checkout, file, expected):
    edit(checkout / "smgicnet" / file)
    assert changed(before, digests(checkout)) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"HD95 (mm)"', '"Distance (mm)"', set()),
        ('2,\n        regions="rois"', '2,\n        regions=""', {"hd95_mm scores"}),
        (":hd95_of_rois", ":dice_of_rois", {"hd95_mm scores"}),
    ],
    ids=["label", "regions", "function"],
)
def test_of_a_metrics_entry_what_computes_it_is_in_the_digest_of_its_scores(before, checkout, old, new, expected):
    edit(checkout / "smgicnet/scoring/metrics.py", old, new)
    assert changed(before, digests(checkout)) == {*expected, "report"}


def test_the_table_of_labels_is_in_the_digests_of_what_reads_it(before, checkout):
    edit(checkout / "config/labels/freesurfer.tsv", new="99999\t0\tNothing\n")
    assert changed(before, digests(checkout)) >= TRAINS | SCORES


def test_the_table_of_parcels_is_in_the_digests_of_scores_and_trains_nothing(before, checkout):
    edit(checkout / "config/labels/cortex/parcels.tsv", new="221\t99999\t3\tnowhere\n")
    assert changed(before, digests(checkout)) == SCORES


@pytest.mark.parametrize(
    "statement",
    [
        "from smgicnet.registration import extra",
        "from smgicnet.registration.extra import number",
        "import smgicnet.registration.extra",
        "def late():\n    from smgicnet.registration.extra import number\n",
    ],
)
def test_a_new_import_brings_its_module(before, checkout, statement):
    wavelets, extra = (checkout / f"smgicnet/registration/{name}.py" for name in ("wavelets", "extra"))
    text = wavelets.read_text()
    extra.write_text("number = 1\n")
    assert changed(before, digests(checkout)) == set()  # nothing imports it yet
    edit(wavelets, new=f"\n\n{statement}\n")
    imported_now = digests(checkout)
    assert changed(before, imported_now) == both("smgicnet")
    extra.write_text("number = 2\n")
    assert changed(imported_now, digests(checkout)) == both("smgicnet")
    wavelets.write_text(text)  # removed again
    assert changed(before, digests(checkout)) == set()


def test_what_a_type_checker_alone_reads_brings_nothing(checkout):
    extra = checkout / "smgicnet/registration/extra.py"
    extra.write_text("number = 1\n")
    lines = "\nfrom typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from smgicnet.registration import extra\n"
    edit(checkout / "smgicnet/registration/wavelets.py", new=lines)
    before = digests(checkout)
    extra.write_text("number = 2\n")
    assert changed(before, digests(checkout)) == set()


def test_a_broken_import_is_seen_and_its_module_no_longer_counts(before, checkout):
    edit(
        checkout / "smgicnet/methods/icnet.py",
        "smgicnet.registration import losses",
        "smgicnet.registration import lost",
    )
    broken = digests(checkout)
    assert changed(before, broken) == both("icnet")
    edit(checkout / "smgicnet/registration/losses.py")
    assert changed(broken, digests(checkout)) == both("smgicnet", "lapirn")


def test_a_module_that_is_not_there_is_no_root():
    with pytest.raises(ModuleNotFoundError, match=r"no module smgicnet\.methods\.lost"):
        source_files("smgicnet.methods.lost")


def test_another_method_changes_the_digest_of_none(before, checkout):
    shutil.copy(checkout / "smgicnet/methods/icnet.py", checkout / "smgicnet/methods/other.py")
    entry = '"icnet": "smgicnet.methods.icnet:ICNet",'
    edit(checkout / "smgicnet/methods/__init__.py", entry, f'{entry}\n"other": "smgicnet.methods.other:ICNet",')
    after = digests(checkout)
    assert after.keys() - before.keys() == both("other")
    assert changed(before, {name: after[name] for name in before}) == set()


@pytest.mark.parametrize(
    "exceptions", [code.BESIDE, code.PREPARED, code.TRAINING], ids=["beside", "prepared", "training"]
)
def test_exceptions_name_what_there_is_and_say_why(exceptions):
    for name, why in exceptions.items():
        assert module_file(name.removesuffix(".*")), name
        assert why, name
    assert all(module_file(name) for name in code.DATA)


def test_shipped_weights_are_in_the_digest_of_what_reads_them(before, checkout):
    with open(checkout / "smgicnet/methods/shipped/tissues/brain-t1-2mm.pt", "ab") as file:
        file.write(b"changed")
    assert changed(before, digests(checkout)) == {"smgicnet registers"}


@pytest.mark.parametrize("kind", LEARNED)
def test_a_training_depends_on_the_fields_on_its_method_and_on_all_that_they_import(kind):
    """By another reading of the imports than the package's own."""
    beside = {**code.BESIDE, **code.TRAINING}
    todo, names = ["smgicnet.jobs.train", METHODS.module(kind)], set()
    while todo:
        name = todo.pop()
        if name in names or {name, f"smgicnet.{name.split('.')[1]}.*"} & beside.keys() or not module_file(name):
            continue
        names.add(name)
        todo += [other for other, _ in imported(module_file(name)) if other.startswith("smgicnet.")]
    expected = {module_file(name) for name in names if module_file(name).name != "__init__.py"}
    found = source_files("smgicnet.jobs.train", METHODS.module(kind), beside=code.TRAINING)
    assert {path for path in found if path.suffix == ".py"} == expected
    assert {module_file("smgicnet.registration.fields"), module_file(METHODS.module(kind))} <= expected
