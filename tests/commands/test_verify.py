"""`smgicnet verify`: a table is what its metrics give, or what differs is said."""

import gzip
import json
import shutil
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from smgicnet import cli
from smgicnet.commands import verify
from smgicnet.core import provenance
from smgicnet.core.code import source_digest
from smgicnet.core.files import PACKAGE
from smgicnet.jobs.gather import gather_metrics
from smgicnet.jobs.tables import KINDS, write_table
from smgicnet.scoring.statistics import read_metrics, write_metrics

PAPER = PACKAGE.parent / "config" / "paper.yaml"
RUNS = [("smgicnet", "raw"), ("smgicnet-less", "raw"), ("syn", "raw"), ("icnet", "affine")]
REFERENCE = ("smgicnet", "raw")
LABELS = {
    "smgicnet/raw": "SM-GICNet",
    "smgicnet-less/raw": "with a | less",
    "syn/raw": "SyN",
    "icnet/affine": "ICNet w.affine",
}
SEEDS = {"smgicnet": (1, 2), "smgicnet-less": (1, 2)}
CONFIG = {
    "methods": {
        "smgicnet": {"type": "smgicnet", "label": "SM-GICNet"},
        "syn": {"type": "syn", "label": "SyN", "threads": 2},
        "icnet": {"type": "icnet", "label": "ICNet"},
        "gradicon": {"type": "gradicon", "label": "GradICON"},
    }
}
PARAMETERS = {
    "table1": {},
    "table2": {"reference": REFERENCE},
    "table3": {
        "labels": {"gradicon/raw": "GradICON", "smgicnet/raw": "SM-GICNet"},
        "absent": [("gradicon", "raw")],
        "published": {"gradicon": {"file": "weights/w.trch", "licence": "Apache-2.0"}},
    },
    "comparisons": {"reference": REFERENCE, "resamples": 200, "seed": 0, "merge_sides": True},
    "ablations": {
        "runs": RUNS[:2],
        "labels": {"smgicnet": "SM-GICNet", "smgicnet-less": "with a | less"},
        "studies": {"smgicnet-less": "components"},
        "trainings": [("smgicnet", 2), ("smgicnet-less", 2)],
        "resamples": 200,
    },
    "arena": {"rank_by": ["dice", "endpoint_error_mm"], "resamples": 200, "seed": 0},
}
TABLE_RUNS = {"table3": RUNS[:1], "ablations": RUNS[:2]}


def shard_rows(run, seed, pairs, rng):
    """Rows of both directions of pairs, as a job of registrations writes them."""
    common = {"dataset": "demo", "arm": run[1], "method": run[0], "seed": seed}
    rows = []
    for fixed, moving in pairs:
        dice = 0.6 + 0.1 * RUNS.index(run) + 0.05 * rng.standard_normal(3)
        rois = {"mean": dice[0], "Left-Thalamus": dice[1], "Right-Thalamus": dice[2]}
        values = {("dice", roi): value for roi, value in rois.items()}
        values |= {("folds_percent", ""): rng.uniform(), ("seconds", ""): rng.uniform(1, 2)}
        values["endpoint_error_mm", ""] = rng.uniform(2, 9)
        rows += [
            {**common, "fixed": fixed, "moving": moving, "metric": metric, "roi": roi, "value": value}
            for (metric, roi), value in values.items()
        ]
    return pd.DataFrame(rows)


def changed_rows(run, seed):
    """Rows of a pair whose moving head is turned, as a job of changed heads writes them."""
    common = {"dataset": "demo", "arm": run[1], "method": run[0], "seed": seed, "fixed": "s1", "moving": "007"}
    values = {30: 1.25, 60: 3.5}
    return pd.DataFrame(
        [
            {
                **common,
                "metric": f"pose_consistency_{name}",
                "roi": "",
                "value": value,
                "change": "rotation",
                "severity": one,
            }
            for one, value in values.items()
            for name in ("mm", "p95_mm")
        ]
    )


