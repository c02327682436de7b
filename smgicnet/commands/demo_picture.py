"""The demo's first picture: two scans and their registration, by a program of its own that runs beside the workflow."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine

from smgicnet.cohort.participants import SPLITS
from smgicnet.cohort.phantom import PhantomConfig, PhantomSubject, make_phantom
from smgicnet.cohort.sources import recipe
from smgicnet.commands.api import Registration, register
from smgicnet.config.building import build
from smgicnet.config.schemas import fill, schema
from smgicnet.core.files import atomic_path
from smgicnet.imaging.displacements import apply_field
from smgicnet.imaging.images import write_volume
from smgicnet.publication.figures.overview import SCREEN_DPI

SEED = 1  # that of the default config, whose first two test subjects these are
FOLLOWED = 20  # one of so many voxels of the fixed brain is followed to its true place


def draw_pair(folder: Path, *, quality: str = "fast", threads: int | None = None) -> dict[str, float | str]:
    """Make two people, register the second one to the first by the weights that come with the package, and draw it.

    Writes ``fixed.nii.gz``, ``moving.nii.gz``, ``warped.nii.gz`` and ``picture.png`` into ``folder``. Returns what is
    known: ``picture``, ``verdict``, and ``before_mm`` and ``after_mm``, the mean distance of the fixed brain's points
    from where they truly are in the moving one, before and after.
    """
    source = {"kind": "phantom", "seed": SEED}
    fill(source, schema("sources/phantom"))
    config, subjects = build(PhantomConfig, recipe(source)), source["subjects"]
    first = sum(subjects[split] for split in SPLITS if split != "test")
    people = [make_phantom(first + number, config) for number in range(2)]
    files = [folder / f"{name}.nii.gz" for name in ("fixed", "moving")]
    for path, person in zip(files, people):
        write_volume(path, person.image.data, person.image.affine)
    if threads:
        import torch

        torch.set_num_threads(threads)
    found = register(*files, quality=quality)
    write_volume(folder / "warped.nii.gz", found.warped.get_fdata(dtype=np.float32), found.warped.affine)
    with atomic_path(folder / "picture.png") as part:
        found.picture().savefig(part, dpi=SCREEN_DPI)
    before, after = true_errors(*people, found)
    facts = {"before_mm": before, "after_mm": after, "verdict": str(found.verdict)}
    return {"picture": str(folder / "picture.png"), **facts}


def true_errors(fixed: PhantomSubject, moving: PhantomSubject, found: Registration) -> tuple[float, float]:
    """Return the mean distance in mm from the true place, before and after, of points of the fixed brain."""
    inside = np.argwhere(fixed.labels.data > 0)[::FOLLOWED]
    points = apply_affine(fixed.labels.affine, inside)
    truth = apply_field(moving.from_template, apply_field(fixed.to_template, points))
    led = found.transform.points(points)
    before, after = (float(np.linalg.norm(places - truth, axis=1).mean()) for places in (points, led))
    return before, after


if __name__ == "__main__":
    print(json.dumps(draw_pair(Path(sys.argv[1]), threads=int(sys.argv[2]))))
