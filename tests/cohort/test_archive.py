"""Archives as IXI and neurite-OASIS publish them, and what else one may be given under their names."""

import hashlib
import json
import tarfile
from pathlib import Path

import pytest
import yaml

from smgicnet.cohort import archive as module
from smgicnet.cohort.archive import (
    choose_subjects,
    extract,
    fetch_and_index,
    index_archive,
    read_index,
    require_license,
)
from smgicnet.cohort.participants import SPLITS, draw_splits
from smgicnet.core import download as downloading
from smgicnet.core.errors import InputError
from tests.support import ROOT
from tests.support.archives import header, write_tar

SOURCES = {
    name: yaml.safe_load((ROOT / f"config/{name}.yaml").read_text())["datasets"][name]["source"]
    for name in ("ixi", "oasis")
}
IXI = [f"IXI{number:03d}-{site}-{number + 700:04d}" for number, site in enumerate(["Guys", "HH", "IOP"] * 3)]
OASIS = [f"OASIS_OAS1_{number:04d}_MR1" for number in (1, 2, 3, 5, 7)]
KINDS = ("orig", "norm", "aligned_orig", "aligned_norm", "seg4", "seg35", "aligned_seg4", "aligned_seg35", "slice_norm")


def ixi_members():
    return {f"{name}-T1.nii.gz": name.encode() * 50 for name in reversed(IXI)}


def oasis_members():
    members = {"subjects.txt": b"\n".join(name.encode() for name in OASIS), "seg35_labels.txt": b"1 Left"}
    for name in OASIS:
        members |= {f"./{name}/{kind}.nii.gz": f"{name} {kind}".encode() for kind in KINDS}
    return members


def index(path, name="ixi"):
    return index_archive(path, SOURCES[name]["image"], SOURCES[name].get("labels"))


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_ixi(tmp_path, form):
    """Also with what macOS adds, another folder, and a long name where the format has such."""
    members = ixi_members()
    folder = "n" * (50 if form == tarfile.USTAR_FORMAT else 300)
    members[f"{folder}/{IXI[4]}-T1.nii.gz"] = members.pop(f"{IXI[4]}-T1.nii.gz")
    extra = dict.fromkeys([f"._{IXI[0]}-T1.nii.gz", "IXI999-XX-0001-T1.nii.gz", f"{IXI[0]}-T1.nii.gz.txt"], b"x")
    path = write_tar(tmp_path / "a.tar", members | extra, format=form)
    found = index(path)
    assert found.columns.tolist() == ["origin", "image_offset", "image_size", "image_member"]
    assert found["origin"].tolist() == sorted(IXI)
    assert index_archive(path, r"(?P<subject>IXI\d{3}-(?:Guys|HH|IOP)-\d{4})-T1\.nii\.gz$").equals(found)
    assert found["image_member"].tolist()[4] == f"{folder}/{IXI[4]}-T1.nii.gz"
    with tarfile.open(path) as tar:
        for _, row in found.iterrows():
            extract(path, row["image_offset"], row["image_size"], tmp_path / "out.nii.gz")
            assert (tmp_path / "out.nii.gz").read_bytes() == tar.extractfile(row["image_member"]).read()


def test_oasis_takes_the_unaligned_files(tmp_path, caplog):
    members = oasis_members()
    del members[f"./{OASIS[1]}/seg35.nii.gz"]
    caplog.set_level("INFO")
    path = write_tar(tmp_path / "a.tar", members)
    found = index(path, "oasis").set_index("origin")
    assert found.index.tolist() == [name for name in OASIS if name != OASIS[1]]
    assert f"1 subject(s) have no labels and are left out: {OASIS[1]}\n" in caplog.text
    for kind, file in (("image", "norm"), ("labels", "seg35")):
        row = found.loc[OASIS[3]]
        assert row[f"{kind}_member"] == f"{OASIS[3]}/{file}.nii.gz"
        extract(path, row[f"{kind}_offset"], row[f"{kind}_size"], tmp_path / "out")
        assert (tmp_path / "out").read_text() == f"{OASIS[3]} {file}"


