"""The costs of jobs: memory and time by method and grid, and how many pairs a job takes.

What a schema of a method says under ``cost`` is by million voxels of the common grid, on two cores. What
`smgicnet plan` has measured on the user's own machine, in ``results/costs.json``, goes before it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import ceil, prod
from pathlib import Path

from smgicnet.config.blocks import learns_from_labels
from smgicnet.config.schemas import schema
from smgicnet.core.errors import InputError
from smgicnet.core.provenance import write_text

BASE_MB = 1500  # of a job's programs and libraries
ALIGNMENT = {"pair_seconds": 20.0, "pair_memory": 1500}  # of an affine alignment, as `cost` in a method's schema
UNKNOWN = {"pair_seconds": 10.0, "pair_memory": 3000, "training_memory": 10000}
LABELS_MEMORY = 1000  # of training with them besides
MANY_JOBS = 100  # of a method: each takes milliseconds to plan, and profiles/slurm has as many at a time in all
LONGER = 4  # times as long as wished are jobs at most where there would be more
SIDES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)  # subjects of a side of a job, which reads at most twice as many images


def million_voxels(grid: Mapping) -> float:
    """Return the million voxels of a dataset's common grid, the block ``grid`` of the config."""
    return prod(grid["shape"]) / 1e6


def method_cost(block: Mapping) -> dict[str, float]:
    """Return ``cost`` by the schema of a method's block, with the memory that learning from label maps takes."""
    cost = UNKNOWN | schema(f"methods/{block['type']}").get("cost", {})
    return cost | {"training_memory": cost["training_memory"] + LABELS_MEMORY * learns_from_labels(block)}


def memory_mb(by_million: float, grid: Mapping, attempt: int) -> int:
    """Return the memory to ask for, in MB: it grows with the grid and, after a failure, with the attempt."""
    return ceil((BASE_MB + by_million * million_voxels(grid)) * attempt)


def runtime_minutes(seconds: float, attempt: int) -> int:
    """Time to ask for, in minutes: twice what is expected and a quarter of an hour, times the attempt."""
    return ceil((2 * seconds / 60 + 15) * attempt)


def pairs_a_job(pair_seconds: float, minutes: float, pairs: int = 0) -> int:
    """Return the number of unordered pairs for a job of that length: those between two groups of `SIDES` subjects.

    Where ``pairs``, all that there are, would be more than `MANY_JOBS` jobs, each is longer, up to `LONGER` times.
    """
    sizes = [side**2 for side in SIDES]
    wished, longest = (
        max((size for size in sizes if size * pair_seconds <= 60 * limit), default=1)
        for limit in (minutes, LONGER * minutes)
    )
    few = next((size for size in sizes if size * MANY_JOBS >= pairs), sizes[-1])
    return max(wished, min(few, longest))


def read_costs(path: str | Path) -> dict:
    """Read what `smgicnet plan` measured: ``{"pair_seconds": {DATASET: {METHOD: s}}, ...}``, or nothing.

    Raises `InputError` for a damaged file.
    """
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise InputError(path, f"not readable ({error})", "Delete it; `smgicnet plan` writes it anew") from None


def pair_seconds(name: str, cost: Mapping, dataset: str, grid: Mapping, measured: Mapping) -> float:
    """Return the seconds to register and score an unordered pair, both directions: measured, or else from ``cost``."""
    found = measured.get("pair_seconds", {}).get(dataset, {}).get(name)
    return cost["pair_seconds"] * million_voxels(grid) if found is None else found


class JobSizes:
    """The number of pairs that a job of each method takes in a dataset; decided once and kept beside the cohort.

    Another machine, profile or measurement then changes no job that has run. ``size``: of every method, where the
    config says so. The file is written by `keep`, when a run starts.
    """

    def __init__(self, path: str | Path, size: int | None):
        self._path, self._size, self._new = Path(path), size, {}
        self._kept = self._read()

    def _read(self) -> dict[str, int]:
        try:
            kept = json.loads(self._path.read_text())
            if not all(isinstance(size, int) and size > 0 for size in kept.values()):
                raise ValueError("a number of pairs is a whole number above 0")
        except FileNotFoundError:
            return {}
        except (ValueError, AttributeError) as error:
            raise InputError(
                self._path, f"not readable ({error})", "Restore it; without it pairs may be registered again"
            ) from None
        return kept

    def pairs(self, name: str, seconds: float, minutes: float, count: int = 0) -> int:
        """Return the pairs a job of method ``name``, which takes ``seconds`` a pair and has ``count`` pairs in all."""
        if self._size is not None:
            return self._size
        if name not in self._kept:
            self._new[name] = self._kept[name] = pairs_a_job(seconds, minutes, count)
        return self._kept[name]

    def keep(self) -> None:
        """Write what is new."""
        if self._new:
            write_text(self._path, json.dumps({**self._read(), **self._new}, indent=2) + "\n")
            self._new = {}
