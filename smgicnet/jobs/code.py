"""Digests of what trains, registers and scores, as they stand in the parameters of rules and in records."""

from __future__ import annotations

from smgicnet.core.code import PREPARED, TRAINING, code_digest
from smgicnet.methods import METHODS


def training_code(kind: str) -> str:
    """Digest of what trains a method of this type."""
    return code_digest("smgicnet.jobs.train", METHODS.module(kind), beside=TRAINING)


def registering_code(kind: str) -> str:
    """Digest of what registers with a method of this type."""
    return code_digest("smgicnet.jobs.registering", METHODS.module(kind), beside=PREPARED)


def scoring_codes() -> dict[str, str]:
    """Digest of what computes each metric."""
    return {"every": code_digest("smgicnet.scoring.evaluation", beside=PREPARED)}
