"""Changes of where a head lies: what is drawn, and that the map undoes it."""

import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

from smgicnet.config.schemas import schema
from smgicnet.preparation.changes import CHANGES, Changes, Variant, rotation

CENTRE = np.array([10.0, -20.0, 30.0])


def changes(shift=0.0, seed=1):
    return Changes((Variant("rotation", 60),), shift, seed)


@pytest.mark.parametrize("degrees", [1, 30, 90, 179, 180])
def test_a_rotation_has_its_angle(degrees):
    matrix = rotation(degrees, np.random.default_rng(0))
    assert np.degrees(Rotation.from_matrix(matrix[:3, :3]).magnitude()) == pytest.approx(degrees, abs=1e-4)
    np.testing.assert_allclose(matrix[:3, 3], 0)


def test_a_head_is_turned_about_the_centre_of_its_brain():
    to_own = changes().to_own(Variant("rotation", 60), "sub-1", CENTRE)
    np.testing.assert_allclose(apply_affine(to_own, CENTRE), CENTRE, atol=1e-9)
    assert np.degrees(Rotation.from_matrix(to_own[:3, :3]).magnitude()) == pytest.approx(60)


def test_a_shift_reaches_as_far_as_it_may_and_no_farther():
    lengths = []
    for number in range(300):
        to_own = changes(shift=12.0).to_own(Variant("rotation", 60), f"sub-{number}", CENTRE)
        lengths.append(np.linalg.norm(apply_affine(np.linalg.inv(to_own), CENTRE) - CENTRE))
    assert 11.5 < max(lengths) <= 12
    assert np.mean(np.array(lengths) < 6) == pytest.approx(1 / 8, abs=0.06)  # half of the radius, an eighth of the ball


def test_what_is_drawn_depends_on_seed_subject_and_variant_alone():
    def found(subject="sub-1", degrees=60, seed=1):
        return changes(5.0, seed).to_own(Variant("rotation", degrees), subject, CENTRE)

    np.testing.assert_array_equal(found(), found())
    for other in (found("sub-2"), found(seed=2)):
        assert np.abs(other - found()).max() > 0.01
    axes = [Rotation.from_matrix(found(degrees=one)[:3, :3]).as_rotvec() for one in (60, 61)]
    assert np.dot(*(axis / np.linalg.norm(axis) for axis in axes)) < 0.99  # each angle has an axis of its own


def test_axes_point_everywhere():
    random = np.random.default_rng(0)
    axes = [Rotation.from_matrix(rotation(90, random)[:3, :3]).as_rotvec() for _ in range(500)]
    np.testing.assert_allclose(np.mean(axes, axis=0), 0, atol=0.2)
    np.testing.assert_allclose(np.cov(np.transpose(axes)), np.eye(3) * (np.pi / 2) ** 2 / 3, atol=0.15)


def test_every_change_has_its_severities_in_the_schema():
    block = schema("config")["properties"]["evaluation"]["properties"]["robustness"]
    assert block["properties"].keys() - {"pairs", "datasets", "shift", "seed"} == CHANGES.keys()


def test_names_of_variants_are_those_of_files():
    assert Variant("rotation", 30).name == "rotation-30"
    assert Variant("rotation", 22.5).of("sub-1") == "sub-1/rotation-22.5"
