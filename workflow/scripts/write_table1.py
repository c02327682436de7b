from smgicnet.paper_tables import table1
from smgicnet.provenance import merge_records, read_yaml, write_text
from smgicnet.scripts import job_log
from smgicnet.statistics import cohort_size, read_metrics, runs, summarise

with job_log(snakemake.log[0]):
    metrics = read_metrics(snakemake.input.metrics)
    record = merge_records(
        snakemake.input.records, snakemake.output.record, config=snakemake.params.config, code=snakemake.params.code
    )
    threads = [method["threads"] for method in snakemake.params.config["methods"].values() if method["type"] == "syn"]
    context = {
        "hardware": "; ".join(record["hardware"]),
        "affine": record.get("affine", []),
        "threads": max(threads, default=0),
    }
    table = table1(
        summarise(metrics),
        read_yaml(snakemake.input.paper),
        snakemake.wildcards.dataset,
        [(method, arm, snakemake.params.labels[f"{method}/{arm}"]) for method, arm in runs(metrics)],
        {**cohort_size(metrics), **context},
    )
    write_text(snakemake.output.md, table.to_markdown())
    write_text(snakemake.output.csv, table.to_csv())
    write_text(snakemake.output.tex, table.to_latex())
