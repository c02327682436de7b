"""Variants of a method: which there are, what they share, and their table."""

import math
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
import torch

from smgicnet.config.blocks import stage_block
from smgicnet.config.completion import complete
from smgicnet.config.schemas import schema
from smgicnet.core.errors import InputError
from smgicnet.methods import METHODS
from smgicnet.publication.tables.ablations import STUDIES, ablation_rows, ablation_table
from tests.support.images import blobs
from tests.support.methods import LEARNED

CONFIG = {
    "datasets": {"a": {"source": {"kind": "phantom", "subjects": {"train": 3, "val": 2, "test": 3}}}},
    "methods": {"initial": {"type": "initial"}, "smgicnet": {"type": "smgicnet"}},
}


def variants(**changes):
    config = deepcopy(CONFIG) | changes
    return complete(config)["ablations"]["variants"]


def one(change, **keys):
    return {"variants": {"one": {"label": "One", "change": change, **keys}}}


def test_the_papers_ablations_are_the_default():
    found = variants()
    assert {name.removeprefix("smgicnet-") for name in found} == {
        "no-gradient-inverse", "no-levels", "no-symmetry", "no-attention-gate",
        "channels-24", "channels-64", "depth-2", "depth-4",
    }  # fmt: skip
    assert {variant["study"] for variant in found.values()} == STUDIES.keys()
    full = complete(CONFIG)["methods"]["smgicnet"]
    for variant in found.values():
        assert variant["method"] != {**full, "label": variant["method"]["label"]}
    single = found["smgicnet-no-levels"]["method"]
    assert single["stages"][0]["epochs"] == sum(stage["epochs"] for stage in full["stages"])


def test_only_the_keys_that_are_named_change():
    block = variants(ablations=one({"objective": {"weights": {"symmetric": 0}}}))["smgicnet-one"]["method"]
    full = complete(CONFIG)["methods"]["smgicnet"]
    assert block["label"] == "One"
    block["objective"]["weights"]["symmetric"] = full["objective"]["weights"]["symmetric"]
    assert {**block, "label": full["label"]} == full


def test_no_variants_without_the_method_or_with_given_weights(tmp_path):
    assert variants(methods={"initial": {"type": "initial"}}) == {}
    given = tmp_path / "w.pt"
    given.touch()
    assert variants(methods={"smgicnet": {"type": "smgicnet", "weights": str(given)}}) == {}


def test_default_variants_that_the_grid_does_not_allow_are_left_out():
    datasets = {"a": {**CONFIG["datasets"]["a"], "grid": {"shape": [40, 40, 40]}}}  # by 8 and not by 16
    lists = {"windows": [3, 5, 7], "alpha": [1, 1, 1], "beta": [1, 1, 1]}
    levels = {"network": {"levels": 3}, "objective": lists, "stages": [{"iterations": 1}] * 3}
    methods = {"smgicnet": {"type": "smgicnet", **levels}}
    assert "smgicnet-depth-4" not in variants(datasets=datasets, methods=methods)
    assert "smgicnet-channels-24" in variants(datasets=datasets, methods=methods)


@pytest.mark.parametrize(
    ("ablations", "words"),
    [
        ({"method": "lapirn"}, "lapirn is no method that is trained"),
        (one({"weights": "x.pt"}), "cannot differ"),
        (one({"network": {"chanels": 3}}), "chanels"),
        (one({"network": {"levels": 1}}), "4 entries"),
        (one({"network": {"depth": 5}}), "not divisible by 32"),
        ({"variants": {"Bad name": {"label": "x", "change": {"network": {}}}}}, "Bad name"),
        ({"variants": {"one": {"change": {"network": {}}}}}, "label"),
    ],
)
def test_wrong_ablations_are_named(ablations, words):
    with pytest.raises(InputError, match="ablations") as error:
        variants(ablations=ablations)
    assert words in str(error.value)


def test_a_variant_with_the_name_of_a_method():
    methods = {**CONFIG["methods"], "smgicnet-one": {"type": "smgicnet"}}
    with pytest.raises(InputError, match="smgicnet-one already"):
        variants(methods=methods, ablations=one({"network": {"depth": 2}}))


def test_variants_of_the_last_level_share_the_levels_below():
    full = complete(CONFIG)["methods"]["smgicnet"]
    shared = {
        name.removeprefix("smgicnet-"): [
            stage_block(full, stage) == stage_block(variant["method"], stage)
            for stage in range(1, len(variant["method"]["stages"]) + 1)
        ]
        for name, variant in variants().items()
    }
    assert shared["depth-2"] == shared["no-attention-gate"] == [True, True, True, False]
    assert not any(shared["channels-24"] + shared["no-gradient-inverse"] + shared["no-symmetry"] + shared["no-levels"])


