"""Downloads against a server of the test's own that resumes, ignores, breaks off, changes or refuses."""

import hashlib
import json
import logging
import re
from types import SimpleNamespace

import pytest

from smgicnet.core import download as module
from smgicnet.core.download import download, download_all
from smgicnet.core.errors import InputError
from tests.support.server import NEW, OLD


def digest(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights" / "weights.h5"


def names(path):
    return sorted(file.name for file in path.parent.iterdir())


def broken_off(server, path, *, at=1_000_000):
    """A first call of which ``at`` bytes came."""
    server.breaks = [at]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TRIES", 1)
        with pytest.raises(InputError):
            download(server.url, path)
    assert names(path) == ["weights.h5.part", "weights.h5.part.json"]
    assert path.with_name("weights.h5.part").stat().st_size == at
    server.requests.clear()


def test_whole_with_its_record_and_progress(server, path, monkeypatch, caplog):
    monkeypatch.setattr(module, "PROGRESS_S", 0.0)
    caplog.set_level(logging.INFO)
    assert download(server.url, path, sha256=digest(OLD), licence="Apache-2.0") == path
    assert path.read_bytes() == OLD
    assert names(path) == ["weights.h5", "weights.h5.json"]
    record = json.loads(path.with_name("weights.h5.json").read_text())
    assert record.pop("date").startswith("20")
    assert record == {"url": server.url, "sha256": digest(OLD), "checked": ["sha256"], "licence": "Apache-2.0"}
    assert server.requests == [(None, None)]
    assert f"weights.h5.part: fetching 3.0 MB from {server.url}" in caplog.text
    assert re.search(r"weights\.h5\.part: \d\.\d MB of 3\.0 MB, \d\d%, [\d.]+ MB/s, 0:00:00 left", caplog.text)
    assert "3.0 MB of 3.0 MB, 100%" in caplog.text


def test_progress_of_a_large_file():
    said = module._progress(1_500_000_000, 6_600_000_000, 5e6)
    assert said == "1,500.0 MB of 6,600.0 MB, 23%, 5.0 MB/s, 0:17:00 left"


def test_an_md5_is_checked_and_recorded_where_only_that_is_known(server, path):
    md5 = hashlib.md5(OLD).hexdigest()
    download(server.url, path, md5=md5)
    record = json.loads(path.with_name("weights.h5.json").read_text())
    assert (record["checked"], record["md5"], record["sha256"]) == (["md5"], md5, digest(OLD))
    download(server.url, path, md5=md5)
    with pytest.raises(InputError, match=rf"its md5 is {md5}, not {'0' * 32}\. Remove it"):
        download(server.url, path, md5="0" * 32)
    assert path.read_bytes() == OLD


def test_a_file_that_is_there_is_not_fetched_again(server, path):
    path.parent.mkdir()
    path.write_bytes(NEW)
    for sha256 in (None, digest(NEW)):
        assert download(server.url, path, sha256=sha256) == path
    with pytest.raises(InputError, match=rf"its sha256 is {digest(NEW)}, not {digest(OLD)}\. Remove it"):
        download(server.url, path, sha256=digest(OLD))
    assert not server.requests
    assert path.read_bytes() == NEW


@pytest.mark.parametrize(("tag", "date"), [('"old"', None), (None, "Mon, 01 Jan 2024 00:00:00 GMT"),
                                           ('W/"weak"', "Mon, 01 Jan 2024 00:00:00 GMT")])  # fmt: skip
def test_a_later_call_resumes(server, path, tag, date):
    server.tag, server.date = tag, date
    if date:
        server.if_range = False  # the test's server knows one kind of If-Range; what is sent is checked below
    broken_off(server, path)
    assert download(server.url, path, sha256=digest(OLD)).read_bytes() == OLD
    assert server.requests == [("bytes=1000000-", date or tag)]
    assert names(path) == ["weights.h5", "weights.h5.json"]


@pytest.mark.parametrize("short_ranges", [False, True])
def test_a_transfer_that_breaks_off_is_resumed_in_the_same_call(server, path, short_ranges, caplog):
    caplog.set_level(logging.INFO)
    server.short_ranges = short_ranges
    server.breaks = [1_000_000, 500_000]
    assert download(server.url, path).read_bytes() == OLD
    assert [asked for asked, _ in server.requests] == [None, "bytes=1000000-", "bytes=1500000-"]
    assert "the transfer ended after 1,000,000 of 3,000,000 bytes; trying again" in caplog.text


def test_a_server_that_resumes_nothing_sends_all_again(server, path):
    server.ranges = False
    server.breaks = [1_000_000]
    assert download(server.url, path).read_bytes() == OLD
    assert len(server.requests) == 2


def test_nothing_is_resumed_without_a_version_or_from_another_url(server, path):
    server.tag = None
    broken_off(server, path)
    assert download(server.url, path).read_bytes() == OLD
    assert server.requests == [(None, None)]
    server.tag, path = '"old"', path.parent / "again" / path.name
    broken_off(server, path)
    assert download(server.url + "?other", path).read_bytes() == OLD
    assert server.requests == [(None, None)]


@pytest.mark.parametrize("if_range", [True, False])
def test_two_states_of_a_file_are_never_put_together(server, path, if_range):
    broken_off(server, path)
    server.content, server.tag, server.if_range = NEW, '"new"', if_range
    assert download(server.url, path, sha256=digest(NEW)).read_bytes() == NEW
    assert len(server.requests) == (1 if if_range else 2)


def test_a_file_that_got_shorter_is_fetched_anew(server, path):
    broken_off(server, path)
    server.content, server.if_range = NEW[:500_000], False
    assert download(server.url, path).read_bytes() == NEW[:500_000]


def test_a_transfer_that_always_breaks_off_keeps_what_came(server, path):
    server.breaks = [10_000] * 20
    with pytest.raises(InputError) as error:
        download(server.url, path, by_hand="The authors list it under Models")
    assert len(server.requests) == module.TRIES
    assert str(error.value) == (
        f"{path}: cannot be fetched from {server.url}: the transfer ended after 50,000 of 3,000,000 bytes; what came"
        f" (0.1 MB) is kept, and resumed where the server can. Fetch {server.url} by hand and save it as {path}. The"
        " authors list it under Models."
    )
    assert path.with_name("weights.h5.part").read_bytes() == OLD[:50_000]
    assert not path.exists()


def test_without_a_length_what_came_is_what_there_is(server, path):
    server.length = False
    assert download(server.url, path).read_bytes() == OLD


@pytest.mark.parametrize("checksum", ["sha256", "md5"])
def test_a_wrong_checksum_leaves_nothing_behind(server, path, checksum):
    right, wrong = (hashlib.new(checksum, content).hexdigest() for content in (OLD, NEW))
    download(server.url, path)
    path.unlink()  # but not the record beside it
    with pytest.raises(InputError, match=rf"its {checksum} is {right}, not {wrong}; it was removed\. Fetch .* by hand"):
        download(server.url, path, **{checksum: wrong})
    assert names(path) == []
    assert download(server.url, path, **{checksum: right}).read_bytes() == OLD


def test_what_does_not_fit_is_not_begun(server, path, monkeypatch):
    """Only what is still missing has to fit."""
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1_999_999))
    with pytest.raises(InputError) as error:
        download(server.url, path)
    assert str(error.value) == (
        f"{path.parent}: 3.0 MB are needed for weights.h5.part, and 2.0 MB are free. Make room there, or name a place"
        " on another disk in the config."
    )
    assert names(path) == []
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: SimpleNamespace(free=3_000_000))
    broken_off(server, path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1_999_999))
    with pytest.raises(InputError, match=r"2\.0 MB are needed"):
        download(server.url, path)
    assert names(path) == ["weights.h5.part", "weights.h5.part.json"]
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: SimpleNamespace(free=2_000_000))
    assert download(server.url, path).read_bytes() == OLD


