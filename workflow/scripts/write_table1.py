from smgicnet.provenance import merge_records, read_yaml, write_text
from smgicnet.scripts import job_log
from smgicnet.statistics import cohort_size, read_metrics, runs, summarise
from smgicnet.tables import table1

with job_log(snakemake.log[0]):
    metrics = read_metrics(snakemake.input.metrics)
    record = merge_records(
        snakemake.input.records, snakemake.output.record, config=snakemake.params.config, code=snakemake.params.code
    )
    table = table1(
        summarise(metrics),
        read_yaml(snakemake.input.paper),
        snakemake.wildcards.dataset,
        [(method, arm, snakemake.params.labels[method]) for method, arm in runs(metrics)],
        {**cohort_size(metrics), "hardware": "; ".join(record["hardware"])},
    )
    write_text(snakemake.output.md, table.to_markdown())
    write_text(snakemake.output.csv, table.to_csv())
    write_text(snakemake.output.tex, table.to_latex())
