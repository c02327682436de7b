"""The metrics of a method from those of its jobs, with a record of which they were."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from smgicnet.core.provenance import listed, merged_records, write_text
from smgicnet.scoring.changed_rows import over_changes
from smgicnet.scoring.statistics import read_metrics, write_metrics

Paths = Sequence[str | Path]


def gathered(shards: Paths, changed: Paths = ()) -> pd.DataFrame:
    """Return the rows of all ``shards``, in order, and the rows that those of ``changed`` heads give, a pair."""
    summary = over_changes(read_metrics(changed)) if changed else pd.DataFrame()
    return read_metrics(shards) if summary.empty else pd.concat([read_metrics(shards), summary], ignore_index=True)


def gather_metrics(
    shards: Paths, records: Paths, *, metrics: str | Path, record: str | Path, changed: Paths = ()
) -> None:
    """Write what is `gathered` to ``metrics`` (gzipped CSV), then a JSON of what it is from.

    ``records`` are the JSONs of the jobs. `smgicnet.commands.verify` gathers the rows again.
    """
    write_metrics(gathered(shards, changed), metrics)
    folder = Path(record).parent
    facts = {"shards": listed(shards, folder), "changed": listed(changed, folder), **merged_records(records)}
    write_text(record, json.dumps(facts, indent=2) + "\n")
