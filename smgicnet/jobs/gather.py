"""The metrics of a method from those of its jobs, with a record of which they were."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from smgicnet.core.provenance import listed, merged_records, write_text
from smgicnet.scoring.statistics import read_metrics, write_metrics


def gather_metrics(
    shards: Sequence[str | Path], records: Sequence[str | Path], *, metrics: str | Path, record: str | Path
) -> None:
    """Write the rows of all ``shards``, in order, to ``metrics`` (gzipped CSV), then a JSON of what they are from.

    ``records`` are the JSONs of the jobs. `smgicnet.commands.verify` gathers the rows again.
    """
    write_metrics(read_metrics(shards), metrics)
    facts = {"shards": listed(shards, Path(record).parent), **merged_records(records)}
    write_text(record, json.dumps(facts, indent=2) + "\n")
