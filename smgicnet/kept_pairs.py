"""What a job has done of its pairs, kept beside its results: cut short, or given more pairs, it does only the rest."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smgicnet.images import append_line, atomic_path

log = logging.getLogger(__name__)
NAME = "pairs.kept"  # a line a pair: its two subjects, what identifies the work, the result as JSON
Pair = tuple[str, str]


class KeptPairs:
    """Results of pairs, each under the digest of what it was made from; others than these are never taken for them.

    ``folder`` is the job's; what other jobs have beside it counts too, since pairs move when a cohort grows. Raises
    `InputError`, in `add` and `tidy`, where nothing can be written.
    """

    def __init__(self, folder: Path, identities: Mapping[Pair, str]):
        self._path, self._identities = folder / NAME, identities
        self._lines: dict[Pair, str] = {}
        self._results: dict[Pair, Any] = {}
        for file in sorted(folder.parent.glob(f"*/{NAME}")):
            self._read(file)
        self.left = [pair for pair in identities if pair not in self._results]  # to do, when the job starts
        if self._results:
            log.info("%d of %d pairs are done already", len(self._results), len(identities))

    def _read(self, file: Path) -> None:
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            first, second, identity, result = [*line.split("\t", 3), "", "", ""][:4]
            if self._identities.get((first, second)) != identity:
                continue
            try:
                self._results[first, second] = json.loads(result)
                self._lines[first, second] = line
            except ValueError:  # the end of it was not written any more
                continue

    def get(self, pair: Pair) -> Any:
        """The result of a pair, or None."""
        return self._results.get(pair)

    def add(self, pair: Pair, result: Any) -> None:
        """Keep the result of a pair, flushed to the disk."""
        line = "\t".join([*pair, self._identities[pair], json.dumps(result, separators=(",", ":"))])
        append_line(self._path, line)
        self._results[pair], self._lines[pair] = result, line

    def tidy(self) -> None:
        """When all are done: leave the lines of the job's own pairs, without those of other settings or a torn end."""
        with atomic_path(self._path) as part:
            part.write_text("".join(f"{line}\n" for line in self._lines.values()), encoding="utf-8")


def identity(*facts: object) -> str:
    """A digest of whatever a result depends on, as JSON has it."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
