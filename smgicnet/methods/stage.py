"""A stage of a training schedule, in plain numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One stage of a training schedule; the stages of a paper are data.

    Exactly one of ``iterations`` and ``epochs`` is given.

    Attributes
    ----------
    iterations : the stage's length
    epochs : the same in epochs, each of which has every ordered pair of training subjects once
    learning_rate : the learning rate of the newest level
    frozen_iterations : iterations during which the levels below the newest do not learn
    earlier_rate : the learning rate of the levels below afterwards, as a factor of ``learning_rate``
    """

    iterations: int | None
    epochs: float | None
    learning_rate: float
    frozen_iterations: int
    earlier_rate: float

    def length(self, ordered_pairs: int, batch_size: int) -> int:
        """Return the number of iterations for a training set with that many ordered pairs.

        Raises ``ValueError`` for a stage with neither iterations nor epochs.
        """
        if self.iterations is not None:
            return self.iterations
        if self.epochs is None:
            raise ValueError("a stage needs iterations or epochs")
        return max(1, round(self.epochs * ordered_pairs / batch_size))
