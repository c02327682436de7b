"""Transforms in other files than images: what the programs that they are from make of them."""

import h5py
import nibabel as nib
import numpy as np
import pytest
from fsl.data.image import Image
from fsl.transform.flirt import toFlirt
from nibabel.affines import apply_affine

from smgicnet.core.errors import InputError
from smgicnet.imaging.field_formats import read_geometry
from smgicnet.imaging.lta import read_lta, write_lta
from smgicnet.imaging.transform_chain import displacement_of, read_transforms
from smgicnet.imaging.transform_files import read_itk_composite, read_itk_text
from tests.support.grids import PAIRS, affine, make_pair, save

ants = pytest.importorskip("ants", reason="antspyx is not installed")
LPS = np.array([-1, -1, 1])
FIRST = next(iter(PAIRS))
POINTS = np.random.default_rng(3).uniform(-60, 60, (20, 3))
LINEAR = {
    "AffineTransform": [1.1, 0.1, 0, -0.2, 0.9, 0.1, 0, 0.05, 1.2, 4, -5, 6],
    "MatrixOffsetTransformBase": [0.9, 0.2, 0.1, -0.2, 0.9, 0.1, 0, 0.05, 1.2, -4, 5, 6],
    "Euler3DTransform": [0.2, -0.4, 0.7, 4, -5, 6],
    "VersorRigid3DTransform": [0.2, -0.4, 0.3, 4, -5, 6],
    "Similarity3DTransform": [0.2, -0.4, 0.3, 4, -5, 6, 1.3],
    "TranslationTransform": [4, -5, 6],
}


def text_of(entries, centre=(3, -2, 9)):
    """ITK's text file of transforms, the last of which moves points first."""
    lines = ["#Insight Transform File V1.0"]
    for number, (kind, parameters) in enumerate(entries):
        fixed = [] if kind == "TranslationTransform" else centre
        lines += [f"#Transform {number}", f"Transform: {kind}_double_3_3"]
        lines += [f"Parameters: {' '.join(map(str, parameters))}", f"FixedParameters: {' '.join(map(str, fixed))}"]
    return "\n".join(lines) + "\n"


def moved(matrices, points=POINTS):
    for matrix in matrices:
        points = apply_affine(matrix, points)
    return points


def by_ants(transform, points=POINTS):
    return np.array([transform.apply_to_point(tuple(point)) for point in points * LPS]) * LPS


@pytest.mark.parametrize("kind", [kind for kind in LINEAR if kind != "TranslationTransform"])
def test_linear_transforms_in_text_move_points_as_ants_does(tmp_path, kind):
    path = tmp_path / "t.txt"
    for centre in ((3, -2, 9), (3, -2, 9, 1)) if kind == "Euler3DTransform" else ((3, -2, 9),):  # 1: angles as ZYX
        path.write_text(text_of([(kind, LINEAR[kind])], centre))
        np.testing.assert_allclose(moved(read_itk_text(path)), by_ants(ants.read_transform(str(path))), atol=1e-4)


def test_a_file_that_ants_writes_is_read(tmp_path):
    transform = ants.new_ants_transform(parameters=LINEAR["AffineTransform"], fixed_parameters=[3, -2, 9])
    for name in ("t.txt", "t.tfm"):
        ants.write_transform(transform, str(tmp_path / name))
        np.testing.assert_allclose(moved(read_itk_text(tmp_path / name)), by_ants(transform), atol=1e-4)


def test_of_several_transforms_in_text_the_last_moves_points_first(tmp_path):
    path = tmp_path / "t.tfm"
    entries = [
        ("Euler3DTransform", LINEAR["Euler3DTransform"]),
        ("TranslationTransform", LINEAR["TranslationTransform"]),
    ]
    path.write_text(text_of(entries))
    turn, shift = (read_itk_text(write(tmp_path, text_of([entry]))) for entry in entries)
    np.testing.assert_allclose(moved(read_itk_text(path)), moved([*shift, *turn]))


def write(folder, text):
    path = folder / "one.txt"
    path.write_text(text)
    return path


