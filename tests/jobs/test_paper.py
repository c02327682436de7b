"""The paper's numbers stand beside its own cohorts and the shipped ones, and beside others where they are asked for."""

import pytest

from smgicnet.config.completion import complete
from smgicnet.core.errors import InputError
from smgicnet.jobs.figure_inputs import FigureInputs
from smgicnet.jobs.paper import beside_paper
from smgicnet.jobs.study import Study
from smgicnet.jobs.study_files import StudyFiles

COUNTS = {"train": 4, "val": 2, "test": 3}
ARCHIVE = {"kind": "archive", "image": r"(?P<subject>\w+)\.nii\.gz", "subjects": COUNTS}
SOURCES = {
    "embedded": ({"kind": "phantom"}, True),
    "ixi": (ARCHIVE | {"file": "resources/IXI-T1.tar"}, True),
    "oasis": (ARCHIVE | {"file": "elsewhere/neurite-oasis.v1.0.tar"}, True),
    "anatomies": ({"kind": "label-maps", "path": "resources/anatomies", "subjects": COUNTS}, True),
    "twins": ({"kind": "phantom", "anatomies": {"path": "resources/anatomies", "splits": {"val": 2, "test": 2}}}, True),
    "own-archive": (ARCHIVE | {"file": "resources/abide.tar"}, False),
    "own-maps": ({"kind": "label-maps", "path": "our/maps", "subjects": COUNTS}, False),
    "own-twins": ({"kind": "phantom", "anatomies": {"path": "our/maps", "splits": {"val": 2, "test": 2}}}, False),
    "own-scans": ({"kind": "participants", "path": "participants.tsv"}, False),
    "own-bids": ({"kind": "bids", "path": "bids"}, False),
}


def study_of(source, **more):
    config = {"datasets": {"mine": {"source": source}}, "methods": {"smgicnet": {"type": "smgicnet"}}, **more}
    return Study(complete(config, "test"))


@pytest.mark.parametrize("name", SOURCES)
def test_by_default_it_is_the_cohort_that_says_so(name):
    source, expected = SOURCES[name]
    assert beside_paper(study_of(source), "mine") == expected


@pytest.mark.parametrize("wanted", [True, False])
def test_what_is_asked_for_counts(wanted):
    for source in (SOURCES["embedded"][0], SOURCES["own-scans"][0]):
        assert beside_paper(study_of(source, publication={"paper": wanted}), "mine") == wanted
    with pytest.raises(InputError, match=r"publication\.paper"):
        study_of(SOURCES["embedded"][0], publication={"paper": "no"})


def test_captions_name_the_papers_figures_beside_the_paper_alone():
    captions = {}
    for wanted in (True, False):
        study = study_of(SOURCES["embedded"][0], publication={"paper": wanted})
        captions[wanted] = FigureInputs(StudyFiles(study)).caption("reciprocal", "mine")
    assert "(the paper's Figure 3a)" in captions[True]
    assert captions[False] == captions[True].replace(" (the paper's Figure 3a)", "")
