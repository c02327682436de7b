"""Records of what a result was made from."""

import json
import os

import pytest

from smgicnet.core.provenance import distinct, files_digest, listed, merged_records, sha256, versions, write_record


@pytest.fixture
def files(tmp_path):
    for name, content in (("a", "1"), ("b", "2"), ("c", "1")):
        (tmp_path / name).write_text(content)
    return tmp_path


def test_a_digest_is_of_contents_in_their_order(files):
    assert files_digest([files / "a", files / "b"]) == files_digest([files / "c", files / "b"])
    assert files_digest([files / "a", files / "b"]) != files_digest([files / "b", files / "a"])
    assert files_digest([files / "a"]) != files_digest([files / "b"])
    before = files_digest([files / "a"])
    os.utime(files / "a", (0, 0))
    assert files_digest([files / "a"]) == before


def test_files_are_listed_as_seen_from_a_folder(files):
    (files / "tables").mkdir()
    assert listed([files / "a"], files / "tables") == [{"path": "../a", "sha256": sha256(b"1")}]


def test_a_record_has_its_facts_versions_and_hardware(tmp_path):
    write_record(tmp_path / "new/record.json", seconds=1.5)
    record = json.loads((tmp_path / "new/record.json").read_text())
    assert record["seconds"] == 1.5
    assert record["versions"]["numpy"] == versions(["numpy"])["numpy"]
    assert "cores" in record["hardware"]


def test_records_are_merged_without_repetition(tmp_path):
    for name, hardware in (("one", "x"), ("two", "y"), ("three", "x")):
        (tmp_path / name).write_text(json.dumps({"versions": {"python": "3"}, "hardware": hardware}))
    merged = merged_records([tmp_path / name for name in ("one", "two", "three")])
    assert merged["hardware"] == ["x", "y"]
    assert merged["versions"] == [{"python": "3"}]
    assert distinct([{"a": 1}, {"a": 2}, {"a": 1}, {}], "a") == [1, 2]
