"""The BIDS App: every T1w image is registered once, under the standard's names, and none is skipped in silence."""

import json
import re
import shutil
import subprocess

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from smgicnet import cli
from smgicnet.commands import bids
from smgicnet.imaging.images import read_image
from tests.support.chromium import require_browser
from tests.support.heads import real_brain

SPACE = "MNI152NLin6Asym"


@pytest.fixture(scope="module")
def dataset(scans, tmp_path_factory):
    """Three subjects, one with two sessions, one with a run that is cut, and one without an image."""
    root = tmp_path_factory.mktemp("bids")
    (root / "dataset_description.json").write_text('{"Name": "miniature", "BIDSVersion": "1.9.0"}')
    names = {
        "sub-01/ses-1/anat/sub-01_ses-1_run-1_T1w": "brain",
        "sub-01/ses-2/anat/sub-01_ses-2_T1w": "moved-brain",
        "sub-02/anat/sub-02_T1w": "moved-brain",
        "sub-02/anat/sub-02_run-2_T1w": "brain",
    }
    for name, source in names.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(scans / f"{source}.nii.gz", root / f"{name}.nii.gz")
    cut = root / "sub-02/anat/sub-02_run-2_T1w.nii.gz"
    cut.write_bytes(cut.read_bytes()[:5000])
    (root / "sub-09/func").mkdir(parents=True)
    return root


def run(dataset, out, level="participant", *more):
    return cli.main(["bids", str(dataset), str(out), level, *map(str, more)])


@pytest.fixture(scope="module")
def finished(dataset, tmp_path_factory):
    """Derivatives on the grid of a subject of the dataset, which is small."""
    out = tmp_path_factory.mktemp("out")
    given = ["--to", "01", "--quality", "fast"]
    assert run(dataset, out, "participant", *given) == 1
    assert run(dataset, out, "group") == 1
    return out


