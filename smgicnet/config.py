"""Configuration: JSON schemas (the only source of defaults and ranges) to frozen dataclasses."""

from __future__ import annotations

import dataclasses
import math
import os
import posixpath
import re
import types
import typing
from collections.abc import Iterable, Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import jsonschema
import yaml

from smgicnet.errors import InputError, shortened

T = TypeVar("T")
GENERATED = ("phantom", "label-maps")  # kinds of sources whose images come skull-stripped
WITH_WEIGHTS = {"type", "label", "arms", "weights"}  # all that a method says whose weights are given
MAX_BYTES, MAX_VALUES, MAX_DEPTH = 2**20, 20_000, 50  # of a config: a thousand methods are less
SHOWN = 300  # characters of a message of the schema
_PACKAGE = Path(__file__).parent
# an installed package carries the schemas; in a checkout they stand in config/
SCHEMAS = _PACKAGE / "schemas" if (_PACKAGE / "schemas").is_dir() else _PACKAGE.parent / "config" / "schemas"


class Origin(str):
    """The file of a config, for messages, which knows what of the config was given beside it, and how (``by``)."""

    given: Mapping
    by: str

    def __new__(cls, file: str, given: Mapping | None = None, by: str = "--config"):
        origin = super().__new__(cls, file)
        origin.given, origin.by = given or {}, by
        return origin

    def of(self, keys: Iterable[tuple[str, ...]]) -> str:
        """Where the values of these keys came from; both sources, if what was given stands in the same block."""
        given, keys = list(_leaves(self.given)), list(keys)
        if keys and all(any(key[: len(leaf)] == leaf for leaf in given) for key in keys):
            return self.by
        blocks = {key[:2] for key in keys if key}
        return f"{self} and {self.by}" if any(leaf[:2] in blocks for leaf in given) else str(self)

    def part(self, where: str) -> Any:
        """What was given below a dotted key."""
        part: Any = self.given
        for key in filter(None, where.split(".")):
            part = part.get(key, {}) if isinstance(part, Mapping) else {}
        return part


def _leaves(part: Mapping, above: tuple[str, ...] = ()) -> Iterable[tuple[str, ...]]:
    for key, value in part.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*above, str(key)))
        else:
            yield (*above, str(key))


def given_to(config: Mapping, given: Mapping) -> dict:
    """What of ``given`` is in ``config``: a module's config may be a block of the one that the command line changed."""
    found: dict = {}
    for key, value in given.items():
        if key in config and config[key] == value:
            found[key] = value
        elif isinstance(value, Mapping):
            below = config.get(key)
            part = given_to(below, value) if isinstance(below, Mapping) else {}
            found |= {key: part} if part else given_to(config, value)
    return found


@cache
def schema(name: str) -> dict:
    """The schema ``name`` (``"config"``, ``"methods/smgicnet"``, ``"sources/phantom"``...) as a dict.

    A ``$ref`` to another schema's file is replaced by its content, in which what stands beside the ``$ref`` wins.
    """
    with open(SCHEMAS / f"{name}.schema.yaml") as file:
        return _resolve(yaml.safe_load(file), f"{name}.schema.yaml")


def _resolve(part: Any, file: str) -> Any:
    if isinstance(part, list):
        return [_resolve(item, file) for item in part]
    if not isinstance(part, dict):
        return part
    part = {key: _resolve(value, file) for key, value in part.items()}
    if "$ref" not in part:
        return part
    target = posixpath.normpath(posixpath.join(posixpath.dirname(file), part.pop("$ref")))
    return _merge(schema(target.removesuffix(".schema.yaml")), part)


def _merge(base: Mapping, changes: Mapping) -> dict:
    """``changes`` over ``base``, at any depth."""
    merged = deepcopy(dict(base))
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def choices(folder: str) -> list[str]:
    """Names of the schemas in ``folder``: the types of methods or the kinds of sources there are."""
    return sorted(path.name.removesuffix(".schema.yaml") for path in (SCHEMAS / folder).glob("*.schema.yaml"))


def _fill(value: Any, part: Mapping) -> None:
    """Set the defaults of ``part`` in ``value``, in place and at any depth."""
    if isinstance(value, dict):
        for key, sub in part.get("properties", {}).items():
            if "default" in sub:
                value.setdefault(key, deepcopy(sub["default"]))
            if key in value:
                _fill(value[key], sub)
        rest = part.get("additionalProperties")
        if isinstance(rest, Mapping):
            for key in value.keys() - part.get("properties", {}).keys():
                _fill(value[key], rest)
    elif isinstance(value, list) and isinstance(part.get("items"), Mapping):
        for item in value:
            _fill(item, part["items"])


