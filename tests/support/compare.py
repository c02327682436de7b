"""What of a run is not as in another one, but for what a clock or the memory decides."""

import filecmp
import sys
from pathlib import Path

import pandas as pd

TIMES = ("seconds", "affine_seconds", "peak_memory_mib")
IMAGES = ("*/cohort/**/*.nii*", "*/raw/subjects/**/*.nii*", "*/affine/subjects/**/*.nii*", "*/steps/**/*.nii.gz")
BYTES = (*IMAGES, "**/weights.pt", "**/shown/*.gz", "*/robustness/subjects/**/*.nii*")
NEEDED = ("**/weights.pt", "**/metrics.csv.gz", "*/tables/table1.csv")
TABLES = (*NEEDED[1:], "**/robustness.csv.gz")


def timeless(path):
    """A table with a row a number, without those rows."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    return table[~table["metric"].isin(TIMES)].reset_index(drop=True)


def differences(run, reference):
    """Results of ``reference`` that are missing or others in ``run``, both folders with ``results`` in them.

    Images, fields and weights to the byte, metrics and Table 1 to the digit. Raises ``AssertionError`` when the
    reference has nothing to compare.
    """
    found = {pattern: sorted(reference.glob(f"results/{pattern}")) for pattern in (*BYTES, *TABLES)}
    assert all(found[pattern] for pattern in NEEDED), f"{reference}: no weights, metrics, Table 1"
    other = []
    for pattern, paths in found.items():
        for path in paths:
            twin = run / path.relative_to(reference)
            same = twin.is_file() and (
                filecmp.cmp(twin, path, shallow=False) if pattern in BYTES else timeless(twin).equals(timeless(path))
            )
            if not same:
                other.append(str(path.relative_to(reference)))
    return other


if __name__ == "__main__":  # python -m tests.support.compare RUN REFERENCE
    others = differences(Path(sys.argv[1]), Path(sys.argv[2]))
    print("\n".join([*others, f"{len(others)} results differ, times and memory apart"]))
    sys.exit(bool(others))
