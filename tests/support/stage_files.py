"""A workflow of three short jobs with names of real rules, for tests of how a run is watched."""

import json

from smgicnet.core.layout import RESULTS, DatasetPaths

CONFIG = {
    "datasets": {"mini": {"source": {"kind": "phantom", "subjects": {"train": 2, "val": 0, "test": 3}}}},
    "methods": {"initial": {"type": "initial", "arms": ["raw"]}, "pose": {"type": "pose"}},
    "evaluation": {"reference": {"method": "pose"}, "robustness": {"pairs": 0}},
}
SNAKEFILE = """
rule all:
    default_target: True
    input: "results/table1.csv"

rule write_cohort:
    output: "results/cohort"
    shell: "touch {output}"

rule register_shard:
    input: "results/cohort"
    output: "results/{arm}-{method}"
    log: "results/{arm}-{method}.log"
    shell: '''WORK'''

rule write_table1:
    input: "results/raw-initial", "results/raw-pose"
    output: "results/table1.csv"
    shell: '''TABLE'''
"""
TABLE = """metric,method,arm,source,mean,sd
dice,initial,raw,measured,0.25,0.05
dice,pose,raw,measured,0.5,0.0625
dice,initial,raw,paper IXI,0.9,0.1
"""


def write_stages(folder, work):
    """Write ``Snakefile``, ``config.yaml`` and the values of Table 1; ``work`` is what registering a shard runs."""
    table = DatasetPaths(f"{RESULTS}/mini").table("table1", "csv")
    make_table = f"touch {{output}}; mkdir -p {table.rpartition('/')[0]}; cp table1.csv {table}"
    (folder / "Snakefile").write_text(SNAKEFILE.replace("WORK", work).replace("TABLE", make_table))
    (folder / "config.yaml").write_text(json.dumps(CONFIG))
    (folder / "table1.csv").write_text(TABLE)
    return table