def _take(config: dict, given: Any, part: Mapping) -> None:
    """Read what was given as text as `_as_meant` does, in place."""
    if not isinstance(given, Mapping):
        return
    known, rest = part.get("properties", {}), part.get("additionalProperties")
    for key in given.keys() & config.keys():
        below = known.get(key, rest if isinstance(rest, Mapping) else {})
        if isinstance(config[key], dict) and isinstance(given[key], Mapping):
            _take(config[key], given[key], below)
        else:
            config[key] = _as_meant(config[key], below)


def _as_meant(value: Any, part: Mapping) -> Any:
    """``value`` with its text read as YAML where ``part`` of a schema wants no text."""
    if isinstance(value, dict):
        known, rest = part.get("properties", {}), part.get("additionalProperties")
        rest = rest if isinstance(rest, Mapping) else {}
        return {key: _as_meant(item, known.get(key, rest)) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_meant(item, part.get("items", {})) for item in value]
    if not isinstance(value, str) or not part.keys() & {"type", "enum", "const"}:
        return value
    kinds = part.get("type", "string")  # of an enumeration
    kinds = [kinds] if isinstance(kinds, str) else kinds
    fits = jsonschema.Draft202012Validator(part).is_valid
    read = _yaml(value, number="number" in kinds)
    if isinstance(read, str) or (fits(value) and not (read is None and "null" in kinds)):
        return value
    return _as_meant(read, part) if fits(read) or "string" not in kinds else value


def _yaml(text: str, number: bool) -> Any:
    """What YAML reads in ``text``, to which 1e-3 too is a ``number`` where one is asked for."""
    try:
        read = yaml.safe_load(text)
        if isinstance(read, str) and number:
            return float(read)
    except (yaml.YAMLError, ValueError):
        return text
    return read if read is None or isinstance(read, bool | int | float | list | dict) else text


def _refuse_nan(value: Any, where: str, source: str) -> None:
    """NaN and infinity pass every range of JSON schema."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            _refuse_nan(item, f"{where}.{key}".strip("."), source)
    elif isinstance(value, float) and not math.isfinite(value):
        raise InputError(source, f"{where} is {value}", "Give a finite number")


def _check(value: Any, name: str, where: str, source: str) -> dict:
    """Fill and validate one part; every violation is named in one message, with the source of its value."""
    origin = source if isinstance(source, Origin) else Origin(source)
    _refuse_nan(value, where, source)
    _fill(value, schema(name))
    errors = sorted(jsonschema.Draft202012Validator(schema(name)).iter_errors(value), key=lambda e: str(e.path))
    if errors:
        lines, sources = [], []
        for error in errors:
            path = ".".join([where, *map(str, error.absolute_path)]).strip(".")
            known = error.schema.get("properties")
            hint = f" (known keys: {', '.join(known)})" if error.validator == "additionalProperties" and known else ""
            lines.append(f"{shortened(path, SHOWN) or 'top level'}: {shortened(error.message, SHOWN)}{hint}")
            key = tuple(filter(None, path.split(".")))
            if error.validator == "additionalProperties":  # the keys that are not known
                sources.append(origin.of((*key, str(name)) for name in error.instance.keys() - (known or {}).keys()))
            else:
                named = (error.instance,) if "propertyNames" in error.schema_path else ()
                sources.append(origin.of([(*key, *named)]))
        if len(set(sources)) > 1:
            lines = [f"{line} (from {one})" for line, one in zip(lines, sources, strict=True)]
        said = sources[0] if len(set(sources)) == 1 else f"{origin} and {origin.by}"
        raise InputError(said, "; ".join(lines), "Correct these keys; the allowed values are in config/schemas/")
    return value


def complete(config: Mapping, source: str = "config") -> dict:
    """Validate ``config`` against the schemas and set every default.

    Parameters
    ----------
    config : the mapping read from YAML
    source : its file, for messages; an `Origin` where some of it was given as text on the command line

    Returns a new dict. Raises `InputError` that names each offending key, and where its value came from.
    """
    origin, config = source if isinstance(source, Origin) else Origin(source), deepcopy(dict(config))
    _take(config, origin.given, schema("config"))
    try:
        return _complete(config, origin)
    except InputError as error:
        if error.source != origin:
            raise
        keys = re.findall(rf"\b(?:{'|'.join(schema('config')['properties'])})\b(?:\.[\w-]+)*", error.problem)
        raise InputError(origin.of(tuple(key.split(".")) for key in keys), error.problem, error.remedy) from None


def _complete(config: Mapping, source: Origin) -> dict:
    full = _check(deepcopy(config), "config", "", source)
    for kind, section, folder, key in (
        ("dataset", "datasets", "sources", "kind"),
        ("method", "methods", "methods", "type"),
    ):
        for name, block in full[section].items():
            part = block["source"] if kind == "dataset" else block
            where = f"{section}.{name}" + (".source" if kind == "dataset" else "")
            if part.get(key) not in choices(folder):
                raise InputError(source, f"{where}.{key} is {part.get(key)!r}", f"Choose one of {choices(folder)}")
            _take(part, source.part(where), schema(f"{folder}/{part[key]}"))
            beside = sorted(part.keys() - WITH_WEIGHTS - registering_keys(part)) if part.get("weights") else []
            _check(part, f"{folder}/{part[key]}", where, source)
            if beside:
                raise InputError(
                    source, f"{where}: {beside} stand beside weights", "Remove them: the weights file holds its network"
                )
    for block in full["datasets"].values():
        if block["source"]["kind"] in GENERATED and block["preprocessing"]["skull_strip"] == "auto":
            block["preprocessing"]["skull_strip"] = "none"
    _check_consistency(full, source)
    _add_ablations(full, config.get("ablations", {}), source)
    if config.get("evaluation", {}).get("reference"):  # the default may be absent: then nothing is compared
        _check_reference(full, source)
    return full


def complete_method(block: Mapping, source: str) -> dict:
    """One method's block with every default. Raises `InputError` as `complete` does."""
    return _check(deepcopy(dict(block)), f"methods/{block['type']}", "", source)


