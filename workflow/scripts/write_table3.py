from smgicnet.provenance import merge_records, read_yaml, write_text
from smgicnet.published_table import table3
from smgicnet.scripts import job_log
from smgicnet.statistics import cohort_size, read_metrics, summarise

with job_log(snakemake.log[0]):
    metrics = read_metrics(snakemake.input.metrics)
    record = merge_records(
        snakemake.input.records, snakemake.output.record, config=snakemake.params.config, code=snakemake.params.code
    )
    weights = {
        snakemake.params.config["methods"][name]["label"]: f"{weights['file']}, licence: {weights['licence']}"
        for name, weights in snakemake.params.published.items()
    }
    table = table3(
        summarise(metrics),
        read_yaml(snakemake.input.paper),
        snakemake.wildcards.dataset,
        [(*run.split("/"), label) for run, label in snakemake.params.labels.items()],
        [tuple(run) for run in snakemake.params.absent],
        {**cohort_size(metrics), "affine": record.get("affine", []), "weights": weights},
    )
    write_text(snakemake.output.md, table.to_markdown())
    write_text(snakemake.output.csv, table.to_csv())
    write_text(snakemake.output.tex, table.to_latex())
