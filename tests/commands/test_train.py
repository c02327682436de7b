"""Training on the command line without Snakemake: what it refuses, and that it goes on where it was cut."""

import gzip
import json
import logging
import os
import shutil
import signal

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from smgicnet import cli
from smgicnet.commands import train as standalone
from smgicnet.core.interruption import REQUEUE
from smgicnet.core.provenance import files_digest
from smgicnet.imaging.images import write_volume
from smgicnet.methods.weights import read_weights
from smgicnet.scoring import pair, pair_metrics
from smgicnet.training import loop as training
from tests.support.images import SHAPE, blobs

SPLITS = {"a": "train", "b": "train", "c": "val", "d": "val", "e": "test", "f": "test"}
CONFIG = {
    "datasets": {"mine": {"source": {"kind": "phantom"}, "grid": {"shape": list(SHAPE), "spacing": 8}}},
    "methods": {
        "initial": {"type": "initial"},
        "net": {"type": "lapirn", "network": {"channels": 2}, "stages": [{"iterations": 2}] * 3},
    },
}
LABELLED = {
    "type": "smgicnet", "network": {"levels": 1, "channels": 4, "attention_gate": False}, "stages": [{"iterations": 2}],
    "objective": {"windows": [3], "alpha": [1], "beta": [1], "weights": {"labels": 1}},
}  # fmt: skip


@pytest.fixture
def prepared(tmp_path):
    """A config and the prepared subjects of its dataset."""
    folder = tmp_path / "results/mine"
    (folder / "cohort").mkdir(parents=True)
    rows = "".join(f"{name}\t{split}\n" for name, split in SPLITS.items())
    (folder / "cohort/participants.tsv").write_text("subject\tsplit\n" + rows)
    for seed, name in enumerate(SPLITS):
        image = blobs(seed)[0, 0].numpy()
        affine = np.diag([8, 8, 8, 1])
        write_volume(folder / f"raw/subjects/{name}/image.nii", image, affine)
        write_volume(folder / f"raw/subjects/{name}/labels.nii", (image > 0.5).astype(np.uint8) * 17, affine)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    return tmp_path / "config.yaml", folder


def change(prepared, how):
    content = yaml.safe_load(prepared[0].read_text())
    how(content)
    prepared[0].write_text(yaml.safe_dump(content))


def run(prepared, method="net"):
    config, folder = prepared
    return cli.main(["train", str(config), method, str(folder), "--threads", "1"])


@pytest.mark.parametrize("exclude", [True, False])
def test_what_quality_control_leaves_out_is_left_out_where_the_config_says_so(prepared, exclude, caplog, capsys):
    change(prepared, lambda config: config["datasets"]["mine"].update(quality={"exclude": exclude}))
    (prepared[1] / "raw/excluded.txt").write_text("f\nb\n")
    table = prepared[1] / "cohort/participants.tsv"
    table.write_text(table.read_text() + "g\t\n")  # in no split
    with caplog.at_level(logging.INFO):
        assert run(prepared) == (2 if exclude else 0)
    assert ("the split train: 1 images make no pair" in capsys.readouterr().err) == exclude
    count = (1, 2, 1) if exclude else (2, 2, 2)
    assert "3 stages, {} subjects train, {} validate, {} test".format(*count) in caplog.text


def test_landmarks_are_found_beside_the_table_of_participants(prepared):
    folder = prepared[1]
    rows = "".join(f"{name}\t{split}\t{'../e.csv' if name == 'e' else ''}\n" for name, split in SPLITS.items())
    (folder / "cohort/participants.tsv").write_text("subject\tsplit\tlandmarks\n" + rows)
    test = standalone.prepared_subjects(folder, excluding=False)["test"]
    assert [subject.landmarks for subject in test] == [folder / "cohort/../e.csv", None]


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


def test_weights_that_were_made_with_anything_else_are_not_taken(prepared, capsys, monkeypatch):
    assert run(prepared) == 0
    level = prepared[1] / "raw/net/seed-1"
    with monkeypatch.context() as other:
        other.setattr(standalone, "training_code", lambda kind: "other")
        assert run(prepared) == 2
    assert (
        "level-1/weights.pt: these weights are made with another code. Move level-1 and the" in capsys.readouterr().err
    )
    (level / "level-1/weights.pt").rename(level / "away.pt")
    assert run(prepared) == 2
    said = capsys.readouterr().err
    assert "level-2/weights.pt: these weights are made with another earlier. Move level-2 and the levels after" in said
    (level / "away.pt").rename(level / "level-1/weights.pt")
    change(
        prepared, lambda config: config["methods"]["net"].update(stages=[{"iterations": 2}] * 2 + [{"iterations": 3}])
    )
    assert run(prepared) == 2
    assert "level-3/weights.pt: these weights are made with another block." in capsys.readouterr().err
    shutil.rmtree(level / "level-3")
    assert run(prepared) == 0
    path = prepared[1] / "raw/subjects/a/image.nii"
    shutil.copy(path.with_name("image.nii").parents[1] / "f/image.nii", path)
    assert run(prepared) == 2
    assert "level-1/weights.pt: these weights are made with another images." in capsys.readouterr().err