def test_what_was_ended_during_the_check_is_not_fetched_again(server, path, monkeypatch):
    def ended(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "digests", ended)
        with pytest.raises(KeyboardInterrupt):
            download(server.url, path)
    assert download(server.url, path, sha256=digest(OLD)).read_bytes() == OLD
    assert len(server.requests) == 1
    assert names(path) == ["weights.h5", "weights.h5.json"]


def test_404_says_what_to_do_at_once(server, path):
    server.statuses = [404]
    with pytest.raises(InputError, match=rf"HTTP Error 404.*\. Fetch {server.url} by hand and save it as {path}\."):
        download(server.url, path)
    assert len(server.requests) == 1
    assert names(path) == []


def test_an_overloaded_server_is_asked_again(server, path):
    server.statuses = [503, 500]
    assert download(server.url, path).read_bytes() == OLD


def test_connection_refused_and_no_url(server, path):
    url = server.url
    server.server_close()
    with pytest.raises(InputError, match=r"refused.*by hand"):
        download(url, path)
    for url in ("weights.h5", "nothing://here/weights.h5", "http://127.0.0.1:port/weights.h5"):
        with pytest.raises(InputError, match="by hand"):
            download(url, path)


def test_of_several_one_that_fails_does_not_keep_back_the_others(server, path, caplog):
    server.statuses = [404]
    first, second = path.with_name("first.h5"), path.with_name("second.h5")
    known = {"url": server.url, "sha256": digest(OLD), "licence": "MIT"}
    wanted = {
        "a": {**known, "file": str(first)},
        "b": {**known, "file": str(second)},
        "c": {**known, "file": "own.h5", "url": None},
    }
    with pytest.raises(InputError, match="404"):
        download_all(wanted)
    assert names(path) == ["second.h5", "second.h5.json"]
    assert "a: " in caplog.text
    download_all(wanted)
    assert first.read_bytes() == second.read_bytes() == OLD


def test_from_a_folder(path, tmp_path):
    source = tmp_path / "with space.h5"
    source.write_bytes(OLD)
    path.parent.mkdir()
    path.with_name("weights.h5.part").write_bytes(NEW[:100])
    state = {"url": source.as_uri(), "version": "Mon, 01 Jan 2024 00:00:00 GMT"}
    path.with_name("weights.h5.part.json").write_text(json.dumps(state))
    assert download(source.as_uri(), path, sha256=digest(OLD)).read_bytes() == OLD
    with pytest.raises(InputError, match="No such file"):
        download((tmp_path / "nothing.h5").as_uri(), tmp_path / "other.h5")
