"""Landmarks in files: each form in its world, and what cannot be used is named."""

import numpy as np
import pytest

from smgicnet.core.errors import InputError
from smgicnet.imaging.landmarks import Landmarks, corresponding, read_landmarks, require_inside
from tests.support.grids import affine, centred

POINTS = np.array([[10.5, -20.0, 30.25], [-1.0, 2.0, 3.0]])
SLICER = """# Markups fiducial file version = 4.11
# CoordinateSystem = {}
# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID
vtkMRMLMarkupsFiducialNode_0,{}10.5,{}20.0,30.25,0,0,0,1,1,1,0,AC,"anterior, commissure",,2,0
vtkMRMLMarkupsFiducialNode_1,{}1.0,{}2.0,3.0,0,0,0,1,1,1,0,PC,,,2,0
"""
RAS, LPS = ("", "-", "-", ""), ("-", "", "", "-")
FORMS = {  # file, text, and whether its landmarks have names
    "plain.csv": ("x,y,z\n10.5,-20,30.25\n-1,2,3\n", False),
    "spaces and a byte order mark.csv": ("\ufeffX, Y ,Z\r\n10.5, -20, 30.25\r\n\r\n-1,2,3\r\n", False),
    "order.csv": ('label,z,y,x\n"AC",30.25,-20,10.5\nPC,3,2,-1\n', True),
    "empty labels.csv": ("x,y,z,label\n10.5,-20,30.25,\n-1,2,3,\n", False),
    "comment.csv": ("# from somewhere\n# CoordinateSystem = LPS\nx,y,z,label\n-10.5,20,30.25,AC\n1,-2,3,PC\n", True),
    "column.csv": ("x,y,z,coords\n-10.5,20,30.25,LPS\n1,-2,3,lps\n", False),
    "said.csv": ("# coordinatesystem=RAS\nx,y,z\n10.5,-20,30.25\n-1,2,3\n", False),
    "new.fcsv": (SLICER.format("LPS", *LPS), True),
    "ras.fcsv": (SLICER.format("RAS", *RAS), True),
    "old ras.fcsv": (SLICER.format("0", *RAS), True),
    "old lps.fcsv": (SLICER.format("1", *LPS), True),
}


def write(path, text):
    path.write_bytes(text.encode())
    return path


def landmarks(points, labels=None, path="l.csv"):
    return Landmarks(path, np.array(points, float).reshape(-1, 3), labels and tuple(labels))


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_points_in_ras_mm(name, tmp_path):
    text, named = FORMS[name]
    found = read_landmarks(write(tmp_path / name, text))
    np.testing.assert_allclose(found.points, POINTS)
    assert found.labels == (("AC", "PC") if named else None)


