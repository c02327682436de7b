"""Decides which datasets stand beside what the paper prints."""

from __future__ import annotations

import re

from smgicnet.cohort.sources import SOURCES
from smgicnet.jobs.study import Study

_REFERENCE = re.compile(r" \(the paper's [^()]*\)")


def beside_paper(study: Study, dataset: str) -> bool:
    """Return whether a dataset's tables have rows of the paper: as the config says, or else by its people's source."""
    wanted = study.config["publication"]["paper"]
    source = study.datasets[dataset]["source"]
    return SOURCES[source["kind"]](source).is_shipped() if wanted is None else wanted


def without_references(caption: str) -> str:
    """Return a caption without its references, in parentheses, to the paper's own figures."""
    return _REFERENCE.sub("", caption)