def write_run(folder, run, seed, rng):
    """The shards of a method and what is gathered from them; each is a training too. Eleven: 10 comes after 9."""
    pairs = np.array_split(list(permutations(["s1", "s2", "s3", "s4", "s5", "007"], 2)), 11)
    shards = [folder / f"shards/{number}/metrics.csv" for number in range(11)]
    for path, some in zip(shards, pairs):
        path.parent.mkdir(parents=True)
        shard_rows(run, seed, some, rng).to_csv(path, index=False)
    facts = {"versions": {"python": "3.11", "torch": "2.0"}, "hardware": "2 cores of a test"}
    if run[1] == "affine":
        facts["affine"] = {"engine": "ants", "version": "A tool 1.0", "search_degrees": 90}
    origin = folder / "shards/0/registration.json"
    origin.write_text(json.dumps(facts))
    heads = folder / "robustness/0/metrics.csv"
    heads.parent.mkdir(parents=True)
    changed_rows(run, seed).to_csv(heads, index=False)
    files = {"metrics": folder / "metrics.csv.gz", "record": folder / "metrics.json"}
    gather_metrics(shards, [origin], **files, changed=[heads])
    training = {"seed": seed, "parameters": 10 * len(run[0]), "seconds": 30.0, "peak_memory_mib": 100.0}
    (folder / "training.json").write_text(json.dumps(training))


def write_tables(results):
    """All tables of the runs below ``results``, as the workflow's scripts write them."""
    for kind in KINDS:
        runs = TABLE_RUNS.get(kind, RUNS)
        folders = [results / f"{arm}/{method}/seed-{n}" for method, arm in runs for n in SEEDS.get(method, (0,))]
        inputs = {"metrics": "metrics.csv.gz", "records": "metrics.json", "trainings": "training.json"}
        inputs = {role: [str(folder / name) for folder in folders] for role, name in inputs.items()}
        if kind != "ablations":
            del inputs["trainings"]
        if kind.startswith("table"):
            inputs["paper"] = str(PAPER)
        sources = ["publication/tables/table.py", "../config/paper.yaml"]
        forms = {"md": "md", "csv": "csv", "tex": "tex", "record": "json"}
        outputs = {key: str(results / f"tables/{kind}.{form}") for key, form in forms.items()}
        given = {
            "config": CONFIG,
            "code": source_digest(PACKAGE / name for name in sources),
            "sources": sources,
            "labels": LABELS,
        }
        write_table(kind, "demo", inputs, outputs, given | PARAMETERS[kind])


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    results = tmp_path_factory.mktemp("written") / "results/demo"
    rng = np.random.default_rng(0)
    for run in RUNS:
        for seed in SEEDS.get(run[0], (0,)):
            write_run(results / run[1] / run[0] / f"seed-{seed}", run, seed, rng)
    write_tables(results)
    return results


@pytest.fixture
def results(written, tmp_path):
    """A copy of the results, in another place than where they were made."""
    shutil.copytree(written, tmp_path / "elsewhere/demo")
    return tmp_path / "elsewhere/demo"


@pytest.fixture
def said(capsys):
    """Run the command; its exit code and the lines it says of each table, by name."""

    def run(*paths):
        code = cli.main(["verify", *map(str, paths)])
        lines, found = capsys.readouterr().out.splitlines(), {}
        for line in lines[:-1]:
            if not line.startswith(" "):
                path, _, state = line.partition(": ")
                found[Path(path).stem] = [state]
            else:
                found[list(found)[-1]].append(line.removeprefix("    "))
        return code, found, lines[-1] if lines else ""

    return run


