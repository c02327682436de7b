"""Notes on the training data of methods whose weights were there before the run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from smgicnet.publication.tables.table import listed


def weights_note(methods: Mapping[str, Mapping], names: Iterable[str]) -> list[str]:
    """Say which of the methods ``names`` use given weights and were not trained here, a sentence for each weights.

    ``methods`` are the completed blocks of a config.
    """
    users: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        block = methods.get(name, {})
        if block.get("weights"):
            users.setdefault(block["weights"], []).append(block["label"])
    return [
        f"{listed(labels)} {'uses' if len(labels) == 1 else 'use'} the weights {weights}, and "
        f"{'was' if len(labels) == 1 else 'were'} not trained on this cohort."
        for weights, labels in users.items()
    ]


def programs_note(methods: Mapping[str, Mapping], names: Iterable[str]) -> list[str]:
    """Say what has to be known of those of the methods ``names`` that are programs of their own command line."""
    outside = [methods[name] for name in dict.fromkeys(names) if methods.get(name, {}).get("type") == "command"]
    whole = [block["label"] for block in outside if block["seconds"] is None]
    seeing = [block["label"] for block in outside if "{fixed_labels}" in block["command"]]
    notes = [f"Times of {listed(whole)} are of the whole program, which reads and writes files."] if whole else []
    return notes + ([f"{listed(seeing)} saw the label maps by which the pairs are scored."] if seeing else [])
