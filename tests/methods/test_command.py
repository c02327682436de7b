"""A program of its own command line as a method: what it sees, what of it is read, and how it is contained."""

import json
import os

import numpy as np
import pytest
import torch

from smgicnet.config.completion import complete_method
from smgicnet.config.programs import PROGRAMS, helper_scripts, programs
from smgicnet.core.errors import InputError
from smgicnet.jobs.code import registering_code
from smgicnet.methods.contract import RegistrationFailed
from tests.support.commands import READ, SHAPE, SHIFT, SPACING, failure, images, method


def test_a_warp_of_itk_is_a_displacement_in_voxels():
    found = method().register(*images())
    assert found.forward.shape == (1, 3, *SHAPE)
    expected = torch.tensor([-10 / SPACING, 0, 0]).view(1, 3, 1, 1, 1).expand(1, 3, *SHAPE)
    torch.testing.assert_close(found.forward, expected)
    assert found.inverse is None
    assert 0 < found.seconds < 60
    assert 10 < found.memory_mib < 2000


@pytest.mark.parametrize(
    ("written", "changes"),
    [
        ("save('warp.nii.gz', np.broadcast_to([-10.0, 0, 0], (*shape, 3)), intent=0)", {"vectors": "ras"}),
        ("save('warp.nii.gz', np.broadcast_to([-2.0, 0, 0], (*shape, 3)), intent=0)", {"vectors": "voxels"}),
        # on a grid of its own, twice as fine and larger
        (
            "fine = affine @ np.diag([.5, .5, .5, 1]); fine[:3, 3] -= 10\n"
            "save('warp.nii.gz', np.broadcast_to([10.0, 0, 0], (40, 44, 36, 1, 3)), fine)",
            {},
        ),
        # a matrix and a warp, whose order is that of antsApplyTransforms
        (
            "open(out + '/a.txt', 'w').write('#Insight Transform File V1.0\\nTransform: AffineTransform_double_3_3\\n'"
            "'Parameters: 1 0 0 0 1 0 0 0 1 4 0 0\\nFixedParameters: 0 0 0\\n')\n"
            "save('warp.nii.gz', np.broadcast_to([6.0, 0, 0], (*shape, 1, 3)))",
            {"transforms": ["warp.nii.gz", "a.txt"]},
        ),
    ],
)
def test_fields_of_other_kinds_and_grids_are_read(written, changes):
    found = method(READ + written + "\nEND", **changes).register(*images())
    assert found.forward[:, 0].numpy() == pytest.approx(-2, abs=1e-4)
    assert found.forward[:, 1:].abs().max() < 1e-4


def test_the_program_sees_images_masks_and_labels_on_a_grid_about_the_origin(tmp_path):
    fixed, moving = images()
    fixed[0, 0, :3] = 0
    labels = [np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(np.uint8) for _ in range(2)]
    command = f"cp {{fixed}} {{moving}} {{fixed_mask}} {{moving_labels}} {tmp_path}; " + SHIFT
    found = method(command)
    assert found.needs_labels
    found.register(fixed, moving, tuple(labels))
    import nibabel as nib

    seen = {path.name.partition(".")[0]: nib.load(path) for path in tmp_path.iterdir()}
    np.testing.assert_array_equal(np.asarray(seen["fixed"].dataobj), fixed[0, 0].numpy())
    np.testing.assert_array_equal(np.asarray(seen["fixed_mask"].dataobj), fixed[0, 0].numpy() > 0)
    np.testing.assert_array_equal(np.asarray(seen["moving_labels"].dataobj), labels[1])
    affine = seen["fixed"].affine
    assert nib.aff2axcodes(affine) == ("R", "A", "S")
    np.testing.assert_allclose(affine @ [*((np.array(SHAPE) - 1) / 2), 1], [0, 0, 0, 1], atol=1e-4)
    assert nib.affines.voxel_sizes(affine) == pytest.approx([SPACING] * 3)


def test_moved_labels_alone_are_a_result():
    moved = READ + "save('moved.nii.gz', np.full(shape, 17.0), intent=0)\nEND\ntest -r {moving_labels}"
    labels = (np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8))
    found = method(moved, transforms=[], labels="moved.nii.gz").register(*images(), labels)
    assert (found.labels == 17).all()
    assert found.labels.dtype == np.uint8
    assert torch.isnan(found.forward).all()


def test_the_time_is_what_the_program_says_or_else_that_of_all():
    said = method(SHIFT + "\necho took 1.25 s", seconds=r"took ([\d.]+) s")
    assert said.register(*images()).seconds == 1.25
    tabbed = method(SHIFT + "\nprintf 'time:\\t2.5\\n'", seconds=r"time:\s+([\d.]+)")
    assert tabbed.register(*images()).seconds == 2.5
    assert "finds no number" in failure(SHIFT, seconds=r"took ([\d.]+) s")
    for wrong in ("nan", "inf", "-4"):
        assert "finds no number" in failure(f"{SHIFT}\necho took {wrong} s", seconds=r"took (\S+) s")


