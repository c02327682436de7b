"""greedy (PICSL): an affine with a search of 500 rotations, then NCC down to the images' own resolution.

The settings are those of greedy's documentation for brains (https://greedy.readthedocs.io), with a wider search, as
heads lie in any pose here.
"""

import sys
from pathlib import Path

import numpy as np
from picsl_greedy import Greedy3D
from scipy.io import savemat

fixed, moving, folder, threads = sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4]
greedy, images = Greedy3D(), f"-d 3 -threads {threads} -i {fixed} {moving}"
greedy.execute(
    f"{images} -a -dof 12 -m NCC 4x4x4 -o {folder}/affine.txt -ia-image-centers -n 100x50x10 -search 500 30 20"
)
greedy.execute(
    f"{images} -m NCC 2x2x2 -it {folder}/affine.txt -o {folder}/warp.nii.gz -oinv {folder}/inverse.nii.gz "
    "-n 100x100x50x20 -s 1.732vox 0.707vox"
)
flip = np.diag([-1, -1, 1, 1])  # greedy's matrix is of RAS mm, ITK's of LPS mm
matrix = flip @ np.loadtxt(folder / "affine.txt") @ flip
parameters = np.concatenate([matrix[:3, :3].ravel(), matrix[:3, 3]])[:, None]
savemat(folder / "affine.mat", {"AffineTransform_double_3_3": parameters, "fixed": np.zeros((3, 1))}, format="4")
