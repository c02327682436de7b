"""Checks of a network of levels, such as SM-GICNet's: its schema asks for them by the name ``levels``."""

from __future__ import annotations

from collections.abc import Mapping

from smgicnet.core.errors import InputError


def check_levels(method: Mapping, where: str, source: str) -> None:
    """Raise `InputError` unless the stages, weights and directions of a completed block fit its ``network.levels``.

    Parameters
    ----------
    where : the dotted key of the block, for messages
    source : the file of the config, for messages
    """
    network, objective = method["network"], method["objective"]
    levels, count = network["levels"], len(method["stages"])
    if count < levels:
        raise InputError(source, f"{where}.stages has {count} entries", f"Give {levels} at least, one a level")
    for key, values in objective.items():
        if isinstance(values, list) and len(values) != levels:
            what = f"{where}.objective.{key} has {len(values)} entries"
            raise InputError(source, what, f"Give {levels}, one a level")
    for key, needed, why in (
        ("antisymmetric", "symmetric", "both directions"),
        ("midpoint", "antisymmetric", "directions whose velocities are each other's negatives"),
    ):
        if network[key] and not network[needed]:
            raise InputError(
                source,
                f"{where}.network: {key} needs {why}, and {needed} is false",
                f"Set {needed} to true, or {key} to false",
            )
    paired = [term for term in ("symmetric", "inverse", "gradient_inverse") if objective["weights"][term] > 0]
    if not network["symmetric"] and paired:
        raise InputError(
            source,
            f"{where}: {paired} compare two directions, and network.symmetric is false",
            "Set these weights to 0",
        )


def levels_stride(network: Mapping) -> int:
    """Return the number by which the images' grid has to be divisible for such a ``network``.

    Each level below the images' own grid halves it and has one stride more.
    """
    levels = network["levels"]
    if not network["full_resolution"]:
        return 2 ** (levels + 1)
    return max(network["finest_stride"] * 2 ** network["depth"], 2**levels if levels > 1 else 1)
