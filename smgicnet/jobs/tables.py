"""A table from its metrics, with a JSON beside it of all that it was made from.

`smgicnet.commands.verify` makes a table again from that JSON, by the same functions.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pandas import DataFrame

from smgicnet.core.files import PACKAGE
from smgicnet.core.provenance import listed, merged_records, read_yaml, sha256, versions, write_text
from smgicnet.publication.tables.ablations import ablation_rows, ablation_table
from smgicnet.publication.tables.arena_tables import arena_rows, means_table, ranking_table, wins_table
from smgicnet.publication.tables.comparison_tables import comparison_table, roi_tables
from smgicnet.publication.tables.paper_tables import affine_note, table1, table2, without_numbers
from smgicnet.publication.tables.published_table import table3
from smgicnet.publication.tables.table import Table
from smgicnet.publication.tables.weights_note import programs_note, weights_note
from smgicnet.scoring.comparisons import compare_by_each, merge_sides
from smgicnet.scoring.metrics import COMPARED
from smgicnet.scoring.ranking import rank
from smgicnet.scoring.statistics import cohort_size, read_metrics, runs, summarise

CHECKOUT = PACKAGE.parent
MAKERS = ("numpy", "pandas", "scipy", "tabulate")  # on whose versions a table's text depends
APART = ("config", "code", "sources")  # of the parameters: every kind of table has them

Files = Mapping[str, Sequence[Path]]


def write_table(
    kind: str,
    dataset: str,
    inputs: Mapping[str, str | Sequence[str]],
    outputs: Mapping[str, str],
    parameters: Mapping[str, object],
) -> None:
    """Write a table as Markdown, CSV and LaTeX, then the JSON of what it was made from.

    Parameters
    ----------
    kind : a key of ``KINDS``
    inputs : ``metrics`` and ``records`` (their JSONs); ``paper`` (config/paper.yaml) for the paper's tables,
        ``trainings`` (training.json of all stages) for ablations
    outputs : ``md``, ``csv``, ``tex``, and ``record`` for the JSON
    parameters : ``config``, ``code`` (digest of ``sources``, relative to the package), and those of the kind:
        ``labels`` by "method/arm" (ablations: by method), ``reference`` (method, arm), ``paper_rows`` (whether the
        tables have rows of the paper, true by default), ...

    In the JSON paths are relative to its folder, that of the paper's numbers and those of sources to the checkout:
    results can be moved.
    """
    folder = Path(outputs["record"]).parent
    record = {
        "table": kind,
        "dataset": dataset,
        **{key: parameters[key] for key in APART},
        "parameters": {key: value for key, value in parameters.items() if key not in APART},
        "inputs": {role: listed(_each(paths), base(role, folder)) for role, paths in inputs.items()},
    }
    record["sources"] = [os.path.relpath(PACKAGE / name, CHECKOUT) for name in record["sources"]]
    record = json.loads(json.dumps(record))  # as it will be read
    facts, texts = derive(record, folder)
    claims = {}
    for form, text in texts.items():
        write_text(outputs[form], text)
        claims[form] = {"path": Path(outputs[form]).name, "sha256": sha256(text.encode())}
    record |= {**facts, "made_with": versions(MAKERS), "outputs": claims}
    write_text(outputs["record"], json.dumps(record, indent=2) + "\n")


def _each(paths: str | Sequence[str]) -> list[str]:
    return [paths] if isinstance(paths, str) else list(paths)


def base(role: str, folder: Path) -> Path:
    """Return the folder from which inputs of a role are named: the JSON's, or the checkout for the paper's numbers."""
    return CHECKOUT if role == "paper" else folder


def path_of(entry: Mapping[str, str], folder: Path) -> Path:
    """Return the file that an entry of `smgicnet.core.provenance.listed` names."""
    return Path(os.path.normpath(folder / entry["path"]))


def derive(record: Mapping, folder: Path) -> tuple[dict, dict[str, str]]:
    """Derive what follows from the inputs that a table's JSON in ``folder`` names.

    Returns the facts (``versions``, ``hardware`` and ``affine`` of the jobs, ``seeds`` by "method/arm", ``page``: what
    the page shows of it, ``ranking`` of the arena), and the text of each form of the table.
    """
    files = {
        role: [path_of(entry, base(role, folder)) for entry in entries] for role, entries in record["inputs"].items()
    }
    metrics = read_metrics(files["metrics"])
    facts = {**merged_records(files["records"]), "seeds": _seeds(metrics)}
    made = KINDS[record["table"]]({**record, **facts}, metrics, files)
    facts |= {"page": [table.to_data() for table in made.tables], **made.facts}
    return facts, made.texts()


def _seeds(metrics: DataFrame) -> dict[str, list[int]]:
    found = metrics.groupby(["method", "arm"], sort=False)["seed"]
    return {f"{method}/{arm}": sorted(map(int, seeds.unique())) for (method, arm), seeds in found}


@dataclass(frozen=True)
class Made:
    """A table that was made.

    ``tables``: one, or several that stand below each other in its files. ``csv``: its CSV where that is not the first
    one's own; None by default. ``facts``: what its JSON says of it beside; nothing by default.
    """

    tables: Sequence[Table]
    csv: str | None = None
    facts: Mapping[str, object] = field(default_factory=dict)

    def texts(self) -> dict[str, str]:
        """Return the text of each form."""
        return {
            "md": "\n".join(table.to_markdown() for table in self.tables),
            "csv": self.tables[0].to_csv() if self.csv is None else self.csv,
            "tex": "\n".join(table.to_latex() for table in self.tables),
        }


def _labelled(metrics: DataFrame, labels: Mapping[str, str]) -> list[tuple[str, str, str]]:
    return [(method, arm, labels[f"{method}/{arm}"]) for method, arm in runs(metrics)]


def _context(record: Mapping, metrics: DataFrame) -> dict:
    return {**cohort_size(metrics, _people(record)), "affine": record.get("affine", [])}


def _people(record: Mapping) -> Mapping:
    """Return the person of each subject that is not one by itself; of the arena, by dataset."""
    return record["parameters"].get("people", {})  # records of earlier versions have none


def _paper(record: Mapping, files: Files) -> Mapping:
    """Return what the paper prints, or its methods alone for a table without its rows."""
    paper = read_yaml(files["paper"][0])
    return paper if record["parameters"].get("paper_rows", True) else without_numbers(paper)


def _table1(record: Mapping, metrics: DataFrame, files: Files) -> Made:
    threads = [method["threads"] for method in record["config"]["methods"].values() if method["type"] == "syn"]
    context = {"hardware": "; ".join(record["hardware"]), "threads": max(threads, default=0)}
    robustness = record["config"].get("evaluation", {}).get("robustness", {})  # none in records of earlier versions
    context["rotation"] = robustness.get("rotation", [])
    methods, names = record["config"]["methods"], metrics["method"].unique()
    context |= {"given_weights": weights_note(methods, names), "programs": programs_note(methods, names)}
    return Made(
        [
            table1(
                summarise(metrics),
                _paper(record, files),
                record["dataset"],
                _labelled(metrics, record["parameters"]["labels"]),
                {**_context(record, metrics), **context},
            )
        ]
    )


def _table2(record: Mapping, metrics: DataFrame, files: Files) -> Made:
    return Made(
        [
            table2(
                summarise(metrics),
                _paper(record, files),
                record["dataset"],
                tuple(record["parameters"]["reference"]),
                _labelled(metrics, record["parameters"]["labels"]),
                _context(record, metrics),
            )
        ]
    )


def _table3(record: Mapping, metrics: DataFrame, files: Files) -> Made:
    methods, parameters = record["config"]["methods"], record["parameters"]
    weights = {
        methods[name]["label"]: f"{weights['file']}, licence: {weights['licence']}"
        for name, weights in parameters["published"].items()
    }
    return Made(
        [
            table3(
                summarise(metrics),
                _paper(record, files),
                record["dataset"],
                [(*run.split("/"), label) for run, label in parameters["labels"].items()],
                [tuple(run) for run in parameters["absent"]],
                {**_context(record, metrics), "weights": weights},
            )
        ]
    )


def _comparisons(record: Mapping, metrics: DataFrame, files: Files) -> Made:
    parameters = record["parameters"]
    labels, reference, resamples = parameters["labels"], tuple(parameters["reference"]), parameters["resamples"]
    comparisons = compare_by_each(
        merge_sides(metrics) if parameters["merge_sides"] else metrics,
        list(COMPARED),
        reference,
        [run for run in runs(metrics) if run != reference],
        resamples=resamples,
        seed=parameters["seed"],
        people=_people(record),
    )
    context = {"dataset": record["dataset"], "reference": labels["/".join(reference)], "resamples": resamples}
    context |= _context(record, metrics)
    tables = [comparison_table(comparisons, labels, context), *roi_tables(comparisons, labels, context)]
    return Made(tables, _plain_csv(comparisons))


def _ablations(record: Mapping, metrics: DataFrame, files: Files) -> Made:
    parameters = record["parameters"]
    records = iter([json.loads(path.read_text()) for path in files["trainings"]])
    rows = ablation_rows(
        metrics,
        [tuple(run) for run in parameters["runs"]],
        parameters["labels"],
        parameters["studies"],
        {method: [next(records) for _ in range(count)] for method, count in parameters["trainings"]},
        resamples=parameters["resamples"],
        people=_people(record),
    )
    context = {"hardware": "; ".join(record["hardware"]), "resamples": parameters["resamples"]}
    table = ablation_table(rows, record["dataset"], {**_context(record, metrics), **context})
    return Made([table], _plain_csv(rows))


def _arena(record: Mapping, metrics: DataFrame, files: Files) -> Made:
    parameters, methods = record["parameters"], record["config"]["methods"]
    resamples, seed, names = parameters["resamples"], parameters["seed"], metrics["method"].unique()
    labels = {run: parameters["labels"]["/".join(run)] for run in runs(metrics)}
    people = _people(record)
    rows = arena_rows(metrics, people, resamples=resamples, seed=seed)
    notes = [*weights_note(methods, names), *programs_note(methods, names), *affine_note(record)]
    notes.append(f"Times were measured on {'; '.join(record['hardware'])}.")
    if absent := parameters.get("absent"):
        notes.append(f"Left out, since what they need was not there: {', '.join(absent)}.")
    found = rank(metrics, list(labels), parameters["rank_by"], people=people, resamples=resamples, seed=seed)
    datasets = metrics["dataset"].unique()
    tables = [means_table(rows, name, labels, metrics, notes, people.get(name, {})) for name in datasets]
    tables += [ranking_table(found, labels, resamples), wins_table(found, labels)]
    return Made(tables, _plain_csv(rows), {"ranking": found.to_data()})


def _plain_csv(rows: DataFrame) -> str:
    return rows.to_csv(index=False, float_format="%.6g", lineterminator="\n")


KINDS = {
    "table1": _table1,
    "table2": _table2,
    "table3": _table3,
    "comparisons": _comparisons,
    "ablations": _ablations,
    "arena": _arena,
}
