"""A completed method block: what of it training depends on, what registering, and what a stage."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

from smgicnet.config.schemas import fill, schema

WITH_WEIGHTS = {"type", "label", "arms", "weights"}  # all that a method says whose weights are given


def with_defaults(block: Mapping) -> dict:
    """Return a copy of one method's block with every default, unchecked: a weights file may lack later stages."""
    filled = deepcopy(dict(block))
    fill(filled, schema(f"methods/{block['type']}"))
    return filled


def own_settings(block: Mapping) -> dict:
    """Return the part of a completed block that its method alone has, without the keys of every method."""
    return {key: value for key, value in block.items() if key not in WITH_WEIGHTS | {"stages", "published"}}


def row_name(block: Mapping, arm: str, affine: Mapping) -> str:
    """Return the name of a block's method in one arm, in tables and figures; ``affine`` is the config's block."""
    suffix = {"raw": "", "affine": " w.pose" if affine["engine"] == "pose" else " w.affine"}
    return str(block["label"] + suffix[arm])


def learns_from_labels(block: Mapping) -> bool:
    """Return whether a completed block's objective has a term of the training subjects' label maps."""
    return block.get("objective", {}).get("weights", {}).get("labels", 0) > 0


def registering_keys(block: Mapping) -> set[str]:
    """Return the keys of a method's block that change how it registers and not its training, as its schema says."""
    parts = schema(f"methods/{block['type']}").get("properties", {})
    return {key for key, part in parts.items() if part.get("registering_only")}


def registering_block(block: Mapping) -> dict:
    """Return the part of a completed method block on which its registrations depend."""
    keys = registering_keys(block)
    return stage_block(block, len(block["stages"])) | {key: deepcopy(block[key]) for key in keys}


def stage_block(block: Mapping, stage: int) -> dict:
    """Return the part of a completed method block on which the training of its stage ``stage`` depends.

    Without its names, arms and later stages; what its schema marks ``last_level_only`` is at its default before that
    level's stage, what it marks ``registering_only`` always, and the term of label maps before it counts. Stages with
    equal blocks, in the same place of the same data, end in the same weights.
    """
    part = deepcopy({key: value for key, value in block.items() if key not in ("label", "arms")})
    network = schema(f"methods/{block['type']}")["properties"].get("network", {}).get("properties", {})
    of_the_last = {key: part["default"] for key, part in network.items() if part.get("last_level_only")}
    if of_the_last and stage < part["network"].get("levels", len(part["stages"])):
        part["network"] |= of_the_last
    defaults = with_defaults({"type": block["type"]})
    objective = part.get("objective", {})
    if stage < min(objective.get("labels_from", 1), len(part["stages"])):  # no label matters yet
        objective["labels_from"] = defaults["objective"]["labels_from"]
        objective["weights"]["labels"] = defaults["objective"]["weights"]["labels"]
    keys = registering_keys(block)
    return {**part, "stages": part["stages"][:stage], **{key: defaults[key] for key in keys}}