@pytest.mark.parametrize("kind", LEARNED)
def test_what_a_schema_says_of_the_last_level_is_so(kind):
    """Before that level's stage, `stage_block` and the whole block build the same network, whatever the keys say."""
    part = schema(f"methods/{kind}")["properties"]["network"]["properties"]
    marked = [key for key, value in part.items() if value.get("last_level_only")]
    assert (kind == "smgicnet") == bool(marked)
    config = complete({**CONFIG, "methods": {"m": {"type": kind}}})["methods"]["m"]
    for key in marked:
        other = deepcopy(config)
        value = config["network"][key]
        other["network"][key] = not value if isinstance(value, bool) else (value or 3) % 2 + 1
        states = []
        for block in (other, stage_block(other, len(config["stages"]) - 1)):
            torch.manual_seed(0)
            network = METHODS[kind].from_block(block, len(config["stages"]) - 1).network
            states.append({**network.state_dict(), "velocity": network(blobs(1), blobs(2))[-1].velocity})
        assert states[0].keys() == states[1].keys()
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
        assert stage_block(other, len(config["stages"])) != stage_block(config, len(config["stages"]))


RUNS = [("full", "raw"), ("less", "raw"), ("wide", "raw")]


@pytest.fixture
def rows():
    return rows_of((1,))


def rows_of(seeds):
    names = [f"s{i}" for i in range(5)]
    records = []
    for place, (method, arm) in enumerate(RUNS):
        for i, fixed in enumerate(names):
            for j, moving in enumerate(names):
                if i != j:
                    dice = 0.8 - 0.1 * place + 0.01 * (i + j) * (1 + place)
                    for seed in seeds:
                        common = {"dataset": "a", "arm": arm, "method": method, "seed": seed}
                        common |= {"fixed": fixed, "moving": moving}
                        value = dice + 0.01 * (seed - np.mean(seeds))
                        records.append({**common, "metric": "dice", "roi": "mean", "value": value})
                        records.append({**common, "metric": "folds_percent", "roi": "", "value": float(place)})
    costs = {
        method: [
            {"seed": seed, "parameters": 10 * n, "seconds": 30.0, "peak_memory_mib": 100.0 * n}
            for seed in seeds
            for n in (1, 2)
        ]
        for method, _ in RUNS
    }
    labels, studies = {"full": "Full", "less": "without", "wide": "wide"}, {"less": "components", "wide": "channels"}
    return ablation_rows(pd.DataFrame(records), RUNS, labels, studies, costs, resamples=1000)


def test_rows(rows):
    assert rows[["study", "label"]].to_numpy().tolist() == [
        ["components", "Full"], ["components", "without"], ["channels", "Full"], ["channels", "wide"],
    ]  # fmt: skip
    less = rows.iloc[1]
    pairs = [(i, j) for i in range(5) for j in range(5) if i != j]
    assert less["dice"] == pytest.approx(np.mean([0.7 + 0.02 * (i + j) for i, j in pairs]))
    assert less["dice_sd"] == pytest.approx(np.std([0.02 * (i + j) for i, j in pairs], ddof=1))
    assert less["difference"] == pytest.approx(less["dice"] - rows.iloc[0]["dice"])
    assert less["low"] < less["difference"] < less["high"]
    assert less["folds_percent"] == 1
    assert (less["parameters"], less["train_seconds"], less["train_memory_mib"]) == (20, 60, 200)
    assert math.isnan(rows.iloc[0]["low"])
    assert rows.iloc[0]["difference"] == 0


def test_seeds_are_averaged_and_the_cost_is_of_one():
    one, two = rows_of((1,)), rows_of((1, 2))
    assert set(two["seeds"]) == {2}
    pd.testing.assert_frame_equal(one.drop(columns="seeds"), two.drop(columns="seeds"))
    context = {"subjects": 5, "people": 5, "pairs": 10, "resamples": 1000, "hardware": "2 cores"}
    text = ablation_table(two, "a", context).to_markdown()
    assert "2 trainings of each model, with the same seeds" in text
    assert "One seed" not in text


def test_table(rows):
    context = {"subjects": 5, "people": 5, "pairs": 10, "resamples": 1000, "hardware": "2 cores"}
    text = ablation_table(rows, "a", context).to_markdown()
    assert text.count("| Full") == 2
    assert "**Channels**" in text
    assert f"{rows.iloc[1]['difference']:+.3f}" in text
    assert "One seed" in text
    assert "5 test subjects, 10 unordered pairs" in text
