"""What the schema of a method or a source says of it: no check of another one applies to it."""

import shutil

import pytest
import yaml

from smgicnet.config import schemas
from smgicnet.config.blocks import stage_block
from smgicnet.config.completion import complete
from smgicnet.config.consistency import CHECKS, STRIDES, grid_stride
from smgicnet.config.schemas import choices, schema
from smgicnet.core.errors import InputError

DATASETS = {"d": {"source": {"kind": "phantom"}}}
NEW_METHOD = {  # it has levels as SM-GICNet has, and nothing else of it
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "type": {"const": "new"},
        "label": {"type": "string", "default": "New"},
        "arms": {"$ref": "../parts/arms.schema.yaml", "default": ["raw"]},
        "weights": {"$ref": "../parts/weights.schema.yaml"},
        "network": {
            "type": "object",
            "additionalProperties": False,
            "default": {},
            "properties": {"levels": {"type": "integer", "default": 3}},
        },
        "stages": {"type": "array", "items": {"$ref": "../parts/stage.schema.yaml"}, "default": [{"epochs": 1}] * 2},
        "training": {"$ref": "../parts/training.schema.yaml", "default": {}},
    },
}


@pytest.fixture
def schema_folder(tmp_path, monkeypatch):
    """A copy of the schemas that a test may add to."""
    shutil.copytree(schemas.SCHEMAS, tmp_path / "schemas")
    monkeypatch.setattr(schemas, "SCHEMAS", tmp_path / "schemas")
    schema.cache_clear()
    yield tmp_path / "schemas"
    schema.cache_clear()


def add_method(folder, **changes):
    (folder / "methods/new.schema.yaml").write_text(yaml.safe_dump(NEW_METHOD | changes))


def test_no_check_of_another_method_applies_to_a_new_one(schema_folder):
    add_method(schema_folder)
    method = complete({"datasets": DATASETS, "methods": {"m": {"type": "new"}}})["methods"]["m"]
    assert grid_stride(method) == 1
    assert stage_block(method, 1)["stages"] == method["stages"][:1]
    assert stage_block(method, 1)["network"] == {"levels": 3}


def test_a_grid_that_does_not_fit_a_method_without_network_says_what_would(schema_folder):
    properties = {key: value for key, value in NEW_METHOD["properties"].items() if key != "network"}
    add_method(schema_folder, grid_stride=32, properties=properties)
    with pytest.raises(InputError, match=r"not divisible by 32.*Choose multiples of 32, such as \[64, 64, 64\]\.$"):
        complete({"datasets": DATASETS, "methods": {"m": {"type": "new"}}})


def test_a_method_is_checked_as_its_schema_says(schema_folder):
    add_method(schema_folder, checks=["levels"])
    with pytest.raises(KeyError, match="objective"):  # which only a method with such levels has
        complete({"datasets": DATASETS, "methods": {"m": {"type": "new"}}})


@pytest.mark.parametrize("kind", choices("methods"))
def test_schemas_name_checks_and_strides_that_there_are(kind):
    assert set(schema(f"methods/{kind}").get("checks", [])) <= CHECKS.keys()
    stride = schema(f"methods/{kind}").get("grid_stride", 1)
    assert stride in STRIDES or isinstance(stride, int)


@pytest.mark.parametrize(
    ("source", "stripped"),
    [
        ({"kind": "phantom"}, True),
        ({"kind": "label-maps", "path": "p", "subjects": {"val": 0, "test": 2}}, True),
        ({"kind": "participants", "path": "p.tsv"}, False),
        ({"kind": "bids", "path": "p"}, False),
    ],
)
def test_only_images_that_come_stripped_are_not_stripped_by_default(source, stripped):
    config = {"datasets": {"d": {"source": source}}, "methods": {"m": {"type": "initial"}}}
    assert complete(config)["datasets"]["d"]["preprocessing"]["skull_strip"] == ("none" if stripped else "auto")
    config["datasets"]["d"]["preprocessing"] = {"skull_strip": "deepbet"}
    assert complete(config)["datasets"]["d"]["preprocessing"]["skull_strip"] == "deepbet"


def test_a_key_of_methods_is_unknown_to_a_source():
    with pytest.raises(InputError, match="'weights' was unexpected"):
        complete(
            {
                "datasets": {"d": {"source": {"kind": "phantom", "weights": "w.pt"}}},
                "methods": {"m": {"type": "initial"}},
            }
        )
