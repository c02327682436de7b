import json
from pathlib import Path

from smgicnet.ablations import ablation_rows, ablation_table
from smgicnet.provenance import merge_records, write_text
from smgicnet.scripts import job_log
from smgicnet.statistics import cohort_size, read_metrics

with job_log(snakemake.log[0]):
    metrics = read_metrics(snakemake.input.metrics)
    record = merge_records(
        snakemake.input.records, snakemake.output.record, config=snakemake.params.config, code=snakemake.params.code
    )
    records = iter([json.loads(Path(path).read_text()) for path in snakemake.input.trainings])
    rows = ablation_rows(
        metrics,
        [tuple(run) for run in snakemake.params.runs],
        snakemake.params.labels,
        snakemake.params.studies,
        {method: [next(records) for _ in range(count)] for method, count in snakemake.params.trainings},
        resamples=snakemake.params.resamples,
    )
    context = {"hardware": "; ".join(record["hardware"]), "resamples": snakemake.params.resamples}
    table = ablation_table(rows, snakemake.wildcards.dataset, {**cohort_size(metrics), **context})
    write_text(snakemake.output.md, table.to_markdown())
    write_text(snakemake.output.csv, rows.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    write_text(snakemake.output.tex, table.to_latex())