def test_ants_composite_is_applied_as_ants_does(tmp_path):
    pair = make_pair(FIRST, tmp_path)
    fixed, moving = (ants.image_read(str(path)) for path in pair.files)
    quick = {"aff_iterations": (20,), "aff_shrink_factors": (1,), "aff_smoothing_sigmas": (0,), "reg_iterations": (5,)}
    files = ants.registration(
        fixed, moving, "SyN", outprefix=str(tmp_path / "r"), write_composite_transform=True, **quick
    )
    path = files["fwdtransforms"]
    assert path.endswith(".h5")
    found = read_itk_composite(type(tmp_path)(path))
    assert [isinstance(part, np.ndarray) for part in found] == [False, True]
    grid = read_geometry(pair.files[0])
    ours = displacement_of(read_transforms([path], grid, read_geometry(pair.files[1])), grid)
    theirs = ants.apply_transforms(fixed, moving, [path]).numpy()
    index = apply_affine(np.linalg.inv(pair.moving.affine), pair.points + ours)
    inside = ((index > 0.01) & (index < np.array(pair.moving.data.shape) - 1.01)).all(-1)
    assert inside.mean() > 0.2
    again = ants.apply_transforms(fixed, moving, [str(as_field(tmp_path, ours, pair))]).numpy()
    np.testing.assert_allclose(again[inside], theirs[inside], atol=5e-3)
    with pytest.raises(InputError, match="only affine transforms are inverted"):
        read_transforms([f"[{path},1]"], grid, grid)


def as_field(folder, displacement, pair):
    return save(folder / "ours.nii.gz", (displacement * LPS)[:, :, :, None].astype(np.float32), pair.fixed.affine, 1007)


@pytest.mark.parametrize("case", PAIRS)
def test_flirts_matrix_leads_where_fslpy_says(tmp_path, case):
    pair = make_pair(case, tmp_path)
    world = affine((1.1, 0.9, 1.05), (1, 1, 1), 12)
    world[:3, 3] = 3, -4, 2
    reference, source = map(str, pair.files)
    matrix = toFlirt(np.linalg.inv(world), Image(source), Image(reference), "world", "world")  # source to reference
    path = tmp_path / "flirt.mat"
    np.savetxt(path, matrix)
    (transform,) = read_transforms([path], *pair.geometries)
    np.testing.assert_allclose(transform(POINTS), apply_affine(world, POINTS), atol=1e-5)
    (inverse,) = read_transforms([f"[{path},1]"], *pair.geometries[::-1])
    np.testing.assert_allclose(inverse(transform(POINTS)), POINTS, atol=1e-6)
    with pytest.raises(InputError, match=r"flirt\.mat: FLIRT's matrix depends on the grids"):
        read_transforms([path, path], *pair.geometries)


def lta_of(kind, matrix, src, dst):
    """FreeSurfer's text of a transform between the volumes of two files."""
    lines = [f"type      = {kind} # kind", "nxforms   = 1", "mean      = 0.0 0.0 0.0", "sigma     = 1.0", "1 4 4"]
    lines += [" ".join(f"{value:.15e}" for value in row) for row in matrix]
    for name, path in (("src", src), ("dst", dst)):
        image = nib.load(path)
        size = np.linalg.norm(image.affine[:3, :3], axis=0)
        axes = (image.affine[:3, :3] / size).T
        middle = apply_affine(image.affine, np.array(image.shape) / 2)
        lines += [f"{name} volume info", "valid = 1  # volume info valid", f"filename = {path}"]
        lines += [f"volume = {' '.join(map(str, image.shape))}", f"voxelsize = {' '.join(map(repr, map(float, size)))}"]
        for key, values in zip(("xras  ", "yras  ", "zras  ", "cras  "), (*axes, middle)):
            lines.append(f"{key} = {' '.join(f'{value:.15e}' for value in values)}")
    return "\n".join([*lines, "subject fsaverage", "fscale 0.15"]) + "\n"


@pytest.mark.parametrize("case", PAIRS)
@pytest.mark.parametrize("kind", [0, 1], ids=["voxels", "RAS"])
def test_an_lta_pulls_its_source_onto_its_destination(tmp_path, case, kind):
    pair = make_pair(case, tmp_path)
    world = affine((1.1, 0.9, 1.05), (1, 1, 1), 12)  # from the destination, which is fixed, to the source
    forward = np.linalg.inv(world)
    matrix = forward if kind else np.linalg.inv(pair.fixed.affine) @ forward @ pair.moving.affine
    path = tmp_path / "t.lta"
    path.write_text(lta_of(kind, matrix, pair.files[1], pair.files[0]))
    np.testing.assert_allclose(apply_affine(read_lta(path), POINTS), apply_affine(world, POINTS), atol=1e-3)
    (inverse,) = read_transforms([f"[{path},1]"], *pair.geometries[::-1])
    np.testing.assert_allclose(inverse(apply_affine(world, POINTS)), POINTS, atol=1e-3)