def with_defaults(block: Mapping) -> dict:
    """One method's block with every default, as it is else: a weights file has the stages as far as it is trained."""
    filled = deepcopy(dict(block))
    _fill(filled, schema(f"methods/{block['type']}"))
    return filled


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
            _check_consistency({"methods": {key: block}, "datasets": full["datasets"]}, source, "ablations.variants")
        except InputError:
            if "variants" in given:
                raise
            continue
        variants[f"{name}-{key}"] = {"study": variant["study"], "method": block}


def _variant(base: Mapping, variant: Mapping, where: str, source: str) -> dict:
    if isinstance(source, Origin):
        _take(variant["change"], source.part(f"{where}.change"), schema(f"methods/{base['type']}"))
    beside = sorted(variant["change"].keys() & WITH_WEIGHTS)
    if beside:
        raise InputError(source, f"{where}.change: {beside} cannot differ between variants", "Remove these keys")
    block = _merge(base, {**variant["change"], "label": variant["label"], "arms": base["arms"][:1]})
    return _check(block, f"methods/{base['type']}", where, source)


def own_settings(method: Mapping) -> dict:
    """What a completed block says of its method alone: without what any method has."""
    return {key: value for key, value in method.items() if key not in WITH_WEIGHTS | {"stages", "published"}}


def learns_from_labels(method: Mapping) -> bool:
    """Whether a completed block's objective has a term of the training subjects' label maps."""
    return method.get("objective", {}).get("weights", {}).get("labels", 0) > 0


def registering_keys(method: Mapping) -> set[str]:
    """What of a method's block changes how it registers and not how it is trained: its schema says so."""
    parts = schema(f"methods/{method['type']}").get("properties", {})
    return {key for key, part in parts.items() if part.get("registering_only")}


def registering_block(method: Mapping) -> dict:
    """A completed method block as far as its registrations depend on it."""
    keys = registering_keys(method)
    return stage_block(method, len(method["stages"])) | {key: deepcopy(method[key]) for key in keys}


def stage_block(method: Mapping, stage: int) -> dict:
    """A completed method block as far as the training of its stage ``stage`` depends on it.

    Without its names, arms and later stages; what its schema marks ``last_level_only`` is at its default before that
    level's stage, what it marks ``registering_only`` always, and the term of label maps before it counts. Stages with
    equal blocks, in the same place of the same data, end in the same weights.
    """
    block = deepcopy({key: value for key, value in method.items() if key not in ("label", "arms")})
    if stage < block.get("network", {}).get("levels", len(block["stages"])):
        parts = schema(f"methods/{method['type']}")["properties"].get("network", {}).get("properties", {})
        block["network"] |= {key: part["default"] for key, part in parts.items() if part.get("last_level_only")}
    defaults = with_defaults({"type": method["type"]})
    objective = block.get("objective", {})
    if stage < min(objective.get("labels_from", 1), len(block["stages"])):  # no label matters yet
        objective["labels_from"] = defaults["objective"]["labels_from"]
        objective["weights"]["labels"] = defaults["objective"]["weights"]["labels"]
    keys = registering_keys(method)
    return {**block, "stages": block["stages"][:stage], **{key: defaults[key] for key in keys}}


