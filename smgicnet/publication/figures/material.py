"""The files and names that a figure is drawn from, as its function gets them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Run = tuple[str, str]  # a method in an arm


@dataclass(frozen=True)
class Material:
    """Files, and what the study says of them; of the latter a figure gets what belongs to its kinds of input."""

    files: Mapping[str, Sequence[str]]  # by name, as `smgicnet.jobs.figure_inputs.FigureInputs` gives them
    runs: Sequence[Run]  # those of the figure, in order
    labels: Mapping[str, str]  # the name of each run, by "method/arm"
    initial: Run | None = None  # the run that leaves images as they lie
    reference: Run | None = None  # the run that others are compared with
    merge_sides: bool = False  # whether the left and the right of a region are taken together
    spacing: float = 1.0  # of the common grid, in mm
    people: Mapping[str, str] = field(default_factory=dict)  # the person of a subject that is not one by itself: a twin
    full_model: str = ""  # the name of the method that ablations vary

    def label(self, run: Run) -> str:
        """Return the name of a run."""
        return self.labels["/".join(run)]

    @property
    def registering(self) -> Sequence[Run]:
        """The runs of the figure but for the one that leaves images as they lie, unless there is no other."""
        return [run for run in self.runs if run != self.initial] or list(self.runs)
