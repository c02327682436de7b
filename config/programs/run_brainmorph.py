"""BrainMorph by its own script, and displacements from its grid: ``run_brainmorph.py FIXED MOVING FOLDER``.

The script brings both images to 1 mm and to 256 voxels along each axis by torchio. For each voxel of the fixed one, its
grid holds the place in the moving one in PyTorch's convention: from -1 to 1 between the borders, the last axis first.
The environment variable BRAINMORPH is the folder of a clone, whose ``weights`` are fetched at the first use.
"""

import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import torchio
from nibabel.affines import apply_affine

SIZE, ALIGNMENT = 256, "tps_1"


def network_grid(path: str) -> np.ndarray:
    """Return the affine map from voxels to RAS mm of an image as BrainMorph's script gives it to its network."""
    steps = [torchio.ToCanonical(), torchio.Resample(1), torchio.CropOrPad((SIZE, SIZE, SIZE))]
    return torchio.Compose(steps)(torchio.ScalarImage(path)).affine


def main(fixed: str, moving: str, folder: Path) -> None:
    """Register two images and write ``warp.nii.gz``, RAS displacements in mm, into ``folder``."""
    clone = Path(os.environ["BRAINMORPH"])
    options = ["--num_keypoints", "256", "--num_levels_for_unet", "4", "--list_of_aligns", ALIGNMENT]
    options += ["--list_of_metrics", "mse", "--save_eval_to_disk", "--save_dir", str(folder / "all")]
    options += ["--weights_dir", str(clone / "weights"), "--download"]
    script = [sys.executable, str(clone / "scripts/register.py"), "--fixed", fixed, "--moving", moving]
    subprocess.run([*script, *options], check=True)
    [path] = (folder / "all").rglob(f"grid_*-{ALIGNMENT}.npy")
    affine, image = network_grid(fixed), nib.load(fixed)
    corners = np.stack(np.meshgrid(*[(0, n - 1) for n in image.shape[:3]]), -1).reshape(-1, 3)
    inside = apply_affine(np.linalg.inv(affine) @ image.affine, corners)  # the rest of the grid is padding
    low = np.clip(np.floor(inside.min(axis=0)).astype(int), 0, SIZE - 2)
    high = np.clip(np.ceil(inside.max(axis=0)).astype(int) + 1, low + 2, SIZE)
    grid = np.load(path, mmap_mode="r")[tuple(map(slice, low, high))]
    places = ((grid[..., ::-1] + 1) * SIZE - 1) / 2  # voxels of the moving image
    voxels = np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij"), -1)
    displacement = apply_affine(network_grid(moving), places) - apply_affine(affine, voxels)
    affine[:3, 3] = apply_affine(affine, low)
    nib.save(nib.Nifti1Image(displacement.astype(np.float32), affine), folder / "warp.nii.gz")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
