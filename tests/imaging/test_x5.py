"""NiTransforms' X5 files: an affine map, a dense field, and a chain of both, in the layout that nitransforms writes."""

import h5py
import numpy as np
import pytest
from nibabel.affines import apply_affine

from smgicnet.core.errors import InputError
from smgicnet.imaging.displacements import apply_field, grid_points
from smgicnet.imaging.images import Volume
from smgicnet.imaging.transform_chain import read_transforms, through
from tests.support.grids import affine

MATRIX = affine((1.1, 0.9, 1), (1, 1, 1), 20)
PLACE = affine((3, 2, 4), (-1, 1, 1), 15)
SHAPE = (8, 9, 7)
POINTS = apply_affine(PLACE, np.random.default_rng(1).uniform(1, 5, (20, 3)))
FIELD = np.random.default_rng(2).normal(0, 3, (*SHAPE, 3))


def write_x5(path, nodes, chain=None, form="X5"):
    """Nodes are matrices, or fields ``(X, Y, Z, 3)`` with how they are represented."""
    with h5py.File(path, "w") as file:
        file.attrs["Format"], file.attrs["Version"] = form, np.uint16(1)
        groups = file.create_group("TransformGroup")
        for number, node in enumerate(nodes):
            group = groups.create_group(str(number))
            linear = isinstance(node, np.ndarray)
            data, kind = (node, "matrix") if linear else node
            attributes = {"Type": "linear" if linear else "nonlinear", "ArrayLength": 1, "Representation": kind}
            group.attrs.update(attributes | {"SubType": "affine" if linear else "densefield"})
            group.create_dataset("Transform", data=data)
            group.create_dataset("DimensionKinds", data=np.asarray(["space"] * 3 + ["vector"], dtype="S"))
            domain = group.create_group("Domain")
            domain.create_dataset("Grid", data=np.uint8(1))
            domain.create_dataset("Size", data=np.array(SHAPE))
            domain.create_dataset("Mapping", data=PLACE)
        if chain:
            file.create_group("TransformChain").create_dataset("0", data=np.bytes_(chain))
    return path


def led(path):
    return through(read_transforms([path], None, None), POINTS)


def test_an_affine_map_and_its_inverse(tmp_path):
    path = write_x5(tmp_path / "a.x5", [MATRIX])
    np.testing.assert_allclose(led(path), apply_affine(MATRIX, POINTS))
    np.testing.assert_allclose(led(f"[{path},1]"), apply_affine(np.linalg.inv(MATRIX), POINTS))


@pytest.mark.parametrize("kind", ["displacements", "deformations"])
def test_a_field_of_either_representation(tmp_path, kind):
    data = FIELD if kind == "displacements" else FIELD + grid_points(SHAPE, PLACE)
    path = write_x5(tmp_path / "f.x5", [(data, kind)])
    np.testing.assert_allclose(led(path), apply_field(Volume(FIELD, PLACE), POINTS), atol=1e-4)


def test_a_chain_in_its_own_order(tmp_path):
    path = write_x5(tmp_path / "c.x5", [MATRIX, (FIELD, "displacements")], chain="1/0")
    np.testing.assert_allclose(led(path), apply_affine(MATRIX, apply_field(Volume(FIELD, PLACE), POINTS)), atol=1e-4)


@pytest.mark.parametrize(
    ("write", "problem"),
    [
        (lambda path: path.write_bytes(b"nothing"), "not an X5 file"),
        (lambda path: write_x5(path, [MATRIX], form="other"), "its format is not X5"),
        (lambda path: write_x5(path, [MATRIX, MATRIX]), "it holds 2 transforms and no chain"),
        (lambda path: write_x5(path, [np.zeros((4, 4))]), "not finite and invertible"),
        (lambda path: write_x5(path, [np.zeros((2, 4, 4))]), "it holds a linear affine transform of shape"),
        (lambda path: write_x5(path, [(FIELD * np.nan, "displacements")]), "values that are not finite"),
        (lambda path: write_x5(path, [MATRIX], chain="0/7"), "not an X5 file"),
    ],
)
def test_what_cannot_be_used_says_why(tmp_path, write, problem):
    write(tmp_path / "x.x5")
    with pytest.raises(InputError, match=rf"x\.x5: .*{problem}"):
        led(tmp_path / "x.x5")