def test_of_many_without_labels_five_are_named(tmp_path, caplog):
    members = {f"OASIS_OAS1_{number:04d}_MR1/norm.nii.gz": b"x" for number in range(1, 8)}
    members["OASIS_OAS1_0009_MR1/seg35.nii.gz"] = b"x"
    path = tmp_path / "a.tar"
    with pytest.raises(InputError, match="no subject has both image and labels"):
        index(write_tar(path, members), "oasis")
    caplog.clear()
    assert len(index(write_tar(path, {**members, "OASIS_OAS1_0001_MR1/seg35.nii.gz": b"x"}), "oasis")) == 1
    assert "6 subject(s) have no labels" in caplog.text
    assert "OASIS_OAS1_0006_MR1, ...\n" in caplog.text
    assert "1 subject(s) have no image and are left out: OASIS_OAS1_0009_MR1\n" in caplog.text
    for lacking, pattern in (("norm", "source.image"), ("seg35", "source.labels")):
        rest = {name: b"x" for name in oasis_members() if not name.endswith(f"/{lacking}.nii.gz")}
        with pytest.raises(InputError, match=rf"no member is like .*/{lacking}.*'subjects.txt'.*Correct {pattern}"):
            index(write_tar(path, rest), "oasis")


def special(name, kind, target="", **pax_headers):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.pax_headers = kind, target, pax_headers
    return {info: b""}


HOLES = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.size": "9", "GNU.sparse.map": "0,0"}


FAULTS = {
    "absolute path": (lambda: {"/etc/IXI002-Guys-0828-T1.nii.gz": b"x"}, "outside its folder"),
    "path upwards": (lambda: {"a/../../x": b"x"}, "outside its folder"),
    "path upwards of Windows": (lambda: {"a\\..\\x": b"x"}, "outside its folder"),
    "drive": (lambda: {"C:/x": b"x"}, "outside its folder"),
    "symbolic link": (lambda: special("link", tarfile.SYMTYPE, "/etc/passwd"), "is a link"),
    "hard link": (lambda: special("link", tarfile.LNKTYPE, "IXI000-Guys-0700-T1.nii.gz"), "is a link"),
    "device": (lambda: special("null", tarfile.CHRTYPE), "neither a file nor a folder"),
    "pipe": (lambda: special("pipe", tarfile.FIFOTYPE), "neither a file nor a folder"),
    "stored with holes": (lambda: special("IXI900-HH-1234-T1.nii.gz", tarfile.REGTYPE, **HOLES), "stored with holes"),
    "control character": (lambda: {"\x1b[2J/IXI900-HH-1234-T1.nii.gz": b"x"}, "control characters"),
    "not UTF-8": (lambda: {"\udcff/IXI900-HH-1234-T1.nii.gz": b"x"}, r"\\udcff.*control characters"),
    "two of one subject": (lambda: {"again/IXI000-Guys-0700-T1.nii.gz": b"x"}, "both the image"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_hostile_members(tmp_path, fault):
    make, problem = FAULTS[fault]
    path = write_tar(tmp_path / "a.tar", ixi_members())
    index(path)
    with pytest.raises(InputError, match=problem) as caught:
        index(write_tar(path, ixi_members() | make()))
    assert caught.value.source == str(path)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "size", "problem"),
    [
        (tarfile.REGTYPE, -512, "'x' is -512 bytes long; nothing was extracted"),  # tarfile would read it for ever
        (tarfile.XHDTYPE, 1 << 30, "a header of 1073741824 bytes"),  # and this into memory
        (tarfile.XHDTYPE, -1024, "a header of -1024 bytes"),
        (tarfile.GNUTYPE_LONGNAME, 1 << 30, "a header of 1073741824 bytes"),
        (tarfile.REGTYPE, 1 << 61, "ends early|not a readable tar"),
    ],
)
def test_sizes_that_no_member_has(tmp_path, kind, size, problem):
    path = write_tar(tmp_path / "a.tar", ixi_members())
    content = path.read_bytes()
    path.write_bytes(content[: 9 * 1536] + header(kind, size) + bytes(10240))
    with pytest.raises(InputError, match=problem):
        index(path)


def test_headers_of_headers(tmp_path):
    """`tarfile` calls itself for each."""
    path = tmp_path / "a.tar"
    path.write_bytes(header(tarfile.XHDTYPE, 0) * 3000 + write_tar(path, ixi_members()).read_bytes())
    with pytest.raises(InputError, match="not a readable tar"):
        index(path)


