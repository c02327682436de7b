"""Whether a registration succeeded is told from what it leaves behind, with a known error rate.

The model was fitted to registrations whose true error is known, many of which were made to fail
(``benchmarks/verdict.py``); docs/verdict.md says how often it is wrong.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from smgicnet.core.files import packaged

SHIPPED = "methods/shipped/verdict.json"
VERDICTS = (GOOD, DOUBTFUL, FAILED) = ("good", "doubtful", "failed")


@dataclass(frozen=True)
class Verdict:
    """The judgement of a registration.

    Attributes
    ----------
    word : one of `VERDICTS`
    failure : the probability that it failed
    error_mm : the mean endpoint error over the brain in mm, and the ends of the interval that holds nine in ten
    dice : the mean Dice over 36 regions, likewise
    """

    word: str
    failure: float
    error_mm: tuple[float, float, float]
    dice: tuple[float, float, float]

    @property
    def is_good(self) -> bool:
        """Whether it is `GOOD`."""
        return self.word == GOOD

    def __str__(self) -> str:
        error, low, high = self.error_mm
        percent = 100 * self.failure
        chance = "under 1" if percent < 1 else "over 99" if percent > 99 else f"{percent:.0f}"
        about, least, most = (f"{value:.0f}" if value >= 100 else f"{value:.2g}" for value in (error, low, high))
        return (
            f"{self.word}: with a probability of {chance} % it failed; error about {about} mm "
            f"({least} to {most}), Dice about {self.dice[0]:.2f}"
        )

    def facts(self) -> dict[str, Any]:
        """Return what a record says of it."""
        return {
            "verdict": self.word,
            "summary": str(self),
            "failure_probability": round(self.failure, 4),
            "error_mm": [round(value, 2) for value in self.error_mm],
            "dice": [round(value, 3) for value in self.dice],
        }


@cache
def shipped_model() -> dict[str, Any]:
    """Return the model that comes with the package."""
    return dict(json.loads(packaged(SHIPPED).read_text(encoding="utf-8")))


def judge(evidence: Mapping[str, float], model: Mapping[str, Any] | None = None) -> Verdict | None:
    """Return the verdict on a registration; None where the evidence lacks what the model looks at.

    ``evidence`` is what `smgicnet.registration.evidence.gather` returns; ``model`` is by default the shipped one.
    """
    model = shipped_model() if model is None else model
    if not model["features"].keys() <= evidence.keys():
        return None
    seen = {
        name: 2 * min(max((evidence[name] - low) / (high - low), 0), 1) - 1 if math.isfinite(evidence[name]) else -1
        for name, (low, high) in model["features"].items()
    }

    def of(head: Mapping[str, Any]) -> float:
        return float(head["intercept"] + sum(head["weights"][name] * value for name, value in seen.items()))

    failure = 1 / (1 + math.exp(-of(model["failed"])))
    word = GOOD if failure < model["good_below"] else FAILED if failure > model["failed_above"] else DOUBTFUL
    error, dice = model["log_error"][word], model["dice"][word]
    return Verdict(
        word,
        failure,
        _with_ends(of(error), error["spread"], math.exp),
        _with_ends(of(dice), dice["spread"], lambda value: min(max(value, 0.0), 1.0)),
    )


def _with_ends(value: float, spread: list[float], finished: Any) -> tuple[float, float, float]:
    """Return a value and the ends of its interval, ``spread`` below and above it."""
    low, high = (finished(value + one) for one in spread)
    return finished(value), low, high
