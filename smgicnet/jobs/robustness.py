"""The demands of a config on changed heads: which changes, which pairs, which runs, and the jobs of them.

Every run registers some of the ordered test pairs again, with the moving head changed, and is scored as ever; see
`smgicnet.preparation.changes` for the changes.
"""

from __future__ import annotations

from functools import cache, cached_property
from typing import Any

from smgicnet.cohort.participants import some_pairs
from smgicnet.methods import GIVEN
from smgicnet.preparation.changes import CHANGES, Changes, Variant

Pair = tuple[str, str]
Run = tuple[str, str]
KEY = "robustness"  # beside the name of a method, in the file of the sizes of jobs
MOST_HEADS = 64  # changed heads of a job, which keeps them in memory


class Robustness:
    """The meaning of the block ``evaluation.robustness`` of a config; ``study`` is a `smgicnet.jobs.study.Study`."""

    def __init__(self, study: Any):
        self._study, self._block = study, study.config["evaluation"]["robustness"]

    @cached_property
    def changes(self) -> Changes:
        """The changes of heads; without any variant where the study is off."""
        asked = CHANGES if self._block["pairs"] else ()
        variants = tuple(Variant(change, severity) for change in asked for severity in self._block[change])
        return Changes(variants, self._block["shift"], self._block["seed"])

    @property
    def kinds(self) -> set[str]:
        """The kinds of change, keys of `CHANGES`."""
        return {variant.change for variant in self.changes.variants}

    @cached_property
    def runs(self) -> list[Run]:
        """Runs that register changed heads; what another program has computed of heads as they lie cannot."""
        study = self._study
        return [run for run in study.runs if study.methods[run[0]]["type"] != GIVEN] if self.changes.variants else []

    def has(self, dataset: str) -> bool:
        """Return whether heads of a dataset are changed."""
        return self._block["datasets"] is None or dataset in self._block["datasets"]

    @cache  # noqa: B019 (a study lives as long as its process)
    def pairs(self, dataset: str) -> list[Pair]:
        """Return the ordered pairs, fixed and moving, of which the moving head is changed."""
        if not self.has(dataset):
            return []
        return some_pairs(self._study.groups(dataset), self._block["pairs"] or 0, self._block["seed"])

    def pair_seconds(self, dataset: str, name: str) -> float:
        """Return the seconds of a pair in all changes, for a method (with the pair as it lies) or for alignments."""
        once = self._study.pair_seconds(dataset, name) / 2  # which is that of both directions
        return once * (len(self.changes.variants) + (name in self._study.methods))

    @cache  # noqa: B019
    def shards(self, dataset: str, name: str) -> list[list[Pair]]:
        """Return the pairs of each job of a method, or of alignments."""
        pairs, minutes = self.pairs(dataset), self._study.job_minutes
        sizes, most = self._study.job_sizes(dataset), max(1, MOST_HEADS // max(1, len(self.changes.variants)))
        size = min(most, sizes.pairs(f"{name}/{KEY}", self.pair_seconds(dataset, name), minutes))
        return [pairs[start : start + size] for start in range(0, len(pairs), size)] or [[]]
