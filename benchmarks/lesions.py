"""What a lesion costs a registration, and its mask gives back: dark spheres in one of two twins with a known map.

``python -m benchmarks.lesions results/TWINS/cohort/participants.tsv OUT``: for every two twins of one person of a split
a sphere of the moving one is made as dark as fluid, left or right above the middle, and the pair is registered as it
was, with the lesion, and with the lesion and its mask.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from nibabel.affines import apply_affine

from benchmarks.registration import Bench, Person, read_people, ring, scored
from smgicnet.imaging.displacements import grid_points
from smgicnet.imaging.images import read_image, write_volume

PLACES = {"right": (28.0, 8.0, 18.0), "left": (-28.0, 8.0, 18.0)}  # of the spheres' centres, mm from the brain's
RADIUS = 16.0  # mm
FLUID = 3  # the percentile of a brain's intensities that is as dark as its fluid
WAYS = ("without", "with it", "masked")


def with_lesion(person: Person, place: str, out: Path) -> tuple[Person, Path]:
    """A person whose image has a lesion at a place, and the lesion's mask."""
    image = read_image(person.image)
    brain = image.data > 0
    centre = apply_affine(image.affine, np.argwhere(brain).mean(0)) + np.array(PLACES[place])
    away = np.linalg.norm(grid_points(image.data.shape, image.affine) - centre, axis=-1)
    hole = (away < RADIUS) & brain
    data = np.where(hole, np.percentile(image.data[brain], FLUID), image.data).astype(np.float32)
    name = f"{person.scored.name}-{place}"
    write_volume(out / f"{name}.nii.gz", data, image.affine)
    write_volume(out / f"{name}-mask.nii.gz", hole.astype(np.uint8), image.affine)
    return replace(person, image=out / f"{name}.nii.gz", change=f"-{place}"), out / f"{name}-mask.nii.gz"


def registered(fixed: Person, moving: Person, quality: str, out: Path, *more: str) -> dict[str, float]:
    """The scores of a pair, registered by the command line to a folder."""
    bench = Bench(out, 1)
    folder = bench.folder("default", fixed, moving)
    given = ["--fixed", str(fixed.image), "--moving", str(moving.image), "--out", str(folder), "--quality", quality]
    command = [sys.executable, "-m", "smgicnet.cli", "register", *given, *more]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return scored(bench.displacement("default", fixed, moving), fixed, moving)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("participants", type=Path, help="participants.tsv of twins at full resolution")
    parser.add_argument("out", type=Path, help="a folder for the results")
    parser.add_argument("--split", default="val")
    parser.add_argument("--quality", default="default")
    arguments = parser.parse_args()
    people, rows = read_people(arguments.participants, arguments.split), []
    for fixed, moving in ring(people):
        pair = people[fixed], people[moving]
        plain = registered(*pair, arguments.quality, arguments.out / "without")
        for place in PLACES:
            ill, mask = with_lesion(pair[1], place, arguments.out)
            found = [plain, registered(pair[0], ill, arguments.quality, arguments.out / "with")]
            masked = arguments.out / "masked"
            found.append(registered(pair[0], ill, arguments.quality, masked, "--mask-moving", str(mask)))
            for way, one in zip(WAYS, found, strict=True):
                row = {"lesion": way, "EPE (mm)": one["endpoint_error_mm"], "Dice": one["dice"]}
                rows.append({"fixed": fixed, "moving": moving, "place": place, **row})
                print(" ".join(map(str, rows[-1].values())), flush=True)
            pd.DataFrame(rows).to_csv(arguments.out / "lesions.csv", index=False)
    means = pd.DataFrame(rows).groupby("lesion", sort=False)[["EPE (mm)", "Dice"]].mean()
    print(f"\n{means.round(3).to_markdown()}\n\nIn {arguments.out}: lesions.csv")


if __name__ == "__main__":
    main()