FAULTS = {
    "voxels without a header": ("a.csv", "12,13,14\n15,16,17\n", "no header: in such files, as Learn2Reg's"),
    "semicolons": ("a.csv", "x;y;z\n1;2;3\n", "missing in its header 'x;y;z'"),
    "other columns": ("a.csv", "x,y,label\n1,2,3\n", r"columns \['z'\] are missing"),
    "a column twice": ("a.csv", "x,y,z,x\n1,2,3,4\n", "'x' stands twice"),
    "nothing": ("a.csv", "", "it is empty"),
    "only comments": ("a.csv", "# CoordinateSystem = RAS\n", "it is empty"),
    "no landmark": ("a.csv", "x,y,z\n", "it has no landmarks"),
    "a word": ("a.csv", "x,y,z\n1,2,3\n1,two,3\n", "line 3: y is 'two', not a finite number"),
    "not a number": ("a.csv", "x,y,z\n1,2,nan\n", "line 2: z is 'nan', not a finite number"),
    "infinite": ("a.csv", "x,y,z\n-inf,2,3\n", "line 2: x is '-inf'"),
    "Python's numbers": ("a.csv", "x,y,z\n1_0,2,3\n", "line 2: x is '1_0'"),
    "an empty field": ("a.csv", "x,y,z\n1,,3\n", "line 2: y is ''"),
    "a short line": ("a.csv", "x,y,z\n1,2\n", "line 2 has 2 fields and the header 3"),
    "a long line": ("a.csv", "x,y,z\n1,5,2,3\n", "line 2 has 4 fields and the header 3"),
    "an open quotation": ("a.csv", 'x,y,z\n"1,2,3\n', "line 2 is not a line of a CSV"),
    "a label twice": ("a.csv", "x,y,z,label\n1,2,3,AC\n4,5,6,AC\n", "the label 'AC' stands twice"),
    "a label missing": ("a.csv", "x,y,z,label\n1,2,3,AC\n4,5,6,\n", "a landmark has no label"),
    "another world": ("a.csv", "# CoordinateSystem = IJK\nx,y,z\n1,2,3\n", "its coordinate system is 'IJK'"),
    "two worlds": ("a.csv", "x,y,z,coords\n1,2,3,RAS\n1,2,3,LPS\n", "is 'LPS' and 'RAS'"),
    "Slicer's voxels": ("a.fcsv", SLICER.format("2", *RAS), "its coordinate system is '2'"),
    "Slicer's without a world": ("a.fcsv", "# columns = id,x,y,z\n1,1,2,3\n", "its coordinate system is ''"),
    "Slicer's new form": ("a.mrk.json", "{}", "not read from JSON"),
    "a NUL": ("a.csv", "x,y,z\n1,\0,3\n", "line 2"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_read_is_named(fault, tmp_path):
    name, text, problem = FAULTS[fault]
    with pytest.raises(InputError, match=problem) as caught:
        read_landmarks(write(tmp_path / name, text))
    assert caught.value.source == str(tmp_path / name)
    assert len(caught.value.remedy) > 10


def test_files_that_are_none(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"none\.csv: cannot be read"):
        read_landmarks(tmp_path / "none.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read_landmarks(tmp_path)
    (tmp_path / "l.csv").write_bytes(b"x,y,z\n\xff\xfe,2,3\n")
    with pytest.raises(InputError, match="not UTF-8"):
        read_landmarks(tmp_path / "l.csv")
    monkeypatch.setattr("smgicnet.imaging.landmarks.MAX_BYTES", 5)
    with pytest.raises(InputError, match="no file of landmarks"):
        read_landmarks(tmp_path / "l.csv")


def test_landmarks_correspond_by_label_or_else_by_order():
    ours = landmarks([[1, 0, 0], [2, 0, 0], [3, 0, 0]], ["a", "b", "c"], "ours.csv")
    theirs = landmarks([[30, 0, 0], [10, 0, 0], [40, 0, 0], [50, 0, 0]], ["c", "a", "d", "e"], "theirs.csv")
    for one, other in ((ours, theirs), (theirs, ours)):
        pairs = sorted((float(a), float(b)) for a, b in zip(*(points[:, 0] for points in corresponding(one, other))))
        assert pairs in ([(1, 10), (3, 30)], [(10, 1), (30, 3)])
    plain = landmarks([[7, 0, 0], [8, 0, 0], [9, 0, 0]], path="plain.csv")
    for one, other in ((ours, plain), (plain, ours)):
        found = corresponding(one, other)
        np.testing.assert_array_equal(found, (one.points, other.points))
    with pytest.raises(InputError, match=r"plain\.csv: it has 3 landmarks, and theirs\.csv has 4"):
        corresponding(theirs, plain)
    with pytest.raises(InputError, match=r"other\.csv: it has no label that ours\.csv has"):
        corresponding(ours, landmarks(POINTS, ["x", "y"], "other.csv"))


def test_a_landmark_lies_in_a_voxel_of_its_image():
    shape, matrix = (10, 12, 14), centred((10, 12, 14), affine((2, 2, 3), (-1, 1, 1), 20), (3, 4, 5))
    corners = np.array([[-0.5, -0.5, -0.5], [9.49, 11.49, 13.49], [4, 5, 6]])
    inside = corners @ matrix[:3, :3].T + matrix[:3, 3]
    require_inside(landmarks(inside), shape, matrix, "image.nii")
    for far in ([-0.6, 0, 0], [0, 11.6, 0], [0, 0, 14]):
        beyond = np.vstack([inside, matrix[:3, :3] @ far + matrix[:3, 3]])
        with pytest.raises(InputError, match=r"l\.csv: landmark 4, at \(.*\) in RAS mm, is outside image\.nii"):
            require_inside(landmarks(beyond), shape, matrix, "image.nii")
    with pytest.raises(InputError, match=r"landmark 'b', at .* and 1 more is outside"):
        require_inside(landmarks([*inside, [900, 0, 0], [0, 900, 0]], "axybc"[:2] + "qbc"), shape, matrix, "image.nii")
