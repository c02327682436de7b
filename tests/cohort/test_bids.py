"""One image a subject of a BIDS dataset, with its label map and mask."""

import logging
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from smgicnet.cohort import bids
from smgicnet.cohort.bids import can_be, read_bids
from smgicnet.core.errors import InputError
from tests.support.faults import Payload

DEFAULTS = {"select": {}, "labels": {"suffix": "dseg", "desc": "aseg"}, "mask": {"suffix": "mask", "desc": "brain"}}


def dataset(root, *files):
    """A BIDS dataset of these empty files; a name without folders goes to its place."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.9.0"}')
    for file in files:
        parts = Path(file).name.split("_")
        session = [part for part in parts if part.startswith("ses-")]
        path = root / file if "/" in file else root.joinpath(parts[0], *session, "anat", file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def read(root, derivatives=None, **changes):
    return read_bids({"path": str(root), "derivatives": derivatives and str(derivatives), **DEFAULTS, **changes})


def test_images_label_maps_and_masks(tmp_path, caplog):
    root = dataset(
        tmp_path / "bids",
        "sub-01_ses-1_T1w.nii.gz",
        "sub-01_ses-1_T2w.nii.gz",
        "sub-02_T1w.nii",
        "sub-03_T2w.nii.gz",
        "sourcedata/sub-01/anat/sub-01_T1w.nii.gz",
        "derivatives/smriprep/sub-02/anat/sub-02_desc-preproc_T1w.nii.gz",
    )
    maps = dataset(
        tmp_path / "smriprep",
        "sub-01_ses-1_desc-aseg_dseg.nii.gz",
        "sub-01_ses-1_desc-aparcaseg_dseg.nii.gz",
        "sub-01_ses-1_space-MNI152NLin2009cAsym_desc-aseg_dseg.nii.gz",
        "sub-01_ses-2_desc-brain_mask.nii.gz",
        "sub-02_desc-brain_mask.nii.gz",
        "sub-02/func/sub-02_task-rest_desc-brain_mask.nii.gz",
    )
    with caplog.at_level(logging.WARNING):
        table = read(root, maps)
    assert table.columns.tolist() == ["subject", "image", "labels", "mask"]
    assert table["subject"].tolist() == ["sub-01", "sub-02"]
    assert table["image"].tolist() == [
        f"{root}/sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz",
        f"{root}/sub-02/anat/sub-02_T1w.nii",
    ]
    assert table["labels"].tolist() == [f"{maps}/sub-01/ses-1/anat/sub-01_ses-1_desc-aseg_dseg.nii.gz", ""]
    assert table["mask"].tolist() == ["", f"{maps}/sub-02/anat/sub-02_desc-brain_mask.nii.gz"]
    assert "sub-03" in caplog.text
    other = read(root, maps, labels={"suffix": "dseg", "space": "MNI152NLin2009cAsym", "desc": "aseg"})
    assert "space-MNI152NLin2009cAsym" in other.at[0, "labels"]
    assert read(root, None)["labels"].tolist() == ["", ""]


def test_label_maps_in_another_space_are_none(tmp_path):
    root = dataset(tmp_path / "bids", "sub-01_T1w.nii.gz")
    maps = dataset(tmp_path / "maps", "sub-01_space-MNI152NLin2009cAsym_desc-aseg_dseg.nii.gz")
    with pytest.raises(InputError, match=r"no label map.*sub-01/anat/sub-01_desc-aseg_dseg\.nii\.gz"):
        read(root, maps)
    assert read(root, maps, labels={})["labels"].tolist() == [""]


def test_pipelines_below_the_derivatives_folder(tmp_path):
    root = dataset(tmp_path, "sub-01_T1w.nii.gz", "derivatives/smriprep/sub-01/anat/sub-01_desc-aseg_dseg.nii.gz")
    assert read(root, root / "derivatives")["labels"].tolist() == [
        f"{root}/derivatives/smriprep/sub-01/anat/sub-01_desc-aseg_dseg.nii.gz"
    ]
    dataset(tmp_path, "derivatives/other/sub-01/anat/sub-01_desc-aseg_dseg.nii.gz")
    with pytest.raises(InputError, match="several files could be its labels"):
        read(root, root / "derivatives")


@pytest.mark.parametrize(
    ("select", "chosen"),
    [
        ({"session": "01", "run": 1}, "sub-01_ses-01_run-01_T1w"),
        ({"ses": "01", "run": "2"}, "sub-01_ses-01_run-02_T1w"),
        ({"rec": "norm"}, "sub-01_ses-02_rec-norm_T1w"),
        ({"acquisition": "mprage"}, "sub-01_ses-02_acq-mprage_T1w"),
    ],
)
def test_select_chooses_one_of_several(tmp_path, select, chosen):
    names = ["ses-01_run-01", "ses-01_run-02", "ses-02_rec-norm", "ses-02_acq-mprage"]
    root = dataset(tmp_path, *[f"sub-01_{name}_T1w.nii.gz" for name in names])
    with pytest.raises(InputError, match=r"several T1w images.*source\.select"):
        read(root)
    assert Path(read(root, select=select).at[0, "image"]).name == f"{chosen}.nii.gz"


def test_splits_of_participants(tmp_path):
    root = dataset(tmp_path, *[f"sub-{name}_T1w.nii.gz" for name in "abc"])
    (root / "participants.tsv").write_text("participant_id\tage\nsub-a\t30\n")
    assert "split" not in read(root)
    (root / "participants.tsv").write_text("participant_id\tsplit\nsub-b\ttrain\nsub-a\tn/a\n")
    assert read(root)["split"].tolist() == ["", "train", ""]
    (root / "participants.tsv").write_text("participant_id\tsplit\nsub-b\ttrain\nsub-b\ttest\n")
    with pytest.raises(InputError, match="participant_id"):
        read(root)


def test_content_that_was_not_fetched(tmp_path):
    root = dataset(tmp_path, "sub-01_T1w.nii.gz")
    image = root / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    image.unlink()
    image.symlink_to("../../.git/annex/objects/gone.nii.gz")
    with pytest.raises(InputError, match="datalad get") as caught:
        read(root)
    assert caught.value.source == str(image)


def test_a_pickle_in_the_dataset_is_not_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = dataset(tmp_path / "bids", "sub-01_T1w.nii.gz")
    (root / ".ancpbids-dataset.pickle").write_bytes(pickle.dumps(Payload()))
    assert len(read(root)) == 1
    assert list(tmp_path.glob("run-by-*")) == []


def test_importing_costs_no_bids_library():
    code = "import sys, smgicnet.cohort.bids; assert 'ancpbids' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_without_its_library_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(bids.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install ancpbids"):
        bids.read_bids({"path": str(tmp_path)})


def test_a_number_that_yaml_made_is_the_one_session_that_itcan_be(tmp_path):
    root = dataset(tmp_path, *[f"sub-01_ses-{name}_T1w.nii.gz" for name in ("01", "010", "10", "base")])
    assert "_ses-01_" in read(root, select={"session": 1}).at[0, "image"]
    assert "_ses-010_" in read(root, select={"session": 8}).at[0, "image"]  # YAML 1.1 reads 010 so
    with pytest.raises(InputError, match=r"several values of session fit 10 \(010, 10\)\. Write it in quotes"):
        read(root, select={"session": 10})
    with pytest.raises(InputError, match=r"no session is 3 \(01, 010, 10, base\)"):
        read(root, select={"session": 3})


@pytest.mark.parametrize(
    ("select", "there"),
    [({"session": "1"}, "session: 01, 02"), ({"ses": "01", "run": "1"}, "session: 01, 02; run: none")],
)
def test_a_selection_that_nobody_has_is_told_what_there_is(tmp_path, select, there):
    root = dataset(tmp_path, "sub-01_ses-01_T1w.nii.gz", "sub-01_ses-02_T1w.nii.gz")
    with pytest.raises(InputError, match=rf"there are {there}\. Correct source\.select"):
        read(root, select=select)


def test_what_macos_leaves_beside_a_file_is_no_image(tmp_path):
    root = dataset(tmp_path, "sub-01_T1w.nii.gz")
    (root / "sub-01/anat/._sub-01_T1w.nii.gz").write_bytes(b"\0\5\x16\7")
    assert Path(read(root).at[0, "image"]).name == "sub-01_T1w.nii.gz"


def test_participants_may_leave_out_sub_and_nobody_is_left_out_in_silence(tmp_path, caplog):
    root = dataset(tmp_path, *[f"sub-{name}_T1w.nii.gz" for name in "abc"])
    (root / "participants.tsv").write_text("participant_id\tsplit\na\ttrain\nsub-b\ttest\nd\ttest\n")
    assert read(root)["split"].tolist() == ["train", "test", ""]
    assert "rows without an image: sub-d" in caplog.text
    assert "subjects without a row, which are left out: sub-c" in caplog.text


@pytest.mark.parametrize(
    ("text", "number", "fits"), [("01", 1, True), ("010", 8, True), ("010", 10, True), ("09", 9, True)]
)
def test_what_yaml_makes_of_an_unquoted_number(text, number, fits):
    assert can_be(text, number) is fits
    assert not can_be(text, 77)
    assert not can_be("a1", number)
