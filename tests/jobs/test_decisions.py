"""What is decided when a run starts is written down, and its jobs read that and nothing else."""

import json

import pytest

from smgicnet.config.completion import complete
from smgicnet.core.errors import InputError
from smgicnet.jobs.decisions import Decisions, decide, read_decisions, write_decisions


@pytest.fixture
def config(tmp_path, monkeypatch):
    """GradICON in the affine arm, whose weights are not there, and a method that runs in the arm raw alone."""
    monkeypatch.chdir(tmp_path)
    methods = {"initial": {"type": "initial", "arms": ["raw"]}, "gradicon": {"type": "gradicon"}}
    datasets = {"mini": {"source": {"kind": "phantom"}, "grid": {"shape": [16, 16, 16], "spacing": 13}}}
    return complete({"datasets": datasets, "methods": methods, "affine": {"engine": "ants"}}, "test")


def test_a_method_without_its_weights_is_left_out_and_asks_for_no_engine(config, tmp_path):
    assert decide(config, conda=False) == Decisions("", "", ("gradicon",))
    weights = tmp_path / config["methods"]["gradicon"]["published"]["file"]
    weights.parent.mkdir(parents=True)
    weights.touch()
    found = decide(config, conda=False)
    assert (found.engine, found.absent) == ("ants", ())
    assert found.reason


def test_jobs_read_what_was_written_for_their_config(config):
    with pytest.raises(InputError, match="it is not there, and a job needs what was decided"):
        read_decisions(config)
    decisions = Decisions("ants", "the config asks for it", ("gradicon",))
    write_decisions(config, decisions)
    assert read_decisions(config) == decisions
    with pytest.raises(InputError, match="it is not there"):
        read_decisions({**config, "seeds": [7]})


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        {"engine": "elastix", "reason": "", "absent": []},
        {"engine": "ants", "reason": "", "absent": ["another"]},
        {"engine": "ants", "reason": ""},
    ],
)
def test_what_does_not_fit_is_refused(config, tmp_path, content):
    write_decisions(config, Decisions("", "", ()))
    (path,) = (tmp_path / "results/started").iterdir()
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(InputError, match=r"started/.*\.json: not readable .*Start the workflow again"):
        read_decisions(config)
