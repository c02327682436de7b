"""Cortical parcels: which ids they are by which protocol, and their way to the common grid."""

import numpy as np
import pytest

from smgicnet.core.layout import PREPARED
from smgicnet.imaging.grids import Grid
from smgicnet.imaging.images import read_labels, write_volume
from smgicnet.preparation.label_protocols import label_table, map_labels
from smgicnet.preparation.parcels import map_parcels, parcel_labels, parcel_names, parcel_table
from smgicnet.preparation.preprocessing import prepare, write_prepared
from tests.support.heads import head

GRID = Grid((16, 16, 16), 4.0)
IDS = {"freesurfer": [*range(1001, 1036), *range(2001, 2036)], "a2009s": [*range(11101, 11176), *range(12101, 12176)]}


def codes(labels, mapping="freesurfer"):
    return map_parcels(np.array([[labels]]), mapping)[0, 0].tolist()


def test_the_table_has_all_parcels_and_a_byte_for_each():
    table = parcel_table()
    assert table["code"].tolist() == list(range(1, 221))
    assert table["label"].tolist() == IDS["freesurfer"] + IDS["a2009s"]
    assert len(set(parcel_names().values())) == 220
    for protocol, ids in IDS.items():
        rois = label_table(protocol).set_index("label")["roi"]
        own = table[table["label"].isin(ids)]
        assert own["roi"].tolist() == rois[own["label"]].tolist()  # the cortex of its side
    names = parcel_names()
    assert [names[code] for code in (1, 35, 36, 71, 220)] == [
        "ctx-lh-bankssts",
        "ctx-lh-insula",
        "ctx-rh-bankssts",
        "ctx_lh_G_and_S_frontomargin",
        "ctx_rh_S_temporal_transverse",
    ]


def test_ids_are_parcels_where_their_protocol_says_that_they_are_cortex(tmp_path):
    labels = [0, 3, 42, 1000, 1001, 1035, 1036, 2001, 11101, 12175, 13101, 99999, -5]
    assert codes(labels) == [0, 0, 0, 0, 1, 35, 0, 36, 0, 0, 0, 0, 0]
    assert codes(labels, "a2009s") == [0, 0, 0, 0, 0, 0, 0, 0, 71, 220, 0, 0, 0]
    assert codes(labels, "aparc.DKT") == [0, 0, 0, 0, 0, 35, 0, 0, 0, 0, 0, 0, 0]  # DKT has no bankssts
    assert not any(codes(range(40), "seg35"))
    rows = "1001\t2\tLeft-Cerebral-White-Matter\n1002\t3\tLeft-Cerebral-Cortex\n"
    (tmp_path / "own.tsv").write_text("label\troi\tname\n" + rows)
    assert codes([1001, 1002], str(tmp_path / "own.tsv")) == [0, 2]


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int32])
def test_a_map_of_any_type_is_read_and_written_back(kind):
    labels = np.array([0, 17, 255] if kind is np.uint8 else [0, 17, 1022, 2035], kind)
    there_and_back = parcel_labels(map_parcels(labels))
    assert there_and_back.dtype == np.int16
    assert there_and_back.tolist() == [int(label) if label > 1000 else 0 for label in labels]


@pytest.fixture
def files(tmp_path):
    """A head, with a label map of which a part of the cortex is a parcel, and one with the cortex as one ROI."""
    image, labels = head()
    plain = np.where(labels.data == 1022, 3, labels.data).astype(np.int16)
    fine = plain.copy()
    fine[:, 23:][plain[:, 23:] == 3] = 1028
    write_volume(tmp_path / "i.nii.gz", image.data, image.affine)
    write_volume(tmp_path / "l.nii.gz", fine, labels.affine)
    write_volume(tmp_path / "plain.nii.gz", plain, labels.affine)
    return tmp_path


def test_parcels_come_onto_the_common_grid_within_the_cortex(files):
    prepared = prepare(files / "i.nii.gz", files / "l.nii.gz", GRID)
    plain = prepare(files / "i.nii.gz", files / "plain.nii.gz", GRID)
    np.testing.assert_array_equal(prepared.labels, plain.labels)  # cortex it is nevertheless
    assert (prepared.parcels.dtype, prepared.parcels.shape) == (np.uint8, GRID.shape)
    (code,) = map_parcels(np.array([1028]))
    assert set(np.unique(prepared.parcels)) == {0, code}
    assert 10 < (prepared.parcels > 0).sum() < (prepared.labels == 3).sum()
    assert (prepared.labels[prepared.parcels > 0] == 3).all()
    assert (prepared.report["parcels"], plain.report["parcels"]) == (1, 0)
    assert not plain.parcels.any()


@pytest.mark.parametrize(("labels", "some"), [("l.nii.gz", True), ("plain.nii.gz", False), (None, False)])
def test_the_file_of_parcels_is_always_there(files, labels, some):
    prepared = prepare(files / "i.nii.gz", labels and files / labels, GRID)
    paths = {kind: files / "out" / name for kind, name in PREPARED.items()}
    write_prepared(prepared, paths)
    stored = read_labels(paths["parcels"])
    assert stored.data.any() == some
    np.testing.assert_allclose(stored.affine, prepared.affine, atol=1e-5)
    if some:
        np.testing.assert_array_equal(stored.data, prepared.parcels)
    else:
        assert paths["parcels"].stat().st_size < 500
    assert (map_labels(read_labels(paths["labels"]).data) > 0).any() == bool(labels)
