"""Digests of what trains, registers and scores, as they stand in the parameters of rules and in records."""

from __future__ import annotations

from smgicnet.core.code import PREPARED, TRAINING, code_digest, function_digest
from smgicnet.methods import METHODS
from smgicnet.scoring.metrics import SCORED


def training_code(kind: str) -> str:
    """Digest of what trains a method of this type."""
    return code_digest("smgicnet.jobs.train", METHODS.module(kind), beside=TRAINING)


def registering_code(kind: str) -> str:
    """Digest of what registers with a method of this type."""
    return code_digest("smgicnet.jobs.registering", METHODS.module(kind), beside=PREPARED)


def scoring_codes() -> dict[str, str]:
    """Digest of what computes each metric of a registered pair."""
    return {name: function_digest(metric.function, beside=PREPARED) for name, metric in SCORED.items()}