def test_of_twins_the_pairs_of_one_anatomy_are_scored(prepared):
    change(prepared, lambda config: config["datasets"]["mine"]["source"].update(pairs="twins"))
    people = {"c": "p1", "d": "p1", "e": "p2", "f": "p2"}
    rows = [f"{name}\t{'test' if name in people else 'train'}\t{people.get(name, 'p0')}\n" for name in SPLITS]
    (prepared[1] / "cohort/participants.tsv").write_text("subject\tsplit\tanatomy\n" + "".join(rows))
    for name in people:
        parcels = np.full(SHAPE, 7, np.uint8)
        write_volume(prepared[1] / f"raw/subjects/{name}/parcels.nii.gz", parcels, np.diag([8, 8, 8, 1]))
    assert run(prepared) == 0
    metrics = pd.read_csv(prepared[1] / "raw/net/seed-1/metrics.csv.gz")
    assert set(metrics["fixed"] + metrics["moving"]) == {"cd", "dc", "ef", "fe"}
    assert set(metrics.loc[metrics["metric"] == "parcels_dice", "roi"]) == {"ctx-lh-fusiform", "mean"}


def test_labels_to_learn_from(prepared, capsys):
    change(prepared, lambda config: config["methods"].update(net=LABELLED))
    path = prepared[1] / "raw/subjects/b/labels.nii"
    write_volume(path, np.zeros(SHAPE, np.uint8), np.diag([8, 8, 8, 1]))
    assert run(prepared) == 2
    assert "b/labels.nii: it has no label, and the method learns from labels." in capsys.readouterr().err
    write_volume(path, np.full(SHAPE, 17, np.uint8), np.diag([8, 8, 8, 1]))
    assert run(prepared) == 0
    record = json.loads((prepared[1] / "raw/net/seed-1/level-1/training.json").read_text())
    assert record["labels"]


def test_a_stage_beyond_the_levels_goes_on_from_the_one_before(prepared):
    def further(content):
        first, *_ = LABELLED["stages"]
        objective = {**LABELLED["objective"], "labels_from": 2}
        content["methods"]["net"] = {**LABELLED, "stages": [first, {**first, "iterations": 3}], "objective": objective}

    change(prepared, further)
    assert run(prepared) == 0
    folders = [prepared[1] / f"raw/net/seed-1/level-{stage}" for stage in (1, 2)]
    states = [read_weights(folder / "weights.pt").network for folder in folders]
    assert states[0].keys() == states[1].keys()
    assert any(not torch.equal(states[0][name], states[1][name]) for name in states[0])
    histories = [pd.read_csv(folder / "history.csv") for folder in folders]
    assert ["labels" in history for history in histories] == [False, True]
    records = [json.loads((folder / "training.json").read_text()) for folder in folders]
    assert records[1]["earlier"] == files_digest([folders[0] / "weights.pt"])
    assert run(prepared) == 0  # all is there


def test_a_region_that_warping_removes_has_no_hd95_and_does_not_end_it(prepared, monkeypatch, caplog):
    monkeypatch.setattr(pair, "warp_labels", lambda labels, displacement: np.zeros_like(labels))
    with caplog.at_level(logging.INFO):
        assert run(prepared) == 0
    assert "hd95_mm" in caplog.text


@pytest.mark.parametrize(("option", "value", "least"), [("--seed", "-1", 0), ("--threads", "0", 1)])
def test_numbers_that_cannot_be(prepared, option, value, least, capsys):
    config, folder = prepared
    assert cli.main(["train", str(config), "net", str(folder), option, value]) == 2
    assert f"{option}: it is {value}. Give {least} or more." in capsys.readouterr().err


def test_a_package_of_the_scores_is_missed_before_training(prepared, monkeypatch, capsys):
    monkeypatch.setattr(pair_metrics, "find_spec", lambda name: None)
    assert run(prepared) == 2
    assert "digital-diffeomorphism: this package is not installed" in capsys.readouterr().err
    assert not (prepared[1] / "raw/net").exists()


def test_subjects_of_another_grid(prepared, capsys):
    change(prepared, lambda config: config["datasets"]["mine"]["grid"].update(spacing=4))
    assert run(prepared) == 2
    assert "its grid is (16, 32, 16) at 8 mm" in capsys.readouterr().err


def test_the_folder_itself(prepared, monkeypatch):
    monkeypatch.chdir(prepared[1])
    assert run((prepared[0], ".")) == 0
    assert "mine,raw,net,1" in gzip.decompress((prepared[1] / "raw/net/seed-1/metrics.csv.gz").read_bytes()).decode()


@pytest.mark.parametrize("method", ["initial", "none"])
def test_a_method_that_is_not_trained(prepared, method, capsys):
    assert run(prepared, method) == 2
    assert f"{method} is no method that is trained in the arm raw. Name one of net." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("cohort/participants.tsv", "no such file. Prepare the subjects"),
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
