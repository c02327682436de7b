"""A small job that registers pairs and scores them."""

from dataclasses import replace

from smgicnet.cohort.participants import unordered_pairs
from smgicnet.jobs.register import ShardOutputs, register_shard
from smgicnet.jobs.registering import MethodFiles
from smgicnet.scoring.metrics import SCORED
from tests.support.compare import timeless
from tests.support.methods import block

SCORING = dict.fromkeys(SCORED, "1")


def register(folder, subjects, names, config=None, code="x", scoring=None, *, fields=False):
    columns = {"dataset": "d", "arm": "raw", "method": "initial", "seed": "0"}
    outputs = ShardOutputs(columns, folder / "0/metrics.csv", folder / "0/registration.json", folder / "fields")
    register_shard(
        MethodFiles(config or block("initial"), None, code),
        unordered_pairs(list(names)),
        subjects,
        outputs if fields else replace(outputs, fields=None),
        alignments=[],
        scoring=scoring or SCORING,
    )
    return timeless(outputs.metrics)
