"""How far may a head be turned? ``smgicnet register`` on a pair whose moving scan is turned more and more.

``python -m benchmarks.poses --fixed F.nii.gz --moving M.nii.gz [--fixed-labels A --moving-labels B]``: for each angle,
about the left-right axis (a nod) and about the axis of the neck, the correlation with the fixed image within its brain
or, with label maps, the mean Dice. The quality is ``fast``, so that nothing is refined beyond the network's grid.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from nibabel.affines import from_matvec
from scipy.spatial.transform import Rotation

from smgicnet.commands.register import register_images
from smgicnet.commands.registering import Settings
from smgicnet.commands.score import score_transforms
from smgicnet.core.shipped import DEFAULT, find_weights
from smgicnet.imaging.displacements import grid_points, sample
from smgicnet.imaging.foreground import background_level
from smgicnet.imaging.images import read_image, write_volume
from smgicnet.preparation.preprocessing import resample
from smgicnet.scoring.statistics import pair_mean

SPACING = 2  # mm
AXES = {"nod": "x", "neck": "z"}  # of the world, RAS


def turned(path: Path, axis: str, degrees: float, out: Path, *, order: int) -> Path:
    """The image (``order`` 1) or label map (0) of ``path``, its content turned about its centre, on a grid of `SPACING`
    with room for that.

    Not the header alone: `register` follows the axes of the voxels, and a turned header is no turned head to it.
    """
    volume = read_image(path)
    extent, step = np.array(volume.data.shape), SPACING / volume.spacing
    shape = np.ceil(1.5 * extent / step).astype(int)
    affine = volume.affine @ from_matvec(np.diag(step), (extent - 1) / 2 - step * (shape - 1) / 2)
    centre = (volume.affine @ [*(extent - 1) / 2, 1])[:3]
    rotation = Rotation.from_euler(axis, degrees, degrees=True).as_matrix()
    back = from_matvec(rotation.T, centre - rotation.T @ centre)
    data = resample(volume, back @ affine, tuple(shape), order=order, fill=background_level(volume.data))
    write_volume(out, data, affine)
    return out


def correlation(fixed: Path, warped: Path) -> float:
    """Within the fixed image's brain; ``warped`` on any grid."""
    image, other = read_image(fixed), read_image(warped)
    brain = image.data > background_level(image.data)
    inside = sample(other, grid_points(image.data.shape, image.affine))[brain]
    return float(np.corrcoef(image.data[brain], inside)[0, 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("fixed", "moving"):
        parser.add_argument(f"--{name}", type=Path, required=True, help="a skull-stripped scan")
        parser.add_argument(f"--{name}-labels", type=Path, help="its label map, for Dice")
    parser.add_argument("--degrees", type=float, nargs="+", default=[0, 10, 20, 30, 40, 60])
    parser.add_argument(
        "--refine", type=int, nargs="+", default=[0, 25], help="iterations at 4 mm; several are compared"
    )
    parser.add_argument("--weights", default=DEFAULT, help="by default those that come with the package")
    arguments = parser.parse_args()
    weights = find_weights(arguments.weights)
    what = "Dice" if arguments.moving_labels else "correlation"
    columns = ["as they lie", *(f"{n} iterations" for n in arguments.refine)]
    print(f"| axis | degrees | {what}, {' | '.join(columns)} |\n|{'---|' * (2 + len(columns))}")
    for axis, degrees in ((axis, degrees) for axis in AXES for degrees in arguments.degrees):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            moving = turned(arguments.moving, AXES[axis], degrees, folder / "moving.nii.gz", order=1)
            labels = arguments.moving_labels
            labels = labels and turned(labels, AXES[axis], degrees, folder / "labels.nii.gz", order=0)

            def judged(out: Path | None, moving=moving, labels=labels) -> float:
                if labels:
                    field = [out / "displacement.nii.gz"] if out else []
                    pair = arguments.fixed_labels, labels
                    return pair_mean(score_transforms(*pair, field), "dice", *map(str, pair))
                return correlation(arguments.fixed, out / "warped.nii.gz" if out else moving)

            values = [judged(None)]
            for iterations in arguments.refine:
                out = folder / str(iterations)
                register_images(arguments.fixed, moving, weights, out, Settings("fast", iterations))
                values.append(judged(out))
            print(f"| {axis} | {degrees:g} | {' | '.join(f'{value:.3f}' for value in values)} |", flush=True)


if __name__ == "__main__":
    main()