def _check_reference(config: Mapping, source: str) -> None:
    reference = config["evaluation"]["reference"]
    if reference["arm"] not in config["methods"].get(reference["method"], {}).get("arms", []):
        raise InputError(
            source,
            f"evaluation.reference: no method {reference['method']} runs in the arm {reference['arm']}",
            f"Name one of {', '.join(config['methods'])}, in one of its arms",
        )


def _check_consistency(config: Mapping, source: str, section: str = "methods") -> None:
    """What a schema cannot say."""
    for name, method in config["methods"].items():
        where = f"{section}.{name}"
        for index, stage in enumerate(method["stages"]):
            if (stage["iterations"] is None) == (stage["epochs"] is None):
                raise InputError(
                    source, f"{where}.stages.{index} needs iterations or epochs", "Give exactly one of them"
                )
        if "levels" in method.get("network", {}):
            _check_levels(method, where, source)
        _check_grids(method, where, config["datasets"], source)
        if method["weights"] and not os.path.isfile(method["weights"]):
            raise InputError(
                source, f"{where}.weights: there is no file {method['weights']}", "Correct the path, or remove the key"
            )


def _check_grids(method: Mapping, where: str, datasets: Mapping, source: str) -> None:
    stride = grid_stride(method)
    for name, dataset in datasets.items():
        shape = dataset["grid"]["shape"]
        if any(n % stride for n in shape):
            fitting = [math.ceil(n / stride) * stride for n in shape]
            other = ", or fewer network.levels or a smaller network.depth" if "levels" in method["network"] else ""
            raise InputError(
                source,
                f"datasets.{name}.grid.shape {shape} is not divisible by {stride}, as {where} needs",
                f"Choose multiples of {stride}, such as {fitting}{other}",
            )


def grid_stride(method: Mapping) -> int:
    """The number by which the grid of a completed method block has to be divisible: its schema's, or by its levels.

    Each of SM-GICNet's levels below the images' own grid halves it and has one stride more.
    """
    network = method.get("network", {})
    if "levels" not in network:
        return schema(f"methods/{method['type']}").get("grid_stride", 1)
    if not network["full_resolution"]:
        return 2 ** (network["levels"] + 1)
    return max(network["finest_stride"] * 2 ** network["depth"], 2 ** network["levels"] if network["levels"] > 1 else 1)


def _check_levels(method: Mapping, where: str, source: str) -> None:
    levels = method["network"]["levels"]
    count = len(method["stages"])
    if count < levels:
        raise InputError(source, f"{where}.stages has {count} entries", f"Give {levels} at least, one a level")
    for key, values in method["objective"].items():
        if isinstance(values, list) and len(values) != levels:
            what = f"{where}.objective.{key} has {len(values)} entries"
            raise InputError(source, what, f"Give {levels}, one a level")
    paired = [t for t in ("symmetric", "inverse", "gradient_inverse") if method["objective"]["weights"][t] > 0]
    for key, needed, why in (
        ("antisymmetric", "symmetric", "both directions"),
        ("midpoint", "antisymmetric", "directions whose velocities are each other's negatives"),
    ):
        if method["network"][key] and not method["network"][needed]:
            raise InputError(
                source,
                f"{where}.network: {key} needs {why}, and {needed} is false",
                f"Set {needed} to true, or {key} to false",
            )
    if not method["network"]["symmetric"] and paired:
        raise InputError(
            source,
            f"{where}: {paired} compare two directions, and network.symmetric is false",
            "Set these weights to 0",
        )


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


def build(cls: type[T], values: Mapping) -> T:
    """A frozen dataclass from a completed mapping: nested dataclasses are built, lists become tuples.

    Raises ``TypeError`` when the keys are not exactly the fields: the schema and the class have to agree.
    """
    hints = typing.get_type_hints(cls)
    names = {f.name for f in dataclasses.fields(cls)}
    if names != values.keys():
        raise TypeError(f"{cls.__name__} has {sorted(names)}, the config gives {sorted(values)}")
    return cls(**{name: _convert(hints[name], values[name]) for name in names})


def _convert(hint: Any, value: Any) -> Any:
    if isinstance(hint, types.UnionType):
        return None if value is None else _convert(next(a for a in hint.__args__ if a is not type(None)), value)
    if dataclasses.is_dataclass(hint):
        return build(hint, value)
    if isinstance(value, list):
        inner = typing.get_args(hint)
        return tuple(_convert(inner[0], item) if inner else item for item in value)
    return value
