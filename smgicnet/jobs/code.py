"""Digests of what trains, registers and scores, as they stand in the parameters of rules and in records."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from smgicnet.core.code import PREPARED, TRAINING, code_digest, function_digest
from smgicnet.methods import METHODS
from smgicnet.scoring import changed_rows
from smgicnet.scoring.metrics import SCORED


@cache  # it is asked for by each of many jobs
def training_code(kind: str) -> str:
    """Return the digest of what trains a method of this type."""
    return code_digest("smgicnet.jobs.train", METHODS.module(kind), beside=TRAINING)


@cache
def registering_code(kind: str, scripts: tuple[Path, ...] = ()) -> str:
    """Return the digest of what registers with a method of this type, and of the scripts that its command names."""
    module = METHODS.module(kind) if kind in METHODS else "smgicnet.jobs.given_fields"
    return code_digest("smgicnet.jobs.registering", module, beside=PREPARED, files=scripts)


def scoring_codes() -> dict[str, str]:
    """Return the digests of what computes each metric of a registered pair, and of what makes rows of it.

    Of a metric's entry only ``function`` and ``regions`` count: how it is written changes no score.
    """
    roots = "smgicnet.scoring.evaluation", "smgicnet.preparation.label_protocols"  # which names the ROIs
    rows = code_digest(*roots, beside={*PREPARED, "smgicnet.scoring.metrics"})
    return {
        name: f"{function_digest(metric.function, beside=PREPARED)} {rows} {metric.regions}"
        for name, metric in SCORED.items()
    }


def robustness_code() -> str:
    """Return the digest of what scores the registrations of changed heads, see `smgicnet.scoring.changed_rows`."""
    codes = scoring_codes()
    pose = code_digest("smgicnet.scoring.pose_consistency", beside={*PREPARED, "smgicnet.scoring.metrics"})
    return " ".join([*(codes[name] for name in changed_rows.METRICS), pose])
