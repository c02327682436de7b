"""What each stage of the refinement gives, and what it costs: the shipped weights with more and more of them.

``python -m benchmarks.stages results/DATASET/cohort/participants.tsv OUT``: the pairs of `benchmarks.registration` are
registered with each of `forms`, in one process. A row is kept for each pair and form in ``OUT/stages.csv``; what is
there is not run again. CPU seconds are those of the registration alone, with both displacements.
"""

from __future__ import annotations

import argparse
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from nibabel.affines import apply_affine

from benchmarks.registration import Person, read_people, ring, scored
from smgicnet.commands.native_fields import Pair, register_pair
from smgicnet.config.qualities import qualities
from smgicnet.core.provenance import hardware
from smgicnet.core.shipped import DEFAULT, find_weights
from smgicnet.imaging.displacements import apply_field
from smgicnet.imaging.field_formats import header_geometry, written_geometry
from smgicnet.imaging.images import Volume, read_scan
from smgicnet.methods.device import to_device
from smgicnet.methods.weights import read_weights
from smgicnet.preparation.preprocessing import prepare

COLUMNS = {
    "dice": "Dice",
    "dice_ventricles": "ventricles",
    "dice_deep": "deep",
    "dice_hindbrain": "hindbrain",
    "dice_cerebrum": "cerebrum",
    "endpoint_error_mm": "EPE (mm)",
    "ndv_percent": "NDV (%)",
    "there_and_back_mm": "there and back (mm)",
    "cpu_s": "CPU s",
}
DECIMALS = {"ndv_percent": 4, "endpoint_error_mm": 2, "cpu_s": 0}


def forms() -> dict[str, dict[str, Any]]:
    """The block ``refinement`` of each form, by its name in the table."""
    best = qualities()["best"]

    def with_stages(count: int, **changes: Any) -> dict[str, Any]:
        """The first stages of `best`, the last of which is changed."""
        block = deepcopy(best)
        block["detail"] = block["detail"][:count]
        if count:
            block["detail"][-1] |= changes
        return block

    without = deepcopy(with_stages(2))
    for stage in without["detail"]:
        stage["tissues"] = 0
    return {
        "the network": qualities()["fast"],
        "and 10 iterations at 4 mm": with_stages(0),
        "then 10 on images of 2 mm, by images alone": with_stages(1, tissues=0),
        "the same, with tissues": with_stages(1),
        "then 6 on images of 1 mm, velocity at 2 mm (`default`)": with_stages(2),
        "12 instead of 6": with_stages(2, iterations=12),
        "`default` by images alone": without,
        "then 8 with a velocity at 1 mm (`best`)": with_stages(3),
    }


def registered(refinement: dict[str, Any], fixed: Person, moving: Person) -> dict[str, float]:
    """The scores of a pair and the registration's CPU seconds."""
    trained = read_weights(find_weights(DEFAULT))
    scans = [read_scan(person.image) for person in (fixed, moving)]
    pair = Pair(*(prepare(scan, None, trained.grid) for scan in scans))
    targets = [written_geometry(header_geometry(scan.header)) for scan in scans]
    method = to_device(trained.build({"refinement": refinement}))
    begun = time.process_time()
    there, back = register_pair(method, pair, targets).displacements
    used = time.process_time() - begun
    return {
        **scored(there, fixed, moving),
        "there_and_back_mm": there_and_back(there, back, fixed, moving),
        "cpu_s": used,
    }


def there_and_back(there: np.ndarray, back: np.ndarray, fixed: Person, moving: Person) -> float:
    """How far a point of the fixed brain comes back from where it was, on the mean in mm."""
    brain = fixed.scored.labels > 0
    start = apply_affine(fixed.scored.affine, np.argwhere(brain))
    end = apply_field(Volume(back, moving.scored.affine), start + there[brain])
    return float(np.linalg.norm(end - start, axis=1).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("participants", type=Path, help="participants.tsv of images at full resolution")
    parser.add_argument("out", type=Path, help="a folder for the results")
    parser.add_argument("--split", default="val")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    people, kept = read_people(arguments.participants, arguments.split), arguments.out / "stages.csv"
    rows = pd.read_csv(kept).to_dict("records") if kept.exists() else []
    done = {(row["form"], row["fixed"], row["moving"]) for row in rows}
    print(f"{len(ring(people))} pairs, {len(forms())} forms, on {hardware()}", flush=True)
    for fixed, moving in ring(people):
        for name, refinement in forms().items():
            if (name, fixed, moving) not in done:
                found = registered(refinement, people[fixed], people[moving])
                rows.append({"form": name, "fixed": fixed, "moving": moving, **found})
                print(f"{name}: {moving} to {fixed}: Dice {found['dice']:.4f}, {found['cpu_s']:.1f} CPU s", flush=True)
                pd.DataFrame(rows).to_csv(kept, index=False)
    means = pd.DataFrame(rows).groupby("form", sort=False).mean(numeric_only=True)
    shown = [key for key in COLUMNS if key in means and means[key].notna().any()]
    print("| | " + " | ".join(COLUMNS[key] for key in shown) + " |\n|---|" + "---|" * len(shown))
    for name, values in means.iterrows():
        print(f"| {name} | " + " | ".join(f"{values[key]:.{DECIMALS.get(key, 3)}f}" for key in shown) + " |")
    print(f"\nIn {kept}: a row for each pair and form")


if __name__ == "__main__":
    main()
