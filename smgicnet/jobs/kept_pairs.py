"""The results of a job's pairs, kept beside its results: cut short, or given more pairs, it does only the rest."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smgicnet.core.files import append_line, atomic_path

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
            try:
                self._read(file.read_text(encoding="utf-8", errors="replace"))
            except OSError as error:  # another job is writing it anew
                log.warning("%s cannot be read (%s): left out", file, error.strerror)
        self.left = [pair for pair in identities if pair not in self._results]  # to do, when the job starts
        if self._results:
            log.info("%d of %d pairs are done already", len(self._results), len(identities))

    def _read(self, text: str) -> None:
        for line in text.splitlines():
            first, second, identity, result = [*line.split("\t", 3), "", "", ""][:4]
            if self._identities.get((first, second)) != identity:
                continue
            try:
                self._results[first, second] = json.loads(result)
                self._lines[first, second] = line
            except ValueError:  # the end of it was not written any more
                continue

    def get(self, pair: Pair) -> Any:
        """Return the result of a pair, or None."""
        return self._results.get(pair)

    def add(self, pair: Pair, result: Any) -> None:
        """Keep the result of a pair, flushed to the disk."""
        line = "\t".join([*pair, self._identities[pair], json.dumps(result, separators=(",", ":"))])
        append_line(self._path, line)
        self._results[pair], self._lines[pair] = result, line

    def tidy(self) -> None:
        """Drop, when all are done, what the job's own pairs have of other settings.

        Other pairs stay: when a cohort grows they move to another job, which may not have read them yet.
        """
        before = self._path.read_text(encoding="utf-8", errors="replace").splitlines() if self._path.is_file() else []
        others = [line for line in before if tuple(line.split("\t", 2)[:2]) not in self._identities]
        with atomic_path(self._path) as part:
            lines = [*(line for line in others if line.count("\t") >= 3), *self._lines.values()]
            part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def identity(*facts: object) -> str:
    """Return a digest of whatever a result depends on, as JSON has it."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
