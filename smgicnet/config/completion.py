"""A config with every default and variant, checked as a whole."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from smgicnet.config.blocks import WITH_WEIGHTS, registering_keys
from smgicnet.config.consistency import check_methods, check_names, check_reference, check_robustness
from smgicnet.config.origin import Origin, take_as_meant
from smgicnet.config.programs import with_program
from smgicnet.config.schemas import choices, merge, schema
from smgicnet.config.validation import SHOWN, validated
from smgicnet.core.errors import InputError, shortened

MAX_BYTES, MAX_VALUES, MAX_DEPTH = 2**20, 20_000, 50  # of a config: a thousand methods are less


def complete(config: Mapping, source: str = "config") -> dict:
    """Validate ``config`` against the schemas and set every default.

    Parameters
    ----------
    config : the mapping read from YAML
    source : its file, for messages; an `Origin` where some of it was given as text on the command line

    Returns a new dict. Raises `InputError` that names each offending key, and where its value came from.
    """
    origin, meant = source if isinstance(source, Origin) else Origin(source), deepcopy(dict(config))
    take_as_meant(meant, origin.given, schema("config"))
    try:
        return _complete(meant, origin)
    except InputError as error:
        if error.source != origin:
            raise
        keys = re.findall(rf"\b(?:{'|'.join(schema('config')['properties'])})\b(?:\.[\w-]+)*", error.problem)
        raise InputError(origin.of(tuple(key.split(".")) for key in keys), error.problem, error.remedy) from None


def _complete(config: Mapping, source: Origin) -> dict:
    full = validated(deepcopy(config), "config", "", source)
    for name, dataset in full["datasets"].items():
        _complete_source(dataset, f"datasets.{name}.source", source)
    for name, method in full["methods"].items():
        _complete_method(method, f"methods.{name}", source)
    check_methods(full["methods"], full["datasets"], source)
    _add_ablations(full, config.get("ablations", {}), source)
    check_names(full, source)
    check_robustness(full, source)
    if config.get("evaluation", {}).get("reference"):  # the default may be absent: then nothing is compared
        check_reference(full, source)
    return full


def _complete_source(dataset: dict, where: str, source: Origin) -> None:
    """Complete the ``source`` block of a dataset in place, and the skull strip of images that come without skull."""
    name = _own_schema(dataset["source"], "sources", "kind", where, source)
    validated(dataset["source"], name, where, source)
    if schema(name).get("images_come_stripped") and dataset["preprocessing"]["skull_strip"] == "auto":
        dataset["preprocessing"]["skull_strip"] = "none"


def _complete_method(method: dict, where: str, source: Origin) -> None:
    """Complete a method's block in place. A block with weights may say nothing that its weights file holds."""
    name = _own_schema(method, "methods", "type", where, source)
    method |= with_program(method, where, source)
    beside = sorted(method.keys() - WITH_WEIGHTS - registering_keys(method)) if method.get("weights") else []
    validated(method, name, where, source)
    if beside:
        raise InputError(
            source, f"{where}: {beside} stand beside weights", "Remove them: the weights file holds its network"
        )


def _own_schema(block: dict, folder: str, key: str, where: str, source: Origin) -> str:
    """The name of the schema in ``folder`` that a block names under ``key``; text in the block is read as it says."""
    if block.get(key) not in choices(folder):
        raise InputError(source, f"{where}.{key} is {block.get(key)!r}", f"Choose one of {choices(folder)}")
    name = f"{folder}/{block[key]}"
    take_as_meant(block, source.part(where), schema(name))
    return name


def complete_method(block: Mapping, source: str) -> dict:
    """Return one method's block with every default. Raises `InputError` as `complete` does."""
    return validated(deepcopy(with_program(block, "", source)), f"methods/{block['type']}", "", source)


def _add_ablations(full: dict, given: Mapping, source: str) -> None:
    """Complete each variant to a method block of its own, named after its method: ``smgicnet-no-symmetry``.

    ``given`` is what the user wrote: the default variants of a method that is not there, or is not trained, are none,
    and those that do not fit it or the grids are left out.
    """
    name, variants = full["ablations"]["method"], full["ablations"]["variants"]
    base = full["methods"].get(name)
    if base is None or base["weights"] or not base["stages"]:
        if given:
            raise InputError(source, f"ablations.method: {name} is no method that is trained here", "Name one that is")
        variants.clear()
        return
    for key in list(variants):
        variant, where = variants.pop(key), f"ablations.variants.{key}"
        try:
            block = _variant(base, variant, where, source)
            if f"{name}-{key}" in full["methods"]:
                raise InputError(source, f"{where}: there is a method {name}-{key} already", "Rename one of them")
            check_methods({key: block}, full["datasets"], source, "ablations.variants")
        except InputError:
            if "variants" in given:
                raise
            continue
        variants[f"{name}-{key}"] = {"study": variant["study"], "method": block}


def _variant(base: Mapping, variant: Mapping, where: str, source: str) -> dict:
    if isinstance(source, Origin):
        take_as_meant(variant["change"], source.part(f"{where}.change"), schema(f"methods/{base['type']}"))
    beside = sorted(variant["change"].keys() & WITH_WEIGHTS)
    if beside:
        raise InputError(source, f"{where}.change: {beside} cannot differ between variants", "Remove these keys")
    block = merge(base, {**variant["change"], "label": variant["label"], "arms": base["arms"][:1]})
    return validated(block, f"methods/{base['type']}", where, source)


def load(path: str | Path) -> dict:
    """Read a YAML file and `complete` it. Raises `InputError` when it is missing or not YAML."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(MAX_BYTES + 1)
        config = yaml.safe_load(text)
    except UnicodeDecodeError as error:
        raise InputError(path, f"not text in UTF-8 ({error.reason})", "Save the config as UTF-8") from None
    except FileNotFoundError:
        raise InputError(path, "no such file", "Give the path of a config file such as config/config.yaml") from None
    except (yaml.YAMLError, ValueError) as error:  # of a date that there is not, or a number of too many digits
        raise InputError(
            path, f"not valid YAML: {shortened(str(error), 2 * SHOWN)}", "Correct the syntax at that place"
        ) from None
    except RecursionError:
        raise InputError(path, "its values are nested too deeply", "Start from config/config.yaml") from None
    if len(text) > MAX_BYTES or _is_too_large(config):
        raise InputError(
            path,
            f"it has more than {MAX_BYTES:,} characters, {MAX_VALUES:,} values (an alias counts as what it stands for) "
            f"or {MAX_DEPTH} levels",
            "Start from config/config.yaml",
        )
    if not isinstance(config, dict):
        raise InputError(path, "the file holds no mapping", "Start from config/config.yaml")
    return complete(config, str(path))


def _is_too_large(config: Any) -> bool:
    """Whether aliases make more of a file than there seems to be in it, or one without an end."""
    waiting, count = [(config, 1)], 0
    while waiting:
        part, depth = waiting.pop()
        count += 1
        if count > MAX_VALUES or depth > MAX_DEPTH:
            return True
        if isinstance(part, dict | list):
            waiting += [(one, depth + 1) for one in (part.values() if isinstance(part, dict) else part)]
    return False
