"""Values that the command line gives as text, and where a message says that a value came from."""

import pytest

from smgicnet.config.completion import complete
from smgicnet.config.origin import Origin, given_to
from smgicnet.config.schemas import merge
from smgicnet.core.errors import InputError

CONFIG = {
    "datasets": {"mini": {"source": {"kind": "phantom"}, "grid": {"shape": [16, 16, 16], "spacing": 13}}},
    "methods": {"initial": {"type": "initial", "arms": ["raw"]}, "smgicnet": {"type": "smgicnet"}},
}


def merged(given):
    """The config with what was given beside it, as Snakemake merges them, and where it came from."""
    return merge(CONFIG, given), Origin("my.yaml", given)


def test_text_is_read_as_yaml_where_no_text_is_wanted():
    network = {"channels": "8", "attention_gate": "false"}
    given = {
        "seeds": ["1", "2"],
        "datasets": {"mini": {"grid": {"spacing": "1.3e1", "shape": ["16", "16", "16"]}}},
        "methods": {
            "smgicnet": {"label": "12", "weights": "null", "network": network},
            "initial": {"label": "null"},
        },
        "evaluation": {"shard_size": "null", "figure_pairs": "[best]"},
        "ablations": {"variants": {"small": {"label": "1", "change": {"network": {"channels": "4"}}}}},
    }
    config = complete(*merged(given))
    assert config["seeds"] == [1, 2]
    assert config["datasets"]["mini"]["grid"] == {"shape": [16, 16, 16], "spacing": 13.0}
    method = config["methods"]["smgicnet"]
    assert method["label"] == "12"  # text is wanted
    assert config["methods"]["initial"]["label"] == "null"
    assert method["weights"] is None
    assert method["network"]["channels"] == 8
    assert method["network"]["attention_gate"] is False
    assert config["evaluation"]["shard_size"] is None
    assert config["evaluation"]["figure_pairs"] == ["best"]
    assert config["ablations"]["variants"]["smgicnet-small"]["method"]["network"]["channels"] == 4
    with pytest.raises(InputError, match=r"^my.yaml: seeds.0: '1' is not of type 'integer'"):
        complete({**CONFIG, "seeds": ["1"]}, "my.yaml")


@pytest.mark.parametrize(
    ("given", "source"),
    [
        ({"methods": {"smgicnet": {"network": {"chanels": "4"}}}}, "--config"),
        ({"methods": {"smgicnet": {"type": "none"}}}, "--config"),
        ({"methods": {"BIG": {"type": "initial"}}}, "my.yaml and --config"),
        ({"datasets": {"mini": {"grid": {"shape": ["16", "16", "17"]}}}}, "my.yaml and --config"),  # by levels too
        ({"methods": {"smgicnet": {"stages": [{"epochs": "1"}]}}}, "--config"),
        ({"methods": {"smgicnet": {"network": {"levels": "5"}}}}, "my.yaml and --config"),  # too few stages for it
        ({"evaluation": {"reference": {"method": "none"}}}, "my.yaml and --config"),
        ({"ablations": {"variants": {"a": {"label": "a", "change": {"weights": "w.pt"}}}}}, "my.yaml and --config"),
        ({"affine": {"search_degrees": float("nan")}}, "--config"),
    ],
)
def test_errors_name_where_the_value_came_from(given, source):
    with pytest.raises(InputError) as error:
        complete(*merged(given))
    assert error.value.source == source


def test_a_modules_config_may_be_a_block_of_the_outer_one():
    config = {"seeds": ["1"], "methods": {"a": {"label": "b"}}}
    assert given_to(config, {"registration": {"seeds": ["1"]}, "other": "1"}) == {"seeds": ["1"]}
    assert given_to({**config, "c": 1}, config) == config
