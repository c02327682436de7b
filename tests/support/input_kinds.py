"""Every kind of input file crossed with orientations, voxel sizes, containers and types."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

RADII = np.array([24.0, 28, 22])  # mm, of a small brain
CENTRE = np.array([6.0, -11, 17])
ORIENTATIONS = ("RAS", "LAS", "LPS", "RPI", "LIA", "PSR", "ASL", "SPL", "RAS oblique", "LPS oblique")
SIZES = ((0.5, 0.5, 0.5), (1.0, 1.0, 1.0), (1.0, 1.0, 6.0), (0.9, 0.9, 1.2))
CONTAINERS = ("nii", "nii.gz", "hdr/img", "mgz", "NIfTI-2", "big-endian")
TYPES = ("uint8", "int16", "uint16", "int32", "float32", "float64")


@dataclass(frozen=True)
class Kind:
    """A kind of file; ``refused``: what every command has to say of it, or "" where it is to be read right."""

    name: str
    refused: str = ""
    containers: tuple[str, ...] = CONTAINERS
    types: tuple[str, ...] = TYPES
    ants_reads: bool = True


NIFTI = tuple(one for one in CONTAINERS if one != "mgz")
KINDS = (
    Kind("plain"),
    Kind("sform alone", containers=NIFTI),
    Kind("qform alone", containers=NIFTI),
    Kind("forms differ by rounding", containers=NIFTI),
    Kind("micrometres", containers=NIFTI),
    Kind("metres", containers=NIFTI),
    Kind("scaled integers", containers=NIFTI, types=("int16", "uint16")),
    Kind("axes of one voxel", containers=NIFTI),
    Kind("z-scored on 0", types=("float32", "float64")),
    Kind("sheared sform alone", containers=NIFTI, ants_reads=False),
    Kind("forms contradict", "contradicts itself", NIFTI),
    Kind("pixdim contradicts", "contradicts itself", NIFTI),
    Kind("both codes 0", "which side is left", NIFTI),
    Kind("complex", "complex", NIFTI, ("complex64",)),
    Kind("colours", "colours", NIFTI, ("rgb",)),
    Kind("one slice", "3D volume"),
    Kind("two slices", "3D volume"),
    Kind("NaN", "NaN", types=("float32", "float64")),
)
RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


@dataclass(frozen=True)
class Case:
    """One combination; ``number`` seeds nothing and names its folder."""

    number: int
    kind: Kind
    orientation: str
    size: tuple[float, float, float]
    container: str
    dtype: str

    def __str__(self) -> str:
        size = " x ".join(f"{step:g}" for step in self.size)
        return f"{self.kind.name}, {self.orientation}, {size} mm, {self.container}, {self.dtype}"


def cases() -> Iterator[Case]:
    """Every kind with every orientation and voxel size; containers and types take turns within them."""
    for number, (kind, orientation, size) in enumerate(product(KINDS, ORIENTATIONS, SIZES)):
        turn = number % (len(ORIENTATIONS) * len(SIZES)) + KINDS.index(kind)
        container = kind.containers[turn % len(kind.containers)]
        types = [one for one in kind.types if container != "mgz" or one in ("uint8", "int16", "int32", "float32")]
        yield Case(number, kind, orientation, size, container, types[turn // len(kind.containers) % len(types)])


def head(points: np.ndarray, bend: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Intensity (0 to 250) and label of the head at world points ``(..., 3)`` in RAS mm."""
    moved = (points - CENTRE + bend * np.sin(points[..., [1, 2, 0]] / 20)) / RADII
    radius, left = np.linalg.norm(moved, axis=-1), moved[..., 0] < 0
    nucleus = np.linalg.norm((moved - [0, 0.1, 0]) * [1, 1.4, 1], axis=-1) < 0.3
    brain = radius < 1
    kinds = [brain & nucleus, brain & (radius < 0.75), brain]
    labels = np.select(kinds, [np.where(left, 10, 49), np.where(left, 2, 41), np.where(left, 3, 42)], 0)
    values = np.select(kinds, [150.0, 220, 120], 0) + brain * 20 * np.sin(points[..., 1] / 9)
    return np.where(brain, values, 0), labels