@pytest.mark.parametrize("subject", ["..", "a b", "", "<b>"])
def test_names_of_subjects(tmp_path, subject):
    path = write_tar(tmp_path / "a.tar", {f"[{subject}].nii": b"x"})
    with pytest.raises(InputError, match=r"the subject name .* is not allowed"):
        index_archive(path, r"\[(?P<subject>.*)\]\.nii$")


def test_patterns(tmp_path):
    path = write_tar(tmp_path / "a.tar", ixi_members())
    for pattern, problem in (("(?P<subject>", "no regular expression"), ("IXI", "no group")):
        with pytest.raises(InputError, match=rf"^source\.labels: .*{problem}"):
            index_archive(path, SOURCES["ixi"]["image"], pattern)


def test_names_are_shown_escaped(tmp_path):
    with pytest.raises(InputError) as caught:
        index(write_tar(tmp_path / "a.tar", {"../\x1b[31m": b"x"}))
    assert "\\x1b" in str(caught.value)


def test_what_is_no_archive(tmp_path):
    path = tmp_path / "a.tar"
    with pytest.raises(InputError, match="no such archive"):
        index(path)
    for mode, problem in (("w:gz", "gzip"), ("w:bz2", "bzip2"), ("w:xz", "xz")):
        with pytest.raises(InputError, match=f"compressed by {problem}"):
            index(write_tar(path, ixi_members(), mode=mode))
    path.write_text("<html>Moved</html>" * 100)
    with pytest.raises(InputError, match="not a readable tar"):
        index(path)
    write_tar(path, {"README": b"x"})
    with pytest.raises(InputError, match=r"no member is like .*'README'"):
        index(path)


def test_a_name_that_begins_like_a_compressed_file(tmp_path):
    path = write_tar(tmp_path / "a.tar", {"BZh/IXI002-Guys-0828-T1.nii.gz": b"x"})
    assert len(index(path)) == 1
    path.write_bytes(path.read_bytes()[:1024])
    with pytest.raises(InputError, match="ends early"):
        index(path)


@pytest.mark.parametrize("where", ["header", "data", "before the end", "in the end"])
@pytest.mark.parametrize("member", [0, 5, 8])
def test_an_archive_that_ends_early(tmp_path, member, where):
    path = write_tar(tmp_path / "a.tar", ixi_members())
    start = member * 1536  # each has 800 bytes
    kept = {"header": start + 100, "data": start + 600, "before the end": 9 * 1536, "in the end": 9 * 1536 + 300}[where]
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match="not a readable tar" if kept < 512 else f"ends early, after {kept:,} bytes"):
        index(path)


@pytest.mark.parametrize("member", [0, 3, 8])
def test_an_archive_with_a_damaged_header(tmp_path, member):
    """`tarfile` takes it for the end."""
    path = write_tar(tmp_path / "a.tar", ixi_members())
    content = bytearray(path.read_bytes())
    content[member * 1536 + 20] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"follows at byte {member * 1536:,}" if member else "not a readable tar"):
        index(path)


def test_who_is_drawn(tmp_path):
    found = index(write_tar(tmp_path / "a.tar", ixi_members()))
    counts = {"train": 4, "val": 0, "test": 2}
    drawn = choose_subjects(found, counts, 1, "a.tar")
    assert drawn.index.tolist() == [f"sub-{number:03d}" for number in range(1, 7)]
    assert drawn["split"].tolist() == ["train"] * 4 + ["test"] * 2
    assert drawn.columns.tolist() == ["split", *found.columns]
    splits = dict(zip(found["origin"], draw_splits(found["origin"], counts, 1)))  # the rule of all cohorts
    expected = [(split, name) for split in SPLITS for name in sorted(splits) if splits[name] == split]
    assert list(zip(drawn["split"], drawn["origin"])) == expected
    assert choose_subjects(found.iloc[::-1], counts, 1, "a.tar").equals(drawn)
    assert not choose_subjects(found, counts, 2, "a.tar")["origin"].equals(drawn["origin"])
    with pytest.raises(InputError, match="10 subjects are asked for, 9 are there"):
        choose_subjects(found, {"train": 8, "val": 0, "test": 2}, 1, "a.tar")


