"""A small generated cohort."""

from __future__ import annotations

from smgicnet.cohort.phantom import PhantomConfig
from smgicnet.cohort.sources import recipe
from smgicnet.config.building import build
from smgicnet.config.validation import validated


def phantom_config(**changes) -> PhantomConfig:
    """The defaults on a coarse grid."""
    small = {"kind": "phantom", "shape": [60, 68, 60], "spacing": 4}
    return build(PhantomConfig, recipe(validated({**small, **changes}, "sources/phantom", "", "test")))