def grid(orientation: str, size: tuple[float, ...], shear: float = 0.0) -> tuple[tuple[int, ...], np.ndarray]:
    """Shape and affine of a grid around the head, whose third axis has the third size."""
    codes, oblique = orientation.split()[0], orientation.endswith("oblique")
    matrix = np.eye(4)
    for axis, code in enumerate(codes):
        row = next(i for i, pair in enumerate(("LR", "PA", "IS")) if code in pair)
        matrix[:3, axis] = np.eye(3)[row] * (1 if code in "RAS" else -1) * size[axis]
    if oblique:
        matrix[:3, :3] = Rotation.from_euler("xyz", [12, -9, 15], degrees=True).as_matrix() @ matrix[:3, :3]
    matrix[:3, 0] += shear * matrix[:3, 1]
    extent = np.abs(np.linalg.inv(matrix[:3, :3])) @ (2 * RADII + 16)
    shape = tuple(int(n) for n in np.ceil(extent))
    matrix[:3, 3] = CENTRE + np.array([1, 2, -1]) - matrix[:3, :3] @ ((np.array(shape) - 1) / 2)
    return shape, matrix


def write(case: Case, folder: Path) -> tuple[Path, Path, Path, Path]:
    """The image and the label map of a case, and plain copies of both for ANTs where it cannot read the case's own."""
    shape, affine = grid(case.orientation, case.size, 0.2 if case.kind.name.startswith("sheared") else 0.0)
    points = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    intensities, labels = head(apply_affine(affine, points))
    if case.kind.name == "z-scored on 0":
        inside = intensities > 0
        spread = (intensities - intensities[inside].mean()) / intensities[inside].std()
        intensities = np.where(inside, spread, 0)
    slices = {"one slice": 1, "two slices": 2}.get(case.kind.name)
    if slices:
        intensities, labels = (data[:, :, shape[2] // 2 :][:, :, :slices] for data in (intensities, labels))
    if case.kind.name == "NaN":
        intensities[0, 0, 0] = np.nan
        labels = labels.astype(np.float32)
        labels[0, 0, 0] = np.nan
    paths = []
    for name, data in (("image", intensities), ("labels", labels)):
        paths.append(_save(case, folder / name, data, affine))
    for name, data in (("plain-image", intensities), ("plain-labels", labels)):
        image = nib.Nifti1Image(np.nan_to_num(data).astype(np.float32), affine)
        image.set_qform(affine, 1)
        paths.append(folder / f"{name}.nii.gz")
        nib.save(image, paths[-1])
    return tuple(paths)


def _save(case: Case, stem: Path, data: np.ndarray, affine: np.ndarray) -> Path:
    name = case.kind.name
    if name == "axes of one voxel":
        data = data[..., None, None]
    if case.dtype == "rgb":
        stored = np.zeros(data.shape, RGB)
        stored["R"] = data
    elif case.dtype == "complex64":
        stored = data.astype(np.complex64)
    elif name == "scaled integers":
        stored = data.astype(np.float64)
    else:
        stored = data.astype(case.dtype)
    if case.container == "mgz":
        path = stem.with_suffix(".mgz")
        kept = stored if stored.dtype.name in ("uint8", "int16", "int32", "float32") else stored.astype(np.float32)
        nib.save(nib.MGHImage(np.ascontiguousarray(kept), affine), path)
        return path
    two = case.container == "NIfTI-2"
    kinds = (nib.Nifti2Image, nib.Nifti2Header) if two else (nib.Nifti1Image, nib.Nifti1Header)
    if case.container == "hdr/img":
        kinds = nib.Nifti1Pair, nib.nifti1.Nifti1PairHeader
    header = kinds[1](endianness=">" if case.container == "big-endian" else "<")
    if name == "scaled integers":
        header.set_data_dtype(np.dtype(case.dtype))
    else:
        header.set_data_dtype(stored.dtype)
    factor = {"micrometres": 1e3, "metres": 1e-3}.get(name, 1.0)
    scaled = np.diag([factor, factor, factor, 1.0]) @ affine
    image = kinds[0](stored, scaled, header)
    image.header.set_xyzt_units({"micrometres": "micron", "metres": "meter"}.get(name, "mm"))
    image.set_sform(scaled, 1 if name not in ("qform alone", "both codes 0") else 0)
    form = scaled.copy()
    if name == "forms contradict":
        form[:3, :3] = Rotation.from_euler("z", 6, degrees=True).as_matrix() @ form[:3, :3]
    if name == "forms differ by rounding":
        form[:3, 3] += 0.02 * min(case.size)
    image.set_qform(
        form, 1 if name not in ("sform alone", "sheared sform alone", "both codes 0", "pixdim contradicts") else 0
    )
    if name == "pixdim contradicts":
        image.header["pixdim"][1:4] = [1.7, 1.7, 1.7]
    path = stem.with_suffix({"nii": ".nii", "hdr/img": ".hdr"}.get(case.container, ".nii.gz"))
    nib.save(image, path)
    return path
