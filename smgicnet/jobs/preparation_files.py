"""The files of a job that prepares a subject, by the wildcards that name the job.

``w`` is as in `smgicnet.jobs.study_files`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from smgicnet.cohort.participants import ANATOMY, TRUTH_COLUMNS
from smgicnet.cohort.sources import SOURCES
from smgicnet.core.layout import PREPARED
from smgicnet.imaging.headers import header_form
from smgicnet.jobs.study import Study

STEP_RECORDS = {  # a step of preprocessing: its value where it is not done, and the record that it writes
    "skull_strip": ("none", "brain"),
    "bias_field": ("none", "bias"),
    "segmentation": ("given", "segmentation"),
}
STRIPPING_ENVIRONMENTS = {"auto": "deepbet", "deepbet": "deepbet", "bet": "fsl"}  # FreeSurfer's is the user's own


class PreparationFiles:
    """The files of each job that prepares a subject of ``study``."""

    def __init__(self, study: Study):
        self.study = study

    def anatomy(self, w: Any) -> list[str]:
        """Return the label map of which a subject is generated, unless that is the embedded brain."""
        table = self.study.cohort(w.dataset)
        return [table.at[w.subject, "label_map"]] if "label_map" in table else []

    def scan(self, w: Any) -> dict[str, str]:
        """Return a subject's image as the cohort has it, and its mask where one is asked for."""
        row = self.study.cohort(w.dataset).loc[w.subject]
        return {kind: row[kind] for kind in ["image", *["mask"] * (self._steps(w)["skull_strip"] == "mask")]}

    def stripped(self, w: Any) -> dict[str, str]:
        """Return a subject's skull-stripped image, and its mask if it was made."""
        if self._steps(w)["skull_strip"] == "none":
            return self.scan(w)
        return {"image": self._step(w, "brain.nii.gz"), "mask": self._step(w, "mask.nii.gz")}

    def source(self, w: Any) -> dict[str, str]:
        """Return the files a subject is prepared from: image after the last step, label map, a histogram to match."""
        steps = self._steps(w)
        corrected, segmented = steps["bias_field"] != "none", steps["segmentation"] != "given"
        files = {
            "image": self._step(w, "corrected.nii.gz") if corrected else self.stripped(w)["image"],
            "labels": self._step(w, "labels.nii.gz")
            if segmented
            else self.study.cohort(w.dataset).at[w.subject, "labels"],
            "histogram": steps["histogram_reference"],
        }
        return {key: path for key, path in files.items() if path}

    def made_truth(self, w: Any) -> list[str]:
        """Return the true transforms of a subject, where the workflow makes them."""
        return self.truth_of(w, [w.subject]) if self.makes_truth(w) else []

    def makes_truth(self, w: Any) -> bool:
        """Return whether the workflow makes the true transforms of a dataset's subjects."""
        return TRUTH_COLUMNS[0] in SOURCES[self.study.datasets[w.dataset]["source"]["kind"]].files

    def truth_of(self, w: Any, subjects: Iterable[str]) -> list[str]:
        """Return the true transforms of subjects, where there are any: of all in one direction, then in the other."""
        names, columns = list(subjects), [self.column(w.dataset, column) for column in TRUTH_COLUMNS]
        return [column[name] for column in columns if column for name in names]

    def templates_of(self, w: Any, subjects: Iterable[str]) -> list[str]:
        """Return the name of the template of each subject, to which its true transforms lead; "" for the one."""
        anatomies = self.column(w.dataset, ANATOMY)
        return [anatomies.get(name, "") for name in subjects]

    @cache  # noqa: B019 (files live as long as their study)
    def column(self, dataset: str, name: str) -> dict[str, str]:
        """Return a column of a dataset's cohort by subject; empty where it has none."""
        table = self.study.cohort(dataset)
        return dict(table[name]) if name in table else {}

    def step_records(self, w: Any) -> list[str]:
        """Return the record of each step that is done."""
        steps = self._steps(w)
        return [self._step(w, f"{record}.json") for key, (off, record) in STEP_RECORDS.items() if steps[key] != off]

    def stripping_environment(self, w: Any) -> str:
        """Return the conda environment of the tool that strips a dataset's skulls."""
        return STRIPPING_ENVIRONMENTS.get(self._steps(w)["skull_strip"], "analysis")

    def setting(self, key: str) -> Callable[[Any], Any]:
        """Return a setting of the preprocessing of the dataset that the wildcards name, as a function of them."""
        return lambda w: self._steps(w)[key]

    def header_form(self, w: Any) -> str | None:
        """Return the form of NIfTI headers that decides where images of the dataset lie."""
        return header_form(self._steps(w))

    def every(self, kind: str) -> Callable[[Any], list[str]]:
        """Return a file of every subject on the common grid, as a function of the wildcards."""
        return lambda w: self.prepared(w, self.study.subjects(w.dataset), kind)

    def _steps(self, w: Any) -> dict:
        return self.study.datasets[w.dataset]["preprocessing"]

    def _step(self, w: Any, name: str) -> str:
        return self.study.paths(w.dataset).step(w.subject, name)

    def prepared(self, w: Any, subjects: Iterable[str], *kinds: str, arm: str = "raw") -> list[str]:
        """Return files of subjects on the common grid; ``kinds`` among the keys of `smgicnet.core.layout.PREPARED`."""
        subjects, paths = list(subjects), self.study.paths(w.dataset)
        return [paths.prepared(arm, name, kind) for kind in kinds or PREPARED for name in subjects]

    def prepared_in(self, w: Any, split: str, *kinds: str) -> list[str]:
        """Return files on the common grid of a split, of the arm that the wildcards name or else of ``raw``."""
        return self.prepared(w, self.study.subjects(w.dataset, split), *kinds, arm=getattr(w, "arm", "raw"))
