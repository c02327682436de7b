"""Scans of other contrasts than T1: noticed by themselves, registered as T1 would show them, warped as they came."""

import logging

import numpy as np
import pytest
from nibabel.affines import apply_affine

import smgicnet
from benchmarks.contrasts import in_sequence
from benchmarks.twins import Bench, Twin, how_wrong, recipe, twin
from smgicnet.cohort.rendering import render, to_classes
from smgicnet.cohort.template import load_template
from smgicnet.commands.contrasts import as_t1
from smgicnet.commands.inputs import Input
from smgicnet.core.errors import InputError
from smgicnet.imaging.displacements import sample
from smgicnet.imaging.images import Volume, as_nifti, scan_of
from smgicnet.preparation.preprocessing import prepare

ANATOMY = "the MNI152 brain"
GREY, WHITE = "grey matter", "white matter"


@pytest.fixture(scope="module")
def bench():
    return Bench.shipped()


def scan(name, number):
    template = load_template()
    return twin(template if name == "T1" else in_sequence(template, name), ANATOMY, number, 3.5)


def image(one: Twin):
    return as_nifti(one.image.data, one.image.affine)


@pytest.fixture(scope="module")
def fixed():
    return scan("T1", 0)


def registered(fixed, moving, **settings):
    found = smgicnet.register(image(fixed), image(moving), quality="fast", skull_strip="none", **settings)
    return found, how_wrong(found.transform.displacement, fixed, moving, moving.image)["error_mm"]


def test_t2_is_registered_as_t1_would_show_it(fixed, caplog):
    caplog.set_level(logging.INFO)
    moving = scan("T2", 1)
    found, error = registered(fixed, moving)
    assert "the moving image is no T1 image, with a brighter grey matter than its white matter" in caplog.text
    said = found.found.facts()["moving"]["contrast"]
    assert said["likeness"] > said["likeness_before"]
    assert "contrast" not in found.found.facts()["fixed"]
    assert error < 1.25 * registered(fixed, scan("T1", 1))[1]
    assert error < 0.8 * registered(fixed, moving, contrast="keep")[1]
    warped, own = found.warped.get_fdata(), moving.image.data
    assert abs(np.percentile(warped[warped > 0], 90) / np.percentile(own[own > 0], 90) - 1) < 0.05


@pytest.mark.parametrize(
    ("name", "differs"),
    [("T1", False), ("T1 with agent", False), ("T2", True), ("FLAIR", True), ("proton density", True)],
)
def test_what_differs_from_t1_is_noticed(bench, name, differs):
    template = load_template()
    classes, random = to_classes(template.regions[::3, ::3, ::3]), np.random.default_rng(4)
    tissues = template.tissues if name == "T1" else in_sequence(template, name).tissues
    data = render(classes, tissues, random, recipe().render)
    brain = scan_of(as_nifti(data, template.affine @ np.diag([3, 3, 3, 1])), "a brain")
    method, grid = bench.trained.build({}), bench.trained.grid
    found, prepared = as_t1(Input(brain, brain), prepare(brain, None, grid), method, grid)
    assert ("contrast" in found.record) == differs
    if differs:
        assert found.record["contrast"]["intensities"][GREY] > found.record["contrast"]["intensities"][WHITE]
    assert found.scan is brain
    cortex, white = (prepared_mean(prepared, template, ids) for ids in ((3, 42), (2, 41)))
    assert white > 1.1 * cortex


def prepared_mean(prepared, template, ids):
    """The mean of an image where the template has some classes."""
    share = Volume(np.isin(to_classes(template.regions), ids).astype(np.float32), template.affine)
    grid = np.stack(np.meshgrid(*map(np.arange, prepared.image.shape), indexing="ij"), axis=-1)

    return prepared.image[sample(share, apply_affine(prepared.affine, grid)) > 0.7].mean()


def test_another_word_is_refused(fixed):
    with pytest.raises(InputError, match=r"contrast: 't2'\. Give one of auto, keep"):
        smgicnet.register(image(fixed), image(fixed), contrast="t2")
