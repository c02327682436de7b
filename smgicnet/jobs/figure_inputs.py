"""The figures of a study, and what each is drawn from, by `smgicnet.publication.figures.registry.FIGURES`.

``w`` is anything with the attributes ``dataset`` and ``figure``, a key of `FigureInputs.figures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from smgicnet.core.code import code_digest, function_digest
from smgicnet.core.layout import METRICS, ROBUSTNESS
from smgicnet.jobs.paper import beside_paper, without_references
from smgicnet.jobs.study import Run
from smgicnet.jobs.study_files import StudyFiles
from smgicnet.publication.figures.registry import FIGURES, FigureEntry

FACTS = {  # by kind of input: what the study says beside it, as fields of `Material`
    "metrics": ("initial", "reference", "merge_sides"),
    "comparisons": ("reference", "merge_sides"),
    "ablations": ("full_model",),
    "shown_pairs": ("spacing",),
    "histories": (),
    "changes": ("people",),
}


class FigureInputs:
    """The figures of the study that ``files`` are of."""

    def __init__(self, files: StudyFiles):
        self.files, self.study = files, files.study

    @cached_property
    def figures(self) -> dict[str, tuple[str, list[Run]]]:
        """The entry and the runs of every figure that there is, by its name, in the page's order."""
        found: dict[str, tuple[str, list[Run]]] = {}
        for name, entry in FIGURES.items():
            runs = list(entry.runs(self.study))
            if entry.each_run:
                found |= {f"{name}-{arm}-{method}": (name, [(method, arm)]) for method, arm in runs}
            elif runs:
                found[name] = (name, runs)
        return found

    def entry(self, figure: str) -> FigureEntry:
        """Return the entry of a figure."""
        return FIGURES[self.figures[figure][0]]

    def by_default(self, dataset: str) -> list[str]:
        """The figures of a dataset that the default target draws."""
        return [name for name in self._of(dataset) if self.entry(name).by_default]

    def _of(self, dataset: str) -> list[str]:
        has_changes = self.study.robustness.has(dataset)
        return [name for name in self.figures if has_changes or "changes" not in self.entry(name).inputs]

    def on_page(self, dataset: str) -> list[str]:
        """Return the figures of the page: those of the default target, and others once they have been drawn."""
        paths = self.study.paths(dataset)
        default = self.by_default(dataset)
        return [name for name in self._of(dataset) if name in default or Path(paths.figure(name, "png")).is_file()]

    def title(self, figure: str) -> str:
        """Return the title of a figure on the page."""
        return self.entry(figure).title.format(run=self._label(figure))

    def caption(self, figure: str, dataset: str) -> str:
        """Return the caption of a figure, in plain text."""
        caption = self.entry(figure).caption.format(dataset=dataset)
        return caption if beside_paper(self.study, dataset) else without_references(caption)

    def labels(self, w: Any) -> dict[str, str]:
        """Return the labels by which Snakemake's report tells a figure from the others."""
        return {"dataset": w.dataset, "what": self._label(w.figure)}

    def _label(self, figure: str) -> str:
        runs = self.figures[figure][1]
        return self.study.label(runs[0]) if self.entry(figure).each_run else figure

    def facts(self, w: Any) -> dict[str, Any]:
        """Return the fields of `smgicnet.publication.figures.material.Material` that are not files."""
        study, runs = self.study, self.figures[w.figure][1]
        values = {
            "initial": study.initial[0] if study.initial else None,
            "reference": study.reference,
            "merge_sides": study.config["evaluation"]["merge_sides"],
            "spacing": study.datasets[w.dataset]["grid"]["spacing"],
            "people": study.people(w.dataset),
            "full_model": study.methods[study.config["ablations"]["method"]]["label"] if study.variants else "",
        }
        wanted = [fact for kind in self.entry(w.figure).inputs for fact in FACTS[kind]]
        return {"runs": runs, "labels": study.labels(runs), **{fact: values[fact] for fact in wanted}}

    def inputs(self, w: Any) -> dict[str, list[str]]:
        """Return the files of a figure, by name: those of each of its kinds of input."""
        runs = self.figures[w.figure][1]
        found: dict[str, list[str]] = {}
        for kind in self.entry(w.figure).inputs:
            found |= getattr(self, kind)(w.dataset, runs)
        return found

    def code(self, w: Any) -> dict[str, str]:
        """Return the digests of what draws a figure, and of what saves it."""
        return {
            "drawing": function_digest(self.entry(w.figure).function),
            "saving": code_digest("smgicnet.jobs.figures"),
        }

    # Kinds of input

    def metrics(self, dataset: str, runs: Sequence[Run]) -> dict[str, list[str]]:
        """Return the scores of every seed."""
        return {"metrics": self.files.runs(dataset, METRICS, runs)}

    def comparisons(self, dataset: str, runs: Sequence[Run]) -> dict[str, list[str]]:
        """Return the table of comparisons."""
        return {"comparisons": [self.study.paths(dataset).table("comparisons", "csv")]}

    def ablations(self, dataset: str, runs: Sequence[Run]) -> dict[str, list[str]]:
        """Return the table of ablations."""
        return {"ablations": [self.study.paths(dataset).table("ablations", "csv")]}

    def shown_pairs(self, dataset: str, runs: Sequence[Run]) -> dict[str, list[str]]:
        """Return the shown pairs: images, and of first seeds the fields and the scores, also those before."""
        paths = self.study.paths(dataset)
        return {
            "pairs": [paths.shown_pairs],
            "images": [paths.prepared("raw", name, "image") for name in self.study.subjects(dataset, "test")],
            "shown": self.files.first_seed(dataset, runs, "shown"),
            "shown_metrics": self.files.first_seed(dataset, runs),
            "initial_metrics": self.files.first_seed(dataset, self.study.initial),
        }

    def histories(self, dataset: str, runs: Sequence[Run]) -> dict[str, list[str]]:
        """Return the histories of every stage of the trainings, of first seeds."""
        return {"histories": [path for run in runs for path in self.files.stages(dataset, run, "history")]}

    def changes(self, dataset: str, runs: Sequence[Run]) -> dict[str, list[str]]:
        """Return the scores of changed heads of every seed."""
        return {"changes": self.files.runs(dataset, ROBUSTNESS, runs)}
