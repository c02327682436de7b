"""Segmentation tools as installed.

None can be installed by pip: small programs stand in for them, which check what they are handed and answer in the
tools' own file layout, on a grid and in an orientation of their own.
"""

import sys

import nibabel as nib
import numpy as np
import pytest

from smgicnet.core.errors import InputError
from smgicnet.imaging.images import write_volume
from smgicnet.preparation.segmentation import segment

SHAPE = (20, 24, 16)
AFFINE = np.array([[-3.0, 0, 0, 20], [0, 2.0, 0, -30], [0, 0, 4.0, -25], [0, 0, 0, 1]])  # LAS, anisotropic
# answers with the image's values as labels, on 1 mm and in FreeSurfer's orientation LIA, as a conformed volume is
ANSWER = """#!{python}
import sys
from pathlib import Path
import nibabel as nib
import numpy as np
from scipy import ndimage

{arguments}
image = nib.load(source)
conformed = np.array([[-1.0, 0, 0, 40], [0, 0, 1, -50], [0, -1, 0, 45], [0, 0, 0, 1]])
matrix = np.linalg.inv(image.affine) @ conformed
data = ndimage.affine_transform(image.get_fdata(), matrix[:3, :3], matrix[:3, 3], output_shape=(80, 80, 80), order=0)
result = Path(result)
result.parent.mkdir(parents=True, exist_ok=True)
kind = nib.MGHImage if result.suffix == ".mgz" else nib.Nifti1Image
nib.save(kind(data.astype(np.int32), conformed), result)
print("finished without error")
"""
RECON_ALL = """
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
sd, s, source = (sys.argv[sys.argv.index(key) + 1] for key in ("-sd", "-s", "-i"))
assert "-all" in sys.argv and sys.argv[-2:] == ["-openmp", "3"], sys.argv
(Path(sd) / s / "scripts").mkdir(parents=True)
(Path(sd) / s / "scripts/recon-all.done").touch()
result = Path(sd) / s / "mri/aseg.mgz"
"""
SYNTHSEG = """
source, result = (sys.argv[sys.argv.index(key) + 1] for key in ("--i", "--o"))
assert sys.argv[-2:] == ["--threads", "3"], sys.argv
"""
FASTSURFER = """
sd, s, source = (sys.argv[sys.argv.index(key) + 1] for key in ("--sd", "--sid", "--t1"))
assert "--seg_only" in sys.argv, sys.argv
result = Path(sd) / s / "mri/aparc.DKTatlas+aseg.deep.mgz"
"""
TOOLS = {
    "recon-all": ("recon-all", RECON_ALL),
    "synthseg": ("mri_synthseg", SYNTHSEG),
    "fastsurfer": ("run_fastsurfer.sh", FASTSURFER),
}


@pytest.fixture
def scan(tmp_path):
    """A scan whose values are the labels that the tools will give."""
    data = np.zeros(SHAPE, np.float32)
    data[4:16, 4:20, 3:13] = 2
    data[6:9, 6:12, 5:9] = 10
    data[12:15, 10:18, 6:11] = 49
    write_volume(tmp_path / "scan.nii.gz", data, AFFINE)
    return tmp_path / "scan.nii.gz", data


def install(tool, folder, monkeypatch, text=None):
    name, arguments = TOOLS[tool]
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text or ANSWER.format(python=sys.executable, arguments=arguments))
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return path


@pytest.mark.parametrize("tool", TOOLS)
def test_labels_come_back_on_the_scans_own_grid(scan, tmp_path, monkeypatch, tool, caplog):
    caplog.set_level("INFO")
    install(tool, tmp_path / "bin", monkeypatch)
    labels, record = segment(scan[0], tool, subject="sub-01", folder=tmp_path / "work", threads=3)
    assert labels.data.dtype == np.int32
    np.testing.assert_array_equal(labels.data, scan[1])
    np.testing.assert_allclose(labels.affine, AFFINE)
    assert record["tool"] == tool
    assert str(scan[0]) in record["command"]
    assert "finished without error" in caplog.text


@pytest.mark.parametrize("tool", TOOLS)
def test_what_is_finished_is_not_done_again(scan, tmp_path, monkeypatch, tool):
    program = install(tool, tmp_path / "bin", monkeypatch)
    first, _ = segment(scan[0], tool, subject="sub-01", folder=tmp_path / "work", threads=3)
    program.write_text("#!/bin/sh\nexit 9\n")
    again, _ = segment(scan[0], tool, subject="sub-01", folder=tmp_path / "work", threads=3)
    np.testing.assert_array_equal(first.data, again.data)


def test_recon_all_goes_on_where_it_was(scan, tmp_path, monkeypatch):
    """With a folder of the subject it refuses -i; an aseg without its mark of the end is not taken for a result."""
    log = tmp_path / "arguments"
    install("recon-all", tmp_path / "bin", monkeypatch, f'#!/bin/sh\necho "$@" >> {log}\nexit 1\n')
    begun = tmp_path / "work/sub-01/mri"
    begun.mkdir(parents=True)
    nib.save(nib.MGHImage(np.ones(SHAPE, np.int32), AFFINE), begun / "aseg.mgz")
    with pytest.raises(InputError, match="status 1"):
        segment(scan[0], "recon-all", subject="sub-01", folder=tmp_path / "work")
    assert log.read_text().split() == ["-sd", str(tmp_path / "work"), "-s", "sub-01", "-all", "-openmp", "1"]


def test_a_tool_that_fails_or_answers_nothing(scan, tmp_path, monkeypatch):
    install("synthseg", tmp_path / "bin", monkeypatch, "#!/bin/sh\necho one\necho out of memory\nexit 137\n")
    with pytest.raises(InputError, match=r"status 137, its last words: one \| out of memory"):
        segment(scan[0], "synthseg", subject="sub-01", folder=tmp_path / "work")
    install("synthseg", tmp_path / "bin", monkeypatch, "#!/bin/sh\nexit 0\n")
    with pytest.raises(InputError, match=r"wrote no sub-01\.nii\.gz"):
        segment(scan[0], "synthseg", subject="sub-01", folder=tmp_path / "work")
    empty = ANSWER.format(python=sys.executable, arguments=SYNTHSEG).replace("data.astype", "(0 * data).astype")
    install("synthseg", tmp_path / "bin", monkeypatch, empty)
    with pytest.raises(InputError, match="found no labels"):
        segment(scan[0], "synthseg", subject="sub-01", folder=tmp_path / "work", threads=3)