@pytest.mark.parametrize("label", [300, -1])
def test_moved_labels_that_nobody_has_given_are_a_failure(label):
    moved = READ + f"save('moved.nii.gz', np.full(shape, {label}.0), intent=0)\nEND\ntest -r {{moving_labels}}"
    labels = (np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8))
    with pytest.raises(RegistrationFailed, match="labels outside 0 to 255"):
        method(moved, transforms=[], labels="moved.nii.gz").register(*images(), labels)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("true {fixed} {moving} {out}", "warp.nii.gz: the command wrote no such file"),
        ("echo alas >&2; false {fixed} {moving} {out}; " + SHIFT, "ended with code 1: alas"),
        ("no-such-program {fixed} {moving} {out}", "ended with code 127"),
        ("kill -SEGV $$ # {fixed} {moving} {out}", "killed by signal 11"),
        (READ + "save('warp.nii.gz', np.full((*shape, 1, 3), np.nan))\nEND", "NaN"),
        (
            READ + "far = np.eye(4); far[0, 3] = 900; save('warp.nii.gz', np.zeros((*shape, 1, 3)), far)\nEND",
            "covers nothing",
        ),
        (READ + "save('warp.nii.gz', np.zeros(shape))\nEND", "warp.nii.gz"),
        (READ + "save('warp.nii.gz', np.full((*shape, 1, 3), 1e9))\nEND", "warp.nii.gz"),
        ("head -c 3000 {fixed} > {out}/warp.nii.gz # {moving}", "warp.nii.gz"),
        ("printf '\\033]0;owned\\007\\033[2J'; false {fixed} {moving} {out}", r"\x1b]0;owned\x07\x1b[2J"),
    ],
)  # fmt: skip
def test_what_is_no_result_is_a_failure_with_its_reason(command, told):
    reason = failure(command)
    assert told in reason
    assert "\x1b" not in reason
    assert "/tmp" not in reason


def test_the_version_is_what_the_program_prints():
    assert method(version="printf '1.4\\nbuilt today'").version == "1.4"
    assert method(version="false").version == "not known"
    assert method(version="echo warning >&2; echo a 7 | awk '{print $2}'").version == "7"
    assert method().version == "not asked for"


def test_a_container_runs_the_command_with_its_folder_bound(monkeypatch, tmp_path):
    """apptainer cannot run here: this takes its arguments and runs what stands behind the image."""
    stand_in = tmp_path / "apptainer"
    stand_in.write_text(
        '#!/bin/bash\necho "$@" > ' + str(tmp_path / "seen") + "\n"
        'while [ "$1" != docker://greedy:1 ]; do shift; done\nshift\nexec "$@"\n'
    )
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = method(environment={"container": "docker://greedy:1"}, gpu=True).register(*images())
    assert found.forward[0, 0].mean() == pytest.approx(-2)
    seen = (tmp_path / "seen").read_text()
    assert seen.startswith("exec --nv --contain --bind ")
    assert " --pwd " in seen


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"command": "x {fixed} {moving}"}, "no place {out}"),
        ({"command": "x {fixed} {moving} {out} {output}"}, "the places ['output']"),
        ({"command": "x {fixed} {moving} {out} | awk '{print}'"}, "the places ['print']"),
        ({"command": "x {fixed} {moving} {out} {"}, "Double the braces"),
        ({"transforms": []}, "needs transforms or labels"),
        ({"labels": "l.nii.gz"}, "needs transforms or labels"),
        ({"transforms": [], "labels": "l.nii.gz"}, "sees no label map"),
        ({"transforms": ["../warp.nii.gz"]}, "does not lie in {out}"),
        ({"seconds": "took ("}, "seconds"),
        ({"seconds": "took .*"}, "has 0 groups"),
        ({"program": "greedi"}, "greedi"),
        ({"command": "python {programs}/no.py {fixed} {moving} {out}"}, "names ['no.py']"),
        ({"environment": {"pip": ["x"], "conda": "x.yaml"}}, "environment"),
        ({"variables": ["A=1"]}, "variables"),
        ({"limits": {"seconds": 0}}, "seconds"),
    ],
)
def test_a_block_that_cannot_work_is_refused_before_anything_runs(changes, told):
    from smgicnet.config.completion import complete

    block = {"type": "command", "label": "x", "command": SHIFT, "transforms": ["warp.nii.gz"], **changes}
    config = {"datasets": {"d": {"source": {"kind": "phantom"}}}, "methods": {"m": block}}
    with pytest.raises(InputError) as caught:
        complete(config)
    assert told in str(caught.value)
    assert "methods.m" in str(caught.value)


@pytest.mark.parametrize("name", programs())
def test_every_ready_block_is_complete_and_can_be_changed(name):
    from smgicnet.config.completion import complete

    block = {"type": "command", "program": name, "threads": 2}
    config = {"datasets": {"d": {"source": {"kind": "phantom"}}}, "methods": {"m": block}}
    found = complete(config)["methods"]["m"]
    assert found["threads"] == 2
    assert found["label"]
    assert found["version"]
    assert found["environment"] or found["requires"]


def test_a_field_that_leads_elsewhere_is_what_the_program_said():
    """A bent field, as ITK interpolates it."""
    bend = READ + "w = np.zeros((*shape, 1, 3)); w[..., 0, 1] = np.indices(shape)[2]; save('warp.nii.gz', w)\nEND"
    found = method(bend).register(*images()).forward[0]
    expected = -np.arange(SHAPE[2])[None, None] / SPACING
    np.testing.assert_allclose(found[1].numpy(), np.broadcast_to(expected, SHAPE), atol=1e-5)


def test_what_is_installed_and_the_scripts_that_are_named_identify_a_program(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = method(environment={"pip": ["x"]}, version="echo 2")
    assert found.facts() == {"program": "2"}
    facts = []
    for version in ("1", "2"):
        found._record.parent.mkdir(parents=True, exist_ok=True)
        found._record.write_text(json.dumps({"installed": [f"x=={version}"]}))
        facts.append(found.facts()["installed"])
    assert facts[0] != facts[1]
    greedy = complete_method({"type": "command", "program": "greedy"}, "test")
    assert helper_scripts(greedy) == (PROGRAMS / "run_greedy.py",)
    assert registering_code("command", helper_scripts(greedy)) != registering_code("command")
