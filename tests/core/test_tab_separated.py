"""Tables as people save them: what is taken as meant, and which row is named where it cannot be."""

import tracemalloc

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from smgicnet.cohort.bids import can_be
from smgicnet.cohort.participants import read_participants
from smgicnet.cohort.sources import plan_cohort
from smgicnet.commands.check import check
from smgicnet.core.errors import InputError
from smgicnet.core.tab_separated import MAX_FIELDS, read_tsv, write_tsv
from smgicnet.preparation.label_protocols import label_table, map_labels, unknown_labels, unknown_sentence

ROWS = [["sub-1", '"5 feet', ""], ["sub-2", "it's", "x"], ["sub-3", '"left"', ""]]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_quotation_marks_and_line_ends_change_nothing(tmp_path, end, mark):
    lines = ["subject\tnote\tmore", *map("\t".join, ROWS), ""]
    (tmp_path / "t.tsv").write_bytes((mark + end.join(lines)).encode())
    table = read_tsv(tmp_path / "t.tsv")
    assert (list(table.columns), table.to_numpy().tolist()) == (["subject", "note", "more"], ROWS)


def test_tabs_at_the_end_blanks_and_blank_lines_shift_nothing(tmp_path):
    (tmp_path / "t.tsv").write_text("a\tb\t\n\n1 \t2\t\t\n  \n 3\t\t\n")
    assert read_tsv(tmp_path / "t.tsv").to_numpy().tolist() == [["1", "2"], ["3", ""]]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a\tb\n1\t2\n3\n", "line 3 has 1 fields and the header 2"),
        (b"a\tb\n\n1\t2\t3\n", "line 3 has 3 fields and the header 2"),
        (b"a\tb\ta\n", "'a' stands twice"),
        (b"a\t\tb\n1\t2\t3\n", "a column has no name"),
        (b"a,b\n1,2\n", "no tab is in its header 'a,b'"),
        ("a\tb\n1\t\xe9\n".encode("latin-1"), "line 2 is not UTF-8"),
        ("a\tb\n".encode("utf-16"), "UTF-16"),
        (b"a\tb\n1\t\0\n", "line 2 holds a NUL byte"),
        (b"a\tb\r1\t2\r3\t\0\r4\t5\r", r"line 3 holds a NUL byte: '3\\t\\x00'\."),
        (b"a\tb\r1\t2\r3\t\xff\r", "line 3 is not UTF-8"),
        (b"", "empty"),
    ],
)
def test_what_is_no_such_table_is_named_with_its_line(tmp_path, content, problem):
    (tmp_path / "t.tsv").write_bytes(content)
    with pytest.raises(InputError, match=problem):
        read_tsv(tmp_path / "t.tsv")


@pytest.mark.parametrize("junk", [b"\t", b"\r", b"a\n"])
def test_junk_is_refused_before_it_fills_the_memory(tmp_path, junk):
    (tmp_path / "t.tsv").write_bytes(b"a" + junk * (MAX_FIELDS + 1))
    tracemalloc.start()
    with pytest.raises(InputError, match=r"5,000,00\d tabs and line ends"):
        read_tsv(tmp_path / "t.tsv")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


def test_what_is_written_is_read_again(tmp_path):
    table = pd.DataFrame(ROWS, columns=["subject", "note", "more"])
    write_tsv(table, tmp_path / "t.tsv")
    pd.testing.assert_frame_equal(read_tsv(tmp_path / "t.tsv"), table.astype(str))
    with pytest.raises(InputError, match="holds a tab or a line break"):
        write_tsv(pd.DataFrame({"a": ["x\ty"]}), tmp_path / "t.tsv")


def test_nobody_vanishes_between_two_quotation_marks(tmp_path):
    for name in "abcde":
        (tmp_path / f"{name}.nii").touch()
    rows = [f'{name}\t{name}.nii\t{name}.nii\t{"train" if name < "c" else "test"}\t"{name}' for name in "abcde"]
    (tmp_path / "p.tsv").write_text("\n".join(["subject\timage\tlabels\tsplit\tnote", *rows]))
    assert list(read_participants(tmp_path / "p.tsv").index) == list("abcde")


def test_the_users_own_table_is_never_what_the_workflow_writes(tmp_path):
    dataset = {"source": {"kind": "participants", "path": str(tmp_path / "participants.tsv")}}
    dataset["preprocessing"] = {"segmentation": "given"}
    (tmp_path / "participants.tsv").write_text("subject\timage\n")
    (tmp_path / "link.tsv").symlink_to("participants.tsv")
    for name in ("participants.tsv", "link.tsv"):
        dataset["source"]["path"] = str(tmp_path / name)
        with pytest.raises(InputError, match=r"would replace the input\. Move your table") as caught:
            plan_cohort(dataset, tmp_path)
        assert caught.value.source == str(tmp_path / name)


def test_ids_that_a_protocol_lacks_are_counted():
    labels = np.array([0, 2, 2, 85, 251, 11101, 11101, 12175])
    assert unknown_labels(labels) == {11101: 2, 12175: 1}
    said = unknown_sentence(unknown_labels(labels), 7, "freesurfer")
    assert said.startswith("3 voxels (43 % of the labelled) have ids that the protocol freesurfer lacks")
    assert "a2009s" in said
    assert unknown_labels(labels, "a2009s") == {}
    assert map_labels(labels, "a2009s").tolist() == [0, 2, 2, 0, 0, 3, 3, 42]
    assert set(label_table("aparc.DKT")["label"]) - set(label_table()["label"]) == set()


def test_check_says_which_ids_count_as_background(tmp_path):
    rng = np.random.default_rng(0)
    for name, data in {"i": rng.random((9, 9, 9)), "l": rng.choice([2, 41, 11111], (9, 9, 9))}.items():
        image = nib.Nifti1Image(data.astype(np.float32), np.eye(4))
        nib.save(image, tmp_path / f"{name}.nii.gz")
    (tmp_path / "p.tsv").write_text("subject\timage\tlabels\ns\ti.nii.gz\tl.nii.gz\n")
    assert "ids that the protocol lacks, which count as background: 11111 (1)" in check(tmp_path / "p.tsv", 1).text


@pytest.mark.parametrize(
    ("text", "number", "fits"), [("01", 1, True), ("010", 8, True), ("010", 10, True), ("09", 9, True)]
)
def test_what_yaml_makes_of_an_unquoted_number(text, number, fits):
    assert can_be(text, number) is fits
    assert not can_be(text, 77)
    assert not can_be("a1", number)
