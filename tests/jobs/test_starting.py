"""What a run says of itself."""

import os
from pathlib import Path

from smgicnet.config.completion import complete
from smgicnet.jobs.starting import pages_since
from smgicnet.jobs.study import Study


def test_a_run_names_the_pages_that_it_has_written(tmp_path):
    dataset = {"source": {"kind": "phantom"}}
    config = complete({"datasets": {"one": dataset, "two": dataset}, "methods": {"initial": {"type": "initial"}}})
    study = Study(config, results=tmp_path)
    assert pages_since(study, 0) == []
    pages = [tmp_path / name for name in ("one/report/index.html", "two/report/index.html", "arena/index.html")]
    for page, written in zip(pages, (50, 150, 160)):
        page.parent.mkdir(parents=True)
        page.touch()
        os.utime(page, (written, written))
    assert [Path(page) for page in pages_since(study, 100)] == pages[1:]
