"""Displacements that are kept: scored and drawn again without registering, and never taken for others."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from smgicnet.imaging.images import write_volume
from smgicnet.jobs.kept_fields import KeptFields, field_file
from smgicnet.jobs.register import register_shown
from smgicnet.jobs.registering import Measured, MethodFiles
from smgicnet.methods.contract import Registration
from smgicnet.scoring import pair_metrics
from smgicnet.scoring.metrics import METRICS
from tests.support.images import SHAPE
from tests.support.methods import block
from tests.support.registering import SCORING, register

NAMES = ["s1", "s2", "s3"]


def measured(seed=0, inverse=True):
    generator = torch.Generator().manual_seed(seed)
    forward, back = 5 * torch.randn(2, 1, 3, *SHAPE, generator=generator)
    return Measured(Registration(forward, back if inverse else None, 0.25), {"peak_memory_mib": 3.5})


@pytest.mark.parametrize("inverse", [True, False])
def test_a_displacement_comes_back_to_half_precision_and_one_that_is_shown_as_it_was(tmp_path, inverse):
    identities = {("a", "b"): "1", ("a", "c"): "2"}
    kept = KeptFields(tmp_path, identities, exact=frozenset({("c", "a")}))
    given = measured(inverse=inverse)
    for pair in (("a", "b"), ("b", "a"), ("a", "c")):
        kept.add(*pair, given)
    kept.settle(("a", "b"))
    kept.settle(("a", "c"))
    again = KeptFields(tmp_path, identities)
    for pair, atol in ((("b", "a"), 0.01), (("a", "c"), 0)):
        found = again.get(*pair)
        for one, other in (
            (found.registration.forward, given.registration.forward),
            (found.registration.inverse, given.registration.inverse),
        ):
            if other is None:
                assert one is None
            else:
                assert one.dtype == torch.float32
                assert torch.allclose(one, other, rtol=0, atol=atol)
        assert (found.registration.seconds, found.beside) == (0.25, given.beside)
    assert again.get("c", "a") is None
    assert KeptFields(tmp_path, {("a", "b"): "other"}).get("a", "b") is None


def test_a_damaged_file_is_no_displacement(tmp_path, caplog):
    kept = KeptFields(tmp_path, {("a", "b"): "1"})
    kept.add("a", "b", measured())
    assert kept.get("a", "b") is None, "its scores are not kept yet"
    kept.settle(("b", "a"))
    path = field_file(tmp_path, "a", "b")
    content = path.read_bytes()
    middle = len(content) // 2
    for damaged in (b"", content[:middle], content[:middle] + b"\0" * 400 + content[middle + 400 :]):
        path.write_bytes(damaged)
        assert kept.get("a", "b") is None
        assert "registered again" in caplog.text
        caplog.clear()


def known_fields(folder):
    return sorted(path.name for path in (folder / "fields").glob("*.npz"))


def test_a_changed_metric_is_scored_again_without_registering(tmp_path, subjects, registered, monkeypatch):
    first = register(tmp_path / "run", subjects, NAMES, fields=True)
    assert len(registered) == len(known_fields(tmp_path / "run")) == 6
    registered.clear()
    monkeypatch.setattr(pair_metrics, "rois", lambda pair: 77.0)
    again = register(tmp_path / "run", subjects, NAMES, scoring=SCORING | {"rois": "2"}, fields=True)
    assert not registered
    record = json.loads((tmp_path / "run/0/registration.json").read_text())
    assert (record["registered"], record["pairs"]) == (0, 3)
    rois = again["metric"] == "rois"
    assert set(again.loc[rois, "value"]) == {"77.0"}
    pd.testing.assert_frame_equal(again[~rois], first[~rois])  # in the same order, too


def test_a_metric_that_is_removed_leaves_no_rows(tmp_path, subjects, registered, monkeypatch):
    register(tmp_path / "run", subjects, NAMES, fields=True)
    registered.clear()
    monkeypatch.delitem(METRICS, "hd95_mm")
    fewer = {name: code for name, code in SCORING.items() if name != "hd95_mm"}
    again = register(tmp_path / "run", subjects, NAMES, scoring=fewer, fields=True)
    assert not registered
    assert "dice" in set(again["metric"])
    assert "hd95_mm" not in set(again["metric"])


def test_other_label_maps_are_scored_without_registering(tmp_path, subjects, registered):
    register(tmp_path / "run", subjects, NAMES, fields=True)
    registered.clear()
    halves = np.where(np.indices(SHAPE)[0] > 7, 2, 3).astype(np.uint8)
    write_volume(subjects["s3"].labels, halves, np.eye(4))
    again = register(tmp_path / "run", subjects, NAMES, fields=True)
    assert not registered
    pd.testing.assert_frame_equal(again, register(tmp_path / "new", subjects, NAMES))


@pytest.mark.parametrize("what", ["code", "config", "image"])
def test_other_registrations_are_made_again(tmp_path, subjects, registered, what):
    register(tmp_path / "run", subjects, NAMES, fields=True)
    registered.clear()
    config, code = block("initial"), "x"
    if what == "config":
        config["label"] = "another"
    elif what == "code":
        code = "y"
    else:
        write_volume(subjects["s3"].image, np.random.default_rng(0).random(SHAPE, dtype=np.float32), np.eye(4))
    register(tmp_path / "run", subjects, NAMES, config, code, fields=True)
    assert len(registered) == (4 if what == "image" else 6)


def test_a_shown_pair_is_drawn_from_what_is_kept(tmp_path, subjects, registered):
    images = {name: files.image for name, files in subjects.items()}
    method = MethodFiles(block("initial"), None, "x")
    register(tmp_path / "run", subjects, NAMES, fields=True)
    registered.clear()
    register_shown(method, [("s1", "s2")], images, tmp_path / "kept", alignments=[], fields=tmp_path / "run/fields")
    assert not registered
    register_shown(method, [("s1", "s2")], images, tmp_path / "anew", alignments=[])
    assert registered == [("s1", "s2"), ("s2", "s1")]
    for path in (tmp_path / "anew").iterdir():
        assert (tmp_path / "kept" / path.name).read_bytes() == path.read_bytes()
    assert len(list((tmp_path / "kept").iterdir())) == 4
