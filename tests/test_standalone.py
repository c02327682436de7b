"""Training on the command line without Snakemake: what it refuses, and that it goes on where it was cut."""

import logging
import os
import signal

import numpy as np
import pytest
import yaml

from smgicnet import cli, training
from smgicnet.images import write_volume
from smgicnet.interruption import REQUEUE
from tests.helpers import SHAPE, blobs

SPLITS = {"a": "train", "b": "train", "c": "val", "d": "val", "e": "test", "f": "test"}
CONFIG = {
    "datasets": {"mine": {"source": {"kind": "phantom"}, "grid": {"shape": list(SHAPE), "spacing": 8}}},
    "methods": {
        "initial": {"type": "initial"},
        "net": {"type": "lapirn", "network": {"channels": 2}, "stages": [{"iterations": 2}] * 3},
    },
}


@pytest.fixture
def prepared(tmp_path):
    """A config and the prepared subjects of its dataset."""
    folder = tmp_path / "results/mine"
    (folder / "cohort").mkdir(parents=True)
    rows = "".join(f"{name}\t{split}\n" for name, split in SPLITS.items())
    (folder / "cohort/participants.tsv").write_text("subject\tsplit\n" + rows)
    for seed, name in enumerate(SPLITS):
        image = blobs(seed)[0, 0].numpy()
        write_volume(folder / f"raw/subjects/{name}/image.nii", image, np.eye(4))
        write_volume(folder / f"raw/subjects/{name}/labels.nii", (image > 0.5).astype(np.uint8) * 17, np.eye(4))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    return tmp_path / "config.yaml", folder


def run(prepared, method="net"):
    config, folder = prepared
    return cli.main(["train", str(config), method, str(folder)])


def test_what_is_left_out_by_quality_control_is_left_out(prepared, caplog, capsys):
    (prepared[1] / "raw/excluded.txt").write_text("f\nb\n")
    table = prepared[1] / "cohort/participants.tsv"
    table.write_text(table.read_text() + "g\t\n")  # in no split
    with caplog.at_level(logging.INFO):
        assert run(prepared) == 2
    assert "the split train: 1 images make no pair" in capsys.readouterr().err
    assert "3 stages, 1 subjects train, 2 validate, 1 test" in caplog.text


def test_cut_and_started_again(prepared, monkeypatch, capsys):
    draw = training._batch

    def cut(job, pairs, step, *rest):
        if step == 0 and job.folder.name == "level-2":
            os.kill(os.getpid(), signal.SIGTERM)
        return draw(job, pairs, step, *rest)

    with monkeypatch.context() as once:
        once.setattr(training, "_batch", cut)
        assert run(prepared) == REQUEUE
    said = capsys.readouterr().err
    assert "smgicnet train: interrupted by SIGTERM at iteration 1 of 2" in said
    assert not (prepared[1] / "raw/net/seed-1/level-2/weights.pt").exists()
    assert run(prepared) == 0
    assert (prepared[1] / "raw/net/seed-1/metrics.csv.gz").is_file()
    assert not list(prepared[1].rglob("checkpoint.pt"))


def test_weights_of_another_config_are_not_taken(prepared, capsys):
    assert run(prepared) == 0
    changed = yaml.safe_load(prepared[0].read_text())
    changed["methods"]["net"]["stages"] = [{"iterations": 3}] * 3
    prepared[0].write_text(yaml.safe_dump(changed))
    capsys.readouterr()
    assert run(prepared) == 2
    assert "level-1/weights.pt: these weights are of another config. Move" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["initial", "none"])
def test_a_method_that_is_not_trained(prepared, method, capsys):
    assert run(prepared, method) == 2
    assert f"{method} is no method that is trained in the arm raw. Name one of net." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("cohort/participants.tsv", "no such table. Prepare the subjects"),
        ("raw/subjects/e/labels.nii", "labels.nii: no such file. Prepare the subjects"),
    ],
)
def test_subjects_that_are_not_prepared(prepared, missing, message, capsys):
    (prepared[1] / missing).unlink()
    assert run(prepared) == 2
    assert message in capsys.readouterr().err
    assert not (prepared[1] / "raw/net").exists()


def test_a_folder_of_another_dataset(prepared, capsys):
    config, folder = prepared
    folder.rename(folder.with_name("yours"))
    assert run((config, folder.with_name("yours"))) == 2
    assert "has no dataset of that name. Name the folder of one of mine." in capsys.readouterr().err
