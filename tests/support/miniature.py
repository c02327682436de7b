"""The miniature study: its configs, and the published weights that they name."""

import yaml

from tests.support.published_synthmorph import keras, write_h5

ROBUSTNESS = {"pairs": 2, "rotation": [60]}
CONFIG = {
    "datasets": {
        "mini": {
            "source": {
                "kind": "phantom", "subjects": {"train": 3, "val": 2, "test": 3}, "shape": [48, 56, 48], "spacing": 5,
            },
            "grid": {"shape": [16, 16, 16], "spacing": 13},
        }
    },
    "methods": {
        "initial": {"type": "initial", "arms": ["raw"]},
        "smgicnet": {
            "type": "smgicnet",
            "network": {"channels": 4, "blocks": 1},
            "stages": [{"iterations": n, "frozen_iterations": 2, "learning_rate": 1e-3} for n in (6, 6, 40, 4)],
            "training": {"checkpoint_every": 5, "validate_every": 20},
        },
    },
    "evaluation": {"shard_size": 2, "figure_pairs": ["median", "worst"], "robustness": ROBUSTNESS},
}  # fmt: skip
BASELINES = {
    "initial": {"type": "initial"},
    "syn": {"type": "syn", "iterations": [4, 2]},
    "icnet": {"type": "icnet", "network": {"channels": 2}, "stages": [{"iterations": 4}]},
    "lapirn": {"type": "lapirn", "arms": ["affine"], "network": {"channels": 4}, "stages": [{"iterations": 3}] * 3},
    "lapirn-disp": {
        "type": "lapirn", "label": "LapIRN disp", "arms": ["raw"], "network": {"channels": 4, "variant": "disp"},
        "stages": [{"iterations": 2}] * 3,
    },
}  # fmt: skip
PUBLISHED = {
    "synthmorph": {
        "type": "synthmorph", "features": 2, "grid": {"shape": [32, 32, 32], "spacing": 6},
        "published": {"file": "resources/weights/brains.h5"},
    },
    "gradicon": {"type": "gradicon"},  # its weights are not there
}  # fmt: skip
ABLATIONS = {
    "variants": {
        "no-gate": {"label": "without gate", "change": {"network": {"attention_gate": False}}},
        "one-level": {
            "label": "one level",
            "change": {
                "network": {"levels": 1, "channels": 6}, "stages": [{"iterations": 3}],
                "objective": {"windows": [5], "alpha": [1.0], "beta": [1.0], "weights": {"labels": 1.0}},
            },
        },
    }
}  # fmt: skip
FULL = {**CONFIG, "methods": CONFIG["methods"] | BASELINES | PUBLISHED, "affine": {"engine": "ants"}}
FULL["evaluation"] = CONFIG["evaluation"] | {"shard_size": 3}  # one shard: fewer jobs
FULL["ablations"] = ABLATIONS


def write_config(folder, content=CONFIG):
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


def write_published(folder):
    """A miniature of SynthMorph's published file, where the config expects it."""
    path = folder / PUBLISHED["synthmorph"]["published"]["file"]
    path.parent.mkdir(parents=True)
    write_h5(path, keras(PUBLISHED["synthmorph"]["features"]))
