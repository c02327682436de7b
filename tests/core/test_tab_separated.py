"""Tables as people save them: what is taken as meant, and which row is named where it cannot be."""

import tracemalloc

import pandas as pd
import pytest

from smgicnet.core.errors import InputError
from smgicnet.core.tab_separated import MAX_FIELDS, read_tsv, write_tsv

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