@pytest.fixture
def source(server, tmp_path):
    """IXI's source block, its archive on the test's own server."""
    server.content = write_tar(tmp_path / "a.tar", ixi_members()).read_bytes()
    return {
        **SOURCES["ixi"],
        "url": server.url,
        "md5": hashlib.md5(server.content).hexdigest(),
        "file": str(tmp_path / "resources/IXI-T1.tar"),
        "labels": None,
        "accept_license": None,
        "subjects": {"train": 4, "val": 2, "test": 3},
    }


def test_fetched_over_a_broken_line(source, server, tmp_path, caplog):
    caplog.set_level("INFO")
    server.breaks = [3000, 4000]
    fetch_and_index(source, tmp_path / "archive.tsv")
    assert [request[0] for request in server.requests] == [None, "bytes=3000-", "bytes=7000-"]
    table = read_index(tmp_path / "archive.tsv")
    assert table["split"].value_counts().to_dict() == {"train": 4, "val": 2, "test": 3}
    assert (tmp_path / "archive.tsv").read_text().startswith("subject\tsplit\torigin\timage_offset\timage_size\t")
    assert "9 of 9 subjects are drawn (train 4, val 2, test 3)" in caplog.text
    assert json.loads(Path(f"{source['file']}.json").read_text())["licence"] == source["licence"]
    name = table.at["sub-005", "origin"]
    extract(source["file"], *(int(table.at["sub-005", f"image_{key}"]) for key in ("offset", "size")), tmp_path / "one")
    assert (tmp_path / "one").read_bytes() == name.encode() * 50
    server.requests.clear()
    fetch_and_index(source, tmp_path / "archive.tsv")
    assert not server.requests


def test_put_there_by_hand(source, server, tmp_path):
    source = {**source, "url": None}
    with pytest.raises(InputError, match="there is no such archive"):
        fetch_and_index(source, tmp_path / "archive.tsv")
    path = write_tar(tmp_path / "own.tar", oasis_members())
    source |= SOURCES["oasis"] | {"url": None, "file": str(path), "subjects": {"train": 2, "val": 0, "test": 2}}
    with pytest.raises(InputError, match=r"its md5 is .* not 081392a8150ff99ab7a64a9ded377835"):
        fetch_and_index(source, tmp_path / "archive.tsv")
    fetch_and_index({**source, "md5": None}, tmp_path / "archive.tsv")
    table = read_index(tmp_path / "archive.tsv")
    assert (table["labels_member"] == table["origin"] + "/seg35.nii.gz").all()
    assert not server.requests


def test_what_cannot_be_fetched(source, server, tmp_path, monkeypatch):
    out = tmp_path / "archive.tsv"
    with pytest.raises(InputError, match="its md5 is"):
        fetch_and_index({**source, "md5": "0" * 32}, out)
    assert not list((tmp_path / "resources").iterdir())
    server.statuses = [404]
    with pytest.raises(InputError, match=r"404.*by hand and save it as"):
        fetch_and_index(source, out)
    monkeypatch.setattr(downloading, "TRIES", 2)
    server.breaks = [1000, 1000]
    with pytest.raises(InputError, match="is kept, and resumed"):
        fetch_and_index(source, out)
    assert not out.exists()


def test_terms_come_before_the_download(source, server, tmp_path):
    require_license(source)
    require_license({**source, "accept_license": True})
    with pytest.raises(InputError, match=r"CC BY-SA 3\.0, https://.*accept_license to true"):
        require_license({**source, "accept_license": False})
    with pytest.raises(InputError, match=r"^datasets\.ixi: "):
        require_license({**source, "accept_license": False}, "datasets.ixi")
    with pytest.raises(InputError, match="accept_license to true"):
        fetch_and_index({**source, "accept_license": False}, tmp_path / "archive.tsv")
    assert not server.requests
    fetch_and_index(source, tmp_path / "archive.tsv")
    require_license({**source, "accept_license": False})  # the file is there


def test_an_archive_that_was_replaced(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(b"short")
    with pytest.raises(InputError, match="not the archive that was indexed"):
        extract(path, 512, 100, tmp_path / "out")
    assert [file.name for file in tmp_path.iterdir()] == ["a.tar"]


def test_extraction_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 7)
    path = write_tar(tmp_path / "a.tar", ixi_members())
    row = index(path).iloc[2]
    extract(path, row["image_offset"], row["image_size"], tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == row["origin"].encode() * 50
