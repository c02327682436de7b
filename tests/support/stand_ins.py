"""Small programs of the command lines and files of programs that cannot be had here; each shifts by 10 mm to the left.

The command lines and layouts are those of the programs' documentation, which the blocks in ``config/programs`` name.
An argument that the program does not know is refused, as the program does.
"""

from __future__ import annotations

import sys
from pathlib import Path

LEFT = -10.0  # of the moving image's place, in RAS mm along x
_HEAD = """
import argparse, sys
from pathlib import Path
import h5py, nibabel as nib, numpy as np
from nibabel.affines import apply_affine
LEFT = {left}
parse = argparse.ArgumentParser(allow_abbrev=False)
def voxels(shape):
    return np.stack(np.meshgrid(*map(np.arange, shape[:3]), indexing="ij"), -1)
def shift(shape):
    return np.broadcast_to(np.array([LEFT, 0, 0], np.float32), (*shape, 3))
def save(array, affine, path, intent=0):
    image = nib.Nifti1Image(array.astype(np.float32), affine)
    image.header["intent_code"] = intent
    nib.save(image, path)
"""
_SYNTHMORPH = """
parse.add_argument("command", choices=["register"])
parse.add_argument("-m", choices=["joint", "deform", "affine", "rigid"], required=True)
parse.add_argument("-j", type=int)
parse.add_argument("-t", required=True)
parse.add_argument("moving")
parse.add_argument("fixed")
given = parse.parse_args()
nib.load(given.moving)
fixed = nib.load(given.fixed)
if given.m == "affine":  # from the moving volume's RAS to the fixed one's
    rows = [[1, 0, 0, -LEFT], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    matrix = "\\n".join(" ".join(map(str, row)) for row in rows)
    head = "type      = 1\\nnxforms   = 1\\nmean      = 0 0 0\\nsigma     = 1\\n1 4 4\\n"
    Path(given.t).write_text(head + matrix + "\\n")
else:
    save(shift(fixed.shape), fixed.affine, given.t, 1006)
"""
_EASYREG = """
for name in ("--ref", "--flo", "--ref_seg", "--flo_seg", "--fwd_field"):
    parse.add_argument(name, required=True)
parse.add_argument("--threads", type=int)
given = parse.parse_args()
fixed = nib.load(given.ref)
for image, segmentation in ((given.ref, given.ref_seg), (given.flo, given.flo_seg)):
    save(nib.load(image).get_fdata() > 0, nib.load(image).affine, segmentation)
save(apply_affine(fixed.affine, voxels(fixed.shape)) + shift(fixed.shape), fixed.affine, given.fwd_field)
"""
_UNIGRADICON = """
for name in ("--fixed", "--moving", "--transform_out", "--warped_moving_out"):
    parse.add_argument(name, required=True)
for name in ("--fixed_modality", "--moving_modality"):
    parse.add_argument(name, choices=["mri", "ct"], required=True)
given = parse.parse_args()
fixed, moving = nib.load(given.fixed), nib.load(given.moving)
nib.save(moving, given.warped_moving_out)
flip = np.diag([-1, -1, 1, 1.0])
affine = flip @ fixed.affine
spacing = np.linalg.norm(affine[:3, :3], axis=0)
with h5py.File(given.transform_out, "w") as file:  # a composite of one field, as ITK writes it
    group = file.create_group("TransformGroup")
    kinds = ["CompositeTransform_double_3_3", "DisplacementFieldTransform_double_3_3"]
    for number, kind in enumerate(kinds):
        group.create_dataset(f"{number}/TransformType", data=np.array([kind], dtype=h5py.string_dtype()))
    where = [*fixed.shape, *affine[:3, 3], *spacing, *(affine[:3, :3] / spacing).ravel()]
    group["1/TransformFixedParameters"] = np.array(where, float)
    field = (shift(fixed.shape) * [-1, -1, 1]).transpose(2, 1, 0, 3)
    group["1/TransformParameters"] = field.astype(float).ravel()
"""
_ALADIN = """
for name in ("-ref", "-flo", "-aff", "-res"):
    parse.add_argument(name, required=True)
given = parse.parse_args()
nib.save(nib.load(given.flo), given.res)
matrix = np.eye(4)
matrix[0, 3] = LEFT
np.savetxt(given.aff, matrix)
"""
_F3D = """
if sys.argv[1:] == ["--version"]:
    print("1.5.77")
    sys.exit()
for name in ("-ref", "-flo", "-aff", "-cpp", "-res"):
    parse.add_argument(name, required=True)
given = parse.parse_args()
np.savetxt(given.cpp, np.loadtxt(given.aff))  # the stand-in's own; the program's holds control points
nib.save(nib.load(given.flo), given.res)
"""
_TRANSFORM = """
parse.add_argument("-ref", required=True)
parse.add_argument("-disp", nargs=2, required=True)
given = parse.parse_args()
fixed = nib.load(given.ref)
places = apply_affine(np.loadtxt(given.disp[0]), apply_affine(fixed.affine, voxels(fixed.shape)))
save((places - apply_affine(fixed.affine, voxels(fixed.shape)))[:, :, :, None], fixed.affine, given.disp[1], 1007)
"""
_BRAINMORPH = """
import torchio
for name in ("--fixed", "--moving", "--weights_dir", "--save_dir"):
    parse.add_argument(name, required=True)
for name in ("--num_keypoints", "--num_levels_for_unet"):
    parse.add_argument(name, type=int, required=True)
for name in ("--list_of_metrics", "--list_of_aligns"):
    parse.add_argument(name, nargs="*")
for name in ("--save_eval_to_disk", "--download"):
    parse.add_argument(name, action="store_true")
given = parse.parse_args()
steps = [torchio.ToCanonical(), torchio.Resample(1), torchio.CropOrPad((256, 256, 256))]
affines = [torchio.Compose(steps)(torchio.ScalarImage(path)).affine for path in (given.fixed, given.moving)]
to_moving = np.linalg.inv(affines[1]) @ affines[0]
offset = to_moving[:3, 3] + np.linalg.inv(affines[1])[:3, 0] * LEFT
index = np.stack(np.meshgrid(*[np.arange(256, dtype=np.float32)] * 3, indexing="ij"), -1) + offset.astype(np.float32)
folder = Path(given.save_dir) / "eval_numkey256_numlevels4" / "0_0_fixed_moving"
folder.mkdir(parents=True)
name = f"grid_0-fixed_0-moving-rot0-{given.list_of_aligns[0]}.npy"
np.save(folder / name, ((2 * index + 1) / 256 - 1)[..., ::-1])
"""
# of torchio what BrainMorph's script makes of an image: its affine map on the network's grid, about the image's centre
_TORCHIO = """
import nibabel as nib, numpy as np
ToCanonical = CropOrPad = Resample = lambda *given: given
class ScalarImage:
    def __init__(self, path):
        image = nib.as_closest_canonical(nib.load(path))
        self.affine = np.eye(4)
        middle = image.affine @ [*((np.array(image.shape) - 1) / 2), 1]
        self.affine[:3, 3] = middle[:3] - 255 / 2
def Compose(steps):
    return lambda image: image
"""
PROGRAMS = {
    "mri_synthmorph": _SYNTHMORPH,
    "mri_easyreg": _EASYREG,
    "unigradicon-register": _UNIGRADICON,
    "reg_aladin": _ALADIN,
    "reg_f3d": _F3D,
    "reg_transform": _TRANSFORM,
}


def install_stand_ins(folder: Path) -> dict[str, str]:
    """Write all stand-ins into ``folder`` and return the environment variables with which they are found.

    BrainMorph is a folder ``brainmorph`` as its repository is, and torchio a module beside it that ``python`` finds.
    """
    head = _HEAD.format(left=LEFT)
    for name, text in PROGRAMS.items():
        _write(folder / name, f"#!{sys.executable}\n{head}{text}")
    _write(folder / "brainmorph/scripts/register.py", head + _BRAINMORPH)
    _write(folder / "modules/torchio.py", _TORCHIO)
    _write(folder / "python", f'#!/bin/sh\nPYTHONPATH="{folder}/modules" exec "{sys.executable}" "$@"\n')
    return {"PATH": f"{folder}:/usr/bin:/bin", "BRAINMORPH": str(folder / "brainmorph")}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