def change(path, **keys):
    """Change entries of a JSON."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


def edit(path, old, new):
    """Change text of a file once, which may be gzipped; returns the number of the line."""
    packed = path.suffix == ".gz"
    content = path.read_bytes()
    text = (gzip.decompress(content) if packed else content).decode()
    assert old in text
    content = text.replace(old, new, 1).encode()
    path.write_bytes(gzip.compress(content) if packed else content)
    return text[: text.index(old)].count("\n") + 1


def test_every_kind_of_table_is_ok(written, said):
    code, found, summary = said(written)
    assert (code, found) == (0, {kind: ["ok"] for kind in KINDS})
    assert summary == "6 tables: 6 ok, 0 differ"


def test_results_that_were_moved_are_ok(results, written, said, monkeypatch):
    monkeypatch.chdir(results.parent)
    code, found, _ = said("demo")
    assert (code, list(found)) == (0, sorted(KINDS))
    for path in results.glob("tables/*.json"):
        assert str(written) not in path.read_text()
        assert str(PACKAGE.parent) not in path.read_text()
    shutil.rmtree(results / "raw/syn")  # of the copy, which is what was looked at
    assert said("demo")[0] == 1


def test_a_table_one_of_its_files_and_its_json_are_the_same(results, said):
    tables = results / "tables"
    for path in (tables / "table2.md", tables / "table2.csv", tables / "table2.json"):
        code, found, summary = said(path)
        assert (code, found, summary) == (0, {"table2": ["ok"]}, "1 table: 1 ok, 0 differ")
    assert said(tables, results, tables / "table1.md")[2].startswith("6 tables")


def test_what_the_json_has(written):
    record = json.loads((written / "tables/comparisons.json").read_text())
    assert (record["table"], record["dataset"]) == ("comparisons", "demo")
    assert record["seeds"] == {"smgicnet/raw": [1, 2], "smgicnet-less/raw": [1, 2], "syn/raw": [0], "icnet/affine": [0]}
    assert record["parameters"]["resamples"] == 200
    assert record["config"] == CONFIG
    assert record["hardware"] == ["2 cores of a test"]
    assert record["affine"][0]["engine"] == "ants"
    assert record["inputs"]["metrics"][0]["path"] == "../raw/smgicnet/seed-1/metrics.csv.gz"
    assert record["sources"] == ["smgicnet/publication/tables/table.py", "config/paper.yaml"]
    assert {"python", "pandas", "scipy"} <= record["made_with"].keys()
    paper = json.loads((written / "tables/table1.json").read_text())["inputs"]["paper"]
    assert paper == [{"path": "config/paper.yaml", "sha256": provenance.sha256(PAPER.read_bytes())}]


def test_a_changed_number_in_metrics(results, said):
    metrics = results / "raw/syn/seed-0/metrics.csv.gz"
    rows = read_metrics([metrics])
    first = rows.index[(rows["metric"] == "dice") & (rows["roi"] == "mean")][0]
    rows.loc[first, "value"] += 0.1
    write_metrics(rows, metrics)
    code, found, summary = said(results)
    assert code == 1
    assert summary == "6 tables: 2 ok, 4 differ"
    assert found["table3"] == found["ablations"] == ["ok"]
    for kind in ("table1", "table2", "comparisons", "arena"):
        assert found[kind][0] == "DIFFERS"
        assert found[kind][1].endswith("syn/seed-0/metrics.csv.gz: its digest is not the one that was written down")
        assert any(line.startswith(f"{kind}.md, line ") for line in found[kind])
        assert any(line.startswith(f"{kind}.csv, line ") for line in found[kind])


def test_a_changed_endpoint_error_is_in_the_comparisons(results, said):
    metrics = results / "raw/syn/seed-0/metrics.csv.gz"
    rows = read_metrics([metrics])
    rows.loc[rows["metric"] == "endpoint_error_mm", "value"] += 1
    write_metrics(rows, metrics)
    _, found, _ = said(results / "tables/comparisons.md")
    [line] = [line for line in found["comparisons"] if line.startswith("  made again:   endpoint_error_mm,")]
    assert ",syn,mean,6,15,-" in line  # the reference is now nearer


def test_a_changed_cell_is_shown_beside_what_it_should_be(results, said):
    path = results / "tables/table1.md"
    line = next(one for one in path.read_text().splitlines() if one.startswith("| DSC"))
    cell = line.split("|")[2].strip()
    number = edit(path, cell, "0.999 (±0.001)")
    code, found, _ = said(path)
    assert code == 1
    state, digest, place, file, made = found["table1"]
    assert state == "DIFFERS"
    assert digest == f"{path}: its digest is not the one that was written down"
    assert place == f"table1.md, line {number}:"
    assert file.startswith("  as it stands: ")
    assert "0.999 (±0.001)" in file
    assert made.startswith("  made again:   ")
    assert cell in made


@pytest.mark.parametrize(("form", "old", "new"), [("csv", "dice", "Dice"), ("tex", r"\caption", r"\Caption")])
def test_a_changed_file_of_a_table(results, said, form, old, new):
    number = edit(results / f"tables/ablations.{form}", old, new)
    code, found, _ = said(results)
    assert code == 1
    assert f"ablations.{form}, line {number}:" in found["ablations"]
    assert [kind for kind, lines in found.items() if lines != ["ok"]] == ["ablations"]


def test_what_is_missing_or_cut_off_or_of_another_kind_is_said(results, said):
    metrics = results / "affine/icnet/seed-0/metrics.csv.gz"
    whole = metrics.read_bytes()
    metrics.unlink()
    _, found, _ = said(results / "tables/table2.md")
    assert found["table2"][1] == f"{metrics}: cannot be read (No such file or directory)"
    for content in (whole[:200], b"", b"dataset,arm\n", gzip.compress(b"\x00\xff,\n1,2,3")):
        metrics.write_bytes(content)
        code, found, _ = said(results / "tables/table2.md")
        assert code == 1
        assert found["table2"][1] == f"{metrics}: its digest is not the one that was written down"
        assert "the table cannot be made again (" in found["table2"][2]
    metrics.write_bytes(whole)
    (results / "tables/table2.tex").unlink()
    code, found, _ = said(results / "tables")
    assert (code, found["table2"]) == (
        1, ["DIFFERS", f"{results / 'tables/table2.tex'}: cannot be read (No such file or directory)"],
    )  # fmt: skip


def test_a_longer_or_shorter_file_is_said(results, said):
    path = results / "tables/table1.csv"
    path.write_text(path.read_text() + "more\n")
    lines = said(path)[1]["table1"]
    assert lines[-2:] == ["  as it stands: more", "  made again:   "]
    path.write_text("")
    lines = said(path)[1]["table1"]
    assert lines[-2:] == ["  as it stands: ", "  made again:   metric,method,arm,source,mean,sd,n"]


@pytest.mark.parametrize(
    ("kind", "parameter", "value"),
    [
        ("table1", "labels", {**LABELS, "syn/raw": "Other"}),
        ("table2", "reference", ["syn", "raw"]),
        ("table2", "reference", ["gone", "raw"]),
        ("table3", "absent", []),
        ("table3", "published", {}),
        ("comparisons", "seed", 1),
        ("comparisons", "resamples", 201),
        ("comparisons", "merge_sides", False),
        ("ablations", "studies", {"smgicnet-less": "channels"}),
        ("ablations", "trainings", [["smgicnet", 9]]),
        ("ablations", "runs", None),
    ],
)
def test_a_parameter_that_made_another_table(results, said, kind, parameter, value):
    path = results / f"tables/{kind}.json"
    record = json.loads(path.read_text())
    change(path, parameters={**record["parameters"], parameter: value})
    code, found, _ = said(path)
    assert (code, found[kind][0]) == (1, "DIFFERS")
    assert any(line.startswith((f"{kind}.md, line", "the table cannot be made again (")) for line in found[kind])


@pytest.mark.parametrize(
    ("key", "value"),
    [("seeds", {"smgicnet/raw": [1]}), ("hardware", ["a faster one"]), ("versions", []), ("affine", [])],
)
def test_facts_of_the_json_are_those_of_its_inputs(results, said, key, value):
    path = results / "tables/table1.json"
    change(path, **{key: value})
    code, found, _ = said(path)
    assert (code, found["table1"][1]) == (1, f"table1.json, {key}:")
    assert found["table1"][2].endswith(json.dumps(value))


def test_inputs_and_outputs_of_the_json_are_those_there_are(results, said):
    path = results / "tables/table1.json"
    record = json.loads(path.read_text())
    wrong = {"path": "../tables/table1.md", "sha256": record["outputs"]["md"]["sha256"]}
    change(path, outputs={**record["outputs"], "md": wrong})
    code, found, _ = said(path)
    assert (code, found["table1"][1:]) == (1, [f"{path.with_suffix('.md')}: the JSON is of ../tables/table1.md"])
    change(path, outputs={**record["outputs"], "csv": {"path": "table1.csv", "sha256": "0"}})
    code, found, _ = said(path)
    assert found["table1"][1:] == [f"{path.with_suffix('.csv')}: its digest is not the one that was written down"]
    change(path, outputs=record["outputs"], inputs={**record["inputs"], "paper": [{"path": "a\0b", "sha256": "0"}]})
    code, found, _ = said(path)
    assert code == 1
    assert "cannot be read" in found["table1"][1]


def test_another_source_or_version_is_a_note_and_no_fault(results, said):
    path = results / "tables/table2.json"
    record = json.loads(path.read_text())
    change(path, code="0123456789abcdef", made_with={**record["made_with"], "pandas": "1.0"})
    code, found, summary = said(path)
    here = source_digest([PACKAGE / "publication/tables/table.py", PAPER])
    assert (code, summary) == (0, "1 table: 1 ok, 0 differ")
    state, source, package = found["table2"]
    assert state == "ok"
    assert source == f"note: its source then 0123456789abcdef, here {here}"
    assert package.startswith("note: made with pandas 1.0, here ")
    change(path, sources=["smgicnet/gone.py"])
    code, found, _ = said(path)
    assert code == 0
    assert "gone.py" in found["table2"][1]


def test_metrics_that_are_not_those_of_the_jobs(results, said):
    """Tables made from edited metrics agree with them; what was gathered does not."""
    metrics = results / "raw/smgicnet/seed-1/metrics.csv.gz"
    rows = read_metrics([metrics])
    rows.loc[50, "value"] = 0.123456
    write_metrics(rows, metrics)
    write_tables(results)
    code, found, _ = said(results)
    assert code == 1
    for lines in found.values():
        assert lines[0] == "DIFFERS"
        assert lines[1] == f"{metrics}, line 52:"
        assert lines[2].endswith(",0.123456")
        assert len(lines) == 4
    shutil.rmtree(metrics.parent / "shards")  # what is gone cannot be looked at
    assert said(results)[0] == 0


def test_pose_consistency_is_gathered_from_changed_heads(results, said):
    folder = results / "raw/syn/seed-0"
    rows = read_metrics([folder / "metrics.csv.gz"])
    pose = rows[rows["metric"] == "pose_consistency_mm"]
    assert pose[["fixed", "moving", "value"]].values.tolist() == [["s1", "007", 2.375]]
    assert "Pose consistency (mm)" in (results / "tables/table1.md").read_text()
    edit(folder / "robustness/0/metrics.csv", "3.5", "1.5")
    code, found, _ = said(results / "tables/table1.md")
    assert (code, found["table1"][0]) == (1, "DIFFERS")
    assert found["table1"][1] == f"{folder}/robustness/0/metrics.csv: its digest is not the one that was written down"
    shutil.rmtree(folder / "robustness")  # what is gone cannot be looked at
    assert said(results)[0] == 0


def test_a_job_that_ran_again_and_one_of_an_earlier_run(results, said):
    shards = results / "raw/syn/seed-0/shards"
    shutil.copytree(shards / "0", shards / "11")
    assert said(results)[0] == 0
    edit(shards / "10/metrics.csv", "seconds,,1", "seconds,,2")
    code, found, _ = said(results)
    assert code == 1
    assert found["table1"] == [
        "DIFFERS", f"{shards / '10/metrics.csv'}: its digest is not the one that was written down",
    ]  # fmt: skip
    assert found["ablations"] == ["ok"]


def test_what_is_in_a_file_does_not_steer_the_terminal(results, said):
    path = results / "tables/table1.md"
    edit(path, "Registration", "\x1b[31mRegistration")
    _, found, _ = said(path)
    assert found["table1"][3].startswith(r"  as it stands: \x1b[31mReg")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "not there, beside its table"),
        ("{", "not readable"),
        ("[1]", "not the JSON of a table"),
        ('{"config": {}, "code": "1", "hardware": []}', "before tables could be verified"),
    ],
)
def test_a_json_that_is_none_of_a_table_is_an_error(results, capsys, content, problem):
    path = results / "tables/table1.json"
    path.unlink()
    if content:
        path.write_text(content)
    for given in (results, path.with_suffix(".md")):
        assert cli.main(["verify", str(given)]) == 2
        error = capsys.readouterr().err
        assert str(path) in error
        assert problem in error
        assert "Run the workflow again" in error


def test_a_path_without_tables_is_an_error(results, capsys):
    assert cli.main(["verify", str(results / "raw")]) == 2
    assert "there is no table in or below it" in capsys.readouterr().err
    assert cli.main(["verify", str(results / "gone")]) == 2
    assert "no such file" in capsys.readouterr().err
    assert cli.main(["verify", str(results / "raw/syn/seed-0/metrics.json")]) == 2
    assert "not the JSON of a table" in capsys.readouterr().err


@pytest.mark.parametrize("key", verify.SHAPE["required"])
def test_a_json_without_one_of_its_parts_is_an_error(results, capsys, key):
    path = results / "tables/table1.json"
    record = json.loads(path.read_text())
    del record[key]
    path.write_text(json.dumps(record))
    assert cli.main(["verify", str(path)]) == 2
    assert "not the JSON of a table" in capsys.readouterr().err


def test_long_lines_are_shown_where_they_differ():
    [text] = verify._text_differences("x", "a" * 500 + "b" + "c" * 500, "a" * 500 + "d" + "c" * 500)
    lines = text.splitlines()
    assert lines[1] == f"  as it stands: …{'a' * 60}b{'c' * 59}…"
    assert lines[2] == f"  made again:   …{'a' * 60}d{'c' * 59}…"