def test_files_that_cannot_be_used_say_why(tmp_path):
    image = save(tmp_path / "image.nii.gz", np.zeros((4, 4, 4)), np.eye(4))
    lta = lta_of(0, np.eye(4), image, image)
    grid = read_geometry(image)
    for name, content, problem in (
        ("a.txt", "hello", "its first line is not that of ITK"),
        ("a.txt", "#Insight Transform File V1.0\n", "it holds no transform"),
        ("a.txt", text_of([("AffineTransform", [1, 2])]), "it holds a AffineTransform_double_3_3, with 2 parameters"),
        ("a.txt", text_of([("BSplineTransform", [1, 2])]), "it holds a BSplineTransform_double_3_3"),
        ("a.txt", text_of([("AffineTransform", ["x"] * 12)]), "its parameters are not numbers"),
        ("a.tfm", text_of([("AffineTransform", [1] * 12)]), "not finite and invertible"),
        ("a.lta", "", "it holds no transforms, of type unknown"),
        ("a.lta", lta.replace("type      = 0", "type      = 14"), "of type 14"),
        ("a.lta", lta.replace("nxforms   = 1", "nxforms   = 2"), "it holds 2 transforms"),
        ("a.lta", lta.replace("valid = 1", "valid = 0"), "does not say where the voxels"),
        (
            "a.lta",
            lta.replace("0.000000000000000e+00 0.000000000000000e+00 0.000000000000000e+00 1", "x", 1),
            "a matrix",
        ),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(InputError, match=problem):
            read_transforms([tmp_path / name], grid, grid)


def test_composites_of_other_kinds_and_broken_fields_are_refused(tmp_path):
    path = tmp_path / "t.h5"
    fixed = [2, 2, 2, 0, 0, 0, 1, 1, 1, *np.eye(3).ravel()]
    for kind, parameters, problem in (
        ("BSplineTransform", [0.0] * 3, "it holds a BSplineTransform"),
        ("DisplacementFieldTransform", [0.0] * 23, "its field has 23 parameters"),
        ("DisplacementFieldTransform", [np.nan] * 24, "not finite"),
        ("CompositeTransform", [], "it holds no transform"),
    ):
        with h5py.File(path, "w") as file:
            group = file.create_group("TransformGroup/0")
            group["TransformType"] = [f"{kind}_double_3_3".encode()]
            group["TransformParameters"], group["TransformFixedParameters"] = parameters, fixed
        with pytest.raises(InputError, match=problem):
            read_itk_composite(path)


@pytest.mark.parametrize("case", PAIRS)
def test_an_lta_that_is_written_says_what_freesurfers_says(tmp_path, case):
    """The same places of both volumes as the text above, and the same matrix."""
    pair = make_pair(case, tmp_path)
    grids = [read_geometry(path) for path in pair.files]
    matrix = affine((1.1, 0.9, 1), (1, 1, 1), 20)
    write_lta(tmp_path / "ours.lta", matrix, *grids)
    np.testing.assert_allclose(read_lta(tmp_path / "ours.lta"), matrix, atol=1e-9)
    (tmp_path / "theirs.lta").write_text(lta_of(1, np.linalg.inv(matrix), pair.files[1], pair.files[0]))
    ours, theirs = (numbers(tmp_path / f"{name}.lta") for name in ("ours", "theirs"))
    assert ours.keys() == theirs.keys()
    for key in theirs:
        np.testing.assert_allclose(ours[key], theirs[key], atol=1e-4, err_msg=str(key))


def numbers(path):
    """What an LTA says, by the volume that it says it of."""
    found, of = {}, ""
    for line in path.read_text().splitlines():
        of = line.split()[0] if line.endswith("volume info") else of
        key, sign, value = (one.strip() for one in line.split("#")[0].partition("="))
        if sign and key not in ("filename", "created by", "subject", "fscale", "mean", "sigma"):
            found[of, key] = [float(word) for word in value.split()]
    return found
