"""Every malformed input gets an answer that names what is wrong; good ones pass."""

import pytest

from tests.malformed import GOOD, MALFORMED, ask, table_of

pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),  # of nibabel, on affines that are not finite
    pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning"),  # of torch, before it refuses one
]


def test_every_malformed_input_is_answered_clearly(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(MALFORMED) >= 40
    answers = [ask(case, tmp_path / f"{number:02d}") for number, case in enumerate(MALFORMED, start=1)]
    table = table_of(answers, tmp_path)
    (tmp_path / "malformed.md").write_text(table)
    print(f"\n{table}")
    assert [f"{one.case.what}: {one.first_line}" for one in answers if not one.clear] == []
    assert list(tmp_path.glob("run-by-*")) == []  # nothing that an input carries has been run


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.what)
def test_good_inputs_pass(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = ask(case, tmp_path / "good")
    assert answer.first_line == "accepted"
    assert list(tmp_path.glob("run-by-*")) == []
