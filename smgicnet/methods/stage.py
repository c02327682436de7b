"""A stage of a training schedule, in plain numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One step of a training schedule: which lengths and rates; the stages of a paper are data.

    Exactly one of ``iterations`` and ``epochs`` is given; an epoch is every ordered pair of training subjects once.
    The parameters of the levels below the newest are frozen for the first ``frozen_iterations``, then learn at
    ``learning_rate * earlier_rate``.
    """

    iterations: int | None
    epochs: float | None
    learning_rate: float
    frozen_iterations: int
    earlier_rate: float

    def length(self, ordered_pairs: int, batch_size: int) -> int:
        """Number of iterations for a training set with that many ordered pairs."""
        if self.iterations is not None:
            return self.iterations
        return max(1, round(self.epochs * ordered_pairs / batch_size))
