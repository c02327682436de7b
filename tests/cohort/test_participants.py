"""The user's own table: everyone in it is read, and nothing replaces it."""

import pytest

from smgicnet.cohort.participants import read_participants
from smgicnet.cohort.sources import plan_cohort
from smgicnet.core.errors import InputError


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