def test_each_image_has_its_derivatives(finished):
    for folder, entities in (
        ("sub-01/ses-1", "sub-01_ses-1_run-1"),
        ("sub-01/ses-2", "sub-01_ses-2"),
        ("sub-02", "sub-02"),
    ):
        anat = finished / folder / "anat"
        names = {
            "from-T1w_to-sub01_mode-image_xfm.h5", "from-sub01_to-T1w_mode-image_xfm.h5",
            "from-T1w_to-sub01_mode-image_xfm.json",
            *(f"{name}.{ending}" for ending in ("nii.gz", "json")
              for name in ("space-sub01_desc-preproc_T1w", "space-sub01_desc-brain_mask", "desc-brain_mask")),
        }  # fmt: skip
        assert {path.name for path in anat.iterdir()} == {f"{entities}_{name}" for name in names}
        warped = read_image(anat / f"{entities}_space-sub01_desc-preproc_T1w.nii.gz")
        brain = real_brain()
        assert warped.data.shape == brain.data.shape
        assert np.corrcoef(warped.data[brain.data > 0], brain.data[brain.data > 0])[0, 1] > 0.8
        told = json.loads((anat / f"{entities}_space-sub01_desc-preproc_T1w.json").read_text())
        assert told["SkullStripped"] is True
        assert re.fullmatch(rf"bids:raw:{folder}/anat/{entities}_T1w.nii.gz", told["Sources"][0])
    description = json.loads((finished / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["GeneratedBy"][0]["Name"] == "smgicnet"
    assert not (finished / "sub-09").exists()


def test_ants_brings_an_image_to_the_template_by_the_file_of_that_name(dataset, finished):
    ants = pytest.importorskip("ants")
    fixed = ants.image_read(str(dataset / "sub-01/ses-1/anat/sub-01_ses-1_run-1_T1w.nii.gz"))
    moving = ants.image_read(str(dataset / "sub-02/anat/sub-02_T1w.nii.gz"))
    anat = finished / "sub-02/anat"
    found = ants.apply_transforms(fixed, moving, [str(anat / "sub-02_from-T1w_to-sub01_mode-image_xfm.h5")]).numpy()
    ours = nib.load(anat / "sub-02_space-sub01_desc-preproc_T1w.nii.gz").get_fdata()
    inside = real_brain().data > 0
    assert np.abs(found - ours)[inside].max() < 1e-2 * ours.max()


def test_the_table_and_the_pages_name_every_image(finished):
    table = pd.read_csv(finished / "group_registrations.tsv", sep="\t", keep_default_na=False).set_index("image")
    assert table["status"].to_dict() == {
        "sub-01_ses-1_run-1": "registered", "sub-01_ses-2": "registered", "sub-02": "registered",
        "sub-02_run-2": "failed",
    }  # fmt: skip
    assert "perhaps truncated" in table.at["sub-02_run-2", "error"]
    group, page = ((finished / name).read_text() for name in ("group.html", "sub-02.html"))
    assert "3 of 4 images are registered, 1 failed" in group
    assert "Without a T1w image: sub-09" in group
    assert group.index("sub-02_run-2") < group.index("sub-01_ses-2")  # what needs a look stands first
    assert "perhaps truncated" in page
    assert page.count("data:image/png;base64,") == 2  # in turn, and before and after
    for text in (group, page):
        assert not re.search(r"(src|href)=\"https?:", text)


def test_what_is_done_is_not_done_again_but_for_other_settings(dataset, finished, tmp_path, caplog, monkeypatch):
    out = shutil.copytree(finished, tmp_path / "out")
    registered = []
    monkeypatch.setattr(bids, "_register", lambda app, image, *_: registered.append(image.entities))
    given = ["--to", "01", "--participant-label", "01", "--quality"]
    with caplog.at_level("INFO"):
        assert run(dataset, out, "participant", *given, "fast") == 0
    assert (registered, caplog.text.count("is there already")) == ([], 2)
    assert run(dataset, out, "participant", *given, "default") == 0
    assert registered == ["sub-01_ses-1_run-1", "sub-01_ses-2"]


def test_an_image_that_fails_the_next_time_is_registered_no_longer(dataset, finished, tmp_path, monkeypatch):
    out = shutil.copytree(finished, tmp_path / "out")
    monkeypatch.setattr(bids, "_register", lambda *_: (_ for _ in ()).throw(RuntimeError("out of memory")))
    assert run(dataset, out, "participant", "--participant-label", "01", "--quality", "default") == 1
    assert run(dataset, out, "group", "--participant-label", "01") == 1
    table = pd.read_csv(out / "group_registrations.tsv", sep="\t").set_index("image")
    assert set(table["status"]) == {"failed"}
    assert "RuntimeError: out of memory" in table.at["sub-01_ses-2", "error"]
    assert "RuntimeError: out of memory" in (out / "sub-01.html").read_text()


def test_a_folder_of_another_template_or_tool_is_left_alone(dataset, finished, tmp_path, capsys):
    assert run(dataset, finished, "participant", "--to", "mni") == 2
    assert "it holds registrations to sub01, and these are to MNI152NLin6Asym" in capsys.readouterr().err
    (tmp_path / "dataset_description.json").write_text("{}")
    assert run(dataset, tmp_path) == 2
    assert "it holds a dataset of another tool" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("sub-03/anat/sub-04_T1w.nii.gz", "it is named as of sub-04"),
        ("sub-03/anat/sub-03_desc-preproc_T1w.nii.gz", "desc-preproc in its name is of a derivative"),
    ],
)
def test_a_name_after_which_nothing_could_be_named_is_refused(scans, tmp_path, capsys, name, problem):
    (tmp_path / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.9.0"}')
    (tmp_path / name).parent.mkdir(parents=True)
    shutil.copy(scans / "brain.nii.gz", tmp_path / name)
    assert run(tmp_path, tmp_path.parent / "derivatives") == 2
    assert problem in capsys.readouterr().err


def test_an_interrupted_image_is_done_again(dataset, finished, tmp_path, monkeypatch):
    """Its record is the last that is written."""
    out = shutil.copytree(finished, tmp_path / "out")
    record = out / "sub-02/anat/sub-02_from-T1w_to-sub01_mode-image_xfm.json"
    record.unlink()
    monkeypatch.setattr(bids, "_write_images", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    given = ["--to", "sub-01", "--quality", "fast", "--participant-label", "02"]
    with pytest.raises(KeyboardInterrupt):
        run(dataset, out, "participant", *given)
    assert not record.exists()
    assert run(dataset, out, "group", *given) == 1
    assert "not run" in (out / "group_registrations.tsv").read_text()


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (["--participant-label", "77"], "it has no sub-77"),
        (["--participant-label", "09"], "no T1w image of sub-09"),
        (["--to", "talairach"], "no template of that name"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_written(dataset, tmp_path, capsys, given, problem):
    assert run(dataset, tmp_path / "out", "participant", *given) == 2
    assert problem in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_derivatives_are_not_written_over_the_dataset(dataset, capsys):
    assert run(dataset, dataset) == 2
    assert "would replace the input" in capsys.readouterr().err
    assert not (dataset / "logs").exists()


def test_a_rigid_registration_to_a_template_has_matrices(dataset, tmp_path):
    given = ["--transform", "rigid", "--participant-label", "sub-01"]
    assert run(dataset, tmp_path, "participant", *given) == 0
    anat = tmp_path / "sub-01/ses-2/anat"
    assert (anat / f"sub-01_ses-2_from-T1w_to-{SPACE}_mode-image_xfm.mat").is_file()
    assert (anat / f"sub-01_ses-2_space-{SPACE}_desc-preproc_T1w.nii.gz").is_file()


@pytest.mark.skipif(shutil.which("bids-validator-deno") is None, reason="bids-validator-deno is not installed")
def test_the_validator_has_nothing_to_say(finished):
    done = subprocess.run(["bids-validator-deno", str(finished)], capture_output=True, text=True)
    assert "ERROR" not in done.stdout, done.stdout


def test_the_page_of_a_subject_flickers_between_template_and_warped_scan(finished):
    require_browser()
    from smgicnet.publication.report.browser import browser

    with browser() as running:
        page = running.new_page(viewport={"width": 900, "height": 900})
        page.goto((finished / "sub-02.html").as_uri())
        box = page.locator(".flicker").first
        places = set()
        for _ in range(12):
            places.add(box.evaluate("one => getComputedStyle(one).backgroundPositionX"))
            page.wait_for_timeout(250)
        assert len(places) == 2
        size = box.bounding_box()
        assert size["height"] > 1.5 * size["width"]


def test_a_dataset_can_be_registered_to_its_own_mean(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(bids, "ROUNDS", 1)
    out = tmp_path / "out"
    assert run(dataset, out, "participant", "--to", "template", "--quality", "fast", "--participant-label", "01") == 0
    assert (out / "template/template.nii.gz").is_file()
    made = (out / "template/template.nii.gz").stat().st_mtime_ns
    records = sorted(out.glob("sub-01/**/*_from-T1w_to-template_mode-image_xfm.json"))
    assert [json.loads(path.read_text())["verdict"]["verdict"] for path in records] == ["good", "good"]
    assert run(dataset, out, "group") == 1  # the others are still to be registered
    assert (out / "template/template.nii.gz").stat().st_mtime_ns == made
